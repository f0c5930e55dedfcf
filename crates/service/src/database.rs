//! Which database an installation has: the embedded one in the home, or one on a server that the home names.
//!
//! `database.toml` names the server and the installation that is in it; the password, where there is one, is in
//! `database.password`, which only the service's account may read. Deliberately absent: the password in the URL, where the
//! list of processes and the configuration would show it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use onesync_store::{
    BackedUp, Bulk, DatabaseAdmin, DatabaseLook, PostgresAdmin, PostgresOptions, PostgresStore, SchemaState,
    SqlServerAdmin, SqlServerOptions, SqlServerStore, SqliteStore, Store, StoreError,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::error::ServiceError;
use crate::flushed::write_flushed;

/// The files of a home that may hold the password: two, so that a move has one for where it goes.
const PASSWORDS: [&str; 2] = ["database.password", "database.password.2"];
/// What a home says in place of a URL whose database is the embedded one, after it was on a server once.
pub(crate) const EMBEDDED: &str = "embedded";
/// In place of the file with the password: a server that asks for none must not be offered that of the one before.
const NO_PASSWORD: &str = "";
/// The embedded database in a home.
pub(crate) const EMBEDDED_FILE: &str = "onesync.db";

/// A database, as a home names it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    /// Where it is: `postgres://user@host:port/database` or `sqlserver://user@host:port/database`, and what is said about
    /// TLS; or `embedded`.
    pub(crate) url: String,
    /// The installation that this home belongs to.
    pub(crate) installation: String,
    /// The file of the home that holds its password; empty: it has none.
    #[serde(default)]
    pub(crate) password: Option<String>,
    /// Whether the home has only joined it: another server is the active one, and this one writes nothing.
    #[serde(default)]
    pub(crate) joined: bool,
}

/// Whether a database that the installation has left, or not reached, is opened, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opening {
    /// To be worked with.
    Working,
    /// To be looked at, filled or marked.
    Any,
}

/// A database on a server, as it is given for a new installation.
#[derive(Clone, Debug)]
pub struct DatabaseServer {
    /// The URL, without a password.
    pub url: String,
    /// The password, where the server asks for one.
    pub password: Option<SecretString>,
}

/// How to reach a server, as its URL says.
pub(crate) enum Options {
    Postgres(PostgresOptions),
    SqlServer(SqlServerOptions),
}

impl Options {
    fn parse(url: &str) -> Result<Self, StoreError> {
        match (PostgresOptions::is_url(url), SqlServerOptions::is_url(url)) {
            (true, _) => Ok(Self::Postgres(PostgresOptions::parse(url)?)),
            (_, true) => Ok(Self::SqlServer(SqlServerOptions::parse(url)?)),
            _ => {
                let why = "a database URL begins with `postgres://` or `sqlserver://`".to_owned();
                Err(StoreError::Settings { why })
            }
        }
    }

    fn has_password(&self) -> bool {
        match self {
            Self::Postgres(options) => options.has_password(),
            Self::SqlServer(options) => options.has_password(),
        }
    }

    fn password(self, password: Option<&SecretString>) -> Self {
        match (self, password) {
            (Self::Postgres(options), Some(password)) => Self::Postgres(options.password(password)),
            (Self::SqlServer(options), Some(password)) => Self::SqlServer(options.password(password)),
            (same, None) => same,
        }
    }

    /// The same for a database that holds an installation: nothing is made in an empty one.
    fn filled(self) -> Self {
        match self {
            Self::Postgres(options) => Self::Postgres(options.filled()),
            Self::SqlServer(options) => Self::SqlServer(options.filled()),
        }
    }

