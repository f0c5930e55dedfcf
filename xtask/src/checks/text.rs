//! Text that must not be committed: paths of the machine it was written on, hosts of package registries.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::checks::Findings;

/// Folders of a developer's machine; each is put together here so that this file does not find itself.
const FOLDERS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Hosts of registries: where packages come from is a setting of the machine, not of the project.
const HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("deb.debian", ".org"),
    concat!("security.debian", ".org"),
    concat!("npmjs", ".org"),
    concat!("proxy.golang", ".org"),
];

/// Files that tools write, with a registry's name as their own identifier of it.
const WRITTEN_BY_TOOLS: &[&str] = &["Cargo.lock"];

/// Searches the given files; what is no UTF-8 is data and not searched.
pub fn check(root: &Path, files: &[PathBuf]) -> Result<Findings> {
    let mut errors = Vec::new();
    for file in files {
        if file.file_name().is_some_and(|name| WRITTEN_BY_TOOLS.iter().any(|tool| name == *tool)) {
            continue;
        }
        let bytes =
            std::fs::read(root.join(file)).with_context(|| format!("failed to read `{}`", file.display()))?;
        let Ok(text) = String::from_utf8(bytes) else { continue };
        for (index, line) in text.lines().enumerate() {
            if let Some(found) = forbidden(line) {
                errors.push(format!("{}:{}: `{found}` must not be committed", file.display(), index + 1));
            }
        }
    }
    Ok(Findings::errors(errors))
}

fn forbidden(line: &str) -> Option<&'static str> {
    let folder =
        FOLDERS.iter().find(|folder| line.match_indices(**folder).any(|(at, _)| starts_path(line, at)));
    folder.or_else(|| HOSTS.iter().find(|host| line.contains(**host))).copied()
}

/// True when the slash at `at` is where a path begins, as opposed to a folder of that name further down.
fn starts_path(line: &str, at: usize) -> bool {
    let before = line.get(..at).and_then(|head| head.chars().next_back());
    !before.is_some_and(|c| c.is_alphanumeric() || "_-.}/~*".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_machine_is_found() {
        let folder = FOLDERS[0];
        assert_eq!(forbidden(&format!("cd {folder}main")), Some(folder));
        assert_eq!(forbidden(&format!("DIR={folder}x")), Some(folder));
        assert_eq!(forbidden(&format!("\"{folder}x\"")), Some(folder));
    }

    #[test]
    fn a_folder_further_down_is_not() {
        assert_eq!(forbidden(&format!("see docs{}notes", FOLDERS[0])), None);
        assert_eq!(forbidden(&format!("$DIR{}notes", FOLDERS[0]).replace("DIR", "{DIR}")), None);
    }

    #[test]
    fn a_registry_is_found_but_not_in_the_lock_file() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["Cargo.lock", "README.md"] {
            std::fs::write(folder.path().join(name), format!("ok\nsee {}\n", HOSTS[0])).unwrap();
        }
        let files = [PathBuf::from("Cargo.lock"), PathBuf::from("README.md")];
        let found = check(folder.path(), &files).unwrap().errors;
        assert_eq!(found, [format!("README.md:2: `{}` must not be committed", HOSTS[0])]);
    }

    #[test]
    fn data_is_not_searched() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = FOLDERS[0].as_bytes().to_vec();
        bytes.push(0xff);
        std::fs::write(folder.path().join("a.bin"), bytes).unwrap();
        assert!(check(folder.path(), &[PathBuf::from("a.bin")]).unwrap().errors.is_empty());
    }
}
