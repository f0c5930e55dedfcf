//! The statements of this dialect, by name: nowhere else is SQL.
//!
//! A statement whose partial index must be used repeats the condition of that index word by word.

macro_rules! cs {
    ($rest:literal) => {
        cs!("cs_object AS o", $rest)
    };
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT o.id, o.connector, o.object_type, o.flags, j.mv, j.rule, j.run, j.owned, o.container, o.anchor, ",
            "o.name, o.reason, o.leaving, o.links, o.image, o.name_key FROM ",
            $from,
            " LEFT JOIN cs_joined AS j ON j.id = o.id ",
            $rest
        )
    };
}
macro_rules! mv {
    ($rest:literal) => {
        concat!(
            "SELECT id, guid, object_type, leaving_since, leaving_deleted, causes, picks, image FROM mv_object ",
            $rest
        )
    };
}
macro_rules! export {
    ($rest:literal) => {
        concat!(
            "SELECT cs, connector, object_type, operation, state, kinds, held, not_before, attempts, sent, ",
            "create_key, error, changes FROM export_object ",
            $rest
        )
    };
}
macro_rules! export_link {
    ($rest:literal) => {
        concat!(
            "SELECT owner, attribute, target, connector, adds, state, held, not_before, attempts, error ",
            "FROM export_link ",
            $rest
        )
    };
}
macro_rules! error {
    ($rest:literal) => {
        concat!(
            "SELECT cs, place, connector, code, message, first_seen, run, alarm, object_type, cause FROM object_error ",
            $rest
        )
    };
}
macro_rules! container {
    ($rest:literal) => {
        concat!("SELECT id, connector, parent, rdn, anchor, hidden FROM container ", $rest)
    };
}
macro_rules! run {
    ($rest:literal) => {
        concat!("SELECT id, connector, step, started, ended, result, counters FROM run ", $rest)
    };
}
macro_rules! held_plan {
    ($rest:literal) => {
        concat!(
            "SELECT hash, connector, object_type, reason, items, state, created, who, decided FROM held_plan ",
            $rest
        )
    };
}
macro_rules! secret {
    ($rest:literal) => {
        concat!("SELECT name, sealed_current, sealed_previous, changed FROM secret ", $rest)
    };
}

// --- opening ---

pub(super) const MIGRATION_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migration (
  version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL, applied TEXT NOT NULL) STRICT";
pub(super) const MIGRATIONS: &str = "SELECT version, name, checksum FROM schema_migration ORDER BY version";
pub(super) const MIGRATION_PUT: &str = "INSERT INTO schema_migration VALUES (?1, ?2, ?3, datetime('now'))";
pub(super) const IS_EMPTY: &str = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)";
pub(super) const COUNTER_INIT: &str = "INSERT OR IGNORE INTO counter VALUES (1, 1, 1, 1)";
pub(super) const COPY: &str = "VACUUM INTO ?1";
/// Tables that are ours, of whatever version.
pub(super) const OWN_TABLES: &str =
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
pub(super) const FORGET: &str = "DELETE FROM service_state WHERE name = ?1";
/// Each table or index with the bytes of its pages, and whose index it is.
pub(super) const SIZES: &str = "SELECT m.tbl_name, m.type, sum(s.pgsize) FROM dbstat AS s
  JOIN sqlite_master AS m ON m.name = s.name WHERE s.aggregate = TRUE GROUP BY m.tbl_name, m.type";
pub(super) const HISTORY_OLDEST: &str = "SELECT time FROM history ORDER BY seq LIMIT 1";
pub(super) const RUN_OLDEST: &str = "SELECT started FROM run ORDER BY id LIMIT 1";
pub(super) const HISTORY_AT: &str = "SELECT time FROM history WHERE seq >=
  (SELECT min(seq) FROM history) + CAST(((SELECT max(seq) FROM history) - (SELECT min(seq) FROM history)) * ?1 AS INTEGER)
  ORDER BY seq LIMIT 1";
pub(super) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// The first read of a transaction is what its snapshot begins with.
pub(super) const TOUCH: &str = "SELECT one FROM counter";

// --- first loads: a table of links, its index of referrers ---

pub(super) const CS_LINK_ANY: &str = "SELECT EXISTS (SELECT 1 FROM cs_link)";
pub(super) const CS_LINK_BACK_DROP: &str = "DROP INDEX IF EXISTS cs_link_back";
pub(super) const CS_LINK_BACK: &str =
    "CREATE INDEX IF NOT EXISTS cs_link_back ON cs_link (link_key, owner, attribute)";
pub(super) const MV_LINK_ANY: &str = "SELECT EXISTS (SELECT 1 FROM mv_link)";
pub(super) const MV_LINK_BACK_DROP: &str = "DROP INDEX IF EXISTS mv_link_back";
pub(super) const MV_LINK_BACK: &str =
    "CREATE INDEX IF NOT EXISTS mv_link_back ON mv_link (target, owner, attribute)";
pub(super) const LINK_BACKS: &str =
    "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name IN ('cs_link_back', 'mv_link_back')";

