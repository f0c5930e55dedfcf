//! Packages that the house does without: section 11 of the design.
//!
//! cargo-deny checks the same list where it is installed; this check needs nothing, and also knows what only tests use.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::checks::Findings;
use crate::workspace;

/// A banned package and why.
struct Ban {
    name: &'static str,
    reason: &'static str,
    /// Tests may use it.
    free_in_tests: bool,
}

const BANS: &[Ban] = &[
    Ban { name: "bincode", reason: "it is unmaintained", free_in_tests: false },
    Ban { name: "chrono", reason: "jiff is our time library", free_in_tests: true },
    Ban { name: "ldap3", reason: "our own client is the one to use", free_in_tests: true },
    Ban { name: "native-tls", reason: "rustls with aws-lc-rs is the only TLS", free_in_tests: false },
    Ban { name: "openssl", reason: "rustls with aws-lc-rs is the only TLS", free_in_tests: false },
    Ban { name: "openssl-sys", reason: "rustls with aws-lc-rs is the only TLS", free_in_tests: false },
    Ban {
        name: "ring",
        reason: "aws-lc-rs is the only provider of cryptography for TLS",
        free_in_tests: false,
    },
    Ban { name: "serde_yaml", reason: "it is unmaintained", free_in_tests: false },
];

/// Looks for banned packages below the members, on every platform and with every feature.
pub fn check(root: &Path) -> Result<Findings> {
    let below =
        |edges| workspace::tree(root, &["--workspace", "--all-features", "--target=all", "--edges", edges]);
    Ok(Findings::errors(banned(&below("normal,build")?, &below("normal,build,dev")?)))
}

fn banned(shipped: &BTreeSet<String>, with_tests: &BTreeSet<String>) -> Vec<String> {
    let found = BANS.iter().filter(|ban| {
        let below = if ban.free_in_tests { shipped } else { with_tests };
        below.contains(ban.name)
    });
    found
        .map(|ban| {
            format!(
                "`{0}` is banned ({1}): see `cargo tree --workspace --all-features --target all -i {0}`",
                ban.name, ban.reason
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::root;

    fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
        names.map(str::to_owned).into()
    }

    #[test]
    fn a_banned_package_is_found() {
        let found = banned(&set(["serde"]), &set(["serde", "ring"]));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("`ring` is banned (aws-lc-rs is"), "{found:?}");
    }

    #[test]
    fn the_other_ldap_client_is_for_tests_only() {
        assert!(banned(&set([]), &set(["ldap3"])).is_empty());
        assert_eq!(banned(&set(["ldap3"]), &set(["ldap3"])).len(), 1);
    }

    #[test]
    fn cargo_deny_has_the_same_list() {
        let text = std::fs::read_to_string(root().unwrap().join("deny.toml")).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let denied = table["bans"]["deny"].as_array().unwrap();
        let denied: BTreeSet<&str> = denied.iter().map(|ban| ban["name"].as_str().unwrap()).collect();
        assert_eq!(denied, BANS.iter().map(|ban| ban.name).collect());
    }
}
