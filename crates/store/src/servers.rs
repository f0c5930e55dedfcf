//! Servers of a database: who holds its epoch, and until when it is not to be taken for gone.
//!
//! All times are those of the database's own clock, so that clocks of servers do not matter. That somebody is taken for
//! gone is no reason to trust it: what it writes is refused because the epoch is another one.

use std::time::Duration;

use onesync_model::Time;

/// Ticks of 100 ns in a duration.
pub(crate) fn ticks(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX)
}

/// A server that works, or worked, with this database.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServerRow {
    /// Its id, which its home keeps.
    pub id: String,
    /// The epoch it took last; 0 when it never took any.
    pub epoch: u64,
    /// When it was seen last; whoever writes the row need not say it.
    pub seen: Time,
    /// For how long after that it is not to be taken for gone.
    pub lease: Duration,
    /// What it says of itself, as JSON.
    pub facts: String,
}

/// Who may write now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The epoch of the database.
    pub epoch: u64,
    /// Now, by the clock of the database.
    pub now: Time,
    /// The server that took it, when it was seen last, and for how long that counts; `None` when nobody said so.
    pub holder: Option<Holder>,
}

/// The server that holds the epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Its id.
    pub id: String,
    /// When it was seen last.
    pub seen: Time,
    /// For how long that counts.
    pub lease: Duration,
}

impl Lease {
    /// Whether this server holds the epoch.
    #[must_use]
    pub fn is_of(&self, server: &str) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.id == server)
    }

    /// How long the holder is not to be taken for gone; nothing when it is.
    #[must_use]
    pub fn left(&self) -> Duration {
        let Some(holder) = &self.holder else { return Duration::ZERO };
        let until = holder.seen.ticks().saturating_add(ticks(holder.lease));
        let left = u64::try_from(until.saturating_sub(self.now.ticks())).unwrap_or_default();
        Duration::from_nanos(left.saturating_mul(100))
    }
}
