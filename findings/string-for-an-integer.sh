#!/usr/bin/env bash
# Expected: a server takes what the input schema it publishes takes. A tool with "amount": {"type": "integer"}
#           refuses the string "500".
# Happens:  FastMCP publishes exactly this schema and runs the tool with the number 500 when it gets "500", "500.0"
#           or true (as 1). The TypeScript server, whose schema also says integer, refuses all three.
# Versions: PyPI fastmcp 4.2.3 with mcp 2.3.0 and pydantic 2.14.4; npm @modelcontextprotocol/server 2.4.0, zod 4.6.7.
#           Seen 2026-11-30 with Python 3.11.7 and Node 20.20.2:
#             fastmcp     type integer   500 -> 500   "500" -> 500       "500.0" -> 500     true -> 1
#             typescript  type integer   500 -> 500   "500" -> refused   "500.0" -> refused true -> refused
# Matters:  a gateway that checks arguments against the published schema refuses calls that work without it, and one
#           whose rules compare a number (amount below 1000) has to decide what it does with a string: the server
#           behind it may well take it for that number.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{"private":true,"type":"module"}' > package.json
timeout 300 npm install --no-audit --no-fund --silent \
  @modelcontextprotocol/server@2.4.0 @modelcontextprotocol/client@2.4.0 zod@4.6.7 >&2
python3 -m venv venv
timeout 300 venv/bin/pip install -q --disable-pip-version-check fastmcp==4.2.3 mcp==2.3.0 pydantic==2.14.4 >&2

cat > show.py <<'PY'
import asyncio
import json

from fastmcp import Client, FastMCP

server = FastMCP("till")


@server.tool
def pay(amount: int) -> str:
    return str(amount)


async def main() -> None:
    async with Client(server) as client:
        (tool,) = await client.list_tools()
        print("fastmcp type", tool.input_schema["properties"]["amount"]["type"])
        for amount in (500, "500", "500.0", True):
            result = await client.call_tool_mcp("pay", {"amount": amount})
            print("fastmcp", json.dumps(amount), "->", "refused" if result.is_error else result.content[0].text)


asyncio.run(main())
PY
cat > show.js <<'JS'
import { McpServer } from '@modelcontextprotocol/server';
import { Client, InMemoryTransport } from '@modelcontextprotocol/client';
import * as z from 'zod';

const server = new McpServer({ name: 'till', version: '1.0.0' });
server.registerTool('pay', { inputSchema: z.object({ amount: z.number().int() }) },
  async ({ amount }) => ({ content: [{ type: 'text', text: JSON.stringify(amount) }] }));
const [near, far] = InMemoryTransport.createLinkedPair();
const client = new Client({ name: 'caller', version: '1.0.0' });
await server.connect(far);
await client.connect(near);
console.log('typescript type', (await client.listTools()).tools[0].inputSchema.properties.amount.type);
for (const amount of [500, '500', '500.0', true]) {
  const result = await client.callTool({ name: 'pay', arguments: { amount } });
  console.log('typescript', JSON.stringify(amount), '->', result.isError ? 'refused' : result.content[0].text);
}
await client.close();
JS
FASTMCP_LOG_LEVEL=CRITICAL timeout 60 venv/bin/python show.py | tee seen
timeout 60 node show.js | tee -a seen
diff - seen <<'TEXT' || { echo "The servers do not take these arguments as described any more." >&2; exit 1; }
fastmcp type integer
fastmcp 500 -> 500
fastmcp "500" -> 500
fastmcp "500.0" -> 500
fastmcp true -> 1
typescript type integer
typescript 500 -> 500
typescript "500" -> refused
typescript "500.0" -> refused
typescript true -> refused
TEXT
