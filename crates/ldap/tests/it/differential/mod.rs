//! Our codec against two others that share no code with it: generated messages, both ways.

mod generate;
mod proto;

use bytes::{Bytes, BytesMut};
use ldap3_proto::LdapCodec;
use ldap3_proto::proto::LdapMsg;
use onesync_ldap::control::{
    DirSync, ExtendedDn, MANAGE_DSA_IT, PagedResults, SHOW_DELETED, SdFlags, ServerSort, SortKey,
};
use onesync_ldap::sync::{EntryState, SyncDone, SyncInfo, SyncMode, SyncRequest, SyncState};
use onesync_ldap::{Change, Control, Entry, Filter, Message, Op, Scope, TypedControl};
use proptest::prelude::*;
use tokio_util::codec::{Decoder, Encoder};

fn decode_theirs(bytes: &[u8]) -> LdapMsg {
    let mut codec = LdapCodec::new(Some(1 << 20), Some(128));
    codec.decode(&mut BytesMut::from(bytes)).expect("they decode it").expect("it is whole")
}

fn encode_theirs(message: LdapMsg) -> Bytes {
    let mut buffer = BytesMut::new();
    LdapCodec::default().encode(message, &mut buffer).expect("they encode it");
    buffer.freeze()
}

proptest! {
    // no file of failures: what fails becomes a test of its own
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_we_encode_ldap3_proto_decodes(message in generate::message(generate::Values::Text)) {
        let bytes = message.encode().expect("encodable");
        // ldap3_proto 0.9 writes the referrals of a result, but does not read them: rasn-ldap judges those
        prop_assert_eq!(decode_theirs(&bytes), proto::message(&without_referrals(message)));
    }

    #[test]
    fn what_ldap3_proto_encodes_we_decode(message in generate::message(generate::Values::Text)) {
        let bytes = encode_theirs(proto::message(&message));
        prop_assert_eq!(Message::decode(&bytes).expect("we decode it"), message);
    }

    #[test]
    fn a_message_survives_the_way_through_rasn(message in generate::message(generate::Values::Octets)) {
        prop_assume!(fits_rasn(&message));
        let ours = message.encode().expect("encodable");
        let theirs: rasn_ldap::LdapMessage = rasn::ber::decode(&ours).expect("they decode it");
        let back = Bytes::from(rasn::ber::encode(&theirs).expect("they encode it"));
        let back = Message::decode(&back).expect("we decode it");
        prop_assert_eq!(sorted(back), sorted(message));
    }

    #[test]
    fn a_message_survives_our_own_codec(message in generate::message(generate::Values::Octets)) {
        let bytes = message.encode().expect("encodable");
        prop_assert_eq!(Message::decode(&bytes).expect("decodable"), message);
    }

    #[test]
    fn a_filter_survives_its_text_form(filter in generate::filter(generate::Values::Octets)) {
        let text = filter.to_string();
        prop_assert_eq!(text.parse::<Filter>().expect(&text), filter);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Message::decode(&Bytes::from(bytes));
    }

    #[test]
    fn damaged_messages_are_decoded_or_refused(
        message in generate::message(generate::Values::Octets),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = message.encode().expect("encodable").to_vec();
        for (at, octet) in damage {
            let at = at.index(bytes.len());
            bytes[at] = octet;
        }
        if let Ok(Message { op: Op::SearchEntry(entry), .. }) = Message::decode(&Bytes::from(bytes)) {
            entry.attributes().for_each(|attribute| attribute.values().for_each(drop));
        }
    }

    #[test]
    fn any_text_is_a_filter_or_refused(text in "[(&|!)*:=<>~\\\\a-f0-9;é.dn ]{0,60}") {
        if let Ok(filter) = text.parse::<Filter>() {
            prop_assert_eq!(filter.to_string().parse::<Filter>().expect("printed"), filter);
        }
    }
}

fn without_referrals(mut message: Message) -> Message {
    match &mut message.op {
        Op::BindResponse(result, _)
        | Op::SearchDone(result)
        | Op::ModifyResponse(result)
        | Op::AddResponse(result)
        | Op::DeleteResponse(result)
        | Op::ModifyDnResponse(result)
        | Op::CompareResponse(result) => result.referrals.clear(),
        Op::ExtendedResponse(response) => response.result.referrals.clear(),
        _ => {}
    }
    message
}

/// Scope *children* and increment came after the standard that rasn-ldap implements.
fn fits_rasn(message: &Message) -> bool {
    match &message.op {
        Op::SearchRequest(request) => request.scope != Scope::Children,
        Op::ModifyRequest(request) => {
            request.changes.iter().all(|change| change.kind != onesync_ldap::ChangeKind::Increment)
        }
        _ => true,
    }
}

