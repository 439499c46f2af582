// What each client does, found out by running it: the table of docs/clients.md. `scripts/clients` starts this.
//
//   clients.mjs --refusals FILE [--client NAME]... [--observation NAME]... [--write FILE] [--from FILE]
//
// FILE of --refusals has the real gateway's answers (`cargo run --example refusals`). For each client and each observation
// it starts an observatory of its own (observatory.mjs), runs the client's driver, and makes the cell from what the
// observatory wrote down and from what the driver's caller got. Nothing in the table is written by hand.
//
// Prints {ok, cells: {CLIENT: {OBSERVATION: TEXT}}}; with --write it also writes the page. `--from FILE` takes the cells that
// an earlier run printed, and observes only what is chosen anew.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { log, onExit, run } from '../outcome.mjs';
import { observe } from './observatory.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const python = (environment, program) => [here(`../../python/${environment}/bin/python`), here(`../../python/clients/${program}.py`)];
const node = (program) => [process.execPath, here(`${program}.mjs`)];

/** Name, package, where its version is pinned (a name in versions.env, or `Cargo.lock`), and how its driver is started. */
const CLIENTS = [
  { name: 'TypeScript SDK 1', package: 'npm @modelcontextprotocol/sdk', pin: 'NPM_CLIENT_1', command: node('sdk1') },
  { name: 'TypeScript SDK 2', package: 'npm @modelcontextprotocol/client', pin: 'NPM_CLIENT_2', command: node('sdk2') },
  { name: 'Inspector', package: 'npm @modelcontextprotocol/inspector', pin: 'NPM_INSPECTOR', command: node('inspector') },
  { name: 'mcp-remote', package: 'npm mcp-remote', pin: 'NPM_MCP_REMOTE', command: node('mcp-remote') },
  { name: 'AI SDK', package: 'npm @ai-sdk/mcp', pin: 'NPM_AI_SDK', command: node('ai-sdk') },
  { name: 'LangChain (JavaScript)', package: 'npm @langchain/mcp-adapters', pin: 'NPM_LANGCHAIN', command: node('langchain') },
  { name: 'Python SDK 1', package: 'PyPI mcp', pin: 'PYPI_MCP_1', command: python('.venv-1', 'mcp1') },
  { name: 'Python SDK 2', package: 'PyPI mcp', pin: 'PYPI_MCP_2', command: python('.venv', 'mcp2') },
  { name: 'FastMCP 3', package: 'PyPI fastmcp', pin: 'PYPI_FASTMCP_3', command: python('.venv-1', 'fastmcp_client') },
  { name: 'FastMCP 4', package: 'PyPI fastmcp', pin: 'PYPI_FASTMCP', command: python('.venv', 'fastmcp_client') },
  { name: 'LangChain (Python)', package: 'PyPI langchain-mcp-adapters', pin: 'PYPI_LANGCHAIN', command: python('.venv-1', 'langchain_client') },
  { name: 'Rust SDK', package: 'crates.io rmcp', pin: 'Cargo.lock', command: [process.env.SEKISHO_CLIENT_RMCP ?? 'client_rmcp'] },
];

/** How long the tokens last that end while they are looked at. */
const SHORT_SECONDS = 3;
/** How many clients run at one time. */
const AT_ONCE = 3;
/** One run of a driver ends within this. */
const RUN_MS = 90_000;

async function play(client, observatory, folder, steps) {
  const [command, ...args] = client.command;
  const env = { ...process.env, BROWSER: here('visit.mjs'), NO_PROXY: '*', no_proxy: '*' };
  delete env.DISPLAY;
  const child = spawn(command, [...args, observatory.url, folder, ...steps], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  onExit(() => child.kill('SIGKILL'));
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_MS);
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  clearTimeout(timer);
  const last = out.trim().split('\n').at(-1);
  try {
    return JSON.parse(last);
  } catch {
    throw new Error(`${client.name}: no report; it wrote: ${out.slice(-500)} ${err.slice(-2000)}`);
  }
}

/** Runs one client: `steps` is one list for each process that is started after the other on the same folder. */
async function story(client, refusals, { settings, runs, between, prepare }) {
  const observatory = await observe(refusals, settings);
  prepare?.(observatory);
  const folder = await mkdtemp(join(tmpdir(), 'observed-'));
  try {
    const reports = [];
    for (const [at, steps] of runs.entries()) {
      if (at > 0) {
        await between?.(observatory);
        observatory.log.push({ what: 'started again' });
      }
      reports.push(await play(client, observatory, folder, steps));
    }
    return { reports, log: observatory.log };
  } finally {
    await observatory.close();
    await rm(folder, { recursive: true, force: true });
  }
}

