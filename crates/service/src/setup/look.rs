//! What is there, and what is missing of what is wanted.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;

use onesync_store::{Store, StoreError};
use onesync_vault::{Kek, VaultError};

use super::credential::{self, ServiceAccount};
use super::delegated::Begin;
use super::steps::{IDENTITIES, PROXY, Step, check_proxy, roles_text};
use super::system::{self, SYSTEM_USER, User};
use super::{Check, Plan, PlannedStep, ROLES, Role, Setup, uninstall, unit};
use crate::account;
use crate::daemon;
use crate::database::{DatabaseServer, Named, Opening, open_new};
use crate::error::ServiceError;
use crate::work::is_locked;

/// What an installed home was found to be.
struct Installed {
    /// The system user that runs it.
    runs_as: String,
    /// How many people, groups and contacts were expected when that was said last.
    identities: Option<u64>,
}

impl Plan {
    pub(super) fn add(&mut self, step: Step, word: &str, text: impl Into<String>) {
        self.todo.push(step);
        self.steps.push(PlannedStep { step: word.to_owned(), text: text.into() });
    }
}

impl Setup {
    /// Looks at home, database and machine, and plans what is missing. Nothing is written.
    ///
    /// # Errors
    /// When what is wanted cannot be, with what is there.
    pub fn look(&self) -> Result<Plan, ServiceError> {
        let mut plan = Plan {
            home: self.home.folder().display().to_string(),
            database: format!("embedded, {}", self.home.database().display()),
            joins: None,
            checks: Vec::new(),
            steps: Vec::new(),
            waits_for: None,
            again: false,
            todo: Vec::new(),
        };
        if let Some(name) = &self.wanted.account {
            credential::parse(name)?;
        }
        self.wanted.account_password.as_ref().map_or(Ok(()), credential::check_password)?;
        self.wanted.proxy.as_deref().map_or(Ok(()), check_proxy)?;
        self.roles_are_there()?;
        let installed = self.home.exists();
        let Installed { runs_as, identities } = match installed {
            true => match self.look_at_installed(&mut plan)? {
                Some(installed) => installed,
                None => {
                    plan.again = true;
                    return Ok(plan);
                }
            },
            false => Installed { runs_as: self.runs_as(None)?, identities: None },
        };
        let user = system::user(&runs_as)?;
        match &user {
            Some(user) => self.may_run_as(user)?,
            // Who runs what goes on is known when its database is.
            None if self.home.lost_installation()?.is_some() => {}
            None => self.plan_user(&runs_as, &mut plan)?,
        }
        plan.checks.extend(self.machine(user.as_ref(), identities));
        if !installed {
            self.look_at_new(&runs_as, &mut plan)?;
        }
        if plan.waits_for.is_none() && !plan.again {
            self.plan_rest(&runs_as, user.as_ref(), &mut plan)?;
        }
        Ok(plan)
    }

    /// The system user that is to run the daemon.
    fn runs_as(&self, known: Option<&ServiceAccount>) -> Result<String, ServiceError> {
        match (&self.wanted.runs_as, known) {
            (Some(name), _) => Ok(name.clone()),
            (None, Some(account)) => Ok(account.runs_as.clone()),
            (None, None) if account::is_root() => Ok(SYSTEM_USER.to_owned()),
            (None, None) => Ok(system::current()?.name),
        }
    }

    fn plan_user(&self, name: &str, plan: &mut Plan) -> Result<(), ServiceError> {
        if !account::is_root() {
            return Err(ServiceError::usage(
                format!("there is no system user `{name}`, and only root can make one"),
                "run it as root, or leave `--run-as` out: then the daemon runs as you",
            ));
        }
        // Any other one may be mistyped.
        if name != SYSTEM_USER {
            return Err(ServiceError::usage(
                format!("there is no system user `{name}`, and only `{SYSTEM_USER}` is made here"),
                format!("write it as it is, or make it: {}", system::useradd(name)),
            ));
        }
        plan.add(Step::SystemUser(name.to_owned()), "system-user", format!("make the system user `{name}`"));
        Ok(())
    }

    /// Whoever is not root makes a home that only they can open.
    fn may_run_as(&self, user: &User) -> Result<(), ServiceError> {
        if account::is_root() || self.wanted.runs_as.is_none() || account::uid() == Some(user.uid) {
            return Ok(());
        }
        Err(ServiceError::usage(
            format!(
                "the home would belong to you and be closed to `{}`, who could not run the daemon",
                user.name
            ),
            "run it as root, or leave `--run-as` out: then the daemon runs as you",
        ))
    }

