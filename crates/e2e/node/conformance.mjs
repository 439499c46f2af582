// The public conformance suite, against the bare upstream and through the gateway, compared check by check.
//
//   conformance.mjs --suite 0.1|0.2 --bare URL --gateway URL --token T
//       [--requirements 2025-11-25|2026-07-28] [--scenario NAME]...
//   conformance.mjs --suite 0.1|0.2 --bare URL ...             the bare upstream alone
//   conformance.mjs --suite 0.1|0.2 --list                     prints {ok, client: [{name, revisions}]}
//   conformance.mjs --suite 0.1|0.2 --client PROGRAM [--requirements REV]   a client, every scenario by itself
//   conformance.mjs --authorization --issuer URL --user U --password P
//       [--resource URI] [--client-id ID [--client-secret S]]  without an id it registers itself
//
// Server mode prints {ok, suite, scenarios: {NAME: {bare, through}}, passed: {bare, through}, lost: [{scenario, check,
// was, is, message}], alsoLost}; `bare` and `through` are pass, fail, skip or absent. `ok` is false when a check of a
// scenario that the bare upstream passes does not pass through the gateway, or when nothing passed at all. `alsoLost`
// are checks inside scenarios that the bare upstream fails anyway.
// Client mode prints {ok, scenarios: {NAME: {exit, failed: [], warned: []}}}; `ok` is false when one of them did not end well.
// Authorization mode prints {ok, checks: [{id, status, message}], redirect}; `ok` is false unless both scenarios pass.
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bearerProxy } from './bearer-proxy.mjs';
import { authorize, person } from './browser.mjs';
import { freePort } from './everything.mjs';
import { log, onExit, run } from './outcome.mjs';

const suite = (version) => fileURLToPath(new URL(`node_modules/conformance-${version}/dist/index.js`, import.meta.url));

/** One whole run of the suite must be over after this many milliseconds. */
const SUITE_MS = 240_000;

