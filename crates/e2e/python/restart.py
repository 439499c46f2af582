"""A client of the Python SDK whose checkpoint restarts while it has a session.

    restart.py URL TOKEN NAME ARGUMENTS

Calls the tool, prints one line and waits for a line on its input; meanwhile the checkpoint restarts. Then it calls the tool
again and lists the tools, all in one session. Prints one line: {"ok": true, "texts": [TEXT, TEXT], "tools": [NAME, ...]}.
"""

import asyncio
import json
import sys

import httpx2
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


async def main(url: str, token: str, name: str, arguments: str) -> dict:
    http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30)
    async with http, streamable_http_client(url, http_client=http) as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        texts = []
        for turn in range(2):
            called = await session.call_tool(name, json.loads(arguments))
            texts.append("".join(getattr(block, "text", "") for block in called.content))
            if turn == 0:
                print(json.dumps({"called": texts[0]}), flush=True)
                await asyncio.to_thread(sys.stdin.readline)
        listed = await session.list_tools()
        return {"ok": True, "texts": texts, "tools": [tool.name for tool in listed.tools]}


print(json.dumps(asyncio.run(main(*sys.argv[1:5]))))
