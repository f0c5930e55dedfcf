//! Whole tables out of one state of a database, and into an empty one of whatever kind: what a backup is made of.
//!
//! A table goes with its name and its columns, so that a later program can make the schema of that time, fill it, and
//! bring it up to date. Deliberately absent: files, compression, manifests (the service).

use std::collections::BTreeMap;

use onesync_model::{Hash128, hash128};

use crate::bulk::{Bulk, Rows, Values};
use crate::error::StoreError;
use crate::relational::tables::{TABLES, Table};
use crate::relational::{Checked, Value};
use crate::transfer::{OF_DATABASE, travels, with_pages};

/// Bytes of rows that go at once, unless one row has more.
const PIECE: usize = 4 << 20;
/// Columns of a table: more is no table of ours.
const COLUMNS_MAX: usize = 200;

/// A table as it was when it was written out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableForm {
    /// Its name.
    pub name: String,
    /// Its columns, those of its key first.
    pub columns: Vec<String>,
    /// How many of them are its key.
    pub keys: usize,
}

/// How much a table holds: equal in every store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Content {
    /// Its rows.
    pub rows: u64,
    /// The sum of the hashes of its rows.
    pub hash: Hash128,
}

/// What the rows of a database say about the whole.
#[derive(Clone, Debug, Default)]
pub struct Gist {
    /// The installation.
    pub installation: String,
    /// Its epoch.
    pub epoch: u64,
    /// The settings that go with it.
    pub settings: BTreeMap<String, String>,
    /// Values that a key of the key set seals.
    pub sealed: Vec<Vec<u8>>,
}

impl TableForm {
    /// The tables of this program.
    #[must_use]
    pub fn all() -> Vec<Self> {
        TABLES.iter().map(Self::of).collect()
    }

    fn of(table: &Table<'_>) -> Self {
        let columns = table.columns().map(str::to_owned).collect();
        Self { name: table.name.to_owned(), columns, keys: table.keys }
    }

    /// Whether its names can be names of a table and its columns: they come out of a file, and go into statements.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let plain = |name: &String| {
            name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        let some = (1..=self.columns.len()).contains(&self.keys) && self.columns.len() <= COLUMNS_MAX;
        some && plain(&self.name) && self.columns.iter().all(plain)
    }

    fn as_table<T>(&self, work: impl FnOnce(&Table<'_>) -> T) -> T {
        let columns = self.columns.join(", ");
        work(&Table { name: &self.name, columns: &columns, keys: self.keys })
    }

    /// Reads all rows but those that are about one database only, in pieces, ascending by key.
    ///
    /// # Errors
    /// When the database fails, or `take` does.
    pub fn read<E: From<StoreError>>(
        &self,
        from: &mut dyn Bulk,
        take: &mut dyn FnMut(&Rows) -> Result<(), E>,
    ) -> Result<Content, E> {
        self.as_table(|table| {
            let mut content = Content::default();
            with_pages(from, table, |pages| {
                for rows in pages {
                    let mut kept = Rows::default();
                    rows?.iter().filter(|row| travels(table, row)).for_each(|row| kept.push_packed(row));
                    for piece in kept.pieces(PIECE) {
                        content.take(&piece);
                        take(&piece)?;
                    }
                }
                Ok(content)
            })
        })
    }

    /// Rows of it, as they were packed.
    #[must_use]
    pub fn unpack(&self, packed: &[u8], rows: u64) -> Option<Rows> {
        self.as_table(|table| Rows::unpack(table, packed, rows))
    }

    /// Writes rows whose keys are not there.
    ///
    /// # Errors
    /// When the database fails, or has no room.
    pub fn add(&self, to: &mut dyn Bulk, rows: &Rows) -> Result<(), StoreError> {
        self.as_table(|table| to.add(table, rows))
    }

    /// Deletes all rows but those that are about one database only.
    ///
    /// # Errors
    /// When the database fails.
    pub fn empty(&self, of: &mut dyn Bulk) -> Result<(), StoreError> {
        const PAGE: usize = 1_000;
        self.as_table(|table| {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = of.read(table, after.as_deref(), PAGE)?;
                let mut gone = Rows::default();
                page.iter().filter(|row| travels(table, row)).for_each(|row| gone.push_packed(row));
                if !gone.is_empty() {
                    of.remove(table, &gone)?;
                }
                after = page.len().checked_sub(1).and_then(|last| page.get(last)).map(<[u8]>::to_vec);
                if page.len() < PAGE {
                    return Ok(());
                }
            }
        })
    }

    /// The value of a column in a packed row.
    fn value<'r>(&self, row: &'r [u8], column: &str) -> Option<Value<'r>> {
        Values(row).nth(self.columns.iter().position(|name| name == column)?)
    }
}

impl Content {
    /// Counts rows.
    pub fn take(&mut self, rows: &Rows) {
        self.rows += rows.len() as u64;
        self.hash = rows.iter().fold(self.hash, |sum, row| sum.plus(hash128(&[row])));
    }
}

impl Gist {
    /// Notes what rows of a table say.
    pub fn note(&mut self, table: &TableForm, rows: &Rows) {
        let text = |row, column| match table.value(row, column) {
            Some(Value::Text(text)) => text.into_owned(),
            _ => String::new(),
        };
        for row in rows.iter() {
            match table.name.as_str() {
                "installation" => {
                    self.installation = text(row, "id");
                    if let Some(Value::Integer(epoch)) = table.value(row, "epoch") {
                        self.epoch = epoch.unsigned_abs();
                    }
                }
                "setting" => {
                    self.settings.insert(text(row, "name"), text(row, "value"));
                }
                "secret" => {
                    let sealed = ["sealed_current", "sealed_previous"].into_iter();
                    self.sealed.extend(sealed.filter_map(|column| match table.value(row, column)? {
                        Value::Blob(bytes) => Some(bytes.to_vec()),
                        _ => None,
                    }));
                }
                _ => {}
            }
        }
    }
}

/// The value of a setting that is about one database, of whatever version that is.
///
/// # Errors
/// When the database fails.
pub fn database_setting(of: &mut dyn Bulk, name: &str) -> Result<Option<String>, StoreError> {
    debug_assert!(name.starts_with(OF_DATABASE));
    let Some(table) = TABLES.iter().find(|table| table.name == "setting") else { return Ok(None) };
    let mut found = None;
    let text = |value: Option<Value<'_>>| match value {
        Some(Value::Text(text)) => Some(text.into_owned()),
        _ => None,
    };
    let look = |rows: Rows| -> Checked<()> {
        for row in rows.iter() {
            let mut values = Values(row);
            if text(values.next()).as_deref() == Some(name) {
                found = text(values.next());
            }
        }
        Ok(())
    };
    // There are few, and they stand in one page.
    of.read(table, None, usize::from(u16::MAX)).and_then(look)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_out_of_a_file_are_names() {
        for table in TableForm::all() {
            assert!(table.is_sound(), "{table:?}");
        }
        let form = |name: &str, columns: &[&str], keys| TableForm {
            name: name.to_owned(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            keys,
        };
        assert!(form("a_1", &["b", "c2"], 2).is_sound());
        for wrong in [
            form("a", &["b"], 0),
            form("a", &["b"], 2),
            form("a", &[], 0),
            form("", &["b"], 1),
            form("a; DROP TABLE b", &["b"], 1),
            form("a", &["b FROM x --"], 1),
            form("a", &["1"], 1),
            form("a", &vec!["b"; COLUMNS_MAX + 1], 1),
        ] {
            assert!(!wrong.is_sound(), "{wrong:?}");
        }
    }
}
