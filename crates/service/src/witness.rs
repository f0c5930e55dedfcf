//! Whether the database knows what this server has seen in it: one that was brought back from before does not, and the epoch
//! alone does not tell that.
//!
//! The active server counts in the database how far it has got (the *tip*): before the first request of each export, and at the
//! end of each cycle and each step by hand. It is a number and something random, in a transaction that lasts, and only then the
//! home notes it (the *witness*). So what a killed process had not committed, and what a crash may take back, is in no
//! witness. Runs and events would not do: retention deletes them, and runs are numbered by those that are there.
//!
//! A witness is of one epoch, and of the server that took it: in a database that was put back another one may take the same. Whoever
//! takes one says by that what the database is to be: `activate`, `db move`, `upgrade back` need nothing here, but that the epoch
//! is higher than any that the home has seen. Servers that stand by keep a witness from what they see: they take over no database that was
//! put back, unless a higher epoch was taken in it since, or they are told anew to stand by.

use std::path::PathBuf;

use onesync_store::{Lease, ServiceChanges, Store, StoreReader};
use serde::{Deserialize, Serialize};

use crate::Home;
use crate::error::ServiceError;
use crate::events::{self, DATABASE_BEHIND};
use crate::flushed::write_flushed;
use crate::home::new_id;
use crate::runtime::Service;
use crate::standing::{Standing, behind};

/// The file in the home.
pub(crate) const FILE: &str = "witness.toml";
/// The setting with the tip.
const TIP: &str = "tip";

/// How far the installation has got in its database.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Tip {
    number: u64,
    /// Of two databases that have got as far, whether they are one.
    id: String,
    /// When, by the clock of the server: for people.
    when: String,
}

impl Tip {
    fn of(reader: &dyn StoreReader) -> Result<Self, ServiceError> {
        let text = reader.setting(TIP)?;
        // What another version wrote differently is an older one, which is seen.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }
}

/// What a home has seen in its database.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Witness {
    installation: String,
    epoch: u64,
    /// The server that took the epoch; empty where nobody said so.
    #[serde(default)]
    holder: String,
    /// Seen by a server that stands by.
    #[serde(default)]
    looked: bool,
    /// That it was missed in the database was told.
    #[serde(default)]
    told: bool,
    tip: Tip,
}

impl Witness {
    fn path(home: &Home) -> PathBuf {
        home.folder().join(FILE)
    }

    fn read(home: &Home) -> Result<Option<Self>, ServiceError> {
        let path = Self::path(home);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => {
                text.map_err(|source| ServiceError::File { place: path.display().to_string(), source })?
            }
        };
        toml::from_str(&text).map(Some).map_err(|error| {
            ServiceError::held(
                format!("{} cannot be read: {}", path.display(), error.message()),
                "move it away when the database is certainly the newest one: it says what this server has seen in it",
            )
        })
    }

    fn write(&self, home: &Home) -> Result<(), ServiceError> {
        let path = Self::path(home);
        let text = toml::to_string(self).map_err(|error| ServiceError::Internal(error.to_string()))?;
        let text = format!("# What this server has seen in its database. Not for another machine.\n{text}");
        write_flushed(&path, &text)
            .and_then(|()| std::fs::File::open(home.folder())?.sync_all())
            .map_err(|source| ServiceError::File { place: path.display().to_string(), source })
    }

    /// What is missed in a database, in words; nothing where it knows all, or another epoch was taken since, or the same by
    /// another server.
    fn missed(&self, installation: &str, epoch: u64, holder: &str, tip: &Tip) -> Option<String> {
        let by_another =
            self.epoch == epoch && self.holder != holder && !self.holder.is_empty() && !holder.is_empty();
        if self.installation != installation || self.epoch < epoch || by_another {
            return None;
        }
        if self.epoch > epoch {
            return Some(format!(
                "the database was brought back from before epoch {} was taken in it: it is at epoch {epoch}",
                self.epoch
            ));
        }
        let seen = &self.tip;
        let is_there = tip.number > seen.number || tip.number == seen.number && tip.id == seen.id;
        (!is_there).then(|| {
            format!(
                "the database was brought back from before {}: it does not know what was written then (this server has seen \
                 step {} in it, it is at step {})",
                seen.when, seen.number, tip.number
            )
        })
    }
}

/// The server that took the epoch of a database.
fn holder_of(lease: &Lease) -> &str {
    lease.holder.as_ref().map_or("", |holder| &holder.id)
}

impl Home {
    /// What this home misses in its database, in words.
    pub(crate) fn missed(
        &self,
        store: &dyn Store,
        installation: &str,
        lease: &Lease,
    ) -> Result<Option<String>, ServiceError> {
        self.missed_by(store, installation, lease.epoch, holder_of(lease))
    }

    fn missed_by(
        &self,
        store: &dyn Store,
        installation: &str,
        epoch: u64,
        holder: &str,
    ) -> Result<Option<String>, ServiceError> {
        match Witness::read(self)? {
            Some(witness) => Ok(witness.missed(installation, epoch, holder, &Tip::of(&*store.reader()?)?)),
            None => Ok(None),
        }
    }

    /// The installation whose database this home has seen last.
    pub(crate) fn seen_installation(&self) -> Result<Option<String>, ServiceError> {
        Ok(Witness::read(self)?.map(|witness| witness.installation))
    }

