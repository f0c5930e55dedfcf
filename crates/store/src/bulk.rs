//! Whole tables as they are: how everything of one database comes into another one, of whatever kind.
//!
//! Rows are read in pages by key and written as sets; what they mean is not looked at. Nothing here checks the epoch: who
//! writes so has the database for itself, because it is marked ([`crate::MoveMark`]). Deliberately absent: which table
//! comes when, and how two databases are compared (`transfer`).

use std::cmp::Ordering;

use crate::error::StoreError;
use crate::relational::row::Columns;
use crate::relational::tables::Table;
use crate::relational::{Checked, Value};

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const TEXT: u8 = 2;
const BYTES: u8 = 3;

/// Rows of one table, packed: equal rows are equal bytes, whatever database they come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Rows {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// What they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// All of them, one after the other.
    #[must_use]
    pub fn packed(&self) -> &[u8] {
        &self.bytes
    }

    /// The same rows in pieces of at most so many bytes, but at least one row.
    pub(crate) fn pieces(self, bytes_max: usize) -> Vec<Self> {
        if self.bytes() <= bytes_max {
            return if self.is_empty() { Vec::new() } else { vec![self] };
        }
        let mut out: Vec<Self> = vec![Self::default()];
        for row in self.iter() {
            if out.last().is_some_and(|piece| !piece.is_empty() && piece.bytes() + row.len() > bytes_max) {
                out.push(Self::default());
            }
            if let Some(piece) = out.last_mut() {
                piece.push_packed(row);
            }
        }
        out
    }

    /// Reads so many rows of a table as [`Rows::packed`] gives them; `None` where these bytes are something else.
    pub(crate) fn unpack(table: &Table<'_>, mut bytes: &[u8], rows: u64) -> Option<Self> {
        let (columns, mut out) = (table.columns().count(), Self::default());
        for _ in 0..rows {
            let mut values = Values(bytes);
            // What is no text ends the values, too.
            if Iterator::take(values.by_ref(), columns).count() != columns {
                return None;
            }
            let (row, rest) = bytes.split_at_checked(bytes.len() - values.0.len())?;
            out.push_packed(row);
            bytes = rest;
        }
        bytes.is_empty().then_some(out)
    }

    pub(crate) fn get(&self, at: usize) -> Option<&[u8]> {
        let begin = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        self.bytes.get(begin..*self.ends.get(at)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// Adds a row as a database gives it.
    pub(crate) fn push(&mut self, table: &Table<'_>, row: &dyn Columns) -> Checked<()> {
        for column in 0..table.columns().count() {
            let value = row.value(column).map_err(|what| StoreError::Damaged {
                table: table.known_name(),
                row: "?".to_owned(),
                what,
            })?;
            self.value(&value);
        }
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Adds a packed row.
    pub(crate) fn push_packed(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }

    fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => self.bytes.push(NULL),
            Value::Integer(number) => {
                self.bytes.push(INTEGER);
                self.bytes.extend_from_slice(&number.to_le_bytes());
            }
            Value::Text(text) => self.long(TEXT, text.as_bytes()),
            Value::Blob(bytes) => self.long(BYTES, bytes),
            Value::Made(bytes) => self.long(BYTES, bytes),
        }
    }

    fn long(&mut self, tag: u8, bytes: &[u8]) {
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(bytes);
    }
}

/// The values of a packed row in their order.
pub(crate) struct Values<'r>(pub(crate) &'r [u8]);

impl<'r> Values<'r> {
    fn take(&mut self, count: usize) -> Option<&'r [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<i64> {
        self.take(8)?.try_into().ok().map(i64::from_le_bytes)
    }
}

impl<'r> Iterator for Values<'r> {
    type Item = Value<'r>;

    fn next(&mut self) -> Option<Value<'r>> {
        let tag = *self.take(1)?.first()?;
        match tag {
            NULL => Some(Value::Null),
            INTEGER => self.number().map(Value::Integer),
            _ => {
                let length = usize::try_from(self.number()?).ok()?;
                let bytes = self.take(length)?;
                match tag {
                    TEXT => std::str::from_utf8(bytes).ok().map(Value::from),
                    BYTES => Some(Value::Blob(bytes)),
                    _ => None,
                }
            }
        }
    }
}

