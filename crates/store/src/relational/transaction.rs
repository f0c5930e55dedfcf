//! Write transactions: begun, fenced, tried again, and what happens when the server goes away in the middle.
//!
//! Every transaction takes the lock of the one row of `write_mark`, checks the epoch, and counts the mark up. So writers
//! wait for each other, as in the other stores, and three questions have an answer:
//!
//! * The connection breaks before the commit was sent: nothing was written, and the transaction is run again as a whole,
//!   over a new connection, for as long as patience lasts.
//! * It breaks while the commit is under way: it is unknown whether it was made. The next attempt waits for the lock, so
//!   that a commit still under way at the server is over by then, and reads the mark. It bears our number and our name:
//!   the commit was made, and there is nothing left to do. It bears a smaller number: it was not, and the transaction
//!   runs again. It bears a larger number, because another program has written since: that cannot be told, and the
//!   caller is told so ([`StoreError::Unsure`]); steps go on from what is in the database, so that doing one again is right.
//! * The server acknowledged batches and has lost them (a crash with commits that were not flushed, a standby that took
//!   over without them, a backup that was restored under a running service): the mark is behind what this store has seen.
//!   Nothing may then be written on top as if they were there: the batch is refused with both numbers.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use onesync_engine::Changes;

use super::set_write::{SetWriter, apply};
use super::{
    Cells, Checked, Patience, SetStatements, Value, Writer as _, changes_must_last, counts, servers,
    service_rows, trim_events, values,
};
use crate::error::StoreError;
use crate::rows::{InstallationRow, Retention, ServiceChanges};
use crate::servers::{Lease, ServerRow};

/// The number of a batch, and the name of its writer.
pub(crate) type Mark = (i64, Vec<u8>);

/// The connections to a server, as far as transactions that write need them.
pub(crate) trait Database {
    /// One connection.
    type Client: 'static;
    /// A transaction under way over one.
    type Tx<'t, 'c>: SetWriter<'c>;

