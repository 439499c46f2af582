// The story both SDK clients play: connect (signing in if asked), list, call, and say what was shown.
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { person } from './browser.mjs';
import { account, callbackServer, MemoryProvider } from './oauth.mjs';
import { describe, log } from './outcome.mjs';

/**
 * What starts the bridge, for a transport over standard input and output: `--bridge PROGRAM --bridge ARGUMENT...`.
 * Its browser is the one of these tests.
 */
export function bridgeParameters(values) {
  const [command, ...args] = values.bridge;
  const env = {
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    HOME: process.env.HOME,
    BROWSER: values.user ? fileURLToPath(new URL('browser.mjs', import.meta.url)) : '',
    SEKISHO_TEST_CHROMIUM: process.env.SEKISHO_TEST_CHROMIUM ?? '/usr/bin/chromium',
    SEKISHO_E2E_USER: values.user ?? '',
    SEKISHO_E2E_PASSWORD: values.password ?? '',
    SEKISHO_E2E_DECISION: values.decision ?? 'approve',
    SEKISHO_E2E_CLASSES: (values.class ?? []).join(' '),
  };
  return { command, args: [...args, values.url.href], env, stderr: 'inherit' };
}

/** The options both programs share. */
export function clientArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      user: { type: 'string' },
      password: { type: 'string' },
      decision: { type: 'string' },
      tick: { type: 'string', multiple: true },
      untick: { type: 'string', multiple: true },
      class: { type: 'string', multiple: true },
      token: { type: 'string' },
      scope: { type: 'string' },
      'client-id': { type: 'string' },
      'client-secret': { type: 'string' },
      'client-metadata-url': { type: 'string' },
      call: { type: 'string', multiple: true },
      'step-up': { type: 'boolean' },
      'forget-refresh': { type: 'boolean' },
      era: { type: 'string', default: 'auto' },
      bridge: { type: 'string', multiple: true },
      repeat: { type: 'string' },
    },
  });
  if (positionals.length !== 1) throw new Error('give one server URL');
  return { ...values, url: new URL(positionals[0]), calls: (values.call ?? []).map(readCall) };
}

/** `NAME` or `NAME={"argument":1}`. */
export function readCall(text) {
  const at = text.indexOf('=');
  if (at < 0) return { name: text, arguments: {} };
  return { name: text.slice(0, at), arguments: JSON.parse(text.slice(at + 1)) };
}

/**
 * `library` is {name, open(provider, fetchOptions) -> {client, transport}, isUnauthorized(error), facts(client)}.
 * Without --user and without --token the server is called as it is.
 */
export async function play(library, values) {
  // Behind a bridge the login is the bridge's.
  const provider = values.user && !values.bridge ? await makeProvider(library, values) : undefined;
  const requestInit = values.token ? { headers: { authorization: `Bearer ${values.token}` } } : undefined;
  const report = { client: library.name };
  let session;
  try {
    session = await connect(library, provider, requestInit);
  } catch (error) {
    // A person's no, or a refused connection, is a result too.
    return { ...report, connected: false, error: describe(error), ...account(provider) };
  }
  Object.assign(report, { connected: true, ...library.facts(session.client) });
  report.tools = await listTools(session.client);
  report.calls = [];
  const calls = Array.from({ length: Number(values.repeat ?? 1) }, () => values.calls).flat();
  for (const call of calls) report.calls.push(await callTool(library, provider, session, call, values['step-up']));
  await session.client.close().catch((error) => log(`closing: ${error.message}`));
  return { ...report, ...account(provider) };
}

async function makeProvider(library, values) {
  return new MemoryProvider(await callbackServer(), person(values), {
    scope: values.scope,
    clientName: `end-to-end ${library.name}`,
    forgetRefresh: values['forget-refresh'],
    clientId: values['client-id'],
    clientSecret: values['client-secret'],
    clientMetadataUrl: values['client-metadata-url'],
  });
}

async function connect(library, provider, requestInit) {
  const first = library.open(provider, requestInit);
  try {
    await first.client.connect(first.transport);
    return first;
  } catch (error) {
    if (!provider || !library.isUnauthorized(error)) throw error;
    await finish(provider, first.transport);
  }
  const second = library.open(provider, requestInit);
  await second.client.connect(second.transport);
  return second;
}

/** Waits for the browser's redirect and gives it to the library. */
async function finish(provider, transport) {
  const params = await provider.pending;
  if (params.has('error')) {
    throw Object.assign(new Error(`authorization refused: ${params.get('error')}`), {
      error: params.get('error'),
      error_description: params.get('error_description') ?? undefined,
    });
  }
  await transport.finishAuth(params.get('code'), params.get('iss') ?? undefined);
}

async function listTools(client) {
  try {
    const names = [];
    let cursor;
    do {
      const page = await client.listTools(cursor ? { cursor } : undefined);
      names.push(...page.tools.map((tool) => tool.name));
      cursor = page.nextCursor;
    } while (cursor);
    return names;
  } catch (error) {
    return { error: describe(error) };
  }
}

async function callTool(library, provider, session, call, stepUp) {
  const before = provider?.authorizations.length ?? 0;
  const shown = { tool: call.name };
  try {
    shown.result = await session.client.callTool(call);
  } catch (error) {
    shown.error = describe(error);
  }
  if ((provider?.authorizations.length ?? 0) === before) return shown;
  // The library went to the authorization server on its own: that is a step-up.
  shown.steppedUp = provider.authorizations.at(-1);
  try {
    if (stepUp) {
      await finish(provider, session.transport);
      shown.retried = await session.client.callTool(call);
    } else {
      await provider.pending;
    }
  } catch (error) {
    shown.retryError = describe(error);
  }
  return shown;
}