/// The order of two packed rows by their keys: numbers by value, texts and bytes byte by byte.
pub(crate) fn by_key(table: &Table<'_>, a: &[u8], b: &[u8]) -> Ordering {
    let (a, b) = (Values(a), Values(b));
    a.zip(b)
        .take(table.keys)
        .map(|(a, b)| match (&a, &b) {
            (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
            _ => Ordering::Equal, // keys are of one type and never null
        })
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// A connection that reads and writes whole tables.
pub trait Bulk: Send {
    /// A page of rows, ascending by key as [`Rows`] order them (numbers by value, texts and bytes byte by byte), after
    /// the key of a row that was read before. Shorter than the limit: the last one.
    ///
    /// # Errors
    /// When the database fails.
    fn read(&mut self, table: &Table<'_>, after: Option<&[u8]>, limit: usize) -> Result<Rows, StoreError>;

    /// Writes rows whose keys are not there.
    ///
    /// # Errors
    /// When the database fails, or has no room.
    fn add(&mut self, table: &Table<'_>, rows: &Rows) -> Result<(), StoreError>;

    /// Deletes the rows with the keys of these.
    ///
    /// # Errors
    /// When the database fails.
    fn remove(&mut self, table: &Table<'_>, rows: &Rows) -> Result<(), StoreError>;

    /// Prepares an empty database for being filled: without indices that are built faster at the end, and without
    /// waiting for the disk.
    ///
    /// # Errors
    /// When the database fails.
    fn begin_fill(&mut self) -> Result<(), StoreError>;

    /// Builds what [`Bulk::begin_fill`] left out, and waits for the disk from now on.
    ///
    /// # Errors
    /// When the database fails, or has no room.
    fn end_fill(&mut self) -> Result<(), StoreError>;

    /// Deletes all rows of all tables.
    ///
    /// # Errors
    /// When the database fails.
    fn clear(&mut self) -> Result<(), StoreError>;

    /// Writes a setting, so that it is on the disk, and all that was written before; whatever the epoch is.
    ///
    /// # Errors
    /// When the database fails.
    fn set(&mut self, name: &str, value: &str) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Given(Vec<Value<'static>>);

    impl Columns for Given {
        fn value(&self, column: usize) -> Result<Value<'_>, String> {
            self.0.get(column).cloned().ok_or_else(|| "no such column".to_owned())
        }
    }

    #[test]
    fn rows_come_back_as_they_were_packed_and_are_ordered_by_key() {
        let table = Table { name: "t", columns: "a, b, c, d", keys: 2 };
        let given = [
            vec![Value::Integer(-5), Value::Made(vec![1, 2]), Value::Null, Value::Text("x".into())],
            vec![Value::Integer(-5), Value::Made(vec![1, 2, 0]), Value::Integer(0), Value::Text("".into())],
            vec![Value::Integer(7), Value::Made(vec![]), Value::Null, Value::Null],
        ];
        let mut rows = Rows::default();
        given.iter().for_each(|row| rows.push(&table, &Given(row.clone())).unwrap());
        let read: Vec<Vec<Value<'static>>> = rows
            .iter()
            .map(|row| {
                Values(row)
                    .map(|value| match value {
                        Value::Blob(bytes) => Value::Made(bytes.to_vec()),
                        other => other.into_owned(),
                    })
                    .collect()
            })
            .collect();
        assert_eq!(read, given);
        let order = |a: usize, b: usize| by_key(&table, rows.get(a).unwrap(), rows.get(b).unwrap());
        assert_eq!(
            (order(0, 1), order(1, 2), order(2, 0)),
            (Ordering::Less, Ordering::Less, Ordering::Greater)
        );
        assert_eq!(order(1, 1), Ordering::Equal);
        assert!(rows.push(&table, &Given(vec![Value::Null])).is_err());
    }

    #[test]
    fn packed_rows_are_read_back_and_other_bytes_are_not() {
        let table = Table { name: "t", columns: "a, b", keys: 1 };
        let mut rows = Rows::default();
        for number in 0..3 {
            rows.push(&table, &Given(vec![Value::Integer(number), Value::Text("x".into())])).unwrap();
        }
        let read = |bytes: &[u8], count| Rows::unpack(&table, bytes, count);
        let pieces = |bytes| rows.clone().pieces(bytes).iter().map(Rows::len).collect::<Vec<_>>();
        assert_eq!(
            (pieces(1), pieces(rows.bytes() - 1), pieces(rows.bytes())),
            (vec![1; 3], vec![2, 1], vec![3])
        );
        assert_eq!(read(rows.packed(), 3), Some(rows.clone()));
        assert_eq!(read(&[], 0), Some(Rows::default()));
        assert_eq!(read(rows.packed(), 2), None, "more than was said");
        assert_eq!(read(rows.packed(), 4), None, "fewer");
        let short = &rows.packed()[..rows.bytes() - 1];
        assert_eq!(read(short, 3), None, "cut");
        for (at, wrong) in [(0, 9), (9, 7), (18, 0xff)] {
            let mut other = rows.packed().to_vec();
            other[at] = wrong; // a tag; a tag; no text
            assert_eq!(read(&other, 3), None, "{at}");
        }
    }
}
