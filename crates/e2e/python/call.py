"""A FastMCP client that calls one tool of a server over HTTP with a token.

    call.py URL TOKEN MODE NAME ARGUMENTS     MODE: auto, legacy or modern, as FastMCP has it

Prints one line: {"ok": true, "protocol": REVISION, "tools": [NAME, …], "text": TEXT}.
"""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport


async def main(url: str, token: str, mode: str, name: str, arguments: str) -> dict:
    transport = StreamableHttpTransport(url, headers={"Authorization": f"Bearer {token}"})
    async with Client(transport, mode=mode) as client:
        tools = [tool.name for tool in await client.list_tools()]
        called = await client.call_tool(name, json.loads(arguments), raise_on_error=False)
        text = "".join(getattr(block, "text", "") for block in called.content)
        return {"ok": True, "protocol": str(client.protocol_version), "tools": tools, "text": text}


print(json.dumps(asyncio.run(main(*sys.argv[1:6]))))
