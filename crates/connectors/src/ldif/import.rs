//! One import of LDIF files, on a thread of its own.

use std::fs::File;
use std::path::Path;

use onesync_model::Dn;
use tokio::sync::mpsc;

use super::LdifSettings;
use super::connector::base;
use super::layout::{AnchorRule, Layout, structural_class};
use super::lines::{Line, LineError, Lines, decode};
use super::records::{Found, Records};
use super::watermark::Place;
use crate::files::FileState;
use crate::pages::{Pager, more_links};
use crate::{
    ConnectorError, Entry, ErrorClass, ImportEnd, ImportMode, ImportPage, ImportRequest, Proof, Selection,
    Watermark,
};

/// Records that cannot be read and are reported one by one; more of them are only counted.
pub(super) const ERRORS_REPORTED_MAX: u64 = 1_000;

/// Reads everything the request asks for and sends it.
pub(super) fn import(
    settings: &LdifSettings,
    request: ImportRequest,
    pages: &mpsc::Sender<ImportPage>,
) -> Result<ImportEnd, ConnectorError> {
    let base = base(settings)?;
    let place = match request.mode {
        ImportMode::Full { resume: None } => Place { line: 1, ..Place::default() },
        ImportMode::Full { resume: Some(watermark) } => resumed(settings, &watermark)?,
        ImportMode::Delta { .. } => {
            return Err(useless_watermark("LDIF files", "an LDIF file does not say what changed"));
        }
    };
    let anchor = anchor_rule(settings)?;
    let import = Import {
        settings,
        selection: request.selection,
        base,
        anchor,
        pager: Pager::new(request.page_size),
        pages,
        place,
        incomplete: None,
        remarks: Vec::new(),
    };
    import.run()
}

/// Opens a file.
pub(super) fn open(path: &Path) -> Result<(File, FileState), ConnectorError> {
    let opened = File::open(path).and_then(|file| Ok((FileState::of(&file.metadata()?), file)));
    let (state, file) = opened.map_err(|error| {
        configuration(
            "LDIF-OPEN",
            &path.display().to_string(),
            format!("cannot be opened: {error}"),
            "check the path, and that the service's account may read the file",
        )
    })?;
    Ok((file, state))
}

struct Import<'a> {
    settings: &'a LdifSettings,
    selection: Selection,
    base: Option<Dn>,
    anchor: AnchorRule,
    pager: Pager,
    pages: &'a mpsc::Sender<ImportPage>,
    place: Place,
    incomplete: Option<String>,
    remarks: Vec<String>,
}

