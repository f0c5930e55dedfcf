//! `config import-aadconnect`: an exported configuration of Azure AD Connect becomes one of ours.
//!
//! What is written is compiled like any configuration: a part of a rule that the compiler refuses is left out, with
//! the compiler's own words in the report, until nothing is refused any more. Nothing is contacted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use onesync_aadconnect as original;
use onesync_connectors::{DiscoveredSchema, ad_schema};
use onesync_expr::{Context, Kind, Types};
use onesync_model::{AttributeType, Names, Schema};
use onesync_rules::Severity;

use crate::compile::{Known, compile, intern_schema};
use crate::config::{ConfigCheck, Configuration, ConnectorFile, SourceAnchor};
use crate::discover::Reach;
use crate::error::ServiceError;
use crate::kinds::{self, Workshop};

/// Folders below each other: an export has two.
const DEPTH_MAX: usize = 6;
/// How often parts are left out before it is given up: each time at least one is.
const ROUNDS_MAX: usize = 40;
/// What is read of a folder.
const EXTENSIONS: [&str; 5] = ["xml", "ps1", "psm1", "txt", "json"];

/// What became of an export.
#[derive(Debug)]
pub struct AadConnectImport {
    /// The files of the configuration, and the report in both forms.
    pub files: BTreeMap<String, String>,
    /// The report.
    pub report: original::Report,
    /// What the check of the configuration says.
    pub check: ConfigCheck,
}

/// Reads an export, a folder or one file, and makes a configuration of it. `names` are `GUID=NAME`.
///
/// # Errors
/// When the export cannot be read, is of another form, or names connectors that nobody named.
pub async fn import_aadconnect(source: &Path, names: &[String]) -> Result<AadConnectImport, ServiceError> {
    let names = names
        .iter()
        .map(|text| original::ConnectorName::parse(text))
        .collect::<Result<Vec<_>, String>>()
        .map_err(|text| {
            ServiceError::usage(
                text,
                "write e.g. --connector 11111111-2222-3333-4444-555555555555=contoso.com",
            )
        })?;
    let mut files = Vec::new();
    if source.is_dir() {
        collect(source, source, 0, &mut files)?;
    } else {
        files.push(read_file(source, source, original::FILE_BYTES_MAX)?);
    }
    let export = original::read(&files, &names).map_err(|mistakes| {
        let text: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        ServiceError::config(text.join("\n"), "nothing was written")
    })?;
    let mut ground = Ground::new().await?;
    let mut dropped: Vec<original::Dropped> = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let written = ground.write(&export, &dropped);
        let (check, refused) = check(&written).await?;
        let before = dropped.len();
        for part in refused {
            if !dropped.iter().any(|known| known.rule == part.rule && known.part == part.part) {
                dropped.push(part);
            }
        }
        if check.errors == 0 || dropped.len() == before {
            return finish(written, check);
        }
    }
    Err(ServiceError::config(
        "the export has too many rules that cannot be carried",
        "report the export's form",
    ))
}

fn finish(written: original::Written, check: ConfigCheck) -> Result<AadConnectImport, ServiceError> {
    let mut files = written.files;
    files.insert("import-report.txt".to_owned(), written.report.to_text());
    let json = serde_json::to_string_pretty(&written.report)
        .map_err(|error| ServiceError::config(error.to_string(), "this is a mistake of ours: report it"))?;
    files.insert("import-report.json".to_owned(), json + "\n");
    Ok(AadConnectImport { files, report: written.report, check })
}

fn collect(
    root: &Path,
    folder: &Path,
    depth: usize,
    out: &mut Vec<original::SourceFile>,
) -> Result<(), ServiceError> {
    let failed = |path: &Path, source| ServiceError::File { place: path.display().to_string(), source };
    let mut entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| failed(folder, e))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            if depth < DEPTH_MAX {
                collect(root, &path, depth + 1, out)?;
            }
            continue;
        }
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        if !EXTENSIONS.contains(&extension.as_str()) {
            continue;
        }
        if out.len() >= original::FILES_MAX {
            return Err(ServiceError::config(
                format!("{} has more than {} files", root.display(), original::FILES_MAX),
                "name the folder of one export",
            ));
        }
        let read: usize = out.iter().map(|file| file.bytes.len()).sum();
        let room = original::EXPORT_BYTES_MAX.saturating_sub(read).min(original::FILE_BYTES_MAX);
        out.push(read_file(root, &path, room)?);
    }
    Ok(())
}

