//! Servers, epochs, leases.

use std::time::Duration;

use onesync_engine::Changes;

use super::EPOCH;
use crate::error::StoreError;
use crate::servers::{Lease, ServerRow};
use crate::store::Store;

const HOUR: Duration = Duration::from_secs(3_600);

fn server(id: &str, epoch: u64, lease: Duration) -> ServerRow {
    let facts = format!("{{\"host\":\"{id}\"}}");
    ServerRow { id: id.to_owned(), epoch, lease, facts, ..ServerRow::default() }
}

fn is_fenced<T: std::fmt::Debug>(done: Result<T, StoreError>, numbers: (u64, u64)) {
    assert!(
        matches!(&done, Err(StoreError::Fenced { ours, theirs }) if (*ours, *theirs) == numbers),
        "{done:?}"
    );
}

pub(super) fn taken_over(store: &dyn Store) {
    let before = store.lease().unwrap();
    assert_eq!((before.epoch, before.holder.as_ref(), before.left()), (EPOCH, None, Duration::ZERO));
    // Several at once who have seen the same: one is faster.
    let servers: Vec<ServerRow> = (0..4).map(|number| server(&format!("s{number}"), 0, HOUR)).collect();
    let taken: Vec<Result<u64, StoreError>> = std::thread::scope(|scope| {
        let racing: Vec<_> =
            servers.iter().map(|server| scope.spawn(|| store.take_over(EPOCH, server, None))).collect();
        racing.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let winners: Vec<&ServerRow> =
        servers.iter().zip(&taken).filter(|(_, taken)| taken.is_ok()).map(|(server, _)| server).collect();
    assert_eq!(winners.len(), 1, "{taken:?}");
    let lease = store.lease().unwrap();
    assert!(lease.is_of(&winners[0].id) && lease.epoch == EPOCH + 1 && lease.left() > HOUR / 2, "{lease:?}");
    for lost in taken.into_iter().filter(Result::is_err) {
        is_fenced(lost, (EPOCH, EPOCH + 1));
    }
    assert_eq!(store.reader().unwrap().servers().unwrap().len(), 1, "who lost is not noted");
    is_fenced(store.apply(EPOCH, &Changes::default()), (EPOCH, EPOCH + 1));

    // The same server again, and the installation is another one from then on.
    let other = server("other", 0, Duration::ZERO);
    assert_eq!(store.take_over(EPOCH + 1, &other, Some("copy")).unwrap(), EPOCH + 2);
    assert_eq!(store.take_over(EPOCH + 2, &other, None).unwrap(), EPOCH + 3);
    let installation = store.reader().unwrap().installation().unwrap().unwrap();
    assert_eq!((installation.id.as_str(), installation.epoch), ("copy", EPOCH + 3));
    let lease = store.lease().unwrap();
    assert!(lease.is_of("other") && lease.left().is_zero(), "{lease:?}");
    store.apply(EPOCH + 3, &Changes::default()).unwrap();
    let noted = store.reader().unwrap().servers().unwrap();
    let noted: Vec<_> = noted.into_iter().map(|row| (row.id, row.epoch, row.facts)).collect();
    let won = winners[0];
    let expected = [(other.id, EPOCH + 3, other.facts), (won.id.clone(), EPOCH + 1, won.facts.clone())];
    assert_eq!(noted, expected);
}

pub(super) fn renewed(store: &dyn Store) {
    is_fenced(store.renew(&server("a", EPOCH, HOUR)), (EPOCH, EPOCH)); // not noted
    assert_eq!(store.take_over(EPOCH, &server("a", 0, Duration::ZERO), None).unwrap(), EPOCH + 1);
    assert!(store.lease().unwrap().left().is_zero());
    let ours = server("a", EPOCH + 1, HOUR);
    let lease = store.renew(&ours).unwrap();
    assert!(lease.is_of("a") && lease.epoch == EPOCH + 1 && lease.left() == HOUR, "{lease:?}");
    let there = store.lease().unwrap();
    assert!(there.is_of("a") && there.now >= lease.now && there.left() > HOUR / 2, "{there:?}");
    assert!(store.now().unwrap() >= there.now);
    // A renewal says what is so now: facts, and a lease that ends.
    let short = ServerRow { facts: "{}".to_owned(), lease: Duration::ZERO, ..ours.clone() };
    assert!(store.renew(&short).unwrap().left().is_zero());
    assert_eq!(store.reader().unwrap().servers().unwrap()[0].facts, "{}");
    is_fenced(store.renew(&server("b", EPOCH + 1, HOUR)), (EPOCH + 1, EPOCH + 1));
    is_fenced(store.renew(&server("a", EPOCH, HOUR)), (EPOCH, EPOCH + 1));

    // Who was replaced renews nothing, and nothing of it changes.
    assert_eq!(store.take_over(EPOCH + 1, &server("b", 0, HOUR), None).unwrap(), EPOCH + 2);
    is_fenced(store.renew(&ours), (EPOCH + 1, EPOCH + 2));
    let Lease { epoch, holder, .. } = store.lease().unwrap();
    assert_eq!((epoch, holder.map(|holder| holder.id)), (EPOCH + 2, Some("b".to_owned())));
    let old = store.reader().unwrap().servers().unwrap().into_iter().find(|row| row.id == "a").unwrap();
    assert_eq!((old.epoch, old.lease), (EPOCH + 1, Duration::ZERO));
}

pub(super) fn noted(store: &dyn Store) {
    is_fenced(store.enrol(&server("a", EPOCH + 1, HOUR)), (EPOCH + 1, EPOCH));
    // A home of an older program says which epoch is its own; the second copy of it does not get it.
    store.enrol(&server("a", EPOCH, HOUR)).unwrap();
    store.enrol(&server("a", EPOCH, HOUR)).unwrap();
    let refused = store.enrol(&server("b", EPOCH, HOUR)).unwrap_err();
    assert!(matches!(&refused, StoreError::Conflict(text) if text.contains("server a")), "{refused}");
    assert!(store.lease().unwrap().is_of("a"));
    // One that waits says that it is there, and holds nothing by that.
    let waits = server("w", 0, HOUR);
    is_fenced(store.renew(&waits), (0, EPOCH));
    store.enrol(&waits).unwrap();
    store.renew(&waits).unwrap();
    assert!(store.lease().unwrap().is_of("a"));
    is_fenced(store.apply(0, &Changes::default()), (0, EPOCH));
    let ids: Vec<String> = store.reader().unwrap().servers().unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(ids, ["a", "w"]);
    store.apply(EPOCH, &Changes::default()).unwrap();
}
