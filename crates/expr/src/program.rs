//! Compiled expressions, what they read, and what they are evaluated over.

use onesync_model::{AttrId, Time, Value, Values, ValuesCow, ValuesRef};

use crate::diagnostic::{Diagnostic, Failure, Span};
use crate::eval::Evaluator;
use crate::functions::{EachFn, WholeFn};
use crate::lexer::Operator;
use crate::scalar::Scalar;
use crate::tidied::Tidied;
use crate::types::Types;

/// Links of one attribute of one object that an expression can look at by themselves: their names are in memory, a
/// megabyte of them.
pub const LINKS_MAX: u64 = 10_000;

/// What an expression sees. Inbound: a connector-space object; outbound: a metaverse object.
pub trait Source {
    /// The values of an attribute that is no link.
    fn values(&self, attribute: AttrId) -> Option<ValuesRef<'_>>;
    /// The values an import has confirmed: inbound the same as [`Source::values`], outbound those of the target's
    /// confirmed image.
    fn imported(&self, attribute: AttrId) -> Option<ValuesRef<'_>>;
    /// The DN, `[dn]`.
    fn dn(&self) -> Option<&str>;
    /// How many values a link attribute has.
    fn link_count(&self, attribute: AttrId) -> u64;
    /// The names of what a link attribute points at, as references; those of objects that are not known are left out.
    ///
    /// # Errors
    /// How many links there are, where these are more than [`LINKS_MAX`].
    fn link_names(&self, _attribute: AttrId) -> Result<Option<ValuesRef<'_>>, u64> {
        Ok(None)
    }
    /// Whether it is a direct member of the group with this name in the form of [`onesync_model::group_name`]: for
    /// scopes only.
    fn is_member_of(&self, _group: &str) -> bool {
        false
    }
    /// Names of the groups that it is a direct member of, for people.
    fn groups(&self) -> Vec<&str> {
        Vec::new()
    }
    /// Whether an attribute that happens to have one value is shown as a list of one: it makes no other difference.
    fn is_list(&self, _attribute: AttrId) -> bool {
        false
    }
    /// The value of `%Name%`, asked for without the percent signs.
    fn parameter(&self, name: &str) -> Option<&str>;
}

/// What an evaluation depends on beside the object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Env {
    /// What `Now()` gives.
    pub now: Time,
    /// The seed of random functions: derived from object, attribute and rule, so that they repeat.
    pub seed: u64,
}

/// What an expression gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome<V = Values> {
    /// Values.
    Values(V),
    /// The values of a link attribute, as they are.
    Link(AttrId),
    /// Nothing to contribute.
    Null,
    /// Nothing, and no lower precedence may contribute either.
    AuthoritativeNull,
    /// As if the flow were not there.
    IgnoreThisFlow,
}

/// An outcome, and how long it holds while nothing but the clock moves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Evaluated<V = Values> {
    /// What the expression gives.
    pub outcome: Outcome<V>,
    /// The first instant at which it may give something else; `None` for never.
    pub valid_until: Option<Time>,
}

impl Evaluated<ValuesCow<'_>> {
    /// An owned copy.
    #[must_use]
    pub fn into_owned(self) -> Evaluated {
        let Self { outcome, valid_until } = self;
        Evaluated { outcome: outcome.into_owned(), valid_until }
    }
}

impl Outcome<ValuesCow<'_>> {
    /// An owned copy.
    #[must_use]
    pub fn into_owned(self) -> Outcome {
        match self {
            Self::Values(values) => values.into_values().map_or(Outcome::Null, Outcome::Values),
            Self::Link(attribute) => Outcome::Link(attribute),
            Self::Null => Outcome::Null,
            Self::AuthoritativeNull => Outcome::AuthoritativeNull,
            Self::IgnoreThisFlow => Outcome::IgnoreThisFlow,
        }
    }
}

/// The values of a result in the order in which they were made, repeated ones too: at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The values.
    pub items: Vec<Item>,
    /// Whether it is a list, be it of one value.
    pub list: bool,
}

/// One value of a [`Listed`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A value that an attribute can hold.
    Value(Value),
    /// The digits of a number that is not whole.
    Decimal(String),
}

