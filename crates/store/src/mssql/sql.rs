//! The statements of this dialect that read, by name. Those that write are in `sql_write`, those of opening, transactions and
//! administration in `sql_open`; nowhere else is SQL. `sql_sets` says how many keys come at once.
//!
//! Bytes of zero at the end of a `varbinary`, and spaces at the end of a text, do not count where two are compared: keys
//! are `binary(16)`, lengths are compared too, and texts come without spaces at the end (`text`).

use super::sql_sets::{after, by_key, bytes, found_by, given, hash, key, text};

macro_rules! cs_columns {
    () => {
        "o.id, o.connector, o.object_type, o.flags, j.mv, j.[rule], j.run, j.owned, o.container, o.anchor, o.name,
  o.reason, o.leaving, o.links, o.[image], o.name_key"
    };
}
/// Connector-space objects by keys.
macro_rules! cs {
    ($given:expr, $on:expr) => {
        concat!(
            "SELECT ",
            cs_columns!(),
            " FROM ",
            $given,
            " AS k JOIN cs_object AS o ON ",
            $on,
            " LEFT JOIN cs_joined AS j ON j.id = o.id ORDER BY o.id",
            by_key!()
        )
    };
}
macro_rules! mv {
    () => {
        "o.id, o.guid, o.object_type, o.leaving_since, o.leaving_deleted, o.causes, o.picks, o.[image]"
    };
}
macro_rules! export {
    () => {
        "e.cs, e.connector, e.object_type, e.operation, e.state, e.kinds, e.held, e.not_before, e.attempts, e.sent,
  e.create_key, e.error, e.changes"
    };
}
macro_rules! export_link {
    () => {
        "l.owner, l.attribute, l.target, l.connector, l.adds, l.state, l.held, l.not_before, l.attempts, l.error"
    };
}
pub(super) use export_link;
macro_rules! error {
    () => {
        "e.cs, e.place, e.connector, e.code, e.message, e.first_seen, e.run, e.alarm, e.object_type, e.cause"
    };
}
macro_rules! container {
    () => {
        "o.id, o.connector, o.parent, o.rdn, o.anchor, o.hidden"
    };
}
macro_rules! run {
    () => {
        "id, connector, step, started, ended, result, counters"
    };
}
macro_rules! held_plan {
    () => {
        "SELECT hash, connector, object_type, reason, items, state, created, who, decided FROM held_plan"
    };
}
macro_rules! secret {
    () => {
        "SELECT name, sealed_current, sealed_previous, changed FROM secret"
    };
}
macro_rules! agenda {
    () => {
        "a, b, SUBSTRING(c, 1, c_length) AS c, not_before"
    };
}
/// Work after a place: a page of the agenda, found over an index.
macro_rules! agenda_page {
    ($index:literal) => {
        concat!(
            "SELECT TOP (@P7) ",
            agenda!(),
            " FROM agenda WITH (INDEX(",
            $index,
            ")) WHERE pass = @P1 AND connector = @P2
  AND not_before <= @P3 AND a >= @P4 AND (a > @P4 OR b > @P5 OR (b = @P5 AND (c > CAST(@P6 AS binary(16))
    OR (c = CAST(@P6 AS binary(16)) AND c_length > DATALENGTH(@P6)))))
  ORDER BY a, b, agenda.c, c_length"
        )
    };
}

// --- the installation ---

