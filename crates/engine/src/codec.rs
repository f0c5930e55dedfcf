//! How the small lists inside rows are stored: causes, picks, link sums, attribute changes.
//!
//! One codec for all stores, behind a version byte, so that a row means the same in each of them.

use onesync_model::{AttrId, CsId, Hash128, RuleId, RunId, Time, Value, ValueRef, Values};
use thiserror::Error;

use crate::state::{AttributeChange, Cause, ChangeState, LinkPick, LinkSum, Retained, ValueChange};

/// Stored bytes that this program did not write, or that are damaged.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("stored {what} is damaged")]
pub struct CodecError {
    what: &'static str,
}

const VERSION: u8 = 1;

struct Writer(Vec<u8>);

impl Writer {
    fn new() -> Self {
        Self(vec![VERSION])
    }

    fn u8(&mut self, n: u8) {
        self.0.push(n);
    }

    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: Option<&str>) {
        match text {
            None => self.u8(0),
            Some(text) => {
                self.u8(1);
                self.bytes(text.as_bytes());
            }
        }
    }

    fn values(&mut self, values: Option<&Values>) {
        let values = values.map(Values::as_slice).unwrap_or_default();
        self.number(values.len() as u64);
        for value in values {
            match value.as_ref() {
                ValueRef::String(s) => {
                    self.u8(1);
                    self.bytes(s.as_bytes());
                }
                ValueRef::Integer(n) => {
                    self.u8(2);
                    self.0.extend_from_slice(&n.to_le_bytes());
                }
                ValueRef::Boolean(b) => self.u8(if b { 4 } else { 3 }),
                ValueRef::Binary(b) => {
                    self.u8(5);
                    self.bytes(b);
                }
                ValueRef::Time(t) => {
                    self.u8(6);
                    self.0.extend_from_slice(&t.ticks().to_le_bytes());
                }
                ValueRef::Reference(r) => {
                    self.u8(7);
                    self.bytes(r.as_bytes());
                }
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Some(Self(rest)),
            _ => None,
        }
    }

    fn u8(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?.try_into().ok()?;
        self.take(length)
    }

    fn str(&mut self) -> Option<&'a str> {
        str::from_utf8(self.bytes()?).ok()
    }

    fn text(&mut self) -> Option<Option<String>> {
        match self.u8()? {
            0 => Some(None),
            1 => Some(Some(self.str()?.to_owned())),
            _ => None,
        }
    }

    fn i64(&mut self) -> Option<i64> {
        Some(i64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn values(&mut self) -> Option<Option<Values>> {
        let count = self.number()?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(match self.u8()? {
                1 => Value::string(self.str()?),
                2 => Value::Integer(self.i64()?),
                3 => Value::Boolean(false),
                4 => Value::Boolean(true),
                5 => Value::binary(self.bytes()?),
                6 => Value::Time(Time::from_ticks(self.i64()?)),
                7 => Value::reference(self.str()?),
                _ => return None,
            });
        }
        Some(Values::new(values))
    }

    fn list<T>(mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut out = Vec::new();
        while !self.0.is_empty() {
            out.push(one(&mut self)?);
        }
        Some(out)
    }
}

fn read<T>(
    bytes: &[u8],
    what: &'static str,
    one: impl FnMut(&mut Reader<'_>) -> Option<T>,
) -> Result<Vec<T>, CodecError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    Reader::new(bytes).and_then(|reader| reader.list(one)).ok_or(CodecError { what })
}

fn write<T>(items: &[T], mut one: impl FnMut(&mut Writer, &T)) -> Vec<u8> {
    if items.is_empty() {
        return Vec::new();
    }
    let mut writer = Writer::new();
    for item in items {
        one(&mut writer, item);
    }
    writer.0
}

impl LinkSum {
    /// Writes a list.
    #[must_use]
    pub fn encode(list: &[Self]) -> Vec<u8> {
        write(list, |w, sum| {
            w.number(u64::from(sum.attribute.0));
            w.number(sum.count);
            w.0.extend_from_slice(&sum.sum.0);
        })
    }

