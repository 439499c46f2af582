// What the drivers of JavaScript clients share. Each is run as `DRIVER URL FOLDER STEP...`: it connects, with what an earlier
// run left in FOLDER, makes each step, and prints one line: {connected, steps: [{step, result | error, page, again?}]}.
// A step is the name of a tool to call, or `wait:MILLISECONDS`.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../outcome.mjs';
import { PERSON } from './person.mjs';

/** An OAuthClientProvider that keeps everything in one file, and whose person says yes at once. */
export class FileProvider {
  constructor(folder) {
    this.file = join(folder, 'oauth.json');
    this.pages = 0;
  }

  async load() {
    this.kept = JSON.parse(await readFile(this.file, 'utf8').catch(() => '{}'));
    return this;
  }

  async keep(name, value) {
    this.kept[name] = value;
    await writeFile(this.file, JSON.stringify(this.kept));
  }

  get redirectUrl() {
    return 'http://localhost:3999/callback';
  }

  get clientMetadata() {
    return {
      client_name: 'observed',
      redirect_uris: [this.redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    };
  }

  state() {
    this.sent = crypto.randomUUID();
    return this.sent;
  }

  storedState() {
    return this.sent;
  }

  clientInformation() {
    return this.kept.client;
  }

  saveClientInformation(client) {
    return this.keep('client', client);
  }

  tokens() {
    return this.kept.tokens;
  }

  saveTokens(tokens) {
    return this.keep('tokens', tokens);
  }

  codeVerifier() {
    return this.kept.verifier;
  }

  saveCodeVerifier(verifier) {
    return this.keep('verifier', verifier);
  }

  authorizationServerInformation() {
    return this.kept.server;
  }

  saveAuthorizationServerInformation(server) {
    return this.keep('server', server);
  }

  async redirectToAuthorization(url) {
    this.pages += 1;
    const answer = await fetch(url, { redirect: 'manual', headers: PERSON });
    this.answer = new URL(answer.headers.get('location')).searchParams;
  }

  /** The answer of the page that was opened last, once. */
  take() {
    const answer = this.answer;
    this.answer = undefined;
    return answer;
  }
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** An error as a program sees it. */
const seen = (error) => ({ name: error?.name, message: String(error?.message ?? error), code: error?.code, data: error?.data });

/**
 * Runs the story. `library` is {open(url, provider) -> session, finish(url, provider, answer, session)}; a session has
 * `call(name)`, which gives what its caller gets, and `close()`.
 */
export function drive(library) {
  return run(60, async () => {
    const [address, folder, ...steps] = process.argv.slice(2);
    const url = new URL(address);
    const provider = await new FileProvider(folder).load();
    // As a program does it that was told to: it waits for the page's answer and tries again, once.
    const twice = async (act, session) => {
      const before = provider.pages;
      try {
        return { result: await act() };
      } catch (error) {
        if (provider.pages === before) return { error: seen(error) };
        await library.finish(url, provider, provider.take(), session?.());
        try {
          return { error: seen(error), again: { result: await act() } };
        } catch (second) {
          return { error: seen(error), again: { error: seen(second) } };
        }
      }
    };
    let session;
    const opened = await twice(async () => {
      session = await library.open(url, provider);
    });
    const failed = opened.again ? opened.again.error : opened.error;
    if (failed) return { connected: false, error: failed };
    const report = [];
    for (const step of steps) {
      if (step.startsWith('wait:')) await wait(Number(step.slice(5)));
      else report.push({ step, ...(await twice(() => session.call(step), () => session)) });
    }
    await Promise.race([Promise.resolve(session.close()).catch(() => {}), wait(2000)]);
    return { connected: true, pages: provider.pages, steps: report };
  });
}
