-- name: insert_resumable
-- An upload that is resumed at an offset.
INSERT INTO resumable_uploads (project_id, upload_id, metadata, length_deferred, received, turn, held_until, asked)
VALUES (:project_id, :upload_id, :metadata, :length_deferred, 0, 0, NULL, 0);

-- name: select_resumable
-- How far an upload has come, and whether somebody appends to it.
SELECT metadata, length_deferred, received, turn, held_until IS NOT NULL AND held_until > :now, asked,
       (SELECT count(*) FROM upload_parts WHERE upload_parts.project_id = resumable_uploads.project_id
          AND upload_parts.upload_id = resumable_uploads.upload_id AND given_up_at IS NULL)
FROM resumable_uploads WHERE project_id = :project_id AND upload_id = :upload_id;

-- name: take_turn
-- Somebody appends from now on, and whoever did before no longer can.
UPDATE resumable_uploads SET turn = turn + 1, held_until = :until, asked = 0
WHERE project_id = :project_id AND upload_id = :upload_id;

-- name: set_length
-- The length, which was not known when the upload began.
UPDATE resumable_uploads SET length_deferred = 0 WHERE project_id = :project_id AND upload_id = :upload_id;

-- name: set_bytes
-- As above.
UPDATE uploads SET bytes = :bytes WHERE project_id = :project_id AND id = :upload_id;

-- name: ask_turn
-- Whoever appends is to stop.
UPDATE resumable_uploads SET asked = 1
WHERE project_id = :project_id AND upload_id = :upload_id AND turn = :turn AND held_until IS NOT NULL;

-- name: keep_turn
-- Whoever appends is still there; nothing is returned when it is not its turn any more.
UPDATE resumable_uploads SET held_until = :until
WHERE project_id = :project_id AND upload_id = :upload_id AND turn = :turn AND held_until IS NOT NULL RETURNING turn;

-- name: end_turn
-- Nobody appends, and whoever did no longer can.
UPDATE resumable_uploads SET turn = turn + 1, held_until = NULL, asked = 0
WHERE project_id = :project_id AND upload_id = :upload_id AND turn = :turn AND held_until IS NOT NULL;

-- name: advance
-- So many bytes more are durable.
UPDATE resumable_uploads SET received = received + :bytes WHERE project_id = :project_id AND upload_id = :upload_id;

-- name: place_part
-- Where a part begins.
UPDATE upload_parts SET begins = :begins WHERE project_id = :project_id AND id = :id;

-- name: select_placed
-- The parts of an upload in the order of its bytes.
SELECT upload_id, id, blob_key, bytes, sha256, created_at FROM upload_parts
WHERE project_id = :project_id AND upload_id = :upload_id AND given_up_at IS NULL ORDER BY begins, id;

-- name: select_place
-- Where a part that has not been given up begins.
SELECT begins FROM upload_parts WHERE project_id = :project_id AND id = :id AND upload_id = :upload_id AND given_up_at IS NULL;
