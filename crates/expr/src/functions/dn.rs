//! Distinguished names.

use onesync_model::Dn;

use super::args::{at, int_of, slice, take_text_at, text_of};
use super::{Body, Call, FunctionDef, example, example_with, optional, param, word};
use crate::diagnostic::Fault;
use crate::scalar::Scalar;
use crate::types::Types;

const THEME: &str = "Distinguished names";
const ATLANTA: &str = r#"{"dn": "cn=Joe,ou=Atlanta,ou=GA,ou=US, dc=contoso,dc=com"}"#;

pub(super) const FUNCTIONS: &[FunctionDef] = &[
    FunctionDef {
        name: "DNComponent",
        theme: THEME,
        params: &[param("dn", Types::STRING), param("number", Types::NUMBER)],
        result: Types::TEXT,
        doc: "The value of the n-th component from the left, as escaped in the DN. An error when there is none; NULL stays NULL.",
        decision: "A number out of range is an error. Text is taken where a reference is documented. The value keeps the escapes of the DN.",
        examples: &[
            example_with(ATLANTA, "DNComponent(CRef([dn]),1)", r#""Joe""#),
            example_with(ATLANTA, "DNComponent(CRef([dn]),7)", r#"{"$error": true}"#),
        ],
        body: Body::Each(dn_component),
    },
    FunctionDef {
        name: "DNComponentRev",
        theme: THEME,
        params: &[
            param("dn", Types::STRING),
            param("number", Types::NUMBER),
            optional(word("option", &["DC"])),
        ],
        result: Types::TEXT,
        doc: "The value of the n-th component from the right; with `DC`, components of the domain are not counted. An error when there is none; NULL stays NULL.",
        decision: "As DNComponent. `DC` may be written with or without quotes.",
        examples: &[
            example_with(ATLANTA, "DNComponentRev(CRef([dn]),3)", r#""US""#),
            example_with(ATLANTA, r#"DNComponentRev(CRef([dn]),1,"DC")"#, r#""US""#),
        ],
        body: Body::Each(dn_component_rev),
    },
    FunctionDef {
        name: "EscapeDNComponent",
        theme: THEME,
        params: &[param("component", Types::STRING)],
        result: Types::TEXT,
        doc: "One component `name=value` (or a value alone) with everything escaped that a DN cannot hold as it is. NULL stays NULL.",
        decision: r##"`name=value` or a value alone; escapes `, = + < > # ; \ "`, spaces at the ends, control characters. A name with other characters than letters, digits, `-` and `.` is an error."##,
        examples: &[
            example(r##"EscapeDNComponent("CN=Smith, Joe #1")"##, r##""CN=Smith\\, Joe \\#1""##),
            example(r#"EscapeDNComponent("C N=x")"#, r#"{"$error": true}"#),
        ],
        body: Body::Each(escape_component),
    },
];

fn component<'a>(args: &mut [Scalar<'a>], from_right: bool) -> Result<Scalar<'a>, Fault> {
    let Some(dn) = take_text_at(args, 0)? else { return Ok(Scalar::Null) };
    let Some(number) = int_of(at(args, 1))? else { return Ok(Scalar::Null) };
    if let Some((from, to)) =
        usize::try_from(number).ok().filter(|_| !from_right).and_then(|n| plain_component(&dn, n))
    {
        return Ok(Scalar::Str(slice(dn, from, to)));
    }
    let no_domain = text_of(at(args, 2))? == Some("DC");
    let dn = Dn::parse(&dn).map_err(|e| Fault::new(e.to_string()))?;
    let mut parts: Vec<(&str, &str)> =
        dn.rdns().iter().filter_map(|rdn| rdn.as_str().split_once('=')).collect();
    if no_domain {
        parts.retain(|(name, _)| !name.trim().eq_ignore_ascii_case("dc"));
    }
    if from_right {
        parts.reverse();
    }
    let place = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
    match place.and_then(|place| parts.get(place)) {
        Some((_, value)) => Ok(Scalar::text(value.trim_start().to_owned())),
        None => Err(Fault::new(format!("the DN has no component number {number}: it has {}", parts.len()))),
    }
}

/// Where the value of the n-th component is, when nothing up to there is escaped or quoted: without taking the DN
/// apart.
fn plain_component(dn: &str, number: usize) -> Option<(usize, usize)> {
    let mut start = 0;
    for (index, part) in dn.split(',').enumerate().take(number) {
        if part.contains(['\\', ';', '"']) {
            return None;
        }
        if index + 1 == number {
            let value = part.split_once('=').filter(|(name, _)| !name.trim().is_empty())?.1;
            let end = start + part.trim_end().len();
            return Some(((start + part.len() - value.trim_start().len()).min(end), end));
        }
        start += part.len() + 1;
    }
    None
}

fn dn_component<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    component(args, false)
}

fn dn_component_rev<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    component(args, true)
}

fn escape_component<'a>(call: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(text) = take_text_at(args, 0)? else { return Ok(Scalar::Null) };
    // Every character takes three at most.
    call.grow(text.len().saturating_mul(3))?;
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name.trim(), value),
        None => ("", text.as_ref()),
    };
    if let Some(bad) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.')) {
        return Err(Fault::new(format!("`{bad}` cannot be part of the name before `=` of a DN component")));
    }
    let mut out = String::with_capacity(text.len() + 8);
    if text.contains('=') {
        out.push_str(name);
        out.push('=');
    }
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        match c {
            ',' | '=' | '+' | '<' | '>' | '#' | ';' | '\\' | '"' => {
                out.push('\\');
                out.push(c);
            }
            ' ' if index == 0 || index == last => out.push_str("\\ "),
            c if c.is_ascii_control() => out.push_str(&format!("\\{:02X}", c as u32)),
            c => out.push(c),
        }
    }
    Ok(Scalar::text(out))
}
