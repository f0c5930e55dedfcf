//! `keys`: the key set, its export, its rotation, its loss.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args as ClapArgs, Subcommand};
use onesync_service::keys::{
    ExportRequest, Forgotten, KeysReport, Lost, LostForGood, Rotation, Seal, Split, VaultError, may_look,
    may_read, may_write, parse_kek, try_pin_once_more,
};
use onesync_service::{Home, Service, ServiceError, Status, account, count_words};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::secret::read_asking;
use crate::output::{Output, say, short_times, table};

/// The home of an installation of the system.
const SYSTEM_HOME: &str = "/var/lib/onesync";

/// The keys that protect the secrets in the database.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Which keys there are, what they open, where they were exported to
    Status,
    /// Export the keys to a file, to be kept away from this machine; asks for the service account's password
    Export(ExportArgs),
    /// A new key in place of the one so far; secrets are sealed anew while the service runs
    Rotate(RotateArgs),
    /// Seal the key set in the home anew, under a key-encryption key from elsewhere
    Seal {
        /// `file`, `file:PATH` (a relative one begins in the home), `credential`, `credential:NAME` or `pkcs11:MODULE?token=LABEL&key=LABEL&pin=FILE`; where it comes from so far when left out
        #[arg(long, value_name = "SOURCE")]
        kek: Option<String>,
    },
    /// Give up keys that are lost: drops the secrets they sealed, and nothing else; shows them first, and asks
    Abandon {
        /// The key-encryption key is lost for good, and not only away: what it seals is given up too
        #[arg(long)]
        kek_is_lost: bool,
        /// The key files and backups that hold the keys are lost for good, too, or nobody can open them
        #[arg(long)]
        key_files_are_lost: bool,
        /// Do it without asking
        #[arg(long)]
        yes: bool,
    },
}

/// Options of `keys export`.
#[derive(Debug, ClapArgs)]
pub struct ExportArgs {
    /// A file that does not exist yet
    file: PathBuf,
    /// Service account; that of the installation when left out
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// File with its password, - for standard input; asked for when left out
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Seal to this recipient, `age1...`, in place of the password (can be repeated)
    #[arg(long = "recipient", value_name = "RECIPIENT", conflicts_with = "shares")]
    recipients: Vec<String>,
    /// Seal to shares, such as 3-of-5: that many of them open the file
    #[arg(long, value_name = "N-of-M")]
    shares: Option<String>,
    /// Write the shares to this new file in place of standard output
    #[arg(long, value_name = "FILE", requires = "shares")]
    shares_file: Option<PathBuf>,
}

/// Options of `keys rotate`.
#[derive(Debug, ClapArgs)]
pub struct RotateArgs {
    /// Make no new key, and drop the retired ones that no value and no backup needs any more
    #[arg(long)]
    forget_retired: bool,
    /// What lay in this folder before is gone for good: of backups there only those count that lie there now (can be repeated)
    #[arg(long, value_name = "FOLDER", requires = "forget_retired")]
    gone: Vec<PathBuf>,
    /// Keep retired keys for so many days from now on: as long as the oldest backup
    #[arg(long, value_name = "DAYS")]
    retention: Option<u32>,
}

/// Refuses whoever may not read the keys, before anything is opened. Whoever may, and asks about them, means it that a PIN is tried.
pub fn check_right(home: &Home, command: &KeysCommand) -> Result<(), ServiceError> {
    let line = match command {
        KeysCommand::Status => "keys status".to_owned(),
        KeysCommand::Export(args) => format!("keys export {}", args.file.display()),
        KeysCommand::Rotate(_) => "keys rotate".to_owned(),
        KeysCommand::Seal { .. } => "keys seal".to_owned(),
        KeysCommand::Abandon { .. } => "keys abandon".to_owned(),
    };
    may_read_keys(home, &line)?;
    if matches!(command, KeysCommand::Status | KeysCommand::Seal { .. }) {
        try_pin_once_more();
    }
    Ok(())
}

/// The same for a command of whatever name.
pub fn may_read_keys(home: &Home, line: &str) -> Result<(), ServiceError> {
    with_system(home, line, may_read)
}

/// The same for a command that needs the files of the home, and not the keys.
pub fn may_look_into(home: &Home, line: &str) -> Result<(), ServiceError> {
    with_system(home, line, may_look)
}

fn with_system(
    home: &Home,
    line: &str,
    may: fn(&Home, &str) -> Result<(), ServiceError>,
) -> Result<(), ServiceError> {
    may(home, line)?;
    // Whoever names no home has one of their own, and means the one of the system.
    let system = Home::new(SYSTEM_HOME);
    let own_is_empty = std::fs::symlink_metadata(home.folder()).is_err();
    if own_is_empty && !account::is_root() && system.folder().exists() { may(&system, line) } else { Ok(()) }
}

