"""One function for each parser that strangers can reach: it takes any bytes, and raises only when the parser breaks its promise.

A refusal that the caller would be told of is no failure. Each function has a folder of the same name in corpus/.
"""

from __future__ import annotations

import atexit
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from starlette.datastructures import Headers

from fileplane.access import ALL_SCOPES, Principal
from fileplane.errors import FileplaneError
from fileplane.files.form import UploadEvent, UploadForm
from fileplane.files.names import LONGEST_NAME_BYTES, OCTET_STREAM, SHOWN_TYPES, clean_filename, media_type_of
from fileplane.http.content import disposition_of, etag_of, not_modified, requested_span
from fileplane.http.multipart import boundary_of, read_form
from fileplane.http.parameters import list_parameters, parse_list_query
from fileplane.ids import openai_style, parse_file_id
from fileplane.model import File
from fileplane.routing.config_documents import redacted, to_document
from fileplane.routing.config_json import LARGEST_DOCUMENT
from fileplane.routing.config_values import Config
from fileplane.routing.config_values import Target as ConfigTarget
from fileplane.routing.configs import parse_config
from fileplane.routing.pattern_syntax import PatternError
from fileplane.routing.patterns import LONGEST_TEXT, MOST_STEPS, Pattern
from fileplane.routing.plans import plan_route
from fileplane.routing.resolution import provider_key_of, wanted_route
from fileplane.routing.route_requests import read_route_request
from fileplane.setting_sources import load_settings
from fileplane.settings import Settings, SettingsError
from support.disposition import parse_disposition

# It would have a line for almost every input.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

Target = Callable[[bytes], None]

_SETTINGS: Final = Settings()
_TIGHT: Final = replace(_SETTINGS, max_form_overhead_bytes=2_000, max_field_bytes=200, max_part_header_bytes=400, max_form_parts=4)
_PRINCIPAL: Final = Principal("project", "key", ALL_SCOPES)
_FILE: Final = File("project", "id", "user_data", "name", 1_000, OCTET_STREAM, "0" * 64, "00/00", 0, None, "processed", None)
_SEPARATOR: Final = b"\n"


def multipart(data: bytes) -> None:
    """The size of the pieces, the Content-Type, and the body: a form is read, and what it says of the file is made sense of."""
    size, _, rest = data.partition(_SEPARATOR)
    content_type, _, body = rest.partition(_SEPARATOR)
    with suppress(FileplaneError):
        boundary = boundary_of(content_type.decode("latin-1"))
        assert 1 <= len(boundary) <= 70
        _run(_read(body, boundary, max(1, len(size)), _TIGHT if size.startswith(b"t") else _SETTINGS))


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Nothing here waits, and an event loop for each input would cost more than the parser."""
    with suppress(StopIteration):
        work.send(None)
        raise AssertionError("the parser waited for something")


async def _read(body: bytes, boundary: bytes, size: int, settings: Settings) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    form, received = UploadForm(settings, _PRINCIPAL), 0
    async for event in read_form(pieces(), boundary, settings):
        received += _take(form, event)
    assert received <= len(body)
    _ = form.purpose, form.filename, form.media_type, form.expires_after


def _take(form: UploadForm, event: UploadEvent) -> int:
    if isinstance(event, bytes):
        return len(event)
    if hasattr(event, "filename"):
        form.begin_file(event)
    else:
        form.take_field(event)
    return 0


def ranges(data: bytes) -> None:
    """Range, If-Range and If-None-Match, one a line; empty ones are not sent."""
    names = ("range", "if-range", "if-none-match")
    lines = data.decode("latin-1").split("\n")
    headers = {name: value for name, value in zip(names, lines, strict=False) if value}
    for file in (_FILE, replace(_FILE, bytes=0)):
        not_modified(Headers(headers), file)
        with suppress(FileplaneError):
            span = requested_span(headers, file)
            if span is not None:
                assert span.length > 0
                assert 0 <= span.start < span.start + span.length <= file.bytes
    assert not_modified(Headers({"if-none-match": etag_of(_FILE)}), _FILE)


def list_query(data: bytes) -> None:
    """The query string of a list."""
    with suppress(FileplaneError):
        query = parse_list_query(data, list_parameters(_SETTINGS))
        assert 1 <= query.limit <= _SETTINGS.max_list_limit
        assert query.offset >= 0
        assert query.after is None or (query.offset == 0 and parse_file_id(query.after) == query.after)


def file_ids(data: bytes) -> None:
    """What may stand in a path for a file's id."""
    canonical = parse_file_id(data.decode("utf-8", "replace"))
    if canonical is not None:
        assert len(canonical) == 36
        assert parse_file_id(canonical) == canonical
        assert parse_file_id(openai_style(canonical)) == canonical


