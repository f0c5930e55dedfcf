//! Full and delta imports.

use onesync_connectors::{Connector, ErrorClass, ImportMode, Proof};
use onesync_graphsim::{ExpiredDelta, SeedData};
use serde_json::{Value as Json, json};

use super::lab::{Lab, Space, resume, text};

fn people(count: usize) -> Json {
    (0..count)
        .map(|n| {
            json!({"userPrincipalName": format!("u{n}@contoso.com"), "displayName": format!("User {n}"),
            "accountEnabled": true, "mailNickname": format!("u{n}")})
        })
        .collect()
}

#[tokio::test]
async fn a_full_import_reads_all_types_with_values_links_and_flags() {
    let lab = Lab::new().await;
    let ids = lab.seed(
        json!([
            {"userPrincipalName": "boss@contoso.com", "displayName": "Boss", "accountEnabled": true,
                "city": "Jena", "businessPhones": ["1"], "onPremisesImmutableId": "Ab+/==",
                "onPremisesExtensionAttributes": {"extensionAttribute3": "x"}},
            {"userPrincipalName": "anna@contoso.com", "displayName": "Anna", "manager": "boss@contoso.com",
                "onPremisesSyncEnabled": true},
            {"userPrincipalName": "guest#EXT#@contoso.com", "displayName": "Guest", "userType": "Guest"},
        ]),
        json!([
            {"displayName": "Team", "mailEnabled": false, "securityEnabled": true, "uniqueName": "g_2B1_3D",
                "members": ["anna@contoso.com", "boss@contoso.com"]},
            {"displayName": "List", "mailEnabled": true, "securityEnabled": false, "groupTypes": []},
            {"displayName": "Modern", "mailEnabled": true, "securityEnabled": false, "groupTypes": ["Unified"]},
        ]),
    );
    let contact = json!({"displayName": "Ext", "mail": "ext@other.com",
        "addresses": [{"city": "Ulm"}], "phones": [{"type": "mobile", "number": "7"}]});
    let contacts = vec![contact.as_object().unwrap().clone()];
    lab.sim.seed(SeedData { contacts, ..SeedData::default() }).unwrap();

    let (space, end) = lab.full().await;
    assert_eq!(end.proof, Proof::Complete);
    assert!(end.remarks.is_empty(), "{:?}", end.remarks);
    assert_eq!(
        space.kinds().into_iter().collect::<Vec<_>>(),
        [("group", 2), ("mailGroup", 1), ("orgContact", 1), ("user", 3)]
    );
    let boss = space.named("boss@contoso.com");
    assert_eq!(boss.values["city"], text("Jena"));
    assert_eq!(boss.values["businessPhones"], text("1"));
    assert_eq!(boss.values["onPremisesImmutableId"], text("Ab+/=="));
    assert_eq!(boss.values["extensionAttribute3"], text("x"));
    assert_eq!(boss.linked("manager"), Vec::<&str>::new());
    let anna = space.named("anna@contoso.com");
    assert_eq!(anna.linked("manager"), [ids[0].as_str()]);
    assert_eq!(anna.flags.mastered_elsewhere.as_deref(), Some("Microsoft Entra Connect"));
    assert_eq!(anna.flags.protected, None);
    let guest = space.named("guest#EXT#@contoso.com");
    assert!(guest.flags.protected.as_deref().is_some_and(|r| r.contains("guest")));
    let team = space.named("Team");
    assert_eq!(team.linked("members").len(), 2);
    assert_eq!(team.values["uniqueName"], text("g+1="));
    let contact = space.named("Ext");
    assert_eq!((contact.text("city"), contact.text("mobilePhone")), (Some("Ulm".into()), Some("7".into())));
    lab.finish().await;
}

