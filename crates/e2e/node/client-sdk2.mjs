// The 2.x TypeScript SDK as a client, in either era.
//
//   client-sdk2.mjs URL --era legacy|modern|auto ...   and the options of client-sdk1.mjs
//
// `modern` pins 2026-07-28; `auto` asks `server/discover` first and falls back to `initialize`.
// Prints what client-sdk1.mjs prints, and `era`.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { bridgeParameters, clientArguments, play } from './client.mjs';
import { run } from './outcome.mjs';

const modes = { auto: 'auto', legacy: 'legacy', modern: { pin: '2026-07-28' } };

await run(110, async () => {
  const values = clientArguments();
  const mode = modes[values.era];
  if (!mode) throw new Error(`--era is one of ${Object.keys(modes).join(', ')}`);
  return play(
    {
      name: `@modelcontextprotocol/client 2.x, ${values.era}`,
      open: (authProvider, requestInit) => ({
        client: new Client({ name: 'end-to-end-sdk2', version: '1.0.0' }, { versionNegotiation: { mode } }),
        transport: values.bridge
          ? new StdioClientTransport(bridgeParameters(values))
          : new StreamableHTTPClientTransport(values.url, { authProvider, requestInit }),
      }),
      isUnauthorized: (error) => error instanceof UnauthorizedError,
      facts: (client) => ({
        protocol: client.getNegotiatedProtocolVersion?.(),
        era: client.getProtocolEra(),
        server: client.getServerVersion()?.name,
      }),
    },
    values,
  );
});
