//! The examples of the function table, of the function reference, and the shipped expressions.

use onesync_expr::{Example, FunctionDef, from_ancestor, functions, language};
use serde_json::{Map, Value as Json};

use crate::support::{eval_given, matches, program, run, shared, to_json};

#[test]
fn every_example_of_the_document_holds() {
    for FunctionDef { name, examples, doc, .. } in functions() {
        assert!(!examples.is_empty() && doc.ends_with('.'), "{name}");
        let shown = examples.iter().any(|e| e.expression.contains(name));
        assert!(shown, "{name} is in none of its examples");
    }
    let mut failures = Vec::new();
    let decided = language().iter().flat_map(|chapter| chapter.decisions).flat_map(|d| d.examples);
    for example in functions().iter().flat_map(|f| f.examples).chain(decided) {
        let Example { expression, attributes, result } = example;
        let attributes = serde_json::from_str(attributes).unwrap();
        let expected: Json = serde_json::from_str(result).unwrap();
        let actual = eval_given(expression, &attributes, &Map::new());
        if !matches(&expected, &actual) {
            failures.push(format!("{expression}: {actual}, not {expected}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn signatures_are_printed_as_documented() {
    let signature = |name| functions().iter().find(|f| f.name == name).unwrap().signature();
    assert_eq!(signature("Mid"), "str|bin Mid(str|bin text, num start [, num count])");
    assert_eq!(signature("InStr"), "num InStr(str text, str find [, num start [, enum compare]])");
    assert_eq!(signature("Switch"), "var Switch(bool test1, var value1 [, bool test2, var value2 ...])");
    assert_eq!(signature("Error"), "void Error(str message)");
    assert_eq!(signature("Item"), "var Item(mv-var values, num index)");
}

/// Entries of one file in the form of the shared examples; what fails, and how many there were.
fn check(entries: &Json) -> (Vec<String>, usize) {
    let mut failures = Vec::new();
    let entries = entries.as_array().unwrap();
    for entry in entries {
        let mut expression = entry["expression"].as_str().unwrap().to_owned();
        if let Some(translated) = from_ancestor(&expression) {
            let hint = program(&expression).unwrap_err()[0].hint.clone().unwrap_or_default();
            assert!(hint.contains("is called"), "{expression}: {hint}");
            expression = translated;
        }
        let parameters = entry.get("parameters").and_then(Json::as_object).cloned().unwrap_or_default();
        let actual = eval_given(&expression, &entry["inputs"], &parameters);
        if !matches(&entry["expected"], &actual) {
            failures
                .push(format!("{expression} over {}: {actual}, not {}", entry["inputs"], entry["expected"]));
        }
    }
    (failures, entries.len())
}

#[test]
fn the_shared_examples_hold() {
    let Some(entries) = shared("function_examples.json") else { return };
    let (failures, checked) = check(&entries);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(checked > 100, "only {checked} examples");
}

#[test]
fn our_own_examples_of_the_same_form_hold() {
    let (failures, _) = check(&serde_json::from_str(include_str!("examples.json")).unwrap());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_shipped_expression_compiles() {
    let Some(entries) = shared("real_expressions.json") else { return };
    for entry in entries.as_array().unwrap() {
        let text = entry["expression"].as_str().unwrap();
        let compiled = program(text).unwrap_or_else(|found| panic!("{text}: {found:?}"));
        assert_eq!(compiled.warnings(), [], "{text}");
        let names = |list: &Json| list.as_array().unwrap().len();
        let by_name = text.contains("ImportedValue(\"") || text.contains("ValueCount(\"");
        let read = compiled.attributes().len() + usize::from(compiled.uses_dn());
        assert!(read == names(&entry["attributes"]) || by_name, "{text}: reads {read}");
        assert_eq!(compiled.parameters().len(), names(&entry["parameters"]), "{text}");
    }
}

#[test]
fn every_function_of_the_reference_is_there() {
    let Some(entries) = shared("function_examples.json") else { return };
    for entry in entries.as_array().unwrap().iter().filter(|e| e["dialect"] == "AADSync") {
        let name = entry["function"].as_str().unwrap();
        let known = functions().iter().any(|f| f.name == name);
        assert!(known || !name.starts_with(char::is_alphabetic) || name.contains(' '), "{name}");
    }
}

#[test]
fn the_device_key_rule_computes_a_key_credential() {
    // Version 0x200, one entry: length 2, identifier 1, value AA BB; then the rest that is hashed.
    let Some(entries) = shared("real_expressions.json") else { return };
    let entry =
        entries.as_array().unwrap().iter().find(|e| e["expression"].as_str().unwrap().contains("Thumbprint"));
    let expression = entry.unwrap()["expression"].as_str().unwrap();
    let key = serde_json::json!({"searchableDeviceKey": {"$bin": "AAIAAAIAAaq7AQADzA=="}});
    let result = to_json(run(expression, &key, &Map::new()));
    // AA BB kept; 0x0020 (32 bytes of hash), 0x02, SHA-256 of 01 00 03 CC, then 01 00 03 CC.
    assert_eq!(
        result,
        serde_json::json!({"$bin": "AAIAAAIAAaq7IAACxVU89JQwocw2+belM/IBXgWwsdA/GFdAsjxFN6sbsxQBAAPM"})
    );
}
