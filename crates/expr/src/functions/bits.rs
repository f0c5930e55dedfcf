//! Bits and random values.

use super::args::{at, int_of};
use super::encode::guid_text;
use super::{Body, Call, FunctionDef, Param, example, param};
use crate::diagnostic::Fault;
use crate::scalar::Scalar;
use crate::types::Types;

const THEME: &str = "Numbers";
const NUMBERS: &[Param] = &[param("value1", Types::NUMBER), param("value2", Types::NUMBER)];

pub(super) const FUNCTIONS: &[FunctionDef] = &[
    FunctionDef {
        name: "BitAnd",
        theme: THEME,
        params: NUMBERS,
        result: Types::NUMBER,
        doc: "The bits set in both 64-bit integers; NULL when one is NULL.",
        decision: "",
        examples: &[
            example("BitAnd(&HF, &HF7)", "7"),
            example("BitAnd(-2147483646, -2147483648)", "-2147483648"),
        ],
        body: Body::Each(bit_and),
    },
    FunctionDef {
        name: "BitOr",
        theme: THEME,
        params: NUMBERS,
        result: Types::NUMBER,
        doc: "The bits set in either 64-bit integer; NULL when one is NULL.",
        decision: "",
        examples: &[example("BitOr(&HF, &HF0)", "255")],
        body: Body::Each(bit_or),
    },
    FunctionDef {
        name: "IsBitSet",
        theme: THEME,
        params: &[param("value", Types::NUMBER), param("mask", Types::NUMBER)],
        result: Types::BOOLEAN,
        doc: "True when all bits of the mask are set in the value; False for NULL and for an empty mask.",
        decision: "All bits of the mask must be set; an empty mask is False.",
        examples: &[example("IsBitSet(&HF,4)", "true"), example("IsBitSet(&HF,&H11)", "false")],
        body: Body::Each(is_bit_set),
    },
    FunctionDef {
        name: "RandomNum",
        theme: THEME,
        params: &[param("start", Types::NUMBER), param("end", Types::NUMBER)],
        result: Types::NUMBER,
        doc: "A random integer between two, both included. The same object, attribute and rule always get the same one.",
        decision: "Drawn from object, attribute, rule and place in the expression, so that it repeats. A start behind the end is an error.",
        examples: &[example("RandomNum(7,7)", "7"), example("RandomNum(100,999) > 99", "true")],
        body: Body::Random(random_num),
    },
    FunctionDef {
        name: "Guid",
        theme: THEME,
        params: &[],
        result: Types::TEXT,
        doc: "A random GUID as text. The same object, attribute and rule always get the same one.",
        decision: "As RandomNum.",
        examples: &[example("IsGuid(Guid())", "true")],
        body: Body::Random(guid),
    },
];

fn both(args: &[Scalar<'_>]) -> Result<Option<(i64, i64)>, Fault> {
    Ok(int_of(at(args, 0))?.zip(int_of(at(args, 1))?))
}

fn bit_and<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    Ok(both(args)?.map_or(Scalar::Null, |(a, b)| Scalar::Int(a & b)))
}

fn bit_or<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    Ok(both(args)?.map_or(Scalar::Null, |(a, b)| Scalar::Int(a | b)))
}

fn is_bit_set<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    Ok(Scalar::Bool(both(args)?.is_some_and(|(value, mask)| mask != 0 && value & mask == mask)))
}

fn random_num<'a>(call: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some((start, end)) = both(args)? else { return Ok(Scalar::Null) };
    if start > end {
        return Err(Fault::new(format!("the start {start} is greater than the end {end}")));
    }
    // The remainder of 128 bits: no interval of 64 bits is noticeably uneven.
    let wide = u128::from(call.random(0)) << 64 | u128::from(call.random(1));
    let width = (i128::from(end) - i128::from(start) + 1) as u128;
    Ok(Scalar::Int((i128::from(start) + (wide % width) as i128) as i64))
}

fn guid<'a>(call: &mut Call<'_>, _: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let mut bytes = (u128::from(call.random(0)) << 64 | u128::from(call.random(1))).to_be_bytes();
    // RFC 9562: version 4, variant 1.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(Scalar::text(guid_text(bytes)))
}
