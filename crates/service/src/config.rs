//! A configuration: a folder of TOML files that belongs in version control.
//!
//! `onesync.toml`, `connectors/*.toml`, `rules/*.toml`, optionally `metaverse.toml`. Reading checks the form; whether
//! the rules fit the connectors is checked when they are compiled. Secrets are never in these files.

use std::collections::BTreeMap;
use std::path::Path;

use onesync_engine::{Deprovision, Limit, Limits};
use onesync_model::{Hash128, hash128};
use onesync_rules::RuleFile;
use serde::Deserialize;

use crate::error::ServiceError;
use crate::keep::{DatabaseFile, Keep};
use crate::mistakes::{place_of, toml_mistake};
use crate::profile;
use crate::runs::Step;
use crate::schedule::{Schedule, ScheduleFile};

/// No configuration needs more files.
const FILES_MAX: usize = 2_000;
/// A configuration file of more bytes is something else.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A configuration that was read and has the right form.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// The files as they are, by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// `onesync.toml`.
    pub main: MainFile,
    /// Connectors by rank, then name.
    pub connectors: Vec<ConnectorFile>,
    /// The text of `metaverse.toml`, where there is one.
    pub metaverse: Option<String>,
    /// The rules.
    pub rules: Vec<RuleFile>,
    /// What is wrong with the form of files: empty unless all mistakes were asked for at once.
    pub mistakes: Vec<String>,
    /// Connectors whose files cannot be read: name and kind, as far as they can be seen.
    pub unread: Vec<(String, String)>,
}

/// The result of looking at a configuration.
#[derive(Clone, Debug, Default)]
pub struct ConfigCheck {
    /// What is wrong or worth knowing, as a person reads it.
    pub messages: Vec<String>,
    /// How many of them are errors.
    pub errors: usize,
    /// How many of them are warnings.
    pub warnings: usize,
    /// What was found in rules, with its place.
    pub findings: Vec<onesync_rules::Diagnostic>,
    /// Connectors and rules that were read.
    pub connectors: usize,
    /// Rules that were read.
    pub rules: usize,
    /// Examples that stand beside them.
    pub examples: usize,
}

/// How a line of a message begins that says what to do.
const HINT: &str = "  hint: ";

impl ConfigCheck {
    /// With mistakes in the form of files.
    pub(crate) fn with_mistakes(mistakes: &[String]) -> Self {
        let messages =
            mistakes.iter().map(|mistake| format!("error: {mistake}\n{HINT}correct the file")).collect();
        Self { messages, errors: mistakes.len(), ..Self::default() }
    }

    /// Adds a warning.
    pub(crate) fn warning(&mut self, message: String) {
        self.warnings += 1;
        self.messages.push(format!("warning: {message}"));
    }

    /// Adds an error with its remedy.
    pub(crate) fn error_of(&mut self, error: &ServiceError) {
        self.errors += 1;
        let hint = error.hint().map_or_else(String::new, |hint| format!("\n{HINT}{hint}"));
        self.messages.push(format!("error: {error}{hint}"));
    }

    /// What stands in the way, as an error; notes and warnings are for `config check`. Each remedy is said once.
    #[must_use]
    pub fn error(&self) -> Option<ServiceError> {
        let mut hints: Vec<&str> = Vec::new();
        let mut texts: Vec<String> = Vec::new();
        for message in self.messages.iter().filter(|message| message.starts_with("error")) {
            let (told, lines): (Vec<&str>, Vec<&str>) =
                message.trim_end().lines().partition(|line| line.starts_with(HINT));
            for hint in told.into_iter().filter_map(|line| line.strip_prefix(HINT)) {
                if !hints.contains(&hint) {
                    hints.push(hint);
                }
            }
            texts.push(lines.join("\n"));
        }
        let text = texts.join("\n\n");
        let hint = match hints.is_empty() {
            true => "correct the files; nothing was changed".to_owned(),
            false => hints.join("; "),
        };
        (self.errors > 0).then(|| ServiceError::config(text.strip_prefix("error: ").unwrap_or(&text), hint))
    }
}

/// `onesync.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MainFile {
    /// A name for people.
    #[serde(default)]
    pub name: String,
    /// Attributes by which people search in the metaverse, beside those that rules join on.
    #[serde(default)]
    pub search: Vec<String>,
    /// What ties a cloud object to its source object for ever.
    #[serde(default)]
    pub source_anchor: SourceAnchor,
    /// When cycles run by themselves.
    #[serde(default)]
    pub schedule: ScheduleFile,
    /// What the database may take, and how long what happened is kept.
    #[serde(default)]
    pub database: DatabaseFile,
}

