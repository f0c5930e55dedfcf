//! Exports into a directory in memory.

use super::directory::State;
use super::{Fault, MemoryObject};
use crate::{
    Anchor, ConnectorError, ErrorClass, ExportBatch, ExportItem, ExportOutcome, ExportResult, LinkTarget,
    Operation, RefusedAttribute, SelectedType, Selection,
};

/// Writes one batch.
pub(super) fn export(
    state: &mut State,
    selection: &Selection,
    batch: ExportBatch,
) -> Result<Vec<ExportResult>, ConnectorError> {
    let refused_batch = state.take_fault(|fault| match fault {
        Fault::Throttle(after) => Some(ErrorClass::Throttled(*after)),
        Fault::ExportFails(class) => Some(*class),
        _ => None,
    });
    if let Some(class) = refused_batch {
        return Err(error(class, "INJECTED", "the export is refused"));
    }
    if !state.capabilities.export {
        return Err(error(ErrorClass::Configuration, "READ-ONLY", "this directory cannot be written"));
    }
    let mut results = Vec::with_capacity(batch.items.len());
    for item in batch.items {
        let result = export_item(state, selection, &item);
        state.exports.push((item, result.clone()));
        results.push(result);
    }
    Ok(results)
}

fn export_item(state: &mut State, selection: &Selection, item: &ExportItem) -> ExportResult {
    let fault = state.take_fault(|fault| {
        let of_items = [Fault::UnknownAfterCommit, Fault::UnknownBeforeCommit, Fault::RefuseItem];
        of_items.contains(fault).then(|| fault.clone())
    });
    let unknown = || {
        let error = error(ErrorClass::Transient, "INJECTED", "no answer came back");
        ExportResult { outcome: ExportOutcome::Unknown(error), refused: Vec::new() }
    };
    match fault {
        Some(Fault::UnknownBeforeCommit) => unknown(),
        Some(Fault::UnknownAfterCommit) => {
            let _committed = write(state, selection, item);
            unknown()
        }
        Some(_) => failed("INJECTED", "the item is refused"),
        None => write(state, selection, item),
    }
}

fn write(state: &mut State, selection: &Selection, item: &ExportItem) -> ExportResult {
    let Some(selected) = selection.types.iter().find(|selected| selected.id == item.object_type) else {
        return failed("TYPE", "the object type is not selected");
    };
    let anchor = match (item.operation, &item.anchor) {
        (Operation::Add, _) => match create(state, selected, item) {
            Ok(anchor) => anchor,
            Err(refusal) => return *refusal,
        },
        (_, None) => return failed("NO-ANCHOR", "a change needs the anchor of its object"),
        (_, Some(anchor)) if !state.objects.contains_key(anchor) => {
            return ExportResult { outcome: ExportOutcome::Gone, refused: Vec::new() };
        }
        (Operation::Delete, Some(anchor)) => {
            state.remove(anchor);
            return ExportResult { outcome: ExportOutcome::Done { anchor: None }, refused: Vec::new() };
        }
        (Operation::Update, Some(anchor)) => anchor.clone(),
    };
    let refused = write_attributes(state, selected, item, &anchor);
    let anchor = (item.operation == Operation::Add).then_some(anchor);
    ExportResult { outcome: ExportOutcome::Done { anchor }, refused }
}

fn create(
    state: &mut State,
    selected: &SelectedType,
    item: &ExportItem,
) -> Result<Anchor, Box<ExportResult>> {
    let Some(key) = &item.create_key else {
        return Err(Box::new(failed("NO-CREATE-KEY", "an object is created under its create key")));
    };
    if state.find_created(&selected.name, key).is_some() {
        return Err(Box::new(failed("ALREADY-EXISTS", "an object with this create key exists")));
    }
    let anchor = state.new_anchor(&selected.name, key);
    state.put(MemoryObject {
        anchor: anchor.clone(),
        create_key: Some(key.clone()),
        ..MemoryObject::new(&selected.name, "", key)
    });
    Ok(anchor)
}

fn write_attributes(
    state: &mut State,
    selected: &SelectedType,
    item: &ExportItem,
    anchor: &Anchor,
) -> Vec<RefusedAttribute> {
    let mut refused = Vec::new();
    let mut refuse = |attribute, target: Option<&Anchor>, why: &str| {
        let error = error(ErrorClass::Object, "ATTRIBUTE-REFUSED", why);
        refused.push(RefusedAttribute { attribute, target: target.cloned(), error });
    };
    let name_of = |id| selected.attributes.iter().find(|a| a.id == id).map(|a| a.name.as_str());
    for (attribute, values) in &item.values {
        match name_of(*attribute) {
            None => refuse(*attribute, None, "the attribute is not selected"),
            Some(name) if state.refuses(name) => refuse(*attribute, None, "the attribute is refused"),
            Some(name) => _ = state.set(anchor, name, values.clone()),
        }
    }
    for links in &item.links {
        match name_of(links.attribute) {
            None => refuse(links.attribute, None, "the attribute is not selected"),
            Some(name) if state.refuses(name) => {
                for target in links.add.iter().chain(&links.remove) {
                    refuse(links.attribute, Some(target), "the attribute is refused");
                }
            }
            Some(name) => {
                for target in &links.add {
                    if state.objects.contains_key(target) {
                        state.link(anchor, name, LinkTarget::Anchor(target.clone()));
                    } else {
                        refuse(links.attribute, Some(target), "the target does not exist");
                    }
                }
                for target in &links.remove {
                    state.unlink(anchor, name, &LinkTarget::Anchor(target.clone()));
                }
            }
        }
    }
    refused
}

fn failed(code: &str, message: &str) -> ExportResult {
    let outcome = ExportOutcome::Failed(error(ErrorClass::Object, code, message));
    ExportResult { outcome, refused: Vec::new() }
}

fn error(class: ErrorClass, code: &str, message: &str) -> ConnectorError {
    ConnectorError::new(class, code, "directory in memory", message)
}
