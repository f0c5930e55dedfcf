//! A transaction that writes: its statements are sent one after the other; many new objects go as a bulk insert.

use std::borrow::Cow;

use tiberius::{ColumnData, Row, SqlBulkCopyOptions, TokenRow};

use super::connection::{Client, Connections};
use super::query::last;
use super::value::{Asked, Param, params, rows};
use super::{sql_open, sql_write};
use crate::error::StoreError;
use crate::relational::{Cells, Checked, Database, Mark, SetWriter, Value, Wanted, Writer};

/// From this many new objects on they are loaded: it takes some requests of its own.
const LOADED_MIN: usize = 50;

/// Bytes of one value that the driver loads at most, whatever its column holds.
const VALUE_MAX: usize = 65_535;
/// Bytes of a character as it is sent, a pair for one beyond the first 65,536 included.
const CHAR_BYTES: usize = 4;

/// How a column is loaded: its name, and the type that a value must have.
type Loaded = (&'static str, fn(Value<'_>) -> ColumnData<'_>);

/// The columns of `CS_INSERT`, in the order of its rows.
const CS_COLUMNS: [Loaded; 13] = [
    ("id", big),
    ("name", text),
    ("reason", text),
    ("leaving", big),
    ("links", bytes),
    ("image", bytes),
    ("connector", int),
    ("object_type", int),
    ("flags", int),
    ("container", big),
    ("anchor_key", bytes),
    ("anchor", bytes),
    ("name_key", bytes),
];

fn big(value: Value<'_>) -> ColumnData<'_> {
    match value {
        Value::Integer(number) => ColumnData::I64(Some(number)),
        _ => ColumnData::I64(None),
    }
}

fn int(value: Value<'_>) -> ColumnData<'_> {
    match value {
        Value::Integer(number) => ColumnData::I32(i32::try_from(number).ok()),
        _ => ColumnData::I32(None),
    }
}

fn text(value: Value<'_>) -> ColumnData<'_> {
    match params(&[value]).pop() {
        Some(Param::Text(text)) => ColumnData::String(Some(text)),
        _ => ColumnData::String(None),
    }
}

fn bytes(value: Value<'_>) -> ColumnData<'_> {
    match value {
        Value::Blob(bytes) => ColumnData::Binary(Some(Cow::Borrowed(bytes))),
        Value::Made(bytes) => ColumnData::Binary(Some(Cow::Owned(bytes))),
        _ => ColumnData::Binary(None),
    }
}

/// A statement that waits to be sent.
enum Step<'c> {
    Ask(&'static str, Asked<'c>),
    /// New connector-space objects.
    Load(Vec<Vec<Value<'c>>>),
}

/// A transaction under way.
pub(super) struct Tx<'t, 'c> {
    client: &'t Client,
    steps: Vec<Step<'c>>,
}

impl Tx<'_, '_> {
    /// Sends what is queued; the rows of the last one.
    fn send(&mut self, doing: &'static str) -> Checked<Vec<Row>> {
        let mut found = Vec::new();
        for step in std::mem::take(&mut self.steps) {
            match step {
                Step::Ask(sql, asked) => found = last(self.client.ask(sql, &asked, doing)?),
                Step::Load(rows) => load(self.client, rows, doing)?,
            }
        }
        Ok(found)
    }
}

/// Whether the driver can load a value.
fn is_loaded(value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) => text.len() * CHAR_BYTES <= VALUE_MAX,
        Value::Blob(bytes) => bytes.len() <= VALUE_MAX,
        Value::Made(bytes) => bytes.len() <= VALUE_MAX,
        _ => true,
    }
}

/// Loads new connector-space objects.
fn load(client: &Client, rows: Vec<Vec<Value<'_>>>, doing: &'static str) -> Checked<()> {
    let names = CS_COLUMNS.map(|(name, _)| name);
    client.with(doing, async |driver| {
        let options = SqlBulkCopyOptions::empty();
        let mut request = driver.bulk_insert_with_options("cs_object", &names, options, &[]).await?;
        for row in rows {
            let mut loaded = TokenRow::with_capacity(names.len());
            for (value, (_, of_type)) in row.into_iter().zip(CS_COLUMNS) {
                loaded.push(of_type(value));
            }
            request.send(loaded).await?;
        }
        request.finalize().await.map(|_| ())
    })
}

impl<'c> SetWriter<'c> for Tx<'_, 'c> {
    type Keys = Vec<Asked<'c>>;
    type Row = Row;

    fn keys<const N: usize>(keys: impl Iterator<Item = [Value<'c>; N]>) -> Self::Keys {
        rows(keys)
    }

    fn look(&mut self, questions: Vec<(&'static str, Self::Keys)>) -> Checked<Vec<Vec<Row>>> {
        let doing = "reading what is there";
        let mut answers = Vec::with_capacity(questions.len());
        for (sql, requests) in questions {
            let mut found = Vec::new();
            for request in requests {
                found.append(&mut last(self.client.ask(sql, &request, doing)?));
            }
            answers.push(found);
        }
        Ok(answers)
    }

    fn set<const N: usize>(&mut self, sql: &'static str, given: impl IntoIterator<Item = [Value<'c>; N]>) {
        if sql == sql_write::CS_INSERT {
            let (given, large): (Vec<_>, Vec<_>) =
                given.into_iter().partition(|row| row.iter().all(is_loaded));
            self.queue(sql, large.into_iter());
            if given.len() >= LOADED_MIN {
                self.steps.push(Step::Load(given.into_iter().map(Vec::from).collect()));
            } else {
                self.queue(sql, given.into_iter());
            }
        } else {
            self.queue(sql, given.into_iter());
        }
    }

    fn one(&mut self, sql: &'static str, values: Vec<Value<'c>>) {
        self.steps.push(Step::Ask(sql, Asked::Values(params(&values))));
    }

    fn flush(&mut self, doing: &'static str) -> Checked<()> {
        self.send(doing).map(|_| ())
    }

    fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Checked<u64> {
        self.there(sql, "a count of rows", values, |cells| cells.count(0)).map(Option::unwrap_or_default)
    }
}

impl<'c> Tx<'_, 'c> {
    fn queue<const N: usize>(&mut self, sql: &'static str, given: impl Iterator<Item = [Value<'c>; N]>) {
        self.steps.extend(rows(given).into_iter().map(|asked| Step::Ask(sql, asked)));
    }
}

impl Writer for Tx<'_, '_> {
    fn put(&mut self, sql: &'static str, values: &[Value<'_>]) -> Checked<()> {
        let params = params(values).into_iter().map(Param::into_owned).collect();
        self.steps.push(Step::Ask(sql, Asked::Values(params)));
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
        let rows = self.send("reading what is there")?;
        rows.first().map(|row| one(&Cells { table, row })).transpose()
    }
}

