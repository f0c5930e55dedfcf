//! Which batches must not be lost.

use onesync_engine::{ChangeState, Changes};

use crate::rows::ServiceChanges;

/// Whether a batch must be on the disk before anything else happens: something is about to be sent, or a secret that
/// a person entered would be lost.
pub(crate) fn changes_must_last(changes: &Changes, service: &ServiceChanges) -> bool {
    let sending = |state: ChangeState| state == ChangeState::Sending;
    changes.exports.iter().any(|row| sending(row.state) || row.changes.iter().any(|c| sending(c.state)))
        || changes.export_links.iter().any(|row| sending(row.state))
        || !service.secrets.is_empty()
        || !service.secrets_resealed.is_empty()
        || !service.configs.is_empty()
        || service.must_last
}

#[cfg(test)]
mod tests {
    use onesync_engine::{AttributeChange, ExportRow};
    use onesync_model::{AttrId, ConnectorId, CsId, Operation, RuleId, Time, TypeId};

    use super::*;

    fn export(state: ChangeState, attribute: ChangeState) -> Changes {
        let change = AttributeChange {
            attribute: AttrId(1),
            values: None,
            state: attribute,
            attempts: 0,
            rule: RuleId(1),
            error: None,
        };
        let row = ExportRow {
            cs: CsId(1),
            connector: ConnectorId(1),
            object_type: TypeId(1),
            operation: Operation::Update,
            state,
            changes: vec![change],
            create_key: None,
            not_before: Time::default(),
            attempts: 0,
            sent: None,
            error: None,
            kinds: 0,
            held: false,
        };
        Changes { exports: vec![row], ..Changes::default() }
    }

    #[test]
    fn what_is_about_to_be_sent_is_on_the_disk_first() {
        use ChangeState::{Pending, Sending, Sent};
        let durable = |changes: &Changes| changes_must_last(changes, &ServiceChanges::default());
        assert!(durable(&export(Sending, Pending)));
        assert!(durable(&export(Pending, Sending)));
        assert!(!durable(&export(Pending, Sent)));
        assert!(!durable(&Changes::default()));
    }
}
