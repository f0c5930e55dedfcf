//! The tables that hold an installation, and their columns: the same in every SQL store, so that one can be copied into
//! another row by row.

/// A table and its columns, those of its key first.
#[derive(Clone, Copy, Debug)]
pub struct Table<'t> {
    pub(crate) name: &'t str,
    pub(crate) columns: &'t str,
    /// How many columns are its key.
    pub(crate) keys: usize,
}

impl<'t> Table<'t> {
    /// The names of its columns.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &'t str> + use<'t> {
        self.columns.split(", ")
    }

    /// The table of this program that has its name, for errors.
    pub(crate) fn known_name(&self) -> &'static str {
        TABLES.iter().find(|table| table.name == self.name).map_or("of another version", |table| table.name)
    }

    /// Those of its key, as a list.
    pub(crate) fn key(&self) -> String {
        self.columns().take(self.keys).collect::<Vec<_>>().join(", ")
    }

    /// Whether its rows hold images, files or lists.
    pub(crate) fn is_wide(&self) -> bool {
        let columns = ["image", "changes", "content", "items", "value", "counters", "text"];
        self.columns().any(|column| columns.contains(&column))
    }
}

macro_rules! tables {
    ($($name:literal $keys:literal: $columns:literal,)*) => {
        /// All tables but those of migrations and of the marks of writers.
        pub(crate) const TABLES: &[Table<'static>] =
            &[$(Table { name: $name, columns: $columns, keys: $keys },)*];
    };
}

tables! {
    "installation" 1: "one, id, epoch, staging, created",
    "counter" 1: "one, next_cs, next_mv, next_container",
    "cs_object" 1: "id, connector, object_type, flags, container, anchor_key, name_key, anchor, name, reason, leaving, links, image",
    "cs_joined" 1: "id, mv, rule, run, owned",
    "cs_join" 2: "join_key, id",
    "cs_link" 3: "owner, attribute, link_key",
    "container" 1: "id, connector, parent, rdn, normalised, anchor, hidden",
    "mv_object" 1: "id, guid, object_type, leaving_since, leaving_deleted, causes, picks, image, display_name, principal_name",
    "mv_join" 2: "join_key, id",
    "mv_link" 3: "owner, attribute, target",
    "export_object" 1: "cs, connector, object_type, operation, state, kinds, held, not_before, attempts, sent, hash, create_key, error, changes",
    "export_link" 3: "owner, attribute, target, connector, adds, state, held, not_before, attempts, error",
    "agenda" 5: "pass, connector, a, b, c, not_before",
    "object_error" 2: "cs, place, connector, code, message, first_seen, run, alarm, object_type, cause",
    "history" 1: "seq, mv, run, time, event, changes",
    "service_state" 2: "connector, name, value",
    "cs_count" 4: "connector, object_type, joined, flags, count",
    "mv_count" 2: "object_type, leaving, count",
    "export_count" 6: "connector, object_type, operation, kinds, state, held, count, hashes",
    "export_link_count" 5: "connector, attribute, adds, state, held, count, hashes",
    "error_count" 6: "connector, object_type, place, code, cause, alarm, count",
    "run" 1: "id, connector, step, started, ended, result, counters",
    "attribute_name" 1: "id, name",
    "connector" 1: "id, name, kind, removed",
    "sync_rule" 1: "id, connector, name, hash",
    "config_version" 1: "version, created, who, hash",
    "config_file" 2: "version, path, content",
    "secret" 1: "name, sealed_current, sealed_previous, changed",
    "setting" 1: "name, value",
    "event" 1: "seq, time, kind, subject, text, chain",
    "exported" 4: "connector, object_type, kind, hour, count",
    "held_plan" 1: "hash, connector, object_type, reason, items, state, created, who, decided",
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables and columns that a later migration brings.
    fn added(name: &str) -> impl Iterator<Item = &'static str> {
        let later = [
            include_str!("../../schema/postgres/0002_views.sql"),
            include_str!("../../schema/postgres/0004_event_chain.sql"),
        ];
        let begin = format!("ALTER TABLE {name} ADD COLUMN ");
        let lines = later.into_iter().flat_map(str::lines);
        lines.filter_map(move |line| line.strip_prefix(&begin)?.split(' ').next())
    }

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
            there.extend(added(name));
            let known = TABLES.iter().find(|known| known.name == name);
            let mut known: Vec<&str> = known.map_or(Vec::new(), |known| known.columns.split(", ").collect());
            there.sort_unstable();
            known.sort_unstable();
            assert_eq!(there, known, "{name}");
        }
    }

    /// What is read in pages by key must have that key.
    #[test]
    fn the_keys_are_those_of_the_schema() {
        let schema = include_str!("../../schema/postgres/0001_initial.sql");
        for table in TABLES {
            let body = schema.split_once(&format!("CREATE TABLE {} (\n", table.name)).unwrap().1;
            let body = body.split_once("\n)").unwrap().0;
            let listed = body.lines().find_map(|line| line.trim().strip_prefix("PRIMARY KEY ("));
            let key = listed.map(|list| list.trim_end_matches(')').to_owned()).unwrap_or_else(|| {
                let line = body.lines().find(|line| line.contains(" PRIMARY KEY")).unwrap();
                line.trim_start().split(' ').next().unwrap().to_owned()
            });
            assert_eq!(key, table.key(), "{}", table.name);
        }
    }
}
