//! Values that depend on the clock: nothing changes in the directory, and yet they are right in time.

use onesync_service::{Clock as _, CycleKind, SystemClock};

use crate::world::{World, person};

const DAY: i64 = 86_400;

/// Rules that change what they give at a time: inbound a value, outbound a value, inbound an error that ends.
fn rules(then: &str) -> [(&'static str, String); 3] {
    let head = |name: &str, direction: &str, connector: &str, precedence: u32| {
        format!(
            "name = \"{name}\"\ndirection = \"{direction}\"\nconnector = \"{connector}\"\nobject = \"user\"\n\
             metaverse = \"person\"\nlink = \"join\"\nprecedence = {precedence}\n"
        )
    };
    [
        (
            "rules/in-title.toml",
            head("In - Title", "inbound", "directory", 1)
                + &format!(
                    "[flow]\ntitle = 'IIF([sAMAccountName] <> \"u1\", NULL, IIF(Now() < CDate(\"{then}\"), \"new\", \"old\"))'\n"
                ),
        ),
        (
            "rules/out-company.toml",
            head("Out - Company", "outbound", "entra", 2)
                + &format!("[flow]\ncompanyName = 'IIF(CDate(\"{then}\") <= Now(), \"old\", \"new\")'\n"),
        ),
        (
            "rules/in-waits.toml",
            head("In - Waits", "inbound", "directory", 3)
                + &format!(
                    "[flow]\ndivision = 'IIF([sAMAccountName] = \"u2\" && Now() < CDate(\"{then}\"), Error(\"not yet\"), NULL)'\n"
                ),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_clock_changes_is_exported_in_time() {
    let then = SystemClock.now().plus_seconds(10 * DAY).to_string();
    let people = vec![person(1, "Anna"), person(2, "Bert"), person(3, "Carl")];
    let mut world = World::staging_with(people, |setup| {
        for (path, text) in rules(&then) {
            setup.rules.insert(path.into(), text);
        }
    })
    .await;
    world.write();
    world.go_live().await;
    // Anna's metaverse object changes; of Carl only what flows out.
    let found = |world: &World| {
        let (anna, carl) = (world.cloud_user("u1@contoso.com"), world.cloud_user("u3@contoso.com"));
        [anna["jobTitle"].clone(), carl["companyName"].clone()]
    };
    assert_eq!(found(&world), ["new", "new"]);
    assert!(world.errors().iter().any(|(_, message)| message.contains("not yet")), "{:?}", world.errors());
    assert!(world.cloud_user("u2@contoso.com").is_null(), "{:?}", world.cloud_accounts());

    world.clock.advance_seconds(5 * DAY);
    let report = world.cycle(CycleKind::Delta).await;
    assert_eq!(report.exported.update, 0, "nothing is due yet: {report:?}");
    world.clock.advance_seconds(6 * DAY);
    world.cycle(CycleKind::Delta).await;
    assert_eq!(found(&world), ["old", "old"]);
    assert!(!world.errors().iter().any(|(_, message)| message.contains("not yet")), "{:?}", world.errors());
    assert_eq!(world.cloud_accounts(), ["u1@contoso.com", "u2@contoso.com", "u3@contoso.com"]);
    let report = world.cycle(CycleKind::Delta).await;
    assert_eq!((report.exported.add, report.exported.update), (0, 0), "and stays so: {report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_behind_a_guard_that_looks_at_the_clock_flow_in_time() {
    let then = SystemClock.now().plus_seconds(10 * DAY).to_string();
    let mut world = World::staging_with(vec![person(1, "Anna"), person(2, "Bert")], |setup| {
        let group = "rules/out-to-entra-group-identity.toml";
        let shipped = onesync_service::template("single-forest", "ldif").unwrap()[group].clone();
        let guarded = format!("members = 'IIF(Now() < CDate(\"{then}\"), NULL, [member])'");
        assert!(shipped.contains("members = \"[member]\""));
        setup.rules.insert(group.into(), shipped.replace("members = \"[member]\"", &guarded));
    })
    .await;
    world.write();
    world.go_live().await;
    assert_eq!(world.cloud_members("Everyone"), [""; 0]);
    world.clock.advance_seconds(11 * DAY);
    world.cycle(CycleKind::Delta).await;
    assert_eq!(world.cloud_members("Everyone"), world.cloud_accounts());
    let report = world.cycle(CycleKind::Delta).await;
    assert_eq!((report.exported.add, report.exported.update), (0, 0), "{report:?}");
}
