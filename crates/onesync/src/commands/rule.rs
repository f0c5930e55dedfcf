//! `rule test`: the examples beside rules.

use std::path::Path;

use onesync_service::{Configuration, Service, Status, read_folder};

use crate::output::{Output, say};

/// `rule test`.
pub async fn test(service: &Service, folder: Option<&Path>, out: &Output) -> anyhow::Result<Status> {
    let configuration = folder.map(|folder| Configuration::parse(read_folder(folder)?)).transpose()?;
    let report = service.rule_test(configuration).await?;
    let status = if report.failures.is_empty() { Status::Done } else { Status::Failed };
    if out.is_json() {
        out.json(&report)?;
        return Ok(status);
    }
    for failure in &report.failures {
        say!(
            "{}: `{}` at {}, example `{}`: {}",
            failure.file,
            failure.rule,
            failure.connector,
            failure.test,
            failure.message
        );
    }
    for file in &report.not_run {
        say!(
            "{}: {} examples not run: the rule is disabled, or for no connector of the configuration",
            file.file,
            file.tests
        );
    }
    let with: Vec<_> = report.rules.iter().filter(|rule| rule.tests > 0).cloned().collect();
    if !with.is_empty() {
        out.list(&with, &["rule", "examples", "flows checked", "branches taken", "not checked"], |rule| {
            vec![
                rule.rule.clone(),
                rule.tests.to_string(),
                format!("{} of {}", rule.flows_checked, rule.flows),
                format!("{} of {}", rule.branches_taken, rule.branches),
                shown(&rule.missing),
            ]
        })?;
    }
    let sum = |of: fn(&onesync_service::RuleCoverage) -> usize| report.rules.iter().map(of).sum::<usize>();
    say!(
        "{} examples of {} rules, {} things are otherwise; {} of {} rules have examples, {} of {} flows are checked, {} of {} branches taken",
        report.tests,
        with.len(),
        report.failures.len(),
        with.len(),
        report.rules.len(),
        sum(|rule| rule.flows_checked),
        sum(|rule| rule.flows),
        sum(|rule| rule.branches_taken),
        sum(|rule| rule.branches)
    );
    Ok(status)
}

/// How many flows and branches without an example are named in a table; JSON has all.
const SHOWN_MAX: usize = 4;

/// What no example checks: branches first, since flows without any are seldom wrong.
fn shown(missing: &[String]) -> String {
    let (branches, flows): (Vec<_>, Vec<_>) = missing.iter().partition(|name| name.contains(": the branch"));
    let all: Vec<&str> = branches.into_iter().chain(flows).map(String::as_str).collect();
    let some = all.iter().take(SHOWN_MAX).copied().collect::<Vec<_>>().join("; ");
    match all.len().saturating_sub(SHOWN_MAX) {
        0 => some,
        more => format!("{some}; and {more} more"),
    }
}
