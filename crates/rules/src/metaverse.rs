//! The metaverse's schema: `metaverse.toml`, and the one that is shipped.
//!
//! ```toml
//! [attribute]
//! displayName = { type = "string", indexed = true }
//! member      = { type = "reference", multi = true }
//!
//! [type]
//! group = ["displayName", "member"]
//! ```
//!
//! Text in the metaverse is exact: a changed case is a change that flows, unless an attribute says
//! `ignore_case = true`.

use onesync_model::{AttrId, AttributeDef, AttributeType, Names, ObjectTypeDef, Schema};
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Place, Sink};
use crate::reader::{FILE_BYTES_MAX, Reader, find};
use crate::suggest::did_you_mean;
use crate::{Diagnostic, RuleFile};

/// The shipped schema: the types `person`, `group` and `device` with the attributes of Azure AD Connect.
pub const METAVERSE: &str = include_str!("../stock/metaverse.toml");

/// Attributes a metaverse may have; the shipped one has about 250.
const ATTRIBUTES_MAX: usize = 10_000;

/// Reads a metaverse schema.
///
/// # Errors
/// When the text is no TOML, has unknown keys or types, or a type lists an attribute that is not defined.
pub fn read_metaverse(text: &str, names: &mut Names) -> Result<Schema, Vec<Diagnostic>> {
    read(text, names).map(|(schema, _)| schema)
}

/// Reads which attributes are to be indexed, for searches by people.
///
/// # Errors
/// As [`read_metaverse`].
pub fn read_metaverse_index(text: &str, names: &mut Names) -> Result<Vec<AttrId>, Vec<Diagnostic>> {
    read(text, names).map(|(_, indexed)| indexed)
}

fn read(text: &str, names: &mut Names) -> Result<(Schema, Vec<AttrId>), Vec<Diagnostic>> {
    let files = [RuleFile { path: "metaverse.toml".to_owned(), text: text.to_owned() }];
    let mut sink = Sink::new(&files);
    let whole = Place { file: 0, span: 0..0 };
    if text.len() > FILE_BYTES_MAX {
        sink.error(
            &whole,
            format!("the file has {} bytes, more than the {FILE_BYTES_MAX} allowed", text.len()),
        );
        return Err(sink.finish());
    }
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let place = Place { file: 0, span: error.span().unwrap_or(0..0) };
            sink.error(&place, error.message().trim().to_owned());
            return Err(sink.finish());
        }
    };
    let mut reader = Reader { file: 0, sink: &mut sink };
    reader.known_keys(&table, &["attribute", "type"], "the metaverse");
    let mut schema = Schema::default();
    let mut indexed = Vec::new();
    attributes(&table, &mut reader, names, &mut schema, &mut indexed);
    types(&table, &mut reader, names, &mut schema);
    if schema.types.is_empty() && !sink.has_errors() {
        sink.error(&whole, "the metaverse has no object types").hint("add [type] with a line for each type");
    }
    if sink.has_errors() { Err(sink.finish()) } else { Ok((schema, indexed)) }
}

fn attributes(
    table: &DeTable<'_>,
    reader: &mut Reader<'_, '_>,
    names: &mut Names,
    schema: &mut Schema,
    indexed: &mut Vec<AttrId>,
) {
    let Some((_, item)) = find(table, "attribute") else { return };
    let Some(attributes) = item.get_ref().as_table().filter(|table| table.len() <= ATTRIBUTES_MAX) else {
        reader.expected(
            item,
            &format!("`attribute` is a table with at most {ATTRIBUTES_MAX} attributes"),
            "write [attribute] and a line for each",
        );
        return;
    };
    for (key, item) in attributes {
        let name: &str = key.get_ref();
        let Some(def) = item.get_ref().as_table() else {
            reader.expected(item, &format!("attribute `{name}` is a table"), "write { type = \"string\" }");
            continue;
        };
        let known = ["type", "multi", "indexed", "ignore_case"];
        reader.known_keys(def, &known, &format!("attribute `{name}`"));
        let Some(word) = reader.string(def, "type") else {
            if find(def, "type").is_none() {
                reader.expected(item, &format!("attribute `{name}` has no type"), "add type = \"string\"");
            }
            continue;
        };
        let Some(kind) = AttributeType::parse(&word.value) else {
            let words = ["string", "integer", "boolean", "binary", "time", "reference"];
            reader.sink.error(&word.place, format!("unknown attribute type `{}`", word.value)).hint(
                did_you_mean(&word.value, words).unwrap_or_else(|| format!("one of {}", words.join(", "))),
            );
            continue;
        };
        let id = names.intern(name);
        let (multi, ignore_case) = (reader.boolean(def, "multi"), reader.boolean(def, "ignore_case"));
        if reader.boolean(def, "indexed") {
            indexed.push(id);
        }
        let def = AttributeDef {
            id,
            name: name.to_owned(),
            kind,
            multi,
            case_exact: !ignore_case,
            read_only: false,
            length_max: None,
        };
        if schema.attributes.insert(id, def).is_some() {
            let place = reader.span(key.span());
            reader
                .sink
                .error(&place, format!("attribute `{name}` is defined twice"))
                .hint("names differ without regard to case: remove one");
        }
    }
}

