//! One line: an object as JSON, read and written.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use onesync_model::{Value, Values, values_from_json, values_to_json};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::settings::LinksBy;
use crate::{Anchor, LinkTarget};

/// One object as a line has it. Order of names is kept sorted, so that equal objects are equal lines.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// Its immutable identity: text, or `{"$bin": base64}`.
    pub anchor: Json,
    /// Its type; by default that of the settings.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub object_type: Option<String>,
    /// Its name; by default its anchor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dn: Option<String>,
    /// Its values.
    #[serde(default)]
    pub attributes: BTreeMap<String, Json>,
    /// Its links.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, Vec<Json>>,
}

impl Object {
    /// Reads a line.
    ///
    /// # Errors
    /// When it is not JSON, or not an object of this form.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        // An array of the right length would pass for an object.
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err("expected a JSON object: `{\"anchor\": ...}`".to_owned());
        }
        serde_json::from_slice(line).map_err(|error| {
            // The line number is the file's, not the one that the JSON reader counts.
            let text = error.to_string();
            text.split(" at line ").next().unwrap_or_default().to_owned()
        })
    }

    /// Its anchor.
    ///
    /// # Errors
    /// When it is empty or has none of the two forms.
    pub fn anchor(&self) -> Result<Anchor, String> {
        read_anchor(&self.anchor).ok_or_else(|| {
            format!("`anchor` is `{}`: write text that is not empty, or {{\"$bin\": base64}}", self.anchor)
        })
    }

    /// The values of an attribute, by whatever spelling of its name.
    ///
    /// # Errors
    /// When a value has none of the forms of a value.
    pub fn values(&self, name: &str) -> Result<Option<Values>, String> {
        match lookup(&self.attributes, name) {
            Some(json) => values_from_json(json).map_err(|error| format!("attribute `{name}`: {error}")),
            None => Ok(None),
        }
    }

    /// The links of an attribute, by whatever spelling of its name; links may stand among the attributes, too.
    ///
    /// # Errors
    /// When a link has none of the forms of a link.
    pub fn targets(&self, name: &str, by: LinksBy) -> Result<Vec<LinkTarget>, String> {
        let among_links = lookup(&self.links, name).map(Vec::as_slice).unwrap_or_default();
        let among_values = match lookup(&self.attributes, name) {
            Some(Json::Array(many)) => many.as_slice(),
            Some(Json::Null) | None => &[],
            Some(one) => std::slice::from_ref(one),
        };
        let read = |json: &Json| {
            read_target(json, by).ok_or_else(|| {
                format!(
                    "link `{name}`: `{json}` is no link: write the target's anchor as text, {{\"anchor\": ...}} or \
                     {{\"dn\": ...}}"
                )
            })
        };
        among_links.iter().chain(among_values).map(read).collect()
    }

    /// Sets or removes an attribute.
    pub fn set(&mut self, name: &str, values: Option<&Values>) {
        remove_name(&mut self.attributes, name);
        if let Some(values) = values {
            self.attributes.insert(name.to_owned(), values_to_json(values));
        }
    }

    /// Adds and removes links.
    ///
    /// # Errors
    /// When the links that are there cannot be read.
    pub fn link(&mut self, name: &str, add: &[Anchor], remove: &[Anchor], by: LinksBy) -> Result<(), String> {
        let mut targets = self.targets(name, by)?;
        targets.retain(|target| !remove.iter().any(|gone| *target == LinkTarget::Anchor(gone.clone())));
        targets.extend(add.iter().cloned().map(LinkTarget::Anchor));
        targets.sort();
        targets.dedup();
        remove_name(&mut self.attributes, name);
        remove_name(&mut self.links, name);
        if !targets.is_empty() {
            self.links
                .insert(name.to_owned(), targets.iter().map(|target| write_target(target, by)).collect());
        }
        Ok(())
    }
}

/// Writes an anchor: as text where it is text.
#[must_use]
pub fn write_anchor(anchor: &Anchor) -> Json {
    anchor.as_text().map_or_else(|| json!({"$bin": BASE64.encode(&anchor.0)}), |text| json!(text))
}

