//! Evaluating one expression over attributes given as JSON, outside of any installation.
//!
//! Several values are taken in the order given, and results given in the order in which they are made, so that
//! examples can be tried as they are published; a sync has them in canonical order.

use std::collections::{BTreeMap, BTreeSet};

use onesync_expr::{Context, Env, EvalError, Item, Kind, LINKS_MAX, Listed, Outcome, Source};
use onesync_model::{
    AttrId, Bag, Image, Names, Time, Values, ValuesRef, group_name, list_from_json, value_to_json,
};
use onesync_rules::render_expression;
use serde_json::{Map, Value as Json, json};

use crate::error::ServiceError;

/// An expression, and what it is evaluated over.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The expression.
    pub expression: String,
    /// Its attributes.
    pub attributes: Map<String, Json>,
    /// Its parameters.
    pub parameters: Map<String, Json>,
    /// What `Now()` gives.
    pub now: Time,
    /// The direction.
    pub kind: Kind,
    /// Whether several values are taken and given as in a sync: in canonical order, each once.
    pub canonical: bool,
}

/// What an evaluation gave.
#[derive(Clone, Debug)]
pub struct EvaluationResult {
    /// The value, or `{"$error": message}`.
    pub value: Json,
    /// The first instant at which it may be otherwise.
    pub valid_until: Option<Time>,
    /// Where and why it failed, for people.
    pub report: Option<String>,
    /// Whether the expression itself is wrong: it was not evaluated.
    pub refused: bool,
}

/// Reads a JSON object; `what` names it in messages.
///
/// # Errors
/// When it is something else.
pub fn json_object(text: &str, what: &str) -> Result<Map<String, Json>, ServiceError> {
    let read = serde_json::from_str(text).map_err(|error| {
        ServiceError::usage(format!("{what} are no JSON object: {error}"), "write e.g. '{\"sn\": \"Meier\"}'")
    })?;
    names_once(text.as_bytes()).map_err(|message| {
        ServiceError::usage(
            format!("{what}: {message}"),
            "several values are an array: {\"mail\": [\"a\", \"b\"]}",
        )
    })?;
    Ok(read)
}

/// Whether no object of a JSON text has a name twice: a reader would take the last one without a word.
pub(crate) fn names_once(text: &[u8]) -> Result<(), String> {
    serde_json::from_slice::<NamesOnce>(text).map(|_| ()).map_err(|error| error.to_string())
}

struct NamesOnce;

impl<'de> serde::Deserialize<'de> for NamesOnce {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NamesOnceVisitor)
    }
}

struct NamesOnceVisitor;

impl<'de> serde::de::Visitor<'de> for NamesOnceVisitor {
    type Value = NamesOnce;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<NamesOnce, A::Error> {
        let mut seen = std::collections::BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            map.next_value::<NamesOnce>()?;
            if seen.contains(&name) {
                return Err(serde::de::Error::custom(format!(
                    "the name `{name}` stands twice in one object"
                )));
            }
            seen.insert(name);
        }
        Ok(NamesOnce)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<NamesOnce, A::Error> {
        while list.next_element::<NamesOnce>()?.is_some() {}
        Ok(NamesOnce)
    }

    fn visit_bool<E>(self, _: bool) -> Result<NamesOnce, E> {
        Ok(NamesOnce)
    }

    fn visit_i64<E>(self, _: i64) -> Result<NamesOnce, E> {
        Ok(NamesOnce)
    }

    fn visit_u64<E>(self, _: u64) -> Result<NamesOnce, E> {
        Ok(NamesOnce)
    }

    fn visit_f64<E>(self, _: f64) -> Result<NamesOnce, E> {
        Ok(NamesOnce)
    }

    fn visit_str<E>(self, _: &str) -> Result<NamesOnce, E> {
        Ok(NamesOnce)
    }

    fn visit_unit<E>(self) -> Result<NamesOnce, E> {
        Ok(NamesOnce)
    }
}

/// Reads a time for `Now()`.
///
/// # Errors
/// When it is none.
pub fn eval_time(text: &str) -> Result<Time, ServiceError> {
    text.parse().map_err(|_| {
        ServiceError::usage(format!("`{text}` is no time"), "write RFC 3339, e.g. 2026-01-31T00:00:00Z")
    })
}

/// Reads a direction.
///
/// # Errors
/// When it is none.
pub fn eval_kind(text: &str) -> Result<Kind, ServiceError> {
    match text {
        "inbound" => Ok(Kind::Inbound),
        "outbound" => Ok(Kind::Outbound),
        other => Err(ServiceError::usage(format!("`{other}` is no kind"), "write inbound or outbound")),
    }
}