/// `keys`.
pub fn keys(service: &Service, command: KeysCommand, out: &Output) -> anyhow::Result<Status> {
    match command {
        KeysCommand::Status => status(service, &service.keys()?, out),
        KeysCommand::Export(args) => export(service, &args, out),
        KeysCommand::Rotate(args) => rotate(service, &args, out),
        KeysCommand::Seal { kek } => {
            let kek = kek.as_deref().map(parse_kek).transpose()?;
            let kek = service.seal_key_set(kek.as_ref())?;
            if out.is_json() {
                out.json(&json!({"kek": kek.to_string()}))?;
            }
            eprintln!("the key set is sealed under the key-encryption key from {kek}");
            Ok(Status::Done)
        }
        KeysCommand::Abandon { kek_is_lost, key_files_are_lost, yes } => {
            abandon(service, LostForGood { kek: kek_is_lost, files: key_files_are_lost }, yes, out)
        }
    }
}

fn status(service: &Service, report: &KeysReport, out: &Output) -> anyhow::Result<Status> {
    if out.is_json() {
        out.json(report)?;
        return Ok(report.status());
    }
    match (&report.kek, &report.problem) {
        (Some(kek), _) => say!("key-encryption key: {kek}"),
        (None, None) => say!("key-encryption key: NONE: the key set is not sealed"),
        (None, Some(_)) => {}
    }
    if let Some(fingerprint) = &report.fingerprint {
        say!("fingerprint of the key set: {fingerprint}");
    }
    if !report.keys.is_empty() {
        let row = |key: &onesync_service::keys::KeyLine| {
            let days = key.age_days.map_or_else(|| "not known".to_owned(), |days| format!("{days} days"));
            let (values, backups) = (key.values.to_string(), key.backups.len().to_string());
            vec![key.id.clone(), key.state.to_owned(), days, values, backups]
        };
        say!("{}", table(&["key", "state", "age", "values", "backups"], report.keys.iter().map(row)));
        for key in report.keys.iter().filter(|key| key.state == "retired") {
            for file in &key.backups {
                say!("  key {} is needed by {file}", key.id);
            }
        }
    }
    match report.exports.first() {
        None => say!("last export: never"),
        Some(last) => {
            let note = &last.note;
            say!(
                "last export: {} by {} on {}, to {}, sealed by {}, fingerprint {}{}",
                note.exported,
                note.by,
                note.host,
                note.file,
                note.sealed,
                note.fingerprint,
                if note.verified { ", read back" } else { "" }
            );
            let opens = if last.opens_all { "opens all" } else { "DOES NOT OPEN all" };
            say!("  it {opens} that is in the database now");
        }
    }
    say!("last rehearsed restore: {}", report.rehearsed.as_deref().unwrap_or("never"));
    for closed in &report.closed {
        let key = closed.key.as_deref().unwrap_or("no key of ours");
        say!("CLOSED: secret `{}`, sealed by {key}", closed.name);
    }
    let beside = if service.key_remedy()?.is_some() { service.lacks_keys()? } else { None };
    match (&report.problem, beside) {
        (_, Some(lacks)) => say!("\nALARM: {lacks}: {}", lacks.hint().unwrap_or_default()),
        (Some(problem), None) => say!("\nALARM: {problem}"),
        (None, None) if !report.closed.is_empty() => say!(
            "\nALARM: keys are missing: `onesync activate` brings them back from a key file; `onesync keys abandon` gives them up"
        ),
        (None, None) => {}
    }
    for remark in &report.remarks {
        say!("\nnote: {remark}");
    }
    Ok(report.status())
}

