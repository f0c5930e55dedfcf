//! What a connector's file says that can be read and is hardly meant: names that nothing has, types that no rule reads,
//! limits that stop everything.

use onesync_connectors::{ConnectorError, TypeRoles};
use onesync_engine::{Limit, Reader};
use onesync_model::{CsId, Names, Schema};
use onesync_rules::RuleSet;

use crate::compile::meant;
use crate::config::{ConfigCheck, ConnectorFile};
use crate::error::ServiceError;
use crate::insight::find_group;
use crate::mistakes::setting_mistake;
use crate::runtime::Runtime;

/// Looks at a connector's file beside what its directory can hold.
pub(crate) fn in_file(
    file: &ConnectorFile,
    schema: &Schema,
    roles: &[TypeRoles],
    names: &Names,
    check: &mut ConfigCheck,
) {
    let has = |name: &str| names.find(name).is_some_and(|id| schema.attributes.contains_key(&id));
    for role in roles.iter().filter(|_| file.kind == "jsonl") {
        for (key, name) in
            [("create_key", &role.create_key), ("name", &role.name), ("enabled", &role.enabled)]
        {
            let Some(name) = name.as_ref().filter(|name| !has(name)) else { continue };
            let place = file.place_of(&["settings", "types", &role.object_type, key]);
            let near = meant(name, schema);
            check.errors += 1;
            check.messages.push(format!(
                "error: {place}: `{name}` is no attribute of `{}`{near}\n  hint: name it under `attributes` of the type, e.g. {name} = \"string\"",
                role.object_type
            ));
        }
    }
    for (name, of_type) in &file.types {
        let Some(limits) = &of_type.limits else { continue };
        for (key, limit) in [("day", limits.day), ("week", limits.week), ("errors", limits.errors)] {
            let Some(limit) = limit.map(Limit::from) else { continue };
            let place = || file.place_of(&["types", name, "limits", key]);
            if limit.percent > 100 {
                check.warning(format!("{}: {} percent are more than all objects", place(), limit.percent));
            }
            if limit == (Limit { count: 0, percent: 0, at_least: 0 }) {
                let what = match key {
                    "errors" => "the first object with an error stops its attribute for all others",
                    _ => "every deletion, disabling and emptied attribute is held",
                };
                check.warning(format!(
                    "{}: all three numbers are 0: {what}; write {{ count = 100, percent = 10, at_least = 10 }}, or leave it out",
                    place()
                ));
            }
        }
    }
}

/// Looks for object types that the settings make and no rule knows.
pub(crate) fn in_types(file: &ConnectorFile, rules: &RuleSet, names: &Names, check: &mut ConfigCheck) {
    let Some(types) = file.settings.get("types").and_then(toml::Value::as_table) else { return };
    if rules.rules().is_empty() {
        return; // there are none, or they have mistakes
    }
    let known: Vec<&str> = rules.rules().iter().map(|rule| names.type_name(rule.object)).collect();
    for (key, value) in types {
        // Of LDIF a class stands for a type; of JSON lines it is the type itself.
        let made = value.as_str().unwrap_or(key);
        if known.iter().any(|name| name.eq_ignore_ascii_case(made)) {
            continue;
        }
        let near = onesync_rules::nearest(made, known.iter().copied());
        let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        check.warning(format!(
            "{}: no rule reads or writes the object type `{made}`{near}",
            file.place_of(&["settings", "types", key])
        ));
    }
}

/// Looks for groups that scopes ask for and that nobody has seen, in connector spaces that hold something.
pub(crate) fn of_groups(
    reader: &dyn Reader,
    runtime: &Runtime,
    check: &mut ConfigCheck,
) -> Result<(), ServiceError> {
    for (rule, name) in runtime.rules.groups_named() {
        let Some(connector) = runtime.connector_by_id(rule.connector) else { continue };
        if reader.cs_page(connector.id, CsId(i64::MIN), 1)?.is_empty()
            || find_group(reader, connector, &name)?.is_some()
        {
            continue;
        }
        let file = runtime.configuration.rules.get(rule.file);
        let (path, text) = file.map_or(("", ""), |file| (file.path.as_str(), file.text.as_str()));
        let before = text.find(&name).and_then(|at| text.get(..at));
        let line = before.map_or(String::new(), |before| format!(":{}", before.matches('\n').count() + 1));
        check.warning(format!(
            "{path}{line}: rule `{}` asks who is a member of `{name}`, and `{}` has no such group: until one is imported nobody is a member\n  hint: `onesync search cs {} TEXT` finds groups; a group has to be in what the connector reads",
            rule.name,
            connector.name(),
            connector.name(),
        ));
    }
    Ok(())
}

/// Adds what a connector doubts about its settings.
pub(crate) fn of_connector(file: &ConnectorFile, doubts: Vec<ConnectorError>, check: &mut ConfigCheck) {
    for doubt in doubts {
        let error = setting_mistake(file, doubt);
        let hint = error.hint().map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
        check.warning(format!("{error}{hint}"));
    }
}
