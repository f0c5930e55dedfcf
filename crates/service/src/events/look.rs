//! Events for people and programs: listed, followed, and walked through. It needs the database alone.

use std::sync::Arc;

use onesync_model::Time;
use onesync_store::{ChainBreak, Store, StoredEvent, verify_chain};
use serde::Serialize;

use super::Details;
use super::catalogue::{Event, Level};
use crate::error::ServiceError;
use crate::home::Home;

/// Rows read at once.
const PAGE: usize = 500;

/// Which events are wanted; `None` takes all.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// From this time on.
    pub since: Option<Time>,
    /// Of this number.
    pub number: Option<u16>,
    /// As grave as this, or graver.
    pub level: Option<Level>,
}

impl Wanted {
    fn takes(&self, row: &StoredEvent) -> bool {
        let kind = Event::by_word(&row.event.kind);
        self.since.is_none_or(|since| row.event.time >= since)
            && self.number.is_none_or(|number| kind.is_some_and(|kind| kind.number == number))
            && self.level.is_none_or(|level| kind.map_or(Level::Info, |kind| kind.level) <= level)
    }
}

/// One event for people and programs.
#[derive(Clone, Debug, Serialize)]
pub struct EventView {
    /// Its number in this database.
    pub seq: i64,
    /// When.
    pub time: String,
    /// The number of its kind; `None` of a kind that this program does not know.
    pub number: Option<u16>,
    /// Its kind as a word.
    pub word: String,
    /// How grave it is.
    pub level: Level,
    /// Whom or what it is about.
    pub subject: String,
    /// What happened.
    pub message: String,
    /// More words.
    pub details: String,
    /// The account.
    pub who: String,
    /// The number of the account that ran the program.
    pub uid: Option<u32>,
    /// The number of the account that signed in.
    pub login: Option<u32>,
    /// The machine.
    pub host: Option<String>,
    /// The terminal.
    pub terminal: Option<String>,
    /// The address of the ssh client.
    pub ssh: Option<String>,
    /// The hash of it and of all before it.
    pub chain: Option<String>,
}

impl From<&StoredEvent> for EventView {
    fn from(row: &StoredEvent) -> Self {
        let (kind, details) = (Event::by_word(&row.event.kind), Details::read(&row.event.text));
        let subject = row.event.subject.clone();
        Self {
            seq: row.seq,
            time: row.event.time.to_string(),
            number: kind.map(|kind| kind.number),
            word: row.event.kind.clone(),
            level: kind.map_or(Level::Info, |kind| kind.level),
            message: kind
                .map_or_else(|| format!("{} {subject}", row.event.kind), |kind| kind.about(&subject)),
            subject,
            details: details.text,
            who: details.origin.who,
            uid: details.origin.uid,
            login: details.origin.login,
            host: details.origin.host,
            terminal: details.origin.terminal,
            ssh: details.origin.ssh,
            chain: row.chain.map(|chain| chain.to_string()),
        }
    }
}

/// What walking the chain found.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// Events that are as they were written.
    pub events: u64,
    /// Events of a program without a chain.
    pub without_chain: u64,
    /// The number of the newest one.
    pub newest: Option<i64>,
    /// Its hash.
    pub chain: Option<String>,
    /// The first that is not as it was written.
    pub broken: Option<Broken>,
}

/// An event that is not as it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Broken {
    /// Its number.
    pub event: i64,
    /// Whether it is not there any more; else it was changed, or put there by somebody else.
    pub removed: bool,
}

/// The events of an installation.
pub struct Events {
    store: Arc<dyn Store>,
}

impl Events {
    /// Opens the database of a home, whether it has a key set or not, and whether it is active or not.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn open(home: &Home) -> Result<Self, ServiceError> {
        Ok(Self { store: home.open_named()?.1 })
    }

    /// The newest events that are wanted, the oldest of them first, and the number from which to follow.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn newest(&self, wanted: &Wanted, limit: usize) -> Result<(Vec<EventView>, i64), ServiceError> {
        let reader = self.store.reader()?;
        let (mut found, mut before, mut newest) = (Vec::new(), None, 0);
        while found.len() < limit {
            let page = reader.events(before, PAGE)?;
            newest = newest.max(page.first().map_or(0, |row| row.seq));
            found.extend(page.iter().filter(|row| wanted.takes(row)).map(EventView::from));
            match page.last() {
                // Numbers ascend, times nearly so: a page that ends before the time is the last one to look at.
                Some(last)
                    if page.len() == PAGE && wanted.since.is_none_or(|since| last.event.time >= since) =>
                {
                    before = Some(last.seq);
                }
                _ => break,
            }
        }
        found.truncate(limit);
        found.reverse();
        Ok((found, newest))
    }

    /// Events that came after a number, and the number from which to go on.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn after(&self, seq: i64, wanted: &Wanted) -> Result<(Vec<EventView>, i64), ServiceError> {
        let page = self.store.reader()?.events_after(seq, PAGE)?;
        let next = page.last().map_or(seq, |row| row.seq);
        Ok((page.iter().filter(|row| wanted.takes(row)).map(EventView::from).collect(), next))
    }

    /// Walks through all events: whether they are as they were written.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn verify(&self) -> Result<Verified, ServiceError> {
        let report = verify_chain(&*self.store.reader()?)?;
        let broken = report.broken.map(|broken| match broken {
            ChainBreak::Removed(event) => Broken { event, removed: true },
            ChainBreak::Changed(event) => Broken { event, removed: false },
        });
        Ok(Verified {
            events: report.rows,
            without_chain: report.without,
            newest: report.newest.map(|mark| mark.seq),
            chain: report.newest.map(|mark| mark.hash.to_string()),
            broken,
        })
    }
}
