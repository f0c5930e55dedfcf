//! Reading a file of JSON lines, on a thread that may block.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};

use onesync_model::{AttributeType, Bag, Values};
use tokio::sync::mpsc;

use super::line::Object;
use super::settings::JsonlSettings;
use crate::files::FileState;
use crate::kinds::coerce;
use crate::pages::{Pager, more_links};
use crate::{
    ConnectorError, Entry, EntryChange, ErrorClass, ImportEnd, ImportMode, ImportPage, ImportRequest,
    LinkChunk, LinkMode, Proof, SelectedType, Selection, Watermark,
};

/// The longest line: a group of half a million members fits.
const LINE_MAX: u64 = 64 * 1024 * 1024;

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;

/// Lines that cannot be read and are reported one by one; more of them are only counted.
const ERRORS_REPORTED_MAX: u64 = 1_000;

/// Reads the lines of a file.
pub(super) struct LineReader {
    source: BufReader<File>,
    line: Vec<u8>,
    /// The number of the last line.
    pub number: u64,
    /// The byte behind the last line.
    pub offset: u64,
}

impl LineReader {
    /// Opens a file; `None` when it does not exist and may be written.
    pub fn open(settings: &JsonlSettings) -> Result<Option<Self>, ConnectorError> {
        match File::open(&settings.path) {
            Ok(file) => Ok(Some(Self {
                source: BufReader::with_capacity(BUFFER, file),
                line: Vec::new(),
                number: 0,
                offset: 0,
            })),
            Err(error) if error.kind() == ErrorKind::NotFound && settings.write => Ok(None),
            Err(error) => Err(ConnectorError::new(
                ErrorClass::Configuration,
                "JSONL-OPEN",
                settings.path.display().to_string(),
                format!("cannot be opened: {error}"),
            )
            .hint("check the path, and that the service's account may read the file")),
        }
    }

    /// The next line without its line break and byte order mark; `None` at the end.
    pub fn next(&mut self) -> std::io::Result<Option<&[u8]>> {
        self.line.clear();
        let count = self.source.by_ref().take(LINE_MAX).read_until(b'\n', &mut self.line)?;
        if count == 0 {
            return Ok(None);
        }
        if count as u64 == LINE_MAX && self.line.last() != Some(&b'\n') {
            let message = format!("line {} is longer than {} MB", self.number + 1, LINE_MAX / (1024 * 1024));
            return Err(std::io::Error::new(ErrorKind::InvalidData, message));
        }
        let mark: &[u8] = if self.offset == 0 { b"\xEF\xBB\xBF" } else { b"" };
        self.number += 1;
        self.offset += count as u64;
        Ok(Some(self.line.strip_prefix(mark).unwrap_or(&self.line).trim_ascii()))
    }

    fn go_to(&mut self, place: Place) -> std::io::Result<()> {
        self.source.seek(SeekFrom::Start(place.offset))?;
        (self.number, self.offset) = (place.line, place.offset);
        Ok(())
    }
}

/// Where an import stands.
#[derive(Clone, Copy, Default)]
struct Place {
    state: FileState,
    offset: u64,
    line: u64,
    errors: u64,
}

impl Place {
    fn to_watermark(self) -> Watermark {
        let Self { state: FileState { length, modified }, offset, line, errors } = self;
        Watermark(format!("1 {length} {modified} {offset} {line} {errors}").into_bytes())
    }

    fn from_watermark(watermark: &Watermark) -> Option<Self> {
        let text = str::from_utf8(&watermark.0).ok()?;
        let numbers: Vec<u128> = text.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        let number = |at: usize| numbers.get(at).and_then(|&number| u64::try_from(number).ok());
        if number(0)? != 1 || numbers.len() != 6 {
            return None;
        }
        let state = FileState { length: number(1)?, modified: *numbers.get(2)? };
        Some(Self { state, offset: number(3)?, line: number(4)?, errors: number(5)? })
    }
}

