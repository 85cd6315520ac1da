"""From a config back to a document, and documents without their secrets."""

from __future__ import annotations

import json
from typing import Any

from fileplane.routing.config_fields import PROVIDER_FIELDS, TARGET_FIELDS, FieldKind, looks_secret
from fileplane.routing.config_problems import inside
from fileplane.routing.config_values import AllOf, AnyOf, Comparison, Config, Credential, Operator, Options, Query, Strategy, Target
from fileplane.secrets.values import REDACTED, Secret


def to_document(config: Config, *, reveal: bool = False) -> dict[str, Any]:
    """The document of a config in one spelling of the several that there are; with ``reveal``, parsing it gives the same config again.

    Without, every secret is replaced by ``********``, which no document may have in a secret's place.
    """
    document = _target(config.root)
    return document if reveal else redacted(document)


def redacted(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of any config document, as somebody wrote it, in which secrets are replaced by ``********``.

    Secret are the fields that hold credentials, and whatever has the name of a secret where Fileplane does not know the field.
    """
    return {name: REDACTED if _is_secret(name, value) else _redacted_inside(value) for name, value in document.items()}


def starred(document: dict[str, Any], path: str = "") -> str | None:
    """Where a document has ``********`` in a secret's place, or None: saving it would put the stars in the place of the secret."""
    for name, value in document.items():
        place = inside(path, name)
        found = place if value == REDACTED and _is_secret(name, value) else _starred_inside(value, place)
        if found is not None:
            return found
    return None


def _starred_inside(value: Any, path: str) -> str | None:
    if isinstance(value, dict):
        return starred(value, path)
    elements = enumerate(value) if isinstance(value, list) else ()
    return next((found for number, element in elements if (found := _starred_inside(element, inside(path, number))) is not None), None)


def _redacted_inside(value: Any) -> Any:
    if isinstance(value, dict):
        return redacted(value)
    return [_redacted_inside(element) for element in value] if isinstance(value, list) else value


def _is_secret(name: str, value: object) -> bool:
    if value is None or isinstance(value, bool | int | float):
        return False
    if name in PROVIDER_FIELDS:
        return PROVIDER_FIELDS[name] is FieldKind.HIDDEN
    return name == "api_key" or (name not in TARGET_FIELDS and looks_secret(name))


def _target(target: Target) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": target.name,
        "weight": None if target.weight == 1 else target.weight,
        "config": target.config,
        "strategy": None if target.strategy is None else _strategy(target.strategy),
        **_credential(target.credential),
        **_options(target.options),
        "targets": [_target(child) for child in target.targets] or None,
    }
    ignored = {name: json.loads(text) for name, text in target.ignored}
    return {name: value for name, value in document.items() if value is not None} | ignored


def _credential(credential: Credential) -> dict[str, Any]:
    return {
        "provider": credential.provider,
        "virtual_key": credential.virtual_key,
        "api_key": None if credential.api_key is None else credential.api_key.reveal(),
        **{name: value.reveal() if isinstance(value, Secret) else value for name, value in credential.fields},
    }


def _options(options: Options) -> dict[str, Any]:
    retry = options.retry
    return {
        "retry": None
        if retry is None
        else {
            "attempts": retry.attempts,
            "on_status_codes": list(retry.on_status_codes),
            "use_retry_after_header": retry.use_retry_after_header,
        },
        "request_timeout": options.request_timeout_ms,
        "custom_host": options.custom_host,
        "forward_headers": None if options.forward_headers is None else list(options.forward_headers),
        "override_params": {name: json.loads(text) for name, text in options.override_params} or None,
        "metadata": dict(options.metadata) or None,
        **dict(options.file_options),
        "keep_copy": options.keep_copy,
    }


def _strategy(strategy: Strategy) -> dict[str, Any]:
    document: dict[str, Any] = {"mode": strategy.mode.value}
    if strategy.on_status_codes is not None:
        document["on_status_codes"] = list(strategy.on_status_codes)
    if strategy.conditions:
        document["conditions"] = [{"query": _query(one.query), "then": one.then} for one in strategy.conditions]
    if strategy.default is not None:
        document["default"] = strategy.default
    return document | {name: json.loads(text) for name, text in strategy.ignored}


def _query(query: Query) -> dict[str, Any]:
    if isinstance(query, Comparison):
        several = query.operator in {Operator.IN, Operator.NOT_IN}
        return {query.field: {query.operator.value: list(query.operands) if several else query.operands[0]}}
    assert isinstance(query, AllOf | AnyOf)
    return {"$and" if isinstance(query, AllOf) else "$or": [_query(part) for part in query.parts]}