    fn look_at_new(&self, runs_as: &str, plan: &mut Plan) -> Result<(), ServiceError> {
        uninstall::refuse_foreign(self.home.folder())?;
        let begin = match &self.wanted.server {
            None => Begin::Install,
            Some(server) => self.look_at_server(server, plan)?,
        };
        let why = plan.waits_for.as_ref().map_or("nothing", |waits| waits.why.as_str());
        self.home.must_have_its_database(match &begin {
            Begin::Wait => Some(why),
            Begin::Install => self.wanted.server.as_ref().map(|_| why),
            Begin::Join(id) => Some(id),
        })?;
        match begin {
            Begin::Wait => {}
            Begin::Join(id) if self.home.has_taken(&id)? => {
                let text = format!(
                    "go on with installation {id}: the home gets back the name of the database and its password"
                );
                plan.add(Step::Join(id), "database-name", text);
                plan.again = true;
            }
            Begin::Join(id) => {
                let text = format!(
                    "join installation {id}: the home gets the name of the database and its password; nothing in the database changes, and this server is not active"
                );
                // As long as the account may look into it.
                if !plan.steps.iter().any(|step| step.step == "tables") {
                    self.check_account_there()?;
                }
                plan.add(Step::Join(id.clone()), "join", text);
                plan.joins = Some(id);
                self.nothing_of_the_installation()?;
            }
            Begin::Install => {
                let keys =
                    if self.home.key_set().exists() { "the key set that is there" } else { "a new key set" };
                plan.add(Step::Install, "installation", format!("make the installation, with {keys}"));
                self.plan_account(runs_as, plan);
                self.plan_roles(None, plan)?;
                self.plan_proxy(None, plan);
                self.plan_identities(None, plan);
            }
        }
        Ok(())
    }

    /// What is missing of an installation that is there; `None` when more is seen only after the steps that are planned.
    fn look_at_installed(&self, plan: &mut Plan) -> Result<Option<Installed>, ServiceError> {
        let named = self.home.named()?;
        if let Some(server) = &self.wanted.server
            && named.as_ref().is_none_or(|named| named.url != server.url)
        {
            return self.look_where_it_went(server, plan).map(|()| None);
        }
        match &named {
            Some(named) => {
                plan.database = named.place(self.home.folder());
                self.look_at_own_server(named, plan).map_err(|error| self.home.of_lost(error))?;
            }
            None => self.no_server_for_embedded()?,
        }
        let (steps, checks) = (plan.steps.len(), plan.checks.len());
        match self.look_inside(named, plan) {
            // What is planned opens it, or it was said what has failed.
            Err(ServiceError::Store(
                StoreError::Rights { .. } | StoreError::SignIn { .. } | StoreError::NoDatabase { .. },
            )) if steps > 0 || plan.failed().next().is_some() => {
                plan.steps.truncate(steps);
                plan.todo.truncate(steps);
                plan.checks.truncate(checks);
                Ok(None)
            }
            looked => looked.map(Some).map_err(|error| self.home.of_lost(error)),
        }
    }

    /// A home names another database than before: it may, where its installation has left that one, and is in this one.
    fn look_where_it_went(&self, server: &DatabaseServer, plan: &mut Plan) -> Result<(), ServiceError> {
        let Some(own) = self.home.left_by()? else {
            return Err(ServiceError::usage(
                format!("{} holds an installation, which has another database", plan.home),
                "leave the database out, or name another folder with `--home`",
            ));
        };
        match self.look_at_server(server, plan)? {
            Begin::Wait => {}
            Begin::Join(id) if id == own => {
                let text = format!(
                    "go on with installation {id}, which has left its database: the home gets the name of this one and its password"
                );
                plan.add(Step::Follow(id), "database-name", text);
            }
            Begin::Join(_) | Begin::Install => {
                return Err(ServiceError::usage(
                    format!("{} belongs to installation {own}, and this is not its database", plan.home),
                    "name the database that the installation was moved to: `onesync db status` on the active server says it",
                ));
            }
        }
        Ok(())
    }

