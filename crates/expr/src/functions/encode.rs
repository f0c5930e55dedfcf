//! Binary and its texts: base64, hexadecimal, GUIDs, SIDs, and what the shipped device key rule needs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use super::args::{at, int_of, take, text_of};
use super::convert::shorten;
use super::{Body, Call, FunctionDef, example, example_with, optional, param, word};
use crate::diagnostic::Fault;
use crate::scalar::Scalar;
use crate::types::Types;

const THEME: &str = "Binary";

pub(super) const FUNCTIONS: &[FunctionDef] = &[
    FunctionDef {
        name: "ConvertToBase64",
        theme: THEME,
        params: &[param("source", Types::STRING.or(Types::BINARY))],
        result: Types::TEXT,
        doc: "The base64 text of binary, or of a text in UTF-16 (low byte first). NULL stays NULL.",
        decision: "Text is written in UTF-16, low byte first; binary as it is.",
        examples: &[
            example(r#"ConvertToBase64("Hello world!")"#, r#""SABlAGwAbABvACAAdwBvAHIAbABkACEA""#),
            example_with(r#"{"objectGUID": {"$bin": "AQI="}}"#, "ConvertToBase64([objectGUID])", r#""AQI=""#),
        ],
        body: Body::Each(to_base64),
    },
    FunctionDef {
        name: "ConvertFromBase64",
        theme: THEME,
        params: &[param("source", Types::STRING), optional(word("encoding", &["Unicode", "ASCII", "UTF8"]))],
        result: Types::TEXT,
        doc: "The text whose bytes are written in base64: in UTF-16 (low byte first), or in the encoding given. NULL stays NULL.",
        decision: "White space is ignored. Bytes that are no text of the encoding are an error.",
        examples: &[
            example(r#"ConvertFromBase64("SABlAGwAbABvACAAdwBvAHIAbABkACEA")"#, r#""Hello world!""#),
            example(r#"ConvertFromBase64("SGVsbG8gd29ybGQh", UTF8)"#, r#""Hello world!""#),
        ],
        body: Body::Each(from_base64),
    },
    FunctionDef {
        name: "ConvertToUTF8Hex",
        theme: THEME,
        params: &[param("source", Types::STRING)],
        result: Types::TEXT,
        doc: "The bytes of a text in UTF-8, in upper-case hexadecimal. NULL stays NULL.",
        decision: "",
        examples: &[example(r#"ConvertToUTF8Hex("Hello world!")"#, r#""48656C6C6F20776F726C6421""#)],
        body: Body::Each(to_hex),
    },
    FunctionDef {
        name: "ConvertFromUTF8Hex",
        theme: THEME,
        params: &[param("source", Types::STRING)],
        result: Types::TEXT,
        doc: "The text whose bytes in UTF-8 are written in hexadecimal. NULL stays NULL.",
        decision: "Digits of either case; an odd number of them, or bytes that are no UTF-8, are an error.",
        examples: &[example(r#"ConvertFromUTF8Hex("48656C6C6F20776F726C6421")"#, r#""Hello world!""#)],
        body: Body::Each(from_hex),
    },
    FunctionDef {
        name: "CGuid",
        theme: THEME,
        params: &[param("guid", Types::STRING)],
        result: Types::BINARY,
        doc: "The 16 bytes of a GUID, in the order of objectGUID (the first three groups low byte first). NULL stays NULL.",
        decision: "In the order of objectGUID: the first three groups low byte first.",
        examples: &[example(
            r#"CGuid("00001111-aaaa-2222-bbbb-3333cccc4444")"#,
            r#"{"$bin": "EREAAKqqIiK7uzMzzMxERA=="}"#,
        )],
        body: Body::Each(cguid),
    },
    FunctionDef {
        name: "StringFromGuid",
        theme: THEME,
        params: &[param("guid", Types::BINARY)],
        result: Types::TEXT,
        doc: "The text of a GUID's 16 bytes, in lower case without braces. NULL stays NULL.",
        decision: "In lower case, without braces, as .NET's Guid.ToString gives.",
        examples: &[example_with(
            r#"{"objectGUID": {"$bin": "EREAAKqqIiK7uzMzzMxERA=="}}"#,
            "StringFromGuid([objectGUID])",
            r#""00001111-aaaa-2222-bbbb-3333cccc4444""#,
        )],
        body: Body::Each(string_from_guid),
    },
    FunctionDef {
        name: "StringFromSid",
        theme: THEME,
        params: &[param("sid", Types::BINARY)],
        result: Types::TEXT,
        doc: "The text of a security identifier, `S-1-...`. NULL stays NULL.",
        decision: "The authority is written in decimal.",
        examples: &[example_with(
            r#"{"objectSid": {"$bin": "AQUAAAAAAAUVAAAAAQAAAAIAAAADAAAA9AEAAA=="}}"#,
            "StringFromSid([objectSid])",
            r#""S-1-5-21-1-2-3-500""#,
        )],
        body: Body::Each(string_from_sid),
    },
    FunctionDef {
        name: "CBin",
        theme: THEME,
        params: &[param("number", Types::NUMBER), param("bytes", Types::NUMBER)],
        result: Types::BINARY,
        doc: "A number as so many bytes (1 to 8), the lowest first. NULL stays NULL.",
        decision: "Lowest byte first. A number that does not fit is an error, as unsigned or as signed.",
        examples: &[example("CBin(258,2)", r#"{"$bin": "AgE="}"#)],
        body: Body::Each(cbin),
    },
    FunctionDef {
        name: "Thumbprint",
        theme: THEME,
        params: &[param("value", Types::BINARY)],
        result: Types::BINARY,
        doc: "The SHA-256 hash of binary. NULL stays NULL.",
        decision: "SHA-256 (MS-ADTS 2.2.20, the key credential that the shipped deviceKey rule builds).",
        examples: &[example_with(
            r#"{"key": {"$bin": "YWJj"}}"#,
            "Thumbprint([key])",
            r#"{"$bin": "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="}"#,
        )],
        body: Body::Each(thumbprint),
    },
];

fn bytes_of<'s>(value: &'s Scalar<'_>) -> Result<Option<&'s [u8]>, Fault> {
    match value {
        Scalar::Null => Ok(None),
        Scalar::Bin(bytes) => Ok(Some(bytes)),
        other => Err(Fault::new(format!("binary is needed here, not {}", other.kind()))),
    }
}

fn bin<'a>(bytes: impl Into<Vec<u8>>) -> Scalar<'a> {
    Scalar::Bin(std::borrow::Cow::Owned(bytes.into()))
}

fn to_base64<'a>(call: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let encoded = match take(args, 0) {
        Scalar::Null => return Ok(Scalar::Null),
        Scalar::Bin(bytes) => {
            call.grow(bytes.len())?;
            BASE64.encode(bytes)
        }
        other => {
            let text = text_of(&other)?.unwrap_or_default();
            call.grow(text.len().saturating_mul(2))?;
            BASE64.encode(text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>())
        }
    };
    Ok(Scalar::text(encoded))
}

fn from_base64<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(text) = text_of(at(args, 0))? else { return Ok(Scalar::Null) };
    let fault = |what: &str| Fault::new(format!("`{}` is not {what}", shorten(text)));
    let digits: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = BASE64.decode(digits).map_err(|_| fault("base64"))?;
    let decoded = match text_of(at(args, 1))?.unwrap_or("Unicode") {
        "UTF8" => String::from_utf8(bytes).map_err(|_| fault("the base64 of UTF-8"))?,
        "ASCII" if bytes.is_ascii() => bytes.iter().map(|&b| char::from(b)).collect(),
        "ASCII" => return Err(fault("the base64 of ASCII")),
        _ => {
            let (pairs, []) = bytes.as_chunks::<2>() else { return Err(fault("the base64 of UTF-16")) };
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
            String::from_utf16(&units).map_err(|_| fault("the base64 of UTF-16"))?
        }
    };
    Ok(Scalar::text(decoded))
}

fn to_hex<'a>(call: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(text) = text_of(at(args, 0))? else { return Ok(Scalar::Null) };
    call.grow(text.len().saturating_mul(2))?;
    Ok(Scalar::text(upper_hex(text.as_bytes())))
}

pub(crate) fn upper_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |n: u8| char::from(DIGITS.get(usize::from(n)).copied().unwrap_or(b'0'));
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

fn from_hex<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(text) = text_of(at(args, 0))? else { return Ok(Scalar::Null) };
    let fault = || Fault::new(format!("`{}` is not UTF-8 in hexadecimal", shorten(text)));
    let bytes = hex_bytes(text.trim()).ok_or_else(fault)?;
    Ok(Scalar::text(String::from_utf8(bytes).map_err(|_| fault())?))
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    pairs.iter().map(|&[high, low]| Some((digit(high)? * 16 + digit(low)?) as u8)).collect()
}

/// The bytes of a GUID in the text form `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, with or without braces.
pub(super) fn parse_guid(text: &str) -> Option<[u8; 16]> {
    let bare = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let groups: Vec<&str> = bare.split('-').collect();
    if groups.iter().map(|g| g.len()).ne([8, 4, 4, 4, 12]) {
        return None;
    }
    hex_bytes(&groups.concat())?.try_into().ok().map(swap_guid)
}

/// Between the order of the text and the order of the bytes: the first three groups are numbers, low byte first.
fn swap_guid([a, b, c, d, e, f, g, h, rest @ ..]: [u8; 16]) -> [u8; 16] {
    let mut out = [d, c, b, a, f, e, h, g, 0, 0, 0, 0, 0, 0, 0, 0];
    out.iter_mut().skip(8).zip(rest).for_each(|(to, from)| *to = from);
    out
}

fn cguid<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(text) = text_of(at(args, 0))? else { return Ok(Scalar::Null) };
    match parse_guid(text) {
        Some(bytes) => Ok(bin(bytes)),
        None => Err(Fault::new(format!("`{}` is not a GUID", shorten(text)))),
    }
}

/// The text of a GUID whose bytes are in the order of the text.
pub(super) fn guid_text(bytes: [u8; 16]) -> String {
    // The same form as the id of a metaverse object.
    onesync_model::MvGuid(bytes).to_string()
}

fn string_from_guid<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(bytes) = bytes_of(at(args, 0))? else { return Ok(Scalar::Null) };
    match <[u8; 16]>::try_from(bytes) {
        Ok(bytes) => Ok(Scalar::text(guid_text(swap_guid(bytes)))),
        Err(_) => Err(Fault::new(format!("a GUID has 16 bytes, not {}", bytes.len()))),
    }
}

/// MS-DTYP 2.4.2: revision, count, six bytes of authority (high byte first), count times four bytes (low first).
fn string_from_sid<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(bytes) = bytes_of(at(args, 0))? else { return Ok(Scalar::Null) };
    let fault = || Fault::new("these bytes are not a security identifier");
    let ([revision, count, authority @ ..], rest) = bytes.split_first_chunk::<8>().ok_or_else(fault)?;
    let (parts, []) = rest.as_chunks::<4>() else { return Err(fault()) };
    if *revision != 1 || parts.len() != usize::from(*count) {
        return Err(fault());
    }
    let authority = authority.iter().fold(0u64, |sum, &b| sum << 8 | u64::from(b));
    let mut text = format!("S-{revision}-{authority}");
    for part in parts {
        text.push('-');
        text.push_str(&u32::from_le_bytes(*part).to_string());
    }
    Ok(Scalar::text(text))
}

fn cbin<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let (Some(number), Some(width)) = (int_of(at(args, 0))?, int_of(at(args, 1))?) else {
        return Ok(Scalar::Null);
    };
    let bytes = number.to_le_bytes();
    let width = usize::try_from(width).ok().filter(|w| (1..=bytes.len()).contains(w));
    let Some(width) = width else { return Err(Fault::new("a number takes 1 to 8 bytes")) };
    let (kept, dropped) = bytes.split_at(width);
    // What is cut off must not change the number, as unsigned or as signed.
    let negative = kept.last().is_some_and(|b| b & 0x80 != 0);
    if dropped.iter().any(|&b| b != 0) && !(negative && dropped.iter().all(|&b| b == 0xff)) {
        return Err(Fault::new(format!("the number {number} does not fit into {width} bytes")));
    }
    Ok(bin(kept))
}

fn thumbprint<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    Ok(bytes_of(at(args, 0))?.map_or(Scalar::Null, |bytes| bin(Sha256::digest(bytes).to_vec())))
}
