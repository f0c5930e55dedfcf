//! From tokens to commands with their parameters. What a program would do around them is passed over, and said.

use super::lexer::{Kind, Lexer, Token};
use crate::Mistake;
use crate::limits::DEPTH_MAX;
use crate::text::Lines;

/// One statement of a script.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Statement {
    /// A command.
    Command(Command),
    /// A variable is given a value.
    Assigned(String, Assigned),
    /// Something that was not read: what, line and column.
    PassedOver(String, (u32, u32)),
}

/// What a variable is given.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Assigned {
    /// A value that stands there.
    Value(Value),
    /// The connector of this name.
    Connector(Value),
    /// What only running the script would tell.
    Unknown,
}

/// Commands that only show, load or tidy up something.
const SAY_NOTHING: [&str; 16] = [
    "Get-ADSyncRule",
    "Get-ADSyncConnector",
    "Set-ADSyncScheduler",
    "Start-ADSyncSyncCycle",
    "Import-Module",
    "Remove-Variable",
    "Write-Host",
    "Write-Output",
    "Write-Verbose",
    "Write-Debug",
    "Write-Warning",
    "Clear-Host",
    "Start-Transcript",
    "Stop-Transcript",
    "Start-Sleep",
    "Read-Host",
];

/// Words that begin what is run, not what is read.
const KEYWORDS: [&str; 24] = [
    "if", "elseif", "else", "foreach", "for", "while", "do", "switch", "function", "filter", "param", "try",
    "catch", "finally", "trap", "begin", "process", "end", "return", "throw", "exit", "break", "continue",
    "using",
];

/// One command.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Command {
    pub(super) name: String,
    /// Line and column.
    pub(super) at: (u32, u32),
    pub(super) parameters: Vec<Parameter>,
    /// Values without a parameter's name before them.
    pub(super) values: Vec<Value>,
    /// Where the first of them is.
    pub(super) values_at: Option<(u32, u32)>,
    /// The variable on the left of `=`.
    pub(super) assigned: Option<String>,
}

/// A named parameter; without values it is a switch.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) at: (u32, u32),
    pub(super) values: Vec<Value>,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    Text(String),
    Boolean(bool),
    Null,
    Variable(String),
}

impl Value {
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Boolean(value) => Some(if *value { "True" } else { "False" }.to_owned()),
            Self::Null => Some(String::new()),
            Self::Variable(_) => None,
        }
    }
}

/// Reads all statements of a script.
pub(super) fn statements(file: &str, text: &str) -> Result<Vec<Statement>, Mistake> {
    let tokens = Lexer::new(file, text).tokens()?;
    Parser { file, lines: Lines::new(text), end: text.len(), tokens: &tokens, next: 0 }.script()
}

