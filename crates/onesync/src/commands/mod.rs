//! The commands other than `demo`: what is asked of the service, and how its answers look to people.

mod activate;
mod backup;
mod config;
mod connector;
mod database;
mod db;
mod events;
mod insight;
mod keys;
mod look;
mod manager;
mod rule;
mod scheduler;
mod secret;
mod serve;
mod setup;
mod staging;
mod standby;
mod status;
mod upgrade;

pub use activate::{ActivateArgs, activate, by_old_name};
pub use backup::{BackupArgs, BackupCommand, RestoreArgs, restore, verify as backup_verify};
pub use config::{
    apply as config_apply, check as config_check, import_aadconnect as config_import_aadconnect,
    init as config_init,
};
pub use database::{has_database, server as database_server};
pub use db::move_;
pub use events::{EventsArgs, events};
pub use keys::{KeysCommand, check_right as check_right_to_keys, keys, may_look_into, may_read_keys};
pub use look::eval;
pub use rule::test as rule_test;
pub use scheduler::daemon;
pub use secret::{must_be_no_secret, read as read_secret, secret};
pub use serve::serve;
pub use setup::{SetupArgs, UninstallArgs, hide_argument, new_spelling, setup, uninstall};
pub use staging::StagingCommand;
pub use standby::{StandbyCommand, standby};
pub use upgrade::upgrade;

use onesync_service::{CycleReport, Service, Status, Step};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{Command, ConfigCommand, DbCommand, RuleCommand};
use crate::output::{Output, say};

/// Leaves no core dump, and nothing in memory to other users.
pub fn keep_private() {
    onesync_service::events::look_around();
    if let Err(error) = onesync_service::process::keep_private() {
        eprintln!(
            "warning: this process cannot be closed to others ({error}): a core dump of it would hold secrets"
        );
    }
}

/// Runs a command on an open installation.
pub async fn run(
    service: Service,
    command: Command,
    wishes: Option<Wishes>,
    out: &Output,
) -> anyhow::Result<Status> {
    if let Some(wishes) = wishes {
        wishes.carry_out(&service);
    }
    match command {
        Command::Activate(_)
        | Command::Demo(_)
        | Command::Eval(_)
        | Command::Db(DbCommand::Move(_))
        | Command::Events(_)
        | Command::Restore(_)
        | Command::Keys(_)
        | Command::Serve
        | Command::Standby(_)
        | Command::Setup(_)
        | Command::Uninstall(_)
        | Command::Upgrade(_)
        | Command::Config(
            ConfigCommand::Init(_) | ConfigCommand::Apply(_) | ConfigCommand::ImportAadconnect(_),
        ) => {
            anyhow::bail!("this command needs no installation")
        }
        Command::Config(ConfigCommand::Check { folder }) => config::check(&service, &folder, out).await,
        Command::Config(ConfigCommand::Plan { folder }) => config::plan(&service, &folder, out).await,
        Command::Config(ConfigCommand::Export { folder, version }) => {
            config::export(&service, &folder, version)
        }
        Command::Config(ConfigCommand::History) => config::history(&service, out),
        Command::Rule(RuleCommand::Test { folder }) => rule::test(&service, folder.as_deref(), out).await,
        Command::Secret(command) => secret(&service, &command, out),
        Command::Connector(command) => connector::connector(&service, command, out).await,
        Command::Run { connector, step } => {
            let Some(step) = Step::parse(&step) else {
                let report =
                    service.run_profile(&connector, &step, &|progress| out.progress(progress)).await?;
                cycle_report(&report, out)?;
                return Ok(report.status.unwrap_or(Status::Done));
            };
            let report = service.run_step(&connector, step, &|progress| out.progress(progress)).await?;
            if out.is_json() {
                out.json(&report)?;
            }
            Ok(report.status)
        }
        Command::Cycle { kind } => {
            let report = service.cycle(kind.into(), &|progress| out.progress(progress)).await?;
            cycle_report(&report, out)?;
            staging::remind(&service)?;
            Ok(report.exit_status())
        }
        Command::Backup(args) => backup::backup(&service, &args, out),
        Command::Scheduler(command) => scheduler::scheduler(&service, command, out).await,
        Command::Staging(command) => staging::staging(&service, command, out),
        Command::Held(command) => staging::held(&service, command, out),
        Command::Search(command) => look::search(&service, command, out),
        Command::Show { object } => look::show(&service, &object, out),
        Command::Preview { connector, object, attributes, object_type } => {
            let supposed = attributes.map(|given| insight::supposed(&given, object_type)).transpose()?;
            insight::preview(&service, &connector, &object, supposed.as_ref(), out)
        }
        Command::Explain { object, attribute } => {
            insight::explain(&service, &object, attribute.as_deref(), out)
        }
        Command::Pending { connector, limit } => look::pending(&service, &connector, limit, out),
        Command::Errors { connector, limit } => look::errors(&service, connector.as_deref(), limit, out),
        Command::History { object, limit } => look::history(&service, object.as_deref(), limit, out),
        Command::Db(command) => db::db(&service, command, out),
        Command::Status => status::status(&service, out),
    }
}

