//! The statements of this dialect that write. `sql` says how sets of rows come. Where a row may be there already it is
//! updated, and what was not there is then inserted: under the lock of the writer nobody comes in between.

use super::sql::{by_key, bytes, export_link, found_by, given, hash, key, text};

/// Updates what is there of the rows that are given, and inserts the others.
macro_rules! put {
    ($table:literal, $given:expr, $on:expr, set $set:expr, insert $columns:literal $values:expr) => {
        concat!(
            "UPDATE t SET ",
            $set,
            " FROM ",
            $given,
            " AS v JOIN ",
            $table,
            " AS t ON ",
            $on,
            by_key!(),
            ";\n",
            insert!($table, $given, $on, $columns, $values)
        )
    };
}
/// Inserts those of the rows that are given which are not there.
macro_rules! insert {
    ($table:literal, $given:expr, $on:expr, $columns:literal, $values:expr) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (",
            $columns,
            ") SELECT ",
            $values,
            " FROM ",
            $given,
            " AS v
  WHERE NOT EXISTS (SELECT 1 FROM ",
            $table,
            " AS t WHERE ",
            $on,
            ")",
            by_key!()
        )
    };
}
/// Deletes the rows that are given.
macro_rules! delete {
    ($table:literal, $given:expr, $on:expr) => {
        concat!("DELETE t FROM ", $given, " AS v JOIN ", $table, " AS t ON ", $on, by_key!())
    };
}
/// Adds to one count, or makes it.
macro_rules! add {
    ($table:literal, $columns:literal, $values:literal, $on:literal, $count:literal) => {
        add!($table, $columns, $values, $on, $count, "")
    };
    ($table:literal, $columns:literal, $values:literal, $on:literal, $count:literal, $more:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " SET [count] = [count] + ",
            $count,
            $more,
            " WHERE ",
            $on,
            ";
INSERT INTO ",
            $table,
            " (",
            $columns,
            ") SELECT ",
            $values,
            "
  WHERE NOT EXISTS (SELECT 1 FROM ",
            $table,
            " WHERE ",
            $on,
            ")"
        )
    };
}
/// Updates one row, or inserts it.
macro_rules! put_one {
    ($table:literal, $on:literal, set $set:literal, insert $columns:literal $values:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " SET ",
            $set,
            " WHERE ",
            $on,
            ";
INSERT INTO ",
            $table,
            " (",
            $columns,
            ") SELECT ",
            $values,
            "
  WHERE NOT EXISTS (SELECT 1 FROM ",
            $table,
            " WHERE ",
            $on,
            ")"
        )
    };
}
/// A text of a row that is given, of one type whatever its length.
macro_rules! whole {
    ($at:literal) => {
        concat!("CAST(", text!($at), " AS nvarchar(max))")
    };
}
macro_rules! link_given {
    () => {
        given!("owner bigint '$[1]'", "attribute int '$[2]'", "link_key bigint '$[3]'")
    };
}
macro_rules! mv_link_given {
    () => {
        given!("owner bigint '$[1]'", "attribute int '$[2]'", "target bigint '$[3]'")
    };
}
macro_rules! join_given {
    () => {
        given!("join_key bigint '$[1]'", "id bigint '$[2]'")
    };
}
macro_rules! on_link {
    () => {
        concat!("t.owner = v.owner AND t.attribute = v.attribute AND t.link_key = ", hash!("v.link_key"))
    };
}
macro_rules! on_mv_link {
    () => {
        "t.owner = v.owner AND t.attribute = v.attribute AND t.target = v.target"
    };
}
macro_rules! on_join {
    () => {
        "t.join_key = v.join_key AND t.id = v.id"
    };
}

// --- the installation ---

pub(super) const MARK_PUT: &str = "UPDATE write_mark SET number = @P1, writer = CAST(@P2 AS binary(16))";
pub(super) const INSTALL: &str =
    "INSERT INTO installation (one, id, epoch, staging, created) VALUES (1, @P1, @P2, CAST(@P3 AS bit), @P4)";
