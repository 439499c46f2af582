// npm @langchain/mcp-adapters: tools as LangChain gives them to a model.
import { MultiServerMCPClient } from '@langchain/mcp-adapters';
import { auth } from '@modelcontextprotocol/sdk/client/auth.js';
import { drive } from './driver.mjs';

await drive({
  async open(url, authProvider) {
    const client = new MultiServerMCPClient({ mcpServers: { observed: { transport: 'http', url: url.href, authProvider } } });
    const tools = new Map((await client.getTools()).map((tool) => [tool.name, tool]));
    return { call: (name) => tools.get(name).invoke({}), close: () => client.close() };
  },
  async finish(url, authProvider, answer) {
    await auth(authProvider, { serverUrl: url, authorizationCode: answer.get('code') });
  },
});
