//! How to reach a server: the URL, and the password beside it.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use tiberius::{AuthMethod, Config, EncryptionLevel};

use crate::error::StoreError;
use crate::look::DatabaseLook;
use crate::relational::percent_decoded;

const SCHEME: &str = "sqlserver://";
/// The first byte of a certificate in DER.
const DER_SEQUENCE: u8 = 0x30;
/// Port of a server that names none.
const PORT: u16 = 1433;
/// Bytes of the name of an instance: its browser service takes no more (16 characters are allowed at all).
const INSTANCE_MAX: usize = 31;

/// How the connection is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Encrypt {
    /// TLS from the first byte: TDS 8.0, SQL Server 2022 and later.
    Strict,
    /// TLS.
    Required,
    /// None at all.
    Disabled,
}

/// How to reach a SQL Server. Neither its text nor its debug form shows the password.
#[derive(Clone)]
pub struct SqlServerOptions {
    user: String,
    host: String,
    port: Option<u16>,
    instance: Option<String>,
    database: String,
    encrypt: Encrypt,
    authority: Option<PathBuf>,
    /// Whoever it is.
    trust: bool,
    password: Option<SecretString>,
    /// Whether an empty database stays empty.
    pub(super) filled: bool,
}

impl SqlServerOptions {
    /// Reads `sqlserver://user@host:port/database?encrypt=required&ca_file=/path/ca.pem`. The parameters: `instance`, a
    /// named instance, whose port the server's browser service tells (not together with a port); `encrypt`, one of
    /// `required` (the default), `strict` and `disabled`; `ca_file`, authorities beside those of the system;
    /// `trust_server_certificate`, `true` for encryption without proof of who it is.
    ///
    /// # Errors
    /// [`StoreError::Settings`] when it is no such URL, or says what does not go together; what it holds is not repeated,
    /// it may be a password.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let rest = url.strip_prefix(SCHEME);
        let rest = rest.ok_or_else(|| wrong("a database URL begins with `sqlserver://`"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, rest) = rest.rsplit_once('@').ok_or_else(|| {
            wrong("the database URL names no user: write `sqlserver://user@host/database`; SQL logins only")
        })?;
        let (user, password) = match user.split_once(':') {
            Some((user, password)) => (user, Some(decoded(password, "the password")?.into())),
            None => (user, None),
        };
        let (server, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = host_and_port(server)?;
        let mut options = Self {
            user: decoded(user, "the user")?,
            host,
            port,
            instance: None,
            database: decoded(database, "the database")?,
            encrypt: Encrypt::Required,
            authority: None,
            trust: false,
            password,
            filled: false,
        };
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter
                .split_once('=')
                .ok_or_else(|| wrong("a parameter of the database URL has no value"))?;
            options.set(name, &decoded(value, "a parameter")?)?;
        }
        options.checked()
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        match name {
            "instance" => self.instance = Some(value.to_owned()).filter(|name| !name.is_empty()),
            "encrypt" => {
                self.encrypt = match value {
                    "strict" => Encrypt::Strict,
                    "required" => Encrypt::Required,
                    "disabled" => Encrypt::Disabled,
                    _ => return Err(wrong("`encrypt` is one of required, strict, disabled")),
                };
            }
            "ca_file" => self.authority = Some(PathBuf::from(value)),
            "trust_server_certificate" => {
                self.trust = match value {
                    "true" => true,
                    "false" => false,
                    _ => return Err(wrong("`trust_server_certificate` is true or false")),
                };
            }
            _ => {
                return Err(wrong(
                    "the parameters of the database URL are `instance`, `encrypt`, `ca_file` and \
                     `trust_server_certificate`",
                ));
            }
        }
        Ok(())
    }

    /// Refuses what does not go together: the driver would not live through some of it, and guess at the rest.
    fn checked(self) -> Result<Self, StoreError> {
        if self.user.is_empty() || self.host.is_empty() || self.database.is_empty() {
            return Err(wrong(
                "the database URL names no user, no host or no database: write `sqlserver://user@host/database`",
            ));
        }
        if self.user.contains('\\') {
            return Err(wrong(
                "the user of the database URL is a Windows account: OneSync signs in with SQL logins only; make one \
                 with `CREATE LOGIN name WITH PASSWORD = '...'`, and let the server take both sorts (mixed mode)",
            ));
        }
        if self.instance.as_ref().is_some_and(|name| name.len() > INSTANCE_MAX || name.contains('\0')) {
            return Err(wrong("the name of the instance is longer than such a name may be"));
        }
        if self.instance.is_some() && self.port.is_some() {
            return Err(wrong(
                "the database URL names an instance and a port: the port of an instance is asked from the server, so \
                 leave one of them out",
            ));
        }
        if self.trust && self.authority.is_some() {
            return Err(wrong(
                "`trust_server_certificate=true` trusts any certificate, so that `ca_file` proves nothing: leave one out",
            ));
        }
        if self.encrypt == Encrypt::Disabled && (self.trust || self.authority.is_some()) {
            return Err(wrong(
                "with `encrypt=disabled` there is no certificate: leave `ca_file` and `trust_server_certificate` out",
            ));
        }
        if self.encrypt == Encrypt::Strict && self.trust {
            return Err(wrong(
                "`encrypt=strict` demands a certificate that is proven: leave `trust_server_certificate` out",
            ));
        }
        Ok(self)
    }

