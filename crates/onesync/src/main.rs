//! OneSync: the one binary, command line and demonstration.
//!
//! Data goes to stdout, talk to stderr. Exit status: 0 done; 1 failed; 2 wrong usage; 3 done, with object errors;
//! 4 held back by a protection.

#[macro_use]
mod talk;
mod args;
mod commands;
mod demo;
mod output;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser as _;
use onesync_service::{
    Configuration, DatabaseServer, Home, Service, ServiceError, Status, SystemClock, read_folder,
};

use args::{Args, Command};
use commands::{BackupArgs, BackupCommand};
use output::Output;

/// The system's allocator gives memory back and takes it again with each batch, and keeps an arena for each thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is logged when nobody says: errors of database servers are told where they matter, not by a library.
const FILTER: &str = "warn,tiberius=off,deadpool.postgres=off";

fn main() -> ExitCode {
    let given = commands::by_old_name(std::env::args_os().collect());
    if let Err(error) = commands::must_be_no_secret(&given) {
        return failed(&error.into());
    }
    let (given, password) = match commands::new_spelling(given) {
        Ok(read) => read,
        Err(wrong) => {
            eprintln!("error: {}\nhint: {}", wrong.why, wrong.hint);
            return ExitCode::from(Status::Usage as u8);
        }
    };
    let mut args = Args::parse_from(given);
    if let Command::Setup(setup) = &mut args.command {
        setup.options.account_password = password;
    }
    // What hides a password that stood on the command line has to write this process's memory first.
    if !matches!(args.command, Command::Setup(_) | Command::Activate(_)) {
        commands::keep_private();
    }
    let filter = tracing_subscriber::EnvFilter::try_from_env("ONESYNC_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(FILTER));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::from(Status::Failed as u8);
        }
    };
    let ended = if let Command::Demo(options) = &args.command {
        demo::run(runtime, options, &Output::new(args.format))
    } else {
        let home = home_of(&args);
        let ended = runtime.block_on(run(args));
        if let Err(error) = onesync_service::setup::give_back(&home) {
            eprintln!("warning: {error}");
        }
        // What still waits for a file or a server that does not answer is not waited for.
        runtime.shutdown_background();
        ended
    };
    match ended {
        Ok(status) => ExitCode::from(status as u8),
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    let (status, hint) = match error.downcast_ref::<ServiceError>() {
        Some(error) => (error.status(), error.hint().map(str::to_owned)),
        None => (Status::Failed, None),
    };
    eprintln!("error: {}", told(error));
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(status as u8)
}

/// An error with its causes; what an outer message says already is not said again.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