fn read_anchor(json: &Json) -> Option<Anchor> {
    let values = values_from_json(json).ok()??;
    match values.as_slice() {
        [Value::String(text)] if !text.is_empty() => Some(Anchor::text(text)),
        [Value::Binary(bytes)] if !bytes.is_empty() => Some(Anchor(bytes.clone())),
        _ => None,
    }
}

fn read_target(json: &Json, by: LinksBy) -> Option<LinkTarget> {
    if let Json::Object(map) = json
        && map.len() == 1
    {
        if let Some(anchor) = map.get("anchor") {
            return read_anchor(anchor).map(LinkTarget::Anchor);
        }
        if let Some(Json::String(dn)) = map.get("dn").or_else(|| map.get("$ref")) {
            return (!dn.is_empty()).then(|| LinkTarget::Dn(dn.clone()));
        }
    }
    match (by, json) {
        (LinksBy::Dn, Json::String(dn)) => (!dn.is_empty()).then(|| LinkTarget::Dn(dn.clone())),
        (LinksBy::Dn, _) => None,
        (LinksBy::Anchor, json) => read_anchor(json).map(LinkTarget::Anchor),
    }
}

fn write_target(target: &LinkTarget, by: LinksBy) -> Json {
    match (target, by) {
        (LinkTarget::Anchor(anchor), LinksBy::Anchor) => write_anchor(anchor),
        (LinkTarget::Anchor(anchor), LinksBy::Dn) => json!({"anchor": write_anchor(anchor)}),
        (LinkTarget::Dn(dn), LinksBy::Dn) => json!(dn),
        (LinkTarget::Dn(dn), LinksBy::Anchor) => json!({"dn": dn}),
    }
}

fn lookup<'a, T>(map: &'a BTreeMap<String, T>, name: &str) -> Option<&'a T> {
    map.get(name)
        .or_else(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn remove_name<T>(map: &mut BTreeMap<String, T>, name: &str) {
    map.retain(|key, _| !key.eq_ignore_ascii_case(name));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        Object::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_compare_without_case_and_links_have_three_forms() {
        let read = object(
            r#"{"anchor": "1", "attributes": {"Mail": "a@x", "manager": "3"},
                "links": {"MEMBER": ["2", {"$bin": "/w=="}, {"dn": "CN=x"}, {"anchor": "9"}]}}"#,
        );
        assert_eq!(read.values("mail").unwrap(), Some(Values::one("a@x".into())));
        assert_eq!(
            read.targets("manager", LinksBy::Anchor).unwrap(),
            [LinkTarget::Anchor(Anchor::text("3"))]
        );
        let expected = [
            LinkTarget::Anchor(Anchor::text("2")),
            LinkTarget::Anchor(Anchor([0xff].into())),
            LinkTarget::Dn("CN=x".to_owned()),
            LinkTarget::Anchor(Anchor::text("9")),
        ];
        assert_eq!(read.targets("member", LinksBy::Anchor).unwrap(), expected);
        assert!(
            object(r#"{"anchor": "1", "links": {"member": [7]}}"#)
                .targets("member", LinksBy::Anchor)
                .is_err()
        );
    }

    #[test]
    fn links_survive_being_written_in_both_ways() {
        for by in [LinksBy::Anchor, LinksBy::Dn] {
            let mut written =
                object(r#"{"anchor": "1", "links": {"member": [{"anchor": "2"}, {"dn": "CN=x"}]}}"#);
            written
                .link("member", &[Anchor::text("3"), Anchor::text("3")], &[Anchor::text("2")], by)
                .unwrap();
            let expected = [LinkTarget::Anchor(Anchor::text("3")), LinkTarget::Dn("CN=x".to_owned())];
            assert_eq!(written.targets("member", by).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_object_is_refused_without_a_wrong_line_number() {
        for bad in ["", "{", "[]", r#"{"anchor": "1", "attribute": {}}"#, r#"{"type": "user"}"#] {
            let error = Object::parse(bad.as_bytes()).unwrap_err();
            assert!(!error.contains("line 1"), "{error}");
        }
        assert!(object(r#"{"anchor": ""}"#).anchor().is_err());
        assert!(object(r#"{"anchor": 1.5}"#).anchor().is_err());
    }
}
