//! What every store must do, as tests that every implementation runs.
//!
//! Each check gets an empty store that is installed with [`EPOCH`]. A check that fails panics: this is test code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code, in a feature of its own

mod exports;
mod objects;
mod sample;
mod servers;
mod service;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use onesync_engine::Changes;
use onesync_model::Time;

use crate::rows::InstallationRow;
use crate::store::Store;

/// The epoch the checked stores are installed with.
pub const EPOCH: u64 = 7;

type Check = (&'static str, fn(&dyn Store));

/// These get a store that is not installed.
const BARE: &[Check] =
    &[("a new store is empty", service::empty), ("an installation is made once", service::installed_once)];

const CHECKS: &[Check] = &[
    ("who lost the epoch is fenced", service::fenced),
    ("who takes over holds the epoch, once", servers::taken_over),
    ("a lease is renewed by its holder only, by the clock of the database", servers::renewed),
    ("servers are noted", servers::noted),
    ("what the service records is read back", service::recorded),
    ("append-only rows do not change", service::append_only),
    ("runs and events are paged backwards", service::paged),
    ("a run ends where it began", service::ended),
    ("events are a chain", service::chained),
    ("exported counts add up", service::exported),
    ("retention deletes what is old, a little at a time", service::trimmed),
    ("a reader keeps its state", service::snapshot),
    ("objects are found by every key", objects::found),
    ("a row is replaced as a whole, its name stays", objects::replaced),
    ("one anchor belongs to one object", objects::anchors),
    ("a failed batch changes nothing", objects::atomic),
    ("deletion takes what belongs to an object", objects::deleted),
    ("objects are paged", objects::paged),
    ("large objects are kept", objects::large),
    ("links are rows", objects::links),
    ("metaverse objects and their links", objects::metaverse),
    ("containers", objects::containers),
    ("errors, history, states and counters", objects::notes),
    ("the agenda keeps the earlier time", objects::agenda),
    ("the agenda finds the little that is due among much that waits", objects::agenda_waiting),
    ("counts follow the rows", exports::counts),
    ("exports are due in the order of sending", exports::due),
    ("exports are filtered and paged", exports::filtered),
    ("links are due when both ends have anchors", exports::links_due),
    ("link exports are filtered and counted by owner", exports::links_filtered),
    ("what is being sent is found", exports::sending),
];

/// Runs all checks, each on a store that `make` gives empty; names the check that fails.
pub fn conformance(make: impl Fn() -> Box<dyn Store>) {
    let checks = BARE.iter().map(|check| (check, false)).chain(CHECKS.iter().map(|check| (check, true)));
    for ((name, check), installed) in checks {
        let store = make();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if installed {
                install(&*store);
            }
            check(&*store);
        }));
        if let Err(panic) = outcome {
            eprintln!("conformance: this failed: {name}");
            resume_unwind(panic);
        }
    }
}

/// Makes the installation that the checks write under.
pub fn install(store: &dyn Store) {
    let created = Time::from_seconds(1);
    let row = InstallationRow { id: "test".to_owned(), epoch: EPOCH, staging: true, created };
    store.install(&row).unwrap();
}

fn apply(store: &dyn Store, changes: &Changes) {
    store.apply(EPOCH, changes).unwrap();
}

/// Reads all pages of a query with small pages, and proves that their size does not matter.
fn all_pages<T: PartialEq + std::fmt::Debug, K>(
    mut page: impl FnMut(Option<K>, usize) -> Vec<T>,
    key: impl Fn(&T) -> K,
) -> Vec<T> {
    let whole = page(None, 1_000);
    for size in [1, 2, 3] {
        let mut gathered: Vec<T> = Vec::new();
        loop {
            let part = page(gathered.last().map(&key), size);
            assert!(part.len() <= size, "a page of {} where {size} was asked", part.len());
            let last = part.len() < size;
            gathered.extend(part);
            assert!(gathered.len() <= whole.len(), "pages of {size} repeat rows: {gathered:?}");
            if last {
                break;
            }
        }
        assert_eq!(gathered, whole, "pages of {size}");
    }
    whole
}
