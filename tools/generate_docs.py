"""Writes the generated parts of the documentation, each between two comments in a Markdown file.

    <!-- generated: settings -->
    …
    <!-- end generated -->

What stands between them is made from the code that it describes, so that it cannot differ from it. With ``--check`` nothing is
written; the exit code is 1, and each stale file is named, when a part is not as it would be written.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, Field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import typer.main

from fileplane.access import ORGANISATION_SCOPES, Scope
from fileplane.cli.exits import EXIT_CODE_HELP
from fileplane.cli.locations import variables_of as variables_of_field
from fileplane.cli.main import cli
from fileplane.cli.manual import own_epilogue
from fileplane.control.scopes import SCOPE_HELP
from fileplane.errors import FileplaneError, answerable_errors
from fileplane.files.remote_expiry import expiries_through_a_catalog
from fileplane.http.api_key_handlers import api_key_parameters
from fileplane.http.audit_handlers import audit_parameters
from fileplane.http.capability_handlers import capability_parameters
from fileplane.http.not_provided import NOT_PROVIDED
from fileplane.http.openapi import first_line
from fileplane.http.parameters import Parameter, list_parameters
from fileplane.http.routes import OPERATIONS
from fileplane.http.usage_handlers import usage_parameters
from fileplane.http.workspace_handlers import workspace_parameters
from fileplane.metrics import METRICS
from fileplane.provider_overrides import OVERRIDABLE
from fileplane.providers.anthropic import ANTHROPIC, ANTHROPIC_BETA
from fileplane.providers.azure_openai import CLASSIC, V1
from fileplane.providers.base import Capabilities, Expiry, Target
from fileplane.providers.cohere import COHERE
from fileplane.providers.dialects import Dialect
from fileplane.providers.egress import Egress
from fileplane.providers.fireworks import FIREWORKS
from fileplane.providers.google import GOOGLE
from fileplane.providers.near import NEAR
from fileplane.providers.openai_dialect import OPENAI, SOMEWHERE_ELSE
from fileplane.providers.registry import Registry
from fileplane.providers.support import Extent, support_of
from fileplane.providers.vertex import VERTEX
from fileplane.routing.providers import PROVIDERS
from fileplane.setting_sources import show, variables_of
from fileplane.setting_values import parse_size
from fileplane.settings import Settings

ROOT: Final = Path(__file__).resolve().parent.parent
_PART: Final = re.compile(r"(<!-- generated: ([a-z ]+) -->\n).*?(<!-- end generated -->)", re.DOTALL)
_HELP_WIDTH: Final = 100
_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")
_RETRIED_BY_SDKS: Final = frozenset({408, 409, 429})
_SERVER_FAILURE: Final = 500
_EXTENTS: Final = {
    Extent.FULL: "yes",
    Extent.GENERATED_ONLY: "generated only",
    Extent.EXTRACTED_TEXT: "extracted text",
    Extent.NONE: "no: 501",
}
_AZURE: Final = "https://<resource>.openai.azure.com/openai"


def settings_table() -> str:
    """Every setting: name, environment variables, default, help."""
    rows = (
        (f"`{entry.name}`", ", else ".join(f"`{name}`" for name in variables_of(entry)), _default(entry), _escaped(entry.metadata["help"]))
        for entry in fields(Settings)
    )
    return _table(("setting", "environment", "default", "what it does"), rows)


def error_table() -> str:
    """Every failure that a caller may be told of."""
    rows = (
        (_escaped(first_line(error)), str(error.status), f"`{error.type}`", f"`{error.code}`" if error.code else "null", _retried(error))
        for error in sorted(answerable_errors(), key=lambda error: error.status)
    )
    return _table(("case", "status", "`type`", "`code`", "sent again by the SDKs"), rows)


def operation_table() -> str:
    """Every method of every path."""
    rows = (
        (
            f"`{operation.method} {operation.path}`",
            operation.summary,
            " or ".join(f"`{scope.value}`" for scope in operation.scopes) or "no key needed",
        )
        for operation in OPERATIONS
    )
    return _table(("call", "what it does", "scope"), rows)


def scope_table() -> str:
    """Every scope, and whether only the organisation's keys can use it."""
    rows = (
        (f"`{scope.value}`", _escaped(SCOPE_HELP[scope]), "the organisation's" if scope.value in ORGANISATION_SCOPES else "any")
        for scope in Scope
    )
    return _table(("scope", "what it allows", "whose keys"), rows)


