//! The examples of the function table, of the function reference, and the shipped expressions.

use onesync_expr::{FunctionDef, UNAVAILABLE, functions};
use serde_json::{Map, Value as Json};

use crate::support::{eval, matches, program, run, shared, to_json};

#[test]
fn every_function_has_examples_that_hold() {
    for FunctionDef { name, examples, doc, .. } in functions() {
        assert!(!examples.is_empty() && doc.ends_with('.'), "{name}");
        for example in *examples {
            let attributes = serde_json::from_str(example.attributes).unwrap();
            let expected: Json = serde_json::from_str(example.result).unwrap();
            let actual = eval(example.expression, attributes);
            assert!(matches(&expected, &actual), "{}: {actual}, not {expected}", example.expression);
            assert!(
                examples.iter().any(|e| e.expression.contains(name)),
                "{name} is in none of its examples"
            );
        }
    }
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

/// Entries of the shared examples whose result differs here: expression, our result, reason.
const DEVIATIONS: [(&str, &str, &str); 2] = [
    (
        r#"Join([proxyAddresses],",")"#,
        "smtp:jd@contoso.com,SMTP:john.doe@contoso.com",
        "values of an attribute come in canonical order (design, section 4)",
    ),
    (
        r#"Join([proxyAddresses],"")"#,
        "smtp:jd@contoso.comSMTP:john.doe@contoso.com",
        "values of an attribute come in canonical order (design, section 4)",
    ),
];

/// Names of the ancestor dialect: the expression is unknown here, the hint names the right function.
const ANCESTOR: [(&str, &str); 6] = [
    ("UpperCase", "UCase"),
    ("LowerCase", "LCase"),
    ("ProperCase", "PCase"),
    ("RightPad", "PadRight"),
    ("LeftPad", "PadLeft"),
    ("ReplaceString", "Replace"),
];

#[test]
fn the_shared_examples_hold() {
    let Some(entries) = shared("function_examples.json") else { return };
    let mut failures = Vec::new();
    let mut checked = 0;
    for entry in entries.as_array().unwrap() {
        let mut expression = entry["expression"].as_str().unwrap().to_owned();
        if let Some((old, new)) = ANCESTOR.iter().find(|(old, _)| expression.starts_with(&format!("{old}(")))
        {
            let hint = program(&expression).unwrap_err()[0].hint.clone().unwrap_or_default();
            assert!(hint.contains(new), "{expression}: {hint}");
            expression = expression.replacen(old, new, 1);
        }
        if expression.starts_with("DateTimeFormat(") {
            // The ancestor's function takes text: here the text becomes a time first.
            assert!(program(&expression).unwrap_err()[0].hint.as_ref().unwrap().contains("FormatDateTime"));
            expression = expression.replacen(
                "DateTimeFormat(\"12/25/2007\"",
                "FormatDateTime(CDate(\"12/25/2007\")",
                1,
            );
        }
        let parameters = entry.get("parameters").and_then(Json::as_object).cloned().unwrap_or_default();
        let actual = to_json(run(&expression, &entry["inputs"], &parameters));
        checked += 1;
        if let Some((_, ours, reason)) = DEVIATIONS.iter().find(|(known, ..)| *known == expression) {
            assert_ne!(entry["expected"], actual, "{expression} no longer deviates: {reason}");
            assert_eq!(actual, **ours, "{expression}");
            continue;
        }
        if !matches(&entry["expected"], &actual) {
            failures
                .push(format!("{expression} over {}: {actual}, not {}", entry["inputs"], entry["expected"]));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(checked > 100, "only {checked} examples");
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
fn every_function_of_the_reference_is_there_or_named_as_missing() {
    let Some(entries) = shared("function_examples.json") else { return };
    for entry in entries.as_array().unwrap().iter().filter(|e| e["dialect"] == "AADSync") {
        let name = entry["function"].as_str().unwrap();
        let known = functions().iter().any(|f| f.name == name) || UNAVAILABLE.contains(&name);
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
