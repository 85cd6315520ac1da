// A page of another origin in a real Chromium: it uploads with tus-js-client's browser build, pauses, resumes, and downloads again.
// Prints what the page saw, as JSON.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const job = JSON.parse(readFileSync(0, 'utf8'));
const library = readFileSync(createRequire(import.meta.url).resolve('tus-js-client/dist/tus.min.js'));
const files = { '/': ['text/html', '<!doctype html><title>page</title><script src="/tus.js"></script>'], '/tus.js': ['text/javascript', library] };

const pages = createServer((request, response) => {
  const [type, body] = files[request.url] ?? ['text/plain', ''];
  response.writeHead(type === 'text/plain' ? 404 : 200, { 'content-type': type }).end(body);
});
await new Promise((resolve) => pages.listen(job.page_port, '127.0.0.1', resolve));

const browser = await chromium.launch({
  executablePath: job.chromium,
  headless: true,
  timeout: 120_000,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});

/** Runs in the page. */
async function inPage({ endpoint, key, size, delays }) {
  const authorization = { Authorization: `Bearer ${key}` };
  const data = new Uint8Array(size).map((_, index) => (index * 31 + (index >> 8)) % 251);
  const file = new File([data], 'page.bin', { type: 'application/octet-stream', lastModified: 1 });
  const hash = async (bytes) => [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  let fileId = null;
  const make = (more) =>
    new tus.Upload(file, {
      endpoint,
      headers: authorization,
      metadata: { filename: file.name, filetype: file.type, purpose: 'user_data' },
      chunkSize: 100_000,
      retryDelays: delays,
      onAfterResponse: (_, response) => {
        fileId = response.getHeader('X-Fileplane-File-Id') ?? fileId;
      },
      ...more,
    });
  try {
    const paused = await new Promise((resolve, reject) => {
      const upload = make({
        onError: reject,
        onSuccess: () => reject(new Error('it was not paused')),
        onChunkComplete: async (_, accepted) => {
          if (accepted < 300_000) return;
          await upload.abort();
          resolve(accepted);
        },
      });
      upload.start();
    });
    const resumed = await new Promise((resolve, reject) => {
      const offsets = [];
      const upload = make({ onError: reject, onSuccess: () => resolve(offsets[0]), onChunkComplete: (chunk, accepted) => offsets.push(accepted - chunk) });
      upload.findPreviousUploads().then(([previous]) => {
        upload.resumeFromPreviousUpload(previous);
        upload.start();
      }, reject);
    });
    const url = `${endpoint.replace('/tus', '/files')}/${fileId}/content`;
    const whole = await fetch(url, { headers: authorization });
    const piece = await fetch(url, { headers: { ...authorization, Range: 'bytes=5-9' } });
    const refused = await fetch(url, { headers: { Authorization: 'Bearer wrong' } });
    return {
      paused,
      resumed,
      sent: await hash(data),
      downloaded: await hash(await whole.arrayBuffer()),
      etag: whole.headers.get('etag'),
      requestId: whole.headers.get('x-request-id'),
      range: piece.headers.get('content-range'),
      refused: [refused.status, (await refused.json()).error.code],
    };
  } catch (error) {
    return { error: String(error) };
  }
}

try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${job.page_port}/`);
  const results = {};
  for (const [name, given] of Object.entries(job.servers)) results[name] = await page.evaluate(inPage, given);
  console.log(JSON.stringify(results));
} finally {
  await browser.close();
  pages.close();
}
