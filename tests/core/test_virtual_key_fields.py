"""The table of providers, and what is checked against it."""

from __future__ import annotations

import json
import re
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from fileplane.errors import InvalidRequest, InvalidValue, MissingParameter, UnknownParameter
from fileplane.routing.providers import PROVIDER_ALIASES, PROVIDERS, CredentialField
from fileplane.routing.virtual_key_fields import CheckedFields, check_custom_host, checked_fields, find_provider
from fileplane.secrets.references import Reference
from fileplane.secrets.values import Secret

CANARY = "sk-canary-fields-1a2b3c"
SERVICE_ACCOUNT = {"type": "service_account", "client_email": "a@b.iam", "private_key": CANARY}
EVERY_FIELD = [(provider, field) for provider in PROVIDERS.values() for field in provider.fields.values()]


def check(provider: str, **given: Any) -> CheckedFields:
    return checked_fields(PROVIDERS[provider], given)


def test_the_table_is_consistent() -> None:
    for name, entry in PROVIDERS.items():
        assert name == entry.name
        assert entry.title
        assert entry.ways
        assert {need.partition("=")[0] for way in entry.ways for need in way} <= set(entry.fields)
        spellings = [spelling for field in entry.fields.values() for spelling in (field.name, *field.aliases)]
        assert len(spellings) == len(set(spellings))
        assert len({field.header for field in entry.fields.values()}) == len(entry.fields)
    for _, field in EVERY_FIELD:
        assert re.fullmatch(r"[a-z0-9_]+", field.name)
        assert field.header in {"authorization", ""} or field.header.startswith("x-portkey-")
        assert field.help.endswith(".")
        assert field.secret or field.pattern is not None
        assert not field.example or (field.pattern is not None and field.pattern.fullmatch(field.example))
    assert set(PROVIDER_ALIASES.values()) <= set(PROVIDERS)
    assert not set(PROVIDER_ALIASES) & set(PROVIDERS)


def test_whatever_sounds_secret_is_secret() -> None:
    for _, field in EVERY_FIELD:
        if re.search(r"key$|token|secret|access_key|service_account", field.name) and "kms" not in field.name:
            assert field.secret, field.name


@pytest.mark.parametrize(
    ("name", "suggested"), [("opnai", "openai"), ("OpenAI", "openai"), ("gemini", "google"), ("together", "together-ai"), ("zzzzz", None)]
)
def test_an_unknown_provider_is_refused_with_a_suggestion(name: str, suggested: str | None) -> None:
    with pytest.raises(InvalidValue) as failure:
        find_provider(name)
    assert failure.value.param == "provider"
    assert ("Did you mean" in failure.value.message) == (suggested is not None)
    assert suggested is None or f"'{suggested}'?" in failure.value.message
    assert "anthropic, azure-openai" in failure.value.message


@pytest.mark.parametrize("name", [None, 5, ["openai"], {}, "", "x" * 500, "\ud800"])
def test_what_is_no_name_is_no_provider(name: Any) -> None:
    with pytest.raises(InvalidValue):
        find_provider(name)
    assert find_provider("openai").title == "OpenAI"


def test_fields_are_told_apart_by_how_each_is_kept() -> None:
    checked = check("openai", key=CANARY, openai_organization="org-1", openaiProject="proj_1")
    assert checked.clear == {"openai_organization": "org-1", "openai_project": "proj_1"}
    assert dict(checked.secrets) == {"api_key": Secret(CANARY)}
    assert CANARY not in repr(checked)
    assert check("openai", key="env:OPENAI_KEY").references == {"api_key": Reference("env", "OPENAI_KEY")}


