-- Uploads in parts, and the files that consist of parts.

-- bytes is what was announced. file_id is that of the file that a completed one became, whose blob_key is 'parts:' and the upload's id.
CREATE TABLE uploads (
    project_id    TEXT NOT NULL REFERENCES projects (id),
    id            TEXT NOT NULL,
    purpose       TEXT NOT NULL,
    filename      TEXT NOT NULL,
    bytes         INTEGER NOT NULL,
    media_type    TEXT NOT NULL,
    expires_after INTEGER,
    status        TEXT NOT NULL CHECK (status IN ('pending', 'completed', 'cancelled', 'expired')),
    created_by    TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    file_id       TEXT,
    PRIMARY KEY (project_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_by_time ON uploads (project_id, created_at, id);
CREATE INDEX uploads_ending ON uploads (expires_at, project_id, id) WHERE status = 'pending';
CREATE INDEX uploads_of_key ON uploads (project_id, created_by) WHERE status = 'pending';
CREATE INDEX uploads_over ON uploads (ended_at, project_id, id) WHERE status IN ('cancelled', 'expired');

-- number is the part's place in the manifest of the file that its upload became; without one it counts by itself towards what its project
-- keeps, until it is given up and its blob is removed. What is given up is never listed again.
CREATE TABLE upload_parts (
    project_id  TEXT NOT NULL,
    id          TEXT NOT NULL,
    upload_id   TEXT NOT NULL,
    blob_key    TEXT NOT NULL,
    bytes       INTEGER NOT NULL,
    sha256      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    number      INTEGER,
    given_up_at INTEGER,
    PRIMARY KEY (project_id, id),
    FOREIGN KEY (project_id, upload_id) REFERENCES uploads (project_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX parts_by_upload ON upload_parts (project_id, upload_id, number, id);
CREATE UNIQUE INDEX parts_by_blob ON upload_parts (blob_key, project_id);
CREATE INDEX parts_given_up ON upload_parts (given_up_at, project_id, id) WHERE given_up_at IS NOT NULL;

-- Files whose bytes have not been read through since their upload was completed.
CREATE INDEX files_unsettled ON files (created_at, project_id, id) WHERE status = 'uploaded';
