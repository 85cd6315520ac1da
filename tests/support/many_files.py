"""Files by the million, written straight into the tables of a PostgreSQL database that nobody else is using. Their blobs do not exist."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psycopg

from fileplane.model import INPUT_PURPOSES

MILLISECONDS_APART = 100
_EXPIRY_SECONDS = 2_592_000
_RETENTION_SECONDS = 604_800
_WITH_INDEXES = 100_000

# A canonical UUID version 7 of the time `at`, whose random bits come from the number.
_ID = """
    substr(moment, 1, 8) || '-' || substr(moment, 9) || '-7' || substr(noise, 1, 3) || '-8' || substr(noise, 4, 3) || '-'
    || substr(noise, 7, 12)
"""
_FILES = f"""
    INSERT INTO files (project_id, id, purpose, filename, bytes, media_type, sha256, blob_key, created_at, expires_at, ends_at, status,
                       created_by, deleted_at, collect_after, collected_at)
    SELECT %(project)s, {_ID}, purpose, 'part-' || number || '.jsonl', 1 + number %% 9999, 'application/jsonl', noise || noise,
           substr(noise, 1, 2) || '/' || substr(noise, 3), at / 1000, expires_at, expires_at, 'processed', %(key)s,
           CASE WHEN kind <= 1 THEN %(now)s END, CASE kind WHEN 0 THEN %(now)s + %(retention)s WHEN 1 THEN 0 END,
           CASE WHEN kind = 1 THEN %(now)s END
    FROM (SELECT *, CASE WHEN purpose = 'batch' THEN at / 1000 + %(expiry)s END AS expires_at, lpad(to_hex(at), 12, '0') AS moment
          FROM (SELECT number, (%(purposes)s::text[])[1 + number %% cardinality(%(purposes)s::text[])] AS purpose,
                       md5(%(project)s || number) AS noise, %(first)s + number * {MILLISECONDS_APART} AS at,
                       CASE WHEN %(deleted)s THEN number / 6 %% 10 ELSE 9 END AS kind
                FROM generate_series(0, %(count)s::bigint - 1) AS number) AS numbered) AS dated
