//! Expressions that only tidy an attribute, as most of Azure AD Connect's do: `Trim([x])`, `Left(Trim([x]),448)`,
//! `RemoveDuplicates(Trim([x]))`.
//!
//! Values that are tidy come out as they went in; that is seen by a look at them, without an evaluation.

use onesync_model::{AttrId, ValuesCow};

use crate::program::{Node, NodeKind, Outcome, Source};
use crate::scalar::Scalar;

/// Attributes of more bytes are for the evaluator with its limits.
const BYTES_MAX: usize = 64 * 1024;

/// The attribute, and what its values have to be to come out as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tidied {
    attribute: AttrId,
    /// Bytes of one text that are surely not too many characters.
    bytes_max: usize,
    /// Whether there is nothing where the attribute has no value: `Left` gives an empty text then.
    null_stays: bool,
}

impl Tidied {
    /// What an expression tidies, if it does nothing else.
    pub(crate) fn of(node: &Node) -> Option<Self> {
        let (NodeKind::Each { name, args, .. } | NodeKind::Whole { name, args, .. }) = &node.kind else {
            return None;
        };
        match (*name, args.as_slice()) {
            // What an attribute holds has no duplicates.
            ("Trim" | "LTrim" | "RTrim" | "RemoveDuplicates", [inner]) => Self::inside(inner),
            ("Left", [inner, Node { kind: NodeKind::Const(Scalar::Int(count)), .. }]) => {
                let tidied = Self::inside(inner)?;
                let bytes_max = tidied.bytes_max.min(usize::try_from(*count).ok()?);
                Some(Self { bytes_max, null_stays: false, ..tidied })
            }
            _ => None,
        }
    }

    fn inside(node: &Node) -> Option<Self> {
        match node.kind {
            NodeKind::Attribute(attribute) => {
                Some(Self { attribute, bytes_max: BYTES_MAX, null_stays: true })
            }
            _ => Self::of(node),
        }
    }

    /// What the expression gives, where a look at the values tells.
    pub(crate) fn outcome<'a>(self, source: &'a dyn Source) -> Option<Outcome<ValuesCow<'a>>> {
        match source.values(self.attribute) {
            Some(values) if values.stored_len() <= BYTES_MAX && values.are_plain_texts(self.bytes_max) => {
                Some(Outcome::Values(values.into()))
            }
            None if self.null_stays => Some(Outcome::Null),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use onesync_model::{Bag, Image, Names, Value, Values, ValuesRef};
    use proptest::prelude::*;

    use super::*;
    use crate::eval::Evaluator;
    use crate::fold::NO_ENV;
    use crate::{Context, Kind, compile};

    struct Object(Image);

    impl Source for Object {
        fn values(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
            self.0.as_ref().get(attribute)
        }

        fn imported(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
            self.values(attribute)
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

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            8 => "[ab\u{e4} \t]{0,4}".prop_map(Value::string),
            1 => "[ab ]{0,3}".prop_map(Value::reference),
            1 => any::<i64>().prop_map(Value::Integer),
        ]
    }

    proptest! {
        #[test]
        fn a_look_tells_what_an_evaluation_gives(values in prop::collection::vec(value(), 0..4)) {
            let mut names = Names::new();
            let bag: Bag = Values::new(values).map(|values| (names.intern("x"), values)).into_iter().collect();
            let object = Object(Image::from_bag(&bag));
            for text in ["Trim([x])", "LTrim([x])", "RTrim(Trim([x]))", "Left(Trim([x]),2)", "Left([x],0)", "Trim(Left([x],3))", "RemoveDuplicates(Trim([x]))", "Left([x],-1)"] {
                let mut context = Context { names: &mut names, schema: None, kind: Kind::Inbound };
                let program = compile(text, &mut context).unwrap();
                prop_assert_eq!(program.tidied.is_some(), !text.contains('-'), "{}", text);
                let evaluated = Evaluator::new(&object, NO_ENV, None).run(&program.root);
                let outcome = evaluated.map(|evaluated| evaluated.into_owned());
                prop_assert_eq!(program.eval(&object, &NO_ENV), outcome, "{}", text);
            }
        }
    }
}
