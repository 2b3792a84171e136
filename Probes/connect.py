"""Connects in the ways of Python's library, and says what it saw, in the words of connect.c."""
import asyncio, errno, os, selectors, socket, sys, threading, time

targets = {}
only = [word[5:] for word in sys.argv[1:] if word.startswith("only:")]
for word in sys.argv[1 + len(only):]:
    name, _, place = word.partition("=")
    host, _, port = place.rpartition(":")
    targets[name] = (host.strip("[]"), int(port))
own = {targets["own4"][0], targets["own6"][0]}
ports = {port for _, port in targets.values()}


def error_name(error):
    # asyncio gathers the errors of several addresses; here there is one.
    return errno.errorcode.get(getattr(error, "errno", None), type(error).__name__)


def elapsed(begin):
    taken = time.monotonic() - begin
    return "instant" if taken < 0.15 else "short" if taken < 0.4 else "long" if taken < 2 else "longer"


def step(call, begin=None, **fields):
    words = [call] + [f"{key}={value}" for key, value in fields.items()]
    print(" ".join(words + ([] if begin is None else [f"elapsed={elapsed(begin)}"])))


def place(address):
    host, port = address[:2]
    return f"{'own' if host in own else host}/{port if port in ports else 'PORT'}"


def names(s):
    step("names", peer=place(s.getpeername()), own=place(s.getsockname()))


def attempt(call):
    """Calls; reports how it ends; what it returned, or nothing."""
    begin = time.monotonic()
    try:
        result = call()
    except OSError as error:
        step("connect", begin, error=error_name(error))
        return None
    step("connect", begin, error=0)
    return result


def converse(s):
    s.setblocking(True)
    names(s)
    s.sendall(b"ping")
    step("recv", got=s.recv(4, socket.MSG_WAITALL).decode())
    s.shutdown(socket.SHUT_WR)
    step("end", got=s.recv(1).decode() or "EOF")


def family(name):
    return socket.AF_INET if name.endswith("4") else socket.AF_INET6


def blocking(name, timeout=None):
    with socket.socket(family(name)) as s:
        s.settimeout(timeout)

        def connect():
            s.connect(targets[name])
            return s

        if attempt(connect):
            converse(s)
        else:
            code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            step("so_error", value=errno.errorcode.get(code, code))


def with_timeout(name):
    blocking(name, timeout=0.2 if name.startswith("silent") else 10)


def create_connection(name):
    if s := attempt(lambda: socket.create_connection(targets[name])):
        with s:
            converse(s)


def selected(name):
    with socket.socket(family(name)) as s, selectors.DefaultSelector() as selector:
        s.setblocking(False)
        begin = time.monotonic()
        code = s.connect_ex(targets[name])
        step("connect_ex", begin, error=errno.errorcode.get(code, code))
        if code not in (0, errno.EINPROGRESS):
            return
        selector.register(s, selectors.EVENT_WRITE)
        begin = time.monotonic()
        found = selector.select(0.2 if name.startswith("silent") else 10)
        step("select", begin, events=[events for _, events in found])
        code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        step("so_error", value=errno.errorcode.get(code, code))
        if found and code == 0:
            converse(s)


def in_asyncio(name):
    async def connect():
        begin = time.monotonic()
        try:
            limit = 0.2 if name.startswith("silent") else 10
            reader, writer = await asyncio.wait_for(asyncio.open_connection(*targets[name]), limit)
        except (OSError, asyncio.TimeoutError) as error:
            step("open_connection", begin, error=error_name(error))
            return
        step("open_connection", begin, error=0)
        step("names", peer=place(writer.get_extra_info("peername")), own=place(writer.get_extra_info("sockname")))
        writer.write(b"ping")
        step("read", got=(await reader.readexactly(4)).decode())
        writer.write_eof()
        step("end", got=(await reader.read()).decode() or "EOF")
        writer.close()

    asyncio.run(connect())


def at_once_in_asyncio(name):
    """Many connections at a time in one thread."""

    async def connect():
        try:
            reader, writer = await asyncio.open_connection(*targets[name])
            writer.write(b"ping")
            got = await reader.readexactly(4)
            writer.close()
            return got.decode()
        except OSError as error:
            return error_name(error)

    async def gather():
        return await asyncio.gather(*(connect() for _ in range(20)))

    step("gather", results=sorted(set(asyncio.run(gather()))))


def in_threads(name):
    results = []

    def connect():
        try:
            with socket.create_connection(targets[name]) as s:
                s.sendall(b"ping")
                results.append(s.recv(4, socket.MSG_WAITALL).decode())
        except OSError as error:
            results.append(error_name(error))

    threads = [threading.Thread(target=connect) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    step("threads", count=len(results), results=sorted(set(results)))


ways = {"socket": blocking, "settimeout": with_timeout, "create_connection": create_connection, "selectors": selected,
        "asyncio": in_asyncio}
places = {"": "echo4", ", IPv6": "echo6", ", refused": "refused4", ", unreachable": "unreachable4",
          ", silent": "silent4"}
cases = {way + place: (call, name) for way, call in ways.items() for place, name in places.items()}
cases |= {"asyncio, twenty at a time": (at_once_in_asyncio, "echo4"),
          "asyncio, twenty at a time, refused": (at_once_in_asyncio, "refused4"),
          "threads": (in_threads, "echo4"), "threads, refused": (in_threads, "refused4")}

for case, (call, name) in cases.items():
    if only and case not in only:
        continue
    print("case", case)
    before = len(os.listdir("/proc/self/fd"))
    call(name)
    step("descriptors", left=len(os.listdir("/proc/self/fd")) - before)