def not_provided_table() -> str:
    """Every call that is answered by saying that Fileplane does not have it."""
    rows = ((f"`{missing.path}`", _escaped(missing.what), _escaped(missing.advice)) for missing in NOT_PROVIDED)
    return _table(("path, and everything below", "what it is", "instead"), rows)


def parameter_table(declare: Callable[[Settings], tuple[Parameter, ...]]) -> str:
    """The query parameters of an operation, for a server with default settings."""
    rows = (
        (f"`{parameter.name}`", _values(parameter.schema), str(parameter.schema.get("default", "")), _escaped(parameter.description))
        for parameter in declare(Settings())
    )
    return _table(("parameter", "values", "default", "meaning"), rows)


def metrics_table() -> str:
    """Everything that is counted."""
    rows = ((f"`{metric.name}`", ", ".join(f"`{label}`" for label in metric.labels), _escaped(metric.description)) for metric in METRICS)
    return _table(("metric", "labels", "what it says"), rows)


def provider_table() -> str:
    """Every provider with what a credential for it consists of."""
    rows = (
        (
            f"`{entry.name}`",
            " or ".join(" + ".join(f"`{need}`" for need in way) for way in entry.ways) + (" + `custom_host`" if entry.needs_host else ""),
            ", ".join(f"`{field.name}`{' (secret)' if field.secret else ''}" for field in entry.fields.values()),
        )
        for entry in PROVIDERS.values()
    )
    return _table(("provider", "complete with", "fields"), rows)


def provider_sections() -> str:
    """What each provider can do and how much of that is verified: a heading and a table each."""
    dialects = [OPENAI, replace(SOMEWHERE_ELSE, base_url="of your own"), replace(CLASSIC, base_url=_AZURE), *NEAR.values()]
    dialects += [COHERE, FIREWORKS, VERTEX]
    dialects.append(replace(V1, title="Azure OpenAI at /openai/v1", base_url=_AZURE + "/v1"))
    dialects += [ANTHROPIC, ANTHROPIC_BETA, GOOGLE]
    parts = []
    for dialect in sorted(dialects, key=lambda dialect: (dialect.name, len(dialect.title))):
        title = f"## {dialect.title}" if dialect is not OPENAI else "## OpenAI"
        parts.append(f"{title}\n\n`x-portkey-provider: {dialect.name}`\n\n{_table(('what', 'how', 'known'), _provider_rows(dialect))}")
    return "\n\n".join(parts)


def provider_calls() -> str:
    """One row a provider: which of the five calls it can do, its limits and its expiries."""
    registry = Registry(Egress(Settings()))
    rows = []
    for name in sorted(registry.names):
        can = registry.get(name).capabilities(Target(name))
        through = expiries_through_a_catalog(can)
        rows.append(
            (
                f"`{name}`",
                *(_EXTENTS[found.extent] for found in support_of(can).values()),
                "not known" if can.max_bytes is None else _size(can.max_bytes),
                "passed on" if can.uploads is not None else "put together here" if can.upload else "no",
                "none" if can.expiry is None else _bounds(can.expiry),
                "none" if through is None else _bounds(through),
                "never" if can.default_expiry_seconds is None else _span(can.default_expiry_seconds),
            )
        )
    calls = support_of(Capabilities())
    return _table(
        ("provider", *calls, "largest file", "in parts", "own `expires_after`", "through a virtual key", "ends by itself after"), rows
    )


