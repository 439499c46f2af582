// A protected MCP server with its authorization server, on one loopback port, that plays one behaviour for each tool and
// writes down what a client does. Everybody is let in at once: GET of the authorization URL is the person's yes.
//
// The refusals are not invented here: `refusals` are answers of a real `sekisho` (see refusals.mjs), and only their
// addresses are changed.
import { createHash, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

/** The tools, each a behaviour. */
export const TOOLS = ['plain', 'scoped', 'gone', 'busy', 'broken', 'odd', 'refused', 'expire', 'changing'];
const REVISION = '2025-11-25';
const WELL = '/.well-known';

const text = (words, more = {}) => ({ content: [{ type: 'text', text: words }], ...more });

/**
 * `settings`: {challengeScope, resourceScopes, issuerScopes, life: seconds that a token is said to last,
 * issuerSlash: 'resource' | 'metadata'}.
 * Gives {url, log, state, close}.
 */
export async function observe(refusals, settings = {}) {
  const state = { codes: new Map(), access: new Map(), refresh: new Map(), sessions: new Set(), streams: new Set(), lose: 0, stepUp: false, n: 0, changed: false };
  const log = [];
  const note = (what, more = {}) => log.push({ at: Date.now(), what, ...more });
  let base;

  const send = (response, status, body, headers = {}) => {
    const bytes = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
    response.writeHead(status, { ...(typeof body === 'object' ? { 'content-type': 'application/json' } : {}), ...headers });
    response.end(bytes);
  };

  /** The answer of the real gateway, with our addresses in place of its own. */
  const asRecorded = (response, name, id) => {
    const { status, challenge, body, server, origin } = refusals[name];
    const here = (words) => words.replaceAll(server, `${base}/mcp`).replaceAll(origin, base);
    const headers = challenge ? { 'www-authenticate': here(challenge) } : {};
    send(response, status, { ...JSON.parse(here(JSON.stringify(body))), id }, headers);
  };

  const metadata = () => ({
    issuer: settings.issuerSlash === 'metadata' ? `${base}/` : base,
    authorization_endpoint: `${base}/oauth/authorize`,
    token_endpoint: `${base}/oauth/token`,
    registration_endpoint: `${base}/oauth/register`,
    response_types_supported: ['code'],
    grant_types_supported: ['authorization_code', 'refresh_token'],
    code_challenge_methods_supported: ['S256'],
    token_endpoint_auth_methods_supported: ['none', 'client_secret_basic', 'client_secret_post'],
    authorization_response_iss_parameter_supported: true,
    ...(settings.issuerScopes ? { scopes_supported: settings.issuerScopes } : {}),
  });

  const issue = (scope, refreshable = true) => {
    state.n += 1;
    const tokens = { access_token: `at-${state.n}`, token_type: 'Bearer', expires_in: settings.life ?? 3600, scope };
    state.access.set(tokens.access_token, scope);
    if (refreshable) {
      tokens.refresh_token = `rt-${state.n}`;
      state.refresh.set(tokens.refresh_token, scope);
    }
    return tokens;
  };

  const token = (request, response, form, path) => {
    const grant = form.get('grant_type');
    if (grant === 'authorization_code') {
      const known = state.codes.get(form.get('code'));
      state.codes.delete(form.get('code'));
      const proven = known && createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url') === known.challenge;
      note('token', { grant, path, ok: Boolean(proven) });
      return proven ? send(response, 200, issue(known.scope)) : send(response, 400, { error: 'invalid_grant' });
    }
    const scope = state.refresh.get(form.get('refresh_token'));
    if (grant !== 'refresh_token' || scope === undefined) {
      note('token', { grant, path, ok: false });
      return send(response, 400, { error: 'invalid_grant' });
    }
    if (state.stepUp) {
      // As the real issuer does once after a refusal for want of scope (decision 0070).
      state.stepUp = false;
      note('token', { grant, path, ok: false, why: 'step-up' });
      return send(response, 400, { error: 'server_error', error_description: 'send the user to the authorization endpoint' });
    }
    state.refresh.delete(form.get('refresh_token'));
    const tokens = issue(scope);
    if (state.lose > 0) {
      state.lose -= 1;
      note('token', { grant, path, ok: true, lost: true });
      // Rotated, and the connection ends before the answer. A client that asks again with the old token gets the same successor.
      state.refresh.set(form.get('refresh_token'), scope);
      return request.socket.destroy();
    }
    note('token', { grant, path, ok: true });
    return send(response, 200, tokens);
  };

  const challenge = () => {
    const scope = settings.challengeScope ? `scope="${settings.challengeScope}", ` : '';
    return { 'www-authenticate': `Bearer ${scope}resource_metadata="${base}${WELL}/oauth-protected-resource/mcp"` };
  };

  const call = (request, response, message, scope) => {
    const { name } = message.params;
    const answer = (result) => send(response, 200, { jsonrpc: '2.0', id: message.id, result });
    switch (name) {
      case 'scoped':
        if (scope.split(' ').includes('mcp:write')) return answer(text('scoped done'));
        state.stepUp = true;
        return asRecorded(response, 'stepUp', message.id);
      case 'gone':
        if (state.forgot) return answer(text('gone done'));
        state.forgot = true;
        state.sessions.clear();
        return send(response, 404, { jsonrpc: '2.0', id: message.id, error: { code: -32001, message: 'Session not found' } });
      case 'busy':
        if (state.busy) return answer(text('busy done'));
        state.busy = true;
        return send(response, 429, { jsonrpc: '2.0', id: message.id, error: { code: -32603, message: 'too many calls' } }, { 'retry-after': '1' });
      case 'broken':
        return answer(text('the words of a tool error', { isError: true }));
      case 'odd':
        return send(response, 200, { jsonrpc: '2.0', id: message.id, error: { code: 1403, message: 'the words of an odd error', data: { remedy: 'the words of its data' } } });
      case 'refused':
        return asRecorded(response, 'denied', message.id);
      case 'expire':
        answer(text('expire done'));
        return state.access.clear();
      case 'changing':
        state.changed = true;
        for (const stream of state.streams) stream.write(`event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/tools/list_changed' })}\n\n`);
        note('told', { streams: state.streams.size });
        return answer(text('changing done'));
      default:
        return answer(text(`${name} done`));
    }
  };

  const mcp = (request, response, body) => {
    const scope = state.access.get((request.headers.authorization ?? '').replace(/^Bearer /i, ''));
    let message = {};
    try {
      message = body ? JSON.parse(body) : {};
    } catch {
      // An unreadable body is answered like an unknown method.
    }
    const session = request.headers['mcp-session-id'];
    const told = { method: request.method, rpc: message.method, tool: message.params?.name, session };
    if (scope === undefined) {
      note('mcp', { ...told, status: 401 });
      return send(response, 401, { error: 'invalid_token' }, challenge());
    }
    if (request.method === 'DELETE') {
      note('mcp', told);
      state.sessions.delete(session);
      return send(response, 200);
    }
    const begins = message.method === 'initialize';
    if (!begins && message.method !== 'server/discover' && !state.sessions.has(session)) {
      note('mcp', { ...told, status: 404 });
      return send(response, session ? 404 : 400, { jsonrpc: '2.0', id: message.id ?? null, error: { code: -32001, message: 'Session not found' } });
    }
    note('mcp', told);
    if (request.method === 'GET') {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
      response.write(': open\n\n');
      state.streams.add(response);
      return response.once('close', () => state.streams.delete(response));
    }
    if (begins) {
      const id = randomUUID();
      state.sessions.add(id);
      const result = { protocolVersion: REVISION, capabilities: { tools: { listChanged: true } }, serverInfo: { name: 'observatory', version: '1' } };
      return send(response, 200, { jsonrpc: '2.0', id: message.id, result }, { 'mcp-session-id': id });
    }
    if (message.id === undefined) return send(response, 202);
    switch (message.method) {
      case 'ping':
        return send(response, 200, { jsonrpc: '2.0', id: message.id, result: {} });
      case 'tools/list': {
        const names = state.changed ? [...TOOLS, 'new'] : TOOLS;
        const tools = names.map((name) => ({ name, description: `does ${name}`, inputSchema: { type: 'object', properties: {} } }));
        return send(response, 200, { jsonrpc: '2.0', id: message.id, result: { tools } });
      }
      case 'tools/call':
        return call(request, response, message, scope);
      default:
        return send(response, 200, { jsonrpc: '2.0', id: message.id, error: { code: -32601, message: 'Method not found' } });
    }
  };

  const server = createServer(async (request, response) => {
    const url = new URL(request.url, base);
    let body = '';
    for await (const chunk of request) body += chunk;
    switch (url.pathname) {
      case `${WELL}/oauth-protected-resource/mcp`:
        return send(response, 200, {
          resource: `${base}/mcp`,
          authorization_servers: [settings.issuerSlash === 'resource' ? `${base}/` : base],
          ...(settings.resourceScopes ? { scopes_supported: settings.resourceScopes } : {}),
        });
      case `${WELL}/oauth-authorization-server`:
        return send(response, 200, metadata());
      case '/oauth/register': {
        const asked = JSON.parse(body);
        note('register', { scope: asked.scope });
        return send(response, 201, { ...asked, client_id: 'observed', token_endpoint_auth_method: 'none' });
      }
      case '/oauth/authorize': {
        const asked = url.searchParams;
        const code = randomUUID();
        // Who asks for nothing gets what ordinary use needs, as at the real issuer.
        const scope = asked.get('scope') || 'mcp:read';
        note(request.headers['x-observed'] ? 'page' : 'look', { scope: asked.get('scope') ?? undefined, prompt: asked.get('prompt') ?? undefined, resource: asked.get('resource') ?? undefined });
        state.codes.set(code, { challenge: asked.get('code_challenge'), scope });
        const to = new URL(asked.get('redirect_uri'));
        to.searchParams.set('code', code);
        if (asked.has('state')) to.searchParams.set('state', asked.get('state'));
        to.searchParams.set('iss', metadata().issuer);
        return send(response, 302, undefined, { location: to.href });
      }
      case '/oauth/token':
      case '/token':
        return token(request, response, new URLSearchParams(body), url.pathname);
      case '/mcp':
        return mcp(request, response, body);
      default:
        note('other', { method: request.method, path: url.pathname });
        return send(response, 404);
    }
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  base = `http://localhost:${server.address().port}`;
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url: `${base}/mcp`, log, state, close, expire: () => state.access.clear() };
}