struct Parser<'t> {
    file: &'t str,
    lines: Lines<'t>,
    end: usize,
    tokens: &'t [Token],
    next: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn place(&self) -> (u32, u32) {
        self.lines.place(self.tokens.get(self.next).map_or(self.end, |token| token.at))
    }

    fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake::new(self.file, self.place(), message)
    }

    fn script(mut self) -> Result<Vec<Statement>, Mistake> {
        let mut out = Vec::new();
        loop {
            while self.peek() == Some(&Kind::End) {
                self.next += 1;
            }
            if self.peek().is_none() {
                return Ok(out);
            }
            out.extend(self.statement()?);
        }
    }

    fn statement(&mut self) -> Result<Option<Statement>, Mistake> {
        let at = self.place();
        let behind = self.tokens.get(self.next + 1).map(|token| &token.kind);
        match (self.peek(), behind) {
            (Some(Kind::Word(word)), _) if is_one_of(word, &KEYWORDS) => {
                let word = word.to_ascii_lowercase();
                self.pass_over(true)?;
                Ok(Some(Statement::PassedOver(word, at)))
            }
            // The rule that it removes may be one that this script makes, or one that another file has.
            (Some(Kind::Word(word)), _) if word.eq_ignore_ascii_case("Remove-ADSyncRule") => {
                let word = word.clone();
                self.pass_over(false)?;
                Ok(Some(Statement::PassedOver(word, at)))
            }
            (Some(Kind::Word(word)), _) if is_one_of(word, &SAY_NOTHING) => {
                self.pass_over(false)?;
                Ok(None)
            }
            (Some(Kind::Variable(name)), Some(Kind::Equals)) => {
                let name = name.clone();
                self.assignment(name).map(Some)
            }
            (Some(Kind::Variable(name)), Some(Kind::Pipe)) => {
                let what = format!("${name} |");
                self.pass_over(false)?;
                Ok(Some(Statement::PassedOver(what, at)))
            }
            _ => self.command().map(|command| Some(Statement::Command(command))),
        }
    }

    /// Passes over a statement with its blocks, whatever is in them: rules may not be.
    fn pass_over(&mut self, block_may_follow: bool) -> Result<(), Mistake> {
        let (begin, mut depth) = (self.next, 0_usize);
        while let Some(token) = self.tokens.get(self.next) {
            match &token.kind {
                Kind::Open | Kind::OpenBlock => depth += 1,
                Kind::Close | Kind::CloseBlock => depth = depth.saturating_sub(1),
                Kind::End if depth == 0 && !self.goes_on() && !(block_may_follow && self.block_follows()) => {
                    break;
                }
                Kind::Word(word) if is_of_a_rule(word) && self.next > begin => {
                    return Err(self
                        .mistake(format!("`{word}` stands inside of what a program would run"))
                        .hint("nothing is run here: write the commands of the rule one after the other"));
                }
                _ => {}
            }
            self.next += 1;
        }
        Ok(())
    }

    fn block_follows(&self) -> bool {
        let next = self.tokens.get(self.next + self.ends());
        next.is_some_and(|token| token.kind == Kind::OpenBlock)
    }

    /// `$name = ...`: a value, a connector's name, or the command that makes a rule or a condition.
    fn assignment(&mut self, name: String) -> Result<Statement, Mistake> {
        let begin = self.next;
        self.next += 2;
        let (first, behind) = (self.peek(), self.tokens.get(self.next + 1).map(|token| &token.kind));
        if let (Some(Kind::Word(word)), _) = (first, behind)
            && (is_of_a_rule(word) || word.eq_ignore_ascii_case("New-Object"))
        {
            self.next = begin;
            return self.command().map(Statement::Command);
        }
        if matches!(behind, None | Some(Kind::End))
            && matches!(first, Some(Kind::Text(_) | Kind::Word(_) | Kind::Variable(_)))
        {
            let mut values = Vec::new();
            self.value(&mut values, 0)?;
            let value = values.pop().map_or(Assigned::Unknown, Assigned::Value);
            return Ok(Statement::Assigned(name, value));
        }
        let from = self.next;
        self.pass_over(false)?;
        let tokens = self.tokens.get(from..self.next).unwrap_or_default();
        Ok(Statement::Assigned(name, connector(tokens).map_or(Assigned::Unknown, Assigned::Connector)))
    }

    fn command(&mut self) -> Result<Command, Mistake> {
        let mut assigned = None;
        if let Some(Kind::Variable(name)) = self.peek() {
            assigned = Some(name.clone());
            self.next += 1;
            if self.peek() != Some(&Kind::Equals) {
                return Err(self.mistake("a variable alone does nothing").hint("a command was expected"));
            }
            self.next += 1;
        }
        let at = self.place();
        let Some(Kind::Word(name)) = self.peek() else {
            return Err(match self.peek() {
                Some(Kind::Code(mistake)) => mistake.clone(),
                _ => self.mistake("a command was expected, e.g. `New-ADSyncRule`"),
            });
        };
        let name = name.clone();
        self.next += 1;
        let mut command =
            Command { name, at, parameters: Vec::new(), values: Vec::new(), values_at: None, assigned };
        loop {
            match self.peek() {
                // A line that begins with a parameter goes on with the command, whether its backtick is there or not.
                Some(Kind::End) if self.goes_on() => self.next += self.ends(),
                None | Some(Kind::End) => return Ok(command),
                Some(Kind::Pipe) => {
                    self.next += 1;
                    match self.peek() {
                        Some(Kind::Word(word)) if word.eq_ignore_ascii_case("Out-Null") => self.next += 1,
                        _ => return Err(self.mistake("a pipe has no place in an exported rule")),
                    }
                }
                Some(Kind::Parameter(name)) => {
                    let (name, at) = (name.clone(), self.place());
                    self.next += 1;
                    let values = if self.begins_value() { self.values()? } else { Vec::new() };
                    command.parameters.push(Parameter { name, at, values });
                }
                Some(_) if self.begins_value() => {
                    command.values_at.get_or_insert(self.place());
                    let values = self.values()?;
                    command.values.extend(values);
                }
                Some(Kind::Code(mistake)) => return Err(mistake.clone()),
                Some(_) => return Err(self.mistake("a parameter or a value was expected")),
            }
        }
    }

    fn goes_on(&self) -> bool {
        let next = self.tokens.get(self.next + self.ends());
        next.is_some_and(|token| matches!(token.kind, Kind::Parameter(_)))
    }

    fn begins_value(&self) -> bool {
        matches!(self.peek(), Some(Kind::Text(_) | Kind::Word(_) | Kind::Variable(_) | Kind::Open))
    }

    /// Values with commas between them; lists in parentheses are as good as written out.
    fn values(&mut self) -> Result<Vec<Value>, Mistake> {
        let mut out = Vec::new();
        loop {
            self.value(&mut out, 0)?;
            if !self.comma() {
                return Ok(out);
            }
        }
    }

    /// Takes a comma; a line may end before or behind it.
    fn comma(&mut self) -> bool {
        let skip = self.ends();
        if self.tokens.get(self.next + skip).map(|t| &t.kind) != Some(&Kind::Comma) {
            return false;
        }
        self.next += skip + 1;
        self.next += self.ends();
        true
    }

    fn ends(&self) -> usize {
        let rest = self.tokens.get(self.next..).unwrap_or_default();
        rest.iter().take_while(|t| t.kind == Kind::End).count()
    }

    fn value(&mut self, out: &mut Vec<Value>, depth: usize) -> Result<(), Mistake> {
        if depth > DEPTH_MAX {
            return Err(self.mistake(format!("lists nested more than {DEPTH_MAX} deep")));
        }
        let value = match self.peek() {
            Some(Kind::Text(text) | Kind::Word(text)) => Value::Text(text.clone()),
            Some(Kind::Variable(name)) => match name.to_ascii_lowercase().as_str() {
                "true" => Value::Boolean(true),
                "false" => Value::Boolean(false),
                "null" => Value::Null,
                _ => Value::Variable(name.clone()),
            },
            Some(Kind::Open) => {
                let at = self.place();
                self.next += 1;
                loop {
                    self.next += self.ends();
                    match self.peek() {
                        Some(Kind::Close) => break,
                        None => return Err(Mistake::new(self.file, at, "a list that does not end")),
                        Some(_) => self.value(out, depth + 1)?,
                    }
                    if !self.comma() {
                        self.next += self.ends();
                        if self.peek() != Some(&Kind::Close) {
                            return Err(self.mistake("`,` or `)` was expected"));
                        }
                    }
                }
                self.next += 1;
                return Ok(());
            }
            Some(Kind::Code(mistake)) => return Err(mistake.clone()),
            _ => return Err(self.mistake("a value was expected")),
        };
        self.next += 1;
        out.push(value);
        Ok(())
    }
}

