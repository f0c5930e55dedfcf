//! A newer program on an older installation: what would change, the backup before it, the change, and the way back.
//!
//! Nothing else brings a schema up to date: whoever opens an older database is told so, and leaves it as it is. What a
//! new program would decide differently is found as for a changed configuration: by a full sync over a copy. Where
//! that is not nothing, exports stay off until a person has looked.

mod backup;
mod rules;

use std::sync::Arc;

use onesync_engine::Changes;
use onesync_store::{SchemaState, ServiceChanges};
use serde::Serialize;

use crate::clock::Clock;
use crate::database::{DatabaseServer, Options};
use crate::error::ServiceError;
use crate::events;
use crate::home::Home;
use crate::plan::ConfigPlan;
use crate::runtime::Service;
use crate::scratch::Scratch;
use crate::staging::ACTIVE;
use crate::sync::FULL_SYNC_NEEDED;
use crate::work::WorkLock;

pub(crate) use backup::last_backup;
pub use backup::{Backup, Part};
pub use rules::{RuleUpdate, UpdatedRules};

/// What an upgrade would do.
#[derive(Clone, Debug, Serialize)]
pub struct UpgradeCheck {
    /// This program's version.
    pub program: &'static str,
    /// The database.
    pub database: String,
    /// The version of its schema.
    pub schema: u32,
    /// The version that this program works with.
    pub needed: u32,
    /// What would be changed in the schema, in order.
    pub migrations: Vec<&'static str>,
    /// How long that took on a copy, in seconds; `None` where none could be made, or nothing is to be done.
    pub seconds: Option<f64>,
    /// Shipped rules in the configuration whose shipped text is another one by now.
    pub rules: Vec<RuleUpdate>,
    /// What a full sync with this program would change; `None` where that cannot be computed before.
    pub plan: Option<ConfigPlan>,
    /// Why there is no plan.
    pub no_plan: Option<String>,
    /// Why an administrator of the database has to be named; `None` where nobody has to.
    pub needs_admin: Option<String>,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Upgraded {
    /// The version of the schema before.
    pub from: u32,
    /// The version now.
    pub to: u32,
    /// The backup that was taken, also by an upgrade before that was cut short; `None` where the schema did not change, or
    /// one's own was said to be there.
    pub backup: Option<Backup>,
    /// What a full sync with this program changes.
    pub plan: Option<ConfigPlan>,
    /// Why there is no plan.
    pub no_plan: Option<String>,
    /// Connectors whose exports were switched off, because the plan is not empty.
    pub staged: Vec<String>,
    /// Shipped rules in the configuration whose shipped text is another one by now.
    pub rules: Vec<RuleUpdate>,
}

/// How an upgrade is done.
pub struct UpgradeOptions<'a> {
    /// That a backup was taken by other means: none is taken here.
    pub own_backup: bool,
    /// The account of the server that changes the schema, where that of the service may not.
    pub admin: Option<&'a DatabaseServer>,
    /// Threads of the sync that compares.
    pub threads: usize,
    /// Hears what is being done.
    pub tell: &'a (dyn Fn(&str) + Sync),
}

/// Looks what an upgrade would do. The installation is left as it is, and may be worked on meanwhile.
///
/// # Errors
/// When there is none, or the database cannot be read, is newer than this program, or was made by a modified one.
pub async fn check(home: &Home, clock: Arc<dyn Clock>, threads: usize) -> Result<UpgradeCheck, ServiceError> {
    crate::plan::forget_leftovers(home.folder());
    let home = &home.during_upgrade();
    let state = home.schema()?;
    let mut check = UpgradeCheck {
        program: env!("CARGO_PKG_VERSION"),
        database: home.place()?,
        schema: state.found,
        needed: state.known,
        migrations: state.missing.clone(),
        seconds: None,
        rules: Vec::new(),
        plan: None,
        no_plan: None,
        needs_admin: None,
    };
    if state.is_older()
        && let Some(named) = home.named()?
    {
        check.needs_admin = may_not_change(&named.options(home.folder())?)?;
    }
    let Some(trial) = Trial::make(home, &state)? else {
        check.no_plan = Some(
            "a database on a server cannot be tried on a copy; the upgrade compares when it is done, before anything is exported"
                .to_owned(),
        );
        return Ok(check);
    };
    check.seconds = trial.seconds;
    let opened = Service::open_from(trial.home(home), home.folder().to_owned(), clock, threads).await?;
    check.rules = rules::updates(&opened)?;
    (check.plan, check.no_plan) = compare(&opened).await?;
    if let Some(plan) = check.plan.as_mut().filter(|_| trial.scratch.is_some()) {
        plan.list = None; // it lies in the trial's folder, which goes
    }
    Ok(check)
}

