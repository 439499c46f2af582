#!/usr/bin/env node
// A person in front of a browser: signs in and decides on our pages, in Debian's Chromium.
//
//   browser.mjs AUTHORIZATION_URL [--user U] [--password P] [--decision approve|deny|cancel] [--tick VALUE]...
//               [--untick VALUE]... [--class TOOL=CLASS]... [--lang ja] [--no-script]
//
// Prints {ok, redirect, params, pages, complaints}: the URL the client gets, its parameters, what was seen on the way.
// Nothing needs to listen at the redirect URI: the request for it is enough.
// It also stands in for `$BROWSER`: what is said then comes from SEKISHO_E2E_USER, SEKISHO_E2E_PASSWORD,
// SEKISHO_E2E_DECISION, SEKISHO_E2E_CLASSES.
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { onExit, run } from './outcome.mjs';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Longest wait for one page, in milliseconds; the first one may come while the machine compiles. */
const PAGE_MS = 30_000;

/** A fresh browser with an empty profile. `settings` are Playwright's context options. */
export async function openBrowser(settings = {}) {
  const browser = await chromium.launch({
    executablePath: process.env.SEKISHO_TEST_CHROMIUM ?? '/usr/bin/chromium',
    args: FLAGS,
    timeout: PAGE_MS,
  });
  onExit(() => browser.close());
  const context = await browser.newContext(settings);
  context.setDefaultTimeout(PAGE_MS);
  const page = await context.newPage();
  return { browser, page };
}

/** Credentials and decision, by default from the environment. */
export function person(values = {}) {
  return {
    user: values.user ?? process.env.SEKISHO_E2E_USER,
    password: values.password ?? process.env.SEKISHO_E2E_PASSWORD,
    decision: values.decision ?? process.env.SEKISHO_E2E_DECISION ?? 'approve',
    ticks: values.tick ?? [],
    unticks: values.untick ?? [],
    classes: values.class ?? process.env.SEKISHO_E2E_CLASSES?.split(' ').filter(Boolean) ?? [],
  };
}

/**
 * Waits until the page has put the focus where it wants it. Chromium does that when it first draws the page, and writes
 * a warning to its console if a field was filled before.
 */
async function ownFocus(page) {
  if ((await page.locator('[autofocus]').count()) > 0) await page.locator('[autofocus]:focus').waitFor({ state: 'attached' });
}

/** Fills the page's sign-in form, or the form that sets a password, and sends it; false when there is none. */
export async function signIn(page, who) {
  const passwords = page.locator('input[type=password]');
  if ((await passwords.count()) === 0) return false;
  await ownFocus(page);
  const user = page.locator('input[name=username]');
  if ((await user.count()) > 0 && (await user.isEditable())) await user.fill(who.user ?? '');
  for (const field of await passwords.all()) await field.fill(who.password ?? '');
  await leave(page, () => passwords.last().press('Enter'));
  return true;
}

/**
 * Ticks, classes and presses the wanted decision; false when the page asks for none.
 * `approve` and `deny` are said on the grant page, so a client page before it is passed; `cancel` is its own no.
 */
export async function decide(page, who) {
  const button = (value) => page.locator(`button[name=decision][value=${value}]`);
  const pass = button('continue');
  if ((await pass.count()) > 0) {
    await leave(page, () => (who.decision === 'cancel' ? button('deny') : pass).click());
    return true;
  }
  const wanted = button(who.decision === 'cancel' ? 'deny' : who.decision);
  if ((await wanted.count()) === 0) return false;
  if (await wanted.isDisabled()) throw new Error(`the page does not let one press \`${who.decision}\``);
  const box = (value) => page.locator(`input[type=checkbox][value=${JSON.stringify(value)}]`);
  for (const value of who.ticks) await box(value).check();
  for (const value of who.unticks) await box(value).uncheck();
  // Tools are classed on the first consent only; later pages have nothing to choose.
  const classes = (await page.locator('select[name^="class."]').count()) > 0 ? who.classes : [];
  for (const choice of classes) {
    const at = choice.lastIndexOf('=');
    await page.locator(`select[name=${JSON.stringify(`class.${choice.slice(0, at)}`)}]`).selectOption(choice.slice(at + 1));
  }
  await leave(page, () => wanted.click());
  return true;
}

