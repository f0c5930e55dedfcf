//! The values of one attribute, borrowed as far as they are there already.

use crate::image::ValueIter;
use crate::{AttributeType, Value, ValueRef, Values, ValuesRef, fold_case};

/// Values that are copied only where somebody keeps them.
#[derive(Clone, Debug)]
pub enum ValuesCow<'a> {
    /// Those of an image, as they are.
    Stored(ValuesRef<'a>),
    /// One value.
    One(ValueRef<'a>),
    /// Those that somebody has.
    Lent(&'a Values),
    /// Those that were made.
    Made(Values),
}

impl<'a> ValuesCow<'a> {
    /// How many values there are: at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Stored(values) => values.count(),
            Self::One(_) => 1,
            Self::Lent(values) => values.as_slice().len(),
            Self::Made(values) => values.as_slice().len(),
        }
    }

    /// About how many bytes they take in an image; exactly so where they come from one.
    #[must_use]
    pub fn stored_len(&self) -> usize {
        match self {
            Self::Stored(values) => values.stored_len(),
            Self::One(ValueRef::String(text) | ValueRef::Reference(text)) => text.len() + 4,
            other => other.count() * 32,
        }
    }

    /// Whether an attribute of this type holds them as they are: each is of the type, where it is known, and no text is
    /// empty.
    #[must_use]
    pub fn are(&self, kind: Option<AttributeType>) -> bool {
        let fits = |value: ValueRef<'_>| {
            !matches!(value, ValueRef::String("")) && kind.is_none_or(|kind| kind == value.kind())
        };
        match self {
            Self::Stored(values) => values.are(kind),
            Self::One(value) => fits(*value),
            other => other.iter().all(fits),
        }
    }

    /// The values in canonical order.
    #[must_use]
    pub fn iter(&self) -> CowIter<'_> {
        match self {
            Self::Stored(values) => CowIter::Stored(values.iter()),
            Self::One(value) => CowIter::One(Some(*value)),
            Self::Lent(values) => CowIter::List(values.as_slice().iter()),
            Self::Made(values) => CowIter::List(values.as_slice().iter()),
        }
    }

    /// The first value in canonical order.
    #[must_use]
    pub fn first(&self) -> Option<ValueRef<'_>> {
        self.iter().next()
    }

    /// The same values, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> ValuesCow<'_> {
        match self {
            Self::Stored(values) => ValuesCow::Stored(*values),
            Self::One(value) => ValuesCow::One(*value),
            Self::Lent(values) => ValuesCow::Lent(values),
            Self::Made(values) => ValuesCow::Lent(values),
        }
    }

    /// An owned copy, where they are not owned; `None` only for values of a damaged image.
    #[must_use]
    pub fn into_values(self) -> Option<Values> {
        match self {
            Self::Stored(values) => values.to_values(),
            Self::One(value) => Some(Values::one(value.to_owned())),
            Self::Lent(values) => Some(values.clone()),
            Self::Made(values) => Some(values),
        }
    }

    /// Whether these are the same values.
    #[must_use]
    pub fn equals(&self, other: &ValuesCow<'_>) -> bool {
        match (self, other) {
            (Self::Stored(a), ValuesCow::Stored(b)) => a.same_as(*b),
            (Self::One(one), ValuesCow::Stored(stored)) => stored.is(*one),
            (Self::Stored(stored), ValuesCow::One(one)) => stored.is(*one),
            _ => self.count() == other.count() && self.iter().eq(other.iter()),
        }
    }

    /// Whether these are the same values where case does not matter.
    #[must_use]
    pub fn equals_ignoring_case(&self, other: &ValuesCow<'_>) -> bool {
        self.equals(other) || self.count() == other.count() && self.iter().zip(other.iter()).all(same_text)
    }
}

fn same_text((a, b): (ValueRef<'_>, ValueRef<'_>)) -> bool {
    match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => fold_case(a) == fold_case(b),
        _ => a == b,
    }
}

impl<'a> From<&'a Values> for ValuesCow<'a> {
    fn from(values: &'a Values) -> Self {
        Self::Lent(values)
    }
}

impl From<Values> for ValuesCow<'_> {
    fn from(values: Values) -> Self {
        Self::Made(values)
    }
}

impl<'a> From<ValuesRef<'a>> for ValuesCow<'a> {
    fn from(values: ValuesRef<'a>) -> Self {
        Self::Stored(values)
    }
}

/// Iterates over the values of a [`ValuesCow`].
#[derive(Clone, Debug)]
pub enum CowIter<'a> {
    /// Of an image.
    Stored(ValueIter<'a>),
    /// Of one value.
    One(Option<ValueRef<'a>>),
    /// Of a list.
    List(std::slice::Iter<'a, Value>),
}

impl<'a> Iterator for CowIter<'a> {
    type Item = ValueRef<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Stored(values) => values.next(),
            Self::One(value) => value.take(),
            Self::List(values) => values.next().map(Value::as_ref),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{AttrId, Bag, Image};

    const A: AttrId = AttrId(7);

    /// Every way to hold the same values.
    fn check(values: &Values, image: &Image, test: impl Fn(ValuesCow<'_>)) {
        test(values.into());
        test(values.clone().into());
        test(image.as_ref().get(A).unwrap().into());
        if let [one] = values.as_slice() {
            test(ValuesCow::One(one.as_ref()));
        }
    }

    fn image(values: &Values) -> Image {
        Image::from_bag(&[(A, values.clone())].into_iter().collect::<Bag>())
    }

    proptest! {
        #[test]
        fn however_values_are_held_they_are_the_same(
            a in prop::collection::vec("[aAbB]{0,2}", 1..4),
            b in prop::collection::vec("[aAbB]{0,2}", 1..4),
        ) {
            let values = |texts: &[String]| Values::new(texts.iter().map(Value::string).collect()).unwrap();
            let (a, b) = (values(&a), values(&b));
            let folded = |values: &Values| -> Vec<String> {
                values.as_slice().iter().map(|v| v.as_str().unwrap().to_lowercase()).collect()
            };
            let (in_a, in_b) = (image(&a), image(&b));
            check(&a, &in_a, |held| {
                assert_eq!(held.count(), a.as_slice().len());
                assert_eq!(held.first(), Some(a.first().as_ref()));
                let filled = a.as_slice().iter().all(|value| value != &Value::string(""));
                assert_eq!(held.are(None), filled);
                assert_eq!(held.are(Some(AttributeType::String)), filled);
                assert!(!held.are(Some(AttributeType::Integer)));
                assert!(held.iter().eq(a.as_slice().iter().map(Value::as_ref)));
                assert_eq!(held.borrowed().into_values().as_ref(), Some(&a));
                check(&b, &in_b, |other| {
                    assert_eq!(held.equals(&other), a == b);
                    assert_eq!(held.equals_ignoring_case(&other), folded(&a) == folded(&b));
                });
                assert_eq!(held.into_values().as_ref(), Some(&a));
            });
        }
    }
}
