//! Secrets are looked for where they may not be: in the forms in which they could lie about.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

/// Bytes of memory that are looked at at once, and of the piece before that are looked at again.
const PIECE: usize = 1 << 20;
const OVERLAP: usize = 256;
/// How often is looked for what may be there for a moment.
const LOOKS: usize = 3;

/// Secrets, each as it is, in hexadecimal, in base64 at each alignment, and in UTF-16.
#[derive(Clone, Default)]
pub struct Needles {
    patterns: Vec<(String, Vec<u8>)>,
    /// The patterns by their first two bytes: one look at each place is enough.
    by_begin: BTreeMap<u16, Vec<usize>>,
    begins: Vec<bool>,
}

impl Needles {
    /// Adds one, by name.
    pub fn with(mut self, name: &str, secret: &[u8]) -> Self {
        for form in forms(secret) {
            assert!(form.len() >= 8, "{name} is too short to be told from anything else");
            let begin = u16::from_le_bytes([form[0], form[1]]);
            self.begins.resize(1 << 16, false);
            self.begins[usize::from(begin)] = true;
            self.by_begin.entry(begin).or_default().push(self.patterns.len());
            self.patterns.push((name.to_owned(), form));
        }
        self
    }

    /// The names of those that are in a text.
    pub fn found(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for at in 0..bytes.len().saturating_sub(1) {
            let begin = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
            if self.begins[usize::from(begin)] {
                let here = self.by_begin[&begin].iter().map(|pattern| &self.patterns[*pattern]);
                found.extend(
                    here.filter(|(_, form)| bytes[at..].starts_with(form)).map(|(name, _)| name.as_str()),
                );
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What is found in files below a folder, each with its file.
    pub fn found_below(&self, folder: &Path) -> Vec<(PathBuf, String)> {
        let (mut open, mut found) = (vec![folder.to_owned()], Vec::new());
        while let Some(place) = open.pop() {
            for entry in std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()) {
                let kind = std::fs::symlink_metadata(&entry).unwrap().file_type();
                if kind.is_dir() {
                    open.push(entry);
                } else if kind.is_file() {
                    let names = std::fs::read(&entry).unwrap();
                    found.extend(self.found(&names).into_iter().map(|name| (entry.clone(), name.to_owned())));
                }
            }
        }
        found.sort();
        found
    }

    /// What is found in the memory of a process, and how much of that there was.
    pub fn found_in_memory(&self, process: u32) -> (Vec<String>, usize) {
        let mut found: Vec<String> = Vec::new();
        let seen = memory(process, &mut |bytes| {
            found.extend(self.found(bytes).into_iter().map(str::to_owned));
        });
        found.sort_unstable();
        found.dedup();
        (found, seen)
    }

    /// The same, without what is there for a moment only: a key set that was just opened is on its way out.
    pub async fn stays_in_memory(&self, process: u32, allowed: &[&str]) -> (Vec<String>, usize) {
        let (mut found, seen) = self.found_in_memory(process);
        for _ in 1..LOOKS {
            if found.iter().all(|name| allowed.contains(&name.as_str())) {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (again, _) = self.found_in_memory(process);
            found.retain(|name| again.contains(name));
        }
        (found, seen)
    }
}

fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for shift in 0..3 {
        // What stands before and behind it changes the letters at its ends.
        let letters = BASE64.encode([&vec![0; shift][..], secret].concat());
        let end = (shift + secret.len()) * 8 / 6;
        let letters = &letters[(shift * 8).div_ceil(6)..end];
        forms.push(letters.as_bytes().to_vec());
        forms.push(letters.replace('+', "-").replace('/', "_").into_bytes());
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        forms.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        forms.push(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
    }
    forms.sort();
    forms.dedup();
    forms
}

/// All that a process has in memory and may write, in pieces that overlap. Gives how much that was.
fn memory(process: u32, look: &mut dyn FnMut(&[u8])) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let mut file = std::fs::File::open(format!("/proc/{process}/mem")).unwrap();
    let (untouched, mut seen) = (vec![0; PIECE], 0);
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (begin, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let (mut at, end) = (number(begin), number(end));
        while at < end {
            let mut bytes = vec![0; PIECE.min(usize::try_from(end - at).unwrap())];
            // What was given back meanwhile cannot be read.
            let there = file.seek(SeekFrom::Start(at)).is_ok() && file.read_exact(&mut bytes).is_ok();
            if there && bytes != untouched[..bytes.len()] {
                seen += bytes.len();
                look(&bytes);
            }
            at += (bytes.len().saturating_sub(OVERLAP)).max(1) as u64;
            if bytes.len() < PIECE {
                break;
            }
        }
    }
    seen
}

#[test]
fn a_secret_is_found_in_each_of_its_forms_and_nothing_else_is() {
    let secret = "p\u{e4}ss+w/rd of the test";
    let needles = Needles::default().with("it", secret.as_bytes()).with("other", b"something else");
    let around = |inner: &[u8]| [b"some text before", inner, b"and behind"].concat();
    for shift in 0..3 {
        let whole = around(&[&vec![7; shift][..], secret.as_bytes()].concat());
        assert_eq!(needles.found(BASE64.encode(&whole).as_bytes()), ["it"]);
        assert_eq!(
            needles.found(base64::engine::general_purpose::URL_SAFE.encode(&whole).as_bytes()),
            ["it"]
        );
    }
    let hex: String = secret.bytes().map(|byte| format!("{byte:02X}")).collect();
    let wide: Vec<u8> = secret.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for form in [secret.as_bytes(), hex.as_bytes(), hex.to_lowercase().as_bytes(), &wide] {
        assert_eq!(needles.found(&around(form)), ["it"]);
        assert_eq!(needles.found(&around(&form[1..])), [""; 0]);
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("deep")).unwrap();
    let planted = folder.path().join("deep/planted");
    std::fs::write(&planted, around(&wide)).unwrap();
    std::fs::write(folder.path().join("clean"), around(b"")).unwrap();
    assert_eq!(needles.found_below(folder.path()), [(planted, "it".to_owned())]);
    if onesync_service::account::is_root() {
        let (here, _) = needles.found_in_memory(std::process::id());
        assert!(here.contains(&"it".to_owned()), "this process has it in memory");
    }
}
