// A loopback reverse proxy that adds a bearer token: the conformance suite cannot sign in.
// It changes nothing else, so that what the suite sees is what the gateway said.
import { createServer, request as send } from 'node:http';
import { onExit } from './outcome.mjs';

/** Listens on a free port; `target` is the URL behind it, `token` what it adds. Returns the URL in front. */
export async function bearerProxy(target, token) {
  const upstream = new URL(target);
  if (upstream.protocol !== 'http:') throw new Error('the proxy speaks plain http to loopback only');
  const server = createServer((incoming, response) => {
    const own = new Set([`127.0.0.1:${server.address().port}`, `localhost:${server.address().port}`]);
    const headers = [];
    for (let at = 0; at < incoming.rawHeaders.length; at += 2) {
      const [name, value] = [incoming.rawHeaders[at], incoming.rawHeaders[at + 1]];
      if (name.toLowerCase() !== 'authorization') headers.push(name, translated(name, value, own, upstream));
    }
    headers.push('Authorization', `Bearer ${token}`);
    const outgoing = send({
      host: upstream.hostname.replace(/^\[|\]$/g, ''),
      port: upstream.port,
      method: incoming.method,
      path: incoming.url,
      headers,
      setHost: false,
    });
    outgoing.on('response', (answer) => {
      response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders);
      response.flushHeaders();
      answer.pipe(response);
      answer.on('error', () => response.destroy());
    });
    outgoing.on('error', (error) => {
      if (response.headersSent) response.destroy();
      else response.writeHead(502, { 'content-type': 'text/plain' }).end(`bearer proxy: ${error.message}\n`);
    });
    // A client that goes away must be felt behind: some revisions cancel that way.
    response.on('close', () => outgoing.destroy());
    incoming.pipe(outgoing);
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  onExit(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://localhost:${server.address().port}${upstream.pathname}${upstream.search}`;
}

// Only the proxy's own address becomes the gateway's; a foreign Host or Origin goes on as it came, for it is what
// the rebinding scenario is about.
function translated(name, value, own, upstream) {
  if (name.toLowerCase() === 'host') return own.has(value) ? upstream.host : value;
  if (name.toLowerCase() === 'origin' && URL.canParse(value)) return own.has(new URL(value).host) ? upstream.origin : value;
  return value;
}
