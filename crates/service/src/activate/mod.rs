//! Activation: this server takes the place of the one before, with an exported key file and the service account.
//!
//! First everything is looked at, and nothing is changed: does the key file open, does it fit this database, is it of this
//! account. Then what would happen is said, and only then it happens, in steps that may be repeated: whoever is killed
//! anywhere runs it again. From the epoch on nothing works here until every connector owes a full import and the scheduler is off
//! (`note`); a copy exports nothing before the markers of its targets name it.
//!
//! Deliberately absent: questions and arguments (the program), and ending the server before: a database can only refuse it.

mod carry;
mod credentials;
mod note;
#[cfg(test)]
mod tests;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use onesync_store::StoreReader;
use onesync_vault::{Kek, KeyFile, KeySet, Vault, VaultError};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::backup::key_file_in;
use crate::clock::Clock;
use crate::copy::CopyOf;
use crate::error::ServiceError;
use crate::events::{self, ACTIVATION_REFUSED};
use crate::home::Home;
use crate::keys::{Belongs, fits};
use crate::runtime::Service;
use crate::setup::credential::ServiceAccount;
use crate::standing::{ServerView, Standing};
use crate::work::WorkLock;

pub use onesync_vault::{AccountName, Unlock};

pub(crate) use note::{Note, must_be_finished};
pub(crate) use words::keys_missing;
pub use words::takes_it_back;

/// The command, as people are told to run it.
pub(crate) const COMMAND: &str = "onesync activate KEYFILE ACCOUNT PASSWORD";
/// The lock of whoever activates.
const LOCK: &str = "activate.lock";
/// Secrets that are named.
const NAMED: usize = 10;

/// What an activation is asked with.
pub struct Request {
    /// The key file, or a backup with its keys inside.
    pub file: PathBuf,
    /// What opens it.
    pub unlock: Unlock,
    /// The service account and its password, where something else opens the file; then they need not be named.
    pub account: Option<(AccountName, Option<SecretString>)>,
    /// Where the key-encryption key of the key set comes from that the home gets; the home's own when nobody says.
    pub kek: Option<Kek>,
}

/// What an activation did.
#[derive(Clone, Debug, Serialize)]
pub struct Activated {
    /// The installation, by its id from now on.
    pub installation: String,
    /// The epoch that this server has.
    pub epoch: u64,
    /// Whether it was the active server before, and only got its keys.
    pub was_active: bool,
    /// Targets whose marker names this server.
    pub markers: Vec<String>,
    /// Targets whose marker names an installation that has nothing to do with this one: it was left to that.
    pub strangers: Vec<String>,
    /// Targets that keep no marker: nothing there refuses the server before.
    pub without_marker: Vec<String>,
    /// What could not be done, and is done by the next cycle.
    pub later: Vec<String>,
    /// How the credentials of the server before are ended.
    pub credentials: Vec<String>,
    /// The servers that take this one's place by themselves as long as its daemon does not run.
    pub standbys: Vec<String>,
}

/// An activation that was looked at, and not begun.
pub struct Activation {
    service: Service,
    clock: Arc<dyn Clock>,
    threads: usize,
    key_file: KeyFile,
    /// Of what the database is a copy.
    copy: Option<CopyOf>,
    /// The active server, where the database knows one that is not this one.
    active: Option<ServerView>,
    /// One that was begun.
    note: Option<Note>,
    /// Whether it is carried out on the active server, too.
    again: bool,
    kek: Option<Kek>,
    /// Of two at once each would take an epoch, and one of them fence the other that says it is this server.
    lock: Option<WorkLock>,
}

