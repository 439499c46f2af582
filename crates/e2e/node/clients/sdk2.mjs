// npm @modelcontextprotocol/client (2.x), in the older era: the observatory speaks 2025-11-25.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { drive } from './driver.mjs';

await drive({
  async open(url, authProvider) {
    const client = new Client({ name: 'observed', version: '1' }, { versionNegotiation: { mode: 'legacy' } });
    const transport = new StreamableHTTPClientTransport(url, { authProvider });
    await client.connect(transport);
    return { transport, call: (name) => client.callTool({ name, arguments: {} }), close: () => client.close() };
  },
  async finish(url, authProvider, answer, session) {
    const transport = session?.transport ?? new StreamableHTTPClientTransport(url, { authProvider });
    await transport.finishAuth(answer.get('code'), answer.get('iss') ?? undefined);
  },
});
