"""Every setting that is named in what is deployed is one, and every value one that the server takes."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from fileplane.data_directory import check_chosen_key
from fileplane.http.routes import OPERATIONS
from fileplane.setting_sources import load_settings, own_variables_of
from fileplane.settings import Settings
from support.deployment import DEPLOY, VARIABLE, Document, compose, example_values, of_kind, rendered
from support.dockerfile import command_of, stages
from support.documents import ROOT

FINAL = stages()[-1]
FOLDERS = ("base", "overlays/example")
NODES = ("fileplane-a", "fileplane-b")
DEPLOYED = sorted([ROOT / "Dockerfile", *(path for path in DEPLOY.rglob("*") if path.name in {"compose.yaml", ".env.example"})])
DEPLOYED += sorted((DEPLOY / "kubernetes").rglob("*.yaml"))
# How long a start waits for the lock of another's.
MIGRATION_SECONDS = 600
VARIABLES = {variable for entry in fields(Settings) for variable in own_variables_of(entry)}


def container(folder: str) -> Document:
    [found] = of_kind(rendered(folder), "Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def settings_of_node(name: str) -> Settings:
    environment = {key: str(value) for key, value in compose(example_values())["services"][name]["environment"].items()}
    return load_settings(environment=FINAL.environment | environment).settings


def settings_of_pods(folder: str, tmp_path) -> Settings:
    environment = dict(of_kind(rendered(folder), "ConfigMap")["data"])
    secrets = example_values()
    contents = {
        "database-url": f"postgresql://fileplane:{secrets['POSTGRES_PASSWORD']}@postgres/fileplane",
        "master-key": secrets["FILEPLANE_MASTER_KEY"],
        "bootstrap-api-key": secrets["FILEPLANE_BOOTSTRAP_API_KEY"],
    }
    for variable in container(folder)["env"]:
        file = tmp_path / variable["value"].removeprefix("/run/secrets/fileplane/")
        file.write_text(contents[file.name])
        environment[variable["name"]] = str(file)
    return load_settings(environment=FINAL.environment | environment).settings


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_variable_is_a_setting(path):
    named = set(re.findall(r"FILEPLANE_[A-Z_]+", path.read_text("utf-8")))
    assert named - VARIABLES == set()


def test_there_are_such_variables():
    assert sum("FILEPLANE_" in path.read_text("utf-8") for path in DEPLOYED) >= 4


@pytest.mark.parametrize("name", NODES)
def test_the_nodes_of_compose_are_given_what_they_need(name: str):
    settings = settings_of_node(name)
    assert settings.database_url.startswith("postgresql://")
    assert not settings.blob_store.is_local
    assert settings.master_key is not None
    assert settings.bootstrap_api_key is not None


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_nodes_of_kubernetes_are_given_what_they_need(folder: str, tmp_path):
    settings = settings_of_pods(folder, tmp_path)
    assert settings.database_url.startswith("postgresql://")
    assert not settings.blob_store.is_local
    assert settings.master_key is not None
    assert settings.bootstrap_api_key is not None


def test_the_commands_for_secrets_make_some_that_the_server_takes():
    made = example_values()
    assert len(set(made.values())) == len(made)
    check_chosen_key(made["FILEPLANE_BOOTSTRAP_API_KEY"])
    assert len(load_settings(environment={"FILEPLANE_MASTER_KEY": made["FILEPLANE_MASTER_KEY"]}).settings.master_key) == 32


def test_no_secret_of_compose_has_a_default_and_each_is_in_the_example():
    used = VARIABLE.findall((DEPLOY / "compose.yaml").read_text("utf-8"))
    assert {name for name, _ in used} == set(example_values())
    assert {how for _, how in used} == {":?see .env.example"}


def test_all_stop_later_than_the_server_has_drained(tmp_path):
    services = compose()["services"]
    for name in NODES:
        assert float(services[name]["stop_grace_period"].removesuffix("s")) > settings_of_node(name).drain_seconds
    for folder in FOLDERS:
        pause = float(container(folder)["lifecycle"]["preStop"]["exec"]["command"][1])
        given = of_kind(rendered(folder), "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert given > pause + settings_of_pods(folder, tmp_path).drain_seconds


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_start_may_wait_for_another_nodes_migration(folder: str):
    probe = container(folder)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] > MIGRATION_SECONDS


def test_every_probe_asks_a_route_that_needs_no_key_on_the_port_that_is_served():
    public = {operation.path for operation in OPERATIONS if operation.method == "GET" and operation.scope is None}
    for folder in FOLDERS:
        ports = {port["name"]: port["containerPort"] for port in container(folder)["ports"]}
        assert ports["http"] == int(FINAL.only("EXPOSE").text) == int(FINAL.environment["FILEPLANE_PORT"])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container(folder)[probe]["httpGet"]
            assert asked["path"] in public
            assert asked["port"] in ports
    assert container("base")["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container("base")["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert "'/healthz'" in command_of(FINAL.only("HEALTHCHECK"))[-1]
    assert f":{FINAL.environment['FILEPLANE_PORT']} " in (DEPLOY / "nginx.conf").read_text("utf-8")


def test_metrics_are_told_on_the_port_that_is_named(tmp_path):
    ports = {port["name"]: port["containerPort"] for port in container("overlays/example")["ports"]}
    assert settings_of_pods("overlays/example", tmp_path).metrics_address == f"0.0.0.0:{ports['metrics']}"
    assert settings_of_pods("base", tmp_path).metrics_address is None
