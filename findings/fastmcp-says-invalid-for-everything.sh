#!/usr/bin/env bash
# Expected: a server that asks the authorization server about tokens (RFC 7662) answers a valid token that lacks a scope
#           with 403 insufficient_scope (RFC 6750 §3.1), so that the client can ask the person for more, and answers
#           with a 5xx while the authorization server is away, so that the client tries again.
# Happens:  FastMCP's IntrospectionTokenVerifier with required_scopes answers all of it alike, 401 invalid_token: a token
#           that lacks the scope, an introspection endpoint that answers 500, and one that cannot be reached. For a
#           client 401 invalid_token means that its token is over.
# Versions: PyPI fastmcp 4.2.3 with mcp 2.3.0. Seen 2026-12-01 with Python 3.11.7:
#             active, with the scope     200
#             active, lacks the scope    401 invalid_token
#             endpoint answers 500       401 invalid_token
#             endpoint cannot be reached 401 invalid_token
# Matters:  a short outage of the authorization server makes clients throw working tokens away and sends people to the
#           login page that is away as well; and nobody is ever asked for a wider scope. What stands in front of such a
#           server has to check scopes itself, and cannot read from a 401 that a token is bad.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
timeout 300 venv/bin/pip install -q --disable-pip-version-check fastmcp==4.2.3 mcp==2.3.0 >&2

cat > show.py <<'PY'
import asyncio
import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
from fastmcp import FastMCP
from fastmcp.server.auth.providers.introspection import IntrospectionTokenVerifier

logging.disable(logging.CRITICAL)


class Introspection(BaseHTTPRequestHandler):
    """Knows the token `wide`, the token `narrow`, and fails for the token `trouble`."""

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["content-length"])).decode()
        scope = "notes" if "token=wide" in form else "profile"
        body = json.dumps({"active": True, "client_id": "agent", "scope": scope}).encode()
        self.send_response(500 if "token=trouble" in form else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "agent", "version": "1"}},
}


async def answer(port: int, token: str) -> str:
    verifier = IntrospectionTokenVerifier(
        introspection_url=f"http://127.0.0.1:{port}/introspect",
        client_id="notes",
        client_secret="secret",
        required_scopes=["notes"],
    )
    app = FastMCP("notes", auth=verifier).http_app(path="/mcp")
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            headers = {"authorization": f"Bearer {token}", "accept": "application/json, text/event-stream"}
            reply = await client.post("/mcp", json=HELLO, headers=headers)
            challenge = reply.headers.get("www-authenticate", "")
            error = challenge.split('error="')[1].split('"')[0] if 'error="' in challenge else ""
            return f"{reply.status_code} {error}".strip()


async def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Introspection)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    print("active, with the scope    ", await answer(port, "wide"))
    print("active, lacks the scope   ", await answer(port, "narrow"))
    print("endpoint answers 500      ", await answer(port, "trouble"))
    print("endpoint cannot be reached", await answer(free_port(), "wide"))


asyncio.run(main())
PY
timeout 60 venv/bin/python show.py | tee seen
cat > expected <<'TXT'
active, with the scope     200
active, lacks the scope    401 invalid_token
endpoint answers 500       401 invalid_token
endpoint cannot be reached 401 invalid_token
TXT
if ! diff seen expected >/dev/null; then
  echo "FastMCP does not answer like that any more: read the note again." >&2
  exit 1
fi
