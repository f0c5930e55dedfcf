//! Values on the wire: single ones, and many rows as one JSON text with their bytes and texts beside it.

use std::borrow::Cow;
use std::fmt::Write as _;

use tiberius::{ColumnData, Row, ToSql};

use super::text::{escaped, unescaped};
use crate::relational::Value;
use crate::relational::row::Columns;

/// Rows in one request: what the server makes of the text is in its memory.
pub(super) const ROWS_MAX: usize = 2_000;
/// Bytes in one request, for the same reason.
const BYTES_MAX: usize = 8 << 20;
/// Where bytes or a text stand among those of a request is one number: the place above these bits, the length in them.
const LENGTH_BITS: u32 = 30;

/// One parameter.
#[derive(Clone, Debug)]
pub(super) enum Param<'a> {
    /// A number, or nothing of whatever type: the statement says where another type than a number is meant.
    Number(Option<i64>),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

impl ToSql for Param<'_> {
    fn to_sql(&self) -> ColumnData<'_> {
        match self {
            Self::Number(number) => ColumnData::I64(*number),
            Self::Text(text) => ColumnData::String(Some(Cow::Borrowed(text))),
            Self::Bytes(bytes) => ColumnData::Binary(Some(Cow::Borrowed(bytes))),
        }
    }
}

impl Param<'_> {
    pub(super) fn into_owned(self) -> Param<'static> {
        match self {
            Self::Number(number) => Param::Number(number),
            Self::Text(text) => Param::Text(Cow::Owned(text.into_owned())),
            Self::Bytes(bytes) => Param::Bytes(Cow::Owned(bytes.into_owned())),
        }
    }
}

/// A text as a parameter: as it is where it needs no escape.
fn text<'v>(text: Cow<'v, str>) -> Cow<'v, str> {
    match escaped(&text) {
        Cow::Owned(escaped) => Cow::Owned(escaped),
        Cow::Borrowed(_) => text,
    }
}

/// Single values as parameters.
pub(super) fn params<'v>(values: &[Value<'v>]) -> Vec<Param<'v>> {
    let param = |value: &Value<'v>| match value.clone() {
        Value::Null => Param::Number(None),
        Value::Integer(number) => Param::Number(Some(number)),
        Value::Text(of) => Param::Text(text(of)),
        Value::Blob(bytes) => Param::Bytes(Cow::Borrowed(bytes)),
        Value::Made(bytes) => Param::Bytes(Cow::Owned(bytes)),
    };
    values.iter().map(param).collect()
}

/// What a statement is asked with.
pub(super) enum Asked<'v> {
    /// Single values.
    Values(Vec<Param<'v>>),
    /// Rows.
    Rows(Vec<Vec<Value<'v>>>),
}

impl Asked<'_> {
    /// As parameters; `pairs`: the server counts two characters where UTF-16 has two.
    pub(super) fn params(&self, pairs: bool) -> Cow<'_, [Param<'_>]> {
        match self {
            Self::Values(params) => Cow::Borrowed(params),
            Self::Rows(rows) => {
                let mut request = Request { pairs, ..Request::default() };
                rows.iter().for_each(|row| request.add(row));
                Cow::Owned(request.end())
            }
        }
    }
}

/// Rows, for as many requests as they need.
pub(super) fn rows<'v, const N: usize>(given: impl Iterator<Item = [Value<'v>; N]>) -> Vec<Asked<'v>> {
    rows_of(given.map(Vec::from))
}

/// The same of rows whose length is known only now.
pub(super) fn rows_of<'v>(given: impl Iterator<Item = Vec<Value<'v>>>) -> Vec<Asked<'v>> {
    let mut requests = Vec::new();
    let (mut rows, mut size) = (Vec::new(), 0);
    for row in given {
        size += row.iter().map(size_of).sum::<usize>();
        rows.push(row);
        if rows.len() == ROWS_MAX || size >= BYTES_MAX {
            size = 0;
            requests.push(Asked::Rows(std::mem::take(&mut rows)));
        }
    }
    if !rows.is_empty() {
        requests.push(Asked::Rows(rows));
    }
    requests
}

fn size_of(value: &Value<'_>) -> usize {
    match value {
        Value::Null | Value::Integer(_) => 8,
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        Value::Made(bytes) => bytes.len(),
    }
}

