// Measures pictures of specifications in a browser, as its fonts draw them.
//
//   svg.mjs [--out DIR] FILE...
//
// Prints {ok, pictures: [{file, boxes, texts, problems}]}. A problem is a text that leaves its box or the picture, or two
// boxes or two texts that overlap. With --out each picture is also there as light.png and dark.png.
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { openBrowser } from './browser.mjs';
import { run } from './outcome.mjs';

/** Runs in the page. */
function measured() {
  const svg = document.querySelector('svg');
  const frame = svg.getBoundingClientRect();
  const area = (element) => {
    const { left, top, right, bottom } = element.getBoundingClientRect();
    return { left, top, right, bottom, words: element.textContent };
  };
  const within = (inner, outer) => inner.left >= outer.left - 0.5 && inner.right <= outer.right + 0.5 && inner.top >= outer.top - 0.5 && inner.bottom <= outer.bottom + 0.5;
  // Lines of one text stand close; a pixel of their boxes is no overlap of letters.
  const meets = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2;
  const problems = [];
  const rects = [...svg.querySelectorAll('.spec-box')];
  const boxes = rects.map(area);
  const texts = [...svg.querySelectorAll('text')].map(area);
  for (const rect of rects) {
    for (const text of rect.parentElement.querySelectorAll('text')) {
      if (!within(area(text), area(rect))) problems.push(`leaves its box: ${text.textContent}`);
    }
  }
  for (const text of texts) if (!within(text, frame)) problems.push(`leaves the picture: ${text.words}`);
  const pairs = (all, what) => all.forEach((one, at) => all.slice(at + 1).forEach((other) => meets(one, other) && problems.push(`${what} overlap: ${one.words} / ${other.words}`)));
  pairs(boxes, 'boxes');
  pairs(texts, 'texts');
  return { boxes: boxes.length, texts: texts.length, problems };
}

await run(200, async () => {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { out: { type: 'string' } } });
  const { browser, page } = await openBrowser({ viewport: { width: 2400, height: 1600 } });
  const pictures = [];
  for (const file of positionals) {
    // As XML, so that what is not well-formed is seen.
    const text = await readFile(file, 'utf8');
    await page.setContent('<!doctype html><body style="margin:0"></body>');
    const broken = await page.evaluate((source) => {
      const parsed = new DOMParser().parseFromString(source, 'image/svg+xml');
      if (parsed.querySelector('parsererror')) return parsed.documentElement.textContent.slice(0, 300);
      document.body.append(document.importNode(parsed.documentElement, true));
      return null;
    }, text);
    const found = broken ? { boxes: 0, texts: 0, problems: [broken] } : await page.evaluate(measured);
    pictures.push({ file: basename(file), ...found });
    for (const scheme of values.out && !broken ? ['light', 'dark'] : []) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.locator('svg').screenshot({ path: join(values.out, `${basename(file, '.svg')}-${scheme}.png`) });
    }
  }
  await browser.close();
  return { pictures, ok: pictures.length > 0 && pictures.every((one) => one.problems.length === 0) };
});
