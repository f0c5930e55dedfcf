//! Pending exports, and the counts that follow the rows.

use onesync_engine::{ChangeState, Changes, CsFlags, CsRow, ExportLinkRow, ExportRow, MvRow, MvState};
use onesync_model::{CsId, Hash128, Operation};

use super::sample::{A, B, GROUP, MEMBER, OWNER, USER, cs, error, export, export_link, joined, mv, time};
use super::{all_pages, apply};
use crate::rows::{ExportFilter, ExportLinkFilter, export_hash, export_link_hash};
use crate::store::Store;

fn ids(rows: &[ExportRow]) -> Vec<i64> {
    rows.iter().map(|row| row.cs.0).collect()
}

fn ends(rows: &[ExportLinkRow]) -> Vec<(i64, i64)> {
    rows.iter().map(|row| (row.owner.0, row.target.0)).collect()
}

pub(super) fn counts(store: &dyn Store) {
    let add = export(1, Operation::Add, USER);
    let two = export(2, Operation::Add, USER);
    let changes = Changes {
        cs: vec![cs(1, A, "x"), cs(2, A, "y"), joined(cs(3, A, "z"), 1)],
        mv: vec![mv(1), mv(2)],
        exports: vec![add.clone(), two.clone(), two.clone()],
        export_links: vec![export_link(1, 2, true), export_link(1, 3, true)],
        errors: vec![error(1, "import"), error(2, "import")],
        ..Changes::default()
    };
    apply(store, &changes);
    apply(store, &changes); // the same again counts once
    let read = |store: &dyn Store| {
        let r = store.reader().unwrap();
        let cs: Vec<_> = r.cs_counts().unwrap().iter().map(|c| (c.joined, c.flags, c.count)).collect();
        let mv: Vec<_> = r.mv_counts().unwrap().iter().map(|c| (c.leaving, c.count)).collect();
        let exports: Vec<_> =
            r.export_counts().unwrap().iter().map(|c| (c.state, c.held, c.count, c.hashes)).collect();
        let links: Vec<_> =
            r.export_link_counts().unwrap().iter().map(|c| (c.add, c.count, c.hashes)).collect();
        let errors: Vec<_> = r.error_counts().unwrap().iter().map(|c| c.count).collect();
        (cs, mv, exports, links, errors)
    };
    let sum = export_hash(&add).plus(export_hash(&two));
    let link = |target| export_link_hash(&export_link(1, target, true));
    let (pending, sent) = (ChangeState::Pending, ChangeState::Sent);
    let expected = (
        vec![(false, 0, 2), (true, 0, 1)],
        vec![(false, 2)],
        vec![(pending, false, 2, sum)],
        vec![(true, 2, link(2).plus(link(3)))],
        vec![2],
    );
    assert_eq!(read(store), expected);
    // Where an item stands is not what it is: its hash stays.
    let moved = ExportRow { state: sent, attempts: 9, held: true, error: Some("x".into()), ..add.clone() };
    assert_eq!(export_hash(&moved), export_hash(&add));
    let other = ExportRow { changes: vec![], ..add.clone() };
    assert_ne!(export_hash(&other), export_hash(&add));
    let removal = ExportLinkRow { add: false, ..export_link(1, 3, true) };
    let changes = Changes {
        cs: vec![joined(cs(1, A, "x"), 1), CsRow { flags: CsFlags::GONE, ..cs(2, A, "y") }],
        mv: vec![MvRow { state: MvState::Leaving { since: time(1), deleted: false }, ..mv(1) }],
        exports: vec![moved],
        export_links: vec![removal.clone()],
        errors_healed: vec![(CsId(1), "import".to_owned())],
        ..Changes::default()
    };
    apply(store, &changes);
    let expected = (
        vec![(false, 1, 1), (true, 0, 2)],
        vec![(false, 1), (true, 1)],
        vec![(pending, false, 1, export_hash(&two)), (sent, true, 1, export_hash(&add))],
        vec![(false, 1, export_link_hash(&removal)), (true, 1, link(2))],
        vec![1],
    );
    assert_eq!(read(store), expected);
    let changes = Changes {
        cs_deleted: vec![CsId(1), CsId(2), CsId(3), CsId(4)],
        mv_deleted: vec![onesync_model::MvId(1), onesync_model::MvId(2)],
        ..Changes::default()
    };
    apply(store, &changes);
    assert_eq!(read(store), Default::default(), "with the objects everything goes that belongs to them");
}

