//! Connector-space objects, metaverse objects, links, containers, agenda.

use onesync_engine::{
    Below, Changes, ContainerRow, Counters, CsFlags, CsRow, HistoryRow, JoinedIn, Members, MvRow, MvState,
    Turn, Work,
};
use onesync_model::{
    Anchor, AttrId, ConnectorId, ContainerId, CsId, Hash128, MvGuid, MvId, RuleId, RunId, TypeId, Values,
    normalise_rdn,
};

use super::sample::{A, B, GROUP, MEMBER, OWNER, USER, cs, error, export, export_link, image, joined, key};
use super::sample::{identity, mv, time, work};
use super::{EPOCH, all_pages, apply};
use crate::error::StoreError;
use crate::store::Store;

const NONE: Hash128 = Hash128([0; 16]);

fn ids(rows: &[CsRow]) -> Vec<i64> {
    rows.iter().map(|row| row.id.0).collect()
}

pub(super) fn found(store: &dyn Store) {
    let one = joined(cs(1, A, "one"), 30);
    let two = CsRow { anchor: None, container: None, reason: None, leaving: None, ..cs(2, A, "two") };
    let three = joined(cs(3, B, "one"), 30);
    let changes = Changes {
        cs: vec![three.clone(), one.clone(), two.clone()],
        cs_names: vec![(CsId(1), None, Some(key(1))), (CsId(2), None, Some(key(1)))],
        cs_keys_added: vec![(-5, CsId(2)), (-5, CsId(1)), (i64::MAX, CsId(3))],
        ..Changes::default()
    };
    apply(store, &changes);
    let r = store.reader().unwrap();
    let all = r.cs_by_id(&[CsId(3), CsId(1), CsId(9), CsId(2), CsId(1)]).unwrap();
    assert_eq!(all, [one.clone(), two.clone(), three.clone()], "ascending, once, every column");
    let keys = [three.key().unwrap(), one.key().unwrap(), NONE];
    assert_ne!(keys[0], keys[1], "one anchor in two connectors");
    assert_eq!(ids(&r.cs_by_key(&keys).unwrap()), [1, 3]);
    assert_eq!(ids(&r.cs_by_name(&[key(1), NONE]).unwrap()), [1, 2]);
    assert_eq!(ids(&r.cs_of_mv(&[MvId(31), MvId(30)]).unwrap()), [1, 3]);
    let expected = [JoinedIn { mv: MvId(30), cs: CsId(1), key: one.key(), name_key: Some(key(1)) }];
    assert_eq!(r.joined_in(A, &[MvId(30), MvId(31)]).unwrap(), expected);
    let joins = r.joins_of(&[CsId(3), CsId(2), CsId(1)]).unwrap();
    assert_eq!(joins, [(CsId(1), MvId(30)), (CsId(3), MvId(30))]);
    let by_join = r.cs_by_join(&[i64::MAX, -5, 0]).unwrap();
    assert_eq!(by_join, [(-5, CsId(1)), (-5, CsId(2)), (i64::MAX, CsId(3))]);
    let mut targets = r.link_targets(&[key(1), one.key().unwrap(), NONE]).unwrap();
    let mut expected = vec![
        (one.key().unwrap(), CsId(1), Some(MvId(30))),
        (key(1), CsId(1), Some(MvId(30))),
        (key(1), CsId(2), None),
    ];
    assert!(targets.is_sorted_by_key(|target| target.0), "{targets:?}");
    targets.sort_unstable();
    expected.sort_unstable();
    assert_eq!(targets, expected);
    assert_eq!(r.name_key(&[CsId(3), CsId(2)]).unwrap(), [(CsId(2), key(1))]);
    assert_eq!(r.cs_by_id(&[]).unwrap(), []);
}