pub(super) const INSTALLATION: &str = "SELECT id, epoch, staging, created FROM installation";
/// Now, by the clock of the database, in whole seconds.
macro_rules! now {
    () => {
        "(CAST(DATEDIFF(second, CAST('2020-01-01' AS datetime2(0)), SYSUTCDATETIME()) AS bigint) + 1577836800) * 10000000"
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

pub(super) const CS_BY_ID: &str = cs!(given!("id bigint '$[1]'"), "o.id = k.id");
pub(super) const CS_BY_KEY: &str = cs!(
    given!("by_key bigint '$[1]'"),
    concat!("o.anchor_key = ", hash!("k.by_key"), " AND o.anchor_key IS NOT NULL")
);
pub(super) const CS_BY_NAME: &str = cs!(
    given!("by_key bigint '$[1]'"),
    concat!("o.name_key = ", hash!("k.by_key"), " AND o.name_key IS NOT NULL")
);
pub(super) const CS_JOINED_TO: &str = concat!(
    "SELECT j.mv, j.id FROM ",
    given!("mv bigint '$[1]'"),
    " AS k JOIN cs_joined AS j ON j.mv = k.mv
  ORDER BY j.mv, j.id",
    by_key!()
);
pub(super) const CS_OF_MV: &str = concat!(
    "SELECT ",
    cs_columns!(),
    " FROM ",
    given!("mv bigint '$[1]'"),
    " AS k JOIN cs_joined AS j ON j.mv = k.mv
  JOIN cs_object AS o ON o.id = j.id ORDER BY o.id",
    by_key!()
);
pub(super) const CS_ALL: &str = concat!(
    "SELECT ",
    cs_columns!(),
    " FROM cs_object AS o LEFT JOIN cs_joined AS j ON j.id = o.id ORDER BY o.id"
);
pub(super) const CS_PAGE: &str = concat!(
    "SELECT TOP (@P3) ",
    cs_columns!(),
    " FROM cs_object AS o LEFT JOIN cs_joined AS j ON j.id = o.id
  WHERE o.connector = @P1 AND o.id > @P2 ORDER BY o.id",
    by_key!()
);
pub(super) const CS_HEADS: &str = concat!(
    "SELECT TOP (@P3) o.id, j.mv, o.links, o.object_type, o.anchor
  FROM cs_object AS o LEFT JOIN cs_joined AS j ON j.id = o.id
  WHERE o.connector = @P1 AND o.id > @P2 ORDER BY o.id",
    by_key!()
);
pub(super) const CS_LIVE: &str = "SELECT TOP (@P3) id FROM cs_object
  WHERE connector = @P1 AND id > @P2 AND flags & 17 = 0 ORDER BY id";
pub(super) const CS_IN_CONTAINER: &str = "SELECT TOP (@P3) id FROM cs_object WHERE container = @P1 AND container IS NOT NULL AND id > @P2 ORDER BY id";
pub(super) const CS_JOINED_IN: &str = concat!(
    "SELECT j.mv, o.id, o.anchor_key, o.name_key FROM ", given!("mv bigint '$[1]'", "connector int '$[2]'"),
    " AS k JOIN cs_joined AS j ON j.mv = k.mv JOIN cs_object AS o ON o.id = j.id AND o.connector = k.connector
  ORDER BY j.mv, o.id", by_key!()
);
pub(super) const CS_JOIN_OF: &str = concat!(
    "SELECT j.id, j.mv FROM ",
    given!("id bigint '$[1]'"),
    " AS k JOIN cs_joined AS j ON j.id = k.id ORDER BY j.id",
    by_key!()
);
pub(super) const CS_NAME_KEY: &str = concat!(
    "SELECT o.id, o.name_key FROM ",
    given!("id bigint '$[1]'"),
    " AS k JOIN cs_object AS o ON o.id = k.id
  WHERE o.name_key IS NOT NULL ORDER BY o.id",
    by_key!()
);
pub(super) const CS_TARGET_BY_KEY: &str = concat!(
    "SELECT o.id, j.mv, o.anchor_key FROM ",
    given!("by_key bigint '$[1]'"),
    " AS k JOIN cs_object AS o
  ON o.anchor_key = ",
    hash!("k.by_key"),
    " AND o.anchor_key IS NOT NULL LEFT JOIN cs_joined AS j ON j.id = o.id",
    by_key!()
);
pub(super) const CS_TARGET_BY_NAME: &str = concat!(
    "SELECT o.id, j.mv, o.name_key FROM ",
    given!("by_key bigint '$[1]'"),
    " AS k JOIN cs_object AS o
  ON o.name_key = ",
    hash!("k.by_key"),
    " AND o.name_key IS NOT NULL LEFT JOIN cs_joined AS j ON j.id = o.id",
    by_key!()
);
pub(super) const CS_BY_JOIN: &str = concat!(
    "SELECT j.join_key, j.id FROM ",
    given!("join_key bigint '$[1]'"),
    " AS k
  JOIN cs_join AS j ON j.join_key = k.join_key ORDER BY j.join_key, j.id",
    by_key!()
);
pub(super) const CS_JOIN_ALL: &str = "SELECT join_key, id FROM cs_join ORDER BY join_key, id";

/// Before the first key is no key: it may be all zeros.
pub(super) const LINKS: &str = "SELECT TOP (@P4) link_key FROM cs_link WHERE owner = @P1 AND attribute = @P2
  AND link_key >= CAST(@P3 AS binary(16)) AND (DATALENGTH(@P3) = 0 OR link_key > CAST(@P3 AS binary(16)))
  ORDER BY link_key";
pub(super) const LINKS_OF: &str = concat!(
    "SELECT k.owner, k.attribute, l.link_key FROM ",
    given!("owner bigint '$[1]'", "attribute int '$[2]'", "most bigint '$[3]'"),
    " AS k CROSS APPLY (SELECT TOP (k.most) c.link_key FROM cs_link AS c
  WHERE c.owner = k.owner AND c.attribute = k.attribute ORDER BY c.link_key) AS l"
);
pub(super) const LINK_HAS: &str = concat!(
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM cs_link AS l WHERE l.owner = k.owner AND l.attribute = k.attribute
    AND l.link_key = ", hash!("k.link_key"), ") THEN 1 ELSE 0 END
  FROM ", given!("owner bigint '$[1]'", "attribute int '$[2]'", "link_key bigint '$[3]'"), " AS k ORDER BY k.n",
    by_key!()
);
pub(super) const LINK_REFERRERS: &str = concat!(
    "SELECT TOP (@P4) owner, attribute FROM cs_link WHERE link_key = CAST(@P1 AS binary(16))
  AND ",
    after!("owner" "@P2", "attribute" "@P3"),
    " ORDER BY owner, attribute"
);
pub(super) const LINK_ALL: &str =
    "SELECT owner, attribute, link_key FROM cs_link ORDER BY owner, attribute, link_key";

