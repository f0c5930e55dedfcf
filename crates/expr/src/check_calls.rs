//! Checks of calls and operators.

use crate::check::{Checker, Kind, Lowered, Place};
use crate::clock_side::Clocked;
use crate::diagnostic::{Diagnostic, Span};
use crate::functions::{Body, Form, FunctionDef, PARAMS_MAX, Param, monikers};
use crate::lexer::Operator;
use crate::parser::{Syntax, SyntaxKind};
use crate::program::{Node, NodeKind};
use crate::scalar::Scalar;
use crate::suggest::did_you_mean;
use crate::types::Types;

/// What a function asks of a link attribute.
#[derive(Clone, Copy)]
pub(crate) enum LinkTest {
    Count,
    Present(bool),
}

/// What a function asks when its argument is a link attribute.
pub(crate) fn is_link_test(name: &str) -> Option<LinkTest> {
    Some(match name {
        "Count" => LinkTest::Count,
        "IsPresent" => LinkTest::Present(true),
        "IsNull" | "IsNullOrEmpty" => LinkTest::Present(false),
        _ => return None,
    })
}

impl<'t> Checker<'_, '_, 't> {
    /// `Count([member])` and the like, answered from the count.
    pub(crate) fn link_aggregate(
        &mut self,
        test: LinkTest,
        args: &[Syntax<'t>],
        span: Span,
    ) -> Option<Lowered> {
        let [Syntax { kind: SyntaxKind::Attribute(name), span: name_span, .. }] = args else { return None };
        if *name == "dn" {
            return None;
        }
        let (attribute, _) = self.resolve(name, *name_span).ok().filter(|(id, _)| self.is_link(*id))?;
        self.links.insert(attribute);
        let (kind, types) = match test {
            LinkTest::Count => (NodeKind::ValueCount { attribute, link: true, plain: false }, Types::NUMBER),
            LinkTest::Present(present) => (NodeKind::LinkTest { attribute, present }, Types::BOOLEAN),
        };
        Some(Lowered { node: Node { span, kind }, types })
    }

    pub(crate) fn plain_call(
        &mut self,
        definition: &'static FunctionDef,
        args: &[Syntax<'t>],
        span: Span,
    ) -> Lowered {
        let mut lowered = Vec::with_capacity(args.len());
        let mut many = [false; PARAMS_MAX];
        for ((arg, param), many) in args.iter().zip(definition.params).zip(&mut many) {
            lowered.push(self.argument(definition.name, param, arg));
            *many = param.many;
        }
        let mut args: Vec<Node> =
            lowered.iter_mut().map(|l| std::mem::replace(&mut l.node, null(span))).collect();
        // What is known of the first argument holds for functions that pass values through.
        let types = match (definition.name, lowered.first()) {
            ("Item" | "ItemOrNull" | "RemoveDuplicates", Some(first)) => first.types,
            ("Mid", Some(first)) if !first.types.is_none() && !first.types.may_be(Types::BINARY) => {
                Types::TEXT
            }
            _ => definition.result,
        };
        let name = definition.name;
        if let ("IsPresent" | "IsNullOrEmpty", [Node { kind: NodeKind::Attribute(id), .. }]) =
            (name, args.as_slice())
        {
            let kind = NodeKind::Presence { attribute: *id, present: name == "IsPresent" };
            return Lowered { node: Node { span, kind }, types };
        }
        let kind = match definition.body {
            Body::Random(body) => {
                self.reads.random = true;
                NodeKind::Each { name, body, args }
            }
            Body::Each(body) => NodeKind::Each { name, body, args },
            Body::Whole(body) => {
                let origin = self.origin(span);
                NodeKind::Whole { name, body, many, args, origin }
            }
            Body::Form(_) => NodeKind::Concat(std::mem::take(&mut args)), // forms are lowered by `form`
        };
        self.folded(span, kind, types)
    }

    /// Checks an argument of a call that is wrong as a whole.
    pub(crate) fn argument_for_checks(&mut self, definition: &FunctionDef, arg: &Syntax<'t>) {
        let takes_words = definition.params.iter().any(|p| !p.words.is_empty());
        let binds = matches!(arg.kind, SyntaxKind::Variable(_));
        if !(binds || takes_words && matches!(arg.kind, SyntaxKind::Word(_))) {
            self.lower(arg, Place { special: true, result: false });
        }
    }

    fn argument(&mut self, function: &str, param: &Param, arg: &Syntax<'t>) -> Lowered {
        if !param.words.is_empty() {
            return self.word_argument(function, param, arg);
        }
        let mut lowered = self.lower(arg, Place::OPERAND);
        if param.monikers
            && let SyntaxKind::Text(text) = &arg.kind
        {
            lowered.node.kind = NodeKind::Const(Scalar::text(monikers(text).into_owned()));
        }
        self.expect(&lowered, param.types, || format!("`{}` of `{function}`", param.name));
        lowered
    }

    fn word_argument(&mut self, function: &str, param: &Param, arg: &Syntax<'t>) -> Lowered {
        let word = match &arg.kind {
            SyntaxKind::Word(word) => *word,
            SyntaxKind::Text(word) => word.as_ref(),
            _ => "",
        };
        if let Some(&known) = param.words.iter().find(|known| **known == word) {
            let kind = NodeKind::Const(Scalar::text(known));
            return Lowered { node: Node { span: arg.span, kind }, types: Types::TEXT };
        }
        let message = format!("`{}` of `{function}` must be one of {}", param.name, param.words.join(", "));
        let hint = did_you_mean(word, param.words.iter().copied());
        self.wrong(Diagnostic::error(arg.span, message).hint_opt(hint))
    }

    /// Reports a value that can never be of the types wanted.
    fn expect(&mut self, value: &Lowered, wanted: Types, what: impl FnOnce() -> String) {
        if value.types.may_be(wanted) {
            return;
        }
        let message = format!("{} must be {wanted}, but this is {}", what(), value.types);
        self.found.push(
            Diagnostic::error(value.node.span, message)
                .hint_opt(conversion(value.types, wanted).map(str::to_owned)),
        );
    }

    /// A condition: True or False.
    pub(crate) fn condition(&mut self, syntax: &Syntax<'t>) -> Lowered {
        self.testing += 1;
        let lowered = self.lower(syntax, Place::OPERAND);
        self.testing -= 1;
        self.expect(&lowered, Types::BOOLEAN, || "a condition".to_owned());
        lowered
    }

    pub(crate) fn form(
        &mut self,
        form: Form,
        definition: &FunctionDef,
        args: &[Syntax<'t>],
        span: Span,
        place: Place,
    ) -> Lowered {
        let branch = Place { special: true, ..place };
        match (form, args) {
            (Form::If, [test, then, otherwise]) => {
                let test = self.condition(test);
                let (then, otherwise) = (self.lower(then, branch), self.lower(otherwise, branch));
                let types = then.types.or(otherwise.types);
                let pairs = vec![(test.node, then.node)];
                let kind = NodeKind::Choose { pairs, otherwise: Box::new(otherwise.node) };
                Lowered { node: Node { span, kind }, types }
            }
            (Form::Switch, args) => {
                let mut types = Types::NONE;
                let mut pairs = Vec::with_capacity(args.len() / 2);
                for pair in args.chunks(2) {
                    let [test, value] = pair else { continue };
                    let test = self.condition(test);
                    let value = self.lower(value, branch);
                    types = types.or(value.types);
                    pairs.push((test.node, value.node));
                }
                let kind = NodeKind::Choose { pairs, otherwise: Box::new(null(span)) };
                Lowered { node: Node { span, kind }, types }
            }
            (Form::Raise, [message]) => {
                self.reads.raises = true;
                let message = self.lower(message, Place::OPERAND);
                self.expect(&message, Types::STRING.or(Types::NUMBER), || {
                    "the message of `Error`".to_owned()
                });
                Lowered {
                    node: Node { span, kind: NodeKind::Raise(Box::new(message.node)) },
                    types: Types::NONE,
                }
            }
            (Form::With, [name, value, body]) => {
                let as_value = self.reads.clock_as_value;
                let value = self.lower(value, Place::OPERAND);
                // Whether the clock becomes the value is decided where the variable is used.
                self.reads.clock_as_value = as_value;
                let Some(slot) = self.declare(name, definition, &value) else { return nothing(span) };
                let body = self.lower(body, branch);
                self.undeclare(slot);
                let kind = NodeKind::With { slot, value: Box::new(value.node), body: Box::new(body.node) };
                Lowered { node: Node { span, kind }, types: body.types }
            }
            (Form::Select | Form::Where, [name, list, body]) => {
                let filter = form == Form::Where;
                let list = self.lower(list, Place::OPERAND);
                let Some(slot) = self.declare(name, definition, &list) else { return nothing(span) };
                let body = if filter {
                    self.condition(body)
                } else {
                    self.lower(body, Place { special: true, result: false })
                };
                self.undeclare(slot);
                let types = if filter { list.types } else { body.types };
                let origin = self.origin(span);
                let (list, body) = (Box::new(list.node), Box::new(body.node));
                Lowered {
                    node: Node { span, kind: NodeKind::Loop { slot, filter, list, body, origin } },
                    types,
                }
            }
            (Form::Imported | Form::ValueCount, [name]) => self.by_name(form, name, definition, span),
            (Form::Now, _) => {
                self.reads.clock = true;
                self.reads.clock_as_value |= self.testing == 0;
                Lowered { node: Node { span, kind: NodeKind::Now }, types: Types::TIME }
            }
            // The number of arguments was checked.
            _ => nothing(span),
        }
    }

    /// Binds a variable; gives its place.
    fn declare(&mut self, name: &Syntax<'t>, definition: &FunctionDef, value: &Lowered) -> Option<usize> {
        let SyntaxKind::Variable(variable) = name.kind else {
            self.found.push(
                Diagnostic::error(
                    name.span,
                    format!("the first argument of `{}` must be a variable", definition.name),
                )
                .hint("e.g. `$item`"),
            );
            return None;
        };
        let clocked = Clocked(&self.clocked).reads(&value.node);
        self.scope.push((variable, value.types));
        self.clocked.push(clocked);
        Some(self.scope.len() - 1)
    }

    fn undeclare(&mut self, slot: usize) {
        self.scope.truncate(slot);
        self.clocked.truncate(slot);
    }

    /// `ImportedValue("x")` and `ValueCount("x")`.
    fn by_name(&mut self, form: Form, name: &Syntax<'t>, definition: &FunctionDef, span: Span) -> Lowered {
        let text = match &name.kind {
            SyntaxKind::Text(text) if !text.is_empty() => text,
            _ => {
                let hint = match &name.kind {
                    SyntaxKind::Attribute(attribute) => format!("write {}(\"{attribute}\")", definition.name),
                    _ => format!("e.g. {}(\"proxyAddresses\")", definition.name),
                };
                let message = format!("`{}` takes the name of an attribute as a text", definition.name);
                return self.wrong(Diagnostic::error(name.span, message).hint(hint));
            }
        };
        let outbound_import = form == Form::Imported && self.context.kind == Kind::Outbound;
        let resolved = if outbound_import {
            // An attribute of the target: its schema is not at hand here.
            Ok((self.context.names.intern(text), None))
        } else {
            self.resolve(text, name.span)
        };
        let (attribute, definition) = match resolved {
            Ok(found) => found,
            Err(diagnostic) => return self.wrong(diagnostic),
        };
        let link = !outbound_import && self.is_link(attribute);
        if form == Form::Imported {
            if link {
                return self.names_of_links(attribute, text, span);
            }
            self.imported.insert(attribute);
            if !outbound_import {
                self.attributes.insert(attribute);
            }
            let types = definition.map_or(Types::ANY, |def| Types::of(def.kind));
            // Inbound the image is what was imported, so that both are one list.
            let kind =
                if outbound_import { NodeKind::Imported(attribute) } else { NodeKind::Attribute(attribute) };
            return Lowered { node: Node { span, kind }, types };
        }
        let unknown = self.context.schema.is_none();
        let (link, plain) = (link || unknown, !link);
        if link {
            self.links.insert(attribute);
        }
        if plain {
            self.attributes.insert(attribute);
        }
        let kind = NodeKind::ValueCount { attribute, link, plain };
        Lowered { node: Node { span, kind }, types: Types::NUMBER }
    }

    pub(crate) fn concat(&mut self, operands: &[Syntax<'t>], span: Span) -> Lowered {
        let accepted = Types::STRING.or(Types::NUMBER).or(Types::BOOLEAN).or(Types::BINARY);
        let mut types = Types::NONE;
        let mut nodes = Vec::with_capacity(operands.len());
        for operand in operands {
            let lowered = self.lower(operand, Place::OPERAND);
            self.expect(&lowered, accepted, || "what `&` joins".to_owned());
            if !types.is_none() && !lowered.types.is_none() {
                let all_binary = |t: Types| t == Types::BINARY;
                let no_binary = |t: Types| !t.may_be(Types::BINARY);
                if all_binary(types) && no_binary(lowered.types)
                    || no_binary(types) && all_binary(lowered.types)
                {
                    self.found.push(
                        Diagnostic::error(lowered.node.span, "text and binary cannot be joined").hint(
                            "make the binary a text by ConvertToBase64, StringFromGuid or StringFromSid",
                        ),
                    );
                }
            }
            types = types.or(lowered.types);
            nodes.push(lowered.node);
        }
        let types = if types == Types::BINARY {
            Types::BINARY
        } else if types.may_be(Types::BINARY) && !types.is_none() {
            Types::TEXT.or(Types::BINARY)
        } else {
            Types::TEXT
        };
        self.folded(span, NodeKind::Concat(nodes), types)
    }

    pub(crate) fn arithmetic(&mut self, operator: Operator, sides: &[Syntax<'t>; 2], span: Span) -> Lowered {
        let [left, right] = sides;
        let (left, right) = (self.lower(left, Place::OPERAND), self.lower(right, Place::OPERAND));
        for side in [&left, &right] {
            if side.types == Types::TEXT && operator == Operator::Plus {
                self.found.push(
                    Diagnostic::error(side.node.span, "`+` adds numbers, but this is text")
                        .hint("join texts with `&`, make a number with CNum"),
                );
            } else {
                self.expect(side, Types::NUMBER, || "an operand of `+`, `-` and `*`".to_owned());
            }
        }
        let kind = NodeKind::Arithmetic { operator, sides: Box::new([left.node, right.node]) };
        self.folded(span, kind, Types::NUMBER)
    }

    pub(crate) fn comparison(&mut self, operator: Operator, sides: &[Syntax<'t>; 2], span: Span) -> Lowered {
        self.testing += 1;
        let (left, right) = (self.lower(&sides[0], Place::OPERAND), self.lower(&sides[1], Place::OPERAND));
        self.testing -= 1;
        for side in [&left, &right] {
            if matches!(side.node.kind, NodeKind::Const(Scalar::Null)) && self.found.is_empty() {
                let always = if operator == Operator::NotEqual { "True" } else { "False" };
                self.found.push(
                    Diagnostic::warning(span, format!("a comparison with NULL is always {always}"))
                        .hint("use IsNull, or IsPresent"),
                );
            }
        }
        self.comparable(operator, &left, &right, span);
        let clocked = Clocked(&self.clocked);
        let clock = match (clocked.reads(&left.node), clocked.reads(&right.node)) {
            (true, false) => clocked.side(&left.node, true),
            (false, true) => clocked.side(&right.node, false),
            _ => None,
        };
        let kind = NodeKind::Compare { operator, sides: Box::new([left.node, right.node]), clock };
        self.folded(span, kind, Types::BOOLEAN)
    }

    fn comparable(&mut self, operator: Operator, left: &Lowered, right: &Lowered, span: Span) {
        let widen = |types: Types| if types.may_be(Types::STRING) { types.or(Types::STRING) } else { types };
        let (a, b) = (left.types, right.types);
        if a.is_none() || b.is_none() {
            return;
        }
        if !widen(a).may_be(widen(b)) {
            let hint = conversion(a, b).or_else(|| conversion(b, a)).map(str::to_owned);
            self.found
                .push(Diagnostic::error(span, format!("{a} cannot be compared with {b}")).hint_opt(hint));
        } else if !matches!(operator, Operator::Equal | Operator::NotEqual) {
            let ordered = Types::STRING.or(Types::NUMBER).or(Types::TIME);
            if let Some(side) = [left, right].into_iter().find(|side| !side.types.may_be(ordered)) {
                let message = format!("{} has no order", side.types);
                self.found
                    .push(Diagnostic::error(side.node.span, message).hint("compare it with `=` or `<>`"));
            }
        }
    }
}

fn null(span: Span) -> Node {
    Node { span, kind: NodeKind::Const(Scalar::Null) }
}

fn nothing(span: Span) -> Lowered {
    Lowered { node: null(span), types: Types::NONE }
}

/// What makes the one type of the other.
fn conversion(from: Types, to: Types) -> Option<&'static str> {
    let is = |t: Types| from == t;
    Some(if to.may_be(Types::STRING) && (is(Types::NUMBER) || is(Types::BOOLEAN)) {
        "make it a text with CStr"
    } else if to.may_be(Types::STRING) && is(Types::TIME) {
        "make it a text with FormatDateTime"
    } else if to.may_be(Types::STRING) && is(Types::BINARY) {
        "make it a text with ConvertToBase64, StringFromGuid or StringFromSid"
    } else if to == Types::NUMBER && is(Types::TEXT) {
        "make it a number with CNum"
    } else if to == Types::NUMBER && is(Types::TIME) {
        "make it a number with NumFromDate"
    } else if to == Types::TIME && is(Types::TEXT) {
        "make it a time with CDate"
    } else if to == Types::TIME && is(Types::NUMBER) {
        "make it a time with DateFromNum"
    } else if to == Types::BOOLEAN {
        "compare it, e.g. with `>`, or use CBool or IsPresent"
    } else {
        return None;
    })
}