fn is_one_of(word: &str, known: &[&str]) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Whether a command makes a rule or a part of one.
fn is_of_a_rule(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word.starts_with("new-adsync") || word.starts_with("add-adsync")
}

/// The name in `Get-ADSyncConnector -Name ...`.
fn connector(tokens: &[Token]) -> Option<Value> {
    let at = tokens.iter().position(
        |token| matches!(&token.kind, Kind::Word(word) if word.eq_ignore_ascii_case("Get-ADSyncConnector")),
    )?;
    let mut rest = tokens.get(at + 1..)?.iter().map(|token| &token.kind);
    match (rest.next()?, rest.next()) {
        (Kind::Parameter(name), Some(value)) if name.eq_ignore_ascii_case("Name") => match value {
            Kind::Text(text) | Kind::Word(text) => Some(Value::Text(text.clone())),
            Kind::Variable(name) => Some(Value::Variable(name.clone())),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(file: &str, text: &str) -> Result<Vec<Command>, Mistake> {
        let command = |statement| match statement {
            Statement::Command(command) => Some(command),
            _ => None,
        };
        statements(file, text).map(|all| all.into_iter().filter_map(command).collect())
    }

    #[test]
    fn what_a_program_does_around_rules_is_passed_over() {
        let text = "$name = 'fabrikam.test'\n[int] $number = 50\n$id = [string](Get-ADSyncConnector -Name $name).Identifier\n\
            $old = Get-ADSyncRule | Where { $_.Name -eq $name -and $x[$i] }\nif ($old.Count -eq 1)\n{\n  $old | Remove-ADSyncRule | Out-Null\n}\n\
            elseif ($old.Count -gt 1) { Write-Error \"$name twice\" }\nWrite-Host \"Rule '$name'\"\nSet-ADSyncScheduler -SyncCycleEnabled $false\n\
            New-X -Value $number";
        let found = statements("a.ps1", text).unwrap();
        let assigned = |name: &str, value| Statement::Assigned(name.to_owned(), value);
        let expected = [
            assigned("name", Assigned::Value(Value::Text("fabrikam.test".into()))),
            assigned("number", Assigned::Value(Value::Text("50".into()))),
            assigned("id", Assigned::Connector(Value::Variable("name".into()))),
            assigned("old", Assigned::Unknown),
            Statement::PassedOver("if".into(), (5, 1)),
            Statement::PassedOver("elseif".into(), (9, 1)),
        ];
        assert_eq!(found[..6], expected, "{found:?}");
        assert!(matches!(&found[6..], [Statement::Command(command)] if command.name == "New-X"), "{found:?}");
        // What removes a rule is not kept from the report.
        let found = statements("a.ps1", "Remove-ADSyncRule -Identifier 'x'\n").unwrap();
        assert_eq!(found, [Statement::PassedOver("Remove-ADSyncRule".into(), (1, 1))]);
        let error = statements("a.ps1", "if ($x) {\n  New-ADSyncRule -Name 'x'\n}").unwrap_err();
        assert_eq!((error.line, error.column), (2, 3), "{error}");
    }

    #[test]
    fn parameters_lists_and_switches_are_read() {
        let text = "$r = New-ADSyncX `\n-Source @('a',\n 'b') `\n-Flag\n-On:$true\n-Value 'v' | Out-Null\nNext-Y 'p', $z[0]";
        let found = commands("a.ps1", text).unwrap();
        let [first, second] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            (first.name.as_str(), first.assigned.as_deref(), first.at),
            ("New-ADSyncX", Some("r"), (1, 6))
        );
        let text = |t: &str| Value::Text(t.to_owned());
        let parameters: Vec<_> =
            first.parameters.iter().map(|p| (p.name.as_str(), p.values.clone())).collect();
        assert_eq!(
            parameters,
            [
                ("Source", vec![text("a"), text("b")]),
                ("Flag", vec![]),
                ("On", vec![Value::Boolean(true)]),
                ("Value", vec![text("v")]),
            ]
        );
        assert_eq!(second.values, [text("p"), Value::Variable("z".to_owned())]);
    }

    #[test]
    fn blank_lines_cost_no_more_than_their_number() {
        let text = format!("New-X{}-A 'a'{}-B{0}, 'b'{0}Next-Y", "\n".repeat(200_000), "\n".repeat(200_000));
        let began = std::time::Instant::now();
        let found = commands("a.ps1", &text.replace("-B\n", "-B 'x'\n")).unwrap();
        let names: Vec<&str> = found.iter().map(|c| c.name.as_str()).collect();
        assert_eq!((names, found[0].parameters.len()), (vec!["New-X", "Next-Y"], 2));
        assert_eq!(found[0].parameters[1].values.len(), 2);
        // Squared it is 20 billion steps for each run of them: minutes.
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }

    #[test]
    fn what_is_no_command_is_refused_with_its_place() {
        for (script, place, word) in [
            ("'text'", (1, 1), "command"),
            ("$x", (1, 3), "alone"),
            ("New-X | Get-Y", (1, 9), "pipe"),
            ("New-X -A ('b' 'c')", (1, 15), "`)`"),
            ("New-X -A ('b',", (1, 10), "does not end"),
            ("New-X = 3", (1, 7), "expected"),
        ] {
            let error = commands("a.ps1", script).unwrap_err();
            assert_eq!((error.line, error.column), place, "{script}: {error}");
            assert!(error.message.contains(word), "{script}: {error}");
        }
        let deep = format!("New-X -A {}", "(".repeat(100));
        assert!(commands("a.ps1", &deep).unwrap_err().message.contains("nested"));
    }
}
