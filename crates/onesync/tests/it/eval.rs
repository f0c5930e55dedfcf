//! `eval`: what scripts get of it.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::program::{Ended, onesync, run};

async fn eval(arguments: &[&str]) -> Ended {
    let all: Vec<&str> = std::iter::once("eval").chain(arguments.iter().copied()).collect();
    run(Path::new("/nonexistent"), &all).await
}

async fn batch(input: &str) -> Ended {
    let mut command =
        onesync(Path::new("/nonexistent"), &["eval", "--batch", "-", "--now", "2026-01-31T00:00:00Z"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    Ended::of(child.wait_with_output().await.unwrap())
}

#[tokio::test]
async fn one_expression_gives_one_line_and_a_status() {
    let attributes = r#"{"p": ["SMTP:a@x", "sip:a"], "n": 5, "b": {"$bin": "AQI="}, "dn": "CN=a,DC=x"}"#;
    for (text, status, value) in [
        ("Join([p],\",\")", 0, json!("SMTP:a@x,sip:a")),
        ("IIF(InStr([p],\"sip\")=1,NULL,[p])", 0, json!(["SMTP:a@x"])),
        ("[b]", 0, json!({"$bin": "AQI="})),
        ("DateAdd(\"d\",1,Now())", 0, json!({"$dt": "2026-02-01T00:00:00Z"})),
        ("IIF([n]=5,AuthoritativeNull,1)", 0, json!({"$literal": "AuthoritativeNull"})),
        ("CRef([dn]) & %P%", 0, json!("CN=a,DC=x!")),
        ("Error(\"no\")", 3, json!({"$error": "no"})),
        ("CNum(\"x\")", 3, json!({"$error": "CNum: `x` is not a number"})),
        ("trim([a])", 2, json!({"$error": "there is no function `trim` (did you mean `Trim`?)"})),
    ] {
        let now = ["--now", "2026-01-31T00:00:00Z", "--parameters", r#"{"P": "!"}"#];
        let ended = eval(&[&[text, "--attributes", attributes], &now[..]].concat()).await.ends_with(status);
        assert_eq!(ended.json(), value, "{text}");
        assert_eq!(ended.out.lines().count(), 1, "{text}");
    }
    for wrong in [
        &["1", "--attributes", "[]"][..],
        &["1", "--kind", "both"],
        &["1", "--now", "today"],
        &["1", "--attributes", "@/nonexistent"],
        &[],
    ] {
        let ended = eval(wrong).await;
        assert!(
            ended.code != Some(0) && ended.out.is_empty() && !ended.err.is_empty(),
            "{wrong:?}: {ended:?}"
        );
    }
}

#[tokio::test]
async fn a_batch_gives_a_line_for_each_and_never_ends_early() {
    let good = batch(
        "{\"expression\": \"Now()\"}\n{\"expression\": \"Error(\\\"x\\\")\"}\n{\"expression\": \"no(\"}\n",
    )
    .await
    .ends_with(0);
    let lines: Vec<Value> = good.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[..2], [json!({"$dt": "2026-01-31T00:00:00Z"}), json!({"$error": "x"})]);
    assert!(lines[2].get("$error").is_some());
    let bad = batch("nonsense\n{\"expression\": \"1+1\"}").await.ends_with(3);
    assert_eq!(bad.out.lines().count(), 2);
    assert_eq!(bad.out.lines().last(), Some("2"));
    assert!(bad.err.contains("1 of 2 lines"), "{}", bad.err);
}
