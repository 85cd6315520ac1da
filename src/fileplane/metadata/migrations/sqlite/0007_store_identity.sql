-- Which store this database is the record of. A place of blobs that others can reach as well is marked with the same id.
CREATE TABLE store_identity (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id  TEXT NOT NULL
) STRICT;
