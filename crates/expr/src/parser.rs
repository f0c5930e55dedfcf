//! Tokens to a syntax tree: a Pratt parser.
//!
//! Precedence, loosest first: `||`, `&&`, comparisons, `&`, and `+ - *` as equals. All operators associate to the
//! left. The published page says that all have one priority; the shipped rules cannot be read so (see
//! docs/expressions.md).

use std::borrow::Cow;

use crate::decimal::Decimal;
use crate::diagnostic::{Diagnostic, Span};
use crate::lexer::{Lexer, Operator, Token};

/// How deep parentheses, calls and operators may nest: more than any rule written by hand, little enough for the
/// stack of a worker thread.
pub const DEPTH_MAX: usize = 128;
/// How many nodes the tree may have; the largest shipped expression has 95.
pub const NODES_MAX: usize = 10_000;
/// How long the text may be, in bytes.
pub const TEXT_MAX: usize = 256 * 1024;

/// One node with its place.
#[derive(Debug)]
pub(crate) struct Syntax<'t> {
    pub(crate) span: Span,
    pub(crate) kind: SyntaxKind<'t>,
    depth: usize,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum SyntaxKind<'t> {
    Attribute(&'t str),
    Parameter(&'t str),
    Variable(&'t str),
    /// A bare word: a literal such as `True`, or a word one function knows.
    Word(&'t str),
    Text(Cow<'t, str>),
    Integer(i64),
    Decimal(Decimal),
    Call {
        name: &'t str,
        name_span: Span,
        args: Vec<Syntax<'t>>,
    },
    /// Operands of a chain of one of `||`, `&&`, `&`.
    Chain(Operator, Vec<Syntax<'t>>),
    Binary(Operator, Box<[Syntax<'t>; 2]>),
}

/// Parses a whole expression.
pub(crate) fn parse(text: &str) -> Result<Syntax<'_>, Diagnostic> {
    let whole = Span::new(0, text.len());
    if text.len() > TEXT_MAX {
        return Err(Diagnostic::error(whole, format!("the expression is longer than {TEXT_MAX} bytes")));
    }
    let mut parser = Parser { lexer: Lexer::new(text), next: (Token::End, Span::default()), nodes: 0 };
    parser.advance()?;
    if parser.next.0 == Token::End {
        return Err(Diagnostic::error(whole, "the expression is empty")
            .hint("write `NULL` for a flow that contributes nothing"));
    }
    let root = parser.expression(0, 0)?;
    match &parser.next {
        (Token::End, _) => Ok(root),
        (Token::Close, span) => Err(Diagnostic::error(*span, "this `)` closes nothing")),
        (token, span) => {
            let negated = matches!(root.kind, SyntaxKind::Word(word) if word.eq_ignore_ascii_case("not"));
            let hint = if negated { Some("negate with `= False`".to_owned()) } else { word_operator(token) };
            Err(Diagnostic::error(*span, format!("an operator is missing before {}", describe(token)))
                .hint_opt(hint))
        }
    }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    next: (Token<'t>, Span),
    nodes: usize,
}

impl<'t> Parser<'t> {
    fn advance(&mut self) -> Result<(Token<'t>, Span), Diagnostic> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    fn node(&mut self, span: Span, kind: SyntaxKind<'t>, below: usize) -> Result<Syntax<'t>, Diagnostic> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Diagnostic::error(span, format!("the expression has more than {NODES_MAX} parts"))
                .hint("split it over several rules or metaverse attributes"));
        }
        if below >= DEPTH_MAX {
            return Err(too_deep(span));
        }
        Ok(Syntax { span, kind, depth: below + 1 })
    }

    /// Operators that bind at least as tightly as `floor`.
    fn expression(&mut self, floor: u8, depth: usize) -> Result<Syntax<'t>, Diagnostic> {
        if depth > DEPTH_MAX {
            return Err(too_deep(self.next.1));
        }
        let mut left = self.operand(depth)?;
        while let Token::Operator(operator) = self.next.0 {
            let power = power(operator);
            if power < floor {
                break;
            }
            self.advance()?;
            let right = self.expression(power + 1, depth + 1)?;
            left = self.join(operator, left, right)?;
        }
        Ok(left)
    }

    fn join(
        &mut self,
        operator: Operator,
        left: Syntax<'t>,
        right: Syntax<'t>,
    ) -> Result<Syntax<'t>, Diagnostic> {
        let span = left.span.to(right.span);
        let below = left.depth.max(right.depth);
        if !matches!(operator, Operator::Or | Operator::And | Operator::Concat) {
            return self.node(span, SyntaxKind::Binary(operator, Box::new([left, right])), below);
        }
        // Long chains are flat, so that they do not count as deep.
        match left {
            Syntax { kind: SyntaxKind::Chain(of, mut operands), depth, .. } if of == operator => {
                let below = right.depth.max(depth - 1);
                operands.push(right);
                self.node(span, SyntaxKind::Chain(operator, operands), below)
            }
            left => self.node(span, SyntaxKind::Chain(operator, vec![left, right]), below),
        }
    }

    fn operand(&mut self, depth: usize) -> Result<Syntax<'t>, Diagnostic> {
        let (token, span) = self.advance()?;
        let kind = match token {
            Token::Attribute(name) => SyntaxKind::Attribute(name),
            Token::Parameter(name) => SyntaxKind::Parameter(name),
            Token::Variable(name) => SyntaxKind::Variable(name),
            Token::Text(text) => SyntaxKind::Text(text),
            Token::Decimal(number) => SyntaxKind::Decimal(number),
            Token::Hex(bits) => SyntaxKind::Integer(bits as i64), // 16 digits give a negative number, as in VBA
            Token::Integer(number) => {
                SyntaxKind::Integer(i64::try_from(number).map_err(|_| too_large(span))?)
            }
            Token::Operator(Operator::Minus) => return self.negative(span, depth),
            Token::Open => {
                let mut inner = self.expression(0, depth + 1)?;
                inner.span = span.to(self.close("this `(` is not closed", span)?);
                return Ok(inner);
            }
            Token::Word(name) if self.next.0 == Token::Open => return self.call(name, span, depth),
            Token::Word(word) => SyntaxKind::Word(word),
            token => return Err(missing_operand(&token, span)),
        };
        self.node(span, kind, 0)
    }

    fn negative(&mut self, sign: Span, depth: usize) -> Result<Syntax<'t>, Diagnostic> {
        let literal = match self.next.0 {
            Token::Integer(n) if n <= i64::MIN.unsigned_abs() => {
                Some(SyntaxKind::Integer(0i64.wrapping_sub_unsigned(n)))
            }
            Token::Decimal(n) => Decimal::from_int(0).minus(n).map(SyntaxKind::Decimal),
            _ => None,
        };
        if let Some(kind) = literal {
            let (_, span) = self.advance()?;
            return self.node(sign.to(span), kind, 0);
        }
        if depth >= DEPTH_MAX {
            return Err(too_deep(sign));
        }
        let operand = self.operand(depth + 1)?;
        let zero = self.node(sign, SyntaxKind::Integer(0), 0)?;
        self.join(Operator::Minus, zero, operand)
    }

    fn call(&mut self, name: &'t str, name_span: Span, depth: usize) -> Result<Syntax<'t>, Diagnostic> {
        let (_, open) = self.advance()?;
        let mut args = Vec::new();
        if self.next.0 != Token::Close {
            loop {
                args.push(self.expression(0, depth + 1)?);
                if self.next.0 != Token::Comma {
                    break;
                }
                self.advance()?;
            }
        }
        let end = self.close(&format!("the `(` of `{name}` is not closed"), open)?;
        let below = args.iter().map(|a| a.depth).max().unwrap_or(0);
        self.node(name_span.to(end), SyntaxKind::Call { name, name_span, args }, below)
    }

    fn close(&mut self, message: &str, open: Span) -> Result<Span, Diagnostic> {
        match &self.next {
            (Token::Close, _) => Ok(self.advance()?.1),
            (Token::End, _) => Err(Diagnostic::error(open, message).hint("add a `)`")),
            (token, span) => Err(Diagnostic::error(
                *span,
                format!("an operator, `,` or `)` is missing before {}", describe(token)),
            )
            .hint_opt(word_operator(token))),
        }
    }
}

/// How tightly an operator binds.
fn power(operator: Operator) -> u8 {
    match operator {
        Operator::Or => 1,
        Operator::And => 2,
        Operator::Equal
        | Operator::NotEqual
        | Operator::Less
        | Operator::LessEqual
        | Operator::Greater
        | Operator::GreaterEqual => 3,
        Operator::Concat => 4,
        Operator::Plus | Operator::Minus | Operator::Times => 5,
    }
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(span, format!("the expression nests deeper than {DEPTH_MAX} levels"))
        .hint("use Switch instead of nested IIF, or split the expression over several metaverse attributes")
}

fn too_large(span: Span) -> Diagnostic {
    Diagnostic::error(span, "the number is too large")
        .hint("numbers range from -9223372036854775808 to 9223372036854775807")
}

fn missing_operand(token: &Token<'_>, span: Span) -> Diagnostic {
    match token {
        Token::End => Diagnostic::error(span, "the expression ends where a value is expected"),
        Token::Comma | Token::Close => {
            Diagnostic::error(span, format!("a value is missing before {}", describe(token)))
                .hint("write `NULL` for no value, `\"\"` for an empty text")
        }
        token => Diagnostic::error(span, format!("a value is expected here, not {}", describe(token))),
    }
}

fn describe(token: &Token<'_>) -> String {
    match token {
        Token::Attribute(name) => format!("`[{name}]`"),
        Token::Parameter(name) => format!("`%{name}%`"),
        Token::Variable(name) => format!("`${name}`"),
        Token::Word(word) => format!("`{word}`"),
        Token::Text(_) => "a text".to_owned(),
        Token::Integer(_) | Token::Hex(_) | Token::Decimal(_) => "a number".to_owned(),
        Token::Operator(_) => "an operator".to_owned(),
        Token::Open => "`(`".to_owned(),
        Token::Close => "`)`".to_owned(),
        Token::Comma => "`,`".to_owned(),
        Token::End => "the end".to_owned(),
    }
}

/// What stands for an operator that other languages write as a word.
fn word_operator(token: &Token<'_>) -> Option<String> {
    let Token::Word(word) = token else { return None };
    let operator = match word.to_ascii_lowercase().as_str() {
        "and" => "&&",
        "or" => "||",
        "eq" => "=",
        "ne" => "<>",
        _ => return None,
    };
    Some(format!("the operator is `{operator}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in prefix notation.
    fn show(node: &Syntax<'_>) -> String {
        let list = |nodes: &[Syntax<'_>]| nodes.iter().map(show).collect::<Vec<_>>().join(" ");
        match &node.kind {
            SyntaxKind::Attribute(n) => format!("[{n}]"),
            SyntaxKind::Parameter(n) => format!("%{n}%"),
            SyntaxKind::Variable(n) => format!("${n}"),
            SyntaxKind::Word(n) => (*n).to_owned(),
            SyntaxKind::Text(t) => format!("{t:?}"),
            SyntaxKind::Integer(n) => n.to_string(),
            SyntaxKind::Decimal(n) => n.to_string(),
            SyntaxKind::Call { name, args, .. } => format!("{name}({})", list(args)),
            SyntaxKind::Chain(op, operands) => format!("({op:?} {})", list(operands)),
            SyntaxKind::Binary(op, sides) => format!("({op:?} {})", list(&**sides)),
        }
    }

    #[test]
    fn precedence_is_what_shipped_rules_need() {
        let tree = |text| show(&parse(text).unwrap());
        assert_eq!(tree("5+3*2"), "(Times (Plus 5 3) 2)");
        assert_eq!(tree("2*(5+3)"), "(Times 2 (Plus 5 3))");
        assert_eq!(tree("A() || B() = False || C()"), "(Or A() (Equal B() False) C())");
        assert_eq!(tree("[a] = \"x\" & [b]"), "(Equal [a] (Concat \"x\" [b]))");
        assert_eq!(tree("[a] > 0 && [b] || [c] && [d]"), "(Or (And (Greater [a] 0) [b]) (And [c] [d]))");
        assert_eq!(tree("7 - -2147483648"), "(Minus 7 -2147483648)");
        assert_eq!(tree("-9223372036854775808"), "-9223372036854775808");
        assert_eq!(tree("-[a] + 1"), "(Plus (Minus 0 [a]) 1)");
        assert_eq!(tree("BitAnd(\n [a],\n &HFF)"), "BitAnd([a] 255)");
    }

    #[test]
    fn faults_name_the_place() {
        let fault = |text| {
            let d = parse(text).unwrap_err();
            (d.start, d.end, d.message)
        };
        assert_eq!(fault(""), (0, 0, "the expression is empty".into()));
        assert_eq!(fault("IIF([a], 1"), (3, 4, "the `(` of `IIF` is not closed".into()));
        assert_eq!(fault("(1"), (0, 1, "this `(` is not closed".into()));
        assert_eq!(fault("1)"), (1, 2, "this `)` closes nothing".into()));
        assert_eq!(fault("F(1,,2)"), (4, 5, "a value is missing before `,`".into()));
        assert_eq!(fault("1 +"), (3, 3, "the expression ends where a value is expected".into()));
        assert_eq!(fault("[a] [b]"), (4, 7, "an operator is missing before `[b]`".into()));
        assert_eq!(parse("[a] and [b]").unwrap_err().hint.as_deref(), Some("the operator is `&&`"));
        assert_eq!(parse("Not [b]").unwrap_err().hint.as_deref(), Some("negate with `= False`"));
    }

    #[test]
    fn nesting_and_size_are_limited() {
        let nested = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
        assert!(parse(&nested(100)).is_ok());
        assert!(parse(&nested(100_000)).unwrap_err().message.contains("deeper"));
        assert!(parse(&"-".repeat(100_000)).unwrap_err().message.contains("deeper"));
        assert!(parse(&"F(".repeat(50_000)).unwrap_err().message.contains("deeper"));
        assert!(parse(&["1"; 500].join("+")).unwrap_err().message.contains("deeper"));
        assert!(parse(&["1"; 4_000].join("&")).is_ok());
        assert!(parse(&["1"; 20_000].join("&")).unwrap_err().message.contains("parts"));
        assert!(parse(&" ".repeat(TEXT_MAX + 1)).unwrap_err().message.contains("longer"));
    }
}