pub(super) const EPOCH_RAISE: &str = "UPDATE installation SET epoch = epoch + 1";
pub(super) const STAGING: &str = "UPDATE installation SET staging = CAST(@P1 AS bit)";
pub(super) const COUNTERS_PUT: &str = "UPDATE counter SET next_cs = @P1, next_mv = @P2, next_container = @P3";

// --- connector-space objects ---

pub(super) const CS_OLD: &str = concat!(
    "SELECT o.id, o.connector, o.object_type, o.flags, o.anchor_key, j.mv, j.[rule], j.run, j.owned
  FROM ",
    given!("id bigint '$[1]'"),
    " AS k JOIN cs_object AS o ON o.id = k.id
  LEFT JOIN cs_joined AS j ON j.id = o.id",
    by_key!()
);
macro_rules! cs_given {
    ($($more:literal),*) => {
        given!(
            "id bigint '$[1]'", "name bigint '$[2]'", "reason bigint '$[3]'", "leaving bigint '$[4]'",
            "links bigint '$[5]'", "[image] bigint '$[6]'", "connector int '$[7]'", "object_type int '$[8]'",
            "flags int '$[9]'", "container bigint '$[10]'", "anchor_key bigint '$[11]'", "anchor bigint '$[12]'"
            $(, $more)*
        )
    };
}
/// The columns in the order of the rows, which is that of the bulk insert too.
pub(super) const CS_INSERT: &str = concat!(
    "INSERT INTO cs_object (id, name, reason, leaving, links, [image], connector, object_type, flags, container,
  anchor_key, anchor, name_key)
  SELECT v.id, ", text!("v.name"), ", ", text!("v.reason"), ", v.leaving, ", bytes!("v.links"), ", ", bytes!("v.[image]"), ", v.connector,
  v.object_type, v.flags, v.container, ", hash!("v.anchor_key"), ", ", bytes!("v.anchor"), ", ", hash!("v.name_key"),
    " FROM ", cs_given!("name_key bigint '$[13]'"), " AS v"
);
/// Writes nothing where nothing differs. Of equal values of different length the longer one ends in zeros.
pub(super) const CS_UPDATE: &str = concat!(
    "UPDATE t SET name = ",
    text!("v.name"),
    ", reason = ",
    text!("v.reason"),
    ", leaving = v.leaving,
  links = ",
    bytes!("v.links"),
    ", [image] = ",
    bytes!("v.[image]"),
    ", connector = v.connector,
  object_type = v.object_type, flags = v.flags, container = v.container, anchor_key = ",
    hash!("v.anchor_key"),
    ",
  anchor = ",
    bytes!("v.anchor"),
    "
  FROM ",
    cs_given!(),
    " AS v JOIN cs_object AS t ON t.id = v.id
  WHERE t.connector <> v.connector OR t.object_type <> v.object_type OR t.flags <> v.flags
  OR t.name <> ",
    text!("v.name"),
    "
  OR (CASE WHEN t.reason IS NULL THEN 0 ELSE 1 END) <> (CASE WHEN v.reason IS NULL THEN 0 ELSE 1 END)
  OR t.reason <> ",
    text!("v.reason"),
    "
  OR (CASE WHEN t.leaving IS NULL THEN 0 ELSE 1 END) <> (CASE WHEN v.leaving IS NULL THEN 0 ELSE 1 END)
  OR t.leaving <> v.leaving
  OR (CASE WHEN t.container IS NULL THEN 0 ELSE 1 END) <> (CASE WHEN v.container IS NULL THEN 0 ELSE 1 END)
  OR t.container <> v.container
  OR (CASE WHEN t.anchor_key IS NULL THEN 0 ELSE 1 END) <> (CASE WHEN v.anchor_key IS NULL THEN 0 ELSE 1 END)
  OR t.anchor_key <> ",
    hash!("v.anchor_key"),
    "
  OR COALESCE(DATALENGTH(t.anchor), -1) <> COALESCE(v.anchor % 1073741824, -1)
  OR t.anchor <> ",
    bytes!("v.anchor"),
    "
  OR DATALENGTH(t.links) <> v.links % 1073741824 OR t.links <> ",
    bytes!("v.links"),
    "
  OR DATALENGTH(t.[image]) <> v.[image] % 1073741824 OR t.[image] <> ",
    bytes!("v.[image]"),
    by_key!()
);
pub(super) const CS_FREE_ANCHOR: &str = concat!(
    "UPDATE t SET anchor_key = NULL FROM ",
    given!("id bigint '$[1]'"),
    " AS v JOIN cs_object AS t ON t.id = v.id",
    by_key!()
);
pub(super) const CS_NAME_PUT: &str = concat!(
    "UPDATE t SET name_key = ",
    hash!("v.name_key"),
    " FROM ",
    given!("id bigint '$[1]'", "name_key bigint '$[2]'"),
    " AS v JOIN cs_object AS t ON t.id = v.id",
    by_key!()
);
pub(super) const CS_DELETE: &str = delete!("cs_object", given!("id bigint '$[1]'"), "t.id = v.id");
pub(super) const CS_JOINED_PUT: &str = put!(
    "cs_joined",
    given!("id bigint '$[1]'", "mv bigint '$[2]'", "[rule] int '$[3]'", "run bigint '$[4]'", "owned bit '$[5]'"),
    "t.id = v.id",
    set "mv = v.mv, [rule] = v.[rule], run = v.run, owned = v.owned",
    insert "id, mv, [rule], run, owned" "v.id, v.mv, v.[rule], v.run, v.owned"
);
pub(super) const CS_JOINED_DELETE: &str = delete!("cs_joined", given!("id bigint '$[1]'"), "t.id = v.id");
pub(super) const CS_JOIN_PUT: &str =
    insert!("cs_join", join_given!(), on_join!(), "join_key, id", "v.join_key, v.id");
