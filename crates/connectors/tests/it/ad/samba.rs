//! Imports from a real domain controller (Samba): what was written is what is read.

mod conformance;
mod trouble;

use onesync_connectors::Connector;
use onesync_ldap::control::SHOW_DELETED;
use onesync_ldap::{Change, ChangeKind, Control, SearchRequest};

use super::lab::{Lab, connector, settings};

use ChangeKind::{Add, Delete, Replace};

#[tokio::test]
async fn a_full_import_gives_what_was_written() {
    let Some(mut lab) = Lab::open("full").await else { return };
    lab.add(&lab.dn("OU=Sales"), "organizationalUnit", &[]).await;
    let anna = lab
        .user(
            "CN=Anna\\, Müller,OU=Sales",
            &[("givenName", &["Änna"]), ("proxyAddresses", &["SMTP:a@x", "smtp:b@x"])],
        )
        .await;
    let boss = lab.user("CN=Boss", &[("manager", &[&anna]), ("assistant", &[&anna])]).await;
    lab.add(&lab.dn("CN=Kontakt"), "contact", &[("description", &["c"])]).await;
    lab.group("CN=Staff", &[&anna, &boss]).await;
    lab.group("CN=Empty", &[]).await;
    lab.add(&lab.dn("CN=PC"), "computer", &[]).await;

    let connector = connector(lab.settings());
    let end = lab.full(&connector).await;
    assert_eq!(end.remarks, Vec::<String>::new());
    let objects = lab.objects();
    let names: Vec<&str> = objects.keys().map(String::as_str).collect();
    assert_eq!(names, ["CN=Anna\\", "CN=Boss", "CN=Empty", "CN=Kontakt", "CN=Staff"], "no computer, no OU");
    let found = objects["CN=Anna\\"];
    assert_eq!(found.dn, anna);
    assert_eq!(found.kind, "user");
    assert_eq!(found.values["givenName"], ["Änna"]);
    assert_eq!(found.values["proxyAddresses"], ["SMTP:a@x", "smtp:b@x"]);
    assert_eq!(found.values["userAccountControl"], ["546"]);
    assert!(found.values["whenCreated"][0].starts_with("20"));
    assert!(!found.values.contains_key("groupType"), "selected for groups only");
    assert_eq!(lab.linked("CN=Boss", "manager"), ["CN=Anna\\"]);
    assert_eq!(lab.linked("CN=Boss", "assistant"), ["CN=Anna\\"]);
    assert_eq!(lab.linked("CN=Staff", "member"), ["CN=Anna\\", "CN=Boss"]);
    assert_eq!(lab.linked("CN=Empty", "member"), Vec::<String>::new());
    let anchor = lab.guid(&boss).await;
    assert_eq!(anchor.0.len(), 16);

    let (said, _) = lab.delta(&connector).await;
    assert_eq!(said, Vec::<String>::new(), "nothing changed since the full import began");
    lab.close().await;
}

