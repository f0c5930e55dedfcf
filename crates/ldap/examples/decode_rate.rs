//! Measures how fast entries are decoded: `cargo run --release -p onesync-ldap --example decode_rate`.
//!
//! The entry resembles a user of Active Directory, some 2.1 KB; every attribute and value is visited.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use onesync_ldap::frame::{FrameBuffer, MESSAGE_SIZE_MAX};
use onesync_ldap::{Entry, Message, Op};

/// Entries in the stream: several read buffers full.
const ENTRIES: usize = 2000;

/// How long to measure.
const DURATION: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for (what, entry) in [("user", user()), ("group of 1500", group())] {
        let mut stream = Vec::new();
        for id in 0..ENTRIES {
            stream.extend(Message::new(i32::try_from(id)?, Op::SearchEntry(entry.clone())).encode()?);
        }
        let size = stream.len() / ENTRIES;
        let (start, mut count, mut values) = (Instant::now(), 0u64, 0u64);
        while start.elapsed() < DURATION {
            let mut rest = stream.as_slice();
            let mut frames = FrameBuffer::new(MESSAGE_SIZE_MAX);
            while let Some(frame) = runtime.block_on(frames.read_frame(&mut rest))? {
                values += visit(&frame)?;
                count += 1;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let (rate, bytes) = (count as f64 / seconds, (count * size as u64) as f64 / seconds / 1e6);
        println!("{what}: {size} bytes, {} values: {rate:.0} entries/s, {bytes:.0} MB/s", values / count);
    }
    Ok(())
}

/// Decodes one message and takes every value as the connectors do.
fn visit(frame: &Bytes) -> Result<u64, Box<dyn std::error::Error>> {
    let message = Message::decode(frame)?;
    let Op::SearchEntry(entry) = message.op else { return Err("no entry".into()) };
    let mut values = 0;
    black_box(entry.dn());
    for attribute in entry.attributes() {
        black_box(attribute.name());
        for value in attribute.values() {
            black_box(value);
            values += 1;
        }
    }
    Ok(values)
}

fn user() -> Entry {
    let dn = "CN=Ana Beatriz Lima,OU=Engineering,OU=People,DC=contoso,DC=test";
    let mut list: Vec<(&str, Vec<Vec<u8>>)> = Vec::new();
    for (name, size) in [
        ("cn", 16),
        ("sn", 4),
        ("givenName", 11),
        ("displayName", 16),
        ("distinguishedName", 62),
        ("name", 16),
        ("sAMAccountName", 9),
        ("userPrincipalName", 25),
        ("mail", 25),
        ("title", 24),
        ("department", 11),
        ("company", 12),
        ("telephoneNumber", 16),
        ("mobile", 16),
        ("streetAddress", 28),
        ("l", 9),
        ("postalCode", 8),
        ("co", 8),
        ("c", 2),
        ("manager", 58),
        ("objectGUID", 16),
        ("objectSid", 28),
        ("userAccountControl", 3),
        ("uSNChanged", 7),
        ("uSNCreated", 7),
        ("whenChanged", 17),
        ("whenCreated", 17),
        ("pwdLastSet", 18),
        ("accountExpires", 19),
        ("objectCategory", 58),
        ("instanceType", 1),
        ("primaryGroupID", 3),
        ("sAMAccountType", 9),
        ("thumbnailPhoto", 350),
    ] {
        list.push((name, vec![vec![b'x'; size]]));
    }
    list.push(("objectClass", ["top", "person", "organizationalPerson", "user"].map(Vec::from).to_vec()));
    list.push(("proxyAddresses", vec![vec![b'p'; 32]; 4]));
    list.push(("memberOf", vec![vec![b'g'; 60]; 4]));
    Entry::build(dn, list)
}

fn group() -> Entry {
    let members = (0..1500).map(|n| format!("CN=User {n:05},OU=Engineering,OU=People,DC=contoso,DC=test"));
    Entry::build("CN=All,DC=contoso,DC=test", [("member", members.collect::<Vec<_>>())])
}
