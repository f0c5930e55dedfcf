-- The first schema: equal in meaning to that of the other stores. Times are ticks of 100 ns since 1970, hashes are
-- binary(16). A key is never varbinary: there bytes of zero at the end do not count when two are compared. Where a key is
-- bytes or text of any length, its hash is the key (container.anchor_hash, normalised_hash), or its length stands in the
-- key too (agenda.c_length). Every text names its collation, so that that of the database does not matter; nothing here is
-- newer than SQL Server 2016.

CREATE TABLE installation (
  one smallint NOT NULL PRIMARY KEY CHECK (one = 1),
  epoch bigint NOT NULL,
  created bigint NOT NULL,
  staging bit NOT NULL,
  id nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL
);

-- The number of the last batch, and who wrote it: what was acknowledged and is not there was lost by the server, and
-- whether a commit without an answer was made is read here. Writers wait for each other at the application lock
-- `onesync.writer`.
CREATE TABLE write_mark (
  one smallint NOT NULL PRIMARY KEY CHECK (one = 1),
  number bigint NOT NULL,
  writer binary(16) NOT NULL
);

-- The next free row numbers.
CREATE TABLE counter (
  one smallint NOT NULL PRIMARY KEY CHECK (one = 1),
  next_cs bigint NOT NULL,
  next_mv bigint NOT NULL,
  next_container bigint NOT NULL
);

CREATE TABLE cs_object (
  id bigint NOT NULL PRIMARY KEY,
  container bigint NULL,
  leaving bigint NULL,
  connector int NOT NULL,
  object_type int NOT NULL,
  flags int NOT NULL,
  anchor_key binary(16) NULL,
  name_key binary(16) NULL,
  anchor varbinary(max) NULL,
  name nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL,
  reason nvarchar(max) COLLATE Latin1_General_BIN2 NULL,
  links varbinary(max) NOT NULL,
  [image] varbinary(max) NOT NULL
);
CREATE UNIQUE INDEX cs_by_anchor ON cs_object (anchor_key) WHERE anchor_key IS NOT NULL;
CREATE INDEX cs_by_name ON cs_object (name_key) WHERE name_key IS NOT NULL;
CREATE INDEX cs_by_container ON cs_object (container, id) WHERE container IS NOT NULL;
-- The flags stand in the index, so that the search for deletions reads no objects.
CREATE INDEX cs_by_connector ON cs_object (connector, id) INCLUDE (flags);

-- A join is a row of its own: joining an object does not write its image again.
CREATE TABLE cs_joined (
  id bigint NOT NULL PRIMARY KEY, -- the connector-space object
  mv bigint NOT NULL,
  run bigint NOT NULL,
  [rule] int NOT NULL,
  owned bit NOT NULL
);
CREATE INDEX cs_joined_by_mv ON cs_joined (mv, id);

CREATE TABLE cs_join (
  join_key bigint NOT NULL,
  id bigint NOT NULL,
  PRIMARY KEY (join_key, id)
);

CREATE TABLE cs_link (
  owner bigint NOT NULL,
  attribute int NOT NULL,
  link_key binary(16) NOT NULL,
  PRIMARY KEY (owner, attribute, link_key)
);
-- By the key alone: the same key of many rows is kept once, which makes the index a fifth as large.
CREATE INDEX cs_link_back ON cs_link (link_key);

CREATE TABLE container (
  id bigint NOT NULL PRIMARY KEY,
  parent bigint NOT NULL, -- 0: none
  connector int NOT NULL,
  hidden bit NOT NULL,
  rdn nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL,
  normalised nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL,
  normalised_hash binary(16) NOT NULL,
  anchor varbinary(max) NULL,
  anchor_hash binary(16) NULL
);
CREATE INDEX container_by_name ON container (connector, parent, normalised_hash);
CREATE INDEX container_by_parent ON container (parent, id);
CREATE INDEX container_by_anchor ON container (anchor_hash, connector) WHERE anchor_hash IS NOT NULL;

CREATE TABLE mv_object (
  id bigint NOT NULL PRIMARY KEY,
  leaving_since bigint NULL,
  object_type int NOT NULL,
  leaving_deleted bit NULL,
  guid binary(16) NOT NULL,
  display_name nvarchar(max) COLLATE Latin1_General_BIN2 NULL, -- beside the image, so that SQL can read it
  principal_name nvarchar(max) COLLATE Latin1_General_BIN2 NULL,
  causes varbinary(max) NOT NULL,
  picks varbinary(max) NOT NULL,
  [image] varbinary(max) NOT NULL
);
CREATE INDEX mv_by_guid ON mv_object (guid);