pub(super) const CS_JOIN_DELETE: &str = delete!("cs_join", join_given!(), on_join!());
pub(super) const LINK_PUT: &str = insert!(
    "cs_link",
    link_given!(),
    on_link!(),
    "owner, attribute, link_key",
    concat!("v.owner, v.attribute, ", hash!("v.link_key"))
);
pub(super) const LINK_DELETE: &str = delete!("cs_link", link_given!(), on_link!());
pub(super) const LINK_DELETE_OF: &str = delete!("cs_link", given!("id bigint '$[1]'"), "t.owner = v.id");
pub(super) const CONTAINER_PUT: &str = put!(
    "container",
    given!(
        "id bigint '$[1]'", "connector int '$[2]'", "parent bigint '$[3]'", "rdn bigint '$[4]'",
        "normalised bigint '$[5]'", "anchor bigint '$[6]'", "hidden bit '$[7]'"
    ),
    "t.id = v.id",
    set concat!(
        "connector = v.connector, parent = v.parent, rdn = ", text!("v.rdn"), ", normalised = ", text!("v.normalised"),
        ", normalised_hash = ", found_by!(whole!("v.normalised")), ", anchor = ", bytes!("v.anchor"), ", anchor_hash = ",
        found_by!(bytes!("v.anchor")), ", hidden = v.hidden"
    ),
    insert "id, connector, parent, rdn, normalised, normalised_hash, anchor, anchor_hash, hidden" concat!(
        "v.id, v.connector, v.parent, ", text!("v.rdn"), ", ", text!("v.normalised"), ", ",
        found_by!(whole!("v.normalised")), ", ", bytes!("v.anchor"),
        ", ", found_by!(bytes!("v.anchor")), ", v.hidden"
    )
);

// --- metaverse objects ---

