//! The service account as the database keeps it: name, verifier of the password, the system user it stands for.

use onesync_store::{SecretRow, ServiceChanges, Store, StoreReader};
use onesync_vault::{AccountName, Place, Vault, Verifier, make_password};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Doing, Tell, Told};
use crate::error::ServiceError;
use crate::events;
use crate::runtime::Service;

/// The setting.
const SETTING: &str = "service-account";
/// The secret that keeps a password that was made here, until another one is set.
pub(crate) const SEALED: &str = "onesync/service-account";
const PLACE: Place<'static> = Place { table: "secret", row: SEALED, field: "value" };

/// The service account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ServiceAccount {
    /// The name: `DOMAIN\name`, `name@domain` or `name`.
    pub(crate) name: String,
    pub(crate) verifier: String,
    /// The system user that runs the daemon.
    pub(crate) runs_as: String,
    /// When the password was set.
    pub(crate) changed: String,
    /// Whether the password was made here, and lies sealed in the database.
    pub(crate) made: bool,
    /// Whether a password that was made here has been shown.
    pub(crate) shown: bool,
}

impl ServiceAccount {
    /// The account of an installation.
    pub(crate) fn read(reader: &dyn StoreReader) -> Result<Option<Self>, ServiceError> {
        let Some(text) = reader.setting(SETTING)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|_| onesync_vault::VaultError::Verifier.into())
    }

    /// A new one; the password is made when none is given, and then given beside the rows that keep it.
    pub(crate) fn make(
        name: &str,
        password: Option<&SecretString>,
        runs_as: &str,
        vault: &Vault,
        now: onesync_model::Time,
    ) -> Result<(Self, ServiceChanges), ServiceError> {
        let name = parse(name)?;
        let made = match password {
            Some(_) => None,
            None => Some(make_password()?),
        };
        let text = match (&made, password) {
            (Some(made), _) => made.as_bytes(),
            (None, Some(given)) => given.expose_secret().as_bytes(),
            (None, None) => &[],
        };
        let account = Self {
            name: name.as_str().to_owned(),
            verifier: Verifier::make(text).map_err(short)?.as_str().to_owned(),
            runs_as: runs_as.to_owned(),
            changed: now.to_string(),
            made: made.is_some(),
            shown: made.is_none(),
        };
        let mut changes = account.changes()?;
        match &made {
            Some(made) => changes.secrets.push(SecretRow {
                name: SEALED.to_owned(),
                current: vault.seal(&PLACE, made.as_bytes())?,
                previous: None,
                changed: now,
            }),
            None => changes.secrets_deleted.push(SEALED.to_owned()),
        }
        Ok((account, changes))
    }

    /// The row that keeps it.
    pub(crate) fn changes(&self) -> Result<ServiceChanges, ServiceError> {
        let text = serde_json::to_string(self).map_err(|error| ServiceError::Internal(error.to_string()))?;
        Ok(ServiceChanges { settings: vec![(SETTING.to_owned(), text)], ..ServiceChanges::default() })
    }

    /// The password that was made here.
    pub(crate) fn password(
        reader: &dyn StoreReader,
        vault: &Vault,
    ) -> Result<Option<Zeroizing<String>>, ServiceError> {
        let Some(row) = reader.secret(SEALED)? else { return Ok(None) };
        let bytes = vault.open_sealed(&PLACE, &row.current)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| onesync_vault::VaultError::NotSealedHere)?;
        Ok(Some(Zeroizing::new(text.to_owned())))
    }

    /// Refuses other credentials than these, and says which part is another one.
    pub(crate) fn check(
        &self,
        name: Option<&str>,
        password: Option<&SecretString>,
    ) -> Result<(), ServiceError> {
        if let Some(name) = name
            && parse(name)? != parse(&self.name)?
        {
            let message =
                format!("the service account of this installation is `{}`, not `{name}`", self.name);
            return Err(ServiceError::usage(
                message,
                "name the account as it was set up; `onesync setup service-account` changes its name",
            ));
        }
        match password {
            Some(password) if !self.is_password(password)? => Err(ServiceError::usage(
                format!("this is not the password of the service account `{}`", self.name),
                "type it again: it is the one that `onesync setup` showed or was given, or that `onesync setup service-account` set \
                 since. Where nobody knows it any more, there is no way to another one. The service goes on without, and `onesync backup FILE \
                 --include-keys --recipient age1...` takes the place of `keys export`: it asks for none, and `onesync activate FILE --identity \
                 IDENTITY` brings the keys back on a new server",
            )),
            _ => Ok(()),
        }
    }

    fn is_password(&self, password: &SecretString) -> Result<bool, ServiceError> {
        Ok(Verifier::parse(&self.verifier)?.is_of(password.expose_secret().as_bytes()))
    }
}

