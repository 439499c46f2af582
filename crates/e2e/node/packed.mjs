// An MCP server over Streamable HTTP that compresses its answers whatever it is asked for, as some proxies do.
//
//   packed.mjs [--from-start]
//
// Tools: `plain`, and `gzip`, `br`, `deflate` and `stream`, which are answered so encoded (`stream`: events, with gzip). With
// --from-start every answer is encoded. Prints {ok, url} when it listens, then stays until its stdin ends or a signal comes.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { onExit, serve } from './outcome.mjs';

const ENCODE = { gzip: gzipSync, br: brotliCompressSync, deflate: deflateSync, stream: gzipSync };
const NAMES = ['plain', ...Object.keys(ENCODE)];

function result(method, params) {
  if (method === 'initialize') {
    const serverInfo = { name: 'packed', version: '1' };
    return { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo };
  }
  if (method === 'tools/list') {
    return { tools: NAMES.map((name) => ({ name, inputSchema: { type: 'object' }, annotations: { readOnlyHint: true } })) };
  }
  return method === 'tools/call' ? { content: [{ type: 'text', text: `answered ${params.name}` }] } : undefined;
}

await serve(async () => {
  const { values } = parseArgs({ options: { 'from-start': { type: 'boolean' } } });
  const server = createServer(async (request, response) => {
    if (request.method !== 'POST') return response.writeHead(405).end();
    let body = '';
    for await (const part of request) body += part;
    const { id, method, params } = JSON.parse(body);
    if (id === undefined) return response.writeHead(202).end();
    const answer = result(method, params);
    const error = { code: -32601, message: 'no such method' };
    const text = JSON.stringify({ jsonrpc: '2.0', id, ...(answer ? { result: answer } : { error }) });
    const name = values['from-start'] ? 'gzip' : method === 'tools/call' ? params.name : 'plain';
    const isStream = name === 'stream';
    const plain = isStream ? `data: ${text}\n\n` : text;
    const headers = { 'content-type': isStream ? 'text/event-stream' : 'application/json' };
    if (!(name in ENCODE)) return response.writeHead(200, headers).end(plain);
    headers['content-encoding'] = isStream ? 'gzip' : name;
    return response.writeHead(200, headers).end(ENCODE[name](plain));
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  onExit(() => server.closeAllConnections());
  return { url: `http://127.0.0.1:${server.address().port}/mcp` };
});