pub(super) fn replaced(store: &dyn Store) {
    let named = vec![(CsId(1), None, Some(key(1)))];
    apply(store, &Changes { cs: vec![cs(1, A, "x")], cs_names: named, ..Changes::default() });
    // Each column that an index is of, alone and with others.
    let versions = [
        joined(cs(1, A, "x"), 40),
        CsRow { image: image("other"), name: "new".to_owned(), ..joined(cs(1, A, "x"), 40) },
        joined(cs(1, A, "x"), 41),
        CsRow { flags: CsFlags::GONE, container: None, ..joined(cs(1, A, "x"), 41) },
        CsRow { object_type: GROUP, ..cs(1, A, "x") },
        cs(1, A, "y"),
        CsRow { anchor: None, ..cs(1, A, "y") },
        cs(1, B, "y"),
    ];
    for version in versions {
        apply(store, &Changes { cs: vec![version.clone()], ..Changes::default() });
        let r = store.reader().unwrap();
        assert_eq!(r.cs_by_id(&[CsId(1)]).unwrap(), std::slice::from_ref(&version));
        assert_eq!(ids(&r.cs_by_name(&[key(1)]).unwrap()), [1], "the name key stays");
        let of = |mv: i64| r.cs_of_mv(&[MvId(mv)]).unwrap().len();
        let mv = version.join.map_or(0, |join| join.mv.0);
        assert_eq!((of(40), of(41)), (usize::from(mv == 40), usize::from(mv == 41)));
        let by_key = version.key().map(|key| r.cs_by_key(&[key]).unwrap().len());
        assert_eq!(by_key, version.anchor.as_ref().map(|_| 1));
        let live = r.live_ids(version.connector, CsId(0), 9).unwrap().len();
        assert_eq!(live, usize::from(!version.flags.has(CsFlags::GONE)));
    }
    let r = store.reader().unwrap();
    assert_eq!(r.cs_by_key(&[cs(1, A, "x").key().unwrap()]).unwrap(), [], "the old anchor leads nowhere");
    assert_eq!(r.cs_page(A, CsId(0), 9).unwrap(), []);
    drop(r);
    let names = vec![(CsId(1), Some(key(1)), Some(key(2))), (CsId(77), None, Some(key(3)))];
    apply(store, &Changes { cs_names: names, ..Changes::default() });
    let r = store.reader().unwrap();
    assert_eq!(r.cs_by_name(&[key(1)]).unwrap(), []);
    assert_eq!(ids(&r.cs_by_name(&[key(2)]).unwrap()), [1]);
    drop(r);
    apply(store, &Changes { cs_names: vec![(CsId(1), Some(key(2)), None)], ..Changes::default() });
    assert_eq!(store.reader().unwrap().cs_by_name(&[key(2)]).unwrap(), []);
    // Of two puts with one key the last counts.
    let twice = vec![cs(5, A, "first"), cs(6, A, "other"), cs(5, A, "last")];
    apply(store, &Changes { cs: twice, ..Changes::default() });
    assert_eq!(store.reader().unwrap().cs_by_id(&[CsId(5)]).unwrap(), [cs(5, A, "last")]);
}

pub(super) fn anchors(store: &dyn Store) {
    apply(store, &Changes { cs: vec![cs(1, A, "x"), cs(2, A, "y")], ..Changes::default() });
    let taken = Changes { cs: vec![cs(3, A, "x")], ..Changes::default() };
    let refused = store.apply(EPOCH, &taken).unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
    // What one row gives up, another may take, in one batch: by change, by exchange, by deletion.
    apply(store, &Changes { cs: vec![cs(1, A, "y"), cs(2, A, "x")], ..Changes::default() });
    let moved = vec![cs(1, A, "x"), CsRow { anchor: None, ..cs(2, A, "x") }];
    apply(store, &Changes { cs: moved, ..Changes::default() });
    let again = Changes { cs: vec![cs(3, A, "x")], cs_deleted: vec![CsId(1)], ..Changes::default() };
    apply(store, &again);
    let r = store.reader().unwrap();
    assert_eq!(ids(&r.cs_by_key(&[cs(0, A, "x").key().unwrap()]).unwrap()), [3]);
    assert_eq!(r.cs_by_key(&[cs(0, A, "y").key().unwrap()]).unwrap(), []);
}

