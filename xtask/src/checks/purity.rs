//! The pure crates stay pure: no runtime, no database and no HTTP below them, however deep.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::checks::Findings;
use crate::workspace;

/// Crates without async, I/O, clock and randomness.
const PURE: &[&str] = &["onesync-model", "onesync-expr", "onesync-rules", "onesync-engine"];

/// Packages that no pure crate may need outside its tests.
const IMPURE: &[&str] = &["async-trait", "reqwest", "rusqlite", "tokio"];

/// Asks cargo for the tree below each pure crate by itself, with the features that it switches on.
pub fn check(root: &Path) -> Result<Findings> {
    let mut errors = Vec::new();
    for &name in PURE {
        errors.extend(impure(name, &workspace::tree(root, &["--package", name, "--edges", "normal"])?));
    }
    Ok(Findings::errors(errors))
}

/// What the packages below a pure crate have that they must not have.
fn impure(name: &str, below: &BTreeSet<String>) -> Vec<String> {
    let found = IMPURE.iter().filter(|package| below.contains(**package));
    found
        .map(|package| {
            format!(
                "`{name}` is pure but needs `{package}`: see `cargo tree -p {name} -e normal -i {package}`"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_below_a_pure_crate_is_found() {
        let below = ["thiserror", "tokio"].map(str::to_owned).into();
        assert_eq!(
            impure("onesync-engine", &below),
            [
                "`onesync-engine` is pure but needs `tokio`: see `cargo tree -p onesync-engine -e normal -i tokio`"
            ]
        );
    }

    #[test]
    fn a_similar_name_is_no_runtime() {
        assert!(impure("onesync-engine", &["tokio-free".to_owned()].into()).is_empty());
    }
}
