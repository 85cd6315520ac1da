"""The names of a config's fields: Fileplane's, the providers', Portkey's others, and what was probably meant by a wrong one."""

from __future__ import annotations

from difflib import get_close_matches
from enum import Enum
from typing import Final


class FieldKind(Enum):
    """What a provider's field holds, and so how it is checked and whether it is shown."""

    TEXT = "text"
    HIDDEN = "never shown"
    PART = "part of a URL"
    URL = "URL"


TARGET_FIELDS: Final = frozenset({
    "name", "weight", "strategy", "targets", "provider", "virtual_key", "api_key", "config", "retry", "request_timeout", "custom_host",
    "forward_headers", "override_params", "metadata", "keep_copy",
})  # fmt: skip

OTHER_FIELDS: Final = frozenset({
    "$schema", "after_request_hooks", "before_request_hooks", "cache", "cache_force_refresh", "cache_namespace", "debug",
    "default_input_guardrails", "default_output_guardrails", "default_params", "drop_params", "id", "input_guardrails", "input_mutators",
    "on_status_codes", "output_guardrails", "output_mutators", "passthrough", "prompt_id", "rate_limits", "slug", "status",
    "strict_open_ai_compliance", "tags", "trace_id", "usage_limits", "version",
})  # fmt: skip
"""Portkey's, which mean nothing for files."""

STRATEGY_FIELDS: Final = frozenset({"mode", "on_status_codes", "conditions", "default"})
OTHER_STRATEGY_FIELDS: Final = frozenset({"sticky", "sticky_session", "hash_fields", "ttl"})
RETRY_FIELDS: Final = frozenset({"attempts", "on_status_codes", "use_retry_after_header", "use_retry_after_headers"})
CONDITION_FIELDS: Final = frozenset({"query", "then"})

_TEXT, _SECRET, _PART, _URL = FieldKind.TEXT, FieldKind.HIDDEN, FieldKind.PART, FieldKind.URL
PROVIDER_FIELDS: Final = {
    "amz_server_side_encryption": _TEXT,
    "amz_server_side_encryption_aws_kms_key_id": _TEXT,
    "anthropic_beta": _TEXT,
    "anthropic_version": _TEXT,
    "aws_access_key_id": _SECRET,
    "aws_auth_type": _TEXT,
    "aws_external_id": _SECRET,
    "aws_region": _PART,
    "aws_role_arn": _TEXT,
    "aws_s3_bucket": _PART,
    "aws_secret_access_key": _SECRET,
    "aws_session_token": _SECRET,
    "azure_ad_token": _SECRET,
    "azure_api_version": _PART,
    "azure_auth_mode": _TEXT,
    "azure_deployment_id": _PART,
    "azure_endpoint_name": _PART,
    "azure_entra_client_id": _TEXT,
    "azure_entra_client_secret": _SECRET,
    "azure_entra_scope": _TEXT,
    "azure_entra_tenant_id": _PART,
    "azure_extra_params": _TEXT,
    "azure_foundry_url": _URL,
    "azure_managed_client_id": _TEXT,
    "azure_model_name": _TEXT,
    "azure_resource_name": _PART,
    "azure_workload_client_id": _TEXT,
    "fireworks_account_id": _PART,
    "google_api_version": _PART,
    "huggingface_base_url": _URL,
    "openai_beta": _TEXT,
    "openai_organization": _TEXT,
    "openai_project": _TEXT,
    "snowflake_account": _PART,
    "vertex_auth_mode": _TEXT,
    "vertex_auth_type": _TEXT,
    "vertex_project_id": _PART,
    "vertex_region": _PART,
    "vertex_service_account_json": _SECRET,
    "vertex_storage_bucket_name": _PART,
    "workers_ai_account_id": _PART,
}
"""Also headers: ``aws_region`` is ``x-portkey-aws-region``."""

FILE_OPTIONS: Final = {
    "file_purpose": "file_purpose",
    "provider_model": "provider_model",
    "aws_bedrock_model": "provider_model",
    "provider_file_name": "provider_file_name",
    "aws_s3_object_key": "provider_file_name",
}
"""What a request may say of a file that goes to an object store, with the names that a target has for it. Also headers. None of it is
part of a credential, and so each may stand beside one that is kept by Fileplane."""

URL_FORMING: Final = frozenset(name for name, kind in PROVIDER_FIELDS.items() if kind in {_PART, _URL}) | {"custom_host"}
"""These say where a credential goes, so none may stand beside one that is kept by Fileplane."""

_LONGEST_MEANT: Final = 48
_OTHER_WORDS: Final = {
    "apikeys": "api_key",
    "baseurl": "custom_host",
    "host": "custom_host",
    "mode": "strategy",
    "options": "targets",
    "retries": "retry",
    "timeout": "request_timeout",
}
"""What other programs call a field, or what Portkey did once."""
_SECRET_WORDS: Final = ("key", "token", "secret", "password", "passwd", "authorization", "credential", "cookie", "service_account")


def meant_by(name: str, known: frozenset[str]) -> str | None:
    """The known name that a wrong one is close to: another spelling, another case, or a slip of the hand."""
    if len(name) > _LONGEST_MEANT:
        return None
    plain = {_letters(candidate): candidate for candidate in sorted(known)}
    if (other := _OTHER_WORDS.get(_letters(name))) in known:
        return other
    close = get_close_matches(_letters(name), plain, n=1, cutoff=0.8)
    return plain[close[0]] if close else None


def looks_secret(name: str) -> bool:
    """Whether a field that nobody here knows has the name of a secret."""
    plain = name.lower().replace("-", "_")
    return any(word in plain for word in _SECRET_WORDS)


def _letters(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