/// Evaluates an expression.
///
/// # Errors
/// When attributes or parameters have none of the forms of values.
pub fn eval(request: &Evaluation) -> Result<EvaluationResult, ServiceError> {
    let mut names = Names::new();
    let mut source = Given::read(request, &mut names)?;
    let mut context = Context { names: &mut names, schema: None, kind: request.kind };
    let mut report = None;
    let compiled = onesync_expr::compile(&request.expression, &mut context).or_else(|found| {
        let translated = onesync_expr::from_ancestor(&request.expression).ok_or_else(|| found.clone())?;
        report = Some(format!("in the words of this language: {translated}"));
        onesync_expr::compile(&translated, &mut context).map_err(|_| found)
    });
    let program = match compiled {
        Ok(program) => program,
        Err(found) => {
            let messages: Vec<String> = found
                .iter()
                .map(|d| match &d.hint {
                    Some(hint) => format!("{} ({hint})", d.message),
                    None => d.message.clone(),
                })
                .collect();
            return Ok(EvaluationResult {
                value: json!({"$error": messages.join("; ")}),
                valid_until: None,
                report: Some(render_expression(&request.expression, &found)),
                refused: true,
            });
        }
    };
    if request.canonical {
        source.lists.clear();
    }
    let env = Env { now: request.now, seed: 0 };
    let result = |value, valid_until, report| EvaluationResult { value, valid_until, report, refused: false };
    Ok(match program.eval_listed(&source, &env) {
        Ok(evaluated) => {
            let value = match evaluated.outcome {
                Outcome::Values(listed) => listed_to_json(listed, request.canonical),
                Outcome::Null => Json::Null,
                Outcome::AuthoritativeNull => json!({"$literal": "AuthoritativeNull"}),
                Outcome::IgnoreThisFlow => json!({"$literal": "IgnoreThisFlow"}),
                // Without a schema no attribute is known to be one of links.
                Outcome::Link(_) => Json::Null,
            };
            result(value, evaluated.valid_until, report)
        }
        Err(failure) => {
            let report = match &failure.error {
                EvalError::Failed { message, start, end } => {
                    let place = onesync_expr::Diagnostic {
                        start: *start,
                        end: *end,
                        message: message.clone(),
                        hint: None,
                        severity: onesync_expr::Severity::Error,
                    };
                    render_expression(program.text(), &[place])
                }
                other => format!("error: {other}"),
            };
            result(json!({"$error": failure.to_string()}), failure.valid_until, Some(report))
        }
    })
}

/// Attributes and parameters as given.
pub(crate) struct Given {
    image: Image,
    /// What ImportedValue reads, where that is something else.
    imported: Option<Image>,
    /// Numbers of link values, where they are given as numbers.
    links: Option<BTreeMap<AttrId, u64>>,
    dn: Option<String>,
    /// Attributes that were given as an array.
    lists: BTreeSet<AttrId>,
    parameters: BTreeMap<String, String>,
    /// The groups that it is a member of, by names in the form in which they are compared.
    groups: Vec<String>,
}

impl Given {
    fn read(request: &Evaluation, names: &mut Names) -> Result<Self, ServiceError> {
        let mut dn = None;
        let mut lists = BTreeSet::new();
        let mut attributes = BTreeMap::new();
        for (name, json) in &request.attributes {
            let mut values = list_from_json(name, json).map_err(|error| {
                ServiceError::usage(
                    format!("attribute `{name}`: {error}"),
                    "see docs/reference.md, values in JSON",
                )
            })?;
            if request.canonical {
                values = Values::new(values).map(Values::into_vec).unwrap_or_default();
            }
            if name == "dn" {
                dn = values.first().map(ToString::to_string);
            }
            let id = names.intern(name);
            if json.is_array() {
                lists.insert(id);
            }
            attributes.insert(id, values);
        }
        let mut parameters = BTreeMap::new();
        for (name, json) in &request.parameters {
            let text = match json {
                Json::String(text) => text.clone(),
                Json::Number(_) | Json::Bool(_) => json.to_string(),
                Json::Null => continue,
                _ => {
                    let message = format!("parameter `{name}` is neither a text nor a number");
                    return Err(ServiceError::usage(
                        message,
                        "write e.g. '{\"Domain.FQDN\": \"contoso.com\"}'",
                    ));
                }
            };
            parameters.insert(name.clone(), text);
        }
        let image = Image::from_lists(&attributes);
        Ok(Self { image, imported: None, links: None, dn, lists, parameters, groups: Vec::new() })
    }

