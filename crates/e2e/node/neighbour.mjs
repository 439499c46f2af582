// A server at another port of our host name, which the browser of somebody who is signed in visits (ATK-142). It keeps every
// cookie that it is shown, and replays all of them against us from its own process.
//
//   neighbour.mjs BASE_URL --user U --password P [--no-script]
//
// Prints {ok, shown, own, back, replies, doors, stale, storage, complaints}:
//   shown    the names of the cookies that the neighbour got
//   own      whether the person saw their own page after signing in; `back`: and when coming back without a door
//   replies  for each replayed request {path, status, location, own}; `own`: the answer names the person
//   doors    whether the address had a door behind the sign-in, and whether the neighbour was told it in any way
//   stale    what a door that is closed ends in: {own, navigations, hash}
//   storage  what is kept after signing out
import { createServer, request } from 'node:http';
import { parseArgs } from 'node:util';
import { openBrowser, person, signIn } from './browser.mjs';
import { onExit, run } from './outcome.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { user: { type: 'string' }, password: { type: 'string' }, 'no-script': { type: 'boolean' } },
});
const base = positionals[0];

/** Where the neighbour makes the browser go: every path below which a cookie could have been set. */
const ASKED = ['/', '/login', '/logout', '/records', '/consent/x', '/approvals/x', '/access/x', '/tasks/x', '/grants/x', '/setup/x', '/agents/end', '/servers/up/tools', '/oauth/authorize', '/assets/x', '/mcp/up', '/~', '/~x', '/~x/', '/~x/records', '/~/records', '/callback?code=x'];

/** Where it replays what it got. */
const TRIED = ['/', '/login', '/records', '/servers/up/tools', '/~x', '/~x/records'];

async function listen(heard) {
  const server = createServer((asked, answer) => {
    heard.push({ url: asked.url, headers: JSON.stringify(asked.headers), cookie: asked.headers.cookie ?? '' });
    answer.setHeader('content-type', 'text/html');
    const fetches = ASKED.map((path) => `fetch(${JSON.stringify(path)}, { credentials: 'include' })`).join(',');
    const ours = `fetch(${JSON.stringify(`${base}/`)}, { mode: 'no-cors', credentials: 'include' })`;
    answer.end(`<p>a neighbour</p><iframe src="${base}/"></iframe><script>addEventListener('load', () => Promise.allSettled([${fetches}, ${ours}]).then(() => { document.title = 'done'; }));</script>`);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  onExit(() => server.close());
  return `http://localhost:${server.address().port}`;
}

function ask(path, cookie, method = 'GET') {
  return new Promise((done, fail) => {
    const asked = request(`${base}${path}`, { method, headers: cookie ? { cookie } : {} }, (answer) => {
      let text = '';
      answer.on('data', (part) => (text += part));
      answer.on('end', () => done({ path, status: answer.statusCode, location: answer.headers.location ?? '', own: text.includes(`<strong>${values.user}</strong>`) }));
    });
    asked.on('error', fail).end();
  });
}

const isOwn = async (page) => (await page.locator('form.who strong').allInnerTexts()).includes(values.user);

await run(100, async () => {
  const heard = [];
  const neighbour = await listen(heard);
  const { page } = await openBrowser({ javaScriptEnabled: !values['no-script'] });
  const complaints = [];
  page.on('console', (message) => {
    if (message.location().url.startsWith(base)) complaints.push(message.text());
  });
  await page.goto(`${base}/login`);
  await signIn(page, person(values));
  const own = await isOwn(page);
  const door = new URL(page.url()).pathname.match(/^\/~([^/]+)/)?.[1];
  for (const path of ASKED) {
    await page.goto(neighbour + path);
    if (!values['no-script'] && path === '/') await page.waitForFunction(() => document.title === 'done');
  }
  await page.goto(`${base}/`);
  const back = await page
    .locator('form.who strong')
    .waitFor({ timeout: values['no-script'] ? 1 : 10_000 })
    .then(() => isOwn(page))
    .catch(() => false);

  const cookies = [...new Set(heard.flatMap(({ cookie }) => cookie.split('; ').filter(Boolean)))];
  const whole = cookies.join('; ');
  const guesses = cookies.map((cookie) => `/~${cookie.slice(cookie.indexOf('=') + 1)}`);
  const replies = [];
  for (const path of [...TRIED, ...guesses]) replies.push(await ask(path, whole));
  for (const path of ['/logout', '/agents/end']) replies.push(await ask(path, whole, 'POST'));
  const told = heard.some(({ url, headers }) => door !== undefined && (url.includes(door) || headers.includes(door)));

  const seen = { shown: cookies.map((cookie) => cookie.split('=')[0]), own, back, replies, doors: { there: door !== undefined, told }, complaints };
  if (door === undefined) return seen;

  // A door behind which nobody is signed in any more: the script forgets it, once.
  if (!values['no-script']) await page.goto(`${base}/`).then(() => page.locator('form.who strong').waitFor());
  else await page.goto(`${base}/~${door}`);
  await page.locator('form.who button').focus();
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => !url.pathname.includes('~'));
  await page.waitForLoadState('load');
  const storage = values['no-script'] ? {} : await page.evaluate(() => ({ ...localStorage }));
  let navigations = 0;
  page.on('framenavigated', () => (navigations += 1));
  if (!values['no-script']) await page.evaluate((kept) => localStorage.setItem('sekisho-door ', kept), door);
  await page.goto(`${base}/`);
  await page.waitForFunction(() => localStorage.length === 0 && location.hash === '').catch(() => {});
  await page.goto(`${base}/~${door}`);
  await page.waitForLoadState('load');
  const stale = { own: await isOwn(page), navigations, path: new URL(page.url()).pathname };
  replies.push(await ask(`/~${door}`, whole));
  return { ...seen, stale, storage };
});
