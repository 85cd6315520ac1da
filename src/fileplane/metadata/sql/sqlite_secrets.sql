-- name: select_master_key
-- The key check value.
SELECT id FROM master_key;

-- name: set_master_key
-- From now on the data keys are wrapped by this one.
INSERT INTO master_key (one, id, since) VALUES (1, :id, :now)
ON CONFLICT (one) DO UPDATE SET id = excluded.id, since = excluded.since;

-- name: select_data_keys
-- Every data key, oldest first.
SELECT id, wrapped, uses, created_at, retired_at FROM data_keys ORDER BY created_at, id;

-- name: select_active_data_key
-- The data key that encrypts.
SELECT id FROM data_keys WHERE retired_at IS NULL;

-- name: retire_data_keys
-- None encrypts any more.
UPDATE data_keys SET retired_at = :now WHERE retired_at IS NULL;

-- name: insert_data_key
-- The one that encrypts from now on.
INSERT INTO data_keys (id, wrapped, created_at) VALUES (:id, :wrapped, :now);

-- name: rewrap_data_key
-- The same key, wrapped by another master key.
UPDATE data_keys SET wrapped = :wrapped WHERE id = :id;

-- name: delete_unused_data_keys
-- Retired ones that no ciphertext needs.
DELETE FROM data_keys
WHERE retired_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM virtual_key_data_keys WHERE data_key_id = data_keys.id)
RETURNING id;

-- name: count_uses
-- Counts values that were encrypted; nothing is returned when the key is not there or encrypts no more.
UPDATE data_keys SET uses = uses + :uses WHERE id = :id AND retired_at IS NULL RETURNING id;

-- name: insert_virtual_key
-- A virtual key under a slug that no other has.
INSERT INTO virtual_keys (
    id, slug, name, provider, note, custom_host, sharing, clear_fields, encrypted_fields, reference_fields, version, created_at, updated_at
)
VALUES (
    :id, :slug, :name, :provider, :note, :custom_host, :sharing, :clear_fields, :encrypted_fields, :reference_fields, 1, :now, :now
);

-- name: update_virtual_key
-- Everything but id, slug and provider; nothing is returned when it was changed meanwhile.
UPDATE virtual_keys
SET name = :name, note = :note, custom_host = :custom_host, sharing = :sharing, clear_fields = :clear_fields,
    encrypted_fields = :encrypted_fields, reference_fields = :reference_fields, version = version + 1, updated_at = :now
WHERE id = :id AND version = :version
RETURNING id;

-- name: reseal_virtual_key
-- The same fields under another data key; nothing is returned when it was changed meanwhile.
UPDATE virtual_keys SET encrypted_fields = :encrypted_fields, version = version + 1 WHERE id = :id AND version = :version RETURNING id;

-- name: delete_virtual_key
-- What belongs to it goes with it.
DELETE FROM virtual_keys WHERE id = :id RETURNING id;

-- name: select_virtual_key
-- The virtual key that a slug addresses.
SELECT id, slug, name, provider, note, custom_host, sharing,
    (SELECT json_group_array(project_id) FROM virtual_key_projects WHERE virtual_key_id = virtual_keys.id),
    clear_fields, reference_fields, encrypted_fields,
    (SELECT json_group_array(data_key_id) FROM virtual_key_data_keys WHERE virtual_key_id = virtual_keys.id),
    version, created_at, updated_at
FROM virtual_keys WHERE slug = :slug;

-- name: select_virtual_keys
-- Those that a project may use, or all when :project_id is null, oldest first.
SELECT id, slug, name, provider, note, custom_host, sharing,
    (SELECT json_group_array(project_id) FROM virtual_key_projects WHERE virtual_key_id = virtual_keys.id),
    clear_fields, reference_fields, encrypted_fields,
    (SELECT json_group_array(data_key_id) FROM virtual_key_data_keys WHERE virtual_key_id = virtual_keys.id),
    version, created_at, updated_at
FROM virtual_keys
WHERE :project_id IS NULL OR id IN (SELECT virtual_key_id FROM virtual_key_projects WHERE project_id = :project_id)
ORDER BY created_at, id;

-- name: select_stale_virtual_keys
-- Those with ciphertexts under a retired data key, in the order of their ids.
SELECT id, slug, name, provider, note, custom_host, sharing,
    (SELECT json_group_array(project_id) FROM virtual_key_projects WHERE virtual_key_id = virtual_keys.id),
    clear_fields, reference_fields, encrypted_fields,
    (SELECT json_group_array(data_key_id) FROM virtual_key_data_keys WHERE virtual_key_id = virtual_keys.id),
    version, created_at, updated_at
FROM virtual_keys
WHERE id > :after AND id IN (
    SELECT virtual_key_id FROM virtual_key_data_keys JOIN data_keys ON data_keys.id = data_key_id WHERE retired_at IS NOT NULL
)
ORDER BY id LIMIT :limit;

-- name: delete_projects_of_virtual_key
-- To be followed by those that may use it from now on.
DELETE FROM virtual_key_projects WHERE virtual_key_id = :id;

-- name: insert_project_of_virtual_key
-- One project that may use it.
INSERT INTO virtual_key_projects (virtual_key_id, project_id) VALUES (:id, :project_id);

-- name: delete_data_keys_of_virtual_key
-- To be followed by those that its ciphertexts need from now on.
DELETE FROM virtual_key_data_keys WHERE virtual_key_id = :id;

-- name: insert_data_key_of_virtual_key
-- One data key that its ciphertexts need.
INSERT INTO virtual_key_data_keys (virtual_key_id, data_key_id) VALUES (:id, :data_key_id);
