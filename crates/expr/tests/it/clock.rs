//! Until when a result holds, checked against evaluation at the instants around.

use onesync_expr::{Env, Program};
use onesync_model::{Names, Time};
use serde_json::{Value as Json, json};

use crate::support::{NOW, Object, env, program, time};

/// The instant until which the result at NOW holds; it must be equal up to there.
#[track_caller]
fn until(text: &str, attributes: &Json) -> Option<String> {
    until_rechecked(text, attributes, None)
}

#[track_caller]
fn until_rechecked(text: &str, attributes: &Json, recheck: Option<u32>) -> Option<String> {
    let mut names = Names::new();
    let object = Object::new(attributes, &mut names);
    let kind = onesync_expr::Kind::Inbound;
    let context = &mut onesync_expr::Context { names: &mut names, schema: None, kind };
    let program: Program = onesync_expr::compile(text, context).unwrap();
    let at = |now: Time| match program.eval_rechecked(&object, &Env { now, seed: 1 }, recheck) {
        Ok(evaluated) => (Ok(evaluated.outcome), evaluated.valid_until),
        Err(failure) => (Err(failure.error), failure.valid_until),
    };
    let (first, end) = at(time(NOW));
    if let Some(end) = end {
        assert!(end > time(NOW), "{text}");
        let before = Time::from_ticks(end.ticks() - 1);
        assert_eq!(at(before).0, first, "{text} just before {end}");
    }
    end.map(|t| t.to_string())
}

#[test]
fn comparisons_with_the_shifted_clock_give_their_flip() {
    let a = json!({
        "future": {"$dt": "2026-03-20T00:00:00Z"},
        "past": {"$dt": "2026-03-01T00:00:00Z"},
        "now": {"$dt": NOW},
        "expires": 134_184_384_000_000_000_i64, // 2026-03-20
        "many": [{"$dt": "2026-03-20T00:00:00Z"}, {"$dt": "2026-03-15T00:00:00Z"}],
    });
    for (text, expected) in [
        ("[future] < Now()", Some("2026-03-20T00:00:00.0000001Z")),
        ("Now() >= [future]", Some("2026-03-20T00:00:00Z")),
        ("Now() > [future]", Some("2026-03-20T00:00:00.0000001Z")),
        ("[future] <= Now()", Some("2026-03-20T00:00:00Z")),
        ("[past] < Now()", None),
        ("Now() = [future]", Some("2026-03-20T00:00:00Z")),
        ("Now() <> [now]", Some("2026-03-10T12:00:00.0000001Z")),
        ("[past] < DateAdd(\"d\",-30,Now())", Some("2026-03-31T00:00:00.0000001Z")),
        ("[future] < DateAdd(\"h\",1,DateAdd(\"d\",1,Now()))", Some("2026-03-18T23:00:00.0000001Z")),
        ("[expires] < NumFromDate(Now())", Some("2026-03-20T00:00:00.0000001Z")),
        ("[expires] < NumFromDate(Now()) - 864000000000", Some("2026-03-21T00:00:00.0000001Z")),
        ("DateFromNum([expires]) <= Now()", Some("2026-03-20T00:00:00Z")),
        ("CDate(\"2026-04-01\") < Now()", Some("2026-04-01T00:00:00.0000001Z")),
        ("[absent] < Now()", None),
        ("Contains(CStr([many] <= Now()),\"True\")", Some("2026-03-15T00:00:00Z")),
        // Months are exact within the day, and looked at again tomorrow.
        ("[past] < DateAdd(\"m\",-1,Now())", Some("2026-03-11T00:00:00Z")),
        ("CDate(\"2026-02-10 18:00\") <= DateAdd(\"m\",-1,Now())", Some("2026-03-10T18:00:00Z")),
    ] {
        assert_eq!(until(text, &a).as_deref(), expected, "{text}");
    }
}

#[test]
fn the_earliest_of_what_was_looked_at_counts() {
    let a = json!({"f": {"$dt": "2026-03-20T00:00:00Z"}, "g": {"$dt": "2026-03-12T00:00:00Z"}, "x": "x"});
    for (text, expected) in [
        ("Now() >= [f] || Now() >= [g]", Some("2026-03-12T00:00:00Z")),
        ("Now() < [f] || Now() < [g]", Some("2026-03-20T00:00:00Z")), // the second is not looked at
        ("IIF(IsPresent([x]),1,Now() < [f])", None),
        ("FormatDateTime(Now(),\"yyyy-MM-dd\")", Some("2026-03-11T00:00:00Z")),
        ("IIF(FormatDateTime(Now(),\"dd\")=\"10\",1,2)", Some("2026-03-11T00:00:00Z")),
        ("With($n,Now(),$n < [f])", Some("2026-03-11T00:00:00Z")),
        ("With($n,[f],Now() < $n)", Some("2026-03-20T00:00:00Z")),
        ("Count(Where($d,[fg],$d > Now()))", Some("2026-03-12T00:00:00Z")),
        ("1 = 1", None),
    ] {
        let a = {
            let mut a = a.clone();
            a["fg"] = json!([a["f"], a["g"]]);
            a
        };
        assert_eq!(until(text, &a).as_deref(), expected, "{text}");
    }
}

