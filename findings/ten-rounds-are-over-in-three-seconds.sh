#!/usr/bin/env bash
# Expected: a server that is not ready with a call may answer input_required with nothing but a requestState (2026-07-28),
#           and the client comes back with it until the server is ready.
# Happens:  the clients come back ten times, about four times a second, and then give the call up with an error. That
#           is after less than three seconds; nothing the server sends makes the pauses longer. A server that keeps
#           each of these answers back for two seconds gets its call through with the same clients.
# Versions: npm @modelcontextprotocol/client 2.4.0, PyPI mcp 2.3.0. Seen 2026-11-30 with Node 20.20.2 and Python
#           3.11.7; the tool is ready after eight seconds:
#             answers at once       both clients: given up after 11 calls (2.6 and 2.2 seconds)
#             keeps each answer 2s  both clients: done after at most 5 calls
# Matters:  a call that waits for a person cannot wait this way: either the server keeps its answers back, or it ends
#           the call with words about what it waits for, and the user calls again.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
for tool in npm python3; do command -v "$tool" >/dev/null || { echo "This needs $tool." >&2; exit 1; }; done
echo '{"private":true,"type":"module"}' > package.json
timeout 300 npm install --no-audit --no-fund --silent @modelcontextprotocol/client@2.4.0 >&2
python3 -m venv venv
timeout 300 venv/bin/pip install -q --disable-pip-version-check mcp==2.3.0 >&2

cat > call.py <<'PY'
import asyncio
import sys

from mcp import Client
from mcp.client import InputRequiredRoundsExceededError


async def main():
    async with Client(sys.argv[1]) as client:
        try:
            print((await client.call_tool("pay", {})).content[0].text)
        except InputRequiredRoundsExceededError:
            print("given up")


asyncio.run(main())
PY
cat > call.js <<'JS'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const client = new Client({ name: 'caller', version: '1' }, { versionNegotiation: { mode: 'auto' } });
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
try {
  console.log((await client.callTool({ name: 'pay', arguments: {} })).content[0].text);
} catch (error) {
  console.log(/after 10 rounds/.test(error.message) ? 'given up' : error.message);
}
await client.close();
JS
cat > show.js <<'JS'
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';

let keep, calls, start, last;
const complete = { resultType: 'complete', ttlMs: 0, cacheScope: 'private' };
const others = {
  'server/discover': { ...complete, supportedVersions: ['2026-07-28'], capabilities: { tools: {} } },
  'tools/list': { ...complete, tools: [{ name: 'pay', inputSchema: { type: 'object' } }] },
};
const web = createServer(async (request, response) => {
  const body = await text(request);
  if (request.method !== 'POST') return response.writeHead(405).end();
  const { id, method } = JSON.parse(body);
  let result = others[method];
  if (method === 'tools/call') {
    calls += 1;
    start ??= Date.now();
    await new Promise(kept => setTimeout(kept, keep));
    last = Date.now();
    result = last - start < 8000
      ? { resultType: 'input_required', requestState: 'waiting' }
      : { ...complete, content: [{ type: 'text', text: 'done' }] };
  }
  const answer = result ? { result } : { error: { code: -32601, message: 'Method not found' } };
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id, ...answer }));
});
await new Promise(ready => web.listen(0, '127.0.0.1', ready));
const url = `http://127.0.0.1:${web.address().port}/mcp`;

for (const [who, command, script] of [['client 2.4.0', 'node', 'call.js'], ['mcp 2.3.0', 'venv/bin/python', 'call.py']]) {
  for (keep of [0, 2000]) {
    [calls, start] = [0, undefined];
    const { stdout } = await promisify(execFile)(command, [script, url], { timeout: 30_000 });
    const often = keep ? `at most 5 calls: ${calls <= 5 ? 'yes' : calls}` : `${calls} calls`;
    console.error(`(${((last - start) / 1000).toFixed(1)} seconds)`);
    console.log(`${who}, ${keep ? 'keeps each answer' : 'answers at once'}: ${stdout.trim()}, ${often}`);
  }
}
web.close();
web.closeAllConnections();
JS
timeout 120 node show.js | tee seen
diff - seen <<'TEXT' || { echo "The clients do not give such calls up as described any more." >&2; exit 1; }
client 2.4.0, answers at once: given up, 11 calls
client 2.4.0, keeps each answer: done, at most 5 calls: yes
mcp 2.3.0, answers at once: given up, 11 calls
mcp 2.3.0, keeps each answer: done, at most 5 calls: yes
TEXT
