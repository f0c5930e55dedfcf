//! The licences of what is in the program: who wrote it, under what, and the texts that have to go along.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::process::{cargo, output};
use crate::workspace;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
    source: Option<String>,
}

/// Names of files with a licence, without case.
const FILES: [&str; 5] = ["license", "licence", "copying", "notice", "unlicense"];

/// One text for all packages that are built into the program.
pub fn text(root: &Path) -> Result<String> {
    let told = output(cargo(root, &["metadata", "--format-version=1", "--locked", "--offline"]))?;
    let metadata: Metadata =
        serde_json::from_str(&told).context("failed to read the output of `cargo metadata`")?;
    let built = workspace::tree(root, &["--package", "onesync", "--edges", "normal"])?;
    let mut out = String::from(
        "OneSync is licensed under MIT or Apache-2.0, at your choice. It contains the following packages.\n\n",
    );
    // Most texts are the same to the letter: each is told once, with all it belongs to.
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in metadata.packages.iter().filter(|p| p.source.is_some() && built.contains(&p.name)) {
        let named = format!("{} {}", package.name, package.version);
        writeln!(out, "{named}: {}", package.license.as_deref().unwrap_or("see its text"))?;
        for text in texts_of(&package.manifest_path)? {
            texts.entry(text).or_default().push(named.clone());
        }
    }
    for (text, packages) in texts {
        let line = "-".repeat(80);
        writeln!(out, "\n{line}\n{}\n{line}\n{}", packages.join(", "), text.trim_end())?;
    }
    Ok(out)
}

fn texts_of(manifest: &Path) -> Result<Vec<String>> {
    let folder = manifest.parent().context("a manifest lies in no folder")?;
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
        if entry.file_type()?.is_file() && FILES.iter().any(|file| name.starts_with(file)) {
            texts.push(String::from_utf8_lossy(&fs::read(entry.path())?).into_owned());
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_named_with_its_licence_and_what_only_tests_use_is_not() {
        let text = text(&workspace::root().unwrap()).unwrap();
        let line = |name: &str| {
            text.lines().find(|line| line.starts_with(&format!("{name} ")) && line.contains(": "))
        };
        assert!(line("rusqlite").is_some_and(|line| line.contains("MIT")), "{:?}", line("rusqlite"));
        assert_eq!(line("proptest"), None);
        assert!(text.contains("Permission is hereby granted, free of charge"), "the text of MIT");
    }
}
