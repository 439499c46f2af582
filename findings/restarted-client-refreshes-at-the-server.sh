#!/usr/bin/env bash
# Expected: a client that has logged in refreshes its token at the token_endpoint that the authorization server's
#           metadata name, also after its program was started again.
# Happens:  while the FastMCP client runs, it does so. Started again with the tokens it had stored, after the access
#           token has expired, it posts the refresh token to /token at the origin of the MCP server, before it reads
#           any metadata. If nothing is there, it sends the person through the login again.
# Versions: PyPI fastmcp 4.2.3 with mcp 2.3.0. Seen 2026-11-30 with Python 3.11.7; the metadata name /oauth2/token at
#           the authorization server:
#             still running   refresh_token to /oauth2/token at the authorization server
#             started again   refresh_token to /token at the MCP server, then the metadata, then the login page
# Matters:  a refresh token does not spare these people the login when they start the program the next day, unless the
#           authorization server shares the origin of the MCP server and answers refreshes at /token as well.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
command -v python3 >/dev/null || { echo "This needs python3." >&2; exit 1; }
python3 -m venv venv
timeout 300 venv/bin/pip install -q --disable-pip-version-check fastmcp==4.2.3 mcp==2.3.0 >&2

cat > show.py <<'PY'
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from fastmcp import Client
from fastmcp.client.auth import OAuth
from key_value.aio.stores.memory import MemoryStore
from mcp.client.auth import AuthorizationCodeResult

log = []
issued = 0


class Double(BaseHTTPRequestHandler):
    """Both servers, each on its own port; `name` says which one."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, answer=None, **headers):
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if "oauth-protected-resource" in self.path:
            self.reply(200, {"resource": f"{mcp}/mcp", "authorization_servers": [issuer]})
        elif self.server.name == "authorization server" and self.path.startswith("/.well-known/"):
            log.append("the metadata")
            self.reply(200, {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/oauth2/authorize",
                "token_endpoint": f"{issuer}/oauth2/token",
                "registration_endpoint": f"{issuer}/oauth2/register",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "token_endpoint_auth_methods_supported": ["none"],
                "code_challenge_methods_supported": ["S256"],
            })
        else:
            self.reply(404)

    def do_POST(self):
        global issued
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.endswith("/register"):
            self.reply(201, {**json.loads(body), "client_id": "notes", "token_endpoint_auth_method": "none"})
        elif self.path.endswith("token"):
            grant = parse_qs(body.decode())["grant_type"][0]
            log.append(f"{grant} to {self.path} at the {self.server.name}")
            if self.server.name == "MCP server":
                self.reply(404)
                return
            issued += 1
            self.reply(200, {
                "access_token": f"access-{issued}", "token_type": "Bearer", "expires_in": 3, "refresh_token": "refresh",
            })
        elif self.path != "/mcp":
            self.reply(404)
        elif self.headers.get("authorization") != f"Bearer access-{issued}":
            self.reply(401, www_authenticate=f'Bearer resource_metadata="{mcp}/.well-known/oauth-protected-resource/mcp"')
        else:
            self.message(json.loads(body))

    def message(self, message):
        if "id" not in message:
            self.reply(202)
            return
        result = {
            "initialize": {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "serverInfo": {"name": "notes", "version": "1"},
            },
            "ping": {},
        }.get(message["method"])
        answer = {"error": {"code": -32601, "message": "Method not found"}} if result is None else {"result": result}
        self.reply(200, {"jsonrpc": "2.0", "id": message["id"], **answer})


def serve(name):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Double)
    server.name = name
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


class Login(OAuth):
    """The person says yes at once; everything else is FastMCP's own."""

    async def redirect_handler(self, authorization_url):
        log.append("the login page")
        self.state = parse_qs(urlsplit(authorization_url).query)["state"][0]

    async def callback_handler(self):
        return AuthorizationCodeResult(code="code", state=self.state)


async def main():
    store = MemoryStore()
    # The first program logs in, and goes on after its access token has expired.
    async with Client(f"{mcp}/mcp", auth=Login(token_storage=store)) as client:
        log.clear()
        await asyncio.sleep(3.5)
        await client.ping()
        print("still running:", ", then ".join(log))
    # The second one finds what the first has stored; by then that access token has expired too.
    await asyncio.sleep(3.5)
    log.clear()
    async with Client(f"{mcp}/mcp", auth=Login(token_storage=store)) as client:
        await client.ping()
    print("started again:", ", then ".join(entry for entry in log if not entry.startswith("authorization_code")))


mcp, issuer = serve("MCP server"), serve("authorization server")
asyncio.run(main())
PY
FASTMCP_LOG_LEVEL=CRITICAL timeout 60 venv/bin/python -W ignore show.py | tee seen
diff - seen <<'TEXT' || { echo "The client does not refresh as described any more: see where it posts its refresh token now." >&2; exit 1; }
still running: refresh_token to /oauth2/token at the authorization server
started again: refresh_token to /token at the MCP server, then the metadata, then the login page
TEXT
