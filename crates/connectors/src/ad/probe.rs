//! Looks at a domain controller without changing anything: what works, and which right is missing for what does not.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use onesync_ldap::control::DirSync;
use onesync_ldap::{ErrorClass as LdapClass, Filter, Scope, SearchRequest};
use secrecy::SecretString;

use super::account::{PASSWORD_END, PasswordEnd, first_entry, own_name};
use super::containers::Containers;
use super::errors::convert;
use super::missing::sees_deleted;
use super::server::Server;
use super::settings::AdSettings;
use super::watermark::{DELTA_FLAGS, Mark};
use crate::{ConnectorError, Finding, Severity, TestReport};

/// Last sub-authorities of the SIDs of accounts' groups that may change the domain, with their names.
const POWERFUL: [(u32, &str); 6] = [
    (512, "Domain Admins"),
    (518, "Schema Admins"),
    (519, "Enterprise Admins"),
    (544, "Administrators"),
    (548, "Account Operators"),
    (551, "Backup Operators"),
];

/// Before the end of a password it is time to act.
const PASSWORD_WARNING_DAYS: i64 = 30;
const SECONDS_PER_DAY: i64 = 86_400;
/// Clocks that differ by more are set wrongly: tickets of a domain allow for as much.
const CLOCK_SECONDS_MAX: i64 = 300;

struct Probe {
    findings: Vec<Finding>,
}

impl Probe {
    fn say(&mut self, severity: Severity, subject: &str, message: impl Into<String>) {
        self.findings.push(Finding { severity, subject: subject.to_owned(), message: message.into() });
    }

    fn fail(&mut self, subject: &str, error: &ConnectorError) {
        let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        self.say(Severity::Failed, subject, format!("{}{hint}", error.message));
    }
}

/// Looks at everything; what fails is a finding.
///
/// # Errors
/// None so far; the contract allows for them.
pub async fn run(
    settings: &AdSettings,
    secrets: &BTreeMap<String, SecretString>,
    known: Option<&Mark>,
) -> Result<TestReport, ConnectorError> {
    let mut probe = Probe { findings: Vec::new() };
    match Server::open(settings, secrets, None).await {
        Ok(mut server) => probe.look(&mut server, settings, known).await,
        Err(error) => probe.fail("connection", &error),
    }
    Ok(TestReport { findings: probe.findings })
}

impl Probe {
    async fn look(&mut self, server: &mut Server, settings: &AdSettings, known: Option<&Mark>) {
        self.connection(server, settings);
        let remembered = known.map(|mark| mark.containers.clone()).unwrap_or_default();
        let containers = match Containers::find(server, settings, &remembered).await {
            Ok(containers) => containers,
            Err(error) => return self.fail("containers", &error),
        };
        self.say(Severity::Ok, "containers", format!("reads {}", containers.search_bases().join("; ")));
        for remark in &containers.remarks {
            self.say(
                Severity::Warning,
                "containers",
                format!("{remark}; write the new name into the settings"),
            );
        }
        for outcome in [
            self.reading(server, &containers).await,
            self.replication(server, &containers.base, settings).await,
            self.deleted(server, &containers.base, settings).await,
            self.power(server, &containers.base, settings).await,
        ] {
            if let Err(error) = outcome {
                self.fail("connection", &error);
            }
        }
    }

    fn connection(&mut self, server: &Server, settings: &AdSettings) {
        let root = &server.root;
        self.say(Severity::Ok, "connection", format!("`{}` answers as `{}`", server.address, root.name));
        if settings.allow_plaintext_password {
            let advice = "use `ldaps://` or `starttls = true`, and remove `allow_plaintext_password`";
            self.say(Severity::Warning, "encryption", format!("the password may go unencrypted: {advice}"));
        } else {
            self.say(
                Severity::Ok,
                "encryption",
                "the connection is encrypted, and the certificate is trusted",
            );
        }
        self.say(Severity::Ok, "sign-in", format!("signed in as `{}`", settings.bind));
        let level = root.domain_level.as_deref().and_then(|level| level.parse::<u8>().ok());
        let name = level.map_or("unknown", level_name);
        if level.is_some_and(|level| level < 2) {
            let text = format!(
                "{name}: changes of single members are not tracked; raise it to Windows Server 2003 or later"
            );
            self.say(Severity::Warning, "functional level", text);
        } else {
            self.say(Severity::Ok, "functional level", name);
        }
        self.clock(root.now, now());
        self.say(Severity::Ok, "naming contexts", root.naming_contexts.join("; "));
    }

