//! Tests: is there a value, and of what form.

use super::args::at;
use super::{Body, Call, FunctionDef, convert, dates_parse, encode, example, example_with, many, param};
use crate::diagnostic::Fault;
use crate::scalar::{Scalar, Val};
use crate::types::Types;

const THEME: &str = "Tests";

pub(super) const FUNCTIONS: &[FunctionDef] = &[
    FunctionDef {
        name: "IsPresent",
        theme: THEME,
        params: &[many("value", Types::ANY)],
        result: Types::BOOLEAN,
        doc: "True when there is a value that is not an empty text: the opposite of IsNullOrEmpty.",
        decision: "Of several values, one that is not an empty text is enough.",
        examples: &[
            example_with(r#"{"displayName": "x"}"#, "IsPresent([displayName])", "true"),
            example_with(r#"{"displayName": ""}"#, "IsPresent([displayName])", "false"),
            example("IsPresent([displayName])", "false"),
        ],
        body: Body::Whole(is_present),
    },
    FunctionDef {
        name: "IsNullOrEmpty",
        theme: THEME,
        params: &[many("value", Types::ANY)],
        result: Types::BOOLEAN,
        doc: "True when there is no value, or only an empty text.",
        decision: "",
        examples: &[
            example_with(r#"{"displayName": ""}"#, "IsNullOrEmpty([displayName])", "true"),
            example_with(r#"{"displayName": "x"}"#, "IsNullOrEmpty([displayName])", "false"),
        ],
        body: Body::Whole(is_null_or_empty),
    },
    FunctionDef {
        name: "IsNull",
        theme: THEME,
        params: &[many("value", Types::ANY)],
        result: Types::BOOLEAN,
        doc: "True when there is no value. An empty text is a value.",
        decision: "",
        examples: &[
            example("IsNull([displayName])", "true"),
            example_with(r#"{"displayName": ""}"#, "IsNull([displayName])", "false"),
        ],
        body: Body::Whole(is_null),
    },
    FunctionDef {
        name: "IsEmpty",
        theme: THEME,
        params: &[many("value", Types::ANY)],
        result: Types::BOOLEAN,
        doc: "True when there is a value, and it is an empty text.",
        decision: "False when there is no value: that is IsNull.",
        examples: &[
            example_with(r#"{"displayName": ""}"#, "IsEmpty([displayName])", "true"),
            example("IsEmpty([displayName])", "false"),
        ],
        body: Body::Whole(is_empty),
    },
    FunctionDef {
        name: "IsString",
        theme: THEME,
        params: &[param("value", Types::ANY)],
        result: Types::BOOLEAN,
        doc: "True when CStr can make a text of the value: False for binary, times and NULL.",
        decision: "",
        examples: &[
            example_with(r#"{"objectGUID": {"$bin": "AQI="}}"#, "IsString([objectGUID])", "false"),
            example(r#"IsString("text")"#, "true"),
        ],
        body: Body::Each(is_string),
    },
    FunctionDef {
        name: "IsNumeric",
        theme: THEME,
        params: &[param("value", Types::ANY)],
        result: Types::BOOLEAN,
        doc: "True when CNum can make a number of the value.",
        decision: "False for NULL and for an empty text; True for binary of one to eight bytes, as CNum takes it.",
        examples: &[example(r#"IsNumeric("-12.5")"#, "true"), example(r#"IsNumeric("12a")"#, "false")],
        body: Body::Each(is_numeric),
    },
    FunctionDef {
        name: "IsDate",
        theme: THEME,
        params: &[param("value", Types::ANY)],
        result: Types::BOOLEAN,
        doc: "True when CDate can make a time of the value.",
        decision: "False for NULL and for numbers: those are read by DateFromNum.",
        examples: &[example(r#"IsDate("12/25/2007")"#, "true"), example(r#"IsDate("25/12/2007")"#, "false")],
        body: Body::Each(is_date),
    },
    FunctionDef {
        name: "IsGuid",
        theme: THEME,
        params: &[param("value", Types::ANY)],
        result: Types::BOOLEAN,
        doc: "True when the text is a GUID, with or without braces, so that CGuid will work.",
        decision: "Braces come in pairs or not at all. False for values that are no text.",
        examples: &[
            example(r#"IsGuid("{00001111-aaaa-2222-bbbb-3333cccc4444}")"#, "true"),
            example(r#"IsGuid("not a guid")"#, "false"),
        ],
        body: Body::Each(is_guid),
    },
];

fn one<'a>(value: bool) -> Result<Val<'a>, Fault> {
    Ok(Val::One(Scalar::Bool(value)))
}

fn empty_text(value: &Scalar<'_>) -> bool {
    matches!(value, Scalar::Str(s) | Scalar::Ref(s) if s.is_empty())
}

fn filled(args: &[Val<'_>]) -> bool {
    args.first().is_some_and(|v| v.present().any(|s| !empty_text(s)))
}

fn is_present<'a>(_: &mut Call<'_>, args: &mut [Val<'a>]) -> Result<Val<'a>, Fault> {
    one(filled(args))
}

fn is_null_or_empty<'a>(_: &mut Call<'_>, args: &mut [Val<'a>]) -> Result<Val<'a>, Fault> {
    one(!filled(args))
}

fn is_null<'a>(_: &mut Call<'_>, args: &mut [Val<'a>]) -> Result<Val<'a>, Fault> {
    one(args.first().is_none_or(|v| v.present().next().is_none()))
}

fn is_empty<'a>(_: &mut Call<'_>, args: &mut [Val<'a>]) -> Result<Val<'a>, Fault> {
    one(!filled(args) && args.first().is_some_and(|v| v.present().next().is_some()))
}

fn is_string<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    Ok(Scalar::Bool(!matches!(at(args, 0), Scalar::Null | Scalar::Bin(_) | Scalar::Time(_))))
}

fn is_numeric<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    Ok(Scalar::Bool(match at(args, 0) {
        Scalar::Int(_) | Scalar::Dec(_) | Scalar::Bool(_) => true,
        Scalar::Bin(bytes) => convert::is_number(bytes),
        Scalar::Str(s) => convert::parse_number(s).is_some(),
        _ => false,
    }))
}

fn is_date<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    Ok(Scalar::Bool(match at(args, 0) {
        Scalar::Time(_) => true,
        Scalar::Str(s) => dates_parse::parse(s).is_some(),
        _ => false,
    }))
}

fn is_guid<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    Ok(Scalar::Bool(match at(args, 0) {
        Scalar::Str(s) => encode::parse_guid(s).is_some(),
        _ => false,
    }))
}
