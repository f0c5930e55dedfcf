//! Every source file is named by a `mod` line: a forgotten one would never be compiled, nor its tests run.
//!
//! Integration tests live in one binary per crate, `tests/it/main.rs`, so that each crate is linked once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::checks::Findings;

/// Looks through the crates' `src` and `tests` folders.
pub fn check(root: &Path, files: &[PathBuf]) -> Result<Findings> {
    let mut sources = BTreeMap::new();
    for file in files.iter().filter(|file| is_source(file)) {
        let text = std::fs::read_to_string(root.join(file))
            .with_context(|| format!("failed to read `{}`", file.display()))?;
        sources.insert(file.as_path(), text);
    }
    Ok(Findings::errors(sources.keys().filter_map(|file| complaint(file, &sources)).collect()))
}

/// Rust files of `src` and `tests` of `crates/NAME` and `xtask`.
fn is_source(file: &Path) -> bool {
    let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
    let within = match parts.first().map(AsRef::as_ref) {
        Some("crates") => parts.get(2),
        Some("xtask") => parts.get(1),
        _ => None,
    };
    file.extension().is_some_and(|e| e == "rs")
        && within.is_some_and(|folder| folder == "src" || folder == "tests")
}

fn complaint(file: &Path, sources: &BTreeMap<&Path, String>) -> Option<String> {
    let folder = file.parent()?;
    let stem = file.file_stem()?.to_str()?;
    let folder_name = folder.file_name()?.to_str()?;
    if folder_name == "tests"
        && !sources.contains_key(folder.join("mod.rs").as_path())
        && is_crate_folder(folder)
    {
        return Some(format!("{}: tests belong into the one binary tests/it/main.rs", file.display()));
    }
    let (module, parents) =
        if stem == "mod" { (folder_name, parents_of(folder.parent()?)) } else { (stem, parents_of(folder)) };
    let is_root = matches!(stem, "main" | "lib") && (folder_name == "src" || folder_name == "it")
        || folder.ends_with("src/bin");
    if is_root {
        return None;
    }
    let named =
        parents.iter().filter_map(|parent| sources.get(parent.as_path())).any(|text| names(text, module));
    (!named).then(|| format!("{}: no `mod {module};` names it, so it is never compiled", file.display()))
}

/// True for `crates/NAME/tests` and `xtask/tests`, as opposed to a module called `tests`.
fn is_crate_folder(folder: &Path) -> bool {
    folder.parent().is_some_and(|up| up == Path::new("xtask") || up.parent() == Some(Path::new("crates")))
}

/// The files that may declare the modules of a folder.
fn parents_of(folder: &Path) -> Vec<PathBuf> {
    let beside = folder.with_extension("rs");
    ["main.rs", "lib.rs", "mod.rs"].iter().map(|name| folder.join(name)).chain([beside]).collect()
}

/// True when the text has a line `mod NAME;`, with whatever visibility.
fn names(text: &str, module: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim();
        let declared = line.strip_suffix(';').and_then(|line| line.strip_suffix(module));
        declared.is_some_and(|head| head == "mod " || (head.starts_with("pub") && head.ends_with(" mod ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(sources: &[(&str, &str)]) -> Vec<String> {
        let sources: BTreeMap<&Path, String> =
            sources.iter().map(|(name, text)| (Path::new(*name), (*text).to_owned())).collect();
        sources.keys().filter_map(|file| complaint(file, &sources)).collect()
    }

    #[test]
    fn a_forgotten_test_file_is_found() {
        let found = complaints(&[
            ("crates/a/tests/it/main.rs", "mod kept;\n// mod lost;\n"),
            ("crates/a/tests/it/kept.rs", ""),
            ("crates/a/tests/it/lost.rs", ""),
        ]);
        assert_eq!(found, ["crates/a/tests/it/lost.rs: no `mod lost;` names it, so it is never compiled"]);
    }

    #[test]
    fn modules_in_folders_are_followed() {
        let found = complaints(&[
            ("crates/a/src/lib.rs", "pub mod one;\npub(crate) mod two;\n"),
            ("crates/a/src/one/mod.rs", "mod inner;\n"),
            ("crates/a/src/one/inner.rs", ""),
            ("crates/a/src/two.rs", "mod deep;\n"),
            ("crates/a/src/two/deep.rs", ""),
            ("crates/a/src/two/lost.rs", ""),
            ("crates/a/src/bin/tool.rs", ""),
        ]);
        assert_eq!(found, ["crates/a/src/two/lost.rs: no `mod lost;` names it, so it is never compiled"]);
    }

    #[test]
    fn a_second_test_binary_is_refused() {
        let found = complaints(&[("crates/a/tests/more.rs", "")]);
        assert_eq!(found, ["crates/a/tests/more.rs: tests belong into the one binary tests/it/main.rs"]);
    }

    #[test]
    fn a_name_within_a_name_is_no_declaration() {
        assert!(!names("mod xy;", "y"));
        assert!(names("    pub(super) mod y;", "y"));
    }
}
