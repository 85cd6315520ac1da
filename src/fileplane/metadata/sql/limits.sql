-- name: count_key_created
-- The counters of a key that a new file moves.
INSERT INTO key_usage (project_id, key_id, live_files, live_bytes) VALUES (:project_id, :created_by, 1, :bytes)
ON CONFLICT (project_id, key_id) DO UPDATE
SET live_files = key_usage.live_files + 1, live_bytes = key_usage.live_bytes + excluded.live_bytes;

-- name: count_key_deletion
-- The counters of a key that a deletion moves.
UPDATE key_usage SET live_files = live_files - 1, live_bytes = live_bytes - :bytes WHERE project_id = :project_id AND key_id = :created_by;

-- name: count_key_restoration
-- The counters of a key that a restoration moves back.
UPDATE key_usage SET live_files = live_files + 1, live_bytes = live_bytes + :bytes WHERE project_id = :project_id AND key_id = :created_by;

-- name: count_day
-- What an upload adds to its day, for its key and for the whole project.
INSERT INTO daily_usage (project_id, key_id, day, uploads, received_bytes, stored_bytes)
VALUES (:project_id, '', :day, :uploads, :received_bytes, :stored_bytes),
       (:project_id, :key_id, :day, :uploads, :received_bytes, :stored_bytes)
ON CONFLICT (project_id, key_id, day) DO UPDATE
SET uploads = daily_usage.uploads + excluded.uploads, received_bytes = daily_usage.received_bytes + excluded.received_bytes,
    stored_bytes = daily_usage.stored_bytes + excluded.stored_bytes;

-- name: select_kept
-- What a project keeps: bytes and live files, those that have ended since and are not marked left out.
SELECT coalesce(sum(stored_bytes), 0),
       coalesce(sum(live_files), 0) - (SELECT count(*) FROM files INDEXED BY files_by_end
           WHERE project_id = :project_id AND deleted_at IS NULL AND ends_at IS NOT NULL AND ends_at <= :now)
FROM usage WHERE project_id = :project_id;

-- name: select_key_kept
-- The live files of a key and their bytes.
SELECT live_files, live_bytes FROM key_usage WHERE project_id = :project_id AND key_id = :key_id;

-- name: select_key_ended
-- What the counters above still include although it no longer exists.
SELECT count(*), coalesce(sum(bytes), 0) FROM files INDEXED BY files_by_key_end
WHERE project_id = :project_id AND created_by = :key_id AND deleted_at IS NULL AND ends_at IS NOT NULL AND ends_at <= :now;

-- name: select_received
-- What was sent on one day, by one key or, with an empty key, in the whole project.
SELECT received_bytes FROM daily_usage WHERE project_id = :project_id AND key_id = :key_id AND day = :day;

-- name: select_key_limits
-- The limits of a key that works.
SELECT limits FROM api_keys WHERE id = :key_id AND revoked_at IS NULL;

-- name: select_window
-- How many requests have been given away, and of which minute.
SELECT minute, used FROM request_windows WHERE subject = :subject;

-- name: set_window
-- From now on so many have been.
INSERT INTO request_windows (subject, minute, used) VALUES (:subject, :minute, :used)
ON CONFLICT (subject) DO UPDATE SET minute = excluded.minute, used = excluded.used;

-- name: delete_ended_uploads
-- Places of a project whose time is over, or that a clock far ahead has given out.
DELETE FROM uploads_in_progress WHERE project_id = :project_id AND (expires_at <= :now OR expires_at > :latest);

-- name: count_uploads
-- The uploads of a project that go on.
SELECT count(*) FROM uploads_in_progress WHERE project_id = :project_id AND expires_at > :now;

-- name: count_key_uploads
-- The uploads of a key that go on.
SELECT count(*) FROM uploads_in_progress WHERE key_id = :key_id AND expires_at > :now;

-- name: insert_upload
-- A place for an upload.
INSERT INTO uploads_in_progress (id, project_id, key_id, expires_at) VALUES (:id, :project_id, :key_id, :expires_at);

-- name: renew_upload
-- The upload goes on. A place that was taken away meanwhile does not come back.
UPDATE uploads_in_progress SET expires_at = :expires_at WHERE id = :id;

-- name: delete_upload
-- The upload has ended.
DELETE FROM uploads_in_progress WHERE id = :id;

-- name: delete_old_uploads
-- Places that nobody has looked at since their time was over.
DELETE FROM uploads_in_progress WHERE expires_at <= :oldest AND id IN
    (SELECT id FROM uploads_in_progress WHERE expires_at <= :oldest ORDER BY expires_at LIMIT :limit);

-- name: delete_old_windows
-- Minutes of subjects that nobody has asked for since.
DELETE FROM request_windows WHERE minute <= :oldest AND subject IN
    (SELECT subject FROM request_windows WHERE minute <= :oldest ORDER BY minute LIMIT :limit);

-- name: delete_old_days
-- Days from before a day.
DELETE FROM daily_usage WHERE (project_id, key_id, day) IN
    (SELECT project_id, key_id, day FROM daily_usage WHERE day < :oldest ORDER BY day LIMIT :limit);

-- name: select_purposes
-- What a project keeps, by purpose.
SELECT purpose, live_files, stored_bytes, deleted_files, deleted_bytes FROM usage WHERE project_id = :project_id ORDER BY purpose;

-- name: select_purposes_ended
-- What the counters above still take for live, by purpose.
SELECT purpose, count(*), sum(bytes) FROM files INDEXED BY files_by_end
WHERE project_id = :project_id AND deleted_at IS NULL AND ends_at IS NOT NULL AND ends_at <= :now GROUP BY purpose;

-- name: select_days
-- What was sent to a project, by day.
SELECT day, uploads, received_bytes, stored_bytes FROM daily_usage
WHERE project_id = :project_id AND key_id = '' AND day BETWEEN :first AND :last ORDER BY day;

-- name: select_keys
-- The live files of a project, by key.
SELECT key_id, live_files, live_bytes FROM key_usage WHERE project_id = :project_id ORDER BY key_id;

-- name: select_keys_ended
-- What the counters above still include although it no longer exists, by key.
SELECT created_by, count(*), sum(bytes) FROM files INDEXED BY files_by_key_end
WHERE project_id = :project_id AND deleted_at IS NULL AND ends_at IS NOT NULL AND ends_at <= :now GROUP BY created_by;
