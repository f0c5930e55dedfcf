//! Setting up an installation: look, plan, carry out.
//!
//! It looks first, at the home, the database and the machine, and says what it would do; then it does each step. A step is
//! planned from what is there and may be repeated: whoever is killed anywhere runs it again, and it goes on; when all is
//! done, there is nothing to do. An empty database is initialised; one that holds an installation is joined, and nothing in
//! it is changed; anything else is refused.
//! Deliberately absent: arguments and questions (the program), taking another server's place.

mod check;
mod connectors;
pub(crate) mod credential;
mod delegated;
mod directories;
mod look;
mod record;
mod steps;
mod system;
mod uninstall;
mod unit;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use onesync_vault::Kek;
use secrecy::SecretString;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::database::DatabaseServer;
use crate::error::ServiceError;
use crate::home::Home;
use crate::runtime::Service;

pub use check::{Check, CheckResult};
pub use connectors::{Chosen, Cloud, Source, files, look_at_domain};
pub use credential::check_password;
pub use delegated::Delegated;
pub use steps::check_proxy;
pub(crate) use system::name_of;
pub use system::{SYSTEM_USER, exists as name_exists, give_back};
pub use uninstall::{Uninstall, Uninstalled};

use steps::Step;

/// The setting that keeps who may do what.
const ROLES: &str = "roles";

/// A role of people.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything.
    Admins,
    /// Runs cycles, decides what is held, looks.
    Operators,
    /// Looks.
    Browse,
    /// Sets passwords of people.
    PasswordSet,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Admins, Self::Operators, Self::Browse, Self::PasswordSet];

    /// The word in the database and in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Admins => "admins",
            Self::Operators => "operators",
            Self::Browse => "browse",
            Self::PasswordSet => "password-set",
        }
    }
}

/// What is asked for. What is left out is taken from what is there, or from what suits most.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The database on a server; else one is embedded in a new home.
    pub server: Option<DatabaseServer>,
    /// The password of the database that an installed home has, where it is another one by now.
    pub database_password: Option<SecretString>,
    /// An account of the server that may make roles and database, or owns the database.
    pub admin: Option<DatabaseServer>,
    /// The name of the service account.
    pub account: Option<String>,
    /// Its password; one is made when it is left out.
    pub account_password: Option<SecretString>,
    /// The system user that runs the daemon.
    pub runs_as: Option<String>,
    /// Where the key-encryption key comes from.
    pub kek: Option<Kek>,
    /// Users and groups (`group:NAME`) by role.
    pub roles: BTreeMap<Role, Vec<String>>,
    /// The proxy on the way to the cloud, without a password.
    pub proxy: Option<String>,
    /// The folder in which a unit for systemd is to lie.
    pub units: Option<PathBuf>,
    /// This program, for the unit.
    pub program: PathBuf,
    /// How many people, groups and contacts are expected.
    pub identities: Option<u64>,
}

/// Identities that are planned for when nobody says.
const IDENTITIES: u64 = 10_000;

/// Sets up a home.
pub struct Setup {
    pub(crate) home: Home,
    pub(crate) wanted: Wanted,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What would be done.
#[derive(Serialize)]
pub struct Plan {
    /// The home.
    pub home: String,
    /// The database.
    pub database: String,
    /// The installation that is joined.
    pub joins: Option<String>,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// The steps, in order.
    pub steps: Vec<PlannedStep>,
    /// What somebody else has to do first.
    pub waits_for: Option<Delegated>,
    /// Whether more can be seen, and planned, only when these steps are done.
    pub again: bool,
    #[serde(skip)]
    todo: Vec<Step>,
}

/// One step for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PlannedStep {
    /// A stable word.
    pub step: String,
    /// What is done.
    pub text: String,
}

/// What happens while a plan is carried out.
#[derive(Debug)]
pub enum Doing<'a> {
    /// A step begins.
    Begins(&'a PlannedStep),
    /// A step is done.
    Done(&'a PlannedStep),
    /// The credentials of a service account whose password was made here. Backup and restore will ask for them.
    Credentials {
        /// The account.
        name: &'a str,
        /// Its password.
        password: &'a Zeroizing<String>,
    },
}

/// Whether what was told has been shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// It has; nobody needs it again.
    Shown,
    /// It will be, and [`Setup::credentials_are_shown`] says so; until then the next `setup` shows it.
    Later,
}

/// Who is told.
pub type Tell<'a> = dyn FnMut(Doing<'_>) -> Result<Told, ServiceError> + 'a;

impl Setup {
    /// Names a home and what is wanted; nothing is touched yet.
    #[must_use]
    pub fn new(home: Home, wanted: Wanted, clock: Arc<dyn Clock>) -> Self {
        Self { home, wanted, clock }
    }
}

impl Service {
    /// The proxy on the way to the cloud that was named when this installation was set up.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn proxy(&self) -> Result<Option<String>, ServiceError> {
        Ok(self.store().reader()?.setting(steps::PROXY)?)
    }

    /// Who may do what: users and groups by role.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn roles(&self) -> Result<BTreeMap<String, Vec<String>>, ServiceError> {
        let text = self.store().reader()?.setting(ROLES)?;
        text.map_or_else(|| Ok(BTreeMap::new()), |text| roles(&text))
    }
}

fn roles(text: &str) -> Result<BTreeMap<String, Vec<String>>, ServiceError> {
    serde_json::from_str(text)
        .map_err(|_| ServiceError::Internal("the roles in the database cannot be read".to_owned()))
}

impl Plan {
    /// What stands in the way.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.result == CheckResult::Failed)
    }

    /// Whether all is there.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.steps.is_empty() && self.waits_for.is_none()
    }
}
