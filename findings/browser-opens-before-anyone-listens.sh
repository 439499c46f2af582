#!/usr/bin/env bash
# Expected: a client that gets the authorization code through a callback on its own machine listens there before it
#           opens the browser.
# Happens:  at its first login mcp-remote does so. When a call is answered 403 insufficient_scope later on, it opens the
#           browser for the wider scope first, waits up to half a second for the program that opens it, and begins to
#           listen after that.
# Versions: npm mcp-remote 0.15.1 (client: @modelcontextprotocol/sdk 1.32.2). Seen 2026-11-30 with Node 20.20.2; where
#           the browser program looks at the callback's port as soon as it is started:
#             first login   for notes:read              the callback is listened to
#             wider scope   for notes:read notes:write  nobody listens yet
# Matters:  an authorization server that knows the person's session and their answer redirects at once, and then the
#           browser shows a connection error. A page on which the person has to do something avoids that; so does
#           loading the address again, as this script's browser does.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
command -v npm >/dev/null || { echo "This needs Node with npm." >&2; exit 1; }
[ "$(uname)" = Linux ] || { echo "This needs Linux, where mcp-remote opens the program that BROWSER names." >&2; exit 1; }
echo '{"private":true,"type":"module"}' > package.json
timeout 300 npm install --no-audit --no-fund --silent mcp-remote@0.15.1 @modelcontextprotocol/sdk@1.32.2 >&2

# The browser: looks who listens, and leaves the rest to a second program, as a browser's starter does.
cat > browser <<BROWSER
#!/usr/bin/env bash
port=\$(grep -oE 'redirect_uri=http%3A%2F%2F[a-z0-9.]+%3A[0-9]+' <<< "\$1" | grep -oE '[0-9]+\$')
if (exec 3<> /dev/tcp/localhost/\$port) 2>/dev/null; then who="the callback is listened to"; else who="nobody listens yet"; fi
echo "\$who" >> "$dir/listening"
node "$dir/visit.js" "\$1" > /dev/null 2>&1 &
BROWSER
chmod +x browser
cat > visit.js <<'JS'
const answer = await fetch(process.argv[2], { redirect: 'manual' });
for (let attempt = 0; attempt < 60; attempt += 1) {
  if (await fetch(answer.headers.get('location')).catch(() => undefined)) break;
  await new Promise(again => setTimeout(again, 250));
}
JS
cat > show.js <<'JS'
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';

let base;
const asked = [];
const metadata = () => `resource_metadata="${base}/.well-known/oauth-protected-resource/mcp"`;
const web = createServer(async (request, response) => {
  const body = await text(request);
  const url = new URL(request.url, base);
  const reply = (status, answer, headers = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(answer && JSON.stringify(answer));
  };
  if (url.pathname.includes('oauth-protected-resource')) {
    reply(200, { resource: `${base}/mcp`, authorization_servers: [base], scopes_supported: ['notes:read'] });
  } else if (url.pathname === '/.well-known/oauth-authorization-server') {
    reply(200, {
      issuer: base,
      authorization_endpoint: `${base}/authorize`,
      token_endpoint: `${base}/token`,
      registration_endpoint: `${base}/register`,
      response_types_supported: ['code'],
      grant_types_supported: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_methods_supported: ['none'],
      code_challenge_methods_supported: ['S256'],
    });
  } else if (url.pathname === '/register') {
    reply(201, { ...JSON.parse(body), client_id: 'notes' });
  } else if (url.pathname === '/authorize') {
    const scope = url.searchParams.get('scope');
    // The client looks at the page itself before it opens the browser: the same scope again is the same login.
    if (asked.at(-1) !== scope) asked.push(scope);
    const back = new URL(url.searchParams.get('redirect_uri'));
    back.searchParams.set('code', 'code');
    back.searchParams.set('state', url.searchParams.get('state'));
    reply(302, undefined, { location: back.href });
  } else if (url.pathname === '/token') {
    const scope = asked.at(-1);
    reply(200, { access_token: scope.replace(' ', '+'), token_type: 'Bearer', expires_in: 3600, refresh_token: 'refresh', scope });
  } else if (url.pathname !== '/mcp') {
    reply(404);
  } else if (!request.headers.authorization) {
    reply(401, undefined, { 'www-authenticate': `Bearer scope="notes:read", ${metadata()}` });
  } else if (request.method !== 'POST') {
    reply(405);
  } else {
    const { id, method } = JSON.parse(body);
    const results = {
      initialize: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'notes', version: '1' } },
      'tools/call': { content: [{ type: 'text', text: 'written' }] },
    };
    if (id === undefined) {
      reply(202);
    } else if (method === 'tools/call' && !request.headers.authorization.includes('notes:write')) {
      reply(403, undefined, { 'www-authenticate': `Bearer error="insufficient_scope", scope="notes:write", ${metadata()}` });
    } else if (method in results) {
      reply(200, { jsonrpc: '2.0', id, result: results[method] });
    } else {
      reply(200, { jsonrpc: '2.0', id, error: { code: -32601, message: 'Method not found' } });
    }
  }
});
await new Promise(ready => web.listen(0, '127.0.0.1', ready));
base = `http://127.0.0.1:${web.address().port}`;

const here = process.cwd();
const client = new Client({ name: 'notes', version: '1' });
await client.connect(new StdioClientTransport({
  command: process.execPath,
  args: [`${here}/node_modules/mcp-remote/dist/proxy.js`, `${base}/mcp`],
  env: { PATH: process.env.PATH, HOME: here, MCP_REMOTE_CONFIG_DIR: `${here}/kept`, BROWSER: `${here}/browser` },
  stderr: 'ignore',
}));
const result = await client.callTool({ name: 'write', arguments: {} });
const listening = readFileSync('listening', 'utf8').trim().split('\n');
console.log(`first login: for ${asked[0]}, ${listening[0]}`);
console.log(`wider scope: for ${asked[1]}, ${listening[1]}`);
console.log(`the call: ${result.content[0].text}`);
await client.close();
web.close();
web.closeAllConnections();
JS
timeout 90 node show.js | tee seen
diff - seen <<'TEXT' || { echo "The browser and the callback do not come in this order any more." >&2; exit 1; }
first login: for notes:read, the callback is listened to
wider scope: for notes:read notes:write, nobody listens yet
the call: written
TEXT
