-- Counters for the limits of projects and API keys, and usage by day.

-- Of the stored bytes, those of deleted files.
ALTER TABLE usage ADD COLUMN deleted_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE usage SET deleted_bytes = (
    SELECT coalesce(sum(bytes), 0) FROM files
    WHERE files.project_id = usage.project_id AND files.purpose = usage.purpose AND deleted_at IS NOT NULL AND collected_at IS NULL
);

-- The live files that were uploaded with each key.
CREATE TABLE key_usage (
    project_id TEXT NOT NULL REFERENCES projects (id),
    key_id     TEXT NOT NULL,
    live_files INTEGER NOT NULL,
    live_bytes INTEGER NOT NULL,
    PRIMARY KEY (project_id, key_id)
) STRICT, WITHOUT ROWID;
INSERT INTO key_usage (project_id, key_id, live_files, live_bytes)
SELECT project_id, created_by, count(*), sum(bytes) FROM files WHERE deleted_at IS NULL GROUP BY project_id, created_by;

-- What has ended and is not yet marked, to be subtracted from those.
CREATE INDEX files_by_key_end ON files (project_id, created_by, ends_at, bytes, deleted_at)
WHERE deleted_at IS NULL AND ends_at IS NOT NULL;

-- What was sent on each day of UTC, by days since the epoch: of each key, and of the whole project under an empty key_id.
CREATE TABLE daily_usage (
    project_id     TEXT NOT NULL REFERENCES projects (id),
    key_id         TEXT NOT NULL,
    day            INTEGER NOT NULL,
    uploads        INTEGER NOT NULL,
    received_bytes INTEGER NOT NULL,
    stored_bytes   INTEGER NOT NULL,
    PRIMARY KEY (project_id, key_id, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX daily_usage_by_day ON daily_usage (day);
-- The forms around the files of earlier versions, and uploads that failed, were not counted.
INSERT INTO daily_usage (project_id, key_id, day, uploads, received_bytes, stored_bytes)
SELECT project_id, created_by, created_at / 86400, count(*), sum(bytes), sum(bytes) FROM files GROUP BY 1, 2, 3
UNION ALL
SELECT project_id, '', created_at / 86400, count(*), sum(bytes), sum(bytes) FROM files GROUP BY 1, 2, 3;

-- How many requests workers have been given of the latest minute in which somebody asked. A subject is a project or a key.
CREATE TABLE request_windows (
    subject TEXT PRIMARY KEY,
    minute  INTEGER NOT NULL,
    used    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX request_windows_by_minute ON request_windows (minute);

-- Only of callers whose uploads at once are limited. A place ends by itself unless it is renewed.
CREATE TABLE uploads_in_progress (
    id         TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    key_id     TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_by_project ON uploads_in_progress (project_id, expires_at);
CREATE INDEX uploads_by_key ON uploads_in_progress (key_id, expires_at);
CREATE INDEX uploads_by_end ON uploads_in_progress (expires_at);
