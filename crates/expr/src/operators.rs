//! What operators do to single values.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::decimal::Decimal;
use crate::diagnostic::Fault;
use crate::functions::{Call, text_of, to_text};
use crate::lexer::Operator;
use crate::scalar::Scalar;

/// The truth of a condition: NULL is not True.
pub(crate) fn truth(value: &Scalar<'_>) -> Result<bool, Fault> {
    match value {
        Scalar::Bool(b) => Ok(*b),
        Scalar::Null => Ok(false),
        other => Err(Fault::new(format!(
            "True or False is needed here, not {}: compare it, or use CBool",
            other.kind()
        ))),
    }
}

/// `&`: NULL is nothing, unless both are NULL.
pub(crate) fn join<'a>(call: &mut Call<'_>, pair: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let [left, right] = pair else { return Ok(Scalar::Null) };
    let (left, right) = (std::mem::take(left), std::mem::take(right));
    match (left, right) {
        (Scalar::Null, Scalar::Bin(b)) | (Scalar::Bin(b), Scalar::Null) => Ok(Scalar::Bin(b)),
        (Scalar::Null, other) | (other, Scalar::Null) => to_text(other),
        (Scalar::Bin(a), Scalar::Bin(b)) => {
            let mut bytes = a.into_owned();
            call.grow(b.len())?;
            bytes.extend_from_slice(&b);
            Ok(Scalar::Bin(Cow::Owned(bytes)))
        }
        (left, right) => {
            let (left, right) = (to_text(left)?, to_text(right)?);
            let right = text_of(&right)?.unwrap_or_default();
            call.grow(right.len())?;
            let Scalar::Str(left) = left else { return Ok(Scalar::Null) };
            let mut text = left.into_owned();
            text.push_str(right);
            Ok(Scalar::text(text))
        }
    }
}

pub(crate) fn compute<'a>(
    operator: Operator,
    left: &Scalar<'_>,
    right: &Scalar<'_>,
) -> Result<Scalar<'a>, Fault> {
    let overflow = || Fault::new("the result is too large for a number");
    let decimal = |value: &Scalar<'_>| match value {
        Scalar::Int(n) => Ok(Decimal::from_int(*n)),
        Scalar::Dec(n) => Ok(*n),
        other => Err(Fault::new(format!("numbers are needed here, not {}", other.kind()))),
    };
    match (left, right) {
        (Scalar::Null, _) | (_, Scalar::Null) => Ok(Scalar::Null),
        (Scalar::Int(a), Scalar::Int(b)) => match operator {
            Operator::Plus => a.checked_add(*b),
            Operator::Minus => a.checked_sub(*b),
            _ => a.checked_mul(*b),
        }
        .map(Scalar::Int)
        .ok_or_else(overflow),
        _ => {
            let (a, b) = (decimal(left)?, decimal(right)?);
            let result = match operator {
                Operator::Plus => a.plus(b),
                Operator::Minus => a.minus(b),
                _ => a.times(b),
            }
            .ok_or_else(overflow)?;
            Ok(result.to_int().map_or(Scalar::Dec(result), Scalar::Int))
        }
    }
}

/// A comparison: NULL equals nothing, and has no order.
pub(crate) fn compare(operator: Operator, left: &Scalar<'_>, right: &Scalar<'_>) -> Result<bool, Fault> {
    let holds: fn(Ordering) -> bool = match operator {
        Operator::Equal => return left.equals(right),
        Operator::NotEqual => return left.equals(right).map(|equal| !equal),
        Operator::Less => Ordering::is_lt,
        Operator::LessEqual => Ordering::is_le,
        Operator::Greater => Ordering::is_gt,
        _ => Ordering::is_ge,
    };
    Ok(!left.is_null() && !right.is_null() && holds(left.order(right)?))
}
