//! The functions of the language: one table, from which checks, evaluation and documentation are made.

mod args;
mod bits;
mod certificates;
mod convert;
mod dates;
mod dates_format;
mod dates_parse;
mod dn;
mod encode;
mod flow;
mod lists;
mod search;
mod tests_of_values;
mod text;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::diagnostic::Fault;
use crate::program::Env;
use crate::scalar::{Scalar, Val};
use crate::types::Types;

pub(crate) use args::text_of;
pub(crate) use convert::to_text;
pub(crate) use dates::is_calendar_interval;
pub(crate) use encode::upper_hex;
pub(crate) use text::monikers;

/// The most parameters any function has, except Switch.
pub(crate) const PARAMS_MAX: usize = 4;

/// One function: its signature, its documentation, its body.
#[derive(Clone, Copy, Debug)]
pub struct FunctionDef {
    /// The name, case-sensitive.
    pub name: &'static str,
    /// The chapter it belongs to.
    pub theme: &'static str,
    /// Its parameters in order.
    pub params: &'static [Param],
    /// What it gives.
    pub result: Types,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    /// What we decided where the original's documentation leaves it open, and why; may be empty.
    pub decision: &'static str,
    /// Expressions with their results.
    pub examples: &'static [Example],
    pub(crate) body: Body,
}

/// One parameter of a function.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name in the documentation.
    pub name: &'static str,
    /// What it takes.
    pub types: Types,
    /// Whether it takes all values of an attribute at once; otherwise the function is applied to each value.
    pub many: bool,
    /// Whether it may be left out.
    pub optional: bool,
    /// The words it takes, where it takes no values.
    pub words: &'static [&'static str],
    /// Whether `\r`, `\n` and `\t` in a literal mean control characters.
    pub monikers: bool,
}

/// An expression with its result, executed as a test.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// The expression.
    pub expression: &'static str,
    /// The attributes it reads, as a JSON object (design, section 7).
    pub attributes: &'static str,
    /// The result, in the same form; `{"$error": true}` for a failure.
    pub result: &'static str,
}

/// A body that sees one value per argument.
pub(crate) type EachFn = for<'a> fn(&mut Call<'_>, &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault>;
/// A body that sees whole lists.
pub(crate) type WholeFn = for<'a> fn(&mut Call<'_>, &mut [Val<'a>]) -> Result<Val<'a>, Fault>;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// Applied to each value of lists.
    Each(EachFn),
    /// As `Each`, but not a function of its arguments alone.
    Random(EachFn),
    /// Applied once.
    Whole(WholeFn),
    /// Part of the language: the evaluator knows it.
    Form(Form),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    If,
    Switch,
    Raise,
    Select,
    Where,
    With,
    Imported,
    ValueCount,
    Now,
}

/// What a body knows beside its arguments.
pub(crate) struct Call<'c> {
    pub(crate) env: &'c Env,
    /// Differs for every call of one evaluation, and is the same when the evaluation is repeated.
    pub(crate) site: u64,
    /// The origin of a list this call makes.
    pub(crate) origin: u64,
    /// Bytes that may still be produced.
    pub(crate) budget: &'c mut usize,
}

impl Call<'_> {
    /// Takes bytes from the budget before they are produced.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Fault> {
        crate::eval::grow(self.budget, bytes)
    }

    /// A pseudo-random number that depends on object, attribute, rule and place in the expression only.
    pub(crate) fn random(&self, round: u64) -> u64 {
        // SplitMix64: full period, no state to keep.
        let mut z = self
            .env
            .seed
            .wrapping_add(self.site.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_add(round.wrapping_mul(0xd1b5_4a32_d192_ed03));
        for multiplier in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
            z = (z ^ (z >> 30)).wrapping_mul(multiplier);
        }
        z ^ (z >> 31)
    }
}

impl FunctionDef {
    /// The signature as the documentation prints it, e.g. `str Mid(str text, num start [, num length])`.
    #[must_use]
    pub fn signature(&self) -> String {
        let mut out = format!("{} {}(", self.result.tag(), self.name);
        let mut brackets = 0;
        for (index, param) in self.params.iter().enumerate() {
            if param.optional {
                out.push_str(if index == 0 { "[" } else { " [" });
                brackets += 1;
            }
            if index > 0 {
                out.push_str(", ");
            }
            if param.words.is_empty() {
                out.push_str(if param.many { "mv-" } else { "" });
                out.push_str(&param.types.tag());
            } else {
                out.push_str("enum");
            }
            out.push(' ');
            out.push_str(param.name);
        }
        if matches!(self.body, Body::Form(Form::Switch)) {
            out.push_str(" [, bool test2, var value2 ...");
            brackets += 1;
        }
        out.push_str(&"]".repeat(brackets));
        out.push(')');
        out
    }

    /// The fewest and the most arguments; `None` for as many as wanted.
    pub(crate) fn arity(&self) -> (usize, Option<usize>) {
        if matches!(self.body, Body::Form(Form::Switch)) {
            return (2, None);
        }
        (self.params.iter().filter(|p| !p.optional).count(), Some(self.params.len()))
    }
}

/// A parameter that takes a value.
const fn param(name: &'static str, types: Types) -> Param {
    Param { name, types, many: false, optional: false, words: &[], monikers: false }
}

/// A parameter that takes one of some words.
const fn word(name: &'static str, words: &'static [&'static str]) -> Param {
    Param { words, ..param(name, Types::TEXT) }
}

/// A parameter that takes all values at once.
const fn many(name: &'static str, types: Types) -> Param {
    Param { many: true, ..param(name, types) }
}

/// The same parameter, which may be left out.
const fn optional(param: Param) -> Param {
    Param { optional: true, ..param }
}

pub(crate) const fn example(expression: &'static str, result: &'static str) -> Example {
    Example { expression, attributes: "{}", result }
}

pub(crate) const fn example_with(
    attributes: &'static str,
    expression: &'static str,
    result: &'static str,
) -> Example {
    Example { expression, attributes, result }
}

/// All functions, by theme.
static TABLES: [&[FunctionDef]; 11] = [
    flow::FUNCTIONS,
    tests_of_values::FUNCTIONS,
    text::FUNCTIONS,
    search::FUNCTIONS,
    lists::FUNCTIONS,
    convert::FUNCTIONS,
    encode::FUNCTIONS,
    dates::FUNCTIONS,
    bits::FUNCTIONS,
    dn::FUNCTIONS,
    certificates::FUNCTIONS,
];

static ALL: LazyLock<Vec<FunctionDef>> = LazyLock::new(|| TABLES.concat());

static BY_NAME: LazyLock<HashMap<&'static str, &'static FunctionDef>> =
    LazyLock::new(|| functions().iter().map(|def| (def.name, def)).collect());

/// All functions in the order of the documentation.
pub fn functions() -> &'static [FunctionDef] {
    &ALL
}

/// The function of that name, spelled exactly so.
pub(crate) fn find(name: &str) -> Option<&'static FunctionDef> {
    BY_NAME.get(name).copied()
}

/// What functions of the ancestor (MIM 2016) and frequent slips are called here.
pub(crate) fn other_name(name: &str) -> Option<&'static str> {
    const SLIPS: [(&str, &str); 5] =
        [("Random", "RandomNum"), ("If", "IIF"), ("IF", "IIF"), ("IIf", "IIF"), ("Iif", "IIF")];
    crate::ancestor::NAMES.iter().chain(&SLIPS).find(|(old, _)| *old == name).map(|(_, new)| *new)
}
