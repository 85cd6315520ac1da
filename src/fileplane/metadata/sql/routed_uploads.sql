-- name: insert_routed
-- What of an upload only the way to its provider needs.
INSERT INTO routed_uploads (project_id, upload_id, provider_upload_id) VALUES (:project_id, :upload_id, :provider_upload_id);

-- name: select_routed
-- The same, later.
SELECT provider_upload_id, begun, digest, intent_id, provider_file_id FROM routed_uploads
WHERE project_id = :project_id AND upload_id = :upload_id;

-- name: count_routed_parts
-- How many parts of an upload were passed on.
SELECT count(*) FROM routed_parts WHERE project_id = :project_id AND upload_id = :upload_id;

-- name: insert_routed_part
-- A part that the provider has.
INSERT INTO routed_parts (project_id, id, upload_id, provider_part_id, bytes, sha256, created_at)
VALUES (:project_id, :id, :upload_id, :provider_part_id, :bytes, :sha256, :created_at);

-- name: select_routed_parts
-- The parts of an upload that were passed on, as they came.
SELECT upload_id, id, '', bytes, sha256, created_at, provider_part_id
FROM routed_parts INDEXED BY routed_parts_by_upload
WHERE project_id = :project_id AND upload_id = :upload_id ORDER BY id;

-- name: select_completion_parts
-- What the file of an intent consists of: number, bytes and hash of each part.
SELECT number, bytes, sha256 FROM routed_parts JOIN routed_uploads ON routed_uploads.project_id = routed_parts.project_id
  AND routed_uploads.upload_id = routed_parts.upload_id
WHERE routed_parts.project_id = :project_id AND intent_id = :intent_id AND number IS NOT NULL;

-- name: begin_completion
-- A completion is about to be sent.
UPDATE routed_uploads SET begun = :number, digest = :digest, intent_id = :intent_id WHERE project_id = :project_id AND upload_id = :upload_id;

-- name: unnumber_parts
-- An earlier completion has come to nothing.
UPDATE routed_parts SET number = NULL WHERE project_id = :project_id AND upload_id = :upload_id;

-- name: number_routed_part
-- A part's place in the file.
UPDATE routed_parts SET number = :number WHERE project_id = :project_id AND id = :id;

-- name: abandon_completion
-- A completion has certainly failed. One that another request has begun goes on.
UPDATE routed_uploads SET begun = 0 WHERE project_id = :project_id AND upload_id = :upload_id AND begun = :number;

-- name: finish_completion
-- The provider has the file.
UPDATE routed_uploads SET provider_file_id = :provider_file_id WHERE project_id = :project_id AND upload_id = :upload_id;

-- name: delete_old_routed
-- Uploads whose file a provider has had for long. The file itself is in the catalog, as long as it exists.
DELETE FROM uploads WHERE (project_id, id) IN
    (SELECT project_id, id FROM uploads INDEXED BY uploads_routed_over
     WHERE status = 'completed' AND target <> '' AND ended_at <= :oldest
       AND NOT EXISTS (SELECT 1 FROM upload_parts WHERE upload_parts.project_id = uploads.project_id AND upload_id = uploads.id)
     ORDER BY ended_at LIMIT :limit);
