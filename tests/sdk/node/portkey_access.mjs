// Uses Portkey's SDK for projects and API keys and prints what came back; see ../processes.py.
import { readFileSync } from "node:fs";
import { Portkey } from "portkey-ai";

const job = JSON.parse(readFileSync(0, "utf8"));
const portkey = new Portkey({ apiKey: job.api_key, baseURL: job.base_url });
const { workspaces } = portkey.admin;
const keys = portkey.apiKeys;
const seen = {};
const plain = (value) => JSON.parse(JSON.stringify(value));

const made = await workspaces.create({ name: "From Node", description: "for tests", defaults: { metadata: { team: "a" } } });
seen["made"] = plain(made);
seen["listed"] = plain(await workspaces.list({ exact_name: "From Node", page_size: 5, current_page: 0 }));
seen["updated"] = plain(await workspaces.update({ workspaceId: made.id, name: "From Node", description: "changed" }));
seen["retrieved"] = plain(await workspaces.retrieve({ workspaceId: made.slug }));
const key = await keys.create({
  type: "workspace",
  "sub-type": "user",
  name: "key",
  workspace_id: made.id,
  user_id: "ada",
  scopes: ["files.read", "prompts.render"],
  rate_limits: [{ type: "requests", unit: "rpm", value: 60 }],
  defaults: { metadata: { a: "b" } },
  expires_at: new Date("2099-01-01T00:00:00Z"),
});
seen["key made"] = plain(key);
seen["files"] = (await new Portkey({ apiKey: key.key, baseURL: job.base_url }).files.list()).total;
seen["key updated"] = plain(await keys.update({ id: key.id, description: "changed" }));
seen["key retrieved"] = plain(await keys.retrieve({ id: key.id }));
seen["keys listed"] = plain(await keys.list({ workspace_id: made.id, page_size: 5, current_page: 0 }));
seen["key rotated"] = plain(await portkey.post(`/api-keys/${key.id}/rotate`, { key_transition_period_ms: 0 }));
seen["key deleted"] = plain(await keys.delete({ id: key.id }));
seen["deleted"] = plain(await workspaces.delete({ workspaceId: made.id, name: "From Node" }));
try {
  await portkey.guardrails.list({});
} catch (error) {
  seen["guardrails"] = String(error.message);
}
console.log(JSON.stringify(seen));
