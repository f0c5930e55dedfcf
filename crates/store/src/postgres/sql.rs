//! The statements of this dialect that read, by name, and those of opening and of transactions. The ones that write are
//! in `sql_write`; nowhere else is SQL.
//!
//! Where a statement is asked for many keys it takes arrays. A statement whose partial index must be used repeats the
//! condition of that index. Plans are made while tables are small and kept when they are large: what must go from the keys
//! to the rows is `LATERAL` with `OFFSET 0` or `LIMIT`, which leaves the server no other way round.

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
        export_link!("export_link", $rest)
    };
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT l.owner, l.attribute, l.target, l.connector, l.adds, l.state, l.held, l.not_before, l.attempts, ",
            "l.error FROM ",
            $from,
            " AS l ",
            $rest
        )
    };
}
pub(super) use export_link;
macro_rules! error {
    ($rest:literal) => {
        concat!(
            "SELECT e.cs, e.place, e.connector, e.code, e.message, e.first_seen, e.run, e.alarm, e.object_type, e.cause ",
            "FROM object_error AS e ",
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

// --- first loads: a table of links, its index of referrers ---

/// A directory without links is not loaded each time.
pub(super) const CS_LINK_ANY: &str =
    "SELECT EXISTS (SELECT 1 FROM cs_link) OR EXISTS (SELECT 1 FROM cs_object)";
pub(super) const CS_LINK_BACK_DROP: &str =
    "SET lock_timeout = '2s'; DROP INDEX IF EXISTS cs_link_back; SET lock_timeout = '15s'";
pub(super) const CS_LINK_BACK: &str = "CREATE INDEX IF NOT EXISTS cs_link_back ON cs_link (link_key)";
pub(super) const MV_LINK_ANY: &str =
    "SELECT EXISTS (SELECT 1 FROM mv_link) OR NOT EXISTS (SELECT 1 FROM cs_link)";
pub(super) const MV_LINK_BACK_DROP: &str =
    "SET lock_timeout = '2s'; DROP INDEX IF EXISTS mv_link_back; SET lock_timeout = '15s'";
pub(super) const MV_LINK_BACK: &str = "CREATE INDEX IF NOT EXISTS mv_link_back ON mv_link (target)";
pub(super) const LINK_BACKS: &str = "SELECT count(*) FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = current_schema() AND c.relname IN ('cs_link_back', 'mv_link_back')";

// --- opening ---

/// What the server is, and whether the schema that new tables go into is there.
pub(super) const SERVER: &str = "SELECT current_setting('server_version_num')::integer,
  current_setting('server_version'), current_setting('server_encoding'), current_schema()::text";
/// What whoever sets up an installation wants to know of a database and of the account.
pub(super) const LOOK: &str = "SELECT current_setting('server_version'),
  (SELECT datcollate::text FROM pg_database WHERE datname = current_database()),
  (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
  has_schema_privilege(current_schema(), 'CREATE'),
  EXISTS (SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relname = 'onesync_migration' AND pg_has_role(c.relowner, 'USAGE')),
  (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)";
/// Rights on tables that the account lacks; of the list of migrations it needs to read only.
pub(super) const RIGHTS_MISSING: &str = "SELECT r.name || ' on ' || c.relname FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS r(name)
  WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT has_table_privilege(c.oid, r.name)
    AND (c.relname <> 'onesync_migration' OR r.name = 'SELECT')
  ORDER BY c.relname, r.name";
/// What is there for a role and a database, and what the account may do about it.
pub(super) const ADMIN_LOOK: &str = "SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1::text),
  (SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $2::text),
  rolsuper OR rolcreaterole, rolsuper OR rolcreatedb,
  coalesce((SELECT pg_has_role(datdba, 'MEMBER') FROM pg_database WHERE datname = $2::text), false)
  FROM pg_roles WHERE rolname = current_user";
pub(super) const HAS_ROLE: &str = "SELECT 1 FROM pg_roles WHERE rolname = $1::text";
pub(super) const CURRENT_SCHEMA: &str = "SELECT current_schema()::text";
/// Settings of a connection, as far as the server knows them.
pub(super) const CONNECTION_SETTINGS: &str = "SELECT set_config(s.name, v.value, false)
  FROM unnest($1::text[], $2::text[]) AS v(name, value) JOIN pg_settings AS s ON s.name = v.name";
pub(super) const HAS_MIGRATIONS: &str = "SELECT count(*) FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = current_schema() AND c.relname = 'onesync_migration'";
/// One table, view, sequence or foreign table of somebody else's; in one look with the question whether the schema is
/// ours, because another program may be making it.
pub(super) const OTHERS: &str = "SELECT min(c.relname::text) FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
  HAVING NOT coalesce(bool_or(c.relname = 'onesync_migration'), false)";
/// Tables that are ours, of whatever version; those of migrations are made with the schema.
pub(super) const OWN_TABLES: &str = "SELECT quote_ident(c.relname) FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = current_schema() AND c.relkind = 'r' AND c.relname <> 'onesync_migration' ORDER BY 1";
/// In a database of whatever version.
pub(super) const EPOCH_AT_LEAST: &str = "UPDATE installation SET epoch = $1 WHERE epoch < $1";
pub(super) const FORGET: &str = "DELETE FROM service_state WHERE name = $1";
pub(super) const MIGRATION_TABLE: &str = "CREATE TABLE IF NOT EXISTS onesync_migration (
  version integer PRIMARY KEY, name text NOT NULL, checksum bytea NOT NULL,
  applied timestamptz NOT NULL DEFAULT now())";
/// Version 0 is no migration: it is the row that whoever migrates locks.
pub(super) const MIGRATION_LOCK_ROW: &str = "INSERT INTO onesync_migration (version, name, checksum)
  VALUES (0, 'lock', '') ON CONFLICT (version) DO NOTHING";
pub(super) const MIGRATION_LOCK: &str = "SELECT version FROM onesync_migration WHERE version = 0 FOR UPDATE";
pub(super) const MIGRATIONS: &str =
    "SELECT version, name, checksum FROM onesync_migration WHERE version > 0 ORDER BY version";
pub(super) const MIGRATION_PUT: &str =
    "INSERT INTO onesync_migration (version, name, checksum) VALUES ($1, $2, $3)";

// --- transactions ---

pub(super) const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Writers wait for each other at the mark, and then see what the one before committed.
pub(super) const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// A program that is stopped in the middle of a transaction holds the lock of all writers: it is taken away from it before
/// whoever stands by would have to wait for it.
macro_rules! not_for_ever {
    () => {
        "; SET LOCAL idle_in_transaction_session_timeout = '15s'"
    };
}
/// On the disk when the commit is answered.
pub(super) const DURABLE: &str = concat!("SET LOCAL synchronous_commit = on", not_for_ever!());
/// On this server's disk; a standby may still lack it.
pub(super) const LOCAL: &str = concat!("SET LOCAL synchronous_commit = local", not_for_ever!());
/// Not waiting for the disk, and waiting again.
pub(super) const UNFLUSHED: &str = "SET synchronous_commit = off";
pub(super) const FLUSHED: &str = "SET synchronous_commit = on";
pub(super) const FACTS: &str =
    "SELECT current_setting('server_version'), pg_database_size(current_database())::bigint,
  (SELECT time FROM history ORDER BY seq LIMIT 1), (SELECT started FROM run ORDER BY id LIMIT 1)";
pub(super) const SIZES: &str =
    "SELECT c.relname::text, pg_table_size(c.oid)::bigint, pg_indexes_size(c.oid)::bigint
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = current_schema() AND c.relkind = 'r' ORDER BY pg_total_relation_size(c.oid) DESC";
/// The room that deleted rows have left to later ones, as far as what the server keeps of its tables tells: the bytes of a
/// table beyond what its rows take (their heads, the width of their columns, a sixth for what does not fill a page). The
/// last page does not count; a table that was not analysed since the server last crashed counts as full, and so do all indices.
pub(super) const UNUSED: &str =
    "SELECT coalesce(sum(greatest(t.bytes - t.rows * (36 + t.width) * 7 / 6, 0)), 0)::bigint
  FROM (SELECT pg_relation_size(s.relid)::numeric - current_setting('block_size')::numeric AS bytes, (s.n_live_tup + s.n_dead_tup)::numeric AS rows,
      (SELECT sum(w.avg_width * (1 - w.null_frac)) FROM pg_stats AS w
        WHERE w.schemaname = s.schemaname AND w.tablename = s.relname)::numeric AS width
    FROM pg_stat_user_tables AS s WHERE s.schemaname = current_schema()
      AND greatest(s.last_analyze, s.last_autoanalyze) IS NOT NULL) AS t";
/// Deleted rows leave their room to later ones, and the files as large as they were: what the rows themselves take, by the
/// width of the youngest, with the heads of rows and about what each has in the two indices.
pub(super) const HISTORY_BYTES: &str = "SELECT LEAST(pg_total_relation_size('history'::regclass)::bigint,
  ((SELECT count(*) FROM history) * (72 + COALESCE((SELECT avg(pg_column_size(h.changes) +
    COALESCE(pg_column_size(h.event), 0) + 32) FROM (SELECT changes, event FROM history ORDER BY seq DESC LIMIT 1000) AS h),
  0)))::bigint)";
/// The share comes in millionths.
pub(super) const HISTORY_AT: &str = "SELECT time FROM history WHERE seq >= (SELECT min(seq) +
  ((max(seq) - min(seq)) * ($1::bigint / 1000000.0))::bigint FROM history) ORDER BY seq LIMIT 1";
/// A question of a person: as the server likes to answer, and not for ever.
pub(super) const BEGIN_QUERY: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '60s';
  SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on";
pub(super) const COMMIT: &str = "COMMIT";
pub(super) const ROLLBACK: &str = "ROLLBACK";
/// The first read of a snapshot is what it begins with.
pub(super) const MARK: &str = "SELECT number, writer FROM write_mark";
pub(super) const MARK_LOCKED: &str = "SELECT number, writer FROM write_mark FOR UPDATE";
pub(super) const MARK_PUT: &str = "UPDATE write_mark SET number = $1, writer = $2";
pub(super) const EPOCH: &str = "SELECT epoch FROM installation FOR SHARE";

// --- the installation ---

pub(super) const INSTALLATION: &str = "SELECT id, epoch, staging, created FROM installation";
/// Now, by the clock of the database.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 10000000)::bigint"
    };
}
pub(super) use now;
pub(super) const LEASE: &str = concat!(
    "SELECT i.epoch, ",
    now!(),
    ", s.id, s.seen, s.lease FROM installation AS i LEFT JOIN server AS s ON s.epoch = i.epoch"
);
pub(super) const SERVERS: &str = "SELECT id, epoch, seen, lease, facts FROM server ORDER BY id";
pub(super) const COUNTERS: &str = "SELECT next_cs, next_mv, next_container FROM counter";

