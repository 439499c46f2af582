// An identity provider that nobody here wrote: the npm `oidc-provider`, on loopback, with the clients and people of a test.
//
//   provider.mjs --world JSON [--port PORT]
//
// The world is {clients, people, resources, ttl, assertions}. `clients`: registrations as RFC 7591 has them, with `client_id` and
// `redirect_uris`. `people`: claims by the name that is typed in, such as {"ada": {"groups": ["engineers"]}}. `ttl`: how
// long tokens live, in seconds (600). `resources`: for which servers it issues access tokens (RFC 8707), by the last part of
// their URLs, each with its scopes and the form of its tokens, such as {"notes": {"scope": "read edit", "format": "opaque"}}.
// `assertions`: the people for whom a client with the grant type of token exchange gets an identity assertion (ID-JAG) for its
// ID token; the package has no such grant of its own, so it is added here.
//
// Prints {ok, url} when it answers; the URL is the issuer. It has a form to sign in, in which the name is enough, and none for
// consent. PUT {url}/admin/people/NAME with claims changes a person, DELETE removes one: their next sign-in shows it.
// PUT {url}/admin/elsewhere/ID says as which client the one that exchanges is known where assertions are used.
// POST {url}/admin/keys makes new signing keys and forgets the old ones, with all sessions.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { SignJWT, exportJWK, generateKeyPair, importJWK, jwtVerify } from 'jose';
import Provider, { errors } from 'oidc-provider';
import { log, onExit, serve } from './outcome.mjs';

async function listen(port, handler) {
  const server = createServer(handler);
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  onExit(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${server.address().port}`;
}

async function body(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text;
}

async function keys() {
  const pairs = await Promise.all(['RS256', 'ES256'].map(async (alg) => {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    return { ...(await exportJWK(privateKey)), kid: randomUUID(), alg, use: 'sig' };
  }));
  return pairs;
}

/** Whoever types a name that is known comes in, and agrees to everything. */
async function interact(provider, people, request, response) {
  const { uid, prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  let result;
  if (prompt.name === 'login') {
    const name = request.method === 'POST' ? new URLSearchParams(await body(request)).get('username') : undefined;
    if (!name || !(name in people)) {
      const page = '<input name="username" autofocus><button>sign in</button>';
      response.setHeader('content-type', 'text/html');
      response.end(`<!doctype html><title>provider</title><form method="post" action="/interaction/${uid}">${page}</form>`);
      return;
    }
    result = { login: { accountId: name } };
  } else {
    const grant = grantId
      ? await provider.Grant.find(grantId)
      : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
    if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
    for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
      grant.addResourceScope(resource, scopes.join(' '));
    }
    result = { consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

function provide(issuer, world, jwks) {
  const ttl = world.ttl ?? 600;
  const provider = new Provider(issuer, {
    jwks: { keys: jwks },
    cookies: { keys: [randomUUID()] },
    clients: world.clients.map((client) => ({ grant_types: ['authorization_code'], response_types: ['code'], ...client })),
    // The package calls no loopback address by itself, and everything in a test is on loopback.
    fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined }),
    // The claims of a scope are in the ID token as well, as companies have it.
    conformIdTokenClaims: false,
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'], groups: ['groups'] },
    scopes: ['openid', 'profile', 'email', 'groups'],
    ttl: { AccessToken: ttl, Grant: 3600, IdToken: ttl, Interaction: 600, Session: 3600 },
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    findAccount: async (_context, id) => (id in world.people
      ? { accountId: id, claims: async () => ({ ...world.people[id], sub: world.people[id].sub ?? id }) }
      : undefined),
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      introspection: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, resource) => {
          const known = world.resources?.[new URL(resource).pathname.split('/').pop()];
          if (!known) throw new errors.InvalidTarget();
          return { scope: known.scope, accessTokenFormat: known.format, accessTokenTTL: ttl, jwt: { sign: { alg: 'RS256' } } };
        },
      },
      revocation: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
  });
  for (const name of ['grant.error', 'authorization.error', 'server_error', 'backchannel.error']) {
    provider.on(name, (_context, error) => log(`${name}: ${error?.error_description ?? error?.message} ${error?.error_detail ?? ''}`));
  }
  return provider;
}

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_JAG = 'urn:ietf:params:oauth:token-type:id-jag';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';

/** Adds the exchange of an ID token for an identity assertion (draft-ietf-oauth-identity-assertion-authz-grant §4.3). */
function exchange(provider, issuer, jwks, world) {
  const parameters = ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'resource', 'scope'];
  provider.registerGrantType(EXCHANGE, async (context) => {
    const { client, params } = context.oidc;
    const refuse = (error, description) => {
      context.status = 400;
      context.body = { error, error_description: description };
    };
    if (params.requested_token_type !== ID_JAG || params.subject_token_type !== ID_TOKEN) {
      return refuse('invalid_request', 'an ID token is traded for an ID-JAG here');
    }
    const key = jwks.find((one) => one.alg === 'RS256');
    const { n, e, kty } = key;
    const own = { issuer, audience: client.clientId };
    const { payload } = await jwtVerify(params.subject_token, await importJWK({ n, e, kty }, 'RS256'), own);
    if (!world.assertions.includes(payload.sub)) return refuse('access_denied', 'not for this person');
    const claims = { client_id: world.clientElsewhere, resource: params.resource, scope: params.scope, jti: randomUUID() };
    const assertion = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'RS256', kid: key.kid, typ: 'oauth-id-jag+jwt' })
      .setIssuer(issuer).setSubject(payload.sub).setAudience(params.audience).setIssuedAt().setExpirationTime('5m')
      .sign(await importJWK(key, 'RS256'));
    context.body = { access_token: assertion, issued_token_type: ID_JAG, token_type: 'N_A', expires_in: 300 };
  }, parameters);
}

async function start() {
  const { values } = parseArgs({ options: { world: { type: 'string' }, port: { type: 'string', default: '0' } } });
  const world = { clients: [], people: {}, ...JSON.parse(values.world ?? '{}') };
  let handle = (_request, response) => response.writeHead(503).end();
  const issuer = await listen(Number(values.port), (request, response) => handle(request, response));
  const begin = async () => {
    const jwks = await keys();
    const provider = provide(issuer, world, jwks);
    if (world.assertions) exchange(provider, issuer, jwks, world);
    const oidc = provider.callback();
    handle = (request, response) => {
      if (request.url.startsWith('/admin/')) return administer(request, response);
      if (!request.url.startsWith('/interaction/')) return oidc(request, response);
      return interact(provider, world.people, request, response).catch((error) => {
        log(error.stack);
        if (!response.headersSent) response.writeHead(500).end();
      });
    };
  };
  const administer = async (request, response) => {
    try {
      const [, , noun, name] = request.url.split('/');
      if (noun === 'people' && request.method === 'PUT') world.people[name] = JSON.parse(await body(request));
      else if (noun === 'people' && request.method === 'DELETE') delete world.people[name];
      else if (noun === 'elsewhere' && request.method === 'PUT') world.clientElsewhere = decodeURIComponent(name);
      else if (noun === 'keys' && request.method === 'POST') await begin();
      else return response.writeHead(404).end();
      return response.writeHead(204).end();
    } catch (error) {
      log(error.stack);
      return response.writeHead(500).end();
    }
  };
  await begin();
  return { url: issuer };
}

await serve(start);
