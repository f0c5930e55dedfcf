//! A source made of JSON, and evaluation in JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use onesync_expr::{
    Context, Diagnostic, Env, Evaluated, Failure, Item, Kind, LINKS_MAX, Listed, Outcome, Program, Source,
    compile,
};
use onesync_model::{
    AttrId, AttributeDef, AttributeType, Image, Names, Schema, Time, ValuesRef, bag_from_json,
    list_from_json, value_to_json, values_to_json,
};
use serde_json::{Map, Value as Json, json};

/// Attributes and parameters of one object.
#[derive(Default)]
pub struct Object {
    pub image: Image,
    pub imported: Option<Image>,
    pub dn: Option<String>,
    pub links: BTreeMap<AttrId, u64>,
    pub lists: BTreeSet<AttrId>,
    pub parameters: BTreeMap<String, String>,
}

impl Object {
    pub fn new(attributes: &Json, names: &mut Names) -> Self {
        let mut map = attributes.as_object().cloned().unwrap_or_default();
        let dn = map.remove("dn").and_then(|dn| dn.as_str().map(str::to_owned));
        let bag = bag_from_json(&map, |name| names.intern(name)).unwrap();
        Self { image: Image::from_bag(&bag), dn, ..Self::default() }
    }

    /// Values in the order given; an array is a list, also of one value.
    pub fn given(attributes: &Json, names: &mut Names) -> Self {
        let mut object = Self::default();
        let mut lists = BTreeMap::new();
        for (name, json) in attributes.as_object().unwrap() {
            if name == "dn" {
                object.dn = json.as_str().map(str::to_owned);
                continue;
            }
            let id = names.intern(name);
            lists.insert(id, list_from_json(name, json).unwrap());
            if json.is_array() {
                object.lists.insert(id);
            }
        }
        object.image = Image::from_lists(&lists);
        object
    }
}

impl Source for Object {
    fn values(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
        self.image.as_ref().get(attribute)
    }

    fn imported(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
        self.imported.as_ref().unwrap_or(&self.image).as_ref().get(attribute)
    }

    fn dn(&self) -> Option<&str> {
        self.dn.as_deref()
    }

    fn link_count(&self, attribute: AttrId) -> u64 {
        self.links.get(&attribute).copied().unwrap_or(0)
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

pub const NOW: &str = "2026-03-10T12:00:00Z";

pub fn env() -> Env {
    Env { now: time(NOW), seed: 7 }
}

pub fn time(text: &str) -> Time {
    text.parse().unwrap()
}

/// Compiles without a schema.
pub fn program(text: &str) -> Result<Program, Vec<Diagnostic>> {
    compile(text, &mut Context { names: &mut Names::new(), schema: None, kind: Kind::Inbound })
}

/// Evaluates over attributes, without a schema.
pub fn run(text: &str, attributes: &Json, parameters: &Map<String, Json>) -> Result<Evaluated, Failure> {
    let mut names = Names::new();
    let mut object = Object::new(attributes, &mut names);
    object.parameters = parameters.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect();
    let program = compile(text, &mut Context { names: &mut names, schema: None, kind: Kind::Inbound })
        .unwrap_or_else(|found| panic!("{text}: {found:?}"));
    program.eval(&object, &env())
}

/// Evaluates as the `eval` command does: values in the order given and made; what does not compile is an error, too.
pub fn eval_given(text: &str, attributes: &Json, parameters: &Map<String, Json>) -> Json {
    let mut names = Names::new();
    let mut object = Object::given(attributes, &mut names);
    object.parameters = parameters.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect();
    let program = match compile(text, &mut Context { names: &mut names, schema: None, kind: Kind::Inbound }) {
        Ok(program) => program,
        Err(found) => return json!({"$error": found[0].message}),
    };
    let item = |item: &Item| match item {
        Item::Value(value) => value_to_json(value.as_ref()),
        Item::Decimal(digits) => serde_json::from_str(digits).unwrap(),
    };
    match program.eval_listed(&object, &env()).map(|evaluated| evaluated.outcome) {
        Ok(Outcome::Values(Listed { items, list: true })) => items.iter().map(item).collect(),
        Ok(Outcome::Values(Listed { items, .. })) => item(&items[0]),
        Ok(Outcome::Null) => Json::Null,
        Ok(Outcome::AuthoritativeNull) => json!({"$literal": "AuthoritativeNull"}),
        Ok(Outcome::IgnoreThisFlow) => json!({"$literal": "IgnoreThisFlow"}),
        Ok(Outcome::Link(_)) => panic!("no links without a schema"),
        Err(failure) => json!({"$error": failure.to_string()}),
    }
}

/// Evaluates to JSON; an error is `{"$error": text}`.
pub fn eval(text: &str, attributes: Json) -> Json {
    to_json(run(text, &attributes, &Map::new()))
}

pub fn to_json(result: Result<Evaluated, Failure>) -> Json {
    match result.map(|evaluated| evaluated.outcome) {
        Ok(Outcome::Values(values)) => values_to_json(&values),
        Ok(Outcome::Null) => Json::Null,
        Ok(Outcome::AuthoritativeNull) => json!({"$literal": "AuthoritativeNull"}),
        Ok(Outcome::IgnoreThisFlow) => json!({"$literal": "IgnoreThisFlow"}),
        Ok(Outcome::Link(id)) => json!({"$link": id.0}),
        Err(error) => json!({"$error": error.to_string()}),
    }
}

/// Whether a result is the expected one: `$range` is an interval, `$error: true` any error.
pub fn matches(expected: &Json, actual: &Json) -> bool {
    if let Some(range) = expected.get("$range") {
        let n = actual.as_i64().unwrap_or(i64::MIN);
        return n >= range[0].as_i64().unwrap() && n <= range[1].as_i64().unwrap();
    }
    if expected.get("$error") == Some(&Json::Bool(true)) {
        return actual.get("$error").is_some();
    }
    expected == actual
}

/// A schema of attributes: name, type, several values.
pub fn schema(names: &mut Names, attributes: &[(&str, AttributeType, bool)]) -> Schema {
    let mut schema = Schema::default();
    for &(name, kind, multi) in attributes {
        let id = names.intern(name);
        let name = name.to_owned();
        let def =
            AttributeDef { id, name, kind, multi, case_exact: false, read_only: false, length_max: None };
        schema.attributes.insert(id, def);
    }
    schema
}

/// A shared data file; `None`, said aloud, where the folder is not there.
pub fn shared(file: &str) -> Option<Json> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(error) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("{}: {error}: CI needs the shared data", path.display())
        }
        Err(error) => {
            eprintln!("SKIPPED: {}: {error}", path.display());
            None
        }
    }
}
