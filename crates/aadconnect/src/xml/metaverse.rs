//! `GlobalSettings/MV.xml`: the metaverse's schema and the global parameters.

use std::collections::BTreeMap;

use onesync_model::AttributeType;

use super::{Element, is_true};
use crate::{Metaverse, MetaverseAttribute, Mistake};

/// Reads the schema and the parameters.
pub(crate) fn metaverse(
    root: Element<'_>,
    remarks: &mut Vec<String>,
) -> Result<(Metaverse, BTreeMap<String, String>), Mistake> {
    let data = root.child("mv-data").ok_or_else(|| root.mistake("`mv-data` is missing"))?;
    let schema =
        data.below("directory-schema").next().ok_or_else(|| data.mistake("the schema is missing"))?;
    let mut out = Metaverse::default();
    for attribute in schema.named("attribute-type") {
        let id = attribute.attribute("id").map(str::to_owned).unwrap_or_else(|| attribute.text_of("name"));
        if id.is_empty() {
            return Err(attribute.mistake("an attribute without a name"));
        }
        let syntax = attribute.text_of("syntax");
        let kind = kind_of(&syntax).unwrap_or_else(|| {
            remarks
                .push(format!("metaverse attribute `{id}`: syntax `{syntax}` is not known, taken as text"));
            AttributeType::String
        });
        out.attributes.insert(
            id.to_lowercase(),
            MetaverseAttribute {
                name: id,
                kind,
                multi: !attribute.attribute("single-value").is_some_and(is_true),
                indexed: attribute.attribute("indexable").is_some_and(is_true)
                    || attribute.attribute("indexed").is_some_and(is_true),
            },
        );
    }
    for class in schema.named("class") {
        let name = class.attribute("id").map(str::to_owned).unwrap_or_else(|| class.text_of("name"));
        let mut attributes: Vec<String> = Vec::new();
        for attribute in class.named("attribute") {
            let reference =
                attribute.attribute("ref").unwrap_or_default().trim_start_matches('#').to_lowercase();
            if !out.attributes.contains_key(&reference) {
                return Err(attribute.mistake(format!("`{reference}` is no attribute of this schema")));
            }
            attributes.push(reference);
        }
        attributes.sort_unstable();
        attributes.dedup();
        out.types.insert(name, attributes);
    }
    if out.types.is_empty() {
        return Err(schema.mistake("the schema has no object types"));
    }
    Ok((out, super::connector::parameters(data, |use_| use_ != "partition")))
}

/// The type of an LDAP syntax.
pub(super) fn kind_of(syntax: &str) -> Option<AttributeType> {
    Some(match syntax.strip_prefix("1.3.6.1.4.1.1466.115.121.1.")? {
        "15" => AttributeType::String,
        "12" => AttributeType::Reference,
        "27" => AttributeType::Integer,
        "7" => AttributeType::Boolean,
        "5" => AttributeType::Binary,
        "24" => AttributeType::Time,
        _ => return None,
    })
}