    /// What is missing inside of the database of an installed home.
    fn look_inside(&self, named: Option<Named>, plan: &mut Plan) -> Result<Installed, ServiceError> {
        let (store, vault) = self.home.open_there()?;
        let reader = store.reader()?;
        let identities = reader.setting(IDENTITIES)?.and_then(|number| number.parse().ok());
        let account = ServiceAccount::read(&*reader)?;
        if let Some(account) = &account {
            account.check(self.wanted.account.as_deref(), self.wanted.account_password.as_ref())?;
        }
        let runs_as = self.runs_as(account.as_ref())?;
        let joined = self.home.is_joined()?;
        if let Some(named) = named.filter(|named| named.joined && joined) {
            plan.joins = Some(named.installation);
            self.nothing_of_the_installation()?;
            return Ok(Installed { runs_as, identities });
        }
        if let (Some(wanted), Ok(Some(there))) = (&self.wanted.kek, self.kek())
            && *wanted != there
        {
            return Err(ServiceError::usage(
                format!("the key set is sealed under the key-encryption key from {there}"),
                "leave `--kek` out; `onesync keys seal --kek SOURCE` changes it",
            ));
        }
        // Nothing has to be sealed, or opened to be shown.
        let is_known = account.as_ref().is_some_and(|account| account.shown);
        match vault {
            Ok(_) => plan.checks.push(Check::ok("key set", "present")),
            // What came from a backup, or lost it. A new one would open nothing of what is in the database.
            Err(error @ VaultError::Missing { .. }) if is_known => {
                let remedy =
                    "`onesync activate KEYFILE ACCOUNT PASSWORD` brings it from an exported key file";
                plan.checks.push(Check::warning("key set", error.to_string(), remedy));
            }
            Err(error @ VaultError::Missing { .. }) => {
                return Err(ServiceError::held(
                    error.to_string(),
                    "an installation has the key set that it was made with: no other one is made for it",
                ));
            }
            // Only the service may be given the credential, and the unit that is written here says so.
            Err(error @ VaultError::Kek { .. })
                if is_known && matches!(self.kek(), Ok(Some(Kek::Credential { .. }))) =>
            {
                let remedy = "the unit that `setup` writes loads it: restart the service";
                plan.checks.push(Check::warning("key set", error.to_string(), remedy));
            }
            Err(error) => return Err(error.into()),
        }
        match account {
            None => self.plan_account(&runs_as, plan),
            Some(account) => {
                if account.runs_as != runs_as {
                    let text = format!("let the daemon run as `{runs_as}` in place of `{}`", account.runs_as);
                    plan.add(Step::RunsAs(runs_as.clone()), "runs-as", text);
                }
                if !account.shown {
                    self.plan_show(plan);
                }
            }
        }
        let roles = reader.setting(ROLES)?;
        self.plan_roles(roles.as_deref(), plan)?;
        self.plan_proxy(reader.setting(PROXY)?, plan);
        self.plan_identities(identities, plan);
        drop(reader);
        drop::<std::sync::Arc<dyn Store>>(store);
        Ok(Installed { runs_as, identities })
    }

    fn no_server_for_embedded(&self) -> Result<(), ServiceError> {
        let what = match (&self.wanted.database_password, &self.wanted.admin) {
            (Some(_), _) => "a password of a database on a server",
            (None, Some(_)) => "an administrator of a database on a server",
            (None, None) => return Ok(()),
        };
        Err(ServiceError::usage(
            format!("{what}, and the database of {} is embedded", self.home.folder().display()),
            "leave it out; `onesync db move --to URL` moves the installation to a server",
        ))
    }

    fn plan_account(&self, runs_as: &str, plan: &mut Plan) {
        let name = self.wanted.account.as_deref().unwrap_or(runs_as);
        let password = match self.wanted.account_password {
            Some(_) => "the given password",
            None => "a random password, which is shown once and kept sealed",
        };
        let text = format!("set up the service account `{name}` (runs as `{runs_as}`) with {password}");
        plan.add(
            Step::Account { name: name.to_owned(), runs_as: runs_as.to_owned() },
            "service-account",
            text,
        );
        if self.wanted.account_password.is_none() {
            self.plan_show(plan);
        }
    }

    fn plan_show(&self, plan: &mut Plan) {
        plan.add(Step::Show, "credentials", "show the credentials of the service account");
    }

    /// Roles that were not named stay as they are.
    fn plan_roles(&self, known: Option<&str>, plan: &mut Plan) -> Result<(), ServiceError> {
        let mut roles: BTreeMap<String, Vec<String>> = match known {
            Some(text) => super::roles(text)?,
            None => Role::ALL.iter().map(|role| (role.word().to_owned(), Vec::new())).collect(),
        };
        for (role, names) in &self.wanted.roles {
            roles.insert(role.word().to_owned(), names.clone());
        }
        let admins = roles.entry(Role::Admins.word().to_owned()).or_default();
        if admins.is_empty() {
            admins.push(system::installer()?);
        }
        let text = roles_text(&roles)?;
        if known != Some(text.as_str()) {
            let words: Vec<String> = roles
                .iter()
                .filter(|(_, names)| !names.is_empty())
                .map(|(role, names)| format!("{role}: {}", names.join(", ")))
                .collect();
            plan.add(Step::Roles(text), "roles", format!("set roles ({})", words.join("; ")));
        }
        Ok(())
    }

    fn plan_proxy(&self, known: Option<String>, plan: &mut Plan) {
        if let Some(url) = self.wanted.proxy.clone().filter(|url| known.as_ref() != Some(url)) {
            let text = format!("keep the proxy {url} for the connectors that `setup connectors` writes");
            plan.add(Step::Proxy(url), "proxy", text);
        }
    }