@pytest.mark.parametrize(
    ("provider", "given", "param", "said"),
    [
        ("openai", {}, "api_key", "api_key"),
        ("fireworks-ai", {"key": CANARY}, "fireworks_account_id", "fireworks_account_id"),
        ("fireworks-ai", {"fireworksAccountId": "me"}, "api_key", "api_key"),
        ("azure-openai", {"key": CANARY}, "azure_resource_name", "azure_resource_name"),
        (
            "azure-openai",
            {"resourceName": "r", "azure_entra_tenant_id": "t", "azure_entra_client_secret": CANARY},
            "azure_entra_client_id",
            "",
        ),
        ("azure-openai", {"resourceName": "r", "azure_auth_mode": "entra"}, "api_key", "azure_ad_token"),
        ("bedrock", {"awsAccessKeyId": CANARY, "awsRegion": "us-east-1", "awsS3Bucket": "files"}, "aws_secret_access_key", ""),
        ("bedrock", {"awsRoleArn": "arn:aws:iam::123456789012:role/r", "awsRegion": "us-east-1"}, "aws_s3_bucket", ""),
        ("vertex-ai", {"vertex_service_account_json": SERVICE_ACCOUNT, "vertex_region": "us-central1"}, "vertex_storage_bucket_name", ""),
    ],
)
def test_what_is_missing_is_named(provider: str, given: dict[str, Any], param: str, said: str) -> None:
    with pytest.raises(MissingParameter) as failure:
        checked_fields(PROVIDERS[provider], given)
    assert failure.value.param == param
    assert said in failure.value.message
    assert CANARY not in failure.value.message


@pytest.mark.parametrize(
    ("provider", "given"),
    [
        ("azure-openai", {"resourceName": "my-res", "apiVersion": "2024-10-21", "deploymentName": "d", "key": CANARY}),
        ("azure-openai", {"azure_resource_name": "r", "azure_auth_mode": "managed"}),
        ("bedrock", {"awsRoleArn": "arn:aws:iam::123456789012:role/r", "awsRegion": "eu-west-1", "awsS3Bucket": "files"}),
        ("vertex-ai", {"vertex_service_account_json": SERVICE_ACCOUNT, "vertexRegion": "global", "vertexStorageBucketName": "files"}),
        ("vertex-ai", {"vertex_service_account_json": "file:/run/sa.json", "vertexRegion": "us-east5", "vertexStorageBucketName": "files"}),
        ("vertex-ai", {"vertexAuthMode": "machine", "vertexRegion": "us-east5", "vertexStorageBucketName": "files"}),
        *((name, {"key": CANARY}) for name, entry in PROVIDERS.items() if entry.ways == (("api_key",),)),
    ],
)
def test_a_complete_credential_is_accepted(provider: str, given: dict[str, Any]) -> None:
    checked = checked_fields(PROVIDERS[provider], given)
    assert len(checked.clear) + len(checked.secrets) + len(checked.references) == len(given)


def test_a_service_account_is_taken_as_object_or_text_and_nothing_else() -> None:
    rest = {"vertexRegion": "us-central1", "vertexStorageBucketName": "files"}
    for given in (SERVICE_ACCOUNT, json.dumps(SERVICE_ACCOUNT)):
        secret = check("vertex-ai", vertex_service_account_json=given, **rest).secrets["vertex_service_account_json"]
        assert json.loads(secret.reveal()) == SERVICE_ACCOUNT
    for wrong in ({"private_key": CANARY}, CANARY, f'"{CANARY}"', "[" * 5000, {"client_email": "a", "private_key": 5}):
        with pytest.raises(InvalidValue) as failure:
            check("vertex-ai", vertex_service_account_json=wrong, **rest)
        assert failure.value.param == "vertex_service_account_json"
        assert CANARY not in failure.value.message


def test_an_update_keeps_what_is_there_and_may_not_break_it() -> None:
    entry = PROVIDERS["fireworks-ai"]
    kept = {"api_key", "fireworks_account_id"}
    assert dict(checked_fields(entry, {"key": CANARY}, kept).secrets) == {"api_key": Secret(CANARY)}
    assert checked_fields(entry, {}, kept) == CheckedFields()
    with pytest.raises(MissingParameter) as failure:
        checked_fields(entry, {"key": None}, kept)
    assert failure.value.param == "key"
    assert checked_fields(PROVIDERS["openai"], {"openai_project": None}, {"api_key", "openai_project"}).removed == {"openai_project"}


def test_unknown_and_repeated_fields_are_named_as_they_were_sent() -> None:
    with pytest.raises(UnknownParameter, match="Did you mean 'awsRegion'") as failure:
        checked_fields(PROVIDERS["bedrock"], {"awsRegoin": "x"}, prefix="model_config.")
    assert failure.value.param == "model_config.awsRegoin"
    with pytest.raises(InvalidValue, match="the same field") as same:
        check("azure-openai", azure_resource_name="a", resourceName="b")
    assert same.value.param == "resourceName"
    with pytest.raises(UnknownParameter):
        check("openai", azure_resource_name="r")


