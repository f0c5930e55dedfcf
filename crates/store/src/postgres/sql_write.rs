//! The statements of this dialect that write. Sets of rows come as one array a column.

use super::sql::export_link;

// --- rows of new keys: the table and its columns, and what has their types ---

pub(super) struct Copied {
    /// The statement in whose place it is.
    pub(super) for_sql: &'static str,
    pub(super) copy: &'static str,
    pub(super) types: &'static str,
}

macro_rules! copied {
    ($($sql:ident: $table:literal $columns:literal)*) => {
        pub(super) const COPIED: &[Copied] = &[$(Copied {
            for_sql: $sql,
            copy: concat!("COPY ", $table, " (", $columns, ") FROM STDIN (FORMAT binary)"),
            types: concat!("SELECT ", $columns, " FROM ", $table),
        }),*];
    };
}
copied! {
    CS_INSERT: "cs_object" "id, name, reason, leaving, links, image, connector, object_type, flags, container, anchor_key, anchor, name_key"
    CS_JOINED_PUT: "cs_joined" "id, mv, rule, run, owned"
    LINK_PUT: "cs_link" "owner, attribute, link_key"
    MV_PUT: "mv_object" "id, object_type, leaving_since, leaving_deleted, causes, picks, image, guid, display_name, principal_name"
    MV_LINK_PUT: "mv_link" "owner, attribute, target"
    EXPORT_PUT: "export_object" "cs, connector, object_type, operation, state, kinds, held, not_before, attempts, sent, hash, create_key, error, changes"
    EXPORT_LINK_PUT: "export_link" "owner, attribute, target, connector, adds, state, held, not_before, attempts, error"
}

// --- the installation ---

pub(super) const INSTALL: &str =
    "INSERT INTO installation (one, id, epoch, staging, created) VALUES (1, $1, $2, $3, $4)";
pub(super) const EPOCH_RAISE: &str = "UPDATE installation SET epoch = epoch + 1";
pub(super) const STAGING: &str = "UPDATE installation SET staging = $1";
pub(super) const COUNTERS_PUT: &str = "UPDATE counter SET next_cs = $1, next_mv = $2, next_container = $3";

// --- connector-space objects ---

pub(super) const CS_OLD: &str = "SELECT o.id, o.connector, o.object_type, o.flags, o.anchor_key,
  j.mv, j.rule, j.run, j.owned FROM cs_object AS o LEFT JOIN cs_joined AS j ON j.id = o.id WHERE o.id = ANY($1)";
pub(super) const CS_INSERT: &str = "INSERT INTO cs_object (id, name, reason, leaving, links, image, connector,
  object_type, flags, container, anchor_key, anchor, name_key)
  SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::bytea[], $7::integer[],
    $8::integer[], $9::integer[], $10::bigint[], $11::bytea[], $12::bytea[], $13::bytea[])";
/// Writes nothing where nothing differs.
pub(super) const CS_UPDATE: &str = "UPDATE cs_object AS o SET name = v.name, reason = v.reason,
  leaving = v.leaving, links = v.links, image = v.image, connector = v.connector, object_type = v.object_type,
  flags = v.flags, container = v.container, anchor_key = v.anchor_key, anchor = v.anchor
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::bytea[], $7::integer[],
    $8::integer[], $9::integer[], $10::bigint[], $11::bytea[], $12::bytea[])
    AS v(id, name, reason, leaving, links, image, connector, object_type, flags, container, anchor_key, anchor)
  WHERE o.id = v.id AND (o.name, o.reason, o.leaving, o.links, o.image, o.connector, o.object_type, o.flags,
    o.container, o.anchor_key, o.anchor) IS DISTINCT FROM (v.name, v.reason, v.leaving, v.links, v.image,
    v.connector, v.object_type, v.flags, v.container, v.anchor_key, v.anchor)";
pub(super) const CS_FREE_ANCHOR: &str = "UPDATE cs_object SET anchor_key = NULL WHERE id = ANY($1)";
pub(super) const CS_NAME_PUT: &str = "UPDATE cs_object AS o SET name_key = v.name_key
  FROM unnest($1::bigint[], $2::bytea[]) AS v(id, name_key) WHERE o.id = v.id";
