//! Prerequisites: what is looked at, what is wrong with it, and what to do about it.

use std::path::Path;

use onesync_model::Time;
use onesync_store::{DatabaseContent, DatabaseLook, StoreError};
use serde::Serialize;

use super::system::User;
use super::{IDENTITIES, Plan, Setup};
use crate::database::Options;
use crate::error::ServiceError;

/// Bytes of an identity in the embedded database, and on a server: what was measured (docs/scale.md), history left out.
const EMBEDDED_BYTES: u64 = 5_000;
const SERVER_BYTES: u64 = 8_000;
/// Beside the objects: history, the log, and as much again while `config plan` or a backup copies it.
const FACTOR: u64 = 3;
/// Clocks that differ by more are set wrongly: signatures and tickets of directories allow for as much.
const CLOCK_SECONDS_MAX: i64 = 300;

/// What became of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    /// It is as it should be.
    Ok,
    /// It works, and should be better.
    Warning,
    /// It does not work.
    Failed,
}

/// One prerequisite.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub subject: String,
    /// What became of it.
    pub result: CheckResult,
    /// What was seen.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Check {
    pub(crate) fn ok(subject: &str, text: impl Into<String>) -> Self {
        Self { subject: subject.to_owned(), result: CheckResult::Ok, text: text.into(), remedy: None }
    }

    pub(crate) fn warning(subject: &str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { result: CheckResult::Warning, remedy: Some(remedy.into()), ..Self::ok(subject, text) }
    }

    pub(crate) fn failed(subject: &str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { result: CheckResult::Failed, ..Self::warning(subject, text, remedy) }
    }

    /// The check that an error stands for.
    pub(crate) fn of_error(subject: &str, error: &ServiceError) -> Self {
        Self::failed(subject, error.to_string(), remedy(error))
    }
}

/// What to do about an error.
pub(super) fn remedy(error: &ServiceError) -> &str {
    let of_store = |error: &StoreError| match error {
        StoreError::Unreachable { .. } => {
            "start the server, or write the right host and port into the URL in `database.toml` of the home"
        }
        StoreError::Untrusted { .. } => {
            "name the file of its authority in the URL in `database.toml` of the home (`sslrootcert=FILE`, SQL Server: `ca_file=FILE`)"
        }
        StoreError::NoDatabase { .. } => {
            "bring the database back on the server, or restore a backup into another folder: `onesync --home FOLDER restore FILE --to URL`"
        }
        _ => "mend what the message names, then look again: `onesync setup check`",
    };
    match (error.hint(), error) {
        (Some(hint), _) => hint,
        (None, ServiceError::Store(error)) => of_store(error),
        (None, ServiceError::Vault(_)) => {
            "`onesync keys status` says what is wrong with the key set, and what to do"
        }
        (None, ServiceError::File { .. }) => {
            "look at the file and its owner: `onesync setup`, run by root, gives the home to the system user of the service"
        }
        _ => "mend what the message names, then look again: `onesync setup check`",
    }
}

impl Setup {
    /// Looks at the prerequisites alone, of what is there or of what is wanted. Nothing is written.
    ///
    /// # Errors
    /// When not even looking is possible.
    pub fn check(&self) -> Result<Vec<Check>, ServiceError> {
        let plan = match self.look() {
            Ok(plan) => plan,
            Err(error) => {
                let mut checks = self.machine(None, None);
                checks.push(Check::of_error("installation", &error));
                return Ok(checks);
            }
        };
        let Plan { mut checks, waits_for, again, .. } = plan;
        if again {
            checks.extend(self.machine(None, None));
        }
        if let Some(delegated) = waits_for {
            checks.push(Check::failed("database", delegated.why, "`onesync setup` shows the statements"));
        }
        if self.home.exists() && self.home.named()?.is_none() {
            let (store, _) = self.home.open()?;
            let id = store.reader()?.installation()?.map(|row| row.id).unwrap_or_default();
            checks.push(Check::ok("database", format!("embedded, installation {id}")));
        }
        Ok(checks)
    }

    /// The machine and the place.
    pub(super) fn machine(&self, user: Option<&User>, identities: Option<u64>) -> Vec<Check> {
        let mut checks = vec![system(), program(&self.wanted.program, self.wanted.units.is_some())];
        checks.extend(self.disk(self.wanted.identities.or(identities).unwrap_or(IDENTITIES)));
        if user.is_some_and(|user| user.uid == 0) {
            checks.push(Check::warning(
                "system user",
                "the daemon would run as root",
                "name another user with `--run-as`, or leave it out: root makes `onesync`",
            ));
        }
        checks
    }

