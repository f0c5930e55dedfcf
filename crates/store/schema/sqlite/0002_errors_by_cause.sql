-- Errors are counted by object type and by what fails, so that one error on many objects is seen.

ALTER TABLE object_error ADD COLUMN object_type INTEGER NOT NULL DEFAULT 0;
ALTER TABLE object_error ADD COLUMN cause INTEGER NOT NULL DEFAULT 0;
UPDATE object_error SET object_type = coalesce((SELECT object_type FROM cs_object WHERE id = cs), 0);

DROP TABLE error_count;
CREATE TABLE error_count (
  connector INTEGER NOT NULL,
  object_type INTEGER NOT NULL,
  place TEXT NOT NULL,
  code TEXT NOT NULL,
  cause INTEGER NOT NULL,
  alarm INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (connector, object_type, place, code, cause, alarm)
) STRICT, WITHOUT ROWID;
INSERT INTO error_count
  SELECT connector, object_type, place, code, cause, alarm, count(*) FROM object_error
  GROUP BY connector, object_type, place, code, cause, alarm;
