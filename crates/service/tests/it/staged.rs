//! A staging server and the active one: two installations on the same directories, compared by a file.

use std::path::{Path, PathBuf};

use onesync_engine::Changes;
use onesync_graphsim::DEFAULT_CLIENT_SECRET;
use onesync_model::Hash128;
use onesync_service::{
    Configuration, ConnectorDiff, CycleKind, FirstContact, Service, ServiceError, StagingDiff, Status, Step,
    events,
};
use onesync_store::{HeldPlanRow, HeldState, ServiceChanges};

use crate::world::{World, person};

/// The rule that says who is in the cloud, and what makes its scope narrower.
const RULE: &str = "rules/out-to-entra-user-join.toml";
const CLAUSE: &str = "{ attribute = \"accountEnabled\", operator = \"ISNOTNULL\" },\n";
const NARROWER: &str = "{ attribute = \"accountEnabled\", operator = \"ISNOTNULL\" },\n\
                        { attribute = \"department\", operator = \"NOTEQUAL\", value = \"Lab\" },\n";

/// Both servers. Who leaves is deleted at once.
struct Pair {
    world: World,
    staging: Service,
}

impl Pair {
    /// Six people, two of them in the lab; both servers have read everything.
    async fn new() -> Self {
        let pair = Self::apart().await;
        pair.staging.cycle(CycleKind::Initial, &|_| ()).await.unwrap();
        pair
    }

    /// The same, and the staging server has read nothing yet.
    async fn apart() -> Self {
        let people = (1..=6).map(|n| person(n, &format!("Person {n}"))).collect();
        let mut world = World::staging_with(people, |setup| {
            setup.embedded = true;
            setup.cloud("[types.user]\ndeprovision = \"delete\"\n");
        })
        .await;
        for n in [5, 6] {
            world.person(n).department = "Lab".into();
        }
        world.write();
        world.go_live().await;
        world.step().await;
        let staging = world.rival().await;
        Self { world, staging }
    }

    /// The file of the active server.
    fn plan(&self, name: &str) -> PathBuf {
        let file = self.world.beside(name);
        tokio::task::block_in_place(|| self.world.service.export_plan(&file)).unwrap();
        file
    }

    fn try_diff(&self, file: &Path) -> Result<StagingDiff, ServiceError> {
        tokio::task::block_in_place(|| self.staging.staging_diff(file, 10))
    }

    fn diff(&self, name: &str) -> StagingDiff {
        self.try_diff(&self.plan(name)).unwrap()
    }

    /// Has the staging server go live, if it may.
    fn leave(&self, accepted: Option<&str>) -> Result<(), ServiceError> {
        let runtime = self.staging.runtime().unwrap();
        let cloud = runtime.connector("entra").unwrap();
        let hash = self.staging.staging_plan(&runtime, cloud).unwrap().hash;
        self.staging.staging_off_accepting(&runtime, cloud, &hash, accepted)
    }

    fn refused(&self, accepted: Option<&str>) -> String {
        let error = self.leave(accepted).unwrap_err();
        assert_eq!(error.status(), Status::Held, "{error}");
        let runtime = self.staging.runtime().unwrap();
        assert!(self.staging.is_staging(runtime.connector("entra").unwrap()).unwrap());
        format!("{error}\n{}", error.hint().unwrap())
    }

    fn back_to_staging(&self) {
        let runtime = self.staging.runtime().unwrap();
        self.staging.staging_on(runtime.connector("entra").unwrap()).unwrap();
    }

    async fn set(&self, path: &str, from: &str, to: &str) {
        set(&self.staging, path, from, to).await;
    }

    async fn stage(&self) {
        self.staging.cycle(CycleKind::Delta, &|_| ()).await.unwrap();
    }
}

/// Applies the configuration in force with one text replaced.
async fn set(service: &Service, path: &str, from: &str, to: &str) {
    let mut files = service.config_files(None).unwrap();
    let text = String::from_utf8(files[path].clone()).unwrap();
    assert!(text.contains(from), "{path} has no `{from}`");
    files.insert(path.to_owned(), text.replace(from, to).into_bytes());
    service.apply(Configuration::parse(files).unwrap(), "test").await.unwrap();
}