pub(super) fn atomic(store: &dyn Store) {
    apply(store, &Changes { cs: vec![cs(9, A, "x")], ..Changes::default() });
    let before = store.reader().unwrap().dump(true).unwrap();
    let changes = Changes {
        cs: vec![cs(1, A, "fine"), cs(10, A, "x")],
        cs_keys_added: vec![(1, CsId(1))],
        links_added: vec![(CsId(1), MEMBER, key(1))],
        mv: vec![mv(1)],
        exports: vec![export(1, onesync_model::Operation::Add, USER)],
        agenda: vec![work(A, identity(1), 0)],
        errors: vec![error(1, "import")],
        states: vec![(A, "mark".to_owned(), Some(vec![1]))],
        counters: Some(Counters { cs: 11, mv: 2, container: 1 }),
        ..Changes::default()
    };
    store.apply(EPOCH, &changes).unwrap_err();
    assert_eq!(store.reader().unwrap().dump(true).unwrap(), before);
    store.apply(EPOCH - 1, &Changes { cs: vec![cs(1, A, "fine")], ..Changes::default() }).unwrap_err();
    assert_eq!(store.reader().unwrap().dump(true).unwrap(), before);
    // And the store goes on.
    apply(store, &Changes { cs: vec![cs(1, A, "fine")], ..changes });
    assert_ne!(store.reader().unwrap().dump(true).unwrap(), before);
}

pub(super) fn deleted(store: &dyn Store) {
    let changes = Changes {
        cs: vec![cs(1, A, "x"), joined(cs(2, A, "y"), 1)],
        cs_names: vec![(CsId(1), None, Some(key(1)))],
        links_added: vec![(CsId(1), MEMBER, key(1)), (CsId(2), MEMBER, key(1))],
        exports: vec![export(1, onesync_model::Operation::Add, USER)],
        export_links: vec![export_link(1, 2, true), export_link(2, 1, true)],
        errors: vec![error(1, "import"), error(2, "import")],
        mv: vec![mv(1), mv(2)],
        mv_links_added: vec![(MvId(1), MEMBER, MvId(2)), (MvId(2), MEMBER, MvId(1))],
        ..Changes::default()
    };
    apply(store, &changes);
    let gone =
        Changes { cs_deleted: vec![CsId(1), CsId(8)], mv_deleted: vec![MvId(1)], ..Changes::default() };
    apply(store, &gone);
    let r = store.reader().unwrap();
    assert_eq!(ids(&r.cs_by_id(&[CsId(1), CsId(2)]).unwrap()), [2]);
    assert_eq!(r.cs_by_name(&[key(1)]).unwrap(), []);
    assert_eq!(r.referrers(key(1), None, 9).unwrap(), [(CsId(2), MEMBER)]);
    assert_eq!(r.exports(&[CsId(1)]).unwrap(), []);
    assert_eq!(r.export_links(CsId(1), MEMBER, CsId(0), 9).unwrap(), []);
    assert_eq!(r.export_links(CsId(2), MEMBER, CsId(0), 9).unwrap().len(), 1, "those that point at it stay");
    assert_eq!(r.errors_of(&[CsId(1), CsId(2)]).unwrap(), [error(2, "import")]);
    assert_eq!(r.mv_by_id(&[MvId(1), MvId(2)]).unwrap(), [mv(2)]);
    assert_eq!(r.mv_referrers(MvId(2), None, 9).unwrap(), []);
    assert_eq!(r.mv_referrers(MvId(1), None, 9).unwrap(), [(MvId(2), MEMBER)], "for whoever withdraws them");
}

pub(super) fn paged(store: &dyn Store) {
    let rows: Vec<CsRow> =
        (1..=9).map(|id| cs(id, if id % 3 == 0 { B } else { A }, &format!("{id}"))).collect();
    apply(store, &Changes { cs: rows, ..Changes::default() });
    let flags = [(2, CsFlags::GONE), (4, CsFlags::PROVISIONED), (5, CsFlags::CONFLICT)];
    let flagged = flags.map(|(id, flags)| CsRow { flags, ..cs(id, A, &format!("{id}")) });
    apply(store, &Changes { cs: flagged.to_vec(), ..Changes::default() });
    let r = store.reader().unwrap();
    let from = |after: Option<CsId>| after.unwrap_or(CsId(0));
    let page = all_pages(|after, size| r.cs_page(A, from(after), size).unwrap(), |row| row.id);
    assert_eq!(ids(&page), [1, 2, 4, 5, 7, 8]);
    let heads = all_pages(|after, size| r.cs_heads(A, from(after), size).unwrap(), |head| head.turn.cs);
    let head = |row: &CsRow| (Turn::of(row), row.join.map(|join| join.mv), row.links.clone());
    assert_eq!(
        heads.into_iter().map(|h| (h.turn, h.mv, h.links)).collect::<Vec<_>>(),
        page.iter().map(head).collect::<Vec<_>>()
    );
    let live = all_pages(|after, size| r.live_ids(A, from(after), size).unwrap(), |id| *id);
    assert_eq!(live, [1, 5, 7, 8].map(CsId));
    let inside =
        all_pages(|after, size| r.cs_in_container(ContainerId(3), from(after), size).unwrap(), |id| *id);
    assert_eq!(inside, (1..=9).map(CsId).collect::<Vec<_>>());
    assert_eq!(r.cs_page(A, CsId(0), 0).unwrap(), []);
}