    /// Opens it; an empty one gets tables.
    pub(crate) fn open(&self, opening: Opening) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match (self, opening) {
            (Self::Postgres(options), Opening::Working) => Arc::new(PostgresStore::open(options)?),
            (Self::Postgres(options), Opening::Any) => Arc::new(PostgresStore::open_any(options)?),
            (Self::SqlServer(options), Opening::Working) => Arc::new(SqlServerStore::open(options)?),
            (Self::SqlServer(options), Opening::Any) => Arc::new(SqlServerStore::open_any(options)?),
        })
    }

    pub(crate) fn schema(&self) -> Result<SchemaState, StoreError> {
        match self {
            Self::Postgres(options) => PostgresStore::schema(options),
            Self::SqlServer(options) => SqlServerStore::schema(options),
        }
    }

    /// Looks at the database without writing anything.
    pub(crate) fn look(&self) -> Result<DatabaseLook, StoreError> {
        match self {
            Self::Postgres(options) => options.look(),
            Self::SqlServer(options) => options.look(),
        }
    }

    /// The account.
    pub(crate) fn user(&self) -> &str {
        match self {
            Self::Postgres(options) => options.user(),
            Self::SqlServer(options) => options.user(),
        }
    }

    /// The name of the database.
    pub(crate) fn database(&self) -> &str {
        match self {
            Self::Postgres(options) => options.database(),
            Self::SqlServer(options) => options.database(),
        }
    }

    /// The statements by which an administrator makes accounts and database: for the server, and inside of the database.
    pub(crate) fn statements(&self) -> (Vec<String>, Vec<String>) {
        match self {
            Self::Postgres(options) => options.statements(),
            Self::SqlServer(options) => options.statements(),
        }
    }

    /// An administrator's account at work for this database.
    pub(crate) fn administered_by(&self, admin: &Self) -> Result<Box<dyn DatabaseAdmin>, ServiceError> {
        match (admin, self) {
            (Self::Postgres(admin), Self::Postgres(service)) => {
                Ok(Box::new(PostgresAdmin::new(admin, service)?))
            }
            (Self::SqlServer(admin), Self::SqlServer(service)) => {
                Ok(Box::new(SqlServerAdmin::new(admin, service)?))
            }
            _ => Err(ServiceError::usage(
                "the administrator's URL is of another kind of database than the service's",
                "name the same server in both, or leave `--database-admin` out",
            )),
        }
    }

    /// Works on whole tables of a database with the schema of a version; an empty one gets it.
    pub(crate) fn of_version(
        &self,
        version: u32,
        work: &mut dyn FnMut(&mut dyn Bulk) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match self {
            Self::Postgres(options) => PostgresStore::of_version(options, version, work),
            Self::SqlServer(options) => SqlServerStore::of_version(options, version, work),
        }
    }

    /// Writes one state of the database into files of a folder.
    pub(crate) fn backup(&self, folder: &Path) -> Result<Vec<BackedUp>, StoreError> {
        match self {
            Self::Postgres(options) => PostgresStore::backup(options, folder),
            Self::SqlServer(options) => SqlServerStore::backup(options, folder),
        }
    }

    /// Puts such files back into an empty database.
    pub(crate) fn restore(
        &self,
        folder: &Path,
        version: u32,
        tables: &[BackedUp],
        forget: &str,
        epoch: u64,
    ) -> Result<(), StoreError> {
        match self {
            Self::Postgres(options) => {
                PostgresStore::restore(options, folder, version, tables, forget, epoch)
            }
            Self::SqlServer(options) => {
                SqlServerStore::restore(options, folder, version, tables, forget, epoch)
            }
        }
    }
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
        self.check_for("--database-password-file")
    }

    /// The same where another option names the file of the password.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_for(&self, option: &str) -> Result<(), ServiceError> {
        if self.url == EMBEDDED {
            return Ok(());
        }
        if Options::parse(&self.url)?.has_password() {
            return Err(ServiceError::usage(
                "the database URL holds a password, which everybody sees who sees this command",
                format!("leave it out of the URL and name a file that holds it: `{option} FILE`"),
            ));
        }
        Ok(())
    }

    /// How it is reached.
    pub(crate) fn options(&self) -> Result<Options, ServiceError> {
        self.check()?;
        Ok(Options::parse(&self.url)?.password(self.password.as_ref()))
    }

    /// Writes the password where the service finds it, beside that of a database which the home still names.
    pub(crate) fn keep_password(
        &self,
        folder: &Path,
        beside: Option<&Named>,
    ) -> Result<Option<String>, ServiceError> {
        let Some(password) = &self.password else {
            return Ok(beside.map(|_| NO_PASSWORD.to_owned()));
        };
        let used = beside
            .filter(|named| named.url != EMBEDDED)
            .map(|named| named.password.as_deref().unwrap_or(PASSWORDS[0]));
        let name = PASSWORDS.into_iter().find(|name| Some(*name) != used).unwrap_or(PASSWORDS[0]);
        let file = folder.join(name);
        write_flushed(&file, password.expose_secret()).map_err(file_error(&file))?;
        Ok(Some(name.to_owned()))
    }
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
                "it holds two lines: `url = \"postgres://...\"` (or `sqlserver://...`) and `installation = \"...\"`",
            )
        })?;
        Ok(Some(named))
    }

    /// Writes such a file.
    pub(crate) fn write(&self, file: &Path) -> Result<(), ServiceError> {
        let lines = [
            ("url", Some(&self.url)),
            ("installation", Some(&self.installation)),
            ("password", self.password.as_ref()),
        ];
        let lines = lines.into_iter().filter_map(|(name, text)| Some((name, text?)));
        let mut text: String =
            lines.map(|(name, text)| format!("{name} = {}\n", toml::Value::String(text.clone()))).collect();
        if self.joined {
            text += "joined = true\n";
        }
        write_flushed(file, &text).map_err(file_error(file))
    }

    /// Opens the database with the password of the home.
    pub(crate) fn open(&self, folder: &Path, opening: Opening) -> Result<Arc<dyn Store>, ServiceError> {
        open(folder, &self.url, self.password(folder)?.as_ref(), opening)
    }

    /// The same for one that may be somebody else's, or empty: one of another version is refused, and left as it is.
    pub(crate) fn open_new(&self, folder: &Path) -> Result<Arc<dyn Store>, ServiceError> {
        open_new(folder, &self.url, self.password(folder)?.as_ref(), Opening::Working)
    }

    fn password_file(&self) -> Option<&str> {
        let name = self.password.as_deref().unwrap_or(PASSWORDS[0]);
        (self.url != EMBEDDED && name != NO_PASSWORD).then_some(name)
    }

    /// Puts another password in the place of that which the home keeps.
    pub(crate) fn keep_password(&self, folder: &Path, password: &SecretString) -> Result<(), ServiceError> {
        let name = self.password_file().unwrap_or(PASSWORDS[0]);
        let file = folder.join(name);
        write_flushed(&file, password.expose_secret()).map_err(file_error(&file))?;
        match self.password_file() {
            Some(_) => Ok(()),
            None => Self { password: None, ..self.clone() }.write(&Self::file(folder)),
        }
    }

    pub(crate) fn password(&self, folder: &Path) -> Result<Option<SecretString>, ServiceError> {
        self.password_file().map_or(Ok(None), |name| password(&folder.join(name)))
    }

    /// How far its schema is.
    pub(crate) fn schema(&self, folder: &Path) -> Result<SchemaState, ServiceError> {
        schema(folder, &self.url, self.password(folder)?.as_ref())
    }

    /// How it is reached, with the password of the home.
    pub(crate) fn options(&self, folder: &Path) -> Result<Options, ServiceError> {
        Ok(Options::parse(&self.url)?.password(self.password(folder)?.as_ref()))
    }

    /// Where it lies, in words; never a secret.
    pub(crate) fn place(&self, folder: &Path) -> String {
        place(folder, &self.url)
    }

    /// Removes the file with its password, which nothing needs any more.
    pub(crate) fn forget_password(&self, folder: &Path, kept: &Named) -> Result<(), ServiceError> {
        let Some(name) = self.password_file().filter(|name| kept.password_file() != Some(*name)) else {
            return Ok(());
        };
        let file = folder.join(name);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file_error(&file)(error)),
            _ => Ok(()),
        }
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

