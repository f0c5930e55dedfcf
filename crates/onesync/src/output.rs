//! Tables and JSON on stdout, progress on stderr.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use onesync_service::{Progress, Status, Step, StepCounters};
use serde::Serialize;
use serde_json::Value as Json;

use crate::args::Format;

/// Writes a line of data to stdout. Whoever reads it may stop early (`| head`): then this program is done, too.
macro_rules! say {
    ($($argument:tt)*) => { $crate::output::line(format_args!($($argument)*)) };
}
pub(crate) use say;

/// Whether this program goes on when nobody takes its data.
static GOES_ON: AtomicBool = AtomicBool::new(false);

/// From here on data that cannot be written is dropped: a daemon has other work than to be read.
pub fn go_on_unread() {
    GOES_ON.store(true, Ordering::Relaxed);
}

/// See [`say!`].
pub fn line(text: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}") {
        if GOES_ON.load(Ordering::Relaxed) {
            return tracing::debug!("standard output cannot be written: {error}");
        }
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            std::process::exit(Status::Done as i32);
        }
        eprintln!("error: standard output cannot be written: {error}");
        std::process::exit(Status::Failed as i32);
    }
}

/// Where data goes.
pub struct Output {
    format: Format,
    bar: Mutex<Option<ProgressBar>>,
    terminal: bool,
}

impl Output {
    /// For a form of output.
    pub fn new(format: Format) -> Self {
        Self { format, bar: Mutex::new(None), terminal: std::io::stderr().is_terminal() }
    }

    /// Whether data is for programs.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes a list.
    pub fn list<T: Serialize>(
        &self,
        items: &[T],
        head: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> anyhow::Result<()> {
        if self.is_json() {
            return self.json(&items);
        }
        if items.is_empty() {
            eprintln!("nothing");
            return Ok(());
        }
        say!("{}", table(head, items.iter().map(row)));
        Ok(())
    }

    /// Writes a list whose rows are JSON objects: the keys are the columns.
    pub fn rows(&self, rows: &[Json], keys: &[&str]) -> anyhow::Result<()> {
        let head: Vec<String> = keys.iter().map(|key| key.replace('_', " ")).collect();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        self.list(rows, &head, |row| keys.iter().map(|key| text(&row[*key])).collect())
    }

    /// Writes one JSON document.
    pub fn json<T: Serialize>(&self, value: &T) -> anyhow::Result<()> {
        say!("{}", serde_json::to_string_pretty(value)?);
        Ok(())
    }

    /// Shows progress: a bar on a terminal, a line a step elsewhere; nothing beside JSON for programs.
    pub fn progress(&self, progress: Progress) {
        let mut bar = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match progress {
            Progress::Begin { connector, step } => {
                if self.terminal {
                    let style = ProgressStyle::with_template("{spinner} {msg} {human_pos} ({rate}/s)")
                        .unwrap_or_else(|_| ProgressStyle::default_spinner())
                        .with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                            let _cut = write!(out, "{:.0}", state.per_sec());
                        });
                    let new = ProgressBar::new_spinner()
                        .with_style(style)
                        .with_message(format!("{connector}: {}", words(step)));
                    *bar = Some(new);
                }
            }
            Progress::At { done, .. } => {
                if let Some(bar) = bar.as_ref() {
                    bar.set_position(done);
                }
            }
            Progress::End { report } => {
                if let Some(bar) = bar.take() {
                    bar.finish_and_clear();
                }
                if !self.is_json() {
                    eprintln!("  {:<24} {:<13} {}", report.connector, report.step.as_str(), summary(&report));
                    for remark in &report.remarks {
                        eprintln!("    note: {remark}");
                    }
                }
            }
        }
    }
}

/// A table for people; the last column is not filled up with spaces.
pub fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(head.to_vec());
    for row in rows {
        table.add_row(row);
    }
    table.trim_fmt()
}

fn words(step: Step) -> &'static str {
    match step {
        Step::FullImport => "full import",
        Step::DeltaImport => "delta import",
        Step::FullSync => "full sync",
        Step::DeltaSync => "delta sync",
        Step::Export => "export",
    }
}

/// A value as a cell of a table.
pub fn text(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::Bool(true) => "yes".to_owned(),
        Json::Bool(false) => "no".to_owned(),
        Json::String(text) => short_time(text),
        Json::Array(items) => items.iter().map(self::text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A text that a file or somebody else gave, as it is written; what would move the cursor, or is not seen, is escaped.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '"' | '\'' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    shown
}

/// The same for each time within a sentence.
pub fn short_times(text: &str) -> String {
    let around = |c: char| !c.is_ascii_alphanumeric();
    let word = |word: &str| match word.trim_matches(around) {
        "" => word.to_owned(),
        core => word.replacen(core, &short_time(core), 1),
    };
    text.split_inclusive(' ').map(word).collect()
}

/// A time without its fractions of a second, which only programs want; any other text as it is.
pub fn short_time(text: &str) -> String {
    match text.split_once('.') {
        Some((seconds, fraction))
            if seconds.len() == "2026-01-31T00:00:00".len()
                && seconds.as_bytes().get(10) == Some(&b'T')
                && fraction.strip_suffix('Z').is_some_and(|f| f.bytes().all(|b| b.is_ascii_digit())) =>
        {
            format!("{seconds}Z")
        }
        _ => text.to_owned(),
    }
}

/// The numbers of a step in a line.
pub fn summary(report: &onesync_service::RunReport) -> String {
    format!("{} ({:.1} s)", counted(&report.counters).join(", "), report.seconds)
}

/// The numbers of a step, each with its word.
pub fn counted(c: &StepCounters) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = |count: u64, word: &str| {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    };
    part(c.add, "added");
    part(c.update, "updated");
    part(c.delete, "deleted");
    part(c.links, "links written");
    part(c.unchanged, "unchanged");
    part(c.confirmed, "confirmed");
    part(c.processed, "looked at");
    part(c.held, "held");
    part(c.errors, "errors");
    if parts.is_empty() {
        parts.push("nothing to do".to_owned());
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_lose_their_fractions_and_other_text_nothing() {
        for (given, shown) in [
            ("2026-11-25T19:53:44.9885532Z", "2026-11-25T19:53:44Z"),
            ("2026-11-25T19:53:44Z", "2026-11-25T19:53:44Z"),
            ("contoso.com", "contoso.com"),
            ("2026-11-25T19:53:44.9 or so Z", "2026-11-25T19:53:44.9 or so Z"),
        ] {
            assert_eq!(short_time(given), shown);
        }
    }

    #[test]
    fn times_in_a_sentence_are_short_too() {
        let text = "taken (2026-01-31T00:00:00.0012Z), version 1.25 at  2026-01-31T00:00:09.5Z; ..";
        assert_eq!(
            short_times(text),
            "taken (2026-01-31T00:00:00Z), version 1.25 at  2026-01-31T00:00:09Z; .."
        );
    }

    #[test]
    fn names_are_shown_as_they_are_typed() {
        assert_eq!(plain("CONTOSO\\svc-o'n\u{e9}"), "CONTOSO\\svc-o'n\u{e9}");
        assert_eq!(plain("a\n\u{1b}[2Jb\u{202e}"), "a\\n\\u{1b}[2Jb\\u{202e}");
    }

    #[test]
    fn cells_are_for_people() {
        assert_eq!(text(&serde_json::json!(null)), "-");
        assert_eq!(text(&serde_json::json!([true, 3, "x"])), "yes, 3, x");
    }
}
