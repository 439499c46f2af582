// Reads diagrams with the real `mermaid` package, in a browser, and draws them.
//
//   mermaid.mjs [--out DIR] FILE...
//
// Prints {ok, diagrams: [{file, type, labels, error?}]}: `type` as mermaid names it, `labels` the texts that were drawn.
// With --out each drawing is also a picture there. Nothing is loaded from anywhere but this folder.
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openBrowser } from './browser.mjs';
import { run } from './outcome.mjs';

const library = fileURLToPath(new URL('node_modules/mermaid/dist/mermaid.min.js', import.meta.url));

await run(200, async () => {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { out: { type: 'string' } } });
  const { browser, page } = await openBrowser({ viewport: { width: 1400, height: 900 } });
  await page.setContent('<!doctype html><body style="background:white"><div id="here"></div></body>');
  await page.addScriptTag({ path: library });
  await page.evaluate(() => globalThis.mermaid.initialize({ startOnLoad: false, securityLevel: 'strict' }));
  const diagrams = [];
  for (const file of positionals) {
    const text = await readFile(file, 'utf8');
    const drawn = await page.evaluate(async (source) => {
      try {
        const parsed = await globalThis.mermaid.parse(source);
        const { svg } = await globalThis.mermaid.render('drawing', source);
        const here = document.getElementById('here');
        here.innerHTML = svg;
        const labels = [...here.querySelectorAll('text, .nodeLabel')].map((one) => one.textContent.trim()).filter(Boolean);
        return { type: parsed.diagramType, labels };
      } catch (error) {
        return { error: String(error?.message ?? error) };
      }
    }, text);
    diagrams.push({ file: basename(file), ...drawn });
    if (values.out && !drawn.error) {
      await page.locator('#here').screenshot({ path: join(values.out, `${basename(file, '.mmd')}.png`) });
    }
  }
  await browser.close();
  return { diagrams, ok: diagrams.length > 0 && diagrams.every((one) => !one.error) };
});
