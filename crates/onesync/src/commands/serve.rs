//! `serve`: the daemon as the system's service manager knows it.

use std::sync::Arc;
use std::time::Duration;

use onesync_service::{Daemon, Home, Status, SystemClock, Told};
use sd_notify::NotifyState;
use tokio::sync::watch;

use super::{Wishes, asked_to_end, cycle_report};
use crate::args::Format;
use crate::output::Output;

/// `serve`: until a signal; a second one ends it at once.
pub async fn serve(home: Home, format: Format) -> anyhow::Result<Status> {
    let mut wishes = Wishes::new()?;
    let (ask, stop) = watch::channel(None);
    tokio::spawn(async move {
        let why = asked_to_end(wishes.next().await);
        eprintln!("stops: {why}");
        notify(&[NotifyState::Stopping]);
        ask.send_replace(Some(why));
        let name = wishes.next().await;
        eprintln!("error: ended at once ({name})");
        std::process::exit(Status::Failed as i32);
    });
    if let Some(limit) = sd_notify::watchdog_enabled() {
        tokio::spawn(async move {
            let mut beats = tokio::time::interval((limit / 2).max(Duration::from_millis(10)));
            loop {
                beats.tick().await;
                notify(&[NotifyState::Watchdog]);
            }
        });
    }
    let out = Output::new(format);
    let daemon = Daemon {
        home,
        clock: Arc::new(SystemClock),
        threads: crate::threads(),
        stop,
        tell: Arc::new(move |what| tell(what, &out)),
    };
    daemon.run().await?;
    Ok(Status::Done)
}

fn tell(what: Told, out: &Output) {
    match what {
        Told::Ready => {
            eprintln!("serves; `onesync status` says how it is");
            notify(&[NotifyState::Ready]);
        }
        Told::Doing(what) => notify(&[NotifyState::Status(&what)]),
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

/// Tells the service manager; where there is none, nothing happens.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager does not listen: {error}");
    }
}