    fn disk(&self, identities: u64) -> Option<Check> {
        let on_server = self.wanted.server.is_some() || self.home.named().ok().flatten().is_some();
        // A database on a server is copied into the home to see what a change would do.
        let here = identities.saturating_mul(EMBEDDED_BYTES * if on_server { 1 } else { FACTOR });
        let mut there = self.home.folder();
        while !there.exists() {
            there = there.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        }
        let remedy = "make room, name another place with `--home`, or say how many people, groups and contacts there are: `--identities N`";
        let space = match rustix::fs::statvfs(there) {
            Ok(space) => space,
            Err(error) => {
                let text = format!("the free space of {} cannot be seen: {error}", there.display());
                return Some(Check::warning("disk", text, remedy));
            }
        };
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        let mut text = format!(
            "{} free at {}; {identities} identities need {}",
            size(free),
            there.display(),
            size(here)
        );
        if on_server {
            text += &format!(
                ", and {} on the database server",
                size(identities.saturating_mul(SERVER_BYTES * FACTOR))
            );
        }
        Some(if free < here { Check::failed("disk", text, remedy) } else { Check::ok("disk", text) })
    }
}

/// Whose database is looked at.
#[derive(Clone, Copy)]
pub(super) struct Whose<'o> {
    pub(super) account: &'o str,
    pub(super) database: &'o str,
    /// Whether rights are about to be given.
    pub(super) rights_come: bool,
    /// Whether an installed home works with it.
    pub(super) is_installed: bool,
}

impl<'o> Whose<'o> {
    pub(super) fn new(service: &'o Options) -> Self {
        Self {
            account: service.user(),
            database: service.database(),
            rights_come: false,
            is_installed: false,
        }
    }

    /// How an account that may do more than it needs becomes one that may not.
    fn two_accounts(self, look: &DatabaseLook) -> String {
        let Self { account, database, .. } = self;
        let is_installed = self.is_installed || matches!(look.content, DatabaseContent::Installation { .. });
        let postgres = look.product == "PostgreSQL";
        let take = match (look.is_administrator, postgres) {
            (false, _) => String::new(),
            (true, true) => format!("ALTER ROLE \"{account}\" NOSUPERUSER; "),
            (true, false) => format!("ALTER SERVER ROLE sysadmin DROP MEMBER [{account}]; "),
        };
        let give = match (look.owns_tables, postgres) {
            (false, true) => format!("REVOKE CREATE ON SCHEMA public FROM \"{account}\", PUBLIC"),
            (false, false) => format!("REVOKE CREATE TABLE FROM [{account}]"),
            (true, true) => format!(
                "CREATE ROLE \"{account}_owner\"; REASSIGN OWNED BY \"{account}\" TO \"{account}_owner\""
            ),
            (true, false) => format!("ALTER AUTHORIZATION ON DATABASE::[{database}] TO [another login]"),
        };
        match is_installed {
            true => format!(
                "have the administrator of the server run in the database `{database}`: `{take}{give}`; then `onesync setup --database-admin URL` gives this account rows to read and write"
            ),
            false => "name a database that is not there yet and its administrator, `--database-admin URL`: then two accounts are made, the owner of the tables, and the one that runs".to_owned(),
        }
    }
}

/// What a database on a server is like. Rights that are about to be given are no concern.
pub(super) fn of_database(look: &DatabaseLook, now: Time, whose: Whose<'_>) -> Vec<Check> {
    let rights_come = whose.rights_come;
    let text = match look.product {
        "PostgreSQL" => format!("encoding UTF8, collation {}", look.collation),
        _ => format!(
            "collation {} (of no matter: every column has its own); SQL logins only, no Kerberos",
            look.collation
        ),
    };
    let mut checks = vec![Check::ok("database", format!("{} {}, {text}", look.product, look.version))];
    checks.push(clock("database server", look.now, now));
    if look.readers_block {
        let text =
            "whoever reads in it with another tool makes the service wait (`READ_COMMITTED_SNAPSHOT` is off)";
        let remedy = "have its administrator run, while nobody is connected: `ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT ON`; or begin each report with `SET TRANSACTION ISOLATION LEVEL SNAPSHOT`";
        checks.push(Check::warning("database readers", text, remedy));
    }
    let two_roles = || whose.two_accounts(look);
    if look.is_administrator {
        let text = "the account of the service may do everything on the server";
        checks.push(Check::warning("database rights", text, two_roles()));
    } else if look.owns_tables || (look.may_make_tables && !rights_come) {
        let text = "the account of the service may change tables: reading and writing rows is all it needs";
        checks.push(Check::warning("database rights", text, two_roles()));
    } else if !look.missing.is_empty() && !rights_come {
        let text = format!("the account of the service lacks {}", shortened(&look.missing));
        let remedy = "run `onesync setup` with `--database-admin`, which gives them, or have the owner of the tables give SELECT, INSERT, UPDATE and DELETE on all of them";
        checks.push(Check::failed("database rights", text, remedy));
    } else if look.content != DatabaseContent::Empty && look.missing.is_empty() {
        checks.push(Check::ok("database rights", "reads and writes rows, and nothing else"));
    }
    checks
}

/// Compares a clock with that of this machine.
pub(crate) fn clock(whose: &str, theirs: Time, ours: Time) -> Check {
    let apart = theirs.seconds().saturating_sub(ours.seconds());
    let subject = format!("clock of the {whose}");
    if apart.abs() > CLOCK_SECONDS_MAX {
        let way = if apart > 0 { "ahead of" } else { "behind" };
        return Check::failed(
            &subject,
            format!("{} seconds {way} the clock of this machine", apart.abs()),
            "set the clocks of both by the same time server (chrony, systemd-timesyncd)",
        );
    }
    Check::ok(&subject, "the same as here within five minutes")
}

