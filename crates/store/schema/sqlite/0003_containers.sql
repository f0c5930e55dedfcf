-- Containers are known by their own identity, so that a renamed one is one row.
ALTER TABLE container ADD COLUMN anchor BLOB;
ALTER TABLE container ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
CREATE INDEX container_by_anchor ON container (anchor, connector) WHERE anchor IS NOT NULL;