/// Photographs and certificates: sizes at which something else may begin in a database, among many others in one batch.
pub(super) fn large(store: &dyn Store) {
    const AROUND: usize = 65_536;
    let sizes = [AROUND - 200..AROUND + 1, 2 * AROUND..2 * AROUND + 1, 1_000_000..1_000_001];
    let large = sizes.into_iter().flat_map(|sizes| sizes.step_by(25));
    let rows: Vec<CsRow> = (1..)
        .zip(large.chain(std::iter::repeat_n(10, 90)))
        .map(|(id, size)| CsRow { image: image(&"x".repeat(size)), ..cs(id, A, &format!("{id}")) })
        .collect();
    apply(store, &Changes { cs: rows.clone(), ..Changes::default() });
    let ids: Vec<CsId> = rows.iter().map(|row| row.id).collect();
    assert_eq!(store.reader().unwrap().cs_by_id(&ids).unwrap(), rows);
}

pub(super) fn links(store: &dyn Store) {
    let rows: Vec<_> = (1..=6).map(|byte| (CsId(1), MEMBER, key(byte * 40))).collect();
    let changes = Changes {
        links_added: [&rows[..], &[(CsId(1), OWNER, key(40)), (CsId(2), MEMBER, key(40))]].concat(),
        ..Changes::default()
    };
    apply(store, &changes);
    apply(store, &changes); // what is there already is no error
    let gone = vec![(CsId(1), MEMBER, key(80)), (CsId(9), MEMBER, key(80))];
    apply(store, &Changes { links_removed: gone, ..Changes::default() });
    let r = store.reader().unwrap();
    let page = all_pages(|after, size| r.links(CsId(1), MEMBER, after, size).unwrap(), |key| *key);
    assert_eq!(page, [40, 120, 160, 200, 240].map(key));
    let of = [(CsId(1), MEMBER), (CsId(1), OWNER), (CsId(2), MEMBER), (CsId(9), MEMBER)];
    let first: Vec<_> = [40, 120].map(|byte| (CsId(1), MEMBER, key(byte))).into();
    let others = vec![(CsId(1), OWNER, key(40)), (CsId(2), MEMBER, key(40))];
    assert_eq!(r.links_of(&of, 2).unwrap(), [first, others].concat(), "the first of each");
    assert_eq!(r.links_of(&[], 2).unwrap(), []);
    let targets = [(10, 8), (11, 9), (12, 9)].map(|(id, mv)| joined(cs(id, A, &format!("{id}")), mv));
    let by_anchor = targets[1].key().unwrap();
    let links = [key(42), key(33), by_anchor, key(34), key(250)].map(|key| (CsId(3), MEMBER, key));
    let changes = Changes {
        cs: targets.to_vec(),
        cs_names: vec![(CsId(10), None, Some(key(42))), (CsId(12), None, Some(key(41)))],
        links_added: links.to_vec(),
        ..Changes::default()
    };
    apply(store, &changes);
    let r = store.reader().unwrap();
    let keys = r.links(CsId(3), MEMBER, None, 9).unwrap();
    let mut found: Vec<_> = r.link_targets(&keys).unwrap().into_iter().map(|row| (row.1, row.2)).collect();
    found.sort_unstable();
    let wanted = [(CsId(10), Some(MvId(8))), (CsId(11), Some(MvId(9)))];
    assert_eq!(found, wanted, "one by name, one by anchor");
    let asked = [(CsId(1), MEMBER, key(80)), (CsId(1), MEMBER, key(240)), (CsId(1), OWNER, key(40))];
    assert_eq!(r.has_links(&asked).unwrap(), [false, true, true], "in the order asked");
    let back = all_pages(|after, size| r.referrers(key(40), after, size).unwrap(), |row| *row);
    assert_eq!(back, [(CsId(1), MEMBER), (CsId(1), OWNER), (CsId(2), MEMBER)]);
}

