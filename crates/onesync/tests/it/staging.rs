//! `staging export-plan` and `staging diff` as people run them: a second server beside the active one, and its switch-over.

use std::path::Path;

use onesync_graphsim::GraphSim;

use crate::kill::ldif::small;
use crate::program::{CLOUD_SECRET, Setup, leave_staging, run};

const RULE: &str = "rules/out-to-entra-user-join.toml";

/// A second server with a database of its own and the same configuration, which has read everything.
async fn second(setup: &Setup, home: &Path) {
    let secret = setup.path().join("secret");
    std::fs::write(&secret, CLOUD_SECRET).unwrap();
    run(home, &["secret", "set", "graph", "--file", secret.to_str().unwrap()]).await.ends_with(0);
    run(home, &["config", "apply", setup.configuration().to_str().unwrap()]).await.ends_with(0);
    run(home, &["cycle", "initial"]).await;
}

/// Members that the tenant will never have, and that nothing tells apart there.
fn two_contacts_in_each_group(setup: &Setup) {
    let file = setup.path().join("directory.ldif");
    let text = std::fs::read_to_string(&file).unwrap().replace("\n ", ""); // no line is folded
    let entries = || text.split("\n\n");
    let is = |entry: &str, class: &str| entry.lines().any(|line| line == format!("objectClass: {class}"));
    let contacts = entries().filter(|entry| is(entry, "contact"));
    let names: Vec<&str> = contacts
        .filter_map(|entry| entry.lines().find_map(|line| line.strip_prefix("dn:")))
        .take(2)
        .collect();
    assert_eq!(names.len(), 2);
    let with = |entry: &str| {
        let lines = names.iter().map(|name| format!("\nmember:{name}"));
        let new = lines.filter(|line| is(entry, "group") && !entry.contains(line.as_str()));
        format!("{}{}", entry.trim_end(), new.collect::<String>())
    };
    let changed: Vec<String> = entries().map(with).collect();
    std::fs::write(&file, changed.join("\n\n") + "\n").unwrap();
}

async fn plan_hash(home: &Path) -> String {
    let plan = run(home, &["staging", "plan", "entra", "--format", "json"]).await.ends_with(0).json();
    plan["hash"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staging_server_goes_live_only_with_what_the_active_one_does_too() {
    let sim = GraphSim::builder().seed(61).judged().await.unwrap();
    let setup = small(&sim).await;
    two_contacts_in_each_group(&setup);
    setup.run(&["cycle"]).await.ends_with(0);
    leave_staging(&setup.home()).await;
    setup.run(&["cycle"]).await.ends_with(0);
    setup.run(&["cycle"]).await.ends_with(0);
    let home = setup.path().join("second");
    second(&setup, &home).await;

    let file = setup.path().join("plan");
    let file = file.to_str().unwrap();
    let written = setup.run(&["staging", "export-plan", file]).await.ends_with(0);
    assert!(written.out.contains("objects, 0 changes that are owed"), "{written:?}");
    setup.run(&["staging", "export-plan", file]).await.ends_with(2);
    let own = setup.run(&["staging", "diff", file]).await.ends_with(2);
    assert!(own.err.contains("this very installation"), "{own:?}");
    let equal = run(&home, &["staging", "diff", file]).await.ends_with(0);
    assert!(
        equal.out.contains("nothing would be taken away") && equal.out.contains("0 settings differ"),
        "{equal:?}"
    );
    let status = run(&home, &["staging", "status"]).await.ends_with(0);
    assert!(status.out.contains("nothing unexplained would be taken away"), "{status:?}");

    // The rules of the second server leave a department out.
    let ldif = std::fs::read_to_string(setup.path().join("directory.ldif")).unwrap();
    let department = ldif.lines().find_map(|line| line.strip_prefix("department: ")).unwrap();
    let rule = std::fs::read_to_string(setup.configuration().join(RULE)).unwrap();
    let clause = "  { attribute = \"accountEnabled\", operator = \"ISNOTNULL\" },\n";
    assert!(rule.contains(clause));
    let out = format!(
        "{clause}  {{ attribute = \"department\", operator = \"NOTEQUAL\", value = \"{department}\" }},\n"
    );
    setup.write(RULE, &rule.replace(clause, &out));
    run(&home, &["config", "apply", setup.configuration().to_str().unwrap(), "--no-plan"]).await.ends_with(0);
    let hash = plan_hash(&home).await;
    let early = run(&home, &["staging", "off", "entra", "--plan", &hash]).await.ends_with(4);
    assert!(early.err.contains("not synchronised") && early.err.contains("`onesync cycle`"), "{early:?}");
    run(&home, &["cycle"]).await;
    let diff = run(&home, &["staging", "diff", file, "--format", "json"]).await.ends_with(4).json();
    let taken = &diff["connectors"][0]["unexplained"];
    let (count, accept) = (taken["count"].as_u64().unwrap(), taken["hash"].as_str().unwrap());
    assert!(count > 0 && taken["words"].as_str().unwrap().contains("disabled"), "{diff}");
    assert_eq!(diff["settings"][0]["section"], "rule", "{diff}");
    let shown = run(&home, &["staging", "diff", file, "--limit", "1"]).await.ends_with(4);
    assert!(shown.out.contains("UNEXPLAINED") && shown.out.contains(accept), "{shown:?}");

    let plan = run(&home, &["staging", "plan", "entra"]).await.ends_with(0);
    assert!(
        plan.err.contains("settings are others than on") && plan.err.contains("Out to Entra"),
        "{plan:?}"
    );

    let mark = sim.log_mark();
    let hash = plan_hash(&home).await;
    let off = ["staging", "off", "entra", "--plan", &hash];
    let refused = run(&home, &off).await.ends_with(4);
    for part in ["does not do that", "Out to Entra - User Join", "--accept", accept] {
        assert!(refused.err.contains(part), "{part}: {refused:?}");
    }
    let wrong = [&off[..], &["--accept", "00000000000000000000000000000000"]].concat();
    assert!(run(&home, &wrong).await.ends_with(4).err.contains("has changed since"));
    let status = run(&home, &["staging", "status", "--format", "json"]).await.ends_with(0).json();
    let cloud = status.as_array().unwrap().iter().find(|row| row["connector"] == "entra").unwrap();
    assert_eq!(
        (&cloud["mode"], &cloud["compared"]["connectors"][0]["unexplained"]),
        (&"staging".into(), &count.into())
    );
    let status = run(&home, &["status"]).await;
    assert!(status.out.contains(&format!("hash {accept}")), "{status:?}");

    let accepted = run(&home, &[&off[..], &["--accept", accept]].concat()).await.ends_with(0);
    assert!(accepted.err.contains("is active") && accepted.err.contains("Out to Entra"), "{accepted:?}");
    let events = run(&home, &["events", "--number", "7025", "--format", "json"]).await.ends_with(0).json();
    assert!(events[0]["details"].as_str().unwrap().contains(accept), "{events}");
    // Its marker is still the other server's: nothing is written before that one gives way.
    let cycle = run(&home, &["cycle"]).await.ends_with(4);
    assert!(cycle.err.contains("belongs to installation"), "{cycle:?}");
    assert_eq!(sim.writes(mark).len(), 0);

    let cut = setup.path().join("cut");
    let bytes = std::fs::read(file).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 7]).unwrap();
    let cut = run(&home, &["staging", "diff", cut.to_str().unwrap()]).await.ends_with(2);
    assert!(cut.err.contains("was cut"), "{cut:?}");
}
