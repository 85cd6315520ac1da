// Portkey's Node SDK as an operator uses it: a workspace, an API key, a credential and a config, from their making to their end.

import { readFileSync } from 'node:fs';
import { Portkey } from 'portkey-ai';
import { Steps } from './scenario.mjs';

const steps = new Steps(JSON.parse(readFileSync(0, 'utf8')));
const { client: name, secret, base_url: baseURL, api_key: apiKey } = steps.job;
const connect = (key) => new Portkey({ baseURL, apiKey: key });
const client = connect(apiKey);
const plain = (value) => (value === undefined ? null : JSON.parse(JSON.stringify(value)));
const take = async (step, action) => (await steps.take(step, async () => plain(await action()))) ?? {};

async function throughKey(place) {
  const made = await take('key create', () =>
    client.apiKeys.create({
      type: 'workspace',
      'sub-type': 'service',
      name: `${name} key`,
      workspace_id: place,
      scopes: ['files.read', 'files.write', 'files.delete', 'completions.write'],
      rate_limits: [{ type: 'requests', unit: 'rpm', value: 500 }],
    }),
  );
  const { id } = made;
  await take('key retrieve', () => client.apiKeys.retrieve({ id }));
  await take('key list', () => client.apiKeys.list({ workspace_id: place }));
  await take('key update', () => client.apiKeys.update({ id, name: 'renamed', scopes: ['files.read', 'files.write', 'files.delete'] }));
  await take('key updated', () => client.apiKeys.retrieve({ id }));
  const user = connect(made.key);
  await take('key use', () => user.files.create({ file: new File(['words'], 'a.txt'), purpose: 'user_data' }));
  await take('key oversteps', () => user.apiKeys.list({}));
  const rotated = await take('key rotate', () => client.post(`/api-keys/${id}/rotate`, { key_transition_period_ms: 1_800_000 }));
  await take('key new use', () => connect(rotated.key).files.list());
  const listed = await take('key old use', () => user.files.list());
  for (const file of listed.data ?? []) await take('file delete', () => user.files.delete(file.id));
  return id;
}

async function throughCredential(place) {
  const made = await take('virtual key create', () =>
    client.virtualKeys.create({ name: `${name} openai`, provider: 'openai', key: secret, workspace_id: place }),
  );
  const { slug } = made;
  await take('virtual key retrieve', () => client.virtualKeys.retrieve({ slug }));
  await take('virtual key list', () => client.virtualKeys.list({ workspace_id: place }));
  await take('virtual key update', () => client.virtualKeys.update({ slug, note: 'for tests', key: `${secret}-anew` }));
  await take('virtual key updated', () => client.virtualKeys.retrieve({ slug }));
  return slug;
}

async function throughConfig(place, credential) {
  const config = { strategy: { mode: 'fallback' }, targets: [{ virtual_key: credential }] };
  const made = await take('config create', () => client.configs.create({ name: `${name} config`, config, workspace_id: place }));
  const { slug } = made;
  await take('config retrieve', () => client.configs.retrieve({ slug }));
  await take('config list', () => client.configs.list({ workspace_id: place }));
  await take('config update', () => client.configs.update({ slug, config: { virtual_key: credential, retry: { attempts: 2 } } }));
  await take('config updated', () => client.configs.retrieve({ slug }));
  return slug;
}

async function throughProvider(place) {
  const integration = (
    await take('integration create', () => client.integrations.create({ name: `${name} account`, ai_provider_id: 'openai', key: secret }))
  ).slug;
  await take('integration retrieve', () => client.integrations.retrieve({ slug: integration }));
  await take('integration list', () => client.integrations.list({}));
  const provider = { name: `${name} provider`, integration_id: integration, workspace_id: place };
  const { slug } = await take('provider create', () => client.providers.create(provider));
  await take('provider retrieve', () => client.providers.retrieve({ slug, workspace_id: place }));
  await take('provider list', () => client.providers.list({ workspace_id: place }));
  await take('provider update', () => client.providers.update({ slug, workspace_id: place, name: 'renamed' }));
  await take('integration in use', () => client.integrations.delete({ slug: integration }));
  await take('provider delete', () => client.providers.delete({ slug, workspace_id: place }));
  await take('integration delete', () => client.integrations.delete({ slug: integration }));
}

async function goThrough() {
  const { workspaces } = client.admin;
  const space = { name: `${name} space`, defaults: { metadata: { team: 'blue' } } };
  const place = (await take('workspace create', () => workspaces.create(space))).id;
  await take('workspace retrieve', () => workspaces.retrieve({ workspaceId: place }));
  await take('workspace list', () => workspaces.list({}));
  await take('workspace update', () => workspaces.update({ workspaceId: place, description: 'for tests' }));
  const key = await throughKey(place);
  const credential = await throughCredential(place);
  const config = await throughConfig(place, credential);
  await throughProvider(place);
  await take('virtual key in use', () => client.virtualKeys.delete({ slug: credential }));
  await take('workspace in use', () => workspaces.delete({ workspaceId: place }));
  await take('config wrong', () => client.configs.create({ name: 'wrong', config: { strategy: { mode: 'guess' }, targets: [] } }));
  await take('not provided', () => client.guardrails.list({}));
  await take('config delete', () => client.configs.delete({ slug: config }));
  await take('virtual key delete', () => client.virtualKeys.delete({ slug: credential }));
  await take('key delete', () => client.apiKeys.delete({ id: key }));
  await take('workspace delete', () => workspaces.delete({ workspaceId: place, name: `${name} space` }));
  await take('workspace after', () => workspaces.retrieve({ workspaceId: place }));
}

await goThrough();
process.stdout.write(JSON.stringify(steps.results));
