//! The steps, each of which may be repeated.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use onesync_model::Time;
use onesync_store::{DatabaseAdmin, EventRow, ServiceChanges, Store, StoreError};
use onesync_vault::{KEK_FILE, Kek, KeySet, Vault, VaultError};
use secrecy::SecretString;

use super::credential::{ServiceAccount, mark_shown};
use super::record::Record;
use super::{Doing, Plan, PlannedStep, ROLES, Setup, Tell, Told, system, unit};
use crate::database::{DatabaseServer, Named};
use crate::error::ServiceError;
use crate::home::Home;
use crate::work::WorkLock;

/// The lock of whoever sets up a home.
pub(super) const LOCK: &str = "setup.lock";
/// The setting with the proxy of connectors that `setup connectors` writes.
pub(super) const PROXY: &str = "proxy";
/// The setting with how many people, groups and contacts are expected.
pub(super) const IDENTITIES: &str = "identities";

/// The database, once it is open.
type Open = Option<Arc<dyn Store>>;

/// One step of a plan.
pub(super) enum Step {
    SystemUser(String),
    MakeDatabase,
    MakeTables,
    Install,
    Join(String),
    /// Into the database that the installation has gone to.
    Follow(String),
    Account {
        name: String,
        runs_as: String,
    },
    RunsAs(String),
    Show,
    Roles(String),
    Proxy(String),
    Identities(u64),
    /// The password of the database that is the right one by now.
    Password(SecretString),
    Unit {
        file: PathBuf,
        text: String,
    },
    Owner(String),
}

/// Takes the lock of a home that is set up.
pub(super) fn lock(home: &Home, now: Time) -> Result<WorkLock, ServiceError> {
    WorkLock::take_file(home.folder(), LOCK, "setup", now)
}

/// What is kept of roles.
pub(super) fn roles_text(roles: &BTreeMap<String, Vec<String>>) -> Result<String, ServiceError> {
    serde_json::to_string(roles).map_err(|error| ServiceError::Internal(error.to_string()))
}

/// Refuses what is no URL of a proxy.
///
/// # Errors
/// When it is none.
pub fn check_proxy(text: &str) -> Result<(), ServiceError> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    if rest
        .is_none_or(|rest| rest.is_empty() || rest.contains(|c: char| c.is_control() || "\"\\ @".contains(c)))
    {
        return Err(ServiceError::usage(
            "the proxy is no URL, or holds a password",
            "write `http://host:port`",
        ));
    }
    Ok(())
}

/// What an administrator's steps meet when somebody else takes the same ones.
fn at_once(error: StoreError) -> ServiceError {
    match error {
        StoreError::Conflict(why) => ServiceError::held(
            format!("somebody else was making the same accounts or database just now ({why})"),
            "run this again: it looks anew, and goes on from what is there",
        ),
        error => error.into(),
    }
}

