//! How to reach a server: the URL, with what libpq says about TLS, and the password beside it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::error::StoreError;
use crate::look::DatabaseLook;
use crate::relational::percent_decoded;

/// A server that does not answer in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that carries nothing is looked after in this time, so that a dead server is noticed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// What was sent is to be acknowledged in this time, or the connection is lost.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(60);
/// Port of a server that names none.
const PORT: u16 = 5432;

/// How much the server must prove; the words are libpq's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trust {
    /// No TLS.
    Disable,
    /// TLS where the server has it, of whoever it is.
    Prefer,
    /// TLS, of whoever it is; with a CA file as `VerifyCa`.
    Require,
    /// TLS, with a certificate of a known authority.
    VerifyCa,
    /// TLS, with a certificate of a known authority for this very name.
    VerifyFull,
}

/// How to reach a PostgreSQL server. Neither its text nor its debug form shows the password.
#[derive(Clone)]
pub struct PostgresOptions {
    pub(super) config: Config,
    pub(super) trust: Trust,
    pub(super) authorities: Option<PathBuf>,
    /// Whether an empty database stays empty.
    pub(super) filled: bool,
}

impl PostgresOptions {
    /// Reads `postgres://user@host:port/database?sslmode=verify-full&sslrootcert=/path/ca.pem`. Without `sslmode` the
    /// server must prove its name (`verify-full`); without `sslrootcert` the system's authorities are asked. The other
    /// parameters are those of libpq that the driver knows: `connect_timeout`, `target_session_attrs`,
    /// `application_name`, `options` and more.
    ///
    /// # Errors
    /// [`StoreError::Settings`] when it is no such URL; what it holds is not repeated, it may be a password.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let wrong = |why: String| StoreError::Settings { why };
        if !Self::is_url(url) {
            return Err(wrong("a database URL begins with `postgres://`".to_owned()));
        }
        let (mut rest, query) = match url.split_once('?') {
            Some((rest, query)) => (rest.to_owned(), query),
            None => (url.to_owned(), ""),
        };
        let (mut trust, mut authorities) = (Trust::VerifyFull, None);
        let mut others = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", word)) => trust = Self::trust(word)?,
                Some(("sslrootcert", path)) => {
                    let path = percent_decoded(path)
                        .ok_or_else(|| wrong("`sslrootcert` of the database URL is no path".to_owned()))?;
                    authorities = Some(PathBuf::from(path));
                }
                Some(_) => others.push(parameter),
                None => return Err(wrong("a parameter of the database URL has no value".to_owned())),
            }
        }
        if !others.is_empty() {
            rest.push('?');
            rest.push_str(&others.join("&"));
        }
        // Without the driver's cause: it repeats parts of the URL.
        let mut config: Config = rest.parse().map_err(|_: tokio_postgres::Error| {
            wrong(
                "the database URL cannot be read: write `postgres://user@host:port/database`, with characters that mean \
                 something in a URL as %XX, and only parameters that libpq has"
                    .to_owned(),
            )
        })?;
        if config.get_hosts().is_empty() || config.get_dbname().is_none() {
            return Err(wrong("the database URL names no host or no database".to_owned()));
        }
        if config.get_user().is_none() {
            return Err(wrong(
                "the database URL names no user: write `postgres://user@host/database`".to_owned(),
            ));
        }
        config.ssl_mode(match trust {
            Trust::Disable => SslMode::Disable,
            Trust::Prefer => SslMode::Prefer,
            _ => SslMode::Require,
        });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("onesync");
        }
        config.keepalives_idle(KEEPALIVE_IDLE).tcp_user_timeout(TCP_USER_TIMEOUT);
        Ok(Self { config, trust, authorities, filled: false })
    }

    /// Whether a text is the URL of a PostgreSQL database rather than a path.
    #[must_use]
    pub fn is_url(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    fn trust(word: &str) -> Result<Trust, StoreError> {
        Ok(match word {
            "disable" => Trust::Disable,
            "prefer" => Trust::Prefer,
            "require" => Trust::Require,
            "verify-ca" => Trust::VerifyCa,
            "verify-full" => Trust::VerifyFull,
            _ => {
                return Err(StoreError::Settings {
                    why: "`sslmode` is one of disable, prefer, require, verify-ca, verify-full".to_owned(),
                });
            }
        })
    }

    /// With this password, in place of one in the URL.
    #[must_use]
    pub fn password(mut self, password: &SecretString) -> Self {
        self.config.password(password.expose_secret());
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
        self.config.get_password().is_some()
    }

    /// The account.
    #[must_use]
    pub fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// The name of the database.
    #[must_use]
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    /// The server: hosts and ports.
    pub(super) fn server(&self) -> String {
        let place = self.place();
        let from_host = place.rfind('@').and_then(|at| place.get(at + 1..)).unwrap_or_default();
        from_host.rsplit_once('/').map_or(from_host, |(server, _)| server).to_owned()
    }

    /// The same account in another database of the server.
    #[must_use]
    pub fn in_database(mut self, name: &str) -> Self {
        self.config.dbname(name);
        self
    }

    /// The same account in a role that it is a member of.
    pub(super) fn in_role(mut self, role: &str) -> Self {
        let role: String = role
            .chars()
            .flat_map(|c| matches!(c, ' ' | '\\').then_some('\\').into_iter().chain([c]))
            .collect();
        let before = self.config.get_options().map_or_else(String::new, |options| format!("{options} "));
        self.config.options(format!("{before}-c role={role}"));
        self
    }

    /// Looks at the database without writing anything.
    ///
    /// # Errors
    /// When the server is out of reach or will not do, the database is not there, or the account is refused.
    pub fn look(&self) -> Result<DatabaseLook, StoreError> {
        super::admin::look(self)
    }

    /// The statements by which an administrator makes roles and database for this account: those for the server, and those
    /// to be run in the database. They hold places for passwords, and no password.
    #[must_use]
    pub fn statements(&self) -> (Vec<String>, Vec<String>) {
        (super::admin::statements(self), super::admin::statements_inside(self))
    }

    /// The role that owns the database in these statements.
    #[must_use]
    pub fn owner(&self) -> String {
        super::admin::owner_of(self.user())
    }

    /// Where the database is: user, host, port and name, without password and parameters.
    #[must_use]
    pub fn place(&self) -> String {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate().map(|(n, host)| {
            let port = ports.get(n).or(ports.first()).copied().unwrap_or(PORT);
            match host {
                Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
                Host::Tcp(name) => format!("{name}:{port}"),
                #[cfg(unix)]
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        });
        let (user, name) = (self.config.get_user(), self.config.get_dbname());
        let hosts: Vec<String> = hosts.collect();
        format!("postgres://{}@{}/{}", user.unwrap_or("?"), hosts.join(","), name.unwrap_or("?"))
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("place", &self.place())
            .field("trust", &self.trust)
            .field("authorities", &self.authorities)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_who_where_and_how_much_is_to_be_proven() {
        let options = PostgresOptions::parse(
            "postgres://sync@db.example:5433/one?sslmode=verify-ca&sslrootcert=/etc/a%20b.pem&connect_timeout=3",
        )
        .unwrap();
        assert_eq!(options.place(), "postgres://sync@db.example:5433/one");
        assert_eq!(options.trust, Trust::VerifyCa);
        assert_eq!(options.authorities, Some(PathBuf::from("/etc/a b.pem")));
        assert_eq!(options.config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        let options = PostgresOptions::parse("postgresql://sync@[::1]/one").unwrap();
        assert_eq!(options.trust, Trust::VerifyFull, "the default is the strictest");
        assert_eq!(options.config.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn neither_text_nor_error_shows_the_password() {
        let options = PostgresOptions::parse("postgres://sync:hush@db/one").unwrap();
        assert!(options.has_password());
        let shown = format!("{options:?} {}", options.place());
        assert!(!shown.contains("hush"), "{shown}");
        for url in [
            "postgres://sync:hush@db:port/one",
            "postgres://sync:hush@db/one?sslmode=hush",
            "postgres://sync:hush@db/one?hush",
            "postgres://sync:hush@db/one?connect_timeout=hush",
            "postgres://sync:hush@/one?hush=1",
            "hush://db/one",
        ] {
            let error = PostgresOptions::parse(url).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{url}: {error}");
        }
    }
}
