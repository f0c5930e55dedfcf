//! One rule as a file, and which line of it is what.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::toml;
use super::{Dropped, Part};
use crate::{FlowSource, LinkType, Merge, Rule};

/// A rule's file while it grows.
pub(super) struct RuleFile {
    pub(super) text: String,
    /// Lines and what they hold.
    pub(super) parts: Vec<(RangeInclusive<usize>, Part)>,
    /// Flows that were written.
    pub(super) flows: usize,
}

/// How a rule is written.
pub(super) struct Form<'a> {
    pub(super) connectors: &'a [String],
    pub(super) name: &'a str,
    /// Attributes that the directory cannot give.
    pub(super) optional: &'a [String],
    /// Why it is switched off here; `None` when it is not.
    pub(super) off: Option<&'a str>,
    /// What is left out, for this rule.
    pub(super) dropped: &'a [Dropped],
}

pub(super) fn write(rule: &Rule, form: &Form<'_>) -> RuleFile {
    let mut file = RuleFile { text: String::new(), parts: Vec::new(), flows: 0 };
    file.head(rule, form);
    for group in &rule.scope {
        file.part(Part::Rule, |out| {
            out.push_str("\n[[scope]]\nclauses = [\n");
            for clause in group {
                let (attribute, operator) = (toml::text(&clause.attribute), toml::text(&clause.operator));
                _ = write!(out, "  {{ attribute = {attribute}, operator = {operator}");
                if !clause.value.is_empty() || !takes_none(&clause.operator) {
                    _ = write!(out, ", value = {}", toml::text(&clause.value));
                }
                out.push_str(" },\n");
            }
            out.push_str("]\n");
        });
    }
    for group in &rule.join {
        file.part(Part::Rule, |out| {
            out.push_str("\n[[join]]\nconditions = [\n");
            for condition in group {
                let (cs, mv) = (toml::text(&condition.connector), toml::text(&condition.metaverse));
                let exact = if condition.case_sensitive { ", case_sensitive = true" } else { "" };
                _ = writeln!(out, "  {{ connector = {cs}, metaverse = {mv}{exact} }},");
            }
            out.push_str("]\n");
        });
    }
    if !rule.flows.is_empty() {
        file.text.push_str("\n[flow]\n");
    }
    for (index, flow) in rule.flows.iter().enumerate() {
        let line = format!("{} = {}\n", toml::key(&flow.target), value(flow));
        match form.dropped.iter().find(|d| d.part == Part::Flow(index)) {
            Some(dropped) => {
                _ = writeln!(file.text, "# Not carried: {}", dropped.reason.replace('\n', " "));
                for line in line.lines() {
                    _ = writeln!(file.text, "# {line}");
                }
            }
            None => {
                file.part(Part::Flow(index), |out| out.push_str(&line));
                file.flows += 1;
            }
        }
    }
    file
}

impl RuleFile {
    fn head(&mut self, rule: &Rule, form: &Form<'_>) {
        self.part(Part::Rule, |out| {
            out.push_str("# Imported from Azure AD Connect.\n");
            if let Some(reason) = form.off {
                _ = writeln!(out, "# Switched off here: {}", reason.replace('\n', " "));
            }
            _ = writeln!(out, "\nname       = {}", toml::text(form.name));
            for (key, text) in [("description", &rule.description), ("tag", &rule.tag)] {
                if !text.is_empty() {
                    _ = writeln!(out, "{key:<10} = {}", toml::text(text));
                }
            }
            let direction = if rule.inbound { "inbound" } else { "outbound" };
            _ = writeln!(out, "direction  = \"{direction}\"");
            match form.connectors {
                [one] => _ = writeln!(out, "connector  = {}", toml::text(one)),
                several => _ = writeln!(out, "connector  = {}", toml::list(several)),
            }
            let link = match rule.link {
                LinkType::Provision => "provision",
                LinkType::Join => "join",
                LinkType::StickyJoin => "sticky-join",
            };
            let (object, metaverse) = (toml::text(&rule.object), toml::text(&rule.metaverse));
            _ = write!(out, "object     = {object}\nmetaverse  = {metaverse}\nlink       = \"{link}\"\n");
            _ = writeln!(out, "precedence = {}", rule.precedence);
            if rule.disabled || form.off.is_some() {
                out.push_str("disabled   = true\n");
            }
            if rule.password_sync {
                out.push_str("password_sync = true\n");
            }
            if !form.optional.is_empty() {
                _ = writeln!(out, "optional   = {}", toml::list(form.optional));
            }
        });
    }

    fn part(&mut self, part: Part, write: impl FnOnce(&mut String)) {
        let first = self.text.matches('\n').count() + 1;
        write(&mut self.text);
        let last = self.text.matches('\n').count().max(first);
        self.parts.push((first..=last, part));
    }
}

fn takes_none(operator: &str) -> bool {
    ["ISNULL", "ISNOTNULL"].iter().any(|word| word.eq_ignore_ascii_case(operator))
}

fn value(flow: &crate::Flow) -> String {
    let merge = match flow.merge {
        Merge::Update => None,
        Merge::Replace => Some("Replace"),
        Merge::Merge => Some("Merge"),
        Merge::MergeCaseInsensitive => Some("MergeCaseInsensitive"),
    };
    let source = match &flow.source {
        FlowSource::Direct(attribute) => toml::expression(&format!("[{attribute}]")),
        FlowSource::Expression(text) => toml::expression(text),
        FlowSource::Constant(text) => toml::text(text),
    };
    let constant = matches!(flow.source, FlowSource::Constant(_));
    if !constant && !flow.once && merge.is_none() {
        return source;
    }
    let mut out = format!("{{ {} = {source}", if constant { "constant" } else { "expr" });
    if flow.once {
        out.push_str(", once = true");
    }
    if let Some(merge) = merge {
        _ = write!(out, ", merge = \"{merge}\"");
    }
    out.push_str(" }");
    out
}
