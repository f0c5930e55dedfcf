//! What an import reads: per collection the object types, their attributes, and the `$select` that asks for them.

use std::collections::BTreeMap;

use onesync_model::{AttrId, AttributeType, TypeId};

use super::super::schema::{Kind, Place, Spec, Table, UNIQUE_NAME};
use crate::Selection;

/// Collections in the order in which they are read: users before the groups that refer to them.
pub(in super::super) const SETS: [&str; 3] = ["users", "groups", "contacts"];

/// Selected attributes of one object type.
pub(in super::super) struct Reader {
    pub(in super::super) kind: Kind,
    pub(in super::super) id: TypeId,
    pub(in super::super) attributes: Vec<(AttrId, Spec)>,
    pub(in super::super) links: Vec<LinkReader>,
}

/// A selected link attribute.
pub(in super::super) struct LinkReader {
    pub(in super::super) id: AttrId,
    /// The member of an object's JSON that tells its values.
    pub(in super::super) member: String,
    pub(in super::super) multi: bool,
}

/// One collection to read.
pub(in super::super) struct SetReader {
    pub(in super::super) set: &'static str,
    pub(in super::super) readers: Vec<Reader>,
    /// `$select` of a change query.
    pub(in super::super) select: String,
    /// `$select` of a single object: without links.
    pub(in super::super) select_single: String,
}

impl SetReader {
    pub(in super::super) fn reader(&self, kind: Kind) -> Option<&Reader> {
        self.readers.iter().find(|r| r.kind == kind)
    }

    /// A property that every object of the collection has: where it is missing, the entry is a part only.
    pub(in super::super) fn hallmark(&self) -> &'static str {
        match self.set {
            "users" => "userPrincipalName",
            "groups" => "mailEnabled",
            _ => "displayName",
        }
    }
}

/// Properties that are always read: for types, names and flags.
fn always(set: &str) -> &'static [&'static str] {
    match set {
        "users" => &["id", "userPrincipalName", "displayName", "userType", "onPremisesSyncEnabled"],
        "groups" => &["id", "displayName", "mailEnabled", "groupTypes", "onPremisesSyncEnabled"],
        _ => &["id", "displayName", "onPremisesSyncEnabled"],
    }
}

/// Reads a selection. Types and attributes that this connector does not know are nothing to it.
pub(in super::super) fn plan(selection: &Selection, table: &Table, anchor_extension: bool) -> Vec<SetReader> {
    let mut sets = Vec::new();
    for set in SETS {
        let mut readers = Vec::new();
        for selected in &selection.types {
            let of_set = Kind::ALL.into_iter().filter(|kind| kind.set() == set);
            for kind in of_set.filter(|&kind| table.type_name(kind).eq_ignore_ascii_case(&selected.name)) {
                let mut reader = Reader { kind, id: selected.id, attributes: Vec::new(), links: Vec::new() };
                for attribute in &selected.attributes {
                    let Some(spec) = table.spec(kind, &attribute.name) else { continue };
                    if attribute.kind == AttributeType::Reference && spec.is_link() {
                        let member = format!("{}@delta", spec.name);
                        reader.links.push(LinkReader { id: attribute.id, member, multi: spec.multi });
                    } else if !spec.is_link() && spec.place != Place::Nowhere {
                        reader.attributes.push((attribute.id, spec.clone()));
                    }
                }
                readers.push(reader);
            }
        }
        if readers.is_empty() {
            continue;
        }
        let mut properties: Vec<String> = always(set).iter().map(|&p| p.to_owned()).collect();
        let mut links: Vec<String> = Vec::new();
        for reader in &readers {
            for (_, spec) in &reader.attributes {
                properties.push(spec.property().to_owned());
                if spec.property() == UNIQUE_NAME && anchor_extension {
                    properties.push(table.anchor_extension.clone());
                }
            }
            links.extend(
                reader.links.iter().filter_map(|l| l.member.strip_suffix("@delta")).map(str::to_owned),
            );
        }
        let single = unique(properties.clone());
        properties.extend(links);
        sets.push(SetReader { set, readers, select: unique(properties), select_single: single });
    }
    sets
}

/// `$select` by collection, as kept in a watermark.
pub(in super::super) fn selects(sets: &[SetReader]) -> BTreeMap<String, String> {
    sets.iter().map(|s| (s.set.to_owned(), s.select.clone())).collect()
}

fn unique(mut names: Vec<String>) -> String {
    names.sort();
    names.dedup();
    names.join(",")
}