// --- connector-space objects ---

pub(super) const CS_BY_ID: &str = cs!("WHERE o.id = ANY($1) ORDER BY o.id");
pub(super) const CS_BY_KEY: &str = cs!("WHERE o.anchor_key = ANY($1) AND o.anchor_key IS NOT NULL");
pub(super) const CS_BY_NAME: &str = cs!("WHERE o.name_key = ANY($1) AND o.name_key IS NOT NULL");
pub(super) const CS_JOINED_TO: &str = "SELECT mv, id FROM cs_joined WHERE mv = ANY($1) ORDER BY mv, id";
pub(super) const CS_OF_MV: &str =
    cs!("cs_joined AS of JOIN cs_object AS o ON o.id = of.id", "WHERE of.mv = ANY($1)");
pub(super) const CS_ALL: &str = cs!("ORDER BY o.id");
pub(super) const CS_PAGE: &str = cs!("WHERE o.connector = $1 AND o.id > $2 ORDER BY o.id LIMIT $3");
pub(super) const CS_HEADS: &str = "SELECT o.id, j.mv, o.links, o.object_type, o.anchor
  FROM cs_object AS o LEFT JOIN cs_joined AS j ON j.id = o.id
  WHERE o.connector = $1 AND o.id > $2 ORDER BY o.id LIMIT $3";
