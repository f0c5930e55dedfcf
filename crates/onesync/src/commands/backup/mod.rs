//! `backup` and `restore`.

mod args;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use onesync_service::backup::{
    self as work, AccountName, BackupReport, Failed, KeysInside, Rehearsal, RehearsedKeys, RestoreReport,
    Restoring, ScheduleChange, Unlock, VaultError, Verified,
};
use onesync_service::{Home, Service, ServiceError, Status, SystemClock, size_words as bytes};
use secrecy::SecretString;

pub use args::{BackupArgs, BackupCommand, RestoreArgs};
use args::{KeyFileArgs, RestoreCommand};

use super::{Wishes, asked_to_end, database};
use crate::output::{Output, plain, say, short_time};

/// How often is told how far it is.
const TELL: Duration = Duration::from_secs(2);

/// Tells how far work is, from time to time, and ends it when the process was asked to end.
struct Teller {
    asked: Arc<Mutex<Option<String>>>,
    last: Mutex<Option<Instant>>,
}

impl Teller {
    fn new() -> anyhow::Result<Self> {
        let asked: Arc<Mutex<Option<String>>> = Arc::default();
        let (mut wishes, noted) = (Wishes::new()?, asked.clone());
        tokio::spawn(async move {
            let why = asked_to_end(wishes.next().await);
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            let name = wishes.next().await;
            eprintln!("error: ended at once ({name})");
            std::process::exit(Status::Failed as i32);
        });
        Ok(Self { asked, last: Mutex::new(Some(Instant::now())) })
    }

    fn restoring(&self, what: Restoring) -> Result<(), ServiceError> {
        match what {
            Restoring::Reading(table, rows) => self.tell("reading the backup", &table, rows),
            Restoring::Filling(table, rows) => self.tell("writing", &table, rows),
            Restoring::Comparing(table, rows) => self.tell("comparing", &table, rows),
            Restoring::Marking | Restoring::Naming => Ok(()),
        }
    }

    fn tell(&self, doing: &str, table: &str, rows: u64) -> Result<(), ServiceError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|when| when.elapsed() >= TELL) {
            eprintln!("{doing}: {table}, {rows} rows");
            *last = Some(Instant::now());
        }
        match &*self.asked.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(why) => Err(ServiceError::Stopped { why: why.clone() }),
            None => Ok(()),
        }
    }
}

/// `backup`, but `verify`.
pub fn backup(service: &Service, args: &BackupArgs, out: &Output) -> anyhow::Result<Status> {
    match &args.command {
        Some(BackupCommand::Verify { .. }) => anyhow::bail!("this command needs no open installation"),
        Some(BackupCommand::Schedule { folder, every, keep, without_keys, include_keys, recipients }) => {
            if *include_keys && recipients.is_empty() {
                return Err(usage(
                    "a schedule knows no password, by which the keys could be sealed",
                    "name whom they are sealed to: `--recipient age1...` (`age-keygen` makes such a pair, whose identity stays away from \
                     this server); or take a backup by hand: `onesync backup DIR --include-keys`",
                ));
            }
            let change = ScheduleChange {
                folder: folder.as_deref(),
                every: every.as_deref(),
                keep: *keep,
                recipients: (*include_keys || *without_keys).then_some(recipients.as_slice()),
            };
            schedule(service, &change, out)
        }
        None => {
            let Some(place) = &args.place else {
                return Err(usage(
                    "where to is missing",
                    "name a folder, or a file that is not there yet: `onesync backup DIR`",
                ));
            };
            let by_account = match args.include_keys && args.recipients.is_empty() {
                true => {
                    let (named, file) = (args.account.as_deref(), args.password_file.as_deref());
                    Some(super::keys::exporting_account(service, named, file)?)
                }
                false => None,
            };
            let inside = match &by_account {
                Some((account, password)) => {
                    Some(KeysInside::Password { account: account.as_deref(), password })
                }
                None => args.include_keys.then_some(KeysInside::Recipients(&args.recipients)),
            };
            let teller = Teller::new()?;
            let report = tokio::task::block_in_place(|| {
                service.backup(place, inside.as_ref(), &|table, rows| teller.tell("backing up", table, rows))
            })?;
            if let Some(words) = &report.keys_inside {
                eprintln!(
                    "the keys are inside: {words} opens them. Keep it where nobody reads it: it is all that a new server needs"
                );
            }
            if let Some(why) = &report.not_noted {
                eprintln!("warning: the backup is taken, but could not be noted in the database: {why}");
            }
            if let Some(why) = &report.not_restorable {
                eprintln!("warning: {why}");
            }
            if out.is_json() {
                out.json(&report)?;
            } else {
                say!("{}", backed_up(&report));
            }
            Ok(restorable(report.not_restorable.as_deref()))
        }
    }
}

