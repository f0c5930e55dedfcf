//! The installation, and what the service keeps for itself.

use onesync_engine::{Changes, Counters, HistoryRow};
use onesync_model::{AttrId, CsId, MvId, RuleId, RunId};

use super::sample::{A, B, USER, cs, key, time};
use super::{EPOCH, apply, install};
use crate::chain::{CHAIN_HEAD, ChainBreak, ChainMark, verify};
use crate::error::StoreError;
use crate::rows::{
    ConfigFiles, ConfigVersionRow, ConnectorRow, EventRow, ExportedRow, HeldPlanRow, HeldState,
    InstallationRow, Retention, RuleRow, RunRow, SecretRow, ServiceChanges,
};
use crate::store::Store;

fn run(id: i64, ended: Option<i64>) -> RunRow {
    RunRow {
        id: RunId(id),
        connector: if id % 2 == 0 { A } else { B },
        step: "full-import".to_owned(),
        started: time(id),
        ended: ended.map(time),
        result: ended.map(|_| "done".to_owned()),
        counters: "{\"add\":1}".to_owned(),
    }
}

fn event(seconds: i64) -> EventRow {
    let text = |text: &str| text.to_owned();
    EventRow { time: time(seconds), kind: text("staging"), subject: text("graph"), text: text("{}") }
}

fn record(store: &dyn Store, service: &ServiceChanges) {
    store.record(EPOCH, service).unwrap();
}

pub(super) fn empty(store: &dyn Store) {
    let r = store.reader().unwrap();
    assert_eq!(r.installation().unwrap(), None);
    assert_eq!(r.counters().unwrap(), Counters { cs: 1, mv: 1, container: 1 });
    assert_eq!(r.next_run().unwrap(), RunId(1));
    assert_eq!(r.agenda_next().unwrap(), None);
    assert_eq!(r.config_files(1).unwrap(), None);
    assert_eq!(r.cs_counts().unwrap(), []);
    assert_eq!(r.dump(false).unwrap(), "");
    drop(r);
    let refused = store.apply(EPOCH, &Changes::default()).unwrap_err();
    assert!(matches!(refused, StoreError::NotInstalled), "{refused}");
    let refused = store.take_epoch(EPOCH).unwrap_err();
    assert!(matches!(refused, StoreError::NotInstalled), "{refused}");
}

pub(super) fn installed_once(store: &dyn Store) {
    install(store);
    let created = time(2);
    let other = InstallationRow { id: "other".to_owned(), epoch: 1, staging: false, created };
    let refused = store.install(&other).unwrap_err();
    assert!(matches!(&refused, StoreError::Installed(id) if id == "test"), "{refused}");
    record(store, &ServiceChanges { staging: Some(false), ..ServiceChanges::default() });
    let installation = store.reader().unwrap().installation().unwrap().unwrap();
    let expected = InstallationRow { id: "test".to_owned(), epoch: EPOCH, staging: false, created: time(1) };
    assert_eq!(installation, expected);
}

pub(super) fn fenced(store: &dyn Store) {
    let refused = store.take_epoch(EPOCH - 1).unwrap_err();
    assert!(matches!(refused, StoreError::Fenced { ours: 6, theirs: 7 }), "{refused}");
    assert_eq!(store.take_epoch(EPOCH).unwrap(), EPOCH + 1);
    let changes = Changes { cs: vec![cs(1, A, "x")], ..Changes::default() };
    for refused in [
        store.apply(EPOCH, &changes).unwrap_err(),
        store
            .record(EPOCH, &ServiceChanges { runs: vec![run(1, None)], ..ServiceChanges::default() })
            .unwrap_err(),
        store.take_epoch(EPOCH).unwrap_err(),
        store
            .trim(
                EPOCH,
                &Retention {
                    history_before: time(9),
                    runs_before: time(9),
                    events_before: time(9),
                    exported_before: 9,
                },
                9,
            )
            .unwrap_err(),
    ] {
        assert!(matches!(refused, StoreError::Fenced { ours: 7, theirs: 8 }), "{refused}");
    }
    let r = store.reader().unwrap();
    assert_eq!(r.cs_by_id(&[CsId(1)]).unwrap(), []);
    assert_eq!(r.run(RunId(1)).unwrap(), None);
    drop(r);
    store.apply(EPOCH + 1, &changes).unwrap();
}

