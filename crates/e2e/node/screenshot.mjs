// A page as a picture, and what can be measured of its manners: contrast, keyboard, names, narrow screens.
//
//   screenshot.mjs URL OUT.png [--width 360] [--height 800] [--dark] [--lang ja] [--no-script]
//       [--user U --password P]    passes a client page, signs in first and shows the page after
//       [--decision approve|deny|cancel]    then decides, and shows the page after
//           (a client page is passed with `approve`)
//       [--press TEXT]...    then presses the first link or button with this text, and shows the page after
//       [--unfold]    opens what is folded before the picture is taken
//       [--cookie NAME=VALUE]... [--check]
//
// Prints {ok, url, title, lang, text, picture, complaints, problems: {contrast, keyboard, names, overflow, page}}.
// With --check, `ok` is false when there is any problem. No address with a secret is printed.
import { parseArgs } from 'node:util';
import { decide, openBrowser, person, signIn } from './browser.mjs';
import { run } from './outcome.mjs';

/** Runs in the page: text whose contrast is below WCAG 2.2 AA (1.4.3), as {text, ratio, needed, color, background}. */
function contrastProblems() {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const brush = canvas.getContext('2d', { willReadFrequently: true });
  // Painting turns whatever notation the style uses into numbers.
  const numbers = (color) => {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = color;
    brush.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((value, at) => value * a + under[at] * (1 - a));
  const luminance = (color) => {
    const [r, g, b] = color.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const layers = [];
    let pictured = false;
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== 'none') pictured = true;
      layers.push(numbers(style.backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    const dark = getComputedStyle(document.documentElement).colorScheme.includes('dark') && matchMedia('(prefers-color-scheme: dark)').matches;
    let color = dark ? [18, 18, 18] : [255, 255, 255];
    for (const layer of layers.reverse()) color = over(layer, color);
    return { color, pictured };
  };
  const transparency = (element) => {
    let all = 1;
    for (let at = element; at; at = at.parentElement) all *= Number(getComputedStyle(at).opacity);
    return all;
  };
  const problems = [];
  const judge = (element, words) => {
    const style = getComputedStyle(element);
    if (!element.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true }) || element.matches(':disabled')) return;
    const { color: background, pictured } = behind(element);
    const [r, g, b, a] = numbers(style.color);
    const color = over([r, g, b, a * transparency(element)], background);
    const [light, dim] = [luminance(color), luminance(background)].sort((x, y) => y - x);
    const ratio = (light + 0.05) / (dim + 0.05);
    const pixels = Number.parseFloat(style.fontSize);
    const large = pixels >= 24 || (pixels >= 18.66 && Number(style.fontWeight) >= 700);
    const needed = large ? 3 : 4.5;
    if (ratio >= needed && !pictured) return;
    const shown = (values) => `rgb(${values.map(Math.round).join(' ')})`;
    problems.push({ text: words.slice(0, 60), ratio: Math.round(ratio * 100) / 100, needed, color: shown(color), background: pictured ? 'a picture' : shown(background) });
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const words = node.textContent.trim();
    // Decoration is exempt (1.4.3), and what is hidden from screen readers is said to be that.
    if (words !== '' && !node.parentElement.closest('script, style, noscript, template, [aria-hidden=true]')) judge(node.parentElement, words);
  }
  for (const field of document.querySelectorAll('input:not([type=hidden], [type=checkbox], [type=radio]), textarea, select')) {
    judge(field, `field ${field.name}`);
  }
  return problems;
}

/** Runs in the page: structure a reader or a screen reader needs. */
function pageProblems() {
  const names = [];
  for (const field of document.querySelectorAll('input:not([type=hidden], [aria-hidden=true]), textarea, select')) {
    const named = field.labels?.length > 0 || field.ariaLabel || field.getAttribute('aria-labelledby') || field.title;
    if (!named) names.push(`field \`${field.name}\` has no label`);
  }
  for (const control of document.querySelectorAll('button, a[href]')) {
    if (control.textContent.trim() === '' && !control.ariaLabel && !control.querySelector('img[alt]')) names.push(`${control.tagName.toLowerCase()} without a name`);
  }
  for (const picture of document.querySelectorAll('img:not([alt])')) names.push(`picture ${picture.src} without alt`);
  const page = [];
  if (!document.documentElement.lang) page.push('the document has no language');
  if (document.title.trim() === '') page.push('the document has no title');
  if (document.querySelectorAll('h1').length !== 1) page.push(`the page has ${document.querySelectorAll('h1').length} first headings`);
  if (!document.querySelector('meta[name=viewport]')) page.push('no viewport is declared');
  const width = document.documentElement.clientWidth;
  const overflow = [];
  if (document.documentElement.scrollWidth > width) {
    for (const element of document.body.querySelectorAll('*')) {
      const right = Math.round(element.getBoundingClientRect().right);
      if (right > width) overflow.push(`${element.tagName.toLowerCase()} ends at ${right} of ${width}: ${element.textContent.trim().slice(0, 40)}`);
    }
    if (overflow.length === 0) overflow.push(`the page is ${document.documentElement.scrollWidth} wide in ${width}`);
  }
  return { names, page, overflow };
}

const FOCUSABLE = ['a[href]', 'button:enabled', 'input:enabled:not([type=hidden])', 'select:enabled', 'textarea:enabled', 'summary']
  .map((kind) => `${kind}:not([tabindex="-1"])`)
  .join();