/// How an expression uses link attributes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkForm {
    /// Not at all.
    None,
    /// It is the link attribute.
    Direct(AttrId),
    /// It decides, once for the object, whether the link attribute flows.
    Guarded(AttrId),
    /// It counts links only.
    Aggregate,
    /// It looks at the names of single links, see [`Program::link_names`].
    PerValue,
}

/// A compiled expression: pure, and shared by all threads.
#[derive(Debug)]
pub struct Program {
    pub(crate) text: Box<str>,
    pub(crate) root: Node,
    pub(crate) reads: Reads,
    pub(crate) types: Types,
    pub(crate) link_form: LinkForm,
    pub(crate) tidied: Option<Tidied>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// What an expression reads: sorted, without repetition.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    pub(crate) attributes: Vec<AttrId>,
    pub(crate) imported: Vec<AttrId>,
    pub(crate) links: Vec<AttrId>,
    pub(crate) link_names: Vec<AttrId>,
    pub(crate) parameters: Vec<String>,
    pub(crate) dn: bool,
    pub(crate) clock: bool,
    pub(crate) clock_as_value: bool,
    pub(crate) random: bool,
    pub(crate) raises: bool,
}

impl Program {
    /// Evaluates for one object.
    ///
    /// # Errors
    /// When the expression raises an error, cannot work with the values, or exceeds a limit.
    pub fn eval(&self, source: &dyn Source, env: &Env) -> Result<Evaluated, Failure> {
        self.eval_rechecked(source, env, None)
    }

    /// The same, where a use of the clock without an end of its own is looked at again after so many seconds, not at
    /// the next midnight in UTC.
    ///
    /// # Errors
    /// As [`Program::eval`].
    pub fn eval_rechecked(
        &self,
        source: &dyn Source,
        env: &Env,
        recheck_seconds: Option<u32>,
    ) -> Result<Evaluated, Failure> {
        self.lend(source, env, recheck_seconds).map(Evaluated::into_owned)
    }

    /// The same without a copy of what is there already.
    ///
    /// # Errors
    /// As [`Program::eval`].
    pub fn lend<'a>(
        &'a self,
        source: &'a dyn Source,
        env: &Env,
        recheck_seconds: Option<u32>,
    ) -> Result<Evaluated<ValuesCow<'a>>, Failure> {
        if let Some(outcome) = self.tidied.and_then(|tidied| tidied.outcome(source)) {
            return Ok(Evaluated { outcome, valid_until: None });
        }
        Evaluator::new(source, *env, recheck_seconds).run(&self.root)
    }

    /// Evaluates outside of a sync: the values keep the order in which they were made.
    ///
    /// # Errors
    /// As [`Program::eval`].
    pub fn eval_listed(&self, source: &dyn Source, env: &Env) -> Result<Evaluated<Listed>, Failure> {
        Evaluator::new(source, *env, None).run_listed(&self.root)
    }

    /// The attributes whose values it reads, in the order of their ids; links are not among them.
    #[must_use]
    pub fn attributes(&self) -> &[AttrId] {
        &self.reads.attributes
    }

    /// The attributes it reads by `ImportedValue`, in the order of their ids. Inbound these are also among
    /// [`Program::attributes`]; outbound they are attributes of the target object.
    #[must_use]
    pub fn imported(&self) -> &[AttrId] {
        &self.reads.imported
    }

    /// The link attributes whose count it reads, in the order of their ids.
    #[must_use]
    pub fn links(&self) -> &[AttrId] {
        &self.reads.links
    }

    /// The link attributes whose single links it looks at, by the names of what these point at, in the order of their
    /// ids.
    #[must_use]
    pub fn link_names(&self) -> &[AttrId] {
        &self.reads.link_names
    }

    /// The link attribute whose links it chooses from: all that it can give are names of these.
    #[must_use]
    pub fn chooses(&self) -> Option<AttrId> {
        match self.reads.link_names.as_slice() {
            [one] if self.link_form == LinkForm::PerValue && self.types == Types::REFERENCE => Some(*one),
            _ => None,
        }
    }

    /// The names of the parameters it reads.
    #[must_use]
    pub fn parameters(&self) -> &[String] {
        &self.reads.parameters
    }

    /// Whether it reads `[dn]`.
    #[must_use]
    pub fn uses_dn(&self) -> bool {
        self.reads.dn
    }

    /// Whether it contains `Now()`.
    #[must_use]
    pub fn uses_clock(&self) -> bool {
        self.reads.clock
    }

    /// Whether the clock can be part of the value, not only of a comparison or a condition: such a flow changes
    /// with every run, unless it is applied once.
    #[must_use]
    pub fn value_is_clock(&self) -> bool {
        self.reads.clock_as_value
    }

    /// Whether it contains `RandomNum` or `Guid`.
    #[must_use]
    pub fn uses_random(&self) -> bool {
        self.reads.random
    }

    /// Whether it contains `Error()`.
    #[must_use]
    pub fn can_raise_error(&self) -> bool {
        self.reads.raises
    }

    /// The text it was compiled from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The attribute (also a link) when the expression is only `[x]`; `[dn]` is no attribute.
    #[must_use]
    pub fn direct(&self) -> Option<AttrId> {
        match self.root.kind {
            NodeKind::Attribute(id) | NodeKind::Link(id) => Some(id),
            _ => None,
        }
    }

    /// How it uses link attributes.
    #[must_use]
    pub fn link_form(&self) -> LinkForm {
        self.link_form
    }

    /// The types its values can have, as far as known.
    #[must_use]
    pub fn types(&self) -> Types {
        self.types
    }

    /// What is probably not meant as written.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }
}

