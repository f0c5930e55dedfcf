//! Searching in text.

use super::args::{at, int_of, text_of};
use super::{Body, Call, FunctionDef, Param, example, optional, param, word};
use crate::diagnostic::Fault;
use crate::scalar::Scalar;
use crate::types::Types;

const THEME: &str = "Text";
const COMPARE: Param = optional(word("compare", &["vbBinaryCompare", "vbTextCompare"]));

pub(super) const FUNCTIONS: &[FunctionDef] = &[
    FunctionDef {
        name: "InStr",
        theme: THEME,
        params: &[
            param("text", Types::STRING),
            param("find", Types::STRING),
            optional(param("start", Types::NUMBER)),
            COMPARE,
        ],
        result: Types::NUMBER,
        doc: "The position, counted from 1, of the first occurrence at or after `start`; 0 where there is none, and for NULL. Case matters, unless vbTextCompare is given.",
        decision: "Case matters unless vbTextCompare is given. An empty `find` is found at the start, in an empty text nowhere (0). A start below 1 is an error, one behind the end finds nothing.",
        examples: &[
            example(r#"InStr("The quick brown fox","quick")"#, "5"),
            example(r#"InStr("repEated","e")"#, "2"),
            example(r#"InStr("repEated","e",3,vbBinaryCompare)"#, "7"),
            example(r#"InStr("repEated","e",3,vbTextCompare)"#, "4"),
        ],
        body: Body::Each(in_str),
    },
    FunctionDef {
        name: "InStrRev",
        theme: THEME,
        params: &[
            param("text", Types::STRING),
            param("find", Types::STRING),
            optional(param("start", Types::NUMBER)),
            COMPARE,
        ],
        result: Types::NUMBER,
        doc: "The position, counted from 1 on the left, of the last occurrence that ends at or before `start` (the end, when left out or -1); 0 where there is none, and for NULL.",
        decision: "Finds what ends at or before the start; -1 means the end.",
        examples: &[
            example(r#"InStrRev("abbcdbbbef","bb")"#, "7"),
            example(r#"InStrRev("abbcdbbbef","bb",6)"#, "2"),
        ],
        body: Body::Each(in_str_rev),
    },
];

struct Search {
    text: Vec<char>,
    find: Vec<char>,
    start: Option<i64>,
}

/// The arguments as characters; `None` when nothing can be found.
fn search(args: &[Scalar<'_>]) -> Result<Option<Search>, Fault> {
    let (Some(text), Some(find)) = (text_of(at(args, 0))?, text_of(at(args, 1))?) else { return Ok(None) };
    let start = int_of(at(args, 2))?;
    let fold = text_of(at(args, 3))? == Some("vbTextCompare");
    // One character stays one character, so that positions hold.
    let chars = |s: &str| -> Vec<char> {
        s.chars().map(|c| if fold { c.to_lowercase().next().unwrap_or(c) } else { c }).collect()
    };
    Ok(Some(Search { text: chars(text), find: chars(find), start }))
}

fn in_str<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    if args.len() == 2 {
        // The usual form, without copies.
        let (Some(text), Some(find)) = (text_of(at(args, 0))?, text_of(at(args, 1))?) else {
            return Ok(Scalar::Int(0));
        };
        let position = text
            .find(find)
            .filter(|_| !text.is_empty())
            .and_then(|at| text.get(..at))
            .map_or(0, |before| before.chars().count() as i64 + 1);
        return Ok(Scalar::Int(position));
    }
    let Some(search) = search(args)? else { return Ok(Scalar::Int(0)) };
    let skip = match search.start.unwrap_or(1) {
        start if start >= 1 => usize::try_from(start - 1).unwrap_or(usize::MAX),
        start => return Err(Fault::new(format!("the start must be 1 or more, not {start}"))),
    };
    let Some(rest) = search.text.get(skip..).filter(|rest| !rest.is_empty()) else {
        return Ok(Scalar::Int(0));
    };
    Ok(Scalar::Int(first(rest, &search.find).map_or(0, |at| (skip + at) as i64 + 1)))
}

fn in_str_rev<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(search) = search(args)? else { return Ok(Scalar::Int(0)) };
    let end = match search.start.unwrap_or(-1) {
        -1 => search.text.len(),
        start if start >= 1 => usize::try_from(start).unwrap_or(usize::MAX).min(search.text.len()),
        start => return Err(Fault::new(format!("the start must be 1 or more, or -1, not {start}"))),
    };
    let mut text = search.text;
    text.truncate(end);
    text.reverse();
    let mut find = search.find;
    find.reverse();
    Ok(Scalar::Int(first(&text, &find).map_or(0, |at| (end - at - find.len()) as i64 + 1)))
}

/// The index of the first occurrence, in time that grows with the sum of the lengths (Knuth, Morris, Pratt): texts
/// and what is looked for come from directories.
fn first(text: &[char], find: &[char]) -> Option<usize> {
    if find.is_empty() {
        return Some(0);
    }
    // For each prefix of `find`, how long its longest proper border is.
    let mut borders = vec![0usize; find.len()];
    let mut length = 0;
    for at in 1..find.len() {
        while length > 0 && find.get(at) != find.get(length) {
            length = borders.get(length - 1).copied().unwrap_or(0);
        }
        length += usize::from(find.get(at) == find.get(length));
        if let Some(slot) = borders.get_mut(at) {
            *slot = length;
        }
    }
    let mut matched = 0;
    for (at, c) in text.iter().enumerate() {
        while matched > 0 && find.get(matched) != Some(c) {
            matched = borders.get(matched - 1).copied().unwrap_or(0);
        }
        matched += usize::from(find.get(matched) == Some(c));
        if matched == find.len() {
            return Some(at + 1 - matched);
        }
    }
    None
}
