-- name: insert_project
-- A project; nothing is returned when another has its slug.
INSERT INTO projects (id, slug, name, description, limits, default_config, allow_override, default_metadata, created_at, updated_at)
VALUES (:id, :slug, :name, :description, :limits, :default_config, :allow_override, :default_metadata, :now, :now)
ON CONFLICT (slug) DO NOTHING RETURNING id;

-- name: select_projects
-- Every project, oldest first.
SELECT id, slug, name, description, limits, default_config, allow_override, default_metadata, created_at, updated_at, version
FROM projects WHERE deleted_at IS NULL ORDER BY created_at, id;

-- name: select_project
-- One project by its id.
SELECT id, slug, name, description, limits, default_config, allow_override, default_metadata, created_at, updated_at, version
FROM projects WHERE id = :id AND deleted_at IS NULL;

-- name: select_project_by_slug
-- One project by its slug.
SELECT id, slug, name, description, limits, default_config, allow_override, default_metadata, created_at, updated_at, version
FROM projects WHERE slug = :slug AND deleted_at IS NULL;

-- name: update_project
-- Nothing is returned when it was changed meanwhile.
UPDATE projects
SET name = :name, description = :description, limits = :limits, default_config = :default_config, allow_override = :allow_override,
    default_metadata = :default_metadata, updated_at = :now, version = version + 1
WHERE id = :id AND version = :version AND deleted_at IS NULL
RETURNING id;

-- name: remove_project
-- The slug gets what no slug can have, so that it can be used again.
UPDATE projects SET deleted_at = :now, slug = slug || '~' || id, default_config = NULL WHERE id = :id;

-- name: select_config_of_project
-- Whether a project has such a config.
SELECT 1 FROM configs WHERE slug = :slug AND project_id = :project_id;

-- name: count_users_of_project
-- What would be left without a project: live files, organisation keys, other keys, configs, virtual keys.
SELECT (SELECT coalesce(sum(live_files), 0) FROM usage WHERE project_id = :id)
     - (SELECT count(*) FROM files INDEXED BY files_by_end
        WHERE project_id = :id AND deleted_at IS NULL AND ends_at IS NOT NULL AND ends_at <= :now),
    (SELECT count(*) FROM api_keys WHERE project_id = :id AND organisation = 1 AND revoked_at IS NULL),
    (SELECT count(*) FROM api_keys WHERE project_id = :id AND organisation = 0 AND revoked_at IS NULL),
    (SELECT count(*) FROM configs WHERE project_id = :id),
    (SELECT count(*) FROM virtual_key_projects WHERE project_id = :id);

-- name: select_keys_to_revoke
-- The keys that go with a project.
SELECT id FROM api_keys WHERE project_id = :id AND revoked_at IS NULL ORDER BY id;

-- name: select_configs_to_remove
-- The configs that go with a project.
SELECT id FROM configs WHERE project_id = :id ORDER BY id;

-- name: delete_project_of_virtual_keys
-- Virtual keys are no longer for a project.
DELETE FROM virtual_key_projects WHERE project_id = :id;
