//! Which suffixes of sign-in names a directory takes: `contoso.com` of `anna@contoso.com`.
//!
//! Pure: what the directory said goes in, what a name becomes comes out. The plan is made with it, so that what is
//! planned, shown, sent and compared is one value.

use std::collections::BTreeSet;

/// The domains of a directory in which names are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameDomains {
    /// Domains that may stand in a name, in lower case.
    pub verified: BTreeSet<String>,
    /// The domain for names that have none of these.
    pub default: Option<String>,
    /// Whether a suffix that is not verified is replaced by the default domain; else the name is held.
    pub replace: bool,
}

/// What becomes of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameVerdict {
    /// It is good as it is.
    Good,
    /// This one takes its place.
    Replaced(String),
    /// It waits, because of this suffix.
    Held(String),
}

impl NameDomains {
    /// Looks at a name.
    #[must_use]
    pub fn judge(&self, name: &str) -> NameVerdict {
        let (local, suffix) = name.rsplit_once('@').unwrap_or((name, ""));
        let suffix = suffix.to_lowercase();
        match &self.default {
            _ if self.verified.contains(&suffix) => NameVerdict::Good,
            Some(domain) if self.replace => NameVerdict::Replaced(format!("{local}@{domain}")),
            _ => NameVerdict::Held(suffix),
        }
    }

    /// As kept in a state: lines, first whether to replace, then the default domain, then all verified ones.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("{}\n{}", u8::from(self.replace), self.default.as_deref().unwrap_or_default());
        for domain in &self.verified {
            text.push('\n');
            text.push_str(domain);
        }
        text.into_bytes()
    }

    /// Reads what [`NameDomains::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.split('\n');
        let replace = match lines.next()? {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        let default = Some(lines.next()?.to_owned()).filter(|domain| !domain.is_empty());
        Some(Self { verified: lines.map(str::to_owned).collect(), default, replace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(replace: bool) -> NameDomains {
        NameDomains {
            verified: ["contoso.com".to_owned()].into(),
            default: Some("contoso.com".to_owned()),
            replace,
        }
    }

    #[test]
    fn a_suffix_is_good_replaced_or_held() {
        assert_eq!(domains(false).judge("a@Contoso.COM"), NameVerdict::Good);
        assert_eq!(domains(true).judge("a@b@corp.local"), NameVerdict::Replaced("a@b@contoso.com".into()));
        assert_eq!(domains(false).judge("a@Corp.local"), NameVerdict::Held("corp.local".into()));
        assert_eq!(domains(false).judge("nobody"), NameVerdict::Held(String::new()));
        let nowhere = NameDomains { replace: true, ..NameDomains::default() };
        assert_eq!(nowhere.judge("a@b"), NameVerdict::Held("b".into()));
    }

    #[test]
    fn what_is_kept_is_read_again() {
        for known in [domains(true), domains(false), NameDomains::default()] {
            assert_eq!(NameDomains::decode(&known.encode()), Some(known));
        }
        assert_eq!(NameDomains::decode(b"2\nx"), None);
        assert_eq!(NameDomains::decode(b""), None);
    }
}