def _bounds(expiry: Expiry) -> str:
    return f"{_span(expiry.shortest)} to {_span(expiry.longest)}"


def _span(seconds: int) -> str:
    size, unit = (86_400, "days") if seconds % 86_400 == 0 else (3_600, "h") if seconds % 3_600 == 0 else (1, "s")
    count = seconds // size
    return f"{count} {'day' if (count, unit) == (1, 'days') else unit}"


def override_table() -> str:
    """Every field of the setting ``provider_overrides``."""
    return _table(("field", "what it says"), ((f"`{name}`", _escaped(one.help)) for name, one in OVERRIDABLE.items()))


def _provider_rows(dialect: Dialect) -> Iterator[tuple[str, str, str]]:
    can = dialect.capabilities
    sizes = [f"{_size(most)} (`{purpose}`)" for purpose, most in sorted(can.max_bytes_of.items())]
    sizes.append("no limit known" if can.max_bytes is None else _size(can.max_bytes))
    expiry = "refused" if can.expiry is None else f"{can.expiry.shortest} to {can.expiry.longest} seconds"
    order = {"asked": "in either order", "any": "sorted here", "newest_first": "newest first", "oldest_first": "oldest first"}
    paged = {"cursor": "paged by `after`", "token": "paged by a token", "pages": "paged by number", "none": "fetched whole"}
    download = ("the bytes" if can.original_bytes else "text extracted from the file") if can.download else "no: 501"
    if not can.downloads_uploads:
        download = "of what the provider has made; uploads it refuses itself"
    described = "looked for in the list" if dialect.get_by_list else _yes(can.get)
    for what, how, names in (
        ("base URL", f"`{dialect.base_url}`" if "://" in dialect.base_url else dialect.base_url, {"base_url"}),
        ("purposes", _purposes(dialect), {"purposes"}),
        ("largest file", ", ".join(sizes), {"max_bytes"}),
        ("`expires_after`", expiry, {"expiry"}),
        ("without it", "for ever" if can.default_expiry_seconds is None else f"{can.default_expiry_seconds // 86_400} days",
         {"default_expiry_seconds"}),
        ("list", f"{paged[can.paging]}, {order[dialect.order]}; `limit` up to {can.max_list_limit}", {"paging", "max_list_limit", "order"}),
        ("description of a file", described, {"get"}),
        ("download", download, {"download"}),
        ("`Range`", "passed on" if can.ranges else "cut here", {"ranges"}),
        ("deletion", _yes(can.delete), {"delete"}),
        ("jobs", ", ".join(sorted(f"`{kind.value}`" for kind in can.jobs)) or "none", {"jobs"}),
        ("what it does not keep", _not_kept(can), {"keeps_purpose", "keeps_filename", "keeps_bytes"}),
        ("told before an upload", "its length and number of lines" if can.needs_lines else "its length" if can.needs_length else "nothing",
         {"needs_lines", "needs_length"}),
    ):  # fmt: skip
        yield what, how, "unverified" if names & can.unverified else "documented"


def _not_kept(can: Capabilities) -> str:
    kept = {"purpose": can.keeps_purpose, "filename": can.keeps_filename, "bytes": can.keeps_bytes}
    return ", ".join(f"`{name}`" for name, is_kept in kept.items() if not is_kept) or "nothing of a file"


def _purposes(dialect: Dialect) -> str:
    if dialect.capabilities.purposes is None:
        return "any" if dialect.capabilities.keeps_purpose else "any; it does not keep them"
    return ", ".join(
        f"`{name}`" if dialect.theirs(name) == name else f"`{name}` (there `{dialect.theirs(name)}`)"
        for name in sorted(dialect.capabilities.purposes)
    )


def _yes(can: bool) -> str:
    return "yes" if can else "no: 501"


def exit_code_table() -> str:
    """Every exit code of the command line."""
    return _table(("code", "meaning"), ((str(int(code)), _escaped(meaning)) for code, meaning in EXIT_CODE_HELP.items()))