pub(super) const CONTAINER_BY_ID: &str = concat!(
    "SELECT ",
    container!(),
    " FROM ",
    given!("id bigint '$[1]'"),
    " AS k JOIN container AS o ON o.id = k.id
  ORDER BY o.id",
    by_key!()
);
pub(super) const CONTAINER_BY_NAME: &str = concat!(
    "SELECT TOP (1) ",
    container!(),
    " FROM container AS o WHERE o.connector = @P1 AND o.parent = @P2
  AND o.normalised_hash = ",
    found_by!("CAST(@P3 AS nvarchar(max))"),
    " AND o.normalised = @P3 ORDER BY o.id"
);
pub(super) const CONTAINERS_IN: &str = concat!(
    "SELECT TOP (@P3) ",
    container!(),
    " FROM container AS o WHERE o.parent = @P1 AND o.id > @P2 ORDER BY o.id"
);
pub(super) const CONTAINER_BY_ANCHOR: &str = concat!(
    "SELECT ",
    container!(),
    " FROM ",
    given!("connector int '$[1]'", "anchor bigint '$[2]'"),
    " AS k
  JOIN container AS o ON o.anchor_hash = ",
    found_by!(bytes!("k.anchor")),
    " AND o.anchor_hash IS NOT NULL
  AND o.connector = k.connector ORDER BY o.id",
    by_key!()
);
pub(super) const CONTAINER_ALL: &str = concat!("SELECT ", container!(), " FROM container AS o ORDER BY o.id");

// --- metaverse objects ---

