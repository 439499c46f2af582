#!/usr/bin/env bash
# Expected: a client whose call is answered 403 insufficient_scope asks the person for the scope of the challenge. A
#           refresh gives no more than was granted, so it has no part in this.
# Happens:  version 1 of the TypeScript client refreshes first if it has a refresh token. A refresh that succeeds
#           sends the same call once more, and the client gives up at the second 403. The person is asked only if the
#           refresh fails in the right way: with server_error or a code that the client does not know. With
#           invalid_scope, the code one would choose, nobody is asked. With invalid_grant the person is asked, but the
#           tokens that worked for all other calls are thrown away first.
# Versions: npm @modelcontextprotocol/sdk 1.32.2. Seen 2026-11-30 with Node 20.20.2; what the client does at the 403,
#           by the answer to its refresh:
#             new tokens            calls again, fails: "Server returned 403 after trying upscoping"
#             invalid_scope         fails with the words of that answer
#             server_error          opens the page for notes:write
#             a code of one's own   opens the page for notes:write
#             invalid_grant         throws its tokens away, opens the page for notes:write
# Matters:  at an authorization server that answers such a refresh as usual, nobody behind these clients is ever asked
#           for more. A gateway that wants them asked has to fail the refresh, and the code decides what they lose.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
command -v npm >/dev/null || { echo "This needs Node with npm." >&2; exit 1; }
echo '{"private":true,"type":"module"}' > package.json
timeout 300 npm install --no-audit --no-fund --silent @modelcontextprotocol/sdk@1.32.2 >&2

cat > show.js <<'JS'
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const granted = { access_token: 'access', token_type: 'Bearer', refresh_token: 'refresh', scope: 'notes:read' };
let base, refreshed, log;
const results = {
  initialize: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'notes', version: '1' } },
};
const web = createServer(async (request, response) => {
  const body = await text(request);
  const reply = (status, answer, headers = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(answer && JSON.stringify(answer));
  };
  if (request.url.includes('oauth-protected-resource')) {
    reply(200, { resource: `${base}/mcp`, authorization_servers: [base] });
  } else if (request.url.startsWith('/.well-known/oauth-authorization-server')) {
    reply(200, {
      issuer: base,
      authorization_endpoint: `${base}/authorize`,
      token_endpoint: `${base}/token`,
      response_types_supported: ['code'],
      grant_types_supported: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_methods_supported: ['none'],
      code_challenge_methods_supported: ['S256'],
    });
  } else if (request.url === '/token') {
    log.push('refreshes');
    if (refreshed === 'new tokens') reply(200, granted);
    else reply(400, { error: refreshed, error_description: `this is ${refreshed}` });
  } else if (request.method !== 'POST' || request.url !== '/mcp') {
    reply(405);
  } else {
    const { id, method } = JSON.parse(body);
    if (id === undefined) {
      reply(202);
    } else if (method === 'tools/call') {
      log.push('calls');
      const metadata = `${base}/.well-known/oauth-protected-resource/mcp`;
      reply(403, undefined, {
        'www-authenticate': `Bearer error="insufficient_scope", scope="notes:write", resource_metadata="${metadata}"`,
      });
    } else {
      reply(200, { jsonrpc: '2.0', id, result: results[method] });
    }
  }
});
await new Promise(ready => web.listen(0, '127.0.0.1', ready));
base = `http://127.0.0.1:${web.address().port}`;

for (refreshed of ['new tokens', 'invalid_scope', 'server_error', 'ask_the_person', 'invalid_grant']) {
  let tokens = { ...granted, issuer: base };
  log = [];
  const authProvider = {
    redirectUrl: `${base}/callback`,
    clientMetadata: { client_name: 'notes', redirect_uris: [`${base}/callback`] },
    clientInformation: () => ({ client_id: 'notes', issuer: base }),
    saveClientInformation() {},
    tokens: () => tokens,
    saveTokens(next) { tokens = next; },
    invalidateCredentials(what) {
      log.push(`throws away ${what}`);
      tokens = undefined;
    },
    saveCodeVerifier() {},
    codeVerifier: () => 'unused',
    redirectToAuthorization(url) { log.push(`opens the page for ${url.searchParams.get('scope')}`); },
  };
  const client = new Client({ name: 'notes', version: '1' });
  await client.connect(new StreamableHTTPClientTransport(new URL(`${base}/mcp`), { authProvider }));
  const error = await client.callTool({ name: 'write', arguments: {} }).catch(error => error);
  await client.close();
  console.log(`${refreshed}: ${log.join(', ')}; ${error.message}`);
}
web.close();
web.closeAllConnections();
JS
timeout 60 node show.js | tee seen
diff - seen <<'TEXT' || { echo "The client does not ask for a wider scope as described any more." >&2; exit 1; }
new tokens: calls, refreshes, calls; Streamable HTTP error: Server returned 403 after trying upscoping
invalid_scope: calls, refreshes; this is invalid_scope
server_error: calls, refreshes, opens the page for notes:write; Unauthorized
ask_the_person: calls, refreshes, opens the page for notes:write; Unauthorized
invalid_grant: calls, refreshes, throws away tokens, opens the page for notes:write; Unauthorized
TEXT