@pytest.mark.parametrize("sent", ["", 5, True, [], {}, "x" * 70_000, "a b", "a\nb", "é", "\x00", "\ud800", "env:", "file:x"], ids=ascii)
@pytest.mark.parametrize("secret", [True, False], ids=["secret", "clear"])
def test_a_value_of_a_wrong_kind_is_refused_without_being_shown(sent: Any, secret: bool) -> None:
    given = {"key": sent, "fireworks_account_id": "a"} if secret else {"key": CANARY, "fireworks_account_id": sent}
    with pytest.raises(InvalidValue) as failure:
        checked_fields(PROVIDERS["fireworks-ai"], given)
    assert failure.value.param == ("key" if secret else "fireworks_account_id")
    assert "xxx" not in failure.value.message
    assert CANARY not in failure.value.message


HOSTILE = ["evil.com#", "a/../b", "a?x=", "a.evil.com/", "@evil.com", "a:80", "a\\b", "%2e%2e", "a\r\nb", "..", "-", "a b", "", "\uff41"]
URL_FIELDS = ["azure_resource_name", "azure_deployment_id", "azure_api_version", "aws_region", "aws_s3_bucket", "fireworks_account_id"]
URL_FIELDS += ["vertex_project_id", "vertex_region", "vertex_storage_bucket_name", "azure_entra_tenant_id"]


@pytest.mark.parametrize("name", URL_FIELDS)
def test_no_field_of_which_a_url_is_made_can_lead_elsewhere(name: str) -> None:
    field: CredentialField = next(field for _, field in EVERY_FIELD if field.name == name)
    assert field.pattern is not None
    allowed = [value for value in HOSTILE if field.pattern.fullmatch(value)]
    assert allowed == []


@pytest.mark.parametrize(
    "host",
    ["https://files.example.com/v1", "http://127.0.0.1:8000/v1/", "https://[::1]:8443/v1", "https://a", "https://A-b.example.com/x/y.z/~w"],
)
def test_a_base_url_is_taken_without_its_last_slash(host: str) -> None:
    assert check_custom_host(PROVIDERS["openai"], host) == host.rstrip("/")


@pytest.mark.parametrize(
    "host",
    [
        *["ftp://a", "a.com", "//a.com", "https://", "https://user@a.com", "https://a.com/?x", "https://a.com/#x", "https://a.com/../b"],
        *["https://a.com/./b", "https://a b.com", "https://a.com\\b", "https://a.com:99999", "https://a.com:0", "https://é.com", 5, ["x"]],
        *["https://a..com", "https://-a.com", "https://a.com/%2e%2e", "https://[::1", "https://" + "a" * 64, "https://a.com/" + "x" * 2050],
    ],
    ids=lambda host: ascii(host)[:30],
)
def test_what_is_no_plain_base_url_is_refused(host: Any) -> None:
    with pytest.raises(InvalidValue) as failure:
        check_custom_host(PROVIDERS["openai"], host, "customHost")
    assert failure.value.param == "customHost"


def test_a_provider_without_a_host_of_its_own_needs_one() -> None:
    with pytest.raises(MissingParameter, match="https://"):
        check_custom_host(PROVIDERS["databricks"], None)
    assert check_custom_host(PROVIDERS["openai"], None) is None
    assert issubclass(MissingParameter, InvalidRequest)


_CANARIES = st.text(min_size=12, max_size=40).map(lambda text: f"canary{text}canary")
_WRONG = st.one_of(
    _CANARIES, _CANARIES.map(lambda text: [text]), _CANARIES.map(lambda text: {"private_key": text}), st.none(), st.integers()
)


@hypothesis.given(st.data())
def test_whatever_is_sent_as_a_secret_is_never_repeated(data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from(list(PROVIDERS.values())))
    secret = [spelling for field in entry.fields.values() if field.secret for spelling in (field.name, *field.aliases)]
    sent = data.draw(st.dictionaries(st.sampled_from(secret), _WRONG, min_size=1))
    clear = data.draw(st.dictionaries(st.sampled_from([*entry.fields, "nonsense"]), st.sampled_from(["plain", "", None])))
    try:
        shown = repr(checked_fields(entry, clear | sent))
    except InvalidRequest as error:
        shown = f"{error.message} {error.param}"
    assert "canary" not in shown
