//! The file in which one server tells another what it holds and owes.
//!
//! A line names the form. Then come lines of JSON under zstd: the head, and for each target that is written its objects
//! and its link values. At the end stand the SHA-256 of everything before it, and a line that says that this is the end.
//! All of it is read against the hash before a line is believed; neither writing nor reading holds more than a line.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context as Digest, SHA256};
use serde::{Deserialize, Serialize};
use zstd::stream::{read::Decoder, write::Encoder};

use super::settings::Settings;
use super::side::{Entry, LinkChange};
use crate::backup::{appear, at, begin_part};
use crate::error::ServiceError;
use crate::flushed::PART;

/// The form, in its first line.
pub(super) const FORM: u32 = 1;
const HEAD: &[u8; 15] = b"OneSync plan 1\n";
/// What the first line of any form begins with.
const OURS: &[u8] = b"OneSync plan ";
const TAIL: &[u8; 16] = b"OneSync end   1\n";
/// Bytes of hash and tail.
const END: u64 = 48;
/// The most bytes of a line: the head names each attribute that is read.
const LINE_MAX: u64 = 64 << 20;
/// The compression: as that of backups.
const LEVEL: i32 = 3;
/// Bytes that go to the disk at once.
const BUFFER: usize = 1 << 20;

/// What a file says of the server that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) form: u32,
    /// The version of its program.
    pub(super) program: String,
    pub(super) installation: String,
    pub(super) epoch: u64,
    /// Its id.
    pub(super) server: String,
    pub(super) host: String,
    /// Whether it may write into its database: `active`, `joined`, `replaced`, `behind`.
    pub(super) standing: String,
    /// When.
    pub(super) taken: String,
    /// What was read or set there and is not in its plan yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) not_computed: Option<String>,
    pub(super) settings: Settings,
    pub(super) connectors: Vec<ConnectorHead>,
}

/// One connector of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ConnectorHead {
    pub(super) name: String,
    pub(super) kind: String,
    /// Whether it can be written.
    pub(super) writes: bool,
    /// `reads only`, `staging`, `active`.
    pub(super) mode: String,
    /// What its directory calls itself, where that is known.
    pub(super) target: Option<String>,
    /// When the last complete import ended; `None` where the last one was not complete, or none was.
    pub(super) imported: Option<String>,
}

/// A line after the head.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line {
    /// What follows is of this connector.
    Connector(String),
    /// An object.
    Object(Entry),
    /// A link value.
    Link(LinkChange),
}

