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
WHERE retired_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM data_key_needs WHERE data_key_id = data_keys.id)
RETURNING id;

-- name: count_uses
-- Counts values that were encrypted; nothing is returned when the key is not there or encrypts no more.
UPDATE data_keys SET uses = uses + :uses WHERE id = :id AND retired_at IS NULL RETURNING id;

-- name: delete_needs
-- To be followed by the data keys that the ciphertexts need from now on.
DELETE FROM data_key_needs WHERE owner_id = :owner_id;

-- name: insert_need
-- One data key that the ciphertexts of something need.
INSERT INTO data_key_needs (owner_id, data_key_id) VALUES (:owner_id, :data_key_id);

-- name: select_stale
-- Whatever has ciphertexts under a retired data key, in the order of its id: a virtual key's fields, or a config's document.
WITH stale (owner_id) AS (
    SELECT DISTINCT owner_id FROM data_key_needs JOIN data_keys ON data_keys.id = data_key_id WHERE retired_at IS NOT NULL
)
SELECT 'virtual_key', id, 'virtual key ''' || slug || '''', encrypted_fields, version,
    (SELECT json_group_array(data_key_id) FROM data_key_needs WHERE owner_id = virtual_keys.id)
FROM virtual_keys WHERE id > :after AND id IN (SELECT owner_id FROM stale)
UNION ALL
SELECT 'config_version', config_versions.id, 'config ''' || slug || '''', json_object('document', encrypted), resealed,
    (SELECT json_group_array(data_key_id) FROM data_key_needs WHERE owner_id = config_versions.id)
FROM config_versions JOIN configs ON configs.id = config_id WHERE config_versions.id > :after AND config_versions.id IN (SELECT owner_id FROM stale)
ORDER BY 2 LIMIT :limit;

-- name: reseal_virtual_key
-- The same fields under another data key; nothing is returned when it was changed meanwhile.
UPDATE virtual_keys SET encrypted_fields = :fields, version = version + 1 WHERE id = :id AND version = :version RETURNING id;

-- name: reseal_config_version
-- The same document under another data key; nothing is returned when that was done meanwhile.
UPDATE config_versions SET encrypted = json_extract(:fields, '$.document'), resealed = resealed + 1
WHERE id = :id AND resealed = :version RETURNING id;

-- name: forget_virtual_keys
-- Which fields there were stays known; what they held is gone.
UPDATE virtual_keys
SET encrypted_fields = (SELECT json_group_object(fields.key, '') FROM json_each(encrypted_fields) AS fields), version = version + 1, updated_at = :now
WHERE encrypted_fields != '{}';

-- name: forget_documents
-- That there was a document stays known; what it said is gone.
UPDATE config_versions SET encrypted = '', resealed = resealed + 1;

-- name: forget_needs
-- Nothing is encrypted any more.
DELETE FROM data_key_needs;

-- name: forget_data_keys
-- Nobody can unwrap them.
DELETE FROM data_keys;
