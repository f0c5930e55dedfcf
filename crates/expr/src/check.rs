//! Syntax tree to program: names are resolved, types checked, constants folded.

use std::collections::{BTreeSet, HashMap};

use onesync_model::{AttrId, AttributeDef, Names, Schema};

use crate::check_calls::is_link_test;
use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::eval::Evaluator;
use crate::fold;
use crate::functions::{self, Body, FunctionDef};
use crate::lexer::Operator;
use crate::parser::{Syntax, SyntaxKind, parse};
use crate::program::{LinkForm, Node, NodeKind, Program, Reads};
use crate::scalar::Scalar;
use crate::suggest::{did_you_mean, nearest};
use crate::tidied::Tidied;
use crate::types::Types;

/// Whose attributes an expression reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Attributes of a connector-space object.
    Inbound,
    /// Attributes of a metaverse object.
    Outbound,
}

/// What is known where an expression is compiled.
#[derive(Debug)]
pub struct Context<'a> {
    /// The table of names; attributes that are not in it are added.
    pub names: &'a mut Names,
    /// The schema of the side the attributes are read from; `None` when it is unknown: then any attribute may be
    /// read, and no attribute has a type.
    pub schema: Option<&'a Schema>,
    /// The direction.
    pub kind: Kind,
}

/// Compiles an expression.
///
/// # Errors
/// Everything that is wrong with it, ordered by place, at least one finding with [`Severity::Error`].
pub fn compile(text: &str, context: &mut Context<'_>) -> Result<Program, Vec<Diagnostic>> {
    let syntax = parse(text).map_err(|fault| vec![fault])?;
    let mut checker = Checker::new(text, context, false);
    let root = checker.lower(&syntax, Place::RESULT);
    let looked_at = !checker.link_names.is_disjoint(&checker.result_links);
    if looked_at || (checker.is_mixed() && checker.context.kind == Kind::Inbound) {
        // What is not always the links themselves is made of their names, and so is what is decided for each of them.
        let mut checker = Checker::new(text, context, true);
        let root = checker.lower(&syntax, Place::RESULT);
        return checker.finish(text, root);
    }
    checker.finish(text, root)
}

/// What may stand at a place.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// NULL's relatives AuthoritativeNull and IgnoreThisFlow.
    pub(crate) special: bool,
    /// It is the result of the whole expression, so that a link attribute may stand there.
    pub(crate) result: bool,
}

impl Place {
    const RESULT: Self = Self { special: true, result: true };
    pub(crate) const OPERAND: Self = Self { special: false, result: false };
}

/// A lowered node with the types of its values.
pub(crate) struct Lowered {
    pub(crate) node: Node,
    pub(crate) types: Types,
}

pub(crate) struct Checker<'c, 'n, 't> {
    pub(crate) text: &'t str,
    pub(crate) context: &'c mut Context<'n>,
    pub(crate) found: Vec<Diagnostic>,
    pub(crate) reads: Reads,
    pub(crate) attributes: BTreeSet<AttrId>,
    pub(crate) imported: BTreeSet<AttrId>,
    pub(crate) links: BTreeSet<AttrId>,
    pub(crate) parameters: BTreeSet<String>,
    /// Loop variables, outermost first.
    pub(crate) scope: Vec<(&'t str, Types)>,
    /// Whether each of them is bound to something that reads the clock.
    pub(crate) clocked: Vec<bool>,
    /// Numbers of the lists that functions make: the same text makes the same list.
    origins: HashMap<&'t str, u64>,
    /// How many conditions and comparisons we are in.
    pub(crate) testing: usize,
    /// Whether link attributes as results are the names of their links.
    by_name: bool,
    /// Link attributes whose single links are looked at.
    link_names: BTreeSet<AttrId>,
    /// Link attributes that can be the result.
    result_links: BTreeSet<AttrId>,
    /// Where a result is neither a link attribute nor NULL.
    other_results: Option<Span>,
}

impl<'c, 'n, 't> Checker<'c, 'n, 't> {
    fn new(text: &'t str, context: &'c mut Context<'n>, by_name: bool) -> Self {
        Self {
            text,
            context,
            found: Vec::new(),
            reads: Reads::default(),
            attributes: BTreeSet::new(),
            imported: BTreeSet::new(),
            links: BTreeSet::new(),
            parameters: BTreeSet::new(),
            scope: Vec::new(),
            clocked: Vec::new(),
            origins: HashMap::new(),
            testing: 0,
            by_name,
            link_names: BTreeSet::new(),
            result_links: BTreeSet::new(),
            other_results: None,
        }
    }
}

