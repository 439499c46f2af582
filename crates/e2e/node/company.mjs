#!/usr/bin/env node
// A person of a company in front of one browser, Debian's Chromium: signs in at the company's identity provider, decides on our
// pages, signs out.
//
//   company.mjs --site BASE_URL --provider NAME --user U --password P
//
// Reads one JSON object a line, does it, and answers with one line {ok, redirect, ways, page: {url, title, text}};
// `ways` are the addresses on the way:
//   {"go": URL}      opens it and goes on as long as a page asks: which provider, who, whether a client may come in. `redirect`
//                    is set once the browser is sent to the redirect URI that URL names; nothing needs to listen there
//   {"press": TEXT}  presses the button or link with this text on the page that is open, and goes on in the same way
//   {"on": true}     goes on from the page that is open
// With "until": SELECTOR it stops before it answers a page of the provider that has such an element.
// Ends with standard input.
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { decide, leave, openBrowser, person } from './browser.mjs';
import { describe, log, serve } from './outcome.mjs';

/** Sign-in, a client page and a grant page on our side; name, password and consent on the provider's: more is a circle. */
const PAGES_MAX = 12;

/** What pages of providers ask, in the order in which it is looked for: a field to fill with what, or a button to press. */
const ASKED = [
  ['#accept', undefined], // canaille: the client may know who it is
  ['input[type=password]', 'password'],
  ['input[name=login]', 'user'], // canaille
  ['form.confirm button.positive', undefined], // LemonLDAP::NG: the same
];

async function atProvider(page, who) {
  // LemonLDAP::NG asks for name and password on one page.
  const user = page.locator('input[name=user]');
  if ((await user.count()) > 0 && (await user.isVisible())) await user.fill(who.user);
  for (const [selector, value] of ASKED) {
    const found = page.locator(selector).first();
    if ((await found.count()) === 0 || !(await found.isVisible())) continue;
    if (value) {
      await found.fill(who[value]);
      await leave(page, () => found.press('Enter'));
    } else {
      await leave(page, () => found.click());
    }
    return true;
  }
  return false;
}

async function atOurs(page, who, provider) {
  if (await decide(page, who)) return true;
  const button = page.locator(`a[href*="/login/${provider}"]`).first();
  if ((await button.count()) === 0) return false;
  await leave(page, () => button.click());
  return true;
}

async function seen(page) {
  const text = await page.locator('body').innerText().catch(() => '');
  return { url: page.url(), title: await page.title().catch(() => ''), text: text.slice(0, 4000) };
}

async function start() {
  const { values } = parseArgs({
    options: {
      site: { type: 'string' },
      provider: { type: 'string' },
      user: { type: 'string' },
      password: { type: 'string' },
    },
  });
  const who = person({ ...values, decision: 'approve' });
  const { page } = await openBrowser();
  let wanted;
  let redirect;
  let ways = [];
  page.on('request', (request) => {
    if (!wanted || !request.isNavigationRequest()) return;
    const there = new URL(request.url());
    if (there.origin === wanted.origin && there.pathname === wanted.pathname) redirect = request.url();
  });
  const goOn = async (until) => {
    let asked = '';
    for (let step = 0; step < PAGES_MAX && !redirect; step += 1) {
      // On plain http a script of our pages leads on to the address of the session: what is there before is no page to answer.
      await page.waitForLoadState('networkidle').catch(() => {});
      if (redirect) return;
      ways.push(page.url());
      if (until && !page.url().startsWith(values.site) && (await page.locator(until).count()) > 0) return;
      const at = page.url();
      const ours = at.startsWith(values.site);
      // A page that is there again after an answer has refused it.
      const form = `${new URL(at).pathname}${await page.locator('input[type=password]').count()}`;
      if (!ours && form === asked) return;
      if (!ours) asked = form;
      if (!(await (ours ? atOurs(page, who, values.provider) : atProvider(page, who)))) return;
    }
  };
  const act = async (line) => {
    const wish = JSON.parse(line);
    redirect = undefined;
    ways = [];
    if (wish.go) {
      const named = new URL(wish.go).searchParams.get('redirect_uri');
      wanted = named ? new URL(named) : undefined;
      await page.goto(wish.go).catch((error) => {
        if (!redirect) throw error;
      });
    } else if (wish.press) {
      const named = page.getByRole('button', { name: wish.press }).or(page.getByRole('link', { name: wish.press }));
      await leave(page, () => named.first().click());
    }
    await goOn(wish.until);
    return { ok: true, redirect, ways, page: await seen(page) };
  };
  let turn = Promise.resolve();
  createInterface({ input: process.stdin }).on('line', (line) => {
    turn = turn.then(() => act(line)).catch((error) => {
      log(error?.stack ?? String(error));
      return { ok: false, error: describe(error) };
    }).then(async (answer) => {
      process.stdout.write(`${JSON.stringify(answer)}\n`);
    });
  });
  return { ready: true };
}

await serve(start);
