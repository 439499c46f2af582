// What both SDKs need of a program that wants a token: a place for the redirect, and a memory.
import { createServer } from 'node:http';
import { authorize } from './browser.mjs';
import { log, onExit } from './outcome.mjs';

/** Listens on a free loopback port for the redirects of one program. */
export async function callbackServer() {
  const waiting = [];
  const come = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://127.0.0.1');
    if (url.pathname !== '/callback') {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': 'text/plain', connection: 'close' }).end('done; close this page\n');
    const taker = waiting.shift();
    if (taker) taker(url.searchParams);
    else come.push(url.searchParams);
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  onExit(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${server.address().port}/callback`,
    next: () => (come.length > 0 ? Promise.resolve(come.shift()) : new Promise((resolve) => waiting.push(resolve))),
  };
}

/** An OAuthClientProvider that keeps everything in memory and sends a person to the browser. Fits both SDKs. */
export class MemoryProvider {
  constructor(callback, who, settings = {}) {
    this.callback = callback;
    this.who = who;
    this.scope = settings.scope;
    this.clientName = settings.clientName;
    this.clientMetadataUrl = settings.clientMetadataUrl;
    this.forgetRefresh = settings.forgetRefresh;
    this.authorizations = [];
    this.information = settings.clientId ? { client_id: settings.clientId, client_secret: settings.clientSecret } : undefined;
  }

  get redirectUrl() {
    return this.callback.url;
  }

  get clientMetadata() {
    return {
      client_name: this.clientName,
      redirect_uris: [this.callback.url],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      ...(this.scope ? { scope: this.scope } : {}),
    };
  }

  state() {
    return crypto.randomUUID();
  }

  clientInformation() {
    return this.information;
  }

  saveClientInformation(information) {
    this.information = information;
  }

  tokens() {
    return this.saved;
  }

  saveTokens(tokens) {
    this.saved = this.forgetRefresh ? { ...tokens, refresh_token: undefined } : tokens;
  }

  codeVerifier() {
    return this.verifier;
  }

  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }

  discoveryState() {
    return this.discovery;
  }

  saveDiscoveryState(discovery) {
    this.discovery = discovery;
  }

  redirectToAuthorization(url) {
    const asked = Object.fromEntries(url.searchParams);
    log(`authorization request with scope ${JSON.stringify(asked.scope)}`);
    this.authorizations.push({ scope: asked.scope, resource: asked.resource, prompt: asked.prompt });
    // The redirect comes to `callback`; a flow that never gets there must end the wait all the same.
    this.pending = Promise.race([this.callback.next(), authorize(url.href, this.who).then(neverCalled)]);
    this.pending.catch(() => {});
  }
}

// After the browser saw its redirect, the callback has it too, or will within a moment.
function neverCalled() {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error('the browser was redirected, but the callback was never called')), 5000).unref();
  });
}

/** The SDK-independent part of an account: who authorized how often, for what. Never a token. */
export function account(provider) {
  if (!provider) return {};
  return {
    authorizations: provider.authorizations,
    granted: provider.saved?.scope,
    refreshable: provider.saved?.refresh_token !== undefined,
  };
}
