//! `db`: the database itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use onesync_service::{
    Cell, DatabaseStatus, Home, Maintained, Moving, Service, Status, SystemClock, move_database,
    size_words as bytes,
};
use serde_json::{Value as Json, json};

use super::{Wishes, asked_to_end, database};
use crate::args::{DbCommand, MoveArgs};
use crate::output::{Output, say, short_time, table};

/// How often is told how far it is.
const TELL: Duration = Duration::from_secs(2);

/// `db`, but moving.
pub fn db(service: &Service, command: DbCommand, out: &Output) -> anyhow::Result<Status> {
    match command {
        DbCommand::Move(_) => anyhow::bail!("this command needs no open installation"),
        DbCommand::Status => {
            let status = service.database_status()?;
            if out.is_json() {
                out.json(&status)?;
            } else {
                print(&status);
            }
            Ok(if status.warnings.is_empty() { Status::Done } else { Status::ObjectErrors })
        }
        DbCommand::Query { sql, limit } => query(service, &sql, limit, out),
        DbCommand::Maintain { now } => {
            if !now && !service.maintenance_is_due()? {
                eprintln!("not due: the last one is less than a day ago; `--now` does it in any case");
                return Ok(Status::Done);
            }
            let done = service.maintain(&|what| eprintln!("{what} ..."))?;
            if out.is_json() {
                out.json(&done)?;
            } else {
                say!("{}", maintained(&done));
            }
            Ok(Status::Done)
        }
    }
}

/// What maintenance did, as a line.
pub fn maintained(done: &Maintained) -> String {
    format!(
        "database maintained: {} old rows deleted, {} given back to the disk ({} before, {} after), in {:.1} s",
        done.rows,
        bytes(done.freed),
        bytes(done.before),
        bytes(done.after),
        done.seconds
    )
}

fn query(service: &Service, sql: &str, limit: usize, out: &Output) -> anyhow::Result<Status> {
    let answer = service.query(sql, limit)?;
    let value = |cell: &Cell| match cell {
        Cell::Null => Json::Null,
        Cell::Integer(number) => json!(number),
        Cell::Number(number) => json!(number),
        Cell::Boolean(yes) => json!(yes),
        Cell::Text(text) => json!(text),
    };
    if out.is_json() {
        let rows: Vec<Json> = answer.rows.iter().map(|row| row.iter().map(value).collect()).collect();
        out.json(&json!({"columns": answer.columns, "rows": rows, "more": answer.more}))?;
    } else {
        let columns: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
        let rows =
            answer.rows.iter().map(|row| row.iter().map(|cell| crate::output::text(&value(cell))).collect());
        say!("{}", table(&columns, rows));
        if answer.more {
            eprintln!("there are more rows: `--limit` shows more than {limit}");
        }
    }
    Ok(Status::Done)
}

fn print(status: &DatabaseStatus) {
    let never = || "never".to_owned();
    say!("{} {}: {}", status.kind, status.version, status.place);
    say!("  open it by: {}", status.open_with);
    let unused = status.unused.map_or_else(String::new, |unused| format!(", {} of it unused", bytes(unused)));
    let log = status.log.map_or_else(String::new, |log| format!("; its log {}", bytes(log)));
    say!("  {}{unused}{log}", bytes(status.bytes));
    let growth = match status.growth_per_day {
        None => "not known yet: it is noted once a day".to_owned(),
        Some(growth) if growth < 0 => format!("{} less a day", bytes(growth.unsigned_abs())),
        Some(growth) => format!("{} a day", bytes(growth.unsigned_abs())),
    };
    say!("growth: {growth}");
    for space in &status.room {
        say!(
            "room: {}: {} of {} free ({} percent taken)",
            space.what,
            bytes(space.free()),
            bytes(space.of),
            space.percent()
        );
    }
    match status.full_in_days {
        Some(days) => say!("forecast: full in {days} days"),
        None => say!("forecast: none"),
    }
    say!(
        "oldest change of an object: {}",
        status.oldest_history.as_deref().map_or_else(|| "none".to_owned(), short_time)
    );
    say!("oldest run: {}", status.oldest_run.as_deref().map_or_else(|| "none".to_owned(), short_time));
    say!(
        "last maintenance: {}",
        status.maintained.as_ref().map_or_else(never, |done| format!(
            "{}: {}",
            short_time(&done.when),
            maintained(done)
        ))
    );
    say!("last backup: {}", status.backup.clone().unwrap_or_else(never));
    if let Some(moved) = &status.moved {
        say!("{moved}");
    }
    let rows =
        status.tables.iter().map(|size| vec![size.table.clone(), bytes(size.bytes), bytes(size.indices)]);
    say!("\n{}", table(&["table", "rows", "indices"], rows));
    for warning in &status.warnings {
        say!("\nALARM: {warning}");
    }
}

/// `db move`: a signal ends it, and the database works as before; a second one ends it at once.
pub async fn move_(home: Home, args: &MoveArgs, out: &Output) -> anyhow::Result<Status> {
    let target = database::named(&args.to, args.password_file.as_deref(), "--password-file")?;
    let asked: Arc<Mutex<Option<String>>> = Arc::default();
    let mut wishes = Wishes::new()?;
    let noted = asked.clone();
    tokio::spawn(async move {
        let why = asked_to_end(wishes.next().await);
        *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        let name = wishes.next().await;
        eprintln!(
            "error: ended at once ({name}); the database works as before, unless the move was at its very end"
        );
        std::process::exit(Status::Failed as i32);
    });
    let work = tokio::task::spawn_blocking(move || {
        let last = Mutex::new(None);
        let tell = |moving: Moving| tell(&last, &moving);
        let stop = || asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        move_database(&home, &SystemClock, &target, &tell, &stop)
    });
    let report = work.await??;
    if let Some(why) = &report.not_marked {
        eprintln!(
            "warning: the move is done, but the databases could not be marked yet; they are when the home is opened next: {why}"
        );
    }
    if let Some(why) = &report.not_noted {
        eprintln!("warning: the move is done, but could not be noted among the events: {why}");
    }
    if out.is_json() {
        out.json(&report)?;
        return Ok(Status::Done);
    }
    say!("moved from {} to {}", report.from, report.to);
    say!(
        "{} rows in {} tables, read from both sides and equal; {} of them changed while they were copied",
        report.rows,
        report.tables.len(),
        report.changed
    );
    say!(
        "copied in {:.1} s beside the service; nobody could write for {:.1} s",
        report.copying_seconds,
        report.fenced_seconds
    );
    say!("the old database is kept as it is, marked and not written any more");
    Ok(Status::Done)
}

/// Tells how far it is, from time to time.
fn tell(last: &Mutex<Option<(Instant, u8)>>, moving: &Moving) {
    let (kind, text) = match moving {
        Moving::Copying(table, rows) => {
            (0, format!("copying while the service goes on: {table}, {rows} rows"))
        }
        Moving::Waiting(who) => (1, format!("copied; waiting for work to end: {who}")),
        Moving::Comparing(table, rows) => (2, format!("comparing while nobody writes: {table}, {rows} rows")),
    };
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let again = last.is_none_or(|(when, before)| kind != before || (kind != 1 && when.elapsed() >= TELL));
    if again {
        eprintln!("{text}");
        *last = Some((Instant::now(), kind));
    }
}
