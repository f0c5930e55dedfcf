//! Results of operations: codes, and the sub-codes that Active Directory hides in the text of a refused bind.

use std::fmt;

macro_rules! result_codes {
    ($($number:literal $name:ident $text:literal,)*) => {
        /// The outcome of an operation (RFC 4511 appendix A, RFC 2891, RFC 3909, RFC 4533).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ResultCode {
            $(#[doc = concat!("`", $text, "` (", stringify!($number), ").")] $name,)*
            /// A code that this crate has no name for.
            Other(u32),
        }

        impl ResultCode {
            /// Gives the code of a number.
            pub const fn from_number(number: u32) -> Self {
                match number { $($number => Self::$name,)* other => Self::Other(other) }
            }

            /// Gives the number of the code.
            pub const fn number(self) -> u32 {
                match self { $(Self::$name => $number,)* Self::Other(number) => number }
            }

            /// Gives the name that the standard uses.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* Self::Other(_) => "unnamed result" }
            }
        }
    };
}

result_codes! {
    0 Success "success",
    1 OperationsError "operationsError",
    2 ProtocolError "protocolError",
    3 TimeLimitExceeded "timeLimitExceeded",
    4 SizeLimitExceeded "sizeLimitExceeded",
    5 CompareFalse "compareFalse",
    6 CompareTrue "compareTrue",
    7 AuthMethodNotSupported "authMethodNotSupported",
    8 StrongerAuthRequired "strongerAuthRequired",
    10 Referral "referral",
    11 AdminLimitExceeded "adminLimitExceeded",
    12 UnavailableCriticalExtension "unavailableCriticalExtension",
    13 ConfidentialityRequired "confidentialityRequired",
    14 SaslBindInProgress "saslBindInProgress",
    16 NoSuchAttribute "noSuchAttribute",
    17 UndefinedAttributeType "undefinedAttributeType",
    18 InappropriateMatching "inappropriateMatching",
    19 ConstraintViolation "constraintViolation",
    20 AttributeOrValueExists "attributeOrValueExists",
    21 InvalidAttributeSyntax "invalidAttributeSyntax",
    32 NoSuchObject "noSuchObject",
    33 AliasProblem "aliasProblem",
    34 InvalidDnSyntax "invalidDNSyntax",
    36 AliasDereferencingProblem "aliasDereferencingProblem",
    48 InappropriateAuthentication "inappropriateAuthentication",
    49 InvalidCredentials "invalidCredentials",
    50 InsufficientAccessRights "insufficientAccessRights",
    51 Busy "busy",
    52 Unavailable "unavailable",
    53 UnwillingToPerform "unwillingToPerform",
    54 LoopDetect "loopDetect",
    60 SortControlMissing "sortControlMissing",
    61 OffsetRangeError "offsetRangeError",
    64 NamingViolation "namingViolation",
    65 ObjectClassViolation "objectClassViolation",
    66 NotAllowedOnNonLeaf "notAllowedOnNonLeaf",
    67 NotAllowedOnRdn "notAllowedOnRDN",
    68 EntryAlreadyExists "entryAlreadyExists",
    69 ObjectClassModsProhibited "objectClassModsProhibited",
    71 AffectsMultipleDsas "affectsMultipleDSAs",
    76 VlvError "virtualListViewError",
    80 Unspecified "other",
    118 Canceled "canceled",
    119 NoSuchOperation "noSuchOperation",
    120 TooLate "tooLate",
    121 CannotCancel "cannotCancel",
    4096 SyncRefreshRequired "e-syncRefreshRequired",
}

impl fmt::Display for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.number())
    }
}

/// The result part of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapResult {
    /// The outcome.
    pub code: ResultCode,
    /// The nearest entry that exists, where the named one does not.
    pub matched_dn: String,
    /// The server's own words.
    pub message: String,
    /// Other servers to ask.
    pub referrals: Vec<String>,
}

impl LdapResult {
    /// Makes a result without text.
    pub const fn new(code: ResultCode) -> Self {
        Self { code, matched_dn: String::new(), message: String::new(), referrals: Vec::new() }
    }

