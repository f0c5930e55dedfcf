//! How single values and objects behave: errors on purpose, failing scopes, what is kept, applied once, or due later.

use onesync_service::{Clock as _, Status, template};
use serde_json::Value as Json;

use crate::world::{Person, Setup, World, person};

fn people(count: u32) -> Vec<Person> {
    (1..=count).map(|n| person(n, &format!("Person {n}"))).collect()
}

async fn live(special: impl FnOnce(&mut Setup)) -> World {
    let mut world = World::staging_with(people(12), special).await;
    world.go_live().await;
    assert_eq!(world.errors(), []);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_on_purpose_inbound_withholds_every_change_of_the_object() {
    let mut world = live(|setup| {
        setup
            .inbound("[flow]\ninfo = 'IIF([department] = \"Forbidden\", Error(\"not this one\"), [info])'\n");
    })
    .await;
    let before = world.in_metaverse("u2@contoso.com", "displayName");
    for number in [2, 3] {
        world.person(number).name = format!("Renamed {number}");
    }
    world.person(2).department = "Forbidden".into();
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes.len()), (Some(Status::ObjectErrors), 1), "{writes:?}");
    assert_eq!(world.in_metaverse("u2@contoso.com", "displayName"), before);
    assert_eq!(world.in_cloud(3, "displayName"), "Renamed 3");
    let errors = world.errors();
    assert!(errors.len() == 1 && errors[0].1.contains("not this one"), "{errors:?}");
    world.person(2).department = "Allowed".into();
    let (_, writes) = world.step().await;
    assert_eq!((writes.len(), world.errors().len()), (1, 0));
    assert_eq!(world.in_cloud(2, "displayName"), "Renamed 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_on_purpose_outbound_withholds_what_is_written_and_nothing_else() {
    let mut world = World::new(people(12)).await;
    let flow = "jobTitle = \"IIF(IsNullOrEmpty([title]), NULL, Left(Trim([title]), 128))\"";
    let raising = "jobTitle = 'IIF([department] = \"Forbidden\", Error(\"not this one\"), [title])'";
    world.reconfigure("rules/out-to-entra-user-profile.toml", flow, raising).await;
    world.person(2).name = "Renamed 2".into();
    world.person(2).department = "Forbidden".into();
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes), (Some(Status::ObjectErrors), Vec::new()));
    assert_eq!(world.in_metaverse("u2@contoso.com", "displayName"), "Renamed 2", "the other side goes on");
    assert_eq!(world.in_cloud(2, "displayName"), "Person 2");
    // What has nothing to do with it does not take the error back.
    world.lines(2, "adminDescription: something\n");
    world.step().await;
    assert_eq!(world.errors().len(), 1, "{:?}", world.errors());
    world.person(2).department = "Allowed".into();
    let (_, writes) = world.step().await;
    assert_eq!(
        (writes.len(), world.errors().len(), world.in_cloud(2, "displayName")),
        (1, 0, "Renamed 2".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_lets_nobody_empty_stays_where_rules_give_nothing() {
    let mut world = live(|setup| {
        setup.lines.insert(2, "mailNickname: two\nmsExchUsageLocation: DE\n".into());
        let out = "rules/out-to-entra-user-identity.toml";
        let mut text = template("single-forest", "ldif").unwrap()[out].clone();
        let start = text.find("mailNickname = '''").unwrap();
        let end = start + text[start..].find("\nmanager").unwrap();
        text.replace_range(
            start..end,
            "mailNickname = \"[mailNickname]\"\nusageLocation = \"[usageLocation]\"",
        );
        setup.rules.insert(out.to_owned(), text);
    })
    .await;
    let both = |world: &World| (world.in_cloud(2, "mailNickname"), world.in_cloud(2, "usageLocation"));
    assert_eq!(both(&world), ("two".into(), "DE".into()));
    assert_eq!(world.in_cloud(3, "mailNickname"), "u3", "made by the connector; the rules give none");
    let (_, writes) = world.step().await;
    assert_eq!((writes, world.errors()), (vec![], vec![]));
    // The values go at the source: they stay in the tenant, as nobody can empty them there.
    world.lines(2, "");
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes, world.errors()), (Some(Status::Done), vec![], vec![]));
    assert_eq!(both(&world), ("two".into(), "DE".into()));
    let runtime = world.service.runtime().unwrap();
    let seen = world
        .service
        .preview(&runtime, runtime.connector("directory").unwrap(), "u2@contoso.com", None)
        .unwrap();
    let target = seen.targets.iter().find(|target| target.connector == "entra").unwrap();
    let alias = target.attributes.iter().find(|view| view.attribute == "mailNickname").unwrap();
    assert_eq!((alias.planned, &alias.after), (Some("never emptied"), &"two".into()));
    // Another value is written.
    world.lines(2, "mailNickname: zwei\n");
    let (_, writes) = world.step().await;
    assert_eq!((writes.len(), both(&world)), (1, ("zwei".into(), "DE".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_fails_changes_no_link() {
    let mut world = live(|_| ()).await;
    // What the bit is looked up in is no number for person 2 from now on.
    let clause = "{ attribute = \"adminDescription\", operator = \"NOTSTARTSWITH\", value = \"User_\" },";
    let failing =
        format!("{clause}\n  {{ attribute = \"info\", operator = \"ISBITNOTSET\", value = \"2\" }},");
    for number in 1..=12 {
        world.lines(number, "info: 1\n");
    }
    world.step().await;
    world.reconfigure("rules/in-from-ad-user-join.toml", clause, &failing).await;
    let (_, writes) = world.step().await;
    assert_eq!((writes, world.errors()), (vec![], vec![]));
    world.lines(2, "info: not a number\n");
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes), (Some(Status::ObjectErrors), Vec::new()));
    assert_eq!(world.state_of("directory", "Person 2"), "joined");
    let errors = world.errors();
    assert!(errors.len() == 1 && errors[0].0 == "scope-failed", "{errors:?}");
    // A newcomer whose scope fails waits, and joins nothing.
    world.people.push(person(13, "Newcomer"));
    world.lines(13, "info: none\n");
    let (_, writes) = world.step().await;
    assert_eq!((writes, world.errors().len()), (vec![], 2));
    assert_eq!(world.state_of("directory", "Newcomer"), "disconnector");
    world.lines(2, "info: 1\n");
    world.lines(13, "info: 1\n");
    let (_, writes) = world.step().await;
    assert_eq!((writes, world.errors()), (vec!["POST /v1.0/users".to_owned()], vec![]));
    // The bit is set: now the scope says no, and the person leaves.
    world.lines(2, "info: 2\n");
    world.step().await;
    assert_eq!(world.in_cloud(2, "accountEnabled"), false);
}

#[tokio::test(flavor = "multi_thread")]
async fn ignore_this_flow_keeps_what_is_there_and_what_is_applied_once_stays() {
    let mut world = live(|setup| {
        setup.inbound(
            "[flow]\ntitle = 'IIF([info] = \"keep\", IgnoreThisFlow, [info])'\ncompany = { expr = \"[info]\", once = true }\n",
        );
        setup.lines.insert(2, "info: first\n".into());
    })
    .await;
    let both = |world: &World| (world.in_cloud(2, "jobTitle"), world.in_cloud(2, "companyName"));
    assert_eq!(both(&world), ("first".into(), "first".into()));
    world.lines(2, "info: second\n");
    world.step().await;
    assert_eq!(both(&world), ("second".into(), "first".into()));
    world.lines(2, "info: keep\n");
    let (_, writes) = world.step().await;
    assert_eq!((writes, both(&world)), (vec![], ("second".into(), "first".into())));
    // A full synchronisation asks again, and hears the same.
    world.cycle(onesync_service::CycleKind::Initial).await;
    assert_eq!(both(&world), ("second".into(), "first".into()));
    world.lines(2, "");
    world.step().await;
    assert_eq!(both(&world), (Json::Null, "first".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_depends_on_the_time_changes_when_its_time_comes() {
    let mut world = live(|setup| {
        setup.inbound("[flow]\ntitle = 'IIF(Now() > CDate([info]), \"past\", \"to come\")'\n");
        (1..=12).for_each(|n| _ = setup.lines.insert(n, "info: 2001-01-01\n".into()));
    })
    .await;
    let tomorrow = world.clock.now().plus_seconds(86_400).to_string();
    world.lines(2, &format!("info: {tomorrow}\n"));
    world.step().await;
    assert_eq!(
        (world.in_cloud(2, "jobTitle"), world.in_cloud(3, "jobTitle")),
        ("to come".into(), "past".into())
    );
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
    world.clock.advance_seconds(86_400);
    let (_, writes) = world.step().await;
    assert_eq!(
        (writes.len(), world.in_cloud(2, "jobTitle")),
        (1, "past".into()),
        "nothing changed but the time"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_another_type_at_the_source_is_the_same_person_or_leaves() {
    let world = World::new(people(12)).await;
    let before = world.in_cloud(2, "id");
    let retype = |world: &World, to: &str| {
        let text = std::fs::read_to_string(world.ldif()).unwrap();
        let from = "dn: CN=Person 2,OU=People,DC=contoso,DC=com\nobjectClass: user\n";
        assert!(text.contains(from));
        std::fs::write(world.ldif(), text.replace(from, &from.replace("user\n", &format!("{to}\n"))))
            .unwrap();
    };
    // Another kind of user, under the same rules: nothing to write.
    world.write();
    retype(&world, "inetOrgPerson");
    let mark = world.sim.log_mark();
    world.cycle(onesync_service::CycleKind::Delta).await;
    assert_eq!((world.sim.changes(mark).len(), world.errors()), (0, vec![]));
    // A contact signs in nowhere: the account goes as that of anybody who leaves.
    world.write();
    retype(&world, "contact");
    world.cycle(onesync_service::CycleKind::Delta).await;
    assert_eq!(world.in_cloud(2, "accountEnabled"), false, "{:?}", world.errors());
    // And comes back with the user.
    world.step().await;
    assert_eq!((world.in_cloud(2, "accountEnabled"), world.in_cloud(2, "id")), (true.into(), before));
    assert_eq!(world.errors(), []);
    world.clock.advance_seconds(40 * 86_400);
    let (report, _) = world.step().await;
    assert_eq!((report.exported.delete, world.cloud_users().await), (0, 12));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_twice_in_one_import_stays_as_it_is_until_it_comes_once() {
    // More than one page of entries.
    let mut world = World::staging(people(1_100)).await;
    world.groups[0].1 = vec![1, 2, 3];
    world.write();
    world.go_live().await;
    let (name, members) = (world.in_cloud(5, "displayName"), world.cloud_members("Everyone"));
    assert_eq!(members.len(), 3, "{members:?}");
    let once = std::fs::read_to_string(world.ldif()).unwrap();
    let entry = |dn: &str| {
        let from = once.find(&format!("dn: CN={dn},")).unwrap();
        let rest = &once[from..];
        rest[..rest.find("\n\n").unwrap() + 2].to_owned()
    };
    // The first sight of both differs from what was there, and their second comes at the end of the file.
    let (first, group) = (entry("Person 5"), entry("Everyone"));
    let changed = once.replace("displayName: Person 5\n", "displayName: Somebody Else\n");
    let changed = changed.replace("member: CN=Person 2,OU=People,DC=contoso,DC=com\n", "");
    std::fs::write(world.ldif(), format!("{changed}{first}{group}")).unwrap();
    for kind in [onesync_service::CycleKind::Delta, onesync_service::CycleKind::Initial] {
        let mark = world.sim.log_mark();
        let report = world.cycle(kind).await;
        assert_eq!(
            (report.status, world.sim.changes(mark).len()),
            (Some(Status::ObjectErrors), 0),
            "{kind:?}"
        );
        assert_eq!(world.in_cloud(5, "displayName"), name);
        let codes: Vec<String> = world.errors().into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, ["duplicate-object", "duplicate-object"]);
    }
    // Each once again, as first seen: now it counts.
    std::fs::write(world.ldif(), &changed).unwrap();
    world.cycle(onesync_service::CycleKind::Delta).await;
    assert_eq!(world.errors(), []);
    assert_eq!(world.in_cloud(5, "displayName"), "Somebody Else");
    assert_eq!(world.cloud_members("Everyone"), ["u1@contoso.com", "u3@contoso.com"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_twice_and_then_not_at_all_has_left() {
    let world = live(|_| {}).await;
    let once = std::fs::read_to_string(world.ldif()).unwrap();
    let from = once.find("dn: CN=Person 5,").unwrap();
    let length = once[from..].find("\n\n").unwrap() + 2;
    std::fs::write(world.ldif(), format!("{once}{}", &once[from..from + length])).unwrap();
    world.cycle(onesync_service::CycleKind::Delta).await;
    assert_eq!(world.errors().len(), 1);
    assert_eq!(world.in_cloud(5, "accountEnabled"), true);
    std::fs::write(world.ldif(), once.replace(&once[from..from + length], "")).unwrap();
    world.cycle(onesync_service::CycleKind::Delta).await;
    assert_eq!(world.errors(), []);
    assert_eq!(world.in_cloud(5, "accountEnabled"), false);
}
