//! Export of the keys, for whoever lost the machine.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

use onesync_store::ServiceChanges;
use onesync_vault::{AccountName, KEY_FILE_MAX, KeyFile, KeySet, Seal, SealedKeyFile, Unlock};
use secrecy::SecretString;
use serde::Serialize;

use super::{EXPORTS, EXPORTS_MAX, ExportNote, exports, fits, key_file, may_write, password_mark};
use crate::error::ServiceError;
use crate::runtime::Service;
use crate::setup::credential::{ServiceAccount, no_account};
use crate::{account, events, process};

/// What is to be exported, and by whom.
#[derive(Debug)]
pub struct ExportRequest<'a> {
    /// A file that does not exist yet.
    pub file: &'a Path,
    /// The service account, as it was named; that of the installation when it was not.
    pub account: Option<&'a str>,
    /// Its password.
    pub password: &'a SecretString,
    /// What the file is sealed to.
    pub seal: &'a Seal<'a>,
}

/// What was exported.
#[derive(Debug, Serialize)]
pub struct Exported {
    /// What is remembered of it.
    pub note: ExportNote,
    /// Secrets in the database that these keys do not open.
    pub closed: Vec<String>,
    /// The shares that open the file, one for each of those who keep one.
    #[serde(skip)]
    pub shares: Vec<SecretString>,
}

impl Service {
    /// Exports the keys to a file. The service may run meanwhile, or be stopped.
    ///
    /// # Errors
    /// When account or password are others, the file exists, or cannot be written.
    ///
    /// `deliver` takes the shares to those who keep them: what nobody could open is removed, and is no export.
    pub fn export_keys(
        &self,
        request: &ExportRequest<'_>,
        deliver: &dyn Fn(&[SecretString]) -> Result<(), ServiceError>,
    ) -> Result<Exported, ServiceError> {
        let account = self.exporting_account(request.account, Some(request.password))?;
        let set = KeySet::open(&self.home().key_set())?;
        let notes = set.notes();
        let file = key_file(self.installation_id(), &account, self.now(), set)?;
        let closed = fits(&*self.store().reader()?, &file)?.closed;
        let SealedKeyFile { bytes, shares } = file.seal(request.seal)?;
        let whole = std::path::absolute(request.file).unwrap_or_else(|_| request.file.to_owned());
        let place = || request.file.display().to_string();
        write_new(request.file, &bytes).map_err(|error| {
            may_write(request.file, error, self.home(), &format!("keys export {}", place()))
        })?;
        let verified = match verify(request, &account.name, &shares, &file)
            .and_then(|verified| deliver(&shares).map(|()| verified))
        {
            Ok(verified) => verified,
            Err(error) => {
                // What cannot be opened is no export. What hinders its removal says the error of the reading better.
                let _left = std::fs::remove_file(request.file);
                return Err(error);
            }
        };
        let note = ExportNote {
            file: whole.display().to_string(),
            exported: file.exported.clone(),
            by: account::who(),
            host: process::host(),
            account: account.name.clone(),
            sealed: match request.seal {
                Seal::Password(_) => "password".to_owned(),
                Seal::Recipients(_) => "recipients".to_owned(),
                Seal::Shares(split) => format!("shares {}-of-{}", split.needed(), split.count()),
            },
            fingerprint: file.keys.fingerprint(),
            keys: notes.into_iter().map(|note| (note.id, note.fingerprint)).collect(),
            password: password_mark(&account.verifier),
            verified,
        };
        self.note_export(&note)?;
        Ok(Exported { note, closed, shares })
    }

    /// The service account, under which keys leave this server, if it is the one that is named; who says otherwise is noted.
    pub(crate) fn exporting_account(
        &self,
        named: Option<&str>,
        password: Option<&SecretString>,
    ) -> Result<ServiceAccount, ServiceError> {
        self.must_be_active()?;
        let account = ServiceAccount::read(&*self.store().reader()?)?.ok_or_else(no_account)?;
        if let Err(refused) = account.check(named, password) {
            let named = named.unwrap_or(&account.name);
            let events = vec![self.audit(&events::KEYS_EXPORT_REFUSED, named, "")];
            self.record(&ServiceChanges { events, ..ServiceChanges::default() })?;
            return Err(refused);
        }
        Ok(account)
    }

    fn note_export(&self, note: &ExportNote) -> Result<(), ServiceError> {
        let mut all = exports(&*self.store().reader()?)?;
        all.insert(0, note.clone());
        all.truncate(EXPORTS_MAX);
        let text = serde_json::to_string(&all).map_err(|error| ServiceError::Internal(error.to_string()))?;
        let what =
            format!("by {}, sealed by {}, fingerprint {}", note.account, note.sealed, note.fingerprint);
        self.record(&ServiceChanges {
            settings: vec![(EXPORTS.to_owned(), text)],
            events: vec![self.audit(&events::KEYS_EXPORTED, &note.file, &what)],
            ..ServiceChanges::default()
        })
    }
}

/// Writes a file that is not there yet, for its owner alone. It may lie on a stick that knows no links.
fn write_new(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    let written = new.write_all(bytes).and_then(|()| new.sync_all()).and_then(|()| {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    });
    if written.is_err() {
        // Half a key file would be taken for one.
        let _left = std::fs::remove_file(file);
    }
    written
}

/// Reads the file back and opens it with what was given, where that can be done here.
fn verify(
    request: &ExportRequest<'_>,
    account: &str,
    shares: &[SecretString],
    exported: &KeyFile,
) -> Result<bool, ServiceError> {
    let unlock = match request.seal {
        Seal::Password(password) => Unlock::Account {
            name: AccountName::parse(account).map_err(onesync_vault::VaultError::from)?,
            password: (*password).clone(),
        },
        Seal::Shares(split) => {
            Unlock::Shares(shares.iter().take(usize::from(split.needed())).cloned().collect())
        }
        Seal::Recipients(_) => return Ok(false), // that is what only they can do
    };
    let opened = KeyFile::open(&read(request.file)?, &unlock)?;
    match opened.keys.holds(&exported.keys) && opened.installation == exported.installation {
        true => Ok(true),
        false => Err(onesync_vault::VaultError::NoKeyFile.into()),
    }
}

/// Reads a key file, and never more than one can be.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, ServiceError> {
    let failed = |source| ServiceError::File { place: file.display().to_string(), source };
    let mut bytes = Vec::new();
    File::open(file).map_err(failed)?.take(KEY_FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