#[tokio::test]
async fn each_kind_of_change_gives_exactly_its_entries() {
    let Some(mut lab) = Lab::open("delta").await else { return };
    for ou in ["OU=a", "OU=b"] {
        lab.add(&lab.dn(ou), "organizationalUnit", &[]).await;
    }
    let u1 = lab.user("CN=u1,OU=a", &[("givenName", &["x"]), ("description", &["d"])]).await;
    let u2 = lab.user("CN=u2,OU=a", &[]).await;
    let g = lab.group("CN=g,OU=a", &[&u1]).await;
    let connector = connector(lab.settings());
    lab.full(&connector).await;

    lab.modify(
        &u1,
        &[(Replace, "description", &["e"]), (Delete, "givenName", &[]), (Add, "manager", &[&u2])],
    )
    .await;
    assert_eq!(lab.delta(&connector).await.0, ["merge CN=u1 description=e -givenName manager+[\"CN=u2\"]"]);

    lab.modify(&g, &[(Add, "member", &[&u2]), (Delete, "member", &[&u1])]).await;
    assert_eq!(lab.delta(&connector).await.0, ["merge CN=g member-[\"CN=u1\"] member+[\"CN=u2\"]"]);

    lab.modify(&u1, &[(Delete, "manager", &[]), (Replace, "assistant", &[&u2])]).await;
    assert_eq!(lab.delta(&connector).await.0, ["merge CN=u1 manager-[\"CN=u2\"] assistant:=[\"CN=u2\"]"]);
    lab.modify(&u1, &[(Delete, "assistant", &[])]).await;
    assert_eq!(lab.delta(&connector).await.0, ["merge CN=u1 assistant:=[]"]);

    lab.modify(&u1, &[(Replace, "title", &["not selected"])]).await;
    assert_eq!(lab.delta(&connector).await.0, Vec::<String>::new());

    let u3 = lab.user("CN=u3,OU=b", &[("givenName", &["new"]), ("manager", &[&u1])]).await;
    assert_eq!(lab.delta(&connector).await.0, ["add CN=u3"]);
    assert_eq!(lab.linked("CN=u3", "manager"), ["CN=u1"]);

    lab.rename(&u3, "CN=u3 renamed", None).await;
    assert_eq!(lab.delta(&connector).await.0, ["whole CN=u3 renamed"]);
    let b = lab.dn("OU=b");
    lab.rename(&u2, "CN=u2", Some(&b)).await;
    assert_eq!(lab.delta(&connector).await.0, ["whole CN=u2"]);
    assert_eq!(lab.objects()["CN=u2"].dn, lab.dn("CN=u2,OU=b"));

    lab.client.delete(&lab.dn("CN=u3 renamed,OU=b"), Vec::new()).await.unwrap();
    assert_eq!(lab.delta(&connector).await.0, ["delete CN=u3 renamed"]);
    lab.delta_equals_full(&connector).await;
    lab.close().await;
}

#[tokio::test]
async fn a_deleted_object_comes_back_whole_when_it_is_restored() {
    let Some(mut lab) = Lab::open("restore").await else { return };
    let u1 = lab.user("CN=u1", &[("givenName", &["x"])]).await;
    let connector = connector(lab.settings());
    lab.full(&connector).await;
    let guid = lab.guid(&u1).await;
    lab.client.delete(&u1, Vec::new()).await.unwrap();
    assert_eq!(lab.delta(&connector).await.0, ["delete CN=u1"]);

    let digits: String = guid.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let deleted = Control::flag(SHOW_DELETED);
    let request =
        SearchRequest::entry(format!("<GUID={digits}>")).attributes(["cn"]).control(deleted.clone());
    let tombstone = lab.client.search_one(request).await.unwrap().unwrap().dn().to_owned();
    let restore = vec![
        Change { kind: Delete, attribute: "isDeleted".to_owned(), values: vec![] },
        Change {
            kind: Replace,
            attribute: "distinguishedName".to_owned(),
            values: vec![bytes::Bytes::copy_from_slice(u1.as_bytes())],
        },
    ];
    lab.client.modify(&tombstone, restore, vec![deleted]).await.unwrap();
    assert_eq!(lab.delta(&connector).await.0, ["add CN=u1"]);
    assert_eq!(lab.guid(&u1).await, guid);
    lab.delta_equals_full(&connector).await;
    lab.close().await;
}

#[tokio::test]
async fn moves_into_and_out_of_the_selection() {
    let Some(mut lab) = Lab::open("moves").await else { return };
    for ou in ["OU=in", "OU=out", "OU=deep,OU=in", "OU=team,OU=out"] {
        lab.add(&lab.dn(ou), "organizationalUnit", &[]).await;
    }
    let (inside, outside) = (lab.dn("OU=in"), lab.dn("OU=out"));
    let u1 = lab.user("CN=u1,OU=out", &[("givenName", &["x"])]).await;
    let u2 = lab.user("CN=u2,OU=in", &[]).await;
    lab.user("CN=u3,OU=deep,OU=in", &[]).await;
    lab.user("CN=u4,OU=team,OU=out", &[]).await;
    let connector = connector(settings(&format!("include = [\"{}\"]\nexclude = [\"{}\"]", lab.ou, outside)));
    lab.full(&connector).await;
    assert_eq!(lab.objects().keys().collect::<Vec<_>>(), ["CN=u2", "CN=u3"]);

    lab.modify(&u1, &[(Replace, "description", &["unseen"])]).await;
    assert_eq!(lab.delta(&connector).await.0, Vec::<String>::new());
    lab.rename(&u1, "CN=u1", Some(&inside)).await;
    assert_eq!(lab.delta(&connector).await.0, ["add CN=u1"]);
    assert_eq!(lab.objects()["CN=u1"].values["givenName"], ["x"], "read whole");
    lab.rename(&u2, "CN=u2", Some(&outside)).await;
    assert_eq!(lab.delta(&connector).await.0, ["delete CN=u2"]);

    let team = lab.dn("OU=team,OU=out");
    lab.rename(&team, "OU=team", Some(&inside)).await;
    let (said, end) = lab.delta(&connector).await;
    assert_eq!(said, ["add CN=u4", "container OU=team"], "what is below a container that moves in");
    assert!(end.remarks.iter().any(|remark| remark.contains("read whole")), "{:?}", end.remarks);
    let deep = lab.dn("OU=deep,OU=in");
    lab.rename(&deep, "OU=deep", Some(&outside)).await;
    assert_eq!(lab.delta(&connector).await.0, ["container OU=deep", "delete CN=u3"]);
    lab.delta_equals_full(&connector).await;
    lab.close().await;
}