/// A backup that is of no use without its server is held back from being called one.
fn restorable(not: Option<&str>) -> Status {
    if not.is_some() { Status::Held } else { Status::Done }
}

/// What was backed up, as a line.
pub fn backed_up(report: &BackupReport) -> String {
    format!(
        "backup of {}, read through: {} ({}, {} rows, {:.1} s)",
        short_time(&report.taken.to_string()),
        report.file.display(),
        bytes(report.bytes),
        report.rows,
        report.seconds
    )
}

/// `backup verify`.
pub fn verify(home: &Home, file: &Path, keys: &KeyFileArgs, out: &Output) -> anyhow::Result<Status> {
    let teller = Teller::new()?;
    let ids: Option<Vec<String>> = match key_file(file, keys)? {
        None => None,
        Some((bytes, unlock)) => {
            let opened = work::open_key_file(&bytes, &unlock)?;
            Some(opened.keys.notes().into_iter().map(|note| note.id).collect())
        }
    };
    let known: Vec<&[String]> = ids.iter().map(Vec::as_slice).collect();
    let verified = tokio::task::block_in_place(|| {
        work::verify(home, file, &known, &|table, rows| teller.tell("reading", table, rows))
    })?;
    if out.is_json() {
        out.json(&verified)?;
    } else {
        print_verified(&verified, keys.key_file.is_none() && ids.is_some());
    }
    if let Some(why) = &verified.not_restorable {
        eprintln!("error: {why}");
    }
    Ok(restorable(verified.not_restorable.as_deref()))
}

fn print_verified(verified: &Verified, opened: bool) {
    let manifest = &verified.manifest;
    say!(
        "{}: {}, {} rows in {} tables, all as they were written",
        verified.file.display(),
        bytes(verified.bytes),
        verified.rows,
        manifest.tables.len()
    );
    say!(
        "installation {} (epoch {}), taken at {}{} by program {} of a database of kind `{}`",
        plain(&manifest.installation),
        manifest.epoch,
        plain(&short_time(&manifest.taken)),
        manifest.host.as_deref().map_or_else(String::new, |host| format!(" on {}", plain(host))),
        plain(&manifest.program),
        plain(&manifest.database)
    );
    let versions: Vec<String> =
        manifest.schema.iter().map(|(kind, version)| format!("{} {version}", plain(kind))).collect();
    say!("schema: {}", versions.join(", "));
    match manifest.keys.sealed_by.as_slice() {
        [] => say!("keys: none is needed"),
        keys => say!("keys: {}", plain(&keys.join(", "))),
    }
    if let Some(inside) = &manifest.keys.included {
        let how = if opened { "opened" } else { "not opened here" };
        say!("key file inside, {how}: {} opens it", plain(&inside.words()));
    }
    if let Some(export) = &manifest.keys.exported {
        say!("the key set was exported before it, at {}", plain(&export.exported));
    }
}

