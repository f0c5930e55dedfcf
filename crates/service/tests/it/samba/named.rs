//! Members that a rule chooses by where they lie, in a directory whose links name their targets by anchor: no link of the
//! group is told again when a member, or the container above it, moves.

use onesync_ldap::ChangeKind::Add;
use onesync_service::Configuration;

use super::forest::Forest;

const RULE: &str = "rules/in-from-ad-group-common.toml";

/// Puts a rule in force by which guests are no members.
async fn no_guests(forest: &Forest) {
    let mut files = forest.service.config_files(None).unwrap();
    let file = files.get_mut(RULE).unwrap();
    let text = String::from_utf8(file.clone()).unwrap();
    let (all, chosen) =
        ("member = \"[member]\"", r#"member = 'Where($who, [member], InStr($who, ",OU=Guests,") = 0)'"#);
    assert!(text.contains(all), "{text}");
    *file = text.replace(all, chosen).into_bytes();
    forest.service.apply(Configuration::parse(files).unwrap(), "test").await.unwrap();
}

/// Runs a delta cycle after which these are members in the cloud, and another one that writes nothing.
async fn expect(forest: &Forest, members: &[&str], story: &str) {
    forest.written().await;
    let users = forest.cloud("users");
    let groups = forest.cloud("groups");
    let group = groups.iter().find(|group| group["displayName"] == "Team").unwrap();
    let mut found: Vec<&str> = users
        .iter()
        .filter(|user| group["members"].as_array().into_iter().flatten().any(|id| *id == user["id"]))
        .filter_map(|user| user["displayName"].as_str()?.strip_prefix("Person "))
        .collect();
    found.sort_unstable();
    assert_eq!(found, members, "{story}: {:?}", forest.standing_errors());
    assert_eq!(forest.standing_errors(), Vec::<String>::new(), "{story}");
    let (_, written) = forest.written().await;
    assert_eq!(written, Vec::<String>::new(), "after {story}");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_real_group_are_chosen_by_where_they_lie_now() {
    let containers = ["OU=People", "OU=Guests", "OU=Groups"];
    let Some(mut forest) = Forest::open("named", &containers, &containers).await else { return };
    let mut people = Vec::new();
    for (number, container) in [(0, "OU=People"), (1, "OU=People"), (2, "OU=Guests"), (3, "OU=Guests")] {
        people.push(forest.person(container, &format!("m{number}")).await);
    }
    let team = forest.group("OU=Groups", "Team", &people[..3]).await;
    forest.go_live().await;
    expect(&forest, &["m0", "m1", "m2"], "all members").await;
    no_guests(&forest).await;
    expect(&forest, &["m0", "m1"], "a new rule").await;
    forest.change(&team, Add, "member", &[&people[3]]).await;
    expect(&forest, &["m0", "m1"], "one guest more").await;
    let inside = forest.dn("OU=People");
    forest.rename(&people[2], "CN=Hired", Some(&inside)).await;
    expect(&forest, &["m0", "m1", "m2"], "a guest is hired").await;
    forest.rename(&forest.dn("OU=Guests"), "OU=Staff", None).await;
    expect(&forest, &["m0", "m1", "m2", "m3"], "guests are called staff").await;
    forest.rename(&inside, "OU=Guests", None).await;
    expect(&forest, &["m3"], "people are called guests").await;
    forest.close().await;
}