const squeeze = (words) => String(words).replace(/\s+/g, ' ').replace(/localhost:\d+/g, 'localhost').replace(/rid_[0-9a-z]+/gi, 'rid_…').replace(/exit \d+:/g, 'exit:').trim();
/** Long words by their beginning and their end: libraries wrap what the server said in words of their own. */
const cut = (words, most = 160) => {
  const all = squeeze(words);
  return all.length > most ? `${all.slice(0, most * 0.6)} … ${all.slice(-most * 0.4)}` : all;
};

/** The words that whoever called a tool gets of its answer: of a result its texts, of an error its message. */
function words(outcome) {
  if (!outcome) return 'nothing';
  if (outcome.error) return outcome.error.message || outcome.error.name;
  const texts = [];
  const walk = (value) => {
    if (typeof value === 'string') texts.push(value);
    else if (Array.isArray(value)) value.forEach(walk);
    else if (value && typeof value === 'object') {
      if (typeof value.text === 'string') texts.push(value.text);
      else Object.values(value).filter((one) => typeof one === 'object').forEach(walk);
    }
  };
  walk(outcome.result);
  return texts.join(' ');
}

const step = (report, name) => report.steps?.find((one) => one.step === name);
const pages = (log) => log.filter((entry) => entry.what === 'page');
const after = (log, what) => log.slice(log.findIndex(what) + 1);
const of = (tool) => (entry) => entry.what === 'mcp' && entry.tool === tool;

