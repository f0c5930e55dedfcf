//! The system's loggers: journald by its native protocol, and syslog where there is none.
//!
//! A logger that is out of reach, or takes nothing, stops nothing: it is not waited for.

use std::io::Write as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use onesync_store::{ChainHash, EventRow};

use super::Details;
use super::catalogue::{Event, Level};

const JOURNAL: &str = "/run/systemd/journal/socket";
const SYSLOG: &str = "/dev/log";
const IDENTIFIER: &str = "onesync";
/// Facility `daemon`.
const FACILITY: u8 = 3;
/// How long a logger has to take a message.
const TAKES: Duration = Duration::from_millis(500);
/// Bytes of a value: the whole must fit into one datagram, whatever the system's limit (usually 200 KB).
const VALUE_MAX: usize = 16 << 10;
/// Bytes of a line that every syslog takes.
const LINE_MAX: usize = 2 << 10;

/// Tells an event; where it stands in the database, by its number and hash.
pub(crate) fn tell(row: &EventRow, place: Option<(i64, Option<ChainHash>)>) {
    let fields = fields(row, place);
    if let Some(socket) = socket("ONESYNC_JOURNAL", JOURNAL) {
        match send(&socket, &journal_entry(&fields)) {
            Ok(()) => return,
            Err(error) => tracing::debug!("`{}` does not take an event: {error}", socket.display()),
        }
    }
    if let Some(socket) = socket("ONESYNC_SYSLOG", SYSLOG) {
        let line = syslog_line(&fields, row);
        let sent = send(&socket, line.as_bytes()).or_else(|_| send_stream(&socket, line.as_bytes()));
        if let Err(error) = sent {
            tracing::debug!("`{}` does not take an event: {error}", socket.display());
        }
    }
}

/// The socket, where it is there. The environment may name another one, or none by being empty.
fn socket(variable: &str, default: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map_or_else(|| PathBuf::from(default), PathBuf::from);
    (!path.as_os_str().is_empty() && path.exists()).then_some(path)
}

fn send(socket: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    let datagram = UnixDatagram::unbound()?;
    datagram.set_write_timeout(Some(TAKES))?;
    datagram.send_to(bytes, socket).map(|_| ())
}

/// Some daemons take a stream at the same place; a message ends with NUL there.
fn send_stream(socket: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(TAKES))?;
    stream.write_all(bytes)?;
    stream.write_all(&[0])
}

struct Fields {
    level: Level,
    message: String,
    named: Vec<(&'static str, String)>,
}

fn fields(row: &EventRow, place: Option<(i64, Option<ChainHash>)>) -> Fields {
    let details = Details::read(&row.text);
    let event = Event::by_word(&row.kind);
    let what =
        event.map_or_else(|| format!("{} {}", row.kind, row.subject), |event| event.about(&row.subject));
    let message = match details.text.as_str() {
        "" => what,
        text => format!("{what}: {text}"),
    };
    let origin = details.origin;
    let named = [
        ("EVENT", event.map(|event| event.number.to_string())),
        ("WORD", Some(row.kind.clone())),
        ("SUBJECT", Some(row.subject.clone())),
        ("DETAILS", Some(details.text)),
        ("WHO", Some(origin.who)),
        ("HOST", origin.host),
        ("TERMINAL", origin.terminal),
        ("SSH", origin.ssh),
        ("SEQ", place.map(|(seq, _)| seq.to_string())),
        ("CHAIN", place.and_then(|(_, chain)| chain).map(|chain| chain.to_string())),
    ];
    let named = named.into_iter().filter_map(|(name, value)| Some((name, value.filter(|v| !v.is_empty())?)));
    Fields { level: event.map_or(Level::Info, |event| event.level), message, named: named.collect() }
}

/// A text, cut where it would be too long.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// An entry as journald's native protocol has it: a value with a line end is given by its length.
fn journal_entry(fields: &Fields) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |name: &str, value: &str| {
        let value = cut(value, VALUE_MAX);
        out.extend(name.as_bytes());
        if value.contains('\n') {
            out.push(b'\n');
            out.extend((value.len() as u64).to_le_bytes());
        } else {
            out.push(b'=');
        }
        out.extend(value.as_bytes());
        out.push(b'\n');
    };
    put("MESSAGE", &fields.message);
    put("PRIORITY", &fields.level.priority().to_string());
    put("SYSLOG_IDENTIFIER", IDENTIFIER);
    put("SYSLOG_FACILITY", &FACILITY.to_string());
    for (name, value) in &fields.named {
        put(&format!("ONESYNC_{name}"), value);
    }
    out
}