impl Database for Connections {
    type Client = Client;
    type Tx<'t, 'c> = Tx<'t, 'c>;

    fn writer(&self, doing: &'static str) -> Checked<Client> {
        Self::writer(self, doing)
    }

    fn alone<T>(
        &self,
        sql: &'static str,
        table: &'static str,
        values: &[Value<'_>],
        one: impl Fn(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Option<T>> {
        let rows = self.ask_aside(sql, &Asked::Values(params(values)), "asking who may write")?;
        rows.first().map(|row| one(&Cells { table, row })).transpose()
    }

    fn begin(&self, client: &Client, wanted: &Wanted<'_>) -> Checked<(Mark, Checked<()>)> {
        let mut results = client.run(sql_open::BEGIN_WRITE, "checking the epoch")?.into_iter();
        locked(&results.next().unwrap_or_default(), wanted.doing)?;
        let mark = results.next().unwrap_or_default();
        let mark = mark.first().map(|row| Cells { table: "write_mark", row });
        let mark =
            mark.ok_or_else(|| StoreError::Unsuitable { why: "its table `write_mark` is empty".to_owned() })?;
        let mark = (mark.get(0)?, mark.get(1)?);
        let Some(ours) = wanted.epoch else { return Ok((mark, Ok(()))) };
        let epoch = match results.next().unwrap_or_default().first() {
            None => Err(StoreError::NotInstalled),
            Some(row) => match (Cells { table: "installation", row }).count(0)? {
                theirs if theirs == ours => Ok(()),
                theirs => Err(StoreError::Fenced { ours, theirs }),
            },
        };
        Ok((mark, epoch))
    }

    fn tx<'t, 'c>(client: &'t Client) -> Tx<'t, 'c> {
        Tx { client, steps: Vec::new() }
    }

    fn commit(&self, client: &Client, doing: &'static str) -> Checked<()> {
        client.run(sql_open::COMMIT, doing).map(|_| ())
    }

    fn roll_back(&self, client: &Client, doing: &'static str) -> Checked<()> {
        client.run(sql_open::ROLL_BACK, doing).map(|_| ())
    }

    fn keep(&self, client: Client) {
        Self::keep(self, client);
    }

    fn give_back(&self, client: Client) {
        self.end_write(client);
    }
}

/// Whether an application lock was given: it says so by a number that is not negative.
pub(super) fn locked(answer: &[Row], doing: &'static str) -> Checked<()> {
    let got = answer.first().map(|row| Cells { table: "sp_getapplock", row }.get::<i64>(0)).transpose()?;
    match got {
        Some(0..) => Ok(()),
        // Waited too long, cancelled, chosen as the victim of a deadlock.
        Some(-3..=-1) => Err(StoreError::Busy { doing }),
        got => Err(StoreError::Server { doing, message: format!("`sp_getapplock` gave {got:?}") }),
    }
}
