from __future__ import annotations

import ipaddress
import json
import re
from importlib.resources import files

import jsonschema
import pytest

from support.deployment import DEPLOY, compose, some_values
from support.documents import ROOT

SERVICES = compose()["services"]
NETWORK = compose()["networks"]["fileplane"]["ipam"]["config"][0]


@pytest.fixture(scope="module")
def schema():
    text = files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text("utf-8")
    return jsonschema.validators.validator_for(json.loads(text))(json.loads(text))


def test_it_is_as_the_specification_wants_it(schema):
    assert [error.message for error in schema.iter_errors(compose())] == []
    assert [error.message for error in schema.iter_errors(compose(some_values()))] == []


def test_a_misspelt_option_would_be_seen(schema):
    document = compose()
    document["services"]["nginx"]["read_onyl"] = True
    assert not schema.is_valid(document)


@pytest.mark.parametrize("name", [name for name in SERVICES if "build" not in SERVICES[name]])
def test_every_image_is_of_a_named_version(name: str):
    assert re.fullmatch(r"[\w/]+:\d+\.\d+[\w.-]*", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_limits_and_waits_only_for_what_says_how_it_is(name: str):
    service = SERVICES[name]
    assert service["deploy"]["resources"]["limits"]["memory"]
    for other, condition in service.get("depends_on", {}).items():
        if condition["condition"] == "service_healthy":
            # The nodes have the check of their image.
            assert "healthcheck" in SERVICES[other] or "build" in SERVICES[other]
        else:
            assert SERVICES[other]["restart"] == "on-failure"


def test_everything_that_a_service_names_is_there():
    document = compose()
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in document["volumes"] or (DEPLOY / source).is_file()
        for config in service.get("configs", []):
            assert config["source"] in document["configs"]
    assert (DEPLOY / SERVICES["fileplane-a"]["build"]["context"] / "Dockerfile").resolve() == ROOT / "Dockerfile"


def test_the_nodes_are_alike_and_believe_the_proxy_alone():
    first, second = SERVICES["fileplane-a"], SERVICES["fileplane-b"]
    assert first["environment"] == second["environment"]
    assert first["environment"]["FILEPLANE_TRUSTED_PROXIES"] == SERVICES["nginx"]["networks"]["fileplane"]["ipv4_address"]
    assert first["volumes"] != second["volumes"]


def test_fixed_addresses_are_in_the_network_and_never_given_to_others():
    subnet, given = ipaddress.ip_network(NETWORK["subnet"]), ipaddress.ip_network(NETWORK["ip_range"])
    fixed = [
        ipaddress.ip_address(SERVICES[name]["networks"]["fileplane"]["ipv4_address"]) for name in ("nginx", "fileplane-a", "fileplane-b")
    ]
    assert len(set(fixed)) == len(fixed)
    assert all(address in subnet and address not in given for address in fixed)


def test_nginx_knows_the_nodes_by_their_names():
    named = re.findall(r"^\s+server (\S+):\d+ ", (DEPLOY / "nginx.conf").read_text("utf-8"), re.MULTILINE)
    assert named == ["fileplane-a", "fileplane-b"]


def test_the_object_store_tells_nobody_of_itself_and_its_nodes_may_not_administer_it():
    assert {"-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"} <= set(SERVICES["seaweedfs"]["command"])
    [identity] = json.loads(compose(some_values())["configs"]["identities"]["content"])["identities"]
    assert identity["actions"] == ["Read:fileplane", "Write:fileplane", "List:fileplane"]
    assert SERVICES["fileplane-a"]["environment"]["FILEPLANE_BLOB_STORE"].startswith("s3://fileplane/")


def test_only_nginx_can_be_reached_and_only_from_the_machine_itself():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"nginx": ["127.0.0.1:8080:8080"]}