// --- the installation ---

pub(super) const INSTALLATION: &str = "SELECT id, epoch, staging, created FROM installation";
pub(super) const INSTALL: &str = "INSERT INTO installation VALUES (1, ?1, ?2, ?3, ?4)";
pub(super) const EPOCH: &str = "SELECT epoch FROM installation";
pub(super) const EPOCH_RAISE: &str = "UPDATE installation SET epoch = epoch + 1";
pub(super) const STAGING: &str = "UPDATE installation SET staging = ?1";
pub(super) const SETTINGS: &str = "SELECT name, value FROM setting ORDER BY name";
pub(super) const SETTING: &str = "SELECT value FROM setting WHERE name = ?1";
pub(super) const SETTING_PUT: &str = "INSERT OR REPLACE INTO setting VALUES (?1, ?2)";
pub(super) const COUNTERS: &str = "SELECT next_cs, next_mv, next_container FROM counter";
pub(super) const COUNTERS_PUT: &str = "UPDATE counter SET next_cs = ?1, next_mv = ?2, next_container = ?3";

// --- connector-space objects ---

pub(super) const CS_BY_ID: &str = cs!("WHERE o.id = ?1");
pub(super) const CS_BY_KEY: &str = cs!("WHERE o.anchor_key = ?1");
pub(super) const CS_BY_NAME: &str = cs!("WHERE o.name_key = ?1");
pub(super) const CS_JOINED_TO: &str = "SELECT mv, id FROM cs_joined WHERE mv = ?1 ORDER BY id";
pub(super) const CS_OF_MV: &str =
    cs!("cs_joined AS of CROSS JOIN cs_object AS o ON o.id = of.id", "WHERE of.mv = ?1");
pub(super) const CS_ALL: &str = cs!("ORDER BY o.id");
pub(super) const CS_PAGE: &str = cs!(
    "cs_object AS o INDEXED BY cs_by_connector",
    "WHERE o.connector = ?1 AND o.id > ?2 ORDER BY o.id LIMIT ?3"
);
pub(super) const CS_HEADS: &str = "SELECT o.id, j.mv, o.links, o.object_type, o.anchor
  FROM cs_object AS o INDEXED BY cs_by_connector LEFT JOIN cs_joined AS j ON j.id = o.id
  WHERE o.connector = ?1 AND o.id > ?2 ORDER BY o.id LIMIT ?3";
pub(super) const CS_LIVE: &str = "SELECT id FROM cs_object INDEXED BY cs_by_connector
  WHERE connector = ?1 AND id > ?2 AND flags & 17 = 0 ORDER BY id LIMIT ?3";
pub(super) const CS_IN_CONTAINER: &str =
    "SELECT id FROM cs_object WHERE container = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
pub(super) const CS_JOINED_IN: &str = "SELECT j.mv, o.id, o.anchor_key, o.name_key
  FROM cs_joined AS j CROSS JOIN cs_object AS o INDEXED BY cs_by_connector ON o.connector = ?2 AND o.id = j.id
  WHERE j.mv = ?1 ORDER BY j.id";
pub(super) const CS_JOIN_OF: &str = "SELECT id, mv FROM cs_joined WHERE id = ?1";
pub(super) const CS_NAME_KEY: &str =
    "SELECT id, name_key FROM cs_object WHERE id = ?1 AND name_key IS NOT NULL";
pub(super) const CS_TARGET_BY_KEY: &str =
    "SELECT o.id, j.mv, o.anchor_key FROM cs_object AS o INDEXED BY cs_by_anchor
  LEFT JOIN cs_joined AS j ON j.id = o.id WHERE o.anchor_key = ?1";
pub(super) const CS_TARGET_BY_NAME: &str =
    "SELECT o.id, j.mv, o.name_key FROM cs_object AS o INDEXED BY cs_by_name
  LEFT JOIN cs_joined AS j ON j.id = o.id WHERE o.name_key = ?1";
pub(super) const CS_LAST: &str = "SELECT coalesce(max(id), 0) FROM cs_object";
pub(super) const CS_OLD: &str = "SELECT o.connector, o.object_type, o.flags, o.container, o.anchor_key,
  j.mv, j.rule, j.run, j.owned, o.anchor, o.name, o.reason, o.leaving, o.links, o.image
  FROM cs_object AS o LEFT JOIN cs_joined AS j ON j.id = o.id WHERE o.id = ?1";
pub(super) const CS_SORT: &str = "SELECT o.connector, o.object_type, j.mv IS NOT NULL, o.flags
  FROM cs_object AS o LEFT JOIN cs_joined AS j ON j.id = o.id WHERE o.id = ?1";
pub(super) const CS_INSERT: &str = "INSERT INTO cs_object (id, name, reason, leaving, links, image,
  connector, object_type, flags, container, anchor_key, anchor, name_key)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
/// No column of any index.
pub(super) const CS_UPDATE_BODY: &str =
    "UPDATE cs_object SET name = ?2, reason = ?3, leaving = ?4, links = ?5, image = ?6 WHERE id = ?1";