/// The definition of the source anchor: `%SourceAnchor%` in rules.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum SourceAnchor {
    /// `mS-DS-ConsistencyGuid` where it is present, else `objectGUID`.
    #[default]
    ConsistencyGuid,
    /// `objectGUID`.
    ObjectGuid,
    /// The one that the tenant's immutable ids were made with: found out at the first synchronisation.
    Tenant,
}

impl SourceAnchor {
    /// The word in configuration files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsistencyGuid => "consistency-guid",
            Self::ObjectGuid => "object-guid",
            Self::Tenant => "tenant",
        }
    }
}

/// One file below `connectors/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectorFile {
    /// Which file it is, for messages.
    #[serde(skip)]
    pub path: String,
    /// The file as it is, for messages.
    #[serde(skip)]
    pub text: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Decides between rules of one precedence.
    pub rank: u32,
    /// Values for `%Name%` in rules.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// What becomes of the join of an object that leaves the scope of all rules.
    #[serde(default)]
    pub out_of_scope: OutOfScope,
    /// Attributes to read beside those that rules use.
    #[serde(default)]
    pub attributes: Vec<String>,
    /// Attributes by which people search.
    #[serde(default)]
    pub search: Vec<String>,
    /// Decisions by object type.
    #[serde(default)]
    pub types: BTreeMap<String, TypeFile>,
    /// Who may be written there; everybody else is computed and shown.
    pub pilot: Option<PilotFile>,
    /// Attributes other than the source anchor by which existing accounts are adopted.
    #[serde(default)]
    pub adopt_by: Vec<String>,
    /// Run profiles: named lists of steps.
    #[serde(default)]
    pub profiles: BTreeMap<String, Vec<Step>>,
    /// What the kind needs.
    #[serde(default)]
    pub settings: toml::Table,
    /// How much may be missing in a full import before it is suspect, in percent of what was known.
    #[serde(default = "default_suspect_percent")]
    pub suspect_percent: u64,
    /// How few missing objects are never suspect.
    #[serde(default = "default_suspect_at_least")]
    pub suspect_at_least: u64,
}

fn default_suspect_percent() -> u64 {
    30
}

fn default_suspect_at_least() -> u64 {
    20
}

/// A pilot as written: a group or a list of people.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct PilotFile {
    /// The group: its members and itself.
    pub group: Option<String>,
    /// People (or other objects), by name.
    #[serde(default)]
    pub people: Vec<String>,
}

/// What becomes of the join of an object that leaves the scope of all rules.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum OutOfScope {
    /// It is given up.
    #[default]
    Disconnect,
    /// It stays, without flow.
    Stay,
}

/// Decisions about one object type.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeFile {
    /// `disconnect`, `disable`, `disable-then-delete`, `delete`.
    pub deprovision: Option<String>,
    /// The grace time before a deletion: `30d`, `12h`, `0`.
    pub grace: Option<String>,
    /// Limits of the protections.
    pub limits: Option<LimitsFile>,
}

/// Limits as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsFile {
    /// Per run and per 24 hours.
    pub day: Option<LimitFile>,
    /// Per 7 days.
    pub week: Option<LimitFile>,
    /// Objects with the same error.
    pub errors: Option<LimitFile>,
}

/// One limit as written.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitFile {
    /// At most so many.
    pub count: u64,
    /// At most so many percent.
    pub percent: u64,
    /// But always so many.
    pub at_least: u64,
}

impl ConnectorFile {
    /// Where a key stands: file, line, column.
    pub(crate) fn place_of(&self, keys: &[&str]) -> String {
        place_of(&self.path, &self.text, keys)
    }
}

impl From<LimitFile> for Limit {
    fn from(file: LimitFile) -> Self {
        Self { count: file.count, percent: file.percent, at_least: file.at_least }
    }
}