pub(super) fn metaverse(store: &dyn Store) {
    let leaving = MvState::Leaving { since: time(-9), deleted: true };
    let two = MvRow { state: leaving, causes: vec![], picks: vec![], ..mv(2) };
    let changes = Changes {
        mv: vec![two.clone(), mv(1), mv(3)],
        mv_keys_added: vec![(7, MvId(2)), (7, MvId(1)), (8, MvId(3))],
        mv_links_added: (2..=5).map(|id| (MvId(1), MEMBER, MvId(id))).collect(),
        ..Changes::default()
    };
    apply(store, &changes);
    let again = MvRow { guid: MvGuid([99; 16]), object_type: TypeId(1), ..mv(3) };
    let changes = Changes {
        mv: vec![again.clone(), MvRow { state: leaving, ..mv(1) }],
        mv_keys_removed: vec![(7, MvId(2)), (9, MvId(9))],
        mv_links_removed: vec![(MvId(1), MEMBER, MvId(3))],
        mv_links_added: vec![(MvId(1), MEMBER, MvId(2)), (MvId(2), OWNER, MvId(5))],
        ..Changes::default()
    };
    apply(store, &changes);
    let r = store.reader().unwrap();
    let one = MvRow { state: leaving, ..mv(1) };
    let rows = r.mv_by_id(&[MvId(3), MvId(1), MvId(2), MvId(1), MvId(9)]).unwrap();
    assert_eq!(rows, [one.clone(), two.clone(), again.clone()]);
    let from = |after: Option<MvId>| after.unwrap_or(MvId(0));
    let page = all_pages(|after, size| r.mv_page(from(after), size).unwrap(), |row| row.id);
    assert_eq!(page, [one, two, again]);
    assert_eq!(r.mv_by_guid(MvGuid([99; 16])).unwrap(), Some(MvId(3)));
    assert_eq!(r.mv_by_guid(MvGuid([3; 16])).unwrap(), None);
    assert_eq!(r.mv_by_join(&[8, 7]).unwrap(), [(7, MvId(1)), (8, MvId(3))]);
    let targets = all_pages(|after, size| r.mv_links(MvId(1), MEMBER, from(after), size).unwrap(), |id| *id);
    assert_eq!(targets, [2, 4, 5].map(MvId));
    let of = [(MvId(1), MEMBER), (MvId(1), OWNER), (MvId(2), OWNER)];
    let firsts = [(MvId(1), MEMBER, MvId(2)), (MvId(1), MEMBER, MvId(4)), (MvId(2), OWNER, MvId(5))];
    assert_eq!(r.mv_links_of(&of, 2).unwrap(), firsts);
    assert_eq!(r.mv_link_count(MvId(1), MEMBER).unwrap(), 3);
    assert_eq!(r.mv_link_count(MvId(1), OWNER).unwrap(), 0);
    let asked = [(MvId(1), MEMBER, MvId(3)), (MvId(1), MEMBER, MvId(2)), (MvId(2), OWNER, MvId(5))];
    assert_eq!(r.has_mv_links(&asked).unwrap(), [false, true, true]);
    let back = all_pages(|after, size| r.mv_referrers(MvId(5), after, size).unwrap(), |row| *row);
    assert_eq!(back, [(MvId(1), MEMBER), (MvId(2), OWNER)]);
}

