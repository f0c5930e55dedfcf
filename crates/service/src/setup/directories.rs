//! Prerequisites of the connected directories: reachability, certificates, rights, clocks, ends of credentials.

use onesync_connectors::{Finding, Severity};

use super::Check;
use super::check::remedy;
use crate::runtime::Service;

impl Service {
    /// Looks at every connected directory of the configuration in force. Nothing is written.
    pub async fn check_directories(&self) -> Vec<Check> {
        let runtime = match self.runtime() {
            Ok(runtime) => runtime,
            Err(error) => {
                return vec![Check::warning("configuration", error.to_string(), remedy(&error))];
            }
        };
        let mut checks = Vec::new();
        for connector in &runtime.connectors {
            let name = connector.name();
            match self.findings(connector).await {
                Ok(findings) => checks.extend(findings.iter().map(|finding| of_finding(name, finding))),
                Err(error) => checks.push(Check::of_error(&format!("directory `{name}`"), &error)),
            }
        }
        checks
    }
}

/// Connectors say what to do behind a semicolon, or after `missing: `.
fn of_finding(connector: &str, finding: &Finding) -> Check {
    let subject = format!("directory `{connector}`, {}", finding.subject);
    let parts = finding.message.split_once("; ").or_else(|| finding.message.split_once(": "));
    let (text, remedy) = match parts {
        Some((text, remedy)) => (text, remedy.to_owned()),
        None => (
            finding.message.as_str(),
            format!(
                "see the chapter on its kind in the documentation; `onesync connector test {connector}` looks again"
            ),
        ),
    };
    match finding.severity {
        Severity::Ok => Check::ok(&subject, &finding.message),
        Severity::Warning => Check::warning(&subject, text, remedy),
        Severity::Failed => Check::failed(&subject, text, remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::CheckResult;

    #[test]
    fn what_to_do_is_told_apart_from_what_was_seen() {
        let check = |severity, message: &str| {
            of_finding("a", &Finding { severity, subject: "s".into(), message: message.into() })
        };
        let lacks = check(Severity::Failed, "the right is missing; grant it");
        assert_eq!((lacks.result, lacks.text.as_str()), (CheckResult::Failed, "the right is missing"));
        assert_eq!(lacks.remedy.as_deref(), Some("grant it"));
        let graph = check(Severity::Warning, "missing: grant User.ReadWrite.All");
        assert_eq!(graph.remedy.as_deref(), Some("grant User.ReadWrite.All"));
        assert!(check(Severity::Warning, "odd").remedy.unwrap().contains("connector test a"));
        let well = check(Severity::Ok, "may; and more");
        assert_eq!((well.text.as_str(), well.remedy), ("may; and more", None));
    }
}
