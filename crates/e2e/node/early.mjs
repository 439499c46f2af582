// Requests that are refused before their bodies were read: every client should see the refusal.
//
//   early.mjs URL TIMES BYTES      an expired token, and a body of so many bytes
//
// Prints {ok, seen: {STATUS or ERROR: TIMES}}.
import { run } from './outcome.mjs';

await run(100, async () => {
  const [url, times, bytes] = process.argv.slice(2);
  const call = { name: 'echo', arguments: { text: 'x'.repeat(Number(bytes)) } };
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: call });
  const headers = {
    authorization: 'Bearer expired',
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
  };
  const seen = {};
  for (let time = 0; time < Number(times); time += 1) {
    let what;
    try {
      const response = await fetch(url, { method: 'POST', body, headers });
      await response.text();
      what = String(response.status);
    } catch (error) {
      what = error.cause?.code ?? error.message;
    }
    seen[what] = (seen[what] ?? 0) + 1;
  }
  return { seen };
});
