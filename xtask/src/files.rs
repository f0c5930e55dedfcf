//! The project's own files: what git tracks and what it would take up, or all of a folder that is no checkout.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Lists the project's files, relative to the root and sorted.
///
/// Files that are new and not ignored count as well, so that a mistake shows before it is committed.
pub fn list(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = match from_git(root)? {
        Some(files) => files,
        None => {
            let mut files = Vec::new();
            walk(root, Path::new(""), &mut files)?;
            files
        }
    };
    files.sort();
    files.dedup();
    Ok(files)
}

fn from_git(root: &Path) -> Result<Option<Vec<PathBuf>>> {
    if !root.join(".git").exists() {
        return Ok(None);
    }
    let mut command = std::process::Command::new("git");
    command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let text = crate::process::output(command)?;
    let files = text.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    // a tracked file may be gone from the work tree
    Ok(Some(files.filter(|file| root.join(file).is_file()).collect()))
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let path = root.join(folder);
    let entries = std::fs::read_dir(&path).with_context(|| format!("failed to list `{}`", path.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("failed to list `{}`", path.display()))?;
        let name = entry.file_name();
        let relative = folder.join(&name);
        let kind = entry.file_type().with_context(|| format!("failed to read `{}`", relative.display()))?;
        if kind.is_dir() {
            if !name.to_string_lossy().starts_with("target") && name != ".git" {
                walk(root, &relative, files)?;
            }
        } else if kind.is_file() {
            files.push(relative);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_checkout_is_walked_without_its_build() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["src/lib.rs", "README.md", "target/debug/junk.rs"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let files = list(folder.path()).unwrap();
        assert_eq!(files, [PathBuf::from("README.md"), PathBuf::from("src/lib.rs")]);
    }
}