#[tokio::test]
async fn a_renamed_container_stays_selected_and_is_reported() {
    let Some(mut lab) = Lab::open("containers").await else { return };
    lab.add(&lab.dn("OU=staff"), "organizationalUnit", &[]).await;
    lab.user("CN=u1,OU=staff", &[]).await;
    let staff = lab.dn("OU=staff");
    let own = settings(&format!("include = [\"{staff}\"]"));
    let reader = connector(own.clone());
    lab.full(&reader).await;

    lab.rename(&staff, "OU=people", None).await;
    let (said, end) = lab.delta(&reader).await;
    assert_eq!(said, ["container OU=people"], "what lies in it is not read again");
    assert_eq!(lab.objects()["CN=u1"].dn, lab.dn("CN=u1,OU=people"));
    assert!(
        end.remarks.iter().any(|r| r.contains("OU=people") && r.contains("stays selected")),
        "{:?}",
        end.remarks
    );
    let (said, end) = lab.delta(&reader).await;
    assert_eq!((said, end.remarks), (Vec::new(), Vec::new()), "reported once");
    lab.add(&lab.dn("OU=new,OU=people"), "organizationalUnit", &[]).await;
    lab.user("CN=u2,OU=new,OU=people", &[]).await;
    assert_eq!(
        lab.delta(&reader).await.0,
        ["add CN=u2", "container OU=new"],
        "new containers below are read, too"
    );
    lab.delta_equals_full(&reader).await;

    // a new process finds it by the watermark, also for a full import
    lab.rename(&lab.dn("OU=people"), "OU=folk", None).await;
    let fresh = connector(own.clone());
    let end = lab.full(&fresh).await;
    assert!(end.remarks.iter().any(|r| r.contains("OU=folk") && r.contains("stays selected")), "{end:?}");
    assert_eq!(lab.objects()["CN=u1"].dn, lab.dn("CN=u1,OU=folk"));

    let selected = reader.selector(Some(&lab.watermark())).unwrap();
    let (folk, other) = (lab.dn("CN=x,OU=folk"), lab.dn("CN=x"));
    assert!(selected("user", &folk) && !selected("user", &other));
    let forgetful = connector(own);
    lab.forget();
    let (_, end) = lab.import(&forgetful, onesync_connectors::ImportMode::Full { resume: None }).await;
    let error = end.unwrap_err();
    assert_eq!(error.code, "AD-NO-SUCH-CONTAINER");
    assert!(error.hint.is_some() && error.message.contains("OU=staff"), "{error:?}");
    lab.close().await;
}

#[tokio::test]
async fn containers_below_can_be_left_out() {
    let Some(mut lab) = Lab::open("flat").await else { return };
    lab.add(&lab.dn("OU=below"), "organizationalUnit", &[]).await;
    lab.user("CN=u1", &[]).await;
    lab.user("CN=u2,OU=below", &[]).await;
    let mut own = lab.settings();
    own.include_below = false;
    own.object_types = vec!["user".to_owned()];
    let reader = connector(own);
    lab.group("CN=g", &[]).await;
    lab.full(&reader).await;
    assert_eq!(lab.objects().keys().collect::<Vec<_>>(), ["CN=u1"]);
    let schema = reader.schema().await.unwrap();
    assert_eq!(schema.types.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["user"]);
    assert!(!schema.types[0].attributes.iter().any(|name| name == "memberOf"), "DirSync tells no back links");
    lab.close().await;
}
