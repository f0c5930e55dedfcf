//! The workspace as cargo tells it: members, their direct dependencies, and what lies below them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::process;

/// Prefix of the package names of the house.
pub const HOUSE_PREFIX: &str = "onesync-";

/// The members of the workspace.
#[derive(Clone, Debug, Deserialize)]
pub struct Workspace {
    packages: Vec<Package>,
}

/// A member.
#[derive(Clone, Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its direct dependencies as its manifest has them.
    pub dependencies: Vec<Dependency>,
}

/// A direct dependency in a manifest.
#[derive(Clone, Debug, Deserialize)]
pub struct Dependency {
    /// Name of the package.
    pub name: String,
    /// Kind: none for normal ones, else `dev` or `build`.
    pub kind: Option<String>,
    /// Folder of a dependency within the workspace.
    pub path: Option<PathBuf>,
}

impl Workspace {
    /// Asks cargo.
    pub fn load(root: &Path) -> Result<Self> {
        let text = process::output(process::cargo(root, &["metadata", "--format-version=1", "--no-deps"]))?;
        let mut workspace: Self =
            serde_json::from_str(&text).context("failed to read the output of `cargo metadata`")?;
        workspace.packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(workspace)
    }

    /// The members, sorted by name.
    pub fn members(&self) -> &[Package] {
        &self.packages
    }

    /// Names of the external packages that some member depends on directly, in whatever kind.
    pub fn direct_externals(&self) -> BTreeSet<&str> {
        let dependencies = self.packages.iter().flat_map(|member| &member.dependencies);
        dependencies.filter(|d| d.path.is_none()).map(|d| d.name.as_str()).collect()
    }
}

/// Names of all packages that `cargo tree` shows with the given arguments.
///
/// Not from the graph in `cargo metadata`: that has edges of optional dependencies which no feature switches on.
pub fn tree(root: &Path, args: &[&str]) -> Result<BTreeSet<String>> {
    let mut command = process::cargo(root, &["tree", "--quiet", "--prefix", "none", "--format", "{p}"]);
    command.args(args);
    Ok(tree_names(&process::output(command)?))
}

/// The names in lines of the form "NAME vVERSION ...".
fn tree_names(listed: &str) -> BTreeSet<String> {
    listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// The workspace's root: the folder above this crate.
///
/// Asked at run time, since two checkouts that share a target folder share this program as well.
pub fn root() -> Result<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .context("CARGO_MANIFEST_DIR is not set: start this with `cargo xtask`")?;
    let here = Path::new(&here);
    Ok(here.parent().context("xtask has no folder above it")?.to_path_buf())
}

/// The folder that cargo builds into.
pub fn target(root: &Path) -> Result<PathBuf> {
    let told = process::output(process::cargo(root, &["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&told)?;
    let folder = metadata.get("target_directory").and_then(|folder| folder.as_str());
    Ok(folder.context("cargo does not name its target folder")?.into())
}

/// Small workspaces for the tests of the checks.
#[cfg(test)]
pub mod sample {
    use super::*;

    /// A direct dependency: its name and its kind.
    pub type Wanted<'a> = (&'a str, Option<&'a str>);

    /// A workspace of members with direct dependencies; a name with the house's prefix is one within the workspace.
    pub fn workspace(members: &[(&str, &[Wanted<'_>])]) -> Workspace {
        let dependency = |(name, kind): &Wanted<'_>| Dependency {
            name: (*name).to_owned(),
            kind: kind.map(str::to_owned),
            path: name.starts_with(HOUSE_PREFIX).then(|| PathBuf::from(name)),
        };
        let packages = members.iter().map(|(name, dependencies)| Package {
            name: (*name).to_owned(),
            dependencies: dependencies.iter().map(dependency).collect(),
        });
        Workspace { packages: packages.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_externals_leave_the_house_out() {
        let workspace = sample::workspace(&[("onesync-a", &[("onesync-b", None), ("serde", Some("build"))])]);
        assert_eq!(workspace.direct_externals().into_iter().collect::<Vec<_>>(), ["serde"]);
    }

    #[test]
    fn a_tree_is_read_by_names() {
        let names = tree_names("a v1.0.0 (crates/a)\nb-c v2.0.0 (*)\n\na v1.0.0\n");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a", "b-c"]);
    }

    #[test]
    fn cargo_shows_the_tree_of_the_house() {
        let names = tree(&root().unwrap(), &["--package", "onesync-model", "--edges", "normal"]).unwrap();
        assert!(names.contains("onesync-model") && names.contains("thiserror"), "{names:?}");
    }
}