impl Activation {
    /// Looks at all that an activation needs, alone: another one is refused until this one has ended. Nothing is changed; one that is refused is told to the system's loggers.
    ///
    /// # Errors
    /// Says which is wrong: the file, the password or the account, or that it is of another database.
    pub async fn look(
        home: Home,
        clock: Arc<dyn Clock>,
        threads: usize,
        request: &Request,
    ) -> Result<Self, ServiceError> {
        let lock = match home.exists() {
            true => Some(WorkLock::take_file(home.folder(), LOCK, "activate", clock.now())?),
            false => None, // that there is none is said by whoever opens it
        };
        let service = Service::open(home, clock.clone(), threads).await?;
        let looked = Self::fitting(&service, request);
        if let Err(error) = &looked {
            let text = format!("{}: {error}", request.file.display());
            events::tell(&service.audit(&ACTIVATION_REFUSED, service.installation_id(), &text));
        }
        let (key_file, copy, note) = looked?;
        let active = service.servers()?.into_iter().find(|server| server.active && !server.here);
        let kek = request.kek.clone();
        Ok(Self { service, clock, threads, key_file, copy, active, note, again: false, kek, lock })
    }

    fn fitting(
        service: &Service,
        request: &Request,
    ) -> Result<(KeyFile, Option<CopyOf>, Option<Note>), ServiceError> {
        let reader = service.store().reader()?;
        let bytes = key_file_in(&request.file).map_err(no_key_file)?;
        let key_file = KeyFile::open(&bytes, &request.unlock).map_err(wrong)?;
        let (copy, note) = (CopyOf::of(&*reader)?, Note::read(service.home())?);
        of_this_database(&*reader, &key_file, copy.as_ref())?;
        let there = ServiceAccount::read(&*reader)?;
        of_this_account(&key_file, there.as_ref().map(|account| account.name.as_str()), request)?;
        opens_all(service, &*reader, &key_file)?;
        under_this_kek(service.home(), request.kek.as_ref())?;
        Ok((key_file, copy, note))
    }

    /// Carries it out on the active server, too: its database was put back, or the marker of a target names another one.
    #[must_use]
    pub fn again(self) -> Self {
        Self { again: true, ..self }
    }

    /// Whether there is nothing to do: this server is the active one, has its keys, and is no copy.
    #[must_use]
    pub fn is_done(&self) -> bool {
        !self.again
            && self.is_active()
            && self.copy.is_none()
            && self.note.is_none()
            && matches!(self.service.lacks_keys(), Ok(None))
    }

    fn is_active(&self) -> bool {
        matches!(self.service.standing(), Standing::Active { .. })
    }
}

/// A backup that is damaged, or has no keys inside.
fn no_key_file(error: ServiceError) -> ServiceError {
    match error {
        ServiceError::Backup { message, hint } | ServiceError::Usage { message, hint: Some(hint) } => {
            ServiceError::held(format!("the key file is wrong: {message}"), hint)
        }
        error => error,
    }
}

/// Which of the three is wrong, before what it is.
pub(crate) fn wrong(error: VaultError) -> ServiceError {
    let (what, hint) = match &error {
        VaultError::KeyFilePassword => (
            "the password is wrong",
            "type it again; after a change of the password older files keep their old one, and `onesync keys export` writes one with the new",
        ),
        VaultError::KeyFileAccount { .. } | VaultError::Account(_) => (
            "the account is wrong",
            "name the service account as `onesync setup` showed it: NAME, or DOMAIN\\NAME",
        ),
        VaultError::NotARecipient | VaultError::Identity | VaultError::KeyFileSealedOtherwise { .. } => (
            "the key file does not open with this",
            "see docs/activate.md: a password, `--identity FILE` or `--share FILE`",
        ),
        VaultError::SharesTooFew { .. }
        | VaultError::ShareDamaged { .. }
        | VaultError::ShareOfOtherSet { .. }
        | VaultError::SharesContradict
        | VaultError::SharesOfOtherFile => (
            "the shares are wrong",
            "each of those who keep a share gives a file with that line, named each by an option of its own; or one file has all of them, a \
             line for each, as `keys export --shares-file` wrote it",
        ),
        _ => ("the key file is wrong", "name a file that `onesync keys export` wrote, as it was written"),
    };
    ServiceError::held(format!("{what}: {error}"), hint)
}

