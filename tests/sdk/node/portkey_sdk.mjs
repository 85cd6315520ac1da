// Portkey's Node SDK with nothing but an API key: the `Authorization` it then sends is a placeholder of its own.
// And OpenAI's with the headers that Portkey makes for it.

import OpenAI, { toFile } from 'openai';
import { Portkey, createHeaders } from 'portkey-ai';
import { POLLING, runScenario, sentAlong } from './scenario.mjs';

// The SDK copies the body's stream into a plain object, which leaves everything of a ReadableStream but its type.
const asStream = (content) => Object.setPrototypeOf(content, ReadableStream.prototype);

function connect(baseURL, apiKey, provider) {
  const { files } = new Portkey({ baseURL, apiKey, provider });
  return {
    create: (body, requestId) => files.create(body, undefined, sentAlong(requestId)),
    page: (query, requestId) => files.list(query, undefined, sentAlong(requestId)),
    retrieve: (id) => files.retrieve(id),
    delete: (id) => files.delete(id),
    text: async (id) => new Response(asStream(await files.content(id))).text(),
    pieces: async (id) => asStream(await files.content(id)),
    waitForProcessing: (id) => files.waitForProcessing(id, POLLING),
  };
}

// Portkey's SDK shows one page at a time.
async function pageByHand(steps) {
  const client = connect(steps.job.base_url, steps.job.pages_key);
  const first = await steps.take('first page', () => client.page({ limit: 20, order: 'asc' }));
  await steps.take('second page', () => client.page({ limit: 20, order: 'asc', after: first.data.at(-1).id }));
}

// OpenAI's client with Portkey's headers, and in `Authorization` a key that stands for nothing.
async function lendHeaders(steps) {
  const defaultHeaders = createHeaders({ apiKey: steps.job.pages_key });
  const client = new OpenAI({ baseURL: steps.job.base_url, apiKey: 'dummy', defaultHeaders });
  await steps.take('portkey headers on openai', async () => {
    const ids = [];
    for await (const file of client.files.list({ limit: 10, order: 'asc' })) ids.push(file.id);
    return ids;
  });
}

await runScenario({
  connect,
  toFile,
  more: async (steps) => {
    await pageByHand(steps);
    await lendHeaders(steps);
  },
});
