//! `docs/rules.md`: its examples compile, and it has every key and word there is.

use std::collections::BTreeMap;

use onesync_model::{ConnectorId, Names, RuleId, Schema};
use onesync_rules::{ConnectorInfo, Diagnostic, RuleFile, Severity, compile, read_metaverse};

const PAGE: &str = include_str!("../../../../docs/rules.md");

fn examples() -> Vec<String> {
    let blocks = PAGE.split("```toml\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// Compiles rules of a connector whose schema is not known.
fn findings(rules: &[String]) -> Vec<Diagnostic> {
    let mut names = Names::new();
    let metaverse = examples().into_iter().find(|text| text.contains("[attribute]")).unwrap();
    let metaverse = read_metaverse(&metaverse, &mut names).unwrap();
    let hr = ConnectorInfo {
        id: ConnectorId(1),
        name: "hr".to_owned(),
        kind: "jsonl".to_owned(),
        rank: 1,
        schema: Schema::default(),
        parameters: BTreeMap::new(),
    };
    let files: Vec<RuleFile> = (1..)
        .zip(rules)
        .map(|(number, text)| RuleFile { path: format!("rules/{number}.toml"), text: text.clone() })
        .collect();
    let mut next = 0;
    let mut id = |_: &str, _: &[u8; 16]| {
        next += 1;
        RuleId(next)
    };
    compile(&files, &[hr], &metaverse, &mut names, &mut id).diagnostics
}

#[test]
fn the_examples_are_rules() {
    let rules: Vec<String> = examples().into_iter().filter(|text| text.contains("direction")).collect();
    assert!(rules.len() >= 5, "{}", rules.len());
    let wrong: Vec<Diagnostic> =
        findings(&rules).into_iter().filter(|found| found.severity != Severity::Note).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_key_and_word_is_there() {
    let rule = "name = \"a\"\ndirection = \"inbound\"\nconnector = \"hr\"\nobject = \"employee\"\nmetaverse = \"person\"\nlink = \"join\"\nprecedence = 1\n";
    // What has no such key or word names those it has.
    let known = |rest: &str, before: &str| -> Vec<String> {
        let found = findings(&[format!("{rule}{rest}")]);
        let hint = found.iter().find_map(|found| found.hint.as_deref()?.strip_prefix(before)).unwrap();
        hint.split(", ").map(str::to_owned).collect()
    };
    let mut words = known("qqqqqqqq = 1\n", "known are ");
    words.extend(known("[[scope]]\nclauses = [{ qqqqqqqqqqqq = 1 }]\n", "known are "));
    words.extend(known("[[join]]\nconditions = [{ qqqqqqqqqqqq = 1 }]\n", "known are "));
    words.extend(known("[flow]\nmail = { qqqqqqqqqqq = 1 }\n", "known are "));
    words.extend(known(
        "[[scope]]\nclauses = [{ attribute = \"a\", operator = \"QQQQQQQQQQ\" }]\n",
        "one of ",
    ));
    // Other words for the same, as the original writes them.
    words.retain(|word| !["ISNOTBITSET", "ISNOTEQUAL"].contains(&word.as_str()));
    assert!(words.len() > 40, "{words:?}");
    for word in words {
        let named = [format!("`{word}`"), format!("[{word}]"), format!("[[{word}]]")];
        assert!(named.iter().any(|name| PAGE.contains(name)), "docs/rules.md has no `{word}`");
    }
}