pub(super) const MV_OLD: &str = concat!(
    "SELECT o.id, o.object_type, CASE WHEN o.leaving_since IS NULL THEN 0 ELSE 1 END FROM ",
    given!("id bigint '$[1]'"),
    " AS k JOIN mv_object AS o ON o.id = k.id",
    by_key!()
);
pub(super) const MV_PUT: &str = put!(
    "mv_object",
    given!(
        "id bigint '$[1]'", "object_type int '$[2]'", "leaving_since bigint '$[3]'", "leaving_deleted bit '$[4]'",
        "causes bigint '$[5]'", "picks bigint '$[6]'", "[image] bigint '$[7]'", "guid bigint '$[8]'",
        "display_name bigint '$[9]'", "principal_name bigint '$[10]'"
    ),
    "t.id = v.id",
    set concat!(
        "object_type = v.object_type, leaving_since = v.leaving_since, leaving_deleted = v.leaving_deleted, causes = ",
        bytes!("v.causes"), ", picks = ", bytes!("v.picks"), ", [image] = ", bytes!("v.[image]"), ", guid = ",
        hash!("v.guid"), ", display_name = ", text!("v.display_name"), ", principal_name = ", text!("v.principal_name")
    ),
    insert "id, object_type, leaving_since, leaving_deleted, causes, picks, [image], guid, display_name, principal_name"
    concat!(
        "v.id, v.object_type, v.leaving_since, v.leaving_deleted, ", bytes!("v.causes"), ", ", bytes!("v.picks"), ", ",
        bytes!("v.[image]"), ", ", hash!("v.guid"), ", ", text!("v.display_name"), ", ", text!("v.principal_name")
    )
);
/// Those of `relational::labels`; asked only where metaverse objects are written.
pub(super) const LABELS: &str = concat!(
    "SELECT a.id, a.name FROM attribute_name AS a WHERE a.name IN (N'displayName', N'userPrincipalName')
  AND EXISTS (SELECT 1 FROM ",
    given!("id bigint '$[1]'"),
    " AS k)"
);
pub(super) const MV_DELETE: &str = delete!("mv_object", given!("id bigint '$[1]'"), "t.id = v.id");
pub(super) const MV_JOIN_PUT: &str =
    insert!("mv_join", join_given!(), on_join!(), "join_key, id", "v.join_key, v.id");
pub(super) const MV_JOIN_DELETE: &str = delete!("mv_join", join_given!(), on_join!());
pub(super) const MV_LINK_PUT: &str = insert!(
    "mv_link",
    mv_link_given!(),
    on_mv_link!(),
    "owner, attribute, target",
    "v.owner, v.attribute, v.target"
);
pub(super) const MV_LINK_DELETE: &str = delete!("mv_link", mv_link_given!(), on_mv_link!());
pub(super) const MV_LINK_DELETE_OF: &str = delete!("mv_link", given!("id bigint '$[1]'"), "t.owner = v.id");
/// Writers wait for each other, so that the numbers follow each other without a sequence.
pub(super) const HISTORY_PUT: &str = concat!(
    "INSERT INTO history (seq, mv, run, [time], event, changes)
  SELECT (SELECT COALESCE(MAX(h.seq), 0) FROM history AS h) + v.n + 1, v.mv, v.run, v.[time], ",
    text!("v.event"),
    ", ",
    bytes!("v.changes"),
    " FROM ",
    given!(
        "mv bigint '$[1]'",
        "run bigint '$[2]'",
        "[time] bigint '$[3]'",
        "event bigint '$[4]'",
        "changes bigint '$[5]'"
    ),
    " AS v"
);

// --- pending exports ---

pub(super) const EXPORT_OLD: &str = concat!(
    "SELECT e.cs, e.connector, e.object_type, e.operation, e.kinds, e.state, e.held, e.hash FROM ",
    given!("cs bigint '$[1]'"),
    " AS k JOIN export_object AS e ON e.cs = k.cs",
    by_key!()
);
pub(super) const EXPORT_PUT: &str = put!(
    "export_object",
    given!(
        "cs bigint '$[1]'", "connector int '$[2]'", "object_type int '$[3]'", "operation smallint '$[4]'",
        "state smallint '$[5]'", "kinds smallint '$[6]'", "held bit '$[7]'", "not_before bigint '$[8]'",
        "attempts int '$[9]'", "sent bigint '$[10]'", "hash bigint '$[11]'", "create_key bigint '$[12]'",
        "error bigint '$[13]'", "changes bigint '$[14]'"
    ),
    "t.cs = v.cs",
    set concat!(
        "connector = v.connector, object_type = v.object_type, operation = v.operation, state = v.state,
  kinds = v.kinds, held = v.held, not_before = v.not_before, attempts = v.attempts, sent = v.sent, hash = ",
        hash!("v.hash"), ", create_key = ", text!("v.create_key"), ", error = ", text!("v.error"), ", changes = ",
        bytes!("v.changes")
    ),
    insert "cs, connector, object_type, operation, state, kinds, held, not_before, attempts, sent, hash, create_key, error,
  changes" concat!(
        "v.cs, v.connector, v.object_type, v.operation, v.state, v.kinds, v.held, v.not_before, v.attempts, v.sent, ",
        hash!("v.hash"), ", ", text!("v.create_key"), ", ", text!("v.error"), ", ", bytes!("v.changes")
    )
);
pub(super) const EXPORT_DELETE: &str = delete!("export_object", given!("cs bigint '$[1]'"), "t.cs = v.cs");
pub(super) const EXPORT_LINK_OF: &str = concat!(
    "SELECT ",
    export_link!(),
    " FROM ",
    given!("owner bigint '$[1]'"),
    " AS k JOIN export_link AS l
  ON l.owner = k.owner",
    by_key!()
);
pub(super) const EXPORT_LINK_PUT: &str = put!(
    "export_link",
    given!(
        "owner bigint '$[1]'", "attribute int '$[2]'", "target bigint '$[3]'", "connector int '$[4]'",
        "adds bit '$[5]'", "state smallint '$[6]'", "held bit '$[7]'", "not_before bigint '$[8]'",
        "attempts int '$[9]'", "error bigint '$[10]'"
    ),
    on_mv_link!(),
    set concat!(
        "connector = v.connector, adds = v.adds, state = v.state, held = v.held, not_before = v.not_before,
  attempts = v.attempts, error = ", text!("v.error")
    ),
    insert "owner, attribute, target, connector, adds, state, held, not_before, attempts, error"
    concat!(
        "v.owner, v.attribute, v.target, v.connector, v.adds, v.state, v.held, v.not_before, v.attempts, ",
        text!("v.error")
    )
);
pub(super) const EXPORT_LINK_DELETE: &str = delete!("export_link", mv_link_given!(), on_mv_link!());
pub(super) const EXPORT_LINK_DELETE_OF: &str =
    delete!("export_link", given!("id bigint '$[1]'"), "t.owner = v.id");

