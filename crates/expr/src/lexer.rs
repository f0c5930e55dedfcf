//! Text to tokens.
//!
//! A string literal ends at the next straight quote; `""` inside it is one quote, `\\` is one backslash, and any
//! other backslash is itself (so that `"\"` is a backslash, and `"\r\n"` reaches Replace as four characters).

use std::borrow::Cow;

use crate::decimal::Decimal;
use crate::diagnostic::{Diagnostic, Span};

/// An operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Concat,
    Plus,
    Minus,
    Times,
}

/// One token.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Token<'t> {
    Attribute(&'t str),
    Parameter(&'t str),
    Variable(&'t str),
    Word(&'t str),
    Text(Cow<'t, str>),
    /// An unsigned literal; the parser applies the sign, so that the smallest integer can be written.
    Integer(u64),
    /// A hexadecimal literal: its bits.
    Hex(u64),
    Decimal(Decimal),
    Operator(Operator),
    Open,
    Close,
    Comma,
    End,
}

/// Gives tokens one by one.
pub(crate) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    /// Whether the last token ended an operand, so that `&H1` must be an operator and a word.
    after_operand: bool,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0, after_operand: false }
    }

    /// The next token and where it is.
    pub(crate) fn next(&mut self) -> Result<(Token<'t>, Span), Diagnostic> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        let start = self.at;
        let token = self.token()?;
        self.after_operand = !matches!(token, Token::Operator(_) | Token::Open | Token::Comma | Token::End);
        Ok((token, Span::new(start, self.at)))
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn token(&mut self) -> Result<Token<'t>, Diagnostic> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        match first {
            '[' => self.delimited(']', "attribute").map(Token::Attribute),
            '%' => self.delimited('%', "parameter").map(Token::Parameter),
            '"' => self.literal(),
            '$' => self.variable(),
            '(' => Ok(self.take(1, Token::Open)),
            ')' => Ok(self.take(1, Token::Close)),
            ',' => Ok(self.take(1, Token::Comma)),
            '0'..='9' | '.' => self.number(),
            '&' if !self.after_operand && starts_hex(rest) => self.hex(),
            c if c.is_ascii_alphabetic() || c == '_' => {
                let word = word_of(rest);
                Ok(self.take(word.len(), Token::Word(word)))
            }
            _ => self.operator(),
        }
    }

    fn take(&mut self, length: usize, token: Token<'t>) -> Token<'t> {
        self.at += length;
        token
    }

    fn fail(&self, length: usize, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(Span::new(self.at, (self.at + length).min(self.text.len())), message)
    }

    /// `[name]` or `%name%`.
    fn delimited(&mut self, close: char, what: &str) -> Result<&'t str, Diagnostic> {
        let inner = self.rest().get(1..).unwrap_or_default();
        let forbidden = |c: char| c == '\n' || c == '"' || (close == ']' && c == '[');
        let Some(end) = inner.find(|c| c == close || forbidden(c)) else {
            return Err(self.fail(inner.len() + 1, format!("the {what} name is not closed by `{close}`")));
        };
        let name = inner.get(..end).unwrap_or_default();
        if !inner.get(end..).unwrap_or_default().starts_with(close) {
            return Err(self.fail(end + 1, format!("the {what} name is not closed by `{close}`")));
        }
        if name.trim().is_empty() || name.trim() != name {
            return Err(self.fail(end + 2, format!("the {what} name is empty or has spaces around it")));
        }
        self.at += end + 2;
        Ok(name)
    }

    fn literal(&mut self) -> Result<Token<'t>, Diagnostic> {
        let inner = self.rest().get(1..).unwrap_or_default();
        let mut owned = String::new();
        let (mut from, mut at) = (0, 0);
        loop {
            let tail = inner.get(at..).unwrap_or_default();
            let Some(found) = tail.find(['"', '\\']) else {
                let curly = inner.contains(['\u{201c}', '\u{201d}']);
                return Err(self.fail(inner.len() + 1, "the text is not closed by `\"`").hint_opt(
                    curly.then(|| "texts end with a straight quote `\"`, not with `\u{201d}`".to_owned()),
                ));
            };
            at += found;
            let here = inner.get(at..).unwrap_or_default();
            if here.starts_with("\"\"") || here.starts_with("\\\\") {
                owned.push_str(inner.get(from..=at).unwrap_or_default());
                at += 2;
                from = at;
            } else if here.starts_with('"') {
                let last = inner.get(from..at).unwrap_or_default();
                self.at += at + 2;
                return Ok(Token::Text(if from == 0 {
                    Cow::Borrowed(last)
                } else {
                    Cow::Owned(owned + last)
                }));
            } else {
                at += 1; // a backslash that stands for itself
            }
        }
    }

    fn variable(&mut self) -> Result<Token<'t>, Diagnostic> {
        let name = word_of(self.rest().get(1..).unwrap_or_default());
        if name.is_empty() {
            return Err(self.fail(1, "`$` must be followed by the name of a loop variable, e.g. `$item`"));
        }
        Ok(self.take(name.len() + 1, Token::Variable(name)))
    }

    fn number(&mut self) -> Result<Token<'t>, Diagnostic> {
        let rest = self.rest();
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let text = rest.get(..digits).unwrap_or_default();
        let token = if text.contains('.') {
            Decimal::parse(text).map(Token::Decimal)
        } else {
            text.parse().ok().map(Token::Integer)
        };
        let Some(token) = token else {
            return Err(self.fail(digits, format!("`{text}` is not a number")).hint(
                "write digits with at most one point and nine places, within the range of 64-bit integers",
            ));
        };
        let letter =
            rest.get(digits..).and_then(|r| r.chars().next()).filter(|c| c.is_alphabetic() || *c == '_');
        if let Some(letter) = letter {
            return Err(self
                .fail(digits + letter.len_utf8(), format!("`{text}` is followed by a letter"))
                .hint("texts need quotes, hexadecimal numbers the prefix `&H`"));
        }
        Ok(self.take(digits, token))
    }

    fn hex(&mut self) -> Result<Token<'t>, Diagnostic> {
        let digits = word_of(self.rest().get(2..).unwrap_or_default());
        match u64::from_str_radix(digits, 16) {
            Ok(bits) => Ok(self.take(digits.len() + 2, Token::Hex(bits))),
            Err(_) => Err(self
                .fail(digits.len() + 2, format!("`&H{digits}` is not a hexadecimal number"))
                .hint("`&H` takes 1 to 16 of the digits 0-9 and A-F")),
        }
    }

    fn operator(&mut self) -> Result<Token<'t>, Diagnostic> {
        const OPERATORS: [(&str, Operator); 12] = [
            ("||", Operator::Or),
            ("&&", Operator::And),
            ("<>", Operator::NotEqual),
            ("<=", Operator::LessEqual),
            (">=", Operator::GreaterEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
            ("=", Operator::Equal),
            ("&", Operator::Concat),
            ("+", Operator::Plus),
            ("-", Operator::Minus),
            ("*", Operator::Times),
        ];
        let rest = self.rest();
        if rest.starts_with("==") {
            return Err(self.fail(2, "`==` is not an operator").hint("compare with `=`"));
        }
        for (text, operator) in OPERATORS {
            if rest.starts_with(text) {
                return Ok(self.take(text.len(), Token::Operator(operator)));
            }
        }
        let first = rest.chars().next().unwrap_or_default();
        let hint = match first {
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{2018}' | '\u{2019}' | '\'' => {
                Some("texts are written in straight double quotes: `\"`")
            }
            '!' if rest.starts_with("!=") => Some("the operator is `<>`"),
            '!' => Some("negate with `= False`"),
            '|' => Some("the operator is `||`"),
            '/' => Some("the language has no division"),
            ';' => Some("arguments are separated by `,`"),
            '{' | '}' => Some("texts, also those with braces, are written in double quotes"),
            _ => None,
        };
        Err(self
            .fail(first.len_utf8(), format!("`{first}` has no meaning here"))
            .hint_opt(hint.map(str::to_owned)))
    }
}

