//! `SynchronizationRules/SynchronizationRule_{...}.xml`.

use super::{Element, is_true};
use crate::model::guid;
use crate::words::{parse_link, parse_merge, soft_delete};
use crate::{Condition, Flow, FlowSource, LinkType, Mistake, Rule, ScopeClause};

/// Elements of a rule that are read, and those that say nothing a configuration needs.
const KNOWN: [&str; 22] = [
    "id",
    "internal-id",
    "version",
    "name",
    "description",
    "immutable-tag",
    "direction",
    "disabled",
    "connector",
    "sourceObjectType",
    "targetObjectType",
    "linkType",
    "precedence",
    "precedence-after",
    "precedence-before",
    "softDeleteExpiryInterval",
    "EnablePasswordSync",
    "attribute-mappings",
    "relationshipCriteria",
    "synchronizationCriteria",
    "creation-time",
    "last-modification-time",
];

/// Reads one rule; what is not understood becomes a remark.
pub(crate) fn rule(root: Element<'_>, remarks: &mut Vec<String>) -> Result<Rule, Mistake> {
    let name = root.required("name")?;
    for unknown in root.children().filter(|child| !KNOWN.contains(&child.name())) {
        let (file, line, column) = unknown.place();
        remarks.push(format!(
            "{file}:{line}:{column}: element `{}` of rule `{name}` is not known and was left out",
            unknown.name()
        ));
    }
    let inbound = match root.required("direction")?.to_ascii_lowercase().as_str() {
        "inbound" => true,
        "outbound" => false,
        other => return Err(wrong(root, "direction", other, "Inbound or Outbound")),
    };
    let (source, target) = (root.required("sourceObjectType")?, root.required("targetObjectType")?);
    let (object, metaverse) = if inbound { (source, target) } else { (target, source) };
    let connector = root.required("connector")?;
    let connector = guid(&connector).ok_or_else(|| wrong(root, "connector", &connector, "a GUID"))?;
    let precedence = root.required("precedence")?;
    let precedence =
        precedence.parse().map_err(|_| wrong(root, "precedence", &precedence, "a whole number"))?;
    Ok(Rule {
        place: root.place(),
        id: guid(&root.text_of("id")).unwrap_or_default(),
        description: root.text_of("description"),
        tag: root.text_of("immutable-tag"),
        inbound,
        connector,
        object,
        metaverse,
        link: link_type(root)?,
        precedence,
        after: guid(&root.text_of("precedence-after")),
        before: guid(&root.text_of("precedence-before")),
        disabled: is_true(&root.text_of("disabled")),
        password_sync: is_true(&root.text_of("EnablePasswordSync")),
        soft_delete: soft_delete(&root.text_of("softDeleteExpiryInterval")),
        scope: groups(root, "synchronizationCriteria", "scope", |clause| {
            Ok(ScopeClause {
                attribute: clause.required("csAttribute")?,
                operator: clause.required("csOperator")?,
                value: clause.child("csValue").map(Element::text).unwrap_or_default(),
            })
        })?,
        join: groups(root, "relationshipCriteria", "condition", |condition| {
            Ok(Condition {
                connector: condition.required("csAttribute")?,
                metaverse: condition.required("ilmAttribute")?,
                case_sensitive: is_true(&condition.text_of("caseSensitive")),
            })
        })?,
        flows: flows(root)?,
        name,
    })
}

fn link_type(root: Element<'_>) -> Result<LinkType, Mistake> {
    let word = root.required("linkType")?;
    parse_link(&word).ok_or_else(|| wrong(root, "linkType", &word, "Provision, Join or StickyJoin"))
}

fn groups<T>(
    root: Element<'_>,
    list: &'static str,
    item: &'static str,
    read: fn(Element<'_>) -> Result<T, Mistake>,
) -> Result<Vec<Vec<T>>, Mistake> {
    let Some(list) = root.child(list) else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    for group in list.children() {
        if group.name() != "conditions" {
            return Err(group.mistake(format!("`{}` is no group of conditions", group.name())));
        }
        let mut items = Vec::new();
        for child in group.children() {
            if child.name() != item {
                return Err(child.mistake(format!("`{}` is not `{item}`", child.name())));
            }
            items.push(read(child)?);
        }
        if !items.is_empty() {
            out.push(items);
        }
    }
    Ok(out)
}

fn flows(root: Element<'_>) -> Result<Vec<Flow>, Mistake> {
    let mut out = Vec::new();
    for mapping in root.child("attribute-mappings").into_iter().flat_map(Element::children) {
        if mapping.name() != "mapping" {
            return Err(mapping.mistake(format!("`{}` is no mapping", mapping.name())));
        }
        let merge = mapping.text_of("valueMergeType");
        let merge = if merge.is_empty() { "Update".to_owned() } else { merge };
        let merge = parse_merge(&merge).ok_or_else(|| {
            wrong(mapping, "valueMergeType", &merge, "Update, Replace, Merge or MergeCaseInsensitive")
        })?;
        let source = mapping.child("src");
        let attributes: Vec<String> =
            source.into_iter().flat_map(|s| s.named("attr")).map(|a| a.text().trim().to_owned()).collect();
        let source = match (mapping.child("expression"), attributes.as_slice()) {
            (Some(expression), _) => FlowSource::Expression(expression.text().trim().to_owned()),
            (None, [one]) => FlowSource::Direct(one.clone()),
            (None, []) => FlowSource::Constant(source.map(Element::text).unwrap_or_default()),
            (None, _) => {
                return Err(mapping.mistake("several source attributes and no expression"));
            }
        };
        out.push(Flow {
            target: mapping.required("dest")?,
            source,
            once: mapping.attribute("execute-once").is_some_and(is_true),
            merge,
        });
    }
    Ok(out)
}

fn wrong(root: Element<'_>, name: &'static str, value: &str, wanted: &str) -> Mistake {
    root.child(name).unwrap_or(root).mistake(format!("`{name}` is `{value}`, not {wanted}"))
}
