//! Compiles the flows of one rule: expressions, their attributes and types, and which of the four forms a flow of
//! links takes.

use onesync_expr::{Context, Env, Kind, LinkForm, Program, Source};
use onesync_model::{AttrId, AttributeDef, AttributeType, Time, Value, Values, ValuesRef};

use crate::compile::{Compiler, Side};
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
        flows.sort_by_key(|(flow, _)| flow.target);
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
        let target = self.compiler.attribute(&text.target, self.target)?;
        let def = self.target.schema.and_then(|schema| schema.attribute(target));
        let target_def = Target {
            kind: def.map(|def| def.kind),
            multi: def.is_none_or(|def| def.multi),
            read_only: def.is_some_and(|def| def.read_only),
        };
        if target_def.read_only {
            let message = format!("`{}` of {} is read-only", text.target.value, self.target.place_name);
            self.compiler.sink.warning(&text.target.place, message).hint("it is computed and shown, never written");
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
        })
    }

    fn constant(&mut self, values: &At<Vec<Value>>, target: Target) -> Option<FlowSource> {
        let sink = &mut self.compiler.sink;
        if target.kind == Some(AttributeType::Reference) {
            sink.error(&values.place, "links cannot be constant").hint("flow a link attribute, e.g. \"[manager]\"");
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
        self.compiler.parameters_of(&expr.value, &expr.place, self.connector);
        let mut context = Context { names: self.compiler.names, schema: self.source.schema, kind };
        let program = match onesync_expr::compile(&expr.value, &mut context) {
            Ok(program) => program,
            Err(found) => {
                for diagnostic in found {
                    let place = self.within(expr, diagnostic.start..diagnostic.end);
                    let added = match diagnostic.severity {
                        onesync_expr::Severity::Error => self.compiler.sink.error(&place, diagnostic.message),
                        onesync_expr::Severity::Warning => self.compiler.sink.warning(&place, diagnostic.message),
                    };
                    added.hint_if(diagnostic.hint);
                }
                return None;
            }
        };
        if !self.attributes_known(&program, expr) {
            return None;
        }
        self.clock(&program, text, expr);
        self.form(program, text, expr, target)
    }

    /// Whether the rule's object type has every attribute that the expression names.
    fn attributes_known(&mut self, program: &Program, expr: &At<String>) -> bool {
        let mut known = true;
        for &id in program.attributes().iter().chain(program.links()) {
            let name = self.compiler.names.name(id).to_owned();
            if self.source.allows(id, &name) || (self.source.has_dn && self.compiler.is_dn(id)) {
                continue;
            }
            known = false;
            let (written, span) = locate(&expr.value, &name);
            let place = self.within(expr, span);
            self.compiler.unknown_attribute(&written, &place, self.source);
        }
        known
    }

    /// Refuses a value that is the clock: it would change with every run.
    fn clock(&mut self, program: &Program, text: &FlowText, expr: &At<String>) {
        if !program.uses_clock() || text.once {
            return;
        }
        let at = |seconds| {
            let env = Env { now: Time::from_seconds(seconds), seed: 0 };
            program.eval(&Nothing, &env).map(|evaluated| evaluated.outcome)
        };
        // Evaluated for an object without attributes at two instants: where the outcomes differ, the clock is in it.
        if let (Ok(a), Ok(b)) = (at(1_000_000_000), at(1_000_000_001))
            && a != b
        {
            self.compiler
                .sink
                .error(&expr.place, format!("the value of `{}` is the clock: it changes with every run", text.target.value))
                .hint("write { expr = ..., once = true }, or compare the time instead of flowing it");
        }
    }

    fn form(
        &mut self,
        program: Program,
        text: &FlowText,
        expr: &At<String>,
        target: Target,
    ) -> Option<FlowSource> {
        let to_links = target.kind == Some(AttributeType::Reference);
        let first_link = program.direct().or_else(|| program.links().first().copied());
        match (program.link_form(), first_link) {
            (LinkForm::Direct | LinkForm::Guarded, Some(link)) if target.kind.is_some() && !to_links => {
                let name = self.compiler.names.name(link).to_owned();
                let message = format!("`{name}` holds links, but `{}` holds values", text.target.value);
                self.compiler
                    .sink
                    .error(&expr.place, message)
                    .hint("flow it to a reference attribute, or ask for ValueCount or IsPresent");
                None
            }
            (LinkForm::Direct, Some(source)) => Some(FlowSource::Link(LinkFlow { source, guard: None })),
            (LinkForm::Guarded, Some(source)) => {
                Some(FlowSource::Link(LinkFlow { source, guard: Some(program) }))
            }
            (LinkForm::Aggregate, _) if to_links => {
                let message = format!("`{}` holds links, the expression gives a number or a truth value", text.target.value);
                self.compiler.sink.error(&expr.place, message).hint("flow the link attribute itself");
                None
            }
            (LinkForm::PerValue, _) => {
                self.compiler
                    .sink
                    .warning(&expr.place, "each link is looked at one by one, in memory, up to 10,000")
                    .hint("flow the link attribute whole, or decide by attributes of the object itself");
                Some(FlowSource::Expression(program))
            }
            _ => self.plain(program, text, expr, target),
        }
    }

    /// An expression without links, or one that only counts them.
    fn plain(&mut self, program: Program, text: &FlowText, expr: &At<String>, target: Target) -> Option<FlowSource> {
        let Some(direct) = program.direct().filter(|&id| !self.compiler.is_dn(id)) else {
            return Some(FlowSource::Expression(program));
        };
        let source: Option<&AttributeDef> = self.source.schema.and_then(|schema| schema.attribute(direct));
        if let (Some(source), Some(kind)) = (source, target.kind) {
            if !convertible(source.kind, kind) {
                let message = format!(
                    "`{}` is {}, but `{}` is {}",
                    source.name,
                    source.kind.as_str(),
                    text.target.value,
                    kind.as_str()
                );
                let hint = match (source.kind, kind) {
                    (AttributeType::Binary, AttributeType::String) => {
                        "convert it, e.g. ConvertToBase64, CGuid or StringFromSid"
                    }
                    _ => "convert it in an expression, or flow to an attribute of the same type",
                };
                self.compiler.sink.error(&expr.place, message).hint(hint);
                return None;
            }
            if source.multi && !target.multi {
                let name = source.name.clone();
                self.compiler
                    .sink
                    .warning(&expr.place, format!("`{name}` may have several values, `{}` holds one", text.target.value))
                    .hint(format!("an object with several fails in this attribute: take one by Item([{name}], 1)"));
            }
        }
        Some(FlowSource::Direct(direct))
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

/// An object without anything.
struct Nothing;

impl Source for Nothing {
    fn values(&self, _: AttrId) -> Option<ValuesRef<'_>> {
        None
    }

    fn imported(&self, _: AttrId) -> Option<ValuesRef<'_>> {
        None
    }

    fn dn(&self) -> Option<&str> {
        None
    }

    fn link_count(&self, _: AttrId) -> u64 {
        0
    }

    fn parameter(&self, _: &str) -> Option<&str> {
        None
    }
}