#[test]
fn a_shift_by_what_stands_still_is_exact_too() {
    let n = |text: &str| time(text).to_filetime().unwrap();
    let a = json!({
        "changed": n("2026-03-01T00:00:00Z"), "days": 10, "some": [1, 2],
        "f": {"$dt": "2026-03-20T00:00:00Z"},
    });
    for (text, expected) in [
        // A password older than ten days.
        ("NumFromDate(Now()) - [changed] > 8640000000000", Some("2026-03-11T00:00:00.0000001Z")),
        ("[changed] - NumFromDate(Now()) < -8640000000000", Some("2026-03-11T00:00:00.0000001Z")),
        ("-8640000000000 >= [changed] - NumFromDate(Now())", Some("2026-03-11T00:00:00Z")),
        ("[f] <= DateAdd(\"d\",[days],Now())", None),
        ("DateFromNum([changed]) < DateAdd(\"d\",0-[days],Now())", Some("2026-03-11T00:00:00.0000001Z")),
        ("[f] <= DateAdd(\"d\",[none],Now())", None),
        // What cannot be told is looked at again.
        ("[f] <= DateAdd(\"d\",[some],Now())", Some("2026-03-11T00:00:00Z")),
        ("NumFromDate(Now()) > 1.5", Some("2026-03-11T00:00:00Z")),
        ("NumFromDate(Now()) * 2 > [changed]", Some("2026-03-11T00:00:00Z")),
    ] {
        assert_eq!(until(text, &a).as_deref(), expected, "{text}");
    }
}

#[test]
fn certificates_that_end_are_looked_at_when_they_do() {
    let anna =
        onesync_expr::functions().iter().find(|f| f.name == "CertVersion").unwrap().examples[0].attributes;
    let a: Json = serde_json::from_str(anna).unwrap();
    for text in [
        "Where($item,[cert],CertNotAfter($item)>Now())",
        "With($live,Where($item,[cert],CertNotAfter($item)>Now()),IIF(Count($live)>0,$live,NULL))",
    ] {
        assert_eq!(until(text, &a).as_deref(), Some("2035-06-30T12:00:00Z"), "{text}");
    }
}

#[test]
fn an_error_holds_no_longer_than_its_cause() {
    let a = json!({"f": {"$dt": "2026-03-20T00:00:00Z"}});
    let expected = Some("2026-03-20T00:00:00Z");
    assert_eq!(until("IIF(Now() < [f],Error(\"not yet\"),1)", &a).as_deref(), expected);
    assert_eq!(until("IIF(Now() < [f],CNum(\"x\"),1)", &a).as_deref(), expected);
}

#[test]
fn recheck_says_how_long_what_cannot_be_told_holds() {
    let a = json!({"f": {"$dt": "2026-03-20T00:00:00Z"}});
    for (text, recheck, expected) in [
        ("IIF(FormatDateTime(Now(),\"HH\")=\"00\",1,2)", 3600, "2026-03-10T13:00:00Z"),
        ("IIF(FormatDateTime(Now(),\"yyyy\")=\"2027\",1,2)", 7 * 86_400, "2026-03-17T12:00:00Z"),
        ("Now() < [f]", 3600, "2026-03-20T00:00:00Z"),
    ] {
        assert_eq!(until_rechecked(text, &a, Some(recheck)).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn a_value_made_of_the_clock_is_told_apart() {
    for (text, clock, value) in [
        ("Now()", true, true),
        ("IIF([a] < Now(),1,2)", true, false),
        ("IIF([a] < Now(),1,FormatDateTime(Now(),\"yyyy\"))", true, true),
        ("IIF(IsPresent([a]),DateAdd(\"d\",1,Now()),NULL)", true, true),
        ("Where($i,[a],$i > Now())", true, false),
        ("With($n,Now(),IIF([a] < $n,1,2))", true, false),
        ("With($n,Now(),IIF([a] < $n,1,$n))", true, true),
        ("With($n,DateAdd(\"d\",1,Now()),With($m,$n,FormatDateTime($m,\"yyyy\")))", true, true),
        ("Select($i,Now(),$i)", true, true),
        ("[a]", false, false),
    ] {
        let p = program(text).unwrap();
        assert_eq!((p.uses_clock(), p.value_is_clock()), (clock, value), "{text}");
    }
    let now = program("Now()").unwrap().eval(&Object::default(), &env()).unwrap();
    assert_eq!(now.outcome, onesync_expr::Outcome::Values(onesync_model::Value::Time(time(NOW)).into()));
}
