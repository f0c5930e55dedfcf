//! Expressions of the ancestor (MIM 2016) in the words of this language, so that its published examples can be tried.
//!
//! Only names differ here. Deliberately absent: the ancestor's `+` between texts and its functions instead of
//! operators. Rules are never translated: they are refused, and the message names the right function.

use crate::lexer::{Lexer, Token};

/// The ancestor's names and ours.
pub(crate) const NAMES: [(&str, &str); 9] = [
    ("UpperCase", "UCase"),
    ("LowerCase", "LCase"),
    ("ProperCase", "PCase"),
    ("LeftPad", "PadLeft"),
    ("RightPad", "PadRight"),
    ("DateTimeFormat", "FormatDateTime"),
    ("ConvertSidToString", "StringFromSid"),
    ("ConvertStringToGuid", "CGuid"),
    ("ReplaceString", "Replace"),
];

/// The expression with the ancestor's functions under their names here; `None` when it has none of them.
#[must_use]
pub fn from_ancestor(text: &str) -> Option<String> {
    let mut lexer = Lexer::new(text);
    let mut out = String::with_capacity(text.len() + 16);
    let mut copied = 0;
    // Calls that are open: whether the first argument is a text that becomes a time, and is not yet closed.
    let mut open: Vec<bool> = Vec::new();
    let mut name: Option<(&str, usize)> = None;
    let mut found = false;
    loop {
        let (token, span) = lexer.next().ok()?;
        let (start, end) = (span.start as usize, span.end as usize);
        let before = name.take();
        match token {
            Token::End => break,
            Token::Word(word) => {
                name = NAMES.iter().find(|(old, _)| *old == word).map(|(_, new)| (*new, start));
            }
            Token::Open => {
                let is_time = before.is_some_and(|(new, _)| new == "FormatDateTime");
                if let Some((new, at)) = before {
                    found = true;
                    out.push_str(text.get(copied..at)?);
                    out.push_str(new);
                    out.push_str(if is_time { "(CDate(" } else { "(" });
                    copied = end;
                }
                open.push(is_time);
            }
            Token::Comma => {
                if let Some(is_time) = open.last_mut().filter(|is_time| **is_time) {
                    *is_time = false;
                    out.push_str(text.get(copied..start)?);
                    out.push(')');
                    copied = start;
                }
            }
            Token::Close => {
                open.pop();
            }
            _ => {}
        }
    }
    out.push_str(text.get(copied..)?);
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_translated_and_nothing_else() {
        for (text, expected) in [
            (r#"UpperCase([a]) & "UpperCase(""#, Some(r#"UCase([a]) & "UpperCase(""#)),
            (r#"LeftPad(LowerCase("A"), 3, "0")"#, Some(r#"PadLeft(LCase("A"), 3, "0")"#)),
            (
                r#"DateTimeFormat(Left([d],10), "yyyy")"#,
                Some(r#"FormatDateTime(CDate(Left([d],10)), "yyyy")"#),
            ),
            ("UCase([a])", None),
            ("UpperCase", None),
            ("UpperCase([a", None),
        ] {
            assert_eq!(from_ancestor(text).as_deref(), expected, "{text}");
        }
    }
}
