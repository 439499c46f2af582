#!/usr/bin/env bash
# Expected: two stdio servers that speak both the protocol with the initialize handshake (2025-11-25) and the one
#           without it (2026-07-28) treat the same client alike. A client that asked with server/discover can still
#           begin with initialize.
# Happens:  the TypeScript server allows that. FastMCP keeps to the protocol of the first request that its process
#           gets: after server/discover it refuses initialize, and after initialize it refuses a request of 2026-07-28,
#           which the TypeScript server answers.
# Versions: PyPI fastmcp 4.2.3 with mcp 2.3.0; npm @modelcontextprotocol/server 2.4.0 with serveStdio. Seen 2026-11-30
#           with Python 3.11.7 and Node 20.20.2:
#             fastmcp     server/discover answered   then initialize      error -32022
#             fastmcp     initialize answered        then new tools/list  error -32600
#             typescript  server/discover answered   then initialize      answered
#             typescript  initialize answered        then new tools/list  answered
# Matters:  whoever finds out by server/discover what a server speaks, and then wants the handshake, has to start the
#           FastMCP process again. One process cannot serve callers of both protocols either, as a gateway in front
#           of it might try; and a trial with the TypeScript server shows nothing of this.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
for tool in npm python3; do command -v "$tool" >/dev/null || { echo "This needs $tool." >&2; exit 1; }; done
echo '{"private":true,"type":"module"}' > package.json
timeout 300 npm install --no-audit --no-fund --silent @modelcontextprotocol/server@2.4.0 >&2
python3 -m venv venv
timeout 300 venv/bin/pip install -q --disable-pip-version-check fastmcp==4.2.3 mcp==2.3.0 >&2

cat > server.py <<'PY'
from fastmcp import FastMCP

server = FastMCP("notes")


@server.tool
def read() -> str:
    return "text"


server.run(transport="stdio", show_banner=False)
PY
cat > server.js <<'JS'
import { McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';

serveStdio(() => {
  const server = new McpServer({ name: 'notes', version: '1.0.0' });
  server.registerTool('read', {}, async () => ({ content: [{ type: 'text', text: 'text' }] }));
  return server;
});
JS
cat > show.py <<'PY'
import json
import subprocess

me = {"name": "caller", "version": "1"}
new = {"_meta": {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": me,
    "io.modelcontextprotocol/clientCapabilities": {},
}}
handshake = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": me}
stories = [
    [("server/discover", "server/discover", new), ("initialize", "initialize", handshake)],
    [("initialize", "initialize", handshake), ("new tools/list", "tools/list", new)],
]

for name, command in [("fastmcp", ["venv/bin/python", "server.py"]), ("typescript", ["node", "server.js"])]:
    for story in stories:
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            seen = []
            for number, (label, method, params) in enumerate(story):
                request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                server.stdin.write(json.dumps(request) + "\n")
                server.stdin.flush()
                answer = {}
                while answer.get("id") != number:
                    answer = json.loads(server.stdout.readline())
                if method == "initialize" and "result" in answer:
                    server.stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
                seen.append(f"{label} {'error ' + str(answer['error']['code']) if 'error' in answer else 'answered'}")
            print(f"{name}: {', then '.join(seen)}")
            server.stdin.close()
            server.wait(10)
        finally:
            server.kill()
PY
FASTMCP_LOG_LEVEL=CRITICAL timeout 90 venv/bin/python show.py | tee seen
diff - seen <<'TEXT' || { echo "The servers do not hold clients to their first request as described any more." >&2; exit 1; }
fastmcp: server/discover answered, then initialize error -32022
fastmcp: initialize answered, then new tools/list error -32600
typescript: server/discover answered, then initialize answered
typescript: initialize answered, then new tools/list answered
TEXT
