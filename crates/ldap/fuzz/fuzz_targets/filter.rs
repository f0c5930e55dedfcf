//! Any text: a filter or refused; a filter survives being printed and being encoded.
//!
//! Run it with `cargo +nightly fuzz run filter` in `crates/ldap`.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use onesync_ldap::Filter;
use onesync_ldap::ber::{Reader, Writer};

fuzz_target!(|text: &str| {
    let Ok(filter) = text.parse::<Filter>() else { return };
    assert_eq!(filter.to_string().parse::<Filter>().expect("printed"), filter);
    let mut writer = Writer::new();
    filter.encode(&mut writer).expect("what was parsed can be encoded");
    let bytes = Bytes::from(writer.into_bytes());
    assert_eq!(Filter::decode(&bytes, &mut Reader::new(&bytes)).expect("decodable"), filter);
});
