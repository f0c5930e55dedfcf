//! Writing a file of JSON lines: one batch, one new file.

use std::collections::HashMap;
use std::io::{self, Write};

use onesync_model::TypeId;

use super::import::LineReader;
use super::line::{Object, write_anchor};
use super::settings::JsonlSettings;
use crate::files::{ReplaceError, replace};
use crate::{
    Anchor, ConnectorError, ErrorClass, ExportBatch, ExportItem, ExportOutcome, ExportResult, Operation,
    RefusedAttribute, SelectedType, Selection,
};

/// Writes one batch. Lines that no item touches are carried over byte for byte, even those that cannot be read.
pub(super) fn export(
    settings: &JsonlSettings,
    selection: &Selection,
    batch: &ExportBatch,
) -> Result<Vec<ExportResult>, ConnectorError> {
    if !settings.write {
        return Err(read_only(settings));
    }
    let name = settings.path.display().to_string();
    let lines = LineReader::open(settings)?;
    let mut rewrite = Rewrite::new(settings, selection, batch);
    let written = replace(&settings.path, &settings.beside(".new"), |out| rewrite.run(lines, out));
    match written {
        Ok(()) => Ok(rewrite.results()),
        Err(ReplaceError::Before(error)) => {
            let error = ConnectorError::new(ErrorClass::Transient, "JSONL-WRITE", &name, error.to_string());
            Err(error.hint("check free space and whether the service's account may write the folder"))
        }
        Err(ReplaceError::After(error)) => {
            let error = ConnectorError::new(ErrorClass::Transient, "JSONL-SYNC", &name, error.to_string());
            let unknown =
                || ExportResult { outcome: ExportOutcome::Unknown(error.clone()), refused: Vec::new() };
            Ok(batch.items.iter().map(|_| unknown()).collect())
        }
    }
}

/// The error of a file that may only be read.
pub(super) fn read_only(settings: &JsonlSettings) -> ConnectorError {
    let place = settings.path.display().to_string();
    ConnectorError::new(ErrorClass::Configuration, "JSONL-READ-ONLY", place, "the file may only be read")
        .hint("set `write = true` in the connector's file")
}

struct Rewrite<'a> {
    settings: &'a JsonlSettings,
    selection: &'a Selection,
    items: &'a [ExportItem],
    results: Vec<Option<ExportResult>>,
    /// The items of each object, in order.
    by_anchor: HashMap<Anchor, Vec<usize>>,
}

impl<'a> Rewrite<'a> {
    fn new(settings: &'a JsonlSettings, selection: &'a Selection, batch: &'a ExportBatch) -> Self {
        let mut by_anchor: HashMap<Anchor, Vec<usize>> = HashMap::new();
        let mut results = Vec::with_capacity(batch.items.len());
        for (index, item) in batch.items.iter().enumerate() {
            // The create key of a file's object is its anchor: a file gives no identities of its own.
            let key = || item.create_key.as_deref().filter(|key| !key.is_empty()).map(Anchor::text);
            let anchor = if item.operation == Operation::Add { key() } else { item.anchor.clone() };
            results.push(match anchor {
                Some(anchor) => {
                    by_anchor.entry(anchor).or_default().push(index);
                    None
                }
                None if item.operation == Operation::Add => {
                    Some(failed("JSONL-NO-CREATE-KEY", "an object is created under its create key"))
                }
                None => Some(failed("JSONL-NO-ANCHOR", "a change needs the anchor of its object")),
            });
        }
        Self { settings, selection, items: &batch.items, results, by_anchor }
    }

    fn run(&mut self, lines: Option<LineReader>, out: &mut impl Write) -> io::Result<()> {
        if let Some(mut lines) = lines {
            while let Some(line) = lines.next()? {
                let touched = Object::parse(line).ok().and_then(|object| {
                    let anchor = object.anchor().ok()?;
                    Some((object, self.by_anchor.remove(&anchor)?, anchor))
                });
                match touched {
                    Some((object, items, anchor)) => {
                        let before = object.clone();
                        match self.apply(Some(object), &items, &anchor) {
                            Some(after) if after == before => write_bytes(line, out)?,
                            Some(after) => write_object(&after, out)?,
                            None => {}
                        }
                    }
                    None => write_bytes(line, out)?,
                }
            }
        }
        let mut rest: Vec<_> = std::mem::take(&mut self.by_anchor).into_iter().collect();
        rest.sort_by(|a, b| a.1.cmp(&b.1));
        for (anchor, items) in rest {
            if let Some(object) = self.apply(None, &items, &anchor) {
                write_object(&object, out)?;
            }
        }
        Ok(())
    }

