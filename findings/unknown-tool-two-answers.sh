#!/usr/bin/env bash
# Expected: a call of a tool that does not exist is answered with the protocol error -32602, as the MCP specification
#           has it in its example ("Unknown tool").
# Happens:  the TypeScript server does so. FastMCP answers with success on the protocol's side: a result whose
#           isError is true and whose text says "Unknown tool", the form in which a tool reports its own failure.
# Versions: npm @modelcontextprotocol/server 2.4.0; PyPI fastmcp 4.2.3 with mcp 2.3.0. Seen 2026-11-30 with
#           Node 20.20.2 and Python 3.11.7:
#             typescript  error -32602: Tool weather not found
#             fastmcp     result, isError true: Unknown tool: 'weather'
# Matters:  a gateway that hides a tool from some callers has to answer as the server would for a tool it does not
#           have, else the difference shows; and there is no one answer that fits both servers. Counting
#           protocol errors does not count wrong names either.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{"private":true,"type":"module"}' > package.json
timeout 300 npm install --no-audit --no-fund --silent \
  @modelcontextprotocol/server@2.4.0 @modelcontextprotocol/client@2.4.0 >&2
python3 -m venv venv
timeout 300 venv/bin/pip install -q --disable-pip-version-check fastmcp==4.2.3 mcp==2.3.0 >&2

cat > show.js <<'JS'
import { McpServer } from '@modelcontextprotocol/server';
import { Client, InMemoryTransport } from '@modelcontextprotocol/client';

const server = new McpServer({ name: 'clock', version: '1.0.0' });
server.registerTool('now', {}, async () => ({ content: [{ type: 'text', text: 'noon' }] }));
const [near, far] = InMemoryTransport.createLinkedPair();
const client = new Client({ name: 'caller', version: '1.0.0' });
await server.connect(far);
await client.connect(near);
console.log('typescript', await client.callTool({ name: 'weather', arguments: {} }).then(
  result => `result, isError ${result.isError}: ${result.content[0].text}`,
  error => `error ${error.code}: ${error.message}`));
await client.close();
JS
cat > show.py <<'PY'
import asyncio

from fastmcp import Client, FastMCP

server = FastMCP("clock")


@server.tool
def now() -> str:
    return "noon"


async def main() -> None:
    async with Client(server) as client:
        try:
            result = await client.call_tool_mcp("weather", {})
            print(f"fastmcp result, isError {str(result.is_error).lower()}: {result.content[0].text}")
        except Exception as error:
            print(f"fastmcp error: {error}")


asyncio.run(main())
PY
timeout 60 node show.js | tee seen
FASTMCP_LOG_LEVEL=CRITICAL timeout 60 venv/bin/python show.py | tee -a seen
diff - seen <<'TEXT' || { echo "The servers do not answer an unknown tool as described any more." >&2; exit 1; }
typescript error -32602: Tool weather not found
fastmcp result, isError true: Unknown tool: 'weather'
TEXT
