//! All rows as text, one a line: how tests compare stores and states.
//!
//! One writer for all stores, so that equal rows are equal lines whatever the store. Not a format to keep or to read
//! back.

use std::fmt::{Debug, Write as _};

use onesync_engine::{AttributeChange, Cause, CsRow, ErrorRow, ExportRow, Join, LinkPick, MvRow, ReadError};
use onesync_model::{Hash128, Image, RuleId, RunId, Time};

use crate::store::StoreReader;

/// All rows: a dump is for tests, whose states are small.
const LIMIT: usize = u32::MAX as usize;

/// Writes lines.
pub(crate) struct Dump {
    /// Whether causes, runs, watermarks and the past are written too.
    pub(crate) annotations: bool,
    out: String,
}

impl Dump {
    pub(crate) fn new(annotations: bool) -> Self {
        Self { annotations, out: String::new() }
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }

    pub(crate) fn row(&mut self, table: &str, row: &dyn Debug) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "{table} {row:?}");
    }

    /// Rows that are annotations as a whole.
    pub(crate) fn note(&mut self, table: &str, row: &dyn Debug) {
        if self.annotations {
            self.row(table, row);
        }
    }

    pub(crate) fn cs(&mut self, row: &CsRow, name_key: Option<Hash128>) {
        let join = row.join.map(|join| match self.annotations {
            true => join,
            false => Join { rule: RuleId(0), run: RunId(0), ..join },
        });
        let shown = CsRow { image: Image::empty(), join, ..row.clone() };
        self.row("cs", &(shown, row.image.to_bag(), name_key));
    }

    pub(crate) fn mv(&mut self, row: &MvRow) {
        let mut shown = MvRow { values: Image::empty(), ..row.clone() };
        if !self.annotations {
            shown.causes =
                shown.causes.into_iter().map(|c| Cause { rule: RuleId(0), run: RunId(0), ..c }).collect();
            shown.picks = shown.picks.into_iter().map(|p| LinkPick { rule: RuleId(0), ..p }).collect();
        }
        self.row("mv", &(shown, row.values.to_bag()));
    }

    pub(crate) fn export(&mut self, row: &ExportRow) {
        if self.annotations {
            return self.row("export", row);
        }
        let changes = row.changes.iter().map(|c| AttributeChange { rule: RuleId(0), ..c.clone() }).collect();
        self.row("export", &ExportRow { changes, ..row.clone() });
    }

    pub(crate) fn error(&mut self, row: &ErrorRow) {
        if self.annotations {
            return self.row("error", row);
        }
        self.row("error", &ErrorRow { first_seen: Time::default(), run: RunId(0), ..row.clone() });
    }

    /// The counts that the store keeps, and the rows of the service: through the reader, whatever the store.
    pub(crate) fn through(&mut self, reader: &dyn StoreReader) -> Result<(), ReadError> {
        reader.cs_counts()?.iter().for_each(|row| self.row("count", row));
        reader.mv_counts()?.iter().for_each(|row| self.row("count", row));
        reader.export_counts()?.iter().for_each(|row| self.row("count", row));
        reader.export_link_counts()?.iter().for_each(|row| self.row("count", row));
        reader.error_counts()?.iter().for_each(|row| self.row("count", row));
        if !self.annotations {
            return Ok(());
        }
        self.row("counters", &reader.counters()?);
        self.row("installation", &reader.installation()?);
        reader.settings()?.iter().for_each(|row| self.row("setting", row));
        reader.names()?.iter().for_each(|row| self.row("name", row));
        let connectors = reader.connectors()?;
        connectors.iter().for_each(|row| self.row("connector", row));
        reader.rules()?.iter().for_each(|row| self.row("rule", row));
        for version in reader.config_versions()? {
            self.row("config", &(&version, reader.config_files(version.version)?));
        }
        reader.secrets()?.iter().for_each(|row| self.row("secret", row));
        reader.runs(None, None, LIMIT)?.iter().for_each(|row| self.row("run", row));
        reader.events(None, LIMIT)?.iter().for_each(|row| self.row("event", row));
        for connector in connectors {
            reader.exported_since(connector.id, i64::MIN)?.iter().for_each(|row| self.row("exported", row));
        }
        reader.held_plans(None)?.iter().for_each(|row| self.row("held", row));
        Ok(())
    }
}
