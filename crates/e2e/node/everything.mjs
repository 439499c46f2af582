// The reference server over Streamable HTTP on a free loopback port.
//
//   everything.mjs
//
// Prints {ok, url, pid} when it answers, then stays until its stdin ends or a signal comes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { onExit, serve } from './outcome.mjs';

/** A port that was free a moment ago: the reference server cannot be told to pick one itself. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

const entry = fileURLToPath(new URL('node_modules/@modelcontextprotocol/server-everything/dist/index.js', import.meta.url));

/** Starts it and waits for its ready line; another process taking the port meanwhile means another try. */
export async function startEverything() {
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const port = await freePort();
    const child = spawn(process.execPath, [entry, 'streamableHttp'], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, PORT: String(port) },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    onExit(() => child.kill('SIGKILL'));
    const ready = await new Promise((resolve) => {
      child.once('exit', () => resolve(false));
      child.stderr.on('data', (chunk) => {
        process.stderr.write(chunk);
        if (String(chunk).includes('listening on port')) resolve(true);
      });
    });
    if (ready) return { url: `http://127.0.0.1:${port}/mcp`, pid: child.pid };
  }
  throw new Error('the reference server did not start');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await serve(startEverything);
