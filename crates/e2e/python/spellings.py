"""A server of the official Python SDK, or of FastMCP, that says on stderr what arrived, by value: `ARRIVED {kind, value}`.

    spellings.py mcp | fastmcp

Prints {"ok": true, "url": ...} when it answers, then stays until its standard input ends.
"""

import json
import socket
import sys
import threading
import urllib.parse

import uvicorn


def arrived(kind: str, value: str) -> None:
    print("ARRIVED " + json.dumps({"kind": kind, "value": value}), file=sys.stderr, flush=True)


def read(value: str) -> str:
    arrived("resource", value)
    return "read " + value


def fill(server) -> None:
    """The same resources and prompts, whatever the package."""

    def fixed(uri: str) -> None:
        @server.resource(uri, name=uri)
        def one() -> str:
            return read(uri)

    for uri in ["file:///priv/b", "file:///pub/a", "note://priv/b", "note://pub/a", "greeting://Alice", "urn:pub:a"]:
        fixed(uri)

    # As servers of files do it: whatever is still encoded is decoded.
    def templates(at: str) -> None:
        @server.resource("note://" + at + "/{name}", name="notes of " + at)
        def note(name: str) -> str:
            return read("note://" + at + "/" + urllib.parse.unquote(name))

        @server.resource("file:///" + at + "/{name}", name="files of " + at)
        def file(name: str) -> str:
            return read("file:///" + at + "/" + urllib.parse.unquote(name))

    for at in ["priv", "pub", "mine"]:
        templates(at)

    def prompt(name: str) -> None:
        @server.prompt(name=name)
        def one() -> str:
            arrived("prompt", name)
            return "got " + name

    for name in ["secret", "open"]:
        prompt(name)


def main() -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    if sys.argv[1] == "mcp":
        from mcp.server.mcpserver import MCPServer

        server = MCPServer("spellings")
        fill(server)
        app = server.streamable_http_app(json_response=True, stateless_http=True)
    else:
        from fastmcp import FastMCP

        server = FastMCP("spellings")
        fill(server)
        app = server.http_app(json_response=True, stateless_http=True)
    running = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))

    def watch() -> None:
        # The parent's pipe closes even when the parent is killed, so nothing outlives a test.
        sys.stdin.read()
        running.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    listener.listen()
    print(json.dumps({"ok": True, "url": f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"}), flush=True)
    running.run(sockets=[listener])


if __name__ == "__main__":
    main()
