//! `preview` is the sync: what it says is what the next sync does, and it writes nothing.

use onesync_service::{CycleKind, Step, Supposed};
use serde_json::json;

use super::{at, preview};
use crate::world::{World, person, sid};

fn dn(name: &str) -> String {
    format!("CN={name},OU=People,DC=contoso,DC=com")
}

/// Imports the directory, and nothing else.
async fn import(world: &World) {
    world.write();
    world.clock.advance_seconds(60);
    world.service.run_step("directory", Step::FullImport, &|_| ()).await.unwrap();
}

async fn sync(world: &World) {
    world.service.run_step("directory", Step::DeltaSync, &|_| ()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_of_a_newcomer_comes_true_and_nothing_is_written() {
    let mut world = World::new(vec![person(1, "Ada Adams"), person(2, "Ben Brown")]).await;
    world.people.push(person(3, "Cleo Clark"));
    world.groups[0].1.push(3);
    import(&world).await;
    let before = world.service.dump().unwrap();
    let seen = preview(&world, "directory", &dn("Cleo Clark"));
    assert_eq!(world.service.dump().unwrap(), before, "a preview writes nothing");
    assert_eq!(seen.object.state, "disconnector");
    let source = &seen.sources[0];
    assert_eq!(source.place.result, "creates", "{:#?}", source.place);
    assert!(source.place.steps.iter().any(|step| step.result == "no-match"), "{:#?}", source.place);
    let scope = |rule: &str| source.rules.iter().find(|view| view.rule == rule).unwrap();
    assert_eq!(scope("In from AD - User Join").in_scope, Some(true));
    assert_eq!(seen.metaverse.len(), 1);
    assert_eq!(seen.metaverse[0].change, "new");
    let cloud = at(&seen, "entra");
    assert_eq!(cloud.place.result, "creates");
    let pending = cloud.pending.clone().unwrap();
    assert_eq!(pending.operation, "add");
    let value = |name: &str| pending.values.iter().find(|value| value.attribute == name).unwrap();
    assert_eq!(value("userPrincipalName").after, json!("u3@contoso.com"));
    assert!(value("userPrincipalName").rule.as_deref().is_some_and(|rule| rule.starts_with("Out to")));
    assert_eq!(cloud.links.len(), 1, "the group gets its new member: {:#?}", cloud.links);
    assert_eq!((cloud.links[0].operation, cloud.links[0].object.as_str()), ("add", "Everyone"));

    // The sync does what was said.
    sync(&world).await;
    let runtime = world.service.runtime().unwrap();
    let shown = world.service.show(&runtime, "u3@contoso.com").unwrap();
    let now: std::collections::BTreeMap<_, _> =
        shown.attributes.iter().map(|(name, view)| (name.clone(), view.value.clone())).collect();
    let said: std::collections::BTreeMap<_, _> = seen.metaverse[0]
        .attributes
        .iter()
        .filter(|view| !view.after.is_null() && !view.after.to_string().contains("links"))
        .map(|view| (view.attribute.clone(), view.after.clone()))
        .collect();
    assert_eq!(said, now);
    assert_eq!(shown.id, seen.metaverse[0].object.id);
    let owed = world.service.pending(&runtime, runtime.connector("entra").unwrap(), 100).unwrap();
    assert_eq!(owed.len(), 2, "{owed:#?}");
    let add = owed.iter().find(|row| row.operation == "add").unwrap();
    for value in &pending.values {
        assert!(
            add.change.contains(&format!("{} = ", value.attribute)),
            "{}: {}",
            value.attribute,
            add.change
        );
    }
    // And then there is nothing left to say.
    world.step().await;
    world.step().await;
    let quiet = preview(&world, "directory", &dn("Cleo Clark"));
    assert_eq!(quiet.sources[0].place.result, "joined");
    assert_eq!((&at(&quiet, "entra").pending, at(&quiet, "entra").links.len()), (&None, 0), "{quiet:#?}");
    assert!(quiet.metaverse[0].attributes.iter().all(|view| view.before == view.after));
    assert_eq!((quiet.also.len(), at(&quiet, "entra").why_not.len()), (0, 0), "{quiet:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_shown_with_its_flow_from_the_directory_to_the_cloud() {
    let mut world = World::new(vec![person(1, "Ada Adams"), person(2, "Ben Brown")]).await;
    world.step().await;
    world.person(2).department = "Research".into();
    import(&world).await;
    for named in ["cs:2", "u2@contoso.com", "guid-00000000002"] {
        assert_eq!(preview(&world, "directory", named).object.name, dn("Ben Brown"), "{named}");
    }
    let seen = preview(&world, "directory", "u2@contoso.com");
    let department = seen.metaverse[0].attributes.iter().find(|view| view.attribute == "department").unwrap();
    assert_eq!((&department.before, &department.after), (&json!("Sales"), &json!("Research")));
    let winner = department.candidates.iter().find(|one| one.result == "wins").unwrap();
    assert_eq!(winner.gives, json!("Research"));
    assert_eq!(winner.reads["department"], json!("Research"));
    assert_eq!(winner.source, Some(format!("directory: {}", dn("Ben Brown"))));
    let cloud = at(&seen, "entra");
    let pending = cloud.pending.clone().unwrap();
    assert_eq!((pending.operation, pending.values.len()), ("update", 1), "{pending:#?}");
    assert_eq!(pending.values[0].before, json!("Sales"));
    let same = cloud.attributes.iter().find(|view| view.attribute == "displayName").unwrap();
    assert_eq!(same.planned, Some("same"));
    let (_, writes) = world.step().await;
    assert_eq!(writes.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_is_seen_leaving_and_what_is_done_about_it() {
    let mut world = World::new((1..=3).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.step().await;
    world.leave_scope(2);
    import(&world).await;
    let seen = preview(&world, "directory", "u2@contoso.com");
    assert_eq!(seen.metaverse[0].change, "leaves", "{seen:#?}");
    assert_eq!(seen.sources[0].place.result, "leaves");
    let join = seen.sources[0].rules.iter().find(|view| view.rule == "In from AD - User Join").unwrap();
    assert_eq!(join.in_scope, Some(false));
    let failing = join.groups[0].iter().find(|clause| clause.holds == Some(false)).unwrap();
    assert_eq!(failing.attribute, "adminDescription");
    assert!(failing.words().contains("User_NoSync"), "{}", failing.words());
    let pending = at(&seen, "entra").pending.clone().unwrap();
    assert_eq!(pending.counts_as, ["disabling"], "{pending:#?}");
    let (_, writes) = world.step().await;
    assert!(writes.iter().any(|write| write.starts_with("PATCH")), "{writes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_contributors_are_all_shown_with_the_one_that_wins() {
    let other = |title: &str| {
        format!(
            "dn: CN=Twin,DC=other,DC=com\nobjectClass: user\nobjectGUID: other-0000000001\nobjectSid:: {}\ncn: Twin\n\
             displayName: The Other Twin\nmail: u1@contoso.com\nsAMAccountName: twin\nuserAccountControl: 514\ntitle: {title}\n\n",
            sid(77)
        )
    };
    let mut world = World::staging_with(vec![person(1, "Ada Adams")], |setup| {
        setup.second_forest("multi-forest-mail", &other("Queen"));
    })
    .await;
    world.go_live().await;
    world.step().await;
    let seen = preview(&world, "directory", "u1@contoso.com");
    // The object in the cloud is one, too: a shipped rule keeps what the cloud says of it.
    let sources: Vec<&str> = seen.sources.iter().map(|source| source.object.connector.as_str()).collect();
    assert_eq!(sources, ["directory", "other", "entra"]);
    let display = seen.metaverse[0].attributes.iter().find(|view| view.attribute == "displayName").unwrap();
    let results: Vec<_> = display.candidates.iter().map(|one| (one.result, one.gives.clone())).collect();
    assert!(results.contains(&("wins", json!("Ada Adams"))), "{display:#?}");
    let lost = display.candidates.iter().find(|one| one.result == "lost").unwrap();
    assert_eq!(lost.gives, json!("The Other Twin"), "{display:#?}");
    assert!(!lost.reason.is_empty());
    let title = seen.metaverse[0].attributes.iter().find(|view| view.attribute == "title").unwrap();
    assert!(title.candidates.iter().any(|one| one.result == "nothing"), "{title:#?}");
    assert_eq!(title.after, json!("Queen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_join_is_seen_with_his_rivals() {
    let mut world = World::new(vec![person(1, "Ada Adams"), person(2, "Ben Brown")]).await;
    let mut rival = person(3, "Second Ada");
    rival.sid = 1;
    world.people.push(rival);
    import(&world).await;
    let seen = preview(&world, "directory", &dn("Second Ada"));
    let place = &seen.sources[0].place;
    assert_eq!(place.result, "refused", "{place:#?}");
    let taken = place.steps.iter().find(|step| step.result == "taken").unwrap();
    assert!(taken.text.contains("Ada Adams"), "{taken:#?}");
    assert!(seen.errors.iter().any(|error| error.contains("place-taken")), "{:?}", seen.errors);
    world.step().await;
    assert!(world.errors().iter().any(|(code, _)| code == "place-taken"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_fails_and_an_error_on_purpose_are_shown_where_they_are() {
    let mut world = World::staging_with(vec![person(1, "Ada Adams")], |setup| {
        setup.inbound("[flow]\ncountryCode = 'CNum([department])'\ninfo = 'IIF([cn] = \"Bad\", Error(\"not this one\"), NULL)'\n");
    })
    .await;
    world.write();
    world.cycle(CycleKind::Initial).await;
    let seen = preview(&world, "directory", "u1@contoso.com");
    let code = seen.metaverse[0].attributes.iter().find(|view| view.attribute == "countryCode").unwrap();
    assert_eq!(code.candidates[0].result, "failed", "{code:#?}");
    assert!(code.kept && code.candidates[0].gives["$error"].as_str().unwrap().contains("Sales"), "{code:#?}");
    world.person(1).name = "Bad".into();
    import(&world).await;
    let seen = preview(&world, "directory", "u1@contoso.com");
    let info = seen.metaverse[0].attributes.iter().find(|view| view.attribute == "info").unwrap();
    assert_eq!(info.candidates[0].result, "raised");
    assert!(seen.metaverse[0].attributes.iter().all(|view| view.before == view.after), "nothing changes");
    assert!(seen.errors.iter().any(|error| error.contains("not this one")), "{:?}", seen.errors);
    let staging = super::reasons(&at(&seen, "entra").why_not, "staging");
    assert!(staging[0].contains("in staging"), "{staging:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_supposed_is_seen_before_anybody_does_it() {
    let world = World::new(vec![person(1, "Ada Adams"), person(2, "Ben Brown")]).await;
    world.step().await;
    let runtime = world.service.runtime().unwrap();
    let directory = runtime.connector("directory").unwrap();
    let before = world.service.dump().unwrap();
    let suppose = |object: &str, attributes: serde_json::Value, object_type: Option<&str>| {
        let attributes = attributes.as_object().unwrap().clone();
        let supposed = Supposed { attributes, object_type: object_type.map(str::to_owned) };
        world.service.preview(&runtime, directory, object, Some(&supposed))
    };
    let seen =
        suppose("u2@contoso.com", json!({"userAccountControl": "514", "department": null}), None).unwrap();
    let pending = at(&seen, "entra").pending.clone().unwrap();
    assert_eq!(pending.counts_as, ["disabling", "emptied attribute"], "{pending:#?}");
    let seen = suppose("u2@contoso.com", json!({"adminDescription": "User_x"}), None).unwrap();
    assert_eq!(seen.metaverse[0].change, "leaves");

    let new = json!({"cn": "Cleo", "sAMAccountName": "cleo", "userPrincipalName": "cleo@contoso.com", "displayName": "Cleo",
        "objectGUID": {"$bin": "AAECAwQFBgcICQoLDA0ODw=="}, "objectSid": {"$bin": sid(9)}, "userAccountControl": 512});
    let seen = suppose("CN=Cleo,OU=People,DC=contoso,DC=com", new.clone(), Some("user")).unwrap();
    assert_eq!(
        (seen.sources[0].place.result.as_str(), seen.metaverse[0].change),
        ("creates", "new"),
        "{seen:#?}"
    );
    assert_eq!(at(&seen, "entra").pending.as_ref().unwrap().operation, "add");
    for (attributes, object_type, says) in [
        (json!({"departmnet": "x"}), None, "departmnet"),
        (json!({"manager": "x"}), None, "holds links"),
        (json!({"userAccountControl": "x"}), None, "userAccountControl"),
        (new, Some("usr"), "object type `usr`"),
    ] {
        let error = suppose("u2@contoso.com", attributes, object_type).unwrap_err();
        assert!(error.to_string().contains(says) && error.hint().is_some(), "{error}");
    }
    assert_eq!(world.service.dump().unwrap(), before, "nothing is written");
}
