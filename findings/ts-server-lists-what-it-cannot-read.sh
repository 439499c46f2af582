#!/usr/bin/env bash
# Expected: a URI that resources/list returns can be read with resources/read, written exactly as listed.
# Happens:  the TypeScript server keeps a resource under the text it was registered with, but looks it up under
#           that text after `new URL(...)`. "https://example.org" becomes "https://example.org/" and a capital in
#           the host becomes small, so such a resource is listed and can be read under no spelling at all.
# Versions: npm @modelcontextprotocol/server 2.4.0, client 2.4.0. Seen 2026-11-30 with Node 20.20.2:
#             listed https://example.org            read as listed: -32602   read as normalised: -32602
#             listed https://Docs.example.org/guide read as listed: -32602   read as normalised: -32602
#             listed https://example.org/guide      read as listed: ok       read as normalised: ok
# Matters:  a gateway that passes lists on, or tests a server by reading what it lists, meets "not found" for a
#           resource the server has just offered. It is not the gateway that changed the URI, and sending the
#           normalised form instead does not help.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{"private":true,"type":"module"}' > package.json
timeout 300 npm install --no-audit --no-fund --silent \
  @modelcontextprotocol/server@2.4.0 @modelcontextprotocol/client@2.4.0 >&2

cat > show.js <<'JS'
import { McpServer } from '@modelcontextprotocol/server';
import { Client, InMemoryTransport } from '@modelcontextprotocol/client';

const uris = ['https://example.org', 'https://Docs.example.org/guide', 'https://example.org/guide'];
const server = new McpServer({ name: 'shelf', version: '1.0.0' });
for (const uri of uris) {
  server.registerResource(uri, uri, {}, async () => ({ contents: [{ uri, text: 'a page' }] }));
}
const [near, far] = InMemoryTransport.createLinkedPair();
const client = new Client({ name: 'reader', version: '1.0.0' });
await server.connect(far);
await client.connect(near);

const read = uri => client.readResource({ uri }).then(() => 'ok', error => String(error.code));
const seen = [];
for (const { uri } of (await client.listResources()).resources) {
  const [listed, normalised] = [await read(uri), await read(new URL(uri).href)];
  seen.push(`${listed} ${normalised}`);
  console.log(`listed ${uri.padEnd(30)} read as listed: ${listed.padEnd(8)} read as normalised: ${normalised}`);
}
await client.close();
if (seen.join(', ') !== '-32602 -32602, -32602 -32602, ok ok') {
  console.error('The server does not behave as described any more: what it lists and what it can read has changed.');
  process.exit(1);
}
JS
timeout 60 node show.js
