//! No expression hangs, exhausts the memory or the stack, or panics.

use onesync_expr::{DEPTH_MAX, EvalError, Failure};
use proptest::prelude::*;
use serde_json::{Map, json};

use crate::support::{Object, env, eval, program, run};

#[test]
fn the_deepest_expression_fits_the_stack_of_a_thread() {
    let levels = DEPTH_MAX - 2;
    for (open, close) in
        [("IIF([a]=1,0,", ")"), ("Trim(", ")"), ("With($x,[a],", ")"), ("1+(", ")"), ("IIF(CBool(", "),1,2)")]
    {
        let text = format!("{}1{}", open.repeat(levels / 2), close.repeat(levels / 2));
        if let Ok(program) = program(&text) {
            let _ = program.eval(&Object::default(), &env());
        }
    }
    let deep = format!("{}[a]{}", "Trim(".repeat(levels), ")".repeat(levels));
    assert_eq!(eval(&deep, json!({"a": " x "})), json!("x"));
}

#[test]
fn growth_is_stopped() {
    let limit = |text: &str, attributes| match run(text, &attributes, &Map::new()) {
        Err(Failure { error: EvalError::Limit(message), .. }) => message,
        other => panic!("{text}: {other:?}"),
    };
    let ten: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    let a = json!({"a": ten, "s": "x".repeat(5000)});
    assert!(limit("PadLeft([s],9223372036854775807,\"x\")", a.clone()).contains("bytes"));
    assert!(limit("Replace([s],\"x\",[s])", a.clone()).contains("bytes"));
    let doubled = (0..20).fold("[s]".to_owned(), |text, n| format!("With($v{n},{text},$v{n} & $v{n})"));
    assert!(limit(&doubled, a.clone()).contains("bytes"));
    let nested = (0..8).fold("1=2".to_owned(), |text, n| format!("IsPresent(Where($v{n},[a],{text}))"));
    assert!(limit(&nested, a).contains("steps"));
}

/// Everything that could take the product of two sizes, over many values and long texts.
#[test]
fn many_values_and_long_texts_stop_at_a_limit_soon() {
    let many: Vec<String> = (0..10_000).map(|n| format!("value {n}")).collect();
    let long = "abcdefghij".repeat(100_000);
    let attributes = json!({"many": many, "long": long, "pairs": "a:b,".repeat(100_000)});
    for (text, what) in [
        ("Select($i,[many],Select($j,[many],$i & $j))", "bytes"),
        ("Count(Select($i,[many],Select($j,[many],$j)))", "steps"),
        ("Select($i,[many],Count(Where($j,[many],$i = $j)))", "steps"),
        ("Select($i,[many],Len([long]))", "steps"),
        ("Select($i,[many],[long])", "bytes"),
        ("With($x,[long] & \"x\",Count(Select($i,[many],$x)))", "bytes"),
        ("With($x,[long] & \"x\",Select($i,[many],Len($x)))", "steps"),
        ("Select($i,[many],Word([long],500,[long]))", "steps"),
        ("Select($i,[many],ReplaceChars([long],[pairs]))", "bytes"),
        ("Select($i,[many],[long] = [long])", "steps"),
        ("Select($i,[many],InStr([long],$i,1,vbTextCompare))", "steps"),
        ("Count(IIF(InStr([many],\"value\")=1,[long] & [many],NULL))", "bytes"),
        ("RemoveDuplicates(Select($i,[many],[long]))", "steps"),
    ] {
        match run(text, &attributes, &Map::new()) {
            Err(Failure { error: EvalError::Limit(message), .. }) => {
                assert!(message.contains(what), "{text}: {message}");
            }
            other => panic!("{text}: {:?}", other.map(|_| "a result")),
        }
    }
    // What sensible rules do with as many values is far below.
    assert_eq!(eval("Count(RemoveDuplicates(Trim([many])))", attributes.clone()), json!(10_000));
    assert_eq!(eval("Len(Join(Select($i,[many],Mid($i,7)),\",\"))", attributes), json!(48_889));
}

#[test]
fn huge_nesting_is_refused_at_its_place() {
    for text in [
        format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        "IIF(".repeat(60_000),
        "-".repeat(200_000),
        "Trim([a]) = ".repeat(20_000),
    ] {
        let found = program(&text).err().unwrap();
        assert!(
            found[0].message.contains("deeper") || found[0].message.contains("parts"),
            "{}",
            found[0].message
        );
        assert!(found[0].hint.is_some());
    }
    assert!(program(&format!("\"{}\"", "x".repeat(300_000))).err().unwrap()[0].message.contains("longer"));
    let wide = vec!["[a]"; 20_000].join(",");
    assert!(program(&format!("Switch({wide})")).err().unwrap()[0].message.contains("parts"));
}

#[test]
fn a_constant_that_fails_fails_when_evaluated() {
    assert!(eval("IIF(1=2,CNum(\"x\"),1)", json!({})) == json!(1));
    assert!(eval("CNum(\"x\")", json!({})).get("$error").is_some());
    assert_eq!(eval("Len(PadLeft(\"a\",100000,\"b\"))", json!({})), json!(100_000));
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("[a]".to_owned()),
        Just("[many]".to_owned()),
        Just("[n]".to_owned()),
        Just("[bin]".to_owned()),
        Just("[t]".to_owned()),
        Just("[absent]".to_owned()),
        Just("NULL".to_owned()),
        Just("True".to_owned()),
        Just("\"\u{1f600} x,\"".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
    ];
    let functions: Vec<_> = onesync_expr::functions()
        .iter()
        .filter(|f| !["Select", "Where", "With", "ImportedValue", "ValueCount", "Switch"].contains(&f.name))
        .collect();
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let functions = functions.clone();
        prop_oneof![
            (
                inner.clone(),
                prop::sample::select(vec!["+", "-", "*", "&", "=", "<>", "<", ">=", "&&", "||"]),
                inner.clone()
            )
                .prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            (prop::sample::select(functions), prop::collection::vec(inner, 4)).prop_map(|(f, args)| {
                let args: Vec<_> = f
                    .params
                    .iter()
                    .zip(args)
                    .map(|(p, arg)| p.words.first().map_or(arg, |w| format!("\"{w}\"")))
                    .collect();
                format!("{}({})", f.name, args.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_expression_panics_and_each_repeats(text in expression()) {
        let attributes = json!({
            "a": "text", "many": ["b", "c", "d"], "n": 3, "bin": {"$bin": "AQI="}, "t": {"$dt": "2026-01-01T00:00:00Z"},
        });
        if program(&text).is_ok() {
            let first = run(&text, &attributes, &Map::new());
            prop_assert_eq!(first, run(&text, &attributes, &Map::new()));
        }
    }

    #[test]
    fn no_text_panics_the_compiler(text in "[\\[\\]()%$\"&|<>=+*,.A-Za-z0-9 \\\\\u{e4}-]{0,60}") {
        if let Err(found) = program(&text) {
            for d in found {
                prop_assert!(d.start <= d.end && d.end <= text.len() && text.is_char_boundary(d.start) && text.is_char_boundary(d.end), "{:?}", d);
            }
        }
    }
}
