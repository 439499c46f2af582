// What the upstream of ours offers: the tools, prompts and resources that the conformance scenarios name, each as
// small as its scenario allows. Written once for both eras: an `input_required` answer becomes real requests to the
// client in the older revisions, which the SDK does on its own.
import {
  completable,
  createRequestStateCodec,
  fromJsonSchema,
  inputRequired,
  inputResponse,
  McpServer,
  ResourceTemplate,
} from '@modelcontextprotocol/server';
import { z } from 'zod';

const PICTURE = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGM4IScHAAK2AQU0pnWqAAAAAElFTkSuQmCC';
const image = { type: 'image', data: PICTURE, mimeType: 'image/png' };

/** A tenth of a second of silence: 8 kHz, 8 bit, mono. */
function sound() {
  const samples = Buffer.alloc(800, 128);
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.writeUInt32LE(36 + samples.length, 4);
  header.write('WAVEfmt ', 8);
  for (const [value, at, bytes] of [[16, 16, 4], [1, 20, 2], [1, 22, 2], [8000, 24, 4], [8000, 28, 4], [1, 32, 2], [8, 34, 2]]) {
    header.writeUIntLE(value, at, bytes);
  }
  header.write('data', 36);
  header.writeUInt32LE(samples.length, 40);
  return Buffer.concat([header, samples]).toString('base64');
}

const text = (words) => ({ type: 'text', text: words });
const say = (words) => ({ content: [text(words)] });
const embedded = (uri, mimeType, words) => ({ type: 'resource', resource: { uri, mimeType, text: words } });
const pause = () => new Promise((resolve) => setTimeout(resolve, 50));

// Plain literals and not the SDK's builders: some scenarios want schema words that the builders refuse.
const elicit = (message, properties, required) => ({
  method: 'elicitation/create',
  params: { mode: 'form', message, requestedSchema: { type: 'object', properties, ...(required ? { required } : {}) } },
});
const sample = (words, maxTokens) => inputRequired.createMessage({ messages: [{ role: 'user', content: text(words) }], maxTokens });

const nameQuestion = elicit('What is your name?', { name: { type: 'string' } }, ['name']);
const okQuestion = elicit('Please confirm', { ok: { type: 'boolean' } }, ['ok']);

const codec = createRequestStateCodec({ key: crypto.getRandomValues(new Uint8Array(32)) });

const accepted = (ctx, key) => {
  const answer = inputResponse(ctx.mcpReq.inputResponses, key);
  return answer.kind === 'elicit' && answer.action === 'accept' ? (answer.content ?? {}) : undefined;
};
const acceptedName = (ctx, key = 'user_name') => {
  const name = accepted(ctx, key)?.name;
  return typeof name === 'string' ? name : undefined;
};

function contentTools(tool) {
  tool('test_simple_text', () => say('This is a simple text response for testing.'));
  tool('test_image_content', () => ({ content: [image] }));
  tool('test_audio_content', () => ({ content: [{ type: 'audio', data: sound(), mimeType: 'audio/wav' }] }));
  tool('test_embedded_resource', () => ({
    content: [embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')],
  }));
  tool('test_multiple_content_types', () => ({
    content: [
      text('Multiple content types test:'),
      image,
      embedded('test://mixed-content-resource', 'application/json', JSON.stringify({ test: 'data', value: 123 })),
    ],
  }));
  tool('test_error_handling', () => {
    throw new Error('This tool intentionally returns an error for testing');
  });
}

function streamingTools(tool) {
  tool('test_tool_with_logging', async (ctx) => {
    await ctx.mcpReq.log('info', 'Tool execution started');
    await pause();
    await ctx.mcpReq.log('info', 'Tool processing data');
    await pause();
    await ctx.mcpReq.log('info', 'Tool execution completed');
    return say('logged three times');
  });
  tool('test_logging_tool', async (ctx) => {
    await ctx.mcpReq.log('info', 'only heard when a level was asked for');
    return say('logged');
  });
  tool('test_tool_with_progress', async (ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progress > 0) await pause();
      if (progressToken === undefined) continue;
      await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
    }
    return say('went from 0 to 100');
  });
  tool('test_reconnection', async (ctx) => {
    ctx.http?.closeSSE?.();
    await pause();
    return say('the stream was closed on the way');
  });
}

