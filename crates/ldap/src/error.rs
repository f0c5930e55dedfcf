//! Errors of the client: what failed, at which server, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::ber::CodecError;
use crate::filter::FilterError;
use crate::frame::FrameError;
use crate::result::{LdapResult, ResultCode};

/// What the caller may do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Try again over a new connection.
    Transient,
    /// Try again later: the server has too much to do.
    Busy,
    /// The name or the proof was refused.
    Authentication,
    /// The account lacks a right.
    Permission,
    /// The entry does not exist.
    NoSuchObject,
    /// The entry or value exists already.
    AlreadyExists,
    /// The server refuses these values.
    Constraint,
    /// A limit of the server ended the operation early.
    Limit,
    /// Another server is responsible.
    Referral,
    /// The server does not know what was asked for.
    Unsupported,
    /// The server broke the protocol.
    Protocol,
    /// The encrypted connection could not be made.
    Tls,
    /// The settings are wrong.
    Config,
    /// The server refused for another reason.
    Refused,
}

/// Why an encrypted connection could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsProblem {
    /// The issuer of the certificate is not trusted.
    #[error(
        "its certificate comes from an authority that is not trusted: \
         name the authority's certificate with `ca_file`"
    )]
    UntrustedIssuer,
    /// The certificate has expired.
    #[error("its certificate has expired: renew it on the server, and check this machine's clock")]
    Expired,
    /// The certificate is not valid yet.
    #[error("its certificate is not valid yet: check the clocks of both machines")]
    NotYetValid,
    /// The certificate is for another name.
    #[error("its certificate is for another name ({presented}): connect by a name that it holds")]
    WrongName {
        /// The names in the certificate.
        presented: String,
    },
    /// The server does not speak TLS.
    #[error("it does not speak TLS there: check the port, 636 is usual for ldaps, 389 for StartTLS")]
    NotTls,
    /// The server closed the connection during the handshake.
    #[error("it closed the connection during the handshake: it may have no certificate, or want one of ours")]
    Closed,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// An error of the client.
#[derive(Debug, thiserror::Error)]
pub enum LdapError {
    /// The address of a server is wrong.
    #[error("the server address `{url}` is wrong: {reason}; write `ldap://host:389` or `ldaps://host:636`")]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Settings contradict each other.
    #[error("the settings for `{server}` are wrong: {reason}")]
    Settings {
        /// The server.
        server: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A file with certificates or keys cannot be used.
    #[error("cannot use the {what} `{}`: {reason}", path.display())]
    File {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The filter is malformed.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The name of the server is not known.
    #[error("cannot find the address of `{host}`: check the name and this machine's DNS")]
    Resolve {
        /// The name.
        host: String,
        /// The cause.
        source: io::Error,
    },
    /// No connection.
    #[error("cannot connect to `{server}`: {reason}")]
    Connect {
        /// The server.
        server: String,
        /// What to do about it.
        reason: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// No connection in time.
    #[error("cannot connect to `{server}` within {after:?}: check address, port and firewall")]
    ConnectTimeout {
        /// The server.
        server: String,
        /// The time allowed.
        after: Duration,
    },
    /// No encrypted connection.
    #[error("no encrypted connection to `{server}`: {problem}")]
    Tls {
        /// The server.
        server: String,
        /// Why.
        problem: TlsProblem,
    },
    /// A password would have been readable on the wire.
    #[error(
        "no password is sent to `{server}` over an unencrypted connection: use `ldaps://` or StartTLS, \
         or set `allow_plaintext_password` for a test"
    )]
    PlaintextPassword {
        /// The server.
        server: String,
    },
    /// The server was silent for too long.
    #[error("`{server}` did not answer within {after:?} ({operation})")]
    Timeout {
        /// The server.
        server: String,
        /// What was being done.
        operation: &'static str,
        /// The time allowed.
        after: Duration,
    },
    /// The connection is gone.
    #[error("the connection to `{server}` was lost ({operation})")]
    Lost {
        /// The server.
        server: String,
        /// What was being done.
        operation: &'static str,
        /// The cause; absent when the server closed it.
        source: Option<io::Error>,
    },
    /// The server said that it closes the connection.
    #[error("`{server}` closed the connection: {result}")]
    Disconnected {
        /// The server.
        server: String,
        /// Its reason.
        result: LdapResult,
    },
    /// A message is larger than allowed.
    #[error(
        "`{server}` sent a message of {size} bytes, the limit is {size_max}: \
         name the attributes wanted, or raise `message_size_max`"
    )]
    TooLarge {
        /// The server.
        server: String,
        /// The size of the message.
        size: usize,
        /// The limit.
        size_max: usize,
    },
    /// The server sent what is no LDAP.
    #[error("`{server}` sent a malformed message: {source}")]
    Malformed {
        /// The server.
        server: String,
        /// What is wrong with it.
        source: CodecError,
    },
    /// The server sent what should not come here.
    #[error("`{server}` broke the protocol ({operation}): {detail}")]
    Protocol {
        /// The server.
        server: String,
        /// What was being done.
        operation: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// What was asked for cannot be written as a message.
    #[error("the {operation} cannot be sent: {source}")]
    Request {
        /// What was to be done.
        operation: &'static str,
        /// Why it cannot.
        source: CodecError,
    },
    /// The server refused.
    #[error("`{server}` refused the {operation}{}: {result}", on(object))]
    Refused {
        /// The server.
        server: String,
        /// What was to be done.
        operation: &'static str,
        /// The entry it was to be done to; empty when there is none.
        object: String,
        /// The outcome.
        result: Box<LdapResult>,
    },
}