pub(super) fn containers(store: &dyn Store) {
    let row = |id: i64, parent: i64, rdn: &str| ContainerRow {
        id: ContainerId(id),
        connector: A,
        parent: (parent != 0).then_some(ContainerId(parent)),
        rdn: rdn.to_owned(),
        anchor: None,
        hidden: false,
    };
    let rows = vec![row(1, 0, "DC=contoso"), row(2, 1, "OU=Sales"), row(3, 1, "OU=Old")];
    apply(store, &Changes { containers: rows, ..Changes::default() });
    apply(store, &Changes { containers: vec![row(3, 1, "OU=M\u{fc}ller")], ..Changes::default() });
    let r = store.reader().unwrap();
    let parent = Some(ContainerId(1));
    assert_eq!(r.containers(&[ContainerId(9), ContainerId(2)]).unwrap(), [row(2, 1, "OU=Sales")]);
    let find = |parent, rdn: &str| r.container(A, parent, &normalise_rdn(rdn)).unwrap();
    assert_eq!(find(None, "dc=CONTOSO"), Some(row(1, 0, "DC=contoso")));
    assert_eq!(find(parent, "ou=SALES"), Some(row(2, 1, "OU=Sales")));
    assert_eq!(find(None, "ou=sales"), None);
    assert_eq!(find(parent, "ou=old"), None, "renamed");
    assert_eq!(find(parent, "ou=m\u{fc}ller"), Some(row(3, 1, "OU=M\u{fc}ller")));
    assert_eq!(r.container(B, parent, &normalise_rdn("OU=Sales")).unwrap(), None);
    let page = |after, limit| r.containers_in(ContainerId(1), ContainerId(after), limit).unwrap();
    assert_eq!(page(0, 9), [row(2, 1, "OU=Sales"), row(3, 1, "OU=M\u{fc}ller")]);
    assert_eq!((page(0, 1), page(2, 1)), (vec![row(2, 1, "OU=Sales")], vec![row(3, 1, "OU=M\u{fc}ller")]));
    drop(r);
    let known =
        |id, rdn, anchor: &str| ContainerRow { anchor: Some(Anchor::text(anchor)), ..row(id, 1, rdn) };
    let (sales, other) =
        (known(2, "OU=Sales", "s"), ContainerRow { connector: B, ..known(4, "OU=Sales", "s") });
    let hidden = ContainerRow { hidden: true, ..known(3, "OU=Sales", "m") };
    let rows = vec![hidden.clone(), row(5, 2, ""), other, sales.clone()];
    apply(store, &Changes { containers: rows, ..Changes::default() });
    let r = store.reader().unwrap();
    let (s, m, x) = (Anchor::text("s"), Anchor::text("m"), Anchor::text("x"));
    assert_eq!(r.containers_by_anchor(A, &[&m, &x, &s]).unwrap(), [sales.clone(), hidden]);
    let find = |parent, rdn: &str| r.container(A, Some(ContainerId(parent)), &normalise_rdn(rdn)).unwrap();
    assert_eq!(find(1, "ou=sales"), Some(sales), "not the one whose name it was");
    assert_eq!(find(1, "ou=m\u{fc}ller"), None, "nor is that found by the name before");
    assert_eq!(
        r.container(A, Some(ContainerId(2)), "").unwrap(),
        Some(row(5, 2, "")),
        "what is the same container"
    );
}

