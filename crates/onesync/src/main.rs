//! OneSync: the one binary, command line and demonstration.
//!
//! Data goes to stdout, talk to stderr. Exit status: 0 done; 1 failed; 2 wrong usage; 3 done, with object errors;
//! 4 held back by a protection.

mod args;
mod commands;
mod demo;
mod output;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use onesync_service::{Home, Service, ServiceError, Status, SystemClock};

use args::{Args, Command};
use output::Output;

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("ONESYNC_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::from(Status::Failed as u8);
        }
    };
    match runtime.block_on(run(args)) {
        Ok(status) => ExitCode::from(status as u8),
        Err(error) => {
            let (status, hint) = match error.downcast_ref::<ServiceError>() {
                Some(error) => (error.status(), error.hint().map(str::to_owned)),
                None => (Status::Failed, None),
            };
            eprintln!("error: {error:#}");
            if let Some(hint) = hint {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(status as u8)
        }
    }
}

async fn run(args: Args) -> anyhow::Result<Status> {
    let out = Output::new(args.format);
    let home = Home::new(args.home.clone().unwrap_or_else(default_home));
    match args.command {
        Command::Demo(options) => demo::run(&options, &out).await,
        Command::Eval(options) => commands::eval(&options, &out),
        Command::Config(args::ConfigCommand::Init(options)) => commands::config_init(&options),
        Command::Config(args::ConfigCommand::Apply(options)) => {
            if !home.exists() {
                home.create(&SystemClock)?;
                eprintln!("made a new installation in {}", home.folder().display());
            }
            let service = open(home).await?;
            commands::config_apply(&service, &options).await
        }
        Command::Config(args::ConfigCommand::Check { folder }) if !home.exists() => {
            let place = tempfile::tempdir()?;
            let home = Home::new(place.path().join("check"));
            home.create(&SystemClock)?;
            let service = open(home).await?;
            commands::config_check(&service, &folder).await
        }
        Command::Secret(ref command @ args::SecretCommand::Set { .. }) if !home.exists() => {
            home.create(&SystemClock)?;
            eprintln!("made a new installation in {}", home.folder().display());
            commands::secret(&open(home).await?, command, &out)
        }
        command => commands::run(open(home).await?, command, &out).await,
    }
}

async fn open(home: Home) -> anyhow::Result<Service> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Service::open(home, Arc::new(SystemClock), threads).await?)
}

fn default_home() -> std::path::PathBuf {
    let root = std::env::var("USER").is_ok_and(|user| user == "root");
    Home::default_folder(
        root,
        std::env::var_os("XDG_STATE_HOME").map(Into::into),
        std::env::var_os("HOME").map(Into::into),
    )
}