pub(super) fn due(store: &dyn Store) {
    use Operation::{Add, Delete, Update};
    let rows = vec![
        export(1, Delete, GROUP),
        export(2, Update, USER),
        export(3, Add, GROUP),
        export(4, Add, USER),
        export(5, Update, GROUP),
        export(6, Delete, USER),
        export(7, Add, USER),
        ExportRow { held: true, ..export(8, Add, USER) },
        ExportRow { not_before: time(100), ..export(9, Add, USER) },
        ExportRow { state: ChangeState::Sent, ..export(10, Add, USER) },
        ExportRow { connector: B, ..export(11, Add, USER) },
        ExportRow { kinds: ExportRow::KIND_UNWRITABLE, ..export(12, Add, USER) },
        ExportRow { kinds: ExportRow::KIND_OUTSIDE, ..export(14, Add, USER) },
        export(13, Add, onesync_model::TypeId(99)),
    ];
    apply(store, &Changes { exports: rows.clone(), ..Changes::default() });
    let r = store.reader().unwrap();
    assert_eq!(r.exports(&[CsId(12), CsId(1)]).unwrap(), [rows[0].clone(), rows[11].clone()]);
    let order = |types: &[_], now| {
        let page = |after, size| r.due_exports(A, types, time(now), after, size).unwrap();
        ids(&all_pages(page, |row| (row.operation, row.object_type, row.cs)))
    };
    assert_eq!(order(&[USER, GROUP], 0), [4, 7, 3, 2, 5, 6, 1]);
    assert_eq!(order(&[GROUP, USER], 0), [3, 4, 7, 5, 2, 1, 6]);
    assert_eq!(order(&[USER], 100), [4, 7, 9, 2, 6]);
    assert_eq!(order(&[], 0), [0; 0]);
}

pub(super) fn filtered(store: &dyn Store) {
    let row = |cs| export(cs, Operation::Update, USER);
    let rows = vec![
        row(1),
        ExportRow { state: ChangeState::Refused, ..row(2) },
        ExportRow { held: true, kinds: 3, ..row(3) },
        ExportRow { operation: Operation::Delete, kinds: 1, ..row(4) },
        ExportRow { object_type: GROUP, ..row(5) },
        ExportRow { connector: B, ..row(6) },
    ];
    apply(store, &Changes { exports: rows, ..Changes::default() });
    let r = store.reader().unwrap();
    let list = |filter: ExportFilter| {
        let page =
            |after: Option<CsId>, size| r.exports_page(A, filter, after.unwrap_or(CsId(0)), size).unwrap();
        ids(&all_pages(page, |row| row.cs))
    };
    let any = ExportFilter::default();
    assert_eq!(list(any), [1, 2, 3, 4, 5]);
    assert_eq!(list(ExportFilter { state: Some(ChangeState::Pending), ..any }), [1, 3, 4, 5]);
    assert_eq!(list(ExportFilter { operation: Some(Operation::Delete), ..any }), [4]);
    assert_eq!(list(ExportFilter { object_type: Some(GROUP), ..any }), [5]);
    assert_eq!(list(ExportFilter { held: Some(true), ..any }), [3]);
    assert_eq!(list(ExportFilter { held: Some(false), ..any }), [1, 2, 4, 5]);
    assert_eq!(list(ExportFilter { kinds: 1, ..any }), [3, 4]);
    assert_eq!(list(ExportFilter { kinds: 2, held: Some(false), ..any }), [0; 0]);
    drop(r);
    apply(store, &Changes { exports_deleted: vec![CsId(3), CsId(77)], ..Changes::default() });
    assert_eq!(store.reader().unwrap().exports(&[CsId(3)]).unwrap(), []);
}

pub(super) fn links_due(store: &dyn Store) {
    let link = |owner, target| export_link(owner, target, true);
    let rows = vec![
        link(1, 2),
        link(1, 3),
        link(3, 1),
        link(2, 1),
        ExportLinkRow { held: true, ..link(2, 4) },
        ExportLinkRow { not_before: time(100), ..link(4, 1) },
        ExportLinkRow { state: ChangeState::Refused, ..link(4, 2) },
        ExportLinkRow { attribute: OWNER, ..link(1, 2) },
        ExportLinkRow { connector: B, ..link(4, 4) },
        link(1, 77),
    ];
    let without = CsRow { anchor: None, ..cs(3, A, "3") };
    let objects = vec![cs(1, A, "1"), cs(2, A, "2"), without, cs(4, A, "4")];
    apply(store, &Changes { cs: objects, export_links: rows.clone(), ..Changes::default() });
    let list = |now| {
        let r = store.reader().unwrap();
        let page = |after, size| r.due_export_links(A, time(now), after, size).unwrap();
        ends(&all_pages(page, |row| (row.owner, row.attribute, row.target)))
    };
    assert_eq!(list(0), [(1, 2), (1, 2), (2, 1)]);
    assert_eq!(list(100), [(1, 2), (1, 2), (2, 1), (4, 1)]);
    // The directory has created it: what waited for it is due.
    apply(store, &Changes { cs: vec![cs(3, A, "3")], ..Changes::default() });
    assert_eq!(list(0), [(1, 2), (1, 3), (1, 2), (2, 1), (3, 1)]);
    let r = store.reader().unwrap();
    let of = r.export_links(CsId(1), MEMBER, CsId(2), 9).unwrap();
    assert_eq!(of, [rows[1].clone(), rows[9].clone()], "above the target, every column");
    let of = [(CsId(1), MEMBER), (CsId(4), MEMBER), (CsId(9), MEMBER)];
    let firsts = r.export_links_of(&of, 1).unwrap();
    assert_eq!(firsts, [rows[0].clone(), rows[5].clone()], "the first of each, every column");
    let asked = [(CsId(2), MEMBER, CsId(4)), (CsId(9), MEMBER, CsId(4)), (CsId(1), MEMBER, CsId(2))];
    assert_eq!(r.export_links_by_key(&asked).unwrap(), [rows[4].clone(), rows[0].clone()]);
    drop(r);
    let gone = vec![(CsId(1), MEMBER, CsId(2)), (CsId(9), MEMBER, CsId(2))];
    apply(store, &Changes { export_links_deleted: gone, ..Changes::default() });
    assert_eq!(list(0), [(1, 3), (1, 2), (2, 1), (3, 1)]);
}