    /// The highest epoch that this home has seen in a database of an installation, by whomever it was taken.
    pub(crate) fn epoch_seen(&self, installation: &str) -> Result<u64, ServiceError> {
        let seen = Witness::read(self)?.filter(|witness| witness.installation == installation);
        Ok(seen.map_or(0, |witness| witness.epoch))
    }

    /// Forgets what was seen while standing by: a person says that the database is as it is to be.
    pub(crate) fn forget_looks(&self) -> Result<(), ServiceError> {
        match Witness::read(self)?.is_some_and(|witness| witness.looked) {
            true => self.forget_witness(),
            false => Ok(()),
        }
    }

    /// Forgets what was seen in a database that this home has no more.
    pub(crate) fn forget_witness(&self) -> Result<(), ServiceError> {
        let path = Witness::path(self);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => {
                removed.map_err(|source| ServiceError::File { place: path.display().to_string(), source })
            }
        }
    }
}

impl Service {
    /// An error when the database was brought back from before what this server has seen in it.
    pub(crate) fn database_must_know_us(&self) -> Result<(), ServiceError> {
        let Standing::Active { server, epoch } = self.standing() else { return Ok(()) };
        if server.is_empty() {
            return Ok(()); // a copy for what-if
        }
        match self.home().missed_by(&**self.store(), self.installation_id(), *epoch, server)? {
            None => Ok(()),
            Some(what) => {
                self.tell_behind(&what);
                Err(behind(&what))
            }
        }
    }

    /// Counts in the database that this server is here, and notes it in the home.
    pub(crate) fn bear_witness(&self) -> Result<(), ServiceError> {
        let Standing::Active { server, epoch } = self.standing() else { return Ok(()) };
        if server.is_empty() {
            return Ok(()); // a copy for what-if
        }
        self.database_must_know_us()?;
        let number = Tip::of(&*self.store().reader()?)?.number + 1;
        let tip = Tip { number, id: new_id()?, when: self.now().to_string() };
        let text = serde_json::to_string(&tip).map_err(|error| ServiceError::Internal(error.to_string()))?;
        let settings = vec![(TIP.to_owned(), text)];
        self.record(&ServiceChanges { settings, must_last: true, ..ServiceChanges::default() })?;
        self.witness(*epoch, server, tip).write(self.home())
    }

    fn witness(&self, epoch: u64, holder: &str, tip: Tip) -> Witness {
        let (installation, holder) = (self.installation_id().to_owned(), holder.to_owned());
        Witness { installation, epoch, holder, looked: false, told: false, tip }
    }

    /// Looks, while this server stands by, whether the database knows what it saw before, and notes what is new. Gives what
    /// is missed, in words.
    pub(crate) fn look_back(&self, lease: &Lease) -> Result<Option<String>, ServiceError> {
        let (home, installation) = (self.home(), self.installation_id());
        let (epoch, holder) = (lease.epoch, holder_of(lease));
        let tip = Tip::of(&*self.store().reader()?)?;
        let fresh = || Witness { looked: true, ..self.witness(epoch, holder, tip.clone()) };
        let Some(seen) = Witness::read(home)? else {
            fresh().write(home)?;
            return Ok(None);
        };
        let missed = seen.missed(installation, epoch, holder, &tip);
        match &missed {
            Some(what) if !seen.told => {
                // Into its database it writes nothing.
                events::tell(&events::row(self.now(), &DATABASE_BEHIND, installation, what));
                Witness { told: true, ..seen }.write(home)?;
            }
            // Also where it was told once: what is missed the next time is told again.
            None if seen.told
                || (seen.epoch, seen.holder.as_str(), &seen.tip) != (epoch, holder, &tip)
                || seen.installation != installation =>
            {
                fresh().write(home)?;
            }
            _ => {}
        }
        Ok(missed)
    }

    /// Tells the loggers that the database was brought back: into it nothing is written.
    pub(crate) fn tell_behind(&self, what: &str) {
        events::tell(&events::row(self.now(), &DATABASE_BEHIND, self.installation_id(), what));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_knows_what_was_seen_or_a_later_epoch_decides() {
        let tip = |number, id: &str| Tip { number, id: id.to_owned(), when: "then".to_owned() };
        let (installation, holder) = ("i".to_owned(), "one".to_owned());
        let seen = Witness { installation, epoch: 3, holder, looked: false, told: false, tip: tip(5, "a") };
        let missed = |installation: &str, epoch, tip| seen.missed(installation, epoch, "one", &tip);
        for (installation, epoch, there) in [
            ("i", 3, tip(5, "a")),
            ("i", 3, tip(6, "b")),
            ("i", 4, tip(1, "b")), // somebody has taken it as it is
            ("j", 1, Tip::default()),
        ] {
            assert_eq!(missed(installation, epoch, there.clone()), None, "{installation} {epoch} {there:?}");
        }
        for (epoch, there) in [(3, tip(4, "a")), (3, tip(5, "b")), (3, Tip::default()), (2, tip(9, "a"))] {
            assert!(missed("i", epoch, there.clone()).is_some(), "{epoch} {there:?}");
        }
        // Put back, and the same epoch taken by another server. Where nobody says who it is, the steps count.
        assert_eq!(seen.missed("i", 3, "two", &tip(4, "a")), None);
        assert!(seen.missed("i", 3, "", &tip(4, "a")).is_some());
        assert!(Witness { holder: String::new(), ..seen }.missed("i", 3, "two", &tip(4, "a")).is_some());
    }
}
