// npm @modelcontextprotocol/sdk (1.x).
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { drive } from './driver.mjs';

await drive({
  async open(url, authProvider) {
    const client = new Client({ name: 'observed', version: '1' });
    const transport = new StreamableHTTPClientTransport(url, { authProvider });
    await client.connect(transport);
    return { transport, call: (name) => client.callTool({ name, arguments: {} }), close: () => client.close() };
  },
  async finish(url, authProvider, answer, session) {
    const transport = session?.transport ?? new StreamableHTTPClientTransport(url, { authProvider });
    await transport.finishAuth(answer.get('code'));
  },
});
