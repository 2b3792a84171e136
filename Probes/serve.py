"""The servers that probes connect to. Each port does one thing."""
import asyncio, socket, struct, sys


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def greeting(reader, writer):
    writer.write(b"hello")
    await echo(reader, writer)


def abort(writer):
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def reset(reader, writer):
    abort(writer)


async def abort_later(reader, writer):
    await reader.read(1)
    abort(writer)


def guarded(behaviour):
    async def serve(reader, writer):
        # A connection's error is its client's to judge.
        try:
            await behaviour(reader, writer)
        except OSError:
            writer.close()

    return serve


async def main(first):
    behaviours = [echo, greeting, reset, abort_later]
    for number, behaviour in enumerate(behaviours):
        listener = socket.create_server(
            ("::", first + number), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096)
        await asyncio.start_server(guarded(behaviour), sock=listener, backlog=4096)
    print("serving", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1])))