impl TypeFile {
    /// What happens to objects that leave; `default` where nothing is said.
    ///
    /// # Errors
    /// When the words are not known.
    pub fn deprovision(&self, default: Deprovision) -> Result<Deprovision, String> {
        let grace = self.grace.as_deref().map(parse_duration).transpose()?;
        let seconds = |fallback: i64| grace.unwrap_or(fallback);
        Ok(match self.deprovision.as_deref() {
            None => match (default, grace) {
                (Deprovision::DisableThenDelete { .. }, Some(after_seconds)) => {
                    Deprovision::DisableThenDelete { after_seconds }
                }
                (other, None) => other,
                (_, Some(_)) => {
                    return Err(
                        "`grace` needs `deprovision = \"delete\"` or `\"disable-then-delete\"` beside it"
                            .into(),
                    );
                }
            },
            Some("disconnect") => Deprovision::Disconnect,
            Some("disable") => Deprovision::Disable,
            Some("disable-then-delete") => {
                Deprovision::DisableThenDelete { after_seconds: seconds(GRACE_SECONDS) }
            }
            Some("delete") => Deprovision::Delete { after_seconds: seconds(0) },
            Some(other) => {
                return Err(format!(
                    "`{other}` is no way to deprovision: write disconnect, disable, disable-then-delete or delete"
                ));
            }
        })
    }

    /// The limits of the protections.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let file = self.limits.clone().unwrap_or_default();
        let default = Limits::default();
        Limits {
            day: file.day.map_or(default.day, Limit::from),
            week: file.week.map_or(default.week, Limit::from),
            errors: file.errors.map_or(default.errors, Limit::from),
        }
    }
}

/// The text of a key at the begin of a line, in a file that cannot be read as a whole.
fn seen_in(text: &str, key: &str) -> String {
    let values = text.lines().filter_map(|line| {
        line.strip_prefix(key)?
            .trim_start()
            .strip_prefix('=')?
            .trim_start()
            .strip_prefix('"')?
            .split('"')
            .next()
    });
    values.map(str::to_owned).next().unwrap_or_default()
}

/// The grace time between disabling and deleting a person who leaves: 30 days, as long as the cloud's recycle bin.
pub(crate) const GRACE_SECONDS: i64 = 30 * 86_400;

/// Seconds of a hundred years: what is counted back from now by so much, or forth, is still a time.
const DURATION_MAX: i64 = 36_500 * 86_400;

/// Reads `30d`, `12h`, `90m`, `45s`, `0`.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let bad = || format!("`{text}` is no duration: write e.g. 30d, 12h, 90m, 45s or 0");
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: i64 = number.parse().map_err(|_| bad())?;
    let factor = match unit {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        "" if number == 0 => 1,
        _ => return Err(bad()),
    };
    let seconds = number.checked_mul(factor).ok_or_else(bad)?;
    match seconds <= DURATION_MAX {
        true => Ok(seconds),
        false => Err(format!("`{text}` is longer than a hundred years: write at most 36500d")),
    }
}

