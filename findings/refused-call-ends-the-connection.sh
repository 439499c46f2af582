#!/usr/bin/env bash
# Expected: where a server answers one tool call with 403 and a JSON-RPC error, the caller of that call gets the error
#           with its words, and the next call goes out as if nothing had happened.
# Happens:  version 2 of the Python client does that. In version 1 the 403 ends the whole connection: a try around the
#           call does not catch it, the program falls out of the block in which it opened the connection, and what it
#           gets there is "Client error '403 Forbidden'". The words of the body are lost.
# Versions: PyPI mcp 1.30.0 and 2.3.0. Seen 2026-11-30 with Python 3.11.7; the body of the 403 says "ask an owner":
#             mcp 1.30.0  Client error '403 Forbidden', where the connection was opened   next call: never made
#             mcp 2.3.0   ask an owner, at the call                                       next call: done
# Matters:  what a server writes into a refusal with status 403 reaches nobody behind version 1, and one refused tool
#           takes all other tools of the session away. Words that have to be read there need status 200.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
command -v python3 >/dev/null || { echo "This needs python3." >&2; exit 1; }
python3 -m venv venv-1.30.0
timeout 200 venv-1.30.0/bin/pip install -q --disable-pip-version-check mcp==1.30.0 >&2
python3 -m venv venv-2.3.0
timeout 200 venv-2.3.0/bin/pip install -q --disable-pip-version-check mcp==2.3.0 >&2

cat > show.py <<'PY'
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, answer=None):
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(405)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "id" not in message:
            self.reply(202)
            return
        status, answer = 200, {}
        if message["method"] == "initialize":
            answer = {"result": {
                "protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "notes", "version": "1"},
            }}
        elif message["method"] == "tools/list":
            answer = {"result": {"tools": [{"name": "read", "inputSchema": {"type": "object"}}]}}
        elif message["params"]["name"] == "erase":
            status, answer = 403, {"error": {"code": 1403, "message": "ask an owner"}}
        else:
            answer = {"result": {"content": [{"type": "text", "text": "done"}]}}
        self.reply(status, {"jsonrpc": "2.0", "id": message["id"], **answer})


def words(error):
    """What went wrong, without the groups around it and without the address behind it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error).split(" for url")[0]


async def main(url):
    refusal, following = "no refusal", "never made"
    try:
        async with streamable_http_client(url) as streams, ClientSession(*streams[:2]) as session:
            await session.initialize()
            try:
                await asyncio.wait_for(session.call_tool("erase", {}), 10)
            except Exception as error:
                refusal = f"{words(error)}, at the call"
            following = (await asyncio.wait_for(session.call_tool("read", {}), 10)).content[0].text
    except Exception as error:
        refusal = f"{words(error)}, where the connection was opened"
    print(f"mcp {version('mcp')}: {refusal} / next call: {following}")


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
server.handle_error = lambda *_: None  # a client that drops its connections is part of what is looked at
threading.Thread(target=server.serve_forever, daemon=True).start()
asyncio.run(main(f"http://127.0.0.1:{server.server_port}/mcp"))
PY
for version in 1.30.0 2.3.0; do timeout 60 "venv-$version/bin/python" -W ignore show.py; done | tee seen
diff - seen <<'TEXT' || { echo "A refused call does not end as described any more." >&2; exit 1; }
mcp 1.30.0: Client error '403 Forbidden', where the connection was opened / next call: never made
mcp 2.3.0: ask an owner, at the call / next call: done
TEXT