    fn clock(&mut self, theirs: Option<i64>, ours: i64) {
        const SUBJECT: &str = "clock";
        let Some(theirs) = theirs else { return };
        let apart = theirs.saturating_sub(ours);
        if apart.abs() <= CLOCK_SECONDS_MAX {
            return self.say(Severity::Ok, SUBJECT, "the same as here within five minutes");
        }
        let way = if apart > 0 { "ahead of" } else { "behind" };
        let text = format!(
            "{} seconds {way} the clock of this machine; set the clocks of both by the same time server",
            apart.abs()
        );
        self.say(Severity::Failed, SUBJECT, text);
    }

    fn password(&mut self, end: PasswordEnd, ours: i64) {
        const SUBJECT: &str = "password of the account";
        match end {
            PasswordEnd::Unknown => self.say(Severity::Ok, SUBJECT, "its end cannot be read"),
            PasswordEnd::Never => self.say(Severity::Ok, SUBJECT, "does not end"),
            PasswordEnd::At(at) => {
                let days = (at.seconds() - ours).div_euclid(SECONDS_PER_DAY);
                let advice = "set another one in the domain, and here by `onesync secret set`";
                match days {
                    ..0 => {
                        self.say(Severity::Failed, SUBJECT, format!("has ended or must be changed; {advice}"))
                    }
                    0..=PASSWORD_WARNING_DAYS => {
                        self.say(Severity::Warning, SUBJECT, format!("ends {at}, in {days} days; {advice}"));
                    }
                    _ => self.say(Severity::Ok, SUBJECT, format!("ends {at}, in {days} days")),
                }
            }
        }
    }

    async fn reading(&mut self, server: &mut Server, containers: &Containers) -> Result<(), ConnectorError> {
        for base in containers.search_bases() {
            let people = Filter::Or(vec![
                Filter::equal("objectClass", &b"user"[..]),
                Filter::equal("objectClass", &b"group"[..]),
                Filter::equal("objectClass", &b"contact"[..]),
            ]);
            let mut request = SearchRequest::new(base, Scope::Subtree, people).attributes(["objectGUID"]);
            // one is enough; a server that stops there says so, which is no failure
            request.size_limit = 1;
            let (found, refused) = first_entry(server, request).await?;
            match (found, refused) {
                (Some(_), _) => self.say(Severity::Ok, "reading", format!("sees objects in `{base}`")),
                (None, None) => self.say(
                    Severity::Warning,
                    "reading",
                    format!(
                        "sees no user, group or contact in `{base}`: it is empty, or the account lacks the right \
                         `Read all properties`"
                    ),
                ),
                (None, Some(error)) => self.fail("reading", &error),
            }
        }
        Ok(())
    }

    async fn replication(
        &mut self,
        server: &mut Server,
        base: &str,
        settings: &AdSettings,
    ) -> Result<(), ConnectorError> {
        const SUBJECT: &str = "delta import";
        if settings.without_dirsync {
            let text = "`without_dirsync` is set: every import reads everything, and deletions are found by that only";
            self.say(Severity::Warning, SUBJECT, text);
            return Ok(());
        }
        let advice = format!(
            "grant the account `Replicating Directory Changes` on `{base}`; where it is to have no such right, set \
             `without_dirsync = true`"
        );
        match server.cookie(base, DELTA_FLAGS).await? {
            Ok(_) => self.say(Severity::Ok, SUBJECT, "may replicate directory changes: DirSync works"),
            Err(error) if error.class() == LdapClass::Permission => {
                match server.cookie(base, DELTA_FLAGS | DirSync::OBJECT_SECURITY).await? {
                    Ok(_) => self.say(
                        Severity::Warning,
                        SUBJECT,
                        format!(
                            "the account lacks the right to replicate directory changes: DirSync shows only what it \
                             may read, and objects that it may no longer see are found by full imports; {advice}"
                        ),
                    ),
                    Err(_) => self.say(
                        Severity::Failed,
                        SUBJECT,
                        format!("the right to replicate directory changes is missing, every import is a full one; {advice}"),
                    ),
                }
            }
            Err(error) => self.fail(SUBJECT, &convert(&error, &server.address)),
        }
        Ok(())
    }

