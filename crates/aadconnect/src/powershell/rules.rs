//! From commands to rules: what the Synchronization Rules Editor prints for one rule after the other.

use std::collections::BTreeMap;

use super::command::{Assigned, Command, Parameter, Statement, Value, statements};
use crate::limits::TEXT_BYTES_MAX;
use crate::model::{BY_NAME, guid};
use crate::words::{parse_link, parse_merge, soft_delete};
use crate::{Condition, Flow, FlowSource, LinkType, Merge, Mistake, Rule, ScopeClause};

/// Reads the rules of one script; what is not understood becomes a remark.
pub(crate) fn rules(file: &str, text: &str, remarks: &mut Vec<String>) -> Result<Vec<Rule>, Vec<Mistake>> {
    let statements = statements(file, text).map_err(|mistake| vec![mistake])?;
    let mut reader = Reader { file, remarks, rules: Vec::new(), open: None, made: BTreeMap::new() };
    let mut mistakes = Vec::new();
    for statement in statements {
        let read = match statement {
            Statement::Command(command) => reader.command(&reader.with_values(command)),
            Statement::Assigned(name, value) => {
                reader.assigned(&name, value);
                Ok(())
            }
            Statement::PassedOver(what, (line, column)) => {
                reader.remarks.push(format!(
                    "{file}:{line}:{column}: `{what}` was passed over: a script is read as data, and never run"
                ));
                Ok(())
            }
        };
        mistakes.extend(read.err());
    }
    reader.finish();
    let rules = reader.rules;
    if mistakes.is_empty() { Ok(rules) } else { Err(mistakes) }
}

/// What a variable holds.
#[derive(Clone)]
enum Made {
    Rule,
    Clause(ScopeClause),
    Condition(Condition),
    Value(Value),
}

struct Reader<'a> {
    file: &'a str,
    remarks: &'a mut Vec<String>,
    rules: Vec<Rule>,
    /// The rule that is being built.
    open: Option<Rule>,
    made: BTreeMap<String, Made>,
}