/// Reads the files of a folder: what lies elsewhere, and hidden files, are not part of a configuration.
///
/// # Errors
/// When the folder or a file cannot be read, or is far too large.
pub fn read_folder(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, ServiceError> {
    let mut files = BTreeMap::new();
    let file_error = |path: &Path, source| ServiceError::File { place: path.display().to_string(), source };
    for name in ["onesync.toml", "metaverse.toml"] {
        let path = folder.join(name);
        if path.is_file() {
            files.insert(name.to_owned(), std::fs::read(&path).map_err(|e| file_error(&path, e))?);
        }
    }
    if !files.contains_key("onesync.toml") {
        return Err(ServiceError::config(
            format!("{} has no `onesync.toml`", folder.display()),
            "name the folder of a configuration, or make one with `onesync config init FOLDER`",
        ));
    }
    for part in ["connectors", "rules"] {
        let path = folder.join(part);
        if !path.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&path).map_err(|e| file_error(&path, e))? {
            let entry = entry.map_err(|e| file_error(&path, e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || !name.ends_with(".toml") {
                continue;
            }
            let size = entry.metadata().map_err(|e| file_error(&entry.path(), e))?.len();
            if size > FILE_BYTES_MAX || files.len() >= FILES_MAX {
                return Err(ServiceError::config(
                    format!(
                        "{} is too large, or there are more than {FILES_MAX} files",
                        entry.path().display()
                    ),
                    "is this the folder of a configuration?",
                ));
            }
            files.insert(
                format!("{part}/{name}"),
                std::fs::read(entry.path()).map_err(|e| file_error(&entry.path(), e))?,
            );
        }
    }
    Ok(files)
}

impl Configuration {
    /// Reads the form of a configuration.
    ///
    /// # Errors
    /// With a message that names file, line and column of every mistake.
    pub fn parse(files: BTreeMap<String, Vec<u8>>) -> Result<Self, ServiceError> {
        let out = Self::parse_all(files);
        if out.mistakes.is_empty() {
            return Ok(out);
        }
        Err(ServiceError::config(
            out.mistakes.join("\n"),
            "correct the files named above; nothing was changed",
        ))
    }

    /// Reads the form of a configuration as far as it can be read, with all mistakes: only for looking at it.
    #[must_use]
    pub fn parse_all(files: BTreeMap<String, Vec<u8>>) -> Self {
        let mut out = Self::default();
        let mut mistakes = Vec::new();
        for (path, bytes) in &files {
            let Ok(text) = String::from_utf8(bytes.clone()) else {
                mistakes.push(format!("{path}: is not UTF-8 text"));
                continue;
            };
            match path.split_once('/') {
                None if path == "onesync.toml" => match toml::from_str(&text) {
                    Ok(main) => {
                        out.main = main;
                        if let Err((key, message)) = Keep::read(&out.main.database) {
                            let place = place_of(path, &text, &["database", key]);
                            mistakes.push(format!("{place}: {message}"));
                        }
                        if let Err((key, message)) = Schedule::read(&out.main.schedule) {
                            let place = place_of(path, &text, &["schedule", key]);
                            mistakes.push(format!("{place}: {message}"));
                        }
                    }
                    Err(error) => mistakes.push(toml_mistake(path, &text, &error)),
                },
                None => out.metaverse = Some(text),
                Some(("connectors", _)) => match toml::from_str::<ConnectorFile>(&text) {
                    Ok(connector) => {
                        out.connectors.push(ConnectorFile { path: path.clone(), text, ..connector });
                    }
                    Err(error) => {
                        mistakes.push(toml_mistake(path, &text, &error));
                        out.unread.push((seen_in(&text, "name"), seen_in(&text, "kind")));
                    }
                },
                Some(_) => out.rules.push(RuleFile { path: path.clone(), text }),
            }
        }
        let (mut names, mut ranks) = (BTreeMap::new(), BTreeMap::new());
        for connector in &out.connectors {
            for (name, message) in profile::mistakes(connector) {
                mistakes.push(format!("{}: {message}", connector.place_of(&["profiles", name])));
            }
            let mut wrong = |key: &str, message: String| {
                mistakes.push(format!("{}: {message}", connector.place_of(&[key])));
            };
            if let Some(other) = names.insert(connector.name.to_lowercase(), &connector.path) {
                wrong(
                    "name",
                    format!("`{}` is the name of the connector in {other}, too: rename one", connector.name),
                );
            }
            if let Some(other) = ranks.insert(connector.rank, &connector.path) {
                wrong(
                    "rank",
                    format!(
                        "{} is the rank of the connector in {other}, too: ranks are unique, give one another number",
                        connector.rank
                    ),
                );
            }
            if connector.name.trim().is_empty() {
                wrong("name", "the name is empty".to_owned());
            }
            if connector.suspect_percent > 100 {
                wrong("suspect_percent", "at most 100 percent can be missing".to_owned());
            }
        }
        out.connectors.sort_by(|a, b| (a.rank, &a.name).cmp(&(b.rank, &b.name)));
        (out.files, out.mistakes) = (files, mistakes);
        out
    }

    /// The hash that tells versions apart.
    #[must_use]
    pub fn hash(&self) -> Hash128 {
        self.files
            .iter()
            .fold(Hash128::default(), |sum, (path, bytes)| sum.plus(hash128(&[path.as_bytes(), bytes])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_or_refused() {
        assert_eq!(parse_duration("30d"), Ok(2_592_000));
        assert_eq!(parse_duration("0"), Ok(0));
        for bad in ["", "d", "30", "1y", "-1d", "99999999999999999d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mistakes_name_file_line_and_column() {
        let files = BTreeMap::from([
            ("onesync.toml".to_owned(), b"name = \"x\"\n".to_vec()),
            ("connectors/a.toml".to_owned(), b"name = \"a\"\nkind = \"ad\"\nrank = 1\ncolour = 3\n".to_vec()),
        ]);
        let error = Configuration::parse(files).unwrap_err().to_string();
        assert!(error.contains("connectors/a.toml:4:1") && error.contains("colour"), "{error}");
    }
}
