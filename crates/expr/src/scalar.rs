//! Values during an evaluation: borrowed from the source or the program wherever possible.

use std::borrow::Cow;

use onesync_model::{AttrId, Dn, Time, Value, ValueRef, Values, ValuesCow, fold_case};

use crate::decimal::Decimal;
use crate::diagnostic::Fault;

/// One value, or nothing.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) enum Scalar<'a> {
    /// NULL.
    #[default]
    Null,
    Str(Cow<'a, str>),
    Ref(Cow<'a, str>),
    Int(i64),
    Dec(Decimal),
    Bool(bool),
    Bin(Cow<'a, [u8]>),
    Time(Time),
}

/// Several values. Elements may be NULL: they keep their place, so that lists of one origin stay aligned, and are
/// dropped where a list is counted, joined or given as the result.
#[derive(Clone, Debug)]
pub(crate) struct List<'a> {
    /// Where the values come from. Lists of one origin have the same length and order, and are combined value by
    /// value; lists of two origins are not combined at all.
    pub(crate) origin: u64,
    pub(crate) items: Vec<Scalar<'a>>,
}

/// What a part of an expression gives.
#[derive(Clone, Debug)]
pub(crate) enum Val<'a> {
    One(Scalar<'a>),
    Many(List<'a>),
    /// The values of a link attribute, unread.
    Link(AttrId),
    AuthoritativeNull,
    IgnoreThisFlow,
}

impl<'a> Scalar<'a> {
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Str(text.into())
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The same value for a shorter life.
    pub(crate) fn borrowed(&self) -> Scalar<'_> {
        match self {
            Self::Null => Scalar::Null,
            Self::Str(s) => Scalar::Str(Cow::Borrowed(s)),
            Self::Ref(s) => Scalar::Ref(Cow::Borrowed(s)),
            Self::Int(n) => Scalar::Int(*n),
            Self::Dec(n) => Scalar::Dec(*n),
            Self::Bool(b) => Scalar::Bool(*b),
            Self::Bin(b) => Scalar::Bin(Cow::Borrowed(b)),
            Self::Time(t) => Scalar::Time(*t),
        }
    }

    /// The same value, owning its bytes.
    pub(crate) fn into_static(self) -> Scalar<'static> {
        match self {
            Self::Null => Scalar::Null,
            Self::Str(s) => Scalar::Str(Cow::Owned(s.into_owned())),
            Self::Ref(s) => Scalar::Ref(Cow::Owned(s.into_owned())),
            Self::Int(n) => Scalar::Int(n),
            Self::Dec(n) => Scalar::Dec(n),
            Self::Bool(b) => Scalar::Bool(b),
            Self::Bin(b) => Scalar::Bin(Cow::Owned(b.into_owned())),
            Self::Time(t) => Scalar::Time(t),
        }
    }

    /// The bytes it holds on the heap.
    pub(crate) fn owned_len(&self) -> usize {
        match self {
            Self::Str(Cow::Owned(s)) | Self::Ref(Cow::Owned(s)) => s.len(),
            Self::Bin(Cow::Owned(b)) => b.len(),
            _ => 0,
        }
    }

    /// The bytes of its text or binary, wherever they are.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Str(s) | Self::Ref(s) => s.len(),
            Self::Bin(b) => b.len(),
            _ => 0,
        }
    }

    /// The word for its type in messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Str(_) => "a text",
            Self::Ref(_) => "a reference",
            Self::Int(_) | Self::Dec(_) => "a number",
            Self::Bool(_) => "a boolean",
            Self::Bin(_) => "binary",
            Self::Time(_) => "a time",
        }
    }

    /// The value an attribute can hold; `None` for NULL.
    pub(crate) fn to_value(&self) -> Result<Option<Value>, Fault> {
        Ok(Some(match self {
            Self::Null => return Ok(None),
            Self::Str(s) => Value::string(s),
            Self::Ref(s) => Value::reference(s),
            Self::Int(n) => Value::Integer(*n),
            Self::Dec(n) => Value::Integer(n.to_int().ok_or_else(|| {
                Fault::new(format!(
                    "the result {n} is not a whole number, and attributes hold whole numbers: use CStr"
                ))
            })?),
            Self::Bool(b) => Value::Boolean(*b),
            Self::Bin(b) => Value::binary(&**b),
            Self::Time(t) => Value::Time(*t),
        }))
    }

    /// The same, borrowed where it is.
    pub(crate) fn into_values(self) -> Result<Option<ValuesCow<'a>>, Fault> {
        Ok(Some(ValuesCow::One(match self {
            Self::Str(Cow::Borrowed(s)) => ValueRef::String(s),
            Self::Ref(Cow::Borrowed(s)) => ValueRef::Reference(s),
            Self::Int(n) => ValueRef::Integer(n),
            Self::Bool(b) => ValueRef::Boolean(b),
            Self::Bin(Cow::Borrowed(b)) => ValueRef::Binary(b),
            Self::Time(t) => ValueRef::Time(t),
            other => return Ok(other.to_value()?.map(|value| ValuesCow::Made(Values::one(value)))),
        })))
    }

    /// Whether two values are equal; values of types that cannot be compared are a fault, NULL equals nothing.
    pub(crate) fn equals(&self, other: &Self) -> Result<bool, Fault> {
        Ok(match (self, other) {
            (Self::Null, _) | (_, Self::Null) => false,
            (Self::Ref(a), Self::Ref(b)) => same_reference(a, b),
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Bin(a), Self::Bin(b)) => a == b,
            _ => self.order(other)?.is_eq(),
        })
    }

    /// The order of two values that are not NULL.
    pub(crate) fn order(&self, other: &Self) -> Result<std::cmp::Ordering, Fault> {
        Ok(match (self, other) {
            (Self::Str(a) | Self::Ref(a), Self::Str(b) | Self::Ref(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Int(a), Self::Dec(b)) => Decimal::from_int(*a).cmp(b),
            (Self::Dec(a), Self::Int(b)) => a.cmp(&Decimal::from_int(*b)),
            (Self::Dec(a), Self::Dec(b)) => a.cmp(b),
            _ => return Err(Fault::new(format!("{} cannot be compared with {}", self.kind(), other.kind()))),
        })
    }
}