/** Requests in the words of the table, in their order; what changes nothing is left out. */
function order(log) {
  const told = log.map((entry) => {
    if (entry.what === 'token' && entry.grant === 'refresh_token') {
      const place = entry.path === '/oauth/token' ? '' : ` at \`${entry.path}\` of the server's origin`;
      return `refreshes${place}${entry.ok ? (entry.lost ? ' (answer lost)' : '') : ' (refused)'}`;
    }
    if (entry.what === 'page') return `opens the page${entry.scope ? ` for \`${entry.scope}\`` : ' for no scope'}`;
    if (entry.what === 'register') return 'registers anew';
    if (entry.what === 'mcp' && entry.rpc === 'initialize') return 'begins a session';
    if (entry.what === 'mcp' && entry.rpc === 'tools/call') return 'calls again';
    return undefined;
  });
  return once(told.filter(Boolean));
}

/** Without what repeats the word before: how often a client does the same in a row depends on the time. */
const once = (told) => told.filter((one, at) => one !== told[at - 1]);
/** The same about tokens only. */
const aboutTokens = (told) => once(told.filter((one) => !['begins a session', 'calls again'].includes(one)));

/** The observations: a column each. `see` makes a cell of {reports, log}. */
const OBSERVATIONS = [
  {
    name: 'scope',
    title: 'Scope it asks for',
    about: 'Which scope the first authorization request has: of the challenge, of the resource metadata or of the issuer metadata, when all three name another one; then without the challenge; then with the issuer only.',
    async see(client, refusals) {
      const all = { challengeScope: 'mcp:challenge', resourceScopes: ['mcp:resource'], issuerScopes: ['mcp:issuer'] };
      const seen = [];
      for (const settings of [all, { ...all, challengeScope: undefined }, { issuerScopes: all.issuerScopes }]) {
        const { log } = await story(client, refusals, { settings, runs: [[]] });
        const scope = pages(log)[0]?.scope;
        seen.push(scope ? scope.split(' ').map((one) => one.replace('mcp:', '')).join(' and ') : 'none');
      }
      return `${seen[0]}; without: ${seen[1]}; without: ${seen[2]}`;
    },
  },
  {
    name: 'restart',
    title: '401 after a restart',
    about: 'It was connected, its program ended, its access token ended, and its program is started again with what it had kept.',
    async see(client, refusals) {
      const settings = { challengeScope: 'mcp:read', life: SHORT_SECONDS };
      const between = async (observatory) => {
        observatory.expire();
        await new Promise((resolve) => setTimeout(resolve, SHORT_SECONDS * 1000));
      };
      const { reports, log } = await story(client, refusals, { settings, runs: [['plain'], ['plain']], between });
      const told = aboutTokens(order(after(log, (entry) => entry.what === 'started again')));
      const answered = words(step(reports[1], 'plain')?.again ?? step(reports[1], 'plain')) === 'plain done';
      return `${told.join(', ') || 'nothing'}; ${answered ? 'is answered' : `fails: ${cut(words(reports[1].connected ? step(reports[1], 'plain') : reports[1]))}`}`;
    },
  },
  {
    name: 'insufficient_scope',
    title: '403 insufficient_scope',
    about: "The real gateway's refusal of a call whose scope was not granted, to a client that holds a refresh token. The first refresh after it is refused as decision 0070 has it.",
    async see(client, refusals) {
      const { reports, log } = await story(client, refusals, { settings: { challengeScope: 'mcp:read' }, runs: [['plain', 'scoped']] });
      const told = order(after(log, of('scoped')));
      const outcome = step(reports[0], 'scoped');
      const answered = words(outcome?.again ?? outcome) === 'scoped done';
      return `${told.join(', ') || 'nothing'}; ${answered ? 'is answered' : `its caller gets “${cut(words(outcome?.again ?? outcome))}”`}`;
    },
  },
  {
    name: 'session',
    title: '404 for its session',
    about: 'The server has forgotten the session when a tool is called; afterwards another tool is called.',
    async see(client, refusals) {
      const { reports, log } = await story(client, refusals, { settings: { challengeScope: 'mcp:read' }, runs: [['gone', 'plain']] });
      const told = order(after(log, of('gone'))).filter((one) => one !== 'calls again');
      const [first, second] = [step(reports[0], 'gone'), step(reports[0], 'plain')];
      const say = (outcome, good) => (words(outcome) === good ? 'is answered' : `gets “${cut(words(outcome), 90)}”`);
      return `${told.join(', ') || 'begins no new session'}; this call ${say(first, 'gone done')}, the next ${say(second, 'plain done')}`;
    },
  },
  {
    name: 'busy',
    title: '429 with Retry-After: 1',
    about: 'The call is answered 429 with `Retry-After: 1` and a JSON-RPC error; a second try would be answered.',
    async see(client, refusals) {
      const { reports, log } = await story(client, refusals, { settings: { challengeScope: 'mcp:read' }, runs: [['busy']] });
      const calls = log.filter(of('busy'));
      const again = calls.length > 1 ? `calls again after ${((calls[1].at - calls[0].at) / 1000).toFixed(0)} s` : 'does not call again';
      return `${again}; its caller gets “${cut(words(step(reports[0], 'busy')))}”`;
    },
  },
  {
    name: 'tool_error',
    title: 'Tool error',
    about: 'A result with `isError` and the text “the words of a tool error”.',
    async see(client, refusals) {
      const { reports } = await story(client, refusals, { settings: { challengeScope: 'mcp:read' }, runs: [['broken']] });
      const outcome = step(reports[0], 'broken');
      const marked = JSON.stringify(outcome?.result ?? null).match(/"is_?error":true/i);
      const kind = outcome?.error ? 'an exception' : marked ? 'a result that says it is an error' : 'a result that looks like any other';
      return `${kind}: “${cut(words(outcome))}”`;
    },
  },
  {
    name: 'odd',
    title: 'Unknown error code',
    about: 'A JSON-RPC error with code 1403, the message “the words of an odd error” and members in `data`, with status 200.',
    async see(client, refusals) {
      const { reports } = await story(client, refusals, { settings: { challengeScope: 'mcp:read' }, runs: [['odd']] });
      const error = step(reports[0], 'odd')?.error;
      const data = JSON.stringify(error?.data ?? null).includes('the words of its data') ? 'with `data`' : 'without `data`';
      return `“${cut(words(step(reports[0], 'odd')))}”, ${error?.code === 1403 ? 'with the code' : 'without the code'}, ${data}`;
    },
  },
  {
    name: 'refusal',
    title: 'What is seen of a refusal',
    about: "The real gateway's refusal by rights (403 with a JSON-RPC error and no challenge): the words that the caller of the tool, and so its model, gets; afterwards another tool is called.",
    async see(client, refusals) {
      const { reports } = await story(client, refusals, { settings: { challengeScope: 'mcp:read' }, runs: [['refused', 'plain']] });
      const [outcome, next] = [step(reports[0], 'refused'), step(reports[0], 'plain')];
      const all = JSON.stringify(outcome ?? null);
      const link = /\/access\/[a-z_0-9]+/i.test(squeeze(words(outcome))) ? 'the link is in the words' : /\/access\//.test(all) ? 'the link is in `data` only' : 'the link is lost';
      return `“${cut(words(outcome), 300)}”; ${link}; the next call ${words(next) === 'plain done' ? 'is answered' : `gets “${cut(words(next), 90)}”`}`;
    },
  },
  {
    name: 'lost',
    title: 'Answer to a refresh lost',
    about: 'Its access token ends, it refreshes, the server rotates the refresh token, and the connection ends before the answer. The old token would get the same answer again.',
    async see(client, refusals) {
      const { reports, log } = await story(client, refusals, {
        settings: { challengeScope: 'mcp:read', life: SHORT_SECONDS },
        runs: [['expire', `wait:${SHORT_SECONDS * 1000}`, 'plain']],
        prepare: (observatory) => (observatory.state.lose = 1),
      });
      const told = aboutTokens(order(after(log, (entry) => entry.what === 'token')));
      const outcome = step(reports[0], 'plain');
      const answered = words(outcome?.again ?? outcome) === 'plain done';
      return `${told.join(', ') || 'does not refresh'}; ${answered ? 'is answered' : `its caller gets “${cut(words(outcome?.again ?? outcome))}”`}`;
    },
  },
  {
    name: 'changed',
    title: 'List changed',
    about: 'After a first call, the server says `notifications/tools/list_changed` on the stream of the session; looked at for two seconds.',
    async see(client, refusals) {
      const { log } = await story(client, refusals, { settings: { challengeScope: 'mcp:read' }, runs: [['plain', 'changing', 'wait:2000']] });
      const told = log.find((entry) => entry.what === 'told');
      const rest = after(log, (entry) => entry.what === 'told');
      if (!told?.streams) return 'has no stream open';
      return rest.some((entry) => entry.rpc === 'tools/list') ? 'lists the tools again' : 'leaves it to the program';
    },
  },
  {
    name: 'slash',
    title: 'Slash behind the issuer',
    about: 'The resource metadata names the issuer with a slash and its own metadata do not; and the other way round.',
    async see(client, refusals) {
      const seen = [];
      for (const issuerSlash of ['resource', 'metadata']) {
        const settings = { challengeScope: 'mcp:read', issuerSlash };
        const { reports } = await story(client, refusals, { settings, runs: [['plain']] });
        seen.push(reports[0].connected ? 'logs in' : `refuses: “${cut(reports[0].error?.message, 120)}”`);
      }
      return seen[0] === seen[1] ? seen[0] : `in the resource metadata: ${seen[0]}; in its own: ${seen[1]}`;
    },
  },
];

/** Versions as they are pinned: `NPM_X="name package@version"` and `PYPI_X=version`; rmcp from Cargo.lock. */
async function versions(env, lock) {
  const found = new Map();
  for (const line of (await readFile(env, 'utf8')).split('\n')) {
    const [, name, value] = /^(NPM_\w+|PYPI_\w+)="?([^"]*)"?$/.exec(line) ?? [];
    if (name) found.set(name, value.split('@').at(-1));
  }
  found.set('Cargo.lock', /name = "rmcp"\nversion = "([^"]+)"/.exec(await readFile(lock, 'utf8'))?.[1]);
  return found;
}

const cell = (value) => value.replaceAll('|', '\\|');

/** The page; its last line is a digest of all before it, so that a change by hand is noticed. */
function page(cells, pinned) {
  const lines = ['# What MCP clients do', ''];
  lines.push('`scripts/clients` writes this page. It runs each client, by its real package, against a server that plays one behaviour after');
  lines.push('the other, and writes down what the client did and what its caller got. Nothing here is written by hand, and a test holds');
  lines.push('that the page is what the program wrote for the versions that are pinned now.', '');
  lines.push('| Client | Package | Version |', '|---|---|---|');
  for (const client of CLIENTS) lines.push(`| ${client.name} | ${client.package} | ${pinned.get(client.pin)} |`);
  for (const observation of OBSERVATIONS) {
    lines.push('', `## ${observation.title}`, '', observation.about, '', '| Client | What it does |', '|---|---|');
    for (const client of CLIENTS) lines.push(`| ${client.name} | ${cell(cells[client.name][observation.name])} |`);
  }
  const body = `${lines.join('\n')}\n`;
  return `${body}\n<!-- sha256 ${createHash('sha256').update(body).digest('hex')} -->\n`;
}

