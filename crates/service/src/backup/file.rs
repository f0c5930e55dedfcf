//! The form of a backup: one file, written from its begin to its end.
//!
//! A line names the form. Then come the parts, each a row of blocks (rows, bytes unpacked, bytes packed, as little-endian
//! numbers; then zstd). Then the manifest as JSON, which names each part with its place, size and SHA-256. At the end
//! stand 64 bytes: where the manifest lies, how long it is, its SHA-256, and a line that says that this is the end. Every
//! byte of the file is under one of these hashes, and a file that was cut has no end. A block is small, so that neither
//! writing nor reading holds a table in memory.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{BufReader, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context as Digest, SHA256};
use onesync_store::{Content, Rows, TableForm, schema_versions};
use serde::{Deserialize, Serialize};
use zstd::bulk::{Compressor, Decompressor};

use super::keys::KeysNeeded;
use super::{KEY_FILE_MAX, at, ended, sha256};
use crate::account;
use crate::error::ServiceError;
use crate::home::{no_link, restrict_file};

/// The form, in its first line.
pub(super) const FORM: u32 = 1;
const HEAD: &[u8; 17] = b"OneSync backup 1\n";
/// What the first line of any form begins with.
pub(super) const OURS: &[u8] = b"OneSync backup ";
const TAIL: &[u8; 16] = b"OneSync end   1\n";
const TAIL_BYTES: u64 = 64;
/// Bytes before each block.
const BLOCK_HEAD: usize = 16;
/// The most bytes of a block: a row that is larger is none of ours.
const BLOCK_MAX: u32 = 256 << 20;
/// The most bytes of a manifest.
const MANIFEST_MAX: u64 = 16 << 20;
/// The compression: a higher level is slower than the disk and saves little.
const LEVEL: i32 = 3;
/// Bytes that go to the disk at once.
const BUFFER: usize = 1 << 20;

/// What a backup is, and what it consists of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the file.
    pub form: u32,
    /// The version of the program that took it.
    pub program: String,
    /// The version of that program's schema in each kind of database.
    pub schema: BTreeMap<String, u32>,
    /// The kind of database that it was taken of.
    pub database: String,
    /// The installation.
    pub installation: String,
    /// Its epoch.
    pub epoch: u64,
    /// When.
    pub taken: String,
    /// On which machine; older ones do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The tables.
    pub tables: Vec<TablePart>,
    /// The keys that its secrets need.
    pub keys: KeysNeeded,
}

/// A part of the file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Where it begins.
    pub at: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
}

/// A table of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TablePart {
    /// Its name.
    pub name: String,
    /// Its columns, those of its key first.
    pub columns: Vec<String>,
    /// How many of them are its key.
    pub keys: usize,
    /// Its rows.
    pub rows: u64,
    /// The sum of the hashes of its rows: the same in every kind of database.
    pub content: String,
    /// Where it lies.
    pub part: Part,
}

impl TablePart {
    pub(super) fn new(form: TableForm, content: Content, part: Part) -> Self {
        let TableForm { name, columns, keys } = form;
        Self { name, columns, keys, rows: content.rows, content: content.hash.to_string(), part }
    }

    pub(super) fn form(&self) -> TableForm {
        TableForm { name: self.name.clone(), columns: self.columns.clone(), keys: self.keys }
    }

    pub(super) fn holds(&self, content: Content) -> bool {
        self.rows == content.rows && self.content == content.hash.to_string()
    }
}

/// A backup on its way into a file that has another name until it is whole.
pub(super) struct Writer {
    file: BufWriter<File>,
    place: PathBuf,
    at: u64,
    begun: u64,
    digest: Digest,
    packer: Compressor<'static>,
}

