// tus-js-client, in Node: sends a file as told, and prints what came of each scenario, as JSON.

import { createReadStream, readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import * as tus from 'tus-js-client';

const job = JSON.parse(readFileSync(0, 'utf8'));
const data = readFileSync(job.path);
const metadata = { filename: 'node.bin', filetype: 'application/octet-stream', purpose: 'user_data' };

function upload(source, more, watch = () => {}) {
  return new Promise((resolve, reject) => {
    let fileId = null;
    let requests = 0;
    const running = new tus.Upload(source, {
      endpoint: job.endpoint,
      headers: { Authorization: `Bearer ${job.api_key}` },
      metadata,
      retryDelays: Array(100).fill(200),
      onAfterResponse: (request, response) => {
        requests += 1;
        fileId = response.getHeader('X-Fileplane-File-Id') ?? fileId;
      },
      onSuccess: () => resolve({ url: running.url, fileId, requests }),
      onError: reject,
      onProgress: (sent) => watch(running, sent),
      ...more,
    });
    running.start();
  });
}

/** Stops once amid the upload, and goes on by the URL alone, as after a reload. */
function abortedAndResumed() {
  return new Promise((resolve, reject) => {
    let stopped = false;
    const stop = async (running, sent) => {
      if (stopped || !running.url || sent < data.length / 3) return;
      stopped = true;
      await running.abort();
      upload(data, { uploadUrl: running.url, endpoint: null }).then(resolve, reject);
    };
    upload(data, { chunkSize: 100_000 }, stop).catch(reject);
  });
}

async function terminated() {
  const done = await upload(data.subarray(0, 10), {});
  await tus.Upload.terminate(done.url, { headers: { Authorization: `Bearer ${job.api_key}` } });
  return done;
}

const scenarios = {
  'at once': () => upload(data, {}),
  'in chunks': () => upload(data, { chunkSize: 70_001 }),
  'with the creation': () => upload(data, { uploadDataDuringCreation: true }),
  'from a file': () => upload(createReadStream(job.path), { chunkSize: 150_000 }),
  'of unknown length': () => upload(Readable.from([data.subarray(0, 300_000), data.subarray(300_000)]), { uploadLengthDeferred: true, chunkSize: 200_000 }),
  'by POST alone': () => upload(data, { overridePatchMethod: true, chunkSize: 400_000 }),
  empty: () => upload(Buffer.alloc(0), {}),
  'aborted and resumed': abortedAndResumed,
  terminated,
  patiently: () => upload(data, { chunkSize: 65_536 }),
};
const results = {};
for (const name of job.scenarios) results[name] = await scenarios[name]();
console.log(JSON.stringify(results));
