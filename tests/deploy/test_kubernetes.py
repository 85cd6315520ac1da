from __future__ import annotations

import copy

import kubernetes_validate
import pytest

from support.deployment import KUBERNETES, Document, of_kind, rendered

FOLDERS = ("base", "overlays/example")
# The oldest that has everything these manifests use, and the newest that there is a schema of.
VERSIONS = ("1.27", kubernetes_validate.latest_version())
LABELS = {"app.kubernetes.io/name": "fileplane"}


def pod(folder: str) -> Document:
    return of_kind(rendered(folder), "Deployment")["spec"]["template"]


def container(folder: str) -> Document:
    [found] = pod(folder)["spec"]["containers"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_resource_is_as_kubernetes_wants_it(folder: str, version: str):
    for document in rendered(folder):
        kubernetes_validate.validate(document, version, strict=True)


def test_a_misspelt_field_would_be_seen():
    document = copy.deepcopy(of_kind(rendered("base"), "Deployment"))
    document["spec"]["template"]["spec"]["terminationGracePeriod"] = 90
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


def test_every_file_is_part_of_what_is_applied():
    for folder in FOLDERS:
        text = (KUBERNETES / folder / "kustomization.yaml").read_text("utf-8")
        others = [path.name for path in (KUBERNETES / folder).glob("*.yaml") if path.name != "kustomization.yaml"]
        assert [name for name in others if f"  - {name}\n" not in text] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_service_budget_and_spread_are_of_these_pods(folder: str):
    documents = rendered(folder)
    assert pod(folder)["metadata"]["labels"] == LABELS
    assert of_kind(documents, "Deployment")["spec"]["selector"]["matchLabels"] == LABELS
    assert of_kind(documents, "Service")["spec"]["selector"] == LABELS
    assert of_kind(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == LABELS
    for spread in pod(folder)["spec"]["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"] == LABELS
    assert of_kind(documents, "Service")["spec"]["ports"][0]["targetPort"] in {port["name"] for port in container(folder)["ports"]}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_pod_is_one_that_the_restricted_standard_admits(folder: str):
    spec, security = pod(folder)["spec"], container(folder)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert {key for volume in spec["volumes"] for key in volume} <= {"name", "emptyDir", "secret"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_pod_writes_to_its_volumes_alone_and_is_given_no_token(folder: str):
    spec, mounts = pod(folder)["spec"], container(folder)["volumeMounts"]
    assert container(folder)["securityContext"]["readOnlyRootFilesystem"]
    assert {mount["name"] for mount in mounts} == {volume["name"] for volume in spec["volumes"]}
    assert not spec["automountServiceAccountToken"]
    # A service named fileplane would set FILEPLANE_PORT to an address.
    assert spec["enableServiceLinks"] is False


@pytest.mark.parametrize("folder", FOLDERS)
def test_nodes_are_replaced_one_at_a_time_and_never_all_taken(folder: str):
    spec = of_kind(rendered(folder), "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["replicas"] >= 2
    assert of_kind(rendered(folder), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_settings_are_under_a_name_that_changes_with_them(folder: str):
    settings = of_kind(rendered(folder), "ConfigMap")
    [reference] = [source["configMapRef"]["name"] for source in container(folder)["envFrom"] if "configMapRef" in source]
    assert settings["metadata"]["name"] == reference != "fileplane-settings"


def test_no_secret_is_in_any_file():
    assert [document["kind"] for folder in FOLDERS for document in rendered(folder) if document["kind"] == "Secret"] == []


def test_an_overlay_changes_what_it_says_and_keeps_the_rest():
    assert container("overlays/example")["image"] == "registry.example/fileplane:1"
    assert of_kind(rendered("overlays/example"), "Deployment")["spec"]["replicas"] == 3
    assert container("overlays/example")["volumeMounts"] == container("base")["volumeMounts"]
    base, changed = (of_kind(rendered(folder), "ConfigMap")["data"] for folder in FOLDERS)
    assert base.keys() < changed.keys()
