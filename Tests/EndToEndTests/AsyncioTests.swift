import NetworkLab
import Testing

extension EndToEnd {
    /// Non-blocking connects and an event loop, as Python's asyncio does them.
    @Suite struct AsyncioTests {
        private static let server = """
            import asyncio
            async def echo(reader, writer):
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
                writer.close()
            async def main():
                server = await asyncio.start_server(echo, None, 7000)
                await server.serve_forever()
            asyncio.run(main())
            """

        private static let client = """
            import asyncio, hashlib, random, sys
            async def talk(number):
                reader, writer = await asyncio.open_connection(sys.argv[1], 7000)
                assert writer.get_extra_info('peername')[0] == sys.argv[1], writer.get_extra_info('peername')
                source = random.Random(number)
                sent, received = hashlib.sha256(), hashlib.sha256()
                async def send():
                    for _ in range(30):
                        data = source.randbytes(source.randrange(1, 100000))
                        sent.update(data)
                        writer.write(data)
                        await writer.drain()
                        await asyncio.sleep(source.random() / 20)
                    writer.write_eof()
                async def receive():
                    while data := await reader.read(65536): received.update(data)
                await asyncio.gather(send(), receive())
                writer.close()
                assert sent.digest() == received.digest()
            async def main():
                await asyncio.gather(*(talk(n) for n in range(40)))
            asyncio.run(main())
            print('verified')
            """

        @Test(arguments: Mode.allCases, [false, true])
        func fortyConnectionsAtOnce(mode: Mode, overIPv6: Bool) throws {
            try UnderTest.with(mode, rate: .megabits(500)) { test in
                let server = try test.serve(["/usr/bin/python3", "-c", Self.server], port: 7000)
                let address = overIPv6 ? test.server.address6 : test.server.address
                #expect(try test.run(["/usr/bin/python3", "-c", Self.client, address]) == "verified\n")
                server.terminate()
            }
        }
    }
}