// --- the agenda ---

/// Of a key: its bytes, filled up with zeros, and their number.
macro_rules! on_work {
    () => {
        concat!("t.a = v.a AND t.b = v.b AND t.c = ", hash!("v.c"), " AND t.c_length = v.c % 1073741824")
    };
}
macro_rules! work_given {
    () => {
        given!(
            "pass smallint '$[1]'",
            "connector int '$[2]'",
            "a bigint '$[3]'",
            "b bigint '$[4]'",
            "c bigint '$[5]'",
            "not_before bigint '$[6]'"
        )
    };
}
pub(super) const AGENDA_PUT: &str = concat!(
    "UPDATE t SET not_before = v.not_before FROM ",
    work_given!(),
    " AS v
  JOIN agenda AS t ON t.pass = v.pass AND t.connector = v.connector AND ",
    on_work!(),
    "
  WHERE v.not_before < t.not_before",
    by_key!(),
    ";\n",
    insert!(
        "agenda",
        work_given!(),
        concat!("t.pass = v.pass AND t.connector = v.connector AND ", on_work!()),
        "pass, connector, a, b, c, c_length, not_before",
        concat!("v.pass, v.connector, v.a, v.b, ", hash!("v.c"), ", v.c % 1073741824, v.not_before")
    )
);
pub(super) const AGENDA_DELETE: &str = delete!(
    "agenda",
    given!("pass smallint '$[1]'", "a bigint '$[2]'", "b bigint '$[3]'", "c bigint '$[4]'"),
    concat!("t.pass = v.pass AND t.connector = 0 AND ", on_work!())
);
/// Work does not name the connector: the few there are, one after the other.
pub(super) const AGENDA_DELETE_IDENTITY: &str = concat!(
    "DECLARE @connector int = (SELECT MIN(connector) FROM agenda WHERE pass = 0);
WHILE @connector IS NOT NULL
BEGIN
  ",
    delete!(
        "agenda",
        given!("a bigint '$[1]'", "b bigint '$[2]'", "c bigint '$[3]'"),
        concat!("t.pass = 0 AND t.connector = @connector AND ", on_work!())
    ),
    ";
  SET @connector = (SELECT MIN(connector) FROM agenda WHERE pass = 0 AND connector > @connector);
END"
);

