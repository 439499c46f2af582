#!/usr/bin/env node
// Stands in for `$BROWSER`: opens the address and says yes. Like a browser it goes on in the background, because Python's
// `webbrowser` waits for the program. The client may begin to listen for the answer only after it has opened the browser
// (mcp-remote at a step-up, FastMCP always); a person is never that quick, so the answer is tried for some seconds.
import { spawn } from 'node:child_process';
import { PERSON } from './person.mjs';

const [address, background] = process.argv.slice(2);
if (!background) {
  spawn(process.execPath, [process.argv[1], address, 'background'], { detached: true, stdio: 'ignore' }).unref();
} else {
  const answer = await fetch(address, { redirect: 'manual', headers: PERSON });
  for (let attempt = 0; attempt < 60; attempt += 1) {
    if (await fetch(answer.headers.get('location')).catch(() => undefined)) break;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}