/// Where an operand is expected, `&H` can only begin a hexadecimal number.
fn starts_hex(rest: &str) -> bool {
    matches!(rest.as_bytes().get(1), Some(b'H' | b'h'))
}

fn word_of(rest: &str) -> &str {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(text);
        let mut out = Vec::new();
        loop {
            match lexer.next().unwrap().0 {
                Token::End => return out,
                token => out.push(token),
            }
        }
    }

    #[test]
    fn texts_know_two_escapes() {
        let text = |t: &'static str| tokens(t);
        assert_eq!(text(r#""\\0ACNF:""#), [Token::Text(r"\0ACNF:".into())]);
        assert_eq!(text(r#""\""#), [Token::Text(r"\".into())]);
        assert_eq!(text(r#""say ""hi""""#), [Token::Text("say \"hi\"".into())]);
        assert_eq!(text(r#""""#), [Token::Text("".into())]);
        assert_eq!(text(r#""\r\n""#), [Token::Text(r"\r\n".into())]);
    }

    #[test]
    fn ampersand_is_an_operator_after_an_operand() {
        let and = Token::Operator(Operator::Concat);
        assert_eq!(tokens("[a]&HFF(")[1..3], [and.clone(), Token::Word("HFF")]);
        assert_eq!(tokens("&HFF & &H1"), [Token::Hex(255), and, Token::Hex(1)]);
    }

    #[test]
    fn what_is_no_token_is_explained() {
        let fault = |text: &'static str| {
            let mut lexer = Lexer::new(text);
            loop {
                match lexer.next() {
                    Ok((Token::End, _)) => panic!("{text} is fine"),
                    Ok(_) => {}
                    Err(d) => return (d.start, d.end, d.hint.unwrap_or(d.message)),
                }
            }
        };
        assert_eq!(fault("1 == 2"), (2, 4, "compare with `=`".into()));
        assert_eq!(fault("[a"), (0, 2, "the attribute name is not closed by `]`".into()));
        assert_eq!(fault("[ a]").2, "the attribute name is empty or has spaces around it");
        assert!(fault("\u{201c}a\u{201d}").2.contains("straight"));
        assert!(fault("\"a\u{201d}").2.contains("straight"));
        assert!(fault("99999999999999999999").2.contains("64-bit"));
        assert!(fault("&H11112222333344445").2.contains("1 to 16"));
        assert!(fault("1 + &HZZ").2.contains("1 to 16"));
    }
}