def place_variables() -> str:
    """Of every provider, the environment variables that `fileplane cp` reads its credential from."""
    rows = []
    for entry in PROVIDERS.values():
        variables = (variables_of_field(entry, field.name) for field in entry.fields.values() if field.header)
        rows.append((f"`{entry.name}:`", ", ".join(" or ".join(f"`{name}`" for name in names) for names in variables)))
    return _table(("place", "environment variables"), rows)


def command_reference() -> str:
    """The help of every command, as plain text of a fixed width."""
    return "\n\n".join(f"## `{name}`\n\n```text\n{text}\n```" for name, text in _help_texts(typer.main.get_command(cli), None))


PARTS: Final[dict[str, Callable[[], str]]] = {
    "settings": settings_table,
    "errors": error_table,
    "operations": operation_table,
    "list parameters": partial(parameter_table, list_parameters),
    "audit parameters": partial(parameter_table, audit_parameters),
    "workspace parameters": partial(parameter_table, workspace_parameters),
    "key parameters": partial(parameter_table, api_key_parameters),
    "scopes": scope_table,
    "not provided": not_provided_table,
    "providers": provider_table,
    "provider facts": provider_sections,
    "provider calls": provider_calls,
    "capability parameters": partial(parameter_table, capability_parameters),
    "provider overrides": override_table,
    "usage parameters": partial(parameter_table, usage_parameters),
    "exit codes": exit_code_table,
    "metrics": metrics_table,
    "place variables": place_variables,
    "commands": command_reference,
}


def generate(document: str) -> str:
    """The document with its generated parts written anew. Raises KeyError for a part that nothing generates."""
    return _PART.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n\n{match[3]}", document)


def main() -> int:
    """Writes or checks every Markdown file of the project; the exit code."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true", help="write nothing; fail when a part is stale")
    options.add_argument("--root", type=Path, default=ROOT, help="the project's folder")
    given = options.parse_args()
    stale = 0
    for path in sorted([*given.root.glob("*.md"), *given.root.glob("docs/*.md")]):
        written = path.read_text("utf-8")
        generated = generate(written)
        if generated == written:
            continue
        if given.check:
            stale += 1
            print(f"{path.relative_to(given.root)} is not what the code says. Run `make docs` and commit the result.", file=sys.stderr)
        else:
            path.write_text(generated, "utf-8")
            print(f"wrote {path.relative_to(given.root)}")
    return 1 if stale else 0


def _default(entry: Field[Any]) -> str:
    value = entry.default
    if value is MISSING:
        raise TypeError(f"the setting {entry.name} has no default")
    if entry.metadata["parse"] is parse_size:
        return _size(value)
    return f"{value:g}" if isinstance(value, float) else show(value)


def _size(value: int) -> str:
    unit = 0
    while value and value % 1024 == 0 and unit < len(_UNITS) - 1:
        value //= 1024
        unit += 1
    return f"{value} {_UNITS[unit]}"


def _retried(error: type[FileplaneError]) -> str:
    if error.status < _SERVER_FAILURE and error.status not in _RETRIED_BY_SDKS:
        return "no"
    return "no: `x-should-retry: false`" if error.definitive else "yes"


def _values(schema: Any) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "minimum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    return str(schema["type"])


def _help_texts(command: Any, parent: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    command.rich_markup_mode = None
    # The exit codes have a table of their own, and what is said of the environment stands above.
    command.epilog = "\n\n".join(own_epilogue(" ".join(path)))
    context = command.context_class(
        command, info_name=command.name, parent=parent, terminal_width=_HELP_WIDTH, max_content_width=_HELP_WIDTH, color=False
    )
    yield context.command_path, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    for name in sorted(getattr(command, "commands", {})):
        yield from _help_texts(command.commands[name], context, (*path, name))


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heading = tuple(head)
    lines = [heading, tuple("---" for _ in heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