/// One node of a compiled expression.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) kind: NodeKind,
}

#[derive(Debug)]
pub(crate) enum NodeKind {
    Const(Scalar<'static>),
    AuthoritativeNull,
    IgnoreThisFlow,
    Attribute(AttrId),
    Imported(AttrId),
    Dn,
    Parameter(Box<str>),
    /// A variable by its place on the stack.
    Variable(usize),
    /// A link attribute as the result.
    Link(AttrId),
    /// The names of what a link attribute points at.
    LinkNames {
        attribute: AttrId,
        name: Box<str>,
    },
    /// How many values an attribute has. Without a schema it may be a link or not: both are asked.
    ValueCount {
        attribute: AttrId,
        link: bool,
        plain: bool,
    },
    /// Whether a link attribute has values, or has none.
    LinkTest {
        attribute: AttrId,
        present: bool,
    },
    /// `IsPresent([x])` and its negation, without making a list.
    Presence {
        attribute: AttrId,
        present: bool,
    },
    /// `||` or `&&`.
    Logic {
        any: bool,
        operands: Vec<Node>,
    },
    Concat(Vec<Node>),
    Compare {
        operator: Operator,
        sides: Box<[Node; 2]>,
        clock: Option<ClockSide>,
    },
    Arithmetic {
        operator: Operator,
        sides: Box<[Node; 2]>,
    },
    /// Tests and values in pairs, then the value when no test is True.
    Choose {
        pairs: Vec<(Node, Node)>,
        otherwise: Box<Node>,
    },
    /// Binds each value of a list: Select, or Where when `filter`.
    Loop {
        slot: usize,
        filter: bool,
        list: Box<Node>,
        body: Box<Node>,
        origin: u64,
    },
    With {
        slot: usize,
        value: Box<Node>,
        body: Box<Node>,
    },
    Each {
        name: &'static str,
        body: EachFn,
        args: Vec<Node>,
    },
    Whole {
        name: &'static str,
        body: WholeFn,
        many: [bool; crate::functions::PARAMS_MAX],
        args: Vec<Node>,
        origin: u64,
    },
    Raise(Box<Node>),
    Now,
}

/// Which side of a comparison is the clock, shifted by constants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClockSide {
    pub(crate) left: bool,
    /// How it is shifted.
    pub(crate) shift: Shift,
}

/// How a clock is shifted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Shift {
    /// By months, whose length varies: then a forecast holds for the current day only.
    pub(crate) calendar: bool,
    /// It is taken from something, so that it runs backwards.
    pub(crate) falling: bool,
}
