//! Run profiles: steps in their order, ended by one that fails; mistakes in them are found before anything runs.

use onesync_service::{Configuration, CycleReport, Status, Step};

use crate::world::{World, person};

fn steps(report: &CycleReport) -> Vec<Step> {
    report.steps.iter().map(|run| run.step).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_runs_its_steps_in_order_and_ends_at_one_that_is_held_back() {
    let world = World::staging_with((1..=3).map(|n| person(n, &format!("Person {n}"))).collect(), |setup| {
        setup.top = "[profiles]\nnight = [\"full-import\", \"export\", \"delta-sync\"]\n".into();
    })
    .await;
    world.cycle(onesync_service::CycleKind::Initial).await;
    let held = world.service.run_profile("entra", "night", &|_| ()).await.unwrap();
    assert_eq!(steps(&held), [Step::FullImport]);
    assert_eq!((held.failures.len(), held.failures[0].step), (1, Step::Export));
    assert_eq!(held.status, Some(Status::Held));

    world.activate();
    let done = world.service.run_profile("entra", "night", &|_| ()).await.unwrap();
    assert_eq!(steps(&done), [Step::FullImport, Step::Export, Step::DeltaSync]);
    // three people and the group they are all in
    assert_eq!((done.exported.add, done.status), (4, Some(Status::Done)));

    let error = world.service.run_profile("entra", "nihgt", &|_| ()).await.unwrap_err();
    let told = format!("{error} {}", error.hint().unwrap_or_default());
    assert!(told.contains("`nihgt`") && told.contains("night") && told.contains("delta-import"), "{told}");
    assert_eq!(error.status(), Status::Usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_profiles_are_found_by_the_check() {
    let world = World::staging(vec![person(1, "Person 1")]).await;
    let with = |path: &str, profiles: &str| {
        let mut files = world.configuration("").files;
        let text = String::from_utf8(files[path].clone()).unwrap();
        let text = text.replace("[settings]", &format!("[profiles]\n{profiles}\n[settings]"));
        files.insert(path.to_owned(), text.into_bytes());
        Configuration::parse(files)
    };
    for (profiles, wrong) in [
        ("night = [\"fulimport\"]", "fulimport"),
        ("night = []", "has no steps"),
        ("export = [\"export\"]", "is a step"),
        ("\"\" = [\"export\"]", "needs a name"),
    ] {
        let error = with("connectors/entra.toml", profiles).unwrap_err().to_string();
        assert!(error.contains(wrong) && error.contains("connectors/entra.toml:5:"), "{profiles}: {error}");
    }
    // what a directory can do is known to its connector only
    let reader = with("connectors/source.toml", "night = [\"full-import\", \"export\"]").unwrap();
    let check = world.service.check(reader).await.unwrap();
    let told = check.messages.join("\n");
    assert!(check.errors == 1 && told.contains("source.toml:5:") && told.contains("only reads"), "{told}");
}