pub(super) const MV_BY_ID: &str = concat!(
    "SELECT ",
    mv!(),
    " FROM ",
    given!("id bigint '$[1]'"),
    " AS k JOIN mv_object AS o ON o.id = k.id ORDER BY o.id",
    by_key!()
);
pub(super) const MV_PAGE: &str =
    concat!("SELECT TOP (@P2) ", mv!(), " FROM mv_object AS o WHERE o.id > @P1 ORDER BY o.id");
pub(super) const MV_BY_GUID: &str =
    "SELECT TOP (1) id FROM mv_object WHERE guid = CAST(@P1 AS binary(16)) ORDER BY id";
pub(super) const MV_BY_JOIN: &str = concat!(
    "SELECT j.join_key, j.id FROM ",
    given!("join_key bigint '$[1]'"),
    " AS k
  JOIN mv_join AS j ON j.join_key = k.join_key ORDER BY j.join_key, j.id",
    by_key!()
);
pub(super) const MV_JOIN_ALL: &str = "SELECT join_key, id FROM mv_join ORDER BY join_key, id";

pub(super) const MV_LINKS: &str = "SELECT TOP (@P4) target FROM mv_link
  WHERE owner = @P1 AND attribute = @P2 AND target > @P3 ORDER BY target";
pub(super) const MV_LINKS_OF: &str = concat!(
    "SELECT k.owner, k.attribute, l.target FROM ",
    given!("owner bigint '$[1]'", "attribute int '$[2]'", "most bigint '$[3]'"),
    " AS k CROSS APPLY (SELECT TOP (k.most) m.target FROM mv_link AS m
  WHERE m.owner = k.owner AND m.attribute = k.attribute ORDER BY m.target) AS l"
);
pub(super) const MV_LINK_COUNT: &str =
    "SELECT COUNT_BIG(*) FROM mv_link WHERE owner = @P1 AND attribute = @P2";
pub(super) const MV_LINK_HAS: &str = concat!(
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM mv_link AS l WHERE l.owner = k.owner AND l.attribute = k.attribute
    AND l.target = k.target) THEN 1 ELSE 0 END
  FROM ", given!("owner bigint '$[1]'", "attribute int '$[2]'", "target bigint '$[3]'"), " AS k ORDER BY k.n",
    by_key!()
);
pub(super) const MV_LINK_REFERRERS: &str = concat!(
    "SELECT TOP (@P4) owner, attribute FROM mv_link WHERE target = @P1
  AND ",
    after!("owner" "@P2", "attribute" "@P3"),
    " ORDER BY owner, attribute"
);
pub(super) const MV_LINK_ALL: &str =
    "SELECT owner, attribute, target FROM mv_link ORDER BY owner, attribute, target";

pub(super) const HISTORY: &str = "SELECT TOP (@P3) seq, mv, run, [time], event, changes FROM history
  WHERE mv = @P1 AND seq < @P2 ORDER BY seq DESC";
pub(super) const HISTORY_ALL: &str = "SELECT seq, mv, run, [time], event, changes FROM history ORDER BY seq";

// --- pending exports ---

pub(super) const EXPORT_BY_ID: &str = concat!(
    "SELECT ",
    export!(),
    " FROM ",
    given!("cs bigint '$[1]'"),
    " AS k JOIN export_object AS e ON e.cs = k.cs
  ORDER BY e.cs",
    by_key!()
);
pub(super) const EXPORT_ALL: &str = concat!("SELECT ", export!(), " FROM export_object AS e ORDER BY e.cs");
pub(super) const EXPORT_PAGE: &str = concat!(
    "SELECT TOP (@P8) ",
    export!(),
    " FROM export_object AS e WHERE e.connector = @P1 AND e.cs > @P2
  AND (@P3 IS NULL OR e.state = @P3) AND (@P4 IS NULL OR e.operation = @P4)
  AND (@P5 IS NULL OR e.object_type = @P5) AND (@P6 IS NULL OR e.held = @P6)
  AND (@P7 = 0 OR e.kinds & @P7 <> 0) ORDER BY e.cs"
);
pub(super) const EXPORT_DUE: &str = concat!(
    "SELECT TOP (@P6) ",
    export!(),
    " FROM export_object AS e
  WHERE e.connector = @P1 AND e.operation = @P2 AND e.object_type = @P3 AND e.cs > @P4
  AND e.not_before <= @P5 AND e.state = 0 AND e.held = 0 AND e.kinds & 160 = 0 ORDER BY e.cs"
);
pub(super) const EXPORT_SENDING: &str = concat!(
    "SELECT ",
    export!(),
    " FROM export_object AS e WHERE e.connector = @P1 AND e.state = 1 AND e.state <> 0
  ORDER BY e.cs"
);

