"""FastMCP with its own OAuth provider, on a free loopback port.

Prints {"ok": true, "url": ...} when it answers, then stays until its standard input ends.
"""

import json
import socket
import sys
import threading

import uvicorn
from fastmcp import FastMCP
from fastmcp.server.auth.providers.in_memory import InMemoryOAuthProvider
from mcp.server.auth.settings import ClientRegistrationOptions, RevocationOptions


def main() -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    auth = InMemoryOAuthProvider(
        base_url=base,
        client_registration_options=ClientRegistrationOptions(
            enabled=True, valid_scopes=["mcp"], default_scopes=["mcp"]
        ),
        revocation_options=RevocationOptions(enabled=True),
        required_scopes=["mcp"],
    )
    server = FastMCP("fastmcp", auth=auth)

    @server.tool
    def echo(message: str) -> str:
        return f"Echo: {message}"

    config = uvicorn.Config(server.http_app(), log_level="warning", lifespan="on")
    running = uvicorn.Server(config)

    def watch() -> None:
        # The parent's pipe closes even when the parent is killed, so nothing outlives a test.
        sys.stdin.read()
        running.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    # It listens from here on; what comes before the server is ready waits in the queue.
    listener.listen()
    print(json.dumps({"ok": True, "url": f"{base}/mcp"}), flush=True)
    running.run(sockets=[listener])


if __name__ == "__main__":
    main()