pub(super) fn links_filtered(store: &dyn Store) {
    let rows = vec![
        export_link(1, 2, true),
        export_link(1, 3, false),
        export_link(1, 4, false),
        export_link(2, 1, false),
        ExportLinkRow { held: true, ..export_link(3, 1, false) },
        ExportLinkRow { state: ChangeState::Sent, ..export_link(4, 1, false) },
        ExportLinkRow { connector: B, ..export_link(5, 1, false) },
    ];
    apply(store, &Changes { export_links: rows, ..Changes::default() });
    let r = store.reader().unwrap();
    let list = |filter: ExportLinkFilter| {
        let page = |after, size| r.export_links_page(A, filter, after, size).unwrap();
        ends(&all_pages(page, |row| (row.owner, row.attribute, row.target)))
    };
    let any = ExportLinkFilter::default();
    assert_eq!(list(any), [(1, 2), (1, 3), (1, 4), (2, 1), (3, 1), (4, 1)]);
    assert_eq!(list(ExportLinkFilter { add: Some(true), ..any }), [(1, 2)]);
    assert_eq!(list(ExportLinkFilter { held: Some(true), ..any }), [(3, 1)]);
    let sent = ExportLinkFilter { state: Some(ChangeState::Sent), add: Some(false), held: Some(false) };
    assert_eq!(list(sent), [(4, 1)]);
    let removals_to = |target| {
        let page = |after, size| r.export_removals_to(CsId(target), after, size).unwrap();
        all_pages(page, |row| *row).into_iter().map(|(owner, _)| owner.0).collect::<Vec<_>>()
    };
    assert_eq!(removals_to(1), [2, 3, 4, 5], "whatever their connector, whether held, wherever they stand");
    assert_eq!((removals_to(2), removals_to(4)), (vec![], vec![1]), "what is added is none");
    let page = |after, size| r.export_link_owners(A, after, size).unwrap();
    let owners = all_pages(page, |row| (row.owner, row.attribute));
    let owners: Vec<_> = owners.iter().map(|row| (row.owner.0, row.adds, row.removes)).collect();
    assert_eq!(owners, [(1, 1, 2), (2, 0, 1)], "neither held ones nor those under way");
}

pub(super) fn sending(store: &dyn Store) {
    let row = |cs, state| ExportRow { state, ..export(cs, Operation::Add, USER) };
    let link = |owner, state| ExportLinkRow { state, ..export_link(owner, 1, true) };
    let states = [ChangeState::Pending, ChangeState::Sending, ChangeState::Sent, ChangeState::Refused];
    let changes = Changes {
        exports: (1..).zip(states).map(|(cs, state)| row(cs, state)).collect(),
        export_links: (1..).zip(states).map(|(owner, state)| link(owner, state)).collect(),
        ..Changes::default()
    };
    apply(store, &changes);
    let r = store.reader().unwrap();
    assert_eq!(ids(&r.sending_exports(A).unwrap()), [2]);
    assert_eq!(ends(&r.sending_export_links(A).unwrap()), [(2, 1)]);
    assert_eq!(r.sending_exports(B).unwrap(), []);
    drop(r);
    let back = Changes {
        exports: vec![row(2, ChangeState::Sent)],
        export_links: vec![link(2, ChangeState::Pending)],
        ..Changes::default()
    };
    apply(store, &back);
    let r = store.reader().unwrap();
    assert_eq!(r.sending_exports(A).unwrap(), []);
    assert_eq!(r.sending_export_links(A).unwrap(), []);
    assert_eq!(r.export_counts().unwrap().iter().map(|count| count.count).sum::<u64>(), 4);
    assert_ne!(r.export_counts().unwrap()[0].hashes, Hash128::default());
}
