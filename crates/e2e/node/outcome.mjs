// The shape of every program here: one JSON line on stdout, talk on stderr, an end in bounded time,
// exit code 0 when it did its work and 1 when not. What the work showed is for the Rust test to judge.

const cleanups = [];

/** Registers what must be ended when the program ends, however it ends. Newest first. */
export function onExit(cleanup) {
  cleanups.unshift(cleanup);
}

async function cleanUp() {
  for (const cleanup of cleanups.splice(0)) {
    await Promise.resolve(cleanup()).catch((error) => log(`cleaning up: ${error.message}`));
  }
}

export function log(text) {
  process.stderr.write(`${text}\n`);
}

/** Runs `main`, prints what it returns as one line and ends the process within `seconds`. */
export async function run(seconds, main) {
  let leave;
  const stopped = new Promise((resolve) => {
    leave = resolve;
  });
  const timer = setTimeout(() => leave({ ok: false, error: { message: `not done after ${seconds} s` } }), seconds * 1000);
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => leave({ ok: false, error: { message: `ended by ${signal}` } }));
  }
  const worked = main().then(
    (result) => ({ ok: true, ...result }),
    (error) => {
      log(error?.stack ?? String(error));
      return { ok: false, error: describe(error) };
    },
  );
  const result = await Promise.race([worked, stopped]);
  clearTimeout(timer);
  await Promise.race([cleanUp(), new Promise((resolve) => setTimeout(resolve, 5000))]);
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(result.ok ? 0 : 1));
}

/** For servers: prints one line when ready, then stays until stdin ends or a signal comes. */
export async function serve(start) {
  const end = async () => {
    await cleanUp();
    process.exit(0);
  };
  process.once('SIGINT', end);
  process.once('SIGTERM', end);
  try {
    const ready = await start();
    process.stdout.write(`${JSON.stringify({ ok: true, ...ready })}\n`);
    // The parent's pipe closes even when the parent is killed, so nothing outlives a test.
    process.stdin.resume().once('end', end).once('error', end);
  } catch (error) {
    log(error?.stack ?? String(error));
    process.stdout.write(`${JSON.stringify({ ok: false, error: describe(error) })}\n`);
    await cleanUp();
    process.exit(1);
  }
}

const told = ['code', 'status', 'statusText', 'data', 'error', 'error_description', 'errorCode', 'requiredScope', 'text'];

/** What a library lets its caller see of an error: the members a program would look at. */
export function describe(error) {
  if (!(error instanceof Error)) return { message: String(error) };
  const shown = { name: error.name, message: error.message };
  for (const member of told) {
    const value = error[member];
    if (value !== undefined && typeof value !== 'function') shown[member] = value;
  }
  if (error.cause instanceof Error) shown.cause = describe(error.cause);
  return shown;
}