/// Gives the message with its sets in order, as rasn keeps none and drops repetitions.
fn sorted(mut message: Message) -> Message {
    fn values<T: Ord>(mut values: Vec<T>) -> Vec<T> {
        values.sort();
        values.dedup();
        values
    }
    fn entry(entry: &Entry) -> Entry {
        let list = entry.attributes().map(|found| (found.name(), values(found.values().collect())));
        let mut sorted = Entry::build(entry.dn(), list);
        sorted.controls.clone_from(&entry.controls);
        sorted
    }
    fn filter(found: Filter) -> Filter {
        let parts = |parts: Vec<Filter>| {
            let mut parts: Vec<Filter> = parts.into_iter().map(filter).collect();
            parts.sort_by_key(|part| format!("{part:?}"));
            parts.dedup();
            parts
        };
        match found {
            Filter::And(list) => Filter::And(parts(list)),
            Filter::Or(list) => Filter::Or(parts(list)),
            Filter::Not(part) => Filter::Not(Box::new(filter(*part))),
            other => other,
        }
    }
    message.op = match message.op {
        Op::SearchEntry(found) => Op::SearchEntry(entry(&found)),
        Op::AddRequest(found) => Op::AddRequest(entry(&found)),
        Op::SearchRequest(mut request) => {
            request.filter = filter(request.filter);
            Op::SearchRequest(request)
        }
        Op::ModifyRequest(mut request) => {
            let changes = request.changes.into_iter();
            request.changes =
                changes.map(|change| Change { values: values(change.values), ..change }).collect();
            Op::ModifyRequest(request)
        }
        other => other,
    };
    message
}

/// Their view of one control of ours.
fn theirs(control: Control) -> ldap3_proto::control::LdapControl {
    let message = Message { id: 1, op: Op::UnbindRequest, controls: vec![control] };
    decode_theirs(&message.encode().expect("encodable")).ctrl.remove(0)
}

#[test]
fn typed_controls_mean_the_same_to_ldap3_proto() {
    use ldap3_proto::control::{LdapControl, ServerSortRequet};
    use ldap3_proto::proto::{SyncRequestMode, SyncStateValue};

    let cookie = Bytes::from_static(b"cookie");
    let some = Some(cookie.to_vec());
    let uuid = [9u8; 16];
    for (ours, expected) in [
        (
            PagedResults { size: 1000, cookie: cookie.clone() }.to_control().critical(false),
            LdapControl::SimplePagedResults { size: 1000, cookie: cookie.to_vec() },
        ),
        (
            // without bit 31, which ldap3_proto 0.9 reads as a large positive number
            DirSync { flags: 0x2801, bytes_max: 77, cookie: cookie.clone() }.to_control(),
            LdapControl::AdDirsync { flags: 0x2801, max_bytes: 77, cookie: some.clone() },
        ),
        (Control::flag(SHOW_DELETED), LdapControl::ShowDeleted { criticality: true }),
        (Control::flag(MANAGE_DSA_IT), LdapControl::ManageDsaIT { criticality: true }),
        (SdFlags(7).to_control(), LdapControl::SdFlags { criticality: true, flags: 7 }),
        (ExtendedDn(1).to_control(), LdapControl::ExtendedDn { criticality: true, format: 1 }),
        (
            ServerSort(vec![SortKey { attribute: "cn".into(), rule: Some("1.2".into()), reverse: true }])
                .to_control(),
            LdapControl::ServerSort {
                sort_requests: vec![ServerSortRequet {
                    attribute_name: "cn".into(),
                    ordering_rule: Some("1.2".into()),
                    reverse_order: true,
                }],
            },
        ),
        (
            SyncRequest {
                mode: SyncMode::RefreshAndPersist,
                cookie: Some(cookie.clone()),
                reload_hint: true,
            }
            .to_control(),
            LdapControl::SyncRequest {
                criticality: true,
                mode: SyncRequestMode::RefreshAndPersist,
                cookie: some.clone(),
                reload_hint: true,
            },
        ),
        (
            SyncState { state: EntryState::Delete, uuid, cookie: None }.to_control(),
            LdapControl::SyncState {
                state: SyncStateValue::Delete,
                entry_uuid: uuid::Uuid::from_bytes(uuid),
                cookie: None,
            },
        ),
        (
            SyncDone { cookie: Some(cookie), refresh_deletes: true }.to_control(),
            LdapControl::SyncDone { cookie: some, refresh_deletes: true },
        ),
    ] {
        assert_eq!(theirs(ours.clone()), expected);
        // and back: what they write we read as the same value
        let back = LdapMsg { msgid: 1, op: ldap3_proto::proto::LdapOp::UnbindRequest, ctrl: vec![expected] };
        let back = Message::decode(&encode_theirs(back)).expect("decodable");
        assert_eq!(back.controls.first().map(|control| &control.value), Some(&ours.value), "{}", ours.oid);
    }
}

#[test]
fn sync_info_means_the_same_to_ldap3_proto() {
    use ldap3_proto::proto::{LdapIntermediateResponse as Theirs, LdapOp};

    let cookie = Some(Bytes::from_static(b"c"));
    for (ours, expected) in [
        // not NewCookie: ldap3_proto 0.9 wants a constructed element, RFC 4533 and OpenLDAP say primitive
        (
            SyncInfo::RefreshDelete { cookie: cookie.clone(), done: false },
            Theirs::SyncInfoRefreshDelete { cookie: Some(b"c".to_vec()), done: false },
        ),
        (
            SyncInfo::RefreshPresent { cookie: None, done: true },
            Theirs::SyncInfoRefreshPresent { cookie: None, done: true },
        ),
        (
            SyncInfo::IdSet { cookie, deletes: true, uuids: vec![[3; 16]] },
            Theirs::SyncInfoIdSet {
                cookie: Some(b"c".to_vec()),
                refresh_deletes: true,
                syncuuids: vec![uuid::Uuid::from_bytes([3; 16])],
            },
        ),
    ] {
        let op = Op::Intermediate(Some(onesync_ldap::sync::SYNC_INFO.into()), Some(ours.encode()));
        let bytes = Message::new(1, op).encode().expect("encodable");
        assert_eq!(decode_theirs(&bytes).op, LdapOp::IntermediateResponse(expected));
    }
}