    /// Whether a text is the URL of a SQL Server database.
    #[must_use]
    pub fn is_url(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// With this password, in place of one in the URL.
    #[must_use]
    pub fn password(mut self, password: &SecretString) -> Self {
        self.password = Some(password.clone());
        self
    }

    /// The same for a database that holds an installation: in one that is empty nothing is made, and it is refused.
    #[must_use]
    pub fn filled(mut self) -> Self {
        self.filled = true;
        self
    }

    /// Whether the URL itself holds a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Where the database is: user, host, port or instance, and name, without password and parameters.
    #[must_use]
    pub fn place(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let server = match &self.instance {
            Some(instance) => format!("{host}\\{instance}"),
            None => format!("{host}:{}", self.port.unwrap_or(PORT)),
        };
        format!("{SCHEME}{}@{server}/{}", self.user, self.database)
    }

    /// The SQL login.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The name of the database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The same login in another database of the server.
    #[must_use]
    pub fn in_database(mut self, name: &str) -> Self {
        name.clone_into(&mut self.database);
        self
    }

    /// Looks at the database without writing anything.
    ///
    /// # Errors
    /// When the server is out of reach or will not do, the database is not there, or the login is refused.
    pub fn look(&self) -> Result<DatabaseLook, StoreError> {
        super::admin::look(self, true)
    }

    /// The statements by which an administrator makes logins and database for this one: those for the server, and those to
    /// be run in the database. They hold places for passwords, and no password.
    #[must_use]
    pub fn statements(&self) -> (Vec<String>, Vec<String>) {
        (super::admin::statements(self), super::admin::statements_inside(self))
    }

    /// Where the server is: its host, its port where one is named, and else the instance.
    pub(super) fn server(&self) -> (String, Result<u16, String>) {
        let port = match &self.instance {
            Some(instance) => Err(instance.to_uppercase()),
            None => Ok(self.port.unwrap_or(PORT)),
        };
        (self.host.to_lowercase(), port)
    }

    /// Whether TLS begins with the first byte.
    pub(super) fn is_strict(&self) -> bool {
        self.encrypt == Encrypt::Strict
    }

    /// What the driver is told. Its setters panic on what does not go together, which `parse` has refused.
    ///
    /// # Errors
    /// When the file of an authority cannot be read, or holds none.
    pub(super) fn config(&self) -> Result<Config, StoreError> {
        let mut config = Config::new();
        config.host(&self.host);
        config.database(&self.database);
        config.application_name("onesync");
        config.encryption(match self.encrypt {
            Encrypt::Strict => EncryptionLevel::Strict,
            Encrypt::Required => EncryptionLevel::Required,
            Encrypt::Disabled => EncryptionLevel::NotSupported,
        });
        match &self.authority {
            // By what is in it: the driver judges a file by its name.
            Some(file) => config.trust_cert_ca_bundle(certificates(file)?),
            None if self.trust => config.trust_cert(),
            None => {}
        }
        let password = self.password.as_ref().map_or("", |password| password.expose_secret());
        config.authentication(AuthMethod::sql_server(&self.user, password));
        Ok(config)
    }
}

/// A file of authorities: PEM, or one certificate in DER.
fn certificates(file: &Path) -> Result<Vec<u8>, StoreError> {
    let wrong = |why: &str| StoreError::Settings {
        why: format!("TLS to the database server cannot be set up: `{}`: {why}", file.display()),
    };
    let bytes = std::fs::read(file).map_err(|error| wrong(&error.to_string()))?;
    let begin = b"-----BEGIN CERTIFICATE-----";
    if bytes.first() != Some(&DER_SEQUENCE) && !bytes.windows(begin.len()).any(|part| part == begin) {
        return Err(wrong("it holds no certificate, neither as PEM nor as DER"));
    }
    Ok(bytes)
}

fn wrong(why: &str) -> StoreError {
    StoreError::Settings { why: why.to_owned() }
}

fn decoded(text: &str, what: &str) -> Result<String, StoreError> {
    percent_decoded(text).ok_or_else(|| wrong(&format!("{what} of the database URL is not text in %XX")))
}

fn host_and_port(server: &str) -> Result<(String, Option<u16>), StoreError> {
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest
                .split_once(']')
                .ok_or_else(|| wrong("the address in the database URL begins with `[` and has no `]`"))?;
            (host, rest.strip_prefix(':'))
        }
        None => match server.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (server, None),
        },
    };
    let port = port.map(|port| port.parse().map_err(|_| wrong("the port in the database URL is no number")));
    Ok((decoded(host, "the host")?, port.transpose()?))
}

