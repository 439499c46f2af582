// A 1.x SDK client that only speaks over standard input and output, in front of mcp-remote, which carries it to a server
// over HTTP. mcp-remote 0.15.1 repeats method and name of every message in headers, in every revision.
//
//   remote.mjs URL --token T | --user U --password P [--class TOOL=CLASS]... [--call NAME[=JSON]]... [--option=WORD]...
//
// Without a token, mcp-remote signs in by itself, with a person in a browser. The options go to mcp-remote.
// Prints {ok, tools, calls: [TEXT], said}: `said` is what mcp-remote wrote to standard error; or {ok: false, error, said}.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { readCall } from './client.mjs';
import { describe, onExit, run } from './outcome.mjs';

const proxy = fileURLToPath(new URL('node_modules/mcp-remote/dist/proxy.js', import.meta.url));

await run(100, async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      token: { type: 'string' },
      user: { type: 'string' },
      password: { type: 'string' },
      class: { type: 'string', multiple: true },
      call: { type: 'string', multiple: true },
      option: { type: 'string', multiple: true },
    },
  });
  const home = await mkdtemp(join(tmpdir(), 'mcp-remote-'));
  onExit(() => rm(home, { recursive: true, force: true }));
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [
      proxy,
      positionals[0],
      ...(values.token ? ['--header', `Authorization: Bearer ${values.token}`] : []),
      ...(values.option ?? []),
    ],
    env: {
      PATH: process.env.PATH,
      HOME: home,
      MCP_REMOTE_CONFIG_DIR: home,
      BROWSER: fileURLToPath(new URL('browser.mjs', import.meta.url)),
      SEKISHO_E2E_USER: values.user ?? '',
      SEKISHO_E2E_PASSWORD: values.password ?? '',
      SEKISHO_E2E_CLASSES: (values.class ?? []).join(' '),
      ...(process.env.SEKISHO_TEST_CHROMIUM ? { SEKISHO_TEST_CHROMIUM: process.env.SEKISHO_TEST_CHROMIUM } : {}),
    },
    stderr: 'pipe',
  });
  let said = '';
  transport.stderr.on('data', (part) => {
    said += part;
  });
  const client = new Client({ name: 'end-to-end-remote', version: '1.0.0' });
  try {
    await client.connect(transport);
  } catch (error) {
    return { ok: false, error: describe(error), said };
  }
  const { tools } = await client.listTools();
  const calls = [];
  for (const call of (values.call ?? []).map(readCall)) {
    const result = await client.callTool(call);
    calls.push(result.content.map((block) => block.text).join(''));
  }
  await client.close();
  return { tools: tools.map((tool) => tool.name), calls, said };
});
