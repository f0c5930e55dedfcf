//! What a directory showed and nobody could read: records, lines, single values.
//!
//! They belong to no object that is known, so they stand as errors of the connector itself, by the place where they
//! were met. An import that reads everything again says which of them still stand; the others are healed.

use std::collections::BTreeMap;

use onesync_connectors::ConnectorError;
use onesync_engine::{Context, ErrorRow};
use onesync_model::{ConnectorId, CsId, Entry, TypeId};
use onesync_store::StoreReader;

use crate::error::ServiceError;

/// Entries that could not be taken and are named in the run's report.
pub(crate) const LEFT_OUT_NAMED: usize = 20;
/// Rows that are kept of one connector: more are only counted in the run's report.
const ROWS_MAX: usize = 1_000;
/// How the place of such an error begins.
const PLACE: &str = "source:";

/// The row under which errors of a connector itself stand: no object has a negative number.
fn row_of(connector: ConnectorId) -> CsId {
    CsId(-i64::from(connector.0) - 1)
}

/// Where in the source it was, of an error that belongs to no object.
pub(crate) fn source_place(place: &str) -> Option<&str> {
    place.strip_prefix(PLACE)
}

/// What one import could not take: all of it is counted, the first are named to people, and most become rows.
pub(crate) struct LeftOut {
    connector: ConnectorId,
    /// What stood before this import.
    before: BTreeMap<String, ErrorRow>,
    /// What stands since this import.
    seen: BTreeMap<String, ErrorRow>,
    /// Rows of `seen` that are not written yet.
    fresh: Vec<ErrorRow>,
    named: Vec<String>,
    count: usize,
}

impl LeftOut {
    pub(crate) fn new(reader: &dyn StoreReader, connector: ConnectorId) -> Result<Self, ServiceError> {
        let rows = reader.errors_of(&[row_of(connector)])?;
        let before = rows.into_iter().map(|row| (row.place.clone(), row)).collect();
        Ok(Self { connector, before, seen: BTreeMap::new(), fresh: Vec::new(), named: Vec::new(), count: 0 })
    }

    /// Notes what could not be read.
    pub(crate) fn note(&mut self, ctx: &Context<'_>, errors: &[ConnectorError]) {
        for error in errors {
            tracing::debug!(
                connector = self.connector.0,
                code = error.code,
                "an entry could not be read: {error}"
            );
            let hint = error.hint.as_deref().map_or_else(String::new, |hint| format!("; {hint}"));
            self.name(format!("left out: {error}{hint}"));
            if self.seen.len() >= ROWS_MAX {
                continue;
            }
            let place = format!("{PLACE}{}", error.place);
            let row = ErrorRow {
                cs: row_of(self.connector),
                connector: self.connector,
                object_type: TypeId(0),
                first_seen: self.before.get(&place).map_or(ctx.now, |before| before.first_seen),
                place: place.clone(),
                code: error.code.clone(),
                cause: 0,
                message: format!("{}{hint}", error.message),
                run: ctx.run,
                alarm: true,
            };
            self.fresh.push(row.clone());
            self.seen.insert(place, row);
        }
    }

    /// Names something to people that is no error of the source.
    pub(crate) fn name(&mut self, text: String) {
        self.count += 1;
        if self.named.len() < LEFT_OUT_NAMED {
            self.named.push(text);
        }
    }

    /// Rows to write with the page.
    pub(crate) fn rows(&mut self) -> Vec<ErrorRow> {
        std::mem::take(&mut self.fresh)
    }

    /// What entries of a page, which were read, heal: they could not be read before.
    pub(crate) fn read(&self, entries: &[Entry]) -> Vec<(CsId, String)> {
        if self.before.is_empty() {
            return Vec::new();
        }
        let places = entries.iter().filter_map(|entry| Some(format!("{PLACE}{}", entry.dn.as_deref()?)));
        let read = places.filter(|place| self.before.contains_key(place) && !self.seen.contains_key(place));
        read.map(|place| (row_of(self.connector), place)).collect()
    }

    /// What does not stand any more, after everything was read from its beginning.
    pub(crate) fn healed(&self) -> Vec<(CsId, String)> {
        let gone = self.before.keys().filter(|place| !self.seen.contains_key(*place));
        gone.map(|place| (row_of(self.connector), place.clone())).collect()
    }

    pub(crate) fn into_remarks(mut self) -> Vec<String> {
        let more = self.count - self.named.len();
        if more > 0 {
            self.named.push(format!("and {more} more that were left out"));
        }
        self.named
    }
}