/// Reads everything the request asks for and sends it.
pub(super) fn import(
    settings: &JsonlSettings,
    request: ImportRequest,
    pages: &mpsc::Sender<ImportPage>,
) -> Result<ImportEnd, ConnectorError> {
    let name = settings.path.display().to_string();
    let useless = |message: &str| {
        ConnectorError::new(ErrorClass::Watermark, "JSONL-WATERMARK", &name, message)
            .hint("run a full import")
    };
    let resume = match request.mode {
        ImportMode::Full { resume } => resume,
        ImportMode::Delta { .. } => return Err(useless("a file does not say what changed")),
    };
    let mut place = match &resume {
        Some(watermark) => {
            Place::from_watermark(watermark).ok_or_else(|| useless("this is no place in the file"))?
        }
        None => Place::default(),
    };
    let end = |proof| Ok(ImportEnd { proof, watermark: None, remarks: Vec::new() });
    let Some(mut lines) = LineReader::open(settings)? else { return end(Proof::Complete) };
    let state = || settings.path.metadata().map(|metadata| FileState::of(&metadata)).unwrap_or_default();
    let before = state();
    if resume.is_some() && place.state != before {
        return Err(useless("the file is another one than when the import was interrupted"));
    }
    place.state = before;
    let unreadable = |error: std::io::Error| {
        ConnectorError::new(ErrorClass::Transient, "JSONL-READ", &name, error.to_string())
    };
    lines.go_to(place).map_err(unreadable)?;
    let reader = Reader { settings, selection: request.selection };
    let mut pager = Pager::new(request.page_size);
    let send = |page| pages.blocking_send(page).map_err(|_| ConnectorError::stopped());
    loop {
        let read = match lines.next().map_err(unreadable)? {
            None => break,
            Some([]) => Ok(None),
            Some(line) => reader.entry(line),
        };
        (place.offset, place.line) = (lines.offset, lines.number);
        match read {
            Ok(None) => {}
            Ok(Some(entry)) => pager.push(entry, Some(place.to_watermark())),
            Err(why) => {
                place.errors += 1;
                if place.errors <= ERRORS_REPORTED_MAX {
                    let at = format!("{name}:{}", place.line);
                    let error = ConnectorError::new(ErrorClass::Object, "JSONL-LINE", at, why);
                    pager.error(error, Some(place.to_watermark()));
                }
            }
        }
        while let Some(page) = pager.take_full() {
            send(page)?;
        }
    }
    while let Some(page) = pager.take_full().or_else(|| pager.take_rest()) {
        send(page)?;
    }
    end(match place.errors {
        _ if state() != before => Proof::Incomplete("the file changed while it was read".to_owned()),
        0 => Proof::Complete,
        errors => Proof::Incomplete(format!("{errors} lines could not be read")),
    })
}

struct Reader<'a> {
    settings: &'a JsonlSettings,
    selection: Selection,
}

impl Reader<'_> {
    /// The entry of a line; `None` when its type is not selected.
    fn entry(&self, line: &[u8]) -> Result<Option<Entry>, String> {
        let object = Object::parse(line)?;
        let anchor = object.anchor()?;
        let Some(type_name) = object.object_type.as_deref().or(self.settings.object_type.as_deref()) else {
            return Err("the object has no `type`, and the settings name no `object_type`".to_owned());
        };
        let selected =
            self.selection.types.iter().find(|selected| selected.name.eq_ignore_ascii_case(type_name));
        let Some(selected) = selected else { return Ok(None) };
        let named = |why| format!("`{}`: {why}", object.dn.as_deref().unwrap_or(&anchor.to_string()));
        let (values, links) = self.attributes(&object, selected).map_err(named)?;
        Ok(Some(Entry {
            dn: Some(object.dn.unwrap_or_else(|| anchor.to_string())),
            object_type: Some(selected.id),
            change: EntryChange::Full,
            values,
            ..more_links(anchor, links)
        }))
    }

    fn attributes(&self, object: &Object, selected: &SelectedType) -> Result<(Bag, Vec<LinkChunk>), String> {
        let (mut bag, mut links) = (Bag::new(), Vec::new());
        for attribute in &selected.attributes {
            if attribute.kind == AttributeType::Reference {
                let targets = object.targets(&attribute.name, self.settings.links_by)?;
                let mode = LinkMode::Replace { first: true, last: true };
                links.push(LinkChunk { attribute: attribute.id, mode, targets });
                continue;
            }
            let Some(values) = object.values(&attribute.name)? else { continue };
            let typed = values.into_vec().into_iter().map(|value| {
                let shown = format!("{value:?}");
                coerce(value, attribute.kind).ok_or_else(|| {
                    format!("attribute `{}`: {shown} is no {}", attribute.name, attribute.kind.as_str())
                })
            });
            bag.set(attribute.id, Values::new(typed.collect::<Result<_, _>>()?));
        }
        Ok((bag, links))
    }
}