pub(super) const CS_LIVE: &str =
    "SELECT id FROM cs_object WHERE connector = $1 AND id > $2 AND flags & 17 = 0 ORDER BY id LIMIT $3";
pub(super) const CS_IN_CONTAINER: &str =
    "SELECT id FROM cs_object WHERE container = $1 AND id > $2 ORDER BY id LIMIT $3";
pub(super) const CS_JOINED_IN: &str = "SELECT j.mv, o.id, o.anchor_key, o.name_key
  FROM unnest($1::bigint[], $2::integer[]) AS k(mv, connector)
  CROSS JOIN LATERAL (SELECT mv, id FROM cs_joined WHERE mv = k.mv OFFSET 0) AS j
  CROSS JOIN LATERAL (SELECT id, anchor_key, name_key FROM cs_object
    WHERE id = j.id AND connector = k.connector OFFSET 0) AS o
  ORDER BY j.mv, o.id";
pub(super) const CS_JOIN_OF: &str = "SELECT id, mv FROM cs_joined WHERE id = ANY($1) ORDER BY id";
pub(super) const CS_NAME_KEY: &str =
    "SELECT id, name_key FROM cs_object WHERE id = ANY($1) AND name_key IS NOT NULL ORDER BY id";
pub(super) const CS_TARGET_BY_KEY: &str = "SELECT o.id, j.mv, o.anchor_key FROM cs_object AS o
  LEFT JOIN cs_joined AS j ON j.id = o.id WHERE o.anchor_key = ANY($1) AND o.anchor_key IS NOT NULL";