/// A file on its way to the disk, counted into its hash.
struct Hashed {
    file: BufWriter<File>,
    digest: Digest,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = self.file.write(bytes)?;
        self.digest.update(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// A file that is being written, under another name until it is whole.
pub(super) struct Writer {
    place: PathBuf,
    part: PathBuf,
    out: Encoder<'static, Hashed>,
}

impl Writer {
    /// Begins a file that is not there yet.
    pub(super) fn begin(place: &Path, head: &Head) -> Result<Self, ServiceError> {
        if std::fs::symlink_metadata(place).is_ok() {
            return Err(ServiceError::usage(
                format!("{} is there already", place.display()),
                "nothing is written over: name another file",
            ));
        }
        let mut part = place.to_owned().into_os_string();
        part.push(PART);
        let part = PathBuf::from(part);
        let file = BufWriter::with_capacity(BUFFER, begin_part(&part, OURS)?);
        let mut hashed = Hashed { file, digest: Digest::new(&SHA256) };
        let out = hashed.write_all(HEAD).and_then(|()| Encoder::new(hashed, LEVEL)).map_err(at(&part))?;
        let mut writer = Self { place: place.to_owned(), part, out };
        writer.json(head)?;
        Ok(writer)
    }

    fn json<T: Serialize>(&mut self, line: &T) -> Result<(), ServiceError> {
        let written = serde_json::to_writer(&mut self.out, line).map_err(std::io::Error::from);
        written.and_then(|()| self.out.write_all(b"\n")).map_err(at(&self.part))
    }

    /// Adds a line.
    pub(super) fn line(&mut self, line: &Line) -> Result<(), ServiceError> {
        self.json(line)
    }

    /// Ends it, waits for the disk, and gives the file its name; gives its bytes.
    pub(super) fn end(self) -> Result<u64, ServiceError> {
        let in_file = at(&self.part);
        let Hashed { mut file, digest } = self.out.finish().map_err(&in_file)?;
        file.write_all(digest.finish().as_ref()).and_then(|()| file.write_all(TAIL)).map_err(&in_file)?;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error).map_err(&in_file)?;
        let bytes = file.sync_all().and_then(|()| file.metadata()).map_err(&in_file)?.len();
        appear(&self.part, &self.place)?;
        Ok(bytes)
    }

    /// Where it is written.
    pub(super) fn part(&self) -> PathBuf {
        self.part.clone()
    }
}

/// A file that was found whole.
pub(super) struct Reader {
    place: PathBuf,
    pub(super) head: Head,
    lines: Lines,
}

type Lines = BufReader<Decoder<'static, BufReader<std::io::Take<File>>>>;

impl Reader {
    /// Reads a file through, and its head.
    ///
    /// # Errors
    /// When it is no such file, was cut or damaged, or has a form of a later program.
    pub(super) fn open(place: &Path) -> Result<Self, ServiceError> {
        let in_file = at(place);
        let wrong = |what: &str| damaged(place, what);
        let mut file = File::open(place).map_err(&in_file)?;
        let bytes = file.metadata().map_err(&in_file)?.len();
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(HEAD.len() as u64).read_to_end(&mut head).map_err(&in_file)?;
        if head != HEAD {
            return Err(match head.strip_prefix(OURS) {
                Some(form) if head.len() == HEAD.len() => wrong(&format!(
                    "it has form {}, this program knows form {FORM}: it was written by a newer one",
                    String::from_utf8_lossy(form).trim_end()
                )),
                _ => wrong("it is none that `onesync staging export-plan` wrote"),
            });
        }
        let cut = || wrong("it has no end: it was never finished, or was cut");
        let length = bytes.checked_sub(END).filter(|at| *at >= HEAD.len() as u64).ok_or_else(cut)?;
        if hash(&mut file, length).map_err(&in_file)? != tail(&mut file).map_err(&in_file)?.ok_or_else(cut)? {
            return Err(wrong("it is not what was written"));
        }
        file.seek(SeekFrom::Start(HEAD.len() as u64)).map_err(&in_file)?;
        let packed = BufReader::with_capacity(BUFFER, file.take(length - HEAD.len() as u64));
        let mut lines = BufReader::with_capacity(BUFFER, Decoder::with_buffer(packed).map_err(&in_file)?);
        let head = read_json(&mut lines, place)?.ok_or_else(|| damaged(place, "it says nothing"))?;
        Ok(Self { place: place.to_owned(), head, lines })
    }

