//! Events: what people did and what happened, for the database, the system's journal and syslog.
//!
//! Each is of a kind of the catalogue, and says who did it, when, and from where. It is written into the database in the
//! transaction of what it is about, as a link of a chain (`onesync_store::verify_chain`), and told to the system's loggers
//! when that is committed. What the database does not take (it is out of reach, or another server's) the loggers get alone.
//! No event ever stops what it is about. There is no secret in any.

mod catalogue;
mod emit;
mod loggers;
mod look;
mod origin;

use onesync_model::Time;
use onesync_store::{EventRow, ServiceChanges, Store, StoreError, StoredEvent};
use serde::{Deserialize, Serialize};

pub use catalogue::*;
pub use look::{Broken, EventView, Events, Verified, Wanted};

use crate::error::ServiceError;
use origin::Origin;

/// Rows looked at, beside as many as were written, to find them again among those of others.
const BESIDE: usize = 64;

/// What is kept of an event beside its kind and subject.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Details {
    #[serde(default)]
    event: u16,
    #[serde(flatten)]
    origin: Origin,
    #[serde(default)]
    text: String,
}

impl Details {
    /// Reads what is kept; what another version wrote is taken as it is.
    fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self { text: text.to_owned(), ..Self::default() })
    }
}

/// Looks who is at work from where, before this process is closed to its own eyes.
pub fn look_around() {
    Origin::of_process();
}

/// Makes an event as it is kept, of this process.
pub(crate) fn row(time: Time, event: &Event, subject: &str, text: &str) -> EventRow {
    let origin = Origin::of_process().clone();
    let details = Details { event: event.number, origin, text: text.to_owned() };
    // Texts and numbers: it cannot fail.
    let text = serde_json::to_string(&details).unwrap_or_default();
    EventRow { time, kind: event.word.to_owned(), subject: subject.to_owned(), text }
}

/// Writes what the service records, and tells the loggers of its events.
pub(crate) fn record(store: &dyn Store, epoch: u64, changes: &ServiceChanges) -> Result<(), StoreError> {
    store.record(epoch, changes)?;
    announce(store, &changes.events);
    Ok(())
}

/// Tells the loggers of events that were written.
pub(crate) fn announce(store: &dyn Store, events: &[EventRow]) {
    if events.is_empty() {
        return;
    }
    let newest = (|| -> Result<Vec<StoredEvent>, ServiceError> {
        Ok(store.reader()?.events(None, events.len() + BESIDE)?)
    })();
    let newest = newest.unwrap_or_else(|error| {
        tracing::debug!("where events stand in the database cannot be read: {error}");
        Vec::new()
    });
    for event in events {
        let place =
            newest.iter().find(|stored| stored.event == *event).map(|stored| (stored.seq, stored.chain));
        loggers::tell(event, place);
    }
}

/// Tells the loggers alone: of what the database does not take.
pub(crate) fn tell(row: &EventRow) {
    loggers::tell(row, None);
}