pub(super) const CS_DELETE: &str = "DELETE FROM cs_object WHERE id = ANY($1)";
pub(super) const CS_JOINED_PUT: &str = "INSERT INTO cs_joined (id, mv, rule, run, owned)
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::bigint[], $5::boolean[])
  ON CONFLICT (id) DO UPDATE
  SET mv = excluded.mv, rule = excluded.rule, run = excluded.run, owned = excluded.owned";
pub(super) const CS_JOINED_DELETE: &str = "DELETE FROM cs_joined WHERE id = ANY($1)";
pub(super) const CS_JOIN_PUT: &str = "INSERT INTO cs_join (join_key, id)
  SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT (join_key, id) DO NOTHING";
pub(super) const CS_JOIN_DELETE: &str = "DELETE FROM cs_join AS j
  USING unnest($1::bigint[], $2::bigint[]) AS k(join_key, id) WHERE j.join_key = k.join_key AND j.id = k.id";
pub(super) const LINK_PUT: &str = "INSERT INTO cs_link (owner, attribute, link_key)
  SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bytea[]) ON CONFLICT (owner, attribute, link_key) DO NOTHING";
/// Those of some owners that have links.
pub(super) const LINK_OWNERS: &str = "SELECT k.owner FROM unnest($1::bigint[]) AS k(owner)
  WHERE EXISTS (SELECT 1 FROM cs_link AS l WHERE l.owner = k.owner)";
pub(super) const MV_LINK_OWNERS: &str = "SELECT k.owner FROM unnest($1::bigint[]) AS k(owner)
  WHERE EXISTS (SELECT 1 FROM mv_link AS l WHERE l.owner = k.owner)";
pub(super) const LINK_DELETE: &str = "DELETE FROM cs_link AS l
  USING unnest($1::bigint[], $2::integer[], $3::bytea[]) AS k(owner, attribute, link_key)
  WHERE l.owner = k.owner AND l.attribute = k.attribute AND l.link_key = k.link_key";
pub(super) const LINK_DELETE_OF: &str = "DELETE FROM cs_link WHERE owner = ANY($1)";
pub(super) const CONTAINER_PUT: &str =
    "INSERT INTO container (id, connector, parent, rdn, normalised, anchor, hidden)
  SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::bytea[], $7::boolean[])
  ON CONFLICT (id) DO UPDATE SET connector = excluded.connector, parent = excluded.parent, rdn = excluded.rdn,
    normalised = excluded.normalised, anchor = excluded.anchor, hidden = excluded.hidden";

// --- metaverse objects ---

pub(super) const MV_OLD: &str =
    "SELECT id, object_type, leaving_since IS NOT NULL FROM mv_object WHERE id = ANY($1)";
pub(super) const MV_PUT: &str = "INSERT INTO mv_object (id, object_type, leaving_since, leaving_deleted,
  causes, picks, image, guid, display_name, principal_name)
  SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::boolean[], $5::bytea[], $6::bytea[],
    $7::bytea[], $8::bytea[], $9::text[], $10::text[])
  ON CONFLICT (id) DO UPDATE SET object_type = excluded.object_type, leaving_since = excluded.leaving_since,
    leaving_deleted = excluded.leaving_deleted, causes = excluded.causes, picks = excluded.picks,
    image = excluded.image, guid = excluded.guid, display_name = excluded.display_name,
    principal_name = excluded.principal_name";
/// Those of `relational::labels`; asked only where metaverse objects are written.
pub(super) const LABELS: &str =
    "SELECT id, name FROM attribute_name WHERE name IN ('displayName', 'userPrincipalName')
  AND $1::bigint[] IS NOT NULL";
pub(super) const MV_DELETE: &str = "DELETE FROM mv_object WHERE id = ANY($1)";
pub(super) const MV_JOIN_PUT: &str = "INSERT INTO mv_join (join_key, id)
  SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT (join_key, id) DO NOTHING";
pub(super) const MV_JOIN_DELETE: &str = "DELETE FROM mv_join AS j
  USING unnest($1::bigint[], $2::bigint[]) AS k(join_key, id) WHERE j.join_key = k.join_key AND j.id = k.id";
