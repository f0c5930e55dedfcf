//! From text to tokens, with the liberties that scripts take: line continuation by a backtick, comments, texts over
//! several lines, typographic quotes and dashes of a script that went through a word processor.

use crate::Mistake;
use crate::text::line_column;

/// A token and where it begins.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Byte offset in the text.
    pub(super) at: usize,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Kind {
    /// The end of a statement.
    End,
    /// A bare word: a command, a number, a word as value.
    Word(String),
    /// `-Name` or `-Name:`.
    Parameter(String),
    /// A text in quotes.
    Text(String),
    /// `$name`, with or without an index.
    Variable(String),
    Comma,
    Open,
    Close,
    Equals,
    Pipe,
    /// `{`
    OpenBlock,
    /// `}`
    CloseBlock,
    /// What only a program that runs could make of: why it is a mistake where data is read.
    Code(Mistake),
}

pub(super) struct Lexer<'t> {
    file: &'t str,
    text: &'t str,
    at: usize,
}

const SINGLE: [char; 5] = ['\'', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}'];
const DOUBLE: [char; 4] = ['"', '\u{201c}', '\u{201d}', '\u{201e}'];
/// What a connector or a rule is called by.
const MEMBERS: [&str; 2] = ["Identifier", "Guid"];
const DASHES: [char; 4] = ['-', '\u{2013}', '\u{2014}', '\u{2015}'];

