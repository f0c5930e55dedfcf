//! The database's own upkeep: what is old goes, free space is given back, and how it grows is noted once a day.
//!
//! All of it in small transactions beside a cycle. What is known of one database (samples, last time) stands in a setting of
//! its own and stays in it when the installation moves.

use std::time::{Duration, Instant};

use onesync_engine::Changes;
use onesync_model::{MvId, Time};
use onesync_store::{Answer, MoveMark, Retention, ServiceChanges, TableSize};
use serde::{Deserialize, Serialize};

use crate::database::{EMBEDDED, open_with, place};
use crate::error::ServiceError;
use crate::runtime::Service;
use crate::space::Space;

/// The setting.
const UPKEEP: &str = "database-upkeep";
/// The setting that says that all metaverse objects have their names beside their image.
const NAMED: &str = "names-in-views";
/// Between two times of maintenance.
const EVERY: i64 = 86_400;
/// Samples that are kept: growth is told over the last of them.
const SAMPLES: usize = 30;
/// Rows deleted by one transaction.
const ROWS: usize = 2_000;
/// Objects written again by one transaction.
const PAGE: usize = 500;
/// Between two transactions, so that whoever waits comes first.
const PAUSE: Duration = Duration::from_millis(20);
/// Hours for which exports are counted: the longest window of the protections, and a day.
const EXPORTED_HOURS: i64 = 8 * 24;

/// What is kept about one database.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Upkeep {
    /// Day since 1970, bytes.
    sizes: Vec<(i64, u64)>,
    last: Option<Maintained>,
}

/// What maintenance did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Maintained {
    /// When.
    pub when: String,
    /// Rows that were old.
    pub rows: u64,
    /// Bytes given back to the disk.
    pub freed: u64,
    /// What the database took before, and after.
    pub before: u64,
    /// See `before`.
    pub after: u64,
    /// How long it took.
    pub seconds: f64,
}

/// One table of the database.
#[derive(Clone, Debug, Serialize)]
pub struct TableLine {
    /// The table.
    pub table: String,
    /// The bytes of its rows.
    pub bytes: u64,
    /// The bytes of its indices.
    pub indices: u64,
}

impl From<TableSize> for TableLine {
    fn from(size: TableSize) -> Self {
        Self { table: size.table, bytes: size.bytes, indices: size.indices }
    }
}

/// The database in one look.
#[derive(Clone, Debug, Serialize)]
pub struct DatabaseStatus {
    /// `SQLite`, `PostgreSQL`, ...
    pub kind: String,
    /// The version of the library or server.
    pub version: String,
    /// Where it lies.
    pub place: String,
    /// A command that opens it for looking.
    pub open_with: String,
    /// What it takes, without its log.
    pub bytes: u64,
    /// Bytes of that in which nothing is any more.
    pub unused: Option<u64>,
    /// What its log takes.
    pub log: Option<u64>,
    /// Its tables, the largest first.
    pub tables: Vec<TableLine>,
    /// Bytes a day, by the samples of the last weeks.
    pub growth_per_day: Option<i64>,
    /// The room there is.
    pub room: Vec<Space>,
    /// Days until the first of these is full, at this pace.
    pub full_in_days: Option<u64>,
    /// The oldest change of an object that is kept.
    pub oldest_history: Option<String>,
    /// The oldest run that is kept.
    pub oldest_run: Option<String>,
    /// The last maintenance.
    pub maintained: Option<Maintained>,
    /// The last backup; `None`: never.
    pub backup: Option<String>,
    /// What a move left to know.
    pub moved: Option<String>,
    /// What is short.
    pub warnings: Vec<String>,
}

fn day(time: Time) -> i64 {
    time.ticks().div_euclid(10_000_000 * EVERY)
}

/// Bytes a day between the first and the last sample.
fn growth(sizes: &[(i64, u64)]) -> Option<i64> {
    let ((first, before), (last, after)) = (*sizes.first()?, *sizes.last()?);
    let days = (last - first > 0).then_some(last - first)?;
    Some((i64::try_from(after).ok()? - i64::try_from(before).ok()?) / days)
}

impl Service {
    /// Whether the database is the one in the home.
    pub(crate) fn is_embedded(&self) -> bool {
        self.named().is_none_or(|named| named.url == EMBEDDED)
    }

    fn upkeep(&self) -> Result<Upkeep, ServiceError> {
        let text = self.store().reader()?.setting(UPKEEP)?;
        // What another version wrote is no reason not to go on: it is as if nothing had been noted.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Whether a day has gone by since the last maintenance.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn maintenance_is_due(&self) -> Result<bool, ServiceError> {
        let last = self.upkeep()?.last.and_then(|last| last.when.parse::<Time>().ok());
        Ok(last.is_none_or(|last| self.now().ticks() - last.ticks() >= EVERY * 10_000_000))
    }