/// Reads a name.
pub(crate) fn parse(name: &str) -> Result<AccountName, ServiceError> {
    AccountName::parse(name).map_err(|error| {
        ServiceError::usage(format!("`{name}`: {error}"), "write the name as it is signed in with")
    })
}

/// What is said where none is set up.
pub(crate) fn no_account() -> ServiceError {
    ServiceError::usage(
        "this installation has no service account, under which keys are exported",
        "run `onesync setup`, which makes one",
    )
}

/// Refuses a new password that is easily guessed.
///
/// # Errors
/// When it is too short.
pub fn check_password(password: &SecretString) -> Result<(), ServiceError> {
    Verifier::check(password.expose_secret().as_bytes()).map_err(|error| short(error.into()))
}

fn short(error: onesync_vault::VaultError) -> ServiceError {
    match error {
        onesync_vault::VaultError::Account(error) => {
            ServiceError::usage(error.to_string(), "name another one, or leave it out, and one is made")
        }
        error => error.into(),
    }
}

impl Service {
    /// The name of the service account; `None` where none is set up.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn service_account(&self) -> Result<Option<String>, ServiceError> {
        Ok(ServiceAccount::read(&*self.store().reader()?)?.map(|account| account.name))
    }

    /// The same for whoever needs one.
    ///
    /// # Errors
    /// When none is set up.
    pub fn must_have_service_account(&self) -> Result<String, ServiceError> {
        self.service_account()?.ok_or_else(no_account)
    }

    /// Changes name or password of the service account. A password that was made here is told, with the name; until it has been
    /// shown the next `setup` shows it.
    ///
    /// # Errors
    /// When the password so far is another one, the new one is not taken, or nobody can be told.
    pub fn change_service_account(
        &self,
        current: &SecretString,
        name: Option<&str>,
        password: Option<&SecretString>,
        tell: &mut Tell<'_>,
    ) -> Result<(), ServiceError> {
        self.must_be_active()?;
        let _lock = super::steps::lock(self.home(), self.now())?;
        let before = ServiceAccount::read(&*self.store().reader()?)?.ok_or_else(no_account)?;
        before.check(None, Some(current))?;
        let name = name.unwrap_or(&before.name);
        let (account, mut changes) =
            ServiceAccount::make(name, password, &before.runs_as, &self.vault()?, self.now())?;
        changes.events.push(self.audit(&events::SERVICE_ACCOUNT_CHANGED, &account.name, ""));
        self.record(&changes)?;
        let made = match account.made {
            true => ServiceAccount::password(&*self.store().reader()?, &self.vault()?)?,
            false => None,
        };
        match made {
            Some(password)
                if tell(Doing::Credentials { name: &account.name, password: &password })? == Told::Shown =>
            {
                mark_shown(&**self.store(), self.standing().epoch())
            }
            _ => Ok(()),
        }
    }
}

/// Notes that a password that was made here has been shown.
pub(super) fn mark_shown(store: &dyn Store, epoch: u64) -> Result<(), ServiceError> {
    let Some(mut account) = ServiceAccount::read(&*store.reader()?)? else { return Ok(()) };
    account.shown = true;
    Ok(store.record(epoch, &account.changes()?)?)
}
