//! `docs/expressions.md` is made of the tables of functions and decisions.

use std::fmt::Write as _;
use std::path::PathBuf;

use onesync_expr::{Example, FunctionDef, functions, language};

/// Attributes that are longer are not repeated at each example.
const ATTRIBUTES_MAX: usize = 120;

const HEAD: &str = "\
# Expressions

<!-- Made of the tables in crates/expr/src: change those, then
     ONESYNC_WRITE_DOCS=1 cargo test -p onesync-expr --test it document -->

The language of sync rules is AADSync's. Where its documentation leaves something open, or contradicts the shipped
rules, this page says what OneSync does, and why. Every example here is executed as a test.

Try one: `onesync eval 'Left([sn],1) & [givenName]' --attributes '{\"sn\": \"Meier\", \"givenName\": \"Anna\"}'`.
";

#[test]
fn the_document_is_what_the_tables_say() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/expressions.md");
    let made = document();
    if std::env::var_os("ONESYNC_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let first = made.lines().zip(found.lines().chain(std::iter::repeat(""))).find(|(a, b)| a != b);
    assert!(
        found == made,
        "docs/expressions.md is not what the tables say, first at {first:?}: write it anew by ONESYNC_WRITE_DOCS=1 cargo test -p onesync-expr --test it document"
    );
}

fn document() -> String {
    let mut out = HEAD.to_owned();
    for chapter in language() {
        write!(out, "\n## {}\n\n{}\n", chapter.title, chapter.text).unwrap();
        for decided in chapter.decisions {
            write!(out, "\n- **{}**: {}. Reason: {}.\n", decided.point, decided.decision, decided.reason)
                .unwrap();
            examples(&mut out, decided.examples, "  ");
        }
    }
    out.push_str("\n## Functions\n\n");
    out.push_str("`str` text, `num` number, `bool` boolean, `bin` binary, `dt` time, `ref` reference, `var` anything; ");
    out.push_str("`mv-`: takes all values at once; `enum`: one of some words.\n");
    let mut theme = "";
    for function in functions() {
        if function.theme != theme {
            theme = function.theme;
            let names: Vec<&str> = functions().iter().filter(|f| f.theme == theme).map(|f| f.name).collect();
            write!(out, "\n### {theme}\n\n{}\n", names.join(", ")).unwrap();
        }
        describe(&mut out, function);
    }
    out
}

fn describe(out: &mut String, function: &FunctionDef) {
    write!(out, "\n#### {}\n\n`{}`\n\n{}\n", function.name, function.signature(), function.doc).unwrap();
    for param in function.params.iter().filter(|param| !param.words.is_empty()) {
        let words: Vec<String> = param.words.iter().map(|word| format!("`{word}`")).collect();
        write!(out, "\n`{}` is one of {}.\n", param.name, words.join(", ")).unwrap();
    }
    if !function.decision.is_empty() {
        write!(out, "\nDecided: {}\n", function.decision).unwrap();
    }
    examples(out, function.examples, "");
}

fn examples(out: &mut String, examples: &[Example], indent: &str) {
    if examples.is_empty() {
        return;
    }
    write!(out, "\n{indent}```text\n").unwrap();
    for Example { expression, attributes, result } in examples {
        let over = match *attributes {
            "{}" => String::new(),
            long if long.len() > ATTRIBUTES_MAX => {
                let end = long.char_indices().nth(40).map_or(long.len(), |(at, _)| at);
                format!("    over {}...", &long[..end])
            }
            short => format!("    over {short}"),
        };
        writeln!(out, "{indent}{expression}{over}\n{indent}    gives {result}").unwrap();
    }
    writeln!(out, "{indent}```").unwrap();
}
