-- name: insert_api_key
-- A key, known by its hash alone.
INSERT INTO api_keys (id, project_id, name, description, key_hash, hint, kind, organisation, user_id, scopes, other_scopes, limits,
                      default_config, allow_override, default_metadata, created_at, updated_at, expires_at)
VALUES (:id, :project_id, :name, :description, :key_hash, :hint, :kind, :organisation, :user_id, :scopes, :other_scopes, :limits,
        :default_config, :allow_override, :default_metadata, :now, :now, :expires_at);

-- name: select_api_key
-- One key, whatever its state.
SELECT api_keys.id, project_id, slug, api_keys.name, api_keys.description, hint, kind, user_id, scopes, other_scopes, api_keys.limits,
       api_keys.default_config, api_keys.allow_override, api_keys.default_metadata, api_keys.created_at, api_keys.updated_at, expires_at,
       revoked_at, last_used_at, api_keys.version
FROM api_keys JOIN projects ON projects.id = project_id
WHERE api_keys.id = :id;

-- name: select_api_keys
-- The keys of one project, or of all when :project_id is null; the revoked ones too when :with_revoked is 1.
SELECT api_keys.id, project_id, slug, api_keys.name, api_keys.description, hint, kind, user_id, scopes, other_scopes, api_keys.limits,
       api_keys.default_config, api_keys.allow_override, api_keys.default_metadata, api_keys.created_at, api_keys.updated_at, expires_at,
       revoked_at, last_used_at, api_keys.version
FROM api_keys JOIN projects ON projects.id = project_id
WHERE (:project_id IS NULL OR project_id = :project_id) AND (revoked_at IS NULL OR :with_revoked = 1)
ORDER BY api_keys.created_at, api_keys.id;

-- name: select_key_of_project
-- Looks at the project's own keys alone, so that another's takes no other way than one that never was.
SELECT 1 FROM api_keys INDEXED BY api_keys_by_project WHERE project_id = :project_id AND +id = :id;

-- name: select_key_id
-- Whose hash it is.
SELECT id FROM api_keys WHERE key_hash = :key_hash;

-- name: select_former_key_id
-- Whose hash it was, and until when it counts.
SELECT api_key_id, ends_at FROM former_key_hashes WHERE key_hash = :key_hash;

-- name: select_any_api_key
-- Whether the store has been bootstrapped.
SELECT 1 FROM api_keys LIMIT 1;

-- name: update_api_key
-- Nothing is returned when it was changed or revoked meanwhile.
UPDATE api_keys
SET name = :name, description = :description, scopes = :scopes, other_scopes = :other_scopes, limits = :limits,
    default_config = :default_config, allow_override = :allow_override, default_metadata = :default_metadata, expires_at = :expires_at,
    updated_at = :now, version = version + 1
WHERE id = :id AND version = :version AND revoked_at IS NULL
RETURNING id;

-- name: insert_former_hash
-- The hash that a rotation is about to replace.
INSERT INTO former_key_hashes (key_hash, api_key_id, ends_at) SELECT key_hash, id, :ends_at FROM api_keys WHERE id = :id;

-- name: replace_hash
-- Nothing is returned when it was changed or revoked meanwhile.
UPDATE api_keys SET key_hash = :key_hash, hint = :hint, updated_at = :now, version = version + 1
WHERE id = :id AND version = :version AND revoked_at IS NULL
RETURNING id;

-- name: delete_ended_hashes
-- Of a key, what counts no longer.
DELETE FROM former_key_hashes WHERE api_key_id = :id AND ends_at <= :now;

-- name: delete_former_hashes
-- Of a key, everything that rotations have replaced.
DELETE FROM former_key_hashes WHERE api_key_id = :id;

-- name: revoke_api_key
-- Nothing is returned when it was revoked before.
UPDATE api_keys SET revoked_at = :now, default_config = NULL, updated_at = :now, version = version + 1
WHERE id = :id AND revoked_at IS NULL RETURNING project_id;

-- name: note_key_use
-- Never back, and at most once a minute, however many write.
UPDATE api_keys SET last_used_at = :used_at WHERE id = :id AND (last_used_at IS NULL OR last_used_at <= :used_at - 60);
