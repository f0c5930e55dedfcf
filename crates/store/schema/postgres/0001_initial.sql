-- The first schema. One table a kind of row, eight-byte columns first, so that no bytes are lost to alignment. Times are
-- ticks of 100 ns since 1970, hashes are 16 bytes. Nothing here is beyond what distributed databases with this protocol
-- have: no sequences, no triggers, no deferred constraints. Texts whose order matters are compared byte by byte.

CREATE TABLE installation (
  one smallint PRIMARY KEY CHECK (one = 1),
  epoch bigint NOT NULL,
  created bigint NOT NULL,
  staging boolean NOT NULL,
  id text NOT NULL
);

-- The number of the last batch, and who wrote it: what was acknowledged and is not there was lost by the server, and
-- whether a commit without an answer was made is read here. Its lock makes writers wait for each other.
CREATE TABLE write_mark (
  one smallint PRIMARY KEY CHECK (one = 1),
  number bigint NOT NULL,
  writer bytea NOT NULL
);

-- The next free row numbers.
CREATE TABLE counter (
  one smallint PRIMARY KEY CHECK (one = 1),
  next_cs bigint NOT NULL,
  next_mv bigint NOT NULL,
  next_container bigint NOT NULL
);

CREATE TABLE cs_object (
  id bigint PRIMARY KEY,
  container bigint,
  leaving bigint,
  connector integer NOT NULL,
  object_type integer NOT NULL,
  flags integer NOT NULL,
  anchor_key bytea,
  name_key bytea,
  anchor bytea,
  name text NOT NULL,
  reason text,
  links bytea NOT NULL,
  image bytea NOT NULL
);
CREATE UNIQUE INDEX cs_by_anchor ON cs_object (anchor_key) WHERE anchor_key IS NOT NULL;
CREATE INDEX cs_by_name ON cs_object (name_key) WHERE name_key IS NOT NULL;
CREATE INDEX cs_by_container ON cs_object (container, id) WHERE container IS NOT NULL;
-- The flags stand in the index, so that the search for deletions reads no objects.
CREATE INDEX cs_by_connector ON cs_object (connector, id) INCLUDE (flags);

-- A join is a row of its own: joining an object does not write its image again.
CREATE TABLE cs_joined (
  id bigint PRIMARY KEY, -- the connector-space object
  mv bigint NOT NULL,
  run bigint NOT NULL,
  rule integer NOT NULL,
  owned boolean NOT NULL
);
CREATE INDEX cs_joined_by_mv ON cs_joined (mv, id);

CREATE TABLE cs_join (
  join_key bigint NOT NULL,
  id bigint NOT NULL,
  PRIMARY KEY (join_key, id)
);

CREATE TABLE cs_link (
  owner bigint NOT NULL,
  attribute integer NOT NULL,
  link_key bytea NOT NULL,
  PRIMARY KEY (owner, attribute, link_key)
);
-- By the key alone: the same key of many rows is kept once, which makes the index a fifth as large.
CREATE INDEX cs_link_back ON cs_link (link_key);

CREATE TABLE container (
  id bigint PRIMARY KEY,
  parent bigint NOT NULL, -- 0: none
  connector integer NOT NULL,
  hidden boolean NOT NULL,
  rdn text NOT NULL,
  normalised text COLLATE "C" NOT NULL,
  anchor bytea
);
CREATE INDEX container_by_name ON container (connector, parent, normalised);
CREATE INDEX container_by_parent ON container (parent, id);
CREATE INDEX container_by_anchor ON container (anchor, connector) WHERE anchor IS NOT NULL;

CREATE TABLE mv_object (
  id bigint PRIMARY KEY,
  leaving_since bigint,
  object_type integer NOT NULL,
  leaving_deleted boolean,
  guid bytea NOT NULL,
  causes bytea NOT NULL,
  picks bytea NOT NULL,
  image bytea NOT NULL
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
  attribute integer NOT NULL,
  PRIMARY KEY (owner, attribute, target)
);
CREATE INDEX mv_link_back ON mv_link (target);

CREATE TABLE export_object (
  cs bigint PRIMARY KEY,
  not_before bigint NOT NULL,
  sent bigint,
  connector integer NOT NULL,
  object_type integer NOT NULL,
  attempts integer NOT NULL,
  operation smallint NOT NULL,
  state smallint NOT NULL,
  kinds smallint NOT NULL,
  held boolean NOT NULL,
  hash bytea NOT NULL,
  create_key text,
  error text,
  changes bytea NOT NULL
);
-- 32 and 128: what can never be written is never due.
CREATE INDEX export_due ON export_object (connector, operation, object_type, cs)
  WHERE state = 0 AND NOT held AND kinds & 160 = 0;
CREATE INDEX export_under_way ON export_object (connector, state, cs) WHERE state <> 0;
CREATE INDEX export_list ON export_object (connector, cs);

CREATE TABLE export_link (
  owner bigint NOT NULL,
  target bigint NOT NULL,
  not_before bigint NOT NULL,
  attribute integer NOT NULL,
  connector integer NOT NULL,
  attempts integer NOT NULL,
  state smallint NOT NULL,
  adds boolean NOT NULL,
  held boolean NOT NULL,
  error text,
  PRIMARY KEY (owner, attribute, target)
);
CREATE INDEX export_link_under_way ON export_link (connector, state, owner, attribute, target) WHERE state <> 0;
-- When an object goes, so does what was to be taken away from others because of it.
CREATE INDEX export_link_removals ON export_link (target, owner, attribute) WHERE NOT adds;

