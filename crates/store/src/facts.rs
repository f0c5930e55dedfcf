//! What a database says of itself, and the answers to questions of people.

use onesync_model::Time;

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