    /// Makes a result with the server's own words.
    pub fn with_message(code: ResultCode, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::new(code) }
    }

    /// Says whether the operation did what it should.
    pub fn is_success(&self) -> bool {
        self.code == ResultCode::Success
    }

    /// Gives the reason that Active Directory hides in the text of a refused bind.
    pub fn ad_bind_failure(&self) -> Option<AdBindFailure> {
        if self.code == ResultCode::InvalidCredentials { AdBindFailure::parse(&self.message) } else { None }
    }
}

impl fmt::Display for LdapResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(reason) = self.ad_bind_failure() {
            write!(f, ", {reason}")?;
        }
        // some servers end their text with a NUL or a line break
        let text = self.message.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        if !text.is_empty() {
            write!(f, ": {text}")?;
        }
        if !self.matched_dn.is_empty() {
            write!(f, " (nearest existing entry: `{}`)", self.matched_dn)?;
        }
        Ok(())
    }
}

/// Why Active Directory refused a bind: the `data` number in its diagnostic text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdBindFailure {
    /// 525: no such account.
    NoSuchAccount,
    /// 52e: the password is wrong, or the name is not known.
    WrongPassword,
    /// 530: not at this time of day.
    LogonHours,
    /// 531: not from this machine.
    Workstation,
    /// 532: the password has expired.
    PasswordExpired,
    /// 533: the account is disabled.
    Disabled,
    /// 534: this kind of logon is not granted.
    LogonType,
    /// 701: the account has expired.
    AccountExpired,
    /// 773: the password must be changed first.
    MustChangePassword,
    /// 775: the account is locked out.
    Locked,
    /// Another Win32 error number.
    Other(u32),
}

impl AdBindFailure {
    /// Reads the `data 52e` part of a text such as `80090308: LdapErr: DSID-0C0903A9, comment:
    /// AcceptSecurityContext error, data 52e, v1db1`.
    pub fn parse(message: &str) -> Option<Self> {
        let (_, tail) = message.split_once(" data ")?;
        let hex = tail.split(|c: char| !c.is_ascii_hexdigit()).next()?;
        Some(match u32::from_str_radix(hex, 16).ok()? {
            0x525 => Self::NoSuchAccount,
            0x52e => Self::WrongPassword,
            0x530 => Self::LogonHours,
            0x531 => Self::Workstation,
            0x532 => Self::PasswordExpired,
            0x533 => Self::Disabled,
            0x534 => Self::LogonType,
            0x701 => Self::AccountExpired,
            0x773 => Self::MustChangePassword,
            0x775 => Self::Locked,
            other => Self::Other(other),
        })
    }
}

impl fmt::Display for AdBindFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchAccount => "the account does not exist",
            Self::WrongPassword => "the name or the password is wrong",
            Self::LogonHours => "the account may not log on at this time",
            Self::Workstation => "the account may not log on from this machine",
            Self::PasswordExpired => "the password has expired: set a new one",
            Self::Disabled => "the account is disabled: enable it",
            Self::LogonType => "the account is not granted this kind of logon",
            Self::AccountExpired => "the account has expired: extend it",
            Self::MustChangePassword => "the password must be changed before the first logon",
            Self::Locked => "the account is locked out: unlock it or wait",
            Self::Other(number) => return write!(f, "Windows error 0x{number:x}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_numbers_are_inverse() {
        for number in 0..5000 {
            assert_eq!(ResultCode::from_number(number).number(), number);
        }
    }

    #[test]
    fn ad_sub_codes_are_readable() {
        let text =
            "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 533, v1db1\0";
        let result = LdapResult::with_message(ResultCode::InvalidCredentials, text);
        assert_eq!(result.ad_bind_failure(), Some(AdBindFailure::Disabled));
        assert!(
            result.to_string().starts_with("invalidCredentials (49), the account is disabled"),
            "{result}"
        );
        assert!(!result.to_string().contains('\0'));
        for (data, failure) in [
            ("52e", AdBindFailure::WrongPassword),
            ("773", AdBindFailure::MustChangePassword),
            ("701", AdBindFailure::AccountExpired),
            ("775", AdBindFailure::Locked),
            ("0", AdBindFailure::Other(0)),
        ] {
            assert_eq!(AdBindFailure::parse(&format!("x, data {data}, v")), Some(failure));
        }
        assert_eq!(AdBindFailure::parse("no number here"), None);
        assert_eq!(AdBindFailure::parse("x data zz"), None);
    }
}