/// Has a server read and compute, and export nothing.
async fn read(service: &Service) {
    for step in [Step::FullImport, Step::FullSync] {
        for connector in ["directory", "entra"] {
            service.run_step(connector, step, &|_| ()).await.unwrap();
        }
    }
}

fn entra(diff: &StagingDiff) -> &ConnectorDiff {
    let [one] = diff.connectors.as_slice() else { panic!("{diff:#?}") };
    one
}

fn group<'d>(diff: &'d StagingDiff, what: &str) -> &'d FirstContact {
    let found = entra(diff).groups.iter().find(|group| group.what == what);
    found.unwrap_or_else(|| panic!("{what}: {diff:#?}"))
}

fn sections(diff: &StagingDiff) -> Vec<(&str, &str)> {
    diff.settings.iter().map(|d| (d.section.as_str(), d.what.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_that_are_equal_have_nothing_to_tell() {
    let pair = Pair::new().await;
    assert_eq!(pair.staging.staging_compared().unwrap(), None);
    let diff = pair.diff("plan");
    assert_eq!(diff.status(), Status::Done, "{diff:#?}");
    assert_eq!((diff.warnings.len(), diff.settings.len(), entra(&diff).groups.len()), (0, 0, 0), "{diff:#?}");
    assert!(entra(&diff).unexplained.hash.is_empty() && entra(&diff).imported_there.is_some());

    // The file is its owner's, is never written over, and holds no secret.
    let file = pair.world.beside("plan");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&file).unwrap();
    assert_eq!(pair.world.service.export_plan(&file).unwrap_err().status(), Status::Usage);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let text = String::from_utf8(zstd::stream::decode_all(&before[15..before.len() - 48]).unwrap()).unwrap();
    assert!(text.contains("u6@contoso.com") && !text.contains(DEFAULT_CLIENT_SECRET), "{text}");

    // What is remembered is shown, and nothing stands in the way.
    let kept = pair.staging.status().unwrap().compared.unwrap();
    assert_eq!((kept.settings, kept.connectors.len()), (0, 1), "{kept:?}");
    assert!(kept.words().contains("nothing unexplained"), "{}", kept.words());
    pair.leave(None).unwrap();

    // What both would create, or change alike, is no difference: found by the create key.
    pair.back_to_staging();
    let mut world = pair.world;
    world.people.push(person(7, "Newcomer"));
    world.person(1).department = "Research".into();
    world.write();
    read(&world.service).await;
    let pair = Pair { world, ..pair };
    pair.stage().await;
    let diff = pair.diff("second");
    assert_eq!(diff.status(), Status::Done, "{diff:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_scope_takes_nobody_away_unexplained() {
    let mut pair = Pair::new().await;
    pair.set(RULE, CLAUSE, NARROWER).await;
    pair.stage().await;
    let told = pair.refused(None);
    for part in [
        "2 objects deleted",
        "delete user `",
        "no comparison with an active server",
        "export-plan",
        "--accept",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let first = pair.diff("first");
    assert_eq!(first.status(), Status::Held);
    assert_eq!((entra(&first).unexplained.count, entra(&first).explained), (2, 0), "{first:#?}");
    assert_eq!(sections(&first), [("rule", "`Out to Entra - User Join` (outbound, kind:graph, user)")]);
    let hash = entra(&first).unexplained.hash.clone();
    let told = pair.refused(None);
    for part in
        [&*hash, "the active server (installation", "does not do that", "1 settings differ", "Out to Entra"]
    {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(pair.refused(Some("0123")).contains("has changed since"));

    // Another one goes to the lab: that is another set, which nobody has accepted.
    pair.world.person(4).department = "Lab".into();
    pair.world.write();
    pair.stage().await;
    let told = pair.refused(Some(&hash));
    assert!(told.contains("has changed since") && told.contains("3 objects deleted"), "{told}");
    let second = pair.diff("second");
    let accepted = entra(&second).unexplained.hash.clone();
    assert_ne!(accepted, hash);
    pair.leave(Some(&accepted)).unwrap();
    let (store, _) = pair.staging.home().open().unwrap();
    let events = store.reader().unwrap().events(None, 2).unwrap();
    let words: Vec<&str> = events.iter().map(|row| row.event.kind.as_str()).collect();
    assert_eq!(words, [events::STAGING_OFF.word, events::STAGING_ACCEPTED.word]);
    let text = &events[1].event.text;
    assert!(text.contains(&accepted) && text.contains("3 objects deleted"), "{text}");

    // When the active server is about to delete the same, it is explained.
    pair.back_to_staging();
    set(&pair.world.service, RULE, CLAUSE, NARROWER).await;
    read(&pair.world.service).await;
    assert!(pair.refused(None).contains("3 objects deleted"), "by the last comparison they are not");
    let third = pair.diff("third");
    assert_eq!(third.status(), Status::Done, "{third:#?}");
    assert_eq!((entra(&third).unexplained.count, entra(&third).explained), (0, 3));
    pair.leave(None).unwrap();

    // What a person has rejected there explains nothing.
    pair.back_to_staging();
    let runtime = pair.world.service.runtime().unwrap();
    let pending = pair.world.service.pending(&runtime, runtime.connector("entra").unwrap(), 100).unwrap();
    let delete = pending.iter().find(|change| change.operation == "delete").unwrap();
    reject(&pair.world.service, &delete.hash);
    let fourth = pair.diff("fourth");
    assert_eq!((entra(&fourth).unexplained.count, entra(&fourth).explained), (1, 2), "{fourth:#?}");
}

/// As if a protection had held a change, and a person had said that it must not go.
fn reject(service: &Service, hash: &str) {
    let runtime = service.runtime().unwrap();
    let hash = Hash128::parse(hash).unwrap();
    let plan = HeldPlanRow {
        hash,
        connector: runtime.connector("entra").unwrap().id,
        object_type: runtime.names.find_type("user").unwrap(),
        reason: "test".to_owned(),
        items: vec![hash],
        state: HeldState::Rejected,
        created: service.now(),
        who: None,
        decided: None,
    };
    let (store, _) = service.home().open().unwrap();
    store.record(1, &ServiceChanges { held: vec![plan], ..ServiceChanges::default() }).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_only_the_active_server_manages_is_told_and_who_would_lose_a_membership() {
    let mut pair = Pair::apart().await;
    pair.set(RULE, CLAUSE, NARROWER).await;
    pair.staging.cycle(CycleKind::Initial, &|_| ()).await.unwrap();
    let diff = pair.diff("plan");
    assert_eq!(diff.status(), Status::ObjectErrors, "{diff:#?}");
    let abandoned = group(&diff, "managed only there: a switch-over abandons them");
    assert_eq!((abandoned.count, abandoned.object_type.as_str()), (2, "user"), "{diff:#?}");
    assert_eq!(abandoned.samples, ["u5@contoso.com", "u6@contoso.com"]);

    // A member who is out on one server only locks somebody out.
    pair.world.groups[0].1.retain(|n| *n != 3);
    pair.world.write();
    pair.stage().await;
    let diff = pair.diff("member");
    let taken = &entra(&diff).unexplained;
    assert_eq!((diff.status(), taken.words.as_str()), (Status::Held, "1 member removed"), "{diff:#?}");
    assert!(taken.samples[0].starts_with("remove `u3@contoso.com` from `members` of `Everyone"), "{taken:?}");
    assert!(pair.refused(None).contains("1 member removed"));
    read(&pair.world.service).await;
    let diff = pair.diff("both");
    assert_eq!((entra(&diff).unexplained.count, entra(&diff).explained), (0, 1), "{diff:#?}");
    pair.leave(None).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn other_settings_and_other_changes_are_told() {
    let mut pair = Pair::new().await;
    let cloud = "connectors/entra.toml";
    pair.set(cloud, "secret = \"graph\"\n", "secret = \"graph\"\nunverified_suffix = \"default-domain\"\n")
        .await;
    let limits = "deprovision = \"delete\"\nlimits = { day = { count = 5, percent = 1, at_least = 1 } }\n";
    pair.set(cloud, "deprovision = \"delete\"\n", limits).await;
    pair.set(RULE, "precedence    = 123", "precedence    = 122").await;
    pair.stage().await;
    let diff = pair.diff("settings");
    assert_eq!(diff.status(), Status::ObjectErrors, "{diff:#?}");
    assert_eq!(
        sections(&diff),
        [
            ("precedence", "`Out to Entra - User Join` (outbound, kind:graph, user)"),
            ("option", "entra: settings.unverified_suffix"),
            ("threshold", "entra: user, day"),
        ]
    );
    assert_eq!((diff.settings[1].here.as_deref(), &diff.settings[1].there), (Some("default-domain"), &None));
    let kept = pair.staging.staging_compared().unwrap().unwrap();
    assert!(kept.settings == 3 && kept.setting_samples[1].contains("unverified_suffix"), "{kept:?}");

    // One server has read what the other has not.
    pair.world.person(1).department = "Research".into();
    pair.world.write();
    pair.world.clock.advance_seconds(3 * 3_600);
    read(&pair.world.service).await;
    let there = pair.diff("there");
    assert_eq!(group(&there, "only there: update").samples, ["u1@contoso.com: department -> \"Research\""]);
    assert!(
        there.warnings.iter().any(|w| w.contains("`directory` was read 3 hours earlier here")),
        "{there:#?}"
    );
    pair.world.person(1).department = "Office".into();
    pair.world.person(2).department = "Office".into();
    pair.world.write();
    pair.stage().await;
    let both = pair.diff("both");
    let different = group(&both, "pending on both, and different");
    assert_eq!(different.samples, ["u1@contoso.com: department: \"Office\" here, \"Research\" there"]);
    assert_eq!(group(&both, "only here: update").count, 1);
    // A file of the day before yesterday.
    pair.world.clock.advance_seconds(2 * 86_400);
    let old = pair.try_diff(&pair.world.beside("both")).unwrap();
    assert!(old.warnings.iter().any(|w| w.contains("is 2 days old")), "{old:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_fits_not_is_refused_and_nothing_is_remembered() {
    let pair = Pair::new().await;
    let file = pair.plan("plan");
    let refused = |service: &Service, file: &Path| {
        let error = tokio::task::block_in_place(|| service.staging_diff(file, 10)).unwrap_err();
        assert_eq!(error.status(), Status::Usage, "{error}");
        assert!(error.hint().is_some());
        error.to_string()
    };
    assert!(refused(&pair.world.service, &file).contains("this very installation"));
    let whole = std::fs::read(&file).unwrap();
    let other = pair.world.beside("other");
    std::fs::write(&other, &whole[..whole.len() / 2]).unwrap();
    assert!(refused(&pair.staging, &other).contains("never finished, or was cut"));
    let mut later = whole.clone();
    later[13] = b'2';
    std::fs::write(&other, later).unwrap();
    assert!(refused(&pair.staging, &other).contains("it has form 2, this program knows form 1"));
    std::fs::write(&other, "some text").unwrap();
    assert!(refused(&pair.staging, &other).contains("none that `onesync staging export-plan` wrote"));

    let (store, _) = pair.staging.home().open().unwrap();
    let entra = pair.staging.runtime().unwrap().connector("entra").unwrap().id;
    let target = |name: &[u8]| {
        let states = vec![(entra, "target".to_owned(), Some(name.to_vec()))];
        store.apply(1, &Changes { states, ..Changes::default() }).unwrap();
    };
    let known = store.reader().unwrap().state(entra, "target").unwrap().unwrap();
    target(b"tenant of others");
    let told = refused(&pair.staging, &file);
    assert!(told.contains("another target: tenant of others here, tenant "), "{told}");
    target(&known);
    assert_eq!(pair.staging.staging_compared().unwrap(), None);
    pair.set("connectors/entra.toml", "name = \"entra\"", "name = \"cloud\"").await;
    let told = refused(&pair.staging, &file);
    assert!(told.contains("writes to a connector `cloud`"), "{told}");
}