impl Writer {
    /// Begins.
    pub(super) fn begin(place: &Path) -> Result<Self, ServiceError> {
        let in_file = at(place);
        let file = begin_part(place, OURS)?;
        let packer = Compressor::new(LEVEL).map_err(&in_file)?;
        let mut writer = Self {
            file: BufWriter::with_capacity(BUFFER, file),
            place: place.to_owned(),
            at: 0,
            begun: 0,
            digest: Digest::new(&SHA256),
            packer,
        };
        writer.write(HEAD)?;
        writer.end_part();
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ServiceError> {
        self.file.write_all(bytes).map_err(at(&self.place))?;
        self.digest.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Adds a block to the part that is under way.
    pub(super) fn block(&mut self, rows: u64, bytes: &[u8]) -> Result<(), ServiceError> {
        let raw = u32::try_from(bytes.len()).ok().filter(|raw| *raw <= BLOCK_MAX).ok_or_else(|| {
            ServiceError::Internal(format!("a row of {} bytes is too large for a backup", bytes.len()))
        })?;
        let packed = self.packer.compress(bytes).map_err(at(&self.place))?;
        let mut head = Vec::with_capacity(BLOCK_HEAD);
        head.extend_from_slice(&rows.to_le_bytes());
        head.extend_from_slice(&raw.to_le_bytes());
        head.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        self.write(&head)?;
        self.write(&packed)
    }

    /// Ends the part that is under way.
    pub(super) fn end_part(&mut self) -> Part {
        let digest = std::mem::replace(&mut self.digest, Digest::new(&SHA256));
        let part = Part { at: self.begun, bytes: self.at - self.begun, sha256: ended(digest) };
        self.begun = self.at;
        part
    }

    /// Writes the manifest and the end, and waits for the disk.
    pub(super) fn end(mut self, manifest: &Manifest) -> Result<(), ServiceError> {
        let text = serde_json::to_vec(manifest).map_err(|error| ServiceError::Internal(error.to_string()))?;
        let mut tail = Vec::with_capacity(TAIL_BYTES as usize);
        tail.extend_from_slice(&self.at.to_le_bytes());
        tail.extend_from_slice(&(text.len() as u64).to_le_bytes());
        tail.extend_from_slice(aws_lc_rs::digest::digest(&SHA256, &text).as_ref());
        tail.extend_from_slice(TAIL);
        self.write(&text)?;
        self.write(&tail)?;
        let place = self.place;
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).map_err(at(&place))
    }
}

/// Opens a file of ours for writing under the name that it has until it is whole. What an earlier one left that was
/// killed is written over; nothing else is.
pub(crate) fn begin_part(place: &Path, ours: &[u8]) -> Result<File, ServiceError> {
    let in_file = at(place);
    let open = no_link().read(true).write(true).create(true).truncate(false).open(place);
    let mut file = open.map_err(&in_file)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(ServiceError::held(
                format!("{} is being written by another process", place.display()),
                "wait until it has ended, or name another file",
            ));
        }
        Err(TryLockError::Error(source)) => return Err(in_file(source)),
    }
    // Who made it could read what is written into it.
    let found = file.metadata().map_err(&in_file)?;
    if account::uid() != Some(found.uid()) || found.nlink() != 1 {
        return Err(ServiceError::usage(
            format!("{} is there, and belongs to another account", place.display()),
            "nothing is written into it: remove it, or name another file",
        ));
    }
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(ours.len() as u64).read_to_end(&mut head).map_err(&in_file)?;
    if !ours.starts_with(&head) {
        return Err(ServiceError::usage(
            format!("{} is there, and is nothing of ours that was cut off", place.display()),
            "nothing is written over: move it away, or name another file",
        ));
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(&in_file)?;
    restrict_file(place).map_err(&in_file)?;
    Ok(file)
}

/// Takes a block: its rows, its bytes.
type TakeBlock<'t> = &'t mut dyn FnMut(u64, &[u8]) -> Result<(), ServiceError>;

/// A backup whose manifest was read.
#[derive(Clone, Debug)]
pub struct Backup {
    place: PathBuf,
    /// What tells it from others: the hash of its manifest.
    pub id: String,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its bytes.
    pub bytes: u64,
    /// Where the manifest begins.
    end: u64,
}

/// A file that is no backup, or not as it was written.
fn damaged(place: &Path, what: &str) -> ServiceError {
    ServiceError::Backup {
        message: format!("{} cannot be used: {what}", place.display()),
        hint: "take another backup: `onesync backup verify FILE` says of each one whether it can be used"
            .to_owned(),
    }
}

