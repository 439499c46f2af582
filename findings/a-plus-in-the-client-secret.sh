#!/usr/bin/env bash
# Expected: a confidential client of any SDK authenticates with client_secret_basic at any authorization server, whatever
#           characters its secret has: RFC 6749 §2.3.1 says that both halves are form-encoded before they are joined.
# Happens:  the TypeScript SDK, in both versions, and Authlib join them as they are; the Python SDK and openid-client
#           encode them. npm oidc-provider decodes as the RFC says, so it reads `+` as a space and `%` as the beginning of
#           an escape, and turns away a right secret.
# Versions: npm oidc-provider 9.13.3, @modelcontextprotocol/sdk 1.32.2, @modelcontextprotocol/client 2.4.0, openid-client
#           6.8.9; PyPI mcp 2.3.0, authlib 1.9.10 with requests 2.34.2. Seen 2026-12-01 with Node 20.20.2 and Python
#           3.11.7; the answer to each secret, by client:
#                               abc             a/b==           a+b             a%b
#             typescript sdk 1  ok              ok              invalid_client  invalid_request
#             typescript sdk 2  ok              ok              invalid_client  invalid_request
#             openid-client     ok              ok              ok              ok
#             python sdk        ok              ok              ok              ok
#             authlib           ok              ok              invalid_client  invalid_request
# Matters:  one in two secrets of 32 bytes in base64 has a `+`, so the same configuration works for one client and not
#           for the next, and the answer does not name the reason. Secrets that are handed to clients should be of
#           letters, digits, `-` and `_`.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{"private":true,"type":"module"}' > package.json
timeout 300 npm install --no-audit --no-fund --silent oidc-provider@9.13.3 openid-client@6.8.9 \
  @modelcontextprotocol/sdk@1.32.2 @modelcontextprotocol/client@2.4.0 >&2
python3 -m venv venv
timeout 300 venv/bin/pip install -q --disable-pip-version-check mcp==2.3.0 authlib==1.9.10 requests==2.34.2 >&2

cat > show.js <<'JS'
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import Provider from 'oidc-provider';
import * as openid from 'openid-client';
import { refreshAuthorization as refresh1 } from '@modelcontextprotocol/sdk/client/auth.js';
import { refreshAuthorization as refresh2 } from '@modelcontextprotocol/client';

for (const level of ['log', 'info', 'warn']) if (level !== 'log') console[level] = () => {};
const secrets = ['abc', 'a/b==', 'a+b', 'a%b'];
const clients = secrets.map((client_secret, at) => ({
  client_id: `client-${at}`,
  client_secret,
  token_endpoint_auth_method: 'client_secret_basic',
  grant_types: ['client_credentials', 'refresh_token', 'authorization_code'],
  redirect_uris: ['https://client.example/callback'],
}));
let answered;
const provider = new Provider('http://127.0.0.1', { clients, features: { clientCredentials: { enabled: true } } });
provider.use(async (ctx, next) => {
  await next();
  // What comes after the authentication of the client does not matter here.
  const error = ctx.body?.error;
  if (ctx.path === '/token') answered = ['invalid_client', 'invalid_request'].includes(error) ? error : 'ok';
});
const server = provider.listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));
const base = `http://127.0.0.1:${server.address().port}`;
const metadata = {
  issuer: base,
  authorization_endpoint: `${base}/auth`,
  token_endpoint: `${base}/token`,
  response_types_supported: ['code'],
  token_endpoint_auth_methods_supported: ['client_secret_basic'],
};
const sdk = (refresh) => (clientInformation) =>
  refresh(base, { metadata, clientInformation, refreshToken: 'unknown' });
const python = (name) => ({ client_id, client_secret }) =>
  promisify(execFile)('venv/bin/python', ['show.py', name, `${base}/token`, client_id, client_secret]);
const library = ({ client_id, client_secret }) => {
  const configuration = new openid.Configuration(metadata, client_id, {}, openid.ClientSecretBasic(client_secret));
  openid.allowInsecureRequests(configuration);
  return openid.clientCredentialsGrant(configuration);
};
const kinds = {
  'typescript sdk 1': sdk(refresh1),
  'typescript sdk 2': sdk(refresh2),
  'openid-client': library,
  'python sdk': python('sdk'),
  authlib: python('authlib'),
};
console.log(['', ...secrets].map((cell, at) => cell.padEnd(at ? 16 : 18)).join('').trimEnd());
for (const [name, ask] of Object.entries(kinds)) {
  const cells = [];
  for (const client of clients) {
    answered = 'not asked';
    await ask(client).catch(() => {});
    cells.push(answered);
  }
  console.log([name, ...cells].map((cell, at) => cell.padEnd(at ? 16 : 18)).join('').trimEnd());
}
server.close();
server.closeAllConnections();
JS
cat > show.py <<'PY'
import sys

import requests
from authlib.integrations.requests_client import OAuth2Session
from mcp.client.auth.oauth2 import OAuthContext
from mcp.shared.auth import OAuthClientInformationFull

kind, url, client_id, secret = sys.argv[1:]
if kind == "authlib":
    OAuth2Session(client_id, secret, token_endpoint_auth_method="client_secret_basic").fetch_token(
        url, grant_type="client_credentials"
    )
else:
    context = OAuthContext.__new__(OAuthContext)
    context.client_info = OAuthClientInformationFull(
        client_id=client_id,
        client_secret=secret,
        token_endpoint_auth_method="client_secret_basic",
        redirect_uris=["https://client.example/callback"],
    )
    form, headers = context.prepare_token_auth({"grant_type": "client_credentials"}, {})
    requests.post(url, data=form, headers=headers, timeout=10)
PY
timeout 120 node show.js | tee seen
diff - seen <<'TEXT' || { echo "The clients do not authenticate as described any more." >&2; exit 1; }
                  abc             a/b==           a+b             a%b
typescript sdk 1  ok              ok              invalid_client  invalid_request
typescript sdk 2  ok              ok              invalid_client  invalid_request
openid-client     ok              ok              ok              ok
python sdk        ok              ok              ok              ok
authlib           ok              ok              invalid_client  invalid_request
TEXT
