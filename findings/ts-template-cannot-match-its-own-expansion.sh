#!/usr/bin/env bash
# Expected: what a URI template expands to, the same template matches. RFC 6570 leaves out a variable that has no
#           value, so search://items{?a,b} with only `a` given is search://items?a=1.
# Happens:  UriTemplate of the TypeScript SDK expands it so, and then does not match it: match() wants every
#           variable of the {?...} to be there, in the order of the template. The server uses match(), so its
#           "optional" query parameters are all obligatory.
# Versions: npm @modelcontextprotocol/client 2.4.0 (UriTemplate), server 2.4.0. Seen 2026-11-30 with Node 20.20.2:
#             {"a":"1"}          search://items?a=1      match: no    resources/read: -32602
#             {"b":"2"}          search://items?b=2      match: no    resources/read: -32602
#             {"a":"1","b":"2"}  search://items?a=1&b=2  match: yes   resources/read: ok
#             {}                 search://items          match: no    resources/read: -32602
# Matters:  a client that fills in a template as the RFC says gets "not found" from a server of the same SDK, and a
#           gateway in between that shows templates to a person cannot know which variables may be left out.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{"private":true,"type":"module"}' > package.json
timeout 300 npm install --no-audit --no-fund --silent \
  @modelcontextprotocol/server@2.4.0 @modelcontextprotocol/client@2.4.0 >&2

cat > show.js <<'JS'
import { McpServer, ResourceTemplate } from '@modelcontextprotocol/server';
import { Client, InMemoryTransport, UriTemplate } from '@modelcontextprotocol/client';

const pattern = 'search://items{?a,b}';
const server = new McpServer({ name: 'search', version: '1.0.0' });
server.registerResource('items', new ResourceTemplate(pattern, { list: undefined }), {},
  async uri => ({ contents: [{ uri: uri.href, text: 'items' }] }));
const [near, far] = InMemoryTransport.createLinkedPair();
const client = new Client({ name: 'reader', version: '1.0.0' });
await server.connect(far);
await client.connect(near);

const template = new UriTemplate(pattern);
const seen = [];
for (const values of [{ a: '1' }, { b: '2' }, { a: '1', b: '2' }, {}]) {
  const uri = template.expand(values);
  const match = template.match(uri) ? 'yes' : 'no';
  const read = await client.readResource({ uri }).then(() => 'ok', error => String(error.code));
  seen.push(`${uri} ${match} ${read}`);
  console.log(`${JSON.stringify(values).padEnd(18)} ${uri.padEnd(23)} match: ${match.padEnd(5)} resources/read: ${read}`);
}
await client.close();
const described = ['search://items?a=1 no -32602', 'search://items?b=2 no -32602', 'search://items?a=1&b=2 yes ok',
  'search://items no -32602'];
if (seen.join() !== described.join()) {
  console.error('The template does not behave as described any more: its own expansions match differently.');
  process.exit(1);
}
JS
timeout 60 node show.js
