//! Reading arguments: the conversions every body needs.

use std::borrow::Cow;

use crate::diagnostic::Fault;
use crate::scalar::Scalar;

/// The word in a message for a value of the wrong type.
fn wrong(value: &Scalar<'_>, wanted: &str) -> Fault {
    Fault::new(format!("{wanted} is needed here, not {}", value.kind()))
}

/// The text of a text or reference; `None` for NULL.
pub(crate) fn text_of<'s>(value: &'s Scalar<'_>) -> Result<Option<&'s str>, Fault> {
    match value {
        Scalar::Null => Ok(None),
        Scalar::Str(s) | Scalar::Ref(s) => Ok(Some(s)),
        other => Err(wrong(other, "a text")),
    }
}

/// Takes a text out of an argument, without copying what is borrowed.
pub(crate) fn take_text<'a>(value: &mut Scalar<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    match std::mem::take(value) {
        Scalar::Null => Ok(None),
        Scalar::Str(s) | Scalar::Ref(s) => Ok(Some(s)),
        other => Err(wrong(&other, "a text")),
    }
}

/// A whole number; `None` for NULL.
pub(crate) fn int_of(value: &Scalar<'_>) -> Result<Option<i64>, Fault> {
    match value {
        Scalar::Null => Ok(None),
        Scalar::Int(n) => Ok(Some(*n)),
        Scalar::Dec(n) => match n.to_int() {
            Some(n) => Ok(Some(n)),
            None => Err(Fault::new(format!("a whole number is needed here, not {n}"))),
        },
        other => Err(wrong(other, "a number")),
    }
}

/// The argument at a place, or NULL where it was left out.
pub(crate) fn at<'s, 'a>(args: &'s [Scalar<'a>], index: usize) -> &'s Scalar<'a> {
    args.get(index).unwrap_or(&Scalar::Null)
}

/// Takes the argument at a place.
pub(crate) fn take<'a>(args: &mut [Scalar<'a>], index: usize) -> Scalar<'a> {
    args.get_mut(index).map(std::mem::take).unwrap_or_default()
}

/// Takes the text at a place; `None` for NULL.
pub(crate) fn take_text_at<'a>(args: &mut [Scalar<'a>], index: usize) -> Result<Option<Cow<'a, str>>, Fault> {
    take_text(&mut take(args, index))
}

/// Part of a text by byte range, keeping what is borrowed borrowed. The range must lie on character boundaries.
pub(crate) fn slice(text: Cow<'_, str>, start: usize, end: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(s) => Cow::Borrowed(s.get(start..end).unwrap_or_default()),
        Cow::Owned(mut s) => {
            s.truncate(end);
            s.drain(..start.min(s.len()));
            Cow::Owned(s)
        }
    }
}
