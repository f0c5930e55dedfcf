//! What a server is set to, in a form that another server's can be compared with: rules with their precedence, options,
//! thresholds, what is read. Never a secret, and not the name of one; nor what is a server's own (the way to a directory,
//! the name of the installation, run profiles).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use onesync_engine::Limit;
use onesync_model::hash128;
use onesync_rules::RuleFile;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::error::ServiceError;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// Settings of connectors that say how a server gets to its directory, and as whom.
const OWN: [&str; 16] = [
    "secret",
    "certificate",
    "key",
    "password",
    "bind",
    "client_id",
    "proxy",
    "ca_file",
    "starttls",
    "page_size",
    "url",
    "graph_url",
    "login_url",
    "preferred_servers",
    "path",
    "paths",
];
/// Settings of connectors that say what is read.
const SCOPE: [&str; 5] = ["base", "include", "include_below", "exclude", "object_types"];
/// Keys of a rule that decide nothing, and the one that is compared apart.
const SAID_APART: [&str; 4] = ["precedence", "description", "test", "tag"];

/// What a server is set to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// The rules in the order in which they win.
    rules: Vec<RuleMark>,
    /// Everything else: section, what, value.
    values: BTreeMap<String, BTreeMap<String, String>>,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct RuleMark {
    /// Direction, connectors, object types and name.
    name: String,
    precedence: i64,
    /// The hash of what it says, without its precedence and without words for people.
    hash: String,
}

/// Something that two servers are set to differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingDifference {
    /// `rule`, `precedence`, `option`, `threshold`, `scope`, `connector`, `program`.
    pub section: String,
    /// Which one.
    pub what: String,
    /// On this server; `None` where it has none.
    pub here: Option<String>,
    /// On the other one.
    pub there: Option<String>,
}

impl fmt::Display for SettingDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let (here, there) = (shown(&self.here), shown(&self.there));
        write!(f, "{} {}: {here} here, {there} there", self.section, self.what)
    }
}

impl Settings {
    /// Those of an installation.
    pub(super) fn of(service: &Service, runtime: &Runtime) -> Result<Self, ServiceError> {
        let main = &runtime.configuration.main;
        let mut out = Self::default();
        let anchor = service.source_anchor(main.source_anchor)?.0;
        out.put("option", "source_anchor".to_owned(), anchor.as_str().to_owned());
        out.file_of("onesync.toml", runtime, &["schedule", "database"]);
        if let Some(text) = &runtime.configuration.metaverse {
            let hash = canonical(text, &[]).unwrap_or_else(|| text.clone());
            out.put("option", "metaverse.toml".to_owned(), hash128(&[hash.as_bytes()]).to_string());
        }
        for connector in &runtime.connectors {
            out.connector(service, runtime, connector)?;
        }
        out.rules = rules(&runtime.configuration.rules);
        Ok(out)
    }

    fn put(&mut self, section: &str, what: String, value: String) {
        self.values.entry(section.to_owned()).or_default().insert(what, value);
    }

    /// Tables of a file of the configuration, as options.
    fn file_of(&mut self, path: &str, runtime: &Runtime, tables: &[&str]) {
        let text = runtime.configuration.files.get(path).map(|bytes| String::from_utf8_lossy(bytes));
        let Some(Ok(file)) = text.map(|text| toml::from_str::<Json>(&text)) else { return };
        for name in tables {
            let mut flat = BTreeMap::new();
            flatten((*name).to_owned(), &file[*name], &mut flat);
            flat.into_iter().for_each(|(what, value)| self.put("option", what, value));
        }
    }

