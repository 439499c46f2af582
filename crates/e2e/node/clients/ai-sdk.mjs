// npm @ai-sdk/mcp: tools as the AI SDK gives them to a model.
import { auth, createMCPClient } from '@ai-sdk/mcp';
import { drive } from './driver.mjs';

await drive({
  async open(url, authProvider) {
    const client = await createMCPClient({ transport: { type: 'http', url: url.href, authProvider } });
    const tools = await client.tools();
    return { call: (name) => tools[name].execute({}, { toolCallId: '1', messages: [] }), close: () => client.close() };
  },
  async finish(url, authProvider, answer) {
    await auth(authProvider, {
      serverUrl: url,
      authorizationCode: answer.get('code'),
      callbackState: answer.get('state') ?? undefined,
      callbackIssuer: answer.get('iss') ?? undefined,
    });
  },
});