pub(super) fn notes(store: &dyn Store) {
    let values = |text: &str| Some(Values::one(text.into()));
    let history = |mv: i64, event: Option<&str>| HistoryRow {
        mv: MvId(mv),
        run: RunId(5),
        time: time(mv),
        event: event.map(str::to_owned),
        changes: vec![
            (AttrId(1), values("old"), None, None),
            (AttrId(2), None, values("new"), Some(RuleId(0))),
        ],
    };
    let other = onesync_engine::ErrorRow { connector: B, ..error(3, "scope") };
    let changes = Changes {
        errors: vec![error(2, "flow:mail"), error(1, "import"), error(2, "export"), other.clone()],
        history: vec![history(1, Some("created")), history(2, None), history(1, None)],
        states: vec![
            (A, "mark".to_owned(), Some(vec![0, 1])),
            (ConnectorId(0), "mark".to_owned(), Some(vec![])),
        ],
        counters: Some(Counters { cs: 4, mv: 5, container: 6 }),
        ..Changes::default()
    };
    apply(store, &changes);
    let r = store.reader().unwrap();
    assert_eq!(r.counters().unwrap(), Counters { cs: 4, mv: 5, container: 6 });
    let of = r.errors_of(&[CsId(2), CsId(1), CsId(2)]).unwrap();
    assert_eq!(of, [error(1, "import"), error(2, "export"), error(2, "flow:mail")]);
    let page = |connector| {
        all_pages(
            |after: Option<(CsId, String)>, size| {
                let after = after.as_ref().map(|(cs, place)| (*cs, place.as_str()));
                r.errors_page(connector, after, size).unwrap()
            },
            |row| (row.cs, row.place.clone()),
        )
    };
    assert_eq!(page(Some(A)), of);
    assert_eq!(page(None), [&of[..], std::slice::from_ref(&other)].concat());
    let before = r.history(MvId(1), None, 9).unwrap();
    let rows: Vec<_> = before.iter().map(|(_, row)| row.clone()).collect();
    assert_eq!(rows, [history(1, None), history(1, Some("created"))], "the newest first");
    assert_eq!(r.history(MvId(1), None, 1).unwrap(), before[..1]);
    assert_eq!(r.history(MvId(1), Some(before[0].0), 9).unwrap(), before[1..]);
    assert_eq!(r.state(A, "mark").unwrap(), Some(vec![0, 1]));
    assert_eq!(r.state(ConnectorId(0), "mark").unwrap(), Some(vec![]));
    assert_eq!(r.state(B, "mark").unwrap(), None);
    drop(r);
    let changes = Changes {
        errors: vec![onesync_engine::ErrorRow { code: "FLOW-2".to_owned(), ..error(1, "import") }],
        errors_healed: vec![(CsId(2), "export".to_owned()), (CsId(9), "export".to_owned())],
        states: vec![(A, "mark".to_owned(), None), (A, "none".to_owned(), None)],
        ..Changes::default()
    };
    apply(store, &changes);
    let r = store.reader().unwrap();
    assert_eq!(r.state(A, "mark").unwrap(), None);
    assert_eq!(r.counters().unwrap().cs, 4, "stays when no batch says otherwise");
    let codes: Vec<_> =
        r.error_counts().unwrap().into_iter().map(|c| (c.connector, c.place, c.code, c.count)).collect();
    let count = |c, place: &str, code: &str| (c, place.to_owned(), code.to_owned(), 1);
    let expected =
        [count(A, "flow:mail", "FLOW-1"), count(A, "import", "FLOW-2"), count(B, "scope", "FLOW-1")];
    assert_eq!(codes, expected);
    drop(r);
    errors_by_cause(store);
}

/// Errors are counted by type and cause: what fails alike counts together, and nothing else.
fn errors_by_cause(store: &dyn Store) {
    let one =
        |cs, cause, object_type| onesync_engine::ErrorRow { cause, object_type, ..error(cs, "flow:cn") };
    let errors = vec![one(4, 1, USER), one(5, 1, USER), one(6, 2, USER), one(7, 1, GROUP)];
    apply(store, &Changes { errors, ..Changes::default() });
    let counts = || -> Vec<_> {
        let all = store.reader().unwrap().error_counts().unwrap();
        let of = all.into_iter().filter(|c| c.place == "flow:cn");
        of.map(|c| (c.object_type, c.cause, c.count)).collect()
    };
    assert_eq!(counts(), [(USER, 1, 2), (USER, 2, 1), (GROUP, 1, 1)]);
    let errors = vec![one(5, 2, USER)];
    apply(store, &Changes { errors, cs_deleted: vec![CsId(7)], ..Changes::default() });
    assert_eq!(counts(), [(USER, 1, 1), (USER, 2, 2)]);
}