pub(super) fn recorded(store: &dyn Store) {
    let text = |text: &str| text.to_owned();
    let connector = |removed| ConnectorRow { id: A, name: text("contoso.com"), kind: text("ad"), removed };
    let rule = RuleRow { id: RuleId(3), connector: A, name: text("In - Join"), hash: key(3) };
    let config = ConfigVersionRow { version: 1, created: time(1), who: text("anna"), hash: key(4) };
    let files: ConfigFiles =
        [(text("onesync.toml"), vec![0, 159, 146, 150]), (text("rules/a.toml"), vec![])].into();
    let secret = |name: &str, previous: Option<&[u8]>| SecretRow {
        name: text(name),
        current: vec![1, 2],
        previous: previous.map(<[u8]>::to_vec),
        changed: time(5),
    };
    let held = |state, byte| HeldPlanRow {
        hash: key(byte),
        connector: A,
        object_type: USER,
        reason: text("too many"),
        items: vec![key(1), key(2)],
        state,
        created: time(1),
        who: Some(text("anna")),
        decided: None,
    };
    let setting = |name: &str, value: &str| (text(name), text(value));
    let changes = ServiceChanges {
        settings: vec![setting("scheduler", "on"), setting("size", "1")],
        runs: vec![run(1, None)],
        names: vec![(AttrId(0), text("mail")), (AttrId(1), text("cn"))],
        connectors: vec![connector(false)],
        rules: vec![rule.clone()],
        configs: vec![(config.clone(), files.clone())],
        secrets: vec![secret("b", None), secret("a", None)],
        held: vec![held(HeldState::Held, 9), held(HeldState::Held, 8)],
        ..ServiceChanges::default()
    };
    record(store, &changes);
    let changes = ServiceChanges {
        settings: vec![setting("scheduler", "off")],
        runs: vec![run(1, Some(9))],
        connectors: vec![connector(true)],
        secrets: vec![secret("a", Some(&[7]))],
        secrets_deleted: vec![text("b"), text("none")],
        held: vec![held(HeldState::Released, 9)],
        ..ServiceChanges::default()
    };
    record(store, &changes);
    let r = store.reader().unwrap();
    assert_eq!(r.settings().unwrap(), [setting("scheduler", "off"), setting("size", "1")]);
    assert_eq!(r.setting("scheduler").unwrap(), Some(text("off")));
    assert_eq!(r.setting("none").unwrap(), None);
    assert_eq!(r.run(RunId(1)).unwrap(), Some(run(1, Some(9))));
    assert_eq!(r.next_run().unwrap(), RunId(2));
    assert_eq!(r.names().unwrap(), [(AttrId(0), text("mail")), (AttrId(1), text("cn"))]);
    assert_eq!(r.connectors().unwrap(), [connector(true)]);
    assert_eq!(r.rules().unwrap(), [rule]);
    assert_eq!(r.config_versions().unwrap(), [config]);
    assert_eq!(r.config_files(1).unwrap(), Some(files));
    assert_eq!(r.config_files(2).unwrap(), None);
    assert_eq!(r.secrets().unwrap(), [secret("a", Some(&[7]))]);
    assert_eq!(r.secret("a").unwrap(), Some(secret("a", Some(&[7]))));
    assert_eq!(r.secret("b").unwrap(), None);
    assert_eq!(r.held_plans(None).unwrap(), [held(HeldState::Held, 8), held(HeldState::Released, 9)]);
    assert_eq!(r.held_plans(Some(HeldState::Released)).unwrap(), [held(HeldState::Released, 9)]);
    assert_eq!(r.held_plan(key(8)).unwrap(), Some(held(HeldState::Held, 8)));
    assert_eq!(r.held_plan(key(7)).unwrap(), None);
    drop(r);
    // Sealed anew only as it was: what was set or deleted meanwhile stays.
    let resealed = |before: &[u8], name: &str, seal: u8| {
        let row = SecretRow { current: vec![seal], previous: Some(vec![seal, 8]), ..secret(name, None) };
        (before.to_vec(), SecretRow { changed: time(99), ..row })
    };
    let secrets_resealed = vec![resealed(&[1], "a", 3), resealed(&[1, 2], "a", 4), resealed(&[1, 2], "b", 5)];
    record(store, &ServiceChanges { secrets_resealed, ..ServiceChanges::default() });
    let anew = SecretRow { current: vec![4], ..secret("a", Some(&[4, 8])) };
    assert_eq!(store.reader().unwrap().secrets().unwrap(), [anew]);
}

