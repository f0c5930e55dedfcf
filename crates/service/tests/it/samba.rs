//! From a real Active Directory (Samba) into the cloud: each change is exported exactly once, and nothing else.

mod domain;
mod forest;
mod imported;
mod membership;
mod named;

use forest::{DISABLED, ENABLED, Forest, proxy};
use onesync_ldap::ChangeKind::{Add, Delete, Replace};
use onesync_service::{Configuration, CycleKind, Status, Step};
use onesync_testkit::ldap_proxy::Behaviour;

/// People of the test's own OU: the large group has them all.
const PEOPLE: usize = 120;

const NOTHING: [&str; 0] = [];

/// Runs a delta cycle that must write exactly this, and another one that must write nothing.
async fn expect(forest: &Forest, story: &str, writes: &[&str]) {
    let (report, written) = forest.written().await;
    assert_eq!(written, writes, "{story}: {:?}", forest.standing_errors());
    assert_eq!(report.errors, 0, "{story}: {report:?}");
    let (report, written) = forest.written().await;
    assert_eq!(written, NOTHING, "after {story}");
    let imported = &report.imported;
    assert_eq!((imported.add, imported.update, imported.delete), (0, 0, 0), "after {story}: {report:?}");
    assert_eq!(report.confirmed, 0, "after {story}: it was confirmed before");
}

