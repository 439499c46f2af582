// npm mcp-remote, in its default mode, as its client sees it: the 1.x SDK over standard input and output.
import { join } from 'node:path';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { drive } from './driver.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = process.argv[3];

await drive({
  async open(url) {
    const env = {
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
      HOME: folder,
      MCP_REMOTE_CONFIG_DIR: join(folder, 'mcp-remote'),
      BROWSER: here('visit.mjs'),
    };
    const args = [here('../node_modules/mcp-remote/dist/proxy.js'), url.href];
    const client = new Client({ name: 'observed', version: '1' });
    await client.connect(new StdioClientTransport({ command: process.execPath, args, env, stderr: 'inherit' }));
    return { call: (name) => client.callTool({ name, arguments: {} }), close: () => client.close() };
  },
});
