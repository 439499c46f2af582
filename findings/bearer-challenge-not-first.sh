#!/usr/bin/env bash
# Expected: an answer may carry several challenges, in any order, and a client takes the one it understands.
# Happens:  the TypeScript clients look at the first word of WWW-Authenticate only. If that is a scheme like Basic,
#           they take nothing from the Bearer challenge behind it, neither scope nor resource_metadata; with the two
#           exchanged they take both. The Python client finds them in either order.
# Versions: npm @modelcontextprotocol/client 2.4.0 and sdk 1.32.2, PyPI mcp 2.3.0. Seen 2026-11-30 with Node 20.20.2
#           and Python 3.11.7:
#             Bearer first: all three    scope files:read, metadata found
#             Bearer second: TypeScript  scope (none), metadata (none)
#             Bearer second: Python      scope files:read, metadata found
# Matters:  where a proxy in front of a server adds a challenge of its own, or a server offers two schemes, the
#           order decides whether TypeScript clients learn the scope and the place of the metadata, or go and
#           guess the well-known address. A gateway has to send Bearer first.
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
  "Bearer first": "Bearer resource_metadata=\"http://127.0.0.1/meta\", scope=\"files:read\", Basic realm=\"files\"",
  "Bearer second": "Basic realm=\"files\", Bearer resource_metadata=\"http://127.0.0.1/meta\", scope=\"files:read\""
}
JSON
cat > show.js <<'JS'
import { readFileSync } from 'node:fs';
import * as two from '@modelcontextprotocol/client';
import * as one from '@modelcontextprotocol/sdk/client/auth.js';

for (const [who, sdk] of [['client 2.4.0', two], ['sdk 1.32.2', one]]) {
  for (const [name, header] of Object.entries(JSON.parse(readFileSync('headers.json', 'utf8')))) {
    const response = new Response('', { status: 401, headers: { 'www-authenticate': header } });
    const { scope, resourceMetadataUrl } = sdk.extractWWWAuthenticateParams(response);
    console.log(`${who} / ${name}: scope ${scope ?? '(none)'}, metadata ${resourceMetadataUrl ? 'found' : '(none)'}`);
  }
}
JS
cat > show.py <<'PY'
import json

import httpx2
from mcp.client.auth.utils import extract_resource_metadata_from_www_auth, extract_scope_from_www_auth

for name, header in json.load(open("headers.json")).items():
    response = httpx2.Response(401, headers={"www-authenticate": header})
    scope = extract_scope_from_www_auth(response) or "(none)"
    metadata = "found" if extract_resource_metadata_from_www_auth(response) else "(none)"
    print(f"mcp 2.3.0 / {name}: scope {scope}, metadata {metadata}")
PY
{ timeout 60 node show.js; timeout 60 venv/bin/python show.py; } | tee seen
diff - seen <<'TEXT' || { echo "The clients do not treat the order of challenges as described any more." >&2; exit 1; }
client 2.4.0 / Bearer first: scope files:read, metadata found
client 2.4.0 / Bearer second: scope (none), metadata (none)
sdk 1.32.2 / Bearer first: scope files:read, metadata found
sdk 1.32.2 / Bearer second: scope (none), metadata (none)
mcp 2.3.0 / Bearer first: scope files:read, metadata found
mcp 2.3.0 / Bearer second: scope files:read, metadata found
TEXT
