-- Uploads that are resumed at an offset (tus).

-- received is how many bytes are durable. turn grows whenever a request begins to append or stops; held_until, in seconds, is until when
-- the present one may go on unheard of, and asked whether it has been asked to stop. length_deferred: uploads.bytes is not known yet.
CREATE TABLE resumable_uploads (
    project_id      TEXT NOT NULL,
    upload_id       TEXT NOT NULL,
    metadata        TEXT NOT NULL,
    length_deferred INTEGER NOT NULL,
    received        INTEGER NOT NULL,
    turn            INTEGER NOT NULL,
    held_until      INTEGER,
    asked           INTEGER NOT NULL,
    PRIMARY KEY (project_id, upload_id),
    FOREIGN KEY (project_id, upload_id) REFERENCES uploads (project_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Where in its file a part of such an upload begins.
ALTER TABLE upload_parts ADD COLUMN begins INTEGER;
