-- A join is a row of its own: joining an object does not write its image again. Finding the targets of links still
-- reads no objects: what it needs stands in this table and in the indices of objects.
CREATE TABLE cs_joined (
  id INTEGER PRIMARY KEY, -- the connector-space object
  mv INTEGER NOT NULL,
  rule INTEGER NOT NULL,
  run INTEGER NOT NULL,
  owned INTEGER NOT NULL
) STRICT;
INSERT INTO cs_joined SELECT id, mv, join_rule, join_run, owned FROM cs_object WHERE mv IS NOT NULL ORDER BY id;
CREATE INDEX cs_joined_by_mv ON cs_joined (mv);

CREATE TABLE cs_object_new (
  id INTEGER PRIMARY KEY,
  connector INTEGER NOT NULL,
  object_type INTEGER NOT NULL,
  flags INTEGER NOT NULL,
  container INTEGER,
  anchor_key BLOB,
  name_key BLOB,
  anchor BLOB,
  name TEXT NOT NULL,
  reason TEXT,
  leaving INTEGER,
  links BLOB NOT NULL,
  image BLOB NOT NULL
) STRICT;
INSERT INTO cs_object_new
  SELECT id, connector, object_type, flags, container, anchor_key, name_key, anchor, name, reason, leaving, links, image
  FROM cs_object ORDER BY id;
DROP TABLE cs_object;
ALTER TABLE cs_object_new RENAME TO cs_object;
CREATE UNIQUE INDEX cs_by_anchor ON cs_object (anchor_key) WHERE anchor_key IS NOT NULL;
CREATE INDEX cs_by_name ON cs_object (name_key) WHERE name_key IS NOT NULL;
CREATE INDEX cs_by_container ON cs_object (container) WHERE container IS NOT NULL;
-- The flags, for the search for deletions; the keys, for what an object is linked by.
CREATE INDEX cs_by_connector ON cs_object (connector, id, flags, anchor_key, name_key);

-- The link values that are due are nearly all there are, and found by the key of the table as well.
DROP INDEX export_link_due;
