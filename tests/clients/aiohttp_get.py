"""GET a URL with aiohttp, which heeds the environment only when told to; print what came of it as JSON."""

import asyncio

import aiohttp

from report import report, url


async def get():
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(trust_env=True, timeout=timeout) as session:
        async with session.get(url()) as reply:
            return reply.status, await reply.text()


report(lambda: asyncio.run(get()))