pub(super) const CS_UPDATE_ALL: &str =
    "UPDATE cs_object SET name = ?2, reason = ?3, leaving = ?4, links = ?5, image = ?6,
  connector = ?7, object_type = ?8, flags = ?9, container = ?10, anchor_key = ?11, anchor = ?12 WHERE id = ?1";
pub(super) const CS_FREE_ANCHOR: &str = "UPDATE cs_object SET anchor_key = NULL WHERE id = ?1";
pub(super) const CS_NAME_PUT: &str = "UPDATE cs_object SET name_key = ?2 WHERE id = ?1";
pub(super) const CS_DELETE: &str = "DELETE FROM cs_object WHERE id = ?1";
pub(super) const CS_JOINED_PUT: &str = "INSERT INTO cs_joined (id, mv, rule, run, owned)
  VALUES (?1, ?2, ?3, ?4, ?5)
  ON CONFLICT (id) DO UPDATE SET mv = ?2, rule = ?3, run = ?4, owned = ?5";
pub(super) const CS_JOINED_DELETE: &str = "DELETE FROM cs_joined WHERE id = ?1";

pub(super) const CS_BY_JOIN: &str = "SELECT join_key, id FROM cs_join WHERE join_key = ?1 ORDER BY id";
pub(super) const CS_JOIN_ALL: &str = "SELECT join_key, id FROM cs_join ORDER BY join_key, id";
pub(super) const CS_JOIN_PUT: &str = "INSERT OR IGNORE INTO cs_join VALUES (?1, ?2)";
pub(super) const CS_JOIN_DELETE: &str = "DELETE FROM cs_join WHERE join_key = ?1 AND id = ?2";

pub(super) const LINKS: &str = "SELECT link_key FROM cs_link
  WHERE owner = ?1 AND attribute = ?2 AND link_key > ?3 ORDER BY link_key LIMIT ?4";
pub(super) const LINKS_OF: &str = "SELECT owner, attribute, link_key FROM cs_link
  WHERE owner = ?1 AND attribute = ?2 ORDER BY link_key LIMIT ?3";
pub(super) const LINK_HAS: &str =
    "SELECT 1 FROM cs_link WHERE owner = ?1 AND attribute = ?2 AND link_key = ?3";
pub(super) const LINK_REFERRERS: &str = "SELECT owner, attribute FROM cs_link
  WHERE link_key = ?1 AND (owner, attribute) > (?2, ?3) ORDER BY owner, attribute LIMIT ?4";
pub(super) const LINK_ALL: &str =
    "SELECT owner, attribute, link_key FROM cs_link ORDER BY owner, attribute, link_key";
pub(super) const LINK_PUT: &str = "INSERT OR IGNORE INTO cs_link VALUES (?1, ?2, ?3)";
pub(super) const LINK_DELETE: &str =
    "DELETE FROM cs_link WHERE owner = ?1 AND attribute = ?2 AND link_key = ?3";
pub(super) const LINK_DELETE_OF: &str = "DELETE FROM cs_link WHERE owner = ?1";

pub(super) const CONTAINER_BY_ID: &str = container!("WHERE id = ?1");
pub(super) const CONTAINER_BY_NAME: &str =
    container!("WHERE connector = ?1 AND parent = ?2 AND normalised = ?3 ORDER BY id LIMIT 1");
pub(super) const CONTAINERS_IN: &str = container!("WHERE parent = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
pub(super) const CONTAINER_BY_ANCHOR: &str = container!("WHERE anchor = ?2 AND connector = ?1 ORDER BY id");
pub(super) const CONTAINER_ALL: &str = container!("ORDER BY id");
pub(super) const CONTAINER_PUT: &str = "INSERT OR REPLACE INTO container VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

// --- metaverse objects ---

pub(super) const MV_BY_ID: &str = mv!("WHERE id = ?1");
pub(super) const MV_PAGE: &str = mv!("WHERE id > ?1 ORDER BY id LIMIT ?2");
pub(super) const MV_BY_GUID: &str = "SELECT id FROM mv_object WHERE guid = ?1 ORDER BY id LIMIT 1";
pub(super) const MV_LAST: &str = "SELECT coalesce(max(id), 0) FROM mv_object";
pub(super) const MV_OLD: &str =
    "SELECT object_type, leaving_since IS NOT NULL, guid FROM mv_object WHERE id = ?1";
pub(super) const MV_INSERT: &str = "INSERT INTO mv_object (id, object_type, leaving_since, leaving_deleted,
  causes, picks, image, display_name, principal_name, guid) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
/// No column of any index.
pub(super) const MV_UPDATE_BODY: &str = "UPDATE mv_object SET object_type = ?2, leaving_since = ?3,
  leaving_deleted = ?4, causes = ?5, picks = ?6, image = ?7, display_name = ?8, principal_name = ?9 WHERE id = ?1";
pub(super) const MV_UPDATE_ALL: &str = "UPDATE mv_object SET object_type = ?2, leaving_since = ?3,
  leaving_deleted = ?4, causes = ?5, picks = ?6, image = ?7, display_name = ?8, principal_name = ?9, guid = ?10 WHERE id = ?1";