-- Work is (pass, a, b, c); the connector follows from it and stands before it for the pages of one connector.
CREATE TABLE agenda (
  a bigint NOT NULL,
  b bigint NOT NULL,
  not_before bigint NOT NULL,
  connector integer NOT NULL,
  pass smallint NOT NULL,
  c bytea NOT NULL,
  PRIMARY KEY (pass, connector, a, b, c)
);
CREATE INDEX agenda_by_time ON agenda (pass, connector, not_before);

CREATE TABLE object_error (
  cs bigint NOT NULL,
  first_seen bigint NOT NULL,
  run bigint NOT NULL,
  cause bigint NOT NULL,
  connector integer NOT NULL,
  object_type integer NOT NULL,
  alarm boolean NOT NULL,
  place text COLLATE "C" NOT NULL,
  code text COLLATE "C" NOT NULL,
  message text NOT NULL,
  PRIMARY KEY (cs, place)
);
CREATE INDEX object_error_by_connector ON object_error (connector, cs, place);

CREATE TABLE history (
  seq bigint PRIMARY KEY,
  mv bigint NOT NULL,
  run bigint NOT NULL,
  time bigint NOT NULL,
  event text,
  changes bytea NOT NULL
);
CREATE INDEX history_by_mv ON history (mv, seq);

CREATE TABLE service_state (
  connector integer NOT NULL,
  name text COLLATE "C" NOT NULL,
  value bytea NOT NULL,
  PRIMARY KEY (connector, name)
);

-- Counts that people and protections read: kept up to date by every batch, never counted when asked.
CREATE TABLE cs_count (
  count bigint NOT NULL,
  connector integer NOT NULL,
  object_type integer NOT NULL,
  flags integer NOT NULL,
  joined boolean NOT NULL,
  PRIMARY KEY (connector, object_type, joined, flags)
);

CREATE TABLE mv_count (
  count bigint NOT NULL,
  object_type integer NOT NULL,
  leaving boolean NOT NULL,
  PRIMARY KEY (object_type, leaving)
);

CREATE TABLE export_count (
  count bigint NOT NULL,
  connector integer NOT NULL,
  object_type integer NOT NULL,
  operation smallint NOT NULL,
  kinds smallint NOT NULL,
  state smallint NOT NULL,
  held boolean NOT NULL,
  hashes bytea NOT NULL,
  PRIMARY KEY (connector, object_type, operation, kinds, state, held)
);

CREATE TABLE export_link_count (
  count bigint NOT NULL,
  connector integer NOT NULL,
  attribute integer NOT NULL,
  state smallint NOT NULL,
  adds boolean NOT NULL,
  held boolean NOT NULL,
  hashes bytea NOT NULL,
  PRIMARY KEY (connector, attribute, adds, state, held)
);

CREATE TABLE error_count (
  count bigint NOT NULL,
  cause bigint NOT NULL,
  connector integer NOT NULL,
  object_type integer NOT NULL,
  alarm boolean NOT NULL,
  place text COLLATE "C" NOT NULL,
  code text COLLATE "C" NOT NULL,
  PRIMARY KEY (connector, object_type, place, code, cause, alarm)
);

-- What the service keeps for itself.
CREATE TABLE run (
  id bigint PRIMARY KEY,
  started bigint NOT NULL,
  ended bigint,
  connector integer NOT NULL,
  step text NOT NULL,
  result text,
  counters text NOT NULL
);
CREATE INDEX run_by_connector ON run (connector, id);

CREATE TABLE attribute_name (
  id integer PRIMARY KEY,
  name text NOT NULL
);

CREATE TABLE connector (
  id integer PRIMARY KEY,
  removed boolean NOT NULL,
  name text NOT NULL,
  kind text NOT NULL
);

CREATE TABLE sync_rule (
  id integer PRIMARY KEY,
  connector integer NOT NULL,
  name text NOT NULL,
  hash bytea NOT NULL
);

CREATE TABLE config_version (
  version integer PRIMARY KEY,
  created bigint NOT NULL,
  who text NOT NULL,
  hash bytea NOT NULL
);

CREATE TABLE config_file (
  version integer NOT NULL,
  path text COLLATE "C" NOT NULL,
  content bytea NOT NULL,
  PRIMARY KEY (version, path)
);

CREATE TABLE secret (
  name text COLLATE "C" PRIMARY KEY,
  changed bigint NOT NULL,
  sealed_current bytea NOT NULL,
  sealed_previous bytea
);

CREATE TABLE setting (
  name text COLLATE "C" PRIMARY KEY,
  value text NOT NULL
);

CREATE TABLE event (
  seq bigint PRIMARY KEY,
  time bigint NOT NULL,
  kind text NOT NULL,
  subject text NOT NULL,
  text text NOT NULL
);

CREATE TABLE exported (
  hour bigint NOT NULL,
  count bigint NOT NULL,
  connector integer NOT NULL,
  object_type integer NOT NULL,
  kind smallint NOT NULL,
  PRIMARY KEY (connector, object_type, kind, hour)
);

CREATE TABLE held_plan (
  hash bytea PRIMARY KEY,
  created bigint NOT NULL,
  decided bigint,
  connector integer NOT NULL,
  object_type integer NOT NULL,
  state smallint NOT NULL,
  reason text NOT NULL,
  who text,
  items bytea NOT NULL
);

INSERT INTO write_mark VALUES (1, 0, '');
INSERT INTO counter VALUES (1, 1, 1, 1);