await run(3000, async () => {
  const { values } = parseArgs({
    options: {
      refusals: { type: 'string' },
      client: { type: 'string', multiple: true },
      observation: { type: 'string', multiple: true },
      write: { type: 'string' },
      from: { type: 'string' },
      versions: { type: 'string', default: here('../../../../scripts/versions.env') },
      lock: { type: 'string', default: here('../../../../Cargo.lock') },
    },
  });
  const refusals = values.refusals && JSON.parse(await readFile(values.refusals, 'utf8'));
  const chosen = (all, names) => (names ? all.filter((one) => names.includes(one.name)) : all);
  const cells = values.from ? JSON.parse(await readFile(values.from, 'utf8')).cells : {};
  const isKept = values.from && !values.client && !values.observation;
  const waiting = isKept ? [] : [...chosen(CLIENTS, values.client)];
  // Clients do not meet: each has its own server, folder and ports.
  const work = async () => {
    for (let client = waiting.shift(); client; client = waiting.shift()) {
      const own = (cells[client.name] ??= {});
      for (const observation of chosen(OBSERVATIONS, values.observation)) {
        own[observation.name] = squeeze(await observation.see(client, refusals));
        log(`${client.name} / ${observation.name}: ${own[observation.name]}`);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (values.write) await writeFile(values.write, page(cells, await versions(values.versions, values.lock)));
  return { cells };
});