def file_names(data: bytes) -> None:
    """A file name and the Content-Type beside it: what is kept of them, and the header that it is shown in."""
    raw, _, declared = data.partition(_SEPARATOR)
    with suppress(FileplaneError):
        name = clean_filename(_text(raw))
        assert 1 <= len(name.encode("utf-8")) <= LONGEST_NAME_BYTES
        assert not {"/", "\\", "\0", "\r", "\n"} & set(name)
        assert clean_filename(name) == name
        header = disposition_of(name)
        assert header.isascii()
        assert header.isprintable()
        assert parse_disposition(header).filename == name == unquote(header.rpartition("''")[2])
        assert media_type_of(name, declared.decode("latin-1")) in SHOWN_TYPES | {OCTET_STREAM}


def _text(data: bytes) -> str:
    """Halves of surrogate pairs included, where that is all that is wrong."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def routing_headers(data: bytes) -> None:
    """Header lines, which say whether a request is for this store. Only one that names no other is taken for it."""
    lines = [line.partition(":") for line in data.decode("latin-1").split("\n")]
    headers = {name.strip().lower(): value.strip() for name, _, value in lines}
    with suppress(FileplaneError):
        wanted = wanted_route(headers, _PRINCIPAL, pathname="/v1/files", api_key=provider_key_of(headers))
        native = headers.get("x-portkey-provider", "").lower() == "fileplane"
        named = any(headers.get(f"x-portkey-{name}") for name in ("provider", "virtual-key", "config"))
        assert (wanted is None) == (native or not named)


def configs(data: bytes) -> None:
    """A routing config. One that is understood stays the same when it is written and read again, and has a plan for most requests."""
    with suppress(FileplaneError):
        config = parse_config(data[:LARGEST_DOCUMENT])
        written = to_document(config, reveal=True)
        assert parse_config(written) == config
        assert redacted(written) == to_document(config)
        assert config.ignored or not any(target.ignored for target in config.root.targets)
        _plan(config)


def _plan(config: Config) -> None:
    headers = {"x-portkey-provider": "openai", "x-portkey-metadata": '{"plan": "pro", "size": 5}'}
    if any(target.config for target in _leaves(config)):
        return
    plan = plan_route(config, read_route_request(headers, pathname="/v1/files/a/content"), lambda: 0.5, from_caller=True)
    for number, attempt in enumerate(plan.attempts):
        assert attempt.target.credential.names_a_provider
        assert attempt.target.credential.virtual_key is None or attempt.target.options.custom_host is None
        assert all(number < way.attempt < len(plan.attempts) for way in attempt.exits)


def _leaves(config: Config) -> list[ConfigTarget]:
    found, waiting = [], [config.root]
    while waiting:
        target = waiting.pop()
        waiting += target.targets
        if not target.targets:
            found.append(target)
    return found


def route_headers(data: bytes) -> None:
    """Header lines, which say to which provider a request goes, as whom and how."""
    lines = [line.partition(":") for line in data.decode("latin-1").split("\n")]
    with suppress(FileplaneError):
        request = read_route_request({name.strip().lower(): value.strip() for name, _, value in lines}, pathname="/")
        assert request.options.custom_host is None or request.options.custom_host.isascii()
        assert not {"authorization", "cookie", "x-portkey-api-key"} & set(request.options.forward_headers or ())
        assert request.credential.provider is None or "@" not in request.credential.provider


def patterns(data: bytes) -> None:
    """A pattern, up to the first end of a line, and the text that it is searched in."""
    source, _, text = data.decode("utf-8", "replace").partition("\n")
    with suppress(PatternError):
        pattern = Pattern(source)
        assert pattern.steps <= MOST_STEPS
        found = pattern.search(text[:LONGEST_TEXT])
        assert found is pattern.search(text[:LONGEST_TEXT])


def settings_sources(data: bytes) -> None:
    """An environment, up to the first empty line, and a configuration file after it."""
    environment, _, config = data.partition(b"\n\n")
    pairs = (line.partition("=") for line in environment.decode("utf-8", "surrogateescape").split("\n"))
    variables = {f"FILEPLANE_{name}": value for name, _, value in pairs if not name.endswith(("_FILE", "CONFIG"))}
    path = _config_path()
    path.write_bytes(config)
    with suppress(SettingsError):
        loaded = load_settings(environment=variables, config=path)
        assert all(row.shown_value in {"", "********"} for row in loaded.rows() if row.secret)


@cache
def _config_path() -> Path:
    directory = tempfile.mkdtemp(prefix="fileplane-fuzz-")
    atexit.register(shutil.rmtree, directory)
    return Path(directory) / "fileplane.toml"


TARGETS: Final[dict[str, Target]] = {
    target.__name__: target
    for target in (
        multipart,
        ranges,
        list_query,
        file_ids,
        file_names,
        routing_headers,
        configs,
        route_headers,
        patterns,
        settings_sources,
    )
}
