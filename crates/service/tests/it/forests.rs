//! Several forests in one metaverse: who joins whom, and whose values count.

use crate::world::{Person, World, person, sid};

fn people(count: u32) -> Vec<Person> {
    (1..=count).map(|n| person(n, &format!("Person {n}"))).collect()
}

/// A linked mailbox of an account in the other forest.
fn linked_mailbox(master: u32) -> String {
    format!(
        "dn: CN=Mailbox {master},OU=Mail,DC=resource,DC=com\nobjectClass: user\nobjectGUID: linked-{master:09}\n\
         objectSid:: {}\nmsExchMasterAccountSid:: {}\nmsExchRecipientTypeDetails: 2\ncn: Mailbox {master}\n\
         displayName: Mailbox {master}\nsAMAccountName: m{master}\nmailNickname: box{master}\n\
         mail: box{master}@contoso.com\nuserPrincipalName: m{master}@resource.com\nuserAccountControl: 514\n\n",
        sid(7_000 + master),
        sid(master)
    )
}

/// What a forest keeps of a foreign account that is in one of its groups.
fn foreign_principal(of: u32) -> String {
    format!(
        "dn: CN=S-1-5-21-1-2-3-{of},CN=ForeignSecurityPrincipals,DC=resource,DC=com\n\
         objectClass: foreignSecurityPrincipal\nobjectGUID: foreign-{of:08}\ncn: S-1-5-21-1-2-3-{of}\n\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_and_its_linked_mailbox_are_one_person_by_the_sid() {
    let mut world = World::staging_with(people(4), |setup| {
        setup.second_forest("account-resource", &linked_mailbox(2));
    })
    .await;
    world.go_live().await;
    assert_eq!(world.errors(), []);
    assert_eq!(world.cloud_users().await, 4, "the mailbox is nobody of its own");
    assert_eq!(world.state_of("other", "Mailbox 2"), "joined");
    assert_eq!(world.in_cloud(2, "accountEnabled"), true, "of two accounts the enabled one counts");
    assert_eq!(
        world.in_cloud(2, "mailNickname"),
        "box2",
        "what Exchange keeps comes from the resource forest"
    );
    // The mailbox goes: the person stays, with what the account gives.
    world.write_other("");
    let (report, _) = world.step().await;
    assert_eq!((report.exported.add, report.exported.delete), (0, 0));
    assert_eq!((world.cloud_users().await, world.in_cloud(2, "accountEnabled")), (4, true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_principal_and_a_linked_mailbox_of_one_forest_join_one_person() {
    let group = "dn: CN=Team,OU=Groups,DC=resource,DC=com\nobjectClass: group\nobjectGUID: team-00000000001\n\
        cn: Team\ndisplayName: Team\nsAMAccountName: team\ngroupType: -2147483646\n\
        member: CN=S-1-5-21-1-2-3-2,CN=ForeignSecurityPrincipals,DC=resource,DC=com\n\n";
    let mut world = World::staging_with(people(4), |setup| {
        let all = [linked_mailbox(2), foreign_principal(2), group.to_owned()].concat();
        setup.second_forest("account-resource", &all);
    })
    .await;
    world.go_live().await;
    assert_eq!(world.errors(), []);
    for name in ["Mailbox 2", "S-1-5-21-1-2-3-2"] {
        assert_eq!(world.state_of("other", name), "joined", "{name}");
    }
    assert_eq!(world.cloud_users().await, 4);
    assert_eq!(world.cloud_members("Team"), ["u2@contoso.com"], "a member by its foreign principal");
    // A second mailbox of the same account is a rival, though: same forest, same type, same person.
    let second = linked_mailbox(2).replace("Mailbox 2", "Mailbox B").replace("linked-", "rival--");
    let second = second.replace(&sid(7_002), &sid(7_099));
    world.write_other(&[linked_mailbox(2), second, foreign_principal(2), group.to_owned()].concat());
    let (_, writes) = world.step().await;
    let errors = world.errors();
    assert_eq!((writes.len(), errors.len()), (0, 1), "{writes:?} {errors:?}");
    assert!(errors[0].0 == "place-taken" && errors[0].1.contains("Mailbox B"), "{errors:?}");
}

/// An account in the second forest with the mail address of a person in the first.
fn same_mail(number: u32, lines: &str) -> String {
    format!(
        "dn: CN=Also {number},OU=People,DC=fabrikam,DC=com\nobjectClass: user\nobjectGUID: also-{number:011}\n\
         objectSid:: {}\ncn: Also {number}\ndisplayName: Also {number}\nsAMAccountName: also{number}\n\
         mail: u{number}@contoso.com\nuserAccountControl: 512\n{lines}\n",
        sid(8_000 + number)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_contribution_falls_back_to_the_next_contributor_and_comes_back() {
    let other = same_mail(2, "department: Elsewhere\ntitle: Clerk\n");
    let mut world =
        World::staging_with(people(4), |setup| setup.second_forest("multi-forest-mail", &other)).await;
    world.go_live().await;
    assert_eq!((world.errors(), world.cloud_users().await), (vec![], 4));
    assert_eq!(world.in_cloud(2, "department"), "Sales", "the forest of the better rank");
    assert_eq!(world.in_cloud(2, "jobTitle"), "Clerk", "what it does not give comes from the other");
    world.person(2).department = String::new();
    let (_, writes) = world.step().await;
    assert_eq!((writes.len(), world.in_cloud(2, "department")), (1, "Elsewhere".into()));
    world.person(2).department = "Research".into();
    let (_, writes) = world.step().await;
    assert_eq!((writes.len(), world.in_cloud(2, "department")), (1, "Research".into()));
    // The other forest's account goes: what only it gave goes with it.
    world.write_other("");
    let (_, writes) = world.step().await;
    assert_eq!((writes.len(), world.in_cloud(2, "jobTitle")), (1, serde_json::Value::Null));
    assert_eq!((world.cloud_users().await, world.in_cloud(2, "department")), (4, "Research".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_the_scope_stays_joined_without_flow_where_it_is_so_configured() {
    for stay in [true, false] {
        let other = same_mail(2, "department: Elsewhere\nuserPrincipalName: u2@contoso.com\n");
        let mut world =
            World::staging_with(people(4), |setup| setup.second_forest("multi-forest-mail", &other)).await;
        if stay {
            world
                .reconfigure("connectors/source.toml", "rank = 1\n", "rank = 1\nout_of_scope = \"stay\"\n")
                .await;
        }
        world.go_live().await;
        assert_eq!((world.errors(), world.cloud_users().await), (vec![], 4));
        world.leave_scope(2);
        world.step().await;
        let state = if stay { "joined" } else { "disconnector" };
        assert_eq!(world.state_of("directory", "Person 2"), state);
        assert_eq!(world.in_cloud(2, "department"), "Elsewhere", "nothing flows from it");
        assert_eq!(world.in_cloud(2, "accountEnabled"), true);
        let id = world.in_cloud(2, "id");
        world.lines(2, "");
        world.step().await;
        assert_eq!(world.state_of("directory", "Person 2"), "joined");
        assert_eq!((world.in_cloud(2, "department"), world.in_cloud(2, "id")), ("Sales".into(), id));
        assert_eq!(world.errors(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_entry_gave_that_comes_twice_stays_while_others_go_on() {
    let account = |title: &str| same_mail(2, &format!("department: Elsewhere\ntitle: {title}\n"));
    // Others between the two: in one page with the first, or pages behind it.
    for between in [0, 1_100] {
        let others: String = (0..between)
            .map(|n| {
                format!(
                    "dn: CN=Thing {n},DC=fabrikam,DC=com\nobjectClass: contact\nobjectGUID: thing-{n:010}\n\n"
                )
            })
            .collect();
        let other = [account("Clerk"), others.clone()].concat();
        let mut world =
            World::staging_with(people(4), |setup| setup.second_forest("multi-forest-mail", &other)).await;
        world.go_live().await;
        assert_eq!((world.errors(), world.in_cloud(2, "jobTitle")), (vec![], "Clerk".into()));

        // Neither entry is as it was, and the first one would not even join.
        let stranger = account("Chief").replace("u2@contoso.com", "someone@contoso.com");
        world.write_other(&[stranger, others.clone(), account("Boss")].concat());
        world.person(2).department = "Research".into();
        world.step().await;
        let codes: Vec<String> = world.errors().into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, ["duplicate-object"]);
        assert_eq!(world.state_of("other", "Also 2"), "joined, conflict");
        assert_eq!(world.in_cloud(2, "department"), "Research", "the other forest goes on");
        assert_eq!(world.in_cloud(2, "jobTitle"), "Clerk", "what only the frozen one gave stays");

        // Whoever is disabled is disabled at once, whatever else is unclear about the person.
        world.person(2).enabled = false;
        world.step().await;
        assert_eq!(world.in_cloud(2, "accountEnabled"), false);
        assert_eq!(world.in_cloud(2, "jobTitle"), "Clerk");

        world.person(2).enabled = true;
        world.write_other(&[account("Boss"), others].concat());
        world.step().await;
        assert_eq!((world.errors(), world.in_cloud(2, "jobTitle")), (vec![], "Boss".into()));
    }
}

/// A rule of the second forest that is asked before all others for a title.
fn says_of_titles(setup: &mut crate::world::Setup) {
    let rule = "name = \"Says\"\ndirection = \"inbound\"\nconnector = \"other\"\nobject = \"user\"\n\
        metaverse = \"person\"\nlink = \"join\"\nprecedence = 10\n[flow]\n\
        title = 'IIF([info] = \"private\", AuthoritativeNull, IIF([info] = \"stop\", Error(\"stopped\"), NULL))'\n";
    setup.rules.insert("rules/says.toml".into(), rule.into());
    setup.lines.insert(2, "title: Agent\n".into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_entry_kept_back_that_comes_twice_stays_back() {
    let private = same_mail(2, "info: private\n");
    let mut world = World::staging_with(people(4), |setup| {
        setup.second_forest("multi-forest-mail", &private);
        says_of_titles(setup);
    })
    .await;
    world.go_live().await;
    assert_eq!((world.errors(), world.in_cloud(2, "jobTitle")), (vec![], serde_json::Value::Null));
    let twice = |entry: &str| [entry, entry].concat();
    world.write_other(&twice(&private));
    world.person(2).department = "Research".into();
    world.step().await;
    assert_eq!(world.state_of("other", "Also 2"), "joined, conflict");
    assert_eq!(world.in_cloud(2, "department"), "Research", "what it does not give goes on");
    assert_eq!(world.in_cloud(2, "jobTitle"), serde_json::Value::Null, "what was private is so still");
    world.write_other(&same_mail(2, ""));
    world.step().await;
    assert_eq!((world.errors(), world.in_cloud(2, "jobTitle")), (vec![], "Agent".into()));

    // Error() of an object withholds everything; so it does while nobody knows which of two entries counts.
    let stop = same_mail(2, "info: stop\n");
    world.write_other(&stop);
    world.person(2).department = "Law".into();
    world.step().await;
    assert_eq!(world.in_cloud(2, "department"), "Research");
    world.write_other(&twice(&stop));
    world.person(2).department = "Press".into();
    world.step().await;
    assert_eq!(world.state_of("other", "Also 2"), "joined, conflict");
    assert_eq!(world.in_cloud(2, "department"), "Research", "nothing of it changes");
    world.write_other(&same_mail(2, ""));
    world.step().await;
    assert_eq!((world.errors(), world.in_cloud(2, "department")), (vec![], "Press".into()));
}
