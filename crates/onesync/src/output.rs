//! Tables and JSON on stdout, progress on stderr.

use std::io::IsTerminal as _;
use std::sync::Mutex;

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use onesync_service::{Progress, Step};
use serde::Serialize;

use crate::args::Format;

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
        println!("{}", table(head, items.iter().map(row)));
        Ok(())
    }

    /// Writes one JSON document.
    pub fn json<T: Serialize>(&self, value: &T) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string_pretty(value)?);
        Ok(())
    }

    /// Shows progress: a bar on a terminal, a line a step elsewhere; nothing beside JSON for programs.
    pub fn progress(&self, progress: Progress) {
        let mut bar = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match progress {
            Progress::Begin { connector, step } => {
                if self.terminal {
                    let style = ProgressStyle::with_template("{spinner} {msg} {human_pos} ({per_sec})")
                        .unwrap_or_else(|_| ProgressStyle::default_spinner());
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

/// A table for people.
pub fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(head.to_vec());
    for row in rows {
        table.add_row(row);
    }
    table
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

/// The numbers of a step in a line.
pub fn summary(report: &onesync_service::RunReport) -> String {
    let c = &report.counters;
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
    format!("{} ({:.1} s)", parts.join(", "), report.seconds)
}
