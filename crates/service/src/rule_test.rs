//! `rule test`: the examples that stand beside a rule in its file, run by the very rule.
//!
//! An example gives attributes, and says what the rule makes of them. What the examples of a rule check is counted: its
//! flows, and the branches of their IIF and Switch.

use std::collections::{BTreeMap, BTreeSet};

use onesync_expr::{Env, EvalError, Outcome};
use onesync_model::{Bag, Time, Values, list_from_json, values_to_json};
use onesync_rules::{Direction, Flow, Rule, RuleFile, nearest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::config::Configuration;
use crate::error::ServiceError;
use crate::evaluate::Given;
use crate::mistakes::toml_mistake;
use crate::runtime::{Runtime, Service};

/// The time of examples that say none.
const NOW: &str = "2026-01-01T00:00:00Z";

/// What the examples of all rules gave.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RuleTestReport {
    /// How many examples ran.
    pub tests: usize,
    /// Those that did not run.
    pub not_run: Vec<RuleTestNotRun>,
    /// Those that fail.
    pub failures: Vec<RuleTestFailure>,
    /// What the examples of each rule check.
    pub rules: Vec<RuleCoverage>,
}

/// Examples of a file whose rule runs nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleTestNotRun {
    /// The rule's file.
    pub file: String,
    /// How many there are.
    pub tests: usize,
}

/// One example that fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleTestFailure {
    /// The rule's file.
    pub file: String,
    /// The rule.
    pub rule: String,
    /// The connector it runs for.
    pub connector: String,
    /// The example.
    pub test: String,
    /// What is otherwise than it says.
    pub message: String,
}

/// What the examples of a rule check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleCoverage {
    /// The rule.
    pub rule: String,
    /// Its file.
    pub file: String,
    /// Its examples.
    pub tests: usize,
    /// Its flows.
    pub flows: usize,
    /// Those that an example checks.
    pub flows_checked: usize,
    /// The branches of IIF and Switch in its flows.
    pub branches: usize,
    /// Those that an example takes.
    pub branches_taken: usize,
    /// Flows that no example checks, and branches that none takes, as they are written.
    pub missing: Vec<String>,
}

/// The examples of a rule file; all else in it is the rule's.
#[derive(Debug, Default, Deserialize)]
struct File {
    #[serde(default)]
    test: Vec<toml::Spanned<Example>>,
}

/// One example.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    name: String,
    now: Option<String>,
    #[serde(default)]
    attributes: Map<String, Json>,
    #[serde(default)]
    imported: Map<String, Json>,
    #[serde(default)]
    links: BTreeMap<String, u64>,
    #[serde(default)]
    member_of: Vec<String>,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    dn: Option<String>,
    in_scope: Option<bool>,
    #[serde(default)]
    flows: Map<String, Json>,
    #[serde(default)]
    nothing: Vec<String>,
    #[serde(default)]
    fails: BTreeMap<String, String>,
}

impl Example {
    fn expects_something(&self) -> bool {
        self.in_scope.is_some()
            || !(self.flows.is_empty() && self.nothing.is_empty() && self.fails.is_empty())
    }
}

impl Service {
    /// Runs the examples of a configuration's rules; of the one in force when none is given.
    ///
    /// # Errors
    /// When the configuration, or the form of an example, is wrong.
    pub async fn rule_test(
        &self,
        configuration: Option<Configuration>,
    ) -> Result<RuleTestReport, ServiceError> {
        let compiled;
        let current;
        let runtime: &Runtime = match configuration {
            Some(configuration) => {
                compiled = self.compile(configuration, 0, crate::discover::Reach::Now).await?;
                if let Some(error) = compiled.check.error() {
                    return Err(error);
                }
                &compiled.runtime
            }
            None => {
                current = self.runtime()?;
                &current
            }
        };
        let mut report = RuleTestReport::default();
        for (index, file) in runtime.configuration.rules.iter().enumerate() {
            let examples = read(file)?;
            let mut covered = Covered::default();
            let rules: Vec<&Rule> = runtime.rules.rules().iter().filter(|rule| rule.file == index).collect();
            match rules.is_empty() {
                false => report.tests += examples.len(),
                true if examples.is_empty() => {}
                true => {
                    report.not_run.push(RuleTestNotRun { file: file.path.clone(), tests: examples.len() });
                }
            }
            for rule in &rules {
                for example in &examples {
                    let found = run(runtime, file, rule, example, &mut covered)?;
                    let connector = runtime.connector_by_id(rule.connector).map_or("", |c| c.name());
                    report.failures.extend(found.into_iter().map(|message| RuleTestFailure {
                        file: file.path.clone(),
                        rule: rule.name.clone(),
                        connector: connector.to_owned(),
                        test: example.name.clone(),
                        message,
                    }));
                }
            }
            if let Some(rule) = rules.first() {
                report.rules.push(covered.of(runtime, rule, file, examples.len()));
            }
        }
        Ok(report)
    }
}