    fn plan_identities(&self, known: Option<u64>, plan: &mut Plan) {
        if let Some(number) = self.wanted.identities.filter(|number| known != Some(*number)) {
            let text = format!("keep that {number} people, groups and contacts are expected");
            plan.add(Step::Identities(number), "identities", text);
        }
    }

    /// What belongs to an installation and not to a server cannot be said by one that joins: it writes nothing.
    fn nothing_of_the_installation(&self) -> Result<(), ServiceError> {
        if self.wanted.proxy.is_some() {
            return Err(ServiceError::usage(
                "a server that joins has the connectors of the installation, their proxies too",
                "leave `--proxy` out",
            ));
        }
        if !self.wanted.roles.is_empty() {
            return Err(ServiceError::usage(
                "a server that joins has the roles of the installation",
                "leave `--admin`, `--operator`, `--browser` and `--password-setter` out; the active server sets them",
            ));
        }
        Ok(())
    }

    /// Refuses another service account than that of the installation that is joined.
    pub(super) fn check_account_there(&self) -> Result<(), ServiceError> {
        let (name, password) = (self.wanted.account.as_deref(), self.wanted.account_password.as_ref());
        let Some(server) = self.wanted.server.as_ref().filter(|_| name.is_some() || password.is_some())
        else {
            return Ok(());
        };
        let store = open_new(self.home.folder(), &server.url, server.password.as_ref(), Opening::Any)?;
        let account = ServiceAccount::read(&*store.reader()?)?;
        account.map_or(Ok(()), |account| account.check(name, password))
    }

    fn roles_are_there(&self) -> Result<(), ServiceError> {
        for (role, names) in &self.wanted.roles {
            for name in names {
                if !system::exists(name)? {
                    return Err(ServiceError::usage(
                        format!("the role `{}` names `{name}`, which this system does not know", role.word()),
                        "name a user, or a group as `group:NAME`; `getent passwd` and `getent group` list them",
                    ));
                }
            }
        }
        Ok(())
    }

    /// What belongs to this machine, whether the installation is new or joined.
    fn plan_rest(&self, runs_as: &str, user: Option<&User>, plan: &mut Plan) -> Result<(), ServiceError> {
        let folder = self.home.folder();
        if let Some(units) = &self.wanted.units {
            if !units.is_dir() {
                return Err(ServiceError::usage(
                    format!("there is no folder {} for the unit", units.display()),
                    "name one that is there with `--systemd=FOLDER`, or write no unit: `--no-systemd`",
                ));
            }
            let file = units.join(unit::NAME);
            let text = unit::text(&self.wanted.program, folder, runs_as, self.kek()?.as_ref())?;
            if unit::hides(folder) {
                let why = format!(
                    "{} is hidden from a service of the system: that has such a place of its own",
                    folder.display()
                );
                let remedy = "name another folder with `--home`, or write no unit: `--no-systemd`";
                if unit::is_live(&file) {
                    return Err(ServiceError::usage(why, remedy));
                }
                plan.checks.push(Check::warning("unit", why, remedy));
            }
            match unit::look(&file, folder)? {
                unit::Found::Other => {
                    return Err(ServiceError::usage(
                        format!(
                            "{} is not the unit of {}: it runs another home, or is not ours",
                            file.display(),
                            folder.display()
                        ),
                        "write the unit elsewhere with `--systemd=FOLDER`, or none with `--no-systemd`",
                    ));
                }
                unit::Found::Ours(there) if there == text => {}
                there => {
                    let what = if there == unit::Found::None { "write" } else { "bring up to date" };
                    plan.add(
                        Step::Unit { file: file.clone(), text },
                        "unit",
                        format!("{what} {}", file.display()),
                    );
                }
            }
        }
        let owned = match user {
            Some(user) if folder.exists() => system::is_owned(folder, user)?,
            _ => false,
        };
        let is_others = |user: &User| std::fs::metadata(folder).is_ok_and(|there| there.uid() != user.uid);
        if account::is_root() && user.is_some_and(is_others) && is_locked(folder, daemon::LOCK) {
            return Err(ServiceError::held(
                format!(
                    "the daemon of {} runs as another account than `{runs_as}`, and would be shut out",
                    folder.display()
                ),
                "end it first (`systemctl stop onesync`; `onesync status` names its process), then run this again and start it anew",
            ));
        }
        // Who is not root has made what is there, and can give it to nobody.
        if account::is_root() && (!owned || !plan.steps.is_empty()) {
            let text = format!("give {} to `{runs_as}`, closed to others", folder.display());
            plan.add(Step::Owner(runs_as.to_owned()), "owner", text);
        }
        Ok(())
    }
}
