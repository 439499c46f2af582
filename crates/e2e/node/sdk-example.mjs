// The 1.x SDK's own example server with its demo authorization server, on free loopback ports.
//
//   sdk-example.mjs
//
// Prints {ok, url} when both answer, then stays until its stdin ends or a signal comes.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { freePort } from './everything.mjs';
import { onExit, serve } from './outcome.mjs';

const entry = fileURLToPath(new URL('node_modules/@modelcontextprotocol/sdk/dist/esm/examples/server/simpleStreamableHttp.js', import.meta.url));

async function start() {
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const [port, authPort] = [await freePort(), await freePort()];
    const child = spawn(process.execPath, [entry, '--oauth', '--oauth-strict'], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, MCP_PORT: String(port), MCP_AUTH_PORT: String(authPort) },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onExit(() => child.kill('SIGKILL'));
    const ready = await new Promise((resolve) => {
      child.once('exit', () => resolve(false));
      child.stdout.on('data', (chunk) => {
        process.stderr.write(chunk);
        if (String(chunk).includes('Server listening on port')) resolve(true);
      });
    });
    if (ready) return { url: `http://localhost:${port}/mcp` };
  }
  throw new Error('the example server did not start');
}

await serve(start);
