#!/usr/bin/env bash
# Expected: the scope a client takes from a WWW-Authenticate challenge is the value of the parameter `scope`.
# Happens:  the MCP clients look for the text `scope=` anywhere in the header. A sentence for people in
#           error_description that says "scope=files:write" before the real parameter wins, and its closing
#           quotation mark comes with it: the client would ask for files:write", which no server knows. A parameter
#           whose name merely ends in "scope" wins in the same way, while `Scope=`, which is the same parameter
#           since names are not case-sensitive, is not seen.
# Versions: npm @modelcontextprotocol/client 2.4.0 and sdk 1.32.2, PyPI mcp 2.3.0. Seen 2026-11-30 with Node 20.20.2
#           and Python 3.11.7, the same for all three:
#             in prose      files:write"      (the parameter says: files:read files:write)
#             longer name   team              (the parameter says: files:read)
#             capital       (none)            (the parameter says: files:read)
# Matters:  a gateway that writes such challenges should put scope first, in small letters, and keep "scope=" out of
#           its descriptions and parameter names; RFC 6750 and RFC 9110 allow all three headers below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{"private":true,"type":"module"}' > package.json
timeout 300 npm install --no-audit --no-fund --silent \
  @modelcontextprotocol/client@2.4.0 @modelcontextprotocol/sdk@1.32.2 >&2
python3 -m venv venv
timeout 300 venv/bin/pip install -q --disable-pip-version-check mcp==2.3.0 >&2

cat > headers.json <<'JSON'
{
  "in prose": "Bearer error=\"insufficient_scope\", error_description=\"Ask again with scope=files:write\", scope=\"files:read files:write\"",
  "longer name": "Bearer user_scope=\"team\", scope=\"files:read\"",
  "capital": "Bearer realm=\"files\", Scope=\"files:read\""
}
JSON
cat > show.js <<'JS'
import { readFileSync } from 'node:fs';
import * as two from '@modelcontextprotocol/client';
import * as one from '@modelcontextprotocol/sdk/client/auth.js';

for (const [who, sdk] of [['client 2.4.0', two], ['sdk 1.32.2', one]]) {
  for (const [name, header] of Object.entries(JSON.parse(readFileSync('headers.json', 'utf8')))) {
    const response = new Response('', { status: 403, headers: { 'www-authenticate': header } });
    console.log(`${who} / ${name}: ${sdk.extractWWWAuthenticateParams(response).scope ?? '(none)'}`);
  }
}
JS
cat > show.py <<'PY'
import json

import httpx2
from mcp.client.auth.utils import extract_scope_from_www_auth

for name, header in json.load(open("headers.json")).items():
    response = httpx2.Response(403, headers={"www-authenticate": header})
    print(f"mcp 2.3.0 / {name}: {extract_scope_from_www_auth(response) or '(none)'}")
PY
{ timeout 60 node show.js; timeout 60 venv/bin/python show.py; } | tee seen
diff - seen <<'TEXT' || { echo "The clients do not read these challenges as described any more." >&2; exit 1; }
client 2.4.0 / in prose: files:write"
client 2.4.0 / longer name: team
client 2.4.0 / capital: (none)
sdk 1.32.2 / in prose: files:write"
sdk 1.32.2 / longer name: team
sdk 1.32.2 / capital: (none)
mcp 2.3.0 / in prose: files:write"
mcp 2.3.0 / longer name: team
mcp 2.3.0 / capital: (none)
TEXT