    /// The connection of the writer.
    fn writer(&self, doing: &'static str) -> Checked<Self::Client>;
    /// Asks one statement by itself, beside the transactions: none of them is waited for.
    fn alone<T>(
        &self,
        sql: &'static str,
        table: &'static str,
        values: &[Value<'_>],
        one: impl Fn(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Option<T>>;
    /// Begins: takes the lock and looks at the epoch. Gives the mark, and whether the epoch is the one that is wanted.
    fn begin(&self, client: &Self::Client, wanted: &Wanted<'_>) -> Checked<(Mark, Checked<()>)>;
    /// What is begun.
    fn tx<'t, 'c>(client: &'t Self::Client) -> Self::Tx<'t, 'c>;
    /// Commits.
    fn commit(&self, client: &Self::Client, doing: &'static str) -> Checked<()>;
    /// Takes everything back.
    fn roll_back(&self, client: &Self::Client, doing: &'static str) -> Checked<()>;
    /// Takes a connection back whose transaction is over.
    fn keep(&self, client: Self::Client);
    /// Ends what a failed attempt left; a connection on which that fails is not used again.
    fn give_back(&self, client: Self::Client);
}

/// A server as one store writes to it.
pub(crate) struct Server<D> {
    pub(crate) connections: D,
    /// What this store knows to be written; its lock makes the writes of one program wait for each other.
    known: Mutex<Option<Known>>,
    /// The name of this writer among all there may be.
    writer: [u8; 16],
}

impl<D: Database> Server<D> {
    pub(crate) fn new(connections: D) -> Self {
        // Two seeds of the system's randomness: not for secrecy, only unlike any other.
        let [a, b] = [0u8, 1].map(|part| RandomState::new().hash_one(part).to_le_bytes());
        let mut writer = [0; 16];
        writer.iter_mut().zip(a.into_iter().chain(b)).for_each(|(to, from)| *to = from);
        Self { connections, known: Mutex::new(None), writer }
    }

    pub(crate) fn write(&self, epoch: u64, changes: &Changes, service: &ServiceChanges) -> Checked<()> {
        self.transaction("writing", changes_must_last(changes, service), Some(epoch), |tx| {
            let tallies = apply(tx, changes)?;
            counts(tx, &tallies)?;
            service_rows(tx, service)
        })
    }

    pub(crate) fn install(&self, installation: &InstallationRow) -> Checked<()> {
        self.transaction("making the installation", true, None, |tx| {
            let there = tx.there(
                <D::Tx<'_, '_> as SetStatements>::INSTALLATION,
                "installation",
                &[],
                |cells: &Cells<'_>| cells.get(0),
            )?;
            if let Some(id) = there {
                return Err(StoreError::Installed(id));
            }
            let (epoch, created) = (installation.epoch as i64, installation.created.ticks());
            tx.put(
                <D::Tx<'_, '_> as SetStatements>::INSTALL,
                &values![&installation.id, epoch, installation.staging, created],
            )
        })
    }

    pub(crate) fn take_over(
        &self,
        seen: u64,
        server: &ServerRow,
        installation: Option<&str>,
    ) -> Checked<u64> {
        self.transaction("taking over", true, Some(seen), |tx| {
            tx.put(<D::Tx<'_, '_> as SetStatements>::EPOCH_RAISE, &[])?;
            if let Some(id) = installation {
                tx.put(<D::Tx<'_, '_> as SetStatements>::INSTALLATION_NAME, &values![id])?;
            }
            tx.put(<D::Tx<'_, '_> as SetStatements>::SERVER_PUT, &servers::row(server, seen + 1))?;
            Ok(seen + 1)
        })
    }

    pub(crate) fn enrol(&self, server: &ServerRow) -> Checked<()> {
        self.transaction("noting a server", true, None, |tx| {
            let there = tx.there(<D::Tx<'_, '_> as SetStatements>::LEASE, "server", &[], servers::lease)?;
            servers::may_enrol(server, there)?;
            tx.put(<D::Tx<'_, '_> as SetStatements>::SERVER_PUT, &servers::row(server, server.epoch))
        })
    }

    pub(crate) fn renew(&self, server: &ServerRow) -> Checked<Lease> {
        let row = servers::row(server, server.epoch);
        let sql = <D::Tx<'_, '_> as SetStatements>::SERVER_RENEW;
        let found = self.alone(sql, &row, servers::lease)?;
        let there = if found.is_some() { None } else { Some(self.lease()?) };
        servers::renewed(server, found, there)
    }

    pub(crate) fn lease(&self) -> Checked<Lease> {
        let found = self.alone(<D::Tx<'_, '_> as SetStatements>::LEASE, &[], servers::lease)?;
        found.ok_or(StoreError::NotInstalled)
    }

    /// One statement by itself; patient with a server that is being restarted.
    fn alone<T>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        one: impl Fn(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Option<T>> {
        let mut patience = Patience::new();
        loop {
            match self.connections.alone(sql, "server", values, &one) {
                Err(error) => patience.pause(error)?,
                found => return found,
            }
        }
    }

    pub(crate) fn take_epoch(&self, seen: u64) -> Checked<u64> {
        self.transaction("taking over", true, Some(seen), |tx| {
            tx.put(<D::Tx<'_, '_> as SetStatements>::EPOCH_RAISE, &[])?;
            Ok(seen + 1)
        })
    }

    pub(crate) fn trim(&self, epoch: u64, retention: &Retention, limit: usize) -> Checked<u64> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.transaction("deleting what is old", false, Some(epoch), |tx| {
            let mut deleted = trim_events(tx, retention.events_before, limit)?;
            for (sql, before) in [
                (<D::Tx<'_, '_> as SetStatements>::HISTORY_TRIM, retention.history_before.ticks()),
                (<D::Tx<'_, '_> as SetStatements>::RUN_TRIM, retention.runs_before.ticks()),
                (<D::Tx<'_, '_> as SetStatements>::EXPORTED_TRIM, retention.exported_before),
            ] {
                deleted += tx.execute(sql, &values![before, limit])?;
            }
            Ok(deleted)
        })
    }

    /// Writes nothing: only who holds the epoch gets past this.
    pub(crate) fn check(&self, doing: &'static str, epoch: u64) -> Checked<()> {
        self.transaction(doing, false, Some(epoch), |_| Ok(()))
    }

    /// Runs a transaction; writers of one program wait for each other here.
    fn transaction<'c, T>(
        &self,
        doing: &'static str,
        durable: bool,
        epoch: Option<u64>,
        work: impl Fn(&mut D::Tx<'_, 'c>) -> Checked<T>,
    ) -> Checked<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = Wanted { doing, durable, epoch, writer: &self.writer };
        transaction(&self.connections, &mut known, &wanted, work)
    }
}

/// The last batch that this store knows to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Known {
    number: i64,
    ours: bool,
}

/// How an attempt ended that did not succeed.
enum Attempt<T> {
    Done(T),
    /// Not written.
    Failed(StoreError),
    /// The commit was sent, and not answered: the number it would have given the mark, and its result.
    Unanswered(i64, T, StoreError),
}

/// What a transaction is to be.
pub(crate) struct Wanted<'w> {
    pub(crate) doing: &'static str,
    /// On the disk, and on synchronous standbys, when it is answered.
    pub(crate) durable: bool,
    /// The epoch that must be the database's; `None` for the installation itself.
    pub(crate) epoch: Option<u64>,
    /// The name of this writer among all there may be.
    pub(crate) writer: &'w [u8],
}

/// Runs a transaction until it is written, or must not be, or patience ends.
fn transaction<'c, D: Database, T>(
    connections: &D,
    known: &mut Option<Known>,
    wanted: &Wanted<'_>,
    work: impl Fn(&mut D::Tx<'_, 'c>) -> Checked<T>,
) -> Checked<T> {
    let mut patience = Patience::new();
    let mut unanswered: Option<(i64, T)> = None;
    loop {
        let client = match connections.writer(wanted.doing) {
            Ok(client) => client,
            Err(error) => {
                patience.pause(error)?;
                continue;
            }
        };
        let mut attempt = || -> Checked<Attempt<T>> {
            let (mark, epoch) = connections.begin(&client, wanted)?;
            // First what became of the commit: it may have been the one that took the epoch.
            if let Some((number, result)) = unanswered.take() {
                match mark.0 {
                    found if found < number => {}
                    found if found == number && mark.1 == wanted.writer => {
                        connections.roll_back(&client, wanted.doing)?;
                        *known = Some(Known { number, ours: true });
                        return Ok(Attempt::Done(result));
                    }
                    _ => return Err(StoreError::Unsure),
                }
            }
            epoch?;
            let lost = known.is_some_and(|known| {
                mark.0 < known.number || mark.0 == known.number && known.ours && mark.1 != wanted.writer
            });
            if let Some(known) = known.filter(|_| lost) {
                return Err(StoreError::Lost { acknowledged: known.number as u64, found: mark.0 as u64 });
            }
            let mut tx = D::tx(&client);
            let result = work(&mut tx)?;
            let number = mark.0 + 1;
            tx.put(<D::Tx<'_, '_> as SetStatements>::MARK_PUT, &values![number, wanted.writer])?;
            tx.flush(wanted.doing)?;
            match connections.commit(&client, wanted.doing) {
                Ok(()) => {
                    *known = Some(Known { number, ours: true });
                    Ok(Attempt::Done(result))
                }
                Err(error @ StoreError::Unreachable { .. }) => Ok(Attempt::Unanswered(number, result, error)),
                Err(error) => Err(error),
            }
        };
        let ended = attempt().unwrap_or_else(Attempt::Failed);
        match ended {
            Attempt::Done(_) => connections.keep(client),
            _ => connections.give_back(client),
        }
        match ended {
            Attempt::Done(result) => return Ok(result),
            Attempt::Failed(error @ (StoreError::Lost { .. } | StoreError::Unsure)) => {
                // Said once; what is begun anew begins from what is there.
                *known = None;
                return Err(error);
            }
            Attempt::Failed(error) => match unanswered {
                // Still unknown: the lock was not reached.
                Some(_) => patience.pause(error).map_err(|_| StoreError::Unsure)?,
                None => patience.pause(error)?,
            },
            Attempt::Unanswered(number, result, error) => {
                unanswered = Some((number, result));
                patience.pause(error).map_err(|_| StoreError::Unsure)?;
            }
        }
    }
}
