//! Keys in a backup: the key set of that instant as a key file, sealed as an exported one is.
//!
//! The recipients of a schedule stand in its setting, which whoever can write to the database can change. So the list is
//! kept a second time, sealed by the key set, and its hash in the home: the daemon seals the keys to nobody but whom
//! somebody named last that has them.
//! Deliberately absent: shares, which somebody has to take.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use onesync_store::SecretRow;
use onesync_vault::{
    AccountName, KEY_FILE_MAX, KeyFile, KeySet, Place, Seal, SealedKeyFile, Unlock, VaultError,
};
use secrecy::SecretString;

use super::file::{Backup, OURS, Writer};
use super::keys::KeysIncluded;
use super::schedule::Scheduled;
use super::{at, sha256};
use crate::error::ServiceError;
use crate::flushed::write_flushed;
use crate::keys::key_file;
use crate::runtime::Service;
use crate::setup::credential::ServiceAccount;

/// The secret that vouches for the recipients of the schedule.
pub(crate) const RECIPIENTS: &str = "onesync/backup-recipients";
/// The file of the home with the epoch and the hash of those that were named last.
const NAMED_LAST: &str = "backup-recipients";
const PLACE: Place<'static> = Place { table: "secret", row: RECIPIENTS, field: "value" };

/// Who opens the keys in a backup.
#[derive(Debug)]
pub enum KeysInside<'k> {
    /// Whoever knows the password of the service account.
    Password {
        /// The account, as it was named; that of the installation when it was not.
        account: Option<&'k str>,
        /// Its password.
        password: &'k SecretString,
    },
    /// Recipients, `age1...`.
    Recipients(&'k [String]),
}

/// The same, looked at: the account is the right one, the recipients are some.
pub(super) struct Inside<'k> {
    account: ServiceAccount,
    seal: Seal<'k>,
}

impl Service {
    /// Whether keys can go into a backup so; to be known before one is begun.
    pub(super) fn inside<'k>(&self, wanted: &KeysInside<'k>) -> Result<Inside<'k>, ServiceError> {
        let (named, password, seal) = match *wanted {
            KeysInside::Password { account, password } => (account, Some(password), Seal::Password(password)),
            KeysInside::Recipients(texts) => (None, None, Seal::Recipients(texts)),
        };
        seal.check().map_err(|error| ServiceError::usage(error.to_string(), "nothing was written"))?;
        let account = self.exporting_account(named, password)?;
        KeySet::open(&self.home().key_set())?;
        Ok(Inside { account, seal })
    }

    /// Writes the keys as a part of a backup: as they are once its rows were read, so that none is missing which a
    /// rotation made meanwhile.
    pub(super) fn write_keys(
        &self,
        writer: &mut Writer,
        inside: &Inside<'_>,
    ) -> Result<KeysIncluded, ServiceError> {
        let set = KeySet::open(&self.home().key_set())?;
        let keys = set.notes().into_iter().map(|note| note.id).collect();
        let file = key_file(self.installation_id(), &inside.account, self.now(), set)?;
        let SealedKeyFile { bytes, .. } = file.seal(&inside.seal)?;
        writer.block(1, &bytes)?;
        let recipients = match inside.seal {
            Seal::Recipients(texts) => texts.to_vec(),
            Seal::Password(_) | Seal::Shares(_) => Vec::new(),
        };
        let account = inside.account.name.clone();
        Ok(KeysIncluded { keys, account, recipients, part: writer.end_part() })
    }

    /// The row that vouches for the recipients of a schedule.
    pub(super) fn vouch(&self, recipients: &[String]) -> Result<SecretRow, ServiceError> {
        let current = self.vault()?.seal(&PLACE, recipients.join("\n").as_bytes())?;
        Ok(SecretRow { name: RECIPIENTS.to_owned(), current, previous: None, changed: self.now() })
    }

    /// Notes in the home which recipients were named last: whoever writes into the database puts no older list, which the
    /// key set sealed once, into its place.
    pub(super) fn note_recipients(&self, recipients: &[String]) -> Result<(), ServiceError> {
        let place = self.home().folder().join(NAMED_LAST);
        write_flushed(&place, &self.mark(recipients)).map_err(at(&place))
    }

    fn mark(&self, recipients: &[String]) -> String {
        format!("{} {}\n", self.epoch(), sha256(recipients.join("\n").as_bytes()))
    }

    /// Whether these were named last, as far as this home knows. With each epoch it takes what it finds: another server may
    /// have been active meanwhile.
    fn named_last(&self, recipients: &[String]) -> Result<bool, ServiceError> {
        let place = self.home().folder().join(NAMED_LAST);
        let epoch = format!("{} ", self.epoch());
        match std::fs::read_to_string(&place) {
            Ok(mark) if mark.starts_with(&epoch) => return Ok(mark == self.mark(recipients)),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(&place)(error)),
            _ => {}
        }
        self.note_recipients(recipients).map(|()| true)
    }

    /// An error when the recipients of the schedule are others than those that were named when it was set.
    pub(super) fn must_be_vouched(&self, schedule: &Scheduled) -> Result<(), ServiceError> {
        if schedule.recipients.is_empty() {
            return Ok(());
        }
        let named = match self.store().reader()?.secret(RECIPIENTS)? {
            Some(row) => Some(self.vault()?.open_sealed(&PLACE, &row.current)?),
            None => None,
        };
        let vouched = named.is_some_and(|named| *named == schedule.recipients.join("\n").into_bytes());
        match vouched && self.named_last(&schedule.recipients)? {
            true => Ok(()),
            false => Err(ServiceError::held(
                "that the recipients of the keys in scheduled backups are those that `onesync backup schedule` was given cannot be \
                 told: the database was changed by other means, or what vouched for them was given up with lost keys. No key was \
                 sealed to anybody",
                "look at them with `onesync backup schedule`, and name them anew: `onesync backup schedule --include-keys --recipient age1...`; or \
                 none: `--without-keys`",
            )),
        }
    }
}

