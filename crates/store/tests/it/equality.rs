//! Random batches into the memory store and into SQLite: the same rows, counts and pages come out.

use onesync_engine::{
    AgendaRow, AttributeChange, ChangeState, Changes, ContainerRow, Counters, CsFlags, CsRow, ErrorRow,
    ExportLinkRow, ExportRow, HistoryRow, Join, LinkSum, MvRow, MvState, ReadError, Reader, Turn, Work,
};
use onesync_model::{
    Anchor, AttrId, ConnectorId, ContainerId, CsId, Hash128, Image, MvGuid, MvId, Operation, RuleId, RunId,
    Time, TypeId, Values,
};
use onesync_store::conformance::{EPOCH, install};
use onesync_store::{
    Ahead, ExportFilter, ExportLinkFilter, MemoryStore, SqliteStore, Store, StoreError, StoreReader,
    apply_and,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Each case opens a database of its own: some seconds in all.
const CASES: u32 = 48;

/// Few of everything, so that rows meet.
const OBJECTS: i64 = 8;

fn cs_id() -> impl Strategy<Value = CsId> {
    (1..=OBJECTS).prop_map(CsId)
}

/// Turns in another order than row numbers.
fn identity(cs: CsId) -> Work {
    Work::Identity(Turn { newcomer: cs.0 % 3 == 0, object_type: TypeId(1), place: (cs.0 - 4) * -7, cs })
}

fn mv_id() -> impl Strategy<Value = MvId> {
    (1..=OBJECTS).prop_map(MvId)
}

fn attribute() -> impl Strategy<Value = AttrId> {
    (1..=2u32).prop_map(AttrId)
}

fn hash() -> impl Strategy<Value = Hash128> {
    (0..=4u8).prop_map(|byte| Hash128([byte; 16]))
}

fn time() -> impl Strategy<Value = Time> {
    (0..=4i64).prop_map(Time::from_ticks)
}

fn state() -> impl Strategy<Value = ChangeState> {
    prop::sample::select(vec![
        ChangeState::Pending,
        ChangeState::Pending,
        ChangeState::Sending,
        ChangeState::Sent,
        ChangeState::Refused,
    ])
}

/// The connector follows from the object, as with real ones.
fn connector_of(id: CsId) -> ConnectorId {
    ConnectorId(1 + (id.0 % 2) as u32)
}

prop_compose! {
    fn cs()(
        id in cs_id(),
        object_type in 1..=2u32,
        anchor in prop::option::weighted(0.8, 1..=12u8),
        container in prop::option::of(1..=2i64),
        name in "[a-c]{0,2}",
        links in vec((attribute(), 0..9u64, hash()), 0..2),
        flags in prop::sample::select(vec![0, 0, 1, 2, 16]),
        reason in prop::option::of("[a-c]"),
        join in prop::option::of((mv_id(), any::<bool>())),
        leaving in prop::option::of(time()),
    ) -> CsRow {
        CsRow {
            id,
            connector: connector_of(id),
            object_type: TypeId(object_type),
            anchor: anchor.map(|byte| Anchor(vec![byte].into())),
            container: container.map(ContainerId),
            name,
            image: Image::empty(),
            links: links.into_iter().map(|(attribute, count, sum)| LinkSum { attribute, count, sum }).collect(),
            flags: CsFlags(flags),
            reason,
            join: join.map(|(mv, owned)| Join { mv, rule: RuleId(1), run: RunId(2), owned }),
            leaving,
        }
    }
}

prop_compose! {
    fn mv()(id in mv_id(), guid in 0..3u8, object_type in 1..=2u32, leaving in prop::option::of((time(), any::<bool>()))) -> MvRow {
        let state = leaving.map_or(MvState::Active, |(since, deleted)| MvState::Leaving { since, deleted });
        MvRow {
            id,
            guid: MvGuid([guid; 16]),
            object_type: TypeId(object_type),
            values: Image::empty(),
            causes: vec![],
            picks: vec![],
            state,
        }
    }
}

prop_compose! {
    fn export()(
        cs in cs_id(),
        object_type in 1..=2u32,
        operation in prop::sample::select(vec![Operation::Add, Operation::Update, Operation::Delete]),
        state in state(),
        value in prop::option::of("[a-c]"),
        not_before in time(),
        sent in prop::option::of(time()),
        kinds in prop::sample::select(vec![0, 1, 3, 32]),
        held in any::<bool>(),
    ) -> ExportRow {
        let change = AttributeChange {
            attribute: AttrId(1),
            values: value.clone().map(|text| Values::one(text.as_str().into())),
            state,
            attempts: 1,
            rule: RuleId(1),
            error: None,
        };
        ExportRow {
            cs,
            connector: connector_of(cs),
            object_type: TypeId(object_type),
            operation,
            state,
            changes: vec![change],
            create_key: value,
            not_before,
            attempts: 0,
            sent,
            error: None,
            kinds,
            held,
        }
    }
}

prop_compose! {
    fn export_link()(
        owner in cs_id(), attribute in attribute(), target in cs_id(), add in any::<bool>(), state in state(),
        not_before in time(), held in any::<bool>(),
    ) -> ExportLinkRow {
        ExportLinkRow {
            connector: connector_of(owner), owner, attribute, target, add, state, attempts: 0, not_before, held,
            error: None,
        }
    }
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![
        cs_id().prop_map(identity),
        mv_id().prop_map(Work::Values),
        cs_id().prop_map(Work::Target),
        (cs_id(), attribute()).prop_map(|(cs, a)| Work::CsLinks(cs, a)),
        (cs_id(), attribute(), hash()).prop_map(|(cs, a, key)| Work::CsLink(cs, a, key)),
    ]
}

fn on_agenda(work: Work, not_before: Time) -> AgendaRow {
    let connector = match work {
        Work::Identity(turn) => connector_of(turn.cs),
        _ => ConnectorId(0),
    };
    AgendaRow { connector, work, not_before }
}

prop_compose! {
    fn error()(cs in cs_id(), place in "[ab]", code in "[ab]", alarm in any::<bool>(), first_seen in time()) -> ErrorRow {
        let (object_type, cause) = (TypeId(1), first_seen.ticks() % 2);
        ErrorRow { cs, connector: connector_of(cs), object_type, place, code, cause, message: String::new(), first_seen, run: RunId(1), alarm }
    }
}

type Puts = (
    Vec<CsRow>,
    Vec<(CsId, Option<Hash128>)>,
    Vec<(i64, CsId)>,
    Vec<(CsId, AttrId, Hash128)>,
    Vec<MvRow>,
    Vec<(MvId, AttrId, MvId)>,
    Vec<ExportRow>,
    Vec<ExportLinkRow>,
    Vec<(Work, Time)>,
    Vec<ErrorRow>,
);
type Deletes = (
    Vec<CsId>,
    Vec<MvId>,
    Vec<(i64, CsId)>,
    Vec<(CsId, AttrId, Hash128)>,
    Vec<(MvId, AttrId, MvId)>,
    Vec<CsId>,
    Vec<(CsId, AttrId, CsId)>,
    Vec<Work>,
    Vec<(CsId, String)>,
);

pub(crate) fn changes() -> impl Strategy<Value = Changes> {
    let puts = (
        vec(cs(), 0..6),
        vec((cs_id(), prop::option::of(hash())), 0..3),
        vec((0..4i64, cs_id()), 0..4),
        vec((cs_id(), attribute(), hash()), 0..6),
        vec(mv(), 0..4),
        vec((mv_id(), attribute(), mv_id()), 0..6),
        vec(export(), 0..5),
        vec(export_link(), 0..6),
        vec((work(), time()), 0..6),
        vec(error(), 0..4),
    );
    let deletes = (
        vec(cs_id(), 0..2),
        vec(mv_id(), 0..2),
        vec((0..4i64, cs_id()), 0..2),
        vec((cs_id(), attribute(), hash()), 0..3),
        vec((mv_id(), attribute(), mv_id()), 0..3),
        vec(cs_id(), 0..2),
        vec((cs_id(), attribute(), cs_id()), 0..3),
        vec(work(), 0..4),
        vec((cs_id(), "[ab]"), 0..3),
    );
    (puts, deletes).prop_map(|(puts, deletes): (Puts, Deletes)| Changes {
        cs: puts.0,
        cs_names: puts.1.into_iter().map(|(id, key)| (id, None, key)).collect(),
        cs_deleted: deletes.0,
        cs_keys_added: puts.2,
        cs_keys_removed: deletes.2,
        links_added: puts.3,
        links_removed: deletes.3,
        containers: vec![ContainerRow {
            id: ContainerId(1),
            connector: ConnectorId(1),
            parent: None,
            rdn: "OU=a".to_owned(),
            anchor: None,
            hidden: false,
        }],
        mv_keys_added: puts.4.iter().map(|row| (row.id.0 % 3, row.id)).collect(),
        mv: puts.4,
        mv_deleted: deletes.1,
        mv_keys_removed: vec![],
        mv_links_added: puts.5,
        mv_links_removed: deletes.4,
        exports: puts.6,
        exports_deleted: deletes.5,
        export_links: puts.7,
        export_links_deleted: deletes.6,
        agenda: puts.8.iter().map(|(work, time)| on_agenda(*work, *time)).collect(),
        agenda_done: deletes.7,
        history: puts.9.iter().map(|row| history(row.cs)).collect(),
        errors: puts.9,
        errors_healed: deletes.8,
        states: vec![],
        counters: None,
        run: RunId(1),
    })
}

fn history(of: CsId) -> HistoryRow {
    HistoryRow { mv: MvId(of.0), run: RunId(1), time: Time::from_ticks(1), event: None, changes: vec![] }
}

/// What the readers answer to questions about everything there may be.
fn answers(r: &dyn StoreReader) -> Vec<String> {
    let cs: Vec<CsId> = (1..=OBJECTS).map(CsId).collect();
    let mv: Vec<MvId> = (1..=OBJECTS).map(MvId).collect();
    let keys: Vec<Hash128> = (0..=4).map(|byte| Hash128([byte; 16])).collect();
    let anchors = (1..=12u8)
        .flat_map(|byte| [1, 2].map(|c| CsRow::anchor_key(ConnectorId(c), &Anchor(vec![byte].into()))));
    let anchors: Vec<Hash128> = anchors.collect();
    let mut out = vec![
        format!("{:?}", r.cs_by_key(&anchors).unwrap()),
        format!("{:?}", r.cs_by_name(&keys).unwrap()),
        format!("{:?}", r.cs_of_mv(&mv).unwrap()),
        format!("{:?}", r.joins_of(&cs).unwrap()),
        format!("{:?}", r.link_targets(&[&keys[..], &anchors].concat()).unwrap()),
        format!("{:?}", r.errors_of(&cs).unwrap()),
        format!("{:?}", r.exports(&cs).unwrap()),
        format!("{:?}", r.agenda_next().unwrap()),
        format!("{:?}", r.cs_in_container(ContainerId(1), CsId(0), 5).unwrap()),
    ];
    for connector in [1, 2].map(ConnectorId) {
        let types = [TypeId(2), TypeId(1)];
        let now = Time::from_ticks(2);
        let filter = ExportFilter { held: Some(false), ..ExportFilter::default() };
        let links = ExportLinkFilter { add: Some(true), ..ExportLinkFilter::default() };
        out.push(format!("{:?}", r.joined_in(connector, &mv).unwrap()));
        out.push(format!("{:?}", r.live_ids(connector, CsId(1), 5).unwrap()));
        out.push(format!("{:?}", r.due_exports(connector, &types, now, None, 5).unwrap()));
        let after = (Operation::Update, TypeId(2), CsId(3));
        out.push(format!("{:?}", r.due_exports(connector, &types, now, Some(after), 5).unwrap()));
        out.push(format!("{:?}", r.due_export_links(connector, now, None, 5).unwrap()));
        out.push(format!("{:?}", r.sending_exports(connector).unwrap()));
        out.push(format!("{:?}", r.sending_export_links(connector).unwrap()));
        out.push(format!("{:?}", r.exports_page(connector, filter, CsId(2), 5).unwrap()));
        out.push(format!("{:?}", r.export_links_page(connector, links, None, 5).unwrap()));
        out.push(format!("{:?}", r.export_link_owners(connector, None, 5).unwrap()));
        out.push(format!("{:?}", r.errors_page(Some(connector), None, 5).unwrap()));
        out.push(format!("{:?}", r.agenda(0, Some(connector), now, None, 5).unwrap()));
    }
    for key in keys {
        out.push(format!("{:?}", r.referrers(key, None, 5).unwrap()));
    }
    for id in mv {
        out.push(format!("{:?}", r.mv_referrers(id, None, 5).unwrap()));
        out.push(format!("{:?}", r.history(id, None, 5).unwrap()));
    }
    for pass in 0..8 {
        out.push(format!("{:?}", r.agenda(pass, None, Time::from_ticks(2), None, 5).unwrap()));
    }
    out.push(format!("{:?}", r.agenda_counts(Time::from_ticks(2)).unwrap()));
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn all_stores_agree(batches in vec(changes(), 1..8)) {
        let folder = tempfile::tempdir().unwrap();
        let memory = MemoryStore::new();
        let sqlite = SqliteStore::open(&folder.path().join("one.db")).unwrap();
        install(&memory);
        install(&sqlite);
        agree(&memory, &sqlite, &batches);
    }
}

/// Writes batches into two stores: the same are refused, and the same rows, counts and answers come out.
pub(crate) fn agree(one: &dyn Store, two: &dyn Store, batches: &[Changes]) {
    for batch in batches {
        let (a, b) = (one.apply(EPOCH, batch), two.apply(EPOCH, batch));
        assert_eq!(a.is_ok(), b.is_ok(), "{a:?} and {b:?}");
        let (one, two) = (one.reader().unwrap(), two.reader().unwrap());
        for annotations in [true, false] {
            assert_eq!(one.dump(annotations).unwrap(), two.dump(annotations).unwrap());
        }
        assert_eq!(answers(&*one), answers(&*two));
    }
}

type Question = Box<dyn Fn(&dyn Reader) -> Result<String, ReadError> + Sync>;

/// Questions about single things: each may or may not be about what a batch writes.
fn questions() -> Vec<Question> {
    let mut out: Vec<Question> = Vec::new();
    macro_rules! ask {
        ($($question:expr),+ $(,)?) => {{ $(out.push(Box::new(move |r: &dyn Reader| Ok(format!("{:?}", $question(r)?))));)+ }};
    }
    let (member, first) = (AttrId(1), Hash128([0; 16]));
    for id in 1..=OBJECTS {
        let (cs, mv, key) = (CsId(id), MvId(id), Hash128([id as u8 % 5; 16]));
        let anchor = CsRow::anchor_key(ConnectorId(1 + id as u32 % 2), &Anchor(vec![id as u8].into()));
        ask!(
            |r: &dyn Reader| r.cs_by_id(&[cs]),
            |r: &dyn Reader| r.cs_by_key(&[anchor]),
            |r: &dyn Reader| r.cs_by_name(&[key]),
            |r: &dyn Reader| r.cs_of_mv(&[mv]),
            |r: &dyn Reader| r.joined_in(ConnectorId(1), &[mv]),
            |r: &dyn Reader| r.joins_of(&[cs]),
            |r: &dyn Reader| r.cs_by_join(&[id % 4]),
            |r: &dyn Reader| r.link_targets(&[key]),
            |r: &dyn Reader| r.link_targets(&[anchor]),
            |r: &dyn Reader| r.name_key(&[cs]),
            |r: &dyn Reader| r.mv_by_id(&[mv]),
            |r: &dyn Reader| r.mv_by_join(&[id % 3]),
            |r: &dyn Reader| r.links(cs, member, None, 5),
            |r: &dyn Reader| r.has_links(&[(cs, member, key)]),
            |r: &dyn Reader| r.referrers(key, None, 5),
            |r: &dyn Reader| r.mv_links(mv, member, MvId(0), 5),
            |r: &dyn Reader| r.mv_link_count(mv, member),
            |r: &dyn Reader| r.has_mv_links(&[(mv, member, MvId(1))]),
            |r: &dyn Reader| r.mv_referrers(mv, None, 5),
            |r: &dyn Reader| r.exports(&[cs]),
            |r: &dyn Reader| r.export_links(cs, member, CsId(0), 5),
            |r: &dyn Reader| r.export_links_by_key(&[(cs, member, CsId(1))]),
            |r: &dyn Reader| r.errors_of(&[cs]),
            |r: &dyn Reader| r.containers(&[ContainerId(id)]),
            |r: &dyn Reader| r.agenda(id as u8 % 8, None, Time::from_ticks(2), None, 5),
        );
        ask!(|r: &dyn Reader| {
            let mut joined = r.joined_to(&[mv])?;
            joined.sort_unstable();
            Ok::<_, ReadError>(joined)
        });
    }
    ask!(
        |r: &dyn Reader| r.counters(),
        |r: &dyn Reader| r.cs_page(ConnectorId(1), CsId(0), 5),
        |r: &dyn Reader| r.mv_page(MvId(0), 5),
        |r: &dyn Reader| r.containers_in(ContainerId(1), ContainerId(0), 5),
        |r: &dyn Reader| r.referrers(first, None, 5),
        |r: &dyn Reader| r.state(ConnectorId(1), "a"),
    );
    out
}

fn memory_with(batches: &[Changes]) -> MemoryStore {
    let store = MemoryStore::new();
    install(&store);
    for batch in batches {
        let _ = store.apply(EPOCH, batch); // refused ones change nothing
    }
    store
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES / 4) })]

    #[test]
    fn what_is_read_beside_a_writing_is_what_is_there_after_it(
        batches in vec(changes(), 0..5), last in changes(), state in any::<bool>()
    ) {
        let counters = Some(Counters { cs: 90, mv: 91, container: 92 }).filter(|_| state);
        let states = Vec::from_iter(state.then(|| (ConnectorId(1), "a".to_owned(), Some(vec![1]))));
        let last = Changes { counters, states, ..last };
        for question in questions() {
            let store = memory_with(&batches);
            let ask = |ahead: &Ahead<'_>| {
                question(ahead).map_err(|error| StoreError::Conflict(error.to_string()))
            };
            let Ok(answer) = apply_and(&store, EPOCH, 2, &last, ask) else {
                // Only a batch that is refused has nothing after it.
                prop_assert!(memory_with(&batches).apply(EPOCH, &last).is_err());
                return Ok(());
            };
            prop_assert_eq!(answer, question(&*store.reader().unwrap()).unwrap());
        }
        for (connector, after) in [(1, 0), (2, 3)].map(|(c, a)| (ConnectorId(c), CsId(a))) {
            let store = memory_with(&batches);
            let heads = apply_and(&store, EPOCH, 2, &last, |ahead| {
                Ok::<_, StoreError>(ahead.heads(connector, after, 2).unwrap())
            });
            prop_assert_eq!(heads.unwrap(), store.reader().unwrap().cs_heads(connector, after, 2).unwrap());
        }
    }

    #[test]
    fn what_follows_on_the_agenda_is_what_comes_first_after_the_writing(
        batches in vec(changes(), 1..5), last in changes(), pass in 0..8u8
    ) {
        let (store, now) = (memory_with(&batches), Time::from_ticks(2));
        let begun = store.reader().unwrap().agenda(pass, None, now, None, 2).unwrap();
        let Some(&end) = begun.last() else { return Ok(()) };
        let last = Changes { agenda_done: begun.iter().map(|row| row.work).collect(), ..last };
        let following = apply_and(&store, EPOCH, 2, &last, |ahead| {
            Ok::<_, StoreError>(ahead.following(pass, None, now, end, 2).unwrap())
        });
        if let Ok(Some(rows)) = following {
            prop_assert_eq!(rows, store.reader().unwrap().agenda(pass, None, now, None, 2).unwrap());
        }
    }
}