// --- errors and small states ---

pub(super) const ERROR_PUT: &str = put!(
    "object_error",
    given!(
        "cs bigint '$[1]'", "place bigint '$[2]'", "connector int '$[3]'", "code bigint '$[4]'",
        "message bigint '$[5]'", "first_seen bigint '$[6]'", "run bigint '$[7]'", "alarm bit '$[8]'",
        "object_type int '$[9]'", "cause bigint '$[10]'"
    ),
    concat!("t.cs = v.cs AND t.place = ", key!("v.place", "300")),
    set concat!(
        "connector = v.connector, code = ", text!("v.code"), ", message = ", text!("v.message"),
        ", first_seen = v.first_seen, run = v.run, alarm = v.alarm, object_type = v.object_type, cause = v.cause"
    ),
    insert "cs, place, connector, code, message, first_seen, run, alarm, object_type, cause"
    concat!(
        "v.cs, ", text!("v.place"), ", v.connector, ", text!("v.code"), ", ", text!("v.message"),
        ", v.first_seen, v.run, v.alarm, v.object_type, v.cause"
    )
);
pub(super) const ERROR_DELETE: &str = delete!(
    "object_error",
    given!("cs bigint '$[1]'", "place bigint '$[2]'"),
    concat!("t.cs = v.cs AND t.place = ", key!("v.place", "300"))
);
pub(super) const ERROR_DELETE_OF: &str = delete!("object_error", given!("id bigint '$[1]'"), "t.cs = v.id");
pub(super) const STATE_PUT: &str = put!(
    "service_state",
    given!("connector int '$[1]'", "name bigint '$[2]'", "value bigint '$[3]'"),
    concat!("t.connector = v.connector AND t.name = ", key!("v.name", "400")),
    set concat!("value = ", bytes!("v.value")),
    insert "connector, name, value" concat!("v.connector, ", text!("v.name"), ", ", bytes!("v.value"))
);
pub(super) const STATE_DELETE: &str = delete!(
    "service_state",
    given!("connector int '$[1]'", "name bigint '$[2]'"),
    concat!("t.connector = v.connector AND t.name = ", key!("v.name", "400"))
);

// --- kept counts ---

