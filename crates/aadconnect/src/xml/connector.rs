//! `Connectors/Connector_{...}.xml`.

use std::collections::BTreeMap;

use onesync_model::AttributeType;

use super::metaverse::kind_of;
use super::{Element, is_true};
use crate::model::{SchemaAttribute, guid};
use crate::{Connector, ConnectorKind, Domain, Mistake, Profile};

/// What the cloud connector calls itself.
const CLOUD: &str = "Windows Azure Active Directory";

/// Reads one connector.
pub(crate) fn connector(root: Element<'_>, remarks: &mut Vec<String>) -> Result<Connector, Mistake> {
    let data = if root.name() == "ma-data" { Some(root) } else { root.below("ma-data").next() };
    let data = data.ok_or_else(|| root.mistake("`ma-data` is missing"))?;
    let id = data.required("id")?;
    let id = guid(&id).ok_or_else(|| data.mistake(format!("`id` is `{id}`, not a GUID")))?;
    let name = data.required("name")?;
    let category = data.required("category")?;
    let subtype = data.text_of("subtype");
    let kind = match category.as_str() {
        "AD" => ConnectorKind::ActiveDirectory,
        "Extensible2" if subtype.starts_with(CLOUD) => ConnectorKind::Cloud,
        _ if subtype.is_empty() => ConnectorKind::Other(category),
        _ => ConnectorKind::Other(subtype),
    };
    let private = data.child("private-configuration");
    let settings = private.and_then(|p| p.children().next());
    let connectivity = settings.map(|s| parameters(s, |u| u == "connectivity")).unwrap_or_default();
    let account = match kind {
        ConnectorKind::ActiveDirectory => {
            let text = |name| settings.map(|s: Element<'_>| s.text_of(name)).unwrap_or_default();
            let (domain, user) = (text("forest-login-domain"), text("forest-login-user"));
            (!user.is_empty()).then(|| format!("{user}@{domain}"))
        }
        _ => connectivity.get("UserName").cloned(),
    };
    let mut secrets = Vec::new();
    for element in private.into_iter().flat_map(|p| p.below("parameter")) {
        if element.attribute("encrypted").is_some_and(is_true) {
            secrets.extend(element.attribute("name").map(str::to_owned));
        }
    }
    let hash_sync = private.and_then(|p| p.below("password-hash-sync-config").next());
    let domains = data.at(&["ma-partition-data"]).into_iter().flat_map(|d| d.named("partition")).map(domain);
    Ok(Connector {
        account,
        secrets,
        parameters: settings.map(|s| parameters(s, |u| u == "global")).unwrap_or_default(),
        attributes: data
            .child("attribute-inclusion")
            .into_iter()
            .flat_map(|list| list.named("attribute"))
            .map(|a| a.text().trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect(),
        schema: schema(data),
        domains: domains.collect(),
        profiles: data
            .child("ma-run-data")
            .into_iter()
            .flat_map(|list| list.named("run-configuration"))
            .map(|run| profile(run, &name, remarks))
            .collect(),
        password_sync: hash_sync.is_some_and(|h| is_true(&h.text_of("enabled"))),
        created: data.text_of("creation-time"),
        id,
        name,
        kind,
    })
}

/// The parameters of one use, by name.
pub(super) fn parameters(element: Element<'_>, wanted: fn(&str) -> bool) -> BTreeMap<String, String> {
    let lists = element.named("parameter-values");
    let all = lists.flat_map(|list| list.named("parameter"));
    all.filter(|p| wanted(p.attribute("use").unwrap_or_default()))
        .filter_map(|p| Some((p.attribute("name")?.to_owned(), p.text().trim().to_owned())))
        .collect()
}

fn schema(data: Element<'_>) -> BTreeMap<String, SchemaAttribute> {
    let Some(schema) = data.child("schema").and_then(|s| s.below("directory-schema").next()) else {
        return BTreeMap::new();
    };
    let read = |attribute: Element<'_>| {
        let name = attribute.text_of("name");
        let name = if name.is_empty() { attribute.attribute("id")?.to_owned() } else { name };
        // An unknown syntax is text to whoever only passes it on.
        let kind = kind_of(&attribute.text_of("syntax")).unwrap_or(AttributeType::String);
        let multi = !attribute.attribute("single-value").is_some_and(is_true);
        Some((name.to_lowercase(), SchemaAttribute { name, kind, multi }))
    };
    schema.named("attribute-type").filter_map(read).collect()
}

fn domain(partition: Element<'_>) -> Domain {
    let filter = partition.child("filter");
    let list = |outer: &'static str, inner: &'static str| -> Vec<String> {
        let list = filter.and_then(|f| f.below(outer).next());
        list.into_iter()
            .flat_map(|list| list.named(inner))
            .map(|item| item.text().trim().to_owned())
            .filter(|text| !text.is_empty())
            .collect()
    };
    let data = partition.at(&["custom-data", "adma-partition-data"]);
    let dn = data.map(|d| d.text_of("dn")).filter(|dn| !dn.is_empty());
    Domain {
        dn: dn.unwrap_or_else(|| partition.text_of("name")),
        selected: is_true(&partition.text_of("selected")),
        object_types: list("object-classes", "object-class"),
        inclusions: list("inclusions", "inclusion"),
        exclusions: list("exclusions", "exclusion"),
        parameters: parameters(partition, |u| u == "partition"),
        last_server: data.map(|d| d.text_of("last-dc")).filter(|name| !name.is_empty()),
    }
}

fn profile(run: Element<'_>, connector: &str, remarks: &mut Vec<String>) -> Profile {
    let name = run.text_of("name");
    let mut steps = Vec::new();
    for step in run.child("configuration").into_iter().flat_map(|list| list.named("step")) {
        let word = step.child("step-type").and_then(|t| t.attribute("type")).unwrap_or_default();
        let subtype = step.below("apply-rules-subtype").next().map(Element::text).unwrap_or_default();
        match (word, subtype.trim()) {
            ("full-import", _) => steps.push(Ok("full-import")),
            ("delta-import", _) => steps.push(Ok("delta-import")),
            ("export", _) => steps.push(Ok("export")),
            ("apply-rules", "apply-pending") => steps.push(Ok("delta-sync")),
            ("apply-rules", "reevaluate-flow-connectors") => steps.push(Ok("full-sync")),
            ("full-import-reevaluate-rules", _) => steps.extend([Ok("full-import"), Ok("full-sync")]),
            ("delta-import-apply-rules" | "delta-import-delta-sync", _) => {
                steps.extend([Ok("delta-import"), Ok("delta-sync")]);
            }
            _ => steps.push(Err(format!("{word} {}", subtype.trim()).trim().to_owned())),
        }
        let limit = step.at(&["threshold", "object"]).map(|t| t.text().trim().to_owned()).unwrap_or_default();
        if !limit.is_empty() && limit != "0" {
            remarks.push(format!(
                "run profile `{name}` of `{connector}`: its limit of {limit} objects is not carried"
            ));
        }
    }
    Profile { name, steps }
}
