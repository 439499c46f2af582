// A browser that a test drives step by step: Debian's Chromium with a fresh profile.
//
//   browse.mjs [--lang ja] [--trust-all]
//
// Prints {ok} when it is open, reads one JSON step a line, and answers each with a line {ok, url, title, text}, or with
// {ok: false, error, url, text}. Steps: {"goto": URL}, {"press": TEXT} (the first link or button with this text; waits for the page it leads to),
// {"fill": [NAME, VALUE]}, {"enter": NAME} (the Enter key in this field), {"expect": TEXT} (waits for it), {"see": true},
// {"forget": NAME-PREFIX} (deletes the cookies whose names begin so), {"cookies": true}. It ends when its input ends.
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { leave, openBrowser } from './browser.mjs';
import { describe, log } from './outcome.mjs';

const { values } = parseArgs({ options: { lang: { type: 'string', default: 'en' }, 'trust-all': { type: 'boolean' } } });
const { browser, page } = await openBrowser({ locale: values.lang, ignoreHTTPSErrors: values['trust-all'] ?? false });
const complaints = [];
page.on('console', (message) => complaints.push(message.text()));

function say(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

/** Secrets of addresses are not printed: a log may be kept. */
function shown(address) {
  return address.replace(/\/~[^/?#]+/g, '/~…').replace(/([?&](?:code|state|add|id_token_hint)=)[^&]*/g, '$1…');
}

async function see(more = {}) {
  const text = await page.locator('body').innerText().catch(() => '');
  return { url: shown(page.url()), title: await page.title().catch(() => ''), text, ...more };
}

async function take(step) {
  if (step.goto) await page.goto(step.goto);
  else if (step.press) {
    const named = page.locator('a, button').filter({ hasText: step.press });
    await leave(page, () => named.first().click());
  } else if (step.fill) await page.locator(`[name=${JSON.stringify(step.fill[0])}]`).fill(step.fill[1]);
  else if (step.enter) await page.locator(`[name=${JSON.stringify(step.enter)}]`).press('Enter');
  else if (step.expect) await page.locator('body').filter({ hasText: step.expect }).waitFor({ state: 'visible' });
  else if (step.forget) {
    const kept = (await page.context().cookies()).filter((cookie) => !cookie.name.startsWith(step.forget));
    await page.context().clearCookies();
    await page.context().addCookies(kept);
  } else if (step.cookies) return see({ cookies: await page.context().cookies() });
  return see({ complaints: complaints.splice(0) });
}

say({ ok: true });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    say({ ok: true, ...(await take(JSON.parse(line))) });
  } catch (error) {
    log(error.stack);
    say({ ok: false, error: describe(error), ...(await see()) });
  }
}
await browser.close();
process.exit(0);
