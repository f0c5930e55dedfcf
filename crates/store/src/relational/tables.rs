//! The tables that hold an installation, and their columns: the same in every SQL store, so that one can be copied into
//! another row by row.

/// A table and its columns, those of its key first.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static str,
}

macro_rules! tables {
    ($($name:literal: $columns:literal,)*) => {
        /// All tables but those of migrations and of the marks of writers.
        pub(crate) const TABLES: &[Table] = &[$(Table { name: $name, columns: $columns },)*];
    };
}

tables! {
    "installation": "one, id, epoch, staging, created",
    "counter": "one, next_cs, next_mv, next_container",
    "cs_object": "id, connector, object_type, flags, container, anchor_key, name_key, anchor, name, reason, leaving, links, image",
    "cs_joined": "id, mv, rule, run, owned",
    "cs_join": "join_key, id",
    "cs_link": "owner, attribute, link_key",
    "container": "id, connector, parent, rdn, normalised, anchor, hidden",
    "mv_object": "id, guid, object_type, leaving_since, leaving_deleted, causes, picks, image",
    "mv_join": "join_key, id",
    "mv_link": "owner, attribute, target",
    "export_object": "cs, connector, object_type, operation, state, kinds, held, not_before, attempts, sent, hash, create_key, error, changes",
    "export_link": "owner, attribute, target, connector, adds, state, held, not_before, attempts, error",
    "agenda": "pass, connector, a, b, c, not_before",
    "object_error": "cs, place, connector, code, message, first_seen, run, alarm, object_type, cause",
    "history": "seq, mv, run, time, event, changes",
    "service_state": "connector, name, value",
    "cs_count": "connector, object_type, joined, flags, count",
    "mv_count": "object_type, leaving, count",
    "export_count": "connector, object_type, operation, kinds, state, held, count, hashes",
    "export_link_count": "connector, attribute, adds, state, held, count, hashes",
    "error_count": "connector, object_type, place, code, cause, alarm, count",
    "run": "id, connector, step, started, ended, result, counters",
    "attribute_name": "id, name",
    "connector": "id, name, kind, removed",
    "sync_rule": "id, connector, name, hash",
    "config_version": "version, created, who, hash",
    "config_file": "version, path, content",
    "secret": "name, sealed_current, sealed_previous, changed",
    "setting": "name, value",
    "event": "seq, time, kind, subject, text",
    "exported": "connector, object_type, kind, hour, count",
    "held_plan": "hash, connector, object_type, reason, items, state, created, who, decided",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_table_of_the_schema_is_forgotten() {
        let schema = include_str!("../../schema/postgres/0001_initial.sql");
        for table in schema.split("CREATE TABLE ").skip(1) {
            let (name, rest) = table.split_once(" (\n").unwrap();
            if name == "write_mark" {
                continue;
            }
            let columns = rest.split_once("\n)").unwrap().0.lines().map(|line| line.trim_start());
            let columns = columns.filter(|line| !line.starts_with("PRIMARY KEY"));
            let mut there: Vec<&str> = columns.map(|line| line.split(' ').next().unwrap()).collect();
            let known = TABLES.iter().find(|known| known.name == name);
            let mut known: Vec<&str> = known.map_or(Vec::new(), |known| known.columns.split(", ").collect());
            there.sort_unstable();
            known.sort_unstable();
            assert_eq!(there, known, "{name}");
        }
    }
}
