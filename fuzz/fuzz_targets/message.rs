//! Any bytes: cut into messages and decoded without panic and within bounds; what is decoded survives its encoding, and
//! rasn-ldap, which shares no code with ours, takes what ours writes.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use onesync_ldap::control::{DirSync, PagedResults};
use onesync_ldap::{ChangeKind, Message, Op, RangeOption, Scope, TypedControl};

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::decode(&Bytes::copy_from_slice(bytes)) else { return };
    if let Op::SearchEntry(entry) = &message.op {
        for attribute in entry.attributes() {
            let _ = RangeOption::parse(attribute.name());
            attribute.values().for_each(drop);
        }
    }
    let _ = PagedResults::find(&message.controls);
    let _ = DirSync::find(&message.controls);
    let encoded = message.encode().expect("what was decoded can be encoded");
    assert_eq!(Message::decode(&encoded).expect("what was encoded can be decoded"), message);
    if is_of_the_standard(&message) {
        let theirs = rasn::ber::decode::<rasn_ldap::LdapMessage>(&encoded);
        assert!(theirs.is_ok(), "rasn-ldap does not take {message:?}: {theirs:?}");
    }
});

/// Scope *children* and increment came after the standard that rasn-ldap implements.
fn is_of_the_standard(message: &Message) -> bool {
    match &message.op {
        Op::SearchRequest(request) => request.scope != Scope::Children,
        Op::ModifyRequest(request) => request.changes.iter().all(|change| change.kind != ChangeKind::Increment),
        _ => true,
    }
}
