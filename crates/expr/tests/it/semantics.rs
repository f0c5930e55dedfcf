//! What the sources leave open, as docs/expressions.md decides it.

use onesync_expr::{Context, Env, Kind, compile};
use onesync_model::{Image, Names, bag_from_json};
use serde_json::{Value as Json, json};

use crate::support::{Object, env, eval, program, to_json};

#[track_caller]
fn check(attributes: &Json, cases: &[(&str, Json)]) {
    for (text, expected) in cases {
        assert_eq!(eval(text, attributes.clone()), *expected, "{text}");
    }
}

#[test]
fn absent_values_compare_as_different() {
    check(
        &json!({"b": true, "s": "x"}),
        &[
            (r#"[a] = "x""#, json!(false)),
            (r#"[a] <> "x""#, json!(true)),
            ("[a] = [c]", json!(false)),
            ("[a] > 1", json!(false)),
            ("[a] <= 1", json!(false)),
            ("[b] = True", json!(true)),
            (r#"[s] = "X""#, json!(false)),
            (r#""a" < "b""#, json!(true)),
        ],
    );
}

#[test]
fn null_goes_through_operators_and_functions_as_decided() {
    check(
        &json!({"x": "X"}),
        &[
            (r#""x500:" & [a]"#, json!("x500:")),
            ("[a] & [b]", json!(null)),
            (r#"[a] & """#, json!("")),
            ("[a] + 1", json!(null)),
            ("Trim([a])", json!(null)),
            ("Left(Trim([a]),448)", json!("")),
            ("Right([a],2) & PadRight([a],3,\"x\") & Word([a],1,\" \")", json!("")),
            ("Len([a])", json!(0)),
            ("InStr([a],\"x\")", json!(0)),
            ("Replace([a],\"x\",\"y\")", json!(null)),
            ("BitAnd([a],2)=0", json!(false)),
            ("[a] && True", json!(false)),
            ("IIF([a],1,2)", json!(2)),
            ("CBool([a])", json!(false)),
            ("CStr([a])", json!(null)),
            ("Count([a])", json!(0)),
            ("Join([a],\",\")", json!(null)),
            ("DateFromNum([a])", json!(null)),
        ],
    );
}

#[test]
fn conversions_of_operators() {
    check(
        &json!({"n": 5, "bin": {"$bin": "AQI="}, "t": {"$dt": "2026-01-01T00:00:00Z"}}),
        &[
            (r#""n=" & [n] & True"#, json!("n=5True")),
            ("[bin] & CBin(3,1)", json!({"$bin": "AQID"})),
            ("1.5 * 2", json!(3)),
            ("CStr(0.1 + 0.2)", json!("0.3")),
            ("0.5 < 1", json!(true)),
            ("10 - 2 - 3", json!(5)),
            ("-[n] + 1", json!(-4)),
            ("Mid([bin],2,1)", json!({"$bin": "Ag=="})),
            ("Len([bin])", json!(2)),
            (r#"[t] > CDate("2025-12-31")"#, json!(true)),
            ("[bin] = [bin]", json!(true)),
        ],
    );
    for text in [
        r#"[t] & "x""#,
        r#"[bin] & "x""#,
        "[n] = [t]",
        "[bin] < [bin]",
        "9223372036854775807 + 1",
        "0.5",
        "[n] + [t]",
    ] {
        let result =
            eval(text, json!({"n": 5, "bin": {"$bin": "AQI="}, "t": {"$dt": "2026-01-01T00:00:00Z"}}));
        assert!(result.get("$error").is_some(), "{text}: {result}");
    }
}

#[test]
fn conditions_and_branches_are_lazy() {
    check(
        &json!({"a": "x"}),
        &[
            (r#"False && CBool(Error("no"))"#, json!(false)),
            (r#"True || CBool(Error("no"))"#, json!(true)),
            (r#"IIF(True, 1, Error("no"))"#, json!(1)),
            (r#"Switch(False, Error("no"), True, 2, CBool(Error("no")), 3)"#, json!(2)),
            (r#"IIF(IsPresent([a]), "yes", Error("no"))"#, json!("yes")),
            (r#"IIF([a] = "x", Error("it is " & [a]), 1)"#, json!({"$error": "it is x"})),
            (r#"IIF([a] = "x", IgnoreThisFlow, NULL)"#, json!({"$literal": "IgnoreThisFlow"})),
            (r#"Trim(IIF([a] = "x", AuthoritativeNull, [a]))"#, json!({"$literal": "AuthoritativeNull"})),
        ],
    );
    for text in [r#"IIF("x", 1, 2)"#, "IIF([a], 1, 2)", r#"[a] && True"#] {
        let result = program(text).map(|_| eval(text, json!({"a": "x"})));
        assert!(result.is_err() || result.is_ok_and(|r| r.get("$error").is_some()), "{text}");
    }
}

#[test]
fn text_functions_count_characters() {
    check(
        &json!({"s": "\u{1f600}a\u{e4}b", "sharp": "STRASSE"}),
        &[
            ("Len([s])", json!(4)),
            ("Left([s],1)", json!("\u{1f600}")),
            ("Right([s],2)", json!("\u{e4}b")),
            ("Mid([s],2,2)", json!("a\u{e4}")),
            (r#"InStr([s],"b")"#, json!(4)),
            (r#"InStrRev([s],"b")"#, json!(4)),
            (r#"InStr([s],"B",1,vbTextCompare)"#, json!(4)),
            (r#"InStr("abc","c",9)"#, json!(0)),
            (r#"InStrRev("abcabc","bc",5)"#, json!(2)),
            (r#"InStrRev("abc","x")"#, json!(0)),
            (r#"InStr("aab","ab")"#, json!(2)),
            (r#"InStr("aabaab","AAB",2,vbTextCompare)"#, json!(4)),
            (r#"PCase("anna-maria o'neil IBM $tEST")"#, json!("Anna-maria O'neil IBM $Test")),
            (r#"Mid("abc",4,1)"#, json!("abc")),
            (r#"Mid("abc",9,0)"#, json!("")),
            (r#"Mid("abc",2)"#, json!("bc")),
            (r#"Word("a;b,c",3,",;")"#, json!("c")),
            (r#"Word("a;b",2,"")"#, json!("")),
            (r#"Word(";x",1,";")"#, json!("")),
            (r#"PadLeft("ab",2,"0")"#, json!("ab")),
            (r#"PadLeft("ab",4,"\")"#, json!(r"\\ab")),
            (r#"Replace("a\tb","\t"," ")"#, json!("a b")),
            (r#"Replace("a b"," ","\r\n")"#, json!("a\r\nb")),
            (r#"Replace("aXa","x","-")"#, json!("aXa")),
            (r#""C:\" & "dir""#, json!(r"C:\dir")),
            (r#""a" & CRLF & "b""#, json!("a\r\nb")),
            (r#""say ""hi""""#, json!("say \"hi\"")),
            (r#"ReplaceChars("a b","b : xy , c:")"#, json!("a xy")),
        ],
    );
    for text in [
        r#"PadLeft("a",3,"xy")"#,
        r#"PadLeft("a",3,"")"#,
        r#"InStr("a","a",0)"#,
        r#"ReplaceChars("a","a;b")"#,
        r#"ReplaceChars("a","::b")"#,
    ] {
        assert!(eval(text, json!({})).get("$error").is_some(), "{text}");
    }
}

#[test]
fn binary_and_identifiers() {
    check(
        &json!({"sid": {"$bin": "AQIAAAAAAAUgAAAAIAIAAA=="}, "big": {"$bin": "AAAAAAAAAAAA"}}),
        &[
            ("StringFromSid([sid])", json!("S-1-5-32-544")),
            (
                r#"StringFromGuid(CGuid("{00001111-AAAA-2222-BBBB-3333CCCC4444}"))"#,
                json!("00001111-aaaa-2222-bbbb-3333cccc4444"),
            ),
            (r#"IsGuid("00001111aaaa2222bbbb3333cccc4444")"#, json!(false)),
            (r#"IsGuid("{00001111-aaaa-2222-bbbb-3333cccc4444")"#, json!(false)),
            (r#"ConvertToUTF8Hex("ä")"#, json!("C3A4")),
            (r#"ConvertFromUTF8Hex("C3A4")"#, json!("ä")),
            (r#"ConvertFromBase64(ConvertToBase64("ä€😀"))"#, json!("ä€😀")),
            ("CBin(-1,2)", json!({"$bin": "//8="})),
            ("CBin(65535,2)", json!({"$bin": "//8="})),
            ("CNum(CBin(-1,8))", json!(-1)),
            (r#"CNum(" -12.50 ") * 2"#, json!(-25)),
            ("IsBitSet(6,6)", json!(true)),
            ("IsBitSet(6,7)", json!(false)),
            ("IsBitSet(6,0)", json!(false)),
        ],
    );
    for text in [
        "CBin(65536,2)",
        "CBin(1,9)",
        "CNum([big])",
        "StringFromSid([big])",
        "StringFromGuid([big])",
        r#"CGuid("x")"#,
        r#"ConvertFromBase64("%%")"#,
        r#"ConvertFromUTF8Hex("C3")"#,
        r#"ConvertFromUTF8Hex("C")"#,
    ] {
        let attributes =
            json!({"sid": {"$bin": "AQIAAAAAAAUgAAAAIAIAAA=="}, "big": {"$bin": "AAAAAAAAAAAA"}});
        assert!(eval(text, attributes).get("$error").is_some(), "{text}");
    }
}

#[test]
fn distinguished_names() {
    check(
        &json!({"dn": r"CN=Meier\, Anna,OU=A+L=x,DC=contoso,DC=com"}),
        &[
            ("DNComponent([dn],1)", json!(r"Meier\, Anna")),
            ("DNComponent([dn],2)", json!("A+L=x")),
            (r#"DNComponent(" CN = a b , OU=x",1)"#, json!("a b")),
            (r#"DNComponent("CN= , OU=x",1)"#, json!("")),
            ("DNComponentRev(CRef([dn]),1)", json!("com")),
            ("DNComponentRev(CRef([dn]),1,DC)", json!("A+L=x")),
            (r#"InStr([dn],"OU=A") > 0"#, json!(true)),
            (r#"EscapeDNComponent(" cn = a=b ") & ",DC=x""#, json!(r"cn=\ a\=b\ ,DC=x")),
            (r#"CRef("CN=A, DC=x") = CRef("cn=a,dc=X")"#, json!(true)),
        ],
    );
    assert!(eval("DNComponent([dn],0)", json!({"dn": "CN=a"})).get("$error").is_some());
    assert!(eval("DNComponent([dn],1)", json!({"dn": "nonsense"})).get("$error").is_some());
}

#[test]
fn dates() {
    let dt = |text: &str| json!({"$dt": text});
    check(
        &json!({"never": i64::MAX}),
        &[
            (r#"DateAdd("yyyy",-1,CDate("2024-02-29"))"#, dt("2023-02-28T00:00:00Z")),
            (r#"DateAdd("q",1,CDate("2024-01-31 10:00"))"#, dt("2024-04-30T10:00:00Z")),
            (r#"DateAdd("ww",2,CDate("2024-01-01"))"#, dt("2024-01-15T00:00:00Z")),
            (r#"DateAdd("n",-1,CDate("2024-01-01"))"#, dt("2023-12-31T23:59:00Z")),
            ("DateFromNum([never]) > Now()", json!(true)),
            ("IsDate(5)", json!(false)),
            (r#"FormatDateTime(DateFromNum(0),"yyyy")"#, json!("1601")),
        ],
    );
    for text in [
        r#"DateAdd("x",1,Now())"#,
        r#"DateAdd("yyyy",99999,Now())"#,
        r#"DateAdd("s",9223372036854775807,Now())"#,
        r#"FormatDateTime(DateFromNum([never]),"yyyy")"#,
    ] {
        assert!(eval(text, json!({"never": i64::MAX})).get("$error").is_some(), "{text}");
    }
}

#[test]
fn random_values_repeat_for_one_seed() {
    let run = |text: &str, seed| program(text).unwrap().eval(&Object::default(), &Env { seed, ..env() });
    for text in ["Guid()", "RandomNum(0,1000000000)", "RandomNum(-9223372036854775808,9223372036854775807)"] {
        assert_eq!(run(text, 1), run(text, 1), "{text}");
        assert_ne!(run(text, 1), run(text, 2), "{text}");
        assert!(program(text).unwrap().uses_random());
    }
    assert_eq!(eval("Guid() = Guid()", json!({})), json!(false));
    let two = eval("Count(RemoveDuplicates(Select($i,[a],Guid())))", json!({"a": ["x", "y"]}));
    assert_eq!(two, json!(2), "each value has its own");
    assert!(eval("RandomNum(2,1)", json!({})).get("$error").is_some());
}

#[test]
fn imported_values_are_the_targets_outbound_and_ones_own_inbound() {
    for (kind, expected) in [(Kind::Inbound, json!("mine")), (Kind::Outbound, json!("theirs"))] {
        let mut names = Names::new();
        let mut object = Object::new(&json!({"mail": "mine"}), &mut names);
        let target =
            bag_from_json(json!({"mail": "theirs"}).as_object().unwrap(), |n| names.intern(n)).unwrap();
        if kind == Kind::Outbound {
            object.imported = Some(Image::from_bag(&target));
        }
        let text = r#"ImportedValue("mail")"#;
        let program = compile(text, &mut Context { names: &mut names, schema: None, kind }).unwrap();
        assert_eq!(to_json(program.eval(&object, &env())), expected);
        assert_eq!(program.imported().len(), 1);
        assert_eq!(program.attributes().len(), usize::from(kind == Kind::Inbound));
    }
}

#[test]
fn a_program_says_what_it_reads() {
    let text = r#"IIF(IsPresent([b]) && [dn] <> "", [a] & %Domain.FQDN% & %Domain.FQDN%, Error("x"))"#;
    let mut names = Names::new();
    let (a, b) = (names.intern("a"), names.intern("b"));
    let p = compile(text, &mut Context { names: &mut names, schema: None, kind: Kind::Inbound }).unwrap();
    assert_eq!(p.attributes(), [a, b]);
    assert_eq!(p.parameters(), ["Domain.FQDN"]);
    assert!(p.uses_dn() && p.can_raise_error() && !p.uses_clock() && !p.uses_random());
    assert_eq!(p.text(), text);
    assert_eq!((p.direct(), program("[x]").unwrap().direct().is_some()), (None, true));
    assert_eq!(
        (program("[dn]").unwrap().direct(), program("([x])").unwrap().direct().is_some()),
        (None, true)
    );
    let missing = eval("%No%", json!({}));
    assert_eq!(missing, json!({"$error": "the parameter `%No%` has no value here"}));
}
