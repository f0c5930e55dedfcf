//! Wrong rules, and what is said about them: `cases/*.toml`. The head of a case has a line for each finding,
//! `#! severity line text`, where the text is part of message or hint; `#### name` starts another rule file, whose
//! lines count from its own start. Findings and expectations must match one to one.

use std::path::Path;

use onesync_rules::{Diagnostic, RuleFile, Severity, render};

use crate::world::World;

struct Expected {
    severity: &'static str,
    file: String,
    line: usize,
    text: String,
}

#[test]
fn every_mistake_is_named_with_place_and_remedy() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cases");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 25, "cases are missing: {}", paths.len());
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        check(&text, &path.file_name().unwrap().to_string_lossy());
    }
}

fn check(text: &str, name: &str) {
    let mut files: Vec<RuleFile> = Vec::new();
    for part in text.split_inclusive('\n') {
        if part.starts_with("####") || files.is_empty() {
            let path = part.strip_prefix("####").map_or(name, str::trim).to_owned();
            files.push(RuleFile { path, text: String::new() });
        }
        let last = files.last_mut().unwrap();
        last.text.push_str(part);
    }
    let mut expected = Vec::new();
    for file in &files {
        for line in file.text.lines().filter_map(|line| line.strip_prefix("#! ")) {
            let mut words = line.splitn(3, ' ');
            let severity = match words.next().unwrap() {
                "error" => "Error",
                "warning" => "Warning",
                "note" => "Note",
                other => panic!("{name}: {other}"),
            };
            let line = words.next().unwrap().parse().unwrap();
            let text = words.next().unwrap().to_owned();
            expected.push(Expected { severity, file: file.path.clone(), line, text });
        }
    }
    let compiled = World::new().compile(&files);
    let has_errors = compiled.diagnostics.iter().any(|d| d.severity == Severity::Error);
    assert_eq!(compiled.rules.is_none(), has_errors, "{name}: rules only without errors");
    let mut shown = String::new();
    let mut left = expected;
    let mut unexpected = false;
    for found in &compiled.diagnostics {
        shown.push_str(&render(found, &files));
        shown.push('\n');
        match left.iter().position(|expected| meets(expected, found)) {
            Some(at) => drop(left.remove(at)),
            None => unexpected = true,
        }
    }
    let missing: Vec<_> =
        left.iter().map(|e| format!("{} {} {} {}", e.severity, e.file, e.line, e.text)).collect();
    assert!(!unexpected && missing.is_empty(), "{name}: missing {missing:?}, found\n{shown}");
}

fn meets(expected: &Expected, found: &Diagnostic) -> bool {
    let said = format!("{} {}", found.message, found.hint.as_deref().unwrap_or_default());
    format!("{:?}", found.severity) == expected.severity
        && found.file == expected.file
        && found.line == expected.line
        && said.contains(&expected.text)
}