impl Setup {
    /// Carries out a plan. Each step is recorded before and after.
    ///
    /// # Errors
    /// When a step fails: run it again, it goes on from there.
    pub fn carry_out(&self, plan: &Plan, tell: &mut Tell<'_>) -> Result<(), ServiceError> {
        if let Some(waits) = &plan.waits_for {
            let hint = match waits.statements.is_empty() {
                true => waits.then.clone(),
                false => format!("have the statements run that the plan shows, then {}", waits.then),
            };
            return Err(ServiceError::held(waits.why.clone(), hint));
        }
        if let Some(check) = plan.failed().next() {
            let hint = check.remedy.clone().unwrap_or_default();
            return Err(ServiceError::held(format!("{}: {}", check.subject, check.text), hint));
        }
        self.home.make_folder()?;
        let _lock = lock(&self.home, self.clock.now())?;
        let keys = self.home.key_set();
        if keys.exists() {
            // A second name of a file of keys, from whoever was killed while it was made: a file with two is given to nobody.
            for second in
                [keys.with_extension("toml.new"), keys.with_file_name(KEK_FILE).with_extension("new")]
            {
                match std::fs::remove_file(&second) {
                    Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                        return Err(ServiceError::File { place: second.display().to_string(), source });
                    }
                    _ => {}
                }
            }
        }
        let record = Record::of(self.home.folder());
        let (mut events, mut open) = (Vec::new(), None);
        for (number, (step, planned)) in plan.todo.iter().zip(&plan.steps).enumerate() {
            record.write(planned, "begins", &*self.clock)?;
            tell(Doing::Begins(planned))?;
            if let Err(error) = self.step(step, &mut open, tell) {
                record.write(planned, &format!("failed: {error}"), &*self.clock)?;
                return Err(error);
            }
            record.write(planned, "done", &*self.clock)?;
            events.push(self.event(planned));
            // Before the home has the right password it cannot be told.
            if !plan.todo.iter().skip(number + 1).any(|step| matches!(step, Step::Password(_))) {
                self.keep(&mut events, &mut open)?;
            }
            tell(Doing::Done(planned))?;
        }
        // Also when the unit is as it should be: whoever was killed before this finds it so.
        match self.wanted.units.as_ref().map(|units| units.join(unit::NAME)) {
            Some(file) if unit::is_live(&file) && file.exists() => unit::systemctl(&["daemon-reload"]),
            _ => Ok(()),
        }
    }

    /// Brings what happened into the database, as soon as that is ours to write to.
    fn keep(&self, events: &mut Vec<EventRow>, open: &mut Open) -> Result<(), ServiceError> {
        if !self.home.exists() {
            return Ok(());
        }
        if self.home.is_joined()? {
            // The database is another server's.
            events.drain(..).for_each(|event| crate::events::tell(&event));
            return Ok(());
        }
        self.write(ServiceChanges { events: std::mem::take(events), ..ServiceChanges::default() }, open)
    }

    fn event(&self, planned: &PlannedStep) -> EventRow {
        crate::events::row(self.clock.now(), &crate::events::SETUP, &planned.step, &planned.text)
    }

    /// The database, opened once.
    fn store(&self, open: &mut Open) -> Result<Arc<dyn Store>, ServiceError> {
        let store = match open.take() {
            Some(store) => store,
            None => self.home.open()?.0,
        };
        Ok(open.insert(store).clone())
    }

    fn write(&self, changes: ServiceChanges, open: &mut Open) -> Result<(), ServiceError> {
        let store = self.store(open)?;
        let epoch = self.home.standing(&*store)?.epoch();
        Ok(crate::events::record(&*store, epoch, &changes)?)
    }

    fn step(&self, step: &Step, open: &mut Open, tell: &mut Tell<'_>) -> Result<(), ServiceError> {
        match step {
            Step::SystemUser(name) => system::make_user(name, self.home.folder()),
            Step::MakeDatabase => {
                let (admin, server) = self.admin()?;
                admin.make_database(server.password.as_ref()).map_err(at_once)
            }
            Step::MakeTables => self.admin()?.0.make_tables().map_err(at_once),
            Step::Install => {
                let kek = self.wanted.kek.clone().unwrap_or_default();
                self.home.create_with(self.wanted.server.as_ref(), &kek, &*self.clock)
            }
            Step::Join(id) => {
                self.check_account_there()?;
                self.home.join(&self.server()?, id, &*self.clock)
            }
            Step::Follow(id) => self.home.follow(&self.server()?, id, &*self.clock),
            Step::Password(password) => match self.home.named()? {
                Some(named) => {
                    // What was opened has the one before.
                    *open = None;
                    named.keep_password(self.home.folder(), password)
                }
                None => Err(ServiceError::Internal("a password for an embedded database".to_owned())),
            },
            Step::Account { name, runs_as } => {
                let vault = Vault::open(&self.home.key_set())?;
                let password = self.wanted.account_password.as_ref();
                let (_, changes) = ServiceAccount::make(name, password, runs_as, &vault, self.clock.now())?;
                self.write(changes, open)
            }
            Step::RunsAs(name) => {
                let account = ServiceAccount::read(&*self.store(open)?.reader()?)?;
                let account = account.map(|account| ServiceAccount { runs_as: name.clone(), ..account });
                account.map_or(Ok(()), |account| self.write(account.changes()?, open))
            }
            Step::Show => self.show(open, tell),
            Step::Roles(text) => self.set(ROLES, text, open),
            Step::Proxy(url) => self.set(PROXY, url, open),
            Step::Identities(number) => self.set(IDENTITIES, &number.to_string(), open),
            Step::Unit { file, text } => unit::write(file, text),
            Step::Owner(name) => match system::user(name)? {
                Some(user) => {
                    // A key-encryption key elsewhere is used by the same account.
                    if let Some(Kek::File { path }) = self.kek()?.filter(|_| self.home.key_set().exists())
                        && path.is_absolute()
                    {
                        system::give_file(&path, &user)?;
                    }
                    system::give(self.home.folder(), &user)
                }
                None => Err(ServiceError::usage(
                    format!("there is no system user `{name}` any more"),
                    "run `onesync setup` again",
                )),
            },
        }
    }

    fn show(&self, open: &mut Open, tell: &mut Tell<'_>) -> Result<(), ServiceError> {
        let (store, vault) = (self.store(open)?, Vault::open(&self.home.key_set())?);
        let (account, password) = {
            let reader = store.reader()?;
            (ServiceAccount::read(&*reader)?, ServiceAccount::password(&*reader, &vault)?)
        };
        if let (Some(account), Some(password)) = (account, password)
            && tell(Doing::Credentials { name: &account.name, password: &password })? == Told::Later
        {
            return Ok(());
        }
        // Shown twice does no harm, never shown would.
        mark_shown(&*store, self.home.standing(&*store)?.epoch())
    }

    /// Notes that credentials have been shown which were told, and were to be shown later.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn credentials_are_shown(&self) -> Result<(), ServiceError> {
        let store = self.home.open()?.0;
        mark_shown(&*store, self.home.standing(&*store)?.epoch())
    }

    fn set(&self, setting: &str, text: &str, open: &mut Open) -> Result<(), ServiceError> {
        let settings = vec![(setting.to_owned(), text.to_owned())];
        self.write(ServiceChanges { settings, ..ServiceChanges::default() }, open)
    }

    /// Where the key-encryption key comes from: of the key set that is there, else what is wanted.
    pub(super) fn kek(&self) -> Result<Option<Kek>, ServiceError> {
        match KeySet::source(&self.home.key_set()) {
            Ok(source) => Ok(source.map(|(kek, _)| kek)),
            Err(VaultError::Missing { .. }) => Ok(self.wanted.kek.clone()),
            Err(error) => Err(error.into()),
        }
    }

    /// The database on a server: that of an installed home, else what is wanted.
    fn server(&self) -> Result<DatabaseServer, ServiceError> {
        // Whoever follows an installation means the one that the home does not name yet.
        let same = |named: &Named| self.wanted.server.as_ref().is_none_or(|server| server.url == named.url);
        if let Some(named) = self.home.named()?.filter(same) {
            let password = match self.new_password() {
                Some(password) => Some(password.clone()),
                None => named.password(self.home.folder())?,
            };
            return Ok(DatabaseServer { url: named.url, password });
        }
        let missing = || ServiceError::Internal("a step for a database on a server without one".to_owned());
        self.wanted.server.clone().ok_or_else(missing)
    }

    fn admin(&self) -> Result<(Box<dyn DatabaseAdmin>, DatabaseServer), ServiceError> {
        let missing = || ServiceError::Internal("a step for an administrator without one".to_owned());
        let server = self.server()?;
        let admin = self.wanted.admin.as_ref().ok_or_else(missing)?;
        Ok((server.options()?.administered_by(&admin.options()?)?, server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_who_make_the_same_are_told_so() {
        let told = at_once(StoreError::Conflict("role \"onesync\" already exists".to_owned()));
        assert!(told.to_string().starts_with("somebody else was making the same"), "{told}");
        assert!(told.hint().is_some_and(|hint| hint.contains("run this again")));
    }
}