impl Import<'_> {
    fn run(mut self) -> Result<ImportEnd, ConnectorError> {
        while let Some(path) = self.settings.paths.get(self.place.file) {
            self.file(path)?;
            self.place = Place {
                file: self.place.file + 1,
                line: 1,
                errors: self.place.errors,
                failed: self.place.failed || self.incomplete.is_some(),
                ..Place::default()
            };
        }
        while let Some(page) = self.pager.take_full().or_else(|| self.pager.take_rest()) {
            self.send(page)?;
        }
        if self.place.errors > 0 {
            self.incomplete.get_or_insert(format!("{} records could not be read", self.place.errors));
        } else if self.place.failed {
            self.incomplete.get_or_insert("a file is not whole".to_owned());
        }
        let proof = self.incomplete.map_or(Proof::Complete, Proof::Incomplete);
        Ok(ImportEnd { proof, watermark: None, remarks: self.remarks })
    }

    fn file(&mut self, path: &Path) -> Result<(), ConnectorError> {
        let name = path.display().to_string();
        let (mut file, state) = open(path)?;
        if self.place.offset > 0 && self.place.state != state {
            return Err(useless_watermark(
                &name,
                "the file is another one than when the import was interrupted",
            ));
        }
        self.place.state = state;
        if state.length == 0 {
            self.incomplete.get_or_insert(format!("{name} is empty"));
            return Ok(());
        }
        self.place.offset = self.place.offset.max(byte_order_mark(&mut file, &name)?);
        let layout = Layout::new(&self.selection, &self.settings.types, self.anchor.clone());
        let from = (self.place.offset, self.place.line);
        let mut records = Records::new(file, from, layout, self.base.clone())
            .map_err(|error| unreadable(&name, &LineError::Read(error)))?;
        records.marks = self.place.marks();
        self.records(&mut records, &name)?;
        self.judge(&records, path, &name);
        Ok(())
    }

    fn records(&mut self, records: &mut Records<File>, name: &str) -> Result<(), ConnectorError> {
        loop {
            let found = records.next();
            let found = found.map_err(|error| unreadable(&format!("{name}:{}", records.line()), &error))?;
            self.place.note(&records.marks, records.position());
            match found {
                Found::End => return Ok(()),
                Found::Other => {}
                Found::Entry(entry) => {
                    self.bad_values(records, name, &entry);
                    let after = self.place.to_watermark();
                    self.pager.push(*entry, Some(after));
                }
                Found::Large(entry) => {
                    self.bad_values(records, name, &entry);
                    let (anchor, object_type) = (entry.anchor.clone(), entry.object_type);
                    self.pager.push(*entry, None);
                    let max = self.pager.links_max();
                    loop {
                        let links = records.next_links(max);
                        let links = links
                            .map_err(|error| unreadable(&format!("{name}:{}", records.line()), &error))?;
                        let Some((chunk, is_last)) = links else { break };
                        let mut more = more_links(anchor.clone(), vec![chunk]);
                        more.object_type = object_type;
                        self.place.note(&records.marks, records.position());
                        let after = is_last.then(|| self.place.to_watermark());
                        self.pager.push(more, after);
                        self.send_full()?;
                    }
                }
                Found::Bad(line, why) => self.bad_record(format!("{name}:{line}"), why),
            }
            self.send_full()?;
        }
    }

    /// Tells the values of an entry that could not be read: their attributes stay as they are.
    fn bad_values(&mut self, records: &mut Records<File>, name: &str, entry: &Entry) {
        for (line, attribute) in records.bad_values.drain(..) {
            let dn = entry.dn.as_deref().unwrap_or_default();
            let message = format!(
                "this value of `{attribute}` of `{dn}` does not fit its type: the attribute stays as it is"
            );
            let place = format!("{name}:{line}");
            self.pager.error(ConnectorError::new(ErrorClass::Object, "LDIF-VALUE", place, message), None);
        }
    }

    fn bad_record(&mut self, place: String, why: String) {
        self.place.errors += 1;
        if self.place.errors <= ERRORS_REPORTED_MAX {
            let after = self.place.to_watermark();
            self.pager.error(ConnectorError::new(ErrorClass::Object, "LDIF-RECORD", place, why), Some(after));
        }
    }

    /// Says what speaks against the file being whole.
    fn judge(&mut self, records: &Records<File>, path: &Path, name: &str) {
        let more = records.unreadable.saturating_sub(ERRORS_REPORTED_MAX);
        if more > 0 {
            self.remarks.push(format!("{name}: {more} more values could not be read and stay as they are"));
        }
        if records.references > 0 {
            self.remarks.push(format!("{name}: {} search references were not followed", records.references));
        }
        let changed = path.metadata().map_or(true, |now| FileState::of(&now) != self.place.state);
        let failure = if changed {
            Some("it changed while it was read".to_owned())
        } else if let Some(failure) = &records.marks.failure {
            Some(failure.clone())
        } else if self.settings.require_end && !records.marks.ended {
            Some("it has no end mark (`# end` or `# numEntries: N`) behind its last entry".to_owned())
        } else {
            None
        };
        if let Some(failure) = failure {
            self.incomplete.get_or_insert(format!("{name} is not whole: {failure}"));
        }
    }

    fn send_full(&mut self) -> Result<(), ConnectorError> {
        while let Some(page) = self.pager.take_full() {
            self.send(page)?;
        }
        Ok(())
    }

    fn send(&self, page: ImportPage) -> Result<(), ConnectorError> {
        self.pages.blocking_send(page).map_err(|_| ConnectorError::stopped())
    }
}