    fn connector(
        &mut self,
        service: &Service,
        runtime: &Runtime,
        connector: &ConnectorHandle,
    ) -> Result<(), ServiceError> {
        let (view, name) = (service.connector_view(runtime, connector.name())?, connector.name());
        self.put("connector", format!("{name}: kind"), view.kind);
        self.put("connector", format!("{name}: rank"), view.rank.to_string());
        self.put("option", format!("{name}: out_of_scope"), view.out_of_scope.to_owned());
        self.put("threshold", format!("{name}: suspect_percent"), view.suspect_percent.to_string());
        self.put("threshold", format!("{name}: suspect_at_least"), view.suspect_at_least.to_string());
        let mut flat = BTreeMap::new();
        let file = &connector.file;
        flatten("parameters".to_owned(), &json!(view.parameters), &mut flat);
        flatten("adopt_by".to_owned(), &json!(file.adopt_by), &mut flat);
        for (what, value) in std::mem::take(&mut flat) {
            self.put("option", format!("{name}: {what}"), value);
        }
        if let Some(pilot) = &file.pilot {
            let who = json!({"group": pilot.group, "people": pilot.people});
            self.put("scope", format!("{name}: pilot"), who.to_string());
        }
        for (key, value) in &view.settings {
            if OWN.contains(&key.as_str()) {
                continue;
            }
            flatten(format!("settings.{key}"), &json!(value), &mut flat);
            let section = if SCOPE.contains(&key.as_str()) { "scope" } else { "option" };
            for (what, value) in std::mem::take(&mut flat) {
                self.put(section, format!("{name}: {what}"), value);
            }
        }
        for of_type in view.types {
            let object_type = of_type.name;
            self.put("scope", format!("{name}: {object_type}"), "read".to_owned());
            for attribute in of_type.attributes {
                self.put("scope", format!("{name}: {object_type}, {attribute}"), "read".to_owned());
            }
            if let Some(deprovision) = of_type.deprovision {
                self.put("option", format!("{name}: {object_type}, who leaves is"), deprovision);
            }
        }
        for (object_type, limits) in &connector.limits {
            let object_type = runtime.names.type_name(*object_type);
            for (what, Limit { count, percent, at_least }) in
                [("day", limits.day), ("week", limits.week), ("errors", limits.errors)]
            {
                let text = format!("{count}, {percent} percent, at least {at_least}");
                self.put("threshold", format!("{name}: {object_type}, {what}"), text);
            }
        }
        Ok(())
    }

    /// What is different on this server from another one.
    pub(super) fn differences(&self, there: &Self) -> Vec<SettingDifference> {
        let mut out = self.rule_differences(there);
        let sections: BTreeSet<&String> = self.values.keys().chain(there.values.keys()).collect();
        let none = BTreeMap::new();
        for section in sections {
            let of = |side: &'_ Self| side.values.get(section).unwrap_or(&none).clone();
            let (here, there) = (of(self), of(there));
            let all: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
            out.extend(all.into_iter().filter(|&what| here.get(what) != there.get(what)).map(|what| {
                SettingDifference {
                    section: section.clone(),
                    what: what.clone(),
                    here: here.get(what).cloned(),
                    there: there.get(what).cloned(),
                }
            }));
        }
        out
    }

    fn rule_differences(&self, there: &Self) -> Vec<SettingDifference> {
        let of = |side: &'_ Self| -> BTreeMap<String, RuleMark> {
            side.rules.iter().map(|rule| (rule.name.clone(), rule.clone())).collect()
        };
        let (ours, theirs) = (of(self), of(there));
        let all: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        let mut out = Vec::new();
        for what in all {
            let mut put = |section: &str, here: Option<String>, there: Option<String>| {
                if here != there {
                    let (section, what) = (section.to_owned(), what.clone());
                    out.push(SettingDifference { section, what, here, there });
                }
            };
            let (here, there) = (ours.get(what), theirs.get(what));
            put("rule", here.map(|rule| rule.hash.clone()), there.map(|rule| rule.hash.clone()));
            if let (Some(here), Some(there)) = (here, there) {
                let number = |rule: &RuleMark| Some(rule.precedence.to_string());
                put("precedence", number(here), number(there));
            }
        }
        // Other numbers in the same order decide the same.
        let common = |side: &'_ Self, other: &BTreeMap<String, RuleMark>| -> Vec<String> {
            let rules = side.rules.iter().filter(|rule| other.contains_key(&rule.name));
            rules.map(|rule| rule.name.clone()).collect()
        };
        let (here, there) = (common(self, &theirs), common(there, &ours));
        if let Some(at) = here.iter().zip(&there).position(|(a, b)| a != b) {
            out.push(SettingDifference {
                section: "precedence".to_owned(),
                what: format!("order of rules, at place {}", at + 1),
                here: here.get(at).cloned(),
                there: there.get(at).cloned(),
            });
        }
        out
    }
}

/// The rules that are in force, in the order in which they win.
fn rules(files: &[RuleFile]) -> Vec<RuleMark> {
    let mut marks: Vec<(String, RuleMark)> = files
        .iter()
        .filter_map(|file| {
            let table: Json = toml::from_str(&file.text).ok()?;
            if table["disabled"] == true {
                return None;
            }
            let text = |key: &str| match &table[key] {
                Json::String(text) => text.clone(),
                Json::Null => String::new(),
                other => other.to_string(),
            };
            let direction = text("direction");
            let name = format!("`{}` ({direction}, {}, {})", text("name"), text("connector"), text("object"));
            let hash = hash128(&[canonical(&file.text, &SAID_APART)?.as_bytes()]).to_string();
            let precedence = table["precedence"].as_i64().unwrap_or_default();
            Some((direction, RuleMark { name, precedence, hash }))
        })
        .collect();
    marks.sort_by(|(a, x), (b, y)| (a, x.precedence, &x.name).cmp(&(b, y.precedence, &y.name)));
    marks.into_iter().map(|(_, mark)| mark).collect()
}

