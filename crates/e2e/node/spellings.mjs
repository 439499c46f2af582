// A server of the official SDK (2.x) that says on stderr what arrived, by value: `ARRIVED {kind, value}`.
//
//   spellings.mjs
//
// Prints {ok, url} when it listens, then stays until its stdin ends or a signal comes.
import { createServer } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer, ResourceTemplate, completable, createMcpHandler } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { log, onExit, serve } from './outcome.mjs';

function arrived(kind, value) {
  log(`ARRIVED ${JSON.stringify({ kind, value })}`);
}

function make() {
  const server = new McpServer({ name: 'spellings', version: '1' }, { capabilities: { completions: {} } });
  const answer = (uri, value) => {
    arrived('resource', value);
    return { contents: [{ uri: uri.href, mimeType: 'text/plain', text: `read ${value}` }] };
  };
  for (const uri of ['file:///priv/b', 'file:///pub/a', 'note://priv/b', 'note://pub/a', 'greeting://Alice', 'urn:pub:a']) {
    server.registerResource(uri, uri, {}, (url) => answer(url, uri));
  }
  // As servers of files do it: the path is decoded, and `..` is for the file system.
  const complete = (value) => {
    arrived('completion', value);
    return [`${value}-one`];
  };
  for (const at of ['priv', 'pub', 'mine']) {
    server.registerResource(at, new ResourceTemplate(`file:///${at}/{+path}`, { list: undefined, complete: { path: () => complete(`file:///${at}/`) } }), {}, (url, { path }) =>
      answer(url, `file:///${at}/${decodeURIComponent(path)}`),
    );
    server.registerResource(`notes of ${at}`, new ResourceTemplate(`note://${at}/{name}`, { list: undefined, complete: { name: () => complete(`note://${at}/`) } }), {}, (url, { name }) =>
      answer(url, `note://${at}/${decodeURIComponent(name)}`),
    );
  }
  for (const name of ['secret', 'open']) {
    server.registerPrompt(name, { argsSchema: z.object({ word: completable(z.string().optional(), () => complete(`prompt ${name}`)) }) }, () => {
      arrived('prompt', name);
      return { messages: [{ role: 'user', content: { type: 'text', text: `got ${name}` } }] };
    });
  }
  return server;
}

async function start() {
  const handle = toNodeHandler(createMcpHandler(make, { legacy: 'reject' }));
  const http = createServer((request, response) => {
    handle(request, response).catch((error) => {
      log(`${error.stack}`);
      response.destroy();
    });
  });
  await new Promise((resolve, reject) => http.once('error', reject).listen(0, '127.0.0.1', resolve));
  onExit(() => http.closeAllConnections());
  return { url: `http://127.0.0.1:${http.address().port}/mcp` };
}

await serve(start);