pub(super) const EXPORT_LINKS: &str = concat!(
    "SELECT TOP (@P4) ",
    export_link!(),
    " FROM export_link AS l
  WHERE l.owner = @P1 AND l.attribute = @P2 AND l.target > @P3 ORDER BY l.target"
);
pub(super) const EXPORT_LINKS_OF: &str = concat!(
    "SELECT ",
    export_link!(),
    " FROM ",
    given!("owner bigint '$[1]'", "attribute int '$[2]'", "most bigint '$[3]'"),
    " AS k CROSS APPLY (SELECT TOP (k.most) e.owner, e.attribute, e.target, e.connector, e.adds, e.state, e.held,
  e.not_before, e.attempts, e.error FROM export_link AS e
  WHERE e.owner = k.owner AND e.attribute = k.attribute ORDER BY e.target) AS l"
);
pub(super) const EXPORT_REMOVALS_TO: &str = concat!(
    "SELECT TOP (@P4) owner, attribute FROM export_link WHERE adds = 0 AND target = @P1
  AND ",
    after!("owner" "@P2", "attribute" "@P3"),
    " ORDER BY owner, attribute"
);
pub(super) const EXPORT_LINK_BY_KEY: &str = concat!(
    "SELECT ",
    export_link!(),
    " FROM ",
    given!("owner bigint '$[1]'", "attribute int '$[2]'", "target bigint '$[3]'"),
    " AS k JOIN export_link AS l ON l.owner = k.owner AND l.attribute = k.attribute AND l.target = k.target
  ORDER BY k.n",
    by_key!()
);
pub(super) const EXPORT_LINK_ALL: &str =
    concat!("SELECT ", export_link!(), " FROM export_link AS l ORDER BY l.owner, l.attribute, l.target");
pub(super) const EXPORT_LINK_PAGE: &str = concat!(
    "SELECT TOP (@P8) ",
    export_link!(),
    " FROM export_link AS l WHERE l.connector = @P1
  AND ",
    after!("l.owner" "@P2", "l.attribute" "@P3", "l.target" "@P4"),
    "
  AND (@P5 IS NULL OR l.state = @P5) AND (@P6 IS NULL OR l.adds = @P6) AND (@P7 IS NULL OR l.held = @P7)
  ORDER BY l.owner, l.attribute, l.target"
);
pub(super) const EXPORT_LINK_DUE: &str = concat!(
    "SELECT TOP (@P6) ",
    export_link!(),
    " FROM export_link AS l WHERE l.connector = @P1
  AND ",
    after!("l.owner" "@P2", "l.attribute" "@P3", "l.target" "@P4"),
    "
  AND l.not_before <= @P5 AND l.state = 0 AND l.held = 0
  AND EXISTS (SELECT 1 FROM cs_object AS o WHERE o.id = l.owner AND o.anchor_key IS NOT NULL)
  AND EXISTS (SELECT 1 FROM cs_object AS o WHERE o.id = l.target AND o.anchor_key IS NOT NULL)
  ORDER BY l.owner, l.attribute, l.target"
);
/// Whether any may be due: what is refused or held back is not gone through when nothing is.
pub(super) const EXPORT_LINK_ANY_DUE: &str = "SELECT TOP (1) 1 FROM export_link_count
  WHERE connector = @P1 AND state = 0 AND held = 0 AND [count] > 0";