#[tokio::test(flavor = "multi_thread")]
async fn stories_of_a_real_domain_are_exported_once_and_nothing_else() {
    let containers = ["OU=People", "OU=Groups", "OU=Outside", "OU=Sales,OU=People", "OU=Team,OU=Outside"];
    let Some(mut forest) = Forest::open("e2e", &containers, &["OU=People", "OU=Groups"]).await else {
        return;
    };
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        let container = if number < 3 { "OU=Sales,OU=People" } else { "OU=People" };
        people.push(forest.person(container, &format!("p{number}")).await);
    }
    let everyone = forest.group("OU=Groups", "Everyone", &people).await;
    let few = forest.group("OU=Groups", "Few", &people[4..7]).await;
    forest.person("OU=Outside", "hidden").await;
    forest.person("OU=Team,OU=Outside", "t1").await;

    let report = forest.go_live().await;
    assert_eq!(report.errors, 0, "{:?}", forest.standing_errors());
    assert_eq!((forest.cloud("users").len(), report.exported.add as usize), (PEOPLE, PEOPLE + 2));
    let members: Vec<usize> = forest
        .cloud("groups")
        .iter()
        .map(|group| group["members"].as_array().map_or(0, Vec::len))
        .filter(|&count| count > 0)
        .collect();
    assert!(members.contains(&PEOPLE) && members.contains(&3), "{members:?}");
    expect(&forest, "the initial cycle", &[]).await;

    let hired = forest.person("OU=Sales,OU=People", "hired").await;
    expect(&forest, "a hire", &["POST users"]).await;

    forest.change(&people[10], Replace, "department", &["Purchasing"]).await;
    expect(&forest, "a change of department", &["PATCH users"]).await;

    forest.change(&people[11], Replace, "displayName", &["Person Married"]).await;
    forest.rename(&people[11], "CN=Person Married", None).await;
    people[11] = forest.dn("CN=Person Married,OU=People");
    expect(&forest, "a rename", &["PATCH users"]).await;

    forest.change(&few, Add, "member", &[&hired]).await;
    expect(&forest, "one member added", &["PATCH groups"]).await;
    forest.change(&few, Delete, "member", &[&people[4]]).await;
    expect(&forest, "one member removed", &["DELETE groups members $ref"]).await;
    forest.change(&everyone, Add, "member", &[&hired]).await;
    expect(&forest, "one member added to the large group", &["PATCH groups"]).await;
    forest.change(&everyone, Delete, "member", &[&hired]).await;
    forest.change(&few, Delete, "member", &[&hired]).await;
    expect(&forest, "a person leaves both groups", &["DELETE groups members $ref"; 2]).await;

    forest.change(&people[12], Replace, "userAccountControl", &[DISABLED]).await;
    expect(&forest, "a disabled account", &["PATCH users"]).await;
    forest.change(&people[12], Replace, "userAccountControl", &[ENABLED]).await;
    expect(&forest, "an enabled account", &["PATCH users"]).await;

    let (inside, outside) = (forest.dn("OU=People"), forest.dn("OU=Outside"));
    let hidden = forest.dn("CN=Person hidden,OU=Outside");
    forest.change(&hidden, Replace, "department", &["unseen"]).await;
    expect(&forest, "a change outside of the selection", &[]).await;
    forest.rename(&hidden, "CN=Person hidden", Some(&inside)).await;
    expect(&forest, "a move into the selection", &["POST users"]).await;
    forest.rename(&hired, "CN=Person hired", Some(&outside)).await;
    expect(&forest, "a move out of the selection: disabled at once", &["PATCH users"]).await;
    let sales = forest.dn("OU=Sales,OU=People");
    let away = forest.dn("CN=Person hired,OU=Outside");
    forest.rename(&away, "CN=Person hired", Some(&sales)).await;
    expect(&forest, "the move back: the same account", &["PATCH users"]).await;

    forest.rename(&sales, "OU=Verkauf", None).await;
    expect(&forest, "an OU below the selected one is renamed", &[]).await;
    forest.rename(&inside, "OU=Menschen", None).await;
    let (report, written) = forest.written().await;
    assert_eq!(written, NOTHING, "the selected OU is renamed");
    let remarks: Vec<&String> = report.steps.iter().flat_map(|step| &step.remarks).collect();
    assert!(remarks.iter().any(|r| r.contains("OU=Menschen") && r.contains("stays selected")), "{remarks:?}");
    let inside = forest.dn("OU=Menschen");

    let team = forest.dn("OU=Team,OU=Outside");
    forest.rename(&team, "OU=Team", Some(&inside)).await;
    expect(&forest, "an OU moves into the selection", &["POST users"]).await;
    forest.rename(&format!("OU=Team,{inside}"), "OU=Team", Some(&outside)).await;
    expect(&forest, "the OU moves out again", &["PATCH users"]).await;

    let leaver = format!("CN=Person hired,OU=Verkauf,{inside}");
    let guid = forest.guid(&leaver).await;
    forest.change(&few, Add, "member", &[&leaver]).await;
    expect(&forest, "the leaver is a member", &["PATCH groups"]).await;
    forest.client.delete(&leaver, Vec::new()).await.unwrap();
    // nobody tells that the group lost a member: not the group, and not the tombstone
    expect(
        &forest,
        "a deletion: disabled and out of the group at once",
        &["DELETE groups members $ref", "PATCH users"],
    )
    .await;
    forest.restore(&guid, &leaver).await;
    // Samba has no recycle bin: what the tombstone lost is written again
    let login = format!("hiredx{:x}@contoso.com", std::process::id());
    for (attribute, value) in [
        ("userAccountControl", ENABLED),
        ("userPrincipalName", &login),
        ("mail", &login),
        ("displayName", "Person hired"),
        ("department", "Sales"),
    ] {
        forest.change(&leaver, Replace, attribute, &[value]).await;
    }
    expect(&forest, "the restored person: the same account", &["PATCH users"]).await;

    // everything again, from the beginning: nothing is new
    let mark = forest.sim.log_mark();
    let report = forest.cycle(CycleKind::Initial).await;
    assert_eq!(report.status, Some(Status::Done), "{report:?}");
    assert_eq!(forest.sim.changes(mark).len(), 0);
    let imported = &report.imported;
    assert_eq!((imported.add, imported.update, imported.delete), (0, 0, 0), "{report:?}");
    forest.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_container_is_one_entry_whatever_lies_in_it() {
    let containers = ["OU=People", "OU=Groups", "OU=Sales,OU=People", "OU=Inner,OU=Sales,OU=People"];
    let Some(mut forest) = Forest::open("ou", &containers, &["OU=People", "OU=Groups"]).await else {
        return;
    };
    let mut people = Vec::new();
    for number in 0..12 {
        let container = match number {
            0 => "OU=People",
            1..=6 => "OU=Sales,OU=People",
            _ => "OU=Inner,OU=Sales,OU=People",
        };
        people.push(forest.person(container, &format!("o{number}")).await);
    }
    forest.group("OU=Groups", "Outside", &people).await;
    forest.group("OU=Sales,OU=People", "Inside", &people[..3]).await;
    let include = ["OU=People", "OU=Groups"].map(|name| forest.dn(name));
    let mut files = forest.configuration(&include).files;
    let rule = "name = \"In from AD - by container\"\ndirection = \"inbound\"\nconnector = \"contoso.test\"\n\
        object = \"user\"\nmetaverse = \"person\"\nlink = \"join\"\nprecedence = 1\n[[scope]]\n\
        clauses = [{ attribute = \"dn\", operator = \"CONTAINS\", value = \"OU=Verkauf\" }]\n[flow]\n\
        department = 'Word([dn], 2, \",\")'\n";
    files.insert("rules/by-container.toml".into(), rule.into());
    forest.service.apply(Configuration::parse(files).unwrap(), "test").await.unwrap();
    let report = forest.go_live().await;
    assert_eq!(report.errors, 0, "{:?}", forest.standing_errors());
    expect(&forest, "the initial cycle", &[]).await;
    let departments = |forest: &Forest, name: &str| {
        let users = forest.cloud("users");
        users.iter().filter(|user| user["department"] == name).count()
    };
    assert_eq!(departments(&forest, "Sales"), 12);

    let sales = forest.dn("OU=Sales,OU=People");
    forest.rename(&sales, "OU=Verkauf", None).await;
    let (report, written) = forest.written().await;
    assert_eq!(written, vec!["PATCH users"; 11], "scope and flow ask for names: {report:?}");
    let imported = &report.imported;
    let read = (imported.add, imported.update, imported.delete, imported.unchanged);
    assert_eq!(read, (0, 0, 0, 0), "nothing below is read again: {report:?}");
    assert_eq!((departments(&forest, "OU=Verkauf"), departments(&forest, "OU=Inner")), (6, 5));
    let remarks: Vec<&String> = report.steps.iter().flat_map(|step| &step.remarks).collect();
    assert!(remarks.iter().any(|remark| remark.contains("is now `OU=Verkauf")), "{remarks:?}");
    expect(&forest, "the renamed container", &[]).await;

    let groups = forest.dn("OU=Groups");
    forest.rename(&forest.dn("OU=Inner,OU=Verkauf,OU=People"), "OU=Inner", Some(&groups)).await;
    let (report, written) = forest.written().await;
    assert_eq!(written, vec!["PATCH users"; 5], "out of the scope of the rule: {report:?}");
    assert_eq!((report.imported.update, report.imported.unchanged), (0, 0), "{report:?}");
    assert_eq!(departments(&forest, "Sales"), 6);
    expect(&forest, "the moved container", &[]).await;

    let mark = forest.sim.log_mark();
    let report = forest.cycle(CycleKind::Initial).await;
    assert_eq!(forest.sim.changes(mark).len(), 0, "a full import gives the same");
    let imported = &report.imported;
    assert_eq!((imported.add, imported.update, imported.delete), (0, 0, 0), "{report:?}");
    forest.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_with_a_container_comes_back_with_it_or_alone() {
    let containers = ["OU=People", "OU=Outside", "OU=Upper,OU=People", "OU=Lower,OU=Upper,OU=People"];
    let Some(mut forest) = Forest::open("left", &containers, &["OU=People"]).await else { return };
    forest.person("OU=Upper,OU=People", "l0").await;
    forest.person("OU=Lower,OU=Upper,OU=People", "l1").await;
    forest.person("OU=Lower,OU=Upper,OU=People", "l2").await;
    let mut files = forest.configuration(&[forest.dn("OU=People")]).files;
    let rule = "name = \"In from AD - where\"\ndirection = \"inbound\"\nconnector = \"contoso.test\"\n\
        object = \"user\"\nmetaverse = \"person\"\nlink = \"join\"\nprecedence = 1\n[flow]\n\
        department = 'Word([dn], 2, \",\")'\n";
    files.insert("rules/where.toml".into(), rule.into());
    forest.service.apply(Configuration::parse(files).unwrap(), "test").await.unwrap();
    forest.go_live().await;
    expect(&forest, "the initial cycle", &[]).await;
    let departments = |forest: &Forest| {
        let users = forest.cloud("users");
        let enabled = users.iter().filter(|user| user["accountEnabled"] == true);
        let mut names: Vec<String> =
            enabled.map(|user| user["department"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(departments(&forest), ["OU=Lower", "OU=Lower", "OU=Upper"]);
    let (inside, outside) = (forest.dn("OU=People"), forest.dn("OU=Outside"));

    forest.rename(&format!("OU=Upper,{inside}"), "OU=Upper", Some(&outside)).await;
    expect(&forest, "a container leaves with one that lies in it", &["PATCH users"; 3]).await;
    forest.rename(&format!("OU=Upper,{outside}"), "OU=Back", Some(&inside)).await;
    expect(&forest, "it comes back under another name", &["PATCH users"; 3]).await;
    assert_eq!(departments(&forest), ["OU=Back", "OU=Lower", "OU=Lower"]);
    forest.rename(&format!("OU=Lower,OU=Back,{inside}"), "OU=Under", None).await;
    expect(&forest, "the one in it is renamed", &["PATCH users"; 2]).await;
    assert_eq!(departments(&forest), ["OU=Back", "OU=Under", "OU=Under"]);

    forest.rename(&format!("OU=Back,{inside}"), "OU=Back", Some(&outside)).await;
    expect(&forest, "both leave again", &["PATCH users"; 3]).await;
    forest.rename(&format!("OU=Under,OU=Back,{outside}"), "OU=Under", Some(&inside)).await;
    expect(&forest, "the inner one comes back alone", &["PATCH users"; 2]).await;
    assert_eq!(departments(&forest), ["OU=Under", "OU=Under"]);

    forest.rename(&format!("OU=Under,{inside}"), "OU=Under", Some(&outside)).await;
    let mark = forest.sim.log_mark();
    forest.cycle(CycleKind::Initial).await;
    assert_eq!(forest.sim.changes(mark).len(), 2, "a full import shows that it left");
    forest.rename(&format!("OU=Under,{outside}"), "OU=Under", Some(&inside)).await;
    expect(&forest, "it comes back", &["PATCH users"; 2]).await;
    assert_eq!(departments(&forest), ["OU=Under", "OU=Under"]);

    let mark = forest.sim.log_mark();
    let report = forest.cycle(CycleKind::Initial).await;
    assert_eq!(forest.sim.changes(mark).len(), 0, "a full import gives the same");
    let imported = &report.imported;
    assert_eq!((imported.add, imported.update, imported.delete), (0, 0, 0), "{report:?}");
    forest.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_selection_is_a_plan_with_counts_before_it_applies() {
    let containers = ["OU=People", "OU=Groups", "OU=Sales,OU=People"];
    let Some(mut forest) = Forest::open("narrow", &containers, &["OU=People", "OU=Groups"]).await else {
        return;
    };
    for number in 0..8 {
        let container = if number < 3 { "OU=Sales,OU=People" } else { "OU=People" };
        forest.person(container, &format!("n{number}")).await;
    }
    forest.go_live().await;
    expect(&forest, "the initial cycle", &[]).await;
    let before = forest.service.dump().unwrap();

    let narrow = forest.configuration(&[forest.dn("OU=Sales,OU=People"), forest.dn("OU=Groups")]);
    let plan = forest.service.config_plan(narrow.clone()).await.unwrap();
    let text = plan.to_string();
    assert!(
        text.contains("5 objects of type user of `contoso.test` are outside of the new selection"),
        "{text}"
    );
    assert!(text.contains("entra: user to update: 0 -> 5"), "five accounts are disabled: {text}");
    assert_eq!(forest.service.dump().unwrap(), before, "nothing of the installation is touched");

    forest.service.apply(narrow, "test").await.unwrap();
    let (report, written) = forest.written().await;
    assert_eq!(written, ["PATCH users"; 5], "as planned: {report:?}");
    forest.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_domain_controller_or_a_lost_right_deletes_nothing() {
    let Some(mut forest) = Forest::open("guess", &["OU=People", "OU=More"], &["OU=People", "OU=More"]).await
    else {
        return;
    };
    for number in 0..4 {
        forest.person("OU=People", &format!("g{number}")).await;
        forest.person("OU=More", &format!("h{number}")).await;
    }
    let windows = proxy(Behaviour::default()).await;
    let include = [forest.dn("OU=People"), forest.dn("OU=More")];
    let configuration = forest.configuration_through(&windows, &include);
    forest.service.apply(configuration, "test").await.unwrap();
    forest.go_live().await;
    expect(&forest, "the initial cycle", &[]).await;

    // another domain controller that has not heard of one person yet
    windows.play(|behaviour| {
        (behaviour.invocation, behaviour.hidden) = (Some([7; 16]), Some("CN=Person g1".to_owned()));
    });
    let (report, written) = forest.written().await;
    assert_eq!(written, NOTHING, "{report:?}");
    let remarks: Vec<&String> = report.steps.iter().flat_map(|step| &step.remarks).collect();
    assert!(
        remarks.iter().any(|r| r.contains("full import was made") && r.contains("another domain")),
        "{remarks:?}"
    );
    assert!(
        remarks.iter().any(|r| r.contains("1 objects are not shown any more") && r.contains("g1")),
        "{remarks:?}"
    );
    assert_eq!((report.imported.delete, report.status), (0, Some(Status::ObjectErrors)));
    windows.play(|behaviour| behaviour.hidden = None);
    let dn = forest.dn("CN=Person g1,OU=People");
    forest.change(&dn, Replace, "department", &["Heard of"]).await;
    expect(&forest, "the other one has caught up", &["PATCH users"]).await;

    // a full import that is cut in its second container, and whose domain controller then changes, starts again
    windows.play(|behaviour| behaviour.cut_in_page = Some(3));
    assert!(forest.service.run_step("contoso.test", Step::FullImport, &|_| ()).await.is_err());
    windows.play(|behaviour| behaviour.invocation = Some([8; 16]));
    let report = forest.service.run_step("contoso.test", Step::FullImport, &|_| ()).await.unwrap();
    assert!(!report.remarks.iter().any(|remark| remark.contains("went on")), "{report:?}");
    assert_eq!((report.counters.unchanged, report.counters.delete, report.counters.errors), (8, 0, 0));

    // and one whose domain controller stays goes on
    windows.play(|behaviour| behaviour.cut_in_page = Some(3));
    assert!(forest.service.run_step("contoso.test", Step::FullImport, &|_| ()).await.is_err());
    let report = forest.service.run_step("contoso.test", Step::FullImport, &|_| ()).await.unwrap();
    assert!(report.remarks.iter().any(|remark| remark.contains("went on after 1 ")), "{report:?}");
    assert_eq!((report.counters.unchanged, report.counters.delete, report.counters.errors), (4, 0, 0));
    expect(&forest, "both", &[]).await;
    forest.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_dirsync_each_change_is_found_by_reading_everything() {
    let Some(mut forest) = Forest::open("whole", &["OU=People", "OU=Groups"], &["OU=People"]).await else {
        return;
    };
    let include = [forest.dn("OU=People"), forest.dn("OU=Groups")];
    forest.service.apply(forest.configuration_without_dirsync(&include), "test").await.unwrap();
    let mut people = Vec::new();
    for number in 0..6 {
        people.push(forest.person("OU=People", &format!("w{number}")).await);
    }
    let few = forest.group("OU=Groups", "Few", &people[..3]).await;
    let report = forest.go_live().await;
    assert_eq!((report.errors, forest.cloud("users").len()), (0, 6), "{:?}", forest.standing_errors());
    expect(&forest, "the initial cycle", &[]).await;

    forest.change(&people[4], Replace, "department", &["Purchasing"]).await;
    expect(&forest, "a change", &["PATCH users"]).await;
    forest.change(&few, Delete, "member", &[&people[1]]).await;
    expect(&forest, "a member less", &["DELETE groups members $ref"]).await;
    forest.person("OU=People", "hired").await;
    expect(&forest, "a hire", &["POST users"]).await;
    forest.rename(&people[2], "CN=Person renamed", None).await;
    expect(&forest, "a new name, which is not for the cloud", &[]).await;

    forest.client.delete(&people[0], Vec::new()).await.unwrap();
    let writes = ["DELETE groups members $ref", "PATCH users"];
    expect(&forest, "a deletion, found by its absence", &writes).await;
    // One that moves out of what is read is gone, too, and comes back as it was.
    let away = forest.dn("CN=Person w5");
    forest.rename(&people[5], "CN=Person w5", Some(&forest.ou.clone())).await;
    expect(&forest, "a move out of the selection", &["PATCH users"]).await;
    let home = forest.dn("OU=People");
    forest.rename(&away, "CN=Person w5", Some(&home)).await;
    expect(&forest, "and back", &["PATCH users"]).await;
    assert_eq!(forest.standing_errors(), Vec::<String>::new());
    forest.close().await;
}

/// The whole of a large domain, loaded before by `tests/servers/samba-ad.sh load` (`ONESYNC_TEST_USERS=10000 ./test`).
#[tokio::test(flavor = "multi_thread")]
async fn a_large_domain_is_read_whole_and_stays_quiet() {
    let Ok(users) = std::env::var("ONESYNC_TEST_USERS") else {
        eprintln!("SKIPPED: a_large_domain: ONESYNC_TEST_USERS is not set");
        return;
    };
    let users: usize = users.parse().unwrap();
    let lab = format!("OU=Lab,{}", std::env::var("AD_BASE_DN").unwrap_or_default());
    let Some(mut forest) = Forest::open("large", &["OU=People"], &["OU=People", &lab]).await else { return };
    // `adminDescription` keeps some of them out; what has mail cannot be written through Graph
    let all = forest.names(&lab, "(&(objectCategory=person)(objectClass=user))").await;
    assert_eq!(all.len(), users, "load them first: ONESYNC_TEST_USERS={users} ./test");
    let people = "(&(objectCategory=person)(objectClass=user)(!(adminDescription=User_*)))";
    let people = forest.names(&lab, people).await;
    let security = "(&(objectClass=group)(groupType:1.2.840.113556.1.4.803:=2147483648)(!(mail=*)))";
    let groups = forest.names(&lab, security).await.len() + 1;
    let everyone = forest.group("OU=People", "Everyone", &people[..people.len().min(8_000)]).await;
    let began = std::time::Instant::now();
    let report = forest.cycle(CycleKind::Initial).await;
    eprintln!("initial cycle of {users} users: {:.1?}", began.elapsed());
    for step in &report.steps {
        eprintln!("  {} {:?}: {:.1} s, {:?}", step.connector, step.step, step.seconds, step.counters);
    }
    let runtime = forest.service.runtime().unwrap();
    let cloud = runtime.connector("entra").unwrap();
    let plan = forest.service.staging_plan(&runtime, cloud).unwrap();
    forest.service.staging_off(&runtime, cloud, &plan.hash).unwrap();
    let report = forest.cycle(CycleKind::Delta).await;
    for step in &report.steps {
        eprintln!("  {} {:?}: {:.1} s, {:?}", step.connector, step.step, step.seconds, step.counters);
    }
    assert_eq!(forest.cloud("users").len(), people.len(), "{:?}", forest.standing_errors());
    let mut cloud = forest.cloud("groups");
    cloud.retain(|group| group["displayName"] != "OneSync marker");
    let largest = cloud.iter().filter_map(|group| group["members"].as_array().map(Vec::len)).max();
    assert_eq!((cloud.len(), largest), (groups, Some(people.len().min(8_000))));
    let (report, written) = forest.written().await;
    eprintln!("quiet cycle: {:.2} s", report.seconds);
    assert_eq!(written, NOTHING, "a quiet cycle writes nothing");
    assert_eq!(
        (report.imported.add, report.imported.update, report.imported.delete),
        (0, 0, 0),
        "{report:?}"
    );

    let hired = forest.person("OU=People", "hired").await;
    expect(&forest, "a hire", &["POST users"]).await;
    forest.change(&everyone, Add, "member", &[&hired]).await;
    expect(&forest, "one member added to the group of all", &["PATCH groups"]).await;
    forest.change(&hired, Replace, "department", &["Purchasing"]).await;
    expect(&forest, "a change of department", &["PATCH users"]).await;
    forest.change(&everyone, Delete, "member", &[&hired]).await;
    expect(&forest, "one member removed", &["DELETE groups members $ref"]).await;
    forest.client.delete(&hired, Vec::new()).await.unwrap();
    expect(&forest, "a deletion", &["PATCH users"]).await;
    forest.close().await;
}