/** Tools of the older scenarios that ask the client something in the middle of a call. */
function askingTools(tool) {
  tool('test_sampling', { prompt: z.string() }, ({ prompt }, ctx) => {
    const answer = inputResponse(ctx.mcpReq.inputResponses, 'answer');
    if (answer.kind !== 'sampling') return inputRequired({ inputRequests: { answer: sample(prompt, 100) } });
    const { content } = answer.result;
    return say(`LLM response: ${(Array.isArray(content) ? content[0] : content).text}`);
  });
  const asking = (name, prefix, question) => (args, ctx) => {
    const answer = inputResponse(ctx.mcpReq.inputResponses, name);
    if (answer.kind !== 'elicit') return inputRequired({ inputRequests: { [name]: question(args) } });
    return say(`${prefix}action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`);
  };
  const contact = {
    username: { type: 'string', description: "User's response" },
    email: { type: 'string', description: "User's email address" },
  };
  tool('test_elicitation', { message: z.string() }, asking('contact', 'User response: ', ({ message }) =>
    elicit(message, contact, ['username', 'email'])));
  const defaults = {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  };
  tool('test_elicitation_sep1034_defaults', {}, asking('profile', 'Elicitation completed: ', () => elicit('Who are you?', defaults)));
  const titled = (noun) => ['First', 'Second', 'Third'].map((nth, index) => ({ const: `value${index + 1}`, title: `${nth} ${noun}` }));
  const options = ['option1', 'option2', 'option3'];
  const choices = {
    untitledSingle: { type: 'string', enum: options },
    titledSingle: { type: 'string', oneOf: titled('Option') },
    legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] },
    untitledMulti: { type: 'array', items: { type: 'string', enum: options } },
    titledMulti: { type: 'array', items: { anyOf: titled('Choice') } },
  };
  tool('test_elicitation_sep1330_enums', {}, asking('choices', 'Elicitation completed: ', () => elicit('Choose', choices)));
}

/** Calls in several rounds (2026-07-28): what is missing is asked for again, and state comes back signed. */
function roundTools(tool) {
  const round = (name, step) => tool(`test_input_required_result_${name}`, step);
  const askName = (ctx) => {
    const name = acceptedName(ctx);
    return name === undefined ? inputRequired({ inputRequests: { user_name: nameQuestion } }) : say(`Hello, ${name}!`);
  };
  round('elicitation', askName);
  tool('test_streaming_elicitation', askName);
  round('sampling', (ctx) => {
    const answer = inputResponse(ctx.mcpReq.inputResponses, 'capital_question');
    if (answer.kind === 'sampling') return say(`the model said: ${JSON.stringify(answer.result.content)}`);
    return inputRequired({ inputRequests: { capital_question: sample('What is the capital of France?', 100) } });
  });
  round('list_roots', (ctx) => {
    const answer = inputResponse(ctx.mcpReq.inputResponses, 'client_roots');
    if (answer.kind === 'roots') return say(`roots: ${answer.roots.map((root) => root.uri).join(', ')}`);
    return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
  });
  const confirm = async (ctx) => {
    if (accepted(ctx, 'confirm') && ctx.mcpReq.requestState()?.round === 1) return say('state-ok');
    return inputRequired({ inputRequests: { confirm: okQuestion }, requestState: await codec.mint({ round: 1 }) });
  };
  round('request_state', confirm);
  round('tampered_state', confirm);
  round('multiple_inputs', async (ctx) => {
    const kinds = ['user_name', 'greeting', 'client_roots'].map((key) => inputResponse(ctx.mcpReq.inputResponses, key).kind);
    if (kinds.join() === 'elicit,sampling,roots' && ctx.mcpReq.requestState()) return say('all three answered');
    const inputRequests = {
      user_name: nameQuestion,
      greeting: sample('Generate a greeting', 50),
      client_roots: inputRequired.listRoots(),
    };
    return inputRequired({ inputRequests, requestState: await codec.mint({ round: 1 }) });
  });
  round('multi_round', async (ctx) => {
    const state = ctx.mcpReq.requestState();
    const color = accepted(ctx, 'step2')?.color;
    if (state?.name && color) return say(`${state.name} likes ${color}`);
    const name = state?.name ?? acceptedName(ctx, 'step1');
    const question = name
      ? { step2: elicit('Step 2: What is your favorite color?', { color: { type: 'string' } }, ['color']) }
      : { step1: elicit('Step 1: What is your name?', { name: { type: 'string' } }, ['name']) };
    return inputRequired({ inputRequests: question, requestState: await codec.mint({ name, at: Object.keys(question)[0] }) });
  });
  round('capabilities', (ctx) => {
    const declared = ctx.mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities'] ?? {};
    const inputRequests = {};
    if (declared.elicitation) inputRequests.name = nameQuestion;
    if (declared.sampling) inputRequests.thought = sample('Think of a number', 20);
    if (declared.roots) inputRequests.roots = inputRequired.listRoots();
    return Object.keys(inputRequests).length > 0 ? inputRequired({ inputRequests }) : say('this client can be asked nothing');
  });
  tool('test_missing_capability', (ctx) => {
    const answer = inputResponse(ctx.mcpReq.inputResponses, 'thought');
    return answer.kind === 'sampling' ? say('thought about it') : inputRequired({ inputRequests: { thought: sample('Think', 20) } });
  });
}

