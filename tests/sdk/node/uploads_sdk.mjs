// OpenAI's Node SDK sends a file in parts, several at once; prints what came back, as JSON.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import OpenAI, { toFile } from 'openai';

const job = JSON.parse(readFileSync(0, 'utf8'));
const client = new OpenAI({ baseURL: job.base_url, apiKey: job.api_key, defaultHeaders: job.headers });
const [purpose] = job.purposes ?? ['user_data'];
const data = readFileSync(job.path);
const PART = 300_000;

async function shown(upload) {
  const content = Buffer.from(await (await client.files.content(upload.file.id)).arrayBuffer());
  const file = await client.files.waitForProcessing(upload.file.id, { pollInterval: 50, maxWait: 60_000 });
  return { upload, sha256: createHash('sha256').update(content).digest('hex'), file };
}

async function inParts(more) {
  const upload = await client.uploads.create({
    filename: 'node.bin',
    purpose,
    bytes: data.length,
    mime_type: 'application/octet-stream',
  });
  const pieces = [];
  for (let start = 0; start < data.length; start += PART) pieces.push(data.subarray(start, start + PART));
  const parts = await Promise.all(pieces.map(async (piece) => client.uploads.parts.create(upload.id, { data: await toFile(piece) })));
  return shown(await client.uploads.complete(upload.id, { part_ids: parts.map((part) => part.id), ...more }));
}

async function refused() {
  const upload = await client.uploads.create({ filename: 'a.bin', purpose, bytes: 10, mime_type: 'text/plain' });
  const part = await client.uploads.parts.create(upload.id, { data: await toFile(Buffer.from('short')) });
  try {
    await client.uploads.complete(upload.id, { part_ids: [part.id] });
  } catch (error) {
    return { code: error.code, param: error.param, cancelled: (await client.uploads.cancel(upload.id)).status };
  }
  throw new Error('it was completed');
}

const results = {
  'at once': await inParts({}),
  verified: await inParts({ md5: createHash('md5').update(data).digest(job.digest ?? 'base64') }),
  refused: await refused(),
};
console.log(JSON.stringify(results));
