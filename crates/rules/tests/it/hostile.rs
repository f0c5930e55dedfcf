//! Rule files from people who make mistakes, and from those who mean harm: a finding, never a panic.

use onesync_rules::{METAVERSE, RuleFile, Topology, read_metaverse, render, stock_rules};
use proptest::prelude::*;

use crate::world::World;

fn survives(text: &str) {
    let files = [RuleFile { path: "a.toml".into(), text: text.into() }];
    let compiled = World::new().compile(&files);
    for found in &compiled.diagnostics {
        assert!(found.start <= found.end && found.end <= text.len());
        assert!(!render(found, &files).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// A shipped rule with a piece of it cut out, doubled or replaced.
    #[test]
    fn damaged_rules_are_refused_without_panic(which in 0usize..26, at in 0usize..3000, cut in 0usize..40, put in ".{0,6}") {
        let mut text = stock_rules(Topology::SingleForest, "ad")[which].text.clone();
        let start = text.floor_char_boundary(at.min(text.len()));
        let end = text.ceil_char_boundary((start + cut).min(text.len()));
        text.replace_range(start..end, &put);
        survives(&text);
    }

    #[test]
    fn a_damaged_metaverse_is_refused_without_panic(at in 0usize..18_000, cut in 0usize..60, put in ".{0,6}") {
        let mut text = METAVERSE.to_owned();
        let start = text.floor_char_boundary(at.min(text.len()));
        let end = text.ceil_char_boundary((start + cut).min(text.len()));
        text.replace_range(start..end, &put);
        let _ = read_metaverse(&text, &mut onesync_model::Names::new());
    }
}

#[test]
fn sizes_have_limits() {
    let huge = "a".repeat(1024 * 1024 + 1);
    let said = |text: String| {
        let files = [RuleFile { path: "a.toml".into(), text }];
        let compiled = World::new().compile(&files);
        assert!(compiled.rules.is_none());
        compiled.diagnostics.into_iter().map(|d| d.message).collect::<String>()
    };
    assert!(said(huge).contains("more than the 1048576 allowed"));
    let head = "name = \"a\"\ndirection = \"inbound\"\nconnector = \"contoso.com\"\nobject = \"user\"\n\
                metaverse = \"person\"\nlink = \"provision\"\nprecedence = 1\n";
    let flows: String = (0..1_001).map(|n| format!("a{n} = \"[mail]\"\n")).collect();
    assert!(said(format!("{head}[flow]\n{flows}")).contains("1001 flows"));
    let groups = "[[scope]]\nclauses = [{ attribute = \"mail\", operator = \"ISNULL\" }]\n".repeat(201);
    assert!(said(format!("{head}{groups}")).contains("201 groups"));
    said(format!("a = {}", "[".repeat(100_000)));
    let nested = "(".repeat(50_000);
    said(format!("{head}[flow]\nmail = '{nested}'"));
    let files = vec![RuleFile { path: "a.toml".into(), text: String::new() }; 5_001];
    assert!(World::new().compile(&files).rules.is_none());
}
