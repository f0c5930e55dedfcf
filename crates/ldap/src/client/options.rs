//! How to connect.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::LdapError;
use crate::frame::MESSAGE_SIZE_MAX;

/// How long connecting may take, the encryption included: more than a lost SYN sent again twice.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server may be silent: Active Directory gives up on a query after 120 seconds itself.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(150);

/// Whether and how the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Not at all.
    None,
    /// After a plain start (`ldap://`, usually port 389).
    StartTls,
    /// From the first byte (`ldaps://`, usually port 636).
    Ldaps,
}

/// A certificate of our own and its key, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate, followed by those of its issuers.
    pub certificate_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

/// How to connect to one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Name or address of the server.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether and how the connection is encrypted.
    pub tls: TlsMode,
    /// The name that the certificate must hold, if not `host`.
    pub tls_server_name: Option<String>,
    /// A PEM file with the authorities to trust *instead of* those of the system.
    pub ca_file: Option<PathBuf>,
    /// The same as text; both may be given.
    pub ca_pem: Option<Vec<u8>>,
    /// A certificate of our own, for SASL EXTERNAL.
    pub client_identity: Option<ClientIdentity>,
    /// How long connecting may take, the encryption included.
    pub connect_timeout: Duration,
    /// How long the server may be silent while an answer is due.
    pub operation_timeout: Duration,
    /// Whether a password may go over an unencrypted connection: for tests only.
    pub allow_plaintext_password: bool,
    /// The largest message accepted.
    pub message_size_max: usize,
}

impl ConnectOptions {
    /// Makes options from an address such as `ldaps://dc1.example.com` or `ldap://[::1]:3389`.
    ///
    /// # Errors
    /// When the address is no LDAP URL, or is one of a search.
    pub fn new(url: &str) -> Result<Self, LdapError> {
        let wrong = |reason| LdapError::Url { url: url.to_owned(), reason };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let (tls, usual_port) = if scheme.eq_ignore_ascii_case("ldaps") {
            (TlsMode::Ldaps, 636)
        } else if scheme.eq_ignore_ascii_case("ldap") {
            (TlsMode::None, 389)
        } else {
            return Err(wrong("its scheme is neither ldap nor ldaps"));
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '@', ' ']) {
            return Err(wrong("it holds more than a server and a port"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, behind) = bracketed.split_once(']').ok_or_else(|| wrong("`]` is missing"))?;
                (host, if behind.is_empty() { None } else { Some(behind.strip_prefix(':').unwrap_or("")) })
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err(wrong("the server is missing"));
        }
        let port = match port.map(str::parse) {
            None => usual_port,
            Some(Ok(port)) if port != 0 => port,
            Some(_) => return Err(wrong("the port is no number from 1 to 65535")),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            tls,
            tls_server_name: None,
            ca_file: None,
            ca_pem: None,
            client_identity: None,
            connect_timeout: CONNECT_TIMEOUT,
            operation_timeout: OPERATION_TIMEOUT,
            allow_plaintext_password: false,
            message_size_max: MESSAGE_SIZE_MAX,
        })
    }

    /// Gives server and port as people write them.
    pub fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (url, server, tls) in [
            ("ldap://dc1", "dc1:389", TlsMode::None),
            ("LDAPS://dc1.example.com/", "dc1.example.com:636", TlsMode::Ldaps),
            ("ldap://127.0.0.1:3389", "127.0.0.1:3389", TlsMode::None),
            ("ldaps://[::1]", "[::1]:636", TlsMode::Ldaps),
            ("ldap://[fe80::1]:10389", "[fe80::1]:10389", TlsMode::None),
        ] {
            let options = ConnectOptions::new(url).expect(url);
            assert_eq!((options.server().as_str(), options.tls), (server, tls));
        }
        for url in [
            "dc1",
            "http://dc1",
            "ldap://",
            "ldap://:389",
            "ldap://dc1:",
            "ldap://dc1:0",
            "ldap://dc1:70000",
            "ldap://dc1/dc=x",
            "ldap://a@dc1",
            "ldap://[::1",
            "ldap://[::1]x",
            "ldap://::1",
        ] {
            let error = ConnectOptions::new(url).expect_err(url);
            assert!(error.to_string().contains(url), "{error}");
        }
    }
}