/// A line as the local socket of syslog takes it (RFC 3164): it ends where the text has a line end.
fn syslog_line(fields: &Fields, row: &EventRow) -> String {
    let local = row.time.to_jiff().map(|time| time.to_zoned(jiff::tz::TimeZone::system()));
    let time = local.map(|time| time.strftime("%b %e %H:%M:%S ").to_string()).unwrap_or_default();
    let priority = FACILITY * 8 + fields.level.priority();
    let mut line = format!("<{priority}>{time}{IDENTIFIER}[{}]:", std::process::id());
    // What is in the message is not said twice.
    for (name, value) in fields.named.iter().filter(|(name, _)| !matches!(*name, "DETAILS" | "SUBJECT")) {
        let value = value.replace(['"', '\\'], "'");
        line.push_str(&format!(" {}=\"{value}\"", name.to_lowercase()));
    }
    let line = format!("{line} {}", fields.message).replace(|c: char| c.is_control(), " ");
    cut(&line, LINE_MAX).to_owned()
}

#[cfg(test)]
mod tests {
    use onesync_model::Time;

    use super::*;
    use crate::events::{KEYS_MISSING, row};

    fn event() -> EventRow {
        row(Time::from_seconds(1_700_000_000), &KEYS_MISSING, "key set 1", "first\nsecond \"x\"")
    }

    #[test]
    fn a_journal_entry_has_lengths_where_values_have_line_ends() {
        let place = Some((7, Some(ChainHash([0xab; 32]))));
        let entry = journal_entry(&fields(&event(), place));
        let message = "the encryption keys are not accessible, key set 1: first\nsecond \"x\"";
        let mut begin = b"MESSAGE\n".to_vec();
        begin.extend((message.len() as u64).to_le_bytes());
        begin.extend(message.as_bytes());
        begin.extend(b"\nPRIORITY=3\nSYSLOG_IDENTIFIER=onesync\nSYSLOG_FACILITY=3\nONESYNC_EVENT=6028\nONESYNC_WORD=keys-missing\n");
        assert!(entry.starts_with(&begin), "{}", String::from_utf8_lossy(&entry));
        let end = format!("\nONESYNC_SEQ=7\nONESYNC_CHAIN={}\n", "ab".repeat(32));
        assert!(entry.ends_with(end.as_bytes()), "{}", String::from_utf8_lossy(&entry));
    }

    #[test]
    fn a_line_for_syslog_is_one_line() {
        let line = syslog_line(&fields(&event(), None), &event());
        assert!(
            line.starts_with("<27>Nov 1") && line.contains(" event=\"6028\" word=\"keys-missing\""),
            "{line}"
        );
        assert!(line.ends_with("key set 1: first second \"x\"") && !line.contains('\n'), "{line}");
        assert_eq!(cut("a\u{e4}", 2), "a");
    }

    #[test]
    fn both_sockets_are_told_and_none_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert!(send(&path, b"x").is_err());
        let there = UnixDatagram::bind(&path).unwrap();
        send(&path, b"told").unwrap();
        let mut bytes = [0; 8];
        assert_eq!(there.recv(&mut bytes).unwrap(), 4);
        // Nobody reads: it ends all the same.
        let full = (0..100_000).map(|_| send(&path, &[0; 1_000])).find_map(Result::err).unwrap();
        assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
        drop(there);
        std::fs::remove_file(&path).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(send(&path, b"x").is_err(), "a stream is no datagram");
        send_stream(&path, b"line").unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut listener.accept().unwrap().0, &mut text).unwrap();
        assert_eq!(text, "line\0");
    }
}
