//! `activate`: this server takes the place of the one before. Also by the name `miisactivate`.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use onesync_service::activate::{AccountName, Activated, Activation, Request, Unlock, takes_it_back};
use onesync_service::keys::parse_kek;
use onesync_service::{Home, ServiceError, Status, SystemClock};
use secrecy::SecretString;

use super::secret::read_asking;
use crate::output::{Output, say};

/// The name of the program of the system we replace that does this.
const OLD_NAME: &str = "miisactivate";
/// The password that asks for one.
const ASK: &str = "*";
/// More is no share.
const FILE_MAX: u64 = 1 << 20;

/// Options of `activate`.
#[derive(Debug, ClapArgs)]
pub struct ActivateArgs {
    /// Key file, as `keys export` wrote it, or a backup with its keys inside
    key_file: PathBuf,
    /// Service account: NAME or DOMAIN\NAME; may be left out with --identity or --share
    account: Option<String>,
    /// Its password when the file was exported; * asks for it, and so does leaving it out
    password: Option<String>,
    /// File with the password, - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,
    /// File with the identity of a recipient the key file was exported to
    #[arg(long, value_name = "FILE", conflicts_with = "share")]
    identity: Option<PathBuf>,
    /// File with a share of a key file that was exported in shares, or with several, one a line (can be repeated)
    #[arg(long, alias = "share-file", value_name = "FILE")]
    share: Vec<PathBuf>,
    /// Where the key-encryption key of this server's key set comes from, `file` when left out; see `setup --kek`
    #[arg(long, value_name = "SOURCE")]
    kek: Option<String>,
    /// Activate the active server anew: its database was put back, or a marker names another server
    #[arg(long)]
    again: bool,
    /// Only bring the key set, so that this server can stand by for the active one
    #[arg(long, conflicts_with = "again")]
    stand_by: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

/// The arguments of a program that is called by its old name.
pub fn by_old_name(mut given: Vec<OsString>) -> Vec<OsString> {
    let name = given.first().map(|name| Path::new(name).file_stem().unwrap_or_default().to_owned());
    if name.is_some_and(|name| name.eq_ignore_ascii_case(OLD_NAME)) {
        // What is said of its use is of the name it has now.
        given.splice(..1, ["onesync".into(), "activate".into()]);
    }
    given
}

/// `activate`.
pub async fn activate(home: Home, mut args: ActivateArgs, out: &Output) -> anyhow::Result<Status> {
    let home = home.resolved()?;
    if let Some(password) = args.password.as_deref().filter(|password| *password != ASK) {
        eprintln!(
            "warning: a password on a command line can be seen by everybody on this machine, and stays in the history of the shell: \
             use `*`, which asks for it, or `--password-file FILE`"
        );
        if let Err(error) = super::hide_argument(password.as_bytes()) {
            eprintln!("warning: it could not be taken out of the list of processes: {error}");
        }
    }
    super::keep_private();
    let request = request(&mut args)?;
    let activation = Activation::look(home, Arc::new(SystemClock), crate::threads(), &request).await?;
    if args.stand_by {
        activation.bring_keys()?;
        eprintln!(
            "the key set is in the home: `onesync standby manual` or `automatic` has this server stand by; the active one goes on"
        );
        return Ok(Status::Done);
    }
    let activation = if args.again { activation.again() } else { activation };
    if activation.is_done() {
        eprintln!(
            "this server is the active one, and has its keys: nothing to do (`--again` activates it anew)"
        );
        return Ok(Status::Done);
    }
    let warning = activation.warning();
    for line in &warning {
        eprintln!("warning: {line}");
    }
    if !warning.is_empty() && !args.yes {
        if !std::io::stdin().is_terminal() {
            let message = "nothing was changed: this needs consent".to_owned();
            let hint = Some("run it on a terminal, or with `--yes`".to_owned());
            return Err(ServiceError::Usage { message, hint }.into());
        }
        if !inquire::Confirm::new("Activate this server?")
            .with_default(false)
            .prompt()
            .context("no answer")?
        {
            eprintln!("nothing was changed");
            return Ok(Status::Held);
        }
    }
    let done = activation.carry_out(&|line| eprintln!("{line}")).await?;
    tell(&done, out)?;
    Ok(Status::Done)
}

fn tell(done: &Activated, out: &Output) -> anyhow::Result<()> {
    if out.is_json() {
        out.json(done)?;
    } else if done.was_active {
        say!(
            "this server was the active one, and has its keys again: installation {}, epoch {}",
            done.installation,
            done.epoch
        );
    } else {
        say!("service activated and running: installation {}, epoch {}", done.installation, done.epoch);
    }
    for name in &done.without_marker {
        eprintln!(
            "warning: `{name}` keeps no marker, and refuses nobody: make sure that the old server never writes there again"
        );
    }
    for line in &done.strangers {
        eprintln!(
            "warning: {line}, and stays with it: nothing is exported there. When that one is stopped for good, the same \
             `onesync activate` with `--again` takes it"
        );
    }
    for line in &done.later {
        eprintln!("warning: {line}; the next cycle tries again before it exports there");
    }
    for name in &done.standbys {
        eprintln!("warning: {}", takes_it_back(name));
    }
    for line in &done.credentials {
        eprintln!("hint: {line}");
    }
    if !done.was_active {
        eprintln!(
            "the scheduler is off: `onesync scheduler on` resumes. The first cycle reads every directory as a whole before it exports"
        );
    }
    Ok(())
}

fn request(args: &mut ActivateArgs) -> anyhow::Result<Request> {
    let file = args.key_file.clone();
    // Nobody types a password for a file that is not there.
    must_be_readable(&file)?;
    let kek = args.kek.as_deref().map(parse_kek).transpose()?;
    let account = args.account.as_deref().map(AccountName::parse).transpose().map_err(|error| {
        let hint = Some("name the service account: NAME, or DOMAIN\\NAME".to_owned());
        ServiceError::Usage { message: error.to_string(), hint }
    })?;
    let unlock = match (&args.identity, args.share.as_slice()) {
        (Some(file), _) => Unlock::Identity(text(&read(file)?, file)?),
        (None, []) => {
            let Some(name) = account else {
                let message = "the service account is missing".to_owned();
                let hint = Some(
                    "write `onesync activate KEYFILE ACCOUNT *`; or `--identity FILE`, `--share FILE`"
                        .to_owned(),
                );
                return Err(ServiceError::Usage { message, hint }.into());
            };
            let password = password(args)?.map_or_else(ask, Ok)?;
            let unlock = Unlock::Account { name: name.clone(), password };
            return Ok(Request { file, unlock, account: Some((name, None)), kek });
        }
        (None, files) => {
            let texts: anyhow::Result<Vec<SecretString>> =
                files.iter().map(|file| text(&read(file)?, file)).collect();
            Unlock::Shares(texts?)
        }
    };
    // They are looked at where they are given.
    let account = match account {
        Some(name) => Some((name, password(args)?)),
        None => None,
    };
    Ok(Request { file, unlock, account, kek })
}

/// A password that was given, or is asked for by `*`; `None` where none was.
fn password(args: &mut ActivateArgs) -> anyhow::Result<Option<SecretString>> {
    if let Some(file) = &args.password_file {
        return secret(&super::read_secret(Some(file.as_path()))?).map(Some);
    }
    match args.password.take() {
        None => Ok(None),
        Some(text) if text == ASK => ask().map(Some),
        Some(text) => Ok(Some(SecretString::from(text))),
    }
}

fn secret(bytes: &[u8]) -> anyhow::Result<SecretString> {
    Ok(SecretString::from(std::str::from_utf8(bytes).context("the password is no UTF-8 text")?))
}

fn ask() -> anyhow::Result<SecretString> {
    if !std::io::stdin().is_terminal() {
        let message = "the password is missing, and there is no terminal to ask on".to_owned();
        let hint = Some("name a file that holds it: `--password-file FILE`".to_owned());
        return Err(ServiceError::Usage { message, hint }.into());
    }
    secret(&read_asking(None, "Password of the service account:", "--password-file")?)
}

fn must_be_readable(file: &Path) -> Result<(), ServiceError> {
    let why = match std::fs::metadata(file) {
        Ok(found) if found.is_dir() => "it is a folder".to_owned(),
        // What is handed over by a pipe can be read once.
        Ok(found) if !found.is_file() => return Ok(()),
        Ok(_) => match std::fs::File::open(file) {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    Err(ServiceError::Usage {
        message: format!("the key file {} cannot be read: {why}", file.display()),
        hint: Some(
            "name a file that `onesync keys export` wrote, or a backup with its keys inside, as an account that may read it"
                .to_owned(),
        ),
    })
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Read as _;
    let failed = |source| ServiceError::File { place: file.display().to_string(), source };
    let mut bytes = Vec::new();
    super::secret::open_text(file)?.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn text(bytes: &[u8], file: &Path) -> anyhow::Result<SecretString> {
    let text = std::str::from_utf8(bytes).with_context(|| format!("{} is no text", file.display()))?;
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_name_of_the_program_is_a_command() {
        let given = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (old, new) in [
            ("/usr/bin/miisactivate k.age C\\n *", "onesync activate k.age C\\n *"),
            ("MIISActivate.exe k.age", "onesync activate k.age"),
            ("onesync status", "onesync status"),
        ] {
            assert_eq!(by_old_name(given(old)), given(new));
        }
    }
}
