//! `scheduler`: whether cycles run by themselves.

use std::time::Duration;

use onesync_service::{Heart, SchedulerView, Service, Status};

use crate::args::SchedulerCommand;
use crate::output::{Output, say, short_time};

/// How often is looked whether a run has ended.
const LOOK: Duration = Duration::from_millis(200);

/// `scheduler`.
pub async fn scheduler(service: &Service, command: SchedulerCommand, out: &Output) -> anyhow::Result<Status> {
    let shows = matches!(command, SchedulerCommand::Status);
    match command {
        SchedulerCommand::On => {
            service.set_scheduler(true)?;
            eprintln!("the scheduler is on");
            if service.scheduler()?.daemon.is_none() {
                eprintln!("nobody runs cycles yet: `onesync serve` does");
            }
        }
        SchedulerCommand::Off { wait } => {
            service.set_scheduler(false)?;
            eprintln!("the scheduler is off: no cycle begins by itself");
            if service.is_worked_on() {
                eprintln!(
                    "{}",
                    if wait {
                        "waiting for the run under way ..."
                    } else {
                        "a run is under way, and goes on"
                    }
                );
            }
            while wait && service.is_worked_on() {
                tokio::time::sleep(LOOK).await;
            }
        }
        SchedulerCommand::Status => {}
    }
    if out.is_json() {
        out.json(&service.scheduler()?)?;
    } else if shows {
        print(&service.scheduler()?);
    }
    Ok(Status::Done)
}

/// The lines of `status` and `scheduler status`.
pub fn print(view: &SchedulerView) {
    let switch = if view.on { "on" } else { "off" };
    say!("scheduler: {switch}, {}", view.schedule.as_deref().unwrap_or("no schedule yet"));
    match (&view.daemon, &view.silent) {
        (None, Some(silent)) => {
            say!(
                "service: {silent}, runs and does not answer: it was stopped, or hangs (end that process, and start it anew)"
            );
        }
        (None, None) => say!("service: not running (`onesync serve` runs cycles when they are due)"),
        (Some(heart), _) => say!("{}", daemon(heart)),
    }
    if let Some(last) = &view.last {
        let ended = match (&last.ended, &last.result) {
            (Some(ended), Some(result)) => format!("ended {}: {result}", short_time(ended)),
            _ if view.working => "runs".to_owned(),
            _ => "did not end: its process was killed; the next one goes on from there".to_owned(),
        };
        let error = last.error.as_ref().map_or_else(String::new, |error| format!(" ({error})"));
        say!("last cycle: began {}, {ended}{error}", short_time(&last.began));
    }
    if let Some(next) = &view.next {
        say!("next cycle: {}", short_time(next));
    }
}

/// The daemon, in two lines.
pub fn daemon(heart: &Heart) -> String {
    let (process, since) = (heart.process, short_time(&heart.since));
    format!("service: process {process}, version {}, since {since}\n  {}", heart.version, doing(heart))
}

fn doing(heart: &Heart) -> String {
    let Some(step) = &heart.step else { return heart.doing.clone() };
    let of = step.of.map_or_else(String::new, |of| format!(" of {of}"));
    format!("{}: {} {}, {}{of} objects", heart.doing, step.connector, step.step, step.done)
}