/// Brings an installation to this program: waits until nobody works on it, takes a verified backup, changes the schema,
/// compares, and puts exporting connectors into staging when anything would be decided differently.
///
/// # Errors
/// As [`check`], and when no backup can be taken; then nothing was changed. An upgrade that was cut short is ended by the
/// next one.
pub async fn upgrade(
    home: &Home,
    clock: Arc<dyn Clock>,
    options: &UpgradeOptions<'_>,
) -> Result<Upgraded, ServiceError> {
    home.must_not_be_joined()?;
    let home = &home.during_upgrade();
    home.schema()?; // nobody waits in a folder that is no home
    let mut told = false;
    let waiting = &mut |who: &str| {
        if !std::mem::replace(&mut told, true) {
            (options.tell)(&format!("waiting: {who}"));
        }
        Ok(())
    };
    let _lock =
        tokio::task::block_in_place(|| WorkLock::take_when_idle(home.folder(), "upgrade", &*clock, waiting))?;
    let state = home.schema()?;
    if !state.missing.is_empty() {
        may_change(home, options.admin)?;
    }
    let earlier = home.backup_of_upgrade();
    if let Some(folder) = earlier.as_ref().filter(|_| !state.missing.is_empty()) {
        (options.tell)(&format!("an upgrade was cut short: the backup of before it is {}", folder.display()));
    }
    let backup = if state.missing.is_empty() {
        // Of the one that was cut short.
        earlier.and_then(|folder| match Backup::verify(&folder) {
            Ok(backup) => Some(backup),
            Err(error) => {
                (options.tell)(&format!("the backup that was taken, {}: {error}", folder.display()));
                None
            }
        })
    } else if options.own_backup {
        None
    } else {
        (options.tell)("taking a backup");
        Some(Backup::take(home, &state, clock.now())?)
    };
    if !state.missing.is_empty() {
        (options.tell)(&format!("schema {} -> {}: {}", state.found, state.known, state.missing.join(", ")));
        let folder = backup.as_ref().map(|backup| backup.folder.display().to_string());
        home.note_upgrade(Some(folder.as_deref().unwrap_or_default()))?;
        migrate(home, options.admin)?;
    }
    let service = Service::open(home.clone(), clock, options.threads).await?;
    service.must_be_active()?;
    (options.tell)("comparing");
    let (plan, no_plan) = compare(&service).await?;
    // What is not known is not trusted either.
    let changes = plan.as_ref().is_none_or(|plan| plan.items > 0);
    let staged = if changes { service.distrust()? } else { Vec::new() };
    let text = format!("schema {} -> {}, program {}", state.found, state.known, env!("CARGO_PKG_VERSION"));
    let events = vec![service.audit(&events::UPGRADED, home.place()?.as_str(), &text)];
    service.record(&ServiceChanges { events, ..ServiceChanges::default() })?;
    home.note_upgrade(None)?;
    let rules = rules::updates(&service)?;
    Ok(Upgraded { from: state.found, to: state.known, backup, plan, no_plan, staged, rules })
}

/// Why the account of the service may not change the tables; `None` where it may.
fn may_not_change(service: &Options) -> Result<Option<String>, ServiceError> {
    let look = service.look()?;
    let may = look.owns_tables || look.is_administrator;
    Ok((!may).then(|| {
        format!("the account `{}` of the service may not change the tables, as it should be", service.user())
    }))
}

