// Makes the five file calls once for each way of saying where they go, and prints what came back; see ../processes.py.
import { readFileSync } from "node:fs";
import OpenAI, { toFile } from "openai";
import { Portkey, createHeaders } from "portkey-ai";

const job = JSON.parse(readFileSync(0, "utf8"));
const seen = {};
// Portkey's client gives a stream without its methods.
const asStream = (content) => Object.setPrototypeOf(content, ReadableStream.prototype);

function filesOf(way) {
  const [apiKey, baseURL] = [way.api_key ?? job.api_key, way.base_url ?? job.base_url];
  if (way.sdk === "portkey") return new Portkey({ apiKey, baseURL, ...way.options }).files;
  const defaultHeaders = createHeaders({ apiKey, ...way.options });
  return new OpenAI({ apiKey: way.bearer, baseURL, defaultHeaders }).files;
}

// OpenAI's SDK follows the pages by itself, Portkey's shows one at a time.
async function everyId(files, sdk) {
  const ids = [];
  if (sdk === "openai") {
    for await (const file of files.list({ limit: 1 })) ids.push(file.id);
    return ids;
  }
  for (let more = true; more; ) {
    const page = await files.list({ limit: 1, ...(ids.length ? { after: ids.at(-1) } : {}) });
    ids.push(...page.data.map((file) => file.id));
    more = page.has_more;
  }
  return ids;
}

for (const [name, way] of Object.entries(job.ways)) {
  const files = filesOf(way);
  const made = await files.create({ file: await toFile(Buffer.from('{"a": 1}\n'), "a.jsonl"), purpose: "batch" });
  const other = await files.create({ file: await toFile(Buffer.from('{"b": 2}\n'), "b.jsonl"), purpose: "batch" });
  const got = await files.retrieve(made.id);
  const answer = await files.content(made.id);
  const content = await (typeof answer.text === "function" ? answer : new Response(asStream(answer))).text();
  const listed = await everyId(files, way.sdk);
  const deleted = [];
  for (const id of [made.id, other.id]) deleted.push(await (files.delete ?? files.del).call(files, id));
  seen[name] = {
    made: [made.id, made.bytes, made.purpose, made.filename],
    got: [got.id, got.bytes, got.purpose, got.filename],
    content,
    other: other.id,
    listed,
    deleted: deleted.map((one) => [one.id, one.deleted]),
  };
}
process.stdout.write(JSON.stringify(seen));