/// The rows of one request: JSON, the bytes, the texts. Texts are not in the JSON because not every server reads what is
/// escaped in it.
#[derive(Default)]
struct Request {
    json: String,
    bytes: Vec<u8>,
    texts: String,
    /// The length of the texts as the server counts it.
    length: usize,
    pairs: bool,
    count: usize,
}

impl Request {
    fn add(&mut self, row: &[Value<'_>]) {
        self.json.push(if self.count == 0 { '[' } else { ',' });
        // Writing to a string cannot fail.
        let _ = write!(self.json, "[{}", self.count);
        for value in row {
            self.json.push(',');
            match value {
                Value::Null => self.json.push_str("null"),
                Value::Integer(number) => {
                    let _ = write!(self.json, "{number}");
                }
                Value::Text(text) => self.put_text(&escaped(text)),
                Value::Blob(bytes) => self.put(bytes),
                Value::Made(bytes) => self.put(bytes),
            }
        }
        self.json.push(']');
        self.count += 1;
    }

    fn place(&mut self, at: usize, length: usize) {
        let _ = write!(self.json, "{}", (at << LENGTH_BITS) | length);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.place(self.bytes.len(), bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    fn put_text(&mut self, text: &str) {
        let length = match self.pairs {
            true => text.encode_utf16().count(),
            false => text.chars().count(),
        };
        self.place(self.length, length);
        self.length += length;
        self.texts.push_str(text);
    }

    fn end(mut self) -> Vec<Param<'static>> {
        self.json.push(']');
        let (json, texts) = (Param::Text(Cow::Owned(self.json)), Param::Text(Cow::Owned(self.texts)));
        vec![json, Param::Bytes(Cow::Owned(self.bytes)), texts]
    }
}

impl Columns for Row {
    fn value(&self, column: usize) -> Result<Value<'_>, String> {
        let data = self.get_column_data(column).map_err(|error| error.to_string())?;
        let number = |number: Option<i64>| number.map_or(Value::Null, Value::Integer);
        Ok(match data {
            ColumnData::I64(found) => number(*found),
            ColumnData::I32(found) => number(found.map(i64::from)),
            ColumnData::I16(found) => number(found.map(i64::from)),
            ColumnData::U8(found) => number(found.map(i64::from)),
            ColumnData::Bit(found) => number(found.map(i64::from)),
            ColumnData::String(found) => {
                found.as_deref().map_or(Value::Null, |text| Value::Text(unescaped(text)))
            }
            ColumnData::Binary(found) => found.as_deref().map_or(Value::Null, Value::Blob),
            _ => return Err(format!("column {column} is of a type that is not used")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relational::values;

    fn text_of(param: &Param<'_>) -> String {
        match param {
            Param::Text(text) => text.clone().into_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rows_are_numbered_and_name_their_bytes_and_texts() {
        let row = |pair: bool| {
            let two =
                [values![7i64, "a\u{1f600}\"", None::<i64>, &b"xyz"[..]], values![-1i64, "", "b ", &b""[..]]];
            let requests = rows(two.into_iter());
            assert_eq!(requests.len(), 1);
            let params = requests[0].params(pair).into_owned();
            let [json, bytes, texts] = &params[..] else { panic!("{params:?}") };
            assert!(matches!(bytes, Param::Bytes(bytes) if **bytes == *b"xyz"));
            assert_eq!(text_of(texts), "a\u{1f600}\"b \u{1}\u{1}");
            text_of(json)
        };
        let at = |at: u64, length: u64| at << 30 | length;
        let expected = |a, b, c| format!("[[0,7,{a},null,3],[1,-1,{b},{c},{}]]", at(3, 0));
        assert_eq!(row(false), expected(3, at(3, 0), at(3, 4)));
        assert_eq!(row(true), expected(4, at(4, 0), at(4, 4)));
    }

    #[test]
    fn a_request_holds_no_more_rows_than_it_may() {
        let many = (0..ROWS_MAX as i64 + 1).map(|n| values![n]);
        let requests = rows(many);
        assert_eq!(requests.len(), 2);
        assert_eq!(text_of(&requests[1].params(true)[0]), format!("[[0,{ROWS_MAX}]]"));
        assert!(rows(std::iter::empty::<[Value<'_>; 1]>()).is_empty());
    }
}