impl<'t> Lexer<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, at: 0 }
    }

    pub(super) fn mistake(&self, at: usize, message: impl Into<String>) -> Mistake {
        Mistake::new(self.file, line_column(self.text, at), message)
    }

    /// All tokens.
    pub(super) fn tokens(mut self) -> Result<Vec<Token>, Mistake> {
        let mut out = Vec::new();
        while let Some(token) = self.next()? {
            out.push(token);
        }
        out.push(Token { kind: Kind::End, at: self.at });
        Ok(out)
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, bytes: usize) {
        self.at += bytes;
    }

    fn next(&mut self) -> Result<Option<Token>, Mistake> {
        loop {
            let rest = self.rest();
            let Some(first) = rest.chars().next() else { return Ok(None) };
            let at = self.at;
            let token = |kind| Ok(Some(Token { kind, at }));
            match first {
                '\n' | ';' => {
                    self.take(1);
                    return token(Kind::End);
                }
                '`' => {
                    let after = rest.get(1..).unwrap_or_default();
                    let spaces = after.len() - after.trim_start_matches([' ', '\t']).len();
                    match after.get(spaces..).and_then(|a| a.chars().next()) {
                        // Spaces behind the backtick are a mistake that nobody sees.
                        Some('\n') => self.take(2 + spaces),
                        // A script that lost its line ends on the way.
                        None | Some('-') => self.take(1 + spaces),
                        Some(_) => {
                            let mistake = self.mistake(at, "a backtick that does not end its line");
                            self.take(1);
                            return token(Kind::Code(mistake));
                        }
                    }
                }
                c if c.is_whitespace() || c == '\u{feff}' => self.take(c.len_utf8()),
                '#' => self.take(rest.find('\n').unwrap_or(rest.len())),
                '<' if rest.starts_with("<#") => match rest.find("#>") {
                    Some(end) => self.take(end + 2),
                    None => return Err(self.mistake(at, "a comment that does not end")),
                },
                ',' => {
                    self.take(1);
                    return token(Kind::Comma);
                }
                '=' => {
                    self.take(1);
                    return token(Kind::Equals);
                }
                '|' => {
                    self.take(1);
                    return token(Kind::Pipe);
                }
                '(' => {
                    self.take(1);
                    return token(Kind::Open);
                }
                ')' => {
                    self.take(1);
                    return token(Kind::Close);
                }
                '@' => match self.after_at()? {
                    Some(kind) => return token(kind),
                    None => {
                        let mistake = self
                            .mistake(at, "`@` begins a list `@(...)` or a text `@'` here")
                            .hint("hash tables and splatting are not part of an exported rule");
                        self.take(1);
                        return token(Kind::Code(mistake));
                    }
                },
                '$' => {
                    let kind = self.variable()?;
                    return token(kind);
                }
                // `[guid]'...'`, `[string]...`: what type a value has is known without.
                '[' => {
                    match rest.find(']').filter(|&end| !rest.get(..end).unwrap_or_default().contains('\n')) {
                        Some(end) => self.take(end + 1),
                        None => {
                            let mistake = self.mistake(at, "`[` without `]`");
                            self.take(1);
                            return token(Kind::Code(mistake));
                        }
                    }
                }
                '{' | '}' => {
                    self.take(1);
                    return token(if first == '{' { Kind::OpenBlock } else { Kind::CloseBlock });
                }
                c if SINGLE.contains(&c) => {
                    let text = self.quoted(c.len_utf8(), &SINGLE)?;
                    return token(Kind::Text(text));
                }
                c if DOUBLE.contains(&c) => {
                    let kind = self.in_double_quotes(c.len_utf8())?;
                    return token(kind);
                }
                c if DASHES.contains(&c) && rest.chars().nth(1).is_some_and(char::is_alphabetic) => {
                    self.take(c.len_utf8());
                    let name: String =
                        self.rest().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    self.take(name.len());
                    if self.rest().starts_with(':') {
                        self.take(1);
                    }
                    return token(Kind::Parameter(name));
                }
                c if is_word(c) || DASHES.contains(&c) => {
                    let word: String =
                        rest.chars().take_while(|&c| is_word(c) || DASHES.contains(&c)).collect();
                    self.take(word.len());
                    return token(Kind::Word(word.replace(DASHES, "-")));
                }
                other => {
                    let message = format!("`{other}` has no place in an exported rule");
                    let mistake = self.mistake(at, message).hint("the script is read as data, and never run");
                    self.take(other.len_utf8());
                    return token(Kind::Code(mistake));
                }
            }
        }
    }

    /// `@(`, or a text between `@'` and `'@` at the beginning of a line.
    fn after_at(&mut self) -> Result<Option<Kind>, Mistake> {
        let rest = self.rest();
        if rest.starts_with("@(") {
            self.take(2);
            return Ok(Some(Kind::Open));
        }
        let Some(quote) = rest.chars().nth(1) else { return Ok(None) };
        let marks: &[char] = if SINGLE.contains(&quote) {
            &SINGLE
        } else if DOUBLE.contains(&quote) {
            &DOUBLE
        } else {
            return Ok(None);
        };
        let begin = 1 + quote.len_utf8();
        let body = rest.get(begin..).unwrap_or_default();
        let Some(body) = body.trim_start_matches([' ', '\t']).strip_prefix('\n') else { return Ok(None) };
        let mut text = String::new();
        let mut used = rest.len() - body.len();
        for line in body.split_inclusive('\n') {
            let end = line.strip_prefix(marks).filter(|after| after.starts_with('@'));
            if let Some(after) = end {
                self.take(used + line.len() - after.len() + 1);
                if text.ends_with('\n') {
                    text.pop();
                }
                return Ok(Some(Kind::Text(text)));
            }
            text.push_str(line);
            used += line.len();
        }
        Err(self.mistake(self.at, "a text that does not end"))
    }

    fn variable(&mut self) -> Result<Kind, Mistake> {
        let at = self.at;
        self.take(1);
        let braced = self.rest().starts_with('{');
        if braced {
            self.take(1);
        }
        let name: String =
            self.rest().chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
        self.take(name.len());
        if braced {
            if !self.rest().starts_with('}') {
                return Err(self.mistake(at, "a variable that does not end"));
            }
            self.take(1);
        }
        if name.is_empty() {
            let mistake = self
                .mistake(at, "`$` without the name of a variable")
                .hint("expressions of PowerShell are not evaluated");
            return Ok(Kind::Code(mistake));
        }
        if self.rest().starts_with('[') {
            let index: &str = self.rest().get(1..).and_then(|r| r.split(']').next()).unwrap_or_default();
            if index.trim().parse::<i32>().is_err() {
                let mistake = self.mistake(at, format!("`${name}[...]` has an index that is no number"));
                return Ok(Kind::Code(mistake));
            }
            self.take(index.len() + 2);
        }
        // `.Identifier.Guid` of a connector is what the connector stands for; of a rule, nothing is asked.
        loop {
            let member: String = self.rest().strip_prefix('.').map_or_else(String::new, |rest| {
                rest.chars().take_while(char::is_ascii_alphabetic).collect()
            });
            if !MEMBERS.iter().any(|known| known.eq_ignore_ascii_case(&member)) {
                break;
            }
            self.take(1 + member.len());
        }
        Ok(Kind::Variable(name))
    }

    /// A text in double quotes; one that a program would have to complete is none here.
    fn in_double_quotes(&mut self, quote: usize) -> Result<Kind, Mistake> {
        let before = self.at;
        match self.quoted(quote, &DOUBLE) {
            Ok(text) => Ok(Kind::Text(text)),
            // Where it ends is known all the same.
            Err(mistake) => {
                self.at = before;
                self.ends_in_double_quotes(quote).then_some(Kind::Code(mistake.clone())).ok_or(mistake)
            }
        }
    }

    /// Goes behind a text in double quotes without reading it; false when it does not end.
    fn ends_in_double_quotes(&mut self, quote: usize) -> bool {
        self.take(quote);
        let mut chars = self.rest().char_indices().peekable();
        while let Some((offset, c)) = chars.next() {
            let doubled = chars.peek().is_some_and(|&(_, next)| DOUBLE.contains(&next));
            match c {
                '`' => _ = chars.next(),
                c if DOUBLE.contains(&c) && doubled => _ = chars.next(),
                c if DOUBLE.contains(&c) => {
                    self.at += offset + c.len_utf8();
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    /// A text up to the quote that ends it; one that is doubled stands for itself.
    fn quoted(&mut self, quote: usize, marks: &[char]) -> Result<String, Mistake> {
        let at = self.at;
        let double = marks.contains(&'"');
        self.take(quote);
        let mut text = String::new();
        let mut chars = self.rest().char_indices().peekable();
        while let Some((offset, c)) = chars.next() {
            if marks.contains(&c) {
                match chars.peek() {
                    Some(&(_, next)) if marks.contains(&next) => {
                        chars.next();
                        text.push(c);
                    }
                    _ => {
                        self.at += offset + c.len_utf8();
                        return Ok(text);
                    }
                }
            } else if double && c == '`' {
                match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r' | '\n')) | None => {}
                    Some((_, other)) => text.push(other),
                }
            } else if double
                && c == '$'
                && chars.peek().is_some_and(|&(_, n)| n.is_alphabetic() || matches!(n, '(' | '{' | '_'))
            {
                return Err(self
                    .mistake(self.at + offset, "a variable inside a text in double quotes is not evaluated")
                    .hint("write the text in single quotes"));
            } else {
                text.push(c);
            }
        }
        Err(self.mistake(at, "a text that does not end"))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '\\' | '/' | '*' | '%' | '+')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        Lexer::new("a.ps1", text).tokens().unwrap().into_iter().map(|t| t.kind).collect()
    }

    fn text(t: &str) -> Kind {
        Kind::Text(t.to_owned())
    }

    #[test]
    fn every_form_of_text_is_read() {
        assert_eq!(kinds("'it''s'"), [text("it's"), Kind::End]);
        assert_eq!(kinds("\"a `\"b`\" \"\"c\"\"\""), [text("a \"b\" \"c\""), Kind::End]);
        assert_eq!(kinds("'two\nlines'"), [text("two\nlines"), Kind::End]);
        assert_eq!(kinds("@'\nit's\n @' no\n'@"), [text("it's\n @' no"), Kind::End]);
        assert_eq!(kinds("\u{2018}typographic\u{2019}"), [text("typographic"), Kind::End]);
        assert_eq!(kinds("'100 $a'"), [text("100 $a"), Kind::End]);
    }

    #[test]
    fn lines_go_on_and_comments_are_none() {
        let expected = [
            Kind::Word("New-Object".to_owned()),
            Kind::Parameter("TypeName".to_owned()),
            text("x"),
            Kind::End,
            Kind::End,
        ];
        assert_eq!(kinds("New-Object `  \n -TypeName 'x' # why\n"), expected);
        assert_eq!(kinds("New-Object <# a\nb #> \u{2013}TypeName: 'x'\n"), expected);
        assert_eq!(kinds("$a[0] ${b}"), [Kind::Variable("a".into()), Kind::Variable("b".into()), Kind::End]);
        assert_eq!(kinds("[guid]'x' -1"), [text("x"), Kind::Word("-1".into()), Kind::End]);
    }

    #[test]
    fn what_only_a_program_could_read_is_known_with_its_place() {
        for (script, place, word) in [
            ("\"x $(Get-Date)\" y", (1, 4), "double quotes"),
            ("a & b", (1, 3), "no place"),
            ("a `b", (1, 3), "backtick"),
            ("@{a=1}", (1, 1), "list"),
            ("$x[$i]", (1, 1), "index"),
        ] {
            let tokens = Lexer::new("a.ps1", script).tokens().unwrap();
            let found = tokens.iter().find_map(|token| match &token.kind {
                Kind::Code(mistake) => Some(mistake),
                _ => None,
            });
            let mistake = found.unwrap_or_else(|| panic!("{script}: {tokens:?}"));
            assert_eq!((mistake.line, mistake.column), place, "{script}: {mistake}");
            assert!(mistake.message.contains(word), "{script}: {mistake}");
        }
        assert_eq!(
            kinds("$c.Identifier.Guid -X"),
            [Kind::Variable("c".into()), Kind::Parameter("X".into()), Kind::End]
        );
    }

    #[test]
    fn what_does_not_end_is_refused_with_its_place() {
        for (script, place, word) in [
            ("a\n'b", (2, 1), "does not end"),
            ("\"b $x", (1, 4), "double quotes"),
            ("<# a", (1, 1), "comment"),
        ] {
            let error = Lexer::new("a.ps1", script).tokens().unwrap_err();
            assert_eq!((error.line, error.column), place, "{script}: {error}");
            assert!(error.message.contains(word), "{script}: {error}");
        }
    }
}