impl Reader<'_> {
    /// A variable is given a value; a connector's name stands for its GUID, which a script need not have.
    fn assigned(&mut self, name: &str, value: Assigned) {
        let made = match value {
            Assigned::Value(value) => Some(self.value(value)),
            Assigned::Connector(name) => {
                self.value(name).text().map(|name| Value::Text(format!("{BY_NAME}{name}")))
            }
            Assigned::Unknown => None,
        };
        let name = name.to_ascii_lowercase();
        match made {
            Some(value) => _ = self.made.insert(name, Made::Value(value)),
            None => _ = self.made.remove(&name),
        }
    }

    /// The value of a variable that holds one.
    fn value(&self, value: Value) -> Value {
        match &value {
            Value::Variable(name) => match self.made.get(&name.to_ascii_lowercase()) {
                Some(Made::Value(known)) => known.clone(),
                _ => value,
            },
            _ => value,
        }
    }

    /// A command with the values of its variables.
    fn with_values(&self, mut command: Command) -> Command {
        for parameter in &mut command.parameters {
            let values = std::mem::take(&mut parameter.values);
            parameter.values = values.into_iter().map(|value| self.value(value)).collect();
        }
        command
    }

    fn command(&mut self, command: &Command) -> Result<(), Mistake> {
        let call = Call { file: self.file, command };
        let of_a_rule = command.name.to_ascii_lowercase();
        if let Some(at) = command.values_at
            && (of_a_rule.starts_with("new-adsync") || of_a_rule.starts_with("add-adsync"))
        {
            let text = "a value without a parameter's name before it";
            return Err(Mistake::new(self.file, at, text)
                .hint("nothing is calculated here: write the value itself, in single quotes"));
        }
        match command.name.to_ascii_lowercase().as_str() {
            "new-adsyncrule" => self.begin(&call),
            "add-adsyncattributeflowmapping" => self.flow(&call),
            "new-object" => self.object(&call),
            "add-adsyncscopeconditiongroup" => {
                call.only(&["SynchronizationRule", "ScopeConditions", "OutVariable"], self.remarks);
                let clauses = self.group(&call, "ScopeConditions", |made| match made {
                    Made::Clause(clause) => Some(clause),
                    _ => None,
                })?;
                self.rule(&call)?.scope.push(clauses);
                Ok(())
            }
            "add-adsyncjoinconditiongroup" => {
                call.only(&["SynchronizationRule", "JoinConditions", "OutVariable"], self.remarks);
                let conditions = self.group(&call, "JoinConditions", |made| match made {
                    Made::Condition(condition) => Some(condition),
                    _ => None,
                })?;
                self.rule(&call)?.join.push(conditions);
                Ok(())
            }
            "add-adsyncrule" => {
                self.rule(&call)?;
                self.rules.extend(self.open.take());
                Ok(())
            }
            _ => Err(call
                .mistake(format!("`{}` is no command of an exported rule", command.name))
                .hint("the script is read as data and never run: leave only what the editor exported")),
        }
    }

    /// A rule that was never stored is one that somebody cut: it is read all the same, and said.
    fn finish(&mut self) {
        if let Some(rule) = self.open.take() {
            let (file, line, _) = &rule.place;
            self.remarks.push(format!(
                "{file}:{line}: rule `{}` is never stored in the script (`Add-ADSyncRule` is missing); it was read all the same",
                rule.name
            ));
            self.rules.push(rule);
        }
    }

    fn rule(&mut self, call: &Call<'_>) -> Result<&mut Rule, Mistake> {
        let named = call.parameter("SynchronizationRule").and_then(|p| p.values.first());
        if let Some(Value::Variable(name)) = named
            && !matches!(self.made.get(&name.to_ascii_lowercase()), Some(Made::Rule))
        {
            return Err(call.mistake(format!("`${name}` holds no rule")));
        }
        let text = "no rule is begun here: `New-ADSyncRule` comes first";
        self.open.as_mut().ok_or_else(|| call.mistake(text))
    }

    fn begin(&mut self, call: &Call<'_>) -> Result<(), Mistake> {
        self.finish();
        call.only(
            &[
                "Name",
                "Identifier",
                "Description",
                "Direction",
                "Precedence",
                "PrecedenceAfter",
                "PrecedenceBefore",
                "SourceObjectType",
                "TargetObjectType",
                "Connector",
                "LinkType",
                "SoftDeleteExpiryInterval",
                "ImmutableTag",
                "EnablePasswordSync",
                "Disabled",
                "OutVariable",
            ],
            self.remarks,
        );
        let inbound = match call.required("Direction")?.to_ascii_lowercase().as_str() {
            "inbound" => true,
            "outbound" => false,
            other => return Err(call.at("Direction", format!("`{other}` is neither Inbound nor Outbound"))),
        };
        let (source, target) = (call.required("SourceObjectType")?, call.required("TargetObjectType")?);
        let (object, metaverse) = if inbound { (source, target) } else { (target, source) };
        let connector = call.required("Connector")?;
        let connector = guid(&connector)
            .or_else(|| connector.starts_with(BY_NAME).then(|| connector.clone()))
            .ok_or_else(|| call.at("Connector", format!("`{connector}` is no GUID of a connector")))?;
        let precedence = match call.text("Precedence")? {
            Some(text) => text
                .trim()
                .parse()
                .map_err(|_| call.at("Precedence", format!("`{text}` is no whole number")))?,
            None => 0,
        };
        let link = call.text("LinkType")?.unwrap_or_else(|| "Join".to_owned());
        let link: LinkType = parse_link(&link)
            .ok_or_else(|| call.at("LinkType", format!("`{link}` is not Provision, Join or StickyJoin")))?;
        let optional = |name| call.text(name).map(Option::unwrap_or_default);
        let (line, column) = call.command.at;
        self.open = Some(Rule {
            place: (self.file.to_owned(), line, column),
            id: guid(&optional("Identifier")?).unwrap_or_default(),
            name: call.required("Name")?,
            description: optional("Description")?,
            tag: optional("ImmutableTag")?,
            inbound,
            connector,
            object,
            metaverse,
            link,
            precedence,
            after: guid(&optional("PrecedenceAfter")?),
            before: guid(&optional("PrecedenceBefore")?),
            disabled: call.switch("Disabled")?,
            password_sync: call.switch("EnablePasswordSync")?,
            soft_delete: soft_delete(&optional("SoftDeleteExpiryInterval")?),
            scope: Vec::new(),
            join: Vec::new(),
            flows: Vec::new(),
        });
        self.remember(call, Made::Rule);
        Ok(())
    }

    fn flow(&mut self, call: &Call<'_>) -> Result<(), Mistake> {
        call.only(
            &[
                "SynchronizationRule",
                "Source",
                "Destination",
                "FlowType",
                "ValueMergeType",
                "Expression",
                "ExecuteOnce",
                "OutVariable",
            ],
            self.remarks,
        );
        let merge = call.text("ValueMergeType")?.unwrap_or_else(|| "Update".to_owned());
        let merge: Merge = parse_merge(&merge).ok_or_else(|| {
            call.at(
                "ValueMergeType",
                format!("`{merge}` is not Update, Replace, Merge or MergeCaseInsensitive"),
            )
        })?;
        let sources = call.texts("Source")?;
        let expression = call.text("Expression")?;
        let kind = call
            .text("FlowType")?
            .unwrap_or_else(|| if expression.is_some() { "Expression" } else { "Direct" }.to_owned());
        let source = match kind.to_ascii_lowercase().as_str() {
            "expression" => {
                let text = expression
                    .filter(|text| !text.trim().is_empty())
                    .ok_or_else(|| call.at("FlowType", "a flow by expression has no `-Expression`"))?;
                if text.len() > TEXT_BYTES_MAX {
                    return Err(call.at("Expression", format!("more than {TEXT_BYTES_MAX} bytes")));
                }
                FlowSource::Expression(text.trim().to_owned())
            }
            "constant" => FlowSource::Constant(match sources.as_slice() {
                [] => String::new(),
                [one] => one.clone(),
                _ => return Err(call.at("Source", "a constant has one text")),
            }),
            "direct" => match sources.as_slice() {
                [one] => FlowSource::Direct(one.trim().to_owned()),
                [] => return Err(call.at("FlowType", "a direct flow has no `-Source`")),
                _ => return Err(call.at("Source", "a direct flow has one source attribute")),
            },
            other => {
                return Err(call.at("FlowType", format!("`{other}` is not Direct, Constant or Expression")));
            }
        };
        let flow =
            Flow { target: call.required("Destination")?, source, once: call.switch("ExecuteOnce")?, merge };
        self.rule(call)?.flows.push(flow);
        Ok(())
    }

    fn object(&mut self, call: &Call<'_>) -> Result<(), Mistake> {
        call.only(&["TypeName", "ArgumentList", "OutVariable"], self.remarks);
        // Both parameters may stand without their names.
        let mut values = call.command.values.clone();
        let type_name = match call.text("TypeName")? {
            Some(name) => name,
            None if values.is_empty() => return Err(call.mistake("`New-Object` has no `-TypeName`")),
            None => values.remove(0).text().unwrap_or_default(),
        };
        let arguments = match call.parameter("ArgumentList") {
            Some(parameter) => parameter.values.clone(),
            None => values,
        };
        let texts: Vec<String> = arguments.iter().filter_map(Value::text).collect();
        if texts.len() != arguments.len() {
            return Err(call.at("ArgumentList", "an argument is neither a text nor true or false"));
        }
        let short = type_name.rsplit('.').next().unwrap_or_default();
        let made = match (short, texts.as_slice()) {
            ("ScopeCondition", [attribute, value, operator]) => Made::Clause(ScopeClause {
                attribute: attribute.clone(),
                operator: operator.clone(),
                value: value.clone(),
            }),
            ("JoinCondition", [connector, metaverse, rest @ ..]) if rest.len() <= 1 => {
                Made::Condition(Condition {
                    connector: connector.clone(),
                    metaverse: metaverse.clone(),
                    case_sensitive: rest.first().is_some_and(|text| text.eq_ignore_ascii_case("true")),
                })
            }
            ("ScopeCondition", _) => {
                return Err(call.at("ArgumentList", "a scope condition has attribute, value and operator"));
            }
            ("JoinCondition", _) => {
                let text = "a join condition has two attributes, and whether case matters";
                return Err(call.at("ArgumentList", text));
            }
            _ => {
                return Err(call
                    .at("TypeName", format!("`{type_name}` is no part of a rule"))
                    .hint("ScopeCondition and JoinCondition are"));
            }
        };
        self.remember(call, made);
        Ok(())
    }

    fn remember(&mut self, call: &Call<'_>, made: Made) {
        let out = call.text("OutVariable").ok().flatten();
        // `+name` adds to what the variable holds: here it holds one thing.
        let names = out.map(|name| name.trim_start_matches(['+', '$']).to_owned());
        for name in names.into_iter().chain(call.command.assigned.clone()) {
            self.made.insert(name.to_ascii_lowercase(), made.clone());
        }
    }

    fn group<T>(
        &self,
        call: &Call<'_>,
        parameter: &str,
        pick: fn(Made) -> Option<T>,
    ) -> Result<Vec<T>, Mistake> {
        let values = call.parameter(parameter).map(|p| p.values.as_slice()).unwrap_or_default();
        if values.is_empty() {
            return Err(call.mistake(format!("`-{parameter}` is missing or empty")));
        }
        let mut out = Vec::with_capacity(values.len());
        for value in values {
            let Value::Variable(name) = value else {
                return Err(call.at(parameter, "a group lists variables, e.g. `$condition0[0]`"));
            };
            let made = self.made.get(&name.to_ascii_lowercase()).cloned().and_then(pick);
            out.push(made.ok_or_else(|| call.at(parameter, format!("`${name}` holds no such condition")))?);
        }
        Ok(out)
    }
}

