//! Two servers and one installation, in simulation: the old one is stopped or killed at any point of its cycle, the new one
//! takes its place, and the old one goes on in the middle of what the new one does. Once on a database that both share,
//! once with a copy of its own in each, where only the marker at the target is between them.
//!
//! What must hold: in the database never a write of an older epoch after a newer one was taken; at the target at most one
//! request for each export worker of the old epoch after the first of the new one; the new server reads before it writes,
//! and in the end the target is what the rules say.

use std::sync::Arc;

use onesync_service::{CycleKind, Standing, Status};
use proptest::prelude::*;

use super::acts::{Act, Play, perform, play};
use super::machine::{Did, LONG, Machine, WORKERS, World, founded};
use super::{ROUNDS, assert_same, check, picture};

/// What differs between the stories.
#[derive(Clone, Debug)]
struct Story {
    play: Play,
    /// What changes after the new server took over.
    more: Vec<Act>,
    /// Points that the old server comes to before it is stopped.
    old_points: u64,
    /// Whether it is killed, and started again later.
    killed: bool,
    /// Points that the new one comes to before the old one goes on.
    new_points: u64,
    /// How wrong the clock of the old and the new machine is, in hours.
    wrong_by: (i64, i64),
    /// Whether each has a database of its own, the new one a restored copy.
    apart: bool,
}

fn story() -> impl Strategy<Value = Story> {
    let more = play(12, 0).prop_map(|play| play.first);
    let clocks = (-1i64..=1, -1i64..=1);
    (play(25, 1), more, 0u64..160, any::<bool>(), 0u64..160, clocks, any::<bool>()).prop_map(
        |(play, more, old_points, killed, new_points, wrong_by, apart)| Story {
            play,
            more,
            old_points,
            killed,
            new_points,
            wrong_by,
            apart,
        },
    )
}

async fn tell(story: &Story) {
    // The old server works, and owes something.
    let (directories, world, old, service) = founded(&story.play.first, story.wrong_by.0 * 3_600, None).await;
    let store = old.store.clone();
    if story.old_points.is_multiple_of(2) {
        service.cycle(CycleKind::Initial, &|_| ()).await.unwrap();
    }
    for acts in &story.play.rounds {
        perform(&directories, acts);
    }
    let copy = Arc::new(store.fork());
    let service = Arc::new(service);
    let cycle = old.begin_cycle(&service, story.old_points, story.killed);
    world.pass(LONG);

    // The new one takes its place: in the same database, or in the copy that was made before.
    let new = match story.apart {
        true => {
            world.stores.lock().unwrap().push(copy.clone());
            Machine::new(&world, &copy, &directories, story.wrong_by.1 * 3_600)
        }
        false => Machine::new(&world, &store, &directories, story.wrong_by.1 * 3_600),
    };
    let joined = new.start().await;
    assert!(matches!(joined.standing(), Standing::Joined { .. }), "{:?}", joined.standing());
    let refused = joined.cycle(CycleKind::Delta, &|_| ()).await.unwrap_err();
    assert_eq!(refused.status(), Status::Held, "{refused}");
    let taken = joined.take_over(story.apart.then_some("copy")).unwrap();
    assert_eq!(taken, 2);
    drop(joined);
    let successor = Arc::new(new.start().await);
    assert_eq!(
        *successor.standing(),
        Standing::Active { server: successor.standing().server().to_owned(), epoch: 2 }
    );
    perform(&directories, &story.more);
    if story.apart {
        let runtime = successor.runtime().unwrap();
        successor.take_marker(runtime.connector("cloud").unwrap()).await.unwrap();
    }
    let successors = new.begin_cycle(&successor, story.new_points, false);

    // The old one goes on, in the middle of that; what it says of it does not matter, what it did does.
    let _ = old.end_cycle(cycle);
    let again = old.begin_cycle(&service, u64::MAX, false);
    let said = old.end_cycle(again);
    if !story.apart {
        assert!(said.is_err(), "it went on as if nothing had happened");
    }
    drop(service);
    let back = old.start().await;
    match story.apart {
        // Its own database knows nothing: its first export is refused, or it has none.
        true => drop(back.cycle(CycleKind::Delta, &|_| ()).await),
        false => {
            assert!(matches!(back.standing(), Standing::Replaced { .. }), "{:?}", back.standing());
            let refused = back.cycle(CycleKind::Delta, &|_| ()).await.unwrap_err();
            assert_eq!(refused.status(), Status::Held, "{refused}");
        }
    }
    new.end_cycle(successors).unwrap();
    judge(&world, story.apart);

    // What the old one sent last is seen and repaired.
    let store = if story.apart { copy } else { store };
    let mut before = String::new();
    for _ in 0..=ROUNDS + 1 {
        world.pass(LONG * 6);
        successor.cycle(CycleKind::Initial, &|_| ()).await.unwrap();
        let now = picture::draw(&successor, &*store);
        if now == before {
            break;
        }
        before = now;
    }
    assert_eq!(successor.verify().unwrap(), Vec::<String>::new());
    let mark = world.target.lock().unwrap().len();
    successor.cycle(CycleKind::Initial, &|_| ()).await.unwrap();
    assert_same(&before, &picture::draw(&successor, &*store), "still changing");
    let wrote = world.target.lock().unwrap()[mark..].iter().filter(|(_, did)| *did == Did::Wrote).count();
    assert_eq!(wrote, 0, "the target is not what the rules say");
}

fn judge(world: &World, apart: bool) {
    for &(ours, theirs) in world.written.lock().unwrap().iter().filter(|_| !apart) {
        assert_eq!(ours, theirs, "a write of epoch {ours} in a database at epoch {theirs}");
    }
    let target = world.target.lock().unwrap().clone();
    let first = target.iter().position(|(epoch, did)| *epoch == 2 && *did != Did::Read);
    let after = first.map_or(&[][..], |first| &target[first..]);
    let old = after.iter().filter(|(epoch, did)| *epoch == 1 && *did != Did::Read).count();
    assert!(old <= WORKERS, "{old} requests of the old epoch: {target:?}");
    let wrote = target.iter().position(|event| *event == (2, Did::Wrote)).unwrap_or(target.len());
    let read = target.iter().position(|event| *event == (2, Did::Read)).unwrap_or(target.len());
    assert!(read <= wrote, "it wrote before it had read: {target:?}");
}

#[test]
fn an_old_server_that_comes_back_writes_nothing() {
    check(60, story(), async |story| tell(&story).await);
}