/** Runs in the page before the keys are pressed: marks what must be reached, and how it looks unfocused. */
function markFocusable(selector) {
  document.activeElement?.blur();
  const look = (element) => {
    const style = getComputedStyle(element);
    return [style.outlineStyle, style.outlineWidth, style.outlineColor, style.boxShadow, style.borderColor, style.backgroundColor].join();
  };
  const all = [...document.querySelectorAll(selector)].filter((element) => element.checkVisibility({ checkVisibilityCSS: true }));
  return all.map((element, at) => {
    element.dataset.stop = String(at);
    element.dataset.look = look(element);
    const group = element.type === 'radio' ? element.name : '';
    return { what: `${element.tagName.toLowerCase()} \`${element.name || element.innerText.trim().slice(0, 30)}\` ${element.value ?? ''}`.trim(), group };
  });
}

/** Runs in the page after each key: which marked element has the focus, and whether one can see that. */
function focused() {
  const element = document.activeElement;
  if (!element?.dataset?.stop) return undefined;
  const style = getComputedStyle(element);
  const look = [style.outlineStyle, style.outlineWidth, style.outlineColor, style.boxShadow, style.borderColor, style.backgroundColor].join();
  return { stop: Number(element.dataset.stop), visible: look !== element.dataset.look };
}

/** Presses Tab through the page: everything must be reached, in reading order, and be seen to have the focus. */
async function keyboardProblems(page) {
  const expected = await page.evaluate(markFocusable, FOCUSABLE);
  const reached = [];
  const problems = [];
  for (let press = 0; press < expected.length + 5; press += 1) {
    await page.keyboard.press('Tab');
    const now = await page.evaluate(focused);
    if (!now || reached.includes(now.stop)) continue;
    reached.push(now.stop);
    if (!now.visible) problems.push(`${expected[now.stop].what}: focus cannot be seen`);
  }
  const groups = new Set(reached.map((stop) => expected[stop].group).filter(Boolean));
  expected.forEach(({ what, group }, stop) => {
    if (!reached.includes(stop) && !groups.has(group)) problems.push(`${what}: not reached by Tab`);
  });
  const sorted = [...reached].sort((a, b) => a - b);
  // The page may have given the focus to its first field already, so the round may begin in the middle.
  const turned = [...reached.slice(reached.indexOf(sorted[0])), ...reached.slice(0, reached.indexOf(sorted[0]))];
  if (turned.join() !== sorted.join()) problems.push(`the order of focus ${reached.join(' ')} is not the reading order`);
  const asks = (await page.locator('form').count()) > 0;
  if (asks && !expected.some(({ what }) => what.startsWith('button'))) problems.push('there is a form and no button');
  return problems;
}

function readCookie(text, url) {
  const at = text.indexOf('=');
  return { name: text.slice(0, at), value: text.slice(at + 1), url };
}

await run(90, async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      width: { type: 'string', default: '1024' },
      height: { type: 'string', default: '800' },
      dark: { type: 'boolean' },
      lang: { type: 'string', default: 'en' },
      'no-script': { type: 'boolean' },
      user: { type: 'string' },
      password: { type: 'string' },
      decision: { type: 'string' },
      cookie: { type: 'string', multiple: true },
      check: { type: 'boolean' },
      unfold: { type: 'boolean' },
      press: { type: 'string', multiple: true },
    },
  });
  const [url, picture] = positionals;
  if (!picture) throw new Error('give a URL and the file for the picture');
  const { page } = await openBrowser({
    viewport: { width: Number(values.width), height: Number(values.height) },
    colorScheme: values.dark ? 'dark' : 'light',
    locale: values.lang,
    javaScriptEnabled: !values['no-script'],
  });
  const complaints = [];
  page.on('console', (message) => complaints.push(message.text()));
  if (values.cookie) await page.context().addCookies(values.cookie.map((cookie) => readCookie(cookie, url)));
  const answer = await page.goto(url);
  const who = person(values);
  if (values.user) {
    // The way to a grant page begins at a client page, which has nothing to sign in with.
    await decide(page, { ...who, decision: 'approve' });
    if (!(await signIn(page, who))) throw new Error('the page has no sign-in form');
  }
  if (values.decision && !(await decide(page, who))) throw new Error(`the page has no button for \`${values.decision}\``);
  for (const text of values.press ?? []) {
    await page.locator('a, button').filter({ hasText: text }).first().click();
    await page.waitForLoadState('domcontentloaded');
  }
  const folded = page.locator('details:not([open]) > summary');
  while (values.unfold && (await folded.count()) > 0) await folded.first().press('Enter');
  await page.screenshot({ path: picture, fullPage: true });
  const problems = { contrast: await page.evaluate(contrastProblems), ...(await page.evaluate(pageProblems)) };
  problems.keyboard = await keyboardProblems(page);
  const facts = await page.evaluate(() => ({ lang: document.documentElement.lang, title: document.title, text: document.body.innerText }));
  const clean = Object.values(problems).every((list) => list.length === 0);
  const at = new URL(page.url());
  return { url: at.origin + at.pathname.replace(/^\/~[^/]+/, '/~…'), status: answer?.status(), ...facts, picture, complaints, problems, ok: clean || !values.check };
});
