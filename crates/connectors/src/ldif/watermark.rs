//! Where in which file an import stands, and what it has seen until there.

use super::marks::Marks;
use crate::Watermark;
use crate::files::FileState;

/// A place in an import.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Place {
    /// The index of the file.
    pub file: usize,
    /// The state of that file.
    pub state: FileState,
    /// The next byte.
    pub offset: u64,
    /// The line it begins.
    pub line: u64,
    /// Records that could not be read, in all files so far.
    pub errors: u64,
    /// Entries of this file so far.
    pub entries: u64,
    /// Entries since the last count.
    pub since_count: u64,
    /// Whether this file or one before it says itself that it is not whole.
    pub failed: bool,
}

impl Place {
    /// Takes what marks say.
    pub fn note(&mut self, marks: &Marks, (offset, line): (u64, u64)) {
        (self.offset, self.line) = (offset, line);
        (self.entries, self.since_count) = (marks.entries, marks.since_count);
    }

    /// The marks to go on with.
    #[must_use]
    pub fn marks(&self) -> Marks {
        Marks { entries: self.entries, since_count: self.since_count, ended: false, failure: None }
    }

    /// Writes it.
    #[must_use]
    pub fn to_watermark(&self) -> Watermark {
        let Self { file, state, offset, line, errors, entries, since_count, failed } = self;
        let FileState { length, modified } = state;
        let failed = u8::from(*failed);
        Watermark(
            format!("1 {file} {length} {modified} {offset} {line} {errors} {entries} {since_count} {failed}")
                .into_bytes(),
        )
    }

    /// Reads what [`Place::to_watermark`] wrote.
    #[must_use]
    pub fn from_watermark(watermark: &Watermark) -> Option<Self> {
        let mut numbers = str::from_utf8(&watermark.0).ok()?.split(' ').map(|text| text.parse::<u128>().ok());
        let mut next = || numbers.next().flatten();
        if next()? != 1 {
            return None;
        }
        let place = Self {
            file: usize::try_from(next()?).ok()?,
            state: FileState { length: u64::try_from(next()?).ok()?, modified: next()? },
            offset: u64::try_from(next()?).ok()?,
            line: u64::try_from(next()?).ok()?,
            errors: u64::try_from(next()?).ok()?,
            entries: u64::try_from(next()?).ok()?,
            since_count: u64::try_from(next()?).ok()?,
            failed: next()? == 1,
        };
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_being_written() {
        let place = Place {
            file: 1,
            state: FileState { length: 10, modified: u128::from(u64::MAX) },
            offset: 7,
            line: 3,
            errors: 2,
            entries: 5,
            since_count: 4,
            failed: true,
        };
        assert_eq!(Place::from_watermark(&place.to_watermark()), Some(place));
        for bad in ["", "2 0", "1 0 1 1 x", "1 99999999999999999999999999"] {
            assert_eq!(Place::from_watermark(&Watermark(bad.into())), None, "{bad}");
        }
    }
}
