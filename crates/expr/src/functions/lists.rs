//! Lists: what needs all values of an attribute at once.

use std::collections::HashSet;

use super::args::{int_of, slice, take_text, text_of};
use super::{Body, Call, FunctionDef, Param, example, example_with, many, optional, param, to_text, word};
use crate::diagnostic::Fault;
use crate::scalar::{Scalar, Val, same_reference};
use crate::types::Types;

const THEME: &str = "Several values";
const VALUES: Param = many("values", Types::ANY);
const TWO: &str = r#"{"proxyAddresses": ["smtp:jd@contoso.com", "SMTP:john.doe@contoso.com"]}"#;

pub(super) const FUNCTIONS: &[FunctionDef] = &[
    FunctionDef {
        name: "Contains",
        theme: THEME,
        params: &[
            many("values", Types::STRING),
            param("find", Types::STRING),
            optional(word("case", &["CaseSensitive", "CaseInsensitive"])),
        ],
        result: Types::NUMBER,
        doc: "The position, counted from 1, of the first value that contains the text; 0 where there is none. References must be equal as a whole.",
        decision: "References are compared as a whole, as DNs. Of one value, it tests that value.",
        examples: &[
            example_with(TWO, r#"Contains([proxyAddresses],"SMTP:")"#, "2"),
            example_with(TWO, r#"Contains([proxyAddresses],"SMTP:",CaseInsensitive)"#, "1"),
            example(r#"Contains([proxyAddresses],"SMTP:")"#, "0"),
        ],
        body: Body::Whole(contains),
    },
    FunctionDef {
        name: "Count",
        theme: THEME,
        params: &[VALUES],
        result: Types::NUMBER,
        doc: "The number of values; 0 when there is none.",
        decision: "0 when there is no value.",
        examples: &[
            example_with(TWO, "Count([proxyAddresses])", "2"),
            example("Count([proxyAddresses])", "0"),
        ],
        body: Body::Whole(count),
    },
    FunctionDef {
        name: "Item",
        theme: THEME,
        params: &[VALUES, param("index", Types::NUMBER)],
        result: Types::ANY,
        doc: "The value at a position, counted from 1, in the canonical order of values; an error when there is none.",
        decision: "In the canonical order of values (`eval` keeps the order in which they are given). NULL as index is out of bounds.",
        examples: &[
            example_with(
                TWO,
                r#"Item([proxyAddresses],Contains([proxyAddresses],"SMTP:"))"#,
                r#""SMTP:john.doe@contoso.com""#,
            ),
            example_with(TWO, "Item([proxyAddresses],3)", r#"{"$error": true}"#),
        ],
        body: Body::Whole(item),
    },
    FunctionDef {
        name: "ItemOrNull",
        theme: THEME,
        params: &[VALUES, param("index", Types::NUMBER)],
        result: Types::ANY,
        doc: "The value at a position, counted from 1, in the canonical order of values; NULL when there is none.",
        decision: "As Item.",
        examples: &[example_with(TWO, "ItemOrNull([proxyAddresses],5)", "null")],
        body: Body::Whole(item_or_null),
    },
    FunctionDef {
        name: "Join",
        theme: THEME,
        params: &[
            many("values", Types::STRING.or(Types::NUMBER).or(Types::BOOLEAN)),
            optional(param("delimiter", Types::STRING)),
        ],
        result: Types::TEXT,
        doc: "All values as one text, with a delimiter between them: a blank when left out, nothing for NULL or an empty text. NULL when there is no value.",
        decision: "NULL when there is no value, so that no empty attribute is made. Numbers and booleans become text as by CStr.",
        examples: &[
            example_with(
                TWO,
                r#"Join([proxyAddresses],",")"#,
                r#""smtp:jd@contoso.com,SMTP:john.doe@contoso.com""#,
            ),
            example_with(TWO, "Join([proxyAddresses])", r#""smtp:jd@contoso.com SMTP:john.doe@contoso.com""#),
            example_with(
                TWO,
                "Join([proxyAddresses],NULL)",
                r#""smtp:jd@contoso.comSMTP:john.doe@contoso.com""#,
            ),
        ],
        body: Body::Whole(join),
    },
    FunctionDef {
        name: "RemoveDuplicates",
        theme: THEME,
        params: &[VALUES],
        result: Types::ANY,
        doc: "The values without repeated ones. Values that differ in case are different.",
        decision: "Values that differ in case are different, so that nothing is lost; the first of equal ones stays.",
        examples: &[example_with(
            r#"{"proxyAddresses": ["smtp:a@x ", "smtp:a@x", "smtp:b@x"]}"#,
            "Count(RemoveDuplicates(Trim([proxyAddresses])))",
            "2",
        )],
        body: Body::Whole(remove_duplicates),
    },
    FunctionDef {
        name: "Split",
        theme: THEME,
        params: &[
            param("text", Types::STRING),
            param("delimiter", Types::STRING),
            optional(param("limit", Types::NUMBER)),
        ],
        result: Types::TEXT,
        doc: "The pieces of a text between one delimiter character. With a limit there are at most so many, and the last holds the rest.",
        decision: "Exactly one character divides; with a limit the last piece holds the rest; a negative limit is none; 0 gives NULL. Of several texts, all pieces in one list.",
        examples: &[
            example(r#"Split("a@x,b@x",",")"#, r#"["a@x", "b@x"]"#),
            example(r#"Item(Split("a,b,c",",",2),2)"#, r#""b,c""#),
        ],
        body: Body::Whole(split),
    },
];

fn scalar<'s, 'a>(args: &'s [Val<'a>], index: usize) -> &'s Scalar<'a> {
    match args.get(index) {
        Some(Val::One(one)) => one,
        _ => &Scalar::Null,
    }
}

fn first<'a>(args: &mut [Val<'a>]) -> Val<'a> {
    args.first_mut().map_or(Val::NULL, |v| std::mem::replace(v, Val::NULL))
}

fn contains<'a>(_: &mut Call<'_>, args: &mut [Val<'a>]) -> Result<Val<'a>, Fault> {
    let values = first(args);
    let position = match text_of(scalar(args, 1))? {
        None => None,
        Some(find) => {
            let insensitive = text_of(scalar(args, 2))? == Some("CaseInsensitive");
            let lower = if insensitive { find.to_lowercase() } else { String::new() };
            let mut found = None;
            for (index, value) in values.present().enumerate() {
                let hit = match value {
                    Scalar::Ref(reference) => same_reference(reference, find),
                    other => {
                        let text = text_of(other)?.unwrap_or_default();
                        if insensitive { text.to_lowercase().contains(&lower) } else { text.contains(find) }
                    }
                };
                if hit {
                    found = Some(index);
                    break;
                }
            }
            found
        }
    };
    Ok(Val::One(Scalar::Int(position.map_or(0, |index| index as i64 + 1))))
}

fn count<'a>(_: &mut Call<'_>, args: &mut [Val<'a>]) -> Result<Val<'a>, Fault> {
    Ok(Val::One(Scalar::Int(first(args).present().count() as i64)))
}

/// The value at a 1-based index, or how many there are.
fn pick<'a>(args: &mut [Val<'a>]) -> Result<Result<Scalar<'a>, (i64, usize)>, Fault> {
    let mut values = first(args).into_present();
    let index = int_of(scalar(args, 1))?.unwrap_or(0);
    let place = usize::try_from(index).ok().and_then(|i| i.checked_sub(1)).filter(|&i| i < values.len());
    Ok(place.map(|i| values.swap_remove(i)).ok_or((index, values.len())))
}

fn item<'a>(_: &mut Call<'_>, args: &mut [Val<'a>]) -> Result<Val<'a>, Fault> {
    match pick(args)? {
        Ok(value) => Ok(Val::One(value)),
        Err((index, count)) => Err(Fault::new(format!(
            "there is no value number {index}: there are {count}. Use ItemOrNull where a value may be missing"
        ))),
    }
}

fn item_or_null<'a>(_: &mut Call<'_>, args: &mut [Val<'a>]) -> Result<Val<'a>, Fault> {
    Ok(Val::One(pick(args)?.unwrap_or_default()))
}

fn join<'a>(call: &mut Call<'_>, args: &mut [Val<'a>]) -> Result<Val<'a>, Fault> {
    let values = first(args).into_present();
    let delimiter = match args.get(1) {
        None => " ",
        Some(_) => text_of(scalar(args, 1))?.unwrap_or_default(),
    };
    let mut out: Option<String> = None;
    for value in values {
        let value = to_text(value)?;
        let text = text_of(&value)?.unwrap_or_default();
        call.grow(text.len() + delimiter.len())?;
        match &mut out {
            None => out = Some(text.to_owned()),
            Some(out) => {
                out.push_str(delimiter);
                out.push_str(text);
            }
        }
    }
    Ok(Val::One(out.map_or(Scalar::Null, Scalar::text)))
}

fn remove_duplicates<'a>(call: &mut Call<'_>, args: &mut [Val<'a>]) -> Result<Val<'a>, Fault> {
    let mut seen = HashSet::new();
    let mut items = Vec::new();
    for value in first(args).into_present() {
        // The value's own ordering key would need a copy as well.
        call.grow(value.bytes())?;
        let Some(key) = value.to_value()? else { continue };
        if seen.insert(key) {
            items.push(value);
        }
    }
    Ok(Val::list(call.origin, items))
}

fn split<'a>(call: &mut Call<'_>, args: &mut [Val<'a>]) -> Result<Val<'a>, Fault> {
    let Val::One(mut text) = first(args) else { return Ok(Val::NULL) };
    let delimiter = text_of(scalar(args, 1))?.unwrap_or_default();
    let mut chars = delimiter.chars();
    let (Some(delimiter), None) = (chars.next(), chars.next()) else {
        return Err(Fault::new("the delimiter must be exactly one character"));
    };
    let limit = match args.get(2) {
        None => usize::MAX,
        // A negative limit means none, as in VBA.
        Some(_) => usize::try_from(int_of(scalar(args, 2))?.unwrap_or(-1)).unwrap_or(usize::MAX),
    };
    let Some(text) = take_text(&mut text)? else { return Ok(Val::NULL) };
    if limit == 0 {
        return Ok(Val::NULL);
    }
    let mut pieces = Vec::new();
    let mut start = 0;
    while pieces.len() + 1 < limit {
        let Some(length) = text.get(start..).and_then(|rest| rest.find(delimiter)) else { break };
        pieces.push((start, start + length));
        start += length + delimiter.len_utf8();
    }
    pieces.push((start, text.len()));
    let items = match text {
        std::borrow::Cow::Borrowed(_) => {
            pieces.iter().map(|&(from, to)| Scalar::Str(slice(text.clone(), from, to))).collect()
        }
        std::borrow::Cow::Owned(text) => {
            call.grow(text.len())?;
            pieces
                .iter()
                .map(|&(from, to)| Scalar::text(text.get(from..to).unwrap_or_default().to_owned()))
                .collect()
        }
    };
    Ok(Val::list(call.origin, items))
}