function schemaTools(server) {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    $defs: {
      address: { $anchor: 'place', type: 'object', properties: { street: { type: 'string' }, city: { type: 'string' } } },
    },
    properties: {
      name: { type: 'string' },
      address: { $ref: '#/$defs/address' },
      by: { type: 'string', enum: ['phone', 'email'] },
      phone: { type: 'string' },
      email: { type: 'string' },
    },
    allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
    if: { properties: { by: { const: 'phone' } }, required: ['by'] },
    then: { required: ['phone'] },
    else: { required: ['email'] },
    additionalProperties: false,
  };
  const annotations = { readOnlyHint: true };
  server.registerTool(
    'json_schema_2020_12_tool',
    { description: 'Has every keyword of its schema preserved', inputSchema: fromJsonSchema(schema), annotations },
    () => say('the schema held'),
  );
  const routed = {
    type: 'object',
    properties: { region: { type: 'string', 'x-mcp-header': 'Region' }, query: { type: 'string' } },
    required: ['region'],
  };
  server.registerTool(
    'test_headers',
    { description: 'Has an argument that travels as a header too', inputSchema: fromJsonSchema(routed), annotations },
    ({ region }) => say(`region ${region}`),
  );
}

function prompts(server) {
  const user = (content) => ({ role: 'user', content });
  const prompt = (name, config, act) => server.registerPrompt(name, { description: `For the scenario ${name}`, ...config }, act);
  prompt('test_simple_prompt', {}, () => ({ messages: [user(text('This is a simple prompt for testing.'))] }));
  const complete = (word) => completable(z.string(), (start) => [`${word}-one`, `${word}-two`].filter((value) => value.startsWith(start)));
  prompt('test_prompt_with_arguments', { argsSchema: z.object({ arg1: complete('first'), arg2: complete('second') }) }, ({ arg1, arg2 }) => ({
    messages: [user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))],
  }));
  prompt('test_prompt_with_embedded_resource', { argsSchema: z.object({ resourceUri: z.string() }) }, ({ resourceUri }) => ({
    messages: [
      user(embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.')),
      user(text('Please process the embedded resource above.')),
    ],
  }));
  prompt('test_prompt_with_image', {}, () => ({ messages: [user(image), user(text('Please analyze the image above.'))] }));
  prompt('test_input_required_result_prompt', {}, (ctx) => {
    const context = accepted(ctx, 'user_context')?.context;
    if (context) return { messages: [user(text(`Use this context: ${context}`))] };
    const question = elicit('What context should the prompt use?', { context: { type: 'string' } }, ['context']);
    return inputRequired({ inputRequests: { user_context: question } });
  });
}

function resources(server) {
  const resource = (name, uri, mimeType, member, value) =>
    server.registerResource(name, uri, { description: `The resource ${name}`, mimeType }, () => ({ contents: [{ uri, mimeType, [member]: value }] }));
  resource('static-text', 'test://static-text', 'text/plain', 'text', 'This is the content of the static text resource.');
  resource('static-binary', 'test://static-binary', 'image/png', 'blob', PICTURE);
  resource('watched-resource', 'test://watched-resource', 'text/plain', 'text', 'Watch me.');
  const template = new ResourceTemplate('test://template/{id}/data', { list: undefined });
  server.registerResource('template', template, { description: 'Data by id', mimeType: 'application/json' }, (uri, { id }) => ({
    contents: [{ uri: uri.href, mimeType: 'application/json', text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }],
  }));
}

/** A new server for one request (2026-07-28) or one session (older). `notify` tells subscribers of changed lists. */
export function makeServer(era, notify) {
  const server = new McpServer(
    { name: 'end-to-end-upstream', version: '1.0.0' },
    {
      capabilities: { logging: {}, completions: {}, tools: { listChanged: true }, prompts: { listChanged: true }, resources: { subscribe: true } },
      requestState: { verify: codec.verify },
    },
  );
  const tool = (name, shape, act) => {
    const config = { description: `For the scenario ${name}`, annotations: { readOnlyHint: true } };
    if (act) server.registerTool(name, { ...config, inputSchema: z.object(shape) }, act);
    else server.registerTool(name, config, shape);
  };
  contentTools(tool);
  streamingTools(tool);
  askingTools(tool);
  roundTools(tool);
  schemaTools(server);
  tool('test_trigger_tool_change', () => {
    notify.toolsChanged();
    return say('told that tools changed');
  });
  tool('test_trigger_prompt_change', () => {
    notify.promptsChanged();
    return say('told that prompts changed');
  });
  prompts(server);
  resources(server);
  if (era === 'legacy') {
    server.server.setRequestHandler('resources/subscribe', () => ({}));
    server.server.setRequestHandler('resources/unsubscribe', () => ({}));
  }
  return server;
}
