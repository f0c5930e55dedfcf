//! `rule test`: examples beside rules are run, and what they leave unchecked is told.

use crate::program::{Setup, cloud_at};

const RULE: &str = r#"
name = "Extra"
direction = "inbound"
connector = "directory"
object = "user"
metaverse = "person"
link = "join"
precedence = 10

[[scope]]
clauses = [{ attribute = "department", operator = "ISNOTNULL" }]

[flow]
employeeType = 'IIF([department] = "Sales", "S", IIF([department] = "Law", "L", NULL))'
info = 'IIF(InStr([cn], "x") > 0, Error("no x"), [cn])'
pwdLastSet = "[whenCreated]"

[[test]]
name = "sales"
attributes = { department = "Sales", cn = "Ada" }
in_scope = true
flows = { employeeType = "S", info = "Ada" }

[[test]]
name = "nobody"
attributes = { cn = "axe" }
in_scope = false
nothing = ["employeeType"]
fails = { info = "no x" }
"#;

async fn with(rule: &str) -> Setup {
    let setup = Setup::new("ldif", "", &cloud_at("http://127.0.0.1:9")).await;
    let file = setup.path().join("directory.ldif");
    std::fs::write(&file, "version: 1\n").unwrap();
    // Where there is no home, nothing lies beside it.
    let source = format!("name = \"directory\"\nkind = \"ldif\"\nrank = 1\n[settings]\npath = {file:?}\n");
    setup.write("connectors/source.toml", &source);
    // The shipped rules have examples of their own.
    let rules = setup.configuration().join("rules");
    std::fs::remove_dir_all(&rules).unwrap();
    std::fs::create_dir(&rules).unwrap();
    setup.write("rules/extra.toml", rule);
    setup
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_are_run_and_what_they_leave_out_is_named() {
    let setup = with(RULE).await;
    let folder = setup.configuration();
    let folder = folder.to_str().unwrap();
    let report = setup.run(&["rule", "test", folder, "--format", "json"]).await.ends_with(0).json();
    assert_eq!(report["tests"], 2);
    let rules = report["rules"].as_array().unwrap();
    let extra = rules.iter().find(|rule| rule["rule"] == "Extra").unwrap();
    assert_eq!((&extra["flows"], &extra["flows_checked"]), (&3.into(), &2.into()), "{extra}");
    assert_eq!((&extra["branches"], &extra["branches_taken"]), (&6.into(), &5.into()), "{extra}");
    let missing = extra["missing"].to_string();
    assert!(
        missing.contains("pwdLastSet") && missing.contains("the branch") && missing.contains("L"),
        "{missing}"
    );
    let text = setup.run(&["rule", "test", folder]).await.ends_with(0);
    assert!(text.out.contains("2 examples"), "{}", text.out);
    // The check says that they are there, and what runs them.
    let check = setup.run(&["config", "check", folder]).await.ends_with(0);
    let says = format!("2 examples beside the rules: `onesync rule test {folder}` runs them");
    assert!(check.out.contains(&says), "{}", check.out);
    setup.write("rules/extra.toml", RULE.split("\n[[test]]").next().unwrap());
    let check = setup.run(&["config", "check", folder]).await.ends_with(0);
    assert!(check.out.contains("no rule has examples yet"), "{}", check.out);
    setup.write("rules/extra.toml", &RULE.replacen("nothing = [", "nothign = [", 1));
    let check = setup.run(&["config", "check", folder]).await.ends_with(0);
    assert!(check.err.contains("warning: ") && check.err.contains("nothign"), "{}", check.err);
    assert!(!setup.home().exists(), "no installation is needed, none is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_example_that_is_not_so_fails_and_says_what_is() {
    let setup = with(
        &RULE.replace("info = \"Ada\"", "info = \"Eve\"").replace("in_scope = false", "in_scope = true"),
    )
    .await;
    let folder = setup.configuration();
    let folder = folder.to_str().unwrap();
    let ended = setup.run(&["rule", "test", folder]).await.ends_with(1);
    for says in ["rules/extra.toml", "example `sales`", "`info` gives \"Ada\", not \"Eve\"", "out of scope"] {
        assert!(ended.out.contains(says), "{says}: {}", ended.out);
    }
    for (from, to, says) in [
        ("info = \"Ada\"", "inof = \"Ada\"", "did you mean `info`"),
        ("attributes = { department", "attributes = { departmnet", "departmnet"),
        ("[[test]]", "[[tests]]", "unknown key `tests`"),
        ("nothing = [", "nothign = [", "nothign"),
    ] {
        setup.write("rules/extra.toml", &RULE.replacen(from, to, 1));
        let ended = setup.run(&["rule", "test", folder]).await.ends_with(1);
        assert!(ended.err.contains(says) && ended.err.contains("hint: "), "{says}: {}", ended.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_of_a_rule_that_runs_nowhere_are_not_counted_and_empty_ones_are_refused() {
    let setup = with(&RULE.replacen("precedence = 10", "precedence = 10\ndisabled = true", 1)).await;
    let folder = setup.configuration();
    let folder = folder.to_str().unwrap();
    let ended = setup.run(&["rule", "test", folder]).await.ends_with(0);
    for says in ["rules/extra.toml: 2 examples not run", "0 examples of 0 rules"] {
        assert!(ended.out.contains(says), "{says}: {}", ended.out);
    }
    let empty = RULE.replace("in_scope = true\nflows = { employeeType = \"S\", info = \"Ada\" }\n", "");
    assert_ne!(empty, RULE);
    setup.write("rules/extra.toml", &empty);
    let ended = setup.run(&["rule", "test", folder]).await.ends_with(1);
    assert!(ended.err.contains("rules/extra.toml:18: example `sales` expects nothing"), "{}", ended.err);
}
