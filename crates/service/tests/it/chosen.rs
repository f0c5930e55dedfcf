//! Rules that look at single links, from the directory to the cloud: members are chosen by their names, names become
//! texts, and `config check`, `config plan`, `preview`, `explain` and `rule test` speak of it.

use onesync_service::{Configuration, Step};
use serde_json::json;

use crate::insight::preview;
use crate::world::{Person, Setup, World, person};

const GROUP: &str = "rules/in-from-ad-group-common.toml";
const EVERYONE: &str = "CN=Everyone,OU=Groups,DC=contoso,DC=com";
const CHOSEN: &str = r#"member = 'Where($who, [member], InStr($who, "CN=Guest ") = 0)'"#;
const DESCRIPTION: &str =
    r#"description = "IIF(IsNullOrEmpty([description]),NULL,Left(Trim(Item([description],1)),448))""#;
const MEMBERS: &str = "description = 'Join(Select($who, [member], Word($who, 1, \",\")), \";\")'";

fn people() -> Vec<Person> {
    (1..=4).map(|n| person(n, &format!("{} {n}", if n == 2 { "Guest" } else { "Person" }))).collect()
}

/// The shipped rule with another flow of members.
fn rule(setup: &mut Setup) {
    let mut rule = onesync_service::template("single-forest", "ldif").unwrap()[GROUP].clone();
    for (from, to) in [("member = \"[member]\"", CHOSEN), (DESCRIPTION, MEMBERS)] {
        assert!(rule.contains(from), "{rule}");
        rule = rule.replace(from, to);
    }
    setup.rules.insert(GROUP.into(), rule);
}

async fn live() -> World {
    let mut world = World::staging_with(people(), rule).await;
    world.go_live().await;
    assert_eq!(world.errors(), []);
    world
}

fn members(world: &World) -> Vec<String> {
    world
        .cloud_members("Everyone")
        .into_iter()
        .map(|name| name.split('@').next().unwrap().to_owned())
        .collect()
}

fn description(world: &World) -> serde_json::Value {
    let groups = world.cloud_dump("groups");
    groups.iter().find(|group| group["displayName"] == "Everyone").unwrap()["description"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_chosen_by_name_and_chosen_anew_when_names_change() {
    let mut world = live().await;
    assert_eq!(members(&world), ["u1", "u3", "u4"]);
    assert_eq!(description(&world), "CN=Guest 2;CN=Person 1;CN=Person 3;CN=Person 4");
    world.person(2).name = "Person 2".into();
    world.person(3).name = "Guest 3".into();
    world.step().await;
    assert_eq!(members(&world), ["u1", "u2", "u4"]);
    assert_eq!(description(&world), "CN=Guest 3;CN=Person 1;CN=Person 2;CN=Person 4");
    world.groups[0].1.retain(|&number| number != 1);
    world.step().await;
    assert_eq!(members(&world), ["u2", "u4"]);
    let exchanged = world.groups[0].1.iter_mut().find(|number| **number == 4).unwrap();
    *exchanged = 1;
    world.write();
    for step in [Step::FullImport, Step::DeltaSync] {
        world.service.run_step("directory", step, &|_| ()).await.unwrap();
    }
    let seen = preview(&world, "directory", EVERYONE);
    let stored = seen.metaverse[0].attributes.iter().find(|view| view.attribute == "description").unwrap();
    assert_eq!(stored.before, "CN=Guest 3;CN=Person 1;CN=Person 2", "before the cloud says anything");
    world.step().await;
    assert_eq!(members(&world), ["u1", "u2"]);
    assert_eq!(world.service.verify().unwrap(), Vec::<String>::new());
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_choice_is_planned_and_seen_before_it_is_made() {
    let world = live().await;
    let other = world.changed(GROUP, "CN=Guest ", "CN=Person 4");
    let plan = world.service.config_plan(other).await.unwrap();
    let words: Vec<String> = plan
        .effects
        .iter()
        .map(|count| format!("{} {} {}", count.effect, count.connector, count.count))
        .collect();
    assert_eq!(words, ["links entra 1"], "of one group");

    let seen = preview(&world, "directory", EVERYONE);
    let shown = |name: &str| seen.metaverse[0].attributes.iter().find(|view| view.attribute == name).unwrap();
    let names = |numbers: &[&str]| {
        numbers.iter().map(|n| format!("CN={n},OU=People,DC=contoso,DC=com")).collect::<Vec<_>>()
    };
    let candidate = &shown("member").candidates[0];
    let chosen: Vec<_> =
        names(&["Person 1", "Person 3", "Person 4"]).into_iter().map(|name| json!({"$ref": name})).collect();
    assert_eq!((&candidate.gives, candidate.result), (&json!(chosen), "wins"), "{candidate:#?}");
    let all = json!(names(&["Guest 2", "Person 1", "Person 3", "Person 4"]));
    assert_eq!(candidate.reads["member"], all, "{candidate:#?}");
    assert_eq!(shown("description").candidates[0].reads["member"], all);
    assert_eq!(shown("member").after, json!("3 links"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_says_what_it_costs_and_examples_give_links_by_name() {
    let world = live().await;
    let check = world.service.check(world.changed(GROUP, "CN=Guest ", "CN=Person 4")).await.unwrap();
    let notes: Vec<&String> = check.messages.iter().filter(|text| text.contains("single links")).collect();
    assert_eq!((check.errors, notes.len()), (0, 2), "{:?}", check.messages);
    let mut files = world.service.config_files(None).unwrap();
    let refs = r#"[{ "$ref" = "CN=Guest 2,OU=x" }, { "$ref" = "CN=Ada,OU=x" }]"#;
    let example = |expected: &str, links: &str| {
        format!("[[test]]\nname = \"t\"\nattributes = {{ member = {refs} }}\n{links}{expected}\n")
    };
    let examples = [
        example(
            "flows = { member = { \"$ref\" = \"CN=Ada,OU=x\" }, description = \"CN=Ada;CN=Guest 2\" }",
            "",
        ),
        example("fails = { member = \"20000 links\" }", "links = { member = 20000 }\n"),
        example("flows = { member = { \"$ref\" = \"CN=Guest 2,OU=x\" } }", ""),
    ];
    files.get_mut(GROUP).unwrap().extend(examples.concat().into_bytes());
    let report = world.service.rule_test(Some(Configuration::parse(files).unwrap())).await.unwrap();
    let failures: Vec<&str> = report
        .failures
        .iter()
        .filter(|failure| failure.test == "t")
        .map(|failure| failure.message.as_str())
        .collect();
    assert_eq!(failures.len(), 1, "only the last one is wrong: {failures:?}");
    assert!(failures[0].contains("CN=Ada,OU=x"), "{failures:?}");
}