pub(super) const CS_TARGET_BY_NAME: &str = "SELECT o.id, j.mv, o.name_key FROM cs_object AS o
  LEFT JOIN cs_joined AS j ON j.id = o.id WHERE o.name_key = ANY($1) AND o.name_key IS NOT NULL";
pub(super) const CS_BY_JOIN: &str =
    "SELECT join_key, id FROM cs_join WHERE join_key = ANY($1) ORDER BY join_key, id";
pub(super) const CS_JOIN_ALL: &str = "SELECT join_key, id FROM cs_join ORDER BY join_key, id";

pub(super) const LINKS: &str = "SELECT link_key FROM cs_link
  WHERE owner = $1 AND attribute = $2 AND link_key > $3 ORDER BY link_key LIMIT $4";
pub(super) const LINKS_OF: &str = "SELECT k.owner, k.attribute, l.link_key
  FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) AS k(owner, attribute, most)
  CROSS JOIN LATERAL (SELECT c.link_key FROM cs_link AS c
    WHERE c.owner = k.owner AND c.attribute = k.attribute ORDER BY c.link_key LIMIT k.most) AS l";
pub(super) const LINK_HAS: &str = "SELECT EXISTS (SELECT 1 FROM cs_link AS l
    WHERE l.owner = k.owner AND l.attribute = k.attribute AND l.link_key = k.link_key)
  FROM unnest($1::bigint[], $2::integer[], $3::bytea[]) WITH ORDINALITY AS k(owner, attribute, link_key, n)
  ORDER BY k.n";
pub(super) const LINK_REFERRERS: &str = "SELECT owner, attribute FROM cs_link
  WHERE link_key = $1 AND (owner, attribute) > ($2, $3) ORDER BY owner, attribute LIMIT $4";
pub(super) const LINK_ALL: &str =
    "SELECT owner, attribute, link_key FROM cs_link ORDER BY owner, attribute, link_key";

pub(super) const CONTAINER_BY_ID: &str = container!("WHERE id = ANY($1) ORDER BY id");
pub(super) const CONTAINER_BY_NAME: &str =
    container!("WHERE connector = $1 AND parent = $2 AND normalised = $3 ORDER BY id LIMIT 1");
pub(super) const CONTAINERS_IN: &str = container!("WHERE parent = $1 AND id > $2 ORDER BY id LIMIT $3");
pub(super) const CONTAINER_BY_ANCHOR: &str = container!(
    "JOIN unnest($1::integer[], $2::bytea[]) AS k(of, by) ON connector = k.of AND anchor = k.by
     WHERE anchor IS NOT NULL"
);
pub(super) const CONTAINER_ALL: &str = container!("ORDER BY id");

// --- metaverse objects ---

pub(super) const MV_BY_ID: &str = mv!("WHERE id = ANY($1) ORDER BY id");
pub(super) const MV_PAGE: &str = mv!("WHERE id > $1 ORDER BY id LIMIT $2");
pub(super) const MV_BY_GUID: &str = "SELECT id FROM mv_object WHERE guid = $1 ORDER BY id LIMIT 1";
pub(super) const MV_BY_JOIN: &str =
    "SELECT join_key, id FROM mv_join WHERE join_key = ANY($1) ORDER BY join_key, id";
