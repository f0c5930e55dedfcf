//! What people are told: who is not taken and why, what cannot be read, which directory does not answer.

use onesync_service::{Configuration, CycleKind};

use crate::office::{self, Office, employee};
use crate::world::{World, person};

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_join_value_is_counted_with_the_reason() {
    let nobody = "{\"anchor\": \"3\", \"type\": \"employee\", \"attributes\": {\"displayName\": \"Cy\"}}\n";
    let office = Office::new(&format!("{}{nobody}", employee(1, "Anna", ""))).await;
    let report = office.cycle(CycleKind::Initial).await;
    let [unplaced] = report.unplaced.as_slice() else { panic!("{:?}", report.unplaced) };
    assert_eq!(
        (unplaced.connector.as_str(), unplaced.object_type.as_str(), unplaced.count),
        ("hr", "employee", 1)
    );
    assert!(unplaced.reason.contains("In from HR") && unplaced.reason.contains("employeeID"), "{unplaced:?}");
    let status = office.service.status().unwrap();
    assert_eq!(status.connectors[0].unplaced, report.unplaced);
    assert_eq!(report.errors, 0, "it is no error");
    let found = office.found("hr", "no join value");
    assert_eq!(found.len(), 1);
    let view = office.service.show(&office.service.runtime().unwrap(), &found[0].0).unwrap();
    assert!(view.state.contains("no join value") && view.why.unwrap().contains("employeeID"));

    office.write(&format!("{}{}", employee(1, "Anna", ""), employee(3, "Cy", "")));
    let report = office.cycle(CycleKind::Delta).await;
    assert_eq!(report.unplaced, []);
    assert_eq!(office.found("hr", "no join value"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_counts_errors_and_names_some() {
    let office = Office::live(&format!("{}{}", employee(1, "Anna", ""), employee(2, "Bo", ""))).await;
    let mut files = office::files();
    let rule = files.get_mut("rules/in-hr.toml").unwrap();
    *rule = String::from_utf8(rule.clone())
        .unwrap()
        .replace(
            "Trim([displayName])",
            "IIF([displayName] = \\\"Bo\\\", Error(\\\"no Bo\\\"), [displayName])",
        )
        .into_bytes();
    let plan = office.service.config_plan(Configuration::parse(files).unwrap()).await.unwrap();
    let count = plan.counts.iter().find(|count| count.what.starts_with("hr: errors")).unwrap();
    assert_eq!((count.before, count.after), (0, 1), "{:?}", plan.counts);
    assert!(plan.errors[0].samples[0].contains("no Bo"), "{:?}", plan.errors);
    assert!(plan.to_string().contains("no Bo"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_counts_disablings() {
    let world = World::new(vec![person(1, "Anna"), person(2, "Bo")]).await;
    let mut files = world.service.config_files(None).unwrap();
    for (path, text) in &mut files {
        if path.starts_with("rules/in-from-ad-user") {
            text.splice(0..0, b"disabled = true\n".to_vec());
        }
    }
    let plan = world.service.config_plan(Configuration::parse(files).unwrap()).await.unwrap();
    let count = plan.counts.iter().find(|count| count.what == "entra: user to disable").unwrap();
    assert_eq!((count.before, count.after), (0, 2), "{:?}", plan.counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_missing_keeps_nobody_from_looking() {
    let mut office = Office::live(&employee(1, "Anna", "")).await;
    std::fs::rename(office.hr(), office.hr().with_extension("away")).unwrap();
    office.reopen().await;
    assert_eq!(office.found("hr", "Anna").len(), 1);
    let status = office.service.status().unwrap();
    assert_eq!(status.configuration, 1);
    let alarm = status.alarms.iter().find(|alarm| alarm.starts_with("`hr` cannot be reached")).unwrap();
    assert!(alarm.contains("hr.jsonl"), "{alarm}");
    assert!(status.connectors[0].unreachable.is_some() && status.connectors[1].unreachable.is_none());

    let report = office.cycle(CycleKind::Delta).await;
    let [failure] = report.failures.as_slice() else { panic!("{:?}", report.failures) };
    assert!(failure.connector == "hr" && failure.message.contains("hr.jsonl"), "{failure:?}");
    assert!(report.steps.iter().any(|step| step.connector == "phone"), "others go on");
    assert!(office.phone().contains("Anna"), "nobody is deleted by guess");

    // As it stands the file is a mistake of a new configuration, and none of the one in force.
    let check = office.service.check(Configuration::parse(office::files()).unwrap()).await.unwrap();
    assert_eq!((check.errors, check.warnings), (0, 1), "{:?}", check.messages);
    let mut files = office::files();
    files.get_mut("connectors/hr.toml").unwrap().extend(b"\n# changed\n");
    let check = office.service.check(Configuration::parse(files).unwrap()).await.unwrap();
    assert_eq!(check.errors, 1, "{:?}", check.messages);

    std::fs::rename(office.hr().with_extension("away"), office.hr()).unwrap();
    let report = office.cycle(CycleKind::Delta).await;
    assert!(report.failures.is_empty(), "it is asked again: {:?}", report.failures);
    assert_eq!(office.service.status().unwrap().alarms, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_cannot_be_read_stand_until_they_are_mended() {
    let office = Office::live(&format!("{}{}", employee(1, "Anna", ""), employee(2, "Bo", ""))).await;
    office.write(&format!("{}{{\"anchor\": \"2\", oops\n", employee(1, "Anna", "")));
    let report = office.cycle(CycleKind::Delta).await;
    assert_eq!(report.errors, 1);
    let errors = office.service.errors(None, 10).unwrap();
    assert!(errors[0].0.ends_with("hr.jsonl:2") && errors[0].1.code == "JSONL-LINE", "{errors:?}");
    let status = office.service.status().unwrap();
    assert_eq!(status.connectors[0].unreadable, 1);
    let alarm = status.alarms.iter().find(|alarm| alarm.contains("cannot be read")).unwrap();
    assert!(alarm.contains("onesync errors hr"), "{alarm}");
    assert!(office.phone().contains("Bo"), "what could not be read is not deleted by guess");

    office.write(&format!("{}{}", employee(1, "Anna", ""), employee(2, "Bo", "")));
    let report = office.cycle(CycleKind::Delta).await;
    assert_eq!((report.errors, office.service.status().unwrap().alarms), (0, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_values_of_ldif_that_cannot_be_read_stand_with_line_and_name() {
    let mut world = World::new(vec![person(1, "Anna"), person(2, "Bo")]).await;
    world.lines(1, "msExchRecipientTypeDetails: soon\n");
    world.write();
    let text = std::fs::read_to_string(world.ldif()).unwrap();
    std::fs::write(world.ldif(), text.replace("objectGUID: guid-00000000002", "objectGUID: short")).unwrap();
    let report = world.cycle(CycleKind::Delta).await;
    let errors = world.service.errors(None, 10).unwrap();
    let codes: Vec<&str> = errors.iter().map(|(_, row)| row.code.as_str()).collect();
    assert_eq!(codes, ["LDIF-VALUE", "LDIF-RECORD"], "{errors:?}");
    assert_eq!(report.errors, 2);
    assert!(errors[0].1.message.contains("`msExchRecipientTypeDetails` of `CN=Anna,"), "{errors:?}");
    assert!(errors[1].1.message.contains("CN=Bo,"), "{errors:?}");
    assert!(errors.iter().all(|(place, _)| place.contains("directory.ldif:")), "{errors:?}");
    assert_eq!(world.cloud_accounts().len(), 2);
    assert!(world.in_cloud(2, "accountEnabled") == true, "nobody is disabled by guess");

    world.lines(1, "");
    world.write();
    assert_eq!(world.cycle(CycleKind::Delta).await.errors, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_all_who_have_a_value_and_show_prefers_the_exact_one() {
    let lines = [employee(77, "Anna", ""), employee(2, "77", ""), employee(3, "Anna Meier", "")].concat();
    let office = Office::live(&lines).await;
    let runtime = office.service.runtime().unwrap();
    assert_eq!(office.service.search_mv(&runtime, "77", 20).unwrap().len(), 2);
    assert_eq!(office.found("hr", "77").len(), 2);
    assert_eq!(office.service.show(&runtime, "anna").unwrap().name, "Anna");
    let several = office.service.show(&runtime, "77").unwrap_err().to_string();
    assert!(several.contains("Anna") && several.contains("person  77"), "{several}");
    assert!(office.service.show(&runtime, "Meier").unwrap().name == "Anna Meier", "else it may be a part");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_name_their_objects_by_a_name_for_people() {
    let office = Office::live(&employee(1, "Anna", "")).await;
    office.write(&employee(1, "Anna Meier", ""));
    let runtime = office.service.runtime().unwrap();
    let phone = runtime.connector("phone").unwrap();
    office.service.staging_on(phone).unwrap();
    office.cycle(CycleKind::Delta).await;
    let pending = office.service.pending(&runtime, phone, 10).unwrap();
    assert_eq!(pending[0].object, "Anna [1]");
    let plan = office.service.staging_plan(&runtime, phone).unwrap();
    assert!(plan.groups[0].samples[0].starts_with("Anna [1]: "), "{plan:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_has_what_was_sent_and_why_somebody_left() {
    let mut world = World::new(vec![person(1, "Anna"), person(2, "Bo")]).await;
    let events = |world: &World| -> Vec<String> {
        let runtime = world.service.runtime().unwrap();
        let rows = world.service.history(&runtime, "u2@contoso.com", 100).unwrap();
        rows.into_iter().filter_map(|row| row.event).collect()
    };
    assert!(events(&world).iter().any(|event| event.starts_with("exported to `entra`: created")));
    world.people.truncate(1);
    world.step().await;
    let told = events(&world);
    let left = told.iter().find(|event| event.starts_with("leaving: ")).unwrap();
    assert!(left.contains("CN=Bo") && left.ends_with("was deleted at the source"), "{left}");
    assert!(told.iter().any(|event| event == "exported to `entra`: disabled"), "{told:?}");
}