    async fn deleted(
        &mut self,
        server: &mut Server,
        base: &str,
        settings: &AdSettings,
    ) -> Result<(), ConnectorError> {
        const SUBJECT: &str = "deleted objects";
        if !settings.deleted_objects {
            self.say(
                Severity::Warning,
                SUBJECT,
                "`deleted_objects` is off: deletions are found by full imports",
            );
            return Ok(());
        }
        if sees_deleted(server, base).await? {
            self.say(Severity::Ok, SUBJECT, "sees deleted objects");
        } else {
            self.say(
                Severity::Warning,
                SUBJECT,
                format!(
                    "the account may not see deleted objects: deletions are found by full imports only; grant it \
                     `List contents` and `Read properties` on `CN=Deleted Objects,{base}`"
                ),
            );
        }
        Ok(())
    }

    async fn power(
        &mut self,
        server: &mut Server,
        base: &str,
        settings: &AdSettings,
    ) -> Result<(), ConnectorError> {
        const SUBJECT: &str = "account";
        let Some(own) = own_name(server, base, &settings.bind).await? else {
            self.say(Severity::Warning, SUBJECT, "the account does not see itself: its groups are not known");
            return Ok(());
        };
        let request = SearchRequest::entry(own).attributes(["tokenGroups", PASSWORD_END]);
        let groups: Vec<&str> = match server.look(request).await? {
            Ok(Some(entry)) => {
                self.password(PasswordEnd::of(&entry), now());
                let ids: Vec<u32> = entry.values("tokenGroups").filter_map(|sid| last_number(&sid)).collect();
                POWERFUL.iter().filter(|(id, _)| ids.contains(id)).map(|(_, name)| *name).collect()
            }
            _ => {
                self.say(Severity::Warning, SUBJECT, "the groups of the account cannot be read");
                return Ok(());
            }
        };
        if groups.is_empty() {
            self.say(Severity::Ok, SUBJECT, "is in none of the groups that may change the domain");
        } else {
            self.say(
                Severity::Warning,
                SUBJECT,
                format!(
                    "is in {}: far more than reading needs; use an account with `Replicating Directory Changes` and \
                     no other right",
                    groups.join(", ")
                ),
            );
        }
        Ok(())
    }
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or_default()
}

/// The last part of a SID, which names well-known groups.
fn last_number(sid: &[u8]) -> Option<u32> {
    sid.last_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes))
}

fn level_name(level: u8) -> &'static str {
    match level {
        0 => "Windows 2000",
        1 => "Windows Server 2003 interim",
        2 => "Windows Server 2003",
        3 => "Windows Server 2008",
        4 => "Windows Server 2008 R2",
        5 => "Windows Server 2012",
        6 => "Windows Server 2012 R2",
        7 => "Windows Server 2016",
        10 => "Windows Server 2025",
        _ => "newer than this program knows",
    }
}

#[cfg(test)]
mod tests {
    use onesync_model::Time;

    use super::*;

    fn found(say: impl Fn(&mut Probe)) -> Finding {
        let mut probe = Probe { findings: Vec::new() };
        say(&mut probe);
        probe.findings.pop().unwrap()
    }

    #[test]
    fn clocks_and_ends_of_passwords_are_judged() {
        let now = 1_800_000_000;
        for (theirs, severity) in [(now + 300, Severity::Ok), (now - 301, Severity::Failed)] {
            assert_eq!(found(|probe| probe.clock(Some(theirs), now)).severity, severity);
        }
        assert!(found(|probe| probe.clock(Some(now - 400), now)).message.contains("400 seconds behind"));
        let ends = |days: i64| PasswordEnd::At(Time::from_seconds(now + days * SECONDS_PER_DAY));
        for (end, severity) in [
            (PasswordEnd::Never, Severity::Ok),
            (ends(31), Severity::Ok),
            (ends(30), Severity::Warning),
            (ends(0), Severity::Warning),
            (ends(-1), Severity::Failed),
        ] {
            assert_eq!(found(|probe| probe.password(end, now)).severity, severity, "{end:?}");
        }
    }
}