/**
 * Does something that leads to another page. The answer may be a redirect to where nobody listens, so both a new page and a
 * failed request end the wait.
 */
export async function leave(page, act) {
  const answered = Promise.race([
    page.waitForEvent('framenavigated', { predicate: (frame) => frame === page.mainFrame() }),
    page.waitForEvent('requestfailed', { predicate: (request) => request.isNavigationRequest() }),
  ]);
  answered.catch(() => {});
  await act();
  await answered;
  await page.waitForLoadState('domcontentloaded').catch(() => {});
}

/** What a person reads first: enough to say where a flow got stuck. */
async function seen(page) {
  const text = await page.locator('body').innerText().catch(() => '');
  return { url: withoutSecrets(page.url()), title: await page.title().catch(() => ''), text: text.slice(0, 600) };
}

function withoutSecrets(address) {
  return address.replace(/([?&](?:code|state|token)=)[^&]*/g, '$1…').replace(/\/~[^/?#]+/g, '/~…');
}

/** Goes from the authorization URL to the client's redirect. `who` is from `person`. */
export async function authorize(address, who, context = {}) {
  const { browser, page } = await openBrowser(context);
  const pages = [];
  const complaints = [];
  try {
    const arrived = redirectWatch(page, address);
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(withoutSecrets(message.text()));
    });
    await page.goto(address).catch((error) => {
      if (!arrived.url) throw error;
    });
    // Sign-in, a client page and a grant page are three; with more it goes in circles. A password is tried
    // once: a second form means that it was wrong, and guessing on would only meet the throttle.
    let signedIn = false;
    for (let step = 0; step < 5 && !arrived.url; step += 1) {
      pages.push(await seen(page));
      if (await decide(page, who)) continue;
      if (signedIn || !(await signIn(page, who))) break;
      signedIn = true;
    }
    if (!arrived.url) {
      const last = await seen(page);
      throw new Error(`the pages led to no redirect; the last one: ${JSON.stringify(last)}; complaints: ${complaints.join(' | ')}`);
    }
    // A loopback client answers with a page: closing the browser earlier would break its connection.
    await page.waitForLoadState('load', { timeout: 5000 }).catch(() => {});
    return { redirect: arrived.url, params: Object.fromEntries(new URL(arrived.url).searchParams), pages, complaints };
  } finally {
    await browser.close();
  }
}

// `address` is an authorization request, or a page of the client's that sends on to one: the first request that names a
// redirect URI says where the answer will arrive.
function redirectWatch(page, address) {
  const arrived = { url: undefined };
  let wanted = new URL(address).searchParams.get('redirect_uri');
  const isRedirect = (url) => {
    if (!wanted) return false;
    const [there, here] = [new URL(url), new URL(wanted)];
    return there.origin === here.origin && there.pathname === here.pathname;
  };
  // Seen as a request: it must be noticed even where nothing answers, and after a redirect `route` would not be asked.
  page.on('request', (request) => {
    if (!request.isNavigationRequest()) return;
    wanted ??= new URL(request.url()).searchParams.get('redirect_uri');
    if (isRedirect(request.url())) arrived.url ??= request.url();
  });
  return arrived;
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      user: { type: 'string' },
      password: { type: 'string' },
      decision: { type: 'string' },
      tick: { type: 'string', multiple: true },
      untick: { type: 'string', multiple: true },
      class: { type: 'string', multiple: true },
      lang: { type: 'string' },
      'no-script': { type: 'boolean' },
    },
  });
  if (positionals.length !== 1) throw new Error('give one authorization URL');
  const context = { locale: values.lang, javaScriptEnabled: !values['no-script'] };
  return authorize(positionals[0], person(values), context);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await run(100, main);
}