/// Those of `relational::labels`.
pub(super) const LABELS: &str =
    "SELECT id, name FROM attribute_name WHERE name IN ('displayName', 'userPrincipalName')";
pub(super) const MV_DELETE: &str = "DELETE FROM mv_object WHERE id = ?1";

pub(super) const MV_BY_JOIN: &str = "SELECT join_key, id FROM mv_join WHERE join_key = ?1 ORDER BY id";
pub(super) const MV_JOIN_ALL: &str = "SELECT join_key, id FROM mv_join ORDER BY join_key, id";
pub(super) const MV_JOIN_PUT: &str = "INSERT OR IGNORE INTO mv_join VALUES (?1, ?2)";
pub(super) const MV_JOIN_DELETE: &str = "DELETE FROM mv_join WHERE join_key = ?1 AND id = ?2";

pub(super) const MV_LINKS: &str = "SELECT target FROM mv_link
  WHERE owner = ?1 AND attribute = ?2 AND target > ?3 ORDER BY target LIMIT ?4";
pub(super) const MV_LINKS_OF: &str = "SELECT owner, attribute, target FROM mv_link
  WHERE owner = ?1 AND attribute = ?2 ORDER BY target LIMIT ?3";
pub(super) const MV_LINK_COUNT: &str = "SELECT count(*) FROM mv_link WHERE owner = ?1 AND attribute = ?2";
pub(super) const MV_LINK_HAS: &str =
    "SELECT 1 FROM mv_link WHERE owner = ?1 AND attribute = ?2 AND target = ?3";
pub(super) const MV_LINK_REFERRERS: &str = "SELECT owner, attribute FROM mv_link
  WHERE target = ?1 AND (owner, attribute) > (?2, ?3) ORDER BY owner, attribute LIMIT ?4";
pub(super) const MV_LINK_ALL: &str =
    "SELECT owner, attribute, target FROM mv_link ORDER BY owner, attribute, target";
pub(super) const MV_LINK_PUT: &str = "INSERT OR IGNORE INTO mv_link VALUES (?1, ?2, ?3)";
pub(super) const MV_LINK_DELETE: &str =
    "DELETE FROM mv_link WHERE owner = ?1 AND attribute = ?2 AND target = ?3";
pub(super) const MV_LINK_DELETE_OF: &str = "DELETE FROM mv_link WHERE owner = ?1";

pub(super) const HISTORY: &str = "SELECT seq, mv, run, time, event, changes FROM history
  WHERE mv = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3";
pub(super) const HISTORY_ALL: &str = "SELECT seq, mv, run, time, event, changes FROM history ORDER BY seq";
pub(super) const HISTORY_PUT: &str =
    "INSERT INTO history (mv, run, time, event, changes) VALUES (?1, ?2, ?3, ?4, ?5)";

// --- pending exports ---

pub(super) const EXPORT_BY_ID: &str = export!("WHERE cs = ?1");
pub(super) const EXPORT_ALL: &str = export!("ORDER BY cs");
pub(super) const EXPORT_PAGE: &str = export!(
    "INDEXED BY export_list WHERE connector = ?1 AND cs > ?2 AND (?3 IS NULL OR state = ?3)
     AND (?4 IS NULL OR operation = ?4) AND (?5 IS NULL OR object_type = ?5) AND (?6 IS NULL OR held = ?6)
     AND (?7 = 0 OR kinds & ?7 <> 0) ORDER BY cs LIMIT ?8"
);
pub(super) const EXPORT_DUE: &str = export!(
    "INDEXED BY export_due WHERE connector = ?1 AND operation = ?2 AND object_type = ?3 AND cs > ?4
     AND not_before <= ?5 AND state = 0 AND held = 0 AND kinds & 160 = 0 ORDER BY cs LIMIT ?6"
);
pub(super) const EXPORT_SENDING: &str =
    export!("INDEXED BY export_under_way WHERE connector = ?1 AND state = 1 AND state <> 0 ORDER BY cs");
pub(super) const EXPORT_OLD: &str = "SELECT connector, object_type, operation, kinds, state, held, hash
  FROM export_object WHERE cs = ?1";
/// Changes nothing where there is a row.
pub(super) const EXPORT_INSERT: &str =
    "INSERT INTO export_object (cs, connector, object_type, operation, state, kinds,
  held, not_before, attempts, sent, hash, create_key, error, changes)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT (cs) DO NOTHING";
pub(super) const EXPORT_UPDATE: &str =
    "UPDATE export_object SET connector = ?2, object_type = ?3, operation = ?4, state = ?5, kinds = ?6, held = ?7,
  not_before = ?8, attempts = ?9, sent = ?10, hash = ?11, create_key = ?12, error = ?13, changes = ?14
  WHERE cs = ?1";
pub(super) const EXPORT_DELETE: &str = "DELETE FROM export_object WHERE cs = ?1";