impl<'t> Checker<'_, '_, 't> {
    /// Whether it can give a link attribute, and something else as well.
    fn is_mixed(&self) -> bool {
        !self.result_links.is_empty() && (self.other_results.is_some() || self.result_links.len() > 1)
    }

    fn finish(mut self, text: &str, root: Lowered) -> Result<Program, Vec<Diagnostic>> {
        let mut form = match (self.link_names.is_empty(), self.links.is_empty()) {
            (false, _) => LinkForm::PerValue,
            (true, false) => LinkForm::Aggregate,
            (true, true) => LinkForm::None,
        };
        if let Some(&link) = self.result_links.first() {
            form = match root.node.kind {
                NodeKind::Link(_) => LinkForm::Direct(link),
                _ => LinkForm::Guarded(link),
            };
            if self.is_mixed() {
                let span = self.other_results.unwrap_or(root.node.span);
                self.found.push(no_names(self.context.names.name(link), span));
            }
        }
        self.found.sort_by_key(|d| (d.start, d.end));
        self.found.dedup();
        if self.found.iter().any(|d| d.severity == Severity::Error) {
            return Err(self.found);
        }
        self.reads.attributes = self.attributes.into_iter().collect();
        self.reads.imported = self.imported.into_iter().collect();
        self.reads.links = self.links.into_iter().collect();
        self.reads.link_names = self.link_names.into_iter().collect();
        self.reads.parameters = self.parameters.into_iter().collect();
        Ok(Program {
            text: text.into(),
            tidied: Tidied::of(&root.node),
            root: root.node,
            reads: self.reads,
            types: root.types,
            link_form: form,
            warnings: self.found,
        })
    }

