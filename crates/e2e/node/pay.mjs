// A server that pays, on the official SDK: what arrives is written down by value, after every coercion.
//
//   pay.mjs FILE    on stdin and stdout; each line of FILE is one payment: {"amount": …, "to": …, "force": …}
import { appendFileSync } from 'node:fs';
import { McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';

const file = process.argv[2];

// `z.coerce` is how authors in the field take "500" for 500.
const shape = {
  amount: z.coerce.number(),
  to: z.coerce.string().default('bob'),
  force: z.coerce.boolean().default(false),
};

function makeServer() {
  const server = new McpServer({ name: 'pay', version: '1' });
  server.registerTool('pay', { description: 'Pays.', inputSchema: z.object(shape) }, ({ amount, to, force }) => {
    appendFileSync(file, `${JSON.stringify({ amount, to, force })}\n`);
    return { content: [{ type: 'text', text: 'paid' }] };
  });
  return server;
}

serveStdio(() => makeServer());
