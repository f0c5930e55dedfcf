//! Scopes that ask who is a member of a group: whoever joins or leaves it is judged again, and nobody else.

use std::collections::BTreeMap;

use onesync_service::{ConfigCheck, Configuration, RuleView, Step, template};

use crate::insight::preview;
use crate::world::{Person, Setup, World, person};

const VIP: &str = "CN=Vip,OU=Groups,DC=contoso,DC=com";
const SOURCE: &str =
    "name = \"directory\"\nkind = \"ldif\"\nrank = 1\n[settings]\npath = \"../directory.ldif\"\n";

fn people(count: u32) -> Vec<Person> {
    (1..=count).map(|n| person(n, &format!("Person {n}"))).collect()
}

/// The rule that makes members of a group `vip`.
fn vip_if(setup: &mut Setup, operator: &str, group: &str) {
    let clause = format!("{{ operator = \"{operator}\", value = \"{group}\" }}");
    setup.inbound(&format!("[[scope]]\nclauses = [{clause}]\n[flow]\ncompany = {{ constant = \"vip\" }}\n"));
    setup.rules.insert("connectors/source.toml".into(), format!("{SOURCE}[parameters]\nVip = \"{VIP}\"\n"));
}

/// A world of six people with the group `Vip`.
async fn live(members: &[u32], special: impl FnOnce(&mut Setup)) -> World {
    let mut world = World::staging_with(people(6), special).await;
    world.groups.push(("Vip".into(), members.to_vec()));
    world.write();
    world.go_live().await;
    assert_eq!(world.errors(), []);
    world
}

/// Who is `vip` in the cloud.
fn vips(world: &World) -> Vec<u32> {
    (1..=6).filter(|&number| world.in_cloud(number, "companyName") == "vip").collect()
}

