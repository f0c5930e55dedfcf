//! Scopes that ask who is a member of a group, in a directory whose links name their targets by anchor.

use onesync_ldap::ChangeKind::{Add, Delete};
use onesync_service::Configuration;

use super::forest::Forest;

/// Puts a rule in force that makes members of a group `vip`.
async fn vip_if_member_of(forest: &Forest, group: &str) {
    let mut files = forest.service.config_files(None).unwrap();
    let rule = format!(
        "name = \"Vip\"\ndirection = \"inbound\"\nconnector = \"contoso.test\"\nobject = \"user\"\n\
         metaverse = \"person\"\nlink = \"join\"\nprecedence = 10\n[[scope]]\n\
         clauses = [{{ attribute = \"memberOf\", operator = \"ISMEMBEROF\", value = \"{group}\" }}]\n\
         [flow]\ncompany = {{ constant = \"vip\" }}\n"
    );
    files.insert("rules/vip.toml".into(), rule.into_bytes());
    let (_, check) = forest.service.apply(Configuration::parse(files).unwrap(), "test").await.unwrap();
    let unknown: Vec<&String> = check.messages.iter().filter(|text| text.contains("no such group")).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Runs a delta cycle after which these are `vip` in the cloud, and another one that writes nothing.
async fn expect(forest: &Forest, vips: &[&str], story: &str) {
    forest.written().await;
    let users = forest.cloud("users");
    let mut found: Vec<&str> = users
        .iter()
        .filter(|user| user["companyName"] == "vip")
        .filter_map(|user| user["displayName"].as_str()?.strip_prefix("Person "))
        .collect();
    found.sort_unstable();
    assert_eq!(found, vips, "{story}: {:?}", forest.standing_errors());
    assert_eq!(forest.standing_errors(), Vec::<String>::new(), "{story}");
    let (_, written) = forest.written().await;
    assert_eq!(written, Vec::<String>::new(), "after {story}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_and_leaves_a_group_of_a_real_domain_is_judged_again() {
    let containers = ["OU=People", "OU=Groups"];
    let Some(mut forest) = Forest::open("vip", &containers, &containers).await else { return };
    let mut people = Vec::new();
    for number in 0..5 {
        people.push(forest.person("OU=People", &format!("m{number}")).await);
    }
    let vip = forest.group("OU=Groups", "Vip", &people[..2]).await;
    forest.go_live().await;
    vip_if_member_of(&forest, &vip).await;
    expect(&forest, &["m0", "m1"], "a new rule").await;
    forest.change(&vip, Add, "member", &[&people[2]]).await;
    forest.change(&vip, Delete, "member", &[&people[0]]).await;
    expect(&forest, &["m1", "m2"], "one member more, one less").await;
    forest.rename(&people[2], "CN=Married", None).await;
    expect(&forest, &["m1", "m2"], "a member is renamed").await;
    forest.rename(&vip, "CN=Others", None).await;
    expect(&forest, &[], "the group is renamed").await;
    forest.rename(&forest.dn("CN=Others,OU=Groups"), "CN=Vip", None).await;
    expect(&forest, &["m1", "m2"], "and renamed back").await;
    forest.rename(&forest.dn("OU=Groups"), "OU=Gruppen", None).await;
    expect(&forest, &[], "the container of the group is renamed").await;
    let moved = forest.dn("CN=Vip,OU=Gruppen");
    vip_if_member_of(&forest, &moved).await;
    expect(&forest, &["m1", "m2"], "the rule follows").await;
    let digits: Vec<String> = forest.guid(&moved).await.iter().map(|byte| format!("{byte:02x}")).collect();
    let [a, b, c, d, e, f, g, h, rest @ ..] = digits.as_slice() else { panic!("{digits:?}") };
    let guid = format!("{d}{c}{b}{a}-{f}{e}-{h}{g}-{}-{}", rest[..2].concat(), rest[2..].concat());
    vip_if_member_of(&forest, &guid).await;
    expect(&forest, &["m1", "m2"], "the group by its GUID").await;
    forest.rename(&moved, "CN=Others", None).await;
    expect(&forest, &["m1", "m2"], "a GUID stays").await;
    forest.client.delete(&forest.dn("CN=Others,OU=Gruppen"), Vec::new()).await.unwrap();
    expect(&forest, &[], "the group is deleted").await;
    forest.close().await;
}
