//! Any bytes: decoded or refused; what was decoded is encoded and decoded to the same message.
//!
//! Run it with `cargo +nightly fuzz run message` in `crates/ldap`.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use onesync_ldap::control::{DirSync, PagedResults, ServerSort, TypedControl};
use onesync_ldap::sync::{SyncDone, SyncInfo, SyncRequest, SyncState};
use onesync_ldap::{Entry, Message, Op, link_changes, ranged_values};

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::copy_from_slice(bytes);
    let _ = SyncInfo::decode(&bytes);
    let _ = PagedResults::from_value(&bytes);
    let _ = DirSync::from_value(&bytes);
    let _ = ServerSort::from_value(&bytes);
    let _ = SyncRequest::from_value(&bytes);
    let _ = SyncState::from_value(&bytes);
    let _ = SyncDone::from_value(&bytes);
    let Ok(message) = Message::decode(&bytes) else { return };
    if let Op::SearchEntry(entry) | Op::AddRequest(entry) = &message.op {
        visit(entry);
    }
    let again = message.encode().expect("what was decoded can be encoded");
    // the attribute list is kept as it came, all else is written in its shortest form
    assert_eq!(Message::decode(&again).expect("what we encode we decode"), message);
});

fn visit(entry: &Entry) {
    for attribute in entry.attributes() {
        attribute.values().for_each(drop);
        let _ = ranged_values(entry, attribute.base_name());
        let _ = link_changes(entry, attribute.base_name());
    }
}