impl Inside<'_> {
    /// Opens what was written, where that can be done here: what is sealed to recipients, only they can open.
    pub(super) fn verify(&self, backup: &Backup) -> Result<(), ServiceError> {
        let (Seal::Password(password), Some(keys)) = (&self.seal, &backup.manifest.keys.included) else {
            return Ok(());
        };
        let name = AccountName::parse(&self.account.name).map_err(VaultError::from)?;
        let unlock = Unlock::Account { name, password: (*password).clone() };
        let opened = KeyFile::open(&backup.key_file()?.unwrap_or_default(), &unlock)?;
        match opened.keys.notes().iter().map(|note| &note.id).eq(&keys.keys) {
            true => Ok(()),
            false => Err(VaultError::NoKeyFile.into()),
        }
    }
}

impl KeysIncluded {
    /// What opens them.
    #[must_use]
    pub fn words(&self) -> String {
        match self.recipients.as_slice() {
            [] => format!("the service account `{}` and the password it had then", self.account),
            names => format!("the identity of one of the recipients {}", names.join(", ")),
        }
    }
}

/// Opens a key file; an error says which is wrong, the file, the password or the account.
///
/// # Errors
/// When it does not open.
pub fn open_key_file(bytes: &[u8], unlock: &Unlock) -> Result<KeyFile, ServiceError> {
    KeyFile::open(bytes, unlock).map_err(crate::activate::wrong)
}

/// The key file that a file is, or that a backup has inside.
///
/// # Errors
/// When the file cannot be read, or is a backup without keys or a damaged one.
pub fn key_file_in(file: &Path) -> Result<Vec<u8>, ServiceError> {
    let mut begin = Vec::new();
    let read = File::open(file).and_then(|from| from.take(KEY_FILE_MAX + 1).read_to_end(&mut begin));
    read.map_err(at(file))?;
    if !begin.starts_with(OURS) {
        return Ok(begin);
    }
    Backup::open(file)?.key_file()?.ok_or_else(|| {
        ServiceError::usage(
            format!("{} is a backup without its keys: it holds no key file", file.display()),
            "name the key file that `onesync keys export` wrote; `backup --include-keys` takes a backup with its keys",
        )
    })
}