    pub(crate) fn lower(&mut self, syntax: &Syntax<'t>, place: Place) -> Lowered {
        let span = syntax.span;
        if place.result && is_plain_result(syntax) {
            self.other_results.get_or_insert(span);
        }
        let constant = |value: Scalar<'static>, types| Lowered {
            node: Node { span, kind: NodeKind::Const(value) },
            types,
        };
        match &syntax.kind {
            SyntaxKind::Text(text) => constant(Scalar::text(text.clone().into_owned()), Types::TEXT),
            SyntaxKind::Integer(number) => constant(Scalar::Int(*number), Types::NUMBER),
            SyntaxKind::Decimal(number) => {
                let value = number.to_int().map_or(Scalar::Dec(*number), Scalar::Int);
                constant(value, Types::NUMBER)
            }
            SyntaxKind::Word(word) => self.word(word, span, place),
            SyntaxKind::Attribute(name) => self.attribute(name, span, place),
            SyntaxKind::Parameter(name) => {
                self.parameters.insert((*name).to_owned());
                let kind = NodeKind::Parameter((*name).into());
                Lowered { node: Node { span, kind }, types: Types::TEXT }
            }
            SyntaxKind::Variable(name) => self.variable(name, span),
            SyntaxKind::Call { name, name_span, args } => self.call(name, *name_span, args, span, place),
            SyntaxKind::Chain(Operator::Concat, operands) => self.concat(operands, span),
            SyntaxKind::Chain(operator, operands) => {
                let operands = operands.iter().map(|o| self.condition(o).node).collect();
                self.folded(
                    span,
                    NodeKind::Logic { any: *operator == Operator::Or, operands },
                    Types::BOOLEAN,
                )
            }
            SyntaxKind::Binary(operator @ (Operator::Plus | Operator::Minus | Operator::Times), sides) => {
                self.arithmetic(*operator, sides, span)
            }
            SyntaxKind::Binary(operator, sides) => self.comparison(*operator, sides, span),
        }
    }

    /// A node that gives nothing, in place of one that is wrong.
    pub(crate) fn wrong(&mut self, diagnostic: Diagnostic) -> Lowered {
        let span = Span::new(diagnostic.start, diagnostic.end);
        self.found.push(diagnostic);
        Lowered { node: Node { span, kind: NodeKind::Const(Scalar::Null) }, types: Types::NONE }
    }

    /// A node, or its value when all below it is constant.
    pub(crate) fn folded(&mut self, span: Span, kind: NodeKind, types: Types) -> Lowered {
        let node = Node { span, kind };
        let value = if fold::is_constant(&node) {
            Evaluator::new(&fold::NoSource, fold::NO_ENV, None).constant(&node).filter(fold::is_small)
        } else {
            None
        };
        let node = match value {
            Some(value) => Node { span, kind: NodeKind::Const(value) },
            None => node, // what fails when folded fails when evaluated, and only there
        };
        Lowered { node, types }
    }

    fn word(&mut self, word: &str, span: Span, place: Place) -> Lowered {
        let constant = |value: Scalar<'static>, types| Lowered {
            node: Node { span, kind: NodeKind::Const(value) },
            types,
        };
        let special = |kind| Lowered { node: Node { span, kind }, types: Types::NONE };
        match word {
            "True" => constant(Scalar::Bool(true), Types::BOOLEAN),
            "False" => constant(Scalar::Bool(false), Types::BOOLEAN),
            "NULL" => constant(Scalar::Null, Types::NONE),
            "CRLF" => constant(Scalar::text("\r\n"), Types::TEXT),
            "AuthoritativeNull" | "IgnoreThisFlow" if !place.special => self.wrong(
                Diagnostic::error(span, format!("`{word}` can only be the result of a flow"))
                    .hint("use it as a value of IIF or Switch, not inside another function or operator"),
            ),
            "AuthoritativeNull" => special(NodeKind::AuthoritativeNull),
            "IgnoreThisFlow" => special(NodeKind::IgnoreThisFlow),
            _ => {
                const WORDS: [&str; 6] =
                    ["True", "False", "NULL", "CRLF", "AuthoritativeNull", "IgnoreThisFlow"];
                let hint = if word.eq_ignore_ascii_case("nothing") {
                    Some("write `NULL`".to_owned())
                } else if let Some(function) =
                    nearest(word, functions::functions().iter().map(|f| f.name)).filter(|f| *f == word)
                {
                    Some(format!("a function is called with parentheses: `{function}(...)`"))
                } else if let Some(known) = self.known_attribute(word) {
                    Some(format!("attributes are written in brackets: `[{known}]`"))
                } else {
                    did_you_mean(word, WORDS)
                        .or_else(|| Some("texts are written in double quotes".to_owned()))
                };
                self.wrong(Diagnostic::error(span, format!("`{word}` is not known")).hint_opt(hint))
            }
        }
    }

    fn known_attribute(&self, name: &str) -> Option<String> {
        let id = self.context.names.find(name)?;
        Some(self.context.schema?.attribute(id)?.name.clone())
    }

    fn variable(&mut self, name: &str, span: Span) -> Lowered {
        match self.scope.iter().rposition(|(known, _)| *known == name) {
            Some(slot) => {
                let types = self.scope.get(slot).map_or(Types::ANY, |(_, types)| *types);
                let clocked = self.clocked.get(slot).copied().unwrap_or(false);
                self.reads.clock_as_value |= clocked && self.testing == 0;
                Lowered { node: Node { span, kind: NodeKind::Variable(slot) }, types }
            }
            None => {
                let known = nearest(name, self.scope.iter().map(|(known, _)| *known));
                let hint = known.map(|known| format!("did you mean `${known}`?"));
                self.wrong(
                    Diagnostic::error(span, format!("the variable `${name}` is not bound here")).hint_opt(
                        hint.or_else(|| Some("variables are bound by Select, Where and With".to_owned())),
                    ),
                )
            }
        }
    }

    fn attribute(&mut self, name: &str, span: Span, place: Place) -> Lowered {
        if name == "dn" && self.dn_is_pseudo() {
            self.reads.dn = true;
            if place.result {
                self.other_results.get_or_insert(span);
            }
            return Lowered { node: Node { span, kind: NodeKind::Dn }, types: Types::TEXT };
        }
        let (id, definition) = match self.resolve(name, span) {
            Ok(found) => found,
            Err(diagnostic) => return self.wrong(diagnostic),
        };
        if !self.is_link(id) {
            if place.result {
                self.other_results.get_or_insert(span);
            }
            self.attributes.insert(id);
            let types = definition.map_or(Types::ANY, |def| Types::of(def.kind));
            return Lowered { node: Node { span, kind: NodeKind::Attribute(id) }, types };
        }
        if place.result && !self.by_name {
            self.result_links.insert(id);
            return Lowered { node: Node { span, kind: NodeKind::Link(id) }, types: Types::REFERENCE };
        }
        self.names_of_links(id, name, span)
    }

    /// The single links of an attribute, by name.
    pub(crate) fn names_of_links(&mut self, attribute: AttrId, name: &str, span: Span) -> Lowered {
        if self.context.kind == Kind::Outbound {
            return self.wrong(no_names(name, span));
        }
        self.link_names.insert(attribute);
        let kind = NodeKind::LinkNames { attribute, name: name.into() };
        Lowered { node: Node { span, kind }, types: Types::REFERENCE }
    }

    /// Metaverse objects have a DN only where the schema has such an attribute.
    fn dn_is_pseudo(&self) -> bool {
        match (self.context.kind, self.context.schema) {
            (Kind::Inbound, _) | (_, None) => true,
            (Kind::Outbound, Some(_)) => false,
        }
    }

    /// The id of an attribute of the side that is read.
    pub(crate) fn resolve(
        &mut self,
        name: &str,
        span: Span,
    ) -> Result<(AttrId, Option<AttributeDef>), Diagnostic> {
        let Some(schema) = self.context.schema else { return Ok((self.context.names.intern(name), None)) };
        let found = self.context.names.find(name).and_then(|id| Some((id, schema.attribute(id)?)));
        match found {
            Some((id, definition)) if definition.name == name => Ok((id, Some(definition.clone()))),
            Some((_, definition)) => Err(Diagnostic::error(
                span,
                format!("the attribute `{name}` is spelled `{}`", definition.name),
            )
            .hint(format!("write `[{}]`: names are case-sensitive", definition.name))),
            None => {
                let side = match self.context.kind {
                    Kind::Inbound => "the connector's schema",
                    Kind::Outbound => "the metaverse",
                };
                let hint = did_you_mean(name, schema.attributes.values().map(|def| def.name.as_str()));
                Err(Diagnostic::error(span, format!("{side} has no attribute `{name}`")).hint_opt(hint))
            }
        }
    }

    pub(crate) fn is_link(&self, id: AttrId) -> bool {
        self.context.schema.is_some_and(|schema| schema.is_link(id))
    }

    /// The number of the list that this text makes.
    pub(crate) fn origin(&mut self, span: Span) -> u64 {
        let text = self.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        let next = self.origins.len() as u64 + 1;
        *self.origins.entry(text).or_insert(next)
    }

    fn call(
        &mut self,
        name: &'t str,
        name_span: Span,
        args: &[Syntax<'t>],
        span: Span,
        place: Place,
    ) -> Lowered {
        if let Some(definition) = functions::find(name) {
            let before = self.found.len();
            self.arity(definition, args, name_span);
            if self.found.len() > before {
                // Its arguments are still worth checking.
                for arg in args {
                    self.argument_for_checks(definition, arg);
                }
                return Lowered {
                    node: Node { span, kind: NodeKind::Const(Scalar::Null) },
                    types: Types::NONE,
                };
            }
            if let Some(test) = is_link_test(definition.name)
                && let Some(lowered) = self.link_aggregate(test, args, span)
            {
                return lowered;
            }
            return match definition.body {
                Body::Form(form) => self.form(form, definition, args, span, place),
                _ => self.plain_call(definition, args, span),
            };
        }
        let hint = match functions::other_name(name) {
            Some(right) => Some(format!("the function is called `{right}`")),
            None => did_you_mean(name, functions::functions().iter().map(|f| f.name)),
        };
        let diagnostic =
            Diagnostic::error(name_span, format!("there is no function `{name}`")).hint_opt(hint);
        self.wrong(diagnostic)
    }

    fn arity(&mut self, definition: &FunctionDef, args: &[Syntax<'t>], span: Span) {
        let (least, most) = definition.arity();
        let count = args.len();
        let pairs = definition.name == "Switch" && count % 2 == 1;
        if count >= least && most.is_none_or(|most| count <= most) && !pairs {
            return;
        }
        let wanted = match most {
            None => "an even number of arguments: tests and values in turn".to_owned(),
            Some(most) if most == least => format!("{least} argument{}", if least == 1 { "" } else { "s" }),
            Some(most) => format!("{least} to {most} arguments"),
        };
        self.found.push(
            Diagnostic::error(span, format!("`{}` takes {wanted}, not {count}", definition.name))
                .hint(definition.signature()),
        );
    }
}

/// What looks at single links of a metaverse object.
fn no_names(name: &str, span: Span) -> Diagnostic {
    let message = format!("the single links of `{name}` cannot be looked at in an outbound rule");
    Diagnostic::error(span, message).hint(format!(
        "what a link of the metaverse leads to has a name in each directory, and none of its own: look at the names in an inbound rule, e.g. `Where($item,[{name}],...)` to a link attribute or `CStr([{name}])` to a text, and flow the result; here `[{name}]` can flow as a whole, guarded by IIF or Switch, or be counted by ValueCount, Count, IsPresent or IsNullOrEmpty"
    ))
}

/// Whether a result at this node is a value of its own: not a link attribute, not NULL, not chosen below.
fn is_plain_result(syntax: &Syntax<'_>) -> bool {
    match &syntax.kind {
        SyntaxKind::Attribute(_) => false, // told apart once its name is resolved
        SyntaxKind::Word(word) => !matches!(*word, "NULL" | "AuthoritativeNull" | "IgnoreThisFlow"),
        SyntaxKind::Call { name, .. } => !matches!(*name, "IIF" | "Switch" | "Error" | "With"),
        _ => true,
    }
}