fn extra(world: &World, object: &str) -> RuleView {
    let seen = preview(world, "directory", object);
    seen.sources[0].rules.iter().find(|view| view.rule == "Extra").unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_get_what_a_rule_gives_them_whatever_the_group_is_called() {
    for name in [
        "cn=vip, ou=GROUPS, dc=contoso, dc=com",
        "GROUP-0000000001",
        "%Vip%",
        "CN=Vip,OU=Groups,%Domain.LDAP%",
    ] {
        let mut world = live(&[2, 3], |setup| vip_if(setup, "ISMEMBEROF", name)).await;
        assert_eq!(vips(&world), [2, 3], "{name}");
        world.groups[1].1 = vec![3, 4];
        let (_, writes) = world.step().await;
        assert_eq!(vips(&world), [3, 4], "{name}");
        let people = writes.iter().filter(|write| write.starts_with("PATCH /v1.0/users/")).count();
        assert_eq!(people, 2, "nobody else is written: {writes:?}");
    }
    let mut world = live(&[2, 3], |setup| vip_if(setup, "ISNOTMEMBEROF", VIP)).await;
    assert_eq!(vips(&world), [1, 4, 5, 6]);
    world.groups[1].1 = vec![1];
    world.step().await;
    assert_eq!(vips(&world), [2, 3, 4, 5, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_go_with_the_group_and_come_back_with_it() {
    let mut world = live(&[3, 4], |setup| vip_if(setup, "ISMEMBEROF", VIP)).await;
    let expect = async |world: &mut World, wanted: &[u32], story: &str| {
        world.step().await;
        assert_eq!(vips(world), wanted, "{story}");
        assert_eq!((world.errors(), world.step().await.1), (vec![], Vec::<String>::new()), "after {story}");
    };
    world.groups[1].0 = "Others".into();
    expect(&mut world, &[], "under another name it is another group").await;
    world.groups[1].0 = "Vip".into();
    expect(&mut world, &[3, 4], "and under its own this one again").await;
    let vip = world.groups.remove(1);
    expect(&mut world, &[], "it is deleted").await;
    world.groups.push(vip);
    expect(&mut world, &[3, 4], "it is there again").await;
    world.person(4).name = "Person Married".into();
    expect(&mut world, &[3, 4], "a member is renamed").await;
    world.groups[1] = ("Others".into(), vec![3]);
    expect(&mut world, &[], "renamed, and a member gone, at once").await;
    world.groups[1] = ("Vip".into(), vec![5, 6]);
    expect(&mut world, &[5, 6], "renamed, and all members new, at once").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_may_be_known_later_than_the_group_that_names_it() {
    let mut world = World::staging_with(people(6), |setup| vip_if(setup, "ISMEMBEROF", VIP)).await;
    world.groups.push(("Vip".into(), vec![5, 6]));
    world.write();
    let whole = std::fs::read_to_string(world.ldif()).unwrap();
    let without: Vec<&str> = whole.split("\n\n").filter(|text| !text.contains("u5@contoso.com")).collect();
    std::fs::write(world.ldif(), without.join("\n\n")).unwrap();
    world.go_live().await;
    assert_eq!(vips(&world), [6]);
    world.step().await;
    assert_eq!((vips(&world), world.errors()), (vec![5, 6], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_two_turns_is_a_member_in_both() {
    let world = live(&[2, 3], |setup| vip_if(setup, "ISMEMBEROF", VIP)).await;
    let whole = std::fs::read_to_string(world.ldif()).unwrap();
    let entry = whole.split("\n\n").find(|text| text.contains("u3@contoso.com")).unwrap();
    let other = entry.replace("objectClass: user", "objectClass: contact");
    assert_ne!(entry, other);
    // It is of another type for one import, and nothing is synchronised before the next one.
    for text in [whole.replace(entry, &other), whole.clone()] {
        std::fs::write(world.ldif(), text).unwrap();
        world.service.run_step("directory", Step::FullImport, &|_| ()).await.unwrap();
    }
    let (_, writes) = world.step().await;
    assert_eq!((vips(&world), writes), (vec![2, 3], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_becomes_a_member_leaves_and_who_ceases_to_be_one_comes() {
    let join = "rules/in-from-ad-user-join.toml";
    let clause = "{ attribute = \"isCriticalSystemObject\", operator = \"NOTEQUAL\", value = \"TRUE\" },";
    let mut world = live(&[2], |setup| {
        let text = template("single-forest", "ldif").unwrap()[join].clone();
        let more = format!("{clause}\n  {{ operator = \"ISNOTMEMBEROF\", value = \"{VIP}\" }},");
        assert!(text.contains(clause));
        setup.rules.insert(join.into(), text.replace(clause, &more));
    })
    .await;
    assert_eq!(world.cloud_users().await, 5);
    assert_eq!(world.cloud_members("Everyone").len(), 5);
    world.groups[1].1 = vec![3];
    let (report, _) = world.step().await;
    assert_eq!((report.exported.add, world.in_cloud(3, "accountEnabled")), (1, false.into()));
    world.step().await;
    assert!(world.cloud_members("Everyone").contains(&"u2@contoso.com".to_owned()));
    world.groups[1].1 = vec![];
    world.step().await;
    assert_eq!(world.in_cloud(3, "accountEnabled"), true);
    assert_eq!((world.cloud_users().await, world.errors()), (6, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_say_who_is_a_member_and_why_not() {
    let mut world = live(&[2], |setup| vip_if(setup, "ISMEMBEROF", VIP)).await;
    let words = |world: &World, object: &str| {
        let rule = extra(world, object);
        (rule.in_scope, rule.groups[0][0].words())
    };
    let (inside, text) = words(&world, "u2@contoso.com");
    assert_eq!((inside, text), (Some(true), format!("ISMEMBEROF {VIP}: it is a direct member")));
    let (inside, text) = words(&world, "u5@contoso.com");
    let in_all = "it is no direct member: it is in `CN=Everyone,OU=Groups,DC=contoso,DC=com`";
    assert_eq!((inside, text), (Some(false), format!("ISMEMBEROF {VIP}: {in_all}")));
    world.groups[0].1 = vec![];
    world.groups[1].0 = "Others".into();
    world.step().await;
    let (_, text) = words(&world, "u5@contoso.com");
    assert_eq!(text, format!("ISMEMBEROF {VIP}: it is no member: `directory` has no such group"));
    world.groups[1].0 = "Vip".into();
    world.step().await;
    let (_, text) = words(&world, "u5@contoso.com");
    assert_eq!(text, format!("ISMEMBEROF {VIP}: it is no direct member: it is in no group"));
}

async fn check(world: &World, group: &str) -> ConfigCheck {
    let changed = world.changed("rules/extra.toml", VIP, group);
    world.service.check(changed).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_names_a_group_that_nobody_has_seen_and_a_name_that_is_none() {
    let world = live(&[2], |setup| vip_if(setup, "ISMEMBEROF", VIP)).await;
    let about = |check: &ConfigCheck, group: &str| -> Vec<String> {
        check.messages.iter().filter(|text| text.contains(group)).cloned().collect()
    };
    for known in [VIP, "group-0000000001", "%Vip%"] {
        let found = check(&world, known).await;
        assert_eq!((found.errors, about(&found, "Vip")), (0, vec![]), "{known}");
    }
    let found = check(&world, "CN=Vips,OU=Groups,DC=contoso,DC=com").await;
    let warnings = about(&found, "CN=Vips");
    assert_eq!((found.errors, warnings.len()), (0, 1), "{:?}", found.messages);
    assert!(warnings[0].starts_with("warning: rules/extra.toml:9: rule `Extra` asks"), "{warnings:?}");
    let found = check(&world, "CN=Vip,,DC=contoso,DC=com").await;
    let errors = about(&found, "names no group");
    assert_eq!((found.errors, errors.len()), (1, 1), "{:?}", found.messages);
    assert!(errors[0].contains("extra.toml:9:"), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_of_a_rule_say_whose_member_somebody_is() {
    let world = live(&[], |setup| vip_if(setup, "ISMEMBEROF", VIP)).await;
    let mut files: BTreeMap<String, Vec<u8>> = world.service.config_files(None).unwrap();
    let text = |member_of: &str, in_scope: bool| {
        format!("[[test]]\nname = \"t\"\nmember_of = [{member_of}]\nin_scope = {in_scope}\n")
    };
    let examples =
        [text("\"cn=vip,ou=groups,dc=contoso,dc=com\"", true), text("", false), text("\"CN=Other\"", true)];
    files.get_mut("rules/extra.toml").unwrap().extend(examples.concat().into_bytes());
    let report = world.service.rule_test(Some(Configuration::parse(files).unwrap())).await.unwrap();
    let failures: Vec<&str> = report.failures.iter().map(|failure| failure.message.as_str()).collect();
    assert_eq!(failures, ["it is out of scope"], "only the last one is wrong");
}