/// A command with the file it is in.
struct Call<'a> {
    file: &'a str,
    command: &'a Command,
}

impl<'a> Call<'a> {
    fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake::new(self.file, self.command.at, message)
    }

    /// A mistake at a parameter.
    fn at(&self, parameter: &str, message: impl Into<String>) -> Mistake {
        let at = self.parameter(parameter).map_or(self.command.at, |p| p.at);
        Mistake::new(self.file, at, message)
    }

    /// PowerShell takes the beginning of a name for the name, where it is unique.
    fn parameter(&self, name: &str) -> Option<&'a Parameter> {
        let all = &self.command.parameters;
        let exact = all.iter().find(|p| p.name.eq_ignore_ascii_case(name));
        exact.or_else(|| {
            all.iter().find(|p| {
                p.name.len() >= 4
                    && name.get(..p.name.len()).is_some_and(|start| start.eq_ignore_ascii_case(&p.name))
            })
        })
    }

    /// Says which parameters are not among the known ones.
    fn only(&self, known: &[&str], remarks: &mut Vec<String>) {
        for parameter in &self.command.parameters {
            let is_known = known.iter().any(|name| {
                name.get(..parameter.name.len()).is_some_and(|s| s.eq_ignore_ascii_case(&parameter.name))
            });
            if !is_known {
                let (line, column) = parameter.at;
                remarks.push(format!(
                    "{}:{line}:{column}: `-{}` of `{}` is not known and was left out",
                    self.file, parameter.name, self.command.name
                ));
            }
        }
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, Mistake> {
        let Some(parameter) = self.parameter(name) else { return Ok(Vec::new()) };
        let texts: Option<Vec<String>> = parameter.values.iter().map(Value::text).collect();
        texts.ok_or_else(|| {
            self.at(name, format!("`-{name}` is a variable: its value is not in the script"))
                .hint("write the value instead")
        })
    }

    fn text(&self, name: &str) -> Result<Option<String>, Mistake> {
        let texts = self.texts(name)?;
        match texts.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            _ => Err(self.at(name, format!("`-{name}` has several values"))),
        }
    }

    fn required(&self, name: &str) -> Result<String, Mistake> {
        let text = self.text(name)?.unwrap_or_default();
        if text.trim().is_empty() {
            return Err(self.at(name, format!("`{}` has no `-{name}`", self.command.name)));
        }
        Ok(text.trim().to_owned())
    }

    fn switch(&self, name: &str) -> Result<bool, Mistake> {
        match self.parameter(name).map(|p| p.values.as_slice()) {
            None => Ok(false),
            Some([]) => Ok(true),
            Some([Value::Boolean(value)]) => Ok(*value),
            Some(_) => Err(self.at(name, format!("`-{name}` is $true or $false"))),
        }
    }
}
