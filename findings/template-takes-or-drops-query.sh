#!/usr/bin/env bash
# Expected: two servers that offer the resource template memo://{name} read the same name out of the same URI.
# Happens:  for memo://hello?v=2 the TypeScript server hands its function the name "hello?v=2"; FastMCP matches
#           without query and fragment and hands over "hello". And FastMCP does so for templates only: the same
#           query after the URI of a fixed resource makes it "not found".
# Versions: npm @modelcontextprotocol/server 2.4.0; PyPI fastmcp 4.2.3 with mcp 2.3.0. Seen 2026-11-30 with
#           Node 20.20.2 and Python 3.11.7:
#             typescript  memo://hello -> hello   memo://hello?v=2 -> hello?v=2   memo://hello#top -> hello#top
#             fastmcp     memo://hello -> hello   memo://hello?v=2 -> hello       memo://hello#top -> hello
#             fastmcp     note://fixed -> read    note://fixed?v=2 -> not found
# Matters:  a gateway that names resources in its rules, caches or logs cannot tell from a template which URIs mean
#           the same thing to the server behind it. It has to take the URI as it was asked for, whole.
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
import { McpServer, ResourceTemplate } from '@modelcontextprotocol/server';
import { Client, InMemoryTransport } from '@modelcontextprotocol/client';

const server = new McpServer({ name: 'memos', version: '1.0.0' });
server.registerResource('memo', new ResourceTemplate('memo://{name}', { list: undefined }), {},
  async (uri, { name }) => ({ contents: [{ uri: uri.href, text: name }] }));
const [near, far] = InMemoryTransport.createLinkedPair();
const client = new Client({ name: 'reader', version: '1.0.0' });
await server.connect(far);
await client.connect(near);
for (const uri of ['memo://hello', 'memo://hello?v=2', 'memo://hello#top']) {
  console.log(`typescript ${uri} -> ${(await client.readResource({ uri })).contents[0].text}`);
}
await client.close();
JS
cat > show.py <<'PY'
import asyncio

from fastmcp import Client, FastMCP

server = FastMCP("memos")


@server.resource("memo://{name}")
def memo(name: str) -> str:
    return name


@server.resource("note://fixed")
def note() -> str:
    return "read"


async def main() -> None:
    async with Client(server) as client:
        for uri in ("memo://hello", "memo://hello?v=2", "memo://hello#top", "note://fixed", "note://fixed?v=2"):
            try:
                text = (await client.read_resource(uri))[0].text
            except Exception as error:
                text = "not found" if "not found" in str(error) else f"error: {error}"
            print(f"fastmcp {uri} -> {text}")


asyncio.run(main())
PY
timeout 60 node show.js | tee seen
FASTMCP_LOG_LEVEL=CRITICAL timeout 60 venv/bin/python show.py | tee -a seen
diff - seen <<'TEXT' || { echo "The two servers do not read these URIs as described any more." >&2; exit 1; }
typescript memo://hello -> hello
typescript memo://hello?v=2 -> hello?v=2
typescript memo://hello#top -> hello#top
fastmcp memo://hello -> hello
fastmcp memo://hello?v=2 -> hello
fastmcp memo://hello#top -> hello
fastmcp note://fixed -> read
fastmcp note://fixed?v=2 -> not found
TEXT
