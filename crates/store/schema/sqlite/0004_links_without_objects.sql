-- By what an object is linked stands in the index, so that finding the targets of links reads no objects.
DROP INDEX cs_by_mv;
CREATE INDEX cs_by_mv ON cs_object (mv, connector, anchor_key, name_key) WHERE mv IS NOT NULL;
