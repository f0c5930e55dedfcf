//! Section 3 of the design as properties: random directories, random changes, the real service, a store in memory.
//!
//! Every failure shrinks to a few acts; what was found so has a play by name in `plays.rs`.

mod acts;
mod containers;
mod fencing;
mod house;
mod machine;
mod named;
mod picture;
mod plays;
mod stage;
mod twins;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use onesync_connectors::ErrorClass;
use onesync_connectors::memory::Fault;
use onesync_engine::{AgendaRow, Changes, Work};
use onesync_service::{CycleKind, Sizes};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use acts::{Play, perform, play};
use house::{Directories, House, Ways};

/// Time between two cycles.
const HALF_HOUR: i64 = 1_800;
/// Cycles after which everything must have come to rest.
const ROUNDS: usize = 3;

/// Runs a property over random plays; the same ones each time. `ONESYNC_CASES` asks for more of them,
/// `ONESYNC_SEED` for others.
fn check<S: Strategy>(cases: u32, plays: S, property: impl AsyncFn(S::Value)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let config = Config {
        cases: number("ONESYNC_CASES").unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..Config::default()
    };
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&number("ONESYNC_SEED").unwrap_or(0).to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let result = runner.run(&plays, |play| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
            .block_on(property(play));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// The lines in which two pictures differ.
fn assert_same(a: &str, b: &str, what: &str) {
    if a == b {
        return;
    }
    let (left, right): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    let only = |these: &[&str], those: &[&str]| -> String {
        these.iter().filter(|line| !those.contains(line)).map(|line| format!("  {line}\n")).collect()
    };
    panic!("{what}\nonly the first:\n{}only the second:\n{}", only(&left, &right), only(&right, &left));
}

async fn comes_to_rest(play: &Play) {
    let directories = Directories::new();
    perform(&directories, &play.first);
    let house = House::new(directories, Ways::default()).await;
    house.settle(CycleKind::Initial, ROUNDS).await;
    for acts in &play.rounds {
        perform(&house.directories, acts);
        house.clock.advance_seconds(HALF_HOUR);
        house.settle(CycleKind::Delta, ROUNDS).await;
    }
    let (picture, cloud) = (house.picture(), house.cloud());
    house.cycle(CycleKind::Initial).await;
    assert_same(&picture, &house.picture(), "a full cycle changed something");
    assert_same(&cloud, &house.cloud(), "a full cycle wrote something");
}

async fn delta_is_full(play: &Play) {
    let kinds = [CycleKind::Delta, CycleKind::Initial];
    let [delta, full] = both(play, Ways::default(), Ways::default(), kinds).await;
    assert_same(&delta.picture(), &full.picture(), "delta and full steps end differently");
    assert_same(&delta.cloud(), &full.cloud(), "delta and full steps wrote differently");
}

async fn does_not_depend(play: &Play, ways: Ways) {
    let [one, two] = both(play, Ways::default(), ways, [CycleKind::Delta, CycleKind::Delta]).await;
    assert_same(&one.picture(), &two.picture(), "results depend on the way of working");
    assert_same(&one.cloud(), &two.cloud(), "what was written depends on the way of working");
}

#[test]
fn every_play_comes_to_rest_and_another_cycle_changes_nothing() {
    check(60, play(40, 3), async |play| comes_to_rest(&play).await);
}

#[test]
fn delta_equals_full() {
    check(60, play(40, 3), async |play| delta_is_full(&play).await);
}

#[test]
fn order_and_sizes_and_threads_do_not_matter() {
    let ways = (1usize..30, 1usize..20, 1usize..20, 1usize..4, 0u64..5);
    check(60, (play(40, 3), ways), async |(play, (page, batch, links, threads, shuffle))| {
        let sizes = Sizes { page, batch, links };
        does_not_depend(&play, Ways { sizes, threads, shuffle }).await;
    });
}

#[test]
fn what_chance_once_found_stays_found() {
    let narrow = Ways { sizes: Sizes { page: 1, batch: 1, links: 1 }, threads: 2, shuffle: 1 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for (name, play) in plays::BY_NAME {
        println!("{name}"); // the last one printed is the one that fails
        let play = play();
        runtime.block_on(async {
            comes_to_rest(&play).await;
            delta_is_full(&play).await;
            does_not_depend(&play, narrow).await;
        });
    }
}

/// Plays the same to two houses.
async fn both(play: &Play, a: Ways, b: Ways, kinds: [CycleKind; 2]) -> [House; 2] {
    let mut houses = Vec::new();
    for (ways, kind) in [(a, kinds[0]), (b, kinds[1])] {
        let directories = Directories::new();
        perform(&directories, &play.first);
        let house = House::new(directories, ways).await;
        house.settle(CycleKind::Initial, ROUNDS).await;
        for acts in &play.rounds {
            perform(&house.directories, acts);
            house.clock.advance_seconds(HALF_HOUR);
            house.settle(kind, ROUNDS).await;
        }
        houses.push(house);
    }
    let two = houses.pop().unwrap();
    [houses.pop().unwrap(), two]
}

/// What goes wrong in one round.
#[derive(Clone, Debug)]
enum Trouble {
    Dies(u64),
    Breaks(Fault),
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let class = || prop_oneof![Just(ErrorClass::Transient), Just(ErrorClass::Fatal)];
    prop_oneof![
        4 => (0u64..60).prop_map(Trouble::Dies),
        1 => (0usize..4, class()).prop_map(|(after_pages, class)| Trouble::Breaks(Fault::ImportFails { after_pages, class })),
        1 => Just(Trouble::Breaks(Fault::WatermarkLost)),
        1 => Just(Trouble::Breaks(Fault::Throttle(None))),
        1 => class().prop_map(|class| Trouble::Breaks(Fault::ExportFails(class))),
        2 => Just(Trouble::Breaks(Fault::UnknownAfterCommit)),
        2 => Just(Trouble::Breaks(Fault::UnknownBeforeCommit)),
        1 => Just(Trouble::Breaks(Fault::RefuseItem)),
    ]
}

#[test]
fn nothing_is_lost_whatever_breaks_or_dies() {
    let troubles = prop::collection::vec((any::<u8>(), trouble()), 1..4);
    check(60, (play(30, 2), troubles), async |(mut play, troubles)| {
        play.rounds.iter_mut().chain([&mut play.first]).for_each(|acts| acts.retain(|act| !act.in_cloud()));
        let mut ends = Vec::new();
        for disturbed in [false, true] {
            let directories = Directories::new();
            let mut house = House::new(directories, Ways::default()).await;
            let rounds = std::iter::once(&play.first).chain(&play.rounds);
            for (number, acts) in rounds.enumerate() {
                perform(&house.directories, acts);
                house.clock.advance_seconds(HALF_HOUR);
                for (at, trouble) in troubles.iter().filter(|_| disturbed) {
                    if usize::from(*at) % (play.rounds.len() + 1) == number {
                        match trouble {
                            Trouble::Dies(after) => house.stage.die_after(*after),
                            Trouble::Breaks(fault) => {
                                let all = house.directories.all();
                                all[usize::from(*at) % 3].1.inject(fault.clone());
                            }
                        }
                    }
                }
                house.stubborn_cycle().await;
                house.stage.die_after(u64::MAX);
                house.directories.all().iter().for_each(|(_, directory)| directory.clear_faults());
            }
            // What was refused waits for a day at most; who left is deleted by then.
            for _ in 0..3 {
                house.clock.advance_seconds(2 * 86_400);
                house.settle(CycleKind::Delta, ROUNDS).await;
            }
            ends.push((house.picture(), house.cloud()));
        }
        assert_same(&ends[0].1, &ends[1].1, "what was written depends on what went wrong");
        assert_same(&ends[0].0, &ends[1].0, "the end depends on what went wrong");
    });
}

#[test]
fn an_import_that_is_not_proven_deletes_nothing() {
    let cut = prop_oneof![
        (0usize..4).prop_map(|after_pages| Fault::CutShort { after_pages }),
        Just(Fault::Incomplete("rights were taken away".to_owned())),
        (0usize..4).prop_map(|after_pages| Fault::ImportFails { after_pages, class: ErrorClass::Fatal }),
    ];
    check(40, (play(30, 0), cut, 0usize..3, any::<bool>()), async |(play, cut, which, emptied)| {
        let directories = Directories::new();
        perform(&directories, &play.first);
        let house = House::new(directories, Ways::default()).await;
        let picture = house.settle(CycleKind::Initial, ROUNDS).await;
        let cloud = house.cloud();
        let (_, directory) = house.directories.all()[which];
        let objects = directory.objects();
        if emptied && which < 2 {
            objects.iter().for_each(|object| {
                directory.remove(&object.anchor);
            });
        }
        directory.inject(match cut {
            Fault::CutShort { .. } if directory.is_empty() => Fault::CutShort { after_pages: 0 },
            Fault::ImportFails { class, .. } if directory.is_empty() => {
                Fault::ImportFails { after_pages: 0, class }
            }
            Fault::CutShort { after_pages } | Fault::ImportFails { after_pages, .. }
                if after_pages * Ways::default().sizes.page > directory.len() =>
            {
                Fault::Incomplete("it is shorter than the cut".to_owned())
            }
            cut => cut,
        });
        house.cycle(CycleKind::Initial).await;
        assert_same(&picture, &house.picture(), "an unproven import changed something");
        assert_same(&cloud, &house.cloud(), "an unproven import led to a write");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_why_imports_delete_nothing_until_one_is_proven() {
    let house = House::new(Directories::new(), Ways::default()).await;
    let alarms = || {
        let alarms = house.service.status().unwrap().alarms;
        alarms.into_iter().filter(|text| text.contains("nothing is deleted")).collect::<Vec<_>>()
    };
    house.directories.b.inject(Fault::Incomplete("rights were taken away".to_owned()));
    house.cycle(CycleKind::Initial).await;
    let found = alarms();
    assert!(matches!(found.as_slice(), [one] if one.ends_with("rights were taken away")), "{found:?}");
    house.cycle(CycleKind::Delta).await;
    assert_eq!(alarms(), Vec::<String>::new());
}

/// Why work is put on the agenda: who puts it there, and what it is.
type Reason = (&'static str, &'static str);

fn reason(changes: &Changes, row: &AgendaRow) -> Reason {
    let name = |work: &Work| match work {
        Work::Identity(_) => "identity",
        Work::Values(_) => "values",
        Work::Outbound(_) => "outbound",
        Work::Target(_) => "target",
        Work::MvTarget(_) => "mv-target",
        Work::CsLinks(..) => "cs-links",
        Work::MvLinks(..) => "mv-links",
        Work::CsLink(..) => "cs-link",
        Work::Below(_) => "below",
        Work::Members(_) => "members",
    };
    let maker = changes.agenda_done.first().map_or("import or export", name);
    (maker, name(&row.work))
}

/// The answer to a creation puts its person on the agenda at once; the import that confirms it does so too, later.
const ONLY_SOONER: Reason = ("import or export", "outbound");

/// Plays looked at until one shows that a reason is missed.
const PLAYS_MAX: u32 = 400;

#[test]
fn every_reason_of_the_agenda_is_missed_when_it_is_lost() {
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut missed: BTreeMap<Reason, Option<u32>> = BTreeMap::new();
    for number in 0..PLAYS_MAX {
        let play = match plays::BY_NAME.get(number as usize) {
            Some((_, by_name)) => by_name(),
            None => play(40, 3).new_tree(&mut runner).unwrap().current(),
        };
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let noted = Arc::clone(&seen);
        let right = runtime.block_on(played(&play, move |changes, row| {
            noted.lock().unwrap().insert(reason(changes, row));
            false
        }));
        for reason in std::mem::take(&mut *seen.lock().unwrap()) {
            missed.entry(reason).or_insert(None);
        }
        let open: Vec<Reason> = missed.iter().filter(|(_, found)| found.is_none()).map(|(r, _)| *r).collect();
        if open.is_empty() && number > 20 {
            break;
        }
        for lost in open {
            let wrong = runtime.block_on(played(&play, move |changes, row| reason(changes, row) == lost));
            if wrong != right {
                missed.insert(lost, Some(number));
            }
        }
    }
    let unmissed = missed.iter().filter(|(_, found)| found.is_none()).map(|(reason, _)| reason);
    let dead: Vec<&Reason> = unmissed.filter(|reason| **reason != ONLY_SOONER).collect();
    assert!(dead.is_empty(), "nobody misses {dead:?} of {missed:?}");
    assert!(missed.len() > 10, "{missed:?}");
}

/// Plays a play by delta steps while work of some reasons is lost; gives the picture and the cloud.
async fn played(
    play: &Play,
    loses: impl Fn(&Changes, &AgendaRow) -> bool + Send + 'static,
) -> Vec<(String, String)> {
    let directories = Directories::new();
    perform(&directories, &play.first);
    let house = House::new(directories, Ways::default()).await;
    house.settle(CycleKind::Initial, ROUNDS).await;
    house.stage.lose(loses);
    let mut out = Vec::new();
    for acts in &play.rounds {
        perform(&house.directories, acts);
        house.clock.advance_seconds(HALF_HOUR);
        house.cycle(CycleKind::Delta).await;
        house.cycle(CycleKind::Delta).await;
        out.push((house.picture(), house.cloud()));
    }
    out
}
