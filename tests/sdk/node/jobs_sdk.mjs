// Begins a batch and a fine-tuning job with each client, looks at them, ends them, and prints what came back; see ../processes.py.
import { readFileSync } from "node:fs";
import OpenAI, { toFile } from "openai";
import { Portkey, createHeaders } from "portkey-ai";

const job = JSON.parse(readFileSync(0, "utf8"));
const seen = {};

function clientOf(name) {
  if (name === "portkey") return new Portkey({ apiKey: job.api_key, baseURL: job.base_url, virtualKey: job.virtual_key });
  const defaultHeaders = createHeaders({ apiKey: job.api_key, virtualKey: job.virtual_key });
  return new OpenAI({ apiKey: "OPENAI_API_KEY", baseURL: job.base_url, defaultHeaders });
}

async function uploaded(client, purpose) {
  return client.files.create({ file: await toFile(Buffer.from(job.line), "in.jsonl"), purpose });
}

for (const name of ["openai", "portkey"]) {
  const client = clientOf(name);
  const batchFile = await uploaded(client, "batch");
  const batch = await client.batches.create({ input_file_id: batchFile.id, endpoint: "/v1/embeddings", completion_window: "24h" });
  const got = await client.batches.retrieve(batch.id);
  const listed = (await client.batches.list({ limit: 10 })).data.map((one) => one.id);
  const cancelled = await client.batches.cancel(batch.id);
  const file = await uploaded(client, "fine-tune");
  const jobs = client.fineTuning.jobs;
  const tuning = await jobs.create({ training_file: file.id, model: "some" });
  const events = (await jobs.listEvents(tuning.id)).data;
  const output = name === "portkey" ? await client.batches.output(job.done) : await client.files.content(job.output);
  seen[name] = {
    output: typeof output.text === "function" ? await output.text() : typeof output === "string" ? output : JSON.stringify(output),
    batch: [batch.id, batch.status, batch.input_file_id === batchFile.id],
    got: got.id,
    listed,
    cancelled: [cancelled.id, cancelled.status],
    tuning: [tuning.id, tuning.status, tuning.training_file === file.id],
    "tuning got": (await jobs.retrieve(tuning.id)).id,
    tunings: (await jobs.list({ limit: 10 })).data.map((one) => one.id),
    events: events.length,
    "tuning cancelled": (await jobs.cancel(tuning.id)).status,
  };
}
process.stdout.write(JSON.stringify(seen));
