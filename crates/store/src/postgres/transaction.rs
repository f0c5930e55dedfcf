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

use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::connection::{Connections, Patience, run};
use super::failure::failed;
use super::query::{Mark, Param, ask, columns};
use super::sql;
use super::wait::{pipelined, wait};
use crate::error::StoreError;
use crate::relational::{Cells, Checked, Value, Writer, values};

/// The last batch that this store knows to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    number: i64,
    ours: bool,
}

/// A statement that waits to be sent together with others.
struct Step<'c> {
    sql: &'static str,
    params: Vec<Param<'c>>,
}

/// A transaction under way.
pub(super) struct Tx<'t, 'c> {
    client: &'t Object,
    steps: Vec<Step<'c>>,
}

impl<'c> Tx<'_, 'c> {
    /// Queues a statement for a set of rows, unless there are none.
    pub(super) fn set<const N: usize>(
        &mut self,
        sql: &'static str,
        rows: impl IntoIterator<Item = [Value<'c>; N]>,
    ) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_some() {
            self.steps.push(Step { sql, params: columns(rows) });
        }
    }

    /// Queues a statement for one row.
    pub(super) fn one(&mut self, sql: &'static str, values: Vec<Value<'c>>) {
        self.steps.push(Step { sql, params: values.into_iter().map(Param::One).collect() });
    }

    /// Runs a statement at once; how many rows it met.
    pub(super) fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Checked<u64> {
        let doing = "writing";
        self.flush(doing)?;
        let params: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let met = wait(async {
            let statement = self.client.prepare_cached(sql).await?;
            self.client.execute(&statement, &params).await
        });
        met.map_err(failed(doing))
    }

    /// Sends what is queued, one statement after the other without waiting in between.
    pub(super) fn flush(&mut self, doing: &'static str) -> Checked<()> {
        let steps = std::mem::take(&mut self.steps);
        self.all(steps, doing).map(|_| ())
    }

    /// Asks several statements at once; one without keys is not asked. The rows in the order of the statements.
    pub(super) fn look(&mut self, questions: Vec<(&'static str, Vec<Param<'c>>)>) -> Checked<Vec<Vec<Row>>> {
        let empty = |params: &[Param<'_>]| matches!(params, [Param::Many(keys), ..] if keys.is_empty());
        let asked: Vec<bool> = questions.iter().map(|(_, params)| !empty(params)).collect();
        let steps = questions.into_iter().filter(|(_, params)| !empty(params));
        let steps = steps.map(|(sql, params)| Step { sql, params }).collect();
        let mut answers = self.all(steps, "reading what is there")?.into_iter();
        Ok(asked
            .into_iter()
            .map(|asked| asked.then(|| answers.next()).flatten().unwrap_or_default())
            .collect())
    }

    fn all(&self, steps: Vec<Step<'_>>, doing: &'static str) -> Checked<Vec<Vec<Row>>> {
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let answers = wait(async {
            for step in &steps {
                // Prepared once per connection; only then is it asked for here.
                self.client.prepare_cached(step.sql).await?;
            }
            let asked = steps.iter().map(|step| Box::pin(ask(self.client, step.sql, &step.params)) as _);
            let answers = pipelined(asked.collect()).await;
            // The first that failed is the cause; those after it only say that the transaction is over.
            answers.into_iter().collect::<Result<Vec<_>, _>>()
        });
        answers.map_err(failed(doing))
    }
}

