//! What is missing or of no use stops what needs it, and nothing else: secrets, the key set, files.

use onesync_service::{CycleKind, ServiceError, Status, StatusReport};

use crate::world::{World, person};

async fn small() -> World {
    World::new(vec![person(1, "Person 1"), person(2, "Person 2")]).await
}

fn alarmed(report: &StatusReport, word: &str) -> bool {
    report.alarms.iter().any(|alarm| alarm.contains(word))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_secret_can_be_set_again() {
    let world = small().await;
    world.service.remove_secret("graph").unwrap();
    let service = world.reopen().await;
    assert!(alarmed(&service.status().unwrap(), "`graph`"));
    let error = service.test_connector("entra").await.unwrap_err();
    assert_eq!((error.status(), error.hint()), (Status::Failed, Some("run `onesync secret set graph`")));
    let report = service.cycle(CycleKind::Delta, &|_| ()).await.unwrap();
    assert_eq!(report.status, Some(Status::Failed));
    assert_eq!(report.failures.len(), 1, "the directory is read all the same: {:?}", report.failures);
    service.set_secret("graph", onesync_graphsim::DEFAULT_CLIENT_SECRET.as_bytes()).unwrap();
    let report = world.reopen().await.cycle(CycleKind::Delta, &|_| ()).await.unwrap();
    assert_eq!(report.status, Some(Status::Done), "{:?}", report.failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_key_set_holds_what_needs_a_secret() {
    let world = small().await;
    let key_set = world.service.home().key_set();
    let kept = std::fs::read(&key_set).unwrap();
    std::fs::remove_file(&key_set).unwrap();
    let service = world.reopen().await;
    let report = service.cycle(CycleKind::Delta, &|_| ()).await.unwrap();
    assert_eq!(report.status, Some(Status::Held));
    assert!(service.status().unwrap().key_set.contains("missing"));
    assert_eq!(service.set_secret("graph", b"x").unwrap_err().status(), Status::Held);
    // Another key set is no better.
    onesync_vault::Vault::create(&key_set, &onesync_vault::Kek::default(), "").unwrap();
    let error = world.reopen().await.test_connector("entra").await.unwrap_err();
    assert_eq!(error.status(), Status::Held);
    std::fs::write(&key_set, kept).unwrap();
    let report = world.reopen().await.cycle(CycleKind::Delta, &|_| ()).await.unwrap();
    assert_eq!(report.status, Some(Status::Done), "{:?}", report.failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_used_is_named_and_can_be_replaced() {
    let world = small().await;
    let text = std::fs::read(world.ldif()).unwrap();
    std::fs::remove_file(world.ldif()).unwrap();
    world.forget_answers();
    let service = world.reopen().await;
    let error = service.runtime().err().unwrap();
    assert!(
        matches!(&error, ServiceError::Config { message, hint: Some(_) } if message.contains("directory.ldif")),
        "{error}"
    );
    assert!(alarmed(&service.status().unwrap(), "directory.ldif"));
    assert_eq!(service.secrets().unwrap().len(), 1);
    let same = onesync_service::Configuration::parse(service.config_files(None).unwrap()).unwrap();
    assert!(service.apply(same.clone(), "test").await.is_err(), "applying the same does not hide it");
    std::fs::write(world.ldif(), text).unwrap();
    service.apply(same, "test").await.unwrap();
    assert!(service.runtime().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_is_left_only_with_a_plan_of_a_directory_that_was_read() {
    let world = World::staging(vec![person(1, "Person 1")]).await;
    let runtime = world.service.runtime().unwrap();
    let (source, cloud) = (runtime.connector("directory").unwrap(), runtime.connector("entra").unwrap());
    let plan = world.service.plan_hash(cloud).unwrap().to_string();
    let error = world.service.staging_off(&runtime, cloud, &plan).unwrap_err();
    assert_eq!(error.status(), Status::Held);
    assert!(error.to_string().contains("never read"), "{error}");
    assert_eq!(world.service.staging_on(source).unwrap_err().status(), Status::Usage);
    world.cycle(CycleKind::Initial).await;
    assert!(world.service.staging_off(&runtime, cloud, "").is_err());
    let plan = world.service.staging_plan(&runtime, cloud).unwrap();
    world.service.staging_off(&runtime, cloud, &plan.hash).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_files_and_numbers() {
    let world = small().await;
    let mut files = world.service.config_files(None).unwrap();
    let rule = files.get_mut("rules/in-from-ad-user-common.toml").unwrap();
    let text = String::from_utf8(rule.clone()).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("department ")).collect();
    assert!(without.len() < text.lines().count());
    *rule = without.join("\n").into_bytes();
    let changed = onesync_service::Configuration::parse(files).unwrap();
    let plan = world.service.config_plan(changed).await.unwrap();
    let shown = plan.to_string();
    assert!(shown.contains("changed  rules/in-from-ad-user-common.toml"), "{shown}");
    assert!(shown.contains("entra: user to update: 0 -> 2"), "{shown}");
    let same = onesync_service::Configuration::parse(world.service.config_files(None).unwrap()).unwrap();
    assert_eq!(
        world.service.config_plan(same).await.unwrap().to_string(),
        "it is the configuration in force"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_with_errors_is_refused_with_its_errors_alone() {
    let world = small().await;
    let mut files = world.service.config_files(None).unwrap();
    let rule = files.get_mut("rules/in-from-ad-user-common.toml").unwrap();
    *rule = String::from_utf8(rule.clone()).unwrap().replace("[department]", "[departmnet]").into_bytes();
    let wrong = onesync_service::Configuration::parse(files).unwrap();
    let error = world.service.apply(wrong, "test").await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("the connector's schema has no attribute `departmnet`"), "{text}");
    assert!(text.contains("rules/in-from-ad-user-common.toml:") && !text.contains("note:"), "{text}");
    assert_eq!((error.status(), world.service.config_history().unwrap().len()), (Status::Failed, 1));
}

/// What `config init` writes can be applied as it is, but for the secrets.
#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_configurations_have_no_errors() {
    let world = small().await;
    // The templates name files in the home.
    let home = world.service.home().folder();
    for name in ["directory", "directory-2"] {
        std::fs::copy(world.ldif(), home.join(format!("{name}.ldif"))).unwrap();
        std::fs::write(home.join(format!("{name}.jsonl")), "").unwrap();
    }
    for topology in ["single-forest", "multi-forest-mail", "account-resource"] {
        for source in ["ad", "ldif", "jsonl"] {
            let files = onesync_service::template(topology, source).unwrap();
            let files = files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
            let configuration = onesync_service::Configuration::parse(files).unwrap();
            let check = world.service.check(configuration.clone()).await.unwrap();
            let found: Vec<_> = check.messages.iter().filter(|m| !m.starts_with("note")).collect();
            assert!(found.iter().all(|m| m.contains("is not stored yet")), "{topology}, {source}: {found:?}");
            let report = world.service.rule_test(Some(configuration)).await.unwrap();
            assert_eq!(report.failures, [], "{topology}, {source}");
            assert_eq!((report.not_run, report.tests), (vec![], check.examples), "{topology}, {source}");
            // Each shipped rule has examples, and each branch of what they compute is taken by one.
            for rule in report.rules {
                let branches: Vec<_> = rule.missing.iter().filter(|m| m.contains(": the branch")).collect();
                assert!(rule.tests > 0 && branches.is_empty(), "{topology}, {source}: {rule:?}");
            }
        }
    }
}
