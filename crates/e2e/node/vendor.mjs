// Somebody else's protected server: the npm `oidc-provider` grants access, and a server of the 1.x SDK checks its
// tokens. Both are on loopback.
//
//   vendor.mjs [--ttl SECONDS] [--any-loopback-port]
//
// Prints {ok, url, issuer} when both answer. GET {url}/../stats tells what was asked of the token endpoint:
// {authorization_code: N, refresh_token: N, registrations: N}. Tools: `echo`, and `cut`, whose stream the server closes
// before the answer, so that a client has to come back for it.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { InMemoryEventStore } from '@modelcontextprotocol/sdk/examples/shared/inMemoryEventStore.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import Provider from 'oidc-provider';
import { z } from 'zod';
import { log, onExit, serve } from './outcome.mjs';

async function listen(handler) {
  const server = createServer(handler);
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  onExit(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${server.address().port}`;
}

function form(action, inside) {
  return `<!doctype html><title>vendor</title><form method="post" action="${action}">${inside}</form>`;
}

/** The pages of the provider: one form to log in, one to say yes. */
async function interact(provider, request, response) {
  const details = await provider.interactionDetails(request, response);
  const { uid, prompt, params, session } = details;
  if (request.method === 'GET') {
    const login = '<input name="username"><input name="password" type="password"><button>log in</button>';
    const consent = '<button name="decision" value="approve">yes</button><button name="decision" value="deny">no</button>';
    response.setHeader('content-type', 'text/html').end(form(`/interaction/${uid}`, prompt.name === 'login' ? login : consent));
    return;
  }
  let body = '';
  for await (const chunk of request) body += chunk;
  const said = new URLSearchParams(body);
  let result;
  if (prompt.name === 'login') {
    result = { login: { accountId: said.get('username') } };
  } else if (said.get('decision') === 'approve') {
    const grant = details.grantId
      ? await provider.Grant.find(details.grantId)
      : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
    for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
      grant.addResourceScope(resource, scopes.join(' '));
    }
    result = { consent: { grantId: await grant.save() } };
  } else {
    result = { error: 'access_denied', error_description: 'the person said no' };
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

async function start() {
  const { values } = parseArgs({ options: { ttl: { type: 'string', default: '600' }, 'any-loopback-port': { type: 'boolean' } } });
  const stats = { authorization_code: 0, refresh_token: 0, registrations: 0 };
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const key = { ...(await exportJWK(privateKey)), kid: 'k1', alg: 'ES256', use: 'sig' };
  const { d: _, ...publicKey } = key;
  let handle = (_request, response) => response.writeHead(503).end();
  const issuer = await listen((request, response) => handle(request, response));
  let resource;
  const provider = new Provider(issuer, {
    jwks: { keys: [key] },
    cookies: { keys: [randomUUID()] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    scopes: ['openid', 'offline_access', 'mcp'],
    ttl: { AccessToken: Number(values.ttl), RefreshToken: 3600, Grant: 3600, Session: 3600, Interaction: 600, IdToken: 600 },
    rotateRefreshToken: true,
    issueRefreshToken: async (_context, client) => client.grantTypeAllowed('refresh_token'),
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    findAccount: async (_context, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    features: {
      devInteractions: { enabled: false },
      registration: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: async () => true,
        getResourceServerInfo: async (_context, indicator) => ({
          scope: 'mcp', audience: indicator, accessTokenFormat: 'jwt', accessTokenTTL: Number(values.ttl), jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  provider.on('grant.success', (context) => { stats[context.oidc.params.grant_type] += 1; });
  provider.on('registration_create.success', () => { stats.registrations += 1; });
  provider.on('server_error', (_context, error) => log(error.stack));
  provider.on('grant.error', (_context, error) => log(`grant: ${error.error_description ?? error.message} ${error.error_detail ?? ''}`));
  provider.on('registration_create.error', (_context, error) => log(`registration: ${error.error_description ?? error.message}`));
  const oidc = provider.callback();
  handle = (request, response) => {
    if (!request.url.startsWith('/interaction/')) return oidc(request, response);
    return interact(provider, request, response).catch((error) => {
      log(error.stack);
      response.writeHead(500).end();
    });
  };

  const keys = createLocalJWKSet({ keys: [publicKey] });
  const sessions = new Map();
  const origin = await listen(async (request, response) => {
    const json = (status, body, headers = {}) => response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
    try {
      if (request.url === '/stats') return json(200, stats);
      if (request.url.startsWith('/.well-known/oauth-protected-resource')) {
        return json(200, { resource, authorization_servers: [issuer], scopes_supported: ['mcp'], bearer_methods_supported: ['header'] });
      }
      if (request.url !== '/mcp') return response.writeHead(404).end();
      const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
      const claims = token && (await jwtVerify(token, keys, { issuer, audience: resource, clockTolerance: 0 }).catch(() => undefined));
      if (!claims) {
        const error = token ? 'error="invalid_token", ' : '';
        return json(401, { error: 'invalid_token' }, { 'www-authenticate': `Bearer ${error}resource_metadata="${origin}/.well-known/oauth-protected-resource/mcp"` });
      }
      await speak(sessions, request, response);
    } catch (error) {
      log(error.stack);
      if (!response.headersSent) response.writeHead(500).end();
    }
  });
  resource = `${origin}/mcp`;
  return { url: resource, issuer };
}

/** One SDK server per session. */
async function speak(sessions, request, response) {
  const known = sessions.get(request.headers['mcp-session-id']);
  if (known) return known.handleRequest(request, response);
  if (request.headers['mcp-session-id']) return response.writeHead(404).end();
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: new InMemoryEventStore(),
    retryInterval: 100,
    onsessioninitialized: (id) => sessions.set(id, transport),
  });
  transport.onclose = () => sessions.delete(transport.sessionId);
  const server = new McpServer({ name: 'vendor', version: '1.0.0' });
  server.registerTool('echo', { inputSchema: { message: z.string() } }, async ({ message }) => ({ content: [{ type: 'text', text: `Echo: ${message}` }] }));
  server.registerTool('cut', { inputSchema: {} }, async (_arguments, extra) => {
    extra.closeSSEStream?.();
    // The answer is made after the client has been cut off.
    await new Promise((resolve) => setTimeout(resolve, 300));
    return { content: [{ type: 'text', text: 'after the cut' }] };
  });
  await server.connect(transport);
  return transport.handleRequest(request, response);
}

await serve(start);
