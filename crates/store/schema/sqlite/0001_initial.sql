-- The first schema. One table a kind of row; the columns that are searched come before the large ones, so that a
-- search never reads overflow pages. Times are ticks of 100 ns since 1970, hashes are 16 bytes.

CREATE TABLE installation (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  staging INTEGER NOT NULL,
  created INTEGER NOT NULL
) STRICT;

-- The next free row numbers; apart from the installation, because every batch writes here.
CREATE TABLE counter (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  next_cs INTEGER NOT NULL,
  next_mv INTEGER NOT NULL,
  next_container INTEGER NOT NULL
) STRICT;

CREATE TABLE cs_object (
  id INTEGER PRIMARY KEY,
  connector INTEGER NOT NULL,
  object_type INTEGER NOT NULL,
  flags INTEGER NOT NULL,
  mv INTEGER,
  join_rule INTEGER,
  join_run INTEGER,
  owned INTEGER,
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
CREATE UNIQUE INDEX cs_by_anchor ON cs_object (anchor_key) WHERE anchor_key IS NOT NULL;
-- The join stands in the index, so that resolving link values by name reads no objects.
CREATE INDEX cs_by_name ON cs_object (name_key, mv) WHERE name_key IS NOT NULL;
CREATE INDEX cs_by_mv ON cs_object (mv) WHERE mv IS NOT NULL;
CREATE INDEX cs_by_container ON cs_object (container) WHERE container IS NOT NULL;
-- The flags stand in the index, so that the search for deletions reads no objects.
CREATE INDEX cs_by_connector ON cs_object (connector, id, flags);

CREATE TABLE cs_join (
  join_key INTEGER NOT NULL,
  id INTEGER NOT NULL,
  PRIMARY KEY (join_key, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE cs_link (
  owner INTEGER NOT NULL,
  attribute INTEGER NOT NULL,
  link_key BLOB NOT NULL,
  PRIMARY KEY (owner, attribute, link_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX cs_link_back ON cs_link (link_key, owner, attribute);

CREATE TABLE container (
  id INTEGER PRIMARY KEY,
  connector INTEGER NOT NULL,
  parent INTEGER NOT NULL, -- 0: none
  rdn TEXT NOT NULL,
  normalised TEXT NOT NULL
) STRICT;
CREATE INDEX container_by_name ON container (connector, parent, normalised);
CREATE INDEX container_by_parent ON container (parent);

CREATE TABLE mv_object (
  id INTEGER PRIMARY KEY,
  guid BLOB NOT NULL,
  object_type INTEGER NOT NULL,
  leaving_since INTEGER,
  leaving_deleted INTEGER,
  causes BLOB NOT NULL,
  picks BLOB NOT NULL,
  image BLOB NOT NULL
) STRICT;
CREATE INDEX mv_by_guid ON mv_object (guid);

CREATE TABLE mv_join (
  join_key INTEGER NOT NULL,
  id INTEGER NOT NULL,
  PRIMARY KEY (join_key, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE mv_link (
  owner INTEGER NOT NULL,
  attribute INTEGER NOT NULL,
  target INTEGER NOT NULL,
  PRIMARY KEY (owner, attribute, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX mv_link_back ON mv_link (target, owner, attribute);

CREATE TABLE export_object (
  cs INTEGER PRIMARY KEY,
  connector INTEGER NOT NULL,
  object_type INTEGER NOT NULL,
  operation INTEGER NOT NULL,
  state INTEGER NOT NULL,
  kinds INTEGER NOT NULL,
  held INTEGER NOT NULL,
  not_before INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  sent INTEGER,
  hash BLOB NOT NULL,
  create_key TEXT,
  error TEXT,
  changes BLOB NOT NULL
) STRICT;
-- 32: what can never be written is never due.
CREATE INDEX export_due ON export_object (connector, operation, object_type, cs, not_before)
  WHERE state = 0 AND held = 0 AND kinds & 160 = 0;
CREATE INDEX export_under_way ON export_object (connector, state, cs) WHERE state <> 0;
CREATE INDEX export_list ON export_object (connector, cs, state, operation, held, kinds, object_type);

CREATE TABLE export_link (
  owner INTEGER NOT NULL,
  attribute INTEGER NOT NULL,
  target INTEGER NOT NULL,
  connector INTEGER NOT NULL,
  adds INTEGER NOT NULL,
  state INTEGER NOT NULL,
  held INTEGER NOT NULL,
  not_before INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  error TEXT,
  PRIMARY KEY (owner, attribute, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX export_link_due ON export_link (connector, owner, attribute, target, not_before, adds)
  WHERE state = 0 AND held = 0;
CREATE INDEX export_link_under_way ON export_link (connector, state, owner, attribute, target) WHERE state <> 0;

-- Work is (pass, a, b, c); the connector follows from it and stands before it for the pages of one connector.
CREATE TABLE agenda (
  pass INTEGER NOT NULL,
  connector INTEGER NOT NULL,
  a INTEGER NOT NULL,
  b INTEGER NOT NULL,
  c BLOB NOT NULL,
  not_before INTEGER NOT NULL,
  PRIMARY KEY (pass, connector, a, b, c)
) STRICT, WITHOUT ROWID;
CREATE INDEX agenda_by_time ON agenda (pass, connector, not_before);

CREATE TABLE object_error (
  cs INTEGER NOT NULL,
  place TEXT NOT NULL,
  connector INTEGER NOT NULL,
  code TEXT NOT NULL,
  message TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  run INTEGER NOT NULL,
  alarm INTEGER NOT NULL,
  PRIMARY KEY (cs, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX object_error_by_connector ON object_error (connector, cs, place);

CREATE TABLE history (
  seq INTEGER PRIMARY KEY,
  mv INTEGER NOT NULL,
  run INTEGER NOT NULL,
  time INTEGER NOT NULL,
  event TEXT,
  changes BLOB NOT NULL
) STRICT;
CREATE INDEX history_by_mv ON history (mv);

CREATE TABLE service_state (
  connector INTEGER NOT NULL,
  name TEXT NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (connector, name)
) STRICT;

-- Counts that people and protections read: kept up to date by every batch, never counted when asked.
CREATE TABLE cs_count (
  connector INTEGER NOT NULL,
  object_type INTEGER NOT NULL,
  joined INTEGER NOT NULL,
  flags INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (connector, object_type, joined, flags)
) STRICT, WITHOUT ROWID;

CREATE TABLE mv_count (
  object_type INTEGER NOT NULL,
  leaving INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (object_type, leaving)
) STRICT, WITHOUT ROWID;

CREATE TABLE export_count (
  connector INTEGER NOT NULL,
  object_type INTEGER NOT NULL,
  operation INTEGER NOT NULL,
  kinds INTEGER NOT NULL,
  state INTEGER NOT NULL,
  held INTEGER NOT NULL,
  count INTEGER NOT NULL,
  hashes BLOB NOT NULL,
  PRIMARY KEY (connector, object_type, operation, kinds, state, held)
) STRICT, WITHOUT ROWID;

CREATE TABLE export_link_count (
  connector INTEGER NOT NULL,
  attribute INTEGER NOT NULL,
  adds INTEGER NOT NULL,
  state INTEGER NOT NULL,
  held INTEGER NOT NULL,
  count INTEGER NOT NULL,
  hashes BLOB NOT NULL,
  PRIMARY KEY (connector, attribute, adds, state, held)
) STRICT, WITHOUT ROWID;

CREATE TABLE error_count (
  connector INTEGER NOT NULL,
  place TEXT NOT NULL,
  code TEXT NOT NULL,
  alarm INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (connector, place, code, alarm)
) STRICT, WITHOUT ROWID;

-- What the service keeps for itself.
CREATE TABLE run (
  id INTEGER PRIMARY KEY,
  connector INTEGER NOT NULL,
  step TEXT NOT NULL,
  started INTEGER NOT NULL,
  ended INTEGER,
  result TEXT,
  counters TEXT NOT NULL
) STRICT;
CREATE INDEX run_by_connector ON run (connector, id);

CREATE TABLE attribute_name (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL
) STRICT;

CREATE TABLE connector (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  removed INTEGER NOT NULL
) STRICT;

CREATE TABLE sync_rule (
  id INTEGER PRIMARY KEY,
  connector INTEGER NOT NULL,
  name TEXT NOT NULL,
  hash BLOB NOT NULL
) STRICT;

CREATE TABLE config_version (
  version INTEGER PRIMARY KEY,
  created INTEGER NOT NULL,
  who TEXT NOT NULL,
  hash BLOB NOT NULL
) STRICT;

CREATE TABLE config_file (
  version INTEGER NOT NULL,
  path TEXT NOT NULL,
  content BLOB NOT NULL,
  PRIMARY KEY (version, path)
) STRICT;

CREATE TABLE secret (
  name TEXT PRIMARY KEY,
  sealed_current BLOB NOT NULL,
  sealed_previous BLOB,
  changed INTEGER NOT NULL
) STRICT;

CREATE TABLE event (
  seq INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  text TEXT NOT NULL
) STRICT;

CREATE TABLE exported (
  connector INTEGER NOT NULL,
  object_type INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  hour INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (connector, object_type, kind, hour)
) STRICT, WITHOUT ROWID;

CREATE TABLE held_plan (
  hash BLOB PRIMARY KEY,
  connector INTEGER NOT NULL,
  object_type INTEGER NOT NULL,
  reason TEXT NOT NULL,
  items BLOB NOT NULL,
  state INTEGER NOT NULL,
  created INTEGER NOT NULL,
  who TEXT,
  decided INTEGER
) STRICT;