pub(super) const MV_JOIN_ALL: &str = "SELECT join_key, id FROM mv_join ORDER BY join_key, id";

pub(super) const MV_LINKS: &str = "SELECT target FROM mv_link
  WHERE owner = $1 AND attribute = $2 AND target > $3 ORDER BY target LIMIT $4";
pub(super) const MV_LINKS_OF: &str = "SELECT k.owner, k.attribute, l.target
  FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) AS k(owner, attribute, most)
  CROSS JOIN LATERAL (SELECT m.target FROM mv_link AS m
    WHERE m.owner = k.owner AND m.attribute = k.attribute ORDER BY m.target LIMIT k.most) AS l";
pub(super) const MV_LINK_COUNT: &str = "SELECT count(*) FROM mv_link WHERE owner = $1 AND attribute = $2";
pub(super) const MV_LINK_HAS: &str = "SELECT EXISTS (SELECT 1 FROM mv_link AS l
    WHERE l.owner = k.owner AND l.attribute = k.attribute AND l.target = k.target)
  FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) WITH ORDINALITY AS k(owner, attribute, target, n)
  ORDER BY k.n";
pub(super) const MV_LINK_REFERRERS: &str = "SELECT owner, attribute FROM mv_link
  WHERE target = $1 AND (owner, attribute) > ($2, $3) ORDER BY owner, attribute LIMIT $4";
pub(super) const MV_LINK_ALL: &str =
    "SELECT owner, attribute, target FROM mv_link ORDER BY owner, attribute, target";

pub(super) const HISTORY: &str = "SELECT seq, mv, run, time, event, changes FROM history
  WHERE mv = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";
pub(super) const HISTORY_ALL: &str = "SELECT seq, mv, run, time, event, changes FROM history ORDER BY seq";

// --- pending exports ---

pub(super) const EXPORT_BY_ID: &str = export!("WHERE cs = ANY($1) ORDER BY cs");
pub(super) const EXPORT_ALL: &str = export!("ORDER BY cs");
pub(super) const EXPORT_PAGE: &str = export!(
    "WHERE connector = $1 AND cs > $2 AND ($3::smallint IS NULL OR state = $3)
     AND ($4::smallint IS NULL OR operation = $4) AND ($5::integer IS NULL OR object_type = $5)
     AND ($6::boolean IS NULL OR held = $6) AND ($7::smallint = 0 OR kinds & $7 <> 0) ORDER BY cs LIMIT $8"
);
pub(super) const EXPORT_DUE: &str = export!(
    "WHERE connector = $1 AND operation = $2 AND object_type = $3 AND cs > $4
     AND not_before <= $5 AND state = 0 AND NOT held AND kinds & 160 = 0 ORDER BY cs LIMIT $6"
);
pub(super) const EXPORT_SENDING: &str =
    export!("WHERE connector = $1 AND state = 1 AND state <> 0 ORDER BY cs");

pub(super) const EXPORT_LINKS: &str =
    export_link!("WHERE owner = $1 AND attribute = $2 AND target > $3 ORDER BY target LIMIT $4");
pub(super) const EXPORT_LINKS_OF: &str = export_link!(
    "unnest($1::bigint[], $2::integer[], $3::bigint[]) AS k(owner, attribute, most)
     CROSS JOIN LATERAL (SELECT * FROM export_link AS e
       WHERE e.owner = k.owner AND e.attribute = k.attribute ORDER BY e.target LIMIT k.most)",
    ""
);
pub(super) const EXPORT_REMOVALS_TO: &str = "SELECT owner, attribute FROM export_link
  WHERE NOT adds AND target = $1 AND (owner, attribute) > ($2, $3) ORDER BY owner, attribute LIMIT $4";
