// An MCP server of ours on the 2.x server package: 2026-07-28 and the older revisions at one URL, with what the
// conformance scenarios call. No authorization of its own.
//
//   upstream.mjs [--port N] Streamable HTTP on a free loopback port, or on this one
//   upstream.mjs --stdio    the same server on stdin and stdout
//
// HTTP: prints {ok, url} when it listens, then stays until its stdin ends or a signal comes.
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { localhostHostValidation, localhostOriginValidation, NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } from '@modelcontextprotocol/node';
import { createMcpHandler, isLegacyRequest } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { onExit, serve } from './outcome.mjs';
import { makeServer } from './upstream-tools.mjs';

const silent = { toolsChanged() {}, promptsChanged() {} };

/** Keeps the events of one session, so that a client that lost a stream gets the rest of it. */
class Events {
  constructor() {
    this.kept = [];
  }

  async storeEvent(streamId, message) {
    this.kept.push({ streamId, message });
    return String(this.kept.length);
  }

  async getStreamIdForEventId(eventId) {
    return this.kept[Number(eventId) - 1]?.streamId;
  }

  async replayEventsAfter(lastEventId, { send }) {
    const streamId = await this.getStreamIdForEventId(lastEventId);
    for (let at = Number(lastEventId); at < this.kept.length; at += 1) {
      if (this.kept[at].streamId === streamId) await send(String(at + 1), this.kept[at].message);
    }
    return streamId;
  }
}

/** The older revisions: one server and one transport per session. */
class Sessions {
  constructor() {
    this.open = new Map();
  }

  async handle(request, response, body) {
    const id = request.headers['mcp-session-id'];
    if (id && !this.open.has(id)) {
      answer(response, 404, -32001, 'session not found');
      return;
    }
    const transport = this.open.get(id) ?? (await this.begin());
    await transport.handleRequest(request, response, body);
  }

  async begin() {
    const transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: () => crypto.randomUUID(),
      eventStore: new Events(),
      retryInterval: 500,
      onsessioninitialized: (id) => {
        this.open.set(id, transport);
      },
      onsessionclosed: (id) => {
        this.open.delete(id);
      },
    });
    await makeServer('legacy', silent).connect(transport);
    return transport;
  }
}

function answer(response, status, code, message) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code, message } }));
}

/** The body, at most 4 MiB, parsed; undefined when there is none or it is no JSON, for the SDK to say so. */
async function readBody(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > 4 * 1024 * 1024) throw new Error('body too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function start(port) {
  const modern = createMcpHandler((context) => makeServer(context.era, modern.notify), { legacy: 'reject' });
  const handleModern = toNodeHandler(modern);
  const sessions = new Sessions();
  const hostIsLocal = localhostHostValidation();
  const originIsLocal = localhostOriginValidation();
  const http = createServer(async (request, response) => {
    try {
      if (!hostIsLocal(request, response) || !originIsLocal(request, response)) return;
      if (new URL(request.url, 'http://localhost').pathname !== '/mcp') {
        answer(response, 404, -32601, 'the server is at /mcp');
        return;
      }
      const words = await readBody(request);
      let body;
      try {
        body = words === '' ? undefined : JSON.parse(words);
      } catch {
        answer(response, 400, -32700, 'the body is no JSON');
        return;
      }
      const legacy = await isLegacyRequest(await toWebRequest(request, body), body);
      await (legacy ? sessions.handle(request, response, body) : handleModern(request, response, body));
    } catch (error) {
      process.stderr.write(`${error.stack}\n`);
      if (!response.headersSent) answer(response, 500, -32603, 'internal error');
    }
  });
  await new Promise((resolve, reject) => http.once('error', reject).listen(port, '127.0.0.1', resolve));
  onExit(() => http.closeAllConnections());
  return { url: `http://127.0.0.1:${http.address().port}/mcp` };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const named = process.argv.indexOf('--port');
  const port = named < 0 ? 0 : Number(process.argv[named + 1]);
  if (process.argv[2] === '--stdio') serveStdio((context) => makeServer(context.era, silent));
  else await serve(() => start(port));
}