fn schedule(service: &Service, change: &ScheduleChange<'_>, out: &Output) -> anyhow::Result<Status> {
    let rest = ScheduleChange { folder: None, ..*change };
    match change.folder {
        Some(off) if off.as_os_str() == "off" && rest == ScheduleChange::default() => {
            service.set_backup_schedule(None, &[])?;
        }
        Some(off) if off.as_os_str() == "off" => {
            return Err(usage(
                "`off` ends the schedule, and takes nothing else",
                "`onesync backup schedule off`; or leave `off` out",
            ));
        }
        _ if *change == ScheduleChange::default() => {}
        _ => service.change_backup_schedule(change)?,
    }
    let view = service.backups()?;
    if out.is_json() {
        out.json(&view)?;
        return Ok(Status::Done);
    }
    match &view.schedule {
        None => say!("no backups are taken by themselves"),
        Some(schedule) => say!(
            "a backup every {} into {}, {} are kept; the daemon takes them (`onesync serve`)",
            schedule.every,
            schedule.folder.display(),
            schedule.keep
        ),
    }
    for recipient in view.schedule.iter().flat_map(|schedule| &schedule.recipients) {
        say!("with the keys inside, for {recipient}");
    }
    match &view.last {
        None => say!("last: none"),
        Some(last) => {
            say!("last: {}, {} ({})", short_time(&last.when), last.file, bytes(last.bytes));
            last.not_restorable.iter().for_each(|why| say!("it is {why}"));
        }
    }
    if let Some(Failed { when, why }) = &view.failed {
        say!("failed since: {}: {why}", short_time(when));
    }
    if let Some(next) = &view.next {
        say!("next: {}", short_time(next));
    }
    if view.schedule.is_some() && service.copy_of()?.is_some() {
        say!(
            "this is a copy that was restored: no backup is taken here until `onesync activate KEYFILE ACCOUNT PASSWORD`"
        );
    }
    if let Some(proven) = &view.rehearsed {
        let (when, taken) = (short_time(&proven.when), short_time(&proven.taken));
        match proven.not_proven() {
            None => say!("last proven restore: {when}, of the backup of {taken}"),
            Some(but) => say!("last rehearsed restore: {when}, of the backup of {taken}: {but}"),
        }
    }
    Ok(Status::Done)
}

/// The key file that is named, or the one in the backup, and what opens it; `None` where nothing is said about one.
fn key_file(backup: &Path, args: &KeyFileArgs) -> anyhow::Result<Option<(Vec<u8>, Unlock)>> {
    let text = |file: &Path| -> anyhow::Result<SecretString> {
        let bytes = super::read_secret(Some(file))?;
        Ok(SecretString::from(std::str::from_utf8(&bytes).context("it is no UTF-8 text")?))
    };
    let unlock = match (&args.identity, args.share_file.as_slice(), &args.account) {
        (Some(identity), ..) => Unlock::Identity(text(identity)?),
        (_, shares @ [_, ..], _) => {
            Unlock::Shares(shares.iter().map(|file| text(file)).collect::<anyhow::Result<_>>()?)
        }
        (.., Some(account)) => {
            let name = AccountName::parse(account).map_err(VaultError::from).map_err(ServiceError::from)?;
            let bytes = super::secret::read_asking(
                args.password_file.as_deref(),
                "its password:",
                "--password-file",
            )?;
            let typed = std::str::from_utf8(&bytes).context("the password is no UTF-8 text")?;
            let password = SecretString::from(typed);
            Unlock::Account { name, password }
        }
        _ if args.key_file.is_some() => {
            return Err(usage(
                "what opens the key file is missing",
                "`--account NAME` (and `--password-file FILE`), `--identity FILE` or `--share-file FILE`",
            ));
        }
        _ => return Ok(None),
    };
    let bytes = work::key_file_in(args.key_file.as_deref().unwrap_or(backup))?;
    Ok(Some((bytes, unlock)))
}