    /// An object as a sync sees it.
    pub(crate) fn in_sync(
        attributes: &Bag,
        imported: Option<&Bag>,
        dn: Option<String>,
        links: BTreeMap<AttrId, u64>,
        parameters: BTreeMap<String, String>,
    ) -> Self {
        Self {
            image: Image::from_bag(attributes),
            imported: imported.map(Image::from_bag),
            links: Some(links),
            dn,
            lists: BTreeSet::new(),
            parameters,
            groups: Vec::new(),
        }
    }

    /// The same, a member of these groups.
    pub(crate) fn in_groups(self, names: &[String]) -> Self {
        Self { groups: names.iter().map(|name| group_name(name)).collect(), ..self }
    }
}

impl Source for Given {
    fn values(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
        self.image.as_ref().get(attribute)
    }

    fn imported(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
        self.imported.as_ref().unwrap_or(&self.image).as_ref().get(attribute)
    }

    fn dn(&self) -> Option<&str> {
        self.dn.as_deref()
    }

    fn is_member_of(&self, group: &str) -> bool {
        self.groups.iter().any(|name| name == group)
    }

    fn link_count(&self, attribute: AttrId) -> u64 {
        match &self.links {
            Some(links) if links.contains_key(&attribute) => links.get(&attribute).copied().unwrap_or(0),
            _ => self.values(attribute).map_or(0, |values| values.count() as u64),
        }
    }

    fn link_names(&self, attribute: AttrId) -> Result<Option<ValuesRef<'_>>, u64> {
        match self.link_count(attribute) {
            count if count > LINKS_MAX => Err(count),
            _ => Ok(self.values(attribute)),
        }
    }

    fn is_list(&self, attribute: AttrId) -> bool {
        self.lists.contains(&attribute)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

fn listed_to_json(listed: Listed, canonical: bool) -> Json {
    let mut list = listed.list;
    let mut decimals = Vec::new();
    let mut values = Vec::new();
    for item in listed.items {
        match item {
            Item::Value(value) => values.push(value),
            // Exact digits; a JSON number that holds fewer is the nearest one.
            Item::Decimal(digits) => {
                decimals.push(serde_json::from_str(&digits).unwrap_or(Json::String(digits)))
            }
        }
    }
    if canonical {
        values = Values::new(values).map(Values::into_vec).unwrap_or_default();
        list = values.len() + decimals.len() > 1;
    }
    let mut all: Vec<Json> =
        values.iter().map(|value| value_to_json(value.as_ref())).chain(decimals).collect();
    if list { Json::Array(all) } else { all.pop().unwrap_or(Json::Null) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(expression: &str, attributes: Json, canonical: bool) -> Evaluation {
        Evaluation {
            expression: expression.to_owned(),
            attributes: attributes.as_object().unwrap().clone(),
            parameters: Map::new(),
            now: Time::default(),
            kind: Kind::Inbound,
            canonical,
        }
    }

    #[test]
    fn values_keep_their_order_unless_a_sync_is_asked_for() {
        let values = json!({"p": ["b", "A", "b"], "one": ["x"]});
        let value = |text: &str, canonical| eval(&request(text, values.clone(), canonical)).unwrap().value;
        assert_eq!(value("UCase([p])", false), json!(["B", "A", "B"]));
        assert_eq!(value("UCase([p])", true), json!(["A", "B"]));
        assert_eq!(value("[one]", false), json!(["x"]));
        assert_eq!(value("[one]", true), json!("x"));
        assert_eq!(value("0.5 + 1", false), json!(1.5));
    }

    #[test]
    fn what_is_wrong_is_shown_at_its_place() {
        let found = eval(&request("Trim([a]) & trim([b])", json!({}), false)).unwrap();
        assert!(found.refused);
        let report = found.report.unwrap();
        assert!(report.contains("^^^^") && report.contains("`Trim`"), "{report}");
        let found = eval(&request("1 + CNum([a])", json!({"a": "x"}), false)).unwrap();
        assert!(!found.refused && found.report.unwrap().contains("^^^^^^^^^"));
        assert_eq!(found.value, json!({"$error": "CNum: `x` is not a number"}));
        assert!(eval(&request("1", json!({"a": {"b": 1}}), false)).is_err());
        let found = eval(&request("UpperCase([a])", json!({"a": "x"}), false)).unwrap();
        assert_eq!(found.value, json!("X"));
        assert!(found.report.unwrap().contains("UCase([a])"));
    }
}
