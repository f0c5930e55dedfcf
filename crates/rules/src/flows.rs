//! Compiles the flows of one rule: expressions, their attributes and types, and which of the four forms a flow of
//! links takes.

use std::sync::Arc;

use onesync_expr::{Context, Kind, LINKS_MAX, LinkForm, Program, Types};
use onesync_model::{AttributeType, Value, Values};

use crate::compile::{Compiler, Known, Side};
use crate::convert::{convert, convertible};
use crate::diagnostic::Place;
use crate::reader::{At, FlowSourceText, FlowText, RuleText};
use crate::rule::{LinkFlow, Target};
use crate::text::raw_offset;
use crate::{ConnectorInfo, Direction, Flow, FlowSource};

pub(crate) struct FlowCompiler<'c, 'a, 'f> {
    pub compiler: &'c mut Compiler<'a, 'f>,
    pub source: &'c Side<'c>,
    pub target: &'c Side<'c>,
    pub connector: &'c ConnectorInfo,
    pub rule: &'c RuleText,
}

impl FlowCompiler<'_, '_, '_> {
    /// The flows that compile, ordered by target.
    pub fn flows(mut self) -> Vec<Flow> {
        let rule = self.rule;
        let mut flows: Vec<(Flow, &Place)> =
            rule.flows.iter().filter_map(|text| Some((self.flow(text)?, &text.target.place))).collect();
        flows.sort_by_key(|(flow, place)| (flow.target, place.span.start));
        for pair in flows.windows(2) {
            // TOML refuses equal keys, but not keys that differ in case only.
            if let [(a, first), (b, second)] = pair
                && a.target == b.target
            {
                let name = self.compiler.names.name(a.target).to_owned();
                self.compiler
                    .sink
                    .error(second, format!("the rule has two flows to `{name}`"))
                    .hint("attribute names differ without regard to case: remove one");
                self.compiler.sink.relate(first, "the other one");
            }
        }
        flows.into_iter().map(|(flow, _)| flow).collect()
    }

    fn flow(&mut self, text: &FlowText) -> Option<Flow> {
        let target = self.compiler.target(&text.target, self.target)?;
        let def = self.target.schema.and_then(|schema| schema.attribute(target));
        let target_def = Target {
            kind: def.map(|def| def.kind),
            multi: def.is_none_or(|def| def.multi),
            read_only: self.target.is_read_only(target),
        };
        if target_def.read_only {
            let message = format!("`{}` of {} is read-only", text.target.value, self.target.place_name);
            self.compiler
                .sink
                .note(&text.target.place, message)
                .hint("it is computed and shown, never written");
        }
        let source = match &text.source {
            FlowSourceText::Constant(values) => self.constant(values, target_def)?,
            FlowSourceText::Expression(expr) => self.expression(text, expr, target_def)?,
        };
        if text.merge.takes_all() && !target_def.multi {
            let message = format!("`{}` holds one value and cannot be merged", text.target.value);
            self.compiler.sink.error(&text.target.place, message).hint("remove `merge`");
        }
        Some(Flow {
            target,
            target_def,
            source,
            once: text.once,
            merge: text.merge,
            recheck_seconds: self.rule.recheck_seconds,
            rank: 0, // given when all rules are known
        })
    }

    fn constant(&mut self, values: &At<Vec<Value>>, target: Target) -> Option<FlowSource> {
        let sink = &mut self.compiler.sink;
        if target.kind == Some(AttributeType::Reference) {
            sink.error(&values.place, "links cannot be constant")
                .hint("flow a link attribute, e.g. \"[manager]\"");
            return None;
        }
        let converted = Values::new(values.value.clone()).map(|all| convert(all, target));
        match converted {
            Some(Ok(Some(values))) => Some(FlowSource::Constant(values)),
            Some(Ok(None)) | None => {
                sink.error(&values.place, "an empty text is no value").hint("remove the flow, or write NULL");
                None
            }
            Some(Err(error)) => {
                sink.error(&values.place, format!("the constant does not fit: {error}"));
                None
            }
        }
    }

    fn expression(&mut self, text: &FlowText, expr: &At<String>, target: Target) -> Option<FlowSource> {
        let kind = match self.rule.direction {
            Direction::Inbound => Kind::Inbound,
            Direction::Outbound => Kind::Outbound,
        };
        let schema = self.source.schema_for(&expr.value, self.compiler.names, self.compiler.metaverse);
        let mut context = Context { names: self.compiler.names, schema: schema.as_deref(), kind };
        let program = match onesync_expr::compile(&expr.value, &mut context) {
            Ok(program) => program,
            Err(found) => {
                self.report(&found, expr);
                return None;
            }
        };
        self.report(program.warnings(), expr);
        for name in program.parameters() {
            self.compiler.parameter(name, &expr.place, self.connector);
        }
        if !self.attributes_known(&program, expr) {
            return None;
        }
        if program.value_is_clock() && !text.once {
            let message =
                format!("the value of `{}` is the clock: it changes with every run", text.target.value);
            self.compiler
                .sink
                .error(&expr.place, message)
                .hint("write { expr = ..., once = true }, or compare the time instead of flowing it");
        }
        self.form(program, text, expr, target)
    }

    fn report(&mut self, found: &[onesync_expr::Diagnostic], expr: &At<String>) {
        for diagnostic in found {
            let place = self.within(expr, diagnostic.start..diagnostic.end);
            let sink = &mut self.compiler.sink;
            let added = match diagnostic.severity {
                onesync_expr::Severity::Error => sink.error(&place, diagnostic.message.clone()),
                onesync_expr::Severity::Warning => sink.warning(&place, diagnostic.message.clone()),
            };
            added.hint_if(diagnostic.hint.clone());
        }
    }

    /// Whether the rule's object types have every attribute that the expression names.
    fn attributes_known(&mut self, program: &Program, expr: &At<String>) -> bool {
        let link = match program.link_form() {
            LinkForm::Direct(id) | LinkForm::Guarded(id) => Some(id),
            LinkForm::None | LinkForm::Aggregate | LinkForm::PerValue => None,
        };
        // Inbound, what ImportedValue reads is the source object; outbound, the target object.
        let (here, there) = match self.rule.direction {
            Direction::Inbound => (program.imported(), &[][..]),
            Direction::Outbound => (&[][..], program.imported()),
        };
        let links = program.links().iter().chain(program.link_names());
        let read = program.attributes().iter().chain(links).chain(here).copied().chain(link);
        let read = read.map(|id| (id, self.source)).chain(there.iter().map(|&id| (id, self.target)));
        let unknown: Vec<_> = read
            .filter_map(|(id, side)| {
                let name = self.compiler.names.name(id).to_owned();
                let known = side.knows(id, &name);
                (known != Known::Here).then_some((name, side, known))
            })
            .collect();
        let mut good = true;
        for (name, side, known) in &unknown {
            let (written, span) = locate(&expr.value, name);
            let place = self.within(expr, span);
            if *known == Known::Elsewhere && side.has_dn {
                self.compiler.of_another_type(&written, &place, side);
            } else {
                self.compiler.unknown_attribute(&written, &place, side);
                good = false;
            }
        }
        good
    }

    fn form(
        &mut self,
        program: Program,
        text: &FlowText,
        expr: &At<String>,
        target: Target,
    ) -> Option<FlowSource> {
        let to_links = target.kind == Some(AttributeType::Reference);
        if !program.link_names().is_empty() {
            self.looks_at_links(&program, expr);
        }
        match program.link_form() {
            LinkForm::Direct(link) | LinkForm::Guarded(link) if target.kind.is_some() && !to_links => {
                let name = self.compiler.names.name(link).to_owned();
                let message = format!("`{name}` holds links, but `{}` holds values", text.target.value);
                let hint = match self.rule.direction {
                    Direction::Inbound => format!(
                        "flow it to a reference attribute; write CStr([{name}]) for the names of what it points at, ValueCount or IsPresent for whether there are any"
                    ),
                    Direction::Outbound => {
                        "flow it to a reference attribute, or ask for ValueCount or IsPresent".to_owned()
                    }
                };
                self.compiler.sink.error(&expr.place, message).hint(hint);
                None
            }
            LinkForm::Direct(source) => {
                Some(FlowSource::Link(LinkFlow { source, guard: None, chooses: false }))
            }
            LinkForm::Guarded(source) => {
                let guard = Some(Arc::new(program));
                Some(FlowSource::Link(LinkFlow { source, guard, chooses: false }))
            }
            LinkForm::PerValue if to_links => match program.chooses() {
                Some(source) => {
                    let guard = Some(Arc::new(program));
                    Some(FlowSource::Link(LinkFlow { source, guard, chooses: true }))
                }
                None => {
                    self.chooses_nothing(&program, text, expr);
                    None
                }
            },
            LinkForm::None | LinkForm::Aggregate | LinkForm::PerValue => {
                self.values_fit(&program, text, expr, target).then(|| match program.direct() {
                    Some(direct) => FlowSource::Direct(direct),
                    None => FlowSource::Expression(Arc::new(program)),
                })
            }
        }
    }

    /// Says what looking at single links costs.
    fn looks_at_links(&mut self, program: &Program, expr: &At<String>) {
        let names: Vec<&str> = program.link_names().iter().map(|&id| self.compiler.names.name(id)).collect();
        let message = format!("the names of single links of `{}` are read for this", names.join("`, `"));
        self.compiler.sink.note(&expr.place, message).hint(format!(
            "an object with more than {LINKS_MAX} fails in this attribute: let the rule's scope leave such objects out"
        ));
    }

    /// An expression over single links gives a link attribute something else than these links.
    fn chooses_nothing(&mut self, program: &Program, text: &FlowText, expr: &At<String>) {
        let target = &text.target.value;
        let (message, hint) = match program.link_names() {
            [_, second, ..] if program.types() == Types::REFERENCE => (
                format!("`{target}` would get links of several attributes"),
                format!(
                    "flow links of one attribute here; a rule of its own can flow `[{}]`, with merge = \"Merge\" in both",
                    self.compiler.names.name(*second)
                ),
            ),
            _ => (
                format!("this gives {}, but `{target}` holds links", program.types()),
                "give links as they are, e.g. Where($item,[member],InStr($item,\"OU=x\")>0): what is made of a name is a text"
                    .to_owned(),
            ),
        };
        self.compiler.sink.error(&expr.place, message).hint(hint);
    }

    /// Whether the values an expression can give can become the target's, as far as types tell.
    fn values_fit(&mut self, program: &Program, text: &FlowText, expr: &At<String>, target: Target) -> bool {
        let Some(kind) = target.kind else { return true };
        let types = program.types();
        let possible: Vec<AttributeType> =
            KINDS.into_iter().filter(|&kind| types.may_be(Types::of(kind))).collect();
        if !types.is_none() && !possible.iter().any(|&from| convertible(from, kind)) {
            let found = possible.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" or ");
            let message = format!("this gives {found}, but `{}` holds {}", text.target.value, kind.as_str());
            let hint = match (possible.as_slice(), kind) {
                ([AttributeType::Binary], AttributeType::String) => {
                    "convert it, e.g. by ConvertToBase64, CGuid or StringFromSid"
                }
                (_, AttributeType::Reference) => "flow a link attribute, e.g. \"[manager]\"",
                (_, AttributeType::Boolean) => "convert it by CBool",
                _ => "convert it, or flow to an attribute of the same type",
            };
            self.compiler.sink.error(&expr.place, message).hint(hint);
            return false;
        }
        let only_text = possible == [AttributeType::String] && program.direct().is_some();
        if let (true, AttributeType::Boolean | AttributeType::Integer | AttributeType::Time) =
            (only_text, kind)
        {
            let (fits, by) = match kind {
                AttributeType::Boolean => ("true and false", "CBool"),
                AttributeType::Integer => ("whole numbers", "CNum"),
                _ => ("times", "CDate"),
            };
            let message =
                format!("this is text, and `{}` holds {}: only {fits} fit", text.target.value, kind.as_str());
            let hint = format!("an object with any other text fails in this attribute: convert it by {by}");
            self.compiler.sink.warning(&expr.place, message).hint(hint);
        }
        let source = program.direct().and_then(|id| self.source.schema?.attribute(id));
        if let Some(source) = source.filter(|source| source.multi && !target.multi) {
            let message =
                format!("`{}` may have several values, `{}` holds one", source.name, text.target.value);
            let hint = format!(
                "an object with several fails in this attribute: take one by Item([{}], 1)",
                source.name
            );
            self.compiler.sink.warning(&expr.place, message).hint(hint);
        }
        true
    }

    /// A place inside an expression's text.
    fn within(&self, expr: &At<String>, span: std::ops::Range<usize>) -> Place {
        let file = expr.place.file;
        let text = self.compiler.sink.text(file);
        let start = raw_offset(text, &expr.place.span, span.start);
        let end = raw_offset(text, &expr.place.span, span.end.max(span.start));
        Place { file, span: start..end.max(start) }
    }
}

/// Finds an attribute in an expression, `[name]` or `"name"`: as written there, and where.
fn locate(expr: &str, name: &str) -> (String, std::ops::Range<usize>) {
    let lower = expr.to_ascii_lowercase();
    let name_lower = name.to_ascii_lowercase();
    let found = [format!("[{name_lower}]"), format!("\"{name_lower}\"")]
        .iter()
        .find_map(|quoted| lower.find(quoted.as_str()))
        .map(|at| at + 1..at + 1 + name.len());
    match found {
        Some(span) => (expr.get(span.clone()).unwrap_or(name).to_owned(), span),
        None => (name.to_owned(), 0..expr.len()),
    }
}

const KINDS: [AttributeType; 6] = [
    AttributeType::String,
    AttributeType::Integer,
    AttributeType::Boolean,
    AttributeType::Binary,
    AttributeType::Time,
    AttributeType::Reference,
];