    /// Deletes what is older than the configuration keeps, gives free space back, and notes how large the database is.
    ///
    /// # Errors
    /// When the database fails, or the work is asked to stop.
    pub fn maintain(&self, told: &dyn Fn(&str)) -> Result<Maintained, ServiceError> {
        self.must_be_active()?;
        let began = Instant::now();
        crate::plan::forget_leftovers(self.home().folder());
        let store = self.store();
        let before = store.facts()?.bytes;
        self.name_objects(told)?;
        told("deleting what is old");
        let mut rows = self.trim(None)?;
        if let Some(most) = self.keep().history_max_size {
            let taken = store.history_bytes()?;
            if taken > most {
                let share = 1.0 - most as f64 / taken as f64;
                rows += self.trim(store.history_before(share)?)?;
            }
        }
        told("giving free space back");
        let mut freed = 0;
        loop {
            let tidied = store.tidy()?;
            freed += tidied.freed;
            if !tidied.more {
                break;
            }
            self.pause()?;
        }
        let after = store.facts()?.bytes;
        let now = self.now();
        let done = Maintained {
            when: now.to_string(),
            rows,
            freed,
            before,
            after,
            seconds: began.elapsed().as_secs_f64(),
        };
        let mut upkeep = self.upkeep()?;
        upkeep.sizes.retain(|(known, _)| *known != day(now));
        upkeep.sizes.push((day(now), after));
        let gone = upkeep.sizes.len().saturating_sub(SAMPLES);
        upkeep.sizes.drain(..gone);
        upkeep.last = Some(done.clone());
        let text =
            serde_json::to_string(&upkeep).map_err(|error| ServiceError::Internal(error.to_string()))?;
        self.record(&ServiceChanges {
            settings: vec![(UPKEEP.to_owned(), text)],
            ..ServiceChanges::default()
        })?;
        Ok(done)
    }

    /// Lets whoever waits for the database come first; an error when the work was asked to stop.
    fn pause(&self) -> Result<(), ServiceError> {
        std::thread::sleep(PAUSE);
        self.check_stop()
    }

    /// Deletes what is older than it is kept, or than `history`.
    fn trim(&self, history: Option<Time>) -> Result<u64, ServiceError> {
        let (keep, now) = (self.keep(), self.now());
        let before = |seconds: i64| Time::from_ticks(now.ticks() - seconds * 10_000_000);
        let retention = Retention {
            history_before: history.unwrap_or_default().max(before(keep.history)),
            runs_before: before(keep.runs),
            events_before: before(keep.events),
            exported_before: now.ticks() / (3_600 * 10_000_000) - EXPORTED_HOURS,
        };
        let mut rows = 0;
        loop {
            let gone = self.store().trim(self.epoch(), &retention, ROWS)?;
            rows += gone;
            if gone == 0 {
                return Ok(rows);
            }
            self.pause()?;
        }
    }

    /// Writes metaverse objects again that an older program wrote without their names beside the image; once.
    fn name_objects(&self, told: &dyn Fn(&str)) -> Result<(), ServiceError> {
        if self.store().reader()?.setting(NAMED)?.is_some() {
            return Ok(());
        }
        told("writing names for the views");
        let mut after = MvId(i64::MIN);
        loop {
            // Under the lock of the home: a cycle that has read an object must not find it written back as it was.
            let lock = match self.begin_work("db maintain") {
                // Another time.
                Err(ServiceError::Held { .. }) => return Ok(()),
                lock => lock?,
            };
            let page = self.store().reader()?.mv_page(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.id;
            self.store().apply(self.epoch(), &Changes { mv: page, ..Changes::default() })?;
            drop(lock);
            self.pause()?;
        }
        let settings = vec![(NAMED.to_owned(), "1".to_owned())];
        self.record(&ServiceChanges { settings, ..ServiceChanges::default() })
    }

    /// Asks a question in the database's SQL; see `docs/views.md`.
    ///
    /// # Errors
    /// When it would write, or cannot be answered.
    pub fn query(&self, sql: &str, limit: usize) -> Result<Answer, ServiceError> {
        Ok(self.store().query(sql, limit)?)
    }

    /// The database in one look.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn database_status(&self) -> Result<DatabaseStatus, ServiceError> {
        let (store, folder) = (self.store(), self.home().folder());
        let (facts, upkeep, room) = (store.facts()?, self.upkeep()?, self.spaces()?);
        let url = self.named().map_or(EMBEDDED, |named| &named.url);
        let place = place(folder, url);
        let open_with = open_with(folder, url);
        let mut sizes = upkeep.sizes.clone();
        sizes.retain(|(known, _)| *known != day(self.now()));
        sizes.push((day(self.now()), facts.bytes));
        let growth_per_day = growth(&sizes);
        let full_in_days = growth_per_day
            .and_then(|growth| u64::try_from(growth).ok())
            .and_then(|growth| room.iter().filter_map(|space| space.free().checked_div(growth)).min());
        let moved = match MoveMark::of(&**store)? {
            Some(MoveMark::Arrived { when, from }) => Some(format!("came from {from} at {when}")),
            Some(MoveMark::Leaving { to, .. }) if self.home().is_moving() => {
                Some(format!("is being moved to {to}"))
            }
            Some(MoveMark::Leaving { to, .. } | MoveMark::Stayed { to, .. }) => {
                Some(format!("a move to {to} was begun and did not come to its end: it can be begun again"))
            }
            _ => None,
        };
        Ok(DatabaseStatus {
            kind: facts.kind.to_owned(),
            version: facts.version,
            place,
            open_with,
            bytes: facts.bytes,
            unused: facts.unused,
            log: facts.log,
            tables: store.table_sizes()?.into_iter().map(TableLine::from).collect(),
            growth_per_day,
            room,
            full_in_days,
            oldest_history: facts.oldest_history.map(|time| time.to_string()),
            oldest_run: facts.oldest_run.map(|time| time.to_string()),
            maintained: upkeep.last,
            backup: self.backups()?.last.map(|last| last.when).max(crate::upgrade::last_backup(self.home())),
            moved,
            warnings: self.room_warnings()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::growth;

    #[test]
    fn growth_needs_two_days() {
        assert_eq!(growth(&[]), None);
        assert_eq!(growth(&[(5, 100)]), None);
        assert_eq!(growth(&[(5, 1_000), (6, 900), (10, 2_000)]), Some(200));
        assert_eq!(growth(&[(5, 1_000), (10, 500)]), Some(-100));
    }
}