"""
_COUNTERS = (
    """
    INSERT INTO usage (project_id, purpose, live_files, stored_bytes, deleted_files, deleted_bytes)
    SELECT project_id, purpose, count(*) FILTER (WHERE deleted_at IS NULL),
           coalesce(sum(bytes) FILTER (WHERE collected_at IS NULL), 0),
           count(*) FILTER (WHERE deleted_at IS NOT NULL AND collected_at IS NULL),
           coalesce(sum(bytes) FILTER (WHERE deleted_at IS NOT NULL AND collected_at IS NULL), 0)
    FROM files WHERE project_id = %(project)s GROUP BY project_id, purpose
    """,
    """
    INSERT INTO key_usage (project_id, key_id, live_files, live_bytes)
    SELECT project_id, created_by, count(*), sum(bytes) FROM files WHERE project_id = %(project)s AND deleted_at IS NULL
    GROUP BY project_id, created_by
    """,
)


@dataclass(frozen=True)
class ManyFiles:
    """``middle_id`` is the file that half of the others are newer than."""

    count: int
    middle_id: str
    newest_id: str


def fill_files(url: str, project_id: str, key_id: str, count: int, *, deleted: bool = False) -> ManyFiles:
    """Gives a project that has none ``count`` files, oldest first and 0.1 s apart, and the counters that belong to them.

    One in six, of purpose batch, has an expiry in the future. With ``deleted`` one in ten can be restored and one in ten is collected.
    """
    now_ms = int(time.time() * 1000)
    values: dict[str, Any] = {
        "project": project_id,
        "key": key_id,
        "count": count,
        "deleted": deleted,
        "now": now_ms // 1000,
        "first": now_ms - count * MILLISECONDS_APART - 1_000,
        "purposes": list(INPUT_PURPOSES),
        "expiry": _EXPIRY_SECONDS,
        "retention": _RETENTION_SECONDS,
    }
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        indexes = _without_indexes(connection, "files") if count > _WITH_INDEXES else []
        connection.execute(_FILES, values)
        for index in indexes:
            connection.execute(index)
        for table, statement in zip(("usage", "key_usage"), _COUNTERS, strict=True):
            connection.execute(f"DELETE FROM {table} WHERE project_id = %(project)s", values)
            connection.execute(statement, values)
        connection.execute("VACUUM ANALYZE files")
        ids = (
            "SELECT id FROM files WHERE project_id = %(project)s AND deleted_at IS NULL AND created_at >= %(since)s ORDER BY created_at, id"
        )
        half = (values["first"] + count // 2 * MILLISECONDS_APART) // 1000
        newer = connection.execute(ids, values | {"since": half}).fetchall()
    return ManyFiles(count, newer[0][0], newer[-1][0])


def _without_indexes(connection: psycopg.Connection[tuple[Any, ...]], table: str) -> list[str]:
    """Drops what is slow to add to a row at a time, and returns how to make it again."""
    connection.execute("SET maintenance_work_mem = '256MB'")
    kept = "SELECT conindid FROM pg_constraint WHERE conrelid = %(table)s::regclass"
    found = connection.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
        f"WHERE indrelid = %(table)s::regclass AND indexrelid NOT IN ({kept})",
        {"table": table},
    ).fetchall()
    for name, _ in found:
        connection.execute(f"DROP INDEX {name}")
    return [definition for _, definition in found]


_CATALOG = f"""
    INSERT INTO catalog_files (project_id, id, virtual_key_id, account_id, provider, state, provider_file_id, position, purpose, filename,
                               bytes, media_type, status, reserved_at, created_at, expires_at, ends_at, created_by)
    SELECT %(project)s, {_ID}, virtual_key, virtual_key, 'openai', 'bound', 'file-' || number, {_ID}, purpose,
           'part-' || number || '.jsonl',
           1 + number %% 9999, 'application/jsonl', 'processed', at / 1000, at / 1000, expires_at, expires_at, 'k'
    FROM (SELECT *, CASE WHEN number %% 10 = 0 THEN at / 1000 + %(expiry)s END AS expires_at, lpad(to_hex(at), 12, '0') AS moment
          FROM (SELECT number, (%(purposes)s::text[])[1 + number / 3 %% cardinality(%(purposes)s::text[])] AS purpose,
                       (%(keys)s::text[])[1 + number %% cardinality(%(keys)s::text[])] AS virtual_key,
                       md5('catalog' || number) AS noise, %(first)s + number * {MILLISECONDS_APART} AS at
                FROM generate_series(0, %(count)s::bigint - 1) AS number) AS numbered) AS dated
"""
_CATALOG_COUNTERS = """
    INSERT INTO catalog_usage (project_id, virtual_key_id, purpose, live_files, stored_bytes)
    SELECT project_id, virtual_key_id, purpose, count(*), sum(bytes) FROM catalog_files WHERE state = 'bound'
    GROUP BY project_id, virtual_key_id, purpose
"""
_IDEMPOTENCY = """
    INSERT INTO idempotency_keys (project_id, key_hash, fingerprint, file_id, created_at)
    SELECT %(project)s, decode(md5('a' || number) || md5('b' || number), 'hex'), 'f', number::text, %(now)s
    FROM generate_series(1, %(count)s::bigint) AS number
"""


def fill_beside_files(url: str, project_id: str, virtual_keys: tuple[str, ...], count: int) -> None:
    """Gives a project as many files at providers, and idempotency keys."""
    now_ms = int(time.time() * 1000)
    values: dict[str, Any] = {
        "project": project_id,
        "keys": list(virtual_keys),
        "count": count,
        "now": now_ms // 1000,
        "first": now_ms - count * MILLISECONDS_APART - 1_000,
        "purposes": list(INPUT_PURPOSES),
        "expiry": _EXPIRY_SECONDS,
    }
    filled = (("catalog_files", _CATALOG), ("idempotency_keys", _IDEMPOTENCY))
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        for table, statement in filled:
            indexes = _without_indexes(connection, table) if count > _WITH_INDEXES else []
            connection.execute(statement, values)
            for index in indexes:
                connection.execute(index)
        connection.execute(_CATALOG_COUNTERS)