pub(super) const MV_LINK_PUT: &str = "INSERT INTO mv_link (owner, attribute, target)
  SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) ON CONFLICT (owner, attribute, target) DO NOTHING";
pub(super) const MV_LINK_DELETE: &str = "DELETE FROM mv_link AS l
  USING unnest($1::bigint[], $2::integer[], $3::bigint[]) AS k(owner, attribute, target)
  WHERE l.owner = k.owner AND l.attribute = k.attribute AND l.target = k.target";
pub(super) const MV_LINK_DELETE_OF: &str = "DELETE FROM mv_link WHERE owner = ANY($1)";
/// Writers wait for each other, so that the numbers follow each other without a sequence.
pub(super) const HISTORY_PUT: &str = "INSERT INTO history (seq, mv, run, time, event, changes)
  SELECT (SELECT coalesce(max(seq), 0) FROM history) + v.n, v.mv, v.run, v.time, v.event, v.changes
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[]) WITH ORDINALITY
    AS v(mv, run, time, event, changes, n)";

// --- pending exports ---

pub(super) const EXPORT_OLD: &str = "SELECT cs, connector, object_type, operation, kinds, state, held, hash FROM export_object WHERE cs = ANY($1)";
pub(super) const EXPORT_PUT: &str = "INSERT INTO export_object (cs, connector, object_type, operation, state,
  kinds, held, not_before, attempts, sent, hash, create_key, error, changes)
  SELECT * FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::smallint[], $5::smallint[], $6::smallint[],
    $7::boolean[], $8::bigint[], $9::integer[], $10::bigint[], $11::bytea[], $12::text[], $13::text[], $14::bytea[])
  ON CONFLICT (cs) DO UPDATE SET connector = excluded.connector, object_type = excluded.object_type,
    operation = excluded.operation, state = excluded.state, kinds = excluded.kinds, held = excluded.held,
    not_before = excluded.not_before, attempts = excluded.attempts, sent = excluded.sent, hash = excluded.hash,
    create_key = excluded.create_key, error = excluded.error, changes = excluded.changes";
pub(super) const EXPORT_DELETE: &str = "DELETE FROM export_object WHERE cs = ANY($1)";
pub(super) const EXPORT_LINK_OF: &str = export_link!("WHERE owner = ANY($1)");
pub(super) const EXPORT_LINK_PUT: &str =
    "INSERT INTO export_link (owner, attribute, target, connector, adds, state, held, not_before, attempts, error)
  SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::integer[], $5::boolean[], $6::smallint[],
    $7::boolean[], $8::bigint[], $9::integer[], $10::text[])
  ON CONFLICT (owner, attribute, target) DO UPDATE SET connector = excluded.connector, adds = excluded.adds,
    state = excluded.state, held = excluded.held, not_before = excluded.not_before,
    attempts = excluded.attempts, error = excluded.error";
pub(super) const EXPORT_LINK_DELETE: &str = "DELETE FROM export_link AS l
  USING unnest($1::bigint[], $2::integer[], $3::bigint[]) AS k(owner, attribute, target)
  WHERE l.owner = k.owner AND l.attribute = k.attribute AND l.target = k.target";
pub(super) const EXPORT_LINK_DELETE_OF: &str = "DELETE FROM export_link WHERE owner = ANY($1)";

// --- the agenda ---

pub(super) const AGENDA_PUT: &str = "INSERT INTO agenda (pass, connector, a, b, c, not_before)
  SELECT * FROM unnest($1::smallint[], $2::integer[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[])
  ON CONFLICT (pass, connector, a, b, c) DO UPDATE SET not_before = excluded.not_before
  WHERE excluded.not_before < agenda.not_before";
/// The agenda is filled and emptied again and again, so that what the server knows of its size is wrong more often than
/// not: a join may go through all of it for each key. By the index of numbers it finds what is done, whatever it believes;
/// `IS TRUE` keeps the rest from becoming a join.
pub(super) const AGENDA_DELETE: &str = "DELETE FROM agenda AS g
  WHERE CASE g.pass WHEN 0 THEN g.b ELSE g.a END = ANY (ARRAY(
    SELECT CASE k.pass WHEN 0 THEN k.b ELSE k.a END
    FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS k(pass, a, b)))
  AND ((g.pass, g.a, g.b, g.c) IN
    (SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bytea[]))) IS TRUE";