pub(super) const EXPORT_LINK_SENDING: &str = concat!(
    "SELECT ",
    export_link!(),
    " FROM export_link AS l WHERE l.connector = @P1 AND l.state = 1 AND l.state <> 0
  ORDER BY l.owner, l.attribute, l.target"
);
pub(super) const EXPORT_LINK_OWNERS: &str = concat!(
    "SELECT TOP (@P4) owner, attribute, SUM(CASE WHEN adds = 1 THEN CAST(1 AS bigint) ELSE 0 END),
  SUM(CASE WHEN adds = 0 THEN CAST(1 AS bigint) ELSE 0 END) FROM export_link
  WHERE connector = @P1 AND state = 0 AND held = 0 AND ",
    after!("owner" "@P2", "attribute" "@P3"),
    "
  GROUP BY owner, attribute ORDER BY owner, attribute"
);

// --- the agenda ---

pub(super) const AGENDA_CONNECTOR: &str =
    "SELECT MIN(connector) FROM agenda WHERE pass = @P1 AND connector > @P2";
pub(super) const AGENDA_FEW: &str = "SELECT COUNT_BIG(*) FROM (SELECT TOP (@P4) pass FROM agenda
  WHERE pass = @P1 AND connector = @P2 AND not_before <= @P3) AS few";
/// For when little is due of much that waits.
pub(super) const AGENDA_BY_TIME: &str = agenda_page!("agenda_by_time");
/// For when much is due: in the order of the key.
pub(super) const AGENDA_BY_WORK: &str = agenda_page!("1");
pub(super) const AGENDA_ALL: &str = concat!(
    "SELECT ",
    agenda!(),
    ", pass, connector FROM agenda ORDER BY pass, connector, a, b, agenda.c, c_length"
);
pub(super) const AGENDA_EARLIEST: &str =
    "SELECT MIN(not_before) FROM agenda WHERE pass = @P1 AND connector = @P2";
pub(super) const AGENDA_COUNTS: &str = "SELECT pass, connector,
  SUM(CASE WHEN not_before <= @P1 THEN CAST(1 AS bigint) ELSE 0 END),
  SUM(CASE WHEN not_before > @P1 THEN CAST(1 AS bigint) ELSE 0 END)
  FROM agenda GROUP BY pass, connector ORDER BY pass, connector";

// --- errors and small states ---

pub(super) const ERRORS_OF: &str = concat!(
    "SELECT ",
    error!(),
    " FROM ",
    given!("cs bigint '$[1]'"),
    " AS k JOIN object_error AS e ON e.cs = k.cs
  ORDER BY e.cs, e.place",
    by_key!()
);
pub(super) const ERROR_ANY: &str = "SELECT TOP (1) 1 FROM object_error";
pub(super) const ERROR_PAGE: &str = concat!(
    "SELECT TOP (@P3) ",
    error!(),
    " FROM object_error AS e WHERE ",
    after!("e.cs" "@P1", "e.place" "@P2"),
    "
  ORDER BY e.cs, e.place"
);
pub(super) const ERROR_PAGE_OF: &str = concat!(
    "SELECT TOP (@P3) ",
    error!(),
    " FROM object_error AS e WHERE e.connector = @P4
  AND ",
    after!("e.cs" "@P1", "e.place" "@P2"),
    " ORDER BY e.cs, e.place"
);
pub(super) const ERROR_ALL: &str =
    concat!("SELECT ", error!(), " FROM object_error AS e ORDER BY e.cs, e.place");
pub(super) const ERROR_BY_KEY: &str = concat!(
    "SELECT ",
    error!(),
    " FROM ",
    given!("cs bigint '$[1]'", "place bigint '$[2]'"),
    " AS k
  JOIN object_error AS e ON e.cs = k.cs AND e.place = ",
    key!("k.place", "300"),
    by_key!()
);

pub(super) const STATE: &str = "SELECT value FROM service_state WHERE connector = @P1 AND name = @P2";
pub(super) const STATE_ALL: &str =
    "SELECT connector, name, value FROM service_state ORDER BY connector, name";

// --- kept counts ---

