//! A transaction that writes: its statements are queued and sent one after the other without waiting in between.

use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::connection::{Connections, run};
use super::failure::failed;
use super::query::{Param, ask, columns};
use super::sql;
use super::sql_write::{self, COPIED, Copied};
use crate::error::StoreError;
use crate::relational::wait::{pipelined, wait};
use crate::relational::{Cells, Checked, Database, Mark, SetWriter, Value, Wanted, Writer};

/// Fewer new rows than this are not worth a COPY; while testing every row is, so that the small batches of tests go this way.
const COPIED_MIN: usize = if cfg!(debug_assertions) { 1 } else { 32 };

/// What waits to be sent together with others.
enum Step<'c> {
    Ask {
        sql: &'static str,
        params: Vec<Param<'c>>,
    },
    /// Rows of new keys, one value after the other.
    Copy {
        copy: &'static Copied,
        values: Vec<Value<'c>>,
        width: usize,
    },
}

/// A transaction under way.
pub(super) struct Tx<'t, 'c> {
    client: &'t Object,
    steps: Vec<Step<'c>>,
}

impl Tx<'_, '_> {
    fn all(&self, steps: Vec<Step<'_>>, doing: &'static str) -> Checked<Vec<Vec<Row>>> {
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let answers = wait(async {
            for step in &steps {
                // Prepared once per connection; only then is it asked for here.
                match step {
                    Step::Ask { sql, .. } => self.client.prepare_cached(sql).await?,
                    Step::Copy { copy, .. } => {
                        self.client.prepare_cached(copy.types).await?;
                        self.client.prepare_cached(copy.copy).await?
                    }
                };
            }
            let asked = steps.iter().map(|step| match step {
                Step::Ask { sql, params } => Box::pin(ask(self.client, sql, params)) as _,
                Step::Copy { copy, values, width } => {
                    Box::pin(copy_rows(self.client, copy, values, *width)) as _
                }
            });
            let answers = pipelined(asked.collect()).await;
            // The first that failed is the cause; those after it only say that the transaction is over.
            answers.into_iter().collect::<Result<Vec<_>, _>>()
        });
        answers.map_err(failed(doing))
    }
}

impl<'c> SetWriter<'c> for Tx<'_, 'c> {
    type Keys = Vec<Param<'c>>;
    type Row = Row;
    const LINKED: Option<[&'static str; 2]> = Some([sql_write::LINK_OWNERS, sql_write::MV_LINK_OWNERS]);

    fn keys<const N: usize>(rows: impl Iterator<Item = [Value<'c>; N]>) -> Self::Keys {
        columns(rows)
    }

    fn set<const N: usize>(&mut self, sql: &'static str, rows: impl IntoIterator<Item = [Value<'c>; N]>) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_some() {
            self.steps.push(Step::Ask { sql, params: columns(rows) });
        }
    }

    fn set_new<const N: usize>(&mut self, sql: &'static str, rows: Vec<[Value<'c>; N]>) {
        match COPIED.iter().find(|copy| copy.for_sql == sql).filter(|_| rows.len() >= COPIED_MIN) {
            Some(copy) => {
                let values = rows.into_iter().flatten().collect();
                self.steps.push(Step::Copy { copy, values, width: N });
            }
            None => self.set(sql, rows),
        }
    }

    fn one(&mut self, sql: &'static str, values: Vec<Value<'c>>) {
        self.steps.push(Step::Ask { sql, params: values.into_iter().map(Param::One).collect() });
    }

    fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Checked<u64> {
        let doing = "writing";
        self.flush(doing)?;
        let params: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let met = wait(async {
            let statement = self.client.prepare_cached(sql).await?;
            self.client.execute(&statement, &params).await
        });
        met.map_err(failed(doing))
    }

    fn flush(&mut self, doing: &'static str) -> Checked<()> {
        let steps = std::mem::take(&mut self.steps);
        self.all(steps, doing).map(|_| ())
    }

    fn look(&mut self, questions: Vec<(&'static str, Self::Keys)>) -> Checked<Vec<Vec<Row>>> {
        let empty = |params: &[Param<'_>]| matches!(params, [Param::Many(keys), ..] if keys.is_empty());
        let asked: Vec<bool> = questions.iter().map(|(_, params)| !empty(params)).collect();
        let steps = questions.into_iter().filter(|(_, params)| !empty(params));
        let steps = steps.map(|(sql, params)| Step::Ask { sql, params }).collect();
        let mut answers = self.all(steps, "reading what is there")?.into_iter();
        Ok(asked
            .into_iter()
            .map(|asked| asked.then(|| answers.next()).flatten().unwrap_or_default())
            .collect())
    }
}

/// Rows by COPY in its binary form.
async fn copy_rows(
    client: &Object,
    copy: &Copied,
    values: &[Value<'_>],
    width: usize,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let types = client.prepare_cached(copy.types).await?;
    let types: Vec<Type> = types.columns().iter().map(|column| column.type_().clone()).collect();
    let statement = client.prepare_cached(copy.copy).await?;
    let writer = BinaryCopyInWriter::new(client.copy_in(&statement).await?, &types);
    let mut writer = std::pin::pin!(writer);
    for row in values.chunks(width) {
        let row: Vec<&(dyn ToSql + Sync)> = row.iter().map(|value| value as _).collect();
        writer.as_mut().write(&row).await?;
    }
    writer.finish().await?;
    Ok(Vec::new())
}

impl Writer for Tx<'_, '_> {
    fn put(&mut self, sql: &'static str, values: &[Value<'_>]) -> Checked<()> {
        let params = values.iter().map(|value| Param::One(value.clone().into_owned())).collect();
        self.steps.push(Step::Ask { sql, params });
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

impl Database for Connections {
    type Client = Object;
    type Tx<'t, 'c> = Tx<'t, 'c>;

    fn writer(&self, doing: &'static str) -> Checked<Object> {
        Self::writer(self, doing)
    }

    fn alone<T>(
        &self,
        sql: &'static str,
        table: &'static str,
        values: &[Value<'_>],
        one: impl Fn(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Option<T>> {
        let doing = "asking who may write";
        let client = self.aside(doing)?;
        let params: Vec<Param<'_>> = values.iter().map(|value| Param::One(value.clone())).collect();
        let rows = wait(ask(&client, sql, &params)).map_err(failed(doing))?;
        rows.first().map(|row| one(&Cells { table, row })).transpose()
    }

    fn begin(&self, client: &Object, wanted: &Wanted<'_>) -> Checked<(Mark, Checked<()>)> {
        begin(client, wanted)
    }

    fn tx<'t, 'c>(client: &'t Object) -> Tx<'t, 'c> {
        Tx { client, steps: Vec::new() }
    }

    fn commit(&self, client: &Object, doing: &'static str) -> Checked<()> {
        run(client, sql::COMMIT, doing)
    }

    fn roll_back(&self, client: &Object, doing: &'static str) -> Checked<()> {
        run(client, sql::ROLLBACK, doing)
    }

    fn keep(&self, client: Object) {
        drop(client); // into its pool
    }

    fn give_back(&self, client: Object) {
        // Not used again: where a COPY was refused before it began, the driver counts one answer too few from then on. The
        // server ends the transaction with the connection.
        drop(Object::take(client));
    }
}

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