impl<'a> From<ValueRef<'a>> for Scalar<'a> {
    fn from(value: ValueRef<'a>) -> Self {
        match value {
            ValueRef::String(s) => Self::Str(Cow::Borrowed(s)),
            ValueRef::Reference(s) => Self::Ref(Cow::Borrowed(s)),
            ValueRef::Integer(n) => Self::Int(n),
            ValueRef::Boolean(b) => Self::Bool(b),
            ValueRef::Binary(b) => Self::Bin(Cow::Borrowed(b)),
            ValueRef::Time(t) => Self::Time(t),
        }
    }
}

impl<'a> Val<'a> {
    pub(crate) const NULL: Val<'static> = Val::One(Scalar::Null);

    /// A list, or NULL when there is no value.
    pub(crate) fn list(origin: u64, items: Vec<Scalar<'a>>) -> Self {
        if items.is_empty() { Val::NULL } else { Val::Many(List { origin, items }) }
    }

    /// A list of one value as that value.
    pub(crate) fn single(self) -> Self {
        match self {
            Val::Many(mut list) if list.items.len() == 1 => Val::One(list.items.swap_remove(0)),
            other => other,
        }
    }

    /// The bytes of all its texts and binaries.
    pub(crate) fn bytes(&self) -> usize {
        self.present().map(Scalar::bytes).sum()
    }

    /// The bytes it holds on the heap.
    pub(crate) fn owned_len(&self) -> usize {
        self.present().map(Scalar::owned_len).sum()
    }

    /// The values that are there.
    pub(crate) fn present(&self) -> impl Iterator<Item = &Scalar<'a>> {
        let items = match self {
            Val::One(one) => std::slice::from_ref(one),
            Val::Many(list) => &list.items,
            Val::Link(_) | Val::AuthoritativeNull | Val::IgnoreThisFlow => &[],
        };
        items.iter().filter(|s| !s.is_null())
    }

    /// The values that are there, given up.
    pub(crate) fn into_present(self) -> Vec<Scalar<'a>> {
        match self {
            Val::One(Scalar::Null) => Vec::new(),
            Val::One(one) => vec![one],
            Val::Many(mut list) => {
                list.items.retain(|s| !s.is_null());
                list.items
            }
            Val::Link(_) | Val::AuthoritativeNull | Val::IgnoreThisFlow => Vec::new(),
        }
    }
}

/// Whether two references name one object: as DNs where both are, else without regard to case.
pub(crate) fn same_reference(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    match (Dn::parse(a), Dn::parse(b)) {
        (Ok(a), Ok(b)) => a.normalised() == b.normalised(),
        _ => fold_case(a) == fold_case(b),
    }
}