/// Wishes of the system, the terminal or a person that this process end; noted from the moment this is made.
pub struct Wishes {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Wishes {
    /// From here on the process does not end by a signal itself.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one, by name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }

    /// Has them carried out by the work under way: after its next transaction. Asked a second time, the process ends
    /// at once.
    fn carry_out(mut self, service: &Service) {
        let stopper = service.stopper();
        // A task of its own: a sync keeps its thread busy.
        tokio::spawn(async move {
            let why = asked_to_end(self.next().await);
            stopper.stop(&why);
            eprintln!("stops: {why}"); // what is under way may take its time
            let name = self.next().await;
            eprintln!("error: ended at once ({name})");
            std::process::exit(Status::Failed as i32);
        });
    }
}

/// What a signal means.
pub fn asked_to_end(name: &str) -> String {
    format!("this process was asked to end ({name})")
}

/// Shows how a cycle ended.
fn cycle_report(report: &CycleReport, out: &Output) -> anyhow::Result<()> {
    for failure in &report.failures {
        eprintln!("error: {}, {}: {}", failure.connector, failure.step.as_str(), failure.message);
        if let Some(hint) = &failure.hint {
            eprintln!("hint: {hint}");
        }
    }
    if !report.owed.is_empty() {
        eprintln!("full imports: that of {} was owed before anything is exported", report.owed.join(", "));
    }
    for warning in &report.room {
        eprintln!("warning: {warning}");
    }
    for why in &report.stopped {
        eprintln!("stopped: {why}; `onesync held list` shows what waits");
    }
    for unplaced in &report.unplaced {
        eprintln!(
            "{0} {1} of `{2}` are not in the metaverse: {3}; `onesync search cs {2} \"no join value\"` lists them",
            unplaced.count, unplaced.object_type, unplaced.connector, unplaced.reason
        );
    }
    if report.errors > 0 {
        eprintln!("{} objects have errors: `onesync errors` lists them", report.errors);
    }
    if report.exported.held > 0 {
        eprintln!("{} changes are held by protections: `onesync held list`", report.exported.held);
    }
    if out.is_json() {
        return out.json(report);
    }
    let (i, e) = (&report.imported, &report.exported);
    say!(
        "imported {} added, {} updated, {} deleted, {} unchanged; exported {} created, {} updated, {} deleted, {} links; {} confirmed, {} held, {} errors ({:.1} s)",
        i.add,
        i.update,
        i.delete,
        i.unchanged,
        e.add,
        e.update,
        e.delete,
        e.links,
        report.confirmed,
        e.held,
        report.errors,
        report.seconds
    );
    Ok(())
}
