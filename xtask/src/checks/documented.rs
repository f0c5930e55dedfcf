//! Every external dependency has its line in docs/dependencies.md, and no line outlives its dependency.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::checks::Findings;
use crate::workspace::{HOUSE_PREFIX, Workspace};

/// The document, from the root.
const DOCUMENT: &str = "docs/dependencies.md";

/// Compares the manifests with the document.
pub fn check(root: &Path, workspace: &Workspace) -> Result<Findings> {
    let read = |name: &str| {
        std::fs::read_to_string(root.join(name)).with_context(|| format!("failed to read `{name}`"))
    };
    let declared = declared(&read("Cargo.toml")?)?;
    Ok(compare(&workspace.direct_externals(), &declared, &read(DOCUMENT)?))
}

/// Names of the external packages under `[workspace.dependencies]`.
fn declared(manifest: &str) -> Result<BTreeSet<String>> {
    let table: toml::Table = manifest.parse().context("failed to parse `Cargo.toml`")?;
    let dependencies = table.get("workspace").and_then(|w| w.get("dependencies")).and_then(|d| d.as_table());
    let names = dependencies.into_iter().flat_map(|table| table.keys());
    Ok(names.filter(|name| !name.starts_with(HOUSE_PREFIX)).cloned().collect())
}

fn compare(used: &BTreeSet<&str>, declared: &BTreeSet<String>, document: &str) -> Findings {
    let documented: BTreeSet<&str> = document.lines().filter_map(documented_name).collect();
    let mut findings = Findings::default();
    for name in used {
        if !declared.contains(*name) {
            findings
                .errors
                .push(format!("dependency `{name}` is not in [workspace.dependencies] of Cargo.toml"));
        }
        if !documented.contains(name) {
            findings.errors.push(format!(
                "dependency `{name}` has no line in {DOCUMENT}: say why, what else there was, what is off"
            ));
        }
    }
    for name in declared.iter().filter(|name| !used.contains(name.as_str())) {
        findings.warnings.push(format!("no crate uses `{name}`, which [workspace.dependencies] declares"));
    }
    for name in documented {
        if !used.contains(name) && !declared.contains(name) {
            findings
                .errors
                .push(format!("{DOCUMENT} has a line for `{name}`, which is no dependency any more"));
        }
    }
    findings
}

/// The name in a row of the form "| `name` | ...".
fn documented_name(line: &str) -> Option<&str> {
    line.strip_prefix("| `")?.split('`').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare_with(document: &str) -> Findings {
        let declared = ["serde", "toml"].map(str::to_owned).into();
        compare(&["serde"].into(), &declared, document)
    }

    #[test]
    fn a_dependency_needs_a_line() {
        assert!(compare_with("# serde\n").errors[0].contains("`serde` has no line"));
        assert!(compare_with("| `serde` | why |\n").errors.is_empty());
    }

    #[test]
    fn a_line_goes_with_its_dependency() {
        let found = compare_with("| `serde` | why |\n| `rand` | why |\n").errors;
        assert_eq!(found, ["docs/dependencies.md has a line for `rand`, which is no dependency any more"]);
    }

    #[test]
    fn versions_are_kept_in_one_place() {
        let found = compare(&["rand"].into(), &BTreeSet::new(), "| `rand` | why |\n").errors;
        assert_eq!(found, ["dependency `rand` is not in [workspace.dependencies] of Cargo.toml"]);
    }

    #[test]
    fn an_unused_declaration_is_a_warning() {
        assert_eq!(compare_with("| `serde` | why |\n").warnings.len(), 1);
    }

    #[test]
    fn the_house_itself_is_not_declared_external() {
        let manifest = "[workspace.dependencies]\nonesync-model = { path = \"m\" }\nserde = \"1\"\n";
        assert_eq!(declared(manifest).unwrap().into_iter().collect::<Vec<_>>(), ["serde"]);
    }
}
