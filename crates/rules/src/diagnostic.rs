//! What is wrong with a rule or a schema, where, and what to do: as data, and as text with the lines concerned.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

/// The text of one file of a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleFile {
    /// Its path as shown in messages, relative to the configuration.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but hardly does what was meant.
    Warning,
    /// Good to know.
    Note,
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file's path.
    pub file: String,
    /// Where it starts, as an offset in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Other places that belong to it.
    pub related: Vec<Label>,
}

/// Another place that belongs to a finding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Label {
    /// The file's path.
    pub file: String,
    /// Where it starts, as an offset in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// The line, from 1.
    pub line: usize,
    /// What is there.
    pub message: String,
}

impl Diagnostic {
    /// Adds what to do.
    pub(crate) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what to do, if anything is known.
    pub(crate) fn hint_if(&mut self, hint: Option<String>) -> &mut Self {
        if hint.is_some() {
            self.hint = hint;
        }
        self
    }
}

/// A place in one of the files at hand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Index of the file.
    pub file: usize,
    /// Offsets in bytes.
    pub span: Range<usize>,
}

/// Collects findings about some files.
pub(crate) struct Sink<'f> {
    files: &'f [RuleFile],
    found: Vec<Diagnostic>,
}

impl<'f> Sink<'f> {
    pub fn new(files: &'f [RuleFile]) -> Self {
        Self { files, found: Vec::new() }
    }

    pub fn text(&self, file: usize) -> &'f str {
        self.files.get(file).map_or("", |f| &f.text)
    }

    pub fn error(&mut self, place: &Place, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Error, place, message.into())
    }

    pub fn warning(&mut self, place: &Place, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Warning, place, message.into())
    }

    pub fn note(&mut self, place: &Place, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Note, place, message.into())
    }

    /// Points the finding made last at one more place.
    pub fn relate(&mut self, place: &Place, message: impl Into<String>) {
        let text = self.text(place.file);
        let (start, end) = clamp(text, &place.span);
        let label = Label {
            file: self.files.get(place.file).map(|f| f.path.clone()).unwrap_or_default(),
            start,
            end,
            line: line_and_column(text, start).0,
            message: message.into(),
        };
        if let Some(last) = self.found.last_mut() {
            last.related.push(label);
        }
    }

    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|d| d.severity == Severity::Error)
    }

    /// The findings by place, each once: one rule for several connectors finds the same thing several times.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| {
            let key = |d: &Diagnostic| (d.start, d.end, d.severity);
            a.file.cmp(&b.file).then(key(a).cmp(&key(b))).then_with(|| a.message.cmp(&b.message))
        });
        self.found.dedup_by(|a, b| {
            a.file == b.file && a.start == b.start && a.end == b.end && a.message == b.message
        });
        self.found
    }

    fn add(&mut self, severity: Severity, place: &Place, message: String) -> &mut Diagnostic {
        let text = self.text(place.file);
        let (start, end) = clamp(text, &place.span);
        let (line, column) = line_and_column(text, start);
        let file = self.files.get(place.file).map(|f| f.path.clone()).unwrap_or_default();
        let index = self.found.len();
        self.found.push(Diagnostic {
            severity,
            file,
            start,
            end,
            line,
            column,
            message,
            hint: None,
            related: Vec::new(),
        });
        &mut self.found[index]
    }
}

/// Shows findings in an expression that is in no file, one below the other.
#[must_use]
pub fn render_expression(expression: &str, found: &[onesync_expr::Diagnostic]) -> String {
    let groups: Vec<_> = found
        .iter()
        .map(|d| {
            let level = match d.severity {
                onesync_expr::Severity::Error => Level::ERROR,
                onesync_expr::Severity::Warning => Level::WARNING,
            };
            let place = AnnotationKind::Primary.span(safe(expression, d.start, d.end));
            let group =
                level.primary_title(&d.message).element(Snippet::source(expression).annotation(place));
            match &d.hint {
                Some(hint) => group.element(Level::HELP.message(hint)),
                None => group,
            }
        })
        .collect();
    Renderer::plain().render(&groups)
}

/// Shows a finding with the lines concerned, as a person reads it on a terminal without colours.
#[must_use]
pub fn render(diagnostic: &Diagnostic, files: &[RuleFile]) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let text_of = |path: &str| files.iter().find(|f| f.path == path).map_or("", |f| f.text.as_str());
    let text = text_of(&diagnostic.file);
    let mut snippet = Snippet::source(text)
        .path(&diagnostic.file)
        .annotation(AnnotationKind::Primary.span(safe(text, diagnostic.start, diagnostic.end)));
    for label in diagnostic.related.iter().filter(|label| label.file == diagnostic.file) {
        snippet = snippet.annotation(
            AnnotationKind::Context.span(safe(text, label.start, label.end)).label(&label.message),
        );
    }
    let mut group = level.primary_title(&diagnostic.message).element(snippet);
    for label in diagnostic.related.iter().filter(|label| label.file != diagnostic.file) {
        let text = text_of(&label.file);
        group = group.element(Snippet::source(text).path(&label.file).annotation(
            AnnotationKind::Context.span(safe(text, label.start, label.end)).label(&label.message),
        ));
    }
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.message(hint));
    }
    Renderer::plain().render(&[group])
}

/// A span that lies within the text and on character boundaries, whatever the caller's files are.
fn safe(text: &str, start: usize, end: usize) -> Range<usize> {
    let (start, end) = clamp(text, &(start..end));
    start..end
}

fn clamp(text: &str, span: &Range<usize>) -> (usize, usize) {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.min(text.len()).max(start));
    (start, end)
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_know_line_and_column_and_are_shown_once() {
        let files = [RuleFile { path: "rules/a.toml".into(), text: "one\nt\u{e4}\u{df} wo\n".into() }];
        let mut sink = Sink::new(&files);
        let place = Place { file: 0, span: 10..12 };
        sink.error(&place, "`wo` is wrong").hint("write `two`");
        sink.error(&place, "`wo` is wrong");
        let found = sink.finish();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, found[0].column), (2, 5));
        let shown = render(&found[0], &files);
        assert!(shown.contains("rules/a.toml:2:5") && shown.contains("write `two`"), "{shown}");
    }

    #[test]
    fn spans_outside_the_text_do_not_panic() {
        let files = [RuleFile { path: "a".into(), text: "\u{e4}".into() }];
        let mut sink = Sink::new(&files);
        sink.warning(&Place { file: 0, span: 1..900 }, "a");
        sink.note(&Place { file: 7, span: 5..5 }, "b");
        sink.relate(&Place { file: 0, span: 1..1 }, "c");
        for found in sink.finish() {
            assert!(!render(&found, &files).is_empty());
            assert!(!render(&found, &[]).is_empty());
        }
    }
}