pub(super) const CS_COUNT_ADD: &str = add!(
    "cs_count",
    "connector, object_type, joined, flags, [count]",
    "@P1, @P2, CAST(@P3 AS bit), @P4, @P5",
    "connector = @P1 AND object_type = @P2 AND joined = @P3 AND flags = @P4",
    "@P5"
);
pub(super) const CS_COUNT_CLEAN: &str = "DELETE FROM cs_count WHERE [count] = 0";
pub(super) const MV_COUNT_ADD: &str = add!(
    "mv_count",
    "object_type, leaving, [count]",
    "@P1, CAST(@P2 AS bit), @P3",
    "object_type = @P1 AND leaving = @P2",
    "@P3"
);
pub(super) const MV_COUNT_CLEAN: &str = "DELETE FROM mv_count WHERE [count] = 0";
pub(super) const EXPORT_COUNT_ADD: &str = add!(
    "export_count",
    "connector, object_type, operation, kinds, state, held, [count], hashes",
    "@P1, @P2, @P3, @P4, @P5, CAST(@P6 AS bit), @P7, CAST(@P8 AS binary(16))",
    "connector = @P1 AND object_type = @P2 AND operation = @P3 AND kinds = @P4 AND state = @P5 AND held = @P6",
    "@P7",
    ", hashes = CAST(@P8 AS binary(16))"
);
pub(super) const EXPORT_COUNT_CLEAN: &str = "DELETE FROM export_count WHERE [count] = 0";
pub(super) const EXPORT_LINK_COUNT_ADD: &str = add!(
    "export_link_count",
    "connector, attribute, adds, state, held, [count], hashes",
    "@P1, @P2, CAST(@P3 AS bit), @P4, CAST(@P5 AS bit), @P6, CAST(@P7 AS binary(16))",
    "connector = @P1 AND attribute = @P2 AND adds = @P3 AND state = @P4 AND held = @P5",
    "@P6",
    ", hashes = CAST(@P7 AS binary(16))"
);
pub(super) const EXPORT_LINK_COUNT_CLEAN: &str = "DELETE FROM export_link_count WHERE [count] = 0";
pub(super) const ERROR_COUNT_ADD: &str = add!(
    "error_count",
    "connector, object_type, place, code, cause, alarm, [count]",
    "@P1, @P2, @P3, @P4, @P5, CAST(@P6 AS bit), @P7",
    "connector = @P1 AND object_type = @P2 AND place = @P3 AND code = @P4 AND cause = @P5 AND alarm = @P6",
    "@P7"
);
pub(super) const ERROR_COUNT_CLEAN: &str = "DELETE FROM error_count WHERE [count] = 0";

// --- what the service keeps ---

pub(super) const RUN_PUT: &str = put_one!(
    "run",
    "id = @P1",
    set "connector = @P2, step = @P3, started = @P4, ended = @P5, result = CAST(@P6 AS nvarchar(max)), counters = @P7",
    insert "id, connector, step, started, ended, result, counters"
    "@P1, @P2, @P3, @P4, @P5, CAST(@P6 AS nvarchar(max)), @P7"
);
pub(super) const NAME_PUT: &str = "INSERT INTO attribute_name (id, name) VALUES (@P1, @P2)";
pub(super) const CONNECTOR_PUT: &str = put_one!(
    "connector",
    "id = @P1",
    set "name = @P2, kind = @P3, removed = CAST(@P4 AS bit)",
    insert "id, name, kind, removed" "@P1, @P2, @P3, CAST(@P4 AS bit)"
);
pub(super) const RULE_PUT: &str =
    "INSERT INTO sync_rule (id, connector, name, hash) VALUES (@P1, @P2, @P3, CAST(@P4 AS binary(16)))";
pub(super) const CONFIG_PUT: &str = "INSERT INTO config_version (version, created, who, hash) VALUES (@P1, @P2, @P3, CAST(@P4 AS binary(16)))";
pub(super) const CONFIG_FILE_PUT: &str =
    "INSERT INTO config_file (version, path, content) VALUES (@P1, @P2, @P3)";