/// An error, before anything is done, where whoever is to change the schema may not, or does not get in.
fn may_change(home: &Home, admin: Option<&DatabaseServer>) -> Result<(), ServiceError> {
    let service = home.named()?.map(|named| named.options(home.folder())).transpose()?;
    let hint = "name an account that may: `onesync upgrade --database-admin URL --database-admin-password-file FILE`; it is used \
                for this once. Nothing was changed, and no backup was taken";
    let why = match (service, admin) {
        (None, None) => None,
        (None, Some(_)) => return Err(has_no_administrator()),
        (Some(service), None) => may_not_change(&service)?,
        (Some(service), Some(admin)) => {
            let admin = admin.options()?;
            let look = service.administered_by(&admin)?.look()?;
            (!look.may).then(|| format!("`{}` may not change the tables either", admin.user()))
        }
    };
    why.map_or(Ok(()), |why| Err(ServiceError::held(why, hint)))
}

fn has_no_administrator() -> ServiceError {
    ServiceError::usage(
        "the database of this home is embedded, and has no administrator",
        "leave `--database-admin` out",
    )
}

/// Changes the schema, by the account that may.
fn migrate(home: &Home, admin: Option<&DatabaseServer>) -> Result<(), ServiceError> {
    let Some(admin) = admin else { return home.migrate().map(drop) };
    let service = home.named()?.map(|named| named.options(home.folder())).transpose()?;
    let Some(service) = service else {
        return Err(has_no_administrator());
    };
    Ok(service.administered_by(&admin.options()?)?.make_tables()?)
}

/// What a full sync with this program would change under the configuration in force.
async fn compare(service: &Service) -> Result<(Option<ConfigPlan>, Option<String>), ServiceError> {
    match service.runtime() {
        Ok(runtime) => Ok((Some(service.config_plan(runtime.configuration.clone()).await?), None)),
        Err(error) => Ok((None, Some(error.to_string()))),
    }
}

impl Service {
    /// What this program decides is not what was decided before: nothing is exported until a person has looked, and the
    /// next sync is a full one. Gives the connectors whose exports were on.
    fn distrust(&self) -> Result<Vec<String>, ServiceError> {
        let (connectors, mut staged, mut states) =
            (self.store().reader()?.connectors()?, Vec::new(), Vec::new());
        for connector in connectors {
            states.push((connector.id, FULL_SYNC_NEEDED.to_owned(), Some(vec![1])));
            if self.store().reader()?.state(connector.id, ACTIVE)?.is_some() {
                states.push((connector.id, ACTIVE.to_owned(), None));
                staged.push(connector.name);
            }
        }
        let events = staged.iter().map(|name| self.audit(&events::STAGING_ON, name, "upgrade")).collect();
        let service = ServiceChanges { events, ..ServiceChanges::default() };
        self.write(&Changes { states, ..Changes::default() }, &service)?;
        Ok(staged)
    }
}

/// An installation that may be opened by this program: a copy of an older one that was brought up to date, or the one
/// that is there.
struct Trial {
    /// The copy's place; `None` where none is needed.
    scratch: Option<Scratch>,
    seconds: Option<f64>,
}

impl Trial {
    /// `None` where no copy can be made.
    fn make(home: &Home, state: &SchemaState) -> Result<Option<Self>, ServiceError> {
        if !state.is_older() {
            return Ok(Some(Self { scratch: None, seconds: None }));
        }
        if home.named()?.is_some() {
            return Ok(None);
        }
        let scratch = Scratch::make(home.folder())?;
        home.copy_as_it_is(scratch.home())?;
        let began = std::time::Instant::now();
        Home::new(scratch.home()).migrate()?;
        let seconds = Some(began.elapsed().as_secs_f64());
        Ok(Some(Self { scratch: Some(scratch), seconds }))
    }

    fn home(&self, of: &Home) -> Home {
        self.scratch.as_ref().map_or_else(|| of.clone(), |scratch| Home::new(scratch.home()))
    }
}