async fn run(args: Args) -> anyhow::Result<Status> {
    let out = Output::new(args.format);
    let home = home_of(&args);
    match args.command {
        Command::Eval(options) => commands::eval(&options),
        Command::Config(args::ConfigCommand::Init(options)) => commands::config_init(&options),
        Command::Config(args::ConfigCommand::ImportAadconnect(options)) => {
            commands::config_import_aadconnect(&options, &out).await
        }
        Command::Config(args::ConfigCommand::Apply(options)) => {
            if !home.exists() {
                let server = commands::database_server(&options.database)?;
                // A configuration with mistakes makes no installation.
                check_without_home(&home, &options.folder, None).await?;
                create(&home, server.as_ref())?;
            } else if options.database.database.is_some() {
                return Err(commands::has_database(&home));
            }
            commands::config_apply(&open(home).await?, &options, &out).await
        }
        Command::Config(args::ConfigCommand::Check { folder }) if !home.exists() => {
            check_without_home(&home, &folder, Some(&out)).await
        }
        Command::Rule(args::RuleCommand::Test { folder: Some(folder) }) if !home.exists() => {
            let (_place, service) = scratch(&home).await?;
            commands::rule_test(&service, Some(&folder), &out).await
        }
        Command::Secret(args::SecretCommand::Set { name, file }) if !home.exists() => {
            // Nothing is made for a secret that is not one.
            let value = commands::read_secret(file.as_deref())?;
            create(&home, None)?;
            open(home).await?.set_secret(&name, &value)?;
            eprintln!("secret `{name}` is set");
            Ok(Status::Done)
        }
        Command::Keys(command) => {
            commands::check_right_to_keys(&home, &command)?;
            commands::keys(&open(home).await?, command, &out)
        }
        Command::Upgrade(args) => commands::upgrade(home, args, &out).await,
        Command::Db(args::DbCommand::Move(options)) => commands::move_(home, &options, &out).await,
        Command::Backup(BackupArgs { command: Some(BackupCommand::Verify { file, keys }), .. }) => {
            commands::backup_verify(&home, &file, &keys, &out)
        }
        command @ Command::Backup(
            BackupArgs { include_keys: true, .. }
            | BackupArgs { command: Some(BackupCommand::Schedule { include_keys: true, .. }), .. },
        ) => {
            let line = match &command {
                Command::Backup(BackupArgs { command: None, .. }) => "backup --include-keys DIR",
                _ => "backup schedule DIR --include-keys --recipient age1...",
            };
            commands::may_read_keys(&home, line)?;
            commands::run(open(home).await?, command, None, &out).await
        }
        command @ Command::Backup(_) => {
            commands::may_look_into(&home, "backup DIR")?;
            commands::run(open(home).await?, command, None, &out).await
        }
        Command::Restore(args) => commands::restore(home, &args, &out).await,
        Command::Setup(args) => commands::setup(home, *args, &out).await,
        Command::Uninstall(args) => commands::uninstall(home, &args, &out),
        Command::Activate(args) => commands::activate(home, *args, &out).await,
        Command::Events(args) => {
            commands::may_look_into(&home, "events")?;
            commands::events(&home, &args, &out).await
        }
        Command::Serve => commands::serve(home, args.format).await,
        Command::Standby(command) => commands::standby(home, command, &out).await,
        command @ (Command::Cycle { .. } | Command::Run { .. }) => {
            // Opening may wait for directories: a wish that comes meanwhile is no lost one.
            let mut wishes = commands::Wishes::new()?;
            let service = tokio::select! {
                service = open(home) => service?,
                name = wishes.next() => {
                    return Err(ServiceError::Stopped { why: commands::asked_to_end(name) }.into());
                }
            };
            commands::run(service, command, Some(wishes), &out).await
        }
        command => {
            let tells =
                matches!(command, Command::Status | Command::Scheduler(args::SchedulerCommand::Status));
            let opened = open(home.clone()).await;
            if let (Err(_), true, Some(heart)) = (&opened, tells, home.daemon()) {
                eprintln!("{}", commands::daemon(&heart));
            }
            commands::run(opened?, command, None, &out).await
        }
    }
}

fn create(home: &Home, server: Option<&DatabaseServer>) -> anyhow::Result<()> {
    home.create_on(server, &SystemClock)
        .with_context(|| format!("no installation can be made in {}", home.folder().display()))?;
    eprintln!("made a new installation in {}", home.folder().display());
    Ok(())
}

/// Checks a configuration where there is no installation yet; with an output, as `config check` does.
async fn check_without_home(
    home: &Home,
    folder: &std::path::Path,
    out: Option<&Output>,
) -> anyhow::Result<Status> {
    let (_place, service) = scratch(home).await?;
    match out {
        Some(out) => commands::config_check(&service, folder, out).await,
        None => {
            let check = service.check(Configuration::parse(read_folder(folder)?)?).await?;
            check.error().map_or(Ok(Status::Done), |error| Err(error.into()))
        }
    }
}

/// A service on a home that is gone with what is beside it, standing for one that does not exist yet.
async fn scratch(home: &Home) -> anyhow::Result<(tempfile::TempDir, Service)> {
    let place = tempfile::tempdir()?;
    let scratch = Home::new(place.path().join("check"));
    scratch.create(&SystemClock)?;
    let service = Service::open_from(scratch, home.folder().to_owned(), Arc::new(SystemClock), 1).await?;
    Ok((place, service))
}

async fn open(home: Home) -> anyhow::Result<Service> {
    Ok(Service::open(home, Arc::new(SystemClock), threads()).await?)
}

/// Threads of a sync: as many as there are processors.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The home that is meant, by a path that is good from everywhere: it is told, and noted in databases.
fn home_of(args: &Args) -> Home {
    let folder = args.home.clone().unwrap_or_else(|| {
        Home::default_folder(
            onesync_service::account::is_root(),
            std::env::var_os("XDG_STATE_HOME").map(Into::into),
            std::env::var_os("HOME").map(Into::into),
        )
    });
    Home::new(std::path::absolute(&folder).unwrap_or(folder))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    #[test]
    fn nothing_is_said_twice() {
        let inner: anyhow::Result<()> = Err(anyhow::anyhow!("no such file"));
        let error = inner.context("/x: no such file").context("connector `a`").unwrap_err();
        assert_eq!(super::told(&error), "connector `a`: /x: no such file");
    }
}
