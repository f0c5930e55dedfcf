//! Several values: each by each, whole, loops and variables.

use serde_json::{Value as Json, json};

use crate::support::eval;

#[track_caller]
fn check(attributes: &Json, cases: &[(&str, Json)]) {
    for (text, expected) in cases {
        assert_eq!(eval(text, attributes.clone()), *expected, "{text}");
    }
}

fn mail() -> Json {
    json!({"p": ["SIP:a@x", "SMTP:a@x", "smtp:b@y"], "o": ["1", "2", "3"], "one": ["SMTP:c@z"], "s": "k"})
}

#[test]
fn functions_and_operators_go_through_lists() {
    check(
        &mail(),
        &[
            (r#"Word([p],1,":") & "!" & [s]"#, json!(["SIP!k", "SMTP!k", "smtp!k"])),
            (r#"LCase([p]) = [p]"#, json!([false, true])),
            (r#"IIF(InStr([p],"SMTP:")=1,Mid([p],6),NULL)"#, json!("a@x")),
            (r#"IIF(InStr([p],"x")>0,"in","out")"#, json!(["in", "out"])),
            (r#"IIF(InStr([p],"zzz")>0,[p],NULL)"#, json!(null)),
            (
                r#"Switch(InStr([p],"SIP:")=1,NULL,InStr([p],"SMTP:")=1,"primary",True,"other")"#,
                json!(["other", "primary"]),
            ),
            (r#"IIF(InStr([one],"SMTP:")=1,Mid([one],6),NULL)"#, json!("c@z")),
            (r#"IIF(InStr([p],"SIP:")=1,AuthoritativeNull,NULL)"#, json!({"$literal": "AuthoritativeNull"})),
            (r#"IIF(InStr([p],"SIP:")=1,IgnoreThisFlow,[p])"#, json!({"$literal": "IgnoreThisFlow"})),
            (r#"IIF(InStr([p],"SMTP:")=1 && InStr([p],"@x")>0,[p],NULL)"#, json!("SMTP:a@x")),
            (r#"IIF(InStr([p],"SIP:")=1 || InStr([p],"@y")>0,[p],NULL)"#, json!(["SIP:a@x", "smtp:b@y"])),
        ],
    );
}

#[test]
fn a_branch_is_evaluated_only_for_the_values_that_take_it() {
    let attributes = json!({"k": ["12", "x", "7"]});
    assert_eq!(eval(r#"IIF(IsNumeric([k]),CNum([k])+1,NULL)"#, attributes.clone()), json!([8, 13]));
    assert_eq!(eval(r#"IIF(IsNumeric([k]) && CNum([k]) > 10,[k],NULL)"#, attributes.clone()), json!("12"));
    assert!(eval("CNum([k])", attributes).get("$error").is_some());
}

#[test]
fn lists_of_different_origin_are_not_mixed() {
    for text in ["[p] & [o]", r#"IIF(InStr([p],"x")>0,[o],NULL)"#, "[p] = [o]", r#"[p] & Where($i,[p],True)"#]
    {
        let result = eval(text, mail());
        assert!(
            result["$error"].as_str().is_some_and(|e| e.contains("two different lists")),
            "{text}: {result}"
        );
    }
    // The same list made twice is one list.
    let text = r#"IIF(Len(Split("a,bb,cc",","))>1,Split("a,bb,cc",","),NULL)"#;
    assert_eq!(eval(text, json!({})), json!(["bb", "cc"]));
}

#[test]
fn whole_list_functions_see_all_values_inside_branches() {
    check(
        &mail(),
        &[
            (r#"IIF(InStr([p],"SMTP:")=1,CStr(Count([p])) & Item([p],1),NULL)"#, json!("3SIP:a@x")),
            (r#"IIF(Contains([p],"SMTP:")>0,[p],Error("none"))"#, json!(["SIP:a@x", "SMTP:a@x", "smtp:b@y"])),
            (r#"Count(IIF(InStr([p],"SIP:")=1,NULL,[p]))"#, json!(2)),
            (r#"Join(Word([p],1,":"))"#, json!("SIP SMTP smtp")),
            (r#"Contains([p],"SMTP:",CaseSensitive)"#, json!(2)),
            (r#"Contains([p],"B@Y","CaseInsensitive")"#, json!(3)),
            (r#"Count(RemoveDuplicates(LCase(Word([p],1,":"))))"#, json!(2)),
            (r#"IsPresent([p])"#, json!(true)),
            (r#"IsNull(Where($i,[p],False))"#, json!(true)),
        ],
    );
    assert!(eval(r#"Item([p],[o])"#, mail()).get("$error").is_some());
}

#[test]
fn split_keeps_order_and_limits() {
    check(
        &json!({"s": "c,a,b"}),
        &[
            (r#"Item(Split([s],","),1)"#, json!("c")),
            (r#"Join(Split([s],",",2),"|")"#, json!("c|a,b")),
            (r#"Join(Split([s],",",-1),"|")"#, json!("c|a|b")),
            (r#"Split([s],",",0)"#, json!(null)),
            (r#"Split([s],";")"#, json!("c,a,b")),
            (r#"Split([absent],";")"#, json!(null)),
            (r#"Item(Split("a,b" & ",c",","),3)"#, json!("c")),
        ],
    );
    assert!(eval(r#"Split([s],",,")"#, json!({"s": "x"})).get("$error").is_some());
}

#[test]
fn loops_and_variables() {
    check(
        &mail(),
        &[
            (r#"Select($i,[p],UCase($i))"#, json!(["SIP:A@X", "SMTP:A@X", "SMTP:B@Y"])),
            (r#"Select($i,[p],IIF(InStr($i,"S")=1,$i,NULL))"#, json!(["SIP:a@x", "SMTP:a@x"])),
            (r#"Select($i,[p],Split($i,":"))"#, json!(["a@x", "b@y", "SIP", "SMTP", "smtp"])),
            (r#"Where($i,[p],InStr(LCase($i),"smtp:")=1)"#, json!(["SMTP:a@x", "smtp:b@y"])),
            (r#"Where($i,Select($j,[p],Mid($j,6)),$i <> "a@x")"#, json!(["@x", "b@y"])),
            (
                r#"Select($i,[o],Join(Select($j,[one],$i & $j),"-"))"#,
                json!(["1SMTP:c@z", "2SMTP:c@z", "3SMTP:c@z"]),
            ),
            (r#"With($v,Where($i,[p],InStr($i,"SMTP")=1),IIF(IsPresent($v),$v,NULL))"#, json!("SMTP:a@x")),
            (r#"With($v,[p],IIF(InStr($v,"SIP")=1,NULL,$v))"#, json!(["SMTP:a@x", "smtp:b@y"])),
            (r#"With($v,[p],Count($v)) + With($v,[o],Count($v))"#, json!(6)),
            (r#"With($a,"x",With($b,$a & "y",$a & $b))"#, json!("xxy")),
            (r#"Where($i,[s],$i = "k")"#, json!("k")),
            (r#"Select($i,[absent],$i)"#, json!(null)),
        ],
    );
}
