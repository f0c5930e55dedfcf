//! The source anchor: taken from the tenant, and fixed once anything was exported.

use onesync_service::{CycleKind, Status};
use serde_json::json;

use crate::world::{Person, Setup, World, base64, person};

fn people(count: u32) -> Vec<Person> {
    (1..=count).map(|n| person(n, &format!("Person {n}"))).collect()
}

/// Everybody has both candidates; the tenant's ids were made of one of them.
fn tenant(of: impl Fn(u32) -> String) -> impl FnOnce(&mut Setup) {
    let users = (1..=4)
        .map(|n| {
            let name = format!("u{n}@contoso.com");
            let user = json!({"userPrincipalName": name, "displayName": name, "accountEnabled": true,
                "mailNickname": "x", "userType": "Member", "onPremisesImmutableId": of(n)});
            user.as_object().unwrap().clone()
        })
        .collect();
    move |setup| {
        setup.main = "source_anchor = \"tenant\"\n".into();
        setup.seed.users = users;
        for n in 1..=6 {
            setup.lines.insert(n, format!("mS-DS-ConsistencyGuid: cons-{n:011}\n"));
        }
    }
}

fn adopted(world: &World) -> u64 {
    world.plan().groups.iter().filter(|group| group.what == "adopt").map(|group| group.count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_definition_is_the_one_that_made_the_tenants_ids() {
    for (prefix, definition) in [("guid", "object-guid"), ("cons", "consistency-guid")] {
        let world = World::staging_with(people(6), tenant(|n| anchor(prefix, n))).await;
        world.cycle(CycleKind::Initial).await;
        assert_eq!(adopted(&world), 4, "{definition}: {:#?}", world.plan());
        let said = world.service.status().unwrap().source_anchor.unwrap();
        assert!(said.starts_with(definition) && said.contains("of 4 immutable ids"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_warns_where_the_other_definition_has_more_hits() {
    for (prefix, warned) in [("guid", true), ("cons", false)] {
        let other_default = |setup: &mut Setup| {
            tenant(|n| anchor(prefix, n))(setup);
            setup.main.clear();
        };
        let world = World::staging_with(people(6), other_default).await;
        world.cycle(CycleKind::Initial).await;
        let next = world.configuration_with("search = [\"mail\"]\n", "");
        let told = world.service.config_plan(next).await.unwrap().messages.join("\n");
        assert!(told.contains("of 4 immutable ids"), "{told}");
        assert_eq!(told.contains("warning: the source anchor is `consistency-guid`"), warned, "{told}");
        assert_eq!(told.contains("source_anchor = \"tenant\""), warned, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_neither_candidate_made_stop_the_synchronisation() {
    let world = World::staging_with(people(6), tenant(|n| format!("employee-{n}"))).await;
    // A configuration can be planned, and so applied, before the tenant was read: it may be the one that mends that.
    let mended = world.configuration_with("source_anchor = \"tenant\"\nsearch = [\"mail\"]\n", "");
    let plan = world.service.config_plan(mended).await.unwrap();
    let told = plan.messages.join("\n");
    assert!(told.contains("was not imported yet") && plan.counts.is_empty(), "{told}");
    let error = world.service.cycle(CycleKind::Initial, &|_| ()).await.unwrap_err();
    assert_eq!(error.status(), Status::Held);
    assert!(error.to_string().contains("of 4 immutable ids") && error.hint().is_some(), "{error}");
    // A plan for the decision shows the hits.
    let other = world.configuration_with("source_anchor = \"object-guid\"\n", "");
    world.service.apply(other, "test").await.unwrap();
    world.cycle(CycleKind::Initial).await;
    // Those that carry another anchor under the same name are not touched.
    assert!(world.errors().iter().all(|(code, _)| code == "conflict"), "{:?}", world.errors());
    assert_eq!((world.errors().len(), adopted(&world)), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_definition_is_refused_once_anything_was_exported() {
    let world = World::staging(people(3)).await;
    world.cycle(CycleKind::Initial).await;
    let other = world.configuration_with("source_anchor = \"object-guid\"\n", "");
    let same = world.configuration("");
    // Nothing was exported yet: it may change.
    world.service.apply(other.clone(), "test").await.unwrap();
    world.service.apply(same.clone(), "test").await.unwrap();
    world.cycle(CycleKind::Initial).await;
    world.activate();
    world.cycle(CycleKind::Delta).await;
    for error in [
        world.service.apply(other.clone(), "test").await.unwrap_err(),
        world.service.config_plan(other).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("definition of the source anchor changes"), "{error}");
        assert!(error.hint().is_some());
    }
    let mut files = same.files.clone();
    let rule = "rules/in-from-ad-user-common.toml";
    let text = String::from_utf8(files[rule].clone()).unwrap();
    files.insert(
        rule.into(),
        text.replace("sourceAnchor = { expr", "sourceAnchor = { merge = \"Update\", expr").into_bytes(),
    );
    let changed = onesync_service::Configuration::parse(files.clone()).unwrap();
    let error = world.service.apply(changed, "test").await.unwrap_err().to_string();
    assert!(error.contains("In from AD - User Common"), "{error}");
    // Anything else may change.
    files.insert(rule.into(), format!("# a remark\n{text}").into_bytes());
    world.service.apply(onesync_service::Configuration::parse(files).unwrap(), "test").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_slips_through_neither_beside_an_unusable_configuration_nor_by_a_detour() {
    let world = World::new(people(3)).await;
    let same = world.configuration("");
    let refused = async |files: std::collections::BTreeMap<String, Vec<u8>>| {
        let changed = onesync_service::Configuration::parse(files).unwrap();
        let error = world.service.apply(changed, "test").await.unwrap_err().to_string();
        assert!(error.contains("definition of the source anchor changes"), "{error}");
    };
    let edited = |path: &str, from: &str, to: &str| {
        let mut files = same.files.clone();
        let text = String::from_utf8(files[path].clone()).unwrap();
        assert!(text.contains(from), "{path}: {from}");
        files.insert(path.to_owned(), text.replace(from, to).into_bytes());
        files
    };
    // What identifies accounts there is made of another attribute; by another spelling; in a rule beside.
    let outbound = "rules/out-to-entra-user-join.toml";
    refused(edited(outbound, "Error(\"SourceAnchor attribute has changed.\")", "[employeeID]")).await;
    let common = "rules/in-from-ad-user-common.toml";
    refused(edited(common, "sourceAnchor = { expr", "SourceAnchor = { merge = \"Update\", expr")).await;
    let mut beside = same.files.clone();
    let rule = "name = \"Beside\"\ndirection = \"inbound\"\nconnector = \"directory\"\nobject = \"user\"\n\
        metaverse = \"person\"\nlink = \"join\"\nprecedence = 3\n[flow]\nsourceAnchor = \"[employeeID]\"\n";
    beside.insert("rules/beside.toml".into(), rule.into());
    refused(beside).await;
    // The cloud is left out for one version, and comes back with another definition.
    let mut without = same.files.clone();
    without.remove("connectors/entra.toml");
    without.retain(|path, _| !path.contains("entra-") && !path.contains("from-entra"));
    world.service.apply(onesync_service::Configuration::parse(without).unwrap(), "test").await.unwrap();
    let other = world.configuration_with("source_anchor = \"object-guid\"\n", "");
    refused(other.files.clone()).await;
    world.service.apply(same.clone(), "test").await.unwrap();
    // The configuration in force cannot be used: the definition is remembered all the same.
    let text = std::fs::read(world.ldif()).unwrap();
    std::fs::remove_file(world.ldif()).unwrap();
    world.forget_answers();
    let service = world.reopen().await;
    assert!(service.runtime().is_err());
    std::fs::write(world.ldif(), text).unwrap();
    let error = service.apply(other, "test").await.unwrap_err().to_string();
    assert!(error.contains("definition of the source anchor changes"), "{error}");
    service.apply(same, "test").await.unwrap();
}

/// A list of ids, written beside the cloud: its accounts are identified by something else.
const LIST: &str = "name = \"list\"\nkind = \"jsonl\"\nrank = 200\n[settings]\npath = \"../list.jsonl\"\nwrite = true\n\
    [settings.types.person]\ncreate_key = \"id\"\nattributes = { id = \"string\", name = \"string\" }\n";
const TO_LIST: &str = "name = \"Out to list\"\ndirection = \"outbound\"\nconnector = \"list\"\nobject = \"person\"\n\
    metaverse = \"person\"\nlink = \"provision\"\nprecedence = 500\n[[scope]]\nclauses = [{ attribute = \"employeeID\", operator = \"ISNOTNULL\" }]\n\
    [flow]\nid = \"[employeeID]\"\nname = \"[displayName]\"\n";

type Files = std::collections::BTreeMap<String, Vec<u8>>;

#[tokio::test(flavor = "multi_thread")]
async fn targets_and_types_come_and_go_and_only_what_was_written_by_is_fixed() {
    let mut world = World::staging(people(3)).await;
    (1..=3).for_each(|n| world.lines(n, &format!("employeeID: E{n}\n")));
    world.write();
    let apply = async |files: &Files| {
        let next = onesync_service::Configuration::parse(files.clone()).unwrap();
        world.service.apply(next, "test").await.map_err(|error| error.to_string())
    };
    let refused = async |files: &Files| {
        let error = apply(files).await.unwrap_err();
        assert!(error.contains("definition of the source anchor changes"), "{error}");
    };
    let edited = |files: &Files, path: &str, from: &str, to: &str| {
        let mut files = files.clone();
        let text = String::from_utf8(files[path].clone()).unwrap();
        assert!(text.contains(from), "{path}: {from}");
        files.insert(path.to_owned(), text.replace(from, to).into_bytes());
        files
    };
    // A pilot with people only.
    let all = world.configuration("").files;
    let mut users = all.clone();
    users.retain(|path, _| !path.contains("group"));
    apply(&users).await.unwrap();
    world.cycle(CycleKind::Initial).await;
    world.activate();
    world.cycle(CycleKind::Delta).await;
    assert_eq!(world.cloud_accounts().len(), 3);

    // Groups come, go, and come again as they were.
    let error = "Error(\"SourceAnchor attribute has changed.\")";
    let to_groups = "rules/out-to-entra-group-join.toml";
    let from_groups = "rules/in-from-ad-group-common.toml";
    apply(&all).await.unwrap();
    refused(&edited(&all, to_groups, error, "[displayName]")).await;
    apply(&users).await.unwrap();
    refused(&edited(&all, to_groups, error, "[displayName]")).await;
    refused(&edited(&all, from_groups, "sourceAnchor = { expr", "sourceAnchor = { merge = \"Update\", expr"))
        .await;
    apply(&all).await.unwrap();

    // Another target, which is identified by something else; it may be corrected until it is written to.
    let mut list = all.clone();
    list.insert("connectors/list.toml".into(), LIST.into());
    list.insert("rules/out-to-list.toml".into(), TO_LIST.into());
    let common = "rules/in-from-ad-user-common.toml";
    let padded = |files: &Files| edited(files, common, "employeeID = \"Trim(", "employeeID = \"LCase(");
    apply(&list).await.unwrap();
    apply(&edited(&list, "rules/out-to-list.toml", "id = \"[employeeID]", "id = \"[mail]")).await.unwrap();
    apply(&padded(&list)).await.unwrap();
    apply(&list).await.unwrap();
    world.cycle(CycleKind::Initial).await;
    let runtime = world.service.runtime().unwrap();
    let connector = runtime.connector("list").unwrap();
    let plan = world.service.staging_plan(&runtime, connector).unwrap();
    world.service.staging_off(&runtime, connector, &plan.hash).unwrap();
    world.cycle(CycleKind::Delta).await;
    let lines = std::fs::read_to_string(world.ldif().with_file_name("list.jsonl")).unwrap();
    assert!(lines.contains("E2"), "{lines}");
    refused(&edited(&list, "rules/out-to-list.toml", "id = \"[employeeID]", "id = \"[mail]")).await;
    refused(&padded(&list)).await;

    // It is left out, and comes back.
    apply(&all).await.unwrap();
    refused(&padded(&list)).await;
    apply(&list).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_exported_before_definitions_were_remembered_is_fixed_beside_an_unusable_configuration() {
    let world = World::new(people(3)).await;
    let (same, other) =
        (world.configuration(""), world.configuration_with("source_anchor = \"object-guid\"\n", ""));
    let home = world.service.home().clone();
    let (store, _) = home.open().unwrap();
    let epoch = store.reader().unwrap().installation().unwrap().unwrap().epoch;
    let states = vec![(onesync_model::ConnectorId(0), "source-anchor/definitions".to_owned(), None)];
    store.apply(epoch, &onesync_engine::Changes { states, ..Default::default() }).unwrap();
    let text = std::fs::read(world.ldif()).unwrap();
    std::fs::remove_file(world.ldif()).unwrap();
    world.forget_answers();
    let service = world.reopen().await;
    assert!(service.runtime().is_err());
    std::fs::write(world.ldif(), text).unwrap();
    let error = service.apply(other.clone(), "test").await.unwrap_err();
    assert!(error.to_string().contains("cannot be told") && error.hint().is_some(), "{error}");
    service.apply(same, "test").await.unwrap();
    let error = service.apply(other, "test").await.unwrap_err().to_string();
    assert!(error.contains("definition of the source anchor changes"), "{error}");
}

fn anchor(prefix: &str, n: u32) -> String {
    base64(format!("{prefix}-{n:011}").as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_moves_between_forests_keeps_its_account_in_the_cloud() {
    let mut world = World::staging_with(people(4), |setup| {
        setup.second_forest("multi-forest-mail", "");
    })
    .await;
    world.go_live().await;
    world.step().await;
    let before = world.cloud_user("u2@contoso.com");
    assert_eq!(before["onPremisesImmutableId"], anchor("guid", 2));

    // The migration: first there are two entries with one mail address, then only the new one, under another GUID.
    let moved = "dn: CN=Person 2,OU=People,DC=fabrikam,DC=com\nobjectClass: user\n\
        objectGUID: moved-0000000002\ncn: Person 2\ndisplayName: Person 2\nsAMAccountName: u2\n\
        userPrincipalName: u2@contoso.com\nmail: u2@contoso.com\ndepartment: Sales\nuserAccountControl: 512\n";
    world.write_other(moved);
    world.step().await;
    world.people.remove(1);
    let (report, _) = world.step().await;
    assert_eq!((report.exported.add, report.exported.delete), (0, 0), "{report:?}");
    world.clock.advance_seconds(40 * 86_400);
    world.step().await;
    let after = world.cloud_user("u2@contoso.com");
    assert_eq!(
        (&after["id"], &after["onPremisesImmutableId"], &after["accountEnabled"]),
        (&before["id"], &before["onPremisesImmutableId"], &serde_json::json!(true))
    );
    assert_eq!(world.errors(), []);
}
