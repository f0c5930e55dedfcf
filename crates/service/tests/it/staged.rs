//! A staging server and the active one: two installations on the same directories, compared by a file.

use std::path::{Path, PathBuf};

use onesync_engine::{AgendaRow, ChangeState, Changes, CsFlags, CsRow, ExportRow, Turn, Work};
use onesync_graphsim::DEFAULT_CLIENT_SECRET;
use onesync_model::{ConnectorId, CsId, Hash128, Time, TypeId};
use onesync_service::{
    Configuration, ConnectorDiff, CycleKind, FirstContact, Service, ServiceError, StagingDiff, Status, Step,
    events,
};
use onesync_store::{ExportFilter, HeldPlanRow, HeldState, ServiceChanges};

use crate::world::{World, person};

const CLOUD: &str = "connectors/entra.toml";
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

    /// Has both servers leave the lab out, one of them after the other.
    async fn both_narrower(&self) {
        self.set(RULE, CLAUSE, NARROWER).await;
        self.stage().await;
        set(&self.world.service, RULE, CLAUSE, NARROWER).await;
        read(&self.world.service).await;
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

/// What a file says, as text.
fn text_of(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap();
    String::from_utf8(zstd::stream::decode_all(&bytes[15..bytes.len() - 48]).unwrap()).unwrap()
}

/// Sets the rows of the deletions that a server owes to the cloud, in the order of their rows, and those of their objects.
fn tamper(service: &Service, change: impl Fn(usize, &mut ExportRow, &mut CsRow)) {
    let entra = service.runtime().unwrap().connector("entra").unwrap().id;
    let (store, _) = service.home().open().unwrap();
    let filter = ExportFilter { kinds: ExportRow::KIND_DELETE, ..ExportFilter::default() };
    let mut changes = Changes::default();
    {
        let reader = store.reader().unwrap();
        for (index, mut export) in
            reader.exports_page(entra, filter, CsId(i64::MIN), 10).unwrap().into_iter().enumerate()
        {
            let mut row = reader.cs_by_id(&[export.cs]).unwrap().remove(0);
            change(index, &mut export, &mut row);
            changes.exports.push(export);
            changes.cs.push(row);
        }
    }
    assert_eq!(changes.exports.len(), 2);
    store.apply(1, &changes).unwrap();
}

fn counts(diff: &StagingDiff) -> (u64, u64) {
    (entra(diff).unexplained.count, entra(diff).explained)
}

fn not_kept(diff: &StagingDiff) -> &str {
    diff.not_kept.as_deref().unwrap_or_default()
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
    let text = text_of(&file);
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
    let cloud = CLOUD;
    pair.set(cloud, "secret = \"graph\"\n", "secret = \"graph\"\nunverified_suffix = \"default-domain\"\n")
        .await;
    // How a server gets to a directory is its own.
    pair.set("connectors/source.toml", "../directory.ldif", "./../directory.ldif").await;
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
    assert!(kept.settings == 3 && kept.setting_samples[0].contains("unverified_suffix"), "{kept:?}");
    assert!(kept.setting_samples[2].starts_with("precedence"), "{kept:?}");

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

    // Not even the name of a secret is told.
    pair.world.service.set_secret("hidden-name", DEFAULT_CLIENT_SECRET.as_bytes()).unwrap();
    set(&pair.world.service, cloud, "secret = \"graph\"", "secret = \"hidden-name\"").await;
    let text = text_of(&pair.plan("named"));
    assert!(text.contains("settings.tenant") && !text.contains("hidden-name"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_computed_yet_is_in_no_plan_and_leaves_no_staging() {
    let mut pair = Pair::new().await;
    pair.set(RULE, CLAUSE, NARROWER).await;
    let told = pair.refused(None);
    assert!(told.contains("was not synchronised by the rules") && told.contains("`onesync cycle`"), "{told}");
    let diff = pair.diff("rules");
    assert!(not_kept(&diff).contains("this server has not computed its plan"), "{diff:#?}");
    assert!(diff.warnings.iter().any(|w| w.contains("not what this server will do")), "{diff:#?}");
    assert_eq!(pair.staging.staging_compared().unwrap(), None);
    pair.stage().await;

    // What was read and not synchronised.
    pair.world.person(4).department = "Lab".into();
    pair.world.write();
    pair.staging.run_step("directory", Step::FullImport, &|_| ()).await.unwrap();
    let told = pair.refused(None);
    assert!(told.contains("changes were not looked at yet"), "{told}");
    pair.stage().await;
    assert!(pair.refused(None).contains("3 objects deleted"));

    // The same there.
    set(&pair.world.service, RULE, CLAUSE, NARROWER).await;
    let diff = pair.diff("there");
    assert!(not_kept(&diff).contains("the other server had not computed its plan"), "{diff:#?}");
    assert!(diff.warnings.iter().any(|w| w.contains("not what the other server will do")), "{diff:#?}");
    read(&pair.world.service).await;
    assert_eq!(counts(&pair.diff("computed")), (0, 3));

    // An import that was not complete has nobody gone; what is said of a connector that is no more is never done.
    let (store, _) = pair.staging.home().open().unwrap();
    let directory = pair.staging.runtime().unwrap().connector("directory").unwrap().id;
    let unproven = |value: Option<&[u8]>| {
        let states = vec![(directory, "unproven-import".to_owned(), value.map(<[u8]>::to_vec))];
        let turn = Turn::new(true, TypeId(1), None, CsId(1));
        let stray =
            AgendaRow { connector: ConnectorId(99), work: Work::Identity(turn), not_before: Time::default() };
        store.apply(1, &Changes { states, agenda: vec![stray], ..Changes::default() }).unwrap();
    };
    unproven(Some(b"the file was cut"));
    let told = pair.refused(None);
    assert!(told.contains("not complete") && told.contains("the file was cut"), "{told}");
    unproven(None);
    pair.leave(None).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_told_before_its_grace_time_is_over() {
    let pair = Pair::new().await;
    let at_once = "deprovision = \"delete\"\n";
    let later = "deprovision = \"delete\"\ngrace = \"30d\"\n";
    for service in [&pair.staging, &pair.world.service] {
        set(service, CLOUD, at_once, later).await;
    }
    read(&pair.world.service).await;
    pair.set(RULE, CLAUSE, NARROWER).await;
    pair.stage().await;
    let runtime = pair.staging.runtime().unwrap();
    let pending = pair.staging.pending(&runtime, runtime.connector("entra").unwrap(), 100).unwrap();
    assert!(pending.is_empty(), "nothing is owed yet: {pending:?}");
    let diff = pair.diff("grace");
    let taken = &entra(&diff).unexplained;
    assert_eq!((diff.status(), taken.words.as_str()), (Status::Held, "2 objects deleted"), "{diff:#?}");
    assert!(taken.samples[0].contains("` at 20"), "{taken:?}");
    let told = pair.refused(None);
    assert!(told.contains("2 objects deleted") && told.contains(&taken.hash), "{told}");

    // It is explained by the same there, and not by one that is much later.
    set(&pair.world.service, RULE, CLAUSE, NARROWER).await;
    read(&pair.world.service).await;
    let same = pair.diff("same");
    assert_eq!((same.status(), counts(&same)), (Status::Done, (0, 2)), "{same:#?}");
    pair.leave(None).unwrap();
    set(&pair.world.service, CLOUD, "30d", "60d").await;
    read(&pair.world.service).await;
    assert_eq!(counts(&pair.diff("later")), (2, 0));
    pair.set(RULE, NARROWER, CLAUSE).await;
    pair.stage().await;
    let diff = pair.diff("there");
    let only = group(&diff, "only there: delete when the grace time is over");
    assert_eq!((only.count, counts(&diff)), (2, (0, 0)), "{diff:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_off_already_is_told_when_it_will_be_deleted() {
    let mut pair = Pair::new().await;
    for service in [&pair.staging, &pair.world.service] {
        set(service, CLOUD, "deprovision = \"delete\"\n", "deprovision = \"disable-then-delete\"\n").await;
    }
    pair.world.person(5).enabled = false;
    pair.world.step().await;
    assert_eq!(pair.world.in_cloud(5, "accountEnabled"), false);
    pair.set(RULE, CLAUSE, NARROWER).await;
    pair.stage().await;
    let diff = pair.diff("plan");
    assert_eq!(entra(&diff).unexplained.words, "2 objects deleted, 1 account disabled", "{diff:#?}");
    let hash = entra(&diff).unexplained.hash.clone();
    assert!(pair.refused(None).contains(&hash));
    pair.leave(Some(&hash)).unwrap();
    pair.back_to_staging();

    // The active server has disabled them meanwhile, which this one has not seen, and will delete them.
    set(&pair.world.service, RULE, CLAUSE, NARROWER).await;
    pair.world.step().await;
    assert_eq!(pair.world.in_cloud(6, "accountEnabled"), false);
    let diff = pair.diff("both");
    assert_eq!(counts(&diff), (0, 3), "{diff:#?}");
    pair.leave(None).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_active_server_does_not_do_explains_nothing() {
    let pair = Pair::new().await;
    pair.both_narrower().await;
    assert_eq!(counts(&pair.diff("pending")), (0, 2));
    tamper(&pair.world.service, |index, export, _| match index {
        0 => export.held = true,
        _ => export.state = ChangeState::Refused,
    });
    let diff = pair.diff("stopped");
    assert_eq!((diff.status(), counts(&diff)), (Status::Held, (2, 0)), "{diff:#?}");
    for what in ["a protection holds it there", "the target refuses it there"] {
        let groups: Vec<_> = entra(&diff).groups.iter().filter(|group| group.what.contains(what)).collect();
        assert!(matches!(groups[..], [one] if one.count == 1 && one.samples.len() == 1), "{what}: {diff:#?}");
    }
    assert!(pair.refused(None).contains("2 objects deleted"));
    pair.leave(Some(&entra(&diff).unexplained.hash)).unwrap();
    pair.back_to_staging();

    // Whom a server protects it does not delete, nor whom another system masters.
    let shielded = |index: usize, export: &mut ExportRow, row: &mut CsRow| {
        (export.held, export.state) = (false, ChangeState::Pending);
        row.flags.0 |= [CsFlags::PROTECTED, CsFlags::MASTERED_ELSEWHERE][index].0;
    };
    tamper(&pair.world.service, shielded);
    let diff = pair.diff("shielded there");
    assert_eq!(counts(&diff), (2, 0), "{diff:#?}");
    tamper(&pair.staging, shielded);
    assert_eq!(counts(&pair.diff("and here")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_does_not_last() {
    let pair = Pair::new().await;
    pair.both_narrower().await;
    assert_eq!(counts(&pair.diff("first")), (0, 2));
    pair.world.clock.advance_seconds(2 * 86_400);
    let told = pair.refused(None);
    assert!(told.contains("2 objects deleted") && told.contains("counts for 24 hours"), "{told}");
    let old = pair.try_diff(&pair.world.beside("first")).unwrap();
    assert!(not_kept(&old).contains("not of the last 24 hours"), "{old:#?}");
    assert!(pair.refused(None).contains("counts for 24 hours"));

    // With other settings it is another plan; so it is after the other server has written.
    assert_eq!(pair.diff("second").not_kept, None);
    pair.set(CLOUD, "secret = \"graph\"\n", "secret = \"graph\"\nunverified_suffix = \"default-domain\"\n")
        .await;
    pair.stage().await;
    let told = pair.refused(None);
    assert!(told.contains("since the last comparison the configuration was changed"), "{told}");
    assert_eq!(counts(&pair.diff("third")), (0, 2));
    pair.leave(None).unwrap();
    pair.back_to_staging();
    assert!(pair.refused(None).contains("exports were turned on or off"));
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
    // A copy has the id of the installation that it is a copy of.
    let mark = |text: &str| {
        let (store, _) = pair.world.service.home().open().unwrap();
        let settings = vec![("copy-of".to_owned(), text.to_owned())];
        store.record(1, &ServiceChanges { settings, ..ServiceChanges::default() }).unwrap();
    };
    mark(r#"{"installation": "i", "epoch": 1, "taken": "t", "restored": "r"}"#);
    let copy = tokio::task::block_in_place(|| pair.world.service.staging_diff(&file, 10)).unwrap();
    assert_eq!(copy.status(), Status::Done, "{copy:#?}");
    mark("");
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