    /// Reads a list.
    ///
    /// # Errors
    /// When the bytes were not written by [`LinkSum::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Vec<Self>, CodecError> {
        read(bytes, "list of link sums", |r| {
            Some(Self {
                attribute: AttrId(r.small()?),
                count: r.number()?,
                sum: Hash128::from_slice(r.take(16)?)?,
            })
        })
    }
}

impl Cause {
    /// Writes a list.
    #[must_use]
    pub fn encode(list: &[Self]) -> Vec<u8> {
        write(list, |w, cause| {
            w.number(u64::from(cause.attribute.0));
            w.number(u64::from(cause.rule.0));
            w.number(cause.source.0 as u64);
            w.number(cause.run.0 as u64);
            w.u8(cause.retained as u8);
        })
    }

    /// Reads a list.
    ///
    /// # Errors
    /// When the bytes were not written by [`Cause::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Vec<Self>, CodecError> {
        read(bytes, "list of causes", |r| {
            Some(Self {
                attribute: AttrId(r.small()?),
                rule: RuleId(r.small()?),
                source: CsId(r.number()? as i64),
                run: RunId(r.number()? as i64),
                retained: match r.u8()? {
                    0 => Retained::No,
                    1 => Retained::Once,
                    2 => Retained::Kept,
                    _ => return None,
                },
            })
        })
    }
}

impl LinkPick {
    /// Writes a list.
    #[must_use]
    pub fn encode(list: &[Self]) -> Vec<u8> {
        write(list, |w, pick| {
            w.number(u64::from(pick.attribute.0));
            w.number(pick.source.0 as u64);
            w.number(u64::from(pick.source_attribute.0));
            w.number(u64::from(pick.rule.0));
        })
    }

    /// Reads a list.
    ///
    /// # Errors
    /// When the bytes were not written by [`LinkPick::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Vec<Self>, CodecError> {
        read(bytes, "list of link picks", |r| {
            Some(Self {
                attribute: AttrId(r.small()?),
                source: CsId(r.number()? as i64),
                source_attribute: AttrId(r.small()?),
                rule: RuleId(r.small()?),
            })
        })
    }
}

impl ChangeState {
    /// The number under which it is stored.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Reads the number under which it is stored.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Pending, Self::Sending, Self::Sent, Self::Refused]
            .into_iter()
            .find(|state| state.code() == code)
    }
}

impl AttributeChange {
    /// Writes a list.
    #[must_use]
    pub fn encode(list: &[Self]) -> Vec<u8> {
        write(list, |w, change| {
            w.number(u64::from(change.attribute.0));
            w.values(change.values.as_ref());
            w.u8(change.state.code());
            w.u8(change.attempts);
            w.number(u64::from(change.rule.0));
            w.text(change.error.as_deref());
        })
    }

    /// Reads a list.
    ///
    /// # Errors
    /// When the bytes were not written by [`AttributeChange::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Vec<Self>, CodecError> {
        read(bytes, "list of attribute changes", |r| {
            Some(Self {
                attribute: AttrId(r.small()?),
                values: r.values()?,
                state: ChangeState::from_code(r.u8()?)?,
                attempts: r.u8()?,
                rule: RuleId(r.small()?),
                error: r.text()?,
            })
        })
    }
}

impl crate::state::HistoryRow {
    /// Writes the changes of a history row.
    #[must_use]
    pub fn encode_changes(list: &[ValueChange]) -> Vec<u8> {
        write(list, |w, (attribute, old, new, rule)| {
            w.number(u64::from(attribute.0));
            w.values(old.as_ref());
            w.values(new.as_ref());
            w.number(rule.map_or(0, |rule| u64::from(rule.0) + 1));
        })
    }

    /// Reads the changes of a history row.
    ///
    /// # Errors
    /// When the bytes were not written by `encode_changes`.
    pub fn decode_changes(bytes: &[u8]) -> Result<Vec<ValueChange>, CodecError> {
        read(bytes, "history", |r| {
            Some((AttrId(r.small()?), r.values()?, r.values()?, r.small()?.checked_sub(1).map(RuleId)))
        })
    }
}
