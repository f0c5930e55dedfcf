//! The rules that are shipped: what Azure AD Connect does by default, as far as Microsoft Graph can carry it.
//!
//! They are ordinary rule files under `stock/`, for a source of kind `ad` and a cloud connector of kind `graph`. For
//! a source that speaks with Active Directory's names through a file, the kind is replaced; and where such a source
//! knows only the attributes that occur in it, any of them may be missing.

use crate::RuleFile;

/// How the directories of an organisation belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Topology {
    /// One forest.
    #[default]
    SingleForest,
    /// Several forests whose accounts of one person have one mail address.
    MultiForestMail,
    /// Accounts in one forest, mailboxes in another, tied by SIDs.
    AccountResource,
}

impl Topology {
    /// Reads the word used on the command line.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "single-forest" => Self::SingleForest,
            "multi-forest-mail" => Self::MultiForestMail,
            "account-resource" => Self::AccountResource,
            _ => return None,
        })
    }
}

macro_rules! stock {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../stock/", $name, ".toml")))),*]
    };
}

/// The file that decides which accounts belong to one person, and the one that takes its place.
const USER_JOIN: &str = "in-from-ad-user-join";
pub(crate) const USER_JOIN_MAIL: &str = include_str!("../stock/in-from-ad-user-join.mail.toml");

pub(crate) const STOCK: [(&str, &str); 26] = stock![
    "in-from-ad-user-join"
    "in-from-ad-user-account-enabled"
    "in-from-ad-user-common-from-exchange"
    "in-from-ad-user-common"
    "in-from-ad-user-exchange"
    "in-from-ad-user-lync"
    "in-from-ad-group-join"
    "in-from-ad-group-exchange"
    "in-from-ad-group-common"
    "in-from-ad-contact-join"
    "in-from-ad-contact-common"
    "in-from-ad-contact-lync"
    "in-from-ad-foreign-security-principal"
    "in-from-entra-user-join"
    "in-from-entra-contact-join"
    "in-from-entra-group-join"
    "in-from-entra-mail-group-join"
    "out-to-entra-user-join"
    "out-to-entra-user-identity"
    "out-to-entra-user-profile"
    "out-to-entra-contact-join"
    "out-to-entra-contact-identity"
    "out-to-entra-group-join"
    "out-to-entra-group-identity"
    "out-to-entra-mail-group-join"
    "out-to-entra-mail-group-identity"
];

/// The shipped rules for a topology; `source` is the kind of the connectors they read from, `ad` as shipped.
#[must_use]
pub fn stock_rules(topology: Topology, source: &str) -> Vec<RuleFile> {
    STOCK
        .iter()
        .map(|&(name, text)| {
            let text = match topology {
                Topology::MultiForestMail if name == USER_JOIN => USER_JOIN_MAIL,
                _ => text,
            };
            RuleFile { path: format!("rules/{name}.toml"), text: for_source(text, source) }
        })
        .collect()
}

/// A shipped text for a kind of source.
pub(crate) fn for_source(text: &str, source: &str) -> String {
    let kind = format!("\"kind:{source}\"");
    let text = text.replace("\"kind:ad\"", &kind);
    if SCHEMA_IS_WRITTEN_DOWN.contains(&source) { text } else { anything_optional(&text, &kind) }
}

/// Kinds of source whose schema has all of Active Directory's attributes, whether they occur or not.
const SCHEMA_IS_WRITTEN_DOWN: [&str; 2] = ["ad", "ldif"];

fn anything_optional(text: &str, kind: &str) -> String {
    let mut out = String::with_capacity(text.len() + 20);
    for line in text.lines().filter(|line| !line.starts_with("optional")) {
        out.push_str(line);
        out.push('\n');
        if line.starts_with("connector ") && line.ends_with(kind) {
            out.push_str("optional   = [\"*\"]\n");
        }
    }
    out
}
