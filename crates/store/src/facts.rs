//! What a database says of itself, and the answers to questions of people.

use onesync_model::Time;

use crate::error::StoreError;

/// A database in one look: cheap.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DatabaseFacts {
    /// `SQLite`, `PostgreSQL`, ...
    pub kind: &'static str,
    /// The version of the library or server.
    pub version: String,
    /// What it takes, without its log.
    pub bytes: u64,
    /// Bytes of that in which nothing is any more, where that is known.
    pub unused: Option<u64>,
    /// What its log takes, where that is known.
    pub log: Option<u64>,
    /// The time of the oldest change of a metaverse object that is kept.
    pub oldest_history: Option<Time>,
    /// The time of the oldest run that is kept.
    pub oldest_run: Option<Time>,
}

/// What one table takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableSize {
    /// The table.
    pub table: String,
    /// The bytes of its rows.
    pub bytes: u64,
    /// The bytes of its indices.
    pub indices: u64,
}

/// One value of an answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// None.
    Null,
    /// A whole number.
    Integer(i64),
    /// Another number.
    Number(f64),
    /// Yes or no.
    Boolean(bool),
    /// Anything else, as text; bytes in hexadecimal digits.
    Text(String),
}

/// The answer to a question.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Answer {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
    /// Whether there are more rows.
    pub more: bool,
}

impl Cell {
    /// Bytes as text.
    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        Self::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// What tidying did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tidied {
    /// Bytes given back to the disk.
    pub freed: u64,
    /// Whether there is more to do.
    pub more: bool,
}

/// A question as the database gets it; one that does not begin (after comments and parentheses) with one of these words is
/// none.
pub(crate) fn question<'q>(text: &'q str, words: &[&str]) -> Result<&'q str, StoreError> {
    let text = text.trim().trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    let first = beginning(text);
    let end = first.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(first.len());
    let word = first.get(..end).unwrap_or_default();
    if words.iter().any(|known| word.eq_ignore_ascii_case(known)) {
        return Ok(text);
    }
    let (last, others) = words.split_last().unwrap_or((&"", &[]));
    let why = format!(
        "a question begins with {} or {last}, not with `{word}`; nothing was changed",
        others.join(", ")
    );
    Err(StoreError::Question { why })
}

/// What is left after comments and opening parentheses.
fn beginning(mut text: &str) -> &str {
    loop {
        text = text.trim_start_matches(|c: char| c == '(' || c.is_whitespace());
        let ends = if text.starts_with("--") {
            "\n"
        } else if text.starts_with("/*") {
            "*/"
        } else {
            return text;
        };
        text = text.split_once(ends).map_or("", |(_, rest)| rest);
    }
}

#[cfg(test)]
mod tests {
    use super::question;

    #[test]
    fn a_question_is_known_by_its_first_word() {
        for asked in ["select 1", " -- all\n/* of */ (SELECT 1)", "((with a as (select 1) select * from a))"]
        {
            assert!(question(asked, &["SELECT", "WITH"]).is_ok(), "{asked}");
        }
        assert_eq!(question(" SELECT 1 ; ", &["SELECT"]).unwrap(), "SELECT 1");
        for other in ["", "-- select", "/* select 1", "do $$ begin end $$", "selection", "(delete from x)"] {
            let refused = question(other, &["SELECT", "WITH"]).unwrap_err().to_string();
            assert!(refused.contains("begins with SELECT or WITH, not with"), "{refused}");
        }
    }
}
