// The MCP Inspector's command line as a client. Each operation is one run of it, as a person or a script
// would do it; they share one storage directory, so the first run signs in and the others use its tokens.
//
//   inspector.mjs URL [--era legacy|auto|modern] [--user U --password P [--decision approve|deny] [--class TOOL=CLASS]...]
//     [--client-metadata-url URL] [--client-id ID] [--call NAME[=JSON]]... [--answer TEXT]
//
// Prints {ok, client, runs: [{method, tool?, exit, shown, stderr}]}: first `tools/list`, then the calls.
// `shown` is its JSON answer (of a list the names), or text when it was none; `--answer` is what it reads when it asks (step-up: y or n).
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readCall } from './client.mjs';
import { freePort } from './everything.mjs';
import { onExit, run } from './outcome.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const launcher = here('node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js');

/** One run of the command line must be over after this many milliseconds. */
const RUN_MS = 60_000;

function environment(values, home) {
  return {
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    HOME: home,
    NO_COLOR: '1',
    MCP_AUTO_OPEN_ENABLED: 'true',
    MCP_INSPECTOR_SECRET_STORE: 'file',
    MCP_STORAGE_DIR: join(home, 'storage'),
    // Without DISPLAY its opener starts this program with the authorization URL.
    BROWSER: here('browser.mjs'),
    SEKISHO_TEST_CHROMIUM: process.env.SEKISHO_TEST_CHROMIUM ?? '/usr/bin/chromium',
    SEKISHO_E2E_USER: values.user ?? '',
    SEKISHO_E2E_PASSWORD: values.password ?? '',
    SEKISHO_E2E_DECISION: values.decision ?? 'approve',
    SEKISHO_E2E_CLASSES: (values.class ?? []).join(' '),
  };
}

function runOnce(values, env, callback, operation) {
  const options = ['--cli', '--server-url', values.url, '--transport', 'http', '--format', 'json', '--protocol-era', values.era];
  options.push('--callback-url', callback);
  if (values['client-metadata-url']) options.push('--client-metadata-url', values['client-metadata-url']);
  if (values['client-id']) options.push('--client-id', values['client-id']);
  if (!values.user) options.push('--stored-auth-only');
  const child = spawn(process.execPath, [launcher, ...options, ...operation], { env, stdio: ['pipe', 'pipe', 'pipe'] });
  onExit(() => child.kill('SIGKILL'));
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_MS);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  child.stdin.on('error', () => {});
  child.stdin.end(values.answer ? `${values.answer}\n` : '');
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exit, signal) => {
      clearTimeout(timer);
      resolve({ exit: exit ?? signal, shown: namesOnly(readable(stdout)), stderr: lines(stderr) });
    });
  });
}

// Its notices about its own secret store, and addresses with random values, say nothing of the server.
function lines(text) {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('[mcp-inspector]'))
    .map((line) => readable(line.replace(/^(Please navigate to: [^?]*\?).*/, '$1…')));
}

// Of a tool list, the names: what the definitions say is other tests' business.
function namesOnly(shown) {
  const tools = shown?.result?.tools;
  return Array.isArray(tools) ? { tools: tools.map((tool) => tool.name) } : shown;
}

function readable(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text.trim();
  }
}

await run(280, async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      era: { type: 'string', default: 'legacy' },
      user: { type: 'string' },
      password: { type: 'string' },
      decision: { type: 'string' },
      class: { type: 'string', multiple: true },
      'client-metadata-url': { type: 'string' },
      'client-id': { type: 'string' },
      call: { type: 'string', multiple: true },
      answer: { type: 'string' },
    },
  });
  if (positionals.length !== 1) throw new Error('give one server URL');
  values.url = positionals[0];
  const home = await mkdtemp(join(tmpdir(), 'inspector-'));
  onExit(() => rm(home, { recursive: true, force: true }));
  const env = environment(values, home);
  const callback = `http://127.0.0.1:${await freePort()}/oauth/callback`;
  const runs = [{ method: 'tools/list', ...(await runOnce(values, env, callback, ['--method', 'tools/list'])) }];
  for (const call of (values.call ?? []).map(readCall)) {
    const operation = ['--method', 'tools/call', '--tool-name', call.name, '--tool-args-json', JSON.stringify(call.arguments)];
    runs.push({ method: 'tools/call', tool: call.name, ...(await runOnce(values, env, callback, operation)) });
  }
  return { client: `@modelcontextprotocol/inspector 2.x, ${values.era}`, runs };
});
