"""A server that pays, as its language reads arguments: what arrives is written down by value, after every coercion.

    pay.py sdk FILE        the official SDK, whose models coerce ("500" is the integer 500)
    pay.py fastmcp FILE    FastMCP, the same
    pay.py folding FILE    no SDK: reads member names as Go's encoding/json does, without case, and coerces what it can;
                           its schema declares the arguments
    pay.py open FILE       the same, with a schema that declares nothing

Each line of FILE is one payment: {"amount": …, "to": …, "force": …}.
"""

import json
import sys


def note(path: str, amount, to, force) -> str:
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps({"amount": amount, "to": to, "force": force}) + "\n")
    return "paid"


def framework(kind: str, path: str) -> None:
    if kind == "sdk":
        from mcp.server import MCPServer as Server
    else:
        from fastmcp import FastMCP as Server
    server = Server("pay")

    @server.tool()
    def pay(amount: int, to: str = "bob", force: bool = False) -> str:
        """Pays."""
        return note(path, amount, to, force)

    server.run(transport="stdio")


def number(value) -> int:
    """The whole number that a value is to a lenient reader; 0 for what is none."""
    if isinstance(value, list) and len(value) == 1:
        return number(value[0])
    if isinstance(value, dict) and len(value) == 1:
        return number(next(iter(value.values())))
    try:
        return int(float(value.strip().replace("_", "")) if isinstance(value, str) else float(value or 0))
    except (OverflowError, TypeError, ValueError):
        return 0


def text(value) -> str:
    if isinstance(value, list) and len(value) == 1:
        return text(value[0])
    return "" if value is None else str(value)


def flag(value) -> bool:
    if isinstance(value, list) and len(value) == 1:
        return flag(value[0])
    return value.strip().lower() in ("true", "1", "yes", "on", "t", "y") if isinstance(value, str) else bool(value)


def folding(path: str, declares: bool) -> None:
    properties = {"amount": {"type": "integer"}, "to": {"type": "string"}, "force": {"type": "boolean"}}
    schema = {"type": "object", "properties": properties} if declares else {"type": "object"}
    revision = "2026-07-28"
    info = {"name": "pay", "version": "1"}
    for line in sys.stdin:
        message = json.loads(line)
        method, params = message.get("method"), message.get("params") or {}
        if "id" not in message:
            continue
        if method == "server/discover":
            result = {"supportedVersions": [revision], "capabilities": {"tools": {}}, "serverInfo": info}
        elif method == "tools/list":
            result = {"tools": [{"name": "pay", "description": "Pays.", "inputSchema": schema}]}
        elif method == "tools/call":
            members = {}
            for name, value in (params.get("arguments") or {}).items():
                members["".join(name.split()).casefold().replace("_", "")] = value
            said = note(path, number(members.get("amount")), text(members.get("to")), flag(members.get("force")))
            result = {"content": [{"type": "text", "text": said}]}
        else:
            answer = {"code": -32601, "message": "no such method"}
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": answer}), flush=True)
            continue
        result = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **result}
        result["_meta"] = {"io.modelcontextprotocol/serverInfo": info}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] in ("folding", "open"):
        folding(sys.argv[2], sys.argv[1] == "folding")
    else:
        framework(sys.argv[1], sys.argv[2])