#[tokio::test]
async fn large_groups_come_in_parts_and_are_whole_in_the_end() {
    let lab = Lab::behaving(|b| {
        b.delta_page = 7;
        b.delta_members_page = 10;
    })
    .await;
    let members: Vec<String> = (0..60).map(|n| format!("u{n}@contoso.com")).collect();
    lab.seed(
        people(60),
        json!([
            {"displayName": "Small", "members": members[..3]},
            {"displayName": "Large", "members": members},
            {"displayName": "Exact", "members": members[..10]},
            {"displayName": "Empty"},
            {"displayName": "Last", "members": members[..35]},
        ]),
    );
    let (space, end) = lab.full().await;
    for (name, count) in [("Small", 3), ("Large", 60), ("Exact", 10), ("Empty", 0), ("Last", 35)] {
        assert_eq!(space.named(name).linked("members").len(), count, "{name}");
    }
    // Again into the same space: nothing changes, and nothing stays of what is gone.
    let mut again = space.clone();
    let (pages, _) = lab.pages(ImportMode::Full { resume: None }, 3).await;
    assert!(pages.iter().all(|p| p.entries.len() <= 3));
    again.take(&lab.names, pages);
    assert_eq!(again.objects, space.objects);
    let mut same = space.clone();
    lab.delta(&mut same, &end).await;
    assert!(same.told.is_empty(), "{:?}", same.told);
    lab.finish().await;
}

#[tokio::test]
async fn a_delta_import_tells_exactly_what_changed() {
    let lab = Lab::new().await;
    let ids = lab
        .seed(people(4), json!([{"displayName": "Team", "members": ["u0@contoso.com", "u1@contoso.com"]}]));
    let (mut space, end) = lab.full().await;
    let mut one = lab.update("user", &ids[0], json!({"city": "Jena", "surname": "Meier"}));
    one.links = vec![lab.links("manager", &[&ids[2]], &[])];
    let results = lab
        .export(vec![
            one,
            lab.link("group", &ids[4], "members", &[&ids[3]], &[&ids[1]]),
            lab.delete("user", &ids[1]),
            lab.user("newcomer"),
        ])
        .await;
    assert!(results.iter().all(|r| r.refused.is_empty()), "{results:?}");
    let end = lab.delta(&mut space, &end).await;
    assert_eq!(space.told.len(), 4, "{:?}", space.told);
    assert_eq!(space.objects[&ids[0]].text("city"), Some("Jena".into()));
    assert_eq!(space.objects[&ids[0]].linked("manager"), [ids[2].as_str()]);
    let members = space.objects[&ids[4]].linked("members");
    assert!(members.len() == 2 && members.contains(&ids[3].as_str()), "{members:?}");
    assert!(!space.objects.contains_key(&ids[1]));
    assert_eq!(space.named("newcomer@contoso.com").text("displayName"), Some("newcomer".into()));

    // Cleared values and another manager.
    let mut one = lab.update("user", &ids[0], json!({"city": null}));
    one.links = vec![lab.links("manager", &[&ids[3]], &[&ids[2]])];
    lab.export(vec![one]).await;
    let end = lab.delta(&mut space, &end).await;
    assert_eq!(space.objects[&ids[0]].text("city"), None);
    assert_eq!(space.objects[&ids[0]].text("surname"), Some("Meier".into()));
    assert_eq!(space.objects[&ids[0]].linked("manager"), [ids[3].as_str()]);
    lab.export(vec![lab.link("user", &ids[0], "manager", &[], &[&ids[3]])]).await;
    let end = lab.delta(&mut space, &end).await;
    assert_eq!(space.objects[&ids[0]].linked("manager"), Vec::<&str>::new());

    let (fresh, _) = lab.full().await;
    assert_eq!(fresh.objects, space.objects);
    lab.delta(&mut space, &end).await;
    assert!(space.told.is_empty());
    lab.finish().await;
}

