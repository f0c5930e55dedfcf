//! How it is known that an LDIF file is whole: end marks, counts and results as `ldapsearch` writes them.

use super::lines::excerpt;

/// What was seen of a file's completeness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Entries so far.
    pub entries: u64,
    /// Entries since the last count: a paged search writes one count a page.
    pub since_count: u64,
    /// Whether an end mark follows the last entry.
    pub ended: bool,
    /// Why the file says itself that it is not whole.
    pub failure: Option<String>,
}

impl Marks {
    /// Notes an entry.
    pub fn entry(&mut self) {
        self.entries += 1;
        self.since_count += 1;
        self.ended = false;
    }

    /// Notes a comment.
    pub fn comment(&mut self, text: &[u8]) {
        let text = text.trim_ascii();
        if text == b"end" {
            self.ended = true;
        } else if let Some(count) = text.strip_prefix(b"numEntries:") {
            self.count(count.trim_ascii());
        }
    }

    /// Notes the result of a search: `result: 0 Success`.
    pub fn result(&mut self, text: &[u8]) {
        if text.split(|&b| b == b' ').next() != Some(b"0") {
            self.failure = Some(format!("the search that wrote it ended with `{}`", excerpt(text)));
        }
    }

    fn count(&mut self, digits: &[u8]) {
        let count = str::from_utf8(digits).ok().and_then(|text| text.parse::<u64>().ok());
        match count {
            Some(count) if count == self.since_count || count == self.entries => self.ended = true,
            Some(count) => {
                self.failure =
                    Some(format!("it counts {count} entries itself, but has {}", self.since_count));
            }
            None => self.failure = Some(format!("its count of entries is `{}`", excerpt(digits))),
        }
        self.since_count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_must_fit_and_end_the_file() {
        let mut marks = Marks::default();
        marks.entry();
        marks.entry();
        marks.comment(b" numEntries: 2");
        assert!(marks.ended && marks.failure.is_none());
        marks.entry();
        assert!(!marks.ended, "an entry after the mark");
        marks.comment(b" numEntries: 1");
        assert!(marks.ended && marks.failure.is_none(), "the count of a page");
        marks.entry();
        marks.comment(b" numEntries: 9");
        assert!(marks.failure.is_some());
    }

    #[test]
    fn a_search_that_was_cut_off_is_no_whole_file() {
        let mut marks = Marks::default();
        marks.result(b"0 Success");
        assert_eq!(marks.failure, None);
        marks.result(b"4 Size limit exceeded");
        assert!(marks.failure.unwrap().contains("Size limit"));
    }
}