/** Runs the suite's command line; resolves with its output once it ends. `onLine` sees stdout as it comes. */
function command(version, options, onLine = () => {}) {
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}`, NO_COLOR: '1' };
  const child = spawn(process.execPath, [suite(version), ...options], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  onExit(() => child.kill('SIGKILL'));
  const timer = setTimeout(() => child.kill('SIGKILL'), SUITE_MS);
  let pending = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    const lines = (pending + chunk).split('\n');
    pending = lines.pop();
    for (const line of lines) onLine(line);
  });
  child.stderr.pipe(process.stderr);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exit, signal) => {
      clearTimeout(timer);
      if (signal) reject(new Error(`the suite was ended by ${signal} after ${SUITE_MS / 1000} s`));
      else resolve(exit);
    });
  });
}

async function scratch() {
  const folder = await mkdtemp(join(tmpdir(), 'conformance-'));
  onExit(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Reads what a run wrote: one folder per scenario, `server-NAME-DATE`, with its checks in one file. */
async function results(folder) {
  const scenarios = new Map();
  for (const name of await readdir(folder)) {
    const scenario = name.replace(/^(server|authorization-server)-/, '').replace(/-\d{4}-\d\d-\d\dT[\d-]+Z$/, '');
    const checks = JSON.parse(await readFile(join(folder, name, 'checks.json'), 'utf8'));
    scenarios.set(scenario, [...(scenarios.get(scenario) ?? []), ...checks]);
  }
  return scenarios;
}

async function serverRun(values, url) {
  const folder = await scratch();
  const common = ['server', '--url', url, '--output-dir', folder];
  const whole = values.suite === '0.1' ? ['--suite', 'all'] : ['--requirements', values.requirements];
  const one = (scenario) => ['--scenario', scenario, ...(values.suite === '0.1' ? [] : ['--spec-version', values.requirements, '--force'])];
  const runs = values.scenario?.length > 0 ? values.scenario.map(one) : [whole];
  const failures = new Set();
  for (const options of runs) {
    await command(values.suite, [...common, ...options], (line) => {
      const failed = /^Failed to run scenario ([^:]+):/.exec(line);
      if (failed) failures.add(failed[1]);
      if (/^[✓✗]|^Total:/.test(line)) log(line);
    });
  }
  const scenarios = await results(folder);
  if (scenarios.size === 0) throw new Error(`the suite wrote no result for ${url}`);
  for (const name of failures) scenarios.set(name, [{ id: name, name, status: 'FAILURE', errorMessage: 'the scenario threw' }]);
  return scenarios;
}

/** As the suite counts: a failure fails; only skipped checks, or none, is a skip. */
function verdict(checks) {
  if (!checks) return 'absent';
  if (checks.some((check) => check.status === 'FAILURE')) return 'fail';
  return checks.some((check) => check.status === 'SUCCESS') ? 'pass' : 'skip';
}

// One id may come several times in a scenario, with different names; together they tell checks apart.
function byCheck(checks = []) {
  const all = new Map();
  for (const check of checks) {
    const key = `${check.id} ${check.name}`;
    if (!all.has(key) || check.status !== 'SUCCESS') all.set(key, check);
  }
  return all;
}

/** Every check that succeeds bare and does not succeed through the gateway. */
function losses(scenario, bare, through) {
  const there = byCheck(through);
  const lost = [];
  for (const [key, check] of byCheck(bare)) {
    const now = there.get(key);
    if (check.status !== 'SUCCESS' || now?.status === 'SUCCESS') continue;
    lost.push({ scenario, check: check.id, was: check.status, is: now?.status ?? 'ABSENT', message: now?.errorMessage ?? '' });
  }
  return lost;
}

const passes = (scenarios) => [...scenarios.values()].filter((checks) => verdict(checks) === 'pass').length;

async function serverMode(values) {
  if (!['0.1', '0.2'].includes(values.suite)) throw new Error('--suite is 0.1 or 0.2');
  if (!values.bare) throw new Error('--bare URL is missing');
  const bare = await serverRun(values, values.bare);
  const report = { suite: values.suite, requirements: values.suite === '0.1' ? undefined : values.requirements, scenarios: {} };
  if (!values.gateway) {
    for (const [name, checks] of bare) {
      const failed = checks.filter((check) => check.status === 'FAILURE').map((check) => `${check.id}: ${check.errorMessage ?? ''}`);
      report.scenarios[name] = { bare: verdict(checks), failed: failed.length > 0 ? failed : undefined };
    }
    return { ...report, passed: { bare: passes(bare) }, ok: passes(bare) > 0 };
  }
  const through = await serverRun(values, await bearerProxy(values.gateway, values.token ?? ''));
  const lost = [];
  const alsoLost = [];
  for (const [name, checks] of bare) {
    report.scenarios[name] = { bare: verdict(checks), through: verdict(through.get(name)) };
    (verdict(checks) === 'fail' ? alsoLost : lost).push(...losses(name, checks, through.get(name)));
  }
  const passed = { bare: passes(bare), through: passes(through) };
  return { ...report, passed, lost, alsoLost, ok: lost.length === 0 && passed.through > 0 };
}

/** The client scenarios, as the suite lists them. */
async function clientScenarios(suite) {
  const names = [];
  let section = '';
  await command(suite, ['list'], (line) => {
    section = /^\S.*scenarios/.exec(line)?.[0] ?? section;
    const listed = /^  - (\S+) \[(.*)\]/.exec(line);
    if (listed && section.startsWith('Client')) names.push({ name: listed[1], revisions: listed[2].split(',') });
  });
  return names;
}

async function clientMode(values) {
  const wanted = values.scenario ?? (await clientScenarios(values.suite)).map((scenario) => scenario.name);
  const scenarios = {};
  for (const scenario of wanted) {
    const folder = await scratch();
    const options = ['client', '--command', values.client, '--scenario', scenario, '--output-dir', folder];
    if (values.suite === '0.2') options.push('--spec-version', values.requirements, '--force');
    const exit = await command(values.suite, options);
    const checks = [];
    for (const name of await readdir(folder, { recursive: true })) {
      if (name.endsWith('checks.json')) checks.push(...JSON.parse(await readFile(join(folder, name), 'utf8')));
    }
    const of = (status) => checks.filter((check) => check.status === status).map((check) => `${check.id}: ${check.errorMessage ?? check.description}`);
    scenarios[scenario] = { exit, passed: of('SUCCESS').length, failed: of('FAILURE'), warned: of('WARNING') };
    log(`${exit === 0 ? '✓' : '✗'} ${scenario}`);
  }
  return { scenarios, ok: Object.keys(scenarios).length > 0 && Object.values(scenarios).every((one) => one.exit === 0) };
}

/** Registers a public client for the suite's fixed callback path (RFC 7591). */
async function register(issuer, redirect) {
  const at = new URL(issuer);
  const metadata = await fetch(`${at.origin}/.well-known/oauth-authorization-server${at.pathname.replace(/\/$/, '')}`).then((answer) => answer.json());
  const answer = await fetch(metadata.registration_endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: 'conformance suite',
      redirect_uris: [redirect],
      grant_types: ['authorization_code'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    }),
  });
  if (!answer.ok) throw new Error(`registration answered ${answer.status}: ${await answer.text()}`);
  return (await answer.json()).client_id;
}

async function authorizationMode(values) {
  const folder = await scratch();
  const port = await freePort();
  const clientId = values['client-id'] ?? (await register(values.issuer, `http://127.0.0.1:${port}/callback`));
  const options = ['authorization', '--url', values.issuer, '--client-id', clientId, '--port', String(port), '--output-dir', folder];
  if (values['client-secret']) options.push('--client-secret', values['client-secret']);
  if (values.resource) options.push('--resource', values.resource);
  let browser;
  let giveUp;
  // A refusal on our pages would leave the suite waiting five minutes.
  const stuck = new Promise((_, reject) => {
    giveUp = reject;
  });
  const suiteRun = command('0.2', options, (line) => {
    log(line);
    if (!/^https?:\/\/\S+response_type=code/.test(line)) return;
    browser = authorize(line.trim(), person(values));
    browser.catch(giveUp);
  });
  const exit = await Promise.race([suiteRun, stuck]);
  const redirect = (await browser)?.redirect?.replace(/([?&](?:code|state)=)[^&]*/g, '$1…');
  const checks = [...(await results(folder)).values()].flat();
  const shown = checks.map((check) => ({ id: check.id, status: check.status, message: check.errorMessage }));
  const succeeded = (id) => checks.some((check) => check.id === id && check.status === 'SUCCESS');
  const ok = exit === 0 && succeeded('authorization-server-metadata') && succeeded('authorization-code-grant');
  return { checks: shown, redirect, ok };
}

await run(580, async () => {
  const { values } = parseArgs({
    options: {
      suite: { type: 'string', default: '0.2' },
      requirements: { type: 'string', default: '2025-11-25' },
      scenario: { type: 'string', multiple: true },
      list: { type: 'boolean' },
      client: { type: 'string' },
      bare: { type: 'string' },
      gateway: { type: 'string' },
      token: { type: 'string' },
      authorization: { type: 'boolean' },
      issuer: { type: 'string' },
      resource: { type: 'string' },
      'client-id': { type: 'string' },
      'client-secret': { type: 'string' },
      user: { type: 'string' },
      password: { type: 'string' },
    },
  });
  if (values.list) return { client: await clientScenarios(values.suite) };
  if (values.client) return clientMode(values);
  return values.authorization ? authorizationMode(values) : serverMode(values);
});