CREATE TABLE mv_join (
  join_key bigint NOT NULL,
  id bigint NOT NULL,
  PRIMARY KEY (join_key, id)
);

CREATE TABLE mv_link (
  owner bigint NOT NULL,
  target bigint NOT NULL,
  attribute int NOT NULL,
  PRIMARY KEY (owner, attribute, target)
);
CREATE INDEX mv_link_back ON mv_link (target);

CREATE TABLE export_object (
  cs bigint NOT NULL PRIMARY KEY,
  not_before bigint NOT NULL,
  sent bigint NULL,
  connector int NOT NULL,
  object_type int NOT NULL,
  attempts int NOT NULL,
  operation smallint NOT NULL,
  state smallint NOT NULL,
  kinds smallint NOT NULL,
  held bit NOT NULL,
  hash binary(16) NOT NULL,
  create_key nvarchar(max) COLLATE Latin1_General_BIN2 NULL,
  error nvarchar(max) COLLATE Latin1_General_BIN2 NULL,
  changes varbinary(max) NOT NULL
);
-- What can never be written is never due; a filter cannot say so, the included columns spare the look at the row.
CREATE INDEX export_due ON export_object (connector, operation, object_type, cs)
  INCLUDE (kinds, not_before) WHERE state = 0 AND held = 0;
CREATE INDEX export_under_way ON export_object (connector, state, cs) WHERE state <> 0;
CREATE INDEX export_list ON export_object (connector, cs);

CREATE TABLE export_link (
  owner bigint NOT NULL,
  target bigint NOT NULL,
  not_before bigint NOT NULL,
  attribute int NOT NULL,
  connector int NOT NULL,
  attempts int NOT NULL,
  state smallint NOT NULL,
  adds bit NOT NULL,
  held bit NOT NULL,
  error nvarchar(max) COLLATE Latin1_General_BIN2 NULL,
  PRIMARY KEY (owner, attribute, target)
);
CREATE INDEX export_link_under_way ON export_link (connector, state, owner, attribute, target) WHERE state <> 0;
-- When an object goes, so does what was to be taken away from others because of it.
CREATE INDEX export_link_removals ON export_link (target, owner, attribute) WHERE adds = 0;

-- Work is (pass, a, b, c); the connector follows from it and stands before it for the pages of one connector.
CREATE TABLE agenda (
  a bigint NOT NULL,
  b bigint NOT NULL,
  not_before bigint NOT NULL,
  connector int NOT NULL,
  pass smallint NOT NULL,
  c binary(16) NOT NULL,
  c_length smallint NOT NULL,
  PRIMARY KEY (pass, connector, a, b, c, c_length)
);
CREATE INDEX agenda_by_time ON agenda (pass, connector, not_before);

CREATE TABLE object_error (
  cs bigint NOT NULL,
  first_seen bigint NOT NULL,
  run bigint NOT NULL,
  cause bigint NOT NULL,
  connector int NOT NULL,
  object_type int NOT NULL,
  alarm bit NOT NULL,
  place nvarchar(300) COLLATE Latin1_General_BIN2 NOT NULL,
  code nvarchar(100) COLLATE Latin1_General_BIN2 NOT NULL,
  message nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL,
  PRIMARY KEY (cs, place)
);
CREATE INDEX object_error_by_connector ON object_error (connector, cs, place);

CREATE TABLE history (
  seq bigint NOT NULL PRIMARY KEY,
  mv bigint NOT NULL,
  run bigint NOT NULL,
  [time] bigint NOT NULL,
  event nvarchar(max) COLLATE Latin1_General_BIN2 NULL,
  changes varbinary(max) NOT NULL
);
CREATE INDEX history_by_mv ON history (mv, seq);

CREATE TABLE service_state (
  connector int NOT NULL,
  name nvarchar(400) COLLATE Latin1_General_BIN2 NOT NULL,
  value varbinary(max) NOT NULL,
  PRIMARY KEY (connector, name)
);

-- Counts that people and protections read: kept up to date by every batch, never counted when asked.
CREATE TABLE cs_count (
  [count] bigint NOT NULL,
  connector int NOT NULL,
  object_type int NOT NULL,
  flags int NOT NULL,
  joined bit NOT NULL,
  PRIMARY KEY (connector, object_type, joined, flags)
);

