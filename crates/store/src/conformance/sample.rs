//! Rows for the checks.

use onesync_engine::{
    AgendaRow, AttributeChange, Cause, ChangeState, CsFlags, CsRow, ErrorRow, ExportLinkRow, ExportRow, Join,
    LinkPick, LinkSum, MvRow, MvState, Retained, Turn, Work,
};
use onesync_model::{
    Anchor, AttrId, Bag, ConnectorId, ContainerId, CsId, Hash128, Image, MvGuid, MvId, Operation, RuleId,
    RunId, Time, TypeId, Values,
};

pub(super) const A: ConnectorId = ConnectorId(1);
pub(super) const B: ConnectorId = ConnectorId(2);
pub(super) const USER: TypeId = TypeId(10);
pub(super) const GROUP: TypeId = TypeId(11);
pub(super) const MEMBER: AttrId = AttrId(20);
pub(super) const OWNER: AttrId = AttrId(21);

pub(super) fn time(seconds: i64) -> Time {
    Time::from_seconds(seconds)
}

pub(super) fn key(byte: u8) -> Hash128 {
    Hash128([byte; 16])
}

pub(super) fn image(text: &str) -> Image {
    let bag: Bag = [
        (AttrId(1), Values::one(text.into())),
        (AttrId(2), Values::one(onesync_model::Value::binary([0u8, 255, 7]))),
    ]
    .into_iter()
    .collect();
    Image::from_bag(&bag)
}

/// A row that uses every column.
pub(super) fn cs(id: i64, connector: ConnectorId, anchor: &str) -> CsRow {
    CsRow {
        id: CsId(id),
        connector,
        object_type: USER,
        anchor: Some(Anchor::text(anchor)),
        container: Some(ContainerId(3)),
        name: format!("CN=J\u{fc}rgen {anchor}"),
        image: image(anchor),
        links: vec![LinkSum { attribute: MEMBER, count: 2, sum: key(9) }],
        flags: CsFlags::default(),
        reason: Some("because".to_owned()),
        join: None,
        leaving: Some(time(-5)),
    }
}

pub(super) fn joined(row: CsRow, mv: i64) -> CsRow {
    CsRow { join: Some(Join { mv: MvId(mv), rule: RuleId(4), run: RunId(5), owned: true }), ..row }
}

pub(super) fn mv(id: i64) -> MvRow {
    MvRow {
        id: MvId(id),
        guid: MvGuid([id as u8; 16]),
        object_type: USER,
        values: image("mv"),
        causes: vec![Cause {
            attribute: AttrId(1),
            rule: RuleId(4),
            source: CsId(1),
            run: RunId(5),
            retained: Retained::Once,
        }],
        picks: vec![LinkPick {
            attribute: MEMBER,
            source: CsId(1),
            source_attribute: OWNER,
            rule: RuleId(4),
        }],
        state: MvState::Active,
    }
}

pub(super) fn export(cs: i64, operation: Operation, object_type: TypeId) -> ExportRow {
    ExportRow {
        cs: CsId(cs),
        connector: A,
        object_type,
        operation,
        state: ChangeState::Pending,
        changes: vec![AttributeChange {
            attribute: AttrId(1),
            values: Some(Values::one("x".into())),
            state: ChangeState::Pending,
            attempts: 1,
            rule: RuleId(4),
            error: Some("no".to_owned()),
        }],
        create_key: Some(format!("key {cs}")),
        not_before: time(0),
        attempts: 2,
        sent: Some(time(3)),
        error: None,
        kinds: 0,
        held: false,
    }
}

pub(super) fn export_link(owner: i64, target: i64, add: bool) -> ExportLinkRow {
    ExportLinkRow {
        connector: A,
        owner: CsId(owner),
        attribute: MEMBER,
        target: CsId(target),
        add,
        state: ChangeState::Pending,
        attempts: 1,
        not_before: time(0),
        held: false,
        error: Some("no".to_owned()),
    }
}

pub(super) fn error(cs: i64, place: &str) -> ErrorRow {
    ErrorRow {
        cs: CsId(cs),
        connector: A,
        object_type: USER,
        place: place.to_owned(),
        code: "FLOW-1".to_owned(),
        cause: 7,
        message: "broken".to_owned(),
        first_seen: time(1),
        run: RunId(5),
        alarm: true,
    }
}

pub(super) fn identity(cs: i64) -> Work {
    Work::Identity(Turn { newcomer: cs == 3, object_type: USER, place: cs - 2, cs: CsId(cs) })
}

pub(super) fn work(connector: ConnectorId, work: Work, not_before: i64) -> AgendaRow {
    AgendaRow { connector, work, not_before: time(not_before) }
}
