//! `standby`: the servers of a database, and what this one does while it is not the active one.

use std::sync::Arc;

use clap::Subcommand;
use onesync_service::activate::takes_it_back;
use onesync_service::{Home, Service, ServiceError, StandbyMode, Status, SystemClock};
use serde_json::json;

use crate::output::{Output, say, short_time};

/// `standby`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum StandbyCommand {
    /// The servers of the database, and how this one stands by
    Status,
    /// Look only, while another server is the active one
    Off,
    /// Be ready, and wait for a person
    Manual,
    /// Take over when the active server is gone
    Automatic,
    /// Take over now
    Take {
        /// Also when the active server is there
        #[arg(long)]
        yes: bool,
        /// Also without the keys of what is sealed in the database: `keys abandon` gives that up then
        #[arg(long)]
        without_keys: bool,
    },
}

/// `standby`.
pub async fn standby(home: Home, command: StandbyCommand, out: &Output) -> anyhow::Result<Status> {
    let mode = match command {
        StandbyCommand::Off => StandbyMode::Off,
        StandbyCommand::Manual => StandbyMode::Manual,
        StandbyCommand::Automatic => StandbyMode::Automatic,
        StandbyCommand::Status => return show(&open(home).await?, out),
        StandbyCommand::Take { yes, without_keys } => return take(&open(home).await?, yes, without_keys),
    };
    home.set_standby(mode)?;
    eprintln!("while another server is the active one, this one {}", words(mode));
    if mode == StandbyMode::Off {
        return Ok(Status::Done);
    }
    // It is set all the same: a database that does not answer now is no reason against it.
    let lacks = match open(home).await {
        Ok(service) => service.lacks_keys()?,
        Err(error) => {
            eprintln!("warning: whether it has the keys for that was not looked at: {error:#}");
            None
        }
    };
    let Some(lacks) = lacks else { return Ok(Status::Done) };
    let hint = lacks.hint().map(str::to_owned);
    Err(ServiceError::Held { message: format!("it does not take over as things are: {lacks}"), hint }.into())
}

fn words(mode: StandbyMode) -> &'static str {
    match mode {
        StandbyMode::Off => "looks only",
        StandbyMode::Manual => "stands by, and waits for `onesync standby take`",
        StandbyMode::Automatic => "stands by, and takes over when that one is gone (`onesync serve` does it)",
    }
}

async fn open(home: Home) -> anyhow::Result<Service> {
    Ok(Service::open(home, Arc::new(SystemClock), 1).await?)
}

fn show(service: &Service, out: &Output) -> anyhow::Result<Status> {
    let (mode, servers) = (service.home().standby()?, service.servers()?);
    let lacks = if mode == StandbyMode::Off { None } else { service.lacks_keys()? };
    let unfit = lacks.as_ref().map(ToString::to_string);
    if out.is_json() {
        let standing = service.standing().word();
        let standby = mode.as_str();
        out.json(&json!({"standing": standing, "standby": standby, "unfit": unfit, "servers": servers}))?;
        return Ok(Status::Done);
    }
    let but = |unfit: Option<&str>| unfit.map_or(String::new(), |why| format!(", does not take over: {why}"));
    let own = but(unfit.as_deref());
    say!("this server: {}, standby {}{own}", service.standing().word(), mode.as_str());
    for server in servers {
        let what = match (server.active, server.epoch) {
            (true, epoch) if server.is_stopped() => format!("active, epoch {epoch}, its daemon was stopped"),
            (true, epoch) => format!("active, epoch {epoch}"),
            (false, 0) => server.facts.mode.clone() + &but(server.facts.unfit.as_deref()),
            (false, epoch) => format!("not active any more, had epoch {epoch}"),
        };
        let here = if server.here { ", this one" } else { "" };
        say!("{}: {what}{here}; at {}", server.words(), short_time(&server.seen));
    }
    Ok(Status::Done)
}

fn take(service: &Service, yes: bool, without_keys: bool) -> anyhow::Result<Status> {
    let active = service.may_take_over(without_keys)?;
    if let Some(active) = active.filter(|_| !yes) {
        return Err(ServiceError::Held {
            message: format!(
                "{} is the active server, and is there: this one would take its place",
                active.words()
            ),
            hint: Some(
                "stop it, or run `onesync standby take --yes`: from then on that server writes nothing"
                    .to_owned(),
            ),
        }
        .into());
    }
    let epoch = service.take_over(None)?;
    eprintln!(
        "this server is the active one (epoch {epoch}); `onesync cycle` reads before anything is exported"
    );
    for name in service.who_would_take_over()? {
        eprintln!("warning: {}", takes_it_back(&name));
    }
    Ok(Status::Done)
}