pub(super) const EXPORT_LINKS: &str =
    export_link!("WHERE owner = ?1 AND attribute = ?2 AND target > ?3 ORDER BY target LIMIT ?4");
pub(super) const EXPORT_LINKS_OF: &str =
    export_link!("WHERE owner = ?1 AND attribute = ?2 ORDER BY target LIMIT ?3");
pub(super) const EXPORT_REMOVALS_TO: &str = "SELECT owner, attribute FROM export_link
  WHERE adds = 0 AND target = ?1 AND (owner, attribute) > (?2, ?3) ORDER BY owner, attribute LIMIT ?4";
pub(super) const EXPORT_LINK_BY_KEY: &str =
    export_link!("WHERE owner = ?1 AND attribute = ?2 AND target = ?3");
pub(super) const EXPORT_LINK_OF: &str = export_link!("WHERE owner = ?1");
pub(super) const EXPORT_LINK_ALL: &str = export_link!("ORDER BY owner, attribute, target");
pub(super) const EXPORT_LINK_PAGE: &str = export_link!(
    "WHERE +connector = ?1 AND (owner, attribute, target) > (?2, ?3, ?4) AND (?5 IS NULL OR +state = ?5)
     AND (?6 IS NULL OR adds = ?6) AND (?7 IS NULL OR held = ?7) ORDER BY owner, attribute, target LIMIT ?8"
);
pub(super) const EXPORT_LINK_DUE: &str = export_link!(
    "NOT INDEXED WHERE connector = ?1 AND (owner, attribute, target) > (?2, ?3, ?4)
     AND not_before <= ?5 AND state = 0 AND held = 0
     AND (SELECT anchor_key FROM cs_object WHERE id = owner) IS NOT NULL
     AND (SELECT anchor_key FROM cs_object WHERE id = target) IS NOT NULL
     ORDER BY owner, attribute, target LIMIT ?6"
);
/// Whether any may be due: what is refused or held back is not gone through when nothing is.
pub(super) const EXPORT_LINK_ANY_DUE: &str = "SELECT 1 FROM export_link_count
  WHERE connector = ?1 AND state = 0 AND held = 0 AND count > 0 LIMIT 1";
pub(super) const EXPORT_LINK_SENDING: &str = export_link!(
    "INDEXED BY export_link_under_way WHERE connector = ?1 AND state = 1 AND state <> 0
     ORDER BY owner, attribute, target"
);
pub(super) const EXPORT_LINK_OWNERS: &str = "SELECT owner, attribute, sum(adds), sum(NOT adds)
  FROM export_link NOT INDEXED
  WHERE connector = ?1 AND state = 0 AND held = 0 AND (owner, attribute) > (?2, ?3)
  GROUP BY owner, attribute ORDER BY owner, attribute LIMIT ?4";
/// Changes nothing where there is a row.
pub(super) const EXPORT_LINK_INSERT: &str =
    "INSERT INTO export_link (owner, attribute, target, connector, adds, state, held, not_before, attempts, error)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (owner, attribute, target) DO NOTHING";
pub(super) const EXPORT_LINK_UPDATE: &str =
    "UPDATE export_link SET connector = ?4, adds = ?5, state = ?6, held = ?7,
  not_before = ?8, attempts = ?9, error = ?10 WHERE owner = ?1 AND attribute = ?2 AND target = ?3";
pub(super) const EXPORT_LINK_DELETE: &str =
    "DELETE FROM export_link WHERE owner = ?1 AND attribute = ?2 AND target = ?3";
pub(super) const EXPORT_LINK_DELETE_OF: &str = "DELETE FROM export_link WHERE owner = ?1";

// --- the agenda ---

pub(super) const AGENDA_CONNECTOR: &str =
    "SELECT min(connector) FROM agenda WHERE pass = ?1 AND connector > ?2";
pub(super) const AGENDA_FEW: &str = "SELECT count(*) FROM (SELECT 1 FROM agenda INDEXED BY agenda_by_time
  WHERE pass = ?1 AND connector = ?2 AND not_before <= ?3 LIMIT ?4)";
/// For when little is due of much that waits.
pub(super) const AGENDA_BY_TIME: &str = "SELECT a, b, c, not_before FROM agenda INDEXED BY agenda_by_time
  WHERE pass = ?1 AND connector = ?2 AND not_before <= ?3 AND (a, b, c) > (?4, ?5, ?6)
  ORDER BY a, b, c LIMIT ?7";
/// For when much is due.
pub(super) const AGENDA_BY_WORK: &str = "SELECT a, b, c, not_before FROM agenda NOT INDEXED
  WHERE pass = ?1 AND connector = ?2 AND not_before <= ?3 AND (a, b, c) > (?4, ?5, ?6)
  ORDER BY a, b, c LIMIT ?7";
pub(super) const AGENDA_ALL: &str =
    "SELECT a, b, c, not_before, pass, connector FROM agenda ORDER BY pass, connector, a, b, c";
pub(super) const AGENDA_EARLIEST: &str =
    "SELECT min(not_before) FROM agenda WHERE pass = ?1 AND connector = ?2";
