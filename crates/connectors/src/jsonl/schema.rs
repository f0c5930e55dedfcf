//! What a file of JSON lines can hold: what its settings say, and what its lines show beyond that.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use onesync_model::{AttributeType, values_from_json};

use super::import::LineReader;
use super::line::Object;
use super::settings::{JsonlSchema, JsonlSettings};
use crate::kinds::kind_of;
use crate::{
    ConnectorError, DiscoveredAttribute, DiscoveredSchema, DiscoveredType, ErrorClass, TypeRoles, ad_schema,
};

/// All types, and each attribute with the type that holds all its values.
pub(super) fn schema(settings: &JsonlSettings) -> Result<DiscoveredSchema, ConnectorError> {
    let mut found = Found::declared(settings);
    let mut lines = LineReader::open(settings)?;
    loop {
        let line = lines.as_mut().map_or(Ok(None), LineReader::next).map_err(|error| {
            let place = settings.path.display().to_string();
            ConnectorError::new(ErrorClass::Transient, "JSONL-READ", place, error.to_string())
        })?;
        let Some(line) = line else { return Ok(found.finish()) };
        // Lines that cannot be read are the import's to report.
        if let Ok(object) = Object::parse(line) {
            found.note_object(&object);
        }
    }
}

/// What attributes mean, by type.
pub(super) fn roles(settings: &JsonlSettings) -> Vec<TypeRoles> {
    let role = |(name, of_type): (&String, &super::JsonlType)| TypeRoles {
        object_type: name.clone(),
        create_key: of_type.create_key.clone(),
        name: of_type.name.clone(),
        enabled: of_type.enabled.clone(),
        account: of_type.account,
        not_created_if: Vec::new(),
    };
    settings.types.iter().map(role).collect()
}

struct Found<'a> {
    settings: &'a JsonlSettings,
    types: BTreeMap<String, BTreeSet<String>>,
    /// By lower-case name; `true` with those that the settings declare, which no line changes.
    attributes: BTreeMap<String, (DiscoveredAttribute, bool)>,
}

impl<'a> Found<'a> {
    fn declared(settings: &'a JsonlSettings) -> Self {
        let mut found = Self { settings, types: BTreeMap::new(), attributes: BTreeMap::new() };
        if settings.schema == Some(JsonlSchema::Ad) {
            let known = ad_schema::discovered();
            found.types.extend(known.types.into_iter().map(|t| (t.name, t.attributes.into_iter().collect())));
            for attribute in known.attributes {
                let attribute = DiscoveredAttribute { read_only: false, ..attribute };
                found.attributes.insert(attribute.name.to_ascii_lowercase(), (attribute, true));
            }
        }
        if let Some(name) = &settings.object_type {
            found.types.entry(name.clone()).or_default();
        }
        for (type_name, of_type) in &settings.types {
            let names = found.types.entry(type_name.clone()).or_default();
            names.extend(of_type.attributes.keys().cloned());
            for (name, kind) in &of_type.attributes {
                let attribute = discovered(name, kind.kind, kind.multi);
                found.attributes.insert(name.to_ascii_lowercase(), (attribute, true));
            }
        }
        found
    }

    fn note_object(&mut self, object: &Object) {
        let Some(type_name) = object.object_type.clone().or_else(|| self.settings.object_type.clone()) else {
            return;
        };
        let mut names = BTreeSet::new();
        for (name, json) in &object.attributes {
            let Ok(Some(values)) = values_from_json(json) else { continue };
            let values = values.as_slice();
            let kind = match self.is_link(name) {
                true => AttributeType::Reference,
                false => values.iter().map(kind_of).reduce(common).unwrap_or(AttributeType::String),
            };
            names.insert(name.clone());
            self.note(name, kind, values.len() > 1);
        }
        for (name, targets) in &object.links {
            names.insert(name.clone());
            self.note(name, AttributeType::Reference, targets.len() > 1);
        }
        self.types.entry(type_name).or_default().extend(names);
    }

    fn note(&mut self, name: &str, kind: AttributeType, multi: bool) {
        match self.attributes.entry(name.to_ascii_lowercase()) {
            Entry::Vacant(place) => _ = place.insert((discovered(name, kind, multi), false)),
            Entry::Occupied(mut known) => {
                let (attribute, declared) = known.get_mut();
                if !*declared {
                    attribute.multi |= multi;
                    attribute.kind = common(attribute.kind, kind);
                }
            }
        }
    }

    fn is_link(&self, name: &str) -> bool {
        self.settings.link_attributes.iter().any(|link| link.eq_ignore_ascii_case(name))
    }

    fn finish(mut self) -> DiscoveredSchema {
        for name in &self.settings.link_attributes {
            self.note(name, AttributeType::Reference, true);
            self.types.values_mut().for_each(|names| _ = names.insert(name.clone()));
        }
        let writable = self.settings.write;
        let types = self.types.into_iter().map(|(name, attributes)| DiscoveredType {
            name,
            attributes: attributes.into_iter().collect(),
            required: Vec::new(),
            writable,
            read_only: Vec::new(),
            never_empty: Vec::new(),
        });
        let attributes = self
            .attributes
            .into_values()
            .map(|(attribute, _)| DiscoveredAttribute { read_only: !writable, ..attribute });
        DiscoveredSchema { types: types.collect(), attributes: attributes.collect() }
    }
}

/// The type that holds values of both types.
fn common(a: AttributeType, b: AttributeType) -> AttributeType {
    match (a, b) {
        _ if a == b => a,
        (AttributeType::Reference, _) | (_, AttributeType::Reference) => AttributeType::Reference,
        _ => AttributeType::String,
    }
}

fn discovered(name: &str, kind: AttributeType, multi: bool) -> DiscoveredAttribute {
    DiscoveredAttribute {
        name: name.to_owned(),
        kind,
        multi,
        case_exact: false,
        read_only: false,
        length_max: None,
    }
}
