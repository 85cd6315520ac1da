-- name: select_settings
-- What a server must be set to.
SELECT name, setting FROM pg_settings
WHERE name IN ('server_version_num', 'server_encoding', 'fsync', 'synchronous_commit', 'full_page_writes');

-- name: select_tables
-- What there is where new tables would be made.
SELECT tablename FROM pg_tables WHERE schemaname = current_schema();

-- name: select_versions_table
-- Whether anything was migrated yet.
SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_versions';

-- name: make_versions_table
-- Which migrations were made, and the oldest version whose programs each serves.
CREATE TABLE IF NOT EXISTS schema_versions (
    version integer PRIMARY KEY,
    serves  integer NOT NULL
);

-- name: insert_version
-- A migration is made.
INSERT INTO schema_versions (version, serves) VALUES (%(version)s, %(serves)s);

-- name: select_newest
-- The version of the schema.
SELECT version, serves FROM schema_versions ORDER BY version DESC LIMIT 1;

-- name: select_unfinished
-- Indexes and references that do not hold for every row.
SELECT 'index', indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE NOT indisvalid AND relnamespace = current_schema()::regnamespace
UNION ALL SELECT 'reference', conname::text FROM pg_constraint
WHERE NOT convalidated AND connamespace = current_schema()::regnamespace;

-- name: count_damaged_pages
-- Pages that were read and not as they had been written, where the server keeps checksums.
SELECT coalesce(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database();

-- name: select_size
-- What the database takes on the server's disks.
SELECT pg_database_size(current_database());