fn usage(message: &str, hint: &str) -> anyhow::Error {
    ServiceError::Usage { message: message.to_owned(), hint: Some(hint.to_owned()) }.into()
}

async fn rehearse(home: &Home, file: &Path, keys: &KeyFileArgs, out: &Output) -> anyhow::Result<Status> {
    let keys = key_file(file, keys)?;
    let keys = match &keys {
        None => RehearsedKeys::None,
        Some((bytes, unlock)) => RehearsedKeys::File(bytes, unlock),
    };
    let teller = Teller::new()?;
    let heard = |what: Restoring| teller.restoring(what);
    let done = work::rehearse(home, Arc::new(SystemClock), crate::threads(), file, &keys, &heard).await?;
    if let Some(why) = &done.not_noted {
        eprintln!("warning: it could not be noted in {}: {why}", home.folder().display());
    }
    if out.is_json() {
        out.json(&done)?;
    } else {
        print_rehearsal(&done);
    }
    Ok(if done.proven { Status::Done } else { Status::ObjectErrors })
}

fn print_rehearsal(done: &Rehearsal) {
    say!(
        "{}: installation {} as it was at {}; {} rows restored, its secrets opened, {} objects read ({:.1} s)",
        done.file.display(),
        done.installation,
        done.taken,
        done.rows,
        done.read,
        done.seconds
    );
    for away in &done.away {
        say!("not read, taken as it is in the backup: {away}");
    }
    for owed in &done.owed {
        say!(
            "{}: {} would be created, {} updated, {} deleted, {} link values written, that were not owed then",
            owed.connector,
            owed.create,
            owed.update,
            owed.delete,
            owed.links
        );
        for sample in &owed.samples {
            say!("    {sample}");
        }
    }
    match (done.owed.is_empty(), done.not_proven()) {
        (true, None) => {
            say!("proven: nothing would be written that was not owed then; the scratch place is removed");
        }
        (true, Some(but)) => say!("restored and opened; {but}; the scratch place is removed"),
        (false, _) => say!("not proven: look at what would be written; the scratch place is removed"),
    }
}

/// `restore`.
pub async fn restore(home: Home, args: &RestoreArgs, out: &Output) -> anyhow::Result<Status> {
    if let Some(RestoreCommand::Rehearse { file, keys }) = &args.command {
        return rehearse(&home, file, keys, out).await;
    }
    let Some(file) = args.file.clone() else {
        return Err(usage("which backup is missing", "`onesync restore FILE`"));
    };
    let place = file.clone();
    let to = database::named(&args.to, args.database_password_file.as_deref(), "--database-password-file")?;
    let teller = Teller::new()?;
    let work = tokio::task::spawn_blocking(move || {
        let heard = |what: Restoring| teller.restoring(what);
        work::restore(&home, &SystemClock, &file, &to, &heard)
    });
    let report = work.await??;
    if out.is_json() {
        out.json(&report)?;
        return Ok(Status::Done);
    }
    let RestoreReport { installation, epoch, taken, to, rows, upgraded, keys, keys_inside, seconds } =
        &report;
    say!("restored into {to}: installation {installation} (epoch {epoch}) as it was at {taken}");
    say!("{rows} rows, read back and equal ({seconds:.1} s)");
    if let Some((from, to)) = upgraded {
        say!("its schema had version {from} and has {to} now; the next sync of each connector is a full one");
    }
    if let Some(words) = keys_inside {
        say!(
            "its keys are inside of the backup, and {words} opens them: `onesync activate {} ACCOUNT PASSWORD`, or `--identity FILE`",
            place.display()
        );
    } else if !keys.is_empty() {
        say!("its secrets are sealed by key {}, which a key file brings", keys.join(", "));
    }
    say!(
        "it is a copy: it reads and plans, and exports nothing until `onesync activate KEYFILE ACCOUNT PASSWORD`; then every \
         connector is read as a whole first"
    );
    Ok(Status::Done)
}