pub(super) const EXPORT_LINK_BY_KEY: &str = export_link!(
    "unnest($1::bigint[], $2::integer[], $3::bigint[]) WITH ORDINALITY AS k(owner, attribute, target, n)
     CROSS JOIN LATERAL (SELECT * FROM export_link AS e
       WHERE e.owner = k.owner AND e.attribute = k.attribute AND e.target = k.target OFFSET 0)",
    "ORDER BY k.n"
);
pub(super) const EXPORT_LINK_ALL: &str = export_link!("ORDER BY owner, attribute, target");
pub(super) const EXPORT_LINK_PAGE: &str = export_link!(
    "WHERE connector = $1 AND (owner, attribute, target) > ($2, $3, $4) AND ($5::smallint IS NULL OR state = $5)
     AND ($6::boolean IS NULL OR adds = $6) AND ($7::boolean IS NULL OR held = $7)
     ORDER BY owner, attribute, target LIMIT $8"
);
pub(super) const EXPORT_LINK_DUE: &str = export_link!(
    "WHERE l.connector = $1 AND (owner, attribute, target) > ($2, $3, $4)
     AND not_before <= $5 AND state = 0 AND NOT held
     AND (SELECT o.anchor_key FROM cs_object AS o WHERE o.id = l.owner) IS NOT NULL
     AND (SELECT o.anchor_key FROM cs_object AS o WHERE o.id = l.target) IS NOT NULL
     ORDER BY owner, attribute, target LIMIT $6"
);
/// Whether any may be due: what is refused or held back is not gone through when nothing is.
pub(super) const EXPORT_LINK_ANY_DUE: &str = "SELECT 1 FROM export_link_count
  WHERE connector = $1 AND state = 0 AND NOT held AND count > 0 LIMIT 1";
pub(super) const EXPORT_LINK_SENDING: &str =
    export_link!("WHERE connector = $1 AND state = 1 AND state <> 0 ORDER BY owner, attribute, target");
pub(super) const EXPORT_LINK_OWNERS: &str = "SELECT owner, attribute,
  count(*) FILTER (WHERE adds), count(*) FILTER (WHERE NOT adds) FROM export_link
  WHERE connector = $1 AND state = 0 AND NOT held AND (owner, attribute) > ($2, $3)
  GROUP BY owner, attribute ORDER BY owner, attribute LIMIT $4";

// --- the agenda ---

pub(super) const AGENDA_CONNECTOR: &str =
    "SELECT min(connector) FROM agenda WHERE pass = $1 AND connector > $2";
pub(super) const AGENDA_FEW: &str = "SELECT count(*) FROM (SELECT 1 FROM agenda
  WHERE pass = $1 AND connector = $2 AND not_before <= $3 LIMIT $4) AS few";
/// For when little is due of much that waits.
pub(super) const AGENDA_BY_TIME: &str = "SELECT a, b, c, not_before FROM (SELECT * FROM agenda
    WHERE pass = $1 AND connector = $2 AND not_before <= $3 OFFSET 0) AS due
  WHERE (a, b, c) > ($4, $5, $6) ORDER BY a, b, c LIMIT $7";
/// For when much is due.
pub(super) const AGENDA_BY_WORK: &str = "SELECT a, b, c, not_before FROM agenda
  WHERE pass = $1 AND connector = $2 AND not_before <= $3 AND (a, b, c) > ($4, $5, $6)
  ORDER BY a, b, c LIMIT $7";
pub(super) const AGENDA_ALL: &str =
    "SELECT a, b, c, not_before, pass, connector FROM agenda ORDER BY pass, connector, a, b, c";
pub(super) const AGENDA_EARLIEST: &str =
    "SELECT min(not_before) FROM agenda WHERE pass = $1 AND connector = $2";
pub(super) const AGENDA_COUNTS: &str = "SELECT pass, connector, count(*) FILTER (WHERE not_before <= $1),
  count(*) FILTER (WHERE not_before > $1) FROM agenda GROUP BY pass, connector ORDER BY pass, connector";

// --- errors and small states ---

pub(super) const ERRORS_OF: &str = error!("WHERE cs = ANY($1) ORDER BY cs, place");
pub(super) const ERROR_ANY: &str = "SELECT 1 FROM object_error LIMIT 1";
pub(super) const ERROR_PAGE: &str = error!("WHERE (cs, place) > ($1, $2) ORDER BY cs, place LIMIT $3");
pub(super) const ERROR_PAGE_OF: &str =
    error!("WHERE connector = $4 AND (cs, place) > ($1, $2) ORDER BY cs, place LIMIT $3");
