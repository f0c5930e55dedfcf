//! What rules name: attributes, parameters; and names that are made of other names.

use std::collections::BTreeSet;

use onesync_model::AttributeType;

use super::metaverse::bracketed;
use crate::{Export, FlowSource, Rule};

/// Attributes of the connector space that a rule names.
pub(super) fn connector_attributes(rule: &Rule) -> Vec<String> {
    let mut out: Vec<String> = rule.join.iter().flatten().map(|c| c.connector.clone()).collect();
    if rule.inbound {
        out.extend(rule.scope.iter().flatten().map(|clause| clause.attribute.clone()));
    }
    for flow in &rule.flows {
        match (&flow.source, rule.inbound) {
            (FlowSource::Direct(name), true) => out.push(name.clone()),
            (FlowSource::Expression(text), true) => {
                out.extend(bracketed(text).into_iter().map(str::to_owned));
                out.extend(quoted(text));
            }
            (FlowSource::Constant(_), true) => {}
            (source, false) => {
                out.push(flow.target.clone());
                if let FlowSource::Expression(text) = source {
                    out.extend(imported(text));
                }
            }
        }
    }
    out.sort();
    out.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
    out
}

/// The attributes that an expression names by text: `ImportedValue("x")`, `ValueCount("x")`.
fn quoted(expression: &str) -> Vec<String> {
    let mut out = imported(expression);
    out.extend(argument(expression, "ValueCount"));
    out
}

fn imported(expression: &str) -> Vec<String> {
    argument(expression, "ImportedValue")
}

fn argument(expression: &str, function: &str) -> Vec<String> {
    let calls = expression.split(function).skip(1);
    calls
        .filter_map(|rest| {
            let inner = rest.trim_start().strip_prefix('(')?.trim_start().strip_prefix('"')?;
            inner.split_once('"').map(|(name, _)| name.to_owned())
        })
        .collect()
}

/// The parameters that rules name, lower case.
pub(super) fn named_parameters(export: &Export) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for rule in &export.rules {
        let expressions = rule.flows.iter().filter_map(|flow| match &flow.source {
            FlowSource::Expression(text) => Some(text.as_str()),
            FlowSource::Direct(_) | FlowSource::Constant(_) => None,
        });
        for text in expressions.chain(rule.scope.iter().flatten().map(|clause| clause.value.as_str())) {
            out.extend(text.split('%').skip(1).step_by(2).map(str::to_lowercase));
        }
    }
    out
}

pub(super) fn type_word(kind: AttributeType, multi: bool) -> String {
    format!("{}{}", kind.as_str(), if multi { "*" } else { "" })
}

/// A name as part of a file's or a secret's name.
pub(super) fn slug(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || c == '.' {
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
    }
    let out = out.trim_end_matches(['-', '.']).trim_start_matches('.');
    if out.is_empty() { "unnamed".to_owned() } else { out.chars().take(80).collect() }
}
