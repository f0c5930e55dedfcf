//! Which database an installation has: the embedded one in the home, or one on a server that the home names.
//!
//! `database.toml` names the server and the installation that is in it; the password, where there is one, is in
//! `database.password`, which only the service's account may read. Deliberately absent: the password in the URL, where the
//! list of processes and the configuration would show it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use onesync_store::{PostgresOptions, PostgresStore, SchemaState, Store};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::error::ServiceError;
use crate::home::restrict_file;

const PASSWORD: &str = "database.password";

/// A database on a server, as a home names it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    /// Where it is: `postgres://user@host:port/database`, and what libpq says about TLS.
    pub(crate) url: String,
    /// The installation that this home belongs to.
    pub(crate) installation: String,
}

/// A database on a server, as it is given for a new installation.
#[derive(Clone, Debug)]
pub struct DatabaseServer {
    /// The URL, without a password.
    pub url: String,
    /// The password, where the server asks for one.
    pub password: Option<SecretString>,
}

fn file_error(place: &Path) -> impl Fn(std::io::Error) -> ServiceError + '_ {
    move |source| ServiceError::File { place: place.display().to_string(), source }
}

impl DatabaseServer {
    /// A server by its URL, and the password where it asks for one.
    #[must_use]
    pub fn new(url: &str, password: Option<&str>) -> Self {
        Self { url: url.to_owned(), password: password.map(|text| SecretString::from(text.to_owned())) }
    }

    /// Reads the URL before anything is made.
    ///
    /// # Errors
    /// When it is none, or holds a password.
    pub fn check(&self) -> Result<(), ServiceError> {
        if PostgresOptions::parse(&self.url)?.has_password() {
            return Err(ServiceError::usage(
                "the database URL holds a password, which everybody sees who sees this command",
                "leave it out of the URL and name a file that holds it: `--database-password-file FILE`",
            ));
        }
        Ok(())
    }

    /// How it is reached.
    pub(crate) fn options(&self) -> Result<PostgresOptions, ServiceError> {
        let options = PostgresOptions::parse(&self.url)?;
        Ok(match &self.password {
            Some(password) => options.password(password),
            None => options,
        })
    }

    /// Writes the password where the service finds it.
    pub(crate) fn keep_password(&self, folder: &Path) -> Result<(), ServiceError> {
        let Some(password) = &self.password else { return Ok(()) };
        let file = folder.join(PASSWORD);
        // Closed to others before it holds anything.
        std::fs::write(&file, "")
            .and_then(|()| restrict_file(&file))
            .and_then(|()| write_flushed(&file, password.expose_secret()))
            .map_err(file_error(&file))
    }
}

/// Writes a file that must be whole after a power failure once it is named.
fn write_flushed(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

impl Named {
    /// The file of a home that names its database.
    pub(crate) fn file(folder: &Path) -> PathBuf {
        folder.join("database.toml")
    }

    /// Reads such a file; `None` where there is none.
    pub(crate) fn read(file: &Path) -> Result<Option<Self>, ServiceError> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file_error(file)(error)),
        };
        let named = toml::from_str(&text).map_err(|error| {
            ServiceError::usage(
                format!("{} cannot be read: {}", file.display(), error.message()),
                "it holds two lines: `url = \"postgres://...\"` and `installation = \"...\"`",
            )
        })?;
        Ok(Some(named))
    }

    /// Writes such a file.
    pub(crate) fn write(&self, file: &Path) -> Result<(), ServiceError> {
        let text = [("url", &self.url), ("installation", &self.installation)]
            .map(|(name, text)| format!("{name} = {}\n", toml::Value::String(text.clone())))
            .concat();
        write_flushed(file, &text).and_then(|()| restrict_file(file)).map_err(file_error(file))
    }

    /// Opens the database with the password of the home.
    pub(crate) fn open(&self, folder: &Path) -> Result<Arc<dyn Store>, ServiceError> {
        Ok(Arc::new(PostgresStore::open(&self.options(folder)?)?))
    }

    /// How far its schema is.
    pub(crate) fn schema(&self, folder: &Path) -> Result<SchemaState, ServiceError> {
        Ok(PostgresStore::schema(&self.options(folder)?)?)
    }

    /// How it is reached, with the password of the home.
    pub(crate) fn options(&self, folder: &Path) -> Result<PostgresOptions, ServiceError> {
        let options = PostgresOptions::parse(&self.url)?;
        Ok(match password(&folder.join(PASSWORD))? {
            Some(password) => options.password(&password),
            None => options,
        })
    }

    /// Refuses a database that holds another installation than the home belongs to.
    pub(crate) fn check(&self, store: &dyn Store) -> Result<(), ServiceError> {
        let there = store.reader()?.installation()?.map(|row| row.id);
        match there {
            Some(id) if id == self.installation => Ok(()),
            Some(id) => Err(ServiceError::usage(
                format!("this home belongs to installation {}, the database holds {id}", self.installation),
                "name the right database in `database.toml`, or the right home with `--home`",
            )),
            None => Err(onesync_store::StoreError::NotInstalled.into()),
        }
    }
}

/// The password in a file that nobody else may read; `None` where there is none.
fn password(file: &Path) -> Result<Option<SecretString>, ServiceError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => SecretString::from(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_error(file)(error)),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(file).map_err(file_error(file))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(ServiceError::usage(
                format!("others may read {}", file.display()),
                format!("close it: `chmod 600 {}`, and consider another password", file.display()),
            ));
        }
    }
    let text = text.expose_secret().strip_suffix('\n').unwrap_or(text.expose_secret());
    Ok(Some(SecretString::from(text.to_owned())))
}
