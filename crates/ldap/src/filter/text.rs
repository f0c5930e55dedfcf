//! Filters as text (RFC 4515). The parser stops at [`FILTER_DEPTH_MAX`] levels.
//!
//! More lenient than the standard in one point: blanks between parentheses are skipped, as people write
//! filters over several lines. Blanks inside values are kept.

use std::fmt::{self, Write};
use std::str::FromStr;

use bytes::Bytes;

use super::{Extensible, FILTER_DEPTH_MAX, Filter, Substrings};

/// Says where a filter's text is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the filter is wrong at character {position}: {reason}")]
pub struct FilterError {
    /// The place, counted in bytes from 1.
    pub position: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut parser = Parser { bytes: text.as_bytes(), at: 0 };
        parser.skip_blanks();
        // a bare `cn=x` is what people type; every tool takes it
        let filter =
            if parser.peek() == Some(b'(') { parser.filter(FILTER_DEPTH_MAX)? } else { parser.item()? };
        parser.skip_blanks();
        if parser.peek().is_some() {
            return Err(parser.error("the filter should end here"));
        }
        Ok(filter)
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn error(&self, reason: &'static str) -> FilterError {
        FilterError { position: self.at + 1, reason }
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8, reason: &'static str) -> Result<(), FilterError> {
        if self.peek() != Some(byte) {
            return Err(self.error(reason));
        }
        self.at += 1;
        Ok(())
    }

    fn filter(&mut self, levels: u8) -> Result<Filter, FilterError> {
        let below = levels.checked_sub(1).ok_or_else(|| self.error("it is nested too deeply"))?;
        self.take(b'(', "`(` is missing")?;
        self.skip_blanks();
        let filter = match self.peek() {
            Some(b'&') => Filter::And(self.list(below)?),
            Some(b'|') => Filter::Or(self.list(below)?),
            Some(b'!') => {
                self.at += 1;
                self.skip_blanks();
                let part = self.filter(below)?;
                self.skip_blanks();
                Filter::Not(Box::new(part))
            }
            _ => self.item()?,
        };
        self.take(b')', "`)` is missing")?;
        Ok(filter)
    }

    fn list(&mut self, levels: u8) -> Result<Vec<Filter>, FilterError> {
        self.at += 1;
        let mut parts = Vec::new();
        loop {
            self.skip_blanks();
            if self.peek() != Some(b'(') {
                return Ok(parts);
            }
            parts.push(self.filter(levels)?);
        }
    }

    fn item(&mut self) -> Result<Filter, FilterError> {
        let attribute = self.name();
        match self.peek() {
            Some(b'=') => {
                self.at += 1;
                self.equality(attribute)
            }
            Some(byte @ (b'>' | b'<' | b'~')) => {
                self.at += 1;
                self.take(b'=', "`=` is missing")?;
                let (attribute, value) = (self.checked(attribute)?, self.value()?);
                Ok(match byte {
                    b'>' => Filter::GreaterOrEqual(attribute, value),
                    b'<' => Filter::LessOrEqual(attribute, value),
                    _ => Filter::Approx(attribute, value),
                })
            }
            Some(b':') => self.extensible(attribute),
            _ => Err(self.error("`=` is missing")),
        }
    }

    /// Reads an attribute description or an OID: letters, digits, `-`, `.`, `;`, and `_`, `=` in options.
    fn name(&mut self) -> String {
        let start = self.at;
        loop {
            match self.peek() {
                Some(byte) if byte.is_ascii_alphanumeric() || b"-._;".contains(&byte) => self.at += 1,
                _ => break,
            }
        }
        let name = self.bytes.get(start..self.at).unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }

    fn checked(&self, attribute: String) -> Result<String, FilterError> {
        if attribute.is_empty() { Err(self.error("an attribute name is missing")) } else { Ok(attribute) }
    }

    fn equality(&mut self, attribute: String) -> Result<Filter, FilterError> {
        let attribute = self.checked(attribute)?;
        let mut parts = vec![self.value()?];
        while self.peek() == Some(b'*') {
            self.at += 1;
            parts.push(self.value()?);
        }
        let Some(last) = parts.pop() else { return Err(self.error("a value is missing")) };
        if parts.is_empty() {
            return Ok(Filter::Equal(attribute, last));
        }
        let mut between = parts.into_iter();
        let initial = between.next().filter(|part| !part.is_empty());
        let any: Vec<Bytes> = between.filter(|part| !part.is_empty()).collect();
        let last = Some(last).filter(|part| !part.is_empty());
        if initial.is_none() && any.is_empty() && last.is_none() {
            return Ok(Filter::Present(attribute));
        }
        Ok(Filter::Substrings(Substrings { attribute, initial, any, last }))
    }

    fn extensible(&mut self, attribute: String) -> Result<Filter, FilterError> {
        let mut parts =
            Extensible { attribute: Some(attribute).filter(|name| !name.is_empty()), ..Default::default() };
        while self.peek() == Some(b':') {
            self.at += 1;
            if self.peek() == Some(b'=') {
                self.at += 1;
                if parts.attribute.is_none() && parts.rule.is_none() {
                    return Err(self.error("an attribute or a matching rule is missing"));
                }
                parts.value = self.value()?;
                return Ok(Filter::Extensible(parts));
            }
            let word = self.name();
            if word.eq_ignore_ascii_case("dn") && !parts.dn_attributes && parts.rule.is_none() {
                parts.dn_attributes = true;
            } else if parts.rule.is_none() && !word.is_empty() {
                parts.rule = Some(word);
            } else {
                return Err(self.error("a matching rule is missing or given twice"));
            }
        }
        Err(self.error("`:=` is missing"))
    }