fn export(service: &Service, args: &ExportArgs, out: &Output) -> anyhow::Result<Status> {
    let split = args.shares.as_deref().map(Split::parse).transpose().map_err(vault_usage)?;
    let command = format!("keys export {}", args.file.display());
    if split.is_some() && args.shares_file.is_none() {
        if out.is_json() {
            return Err(ServiceError::Usage {
                message:
                    "shares are lines of text, and would stand where JSON is to be: nothing was exported"
                        .to_owned(),
                hint: Some("name a new file for them: `--shares-file FILE`".to_owned()),
            }
            .into());
        }
        shares_reach_somebody()?;
    }
    if args.shares_file.as_deref().is_some_and(|shares| is_same(shares, &args.file)) {
        return Err(ServiceError::Usage {
            message: format!("the export and `--shares-file` name one file, {}", args.file.display()),
            hint: Some(
                "name another one for the shares; best on another medium: they open the export".to_owned(),
            ),
        }
        .into());
    }
    // Nobody types a password for a file that cannot be made.
    if std::fs::symlink_metadata(&args.file).is_ok() {
        let there = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(may_write(&args.file, there, service.home(), &command).into());
    }
    if let Some(file) = args.shares_file.as_deref().filter(|file| std::fs::symlink_metadata(file).is_ok()) {
        let there = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(may_write(file, there, service.home(), &command).into());
    }
    let (account, password) =
        exporting_account(service, args.account.as_deref(), args.password_file.as_deref())?;
    let seal = match split {
        Some(split) => Seal::Shares(split),
        None if args.recipients.is_empty() => Seal::Password(&password),
        None => Seal::Recipients(&args.recipients),
    };
    let request =
        ExportRequest { file: &args.file, account: account.as_deref(), password: &password, seal: &seal };
    let deliver = |shares: &[SecretString]| {
        let Some(split) = split else { return Ok(()) };
        let text = shares_text(split, shares);
        match &args.shares_file {
            Some(file) => {
                write_private(file, &text).map_err(|error| may_write(file, error, service.home(), &command))
            }
            None => {
                let mut standard = std::io::stdout();
                let written =
                    standard.write_all(text.expose_secret().as_bytes()).and_then(|()| standard.flush());
                written.map_err(|source| ServiceError::File { place: "standard output".to_owned(), source })
            }
        }
    };
    let exported = service.export_keys(&request, &deliver).map_err(|error| match error {
        ServiceError::Vault(VaultError::Recipient(_)) => {
            ServiceError::Usage { message: error.to_string(), hint: Some("nothing was written".to_owned()) }
        }
        error => error,
    })?;
    if out.is_json() {
        out.json(&exported)?;
    }
    let note = &exported.note;
    let count = count_words(note.keys.len() as u64, "key");
    eprintln!("exported {count} to {} (fingerprint {})", note.file, note.fingerprint);
    eprintln!(
        "{}",
        match &seal {
            Seal::Password(_) =>
                "it opens with the service account and the password it has now, also after that was changed",
            Seal::Recipients(_) => "it opens for its recipients; that was not tried here",
            Seal::Shares(_) => "it opens with the shares: each goes to somebody else, and no copy stays here",
        }
    );
    eprintln!("keep it away from this machine, and not beside the backups");
    for name in &exported.closed {
        eprintln!("warning: these keys do not open the secret `{name}` that is in the database");
    }
    Ok(if exported.closed.is_empty() { Status::Done } else { Status::ObjectErrors })
}

/// The service account that keys are exported by, as it is named, and its password; asks for both on a terminal.
pub(super) fn exporting_account(
    service: &Service,
    named: Option<&str>,
    password_file: Option<&Path>,
) -> anyhow::Result<(Option<String>, SecretString)> {
    let known = service.must_have_service_account()?;
    let account = match named {
        Some(name) => Some(name.to_owned()),
        None if password_file.is_none() && std::io::stdin().is_terminal() => {
            let question = inquire::Text::new("service account:").with_default(&known);
            Some(question.prompt().context("the service account was not entered")?)
        }
        None => None,
    };
    let typed = read_asking(password_file, "its password:", "--password-file")?;
    let password = std::str::from_utf8(&typed).context("the password is no UTF-8 text")?;
    Ok((account, SecretString::from(password)))
}

/// An error where standard output leads nowhere: what is written there nobody gets, and nothing fails by it. One that was closed is
/// such a place, too: in its stead every program finds the null device.
fn shares_reach_somebody() -> Result<(), ServiceError> {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let there = std::io::stdout().as_fd().try_clone_to_owned().and_then(|out| File::from(out).metadata());
    let nowhere = match (&there, std::fs::metadata("/dev/null")) {
        (Ok(there), Ok(null)) => there.file_type().is_char_device() && there.rdev() == null.rdev(),
        (Ok(_), Err(_)) => false,
        (Err(_), _) => true,
    };
    match nowhere {
        false => Ok(()),
        true => Err(ServiceError::Usage {
            message: "standard output is closed, or leads nowhere, and the shares would be gone: nothing was exported".to_owned(),
            hint: Some("name a new file for them: `--shares-file FILE`".to_owned()),
        }),
    }
}

