//! Errors of LDAP as errors of a connector: what is to be done, where, and how.

use onesync_ldap::{ErrorClass as Ldap, LdapError, LdapResult, ResultCode};

use crate::{ConnectorError, ErrorClass};

/// What is to be done with an error of the LDAP client.
#[must_use]
pub fn convert(error: &LdapError, server: &str) -> ConnectorError {
    let (class, code, hint) = match error.class() {
        Ldap::Transient => (
            ErrorClass::Transient,
            "LDAP-UNREACHABLE",
            Some(
                "check that the server runs and that address, port and firewall are right; the next run tries again",
            ),
        ),
        Ldap::Busy => (ErrorClass::Transient, "LDAP-BUSY", Some("the next run tries again")),
        Ldap::Authentication => {
            (ErrorClass::Configuration, "LDAP-BIND-REFUSED", Some(bind_hint(error.result())))
        }
        Ldap::Permission => (
            ErrorClass::Configuration,
            "LDAP-NO-RIGHT",
            Some("grant the account of setting `bind` the right; `connector test` says which one is missing"),
        ),
        Ldap::NoSuchObject => {
            (ErrorClass::Configuration, "LDAP-NO-SUCH-OBJECT", Some("check `base`, `include` and `exclude`"))
        }
        Ldap::Limit if error.result().is_some_and(|result| result.code == ResultCode::SizeLimitExceeded) => (
            ErrorClass::Configuration,
            "LDAP-SIZE-LIMIT",
            Some("lower `page_size` to what the server allows"),
        ),
        Ldap::Limit => {
            (ErrorClass::Transient, "LDAP-LIMIT", Some("the server gave up early; the next run tries again"))
        }
        Ldap::Referral => (
            ErrorClass::Configuration,
            "LDAP-REFERRAL",
            Some("this server does not hold the domain: name one of its domain controllers in `url`"),
        ),
        Ldap::Unsupported => (
            ErrorClass::Configuration,
            "LDAP-UNSUPPORTED",
            Some(
                "the server does not know what was asked for: is it a domain controller of Active Directory?",
            ),
        ),
        Ldap::Tls => (ErrorClass::Configuration, "LDAP-TLS", None),
        Ldap::Config => (ErrorClass::Configuration, "LDAP-SETTINGS", None),
        Ldap::Protocol => (ErrorClass::Fatal, "LDAP-PROTOCOL", None),
        Ldap::AlreadyExists | Ldap::Constraint | Ldap::Refused => (ErrorClass::Fatal, "LDAP-REFUSED", None),
    };
    let converted = ConnectorError::new(class, code, server, error.to_string());
    match hint {
        Some(hint) => converted.hint(hint),
        None => converted,
    }
}

/// An error of the configuration.
#[must_use]
pub fn configuration(code: &str, place: impl Into<String>, message: impl Into<String>) -> ConnectorError {
    ConnectorError::new(ErrorClass::Configuration, code, place, message)
}

fn bind_hint(result: Option<&LdapResult>) -> &'static str {
    use onesync_ldap::AdBindFailure as Failure;
    if result.is_some_and(|result| result.code == ResultCode::StrongerAuthRequired) {
        return "the server wants an encrypted connection: use `ldaps://`, or `starttls = true`";
    }
    match result.and_then(LdapResult::ad_bind_failure) {
        Some(Failure::NoSuchAccount | Failure::WrongPassword) => {
            "check setting `bind`, and set the password again with `onesync secret set`"
        }
        Some(Failure::PasswordExpired | Failure::MustChangePassword) => {
            "set a new password in the directory, let it not expire, then run `onesync secret set`"
        }
        Some(Failure::Disabled | Failure::AccountExpired | Failure::Locked) => {
            "enable, extend or unlock the account in the directory"
        }
        Some(Failure::LogonHours | Failure::Workstation | Failure::LogonType) => {
            "let the account log on at all times and from this machine"
        }
        _ => "check setting `bind` and the password",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_decides_what_is_to_be_done() {
        let refused = |code, message: &str| LdapError::Refused {
            server: "dc1:636".to_owned(),
            operation: "bind",
            object: "svc".to_owned(),
            result: Box::new(LdapResult::with_message(code, message)),
        };
        let text = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 533, v1db1";
        for (error, class, code, part) in [
            (
                refused(ResultCode::InvalidCredentials, text),
                ErrorClass::Configuration,
                "LDAP-BIND-REFUSED",
                "enable",
            ),
            (
                refused(ResultCode::StrongerAuthRequired, ""),
                ErrorClass::Configuration,
                "LDAP-BIND-REFUSED",
                "ldaps://",
            ),
            (refused(ResultCode::Busy, ""), ErrorClass::Transient, "LDAP-BUSY", "next run"),
            (
                refused(ResultCode::SizeLimitExceeded, ""),
                ErrorClass::Configuration,
                "LDAP-SIZE-LIMIT",
                "page_size",
            ),
            (refused(ResultCode::TimeLimitExceeded, ""), ErrorClass::Transient, "LDAP-LIMIT", "again"),
        ] {
            let converted = convert(&error, "dc1:636");
            assert_eq!((converted.class, converted.code.as_str()), (class, code));
            assert!(converted.hint.as_deref().unwrap().contains(part), "{converted:?}");
        }
    }
}
