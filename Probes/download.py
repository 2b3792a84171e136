# Downloads URL to FILE with aiohttp.
import asyncio, sys
import aiohttp


async def main(url, name):
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        with open(name, "wb") as file:
            async for piece in response.content.iter_chunked(65536):
                file.write(piece)


asyncio.run(main(*sys.argv[1:]))
