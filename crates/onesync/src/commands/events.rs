//! `events`: what people did and what happened. It needs the database alone: no key set, no configuration, no active server.

use std::time::Duration;

use anyhow::bail;
use clap::{Args as ClapArgs, Subcommand};
use onesync_service::events::{EventView, Events, Level, Wanted};
use onesync_service::{Home, ServiceError, Status};

use super::Wishes;
use crate::output::{Output, say, short_time, table};

/// How often is looked for new ones.
const LOOK: Duration = Duration::from_secs(1);

/// Options of `events`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct EventsArgs {
    /// Go on as they come
    #[arg(long)]
    pub follow: bool,
    /// From a time on: 2026-01-31T08:00:00Z, or so long ago: 30m, 12h, 7d
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Of this number
    #[arg(long)]
    pub number: Option<u16>,
    /// As grave as this, or graver: error, warning, notice, info
    #[arg(long)]
    pub level: Option<String>,
    /// Most events, the newest ones
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// What else
    #[command(subcommand)]
    pub command: Option<EventsCommand>,
}

/// What else there is to do with events.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Look whether none was changed or taken out
    Verify,
}

/// `events`.
pub async fn events(home: &Home, args: &EventsArgs, out: &Output) -> anyhow::Result<Status> {
    let wanted = Wanted {
        since: args.since.as_deref().map(since).transpose()?,
        number: args.number,
        level: args.level.as_deref().map(level).transpose()?,
    };
    let events = Events::open(home)?;
    match args.command {
        Some(EventsCommand::Verify) => verify(&events, out),
        None if args.follow => follow(&events, &wanted, args.limit, out).await,
        None => {
            let (found, _) = events.newest(&wanted, args.limit)?;
            match out.is_json() || found.is_empty() {
                true => out.list(&found, &[], |_| Vec::new())?,
                false => say!("{}", table(&HEAD, found.iter().map(cells))),
            }
            Ok(Status::Done)
        }
    }
}

const HEAD: [&str; 6] = ["number", "time", "level", "event", "who", "what"];

fn cells(event: &EventView) -> Vec<String> {
    let number = event.number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let (seq, time, level) =
        (event.seq.to_string(), short_time(&event.time), event.level.as_str().to_owned());
    vec![seq, time, level, number, who(event), what(event)]
}

fn what(event: &EventView) -> String {
    match event.details.as_str() {
        "" => event.message.clone(),
        details => format!("{}: {details}", event.message),
    }
}

/// Account, machine, and where the person sits.
fn who(event: &EventView) -> String {
    let host = event.host.as_deref().map(|host| format!("@{host}")).unwrap_or_default();
    let from = event.ssh.as_ref().or(event.terminal.as_ref()).map(|from| format!(" ({from})"));
    format!("{}{host}{}", event.who, from.unwrap_or_default())
}

/// Those that are wanted, and what comes; until a signal.
async fn follow(events: &Events, wanted: &Wanted, limit: usize, out: &Output) -> anyhow::Result<Status> {
    let mut wishes = Wishes::new()?;
    let (mut found, mut at) = events.newest(wanted, limit)?;
    loop {
        for event in &found {
            match out.is_json() {
                true => say!("{}", serde_json::to_string(event)?),
                false => say!("{}", cells(event).join("  ")),
            }
        }
        let had = at;
        (found, at) = events.after(at, wanted)?;
        if at == had {
            tokio::select! {
                _ = wishes.next() => return Ok(Status::Done),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// `events verify`.
fn verify(events: &Events, out: &Output) -> anyhow::Result<Status> {
    let report = events.verify()?;
    let newest = match (report.newest, &report.chain) {
        (Some(seq), Some(chain)) => format!("newest: {seq} {chain}"),
        _ => "there is none".to_owned(),
    };
    if out.is_json() {
        out.json(&report)?;
    } else if report.broken.is_none() {
        say!("{} events, none was changed or taken out; {newest}", report.events);
    } else {
        say!("{} events are as they were written; {newest}", report.events);
    }
    if report.without_chain > 0 {
        eprintln!(
            "{} older ones were written by a program without a chain, and are not checked",
            report.without_chain
        );
    }
    match report.broken {
        None => Ok(Status::Done),
        Some(broken) => {
            let how = match broken.removed {
                true => "was taken out, or the one after it was put there by somebody else",
                false => "was changed, or put there by somebody else",
            };
            eprintln!("error: event {} {how}", broken.event);
            eprintln!(
                "hint: compare with what the system's journal has (`journalctl ONESYNC_SEQ={}`)",
                broken.event
            );
            Ok(Status::Failed)
        }
    }
}

fn level(text: &str) -> anyhow::Result<Level> {
    let known = || Level::ALL.map(Level::as_str).join(", ");
    Level::parse(text).ok_or_else(|| {
        let message = format!("`{text}` is no level");
        ServiceError::Usage { message, hint: Some(format!("levels are: {}", known())) }.into()
    })
}

/// A time, or so long ago.
fn since(text: &str) -> anyhow::Result<onesync_service::Time> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let now = jiff::Timestamp::now();
    let ago = text.parse::<jiff::SignedDuration>().ok().or_else(|| {
        text.strip_suffix('d')?.parse().ok().map(|days: i64| jiff::SignedDuration::from_hours(24 * days))
    });
    match ago.and_then(|ago| now.checked_sub(ago).ok()) {
        Some(time) => Ok(onesync_service::Time::from_jiff(time)),
        None => bail!(ServiceError::Usage {
            message: format!("`{text}` is no time"),
            hint: Some("write a time as 2026-01-31T08:00:00Z, or how long ago: 30m, 12h, 7d".to_owned()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(since("2026-01-31T08:00:00Z").unwrap().to_string(), "2026-01-31T08:00:00Z");
        let (day, hours) = (since("1d").unwrap(), since("24h").unwrap());
        assert!((day.seconds() - hours.seconds()).abs() < 10, "{day} {hours}");
        for wrong in ["", "yesterday", "d", "-"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
        assert!(level("grave").unwrap_err().to_string().contains("grave"));
    }
}