/// The length of a UTF-8 byte order mark; UTF-16 is refused.
fn byte_order_mark(file: &mut File, name: &str) -> Result<u64, ConnectorError> {
    use std::io::Read;
    let mut start = Vec::new();
    file.by_ref()
        .take(3)
        .read_to_end(&mut start)
        .map_err(|error| unreadable(name, &LineError::Read(error)))?;
    match start.as_slice() {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Err(configuration(
            "LDIF-UTF16",
            name,
            "is UTF-16, and LDIF is UTF-8".to_owned(),
            "write it without `ldifde -u`, or convert it: `iconv -f UTF-16 -t UTF-8`",
        )),
        [0xEF, 0xBB, 0xBF] => Ok(3),
        _ => Ok(0),
    }
}

/// What identifies objects: as configured, else as the first entry of a known class shows.
fn anchor_rule(settings: &LdifSettings) -> Result<AnchorRule, ConnectorError> {
    match settings.anchor.as_deref().map(str::to_ascii_lowercase) {
        Some(name) if name == "dn" => return Ok(AnchorRule::Dn),
        Some(name) => return Ok(AnchorRule::Attribute(name)),
        None => {}
    }
    for path in &settings.paths {
        let (mut file, _) = open(path)?;
        let name = path.display().to_string();
        byte_order_mark(&mut file, &name)?;
        let found = first_anchor(file).map_err(|error| unreadable(&name, &error))?;
        if let Some(rule) = found {
            return Ok(rule);
        }
    }
    Ok(AnchorRule::Dn)
}

/// What identifies the first entry that is an object, not a container.
fn first_anchor(file: File) -> Result<Option<AnchorRule>, LineError> {
    const CANDIDATES: [&str; 2] = ["objectguid", "entryuuid"];
    let mut lines = Lines::new(file, 0, 1);
    let (mut is_object, mut seen, mut scratch) = (false, [false; 2], Vec::new());
    loop {
        match lines.next() {
            Ok(Line::Attribute { name, value }) if name.eq_ignore_ascii_case(b"objectclass") => {
                is_object |=
                    decode(value, &mut scratch).is_some_and(|class| structural_class(class).is_some());
            }
            Ok(Line::Attribute { name, .. }) => {
                for (candidate, seen) in CANDIDATES.iter().zip(&mut seen) {
                    *seen |= candidate.as_bytes().eq_ignore_ascii_case(name);
                }
            }
            Ok(end @ (Line::Separator | Line::End)) => {
                if is_object {
                    let found = CANDIDATES.iter().zip(seen).find(|(_, seen)| *seen);
                    let rule =
                        found.map_or(AnchorRule::Dn, |(name, _)| AnchorRule::Attribute((*name).to_owned()));
                    return Ok(Some(rule));
                }
                if end == Line::End {
                    return Ok(None);
                }
                seen = [false; 2];
            }
            Err(error) if error.is_fatal() => return Err(error),
            Ok(Line::Comment(_)) | Err(_) => {}
        }
    }
}

fn resumed(settings: &LdifSettings, watermark: &Watermark) -> Result<Place, ConnectorError> {
    Place::from_watermark(watermark)
        .filter(|place| place.file < settings.paths.len())
        .ok_or_else(|| useless_watermark("LDIF files", "this is no place in these files"))
}

pub(super) fn unreadable(place: &str, error: &LineError) -> ConnectorError {
    let class = match error {
        LineError::Read(_) => ErrorClass::Transient,
        _ => ErrorClass::Fatal,
    };
    ConnectorError::new(class, "LDIF-READ", place, error.to_string())
}

fn configuration(code: &str, place: &str, message: String, hint: &str) -> ConnectorError {
    ConnectorError::new(ErrorClass::Configuration, code, place, message).hint(hint)
}

fn useless_watermark(place: &str, message: &str) -> ConnectorError {
    ConnectorError::new(ErrorClass::Watermark, "LDIF-WATERMARK", place, message).hint("run a full import")
}