    /// Applies the items of one object, and notes their results.
    fn apply(&mut self, mut object: Option<Object>, items: &[usize], anchor: &Anchor) -> Option<Object> {
        for &index in items {
            let Some(item) = self.items.get(index) else { continue };
            let (after, result) = self.apply_one(object, item, anchor);
            object = after;
            if let Some(place) = self.results.get_mut(index) {
                *place = Some(result);
            }
        }
        object
    }

    fn apply_one(
        &self,
        object: Option<Object>,
        item: &ExportItem,
        anchor: &Anchor,
    ) -> (Option<Object>, ExportResult) {
        let Some(selected) = self.selected(item.object_type) else {
            return (object, failed("JSONL-TYPE", "the object type is not selected"));
        };
        let done = |anchor, refused| ExportResult { outcome: ExportOutcome::Done { anchor }, refused };
        match (item.operation, object) {
            (Operation::Add, Some(object)) => {
                (Some(object), failed("JSONL-EXISTS", "an object with this anchor is there already"))
            }
            (Operation::Add, None) => {
                let mut object = Object {
                    anchor: write_anchor(anchor),
                    object_type: Some(selected.name.clone()),
                    dn: None,
                    attributes: Default::default(),
                    links: Default::default(),
                };
                let refused = self.write(&mut object, selected, item);
                (Some(object), done(Some(anchor.clone()), refused))
            }
            (_, None) => (None, ExportResult { outcome: ExportOutcome::Gone, refused: Vec::new() }),
            (Operation::Update, Some(mut object)) => {
                let refused = self.write(&mut object, selected, item);
                (Some(object), done(None, refused))
            }
            (Operation::Delete, Some(_)) => (None, done(None, Vec::new())),
        }
    }

    fn write(
        &self,
        object: &mut Object,
        selected: &SelectedType,
        item: &ExportItem,
    ) -> Vec<RefusedAttribute> {
        let mut refused = Vec::new();
        let name_of = |id| selected.attributes.iter().find(|a| a.id == id).map(|a| a.name.as_str());
        for (attribute, values) in &item.values {
            match name_of(*attribute) {
                Some(name) => object.set(name, values.as_ref()),
                None => refused.push(refuse(*attribute, "the attribute is not selected")),
            }
        }
        for links in &item.links {
            let written = match name_of(links.attribute) {
                Some(name) => object.link(name, &links.add, &links.remove, self.settings.links_by),
                None => Err("the attribute is not selected".to_owned()),
            };
            if let Err(why) = written {
                refused.push(refuse(links.attribute, &why));
            }
        }
        refused
    }

    fn selected(&self, object_type: TypeId) -> Option<&'a SelectedType> {
        self.selection.types.iter().find(|selected| selected.id == object_type)
    }

    fn results(self) -> Vec<ExportResult> {
        let missing = || failed("JSONL-NOT-REACHED", "the item was not reached");
        self.results.into_iter().map(|result| result.unwrap_or_else(missing)).collect()
    }
}

fn refuse(attribute: onesync_model::AttrId, why: &str) -> RefusedAttribute {
    let error = ConnectorError::new(ErrorClass::Object, "JSONL-ATTRIBUTE", "export", why);
    RefusedAttribute { attribute, target: None, error }
}

fn failed(code: &str, message: &str) -> ExportResult {
    let outcome = ExportOutcome::Failed(ConnectorError::new(ErrorClass::Object, code, "export", message));
    ExportResult { outcome, refused: Vec::new() }
}

fn write_bytes(line: &[u8], out: &mut impl Write) -> io::Result<()> {
    out.write_all(line)?;
    out.write_all(b"\n")
}

fn write_object(object: &Object, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    out.write_all(b"\n")
}
