//! From the values an expression gave to the values an attribute can hold.
//!
//! Only what cannot lose anything is converted: text that is a number, a truth value or a time, and all of these to
//! text. Binary is never guessed: the rule says how, by `ConvertToBase64` and its like. An empty text is no value:
//! no directory we know can hold one, and functions like `Left` give it for an absent attribute.

use onesync_expr::{EvalError, Evaluated, Failure, Outcome};
use onesync_model::{AttributeType, Time, Value, Values, ValuesCow};
use thiserror::Error;

use crate::Target;
use crate::comparand::parse_integer;

/// Why values do not fit an attribute.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ConvertError {
    /// A value of another type that does not read as the wanted one.
    #[error("`{value}` is {found}, not {wanted}: convert it in the rule{remedy}")]
    Type {
        /// The value, cut where it is long.
        value: String,
        /// Its type.
        found: &'static str,
        /// The type of the attribute.
        wanted: &'static str,
        /// Which function helps, after a comma.
        remedy: &'static str,
    },
    /// Several values where one fits.
    #[error("{0} values for an attribute that holds one: take one with Item(..., 1), or join them with Join")]
    Several(usize),
}

/// Converts values to what an attribute holds; `Ok(None)` when nothing is left.
///
/// # Errors
/// When a value does not read as the attribute's type, or there are several for one.
pub fn convert(values: Values, target: Target) -> Result<Option<Values>, ConvertError> {
    let values = if ValuesCow::from(&values).are(target.kind) {
        Some(values)
    } else {
        let converted = values
            .into_vec()
            .into_iter()
            .filter(|value| !matches!(value, Value::String(text) if text.is_empty()))
            .map(|value| match target.kind {
                Some(kind) => convert_one(value, kind),
                None => Ok(value),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Values::new(converted)
    };
    match &values {
        Some(several) if !target.multi && several.as_slice().len() > 1 => {
            Err(ConvertError::Several(several.as_slice().len()))
        }
        _ => Ok(values),
    }
}

/// Converts the values of an outcome; other outcomes stay as they are, and so do values that fit.
pub(crate) fn convert_outcome(
    evaluated: Evaluated<ValuesCow<'_>>,
    target: Target,
) -> Result<Evaluated<ValuesCow<'_>>, Failure> {
    let Evaluated { outcome: Outcome::Values(values), valid_until } = evaluated else { return Ok(evaluated) };
    let outcome = if target.takes(&values) {
        Outcome::Values(values)
    } else {
        match values.into_values().map(|values| convert(values, target)) {
            Some(Ok(Some(values))) => Outcome::Values(values.into()),
            Some(Ok(None)) | None => Outcome::Null,
            Some(Err(error)) => return Err(Failure { error: failed(error), valid_until }),
        }
    };
    Ok(Evaluated { outcome, valid_until })
}

fn failed(error: ConvertError) -> EvalError {
    EvalError::Failed { message: error.to_string(), start: 0, end: 0 }
}

fn convert_one(value: Value, kind: AttributeType) -> Result<Value, ConvertError> {
    if type_of(&value) == kind {
        return Ok(value);
    }
    let converted = match (&value, kind) {
        (Value::Reference(text), AttributeType::String) => Some(Value::string(text)),
        (Value::Integer(_) | Value::Boolean(_) | Value::Time(_), AttributeType::String) => {
            Some(Value::string(value.to_string()))
        }
        (Value::String(text), AttributeType::Reference) => Some(Value::reference(text)),
        (Value::String(text), AttributeType::Integer) => parse_integer(text).map(Value::Integer),
        (Value::String(text), AttributeType::Boolean) => match text.trim() {
            text if text.eq_ignore_ascii_case("true") => Some(Value::Boolean(true)),
            text if text.eq_ignore_ascii_case("false") => Some(Value::Boolean(false)),
            _ => None,
        },
        (Value::String(text), AttributeType::Time) => {
            text.trim().parse().ok().or_else(|| Time::parse_generalized(text.trim())).map(Value::Time)
        }
        _ => None,
    };
    converted.ok_or_else(|| mismatch(&value, kind))
}

fn mismatch(value: &Value, kind: AttributeType) -> ConvertError {
    // Enough to recognise the value; binary and long text would fill the log.
    let mut shown = value.to_string();
    if let Some((cut, _)) = shown.char_indices().nth(60) {
        shown.truncate(cut);
        shown.push_str("...");
    }
    let remedy = match (type_of(value), kind) {
        (AttributeType::Binary, AttributeType::String) => ", by ConvertToBase64, CGuid or StringFromSid",
        (AttributeType::String, AttributeType::Binary) => ", by ConvertFromBase64",
        (AttributeType::Integer, AttributeType::Boolean) => ", by CBool",
        (AttributeType::Integer, AttributeType::Time) => ", by DateFromNum",
        _ => "",
    };
    ConvertError::Type { value: shown, found: type_of(value).as_str(), wanted: kind.as_str(), remedy }
}

pub(crate) fn type_of(value: &Value) -> AttributeType {
    value.as_ref().kind()
}

/// Whether values of one type can, where their text allows it, become values of another.
pub(crate) fn convertible(from: AttributeType, to: AttributeType) -> bool {
    use AttributeType::{Binary, Boolean, Integer, Reference, String, Time};
    from == to
        || matches!(
            (from, to),
            (Integer | Boolean | Time | Reference, String) | (String, Integer | Boolean | Time)
        )
        || (from == Binary && to == Binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(kind: AttributeType, multi: bool, values: Vec<Value>) -> Result<Option<Vec<Value>>, ConvertError> {
        let target = Target { kind: Some(kind), multi, read_only: false };
        convert(Values::new(values).unwrap(), target).map(|v| v.map(Values::into_vec))
    }

    #[test]
    fn what_reads_as_the_wanted_type_is_converted() {
        use AttributeType as T;
        for (kind, from, expected) in [
            (T::Boolean, "TRUE", Value::Boolean(true)),
            (T::Integer, "0x10", 16.into()),
            (T::Time, "20260131000000Z", Value::Time("2026-01-31T00:00:00Z".parse().unwrap())),
        ] {
            assert_eq!(to(kind, false, vec![from.into()]), Ok(Some(vec![expected])));
            assert!(matches!(to(kind, false, vec!["nonsense".into()]), Err(ConvertError::Type { .. })));
        }
        assert_eq!(to(T::String, false, vec![true.into()]), Ok(Some(vec!["True".into()])));
        assert_eq!(to(T::String, false, vec![42.into()]), Ok(Some(vec!["42".into()])));
    }

    #[test]
    fn binary_is_never_guessed_and_long_values_are_cut_in_the_message() {
        let error = to(AttributeType::String, false, vec![Value::binary(vec![7; 100])]).unwrap_err();
        assert!(error.to_string().contains("ConvertToBase64") && error.to_string().len() < 200, "{error}");
        assert!(to(AttributeType::Binary, false, vec!["abc".into()]).is_err());
        assert!(to(AttributeType::Boolean, false, vec![1.into()]).is_err());
    }

    #[test]
    fn empty_text_is_no_value_and_one_place_holds_one_value() {
        use AttributeType as T;
        assert_eq!(to(T::String, false, vec!["".into()]), Ok(None));
        assert_eq!(to(T::String, false, vec!["".into(), "a".into()]), Ok(Some(vec!["a".into()])));
        assert_eq!(to(T::String, false, vec!["a".into(), "b".into()]), Err(ConvertError::Several(2)));
        assert_eq!(to(T::String, true, vec!["a".into(), "b".into()]).unwrap().unwrap().len(), 2);
    }
}
