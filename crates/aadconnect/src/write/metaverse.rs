//! The metaverse's schema: the export's, or the shipped one with what the rules need beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use onesync_model::AttributeType;

use super::{Directory, toml};
use crate::{Export, Flow, FlowSource, Metaverse, MetaverseAttribute, Report, Rule, Topic};

/// The type of an expression's values, where it can be told: text, and whether it is an inbound rule's.
pub type TypeOf<'a> = &'a dyn Fn(&str, bool) -> Option<AttributeType>;

/// The schema that the rules need.
pub(super) fn schema(
    export: &Export,
    shipped: &Metaverse,
    directories: &dyn Fn(&Rule) -> Option<Directory>,
    type_of: TypeOf<'_>,
    report: &mut Report,
) -> Metaverse {
    let own = export.metaverse.is_some();
    let mut schema = export.metaverse.clone().unwrap_or_else(|| shipped.clone());
    let mut added = BTreeSet::new();
    for rule in export.rules.iter().filter(|rule| !rule.disabled) {
        let types: Vec<String> = if rule.metaverse == "*" {
            Vec::new() // it joins what other rules made
        } else {
            vec![rule.metaverse.clone()]
        };
        let directory = directories(rule);
        for need in needs(rule) {
            let known = schema.attributes.contains_key(&need.name.to_lowercase());
            if !known {
                let attribute = guess(&need, rule, directory.as_ref(), type_of);
                schema.attributes.insert(need.name.to_lowercase(), attribute);
            }
            for object_type in &types {
                let list = match schema.types.keys().find(|t| t.eq_ignore_ascii_case(object_type)).cloned() {
                    Some(name) => schema.types.entry(name).or_default(),
                    None => {
                        report.add(
                            Topic::Note,
                            format!("metaverse type {object_type}"),
                            "the rules name it and no schema has it: it was added",
                        );
                        schema.types.entry(object_type.clone()).or_default()
                    }
                };
                let lower = need.name.to_lowercase();
                if !list.contains(&lower) {
                    list.push(lower);
                    added.insert(format!("{} ({object_type})", need.name));
                }
            }
        }
    }
    if !added.is_empty() {
        let what = if own { "its schema does not have" } else { "the shipped schema does not have" };
        let list = added.into_iter().collect::<Vec<_>>().join(", ");
        report.add(
            Topic::Note,
            "metaverse",
            format!("attributes that the rules use and {what} were added, their types as far as the rules tell: {list}"),
        );
    }
    schema
}

/// A metaverse attribute that a rule uses.
struct Need<'r> {
    name: String,
    /// The flow that tells its type.
    flow: Option<&'r Flow>,
    /// The attribute of the connector space that it is joined with.
    joined: Option<&'r str>,
}

fn needs(rule: &Rule) -> Vec<Need<'_>> {
    let mut out: Vec<Need<'_>> = Vec::new();
    let mut push = |name: &str, flow, joined| {
        if !name.eq_ignore_ascii_case("dn") || rule.inbound {
            out.push(Need { name: name.to_owned(), flow, joined });
        }
    };
    for flow in &rule.flows {
        match (&flow.source, rule.inbound) {
            (_, true) => push(&flow.target, Some(flow), None),
            (FlowSource::Direct(source), false) => push(source, Some(flow), None),
            (FlowSource::Expression(text), false) => {
                bracketed(text).into_iter().for_each(|name| push(name, None, None));
            }
            (FlowSource::Constant(_), false) => {}
        }
    }
    for condition in rule.join.iter().flatten() {
        push(&condition.metaverse, None, Some(&condition.connector));
    }
    if !rule.inbound {
        rule.scope.iter().flatten().for_each(|clause| push(&clause.attribute, None, None));
    }
    out
}

/// The attributes that an expression names in brackets, outside of its texts.
pub(super) fn bracketed(expression: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(['[', '"']) {
        let (_, after) = rest.split_at(at);
        let close = if after.starts_with('"') { '"' } else { ']' };
        let inner = after.get(1..).unwrap_or_default();
        let Some((inside, behind)) = inner.split_once(close) else { break };
        if close == ']' {
            out.push(inside);
        }
        rest = behind;
    }
    out
}

fn guess(
    need: &Need<'_>,
    rule: &Rule,
    directory: Option<&Directory>,
    type_of: TypeOf<'_>,
) -> MetaverseAttribute {
    let of = |name: &str| directory.and_then(|d| d.attribute(name)).map(|a| (a.kind, a.multi));
    let found = match (need.flow.map(|flow| &flow.source), rule.inbound) {
        (Some(FlowSource::Direct(source)), true) => of(source),
        (Some(FlowSource::Expression(text)), true) => {
            let multi = bracketed(text).into_iter().any(|name| of(name).is_some_and(|(_, multi)| multi));
            type_of(text, true).map(|kind| (kind, multi && !text.contains("Item(")))
        }
        (Some(FlowSource::Direct(_)), false) => need.flow.and_then(|flow| of(&flow.target)),
        _ => need.joined.and_then(of),
    };
    let (kind, multi) = found.unwrap_or((AttributeType::String, false));
    MetaverseAttribute { name: need.name.clone(), kind, multi, indexed: false }
}

/// `metaverse.toml`.
pub(super) fn file(schema: &Metaverse, indexed: &BTreeSet<String>) -> String {
    let mut out =
        String::from("# The metaverse: attributes, and which object types have them.\n\n[attribute]\n");
    for (lower, attribute) in &schema.attributes {
        let mut line = format!("{} = {{ type = \"{}\"", toml::key(&attribute.name), attribute.kind.as_str());
        if attribute.multi {
            line.push_str(", multi = true");
        }
        if attribute.indexed || indexed.contains(lower) {
            line.push_str(", indexed = true");
        }
        _ = writeln!(out, "{line} }}");
    }
    out.push_str("\n[type]\n");
    let names: BTreeMap<&String, &str> =
        schema.attributes.iter().map(|(lower, attribute)| (lower, attribute.name.as_str())).collect();
    for (object_type, attributes) in &schema.types {
        let mut list: Vec<&str> =
            attributes.iter().map(|lower| names.get(lower).copied().unwrap_or(lower)).collect();
        list.sort_unstable();
        _ = writeln!(out, "{} = {}", toml::key(object_type), toml::list(&list));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_inside_of_texts_are_none() {
        assert_eq!(bracketed("IIF([a]=\"[b]\",[c],\"\")"), ["a", "c"]);
        assert!(bracketed("\"unclosed").is_empty());
    }
}
