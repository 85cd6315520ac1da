-- Uploads in parts that become files at providers.

-- target is where the file will be, empty for the native store: see fileplane/uploads.py.
ALTER TABLE uploads ADD COLUMN target TEXT NOT NULL DEFAULT '';
CREATE INDEX uploads_routed_over ON uploads (ended_at, project_id, id) WHERE status = 'completed' AND target <> '';

-- What of such an upload only the way to its provider needs. provider_upload_id is null where the parts are kept here until they are sent as
-- one file. begun is 1 from when a completion is about to be sent until it has certainly failed; digest is of the list that it was begun
-- with, intent_id the catalog's file that it is to make, if there is a catalog.
CREATE TABLE routed_uploads (
    project_id         TEXT NOT NULL,
    upload_id          TEXT NOT NULL,
    provider_upload_id TEXT,
    begun              INTEGER NOT NULL DEFAULT 0,
    digest             BLOB,
    intent_id          TEXT,
    provider_file_id   TEXT,
    PRIMARY KEY (project_id, upload_id),
    FOREIGN KEY (project_id, upload_id) REFERENCES uploads (project_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX routed_uploads_by_intent ON routed_uploads (project_id, intent_id) WHERE intent_id IS NOT NULL;

-- Parts that were passed on to the provider; number is the place that the last completion has given them.
CREATE TABLE routed_parts (
    project_id       TEXT NOT NULL,
    id               TEXT NOT NULL,
    upload_id        TEXT NOT NULL,
    provider_part_id TEXT NOT NULL,
    bytes            INTEGER NOT NULL,
    sha256           TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    number           INTEGER,
    PRIMARY KEY (project_id, id),
    FOREIGN KEY (project_id, upload_id) REFERENCES routed_uploads (project_id, upload_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX routed_parts_by_upload ON routed_parts (project_id, upload_id, id);