impl Writer for Tx<'_, '_> {
    fn put(&mut self, sql: &'static str, values: &[Value<'_>]) -> Checked<()> {
        let params = values.iter().map(|value| Param::One(value.clone().into_owned())).collect();
        self.steps.push(Step { sql, params });
        Ok(())
    }

    fn there<T>(
        &mut self,
        sql: &'static str,
        table: &'static str,
        key: &[Value<'_>],
        one: impl Fn(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Option<T>> {
        self.put(sql, key)?;
        let steps = std::mem::take(&mut self.steps);
        let rows = self.all(steps, "reading what is there")?.pop().unwrap_or_default();
        rows.first().map(|row| one(&Cells { table, row })).transpose()
    }
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
pub(super) struct Wanted<'w> {
    pub(super) doing: &'static str,
    /// On the disk, and on synchronous standbys, when it is answered.
    pub(super) durable: bool,
    /// The epoch that must be the database's; `None` for the installation itself.
    pub(super) epoch: Option<u64>,
    /// The name of this writer among all there may be.
    pub(super) writer: &'w [u8],
}

/// Runs a transaction until it is written, or must not be, or patience ends.
pub(super) fn transaction<'c, T>(
    connections: &Connections,
    known: &mut Option<Known>,
    wanted: &Wanted<'_>,
    work: impl Fn(&mut Tx<'_, 'c>) -> Checked<T>,
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
            let (mark, epoch) = begin(&client, wanted)?;
            // First what became of the commit: it may have been the one that took the epoch.
            if let Some((number, result)) = unanswered.take() {
                match mark.0 {
                    found if found < number => {}
                    found if found == number && mark.1 == wanted.writer => {
                        run(&client, sql::ROLLBACK, wanted.doing)?;
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
            let mut tx = Tx { client: &client, steps: Vec::new() };
            let result = work(&mut tx)?;
            let number = mark.0 + 1;
            tx.put(sql::MARK_PUT, &values![number, wanted.writer])?;
            tx.flush(wanted.doing)?;
            match run(&client, sql::COMMIT, wanted.doing) {
                Ok(()) => {
                    *known = Some(Known { number, ours: true });
                    Ok(Attempt::Done(result))
                }
                Err(error @ StoreError::Unreachable { .. }) => Ok(Attempt::Unanswered(number, result, error)),
                Err(error) => Err(error),
            }
        };
        let ended = attempt().unwrap_or_else(Attempt::Failed);
        if !matches!(ended, Attempt::Done(_)) {
            give_back(client);
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

/// Ends what a failed attempt left; a connection on which that fails is not used again.
fn give_back(client: Object) {
    if client.is_closed() || run(&client, sql::ROLLBACK, "ending a transaction").is_err() {
        drop(Object::take(client));
    }
}

/// Begins: takes the lock and looks at the epoch. Gives the mark, and whether the epoch is the one that is wanted.
fn begin(client: &Object, wanted: &Wanted<'_>) -> Checked<(Mark, Checked<()>)> {
    let commit = if wanted.durable { sql::DURABLE } else { sql::LOCAL };
    let answers = wait(async {
        client.prepare_cached(sql::MARK_LOCKED).await?;
        client.prepare_cached(sql::EPOCH).await?;
        let answers = pipelined(vec![
            Box::pin(async { client.batch_execute(sql::BEGIN_WRITE).await.map(|()| Vec::new()) }) as _,
            Box::pin(async { client.batch_execute(commit).await.map(|()| Vec::new()) }),
            Box::pin(ask(client, sql::MARK_LOCKED, &[])),
            Box::pin(ask(client, sql::EPOCH, &[])),
        ]);
        answers.await.into_iter().collect::<Result<Vec<Vec<Row>>, _>>()
    });
    let mut answers = answers.map_err(failed("checking the epoch"))?.into_iter().skip(2);
    let mark = answers.next().unwrap_or_default();
    let mark = mark.first().map(|row| Cells { table: "write_mark", row });
    let mark =
        mark.ok_or_else(|| StoreError::Unsuitable { why: "its table `write_mark` is empty".to_owned() })?;
    let mark = (mark.get(0)?, mark.get(1)?);
    let Some(ours) = wanted.epoch else { return Ok((mark, Ok(()))) };
    let epoch = answers.next().unwrap_or_default();
    let epoch = match epoch.first() {
        None => Err(StoreError::NotInstalled),
        Some(row) => match (Cells { table: "installation", row }).count(0)? {
            theirs if theirs == ours => Ok(()),
            theirs => Err(StoreError::Fenced { ours, theirs }),
        },
    };
    Ok((mark, epoch))
}
