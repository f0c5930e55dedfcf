//! Source files stay short enough to be read in one sitting; tests are not counted.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::checks::Findings;

/// Lines above which a file deserves to be split (style rule 17).
const LINES_WARN: usize = 600;

/// Lines above which a file has to be split (style rule 17).
const LINES_MAX: usize = 1000;

/// Measures the Rust files among the given ones.
pub fn check(root: &Path, files: &[PathBuf]) -> Result<Findings> {
    let mut findings = Findings::default();
    for file in files.iter().filter(|file| is_counted(file)) {
        let text = std::fs::read_to_string(root.join(file))
            .with_context(|| format!("failed to read `{}`", file.display()))?;
        let lines = lines_without_tests(&text);
        if lines > LINES_MAX {
            findings
                .errors
                .push(format!("{}: {lines} lines, more than {LINES_MAX}: split it", file.display()));
        } else if lines > LINES_WARN {
            findings.warnings.push(format!("{}: {lines} lines, more than {LINES_WARN}", file.display()));
        }
    }
    Ok(findings)
}

/// Rust files outside folders of tests, benchmarks and fuzz targets.
fn is_counted(file: &Path) -> bool {
    let apart = |name: &std::ffi::OsStr| ["tests", "benches", "fuzz"].iter().any(|folder| name == *folder);
    file.extension().is_some_and(|e| e == "rs")
        && file.file_name().is_some_and(|name| name != "tests.rs")
        && !file.iter().any(apart)
}

/// Lines before the module of unit tests, which stands last by style rule 18.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair.first() == Some(&"#[cfg(test)]")
            && pair.get(1).is_some_and(|line| line.starts_with("mod tests {"))
    });
    tests.unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, lines: usize, tests: usize| {
            let text =
                format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "//\n".repeat(lines), "//\n".repeat(tests));
            std::fs::write(folder.path().join(name), text).unwrap();
            PathBuf::from(name)
        };
        let files =
            [write("a.rs", 600, 2000), write("b.rs", 601, 0), write("c.rs", 1001, 0), write("d.md", 5000, 0)];
        let findings = check(folder.path(), &files).unwrap();
        assert_eq!(findings.warnings, ["b.rs: 601 lines, more than 600"]);
        assert_eq!(findings.errors, ["c.rs: 1001 lines, more than 1000: split it"]);
    }

    #[test]
    fn folders_of_tests_are_not_counted() {
        for file in
            ["crates/ldap/tests/it/client.rs", "crates/ldap/src/client/tests.rs", "crates/ldap/fuzz/a.rs"]
        {
            assert!(!is_counted(Path::new(file)), "{file}");
        }
        assert!(is_counted(Path::new("crates/testkit/src/lib.rs")));
    }
}