pub(super) const AGENDA_COUNTS: &str = "SELECT pass, connector, sum(not_before <= ?1), sum(not_before > ?1)
  FROM agenda INDEXED BY agenda_by_time GROUP BY pass, connector ORDER BY pass, connector";
pub(super) const AGENDA_PUT: &str = "INSERT INTO agenda VALUES (?1, ?2, ?3, ?4, ?5, ?6)
  ON CONFLICT (pass, connector, a, b, c) DO UPDATE SET not_before = excluded.not_before
  WHERE excluded.not_before < agenda.not_before";
pub(super) const AGENDA_DELETE: &str =
    "DELETE FROM agenda WHERE pass = ?1 AND connector = ?2 AND a = ?3 AND b = ?4 AND c = ?5";

// --- errors and small states ---

pub(super) const ERRORS_OF: &str = error!("WHERE cs = ?1 ORDER BY place");
pub(super) const ERROR_ANY: &str = "SELECT 1 FROM object_error LIMIT 1";
pub(super) const ERROR_PAGE: &str = error!("WHERE (cs, place) > (?1, ?2) ORDER BY cs, place LIMIT ?3");
pub(super) const ERROR_PAGE_OF: &str = error!(
    "INDEXED BY object_error_by_connector WHERE (cs, place) > (?1, ?2) AND connector = ?4
     ORDER BY cs, place LIMIT ?3"
);
pub(super) const ERROR_ALL: &str = error!("ORDER BY cs, place");
pub(super) const ERROR_OLD: &str = error!("WHERE cs = ?1 AND place = ?2");
pub(super) const ERROR_PUT: &str =
    "INSERT OR REPLACE INTO object_error (cs, place, connector, code, message, first_seen, run, alarm, object_type, cause)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
pub(super) const ERROR_DELETE: &str = "DELETE FROM object_error WHERE cs = ?1 AND place = ?2";
pub(super) const ERROR_DELETE_OF: &str = "DELETE FROM object_error WHERE cs = ?1";

pub(super) const STATE: &str = "SELECT value FROM service_state WHERE connector = ?1 AND name = ?2";
pub(super) const STATE_ALL: &str =
    "SELECT connector, name, value FROM service_state ORDER BY connector, name";
pub(super) const STATE_PUT: &str = "INSERT OR REPLACE INTO service_state VALUES (?1, ?2, ?3)";
pub(super) const STATE_DELETE: &str = "DELETE FROM service_state WHERE connector = ?1 AND name = ?2";

// --- kept counts ---

pub(super) const CS_COUNTS: &str = "SELECT connector, object_type, joined, flags, count FROM cs_count
  ORDER BY connector, object_type, joined, flags";
pub(super) const CS_COUNT_ADD: &str = "INSERT INTO cs_count VALUES (?1, ?2, ?3, ?4, ?5)
  ON CONFLICT DO UPDATE SET count = count + excluded.count";
pub(super) const CS_COUNT_CLEAN: &str = "DELETE FROM cs_count WHERE count = 0";
pub(super) const MV_COUNTS: &str =
    "SELECT object_type, leaving, count FROM mv_count ORDER BY object_type, leaving";
pub(super) const MV_COUNT_ADD: &str = "INSERT INTO mv_count VALUES (?1, ?2, ?3)
  ON CONFLICT DO UPDATE SET count = count + excluded.count";
pub(super) const MV_COUNT_CLEAN: &str = "DELETE FROM mv_count WHERE count = 0";
pub(super) const EXPORT_COUNTS: &str =
    "SELECT connector, object_type, operation, kinds, state, held, count, hashes FROM export_count
  ORDER BY connector, object_type, operation, kinds, state, held";
pub(super) const EXPORT_COUNT: &str = "SELECT hashes FROM export_count WHERE connector = ?1
  AND object_type = ?2 AND operation = ?3 AND kinds = ?4 AND state = ?5 AND held = ?6";
pub(super) const EXPORT_COUNT_ADD: &str = "INSERT INTO export_count VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
  ON CONFLICT DO UPDATE SET count = count + excluded.count, hashes = excluded.hashes";
pub(super) const EXPORT_COUNT_CLEAN: &str = "DELETE FROM export_count WHERE count = 0";
pub(super) const EXPORT_LINK_COUNTS: &str =
    "SELECT connector, attribute, adds, state, held, count, hashes FROM export_link_count
  ORDER BY connector, attribute, adds, state, held";
pub(super) const EXPORT_LINK_COUNT: &str = "SELECT hashes FROM export_link_count
  WHERE connector = ?1 AND attribute = ?2 AND adds = ?3 AND state = ?4 AND held = ?5";
pub(super) const EXPORT_LINK_COUNT_ADD: &str =
    "INSERT INTO export_link_count VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
  ON CONFLICT DO UPDATE SET count = count + excluded.count, hashes = excluded.hashes";
pub(super) const EXPORT_LINK_COUNT_CLEAN: &str = "DELETE FROM export_link_count WHERE count = 0";
pub(super) const ERROR_COUNTS: &str = "SELECT connector, object_type, place, code, cause, alarm, count
  FROM error_count ORDER BY connector, object_type, place, code, cause, alarm";