impl fmt::Debug for SqlServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlServerOptions")
            .field("place", &self.place())
            .field("encrypt", &self.encrypt)
            .field("authority", &self.authority)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_who_where_and_how() {
        let options = SqlServerOptions::parse(
            "sqlserver://on%65sync@sql.example:1444/Sync%20One?encrypt=strict&ca_file=/etc/a%20b.pem",
        )
        .unwrap();
        assert_eq!(options.place(), "sqlserver://onesync@sql.example:1444/Sync One");
        assert_eq!((options.encrypt, options.trust), (Encrypt::Strict, false));
        assert_eq!(options.authority, Some(PathBuf::from("/etc/a b.pem")));
        assert_eq!(options.server(), ("sql.example".to_owned(), Ok(1444)));
        let options = SqlServerOptions::parse("sqlserver://sync@[::1]/one").unwrap();
        assert_eq!(options.place(), "sqlserver://sync@[::1]:1433/one");
        assert_eq!(options.encrypt, Encrypt::Required, "the default");
        let options = SqlServerOptions::parse("sqlserver://sync@host/one?instance=AADSYNC").unwrap();
        assert_eq!(options.place(), "sqlserver://sync@host\\AADSYNC/one");
        assert_eq!(options.server(), ("host".to_owned(), Err("AADSYNC".to_owned())), "its browser is asked");
    }

    /// The driver panics on some of these; none of them reaches it.
    #[test]
    fn what_does_not_go_together_is_refused_with_the_remedy() {
        for (parameters, word) in [
            ("trust_server_certificate=true&ca_file=/x", "leave one out"),
            ("ca_file=/x&trust_server_certificate=true", "leave one out"),
            ("encrypt=disabled&ca_file=/x", "there is no certificate"),
            ("encrypt=disabled&trust_server_certificate=true", "there is no certificate"),
            ("encrypt=strict&trust_server_certificate=true", "leave `trust_server_certificate` out"),
            ("encrypt=maybe", "required, strict, disabled"),
            ("trust_server_certificate=1", "true or false"),
            ("colour=blue", "parameters of the database URL are"),
            ("encrypt", "has no value"),
        ] {
            let error =
                SqlServerOptions::parse(&format!("sqlserver://sync@db/one?{parameters}")).unwrap_err();
            assert!(error.to_string().contains(word), "{parameters}: {error}");
        }
        for (url, word) in [
            ("sqlserver://sync@db:1433/one?instance=A", "an instance and a port"),
            (
                "sqlserver://sync@db/one?instance=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                "longer than such a name may be",
            ),
            ("sqlserver://CONTOSO%5Csync@db/one", "SQL logins only"),
            ("sqlserver://db/one", "no user"),
            ("sqlserver://sync@db", "no database"),
            ("sqlserver://sync@/one", "no host"),
            ("sqlserver://sync@[::1/one", "no `]`"),
            ("mssql://sync@db/one", "begins with `sqlserver://`"),
        ] {
            let error = SqlServerOptions::parse(url).unwrap_err();
            assert!(error.to_string().contains(word), "{url}: {error}");
        }
    }

    #[test]
    fn an_authority_is_known_by_what_is_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let with = |name: &str, bytes: Option<&[u8]>| {
            let file = folder.path().join(name);
            if let Some(bytes) = bytes {
                std::fs::write(&file, bytes).unwrap();
            }
            let url = format!("sqlserver://sync@db/one?ca_file={}", file.display());
            SqlServerOptions::parse(&url).unwrap().config().map(drop)
        };
        let pem = b"# ours\n-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
        for (name, bytes) in [("ca.cer", &pem[..]), ("ca", pem), ("ca.crt", &[0x30, 0x82, 1, 1])] {
            with(name, Some(bytes)).unwrap();
        }
        for (name, bytes, word) in [
            ("none", None, "No such file"),
            ("key.pem", Some(&b"-----BEGIN PRIVATE KEY-----\n"[..]), "holds no certificate"),
            ("empty.pem", Some(b""), "holds no certificate"),
        ] {
            let error = with(name, bytes).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn neither_text_nor_error_shows_the_password() {
        let options = SqlServerOptions::parse("sqlserver://sync:hush@db/one").unwrap();
        assert!(options.has_password());
        let shown = format!("{options:?} {} {:?}", options.place(), options.config().unwrap());
        assert!(!shown.contains("hush"), "{shown}");
        for url in [
            "sqlserver://sync:hush@db:port/one",
            "sqlserver://sync:hush@db/one?encrypt=hush",
            "sqlserver://sync:hush@db/one?hush",
            "sqlserver://sync:hush@db/one?hush=1",
            "sqlserver://sync:hush%@db/one",
            "hush://db/one",
        ] {
            let error = SqlServerOptions::parse(url).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{url}: {error}");
        }
    }
}