pub(super) fn agenda(store: &dyn Store) {
    let every = [
        Work::Values(MvId(3)),
        Work::Outbound(MvId(3)),
        Work::Target(CsId(3)),
        Work::MvTarget(MvId(3)),
        Work::CsLinks(CsId(3), MEMBER),
        Work::MvLinks(MvId(3), MEMBER),
        Work::CsLink(CsId(3), MEMBER, key(0)),
        Work::Below(Below { container: ContainerId(3), after: ContainerId(2), after_object: CsId(1) }),
        Work::Members(Members { group: CsId(3), attribute: MEMBER, after: None }),
    ];
    let mut rows: Vec<_> = every.iter().map(|w| work(ConnectorId(0), *w, 10)).collect();
    rows.push(work(A, identity(2), 10));
    rows.push(work(B, identity(1), 10));
    rows.push(work(A, identity(3), 20));
    for byte in [3, 1, 2] {
        rows.push(work(ConnectorId(0), Work::CsLink(CsId(3), MEMBER, key(byte)), 10));
        let half_way = Members { group: CsId(3), attribute: MEMBER, after: Some(key(byte)) };
        rows.push(work(ConnectorId(0), Work::Members(half_way), 10));
    }
    apply(store, &Changes { agenda: rows, ..Changes::default() });
    let earlier = vec![work(A, identity(3), 5), work(A, identity(2), 99)];
    apply(store, &Changes { agenda: earlier, ..Changes::default() });
    let r = store.reader().unwrap();
    let at = |pass, connector, now| r.agenda(pass, connector, time(now), None, 9).unwrap();
    let (one, two) = (work(B, identity(1), 10), work(A, identity(2), 10));
    let three = work(A, identity(3), 5);
    assert_eq!(at(0, None, 10), [one, two, three], "the earlier time stays; in the order of the work");
    assert_eq!(at(0, Some(A), 10), [two, three]);
    assert_eq!(at(0, Some(A), 9), [three]);
    assert_eq!(at(0, None, 4), []);
    for w in every {
        assert_eq!(at(w.pass(), None, 10)[0], work(ConnectorId(0), w, 10), "{w:?}");
        assert_eq!(
            at(w.pass(), Some(A), 10).len(),
            at(w.pass(), None, 10).len(),
            "one agenda for all: {w:?}"
        );
        assert_eq!(at(w.pass(), None, 9), []);
    }
    for pass in [0, 7, 9] {
        all_pages(|after, size| r.agenda(pass, None, time(10), after, size).unwrap(), |row| *row);
    }
    assert_eq!(r.agenda_next().unwrap(), Some(time(5)));
    let counts: Vec<_> = r.agenda_counts(time(5)).unwrap();
    let counts: Vec<_> = counts.iter().map(|c| (c.pass, c.connector.0, c.due, c.later)).collect();
    let newcomers = [(0, 1, 1, 1), (0, 2, 0, 1)];
    let others = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    let others = others.map(|pass| (pass, 0, 0, if matches!(pass, 7 | 9) { 4 } else { 1 }));
    assert_eq!(counts, [&newcomers[..], &others].concat());
    drop(r);
    // Done, and due again later, in one batch: then only the new time counts.
    let changes = Changes {
        agenda_done: [&every[..], &[identity(3), identity(77)]].concat(),
        agenda: vec![work(A, identity(3), 50)],
        ..Changes::default()
    };
    apply(store, &changes);
    let r = store.reader().unwrap();
    assert_eq!(r.agenda(0, Some(A), time(49), None, 9).unwrap(), [two]);
    assert_eq!(r.agenda(0, Some(A), time(50), None, 9).unwrap().len(), 2);
    assert_eq!(r.agenda(1, None, time(50), None, 9).unwrap(), []);
    assert_eq!(r.agenda(7, None, time(50), None, 9).unwrap().len(), 3);
}

/// More rows than one way of searching is for.
pub(super) fn agenda_waiting(store: &dyn Store) {
    let row = |id: i64| {
        // Every 100th is due at once, the others one after the other later.
        let due = if id % 100 == 0 { 0 } else { 1_000 + id };
        work(ConnectorId(0), Work::Values(MvId(id)), due)
    };
    apply(store, &Changes { agenda: (0..10_000).map(row).collect(), ..Changes::default() });
    let r = store.reader().unwrap();
    for now in [0, 1_050, 6_000, 20_000] {
        let expected: Vec<_> = (0..10_000).map(row).filter(|row| row.not_before <= time(now)).collect();
        let mut found = Vec::new();
        loop {
            let page = r.agenda(1, None, time(now), found.last().copied(), 700).unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found, expected, "at {now}");
    }
}