    /// The next line; `None` at the end.
    pub(super) fn line(&mut self) -> Result<Option<Line>, ServiceError> {
        read_json(&mut self.lines, &self.place)
    }
}

fn read_json<T: for<'de> Deserialize<'de>>(
    lines: &mut Lines,
    place: &Path,
) -> Result<Option<T>, ServiceError> {
    let mut line = Vec::new();
    let read = lines.take(LINE_MAX).read_until(b'\n', &mut line);
    read.map_err(|error| damaged(place, &format!("it cannot be unpacked: {error}")))?;
    if line.is_empty() {
        return Ok(None);
    }
    let read = serde_json::from_slice(&line);
    read.map(Some).map_err(|error| damaged(place, &format!("a line of it cannot be read: {error}")))
}

/// A file that is none, or not as it was written.
fn damaged(place: &Path, what: &str) -> ServiceError {
    ServiceError::usage(
        format!("{} cannot be used: {what}", place.display()),
        "write another one on the active server: `onesync staging export-plan FILE`; nothing was compared",
    )
}

/// The SHA-256 of the first bytes of a file.
fn hash(file: &mut File, length: u64) -> std::io::Result<Vec<u8>> {
    file.rewind()?;
    let mut digest = Digest::new(&SHA256);
    let mut buffer = vec![0; BUFFER];
    let mut rest = file.take(length);
    loop {
        match rest.read(&mut buffer)? {
            0 => return Ok(digest.finish().as_ref().to_vec()),
            got => digest.update(buffer.get(..got).unwrap_or_default()),
        }
    }
}

/// The hash at the end of a file; `None` where it does not end so.
fn tail(file: &mut File) -> std::io::Result<Option<Vec<u8>>> {
    file.seek(SeekFrom::End(-END.cast_signed()))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(end.strip_suffix(TAIL).map(<[u8]>::to_vec))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            form: FORM,
            program: "1".to_owned(),
            installation: "i".to_owned(),
            epoch: 3,
            server: "s".to_owned(),
            host: "h".to_owned(),
            standing: "active".to_owned(),
            taken: "now".to_owned(),
            not_computed: None,
            settings: Settings::default(),
            connectors: vec![ConnectorHead { name: "entra".to_owned(), ..ConnectorHead::default() }],
        }
    }

    fn write(place: &Path) -> u64 {
        let mut writer = Writer::begin(place, &head()).unwrap();
        for name in ["a", "b"] {
            writer.line(&Line::Connector(name.to_owned())).unwrap();
        }
        writer.end().unwrap()
    }

    fn read(place: &Path) -> Result<(Head, Vec<Line>), ServiceError> {
        let mut reader = Reader::open(place)?;
        let mut lines = Vec::new();
        while let Some(line) = reader.line()? {
            lines.push(line);
        }
        Ok((reader.head, lines))
    }

    #[test]
    fn a_plan_is_read_as_it_was_written_and_every_damage_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (place, other) = (folder.path().join("plan"), folder.path().join("other"));
        let bytes = write(&place);
        let (found, lines) = read(&place).unwrap();
        assert_eq!(found, head());
        assert_eq!(lines, [Line::Connector("a".to_owned()), Line::Connector("b".to_owned())]);
        let whole = std::fs::read(&place).unwrap();
        assert_eq!(whole.len() as u64, bytes);
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&other, &changed).unwrap();
            assert!(matches!(read(&other), Err(ServiceError::Usage { .. })), "byte {at} changed");
            std::fs::write(&other, &whole[..at]).unwrap();
            assert!(matches!(read(&other), Err(ServiceError::Usage { .. })), "cut at {at}");
        }
        std::fs::write(&other, [&whole[..], b"x"].concat()).unwrap();
        assert!(matches!(read(&other), Err(ServiceError::Usage { .. })), "longer");
        let mut later = whole;
        later[13] = b'2';
        std::fs::write(&other, later).unwrap();
        let error = read(&other).err().unwrap().to_string();
        assert!(error.contains("it has form 2, this program knows form 1"), "{error}");
    }

    #[test]
    fn nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("plan");
        write(&place);
        let before = std::fs::read(&place).unwrap();
        assert!(matches!(Writer::begin(&place, &head()), Err(ServiceError::Usage { .. })));
        assert_eq!(std::fs::read(&place).unwrap(), before);
        // What was cut off under another name is; what is somebody's is not.
        let (other, part) = (folder.path().join("other"), folder.path().join(format!("other{PART}")));
        std::fs::write(&part, "OneSync pl").unwrap();
        write(&other);
        assert!(!part.exists() && read(&other).is_ok());
        let (third, part) = (folder.path().join("third"), folder.path().join(format!("third{PART}")));
        std::fs::write(&part, "somebody's text").unwrap();
        assert!(matches!(Writer::begin(&third, &head()), Err(ServiceError::Usage { .. })));
        assert_eq!(std::fs::read_to_string(&part).unwrap(), "somebody's text");
    }
}
