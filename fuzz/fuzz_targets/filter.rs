//! Any text: a filter or refused; a filter survives its text form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onesync_ldap::Filter;

fuzz_target!(|text: &str| {
    if let Ok(filter) = text.parse::<Filter>() {
        let printed = filter.to_string();
        assert_eq!(printed.parse::<Filter>().expect("what was printed can be read"), filter, "{printed}");
    }
});
