//! The benchmark itself, small: every phase runs, and the report says what it must.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::process::Command;

#[test]
fn a_small_run_measures_every_phase_and_judges_every_goal() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_onesync-bench"))
        .args(["--objects", "300", "--json"])
        .arg(&json)
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let phase = |name: &str, field: &str| report["phases"][name][field].as_f64().unwrap();
    let shape = ["people", "groups", "contacts"].map(|what| report[what].as_f64().unwrap());
    assert!(shape[0] >= 300.0 && report["machine"]["cores"].as_u64().unwrap() > 0);
    assert!(
        phase("import", "count") >= shape.iter().sum(),
        "with the accounts that every domain has: {report:#}"
    );
    assert_eq!(phase("import", "count"), phase("first-sync", "count"));
    for limit in ["limit-import", "limit-first-sync"] {
        assert!(phase(limit, "rows") > 3_000.0 && phase(limit, "seconds") > 0.0, "{report:#}");
    }
    assert!(phase("export", "count") >= 300.0 && phase("export", "links") >= 300.0, "{report:#}");
    assert_eq!(phase("member", "links"), 1.0);
    let goals = report["goals"].as_array().unwrap();
    assert_eq!(goals.len(), 10, "{goals:#?}");
    assert!(goals[0]["what"].as_str().unwrap().starts_with("rules for one full user"), "{goals:#?}");
    assert!(goals.iter().all(|goal| goal["measured"].as_f64().unwrap() > 0.0), "{goals:#?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("first full sync, history on") && text.contains("peak memory"), "{text}");
}
