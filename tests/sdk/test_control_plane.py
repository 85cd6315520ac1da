"""Portkey's SDKs, unmodified, make and read virtual keys, providers, integrations and configs, and lose nothing of the answers."""

from __future__ import annotations

import json
import sys
from typing import Any

from fileplane.access import ALL_SCOPES, ORGANISATION_SCOPES
from sdk.processes import FOLDER, NODE, run
from support.server import RunningServer

SCOPES = tuple(sorted(ALL_SCOPES - ORGANISATION_SCOPES))

NODE_SCRIPT = """
import { Portkey } from 'portkey-ai';
const { baseURL, apiKey } = JSON.parse(process.argv[1]);
const portkey = new Portkey({ baseURL, apiKey });
const seen = {};
const fields = { key: 'sk-node', apiVersion: null, openaiProject: 'proj-1' };
const key = await portkey.virtualKeys.create({ name: 'Mine', provider: 'openai', ...fields });
await portkey.virtualKeys.update({ slug: key.slug, note: 'why' });
seen.key = await portkey.virtualKeys.retrieve({ slug: key.slug });
seen.integration = await portkey.integrations.create({ name: 'Production', ai_provider_id: 'openai', key: 'sk-node', configurations: {} });
const provider = await portkey.providers.create({ name: 'Team', integration_id: seen.integration.slug });
await portkey.providers.update({ slug: provider.slug, note: 'whose' });
seen.provider = await portkey.providers.retrieve({ slug: provider.slug });
seen.integration = await portkey.integrations.retrieve({ slug: seen.integration.slug });
const config = await portkey.configs.create({ name: 'Nightly', config: { provider: `@${provider.slug}` }, isDefault: 0 });
await portkey.configs.update({ slug: config.slug, name: 'Renamed' });
seen.config = await portkey.configs.retrieve({ slug: config.slug });
seen.keys = await portkey.virtualKeys.list();
seen.configs = await portkey.configs.list();
try { await portkey.virtualKeys.delete({ slug: provider.slug }); } catch (error) { seen.refused = error.status; }
await portkey.configs.delete({ slug: config.slug });
await portkey.providers.delete({ slug: provider.slug });
await portkey.integrations.delete({ slug: seen.integration.slug });
console.log(JSON.stringify(seen));
"""


PYTHON_SCRIPT = """
import json, sys
from portkey_ai import Portkey
given = json.loads(sys.argv[1])
portkey = Portkey(api_key=given["apiKey"], base_url=given["baseURL"])
key = portkey.virtual_keys.create(name="Mine", provider="openai", key="sk-python")
assert (portkey.virtual_keys.update(slug=key.slug, note="why").slug, key.object) == (key.slug, "virtual-key")
integration = portkey.integrations.create(name="Production", ai_provider_id="openai", key="sk-python", configurations={})
provider = portkey.providers.create(name="Team", integration_id=integration.slug, workspace_id="python-control")
portkey.providers.update(slug=provider.slug, workspace_id="python-control", note="whose")
config = portkey.configs.create(name="Nightly", config={"provider": f"@{provider.slug}"}, is_default=0)
portkey.configs.update(slug=config.slug, name="Renamed")
gone = portkey.configs.create(name="Gone", config={"provider": "fileplane"})
portkey.configs.delete(slug=gone.slug)
answers = {
    "/virtual-keys": portkey.virtual_keys.list(),
    "/providers": portkey.providers.list(),
    f"/providers/{provider.slug}": portkey.providers.retrieve(slug=provider.slug),
    "/integrations": portkey.integrations.list(),
    f"/integrations/{integration.slug}": portkey.integrations.retrieve(slug=integration.slug),
    f"/integrations/{integration.slug}/workspaces": portkey.integrations.workspaces.list(slug=integration.slug),
    "/configs": portkey.configs.list(),
    f"/configs/{config.slug}": portkey.configs.retrieve(slug=config.slug),
}
print(json.dumps({path: answer.model_dump() for path, answer in answers.items()}))
"""


def contains(whole: Any, part: Any) -> bool:
    """Whether everything of ``part`` is in ``whole``, which may have more members."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and contains(whole[name], value) for name, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part)


def test_the_python_sdk_loses_nothing(server: RunningServer) -> None:
    key = server.create_key(project="python-control", scopes=SCOPES)
    seen = json.loads(run((sys.executable, "-c", PYTHON_SCRIPT, json.dumps({"baseURL": server.base_url, "apiKey": key}))))
    with server.client(key) as api:
        for path, answer in seen.items():
            assert contains(answer, api.get(path).json()), path
    assert len(seen) == 8


def test_the_node_sdk_loses_nothing(server: RunningServer) -> None:
    given = json.dumps({"baseURL": server.base_url, "apiKey": server.create_key(project="node-control", scopes=SCOPES)})
    seen = json.loads(run((str(NODE), "--input-type=module", "--eval", NODE_SCRIPT, given), folder=FOLDER / "node"))
    assert (seen["key"]["note"], seen["key"]["masked_api_key"], seen["key"]["object"]) == ("why", "********", "virtual-key")
    assert (seen["provider"]["note"], seen["provider"]["integration_id"]) == ("whose", seen["integration"]["slug"])
    assert (seen["integration"]["ai_provider_id"], seen["integration"]["masked_key"]) == ("openai", "********")
    assert seen["config"]["config"] == seen["config"]["data"]["config"] == {"provider": f"@{seen['provider']['slug']}"}
    assert (seen["config"]["name"], seen["configs"]["total"], seen["keys"]["total"]) == ("Renamed", 1, 3)
    assert seen["refused"] == 409