pub(super) const CS_COUNTS: &str = "SELECT connector, object_type, joined, flags, [count] FROM cs_count
  ORDER BY connector, object_type, joined, flags";
pub(super) const MV_COUNTS: &str =
    "SELECT object_type, leaving, [count] FROM mv_count ORDER BY object_type, leaving";
pub(super) const EXPORT_COUNTS: &str =
    "SELECT connector, object_type, operation, kinds, state, held, [count], hashes FROM export_count
  ORDER BY connector, object_type, operation, kinds, state, held";
pub(super) const EXPORT_COUNT: &str = "SELECT hashes FROM export_count WHERE connector = @P1
  AND object_type = @P2 AND operation = @P3 AND kinds = @P4 AND state = @P5 AND held = @P6";
pub(super) const EXPORT_LINK_COUNTS: &str =
    "SELECT connector, attribute, adds, state, held, [count], hashes FROM export_link_count
  ORDER BY connector, attribute, adds, state, held";
pub(super) const EXPORT_LINK_COUNT: &str = "SELECT hashes FROM export_link_count
  WHERE connector = @P1 AND attribute = @P2 AND adds = @P3 AND state = @P4 AND held = @P5";
pub(super) const ERROR_COUNTS: &str = "SELECT connector, object_type, place, code, cause, alarm, [count]
  FROM error_count ORDER BY connector, object_type, place, code, cause, alarm";

// --- what the service keeps ---

pub(super) const RUN: &str = concat!("SELECT ", run!(), " FROM run WHERE id = @P1");
pub(super) const RUN_NEXT: &str = "SELECT COALESCE(MAX(id), 0) + 1 FROM run";
pub(super) const RUN_PAGE: &str =
    concat!("SELECT TOP (@P2) ", run!(), " FROM run WHERE id < @P1 ORDER BY id DESC");
pub(super) const RUN_PAGE_OF: &str =
    concat!("SELECT TOP (@P2) ", run!(), " FROM run WHERE id < @P1 AND connector = @P3 ORDER BY id DESC");
pub(super) const NAMES: &str = "SELECT id, name FROM attribute_name ORDER BY id";
pub(super) const NAME: &str = "SELECT name FROM attribute_name WHERE id = @P1";
pub(super) const CONNECTORS: &str = "SELECT id, name, kind, removed FROM connector ORDER BY id";
pub(super) const RULES: &str = "SELECT id, connector, name, hash FROM sync_rule ORDER BY id";
pub(super) const RULE: &str = "SELECT id, connector, name, hash FROM sync_rule WHERE id = @P1";
pub(super) const CONFIGS: &str = "SELECT version, created, who, hash FROM config_version ORDER BY version";
pub(super) const CONFIG_HAS: &str = "SELECT 1 FROM config_version WHERE version = @P1";
pub(super) const CONFIG_FILES: &str = "SELECT path, content FROM config_file WHERE version = @P1";
pub(super) const SETTINGS: &str = "SELECT name, value FROM setting ORDER BY name";
pub(super) const SETTING: &str = "SELECT value FROM setting WHERE name = @P1";
pub(super) const SECRETS: &str = concat!(secret!(), " ORDER BY name");
pub(super) const SECRET: &str = concat!(secret!(), " WHERE name = @P1");
pub(super) const EVENTS: &str =
    "SELECT TOP (@P2) seq, [time], kind, subject, [text], chain FROM event WHERE seq < @P1 ORDER BY seq DESC";
pub(super) const EVENTS_AFTER: &str =
    "SELECT TOP (@P2) seq, [time], kind, subject, [text], chain FROM event WHERE seq > @P1 ORDER BY seq";
pub(super) const EXPORTED: &str = "SELECT connector, object_type, kind, hour, [count] FROM exported
  WHERE connector = @P1 AND hour >= @P2 ORDER BY object_type, kind, hour";
pub(super) const HELD_PLANS: &str = concat!(held_plan!(), " ORDER BY hash");
pub(super) const HELD_PLAN: &str = concat!(held_plan!(), " WHERE hash = CAST(@P1 AS binary(16))");