#[tokio::test]
async fn an_interrupted_full_import_goes_on_from_any_page() {
    let lab = Lab::behaving(|b| {
        b.delta_page = 4;
        b.delta_members_page = 5;
    })
    .await;
    let members: Vec<String> = (0..14).map(|n| format!("u{n}@contoso.com")).collect();
    lab.seed(people(14), json!([{"displayName": "A", "members": members}, {"displayName": "B", "members": ["u1@contoso.com"]}]));
    let (whole, end) = lab.full().await;
    let (pages, _) = lab.pages(ImportMode::Full { resume: None }, 100).await;
    assert!(pages.len() > 5);
    for kept in 1..=pages.len() {
        let mut space = Space::default();
        let mark = resume(&pages[kept - 1]);
        let (rest, rest_end) = lab.pages(ImportMode::Full { resume: Some(mark) }, 100).await;
        space.take(&lab.names, pages[..kept].iter().cloned().chain(rest).collect());
        assert_eq!(space.objects, whole.objects, "after {kept} pages");
        assert!(rest_end.unwrap().watermark.is_some());
    }
    assert!(end.watermark.is_some());
    lab.finish().await;
}

#[tokio::test]
async fn an_expired_watermark_asks_for_a_full_import() {
    for kind in [ExpiredDelta::Gone, ExpiredDelta::BadRequest] {
        let lab = Lab::behaving(|b| b.expired_delta = kind).await;
        lab.seed(people(2), json!([]));
        let (_, end) = lab.full().await;
        lab.sim.expire_deltas();
        let (_, end) = lab.pages(ImportMode::Delta { since: end.watermark.unwrap() }, 100).await;
        assert_eq!(end.unwrap_err().class, ErrorClass::Watermark);
        lab.finish().await;
    }
}

#[tokio::test]
async fn replays_and_changes_during_a_round_do_not_tell_an_object_whole_twice() {
    let lab = Lab::behaving(|b| {
        b.delta_replay = 3;
        b.delta_page = 3;
    })
    .await;
    let ids = lab.seed(people(8), json!([{"displayName": "Team", "members": ["u0@contoso.com"]}]));
    let (mut space, end) = lab.full().await;
    lab.export(vec![lab.update("user", &ids[7], json!({"city": "Ulm"}))]).await;
    lab.delta(&mut space, &end).await;
    let (fresh, _) = lab.full().await;
    assert_eq!(fresh.objects, space.objects);
    lab.finish().await;
}

#[tokio::test]
async fn a_stopped_receiver_stops_the_import() {
    let lab = Lab::new().await;
    lab.seed(people(3), json!([]));
    let request = onesync_connectors::ImportRequest {
        mode: ImportMode::Full { resume: None },
        selection: lab.selection().await,
        known: None,
        containers: None,
        page_size: 1,
    };
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    drop(receiver);
    assert_eq!(lab.graph.import(request, sender).await.unwrap_err().class, ErrorClass::Stopped);
    lab.finish().await;
}

#[tokio::test]
async fn mapped_groups_show_their_source_anchor() {
    let mut lab = Lab::new().await;
    let ids = lab.seed(json!([]), json!([{"displayName": "Old team"}]));
    lab.reconnect(|s| drop(s.group_mapping.insert("anchor+1=".into(), ids[0].to_uppercase())));
    let (space, _) = lab.full().await;
    assert_eq!(space.named("Old team").values["uniqueName"], text("anchor+1="));
    lab.finish().await;
}

#[tokio::test]
async fn who_gets_or_loses_a_role_is_told_though_the_user_did_not_change() {
    let lab = Lab::new().await;
    let ids = lab.seed(people(2), json!([]));
    let (mut space, end) = lab.full().await;
    assert_eq!(space.objects[&ids[0]].flags.protected, None);
    let role = json!({"displayName": "Global Administrator", "members": ["u0@contoso.com"]});
    let directory_roles = vec![role.as_object().unwrap().clone()];
    lab.sim.seed(SeedData { directory_roles, ..SeedData::default() }).unwrap();
    let end = lab.delta(&mut space, &end).await;
    assert_eq!(space.told, [format!("Merge {}", ids[0])]);
    assert!(space.objects[&ids[0]].flags.protected.as_deref().is_some_and(|r| r.contains("role")));
    lab.delta(&mut space, &end).await;
    assert!(space.told.is_empty());
    lab.finish().await;
}
