-- name: insert_upload
-- An upload that takes parts from now on.
INSERT INTO uploads (project_id, id, purpose, filename, bytes, media_type, expires_after, status, created_by, created_at, expires_at, target)
VALUES (:project_id, :id, :purpose, :filename, :bytes, :media_type, :expires_after, 'pending', :created_by, :created_at, :expires_at, :target);

-- name: select_upload
-- An upload of whatever state, and the live file that it became.
SELECT uploads.project_id, uploads.id, uploads.purpose, uploads.filename, uploads.bytes, uploads.media_type, uploads.expires_after,
       uploads.status, uploads.created_at, uploads.expires_at, uploads.target,
       files.project_id, files.id, files.purpose, files.filename, files.bytes, files.media_type, files.sha256, files.blob_key,
       files.created_at, files.expires_at, files.status, files.status_details
FROM uploads LEFT JOIN files ON files.project_id = uploads.project_id AND files.id = uploads.file_id AND files.deleted_at IS NULL
     AND (files.ends_at IS NULL OR files.ends_at > :now)
WHERE uploads.project_id = :project_id AND uploads.id = :id;

-- name: list_uploads
-- One page; what stands in braces depends on the query.
SELECT uploads.project_id, uploads.id, uploads.purpose, uploads.filename, uploads.bytes, uploads.media_type, uploads.expires_after,
       uploads.status, uploads.created_at, uploads.expires_at, uploads.target,
       files.project_id, files.id, files.purpose, files.filename, files.bytes, files.media_type, files.sha256, files.blob_key,
       files.created_at, files.expires_at, files.status, files.status_details
FROM uploads LEFT JOIN files ON files.project_id = uploads.project_id AND files.id = uploads.file_id AND files.deleted_at IS NULL
     AND (files.ends_at IS NULL OR files.ends_at > :now)
WHERE uploads.project_id = :project_id AND uploads.target IN ({targets}) AND (uploads.created_at, uploads.id) {beyond} (:cursor_time, :cursor_id)
ORDER BY uploads.created_at {direction}, uploads.id {direction} LIMIT :limit;

-- name: select_upload_cursor
-- Where a list continues.
SELECT created_at, id FROM uploads WHERE project_id = :project_id AND id = :id;

-- name: put_off_upload
-- A pending upload does not expire before a time; nothing is returned when it is not pending any more.
UPDATE uploads SET expires_at = max(expires_at, :until)
WHERE project_id = :project_id AND id = :id AND status = 'pending' AND expires_at > :now RETURNING id;

-- name: end_upload
-- An upload takes nothing more.
UPDATE uploads SET status = :status, ended_at = :now, file_id = :file_id WHERE project_id = :project_id AND id = :id;

-- name: count_parts
-- How many parts an upload has, and whether it is resumed at an offset.
SELECT count(*), EXISTS (SELECT 1 FROM resumable_uploads WHERE project_id = :project_id AND upload_id = :upload_id)
FROM upload_parts WHERE project_id = :project_id AND upload_id = :upload_id AND given_up_at IS NULL;

-- name: is_resumable
-- Whether an upload is resumed at an offset.
SELECT 1 FROM resumable_uploads WHERE project_id = :project_id AND upload_id = :upload_id;

-- name: select_key_pending
-- Bytes of the parts of a key's uploads that can still be completed.
SELECT coalesce(sum(upload_parts.bytes), 0)
FROM uploads INDEXED BY uploads_of_key
JOIN upload_parts ON upload_parts.project_id = uploads.project_id AND upload_id = uploads.id AND given_up_at IS NULL
WHERE uploads.project_id = :project_id AND uploads.created_by = :key_id AND status = 'pending' AND uploads.expires_at > :now;

-- name: insert_part
-- A part whose blob is already durable.
INSERT INTO upload_parts (project_id, id, upload_id, blob_key, bytes, sha256, created_at)
VALUES (:project_id, :id, :upload_id, :blob_key, :bytes, :sha256, :created_at);

-- name: count_bytes
-- What a project keeps moves by so many bytes.
INSERT INTO usage (project_id, purpose, live_files, stored_bytes) VALUES (:project_id, :purpose, 0, :bytes)
ON CONFLICT (project_id, purpose) DO UPDATE SET stored_bytes = usage.stored_bytes + excluded.stored_bytes;

-- name: select_parts
-- The parts of an upload, as they came; of one that is completed, those of its file.
SELECT upload_id, id, blob_key, bytes, sha256, created_at FROM upload_parts
WHERE project_id = :project_id AND upload_id = :upload_id AND given_up_at IS NULL ORDER BY number, begins, created_at, id;

