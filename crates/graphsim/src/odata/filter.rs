//! `$filter`: reading, what the default mode allows, evaluation.
//!
//! Covers what a synchronisation client asks: comparisons, `in`, `startsWith`, `endsWith`, `any`, `and`, `or`, `not`.
//! Deliberately absent: arithmetic, `contains`, `all`, lambda over navigation properties: they answer as unsupported.

use std::cmp::Ordering;

use serde_json::Value;

use crate::error::GraphError;
use crate::schema::{Kind, find, is_extension};

/// Deepest nesting of a filter: hand-written ones have two or three levels.
const DEPTH_MAX: usize = 32;
/// Values of one `in` list, as the service limits them.
const IN_MAX: usize = 15;

/// A filter expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    Compare(String, Op, Value),
    In(String, Vec<Value>),
    Starts(String, String),
    Ends(String, String),
    Any(String, Box<Filter>),
    /// Inside `any(x:...)`: the item itself, or one of its members.
    IsTrue(String),
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Eq,
    Ne,
    Ge,
    Le,
    Gt,
    Lt,
}

fn unsupported() -> GraphError {
    GraphError::unsupported_query("Unsupported Query.")
}

fn invalid() -> GraphError {
    GraphError::new(400, "BadRequest", "Invalid filter clause")
}

impl Filter {
    /// Reads a filter.
    pub(crate) fn parse(text: &str) -> Result<Filter, GraphError> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0, variables: Vec::new() };
        let filter = parser.or(0)?;
        if parser.at < parser.tokens.len() { Err(invalid()) } else { Ok(filter) }
    }

    /// Checks names and operators against the kind and the query mode.
    pub(crate) fn check(&self, kind: Kind, advanced: bool) -> Result<(), GraphError> {
        let known = |path: &str| {
            let head = path.split('/').next().unwrap_or(path);
            if is_extension(head) {
                return Ok(());
            }
            match find(kind, head) {
                None => {
                    Err(GraphError::bad(format!("Invalid filter clause: property '{head}' is not known.")))
                }
                Some(d) if d.elsewhere => Err(unsupported()),
                Some(d) if d.advanced && !advanced => Err(unsupported()),
                Some(_) => Ok(()),
            }
        };
        match self {
            Filter::And(a, b) | Filter::Or(a, b) => {
                a.check(kind, advanced)?;
                b.check(kind, advanced)
            }
            Filter::Not(inner) => {
                if advanced {
                    inner.check(kind, advanced)
                } else {
                    Err(unsupported())
                }
            }
            Filter::Compare(path, op, _) => {
                if path == "id" && !matches!(op, Op::Eq | Op::Ne) {
                    return Err(GraphError::unsupported_query(
                        "The request uses a filter property that is not indexed",
                    ));
                }
                if *op == Op::Ne && !advanced {
                    return Err(unsupported());
                }
                known(path)
            }
            Filter::In(path, values) => {
                if values.len() > IN_MAX {
                    return Err(GraphError::bad(format!(
                        "Too many child clauses specified in search filter expression containing 'OR' operators: {}. Max allowed: {IN_MAX}.",
                        values.len()
                    )));
                }
                known(path)
            }
            Filter::Starts(path, _) | Filter::IsTrue(path) => known(path),
            Filter::Ends(path, _) => {
                if advanced {
                    known(path)
                } else {
                    Err(unsupported())
                }
            }
            Filter::Any(path, _) => known(path),
        }
    }

    /// Evaluates on an object, given how to read its properties.
    pub(crate) fn matches<'v>(&self, read: &dyn Fn(&str) -> Option<&'v Value>) -> bool {
        match self {
            Filter::And(a, b) => a.matches(read) && b.matches(read),
            Filter::Or(a, b) => a.matches(read) || b.matches(read),
            Filter::Not(inner) => !inner.matches(read),
            Filter::Compare(path, op, wanted) => {
                let exact = path == "onPremisesImmutableId";
                compare(at(read, path), *op, wanted, exact)
            }
            Filter::In(path, values) => {
                let exact = path == "onPremisesImmutableId";
                values.iter().any(|v| compare(at(read, path), Op::Eq, v, exact))
            }
            Filter::Starts(path, start) => {
                at(read, path).and_then(Value::as_str).is_some_and(|t| lower(t).starts_with(&lower(start)))
            }
            Filter::Ends(path, end) => {
                at(read, path).and_then(Value::as_str).is_some_and(|t| lower(t).ends_with(&lower(end)))
            }
            Filter::IsTrue(path) => at(read, path).and_then(Value::as_bool) == Some(true),
            Filter::Any(path, inner) => {
                let Some(Value::Array(items)) = at(read, path) else { return false };
                items.iter().any(|item| {
                    inner.matches(&|name: &str| if name.is_empty() { Some(item) } else { item.get(name) })
                })
            }
        }
    }

    /// An equality over an indexed property that every match must fulfil, so that no scan is needed.
    pub(crate) fn index_hint(&self) -> Option<Vec<(&str, &str)>> {
        match self {
            Filter::And(a, b) => a.index_hint().or_else(|| b.index_hint()),
            Filter::Or(a, b) => {
                let mut all = a.index_hint()?;
                all.extend(b.index_hint()?);
                Some(all)
            }
            Filter::Compare(path, Op::Eq, Value::String(text)) => Some(vec![(path.as_str(), text.as_str())]),
            Filter::In(path, values) => {
                values.iter().map(|v| v.as_str().map(|t| (path.as_str(), t))).collect()
            }
            Filter::Any(path, inner) if path == "proxyAddresses" => match &**inner {
                Filter::Compare(item, Op::Eq, Value::String(text)) if item.is_empty() => {
                    Some(vec![(path.as_str(), text.as_str())])
                }
                _ => None,
            },
            _ => None,
        }
    }
}

