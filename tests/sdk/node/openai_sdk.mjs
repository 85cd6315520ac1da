// OpenAI's Node SDK.

import OpenAI, { toFile, toStreamingFile } from 'openai';
import { POLLING, runScenario, sentAlong } from './scenario.mjs';

function connect(baseURL, apiKey, provider) {
  const defaultHeaders = provider === undefined ? {} : { 'x-portkey-provider': provider };
  const { files } = new OpenAI({ baseURL, apiKey, defaultHeaders });
  return {
    create: (body, requestId) => files.create(body, sentAlong(requestId)),
    page: (query, requestId) => files.list(query, sentAlong(requestId)),
    allIds: async (query, requestId) => {
      const ids = [];
      for await (const file of files.list(query, sentAlong(requestId))) ids.push(file.id);
      return ids;
    },
    retrieve: (id) => files.retrieve(id),
    requestIdOf: async (id, requestId) => (await files.retrieve(id, sentAlong(requestId)))._request_id,
    delete: (id) => files.delete(id),
    text: async (id) => (await files.content(id)).text(),
    pieces: async (id) => (await files.content(id)).body,
    waitForProcessing: (id) => files.waitForProcessing(id, POLLING),
  };
}

// What only OpenAI's SDK does: it follows the pages by itself, knows the request's id, and sends any size in constant memory.
async function goOn(steps) {
  const client = connect(steps.job.base_url, steps.job.pages_key);
  const queries = { 'pages-ascending': { limit: 1, order: 'asc' }, 'pages-by-default': { limit: 1 }, 'pages-of-ten': { limit: 10 } };
  for (const [step, query] of Object.entries(queries)) await steps.take(step, () => client.allIds(query, steps.requestId(step)));
  const first = (await client.page({ limit: 1 })).data[0].id;
  await steps.take('request-id', () => client.requestIdOf(first, steps.requestId('request-id')));
  await steps.sendBatch('far-too-large', connect(steps.job.base_url, steps.job.api_key), 'far-too-large.jsonl');
}

await runScenario({
  connect,
  toFile,
  moreWays: (pieces) => ({ 'named stream': () => toStreamingFile(pieces(), 'given.bin') }),
  more: goOn,
});