-- name: select_manifest
-- The parts of a file, in their order.
SELECT upload_id, id, blob_key, bytes, sha256, created_at FROM upload_parts
WHERE project_id = :project_id AND upload_id = :upload_id AND number IS NOT NULL ORDER BY number;

-- name: number_part
-- A part gets its place in the file.
UPDATE upload_parts SET number = :number WHERE project_id = :project_id AND id = :id;

-- name: give_up_parts
-- Those parts of an upload that are none of a file's can be removed.
UPDATE upload_parts SET given_up_at = :now
WHERE project_id = :project_id AND upload_id = :upload_id AND number IS NULL AND given_up_at IS NULL;

-- name: select_upload_given_up
-- The parts of an upload that can be removed.
SELECT project_id, id, blob_key, bytes, given_up_at FROM upload_parts
WHERE project_id = :project_id AND upload_id = :upload_id AND given_up_at IS NOT NULL ORDER BY id LIMIT :limit;

-- name: select_given_up
-- The parts of all uploads that can be removed, those that have waited longest first.
SELECT project_id, id, blob_key, bytes, given_up_at FROM upload_parts INDEXED BY parts_given_up
WHERE given_up_at IS NOT NULL AND given_up_at <= :now AND (given_up_at, project_id, id) > (:since, :project_id, :id)
ORDER BY given_up_at, project_id, id LIMIT :limit;

-- name: forget_part
-- The last of a part that was given up; nothing is returned when it was not, or is forgotten already.
DELETE FROM upload_parts WHERE project_id = :project_id AND id = :id AND given_up_at IS NOT NULL RETURNING upload_id, bytes;

-- name: select_ended_uploads
-- Uploads past their time that are not marked yet, those that ended first at the front. Where it is being found out whether a provider has
-- the file, an upload stays: it may be tried again, from its parts, if not.
SELECT project_id, id, '', 0, expires_at FROM uploads INDEXED BY uploads_ending
WHERE status = 'pending' AND expires_at <= :now AND (expires_at, project_id, id) > (:since, :project_id, :id)
  AND NOT EXISTS (SELECT 1 FROM routed_uploads JOIN catalog_files ON catalog_files.project_id = routed_uploads.project_id
                  AND catalog_files.id = intent_id WHERE routed_uploads.project_id = uploads.project_id AND upload_id = uploads.id
                  AND state IN ('reserved', 'unknown'))
ORDER BY expires_at, project_id, id LIMIT :limit;

-- name: expire_upload
-- An upload past its time is over; nothing is returned when it is not past it, or is over already. One whose file a provider turned out to
-- have is completed.
UPDATE uploads SET ended_at = :now, status = CASE WHEN EXISTS
    (SELECT 1 FROM routed_uploads JOIN catalog_files ON catalog_files.project_id = routed_uploads.project_id
     AND catalog_files.id = intent_id WHERE routed_uploads.project_id = :project_id AND upload_id = :id
     AND state IN ('bound', 'deleting', 'closed')) THEN 'completed' ELSE 'expired' END
WHERE project_id = :project_id AND id = :id AND status = 'pending' AND expires_at <= :now
  AND NOT EXISTS (SELECT 1 FROM routed_uploads JOIN catalog_files ON catalog_files.project_id = routed_uploads.project_id
                  AND catalog_files.id = intent_id WHERE routed_uploads.project_id = :project_id AND upload_id = :id
                  AND state IN ('reserved', 'unknown')) RETURNING id;

-- name: delete_old_ended
-- Uploads that came to nothing, or whose file is forgotten, and that have no parts left.
DELETE FROM uploads WHERE (project_id, id) IN
    (SELECT project_id, id FROM uploads WHERE status IN ('cancelled', 'expired') AND ended_at <= :oldest
       AND NOT EXISTS (SELECT 1 FROM upload_parts WHERE upload_parts.project_id = uploads.project_id AND upload_id = uploads.id)
     ORDER BY ended_at LIMIT :limit);

-- name: forget_manifest
-- The parts of a file that is forgotten.
DELETE FROM upload_parts WHERE project_id = :project_id AND upload_id = :upload_id AND number IS NOT NULL
  AND EXISTS (SELECT 1 FROM files WHERE project_id = :project_id AND files.id = :id AND collected_at IS NOT NULL);