/// Work does not name the connector.
pub(super) const AGENDA_DELETE_IDENTITY: &str = "DELETE FROM agenda AS g
  WHERE CASE g.pass WHEN 0 THEN g.b ELSE g.a END = ANY ($2::bigint[])
  AND ((g.pass, g.a, g.b, g.c) IN
    (SELECT 0::smallint, k.* FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS k)) IS TRUE";

// --- errors and small states ---

pub(super) const ERROR_PUT: &str =
    "INSERT INTO object_error (cs, place, connector, code, message, first_seen, run, alarm, object_type, cause)
  SELECT * FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
    $8::boolean[], $9::integer[], $10::bigint[])
  ON CONFLICT (cs, place) DO UPDATE SET connector = excluded.connector, code = excluded.code,
    message = excluded.message, first_seen = excluded.first_seen, run = excluded.run, alarm = excluded.alarm,
    object_type = excluded.object_type, cause = excluded.cause";
pub(super) const ERROR_DELETE: &str = "DELETE FROM object_error AS e
  USING unnest($1::bigint[], $2::text[]) AS k(cs, place) WHERE e.cs = k.cs AND e.place = k.place COLLATE \"C\"";
pub(super) const ERROR_DELETE_OF: &str = "DELETE FROM object_error WHERE cs = ANY($1)";
pub(super) const STATE_PUT: &str = "INSERT INTO service_state (connector, name, value)
  SELECT * FROM unnest($1::integer[], $2::text[], $3::bytea[])
  ON CONFLICT (connector, name) DO UPDATE SET value = excluded.value";
pub(super) const STATE_DELETE: &str = "DELETE FROM service_state AS s
  USING unnest($1::integer[], $2::text[]) AS k(connector, name)
  WHERE s.connector = k.connector AND s.name = k.name COLLATE \"C\"";

// --- kept counts ---

pub(super) const CS_COUNT_ADD: &str =
    "INSERT INTO cs_count AS c (connector, object_type, joined, flags, count)
  VALUES ($1, $2, $3, $4, $5) ON CONFLICT (connector, object_type, joined, flags)
  DO UPDATE SET count = c.count + excluded.count";
pub(super) const CS_COUNT_CLEAN: &str = "DELETE FROM cs_count WHERE count = 0";
pub(super) const MV_COUNT_ADD: &str = "INSERT INTO mv_count AS c (object_type, leaving, count)
  VALUES ($1, $2, $3) ON CONFLICT (object_type, leaving) DO UPDATE SET count = c.count + excluded.count";
pub(super) const MV_COUNT_CLEAN: &str = "DELETE FROM mv_count WHERE count = 0";
pub(super) const EXPORT_COUNT_ADD: &str =
    "INSERT INTO export_count AS c (connector, object_type, operation, kinds, state, held, count, hashes)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (connector, object_type, operation, kinds, state, held)
  DO UPDATE SET count = c.count + excluded.count, hashes = excluded.hashes";
pub(super) const EXPORT_COUNT_CLEAN: &str = "DELETE FROM export_count WHERE count = 0";
pub(super) const EXPORT_LINK_COUNT_ADD: &str =
    "INSERT INTO export_link_count AS c (connector, attribute, adds, state, held, count, hashes)
  VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (connector, attribute, adds, state, held)
  DO UPDATE SET count = c.count + excluded.count, hashes = excluded.hashes";
pub(super) const EXPORT_LINK_COUNT_CLEAN: &str = "DELETE FROM export_link_count WHERE count = 0";
pub(super) const ERROR_COUNT_ADD: &str =
    "INSERT INTO error_count AS c (connector, object_type, place, code, cause, alarm, count)
  VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (connector, object_type, place, code, cause, alarm)
  DO UPDATE SET count = c.count + excluded.count";
