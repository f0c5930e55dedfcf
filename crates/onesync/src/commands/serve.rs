//! `serve`: the daemon as the system's service manager knows it.

use std::sync::Arc;
use std::time::Duration;

use onesync_service::{Daemon, Home, Status, SystemClock, Told};
use tokio::sync::watch;

use super::manager::Manager;
use super::{Wishes, asked_to_end, cycle_report};
use crate::args::Format;
use crate::output::Output;

/// `serve`: until a signal; a second one ends it at once.
pub async fn serve(home: Home, format: Format) -> anyhow::Result<Status> {
    crate::output::go_on_unread();
    let mut wishes = Wishes::new()?;
    let (ask, stop) = watch::channel(None);
    let manager = Manager::new()?;
    let told = manager.clone();
    tokio::spawn(async move {
        let why = asked_to_end(wishes.next().await);
        // First of all: who is told may keep us waiting.
        ask.send_replace(Some(why.clone()));
        told.stopping();
        eprintln!("stops: {why}");
        let name = wishes.next().await;
        eprintln!("error: ended at once ({name})");
        std::process::exit(Status::Failed as i32);
    });
    if let Some(limit) = sd_notify::watchdog_enabled() {
        let manager = manager.clone();
        tokio::spawn(async move {
            let mut beats = tokio::time::interval((limit / 2).max(Duration::from_millis(10)));
            loop {
                beats.tick().await;
                manager.alive();
            }
        });
    }
    let (out, hears) = (Output::new(format), manager.clone());
    let daemon = Daemon {
        home,
        clock: Arc::new(SystemClock),
        threads: crate::threads(),
        stop,
        tell: Arc::new(move |what| tell(what, &hears, &out)),
    };
    let ended = daemon.run().await;
    manager.end();
    ended?;
    Ok(Status::Done)
}

fn tell(what: Told, manager: &Manager, out: &Output) {
    match what {
        Told::Ready => {
            eprintln!("serves; `onesync status` says how it is");
            manager.ready();
        }
        Told::Doing(what) => manager.status(what),
        Told::Cycle(ended) => match *ended {
            Ok(report) => {
                if let Err(error) = cycle_report(&report, out) {
                    eprintln!("error: {error:#}");
                }
            }
            Err(error) => trouble(&error),
        },
        Told::Maintained(ended) => match *ended {
            Ok(done) => eprintln!("{}", super::db::maintained(&done)),
            Err(error) => trouble(&error),
        },
        Told::BackedUp(ended) => match *ended {
            Ok(report) => {
                eprintln!("{}", super::backup::backed_up(&report));
                if let Some(why) = &report.not_restorable {
                    eprintln!("warning: {why}");
                }
            }
            Err(error) => trouble(&error),
        },
        Told::Trouble(error) => trouble(&error),
    }
}

fn trouble(error: &onesync_service::ServiceError) {
    eprintln!("error: {error}");
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
}