/// The shares, each with what it is for whoever keeps it.
fn shares_text(split: Split, shares: &[SecretString]) -> SecretString {
    let mut text = zeroize::Zeroizing::new(String::with_capacity(256 * (shares.len() + 1)));
    for (number, share) in (1..).zip(shares) {
        let _infallible = writeln!(
            text,
            "# share {number} of {}; {} of them open the key file\n{}",
            split.count(),
            split.needed(),
            share.expose_secret()
        );
    }
    SecretString::from(text.as_str())
}

/// Whether two names are those of one file, which need not be there.
fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |file: &Path| {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some((std::fs::canonicalize(folder).ok()?, file.file_name()?.to_owned()))
    };
    one == other || whole(one).is_some_and(|one| whole(other).as_ref() == Some(&one))
}

fn write_private(file: &Path, text: &SecretString) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut new = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    new.write_all(text.expose_secret().as_bytes())?;
    new.sync_all()
}

fn rotate(service: &Service, args: &RotateArgs, out: &Output) -> anyhow::Result<Status> {
    if let Some(days) = args.retention {
        service.set_key_retention(days)?;
        eprintln!("retired keys are kept for {}", count_words(u64::from(days), "day"));
    }
    if args.forget_retired {
        args.gone.iter().try_for_each(|folder| service.backups_are_gone(folder))?;
        let Forgotten { forgotten, kept } = service.forget_retired_keys()?;
        if out.is_json() {
            out.json(&json!({"forgotten": forgotten, "kept": kept}))?;
            return Ok(Status::Done);
        }
        forgotten.iter().for_each(|id| say!("forgotten: {id}"));
        kept.iter().for_each(|(id, why)| say!("kept: {id}: {}", short_times(why)));
        if forgotten.is_empty() && kept.is_empty() {
            eprintln!("there is no retired key");
        }
        return Ok(Status::Done);
    }
    let rotated = service.rotate_keys(&mut |step| {
        match step {
            Rotation::Begins => eprintln!("the key set gets a new key ..."),
            Rotation::NewKey(id) => eprintln!("key {id} seals from here on; secrets are sealed anew ..."),
            Rotation::Sealed(_) => {}
        }
        Ok(())
    })?;
    if out.is_json() {
        out.json(&rotated)?;
    }
    if rotated.went_on {
        eprintln!("a rotation that was cut short is finished; no other key was made");
    }
    eprintln!(
        "sealed anew: {}. Key files from before do not open that: `onesync keys export FILE` makes one that does",
        count_words(rotated.sealed as u64, "secret")
    );
    for server in &rotated.standbys {
        eprintln!(
            "warning: {server} stands by, and does not take over before it has the new key: `onesync keys export FILE` here, then \
             `onesync activate FILE ACCOUNT --stand-by` there"
        );
    }
    for name in &rotated.closed {
        eprintln!("warning: the secret `{name}` does not open, and stays as it is");
    }
    Ok(if rotated.closed.is_empty() { Status::Done } else { Status::ObjectErrors })
}

fn abandon(service: &Service, sure: LostForGood, yes: bool, out: &Output) -> anyhow::Result<Status> {
    let lost = service.lost_with_keys()?;
    if !out.is_json() {
        print_lost(&lost);
    }
    // Nobody is asked for what will be refused.
    let agreed = service.abandonable(sure).map_err(Into::into).and_then(|_| match yes || lost.is_empty() {
        true => Ok(()),
        false => super::setup::agree("Give these secrets up?", "`--yes` does it without asking"),
    });
    let given_up = agreed.and_then(|()| Ok(service.abandon_keys(sure)?));
    if out.is_json() {
        out.json(&json!({"abandoned": given_up.is_ok(), "lost": given_up.as_ref().unwrap_or(&lost)}))?;
    }
    let lost = given_up?;
    if !lost.is_empty() {
        eprintln!("given up. To be entered again:");
        lost.iter().filter(|lost| !lost.falls_back).for_each(|lost| eprintln!("  {}", lost.remedy));
    }
    eprintln!("then export the keys: `onesync keys export FILE`");
    Ok(Status::Done)
}

fn print_lost(lost: &[Lost]) {
    for lost in lost {
        let users = match lost.used_by.as_slice() {
            [] => String::new(),
            users => format!(", used by {}", users.join(", ")),
        };
        let falls_back = if lost.falls_back { "; the value before it opens, and is used again" } else { "" };
        say!(
            "unreadable: `{}`{users}, sealed by key {}{falls_back}",
            lost.name,
            lost.key.as_deref().unwrap_or("unknown")
        );
    }
    say!("Everything else stays: links, history, configuration.");
}

fn vault_usage(error: VaultError) -> ServiceError {
    ServiceError::Usage { message: error.to_string(), hint: None }
}