pub(super) const ERROR_COUNT_CLEAN: &str = "DELETE FROM error_count WHERE count = 0";

// --- what the service keeps ---

pub(super) const RUN_PUT: &str = "INSERT INTO run (id, connector, step, started, ended, result, counters)
  VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET connector = excluded.connector,
    step = excluded.step, started = excluded.started, ended = excluded.ended, result = excluded.result,
    counters = excluded.counters";
pub(super) const NAME_PUT: &str = "INSERT INTO attribute_name (id, name) VALUES ($1, $2)";
pub(super) const CONNECTOR_PUT: &str =
    "INSERT INTO connector (id, name, kind, removed) VALUES ($1, $2, $3, $4)
  ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind, removed = excluded.removed";
pub(super) const RULE_PUT: &str = "INSERT INTO sync_rule (id, connector, name, hash) VALUES ($1, $2, $3, $4)";
pub(super) const CONFIG_PUT: &str =
    "INSERT INTO config_version (version, created, who, hash) VALUES ($1, $2, $3, $4)";
pub(super) const CONFIG_FILE_PUT: &str =
    "INSERT INTO config_file (version, path, content) VALUES ($1, $2, $3)";
pub(super) const SECRET_PUT: &str = "INSERT INTO secret (name, sealed_current, sealed_previous, changed)
  VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO UPDATE SET sealed_current = excluded.sealed_current,
    sealed_previous = excluded.sealed_previous, changed = excluded.changed";
pub(super) const SECRET_RESEAL: &str = "UPDATE secret SET sealed_current = $2, sealed_previous = $3
  WHERE name = $1 AND sealed_current = $4";
pub(super) const SECRET_DELETE: &str = "DELETE FROM secret WHERE name = $1";
pub(super) const SETTING_PUT: &str = "INSERT INTO setting (name, value) VALUES ($1, $2)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value";
pub(super) const EVENT_LAST: &str = "SELECT coalesce(max(seq), 0) FROM event";
pub(super) const EVENT_PUT: &str =
    "INSERT INTO event (seq, time, kind, subject, text, chain) VALUES ($1, $2, $3, $4, $5, $6)";
pub(super) const EXPORTED_ADD: &str = "INSERT INTO exported AS e (connector, object_type, kind, hour, count)
  VALUES ($1, $2, $3, $4, $5) ON CONFLICT (connector, object_type, kind, hour)
  DO UPDATE SET count = e.count + excluded.count";
pub(super) const HELD_PLAN_PUT: &str =
    "INSERT INTO held_plan (hash, connector, object_type, reason, items, state, created, who, decided)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (hash) DO UPDATE SET connector = excluded.connector,
    object_type = excluded.object_type, reason = excluded.reason, items = excluded.items, state = excluded.state,
    created = excluded.created, who = excluded.who, decided = excluded.decided";

// --- retention; the oldest rows have the smallest numbers, so that the search ends at once ---

pub(super) const HISTORY_TRIM: &str = "DELETE FROM history WHERE seq IN
  (SELECT old.seq FROM (SELECT seq, time FROM history ORDER BY seq LIMIT $2) AS old WHERE old.time < $1)";
pub(super) const RUN_TRIM: &str = "DELETE FROM run
  WHERE id IN (SELECT id FROM run WHERE ended < $1 ORDER BY id LIMIT $2)";
pub(super) const EVENT_OLD: &str =
    "SELECT old.seq, old.chain, (SELECT count(*) FROM event AS e WHERE e.seq <= old.seq)
  FROM (SELECT seq, time, chain FROM event ORDER BY seq LIMIT $2) AS old
  WHERE old.time < $1 AND NOT EXISTS (SELECT 1 FROM event AS e WHERE e.seq < old.seq AND e.time >= $1)
  ORDER BY old.seq DESC LIMIT 1";
pub(super) const EVENT_DELETE: &str = "DELETE FROM event WHERE seq <= $1";
pub(super) const EXPORTED_TRIM: &str = "DELETE FROM exported WHERE (connector, object_type, kind, hour) IN
  (SELECT connector, object_type, kind, hour FROM exported WHERE hour < $1 LIMIT $2)";
