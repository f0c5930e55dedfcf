//! Text: case, parts, padding, replacing. Positions and lengths count Unicode characters (code points), so that
//! no function cuts one in half.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::args::{at, int_of, slice, take, take_text, take_text_at, text_of};
use super::{Body, Call, FunctionDef, Param, example, example_with, optional, param};
use crate::diagnostic::Fault;
use crate::scalar::Scalar;
use crate::types::Types;

const THEME: &str = "Text";
const TEXT: Param = param("text", Types::STRING);
const TEXT_OR_BINARY: Param = param("text", Types::STRING.or(Types::BINARY));

const fn moniker(param: Param) -> Param {
    Param { monikers: true, ..param }
}

macro_rules! text_function {
    ($name:literal, [$($param:expr),*], $doc:literal, $decision:literal, [$($example:expr),*], $body:expr) => {
        FunctionDef {
            name: $name,
            theme: THEME,
            params: &[$($param),*],
            result: Types::TEXT,
            doc: $doc,
            decision: $decision,
            examples: &[$($example),*],
            body: Body::Each($body),
        }
    };
}

pub(super) const FUNCTIONS: &[FunctionDef] = &[
    text_function!(
        "LCase",
        [TEXT],
        "The text in lower case; NULL stays NULL.",
        "By Unicode's simple mapping as .NET: one character stays one character.",
        [example(r#"LCase("TeSt")"#, r#""test""#)],
        lcase
    ),
    text_function!(
        "UCase",
        [TEXT],
        "The text in upper case; NULL stays NULL.",
        "By Unicode's simple mapping as .NET: one character stays one character, so `ß` stays.",
        [example(r#"UCase("TeSt")"#, r#""TEST""#)],
        ucase
    ),
    text_function!(
        "PCase",
        [TEXT],
        "The first letter of each word (divided by spaces) in upper case, the rest in lower case; a word that is all upper case is left alone. NULL stays NULL.",
        "Words are divided by spaces only. The first letter is raised, be it behind other characters (`$test` becomes `$Test`).",
        [
            example(r#"PCase("TEsT of IBM")"#, r#""Test Of IBM""#),
            example(r#"PCase(LCase("TEST"))"#, r#""Test""#)
        ],
        pcase
    ),
    text_function!(
        "Trim",
        [TEXT],
        "The text without white space at both ends; NULL stays NULL.",
        "White space is what Unicode says it is. NULL stays NULL, so that the shipped `Trim([c])` of an absent attribute makes no empty one.",
        [example(r#"Trim(" Test ")"#, r#""Test""#), example("Trim([c])", "null")],
        trim
    ),
    text_function!(
        "LTrim",
        [TEXT],
        "The text without leading white space; NULL stays NULL.",
        "",
        [example(r#"LTrim(" Test ")"#, r#""Test ""#)],
        ltrim
    ),
    text_function!(
        "RTrim",
        [TEXT],
        "The text without trailing white space; NULL stays NULL.",
        "",
        [example(r#"RTrim(" Test ")"#, r#"" Test""#)],
        rtrim
    ),
    text_function!(
        "Left",
        [TEXT, param("count", Types::NUMBER)],
        "The first characters; all of the text when the count is negative; an empty text for NULL.",
        "Counts characters (code points), so that none is cut in half. NULL as count gives NULL.",
        [example(r#"Left("John Doe", 3)"#, r#""Joh""#), example(r#"Left("John Doe", -1)"#, r#""John Doe""#)],
        left
    ),
    text_function!(
        "Right",
        [TEXT, param("count", Types::NUMBER)],
        "The last characters; all of the text when the count is negative; an empty text for NULL.",
        "As Left.",
        [example(r#"Right("John Doe", 3)"#, r#""Doe""#)],
        right
    ),
    FunctionDef {
        name: "Mid",
        theme: THEME,
        params: &[TEXT_OR_BINARY, param("start", Types::NUMBER), optional(param("count", Types::NUMBER))],
        result: Types::TEXT.or(Types::BINARY),
        doc: "The characters (bytes, of binary) from a position on, at most `count`. The whole input when the start lies outside of it or the count is negative; an empty text for NULL.",
        decision: "A count of 0 wins over a start out of range. Without a count it goes to the end, as the published example for Item needs. Of binary, bytes are counted.",
        examples: &[
            example(r#"Mid("John Doe", 3, 5)"#, r#""hn Do""#),
            example(r#"Mid("SMTP:joe@x", 6)"#, r#""joe@x""#),
            example(r#"Mid("John Doe", 6, 999)"#, r#""Doe""#),
            example(r#"Mid("John Doe", 0, 2)"#, r#""John Doe""#),
            example(r#"Mid("John Doe", 9, 2)"#, r#""John Doe""#),
            example(r#"Mid("John Doe", 3, -1)"#, r#""John Doe""#),
            example(r#"Mid("John Doe", 3, 0)"#, r#""""#),
        ],
        body: Body::Each(mid),
    },
    FunctionDef {
        name: "Len",
        theme: THEME,
        params: &[TEXT_OR_BINARY],
        result: Types::NUMBER,
        doc: "The number of characters (bytes, of binary); 0 for NULL.",
        decision: "0 for NULL; bytes of binary.",
        examples: &[example(r#"Len("John Doe")"#, "8")],
        body: Body::Each(len),
    },
    text_function!(
        "PadLeft",
        [TEXT, param("length", Types::NUMBER), param("pad", Types::STRING)],
        "The text, filled up on the left to a length with one character; an empty text for NULL.",
        "A pad character that is empty, NULL or longer than one is an error.",
        [example(r#"PadLeft("User", 10, "0")"#, r#""000000User""#)],
        pad_left
    ),
    text_function!(
        "PadRight",
        [TEXT, param("length", Types::NUMBER), param("pad", Types::STRING)],
        "The text, filled up on the right to a length with one character; an empty text for NULL.",
        "As PadLeft.",
        [example(r#"PadRight("User", 10, "0")"#, r#""User000000""#)],
        pad_right
    ),
    text_function!(
        "Replace",
        [moniker(TEXT), moniker(param("old", Types::STRING)), moniker(param("new", Types::STRING))],
        "The text with every occurrence of one text, in exactly this case, replaced by another. In literals `\\r`, `\\n` and `\\t` mean carriage return, line feed and tab. NULL stays NULL.",
        "Case matters. Only literals have monikers: an attribute's backslash is a backslash. An empty `old` replaces nothing; NULL as `new` removes.",
        [example_with(
            r#"{"address": "One Way\r\nRedmond"}"#,
            r#"Replace([address],"\r\n",", ")"#,
            r#""One Way, Redmond""#
        )],
        replace
    ),
    text_function!(
        "ReplaceChars",
        [TEXT, param("pattern", Types::STRING)],
        "The text with characters replaced by a pattern `source:target,source:target`: the source is one character, the target any number. White space in the pattern is ignored. NULL stays NULL.",
        "An item without `:`, with more than one, or with another source than one character is an error. The first of two items for one character counts. Items that are empty are ignored.",
        [
            example(r#"ReplaceChars("Joe_B.","_:-,.:")"#, r#""Joe-B""#),
            example(r#"ReplaceChars("abc","ab:x")"#, r#"{"$error": true}"#)
        ],
        replace_chars
    ),
    text_function!(
        "Word",
        [TEXT, param("number", Types::NUMBER), param("delimiters", Types::STRING)],
        "The n-th word of a text that is divided at any of the delimiter characters; an empty text where there is none, and for NULL.",
        "A text without any delimiter is one word. An empty word between two delimiters counts.",
        [
            example(r#"Word("The quick brown fox",3," ")"#, r#""brown""#),
            example(r#"Word("Test;;Function",2,";")"#, r#""""#)
        ],
        word
    ),
];

/// Applies a function to a text, and leaves NULL as it is.
fn map<'a>(
    args: &mut [Scalar<'a>],
    f: impl FnOnce(Cow<'a, str>) -> Cow<'a, str>,
) -> Result<Scalar<'a>, Fault> {
    Ok(take_text_at(args, 0)?.map_or(Scalar::Null, |text| Scalar::Str(f(text))))
}

/// A character in another case, or itself where that would be more than one character.
fn simple(c: char, mut mapped: impl ExactSizeIterator<Item = char>) -> char {
    if mapped.len() == 1 { mapped.next().unwrap_or(c) } else { c }
}

fn lcase<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    map(args, |s| {
        if s.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
            s
        } else {
            s.chars().map(|c| simple(c, c.to_lowercase())).collect::<String>().into()
        }
    })
}

fn ucase<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    map(args, |s| {
        if s.bytes().all(|b| b.is_ascii() && !b.is_ascii_lowercase()) {
            s
        } else {
            s.chars().map(|c| simple(c, c.to_uppercase())).collect::<String>().into()
        }
    })
}

fn pcase<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    map(args, |s| s.split(' ').map(proper_word).collect::<Vec<_>>().join(" ").into())
}

fn proper_word(word: &str) -> String {
    let has_letter = word.chars().any(char::is_alphabetic);
    if has_letter && !word.chars().any(char::is_lowercase) {
        return word.to_owned();
    }
    let mut out = String::with_capacity(word.len());
    let mut started = false;
    for c in word.chars() {
        if started || !c.is_alphabetic() {
            out.push(simple(c, c.to_lowercase()));
        } else {
            started = true;
            out.push(simple(c, c.to_uppercase()));
        }
    }
    out
}

fn trim_ends<'a>(args: &mut [Scalar<'a>], start: bool, end: bool) -> Result<Scalar<'a>, Fault> {
    map(args, |s| {
        let from = if start { s.len() - s.trim_start().len() } else { 0 };
        let to = if end { s.trim_end().len() } else { s.len() };
        slice(s, from, to.max(from))
    })
}

fn trim<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    trim_ends(args, true, true)
}

fn ltrim<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    trim_ends(args, true, false)
}

fn rtrim<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    trim_ends(args, false, true)
}

/// The byte at which character number `count` starts; the end when there are fewer.
fn byte_of(text: &str, count: usize) -> usize {
    if count >= text.len() {
        return text.len();
    }
    text.char_indices().nth(count).map_or(text.len(), |(at, _)| at)
}

const EMPTY: Scalar<'static> = Scalar::Str(Cow::Borrowed(""));

fn left<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(text) = take_text_at(args, 0)? else { return Ok(EMPTY) };
    let Some(count) = int_of(at(args, 1))? else { return Ok(Scalar::Null) };
    let Ok(count) = usize::try_from(count) else { return Ok(Scalar::Str(text)) };
    let end = byte_of(&text, count);
    Ok(Scalar::Str(slice(text, 0, end)))
}

fn right<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(text) = take_text_at(args, 0)? else { return Ok(EMPTY) };
    let Some(count) = int_of(at(args, 1))? else { return Ok(Scalar::Null) };
    let Ok(count) = usize::try_from(count) else { return Ok(Scalar::Str(text)) };
    let (end, chars) = (text.len(), text.chars().count());
    let start = byte_of(&text, chars.saturating_sub(count));
    Ok(Scalar::Str(slice(text, start, end)))
}

fn mid<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let value = take(args, 0);
    if value.is_null() {
        return Ok(EMPTY);
    }
    let Some(start) = int_of(at(args, 1))? else { return Ok(Scalar::Null) };
    let count = if args.len() > 2 { int_of(at(args, 2))? } else { Some(i64::MAX) };
    let Some(count) = count else { return Ok(Scalar::Null) };
    let length = match &value {
        Scalar::Bin(bytes) => bytes.len(),
        other => text_of(other)?.unwrap_or_default().chars().count(),
    };
    if count == 0 {
        return Ok(match value {
            Scalar::Bin(_) => Scalar::Bin(Cow::Borrowed(&[])),
            _ => EMPTY,
        });
    }
    // Positions count from 1.
    let skip = usize::try_from(start).ok().and_then(|s| s.checked_sub(1));
    let (Some(skip), Ok(count)) = (skip, usize::try_from(count)) else { return Ok(value) };
    if skip >= length {
        return Ok(value);
    }
    let until = skip.saturating_add(count);
    Ok(match value {
        Scalar::Bin(Cow::Borrowed(b)) => {
            Scalar::Bin(Cow::Borrowed(b.get(skip..until.min(b.len())).unwrap_or_default()))
        }
        Scalar::Bin(Cow::Owned(b)) => {
            Scalar::Bin(Cow::Owned(b.get(skip..until.min(b.len())).unwrap_or_default().to_vec()))
        }
        mut other => {
            let text = take_text(&mut other)?.unwrap_or_default();
            let (from, to) = (byte_of(&text, skip), byte_of(&text, until));
            Scalar::Str(slice(text, from, to))
        }
    })
}

fn len<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let length = match at(args, 0) {
        Scalar::Bin(bytes) => bytes.len(),
        other => text_of(other)?.map_or(0, |s| s.chars().count()),
    };
    Ok(Scalar::Int(length as i64))
}

fn pad<'a>(call: &mut Call<'_>, args: &mut [Scalar<'a>], on_left: bool) -> Result<Scalar<'a>, Fault> {
    let Some(text) = take_text_at(args, 0)? else { return Ok(EMPTY) };
    let Some(length) = int_of(at(args, 1))? else { return Ok(Scalar::Null) };
    let fill = text_of(at(args, 2))?.unwrap_or_default();
    let mut chars = fill.chars();
    let (Some(fill), None) = (chars.next(), chars.next()) else {
        return Err(Fault::new("the character to pad with must be exactly one character"));
    };
    let missing = usize::try_from(length).unwrap_or(0).saturating_sub(text.chars().count());
    if missing == 0 {
        return Ok(Scalar::Str(text));
    }
    call.grow(missing.saturating_mul(fill.len_utf8()))?;
    let padding = std::iter::repeat_n(fill, missing);
    let mut out = String::with_capacity(text.len() + missing * fill.len_utf8());
    if on_left {
        out.extend(padding);
        out.push_str(&text);
    } else {
        out.push_str(&text);
        out.extend(padding);
    }
    Ok(Scalar::text(out))
}

fn pad_left<'a>(call: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    pad(call, args, true)
}

fn pad_right<'a>(call: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    pad(call, args, false)
}

fn replace<'a>(call: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(text) = take_text_at(args, 0)? else { return Ok(Scalar::Null) };
    let old = text_of(at(args, 1))?.unwrap_or_default();
    let new = text_of(at(args, 2))?.unwrap_or_default();
    if old.is_empty() || !text.contains(old) {
        return Ok(Scalar::Str(text));
    }
    call.grow(text.matches(old).count().saturating_mul(new.len()))?;
    Ok(Scalar::text(text.replace(old, new)))
}

fn replace_chars<'a>(call: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(text) = take_text_at(args, 0)? else { return Ok(Scalar::Null) };
    let pattern: String =
        text_of(at(args, 1))?.unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect();
    // A map: text and pattern may both be long.
    let mut pairs: HashMap<char, &str> = HashMap::new();
    for item in pattern.split(',').filter(|item| !item.is_empty()) {
        let mut chars = item.chars();
        let (Some(source), Some(':')) = (chars.next(), chars.next()) else {
            return Err(Fault::new(format!(
                "`{item}` in the pattern is not one character, `:` and its replacement"
            )));
        };
        if source == ':' || chars.as_str().contains(':') {
            return Err(Fault::new(format!(
                "`{item}` in the pattern has more than one `:`, which cannot be replaced"
            )));
        }
        pairs.entry(source).or_insert(chars.as_str());
    }
    if !text.contains(|c| pairs.contains_key(&c)) {
        return Ok(Scalar::Str(text));
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match pairs.get(&c) {
            Some(target) => {
                call.grow(target.len())?;
                out.push_str(target);
            }
            None => out.push(c),
        }
    }
    Ok(Scalar::text(out))
}

fn word<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(text) = take_text_at(args, 0)? else { return Ok(EMPTY) };
    let Some(number) = int_of(at(args, 1))? else { return Ok(Scalar::Null) };
    let delimiters = text_of(at(args, 2))?.unwrap_or_default();
    let Some(skip) = usize::try_from(number).ok().and_then(|n| n.checked_sub(1)) else { return Ok(EMPTY) };
    let mut start = 0;
    let divider = Characters::of(delimiters);
    let divides = |c| divider.contains(c);
    let mut words = text.split(divides);
    for _ in 0..skip {
        match words.next() {
            Some(word) => start += word.len(),
            None => return Ok(EMPTY),
        }
        // The delimiter itself.
        start += text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    }
    let Some(length) = words.next().map(str::len) else { return Ok(EMPTY) };
    Ok(Scalar::Str(slice(text, start, start + length)))
}

/// A set of characters that is asked often: the work must not grow with the product of two lengths.
struct Characters {
    ascii: [bool; 128],
    others: HashSet<char>,
}

impl Characters {
    fn of(text: &str) -> Self {
        let mut set = Self { ascii: [false; 128], others: HashSet::new() };
        for c in text.chars() {
            match set.ascii.get_mut(c as usize) {
                Some(slot) => *slot = true,
                None => {
                    set.others.insert(c);
                }
            }
        }
        set
    }

    fn contains(&self, c: char) -> bool {
        self.ascii.get(c as usize).copied().unwrap_or_else(|| self.others.contains(&c))
    }
}

/// Resolves the monikers `\r`, `\n` and `\t` of a literal.
pub(crate) fn monikers(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t"))
}