    /// Reads a value up to `*`, `(`, `)` or the end.
    fn value(&mut self) -> Result<Bytes, FilterError> {
        let mut value = Vec::new();
        while let Some(byte) = self.peek() {
            match byte {
                b'*' | b')' => break,
                b'(' | 0 => return Err(self.error("this character must be escaped (`\\28`, `\\00`)")),
                b'\\' => {
                    let digits = self.bytes.get(self.at + 1..self.at + 3).and_then(hex_pair);
                    let escape = "`\\` must be followed by two hexadecimal digits (`\\5c` is a backslash)";
                    value.push(digits.ok_or_else(|| self.error(escape))?);
                    self.at += 3;
                }
                _ => {
                    value.push(byte);
                    self.at += 1;
                }
            }
        }
        Ok(value.into())
    }
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

/// Shows the filter in the text form of RFC 4515.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, FILTER_DEPTH_MAX)
    }
}

impl Filter {
    fn show(&self, f: &mut fmt::Formatter<'_>, levels: u8) -> fmt::Result {
        let Some(below) = levels.checked_sub(1) else { return f.write_str("(...)") };
        f.write_char('(')?;
        match self {
            Self::And(parts) | Self::Or(parts) => {
                f.write_char(if matches!(self, Self::And(_)) { '&' } else { '|' })?;
                parts.iter().try_for_each(|part| part.show(f, below))?;
            }
            Self::Not(part) => {
                f.write_char('!')?;
                part.show(f, below)?;
            }
            Self::Equal(attribute, value) => show_value(f, &[attribute, "="], value)?,
            Self::GreaterOrEqual(attribute, value) => show_value(f, &[attribute, ">="], value)?,
            Self::LessOrEqual(attribute, value) => show_value(f, &[attribute, "<="], value)?,
            Self::Approx(attribute, value) => show_value(f, &[attribute, "~="], value)?,
            Self::Present(attribute) => write!(f, "{attribute}=*")?,
            Self::Substrings(parts) => {
                show_value(f, &[&parts.attribute, "="], parts.initial.as_deref().unwrap_or_default())?;
                parts.any.iter().try_for_each(|part| show_value(f, &["*"], part))?;
                show_value(f, &["*"], parts.last.as_deref().unwrap_or_default())?;
            }
            Self::Extensible(parts) => {
                f.write_str(parts.attribute.as_deref().unwrap_or_default())?;
                f.write_str(if parts.dn_attributes { ":dn" } else { "" })?;
                parts.rule.iter().try_for_each(|rule| write!(f, ":{rule}"))?;
                show_value(f, &[":="], &parts.value)?;
            }
        }
        f.write_char(')')
    }
}

/// Shows a value; what is not UTF-8 is escaped octet by octet.
fn show_value(f: &mut fmt::Formatter<'_>, before: &[&str], value: &[u8]) -> fmt::Result {
    before.iter().try_for_each(|part| f.write_str(part))?;
    let Ok(text) = std::str::from_utf8(value) else {
        return value.iter().try_for_each(|octet| write!(f, "\\{octet:02x}"));
    };
    text.chars().try_for_each(|character| match character {
        '*' | '(' | ')' | '\\' => write!(f, "\\{:02x}", u32::from(character)),
        control if u32::from(control) < 0x20 => write!(f, "\\{:02x}", u32::from(control)),
        other => f.write_char(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Filter {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_parsed_prints_the_same() {
        for text in [
            "(cn=Babs Jensen)",
            "(!(cn=Tim Howes))",
            "(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))",
            "(o=univ*of*mich*)",
            "(cn=*)",
            "(cn=*x)",
            "(cn:caseExactMatch:=Fred)",
            "(cn:=Betty)",
            "(sn:dn:2.4.6.8.10:=Barney)",
            "(:1.2.3:=Wilma)",
            "(:dn:2.4.6.8.10:=Dino)",
            "(o=Parens R Us \\28for all\\29)",
            "(filename=C:\\5cMyFile)",
            "(bin=\\00\\00\\00\\04)",
            "(sn=Lu\u{10d}i\u{107})",
            "(seeAlso=)",
            "(&)",
            "(|)",
            "(objectGUID=\\ff\\00\\01)",
            "(userAccountControl:1.2.840.113556.1.4.803:=2)",
            "(member;range=1)",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
    }

    #[test]
    fn lenient_forms() {
        assert_eq!(parse("cn=x").to_string(), "(cn=x)");
        assert_eq!(parse(" ( & (a=1)\n (b=2) ) ").to_string(), "(&(a=1)(b=2))");
        assert_eq!(parse("(cn=a**b)").to_string(), "(cn=a*b)");
        assert_eq!(parse("(cn= x )"), Filter::equal("cn", " x "));
    }

    #[test]
    fn errors_name_the_place() {
        for (text, position) in [
            ("", 1),
            ("(cn=x", 6),
            ("(cn=x))", 7),
            ("(cn)", 4),
            ("(=x)", 3),
            ("(cn=a(b)", 6),
            ("(cn=\\5)", 5),
            ("(cn=\\+1)", 5),
            ("(cn:dn=x)", 7),
            ("(:=x)", 4),
            ("(cn:a:b:=x)", 8),
        ] {
            let error = text.parse::<Filter>().expect_err(text);
            assert_eq!(error.position, position, "{text}: {error}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = format!("{}(a=b){}", "(!".repeat(100_000), ")".repeat(100_000));
        let error = text.parse::<Filter>().expect_err("too deep");
        assert_eq!(error.reason, "it is nested too deeply");
    }
}