/// Reads a file of at most `room` bytes. What it is and its length are looked at first: a pipe would never end.
fn read_file(root: &Path, path: &Path, room: usize) -> Result<original::SourceFile, ServiceError> {
    let failed = |source| ServiceError::File { place: path.display().to_string(), source };
    let known = std::fs::metadata(path).map_err(failed)?;
    if !known.is_file() {
        return Err(ServiceError::config(
            format!("{} is no file", path.display()),
            "name the folder or the file of an export",
        ));
    }
    let room = room as u64;
    let mut bytes = Vec::new();
    if known.len() <= room {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(room + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if known.len().max(bytes.len() as u64) > room {
        return Err(ServiceError::config(
            format!("{} is too large", path.display()),
            format!(
                "a file of an export has at most {} bytes, all together have at most {}: name the folder of one export",
                original::FILE_BYTES_MAX,
                original::EXPORT_BYTES_MAX
            ),
        ));
    }
    let shown = path.strip_prefix(root).ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(path);
    Ok(original::SourceFile { path: shown.display().to_string(), bytes })
}

/// What our connectors can hold, and the shipped metaverse.
struct Ground {
    active_directory: original::Directory,
    cloud: original::Directory,
    metaverse: original::Metaverse,
    names: Names,
    ad_schema: Schema,
    mv_schema: Schema,
}

impl Ground {
    async fn new() -> Result<Self, ServiceError> {
        let mut names = Names::new();
        let ad =
            schema_of("ad", "url = \"ldaps://dc\"\nbind = \"a@b\"\npassword = \"p\"", &mut names).await?;
        let guid = "00000000-0000-0000-0000-000000000000";
        let settings =
            format!("tenant = \"t\"\nclient_id = \"{guid}\"\nsecret = \"s\"\nnames = \"entra-connect\"");
        let cloud = schema_of("graph", &settings, &mut names).await?;
        let mut active_directory = directory(&ad);
        active_directory.never_read = ad_schema::attributes()
            .map(|attribute| attribute.name.to_lowercase())
            .filter(|name| !active_directory.attributes.contains_key(name))
            .collect();
        let wrong = |found: Vec<onesync_rules::Diagnostic>| {
            let text = found.first().map(|d| d.message.clone()).unwrap_or_default();
            ServiceError::config(text, "this is a mistake of ours: report it")
        };
        let mv_schema = onesync_rules::read_metaverse(onesync_rules::METAVERSE, &mut names).map_err(wrong)?;
        let indexed =
            onesync_rules::read_metaverse_index(onesync_rules::METAVERSE, &mut names).map_err(wrong)?;
        let ad_schema = intern_schema(&ad, &mut names);
        let metaverse = original::Metaverse {
            attributes: mv_schema
                .attributes
                .iter()
                .map(|(id, def)| {
                    let attribute = original::MetaverseAttribute {
                        name: def.name.clone(),
                        kind: def.kind,
                        multi: def.multi,
                        indexed: indexed.contains(id),
                    };
                    (def.name.to_lowercase(), attribute)
                })
                .collect(),
            types: mv_schema
                .types
                .values()
                .map(|def| {
                    let attributes = def.attributes.iter().map(|&id| names.name(id).to_lowercase());
                    (def.name.clone(), attributes.collect())
                })
                .collect(),
        };
        Ok(Self { active_directory, cloud: directory(&cloud), metaverse, names, ad_schema, mv_schema })
    }

    fn write(&mut self, export: &original::Export, dropped: &[original::Dropped]) -> original::Written {
        let names = std::cell::RefCell::new(&mut self.names);
        let (ad, mv) = (&self.ad_schema, &self.mv_schema);
        let type_of = |text: &str, inbound: bool| {
            let (kind, schema) = if inbound { (Kind::Inbound, ad) } else { (Kind::Outbound, mv) };
            let mut names = names.borrow_mut();
            let mut context = Context { names: &mut names, schema: Some(schema), kind };
            let types = onesync_expr::compile(text, &mut context).ok()?.types();
            let mut possible = KINDS.into_iter().filter(|&kind| types.may_be(Types::of(kind)));
            let only = possible.next()?;
            possible.next().is_none().then_some(only)
        };
        original::write(
            export,
            &original::Ground {
                active_directory: &self.active_directory,
                cloud: &self.cloud,
                metaverse: &self.metaverse,
                type_of: &type_of,
                dropped,
            },
        )
    }
}

/// References are text to expressions: links are told apart by the schema.
const KINDS: [AttributeType; 5] = [
    AttributeType::String,
    AttributeType::Integer,
    AttributeType::Boolean,
    AttributeType::Binary,
    AttributeType::Time,
];

async fn schema_of(kind: &str, settings: &str, names: &mut Names) -> Result<DiscoveredSchema, ServiceError> {
    let text = format!("name = \"{kind}\"\nkind = \"{kind}\"\nrank = 1\n[settings]\n{settings}\n");
    let file: ConnectorFile = toml::from_str(&text)
        .map_err(|error| ServiceError::config(error.to_string(), "this is a mistake of ours: report it"))?;
    let file = ConnectorFile { path: format!("connectors/{kind}.toml"), text, ..file };
    let workshop = Workshop { folder: Path::new("."), more: None };
    let connector = kinds::make(&file, workshop, &BTreeMap::new(), names)?;
    connector.schema().await.map_err(|error| ServiceError::connector(kind, error))
}

fn directory(schema: &DiscoveredSchema) -> original::Directory {
    let lower = |list: &[String]| list.iter().map(|name| name.to_lowercase()).collect::<BTreeSet<_>>();
    let read_only: Vec<String> =
        schema.attributes.iter().filter(|a| a.read_only).map(|a| a.name.clone()).collect();
    original::Directory {
        types: schema
            .types
            .iter()
            .map(|def| {
                let mut of_type = lower(&def.read_only);
                of_type.extend(lower(&read_only));
                let known = original::DirectoryType { writable: def.writable, read_only: of_type };
                (def.name.to_lowercase(), known)
            })
            .collect(),
        attributes: schema
            .attributes
            .iter()
            .map(|a| (a.name.to_lowercase(), original::DirectoryAttribute { kind: a.kind, multi: a.multi }))
            .collect(),
        never_read: BTreeSet::new(),
    }
}

/// Compiles what was written, and says which parts of rules stand in the way.
async fn check(written: &original::Written) -> Result<(ConfigCheck, Vec<original::Dropped>), ServiceError> {
    let files = written
        .files
        .iter()
        .filter(|(path, _)| !path.starts_with("not-carried/"))
        .map(|(path, text)| (path.clone(), text.clone().into_bytes()))
        .collect();
    let known = Known {
        names: Vec::new(),
        connectors: Vec::new(),
        rules: Vec::new(),
        secrets: BTreeMap::new(),
        closed: Vec::new(),
        source_anchor: SourceAnchor::default(),
        schemas: BTreeMap::new(),
    };
    let workshop = Workshop { folder: Path::new("."), more: None };
    let compiled = compile(Configuration::parse(files)?, 0, known, workshop, Reach::Now).await?;
    let refused = compiled.check.findings.iter().filter(|found| found.severity == Severity::Error);
    let refused = refused.filter_map(|found| {
        let of_file = written.places.iter().filter(|place| place.path == found.file);
        let place = of_file.clone().find(|place| place.lines.contains(&found.line));
        let place = place.or_else(|| of_file.clone().next())?;
        let hint = found.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        Some(original::Dropped {
            rule: place.rule,
            part: place.part,
            reason: format!("{}{hint}", found.message),
        })
    });
    let refused = refused.collect();
    Ok((compiled.check, refused))
}