pub(super) fn append_only(store: &dyn Store) {
    let name = |name: &str| ServiceChanges {
        names: vec![(AttrId(9), name.to_owned())],
        runs: vec![run(if name == "mail" { 1 } else { 2 }, None)],
        ..ServiceChanges::default()
    };
    record(store, &name("mail"));
    record(store, &name("mail")); // the same again is no change
    let refused = store.record(EPOCH, &name("phone")).unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
    let rule = |hash| ServiceChanges {
        rules: vec![RuleRow { id: RuleId(1), connector: A, name: "r".to_owned(), hash: key(hash) }],
        ..ServiceChanges::default()
    };
    record(store, &rule(1));
    record(store, &rule(1));
    let refused = store.record(EPOCH, &rule(2)).unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
    let config = ConfigVersionRow { version: 1, created: time(1), who: String::new(), hash: key(1) };
    let configs = vec![(config, ConfigFiles::new())];
    let config = ServiceChanges { configs, ..ServiceChanges::default() };
    record(store, &config);
    let refused = store.record(EPOCH, &config).unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
    let r = store.reader().unwrap();
    assert_eq!(r.names().unwrap(), [(AttrId(9), "mail".to_owned())]);
    assert_eq!(r.run(RunId(2)).unwrap(), None, "a refused batch records nothing");
}

pub(super) fn paged(store: &dyn Store) {
    let changes = ServiceChanges {
        runs: (1..=5).map(|id| run(id, None)).collect(),
        events: (1..=3).map(event).collect(),
        ..ServiceChanges::default()
    };
    record(store, &changes);
    let r = store.reader().unwrap();
    let ids = |connector, before: Option<i64>, limit| -> Vec<i64> {
        let rows = r.runs(connector, before.map(RunId), limit).unwrap();
        rows.iter().map(|row| row.id.0).collect()
    };
    assert_eq!(ids(None, None, 2), [5, 4]);
    assert_eq!(ids(None, Some(4), 9), [3, 2, 1]);
    assert_eq!(ids(Some(A), None, 9), [4, 2]);
    assert_eq!(ids(Some(B), Some(5), 1), [3]);
    let events = r.events(None, 2).unwrap();
    assert_eq!(events.iter().map(|row| row.event.clone()).collect::<Vec<_>>(), [event(3), event(2)]);
    assert_eq!(r.events(Some(events[1].seq), 9).unwrap()[0].event, event(1));
    assert_eq!(r.events_after(events[1].seq - 1, 1).unwrap(), events[1..]);
    assert_eq!(r.events_after(events[0].seq, 9).unwrap(), []);
}

/// The hashes are the same in every store: those of the texts as they were given, also of such as a database takes in
/// another form only.
pub(super) fn chained(store: &dyn Store) {
    let odd = EventRow { subject: "a\0b\u{1} ".to_owned(), text: "\u{e4}\u{1f600} ".to_owned(), ..event(1) };
    record(store, &ServiceChanges { events: vec![odd.clone(), event(2)], ..ServiceChanges::default() });
    let began = ChainMark::begin(0).then(&odd).then(&event(2));
    let report = verify(&*store.reader().unwrap()).unwrap();
    assert_eq!((report.rows, report.newest, report.broken), (2, Some(began), None));
    record(store, &ServiceChanges { events: (3..=9).map(event).collect(), ..ServiceChanges::default() });
    // A clock that was put back for an event: it goes with those before it.
    record(store, &ServiceChanges { events: vec![event(4), event(10)], ..ServiceChanges::default() });
    let newest = (3..=9).chain([4, 10]).fold(began, |mark, seconds| mark.then(&event(seconds)));
    let old = |seconds| Retention {
        history_before: time(0),
        runs_before: time(0),
        events_before: time(seconds),
        exported_before: 0,
    };
    for (before, gone, left) in [(1, 0, 11), (5, 4, 7), (10, 6, 1), (11, 1, 0), (11, 0, 0)] {
        assert_eq!(store.trim(EPOCH, &old(before), 100).unwrap(), gone, "before {before}");
        let report = verify(&*store.reader().unwrap()).unwrap();
        assert_eq!(
            (report.rows, report.newest, report.broken),
            (left, Some(newest), None),
            "before {before}"
        );
    }
    record(store, &ServiceChanges { events: vec![event(11)], ..ServiceChanges::default() });
    let report = verify(&*store.reader().unwrap()).unwrap();
    assert_eq!((report.rows, report.newest, report.broken), (1, Some(newest.then(&event(11))), None));
    // The newest that is known is not the newest that is there: nothing is taken for granted.
    let settings = vec![(CHAIN_HEAD.to_owned(), newest.then(&event(11)).then(&event(12)).to_string())];
    record(store, &ServiceChanges { settings, ..ServiceChanges::default() });
    let report = verify(&*store.reader().unwrap()).unwrap();
    assert_eq!(report.broken, Some(ChainBreak::Removed(newest.seq + 2)));
}