impl Backup {
    /// Reads the end of a file and its manifest; the parts are not looked at yet.
    ///
    /// # Errors
    /// When it is no backup, was never finished, was cut or damaged, or has a form of a later program.
    pub fn open(place: &Path) -> Result<Self, ServiceError> {
        let (in_file, wrong) = (at(place), |what: &str| damaged(place, what));
        let mut file = File::open(place).map_err(&in_file)?;
        let bytes = file.metadata().map_err(&in_file)?.len();
        let mut head = [0; HEAD.len()];
        let got = file.read(&mut head).map_err(&in_file)?;
        if head != *HEAD {
            return Err(match head.strip_prefix(OURS) {
                Some(form) if got == HEAD.len() => {
                    let form = String::from_utf8_lossy(form);
                    wrong(&format!("it has form {}, this program knows form {FORM}", form.trim_end()))
                }
                _ => wrong("it is no backup of OneSync"),
            });
        }
        let cut = || wrong("it has no end: it was never finished, or was cut");
        let tail_at = bytes.checked_sub(TAIL_BYTES).filter(|at| *at >= HEAD.len() as u64).ok_or_else(cut)?;
        let mut tail = [0; TAIL_BYTES as usize];
        file.seek(SeekFrom::Start(tail_at)).and_then(|_| file.read_exact(&mut tail)).map_err(&in_file)?;
        let (begin, rest) = tail.split_at(8);
        let (length, rest) = rest.split_at(8);
        let (hash, mark) = rest.split_at(32);
        if mark != TAIL {
            return Err(cut());
        }
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        let (end, length) = (number(begin), number(length));
        if length > MANIFEST_MAX || end.checked_add(length) != Some(tail_at) {
            return Err(wrong("its end does not say where its manifest is"));
        }
        let mut text = vec![0; length as usize];
        file.seek(SeekFrom::Start(end)).and_then(|_| file.read_exact(&mut text)).map_err(&in_file)?;
        let id = sha256(&text);
        if id != super::hex(hash) {
            return Err(wrong("its manifest is not what was written"));
        }
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| wrong(&format!("its manifest cannot be read: {error}")))?;
        let backup = Self { place: place.to_owned(), id, manifest, bytes, end };
        backup.check_parts()?;
        Ok(backup)
    }

    /// Its parts must follow each other without a gap, and their names be names.
    fn check_parts(&self) -> Result<(), ServiceError> {
        let wrong = |what: &str| damaged(&self.place, what);
        let mut next = HEAD.len() as u64;
        let included = self.manifest.keys.included.iter().map(|keys| &keys.part);
        for part in self.manifest.tables.iter().map(|table| &table.part).chain(included) {
            if part.at != next {
                return Err(wrong("its parts do not follow each other"));
            }
            next = next.saturating_add(part.bytes);
        }
        if next != self.end {
            return Err(wrong("its parts do not reach its manifest"));
        }
        match self.manifest.tables.iter().find(|table| !table.form().is_sound()) {
            Some(table) => {
                Err(wrong(&format!("it names a table `{}` that cannot be one", table.name.escape_debug())))
            }
            None => Ok(()),
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Its schema for a kind of database, where that is older than this program's.
    ///
    /// # Errors
    /// When it was taken by a newer program.
    pub(super) fn older_schema(&self, kind: &str) -> Result<Option<u32>, ServiceError> {
        let found = |kind: &str| self.manifest.schema.get(kind).copied().unwrap_or(0);
        for (kind, known) in schema_versions() {
            if found(kind) > known {
                return Err(ServiceError::Backup {
                    message: format!(
                        "{} was taken by program {} with schema version {} ({kind}); this program, {}, knows versions up to \
                         {known}",
                        self.place.display(),
                        self.manifest.program,
                        found(kind),
                        env!("CARGO_PKG_VERSION")
                    ),
                    hint: "restore it with the newer program".to_owned(),
                });
            }
        }
        let known =
            schema_versions().into_iter().find(|(name, _)| *name == kind).map_or(0, |(_, known)| known);
        let found = found(kind);
        if found == 0 {
            return Err(damaged(
                &self.place,
                &format!("it does not say which schema it needs in a database of kind `{kind}`"),
            ));
        }
        if found == known && self.manifest.tables.iter().map(TablePart::form).ne(TableForm::all()) {
            return Err(damaged(
                &self.place,
                "its tables are not those of its version: it was taken by a modified program",
            ));
        }
        Ok((found < known).then_some(found))
    }

    /// Reads the blocks of a part, and whether it is what was written.
    fn blocks(&self, part: &Part, take: TakeBlock<'_>) -> Result<(), ServiceError> {
        let (in_file, wrong) =
            (at(&self.place), || damaged(&self.place, "a part of it is not what was written"));
        let mut file = File::open(&self.place).map_err(&in_file)?;
        file.seek(SeekFrom::Start(part.at)).map_err(&in_file)?;
        let mut file = BufReader::with_capacity(BUFFER, file);
        let (mut digest, mut left) = (Digest::new(&SHA256), part.bytes);
        let mut unpacker = Decompressor::new().map_err(&in_file)?;
        let mut packed = Vec::new();
        while left > 0 {
            let mut head = [0; BLOCK_HEAD];
            left = left.checked_sub(BLOCK_HEAD as u64).ok_or_else(wrong)?;
            file.read_exact(&mut head).map_err(&in_file)?;
            let [rows, sizes] = [head.first_chunk::<8>(), head.last_chunk::<8>()];
            let (rows, sizes) =
                (rows.map_or(0, |b| u64::from_le_bytes(*b)), sizes.map_or(0, |b| u64::from_le_bytes(*b)));
            let (raw, size) = (sizes as u32, sizes >> 32);
            // Nothing that was packed is larger than this.
            let most = zstd::zstd_safe::compress_bound(raw as usize) as u64;
            left = left.checked_sub(size).filter(|_| raw <= BLOCK_MAX && size <= most).ok_or_else(wrong)?;
            packed.clear();
            let got = file.by_ref().take(size).read_to_end(&mut packed).map_err(&in_file)?;
            digest.update(&head);
            digest.update(&packed);
            let bytes = unpacker.decompress(&packed, raw as usize).ok();
            let whole = bytes.filter(|bytes| got as u64 == size && bytes.len() == raw as usize);
            take(rows, &whole.ok_or_else(wrong)?)?;
        }
        if ended(digest) == part.sha256 { Ok(()) } else { Err(wrong()) }
    }

    /// Reads a table, and whether it holds what its manifest says.
    pub(super) fn table(
        &self,
        table: &TablePart,
        take: &mut dyn FnMut(&Rows) -> Result<(), ServiceError>,
    ) -> Result<(), ServiceError> {
        let (form, mut content) = (table.form(), Content::default());
        let wrong = || damaged(&self.place, &format!("its table `{}` is not what was written", table.name));
        self.blocks(&table.part, &mut |rows, bytes| {
            let rows = form.unpack(bytes, rows).ok_or_else(wrong)?;
            content.take(&rows);
            take(&rows)
        })?;
        if table.holds(content) { Ok(()) } else { Err(wrong()) }
    }

    /// Reads all of it: every byte, every row.
    ///
    /// # Errors
    /// When anything is not what was written, or `told` ends it.
    pub fn verify(&self, told: &dyn Fn(&str, u64) -> Result<(), ServiceError>) -> Result<(), ServiceError> {
        for table in &self.manifest.tables {
            let mut rows = 0;
            self.table(table, &mut |page| {
                rows += page.len() as u64;
                told(&table.name, rows)
            })?;
        }
        self.key_file().map(drop)
    }

    /// The key file in it, sealed.
    pub(crate) fn key_file(&self) -> Result<Option<Vec<u8>>, ServiceError> {
        let Some(keys) = &self.manifest.keys.included else { return Ok(None) };
        let mut file = Vec::new();
        self.blocks(&keys.part, &mut |_, bytes| {
            if (file.len() + bytes.len()) as u64 > KEY_FILE_MAX {
                return Err(damaged(&self.place, "what it has in place of a key file is none"));
            }
            file.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(Some(file))
    }
}

/// Whether a file is half a backup that nobody writes any more.
pub(super) fn is_left(part: &Path) -> bool {
    let Ok(mut file) = no_link().read(true).open(part) else { return false };
    let mut head = Vec::new();
    let read = Read::by_ref(&mut file).take(OURS.len() as u64).read_to_end(&mut head);
    read.is_ok() && OURS.starts_with(&head) && file.try_lock().is_ok()
}

/// Whether a file is a backup of a form that this program does not know.
pub(super) fn has_later_form(place: &Path) -> Result<bool, ServiceError> {
    let mut head = Vec::new();
    let read = File::open(place).and_then(|file| file.take(HEAD.len() as u64).read_to_end(&mut head));
    read.map_err(at(place))?;
    Ok(head.starts_with(OURS) && head.len() == HEAD.len() && head != HEAD)
}

/// Gives a file that is whole its name, if nothing has it.
pub(crate) fn appear(part: &Path, file: &Path) -> Result<(), ServiceError> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let taken = || std::io::Error::from(std::io::ErrorKind::AlreadyExists);
    let named = match renameat_with(CWD, part, CWD, file, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS)
            if std::fs::symlink_metadata(file).is_ok() =>
        {
            Err(taken())
        }
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => std::fs::rename(part, file),
        named => named.map_err(Into::into),
    };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    named.and_then(|()| File::open(folder)?.sync_all()).map_err(at(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(place: &Path) -> Manifest {
        let mut writer = Writer::begin(place).unwrap();
        let form = TableForm { name: "t".to_owned(), columns: vec!["a".to_owned()], keys: 1 };
        // Three numbers as a store packs them.
        let row = |number: i64| [&[1][..], &number.to_le_bytes()].concat();
        let (one, two) = ([row(1), row(2)].concat(), row(3));
        let mut content = Content::default();
        for (rows, bytes) in [(2, &one), (1, &two)] {
            content.take(&form.unpack(bytes, rows).unwrap());
            writer.block(rows, bytes).unwrap();
        }
        let tables = vec![TablePart::new(form, content, writer.end_part())];
        let manifest = Manifest {
            form: FORM,
            program: "0".to_owned(),
            schema: schema_versions().map(|(kind, version)| (kind.to_owned(), version)).into(),
            database: "embedded".to_owned(),
            installation: "i".to_owned(),
            epoch: 1,
            taken: "now".to_owned(),
            host: None,
            tables,
            keys: KeysNeeded::default(),
        };
        writer.end(&manifest).unwrap();
        manifest
    }

    fn read(place: &Path) -> Result<Manifest, ServiceError> {
        let backup = Backup::open(place)?;
        backup.verify(&|_, _| Ok(()))?;
        Ok(backup.manifest)
    }

    #[test]
    fn a_backup_is_read_as_it_was_written_and_every_damage_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (place, other) = (folder.path().join("one"), folder.path().join("other"));
        let manifest = write(&place);
        assert_eq!(read(&place).unwrap(), manifest);
        let whole = std::fs::read(&place).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&other, &changed).unwrap();
            assert!(matches!(read(&other), Err(ServiceError::Backup { .. })), "byte {at} changed");
            std::fs::write(&other, &whole[..at]).unwrap();
            assert!(matches!(read(&other), Err(ServiceError::Backup { .. })), "cut at {at}");
        }
        std::fs::write(&other, [&whole[..], b"x"].concat()).unwrap();
        assert!(matches!(read(&other), Err(ServiceError::Backup { .. })), "longer");
        let mut later = whole;
        later[15] = b'2';
        std::fs::write(&other, later).unwrap();
        let error = read(&other).unwrap_err().to_string();
        assert!(error.contains("it has form 2, this program knows form 1"), "{error}");
    }

    #[test]
    fn what_was_cut_off_is_written_over_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let (part, file) = (folder.path().join("a.part"), folder.path().join("a"));
        std::fs::write(&part, "OneSync backup 1\nrub").unwrap();
        write(&part);
        read(&part).unwrap();
        appear(&part, &file).unwrap();
        write(&part);
        let error = appear(&part, &file).unwrap_err();
        assert!(error.to_string().contains("exists"), "{error}");
        std::fs::write(&part, "somebody's text").unwrap();
        assert!(matches!(Writer::begin(&part), Err(ServiceError::Usage { .. })));
        assert_eq!(std::fs::read_to_string(&part).unwrap(), "somebody's text");
        std::fs::remove_file(&part).unwrap();
        let writer = Writer::begin(&part).unwrap();
        assert!(matches!(Writer::begin(&part), Err(ServiceError::Held { .. })), "one at a time");
        assert!(!is_left(&part) && !is_left(&folder.path().join("none")));
        drop(writer);
        assert!(is_left(&part));
        std::fs::remove_file(&part).unwrap();
        std::os::unix::fs::symlink(&file, &part).unwrap();
        assert!(matches!(Writer::begin(&part), Err(ServiceError::File { .. })), "never through a link");
    }

    #[test]
    fn a_newer_schema_is_refused_with_both_versions() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("one");
        write(&place);
        let mut backup = Backup::open(&place).unwrap();
        let (kind, known) = schema_versions()[1];
        backup.manifest.schema.insert(kind.to_owned(), known + 1);
        let error = backup.older_schema("embedded").unwrap_err().to_string();
        let (newer, ours) = (format!("schema version {} (postgres)", known + 1), format!("up to {known}"));
        assert!(error.contains(&newer) && error.contains(&ours), "{error}");
        backup.manifest.schema.insert(kind.to_owned(), known - 1);
        assert_eq!(backup.older_schema(kind).unwrap(), Some(known - 1));
    }
}
