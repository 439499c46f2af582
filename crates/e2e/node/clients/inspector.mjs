// npm @modelcontextprotocol/inspector: its command line, one run for each step, as a person or a script uses it.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../everything.mjs';
import { onExit } from '../outcome.mjs';
import { drive } from './driver.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = process.argv[3];
const launcher = here('../node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js');
const callback = `http://127.0.0.1:${await freePort()}/oauth/callback`;

function command(url, operation) {
  const env = {
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    HOME: folder,
    NO_COLOR: '1',
    MCP_AUTO_OPEN_ENABLED: 'true',
    MCP_INSPECTOR_SECRET_STORE: 'file',
    MCP_STORAGE_DIR: join(folder, 'storage'),
    BROWSER: here('visit.mjs'),
  };
  const options = ['--cli', '--server-url', url.href, '--transport', 'http', '--format', 'json', '--protocol-era', 'legacy'];
  const child = spawn(process.execPath, [launcher, ...options, '--callback-url', callback, ...operation], { env, stdio: ['pipe', 'pipe', 'pipe'] });
  onExit(() => child.kill('SIGKILL'));
  // What it asks its person is answered with yes.
  child.stdin.on('error', () => {});
  child.stdin.end('y\n');
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exit) => {
      const said = err.split('\n').filter((line) => line.trim() !== '' && !/^(\[mcp-inspector\]|Please navigate to)/.test(line)).join(' ');
      if (exit === 0) resolve(JSON.parse(out));
      else reject(new Error(`exit ${exit}: ${out.trim()} ${said}`.trim()));
    });
  });
}

await drive({
  async open(url) {
    await command(url, ['--method', 'tools/list']);
    const call = (name) => command(url, ['--method', 'tools/call', '--tool-name', name, '--tool-args-json', '{}']);
    return { call, close() {} };
  },
});