/// Where a database lies, in words.
pub(crate) fn place(folder: &Path, url: &str) -> String {
    match url {
        EMBEDDED => folder.join(EMBEDDED_FILE).display().to_string(),
        url => url.to_owned(),
    }
}

/// Opens the database of an installation. Nothing is made in an empty one: it was taken away, and is about to be put back.
pub(crate) fn open(
    folder: &Path,
    url: &str,
    password: Option<&SecretString>,
    opening: Opening,
) -> Result<Arc<dyn Store>, ServiceError> {
    let is_empty = || {
        Ok::<_, ServiceError>(!folder.join(EMBEDDED_FILE).exists() || schema(folder, url, None)?.found == 0)
    };
    match url {
        EMBEDDED if is_empty()? => Err(StoreError::NotInstalled.into()),
        EMBEDDED => make(folder, url, None, opening),
        url => Ok(Options::parse(url)?.password(password).filled().open(opening)?),
    }
}

/// Opens the database that a URL names, and makes it where it is empty.
fn make(
    folder: &Path,
    url: &str,
    password: Option<&SecretString>,
    opening: Opening,
) -> Result<Arc<dyn Store>, ServiceError> {
    if url == EMBEDDED {
        let file = folder.join(EMBEDDED_FILE);
        return Ok(Arc::new(match opening {
            Opening::Working => SqliteStore::open(&file)?,
            Opening::Any => SqliteStore::open_any(&file)?,
        }));
    }
    Ok(Options::parse(url)?.password(password).open(opening)?)
}