/// A run that is not there, or is another one by now, ends in an error: the database was put back under it.
pub(super) fn ended(store: &dyn Store) {
    let ends = |row: RunRow| ServiceChanges { runs_ended: vec![row], ..ServiceChanges::default() };
    record(store, &ServiceChanges { runs: vec![run(1, None)], must_last: true, ..ServiceChanges::default() });
    record(store, &ends(run(1, Some(9))));
    assert_eq!(store.reader().unwrap().run(RunId(1)).unwrap(), Some(run(1, Some(9))));
    let later = RunRow { started: time(5), ..run(1, Some(9)) };
    let other = RunRow { connector: A, ..run(1, Some(9)) };
    for gone in [run(2, Some(9)), later, other] {
        let setting = vec![("a".to_owned(), "b".to_owned())];
        let changes = ServiceChanges { settings: setting, ..ends(gone) };
        let refused = store.record(EPOCH, &changes).unwrap_err();
        assert!(matches!(&refused, StoreError::Conflict(text) if text.contains("was put back")), "{refused}");
    }
    let reader = store.reader().unwrap();
    assert_eq!((reader.setting("a").unwrap(), reader.run(RunId(2)).unwrap()), (None, None));
    assert_eq!(reader.run(RunId(1)).unwrap(), Some(run(1, Some(9))));
}

pub(super) fn exported(store: &dyn Store) {
    let row = |connector, kind, hour, count| ExportedRow { connector, object_type: USER, kind, hour, count };
    let rows = vec![row(A, 1, 10, 5), row(A, 1, 10, 2), row(A, 1, 11, 1), row(B, 1, 10, 9), row(A, 2, 10, 3)];
    record(store, &ServiceChanges { exported: rows, ..ServiceChanges::default() });
    record(store, &ServiceChanges { exported: vec![row(A, 1, 11, 4)], ..ServiceChanges::default() });
    let r = store.reader().unwrap();
    let all = [row(A, 1, 10, 7), row(A, 1, 11, 5), row(A, 2, 10, 3)];
    assert_eq!(r.exported_since(A, 10).unwrap(), all);
    assert_eq!(r.exported_since(A, 11).unwrap(), all[1..2]);
}

pub(super) fn trimmed(store: &dyn Store) {
    let history = |seconds: i64| HistoryRow {
        mv: MvId(1),
        run: RunId(1),
        time: time(seconds),
        event: None,
        changes: vec![],
    };
    apply(store, &Changes { history: (1..=5).map(history).collect(), ..Changes::default() });
    let exported = |hour| ExportedRow { connector: A, object_type: USER, kind: 1, hour, count: 1 };
    let changes = ServiceChanges {
        runs: vec![run(1, Some(1)), run(2, None), run(3, Some(8))],
        events: (1..=5).map(event).collect(),
        exported: (1..=5).map(exported).collect(),
        ..ServiceChanges::default()
    };
    record(store, &changes);
    let (history_before, events_before) = (time(4), time(3));
    let old = Retention { history_before, runs_before: time(5), events_before, exported_before: 2 };
    assert_eq!(store.trim(EPOCH, &old, 2).unwrap(), 2 + 1 + 2 + 1);
    assert_eq!(store.trim(EPOCH, &old, 2).unwrap(), 1);
    assert_eq!(store.trim(EPOCH, &old, 2).unwrap(), 0);
    let r = store.reader().unwrap();
    let times: Vec<_> = r.history(MvId(1), None, 9).unwrap().iter().map(|(_, row)| row.time).collect();
    assert_eq!(times, [time(5), time(4)]);
    assert_eq!(r.runs(None, None, 9).unwrap(), [run(3, Some(8)), run(2, None)], "one that never ended stays");
    assert_eq!(r.events(None, 9).unwrap().len(), 3);
    assert_eq!(r.exported_since(A, 0).unwrap().len(), 4);
    drop(r);
    store.checkpoint().unwrap();
}

pub(super) fn snapshot(store: &dyn Store) {
    apply(store, &Changes { cs: vec![cs(1, A, "x")], ..Changes::default() });
    let before = store.reader().unwrap();
    apply(store, &Changes { cs: vec![cs(2, A, "y")], cs_deleted: vec![CsId(1)], ..Changes::default() });
    let after = store.reader().unwrap();
    let ids = |r: &dyn crate::store::StoreReader| -> Vec<CsId> {
        r.cs_page(A, CsId(0), 9).unwrap().iter().map(|row| row.id).collect()
    };
    assert_eq!(ids(&*before), [CsId(1)], "as it was, for its whole life");
    assert_eq!(ids(&*after), [CsId(2)]);
    // Dropped and taken again, a reader sees what is there now.
    drop(before);
    drop(after);
    let many: Vec<_> = (0..9).map(|_| store.reader().unwrap()).collect();
    many.iter().for_each(|reader| assert_eq!(ids(&**reader), [CsId(2)]));
    drop(many);
    store.checkpoint().unwrap();
    assert_eq!(ids(&*store.reader().unwrap()), [CsId(2)]);
}