pub(super) const ERROR_ALL: &str = error!("ORDER BY cs, place");
pub(super) const ERROR_BY_KEY: &str = error!(
    "JOIN unnest($1::bigint[], $2::text[]) AS k(cs, place) ON e.cs = k.cs AND e.place = k.place COLLATE \"C\""
);

pub(super) const STATE: &str = "SELECT value FROM service_state WHERE connector = $1 AND name = $2";
pub(super) const STATE_ALL: &str =
    "SELECT connector, name, value FROM service_state ORDER BY connector, name";

// --- kept counts ---

pub(super) const CS_COUNTS: &str = "SELECT connector, object_type, joined, flags, count FROM cs_count
  ORDER BY connector, object_type, joined, flags";
pub(super) const MV_COUNTS: &str =
    "SELECT object_type, leaving, count FROM mv_count ORDER BY object_type, leaving";
pub(super) const EXPORT_COUNTS: &str =
    "SELECT connector, object_type, operation, kinds, state, held, count, hashes FROM export_count
  ORDER BY connector, object_type, operation, kinds, state, held";
pub(super) const EXPORT_COUNT: &str = "SELECT hashes FROM export_count WHERE connector = $1
  AND object_type = $2 AND operation = $3 AND kinds = $4 AND state = $5 AND held = $6";
pub(super) const EXPORT_LINK_COUNTS: &str =
    "SELECT connector, attribute, adds, state, held, count, hashes FROM export_link_count
  ORDER BY connector, attribute, adds, state, held";
pub(super) const EXPORT_LINK_COUNT: &str = "SELECT hashes FROM export_link_count
  WHERE connector = $1 AND attribute = $2 AND adds = $3 AND state = $4 AND held = $5";
pub(super) const ERROR_COUNTS: &str = "SELECT connector, object_type, place, code, cause, alarm, count
  FROM error_count ORDER BY connector, object_type, place, code, cause, alarm";

// --- what the service keeps ---

pub(super) const RUN: &str = run!("WHERE id = $1");
pub(super) const RUN_NEXT: &str = "SELECT coalesce(max(id), 0) + 1 FROM run";
pub(super) const RUN_PAGE: &str = run!("WHERE id < $1 ORDER BY id DESC LIMIT $2");
pub(super) const RUN_PAGE_OF: &str = run!("WHERE id < $1 AND connector = $3 ORDER BY id DESC LIMIT $2");
pub(super) const NAMES: &str = "SELECT id, name FROM attribute_name ORDER BY id";
pub(super) const NAME: &str = "SELECT name FROM attribute_name WHERE id = $1";
pub(super) const CONNECTORS: &str = "SELECT id, name, kind, removed FROM connector ORDER BY id";
pub(super) const RULES: &str = "SELECT id, connector, name, hash FROM sync_rule ORDER BY id";
pub(super) const RULE: &str = "SELECT id, connector, name, hash FROM sync_rule WHERE id = $1";
pub(super) const CONFIGS: &str = "SELECT version, created, who, hash FROM config_version ORDER BY version";
pub(super) const CONFIG_HAS: &str = "SELECT 1 FROM config_version WHERE version = $1";
pub(super) const CONFIG_FILES: &str = "SELECT path, content FROM config_file WHERE version = $1";
pub(super) const SETTINGS: &str = "SELECT name, value FROM setting ORDER BY name";
pub(super) const SETTING: &str = "SELECT value FROM setting WHERE name = $1";
pub(super) const SECRETS: &str = secret!("ORDER BY name");
pub(super) const SECRET: &str = secret!("WHERE name = $1");
pub(super) const EVENTS: &str =
    "SELECT seq, time, kind, subject, text, chain FROM event WHERE seq < $1 ORDER BY seq DESC LIMIT $2";
pub(super) const EVENTS_AFTER: &str =
    "SELECT seq, time, kind, subject, text, chain FROM event WHERE seq > $1 ORDER BY seq LIMIT $2";
pub(super) const EXPORTED: &str = "SELECT connector, object_type, kind, hour, count FROM exported
  WHERE connector = $1 AND hour >= $2 ORDER BY object_type, kind, hour";
pub(super) const HELD_PLANS: &str = held_plan!("ORDER BY hash");
pub(super) const HELD_PLAN: &str = held_plan!("WHERE hash = $1");
