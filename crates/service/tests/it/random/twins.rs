//! Copies of one server, in simulation: same installation, same server, same epoch, each with the database and the home as
//! they were when the disk was copied, at any point of a cycle. Both run, and are stopped at any point; or the machine is put
//! back to what it was.
//!
//! What must hold: after the first request of one of them the other sends at most one for each export worker, and never do both
//! send a whole export. Whoever was copied before the last export sends nothing.

use std::sync::Arc;

use onesync_service::CycleKind;
use proptest::prelude::*;

use super::acts::{Act, Play, perform, play};
use super::check;
use super::machine::{Did, LONG, WORKERS, World, founded, installed};

/// The one that was copied, and the copy.
const ONE: u64 = 1;
const COPY: u64 = 2;

#[derive(Clone, Debug)]
struct Story {
    play: Play,
    /// What changes after the disk was copied, and later.
    more: Vec<Act>,
    again: Vec<Act>,
    /// Whether a whole cycle was run before.
    lived: bool,
    /// Points that the one comes to before its disk is copied.
    copied_at: u64,
    /// Whether it is killed there, and started again.
    killed: bool,
    /// Whether it goes on to the end of that cycle before the copy is started.
    ends_first: bool,
    /// Points that the copy comes to before the one goes on.
    copy_points: u64,
    /// Points that the one comes to in a later cycle before the copy runs one.
    one_points: u64,
}

fn story() -> impl Strategy<Value = Story> {
    let acts = || play(12, 0).prop_map(|play| play.first);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let points = (0u64..160, 0u64..160, 0u64..160);
    (play(25, 1), acts(), acts(), flags, points).prop_map(
        |(play, more, again, (lived, killed, ends_first), (copied_at, copy_points, one_points))| Story {
            play,
            more,
            again,
            lived,
            copied_at,
            killed,
            ends_first,
            copy_points,
            one_points,
        },
    )
}

/// What both did from a place of the log on.
fn done(world: &World, from: usize, by: u64, what: Did) -> usize {
    world.target.lock().unwrap()[from..].iter().filter(|event| **event == (by, what)).count()
}

async fn tell(story: &Story) {
    let (directories, world, one, service) = founded(&story.play.first, 0, Some(ONE)).await;
    if story.lived {
        service.cycle(CycleKind::Initial, &|_| ()).await.unwrap();
    }
    for acts in &story.play.rounds {
        perform(&directories, acts);
    }
    let mut service = Arc::new(service);
    let mut cycle = Some(one.begin_cycle(&service, story.copied_at, story.killed));
    let disk = one.image();
    let copied = world.target.lock().unwrap().len();
    world.pass(LONG);
    if story.killed || story.ends_first {
        let _ = one.end_cycle(cycle.take().unwrap());
    }
    if story.killed {
        one.gate.close_after(u64::MAX, false);
        service = Arc::new(one.start().await);
    }
    if story.killed && story.ends_first {
        let whole = one.begin_cycle(&service, u64::MAX, false);
        let _ = one.end_cycle(whole);
    }
    let used = done(&world, copied, ONE, Did::Wrote);

    let copy = one.booted(&disk, COPY);
    let copys = Arc::new(copy.start().await);
    let started = world.target.lock().unwrap().len();
    let copys_cycle = copy.begin_cycle(&copys, story.copy_points, false);
    world.pass(LONG);
    perform(&directories, &story.more);
    if let Some(cycle) = cycle {
        let _ = one.end_cycle(cycle);
    }
    let next = one.begin_cycle(&service, u64::MAX, false);
    let _ = one.end_cycle(next);
    world.pass(LONG);
    let _ = copy.end_cycle(copys_cycle);

    perform(&directories, &story.again);
    world.pass(LONG);
    let next = one.begin_cycle(&service, story.one_points, false);
    world.pass(LONG);
    let whole = copy.begin_cycle(&copys, u64::MAX, false);
    let _ = copy.end_cycle(whole);
    let _ = one.end_cycle(next);
    judge(&world, started, used > 0);
}

/// Another installation comes to the same target while the first one works; somebody may take the marker away.
async fn tell_of_strangers(story: &Story) {
    let (directories, world, one, service) = founded(&story.play.first, 0, Some(ONE)).await;
    if story.lived {
        service.cycle(CycleKind::Initial, &|_| ()).await.unwrap();
    }
    for acts in &story.play.rounds {
        perform(&directories, acts);
    }
    let (stranger, theirs) = installed(&world, &directories, "stranger", 0, Some(COPY)).await;
    let (service, theirs) = (Arc::new(service), Arc::new(theirs));
    let cycle = one.begin_cycle(&service, story.copied_at, false);
    if story.killed {
        directories.cloud.remove_marker();
    }
    world.pass(LONG);
    let started = world.target.lock().unwrap().len();
    let strangers = stranger.begin_cycle(&theirs, story.copy_points, false);
    world.pass(LONG);
    perform(&directories, &story.more);
    let _ = one.end_cycle(cycle);
    let next = one.begin_cycle(&service, u64::MAX, false);
    let _ = one.end_cycle(next);
    world.pass(LONG);
    let _ = stranger.end_cycle(strangers);
    perform(&directories, &story.again);
    for _ in 0..2 {
        let next = one.begin_cycle(&service, u64::MAX, false);
        let _ = one.end_cycle(next);
        let next = stranger.begin_cycle(&theirs, u64::MAX, false);
        let _ = stranger.end_cycle(next);
    }
    judge(&world, started, false);
}

fn judge(world: &World, started: usize, used: bool) {
    let log = world.target.lock().unwrap().clone();
    let wrote = |by| done(world, started, by, Did::Wrote);
    let first = log.iter().position(|event| *event == (COPY, Did::Wrote)).unwrap_or(log.len());
    let late = done(world, first, ONE, Did::Wrote);
    assert!(late <= WORKERS, "{late} requests of the one after the first of its copy: {log:?}");
    let both = wrote(ONE).min(wrote(COPY));
    assert!(both <= WORKERS, "both wrote: {} and {} requests, {log:?}", wrote(ONE), wrote(COPY));
    if used {
        assert_eq!(wrote(COPY), 0, "the one has exported since: {log:?}");
    }
}

#[test]
fn of_copies_of_a_server_one_writes() {
    check(60, story(), async |story| tell(&story).await);
}

#[test]
fn of_two_installations_one_writes_also_when_the_marker_is_taken_away() {
    check(60, story(), async |story| tell_of_strangers(&story).await);
}