/// Whether the file is of the installation in the database, or of the one that this is a copy of.
fn of_this_database(
    reader: &dyn StoreReader,
    key_file: &KeyFile,
    copy: Option<&CopyOf>,
) -> Result<(), ServiceError> {
    if fits(reader, key_file)?.belongs != Belongs::Elsewhere {
        return Ok(());
    }
    let there = reader.installation()?.map(|row| row.id).unwrap_or_default();
    let of = copy.filter(|copy| copy.installation != there);
    let of = of.map(|copy| format!(", a copy of {}", copy.installation)).unwrap_or_default();
    Err(ServiceError::held(
        format!(
            "the key file is of another database: it was exported at {} from installation {}, and this database holds \
             installation {there}{of}",
            key_file.exported, key_file.installation
        ),
        "name a key file of this installation; or the right database, by `--home`",
    ))
}

/// Whether the account that is named, the one in the file and the one in the database are the same.
fn of_this_account(key_file: &KeyFile, there: Option<&str>, request: &Request) -> Result<(), ServiceError> {
    let exported = AccountName::parse(&key_file.account).map_err(VaultError::from)?;
    if let Some(there) = there
        && AccountName::parse(there).map_err(VaultError::from)? != exported
    {
        return Err(ServiceError::held(
            format!(
                "the account is wrong: the key file was exported by the service account `{exported}`, and the service account \
                 of this database is `{there}`"
            ),
            "name a key file that was exported since the account was changed",
        ));
    }
    let Some((name, password)) = &request.account else { return Ok(()) };
    if *name != exported {
        return Err(wrong(VaultError::KeyFileAccount {
            exported: key_file.account.clone(),
            given: name.to_string(),
        }));
    }
    match password {
        Some(password) if !key_file.verifier.is_of(password.expose_secret().as_bytes()) => {
            Err(wrong(VaultError::KeyFilePassword))
        }
        _ => Ok(()),
    }
}

/// Whether the key set in the home, where one is there already, lies under the key-encryption key that is named.
fn under_this_kek(home: &Home, wanted: Option<&Kek>) -> Result<(), ServiceError> {
    // What is missing is no obstacle; what cannot be read is said by whoever opens it.
    let (Some(wanted), Ok(there)) = (wanted, KeySet::source(&home.key_set())) else { return Ok(()) };
    // Its own key-encryption key may be lost with another machine, or with the token.
    if there.as_ref().is_some_and(|(there, _)| there != wanted)
        && let Err(error) = Vault::open(&home.key_set())
    {
        return Err(carry::in_the_way(&home.key_set(), &format!("cannot be used: {error}")));
    }
    let there = match there {
        Some((there, _)) if there == *wanted => return Ok(()),
        Some((there, _)) => format!("sealed under the key-encryption key from {there}"),
        None => "of an earlier version, which is not sealed".to_owned(),
    };
    Err(ServiceError::usage(
        format!("the key set in the home is {there}, and not under the key-encryption key from {wanted}"),
        "leave `--kek` out; `onesync keys seal --kek SOURCE` seals it so afterwards",
    ))
}

/// Whether the file opens all that is sealed: one from before a rotation does not.
fn opens_all(service: &Service, reader: &dyn StoreReader, key_file: &KeyFile) -> Result<(), ServiceError> {
    let fit = fits(reader, key_file)?;
    if fit.closed.is_empty() {
        return Ok(());
    }
    let more = fit.closed.len().saturating_sub(NAMED);
    let names: Vec<&str> = fit.closed.iter().take(NAMED).map(String::as_str).collect();
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let needed = crate::keys::needed(reader)?;
    let places = service.places_of_keys(|has| needed.iter().all(has))?;
    let newer = match places.is_empty() {
        true => "no key file and no backup that the database knows holds them. The server that sealed them has them: `onesync keys export \
                 FILE` there. When it is lost, `onesync keys abandon` gives these secrets up, on the server that has the epoch"
            .to_owned(),
        false => format!("take one that holds them: {}", places.join(", ")),
    };
    Err(ServiceError::held(
        format!(
            "the key file is too old: it was exported at {}, and {} sealed by newer keys since ({}{more})",
            key_file.exported,
            match fit.closed.len() {
                1 => "one secret was".to_owned(),
                count => format!("{count} secrets were"),
            },
            names.join(", ")
        ),
        newer,
    ))
}