-- name: forget_completion
-- What became of the upload of a file that is forgotten is of no interest any more.
UPDATE uploads SET status = 'expired', file_id = NULL WHERE project_id = :project_id AND id = :upload_id
  AND EXISTS (SELECT 1 FROM files WHERE project_id = :project_id AND files.id = :id AND collected_at IS NOT NULL);

-- name: select_unsettled
-- Files whose bytes have not been read through yet, the oldest first.
SELECT project_id, id, purpose, filename, bytes, media_type, sha256, blob_key, created_at, expires_at, status, status_details
FROM files INDEXED BY files_unsettled
WHERE status = 'uploaded' AND sha256 = '' AND (created_at, project_id, id) > (:since, :project_id, :id)
  AND collected_at IS NULL AND (deleted_at IS NULL OR collect_after > :now)
ORDER BY created_at, project_id, id LIMIT :limit;

-- name: settle_file
-- What reading a file through has come to; nothing is returned when that was known already, or the file is gone.
UPDATE files SET sha256 = :sha256, status = :status, status_details = :status_details
WHERE project_id = :project_id AND id = :id AND status = 'uploaded' AND sha256 = '' AND collected_at IS NULL RETURNING id;

-- name: select_damaged
-- Files of parts that could not be read through, in the order of their keys.
SELECT project_id, id, purpose, filename, bytes, media_type, sha256, blob_key, created_at, expires_at, status, status_details
FROM files
WHERE (project_id, id) > (:project_id, :id) AND status = 'error' AND sha256 = '' AND substr(blob_key, 1, 6) = 'parts:'
  AND collected_at IS NULL AND (deleted_at IS NULL OR collect_after > :now)
ORDER BY project_id, id LIMIT :limit;

-- name: settle_again
-- A file that could not be read through is to be read again; nothing is returned for any other.
UPDATE files SET status = 'uploaded', status_details = NULL
WHERE project_id = :project_id AND id = :id AND status = 'error' AND sha256 = '' AND substr(blob_key, 1, 6) = 'parts:'
  AND collected_at IS NULL RETURNING id;

-- name: select_part_not_given_up
-- Whether a part's bytes must be there: nothing is returned once it, or the file that it is of, is given up or forgotten.
SELECT 1 FROM upload_parts JOIN uploads ON uploads.project_id = upload_parts.project_id AND uploads.id = upload_id
LEFT JOIN files ON files.project_id = upload_parts.project_id AND files.id = uploads.file_id
WHERE upload_parts.project_id = :project_id AND upload_parts.id = :id AND given_up_at IS NULL
  AND (number IS NULL OR (files.id IS NOT NULL AND collected_at IS NULL AND NOT (deleted_at IS NOT NULL AND collect_after = 0)));

-- name: give_up_part
-- A part that is none of a file's can be removed.
UPDATE upload_parts SET given_up_at = :now WHERE project_id = :project_id AND id = :id AND number IS NULL;

-- name: select_blob_key
-- What a file consists of.
SELECT blob_key FROM files WHERE project_id = :project_id AND id = :id;

-- name: select_incomplete
-- Files whose parts are not as many bytes as they have.
SELECT files.project_id, files.id, files.blob_key, files.bytes, coalesce(sum(upload_parts.bytes), 0)
FROM files LEFT JOIN upload_parts ON upload_parts.project_id = files.project_id AND upload_id = substr(files.blob_key, 7)
     AND number IS NOT NULL
WHERE collected_at IS NULL AND substr(files.blob_key, 1, 6) = 'parts:'
GROUP BY files.project_id, files.id, files.blob_key, files.bytes
HAVING coalesce(sum(upload_parts.bytes), 0) != files.bytes ORDER BY files.project_id, files.id LIMIT :limit;

-- name: select_kept_parts
-- Parts whose bytes are kept, of uploads and of the files that they became, in the order of their keys.
SELECT upload_parts.project_id, coalesce(files.id, upload_id), upload_parts.blob_key, upload_parts.bytes, upload_parts.sha256,
       given_up_at IS NOT NULL OR (deleted_at IS NOT NULL AND collect_after <= :now), upload_parts.id, coalesce(number, -1)
FROM upload_parts JOIN uploads ON uploads.project_id = upload_parts.project_id AND uploads.id = upload_id
LEFT JOIN files ON files.project_id = upload_parts.project_id AND files.id = uploads.file_id AND number IS NOT NULL
WHERE (upload_parts.project_id, upload_parts.id) > (:project_id, :id) AND collected_at IS NULL
ORDER BY upload_parts.project_id, upload_parts.id LIMIT :limit;