fn system() -> Check {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let about = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = about.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown");
    let text = format!(
        "{} {} on {} ({})",
        std::env::consts::OS,
        release.trim(),
        std::env::consts::ARCH,
        name.trim_matches('"')
    );
    match std::env::consts::OS {
        "linux" => Check::ok("system", text),
        _ => Check::failed("system", text, "run OneSync on Linux"),
    }
}

/// The program must be whole, and nobody but root may replace what a service runs.
fn program(path: &Path, by_systemd: bool) -> Check {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let text = format!("onesync {} at {}", env!("CARGO_PKG_VERSION"), path.display());
    let remedy = "install the program in a place of the system: `install -m 755 onesync /usr/bin/onesync`";
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.permissions().mode() & 0o022 != 0 => {
            Check::warning("program", format!("{text} can be replaced by others"), remedy)
        }
        Ok(metadata) if metadata.uid() != 0 && crate::account::is_root() => {
            Check::warning("program", format!("{text} belongs to another user than root"), remedy)
        }
        // The sandbox of the unit hides what lies there.
        Ok(_) if by_systemd && ["/home", "/root", "/tmp"].iter().any(|place| path.starts_with(place)) => {
            Check::warning("program", format!("{text} cannot be seen by a service of the system"), remedy)
        }
        Ok(_) => Check::ok("program", text),
        Err(error) => Check::warning("program", format!("{text}: {error}"), remedy),
    }
}

fn shortened(words: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = words.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match words.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn size(bytes: u64) -> String {
    match bytes / 1_000_000 {
        mega @ 0..=9_999 => format!("{mega} MB"),
        mega => format!("{} GB", mega / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_a_hint_has_a_remedy_of_its_own() {
        let why = || "said".to_owned();
        for (error, part) in [
            (StoreError::SignIn { why: why() }, "--database-password-file"),
            (StoreError::Rights { doing: "reading", why: why() }, "--database-admin"),
            (StoreError::Unreachable { doing: "reading", why: why() }, "start the server"),
            (StoreError::Untrusted { why: why() }, "sslrootcert"),
            (StoreError::NoDatabase { why: why() }, "restore"),
            (StoreError::Conflict(why()), "onesync setup check"),
        ] {
            let check = Check::of_error("database", &error.into());
            assert!(check.remedy.as_ref().is_some_and(|remedy| remedy.contains(part)), "{check:?}");
        }
    }

    #[test]
    fn clocks_may_differ_by_five_minutes() {
        let now = Time::from_seconds(1_800_000_000);
        for (apart, result) in [(0, CheckResult::Ok), (-300, CheckResult::Ok), (301, CheckResult::Failed)] {
            assert_eq!(clock("server", now.plus_seconds(apart), now).result, result, "{apart}");
        }
        assert!(clock("server", now.plus_seconds(-400), now).text.contains("400 seconds behind"));
    }

    #[test]
    fn a_service_that_may_do_more_than_it_needs_is_told() {
        let now = Time::from_seconds(1_800_000_000);
        let look = DatabaseLook {
            product: "PostgreSQL",
            version: "15".into(),
            collation: "C".into(),
            now,
            may_make_tables: false,
            owns_tables: false,
            is_administrator: false,
            readers_block: false,
            content: DatabaseContent::Schema { current: true },
            missing: Vec::new(),
        };
        let new = Whose { account: "one", database: "d", rights_come: false, is_installed: false };
        let rights = |look: &DatabaseLook| of_database(look, now, new).pop().unwrap();
        assert_eq!(rights(&look).result, CheckResult::Ok);
        for more in [
            DatabaseLook { is_administrator: true, ..look.clone() },
            DatabaseLook { owns_tables: true, ..look.clone() },
            DatabaseLook { may_make_tables: true, ..look.clone() },
        ] {
            assert_eq!(rights(&more).result, CheckResult::Warning, "{more:?}");
            // Also for whoever joins: another database is no remedy then.
            let content = DatabaseContent::Installation { id: "one".into(), current: true };
            for (look, is_installed) in [(&more, true), (&DatabaseLook { content, ..more.clone() }, false)] {
                let here = of_database(look, now, Whose { is_installed, ..new }).pop().unwrap();
                assert!(here.remedy.is_some_and(|remedy| remedy.contains("administrator of the server run")));
            }
        }
        let waits = of_database(&DatabaseLook { readers_block: true, ..look.clone() }, now, new);
        assert!(waits.iter().any(|c| c.result == CheckResult::Warning && c.subject == "database readers"));
        let lacks = DatabaseLook { missing: vec!["SELECT on run".into()], ..look };
        let told = rights(&lacks);
        assert!(told.result == CheckResult::Failed && told.text.contains("SELECT on run"), "{told:?}");
    }
}