fn at<'v>(read: &dyn Fn(&str) -> Option<&'v Value>, path: &str) -> Option<&'v Value> {
    let mut parts = path.split('/');
    let mut value = read(parts.next().unwrap_or(path))?;
    for part in parts {
        value = value.get(part)?;
    }
    Some(value)
}

fn lower(text: &str) -> String {
    text.to_lowercase()
}

fn compare(value: Option<&Value>, op: Op, wanted: &Value, exact: bool) -> bool {
    let value = value.unwrap_or(&Value::Null);
    let order = match (value, wanted) {
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::String(a), Value::String(b)) if exact => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Some(lower(a).cmp(&lower(b))),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        _ => None,
    };
    match (op, order) {
        (Op::Eq, Some(order)) => order == Ordering::Equal,
        (Op::Ne, Some(order)) => order != Ordering::Equal,
        (Op::Ne, None) => true,
        (Op::Ge, Some(order)) => order != Ordering::Less,
        (Op::Le, Some(order)) => order != Ordering::Greater,
        (Op::Gt, Some(order)) => order == Ordering::Greater,
        (Op::Lt, Some(order)) => order == Ordering::Less,
        (_, None) => false,
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    Comma,
    Colon,
}

fn tokens(text: &str) -> Result<Vec<Token>, GraphError> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '(' => out.push(Token::Open),
            ')' => out.push(Token::Close),
            ',' => out.push(Token::Comma),
            '\'' => {
                let mut value = String::new();
                loop {
                    match chars.next() {
                        Some('\'') if chars.peek() == Some(&'\'') => {
                            chars.next();
                            value.push('\'');
                        }
                        Some('\'') => break,
                        Some(c) => value.push(c),
                        None => return Err(invalid()),
                    }
                }
                out.push(Token::Text(value));
            }
            // A lambda's colon follows its variable; inside a timestamp it belongs to the word.
            ':' => out.push(Token::Colon),
            c => {
                let mut word = String::from(c);
                let dated = c.is_ascii_digit();
                while let Some(next) = chars.peek() {
                    if next.is_whitespace()
                        || matches!(next, '(' | ')' | ',' | '\'')
                        || (*next == ':' && !dated)
                    {
                        break;
                    }
                    word.push(*next);
                    chars.next();
                }
                out.push(Token::Word(word));
            }
        }
    }
    Ok(out)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    variables: Vec<String>,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn expect(&mut self, token: &Token) -> Result<(), GraphError> {
        if self.next().as_ref() == Some(token) { Ok(()) } else { Err(invalid()) }
    }

    fn word(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(w)) if w.eq_ignore_ascii_case(word));
        if is {
            self.at += 1;
        }
        is
    }

    fn or(&mut self, depth: usize) -> Result<Filter, GraphError> {
        let mut left = self.and(depth)?;
        while self.word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.and(depth)?));
        }
        Ok(left)
    }

    fn and(&mut self, depth: usize) -> Result<Filter, GraphError> {
        let mut left = self.unary(depth)?;
        while self.word("and") {
            left = Filter::And(Box::new(left), Box::new(self.unary(depth)?));
        }
        Ok(left)
    }

    fn unary(&mut self, depth: usize) -> Result<Filter, GraphError> {
        if depth > DEPTH_MAX {
            return Err(unsupported());
        }
        if self.word("not") {
            return Ok(Filter::Not(Box::new(self.unary(depth + 1)?)));
        }
        if self.peek() == Some(&Token::Open) {
            self.at += 1;
            let inner = self.or(depth + 1)?;
            self.expect(&Token::Close)?;
            return Ok(inner);
        }
        let Some(Token::Word(word)) = self.next() else { return Err(invalid()) };
        if self.peek() == Some(&Token::Open) {
            self.at += 1;
            return self.call(&word, depth);
        }
        let path = self.path(&word);
        let Some(Token::Word(op)) = self.peek().cloned() else { return Ok(Filter::IsTrue(path)) };
        let op = match op.to_ascii_lowercase().as_str() {
            "eq" => Op::Eq,
            "ne" => Op::Ne,
            "ge" => Op::Ge,
            "le" => Op::Le,
            "gt" => Op::Gt,
            "lt" => Op::Lt,
            "in" => {
                self.at += 1;
                return self.list(path);
            }
            _ => return Ok(Filter::IsTrue(path)),
        };
        self.at += 1;
        let value = self.literal()?;
        Ok(Filter::Compare(path, op, value))
    }

    fn list(&mut self, path: String) -> Result<Filter, GraphError> {
        self.expect(&Token::Open)?;
        let mut values = vec![self.literal()?];
        while self.peek() == Some(&Token::Comma) {
            self.at += 1;
            values.push(self.literal()?);
        }
        self.expect(&Token::Close)?;
        Ok(Filter::In(path, values))
    }

    fn call(&mut self, name: &str, depth: usize) -> Result<Filter, GraphError> {
        if let Some(path) = name.strip_suffix("/any") {
            let Some(Token::Word(variable)) = self.next() else { return Err(invalid()) };
            self.expect(&Token::Colon)?;
            self.variables.push(variable);
            let inner = self.or(depth + 1)?;
            self.variables.pop();
            self.expect(&Token::Close)?;
            return Ok(Filter::Any(path.to_owned(), Box::new(inner)));
        }
        let name = name.to_ascii_lowercase();
        if !matches!(name.as_str(), "startswith" | "endswith") {
            return Err(unsupported());
        }
        let Some(Token::Word(property)) = self.next() else { return Err(invalid()) };
        let path = self.path(&property);
        self.expect(&Token::Comma)?;
        let Value::String(text) = self.literal()? else { return Err(invalid()) };
        self.expect(&Token::Close)?;
        Ok(if name == "startswith" { Filter::Starts(path, text) } else { Filter::Ends(path, text) })
    }

    /// Inside a lambda `x` is the item and `x/name` its member.
    fn path(&self, word: &str) -> String {
        match self.variables.last() {
            Some(v) if word == v => String::new(),
            Some(v) => {
                word.strip_prefix(v.as_str()).and_then(|r| r.strip_prefix('/')).unwrap_or(word).to_owned()
            }
            None => word.to_owned(),
        }
    }

    fn literal(&mut self) -> Result<Value, GraphError> {
        match self.next() {
            Some(Token::Text(text)) => Ok(Value::String(text)),
            Some(Token::Word(word)) => Ok(match word.to_ascii_lowercase().as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                _ => match word.parse::<i64>() {
                    Ok(number) => Value::from(number),
                    Err(_) => Value::String(word),
                },
            }),
            _ => Err(invalid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(filter: &str, object: &Value) -> bool {
        Filter::parse(filter).unwrap().matches(&|name: &str| object.get(name))
    }

    #[test]
    fn filters_a_sync_client_asks() {
        let user = json!({
            "id": "1", "displayName": "O'Brien", "accountEnabled": true, "onPremisesImmutableId": "aB==",
            "proxyAddresses": ["SMTP:a@c.com"],
            "identities": [{"issuer": "c.com", "issuerAssignedId": "j"}],
            "createdDateTime": "2026-01-02T00:00:00Z"
        });
        for yes in [
            "displayName eq 'o''brien'",
            "accountEnabled eq true and (id in ('2','1'))",
            "onPremisesImmutableId eq 'aB=='",
            "proxyAddresses/any(p:p eq 'smtp:A@c.com')",
            "identities/any(c:c/issuerAssignedId eq 'j' and c/issuer eq 'c.com')",
            "startswith(displayName, 'O')",
            "not (accountEnabled eq false)",
            "createdDateTime ge 2026-01-01T00:00:00Z",
            "onPremisesSyncEnabled eq null",
            "onPremisesSyncEnabled ne true",
        ] {
            assert!(holds(yes, &user), "{yes}");
        }
        for no in ["onPremisesImmutableId eq 'ab=='", "onPremisesSyncEnabled eq true", "id in ('2')"] {
            assert!(!holds(no, &user), "{no}");
        }
    }

    #[test]
    fn hostile_filters_are_errors() {
        for bad in ["", "a eq", "(a eq 1", "a eq 'x", "contains(a,'b')", "a eq 1 b", &"(".repeat(500)] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_default_mode_refuses_what_needs_the_index() {
        let check = |f: &str, advanced| Filter::parse(f).unwrap().check(Kind::User, advanced);
        assert!(check("endsWith(mail,'x')", false).is_err());
        assert!(check("endsWith(mail,'x')", true).is_ok());
        assert!(check("companyName eq 'x'", false).is_err());
        assert!(check("employeeId eq 'x'", false).is_ok());
        assert!(check("id ge 'x'", true).unwrap_err().message.contains("not indexed"));
    }
}