/// How many examples a rule file has.
pub(crate) fn examples_of(file: &RuleFile) -> Result<usize, ServiceError> {
    // Most have none, and nothing is run without reading the configuration first.
    if file.text.contains("[[test") { read(file).map(|examples| examples.len()) } else { Ok(0) }
}

fn read(file: &RuleFile) -> Result<Vec<Example>, ServiceError> {
    let read: File = toml::from_str(&file.text).map_err(|error| {
        ServiceError::config(
            toml_mistake(&file.path, &file.text, &error),
            "an example is a table [[test]] with name, attributes and flows: see docs/reference.md",
        )
    })?;
    let mut examples = Vec::with_capacity(read.test.len());
    for spanned in read.test {
        let before = file.text.get(..spanned.span().start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let example = spanned.into_inner();
        if !example.expects_something() {
            return Err(ServiceError::config(
                format!(
                    "{}:{line}: example `{}` expects nothing, and so checks nothing",
                    file.path, example.name
                ),
                "write flows, nothing, fails or in_scope: see docs/reference.md, examples of rules",
            ));
        }
        examples.push(example);
    }
    Ok(examples)
}

/// Runs one example on one rule; gives what is otherwise than it says.
fn run(
    runtime: &Runtime,
    file: &RuleFile,
    rule: &Rule,
    example: &Example,
    covered: &mut Covered,
) -> Result<Vec<String>, ServiceError> {
    let wrong = |message: String| {
        ServiceError::config(
            format!("{}: example `{}`: {message}", file.path, example.name),
            "see docs/reference.md, examples of rules",
        )
    };
    let bag = |attributes: &Map<String, Json>| -> Result<Bag, ServiceError> {
        let mut bag = Bag::new();
        for (name, json) in attributes {
            let id =
                runtime.names.find(name).ok_or_else(|| wrong(format!("no attribute is called `{name}`")))?;
            let values = list_from_json(name, json).map_err(|error| wrong(error.to_string()))?;
            bag.set(id, Values::new(values));
        }
        Ok(bag)
    };
    let mut links = BTreeMap::new();
    for (name, count) in &example.links {
        let id = runtime.names.find(name).ok_or_else(|| wrong(format!("no attribute is called `{name}`")))?;
        links.insert(id, *count);
    }
    let mut parameters = runtime.rules.parameters(rule.connector).clone();
    parameters.extend(example.parameters.clone());
    let (attributes, imported) = (bag(&example.attributes)?, bag(&example.imported)?);
    // Inbound, what was imported is the object itself.
    let imported = (rule.direction == Direction::Outbound).then_some(&imported);
    let given = Given::in_sync(&attributes, imported, example.dn.clone(), links, parameters)
        .in_groups(&example.member_of);
    let now: Time =
        example.now.as_deref().unwrap_or(NOW).parse().map_err(|_| wrong("`now` is no time".to_owned()))?;
    let mut failures = Vec::new();
    let holds = rule.scope.holds(&given);
    match (example.in_scope, &holds) {
        (Some(wanted), Ok(is)) if wanted != *is => {
            failures.push(format!("it is {} scope", if *is { "in" } else { "out of" }));
        }
        (_, Err(error)) => failures.push(error.to_string()),
        _ => {}
    }
    let names = example.flows.keys().chain(&example.nothing).chain(example.fails.keys());
    let mut checked = BTreeSet::new();
    for name in names {
        let flow = runtime.names.find(name).and_then(|id| rule.flow(id)).ok_or_else(|| {
            let known = rule.flows.iter().map(|flow| runtime.names.name(flow.target));
            let near =
                nearest(name, known).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            wrong(format!("rule `{}` has no flow to `{name}`{near}", rule.name))
        })?;
        if !checked.insert(flow.target) {
            return Err(wrong(format!("`{name}` is expected twice")));
        }
        let env = Env { now, seed: 0 };
        covered.flow(flow, &given, &env);
        let gave = match flow.evaluate(&given, &env) {
            Ok(evaluated) => evaluated.outcome,
            Err(failure) => {
                let raised = matches!(failure.error, EvalError::Raised(_));
                let message = failure.error.to_string();
                match example.fails.get(name) {
                    Some(part) if message.contains(part.as_str()) => {}
                    Some(part) => {
                        failures.push(format!("`{name}` fails with `{message}`, not with `{part}`"))
                    }
                    None => {
                        let how = if raised { "calls Error()" } else { "fails" };
                        failures.push(format!("`{name}` {how}: {message}"));
                    }
                }
                continue;
            }
        };
        let shown = match &gave {
            Outcome::Values(values) => values_to_json(values),
            Outcome::Null => Json::Null,
            Outcome::AuthoritativeNull => serde_json::json!({"$literal": "AuthoritativeNull"}),
            Outcome::IgnoreThisFlow => serde_json::json!({"$literal": "IgnoreThisFlow"}),
            Outcome::Link(link) => serde_json::json!(format!("[{}]", runtime.names.name(*link))),
        };
        match (example.flows.get(name), example.fails.get(name)) {
            (_, Some(part)) => {
                failures.push(format!("`{name}` gives {shown}, and should fail with `{part}`"))
            }
            (Some(wanted), None) if !is(flow, &gave, &shown, wanted, name).map_err(wrong)? => {
                failures.push(format!("`{name}` gives {shown}, not {wanted}"));
            }
            (None, None) if gave != Outcome::Null => {
                failures.push(format!("`{name}` gives {shown}, not nothing"))
            }
            _ => {}
        }
    }
    Ok(failures)
}

/// Whether an outcome is what an example says; its values are taken as the flow's target holds them.
fn is(flow: &Flow, gave: &Outcome, shown: &Json, wanted: &Json, name: &str) -> Result<bool, String> {
    let Outcome::Values(values) = gave else { return Ok(shown == wanted) };
    if wanted.get("$literal").is_some() {
        return Ok(false);
    }
    let list = list_from_json(name, wanted).map_err(|error| error.to_string())?;
    let wanted = Values::new(list).map(|values| onesync_rules::convert(values, flow.target_def));
    let wanted = wanted.transpose().map_err(|error| error.to_string())?.flatten();
    Ok(wanted.as_ref() == Some(values))
}

/// What the examples of one file have checked.
#[derive(Default)]
struct Covered {
    flows: BTreeSet<onesync_model::AttrId>,
    branches: BTreeSet<(onesync_model::AttrId, usize, usize)>,
}

impl Covered {
    fn flow(&mut self, flow: &Flow, given: &Given, env: &Env) {
        self.flows.insert(flow.target);
        let taken = flow.program().map(|program| program.branches_taken(given, env)).unwrap_or_default();
        self.branches.extend(taken.into_iter().map(|branch| (flow.target, branch.start, branch.end)));
    }

    fn of(&self, runtime: &Runtime, rule: &Rule, file: &RuleFile, tests: usize) -> RuleCoverage {
        let mut out = RuleCoverage {
            rule: rule.name.clone(),
            file: file.path.clone(),
            tests,
            flows: rule.flows.len(),
            ..RuleCoverage::default()
        };
        for flow in &rule.flows {
            let name = runtime.names.name(flow.target);
            let checked = self.flows.contains(&flow.target);
            out.flows_checked += usize::from(checked);
            if !checked {
                out.missing.push(name.to_owned());
            }
            let Some(program) = flow.program() else { continue };
            for branch in program.branches() {
                let taken = self.branches.contains(&(flow.target, branch.start, branch.end));
                out.branches += 1;
                out.branches_taken += usize::from(taken);
                if checked && !taken {
                    let text = program.text().get(branch).unwrap_or_default();
                    out.missing.push(format!("{name}: the branch `{text}`"));
                }
            }
        }
        out
    }
}
