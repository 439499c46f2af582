// The 1.x TypeScript SDK as a client (protocol revisions up to 2025-11-25).
//
//   client-sdk1.mjs URL [--user U --password P [--decision approve|deny|cancel] [--scope S]
//     [--tick VALUE]... [--untick VALUE]... [--class TOOL=CLASS]...
//     [--client-id ID [--client-secret S]] [--client-metadata-url URL]] [--token T] [--call NAME[=JSON]]...
//     [--step-up] [--forget-refresh] [--repeat TIMES] [--bridge PROGRAM --bridge ARGUMENT...]
//
// This SDK answers a 403 `insufficient_scope` with a refresh when it holds a refresh token, which cannot widen
// anything; `--forget-refresh` keeps none, and then it asks the person as the newer SDK does.
// Prints {ok, client, connected, protocol, server, tools, calls: [{tool, result | error, steppedUp?, retried?}],
// authorizations: [{scope, resource, prompt}], granted, refreshable}. Calls are made in the order given.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { bridgeParameters, clientArguments, play } from './client.mjs';
import { run } from './outcome.mjs';

await run(110, async () => {
  const values = clientArguments();
  return play(
    {
      name: '@modelcontextprotocol/sdk 1.x',
      open: (authProvider, requestInit) => ({
        client: new Client({ name: 'end-to-end-sdk1', version: '1.0.0' }),
        transport: values.bridge
          ? new StdioClientTransport(bridgeParameters(values))
          : new StreamableHTTPClientTransport(values.url, { authProvider, requestInit }),
      }),
      isUnauthorized: (error) => error instanceof UnauthorizedError,
      facts: (client) => ({ protocol: client.transport?.protocolVersion, server: client.getServerVersion()?.name }),
    },
    values,
  );
});