CREATE TABLE mv_count (
  [count] bigint NOT NULL,
  object_type int NOT NULL,
  leaving bit NOT NULL,
  PRIMARY KEY (object_type, leaving)
);

CREATE TABLE export_count (
  [count] bigint NOT NULL,
  connector int NOT NULL,
  object_type int NOT NULL,
  operation smallint NOT NULL,
  kinds smallint NOT NULL,
  state smallint NOT NULL,
  held bit NOT NULL,
  hashes binary(16) NOT NULL,
  PRIMARY KEY (connector, object_type, operation, kinds, state, held)
);

CREATE TABLE export_link_count (
  [count] bigint NOT NULL,
  connector int NOT NULL,
  attribute int NOT NULL,
  state smallint NOT NULL,
  adds bit NOT NULL,
  held bit NOT NULL,
  hashes binary(16) NOT NULL,
  PRIMARY KEY (connector, attribute, adds, state, held)
);

CREATE TABLE error_count (
  [count] bigint NOT NULL,
  cause bigint NOT NULL,
  connector int NOT NULL,
  object_type int NOT NULL,
  alarm bit NOT NULL,
  place nvarchar(300) COLLATE Latin1_General_BIN2 NOT NULL,
  code nvarchar(100) COLLATE Latin1_General_BIN2 NOT NULL,
  PRIMARY KEY (connector, object_type, place, code, cause, alarm)
);

-- What the service keeps for itself.
CREATE TABLE run (
  id bigint NOT NULL PRIMARY KEY,
  started bigint NOT NULL,
  ended bigint NULL,
  connector int NOT NULL,
  step nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL,
  result nvarchar(max) COLLATE Latin1_General_BIN2 NULL,
  counters nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL
);
CREATE INDEX run_by_connector ON run (connector, id);

CREATE TABLE attribute_name (
  id int NOT NULL PRIMARY KEY,
  name nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL
);

CREATE TABLE connector (
  id int NOT NULL PRIMARY KEY,
  removed bit NOT NULL,
  name nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL,
  kind nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL
);

CREATE TABLE sync_rule (
  id int NOT NULL PRIMARY KEY,
  connector int NOT NULL,
  name nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL,
  hash binary(16) NOT NULL
);

CREATE TABLE config_version (
  version int NOT NULL PRIMARY KEY,
  created bigint NOT NULL,
  who nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL,
  hash binary(16) NOT NULL
);

CREATE TABLE config_file (
  version int NOT NULL,
  path nvarchar(440) COLLATE Latin1_General_BIN2 NOT NULL,
  content varbinary(max) NOT NULL,
  PRIMARY KEY (version, path)
);

CREATE TABLE secret (
  name nvarchar(450) COLLATE Latin1_General_BIN2 NOT NULL PRIMARY KEY,
  changed bigint NOT NULL,
  sealed_current varbinary(max) NOT NULL,
  sealed_previous varbinary(max) NULL
);

CREATE TABLE setting (
  name nvarchar(450) COLLATE Latin1_General_BIN2 NOT NULL PRIMARY KEY,
  value nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL
);

CREATE TABLE event (
  seq bigint NOT NULL PRIMARY KEY,
  [time] bigint NOT NULL,
  kind nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL,
  subject nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL,
  [text] nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL
);

CREATE TABLE exported (
  hour bigint NOT NULL,
  [count] bigint NOT NULL,
  connector int NOT NULL,
  object_type int NOT NULL,
  kind smallint NOT NULL,
  PRIMARY KEY (connector, object_type, kind, hour)
);

CREATE TABLE held_plan (
  hash binary(16) NOT NULL PRIMARY KEY,
  created bigint NOT NULL,
  decided bigint NULL,
  connector int NOT NULL,
  object_type int NOT NULL,
  state smallint NOT NULL,
  reason nvarchar(max) COLLATE Latin1_General_BIN2 NOT NULL,
  who nvarchar(max) COLLATE Latin1_General_BIN2 NULL,
  items varbinary(max) NOT NULL
);

INSERT INTO write_mark (one, number, writer) VALUES (1, 0, 0x00000000000000000000000000000000);
INSERT INTO counter (one, next_cs, next_mv, next_container) VALUES (1, 1, 1, 1);