fn types(table: &DeTable<'_>, reader: &mut Reader<'_, '_>, names: &mut Names, schema: &mut Schema) {
    let Some((_, item)) = find(table, "type") else { return };
    let Some(types) = item.get_ref().as_table() else {
        reader.expected(item, "`type` is a table of object types", "write [type] and a line for each");
        return;
    };
    for (key, item) in types {
        let name: &str = key.get_ref();
        let Some(list) = item.get_ref().as_array() else {
            reader.expected(item, &format!("type `{name}` is a list of attributes"), "write [\"...\", ...]");
            continue;
        };
        let mut attributes = Vec::with_capacity(list.len());
        for item in list.iter() {
            let DeValue::String(attribute) = item.get_ref() else {
                reader.expected(item, "an attribute is named by text", "write it in quotes");
                continue;
            };
            match names.find(attribute).filter(|id| schema.attributes.contains_key(id)) {
                Some(id) => attributes.push(id),
                None => {
                    let hint =
                        did_you_mean(attribute, schema.attributes.values().map(|def| def.name.as_str()));
                    let place = reader.place(item);
                    reader
                        .sink
                        .error(&place, format!("type `{name}` lists `{attribute}`, which is not defined"))
                        .hint(hint.unwrap_or_else(|| "define it under [attribute]".to_owned()));
                }
            }
        }
        attributes.sort_unstable();
        attributes.dedup();
        let def =
            ObjectTypeDef { name: name.to_owned(), attributes, writable: true, ..ObjectTypeDef::default() };
        schema.types.insert(names.intern_type(name), def);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_schema_is_complete() {
        let mut names = Names::new();
        let schema = read_metaverse(METAVERSE, &mut names).unwrap();
        let count = |name| schema.types[&names.find_type(name).unwrap()].attributes.len();
        // The counts of the original, and what later builds and this product add.
        assert!(count("person") >= 182 && count("group") >= 86 && count("device") == 29);
        let def = |name| schema.attribute(names.find(name).unwrap()).unwrap();
        assert_eq!((def("member").kind, def("member").multi), (AttributeType::Reference, true));
        assert_eq!((def("objectSid").kind, def("objectSid").multi), (AttributeType::Binary, false));
        assert!(def("sourceAnchor").case_exact);
        let indexed = read_metaverse_index(METAVERSE, &mut names.clone()).unwrap();
        assert!(indexed.contains(&names.find("mail").unwrap()));
        assert!(!indexed.contains(&names.find("photo").unwrap()));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, expected) in [
            ("[attribute]\na = { type = \"strnig\" }\n[type]\np = [\"a\"]", "did you mean `string`"),
            ("[attribute]\na = { type = \"string\" }\n[type]\np = [\"b\"]", "which is not defined"),
            ("[attribute]\na = { typ = \"string\" }\n[type]\np = [\"a\"]", "unknown key `typ`"),
            ("[attribute]\na = { type = \"string\" }\nA = { type = \"string\" }", "defined twice"),
            ("[attribute]\n", "no object types"),
            ("[attribute", ""),
        ] {
            let found = read_metaverse(text, &mut Names::new()).unwrap_err();
            let all = found.iter().map(|d| format!("{} {:?}\n", d.message, d.hint)).collect::<String>();
            assert!(all.contains(expected), "{text}: {all}");
        }
    }
}
