#!/usr/bin/env bash
# Expected: a client that was told one scope (by its caller, by the server's challenge and by the resource's
#           metadata alike) asks the authorization server for that scope.
# Happens:  if the authorization server's metadata mentions offline_access and the client may use refresh tokens,
#           version 2 of the TypeScript client adds offline_access and, because of it, prompt=consent. Version 1
#           given the very same answers adds neither.
# Versions: npm @modelcontextprotocol/client 2.4.0, @modelcontextprotocol/sdk 1.32.2. Seen 2026-11-30, Node 20.20.2:
#             client 2.4.0  scope=notes:read offline_access  prompt=consent
#             sdk 1.32.2    scope=notes:read                 prompt=(none)
# Matters:  naming offline_access in scopes_supported is enough to make the people behind one generation of clients
#           see the consent page at each login, and an authorization server that holds clients to the
#           scopes they were registered with has to expect this one from clients registered without it.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{"private":true,"type":"module"}' > package.json
timeout 300 npm install --no-audit --no-fund --silent \
  @modelcontextprotocol/client@2.4.0 @modelcontextprotocol/sdk@1.32.2 >&2

cat > show.js <<'JS'
import { createServer } from 'node:http';
import { auth as auth2 } from '@modelcontextprotocol/client';
import { auth as auth1 } from '@modelcontextprotocol/sdk/client/auth.js';

let base;
const web = createServer((request, response) => {
  const answer = request.url.startsWith('/.well-known/oauth-protected-resource')
    ? { resource: `${base}/mcp`, authorization_servers: [base], scopes_supported: ['notes:read'] }
    : {
        issuer: base,
        authorization_endpoint: `${base}/authorize`,
        token_endpoint: `${base}/token`,
        response_types_supported: ['code'],
        code_challenge_methods_supported: ['S256'],
        scopes_supported: ['notes:read', 'offline_access'],
      };
  response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
});
await new Promise(ready => web.listen(0, '127.0.0.1', ready));
base = `http://127.0.0.1:${web.address().port}`;

async function asked(auth) {
  let url;
  await auth({
    redirectUrl: `${base}/callback`,
    clientMetadata: {
      client_name: 'notes',
      redirect_uris: [`${base}/callback`],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'notes:read',
    },
    clientInformation: () => ({ client_id: 'notes', issuer: base }),
    saveClientInformation() {},
    tokens() {},
    saveTokens() {},
    saveCodeVerifier() {},
    codeVerifier: () => 'unused',
    redirectToAuthorization(to) { url = to; },
  }, { serverUrl: `${base}/mcp`, scope: 'notes:read' });
  return `scope=${url.searchParams.get('scope')} prompt=${url.searchParams.get('prompt') ?? '(none)'}`;
}
const seen = { 'client 2.4.0': await asked(auth2), 'sdk 1.32.2': await asked(auth1) };
web.close();
for (const [who, what] of Object.entries(seen)) console.log(`${who}: ${what}`);
if (seen['client 2.4.0'] !== 'scope=notes:read offline_access prompt=consent' || seen['sdk 1.32.2'] !== 'scope=notes:read prompt=(none)') {
  console.error('The clients do not ask as described any more: see which of them adds offline_access now.');
  process.exit(1);
}
JS
timeout 60 node show.js