fn on(object: &str) -> String {
    if object.is_empty() { String::new() } else { format!(" of `{object}`") }
}

impl LdapError {
    /// Says what the caller may do about the error.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Url { .. }
            | Self::Settings { .. }
            | Self::File { .. }
            | Self::Filter(_)
            | Self::Request { .. }
            | Self::PlaintextPassword { .. } => ErrorClass::Config,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Timeout { .. }
            | Self::Lost { .. } => ErrorClass::Transient,
            Self::Disconnected { result, .. } => match result.code {
                ResultCode::StrongerAuthRequired => ErrorClass::Authentication,
                ResultCode::Busy => ErrorClass::Busy,
                ResultCode::ProtocolError => ErrorClass::Protocol,
                _ => ErrorClass::Transient,
            },
            Self::Tls { problem: TlsProblem::Closed, .. } => ErrorClass::Transient,
            Self::Tls { .. } => ErrorClass::Tls,
            Self::TooLarge { .. } | Self::Malformed { .. } | Self::Protocol { .. } => ErrorClass::Protocol,
            Self::Refused { result, .. } => class_of(result.code),
        }
    }

    /// Gives the server's result code, if it gave one.
    pub fn result(&self) -> Option<&LdapResult> {
        match self {
            Self::Refused { result, .. } => Some(result),
            Self::Disconnected { result, .. } => Some(result),
            _ => None,
        }
    }

    pub(crate) fn from_frame(error: FrameError, server: &str, operation: &'static str) -> Self {
        let server = server.to_owned();
        match error {
            FrameError::Codec(source) => Self::Malformed { server, source },
            FrameError::TooLarge { size, size_max } => Self::TooLarge { server, size, size_max },
            FrameError::Cut => Self::Lost { server, operation, source: None },
            FrameError::Io(source) => Self::Lost { server, operation, source: Some(source) },
        }
    }
}

const fn class_of(code: ResultCode) -> ErrorClass {
    use ResultCode as Code;
    match code {
        Code::Busy | Code::AdminLimitExceeded => ErrorClass::Busy,
        Code::Unavailable => ErrorClass::Transient,
        Code::AuthMethodNotSupported
        | Code::StrongerAuthRequired
        | Code::ConfidentialityRequired
        | Code::InappropriateAuthentication
        | Code::InvalidCredentials => ErrorClass::Authentication,
        Code::InsufficientAccessRights => ErrorClass::Permission,
        Code::NoSuchObject | Code::NoSuchAttribute => ErrorClass::NoSuchObject,
        Code::EntryAlreadyExists | Code::AttributeOrValueExists => ErrorClass::AlreadyExists,
        Code::UndefinedAttributeType
        | Code::InappropriateMatching
        | Code::ConstraintViolation
        | Code::InvalidAttributeSyntax
        | Code::InvalidDnSyntax
        | Code::NamingViolation
        | Code::ObjectClassViolation
        | Code::NotAllowedOnNonLeaf
        | Code::NotAllowedOnRdn
        | Code::ObjectClassModsProhibited => ErrorClass::Constraint,
        Code::TimeLimitExceeded | Code::SizeLimitExceeded => ErrorClass::Limit,
        Code::Referral | Code::AffectsMultipleDsas => ErrorClass::Referral,
        Code::UnavailableCriticalExtension => ErrorClass::Unsupported,
        Code::ProtocolError => ErrorClass::Protocol,
        _ => ErrorClass::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_server_object_and_reason() {
        let error = LdapError::Refused {
            server: "dc1:636".into(),
            operation: "search",
            object: "DC=x".into(),
            result: Box::new(LdapResult::new(ResultCode::NoSuchObject)),
        };
        assert_eq!(error.to_string(), "`dc1:636` refused the search of `DC=x`: noSuchObject (32)");
        assert_eq!(error.class(), ErrorClass::NoSuchObject);
    }
}
