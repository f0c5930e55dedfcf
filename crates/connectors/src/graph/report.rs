//! `connector test`: what can be seen of host, proxy, tenant, application, permissions, without changing anything.

use std::time::{SystemTime, UNIX_EPOCH};

use super::GraphConnector;
use super::tenant::RoleHolders;
use crate::{ConnectorError, Expiry, Finding, Severity, TestReport};

/// Before the end of a credential it is time to act.
const EXPIRY_WARNING_DAYS: i64 = 30;
const SECONDS_PER_DAY: i64 = 86_400;

/// What is needed for what: any one of the permissions will do.
const NEEDED: [(&str, &[&str], Severity); 7] = [
    (
        "read users",
        &["User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"],
        Severity::Failed,
    ),
    (
        "read groups and members",
        &["Group.Read.All", "Group.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"],
        Severity::Failed,
    ),
    (
        "read contacts",
        &["OrgContact.Read.All", "Directory.Read.All", "Directory.ReadWrite.All"],
        Severity::Warning,
    ),
    (
        "read the organisation",
        &["Organization.Read.All", "Directory.Read.All", "Directory.ReadWrite.All"],
        Severity::Failed,
    ),
    ("write users", &["User.ReadWrite.All", "Directory.ReadWrite.All"], Severity::Warning),
    ("write groups and members", &["Group.ReadWrite.All", "Directory.ReadWrite.All"], Severity::Warning),
    (
        "read holders of directory roles",
        &["RoleManagement.Read.Directory", "RoleManagement.Read.All", "Directory.Read.All"],
        Severity::Warning,
    ),
];

impl GraphConnector {
    pub(super) async fn report(&self) -> Result<TestReport, ConnectorError> {
        let mut report = TestReport::default();
        let mut say = |severity, subject: &str, message: String| {
            report.findings.push(Finding { severity, subject: subject.to_owned(), message });
        };
        say(Severity::Ok, "host", self.api.root.clone());
        match &self.settings.proxy {
            Some(proxy) => {
                let who = proxy.username.as_deref().map_or(String::new(), |u| format!(" as {u}"));
                say(Severity::Ok, "proxy", format!("{}{who}", proxy.url));
            }
            None => say(Severity::Ok, "proxy", "none".to_owned()),
        }
        let token = match self.api.token().await {
            Ok(token) => token,
            Err(error) => {
                say(Severity::Failed, "sign-in", with_hint(&error.at("sign-in")));
                return Ok(report);
            }
        };
        say(Severity::Ok, "sign-in", format!("application {}", self.settings.client_id));
        match self.read_organization().await {
            Ok(found) => {
                say(Severity::Ok, "tenant", format!("{} ({})", found.name, found.id));
                let domains: Vec<&str> = found.domains.iter().map(String::as_str).collect();
                say(Severity::Ok, "verified domains", domains.join(", "));
                match self.obstacle(&found) {
                    Some(text) => say(Severity::Failed, "directory synchronisation", text),
                    None if found.synchronised => {
                        let text = "on in this tenant; only cloud-mastered objects are written";
                        say(Severity::Warning, "directory synchronisation", text.to_owned());
                    }
                    None => say(Severity::Ok, "directory synchronisation", "off".to_owned()),
                }
            }
            Err(error) => say(Severity::Failed, "tenant", with_hint(&error.at("organization"))),
        }
        say(Severity::Ok, "permissions granted", token.roles.join(", "));
        for (what, any_of, severity) in NEEDED {
            if any_of.iter().any(|p| token.roles.iter().any(|r| r == p)) {
                say(Severity::Ok, what, "granted".to_owned());
            } else {
                let least = any_of.first().copied().unwrap_or_default();
                say(severity, what, format!("missing: grant {least}"));
            }
        }
        match &*self.read_roles().await {
            RoleHolders::Known(ids) => {
                say(Severity::Ok, "role holders", format!("{} accounts are protected", ids.len()));
            }
            RoleHolders::Unknown(error) => say(Severity::Warning, "role holders", with_hint(error)),
            RoleHolders::NotAsked => {
                say(Severity::Warning, "role holders", "not protected, as set".to_owned());
            }
        }
        match self.credential_end().await {
            Some(Expiry { what, at: end }) => {
                let days = (end.seconds() - now()) / SECONDS_PER_DAY;
                let severity = match days {
                    ..0 => Severity::Failed,
                    0..=EXPIRY_WARNING_DAYS => Severity::Warning,
                    _ => Severity::Ok,
                };
                say(severity, "credential", format!("{what} ends {end}, in {days} days"));
            }
            None => {
                let text = "its end cannot be read (grant Application.Read.All to see it)";
                say(Severity::Ok, "credential", text.to_owned());
            }
        }
        Ok(report)
    }
}

fn with_hint(error: &ConnectorError) -> String {
    match &error.hint {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|d| i64::try_from(d.as_secs()).ok())
        .unwrap_or_default()
}