/// How far the schema of the database is that a URL names; nothing is changed, and nothing made.
fn schema(folder: &Path, url: &str, password: Option<&SecretString>) -> Result<SchemaState, ServiceError> {
    Ok(match url {
        EMBEDDED => SqliteStore::schema(&folder.join(EMBEDDED_FILE))?,
        url => Options::parse(url)?.password(password).schema()?,
    })
}

/// Opens a database that may be empty, or somebody else's: opening changes the schema, and that of another version is left
/// as it is. Only an `upgrade` of the installation in it changes it.
pub(crate) fn open_new(
    folder: &Path,
    url: &str,
    password: Option<&SecretString>,
    opening: Opening,
) -> Result<Arc<dyn Store>, ServiceError> {
    if url != EMBEDDED || folder.join(EMBEDDED_FILE).exists() {
        let state = schema(folder, url, password)?;
        if state.is_older() {
            return Err(ServiceError::usage(
                format!(
                    "{} has schema version {}, of an older program; this program works with version {}: nothing was changed there",
                    place(folder, url),
                    state.found,
                    state.known
                ),
                "name an empty database; one that nobody needs any more can be dropped and created anew (the embedded one: move \
                 its file away)",
            ));
        }
    }
    make(folder, url, password, opening)
}

/// A command that opens the database which a URL names for looking.
pub(crate) fn open_with(folder: &Path, url: &str) -> String {
    if url == EMBEDDED {
        return format!("sqlite3 -readonly '{}'", place(folder, url));
    }
    let Some(server) = url.strip_prefix("sqlserver://") else {
        // Else that program asks for less proof than this one.
        let strict = match (url.contains("sslmode="), url.contains('?')) {
            (true, _) => "",
            (false, true) => "&sslmode=verify-full",
            (false, false) => "?sslmode=verify-full",
        };
        return format!("psql '{}{strict}'", url.replace('\'', "%27"));
    };
    let server = server.split_once('?').map_or(server, |(server, _)| server);
    let (user, server) = server.rsplit_once('@').unwrap_or(("", server));
    let (host, database) = server.split_once('/').unwrap_or((server, ""));
    let mut command = format!("sqlcmd -S '{}'", host.replacen(':', ",", 1));
    for (option, value) in [("-d", database), ("-U", user)] {
        if !value.is_empty() {
            command += &format!(" {option} '{value}'");
        }
    }
    command
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_database_has_a_program_that_opens_it() {
        let said = |url| open_with(Path::new("/h"), url);
        assert_eq!(said("embedded"), "sqlite3 -readonly '/h/onesync.db'");
        assert_eq!(said("postgres://a@b/c"), "psql 'postgres://a@b/c?sslmode=verify-full'");
        assert_eq!(said("postgres://a@b/c'?x=1"), "psql 'postgres://a@b/c%27?x=1&sslmode=verify-full'");
        assert_eq!(said("postgres://a@b/c?sslmode=disable"), "psql 'postgres://a@b/c?sslmode=disable'");
        assert_eq!(
            said("sqlserver://sync@db.x:1433/one?encrypt=true"),
            "sqlcmd -S 'db.x,1433' -d 'one' -U 'sync'"
        );
        assert_eq!(said("sqlserver://db.x/one"), "sqlcmd -S 'db.x' -d 'one'");
    }

    #[test]
    fn a_server_without_a_password_is_not_offered_that_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let named = |url: &str, password: Option<String>| Named {
            url: url.to_owned(),
            installation: "x".to_owned(),
            password,
            joined: false,
        };
        let old = named("postgres://a@b/c", None);
        let hush = DatabaseServer::new(&old.url, Some("hush"));
        assert_eq!(hush.keep_password(folder.path(), None).unwrap().as_deref(), Some(PASSWORDS[0]));
        assert!(old.password(folder.path()).unwrap().is_some());
        let server = DatabaseServer::new("postgres://a@d/c", None);
        let new = named(&server.url, server.keep_password(folder.path(), Some(&old)).unwrap());
        let file = folder.path().join("database.toml");
        new.write(&file).unwrap();
        let new = Named::read(&file).unwrap().unwrap();
        assert!(new.password(folder.path()).unwrap().is_none());
        old.forget_password(folder.path(), &new).unwrap();
        assert!(!folder.path().join(PASSWORDS[0]).exists());
        new.forget_password(folder.path(), &old).unwrap();
    }
}
