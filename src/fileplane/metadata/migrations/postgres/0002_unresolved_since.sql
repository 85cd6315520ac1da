-- Since when nobody sends any more a file whose upload nobody knows the end of, as SQLite's twelfth version has it.
-- Where the first version was applied while it had this column, it is there already.
-- serves: 1
ALTER TABLE catalog_files ADD COLUMN IF NOT EXISTS unresolved_since bigint;