/// A text of TOML as what it says: without order, comments and spaces, and without some keys.
fn canonical(text: &str, without: &[&str]) -> Option<String> {
    let mut table: serde_json::Map<String, Json> = toml::from_str(text).ok()?;
    table.retain(|key, _| !without.contains(&key.as_str()));
    Some(Json::Object(table).to_string())
}

/// Each value by its path.
fn flatten(path: String, value: &Json, out: &mut BTreeMap<String, String>) {
    match value {
        Json::Null => {}
        Json::Object(map) => {
            for (key, value) in map {
                flatten(format!("{path}.{key}"), value, out);
            }
        }
        Json::Array(values) if values.is_empty() => {}
        Json::String(text) => _ = out.insert(path, text.clone()),
        other => _ = out.insert(path, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, precedence: i32, rest: &str) -> RuleFile {
        let text = format!(
            "name = \"{name}\"\ndirection = \"inbound\"\nconnector = \"a\"\nobject = \"user\"\nprecedence = {precedence}\n{rest}"
        );
        RuleFile { path: format!("rules/{name}.toml"), text }
    }

    fn settings(files: &[RuleFile], values: &[(&str, &str, &str)]) -> Settings {
        let mut out = Settings { rules: rules(files), ..Settings::default() };
        for (section, what, value) in values {
            out.put(section, (*what).to_owned(), (*value).to_owned());
        }
        out
    }

    fn said(here: &Settings, there: &Settings) -> Vec<String> {
        here.differences(there).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_are_compared_by_what_they_say() {
        let one = settings(&[rule("x", 10, "link = \"join\"\n"), rule("y", 20, ""), rule("z", 30, "")], &[]);
        let written =
            rule("x", 10, "# another comment\ndescription = \"for people\"\nlink    =   \"join\"\n");
        let same = settings(&[rule("z", 30, ""), rule("y", 20, ""), written], &[]);
        assert_eq!(said(&one, &same), Vec::<String>::new());
        // Other text, one that is missing, one that is there only, one that is off.
        let off = rule("y", 20, "disabled = true\n");
        let other = settings(&[rule("x", 10, "link = \"provision\"\n"), off, rule("new", 40, "")], &[]);
        let differences = one.differences(&other);
        let sorts: Vec<(&str, bool, bool)> = differences
            .iter()
            .map(|d| (d.what.split('`').nth(1).unwrap(), d.here.is_some(), d.there.is_some()))
            .collect();
        assert_eq!(sorts, [("new", false, true), ("x", true, true), ("y", true, false), ("z", true, false)]);
        assert!(differences.iter().all(|d| d.section == "rule"), "{differences:?}");
    }

    #[test]
    fn another_precedence_is_told_and_whether_the_order_is_another() {
        let here = settings(&[rule("x", 110, ""), rule("y", 120, "")], &[]);
        let there = settings(&[rule("x", 10, ""), rule("y", 20, "")], &[]);
        let told = said(&here, &there);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0], "precedence `x` (inbound, a, user): 110 here, 10 there");
        let turned = settings(&[rule("x", 30, ""), rule("y", 20, "")], &[]);
        let told = said(&turned, &there);
        assert!(told.len() == 2 && told[1].starts_with("precedence order of rules, at place 1"), "{told:?}");
    }

    #[test]
    fn values_are_compared_by_section() {
        let here =
            settings(&[], &[("option", "a: x", "1"), ("threshold", "a: day", "5"), ("scope", "s", "")]);
        let there = settings(&[], &[("option", "a: x", "2"), ("threshold", "a: day", "5")]);
        assert_eq!(said(&here, &there), ["option a: x: 1 here, 2 there", "scope s:  here, none there"]);
    }

    #[test]
    fn values_are_told_by_their_paths() {
        let mut flat = BTreeMap::new();
        flatten("a".to_owned(), &json!({"b": {"c": "x"}, "d": [1, 2], "e": [], "f": null}), &mut flat);
        assert_eq!(flat, BTreeMap::from([("a.b.c".into(), "x".into()), ("a.d".into(), "[1,2]".into())]));
    }
}
