// What every Node client is put through. Nothing is judged here: each step's value or error is kept and printed as JSON.
//
// A client has create(body, requestId), page(query, requestId), retrieve(id), delete(id), text(id), pieces(id) and
// waitForProcessing(id); connect(baseUrl, key, provider) makes one.

import { createHash } from 'node:crypto';
import { createReadStream, openAsBlob, readFileSync } from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';

export const POLLING = { pollInterval: 100, maxWait: 5000 };

export class Steps {
  constructor(job) {
    this.job = job;
    this.results = {};
  }

  input(name) {
    return path.join(this.job.folder, name);
  }

  requestId(step) {
    return `${this.job.client}.${step}`;
  }

  // Uploads a read stream under the step's own request id.
  sendBatch(step, client, name) {
    const file = createReadStream(this.input(name));
    return this.take(step, () => client.create({ purpose: 'batch', file }, this.requestId(step)));
  }

  async take(step, action) {
    try {
      const value = await action();
      this.results[step] = { value };
      return value;
    } catch (error) {
      this.results[step] = { error: describe(error) };
      return undefined;
    }
  }
}

export const sentAlong = (requestId) => (requestId === undefined ? {} : { headers: { 'x-request-id': requestId } });

// An error as a caller of the SDK can look at it.
function describe(error) {
  const { status = null, code = null, param = null, type = null, requestID = null } = error;
  return {
    class: error.constructor.name,
    message: error.message,
    status,
    code,
    param,
    type,
    request_id: requestID,
    traceback: `${error.stack}\n${error.cause?.stack ?? ''}`,
  };
}

// Size and hash of a file's content, read piece by piece.
async function readBack(client, id) {
  const digest = createHash('sha256');
  let bytes = 0;
  for await (const piece of await client.pieces(id)) {
    digest.update(piece);
    bytes += piece.length;
  }
  return { bytes, sha256: digest.digest('hex') };
}

async function* inPieces(content) {
  for (let start = 0; start < content.length; start += 50_000) yield content.subarray(start, start + 50_000);
}

// `toFile` is the SDK's; `moreWays` are what only this SDK can upload.
export async function runScenario({ connect, toFile, moreWays = () => ({}), more }) {
  const steps = new Steps(JSON.parse(readFileSync(0, 'utf8')));
  const client = connect(steps.job.base_url, steps.job.api_key);
  await uploadInEveryWay(steps, client, toFile, moreWays);
  await readContent(steps, client);
  await keepNames(steps, client, toFile);
  await deleteOne(steps, client);
  await beRefused(steps, client, connect, toFile);
  await nameAProvider(steps, connect(steps.job.base_url, steps.job.untouched_key, 'deepseek'));
  await more(steps);
  process.stdout.write(JSON.stringify(steps.results));
}

async function uploadInEveryWay(steps, client, toFile, moreWays) {
  const sample = steps.input('sample.bin');
  const content = readFileSync(sample);
  const upload = async (file) => {
    const created = await client.create({ file, purpose: 'user_data' });
    return { file: created, content: await readBack(client, created.id) };
  };
  const ways = {
    'path': async () => new File([await openAsBlob(sample)], 'sample.bin'),
    'bytes': () => toFile(content, 'given.bin'),
    'read stream': () => createReadStream(sample),
    'async generator': () => inPieces(content),
    'readable': () => Readable.from(inPieces(content)),
    ...moreWays(() => inPieces(content)),
  };
  for (const [way, file] of Object.entries(ways)) await steps.take(`upload ${way}`, async () => upload(await file()));
  await steps.take('upload nothing', () => upload(createReadStream(steps.input('empty.txt'))));

  const plain = () => createReadStream(steps.input('plain.txt'));
  await steps.take('expires after', async () => {
    const created = await client.create({ file: plain(), purpose: 'user_data', expires_after: { anchor: 'created_at', seconds: 3600 } });
    return [created, await client.retrieve(created.id)];
  });
  await steps.take('batch', () => client.create({ file: createReadStream(steps.input('batch.jsonl')), purpose: 'batch' }));
}

async function readContent(steps, client) {
  const create = (name, purpose) => client.create({ file: createReadStream(steps.input(name)), purpose });
  await steps.take('text', async () => client.text((await create('lines.jsonl', 'fine-tune')).id));
  await steps.take('large', async () => readBack(client, (await create('large.bin', 'assistants')).id));
  await steps.take('wait', async () => client.waitForProcessing((await create('batch.jsonl', 'batch')).id));
}

async function keepNames(steps, client, toFile) {
  const namesOf = async (fileOf) => {
    const names = [];
    for (const name of steps.job.names) {
      const created = await client.create({ file: await fileOf(name), purpose: 'user_data' });
      names.push([created.filename, (await client.retrieve(created.id)).filename]);
    }
    return names;
  };
  await steps.take('names of paths', () => namesOf((name) => createReadStream(steps.input(name))));
  await steps.take('names of bytes', () => namesOf((name) => toFile(Buffer.from('named'), name)));
}

async function deleteOne(steps, client) {
  const id = await steps.take('create', async () => {
    const created = await client.create({ file: createReadStream(steps.input('plain.txt')), purpose: 'user_data' });
    return created.id;
  });
  await steps.take('delete', async () => [id, await client.delete(id)]);
  await steps.take('retrieve deleted', () => client.retrieve(id));
  await steps.take('content of deleted', () => client.text(id));
  await steps.take('delete deleted', () => client.delete(id));
}

async function beRefused(steps, client, connect, toFile) {
  const plain = () => createReadStream(steps.input('plain.txt'));
  const tooLarge = 'too-large.jsonl';
  const stranger = connect(steps.job.base_url, 'fpk_this-key-was-never-made-by-anyone');
  const reader = connect(steps.job.base_url, steps.job.reader_key);

  await steps.take('wrong key', () => stranger.page({ limit: 1 }));
  await steps.take('missing scope', () => reader.create({ file: plain(), purpose: 'user_data' }));
  await steps.take('bad purpose', () => client.create({ file: plain(), purpose: 'holiday' }));
  const twoLines = await toFile(Buffer.from('named'), 'two\r\nlines.txt');
  await steps.take('bad name', () => client.create({ file: twoLines, purpose: 'user_data' }));
  const tooSoon = { anchor: 'created_at', seconds: 3599 };
  await steps.take('short expiry', () => client.create({ file: plain(), purpose: 'user_data', expires_after: tooSoon }));
  await steps.take('bad limit', () => client.page({ limit: 0 }));
  await steps.take('unknown cursor', () => client.page({ after: '01900000-0000-7000-8000-000000000000' }));
  await steps.take('unknown file', () => client.retrieve('file-unknown'));
  await steps.sendBatch('too-large', client, tooLarge);
  // The fields are sent in the order of the object: with the file first, its limit is known only once all of it is there.
  const fileFirst = 'too-large-file-first';
  const file = createReadStream(steps.input(tooLarge));
  await steps.take(fileFirst, () => client.create({ file, purpose: 'batch' }, steps.requestId(fileFirst)));
  await steps.sendBatch('large-with-wrong-key', stranger, tooLarge);
  await steps.sendBatch('large-with-missing-scope', reader, tooLarge);
  await steps.take('after refusals', () => client.create({ file: plain(), purpose: 'user_data' }));
}

async function nameAProvider(steps, client) {
  const file = createReadStream(steps.input('plain.txt'));
  const create = 'create-at-provider';
  await steps.take(create, () => client.create({ file, purpose: 'user_data' }, steps.requestId(create)));
  const list = 'list-at-provider';
  await steps.take(list, () => client.page({}, steps.requestId(list)));
}