pub(super) const SECRET_PUT: &str = put_one!(
    "secret",
    "name = @P1",
    set "sealed_current = @P2, sealed_previous = CAST(@P3 AS varbinary(max)), changed = @P4",
    insert "name, sealed_current, sealed_previous, changed" "@P1, @P2, CAST(@P3 AS varbinary(max)), @P4"
);
pub(super) const SECRET_RESEAL: &str = "UPDATE secret SET sealed_current = @P2,
    sealed_previous = CAST(@P3 AS varbinary(max)) WHERE name = @P1 AND sealed_current = @P4";
pub(super) const SECRET_DELETE: &str = "DELETE FROM secret WHERE name = @P1";
pub(super) const SETTING_PUT: &str =
    put_one!("setting", "name = @P1", set "value = @P2", insert "name, value" "@P1, @P2");
pub(super) const EVENT_LAST: &str = "SELECT COALESCE(MAX(seq), 0) FROM event";
pub(super) const EVENT_PUT: &str = "INSERT INTO event (seq, [time], kind, subject, [text], chain)
  VALUES (@P1, @P2, @P3, @P4, @P5, @P6)";
pub(super) const EXPORTED_ADD: &str = add!(
    "exported",
    "connector, object_type, kind, hour, [count]",
    "@P1, @P2, @P3, @P4, @P5",
    "connector = @P1 AND object_type = @P2 AND kind = @P3 AND hour = @P4",
    "@P5"
);
pub(super) const HELD_PLAN_PUT: &str = put_one!(
    "held_plan",
    "hash = CAST(@P1 AS binary(16))",
    set "connector = @P2, object_type = @P3, reason = @P4, items = @P5, state = @P6, created = @P7,
  who = CAST(@P8 AS nvarchar(max)), decided = @P9",
    insert "hash, connector, object_type, reason, items, state, created, who, decided"
    "CAST(@P1 AS binary(16)), @P2, @P3, @P4, @P5, @P6, @P7, CAST(@P8 AS nvarchar(max)), @P9"
);

// --- retention; the oldest rows have the smallest numbers, so that the search ends at once. Each gives the number of rows.

pub(super) const HISTORY_TRIM: &str = "DELETE FROM history WHERE seq IN (SELECT old.seq
  FROM (SELECT TOP (@P2) h.seq, h.[time] FROM history AS h ORDER BY h.seq) AS old WHERE old.[time] < @P1);
SELECT CAST(@@ROWCOUNT AS bigint)";
pub(super) const RUN_TRIM: &str = "DELETE FROM run WHERE id IN
  (SELECT TOP (@P2) r.id FROM run AS r WHERE r.ended < @P1 ORDER BY r.id);
SELECT CAST(@@ROWCOUNT AS bigint)";
pub(super) const EVENT_OLD: &str = "SELECT TOP (1) old.seq, old.chain,
  (SELECT COUNT_BIG(*) FROM event AS c WHERE c.seq <= old.seq) AS rows_old
  FROM (SELECT TOP (@P2) e.seq, e.[time], e.chain FROM event AS e ORDER BY e.seq) AS old
  WHERE old.[time] < @P1 AND NOT EXISTS (SELECT 1 FROM event AS y WHERE y.seq < old.seq AND y.[time] >= @P1)
  ORDER BY old.seq DESC";
pub(super) const EVENT_DELETE: &str = "DELETE FROM event WHERE seq <= @P1";
pub(super) const EXPORTED_TRIM: &str =
    "DELETE t FROM (SELECT TOP (@P2) e.connector, e.object_type, e.kind, e.hour
  FROM exported AS e WHERE e.hour < @P1 ORDER BY e.connector, e.object_type, e.kind, e.hour) AS v
  JOIN exported AS t ON t.connector = v.connector AND t.object_type = v.object_type AND t.kind = v.kind
  AND t.hour = v.hour;
SELECT CAST(@@ROWCOUNT AS bigint)";
