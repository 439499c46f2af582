#!/usr/bin/env bash
# Expected: where the server's challenge names one scope and its resource metadata another, a client asks for that of
#           the challenge, as the MCP specification has it. A tool built on the SDK does what the SDK does.
# Happens:  the TypeScript client asks for the scope of the challenge. The Inspector logs in with that same client, and
#           asks for the scope of the resource metadata; the one in the challenge is not asked for.
# Versions: npm @modelcontextprotocol/inspector 2.12.0 (its command line) with @modelcontextprotocol/client 2.3.1. Seen
#           2026-11-30 with Node 22.23.3; the challenge says notes:write, the metadata say notes:read:
#             client     notes:write
#             inspector  notes:read
# Matters:  a server whose metadata list less than its challenge asks for (or more) is tried out in the Inspector with
#           other rights than its users will have. If both name the same scope, this does not show.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
for tool in node npm; do command -v "$tool" >/dev/null || { echo "This needs $tool." >&2; exit 1; }; done
node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 19) ? 0 : 1)' ||
  { echo "This needs Node 22.19 or newer; the one here is $(node --version)." >&2; exit 1; }
[ "$(uname)" = Linux ] || { echo "This needs Linux, where the Inspector opens the program that BROWSER names." >&2; exit 1; }
echo '{"private":true,"type":"module"}' > package.json
timeout 400 npm install --no-audit --no-fund --silent \
  @modelcontextprotocol/inspector@2.12.0 @modelcontextprotocol/client@2.3.1 >&2

# The browser, whose person says yes at once.
cat > browser <<BROWSER
#!/usr/bin/env bash
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
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

let base, asked;
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
      grant_types_supported: ['authorization_code'],
      token_endpoint_auth_methods_supported: ['none'],
      code_challenge_methods_supported: ['S256'],
    });
  } else if (url.pathname === '/register') {
    reply(201, { ...JSON.parse(body), client_id: 'notes' });
  } else if (url.pathname === '/authorize') {
    asked = url.searchParams.get('scope');
    const back = new URL(url.searchParams.get('redirect_uri'));
    back.searchParams.set('code', 'code');
    back.searchParams.set('state', url.searchParams.get('state'));
    reply(302, undefined, { location: back.href });
  } else if (url.pathname === '/token') {
    reply(200, { access_token: 'access', token_type: 'Bearer', expires_in: 3600, scope: asked });
  } else if (url.pathname !== '/mcp') {
    reply(404);
  } else if (!request.headers.authorization) {
    const metadata = `${base}/.well-known/oauth-protected-resource/mcp`;
    reply(401, undefined, { 'www-authenticate': `Bearer scope="notes:write", resource_metadata="${metadata}"` });
  } else if (request.method !== 'POST') {
    reply(405);
  } else {
    const { id, method } = JSON.parse(body);
    const results = {
      initialize: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'notes', version: '1' } },
      'tools/list': { tools: [{ name: 'read', inputSchema: { type: 'object' } }] },
    };
    if (id === undefined) reply(202);
    else if (method in results) reply(200, { jsonrpc: '2.0', id, result: results[method] });
    else reply(200, { jsonrpc: '2.0', id, error: { code: -32601, message: 'Method not found' } });
  }
});
await new Promise(ready => web.listen(0, '127.0.0.1', ready));
base = `http://127.0.0.1:${web.address().port}`;

// The SDK's client, up to the page.
let page;
const authProvider = {
  redirectUrl: `${base}/callback`,
  clientMetadata: { client_name: 'notes', redirect_uris: [`${base}/callback`] },
  clientInformation: () => ({ client_id: 'notes', issuer: base }),
  saveClientInformation() {},
  tokens() {},
  saveTokens() {},
  saveCodeVerifier() {},
  codeVerifier: () => 'unused',
  redirectToAuthorization(url) { page = url; },
};
const client = new Client({ name: 'notes', version: '1' });
await client.connect(new StreamableHTTPClientTransport(new URL(`${base}/mcp`), { authProvider })).catch(() => {});
await client.close();
console.log(`client: ${page.searchParams.get('scope')}`);

// The Inspector, which lists the tools after its login. What it asks is answered with yes.
const here = process.cwd();
const free = createServer();
await new Promise(ready => free.listen(0, '127.0.0.1', ready));
const { port } = free.address();
await new Promise(closed => free.close(closed));
const inspector = spawn(process.execPath, [
  `${here}/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js`,
  '--cli', '--server-url', `${base}/mcp`, '--transport', 'http', '--format', 'json', '--protocol-era', 'legacy',
  '--callback-url', `http://127.0.0.1:${port}/oauth/callback`, '--method', 'tools/list',
], {
  env: {
    PATH: process.env.PATH,
    HOME: here,
    BROWSER: `${here}/browser`,
    MCP_AUTO_OPEN_ENABLED: 'true',
    MCP_INSPECTOR_SECRET_STORE: 'file',
    MCP_STORAGE_DIR: `${here}/kept`,
  },
  stdio: ['pipe', 'pipe', 'ignore'],
  timeout: 60_000,
});
inspector.stdin.on('error', () => {});
inspector.stdin.end('y\n');
const [listed, [code]] = await Promise.all([text(inspector.stdout), once(inspector, 'close')]);
console.log(`inspector: ${asked}`);
console.log(`tools listed: ${code === 0 && listed.includes('read') ? 'yes' : `no (${code}) ${listed}`}`);
web.close();
web.closeAllConnections();
JS
timeout 90 node show.js | tee seen
diff - seen <<'TEXT' || { echo "The scopes they ask for are not as described any more." >&2; exit 1; }
client: notes:write
inspector: notes:read
tools listed: yes
TEXT