pub(super) const ERROR_COUNT_ADD: &str = "INSERT INTO error_count VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
  ON CONFLICT DO UPDATE SET count = count + excluded.count";
pub(super) const ERROR_COUNT_CLEAN: &str = "DELETE FROM error_count WHERE count = 0";

// --- what the service keeps ---

pub(super) const RUN: &str = run!("WHERE id = ?1");
pub(super) const RUN_NEXT: &str = "SELECT coalesce(max(id), 0) + 1 FROM run";
pub(super) const RUN_PAGE: &str = run!("WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
pub(super) const RUN_PAGE_OF: &str = run!("WHERE id < ?1 AND connector = ?3 ORDER BY id DESC LIMIT ?2");
pub(super) const RUN_PUT: &str = "INSERT OR REPLACE INTO run VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(super) const NAMES: &str = "SELECT id, name FROM attribute_name ORDER BY id";
pub(super) const NAME: &str = "SELECT name FROM attribute_name WHERE id = ?1";
pub(super) const NAME_PUT: &str = "INSERT INTO attribute_name VALUES (?1, ?2)";
pub(super) const CONNECTORS: &str = "SELECT id, name, kind, removed FROM connector ORDER BY id";
pub(super) const CONNECTOR_PUT: &str = "INSERT OR REPLACE INTO connector VALUES (?1, ?2, ?3, ?4)";
pub(super) const RULES: &str = "SELECT id, connector, name, hash FROM sync_rule ORDER BY id";
pub(super) const RULE: &str = "SELECT id, connector, name, hash FROM sync_rule WHERE id = ?1";
pub(super) const RULE_PUT: &str = "INSERT INTO sync_rule VALUES (?1, ?2, ?3, ?4)";
pub(super) const CONFIGS: &str = "SELECT version, created, who, hash FROM config_version ORDER BY version";
pub(super) const CONFIG_HAS: &str = "SELECT 1 FROM config_version WHERE version = ?1";
pub(super) const CONFIG_PUT: &str = "INSERT INTO config_version VALUES (?1, ?2, ?3, ?4)";
pub(super) const CONFIG_FILES: &str = "SELECT path, content FROM config_file WHERE version = ?1";
pub(super) const CONFIG_FILE_PUT: &str = "INSERT INTO config_file VALUES (?1, ?2, ?3)";
pub(super) const SECRETS: &str = secret!("ORDER BY name");
pub(super) const SECRET: &str = secret!("WHERE name = ?1");
pub(super) const SECRET_PUT: &str = "INSERT OR REPLACE INTO secret VALUES (?1, ?2, ?3, ?4)";
pub(super) const SECRET_RESEAL: &str =
    "UPDATE secret SET sealed_current = ?2, sealed_previous = ?3 WHERE name = ?1 AND sealed_current = ?4";
pub(super) const SECRET_DELETE: &str = "DELETE FROM secret WHERE name = ?1";
pub(super) const EVENTS: &str =
    "SELECT seq, time, kind, subject, text, chain FROM event WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2";
pub(super) const EVENTS_AFTER: &str =
    "SELECT seq, time, kind, subject, text, chain FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2";
pub(super) const EVENT_LAST: &str = "SELECT coalesce(max(seq), 0) FROM event";
pub(super) const EVENT_PUT: &str =
    "INSERT INTO event (seq, time, kind, subject, text, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
pub(super) const EXPORTED: &str = "SELECT connector, object_type, kind, hour, count FROM exported
  WHERE connector = ?1 AND hour >= ?2 ORDER BY object_type, kind, hour";
pub(super) const EXPORTED_ADD: &str = "INSERT INTO exported VALUES (?1, ?2, ?3, ?4, ?5)
  ON CONFLICT DO UPDATE SET count = count + excluded.count";
pub(super) const HELD_PLANS: &str = held_plan!("ORDER BY hash");
pub(super) const HELD_PLAN: &str = held_plan!("WHERE hash = ?1");
pub(super) const HELD_PLAN_PUT: &str =
    "INSERT OR REPLACE INTO held_plan VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

// --- retention; the oldest rows have the smallest numbers, so that the search ends at once ---

pub(super) const HISTORY_TRIM: &str = "DELETE FROM history
  WHERE seq IN (SELECT seq FROM (SELECT seq, time FROM history ORDER BY seq LIMIT ?2) WHERE time < ?1)";
pub(super) const RUN_TRIM: &str = "DELETE FROM run
  WHERE id IN (SELECT id FROM run WHERE ended < ?1 ORDER BY id LIMIT ?2)";
pub(super) const EVENT_OLD: &str =
    "SELECT old.seq, old.chain, (SELECT count(*) FROM event AS e WHERE e.seq <= old.seq)
  FROM (SELECT seq, time, chain FROM event ORDER BY seq LIMIT ?2) AS old
  WHERE old.time < ?1 AND NOT EXISTS (SELECT 1 FROM event AS e WHERE e.seq < old.seq AND e.time >= ?1)
  ORDER BY old.seq DESC LIMIT 1";
pub(super) const EVENT_DELETE: &str = "DELETE FROM event WHERE seq <= ?1";
pub(super) const EXPORTED_TRIM: &str = "DELETE FROM exported WHERE (connector, object_type, kind, hour) IN
  (SELECT connector, object_type, kind, hour FROM exported WHERE hour < ?1 LIMIT ?2)";

// --- the limit beside the store (benchmarks) ---

#[cfg(feature = "limit")]
pub(super) use limit::*;

#[cfg(feature = "limit")]
mod limit {
    // An entry weighs 10, a link value 1.
    pub(in super::super) const LIMIT_IMPORT: &str = "SELECT id, 10 + (SELECT count(*) FROM cs_link WHERE owner = id) FROM cs_object WHERE id > ?1 ORDER BY id";
    pub(in super::super) const LIMIT_TARGETS: &str = "SELECT id, 1 FROM cs_object WHERE id > ?1 ORDER BY id";
    pub(in super::super) const LIMIT_MV: &str = "SELECT id, 1 FROM mv_object WHERE ?1 >= 0 ORDER BY id";
    pub(in super::super) const LIMIT_LINKS: &str =
        "SELECT owner, count(*) FROM mv_link WHERE ?1 >= 0 GROUP BY owner ORDER BY owner";

    pub(in super::super) const LIMIT_CS: &str =
        "SELECT * FROM cs_object WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
    pub(in super::super) const LIMIT_CS_PUT: &str =
        "INSERT INTO cs_object VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)";
    pub(in super::super) const LIMIT_CS_JOIN: &str =
        "SELECT * FROM cs_join WHERE id BETWEEN ?1 AND ?2 ORDER BY join_key, id";
    pub(in super::super) const LIMIT_CS_JOIN_PUT: &str = "INSERT INTO cs_join VALUES (?1,?2)";
    pub(in super::super) const LIMIT_CS_LINK: &str =
        "SELECT * FROM cs_link WHERE owner BETWEEN ?1 AND ?2 ORDER BY owner, attribute, link_key";
    pub(in super::super) const LIMIT_CS_LINK_PUT: &str = "INSERT INTO cs_link VALUES (?1,?2,?3)";
    pub(in super::super) const LIMIT_AGENDA: &str =
        "SELECT * FROM agenda WHERE pass IN (0, 5) AND a BETWEEN ?1 AND ?2 ORDER BY pass, connector, a, b, c";
    pub(in super::super) const LIMIT_AGENDA_PUT: &str = "INSERT INTO agenda VALUES (?1,?2,?3,?4,?5,?6)";
    pub(in super::super) const LIMIT_CS_JOINED: &str =
        "SELECT * FROM cs_joined WHERE mv BETWEEN ?1 AND ?2 AND id <= ?3 ORDER BY id";
    pub(in super::super) const LIMIT_CS_JOINED_TARGETS: &str =
        "SELECT * FROM cs_joined WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
    pub(in super::super) const LIMIT_CS_JOINED_PUT: &str = "INSERT INTO cs_joined VALUES (?1,?2,?3,?4,?5)";
    pub(in super::super) const LIMIT_MV_ROWS: &str =
        "SELECT * FROM mv_object WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
    pub(in super::super) const LIMIT_MV_PUT: &str =
        "INSERT INTO mv_object VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)";
    pub(in super::super) const LIMIT_MV_JOIN: &str =
        "SELECT * FROM mv_join WHERE id BETWEEN ?1 AND ?2 ORDER BY join_key, id";
    pub(in super::super) const LIMIT_MV_JOIN_PUT: &str = "INSERT INTO mv_join VALUES (?1,?2)";
    pub(in super::super) const LIMIT_HISTORY: &str =
        "SELECT mv, run, time, event, changes FROM history WHERE mv BETWEEN ?1 AND ?2 ORDER BY seq";
    pub(in super::super) const LIMIT_HISTORY_PUT: &str = super::HISTORY_PUT;
    pub(in super::super) const LIMIT_EXPORT: &str =
        "SELECT * FROM export_object WHERE cs BETWEEN ?1 AND ?2 ORDER BY cs";
    pub(in super::super) const LIMIT_EXPORT_PUT: &str =
        "INSERT INTO export_object VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)";
    pub(in super::super) const LIMIT_MV_LINK: &str =
        "SELECT * FROM mv_link WHERE owner BETWEEN ?1 AND ?2 ORDER BY owner, attribute, target";
    pub(in super::super) const LIMIT_MV_LINK_PUT: &str = "INSERT INTO mv_link VALUES (?1,?2,?3)";
    pub(in super::super) const LIMIT_EXPORT_LINK: &str = "SELECT * FROM export_link WHERE owner IN
      (SELECT id FROM cs_joined WHERE mv BETWEEN ?1 AND ?2) ORDER BY owner, attribute, target";
    pub(in super::super) const LIMIT_EXPORT_LINK_PUT: &str =
        "INSERT INTO export_link VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)";
}
