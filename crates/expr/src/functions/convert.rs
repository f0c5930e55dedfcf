//! Conversions between the simple types.

use super::args::{at, take, text_of};
use super::{Body, Call, FunctionDef, example, example_with, param};
use crate::decimal::Decimal;
use crate::diagnostic::Fault;
use crate::scalar::Scalar;
use crate::types::Types;

const THEME: &str = "Conversion";

pub(super) const FUNCTIONS: &[FunctionDef] = &[
    FunctionDef {
        name: "CBool",
        theme: THEME,
        params: &[param("value", Types::STRING.or(Types::NUMBER).or(Types::BOOLEAN))],
        result: Types::BOOLEAN,
        doc: "True for True, for a number other than 0, and for the text `true` in any case; False for False, 0, the text `false` and NULL.",
        decision: "Also the texts `true` and `false` in any case, and numbers as text; any other text is an error.",
        examples: &[
            example_with(r#"{"a": "x", "b": "x"}"#, "CBool([a] = [b])", "true"),
            example("CBool(NULL)", "false"),
            example("CBool(BitAnd(6, 2))", "true"),
        ],
        body: Body::Each(cbool),
    },
    FunctionDef {
        name: "CNum",
        theme: THEME,
        params: &[param("value", Types::STRING.or(Types::NUMBER).or(Types::BINARY).or(Types::BOOLEAN))],
        result: Types::NUMBER,
        doc: "The number a text writes in decimal digits, or that up to eight bytes mean, the lowest first. NULL stays NULL.",
        decision: "Of binary: up to eight bytes, lowest first, as the shipped deviceKey rule needs. Text: decimal digits with a sign and at most nine places, spaces around it; no exponents, no thousands separators. True is 1 and False is 0.",
        examples: &[
            example(r#"CNum(" 42 ")"#, "42"),
            example_with(r#"{"key": {"$bin": "IAE="}}"#, "CNum([key])", "288"),
            example(r#"CNum("x")"#, r#"{"$error": true}"#),
        ],
        body: Body::Each(cnum),
    },
    FunctionDef {
        name: "CStr",
        theme: THEME,
        // Shipped rules write CStr([objectGUID]) behind a test that it is no binary, so that is no error when read.
        params: &[param("value", Types::ANY)],
        result: Types::TEXT,
        doc: "The text of a number, a reference, a boolean (`True`, `False`) or a text. NULL stays NULL. Binary and times are an error: use ConvertToBase64, StringFromGuid, StringFromSid or FormatDateTime.",
        decision: "`True`, `False`; digits of numbers. Binary and times are errors.",
        examples: &[
            example_with(
                r#"{"dn": "cn=Joe,dc=contoso,dc=com"}"#,
                "CStr([dn])",
                r#""cn=Joe,dc=contoso,dc=com""#,
            ),
            example("CStr(1 = 1)", r#""True""#),
            example("CStr(-5)", r#""-5""#),
        ],
        body: Body::Each(cstr),
    },
    FunctionDef {
        name: "CRef",
        theme: THEME,
        params: &[param("dn", Types::STRING)],
        result: Types::REFERENCE,
        doc: "The reference to the object with this DN. NULL stays NULL.",
        decision: "The text is taken as it is; whether it is a DN is seen where it is used.",
        examples: &[example(
            r#"CRef("CN=Joe,DC=contoso,DC=com")"#,
            r#"{"$ref": "CN=Joe,DC=contoso,DC=com"}"#,
        )],
        body: Body::Each(cref),
    },
];

/// The most bytes a number has.
const NUMBER_BYTES: usize = 8;

fn cbool<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    Ok(Scalar::Bool(match at(args, 0) {
        Scalar::Null => false,
        Scalar::Bool(b) => *b,
        Scalar::Int(n) => *n != 0,
        Scalar::Dec(n) => !n.is_zero(),
        other => {
            let text = text_of(other)?.unwrap_or_default().trim();
            if text.eq_ignore_ascii_case("true") {
                true
            } else if text.eq_ignore_ascii_case("false") {
                false
            } else {
                match parse_number(text) {
                    Some(Scalar::Int(n)) => n != 0,
                    Some(_) => true,
                    None => return Err(Fault::new(format!("`{}` is neither true nor false", shorten(text)))),
                }
            }
        }
    }))
}

fn cnum<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    match take(args, 0) {
        Scalar::Bin(bytes) => {
            if !is_number(&bytes) {
                return Err(Fault::new(format!("a number has one to eight bytes, not {}", bytes.len())));
            }
            let mut word = [0; NUMBER_BYTES];
            word.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
            Ok(Scalar::Int(i64::from_le_bytes(word)))
        }
        value @ (Scalar::Null | Scalar::Int(_) | Scalar::Dec(_)) => Ok(value),
        Scalar::Bool(value) => Ok(Scalar::Int(i64::from(value))),
        other => {
            let text = text_of(&other)?.unwrap_or_default();
            parse_number(text).ok_or_else(|| Fault::new(format!("`{}` is not a number", shorten(text))))
        }
    }
}

fn cstr<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    to_text(take(args, 0))
}

/// Whether bytes can be a number.
pub(super) fn is_number(bytes: &[u8]) -> bool {
    (1..=NUMBER_BYTES).contains(&bytes.len())
}

/// The text of a value, as CStr and `&` make it.
pub(crate) fn to_text(value: Scalar<'_>) -> Result<Scalar<'_>, Fault> {
    Ok(match value {
        Scalar::Null | Scalar::Str(_) => value,
        Scalar::Ref(text) => Scalar::Str(text),
        Scalar::Int(n) => Scalar::text(n.to_string()),
        Scalar::Dec(n) => Scalar::text(n.to_string()),
        Scalar::Bool(b) => Scalar::text(if b { "True" } else { "False" }),
        Scalar::Time(_) => return Err(Fault::new("a time has no text of its own: use FormatDateTime")),
        Scalar::Bin(_) => {
            return Err(Fault::new(
                "binary has no text of its own: use ConvertToBase64, StringFromGuid or StringFromSid",
            ));
        }
    })
}

fn cref<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    Ok(super::args::take_text_at(args, 0)?.map_or(Scalar::Null, Scalar::Ref))
}

/// A decimal number with spaces around it.
pub(super) fn parse_number(text: &str) -> Option<Scalar<'static>> {
    let text = text.trim();
    if let Ok(n) = text.parse() {
        return Some(Scalar::Int(n));
    }
    let number = Decimal::parse(text)?;
    Some(number.to_int().map_or(Scalar::Dec(number), Scalar::Int))
}

/// The start of a value, for messages.
pub(super) fn shorten(text: &str) -> String {
    const MESSAGE_CHARS: usize = 80;
    match text.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
