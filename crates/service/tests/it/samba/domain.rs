//! Objects of a real domain, and what rules of Azure AD Connect make of what every object has.

use std::collections::BTreeMap;

use super::forest::Forest;
use crate::imported::hex;
use crate::world::base64;

pub type Expected = BTreeMap<String, String>;

/// The domain with the test's objects.
pub struct Domain {
    pub forest: Forest,
    /// What keeps account names of this run apart from those of another.
    pub own: String,
}

/// A text longer than the 448 characters that the rules keep.
pub fn long() -> String {
    "0123456789".repeat(60)
}

impl Domain {
    pub fn dn(&self, cn: &str) -> String {
        self.forest.dn(&format!("CN={cn},OU=CORP"))
    }

    pub async fn object(&mut self, class: &str, cn: &str, lines: &[(&str, Vec<&[u8]>)]) -> String {
        let dn = self.dn(cn);
        self.forest.add_bytes(&dn, class, lines).await;
        dn
    }

    /// An account; gives its account name.
    pub async fn user(&mut self, name: &str, control: &str, lines: &[(&str, Vec<&[u8]>)]) -> String {
        let account = format!("{name}{}", self.own);
        self.account(&account, control, lines).await;
        account
    }

    pub async fn account(&mut self, account: &str, control: &str, lines: &[(&str, Vec<&[u8]>)]) {
        let mut all = vec![
            ("sAMAccountName", vec![account.as_bytes()]),
            ("userAccountControl", vec![control.as_bytes()]),
        ];
        all.extend(lines.iter().cloned());
        self.object("user", account, &all).await;
    }

    pub async fn group(&mut self, name: &str, kind: &str, lines: &[(&str, Vec<&[u8]>)]) -> String {
        let account = format!("{name}{}", self.own);
        let mut all =
            vec![("sAMAccountName", vec![account.as_bytes()]), ("groupType", vec![kind.as_bytes()])];
        all.extend(lines.iter().cloned());
        self.object("group", name, &all).await
    }

    pub async fn anchor(&mut self, cn: &str) -> String {
        let dn = self.dn(cn);
        base64(&self.forest.guid(&dn).await)
    }

    /// A value as `pending` has it for an object of which nothing can be written: its digits.
    pub async fn digits(&mut self, cn: &str, attribute: &str) -> String {
        let dn = self.dn(cn);
        let bytes = self.forest.value(&dn, attribute).await.unwrap();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What the rules `Join` of users and groups give every object: names and anchor.
    pub async fn identity(&mut self, cn: &str, more: &[(&str, &str)]) -> Expected {
        let anchor = self.anchor(cn).await;
        let dn = self.dn(cn);
        let sid = self.forest.value(&dn, "objectSid").await;
        let mut out = expected(&[("sourceAnchor", &anchor), ("dn", &format!("CN={{{}}}", hex(&anchor)))]);
        if let Some(sid) = sid {
            out.extend(expected(&[("onPremiseSecurityIdentifier", &base64(&sid)), ("commonName", cn)]));
        }
        out.extend(expected(more));
        out
    }

    /// What is owed for an account of which nothing else is known.
    pub async fn account_identity(&mut self, account: &str, more: &[(&str, &str)]) -> Expected {
        let mut out = self
            .identity(
                account,
                &[
                    ("accountEnabled", "True"),
                    ("dnsDomainName", "contoso.test"),
                    ("netBiosName", "CONTOSO"),
                    ("onPremisesSamAccountName", account),
                    ("displayName", account),
                    ("userPrincipalName", &format!("{account}@contoso.test")),
                    // Never set: the beginning of Windows' time. The directory gives every account a country code.
                    ("lastPasswordChangeTimestamp", "16010101000000.0Z"),
                    ("countryCode", "0"),
                ],
            )
            .await;
        out.extend(expected(more));
        out
    }
}

pub fn expected(pairs: &[(&str, &str)]) -> Expected {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub fn text(value: &str) -> Vec<&[u8]> {
    vec![value.as_bytes()]
}

/// The text that `pending` has of a value that is written: its beginning.
pub fn beginning(text: &str) -> String {
    format!("{}...", &text[..60])
}
