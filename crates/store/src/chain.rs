//! The chain of events: each row carries the SHA-256 of itself and of the row before it.
//!
//! A row that is changed, taken out or put in later is found by walking the chain ([`verify`]); so are rows that are missing
//! at the end, since the database notes the newest one ([`CHAIN_HEAD`]). What retention deletes is noted by the last row that
//! went ([`CHAIN_BEGIN`]), so that the rest can still be walked. Whoever may write to the database can make all of it anew:
//! against that the newest hash stands elsewhere, too (the system's journal has it with each event).
//!
//! Deliberately absent: keys. Whoever reads the events has none.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use onesync_engine::ReadError;

use crate::rows::EventRow;
use crate::store::StoreReader;

/// The setting with the newest row of the chain.
pub const CHAIN_HEAD: &str = "event-chain-head";
/// The setting with the row before the first one of the chain: the last that retention deleted, or the last that an older
/// program wrote. Absent where the chain begins with the first row.
pub const CHAIN_BEGIN: &str = "event-chain-begin";

/// Rows read at once.
const PAGE: usize = 1_000;
const BYTES: usize = 32;

/// The hash of a row and of all before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChainHash(pub [u8; BYTES]);

impl ChainHash {
    /// Reads its bytes; `None` for any other length, as with a row of an older program.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An event as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredEvent {
    /// Its number, ascending.
    pub seq: i64,
    /// What was recorded.
    pub event: EventRow,
    /// The hash of it and of all before it; `None` in a row of an older program.
    pub chain: Option<ChainHash>,
}

/// A place in the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainMark {
    /// The number of the row.
    pub seq: i64,
    /// Its hash.
    pub hash: ChainHash,
}

impl ChainMark {
    /// The place before a chain that begins after a row.
    pub(crate) fn begin(seq: i64) -> Self {
        Self { seq, hash: ChainHash::default() }
    }

    /// The place of the event that comes after this one.
    pub(crate) fn then(self, event: &EventRow) -> Self {
        let seq = self.seq.saturating_add(1);
        let mut context = Context::new(&SHA256);
        context.update(&self.hash.0);
        context.update(&seq.to_be_bytes());
        context.update(&event.time.ticks().to_be_bytes());
        for text in [&event.kind, &event.subject, &event.text] {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        }
        Self { seq, hash: ChainHash::from_slice(context.finish().as_ref()).unwrap_or_default() }
    }

    /// Where the next event goes: after the newest of the chain, and after whatever row was put there since. The second
    /// is what is to be noted as the beginning, where there was no chain before.
    pub(crate) fn newest(head: Option<&str>, last: i64) -> (Self, Option<Self>) {
        match head.and_then(Self::parse) {
            Some(head) => (Self { seq: head.seq.max(last), ..head }, None),
            None => (Self::begin(last), (last > 0).then(|| Self::begin(last))),
        }
    }

    /// Reads what `Display` wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (seq, hash) = text.split_once(' ')?;
        let mut bytes = [0; BYTES];
        if hash.len() != 2 * BYTES || !hash.is_ascii() {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hash.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self { seq: seq.parse().ok()?, hash: ChainHash(bytes) })
    }
}

impl fmt::Display for ChainMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.seq, self.hash)
    }
}

/// The first row that is not as it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChainBreak {
    /// The row of this number is not there.
    Removed(i64),
    /// The row of this number was changed, or put there by somebody else.
    Changed(i64),
}

/// What walking the chain found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChainReport {
    /// Rows whose hash is right.
    pub rows: u64,
    /// Rows of an older program, which have none.
    pub without: u64,
    /// The newest row that was walked to.
    pub newest: Option<ChainMark>,
    /// Where it is broken.
    pub broken: Option<ChainBreak>,
}

/// Walks the chain, from its beginning to the newest row or to the first that is not as it was written.
///
/// # Errors
/// When the database cannot be read.
pub fn verify(reader: &dyn StoreReader) -> Result<ChainReport, ReadError> {
    let mark = |name: &str| {
        let text = reader.setting(name)?;
        Ok::<_, ReadError>(text.as_deref().and_then(ChainMark::parse))
    };
    let begin = mark(CHAIN_BEGIN)?.unwrap_or(ChainMark::begin(0));
    let mut report = ChainReport { rows: 0, without: 0, newest: None, broken: None };
    let (mut at, mut after) = (begin, i64::MIN);
    loop {
        let page = reader.events_after(after, PAGE)?;
        for row in &page {
            after = row.seq;
            if row.seq <= begin.seq {
                report.without += 1;
                if row.chain.is_some() {
                    report.broken = Some(ChainBreak::Changed(row.seq));
                    return Ok(report);
                }
                continue;
            }
            let next = at.then(&row.event);
            report.broken = match row.chain {
                _ if row.seq > next.seq => Some(ChainBreak::Removed(next.seq)),
                Some(hash) if row.seq == next.seq && hash == next.hash => None,
                _ => Some(ChainBreak::Changed(row.seq)),
            };
            if report.broken.is_some() {
                return Ok(report);
            }
            at = next;
            report.rows += 1;
            report.newest = Some(next);
        }
        if page.len() < PAGE {
            break;
        }
    }
    report.newest = report.newest.or((at.hash != ChainHash::default()).then_some(at));
    report.broken = match mark(CHAIN_HEAD)? {
        Some(head) if head.seq > at.seq => Some(ChainBreak::Removed(at.seq + 1)),
        Some(head) if head != at => Some(ChainBreak::Changed(at.seq)),
        None if report.rows > 0 => Some(ChainBreak::Changed(at.seq)),
        _ => None,
    };
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let row = |subject: &str, text: &str| EventRow {
            time: onesync_model::Time::from_seconds(1),
            kind: "k".to_owned(),
            subject: subject.to_owned(),
            text: text.to_owned(),
        };
        let mark = ChainMark::begin(7).then(&row("ab", "c"));
        assert_eq!(ChainMark::parse(&mark.to_string()), Some(mark));
        assert_eq!(mark.seq, 8);
        assert_ne!(mark, ChainMark::begin(7).then(&row("a", "bc")), "where a text ends counts");
        for wrong in
            ["", "8", "8 00", "x 00", &format!("8 {}", "g".repeat(64)), &format!("8 {}", "\u{e4}".repeat(32))]
        {
            assert_eq!(ChainMark::parse(wrong), None, "{wrong}");
        }
    }
}
