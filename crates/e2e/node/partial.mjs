// An MCP server over Streamable HTTP that shows one more tool to one client, whatever that client says it can do.
//
//   partial.mjs CLIENT_NAME
//
// Prints {ok, url} when it listens, then stays until its stdin ends or a signal comes.
import { createServer } from 'node:http';
import { onExit, serve } from './outcome.mjs';

const tool = (name) => ({ name, inputSchema: { type: 'object' }, annotations: { readOnlyHint: true } });

await serve(async () => {
  const server = createServer(async (request, response) => {
    if (request.method !== 'POST') return response.writeHead(request.method === 'DELETE' ? 200 : 405).end();
    let body = '';
    for await (const part of request) body += part;
    const { id, method, params } = JSON.parse(body);
    if (id === undefined) return response.writeHead(202).end();
    const headers = { 'content-type': 'application/json' };
    let result;
    if (method === 'initialize') {
      headers['mcp-session-id'] = params.clientInfo.name === process.argv[2] ? 'chosen' : 'other';
      const serverInfo = { name: 'partial', version: '1' };
      result = { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo };
    } else if (method === 'tools/list') {
      const more = request.headers['mcp-session-id'] === 'chosen' ? [tool('for_one_client')] : [];
      result = { tools: [tool('for_all'), ...more] };
    }
    const error = { code: -32601, message: 'no such method' };
    response.writeHead(200, headers).end(JSON.stringify({ jsonrpc: '2.0', id, ...(result ? { result } : { error }) }));
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  onExit(() => server.closeAllConnections());
  return { url: `http://127.0.0.1:${server.address().port}/mcp` };
});
