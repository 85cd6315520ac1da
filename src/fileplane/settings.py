"""The one table of settings: each field of :class:`Settings` is a row (name, type, default, help, secret or not).

The environment (``FILEPLANE_<NAME>``), the TOML file, the command line, the documentation and the redaction all follow from it.
A later source wins over an earlier one: default, TOML file, environment, command line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fileplane.addresses import TRACES_PATH, parse_base_url, parse_optional_address, parse_share
from fileplane.blob_location import BlobLocation, parse_blob_location
from fileplane.provider_overrides import provider_overrides
from fileplane.setting_values import (
    BATCH_URLS,
    database_url,
    egress_rules,
    file_path,
    list_of_names,
    networks,
    one_of,
    origins,
    parse_key,
    parse_size,
    plain_text,
    proxy_url,
    seconds,
    secret_patterns,
    whole_number,
    yes_or_no,
)

ENVIRONMENT_PREFIX: Final = "FILEPLANE_"
REDACTED: Final = "********"

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB


class SettingsError(Exception):
    """A setting has a value that cannot be used; the message names the setting, its source and what would do."""


def _collector(value: object) -> str | None:
    url = parse_base_url(value)
    if url is not None and url.has_more:
        # Said without the value, which would show a password.
        raise SettingsError(
            "otlp_endpoint must be a base URL without user, password, query or fragment. What the collector asks for goes into "
            "OTEL_EXPORTER_OTLP_HEADERS."
        )
    if url is not None and url.text.endswith(TRACES_PATH):
        raise ValueError(f"the base URL of a collector, without {TRACES_PATH}, which is added to it")
    return None if url is None else url.text


def _blob_store(value: object) -> BlobLocation:
    try:
        return parse_blob_location(value)
    except ValueError as error:
        # Said without the value, which may hold a password by mistake.
        raise SettingsError(f"blob_store must be {error}.") from error


def _setting(default: Any, parse: Callable[[object], Any], help: str, *, secret: bool = False, fallback: str | None = None) -> Any:
    """A row of the table. ``fallback`` is another program's environment variable; all fallbacks serve together or not at all."""
    return field(default=default, repr=not secret, metadata={"parse": parse, "help": help, "secret": secret, "fallback": fallback})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of Fileplane, read once at start."""

    host: str = _setting("127.0.0.1", plain_text, "Address that `serve` listens on.")
    port: int = _setting(8787, whole_number(1, 65_535), "Port that `serve` listens on.")
    data_dir: Path = _setting(Path("fileplane-data"), file_path, "Directory of the database and the blobs; made at first start, mode 0700.")
    workers: int = _setting(
        1, whole_number(1, 64), "Server processes. One serves thousands of requests a second; more share the same data directory."
    )
    tls_cert: Path | None = _setting(None, file_path, "PEM file with the TLS certificate chain; with `tls_key`, `serve` speaks HTTPS.")
    tls_key: Path | None = _setting(None, file_path, "PEM file with the TLS private key.")
    trusted_proxies: tuple[str, ...] = _setting(
        (), networks, "Addresses or networks whose `X-Forwarded-For` is believed for the client address in the log."
    )
    drain_seconds: int = _setting(60, whole_number(1, 3_600), "How long transfers in flight may go on after SIGTERM.")
    log_level: str = _setting(
        "info", one_of("debug", "info", "warning", "error"), "Least severe log line that is written. Access lines are of level info."
    )
    bootstrap_api_key: str | None = _setting(
        None,
        plain_text,
        "API key to create at first start instead of a random one: at least 32 characters, not guessable. Ignored later.",
        secret=True,
    )
    metrics_public: bool = _setting(
        False, yes_or_no, "Whether `/metrics` is told without a key; otherwise it takes an organisation's key with `metrics.view`."
    )
    metrics_address: str | None = _setting(
        None,
        parse_optional_address,
        "Address such as `127.0.0.1:9464` that tells `/metrics` to everybody who reaches it, without a key; for private networks alone. "
        "Empty for none.",
    )
    metrics_interval_seconds: float = _setting(
        15.0,
        seconds(0.1, 3_600),
        "Time between two looks at what is stored, the room on the disks and what a worker uses, for the metrics.",
    )
    otlp_endpoint: str | None = _setting(
        None,
        _collector,
        "Base URL of an OpenTelemetry collector (OTLP over HTTP), such as `http://127.0.0.1:4318`, that is sent traces of requests. Empty "
        "for none. Needs the extra `tracing`.",
    )
    trace_sample_ratio: float = _setting(
        1.0, parse_share, "Share of the requests that are traced, 0 to 1; those with a `traceparent` follow its sender's decision."
    )
    auth: str = _setting(
        "keys",
        one_of("keys", "passthrough"),
        "Who may call: `keys` asks for API keys of this server; `passthrough` asks for none, and file calls go to providers with the "
        "caller's own credentials alone.",
    )
    key_cache_seconds: float = _setting(2.0, seconds(0, 5), "How long a worker may go on accepting an API key that has been revoked.")

    max_file_bytes: int = _setting(
        8 * GIB, parse_size, "Largest file of any purpose but batch, and of all that are kept on disk while they are sent to providers."
    )
    max_batch_file_bytes: int = _setting(100 * MIB, parse_size, "Largest file of purpose batch.")
    max_part_bytes: int = _setting(
        64 * MIB, parse_size, "Largest part of an upload in parts (`/v1/uploads`); OpenAI's clients send 64 MiB."
    )
    upload_expiry_seconds: int = _setting(
        3_600,
        whole_number(60, 2_592_000),
        "How long after its creation or its last part an upload in parts expires and its parts are removed.",
    )
    tus_expiry_seconds: int = _setting(
        86_400,
        whole_number(60, 2_592_000),
        "How long a resumable upload (`/v1/tus`) is kept after the last of its bytes has come, before it expires.",
    )
    cors_origins: tuple[str, ...] = _setting(
        (),
        origins,
        "Origins such as `https://app.example.com` whose pages may call `/v1` from a browser, just as browsers name them, or `*` for any; "
        "none by default.",
    )
    project_quota_bytes: int = _setting(
        100 * GIB, parse_size, "Bytes a project may keep. Deleted files count until their bytes are collected."
    )
    upload_lease_seconds: float = _setting(
        60.0, seconds(1, 3_600), "How long the place of an upload whose worker has died stays taken, where uploads at once are limited."
    )
    usage_retention_days: int = _setting(400, whole_number(0), "How many days the daily usage is kept; 0 keeps it all.")
    batch_expiry_seconds: int = _setting(2_592_000, whole_number(0), "Expiry of batch files that set none of their own; 0 keeps them.")
    extra_purposes: tuple[str, ...] = _setting((), list_of_names, "Purposes accepted besides OpenAI's, or `*` for any.")
    file_id_style: str = _setting(
        "uuid", one_of("uuid", "openai"), "How file ids are printed: `uuid`, or `openai` for file-<32 hex>. Both are always accepted."
    )
    max_list_limit: int = _setting(10_000, whole_number(1, 10_000), "Largest `limit` of a list.")

    head_seconds: float = _setting(30.0, seconds(0.1), "Longest wait for the complete head of a request.")
    body_idle_seconds: float = _setting(30.0, seconds(0.05), "Longest wait for the next bytes of a request body.")
    min_upload_rate: int = _setting(
        1_024, whole_number(0), "Least bytes a second of a request body, over the time spent waiting for the client."
    )
    upload_grace_seconds: float = _setting(20.0, seconds(), "Time spent waiting for the client before `min_upload_rate` counts.")
    download_stall_seconds: float = _setting(120.0, seconds(0.05), "Longest wait for a client to take the next piece of a ranged download.")
    max_form_overhead_bytes: int = _setting(
        64 * KIB, parse_size, "Bytes of an upload's form that are not the file's own: fields, part headers, boundaries."
    )
    max_form_parts: int = _setting(10, whole_number(2), "Parts in one upload's form.")
    max_part_headers: int = _setting(16, whole_number(1), "Header lines in one part of a form.")
    max_part_header_bytes: int = _setting(8 * KIB, parse_size, "Bytes of one part's header lines together.")
    max_field_bytes: int = _setting(4 * KIB, parse_size, "Bytes of one form field other than the file.")

    purpose_validation: str = _setting(
        "report",
        one_of("report", "reject", "off"),
        "What to do about a `.jsonl` file of purpose batch or fine-tune that is not valid: `report` keeps it with status `error`, `reject` "
        "refuses it, `off` looks at none.",
    )
    batch_urls: tuple[str, ...] = _setting(BATCH_URLS, list_of_names, "Endpoints that the requests of a batch file may name.")
    max_batch_lines: int = _setting(50_000, whole_number(1), "Requests in one batch file.")
    max_jsonl_line_bytes: int = _setting(16 * MIB, parse_size, "Bytes of one line of a validated `.jsonl` file.")

    deleted_retention_seconds: int = _setting(604_800, whole_number(0), "How long a deleted file can be restored.")
    tombstone_seconds: int = _setting(
        86_400,
        whole_number(60),
        "How long a file is remembered after its bytes were removed; until then its id works as a cursor of lists.",
    )
    orphan_grace_seconds: int = _setting(
        3_600, whole_number(60), "How old a blob or temporary that no file refers to must be before it is removed."
    )
    janitor_interval_seconds: float = _setting(
        60.0, seconds(), "Time between two passes that end and collect files; 0 leaves that to `fileplane gc`."
    )
    sweep_interval_seconds: float = _setting(
        3_600.0, seconds(1), "Time between two walks through all blobs for those that no file refers to."
    )
    audit_retention_seconds: int = _setting(31_536_000, whole_number(0), "How long a line of the audit log is kept; 0 keeps them all.")

    verify_reads: bool = _setting(
        False,
        yes_or_no,
        "Whether whole downloads are hashed on the way, and broken off before their end when the bytes are damaged. Costs processor time.",
    )
    scrub_bytes_per_second: int = _setting(
        4 * MIB, parse_size, "How fast the scrub reads all files, to find damaged ones before they are needed; 0 turns it off."
    )
    scrub_interval_seconds: float = _setting(
        86_400.0, seconds(0.1, 31_536_000), "Least time between the beginnings of two rounds of the scrub through all files."
    )

    min_free_disk_bytes: int = _setting(256 * MIB, parse_size, "Uploads are refused while the disk has less room than this.")
    database_cache_bytes: int = _setting(
        8 * MIB, parse_size, "Bytes of the database that each of a worker's three connections may keep in memory."
    )
    database_url: str | None = _setting(
        None,
        database_url,
        "PostgreSQL database that several nodes share, such as `postgresql://fileplane@db.internal/fileplane`, instead of SQLite in the "
        "data directory. Needs the extra `postgres`.",
        secret=True,
    )
    database_connections: int = _setting(
        8, whole_number(2, 200), "Connections to PostgreSQL that each worker may have open: one half reads, the other changes."
    )
    metadata_deadline_seconds: float = _setting(10.0, seconds(0.1), "Longest wait for the database before a request is answered 503.")
    storage_deadline_seconds: float = _setting(
        60.0, seconds(0.1), "Longest wait for one step of the blob store before a request is answered 503."
    )

    blob_store: BlobLocation = _setting(
        BlobLocation(),
        _blob_store,
        "Where the bytes of files are kept: `file:` for the data directory, or a URL of an object store such as "
        "`s3://bucket/prefix?region=eu-central-1`, `az://container?account=name` or `gs://bucket`. Its credentials come from the "
        "environment, files or identities that the cloud's own tools use.",
    )
    content_delivery: str = _setting(
        "proxy",
        one_of("proxy", "redirect"),
        "How content is delivered: `proxy` sends the bytes, `redirect` answers GET with a 302 to a signed URL of the object store, which "
        "then sends them.",
    )
    redirect_seconds: int = _setting(
        300, whole_number(5, 604_800), "How long the URL that content is redirected to can be used to begin a download."
    )

    master_key: bytes | None = _setting(
        None,
        parse_key,
        "Key that the stored credentials of providers are encrypted with: 32 random bytes in base64 or hex. Without it, the one in "
        "`master.key` in the data directory, which is made at first start and never part of a backup.",
        secret=True,
    )
    secret_refs_allow: tuple[str, ...] = _setting(
        (),
        secret_patterns,
        "References that a stored credential may be instead of a secret, such as `env:OPENAI_*` or `file:/run/secrets/*`; `*` stands for "
        "any characters but `/`.",
    )

    egress_allow: tuple[str, ...] = _setting(
        (),
        egress_rules,
        "Hosts (`llm.internal`, `*.svc.cluster.local`) and networks (`10.1.0.0/16`) that providers may be reached at although they are "
        "private, loopback or link-local addresses, or speak plain HTTP.",
    )
    egress_proxy: str | None = _setting(
        None, proxy_url, "HTTP proxy that providers are called through. The environment's proxies are not read.", secret=True
    )
    egress_ca: Path | None = _setting(None, file_path, "PEM file with certificate authorities that are trusted besides the system's.")
    egress_connections: int = _setting(
        200,
        whole_number(1, 10_000),
        "Calls to providers that each worker may make at once; a single host gets half of them, a project a quarter.",
    )
    egress_connect_seconds: float = _setting(10.0, seconds(0.05), "Longest wait for a connection to a provider, its name included.")
    egress_first_byte_seconds: float = _setting(
        120.0, seconds(0.05), "Longest wait for a provider's answer to begin, once it has the whole request."
    )
    egress_idle_seconds: float = _setting(60.0, seconds(0.05), "Longest wait for a provider to take or send the next bytes of a body.")
    egress_breaker_failures: int = _setting(
        5,
        whole_number(0, 1_000),
        "Connections to a provider that have to fail in a row, for one credential, before it is left alone; 0 never leaves it alone.",
    )
    egress_breaker_seconds: float = _setting(
        15.0, seconds(0.05, 3_600), "How long such a provider is left alone before one call tries it again."
    )
    egress_total_seconds: float = _setting(7_200.0, seconds(0.1), "Longest duration of one call to a provider, whatever its size.")
    provider_overrides: str | None = _setting(
        None,
        provider_overrides,
        "What you know better of providers than this version does, by provider and field: a table in TOML, JSON in the environment. "
        "See docs/providers.md.",
    )

    base_url: str = _setting("http://127.0.0.1:8787/v1", plain_text, "Server that the client commands talk to.", fallback="OPENAI_BASE_URL")
    api_key: str | None = _setting(None, plain_text, "API key that the client commands send.", secret=True, fallback="OPENAI_API_KEY")
