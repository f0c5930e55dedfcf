//! From files to one export: which form they have, what belongs together, what is missing.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits::{FILES_MAX, MISTAKES_MAX};
use crate::model::{BY_NAME, CLOUD_CONNECTOR, Form, guid};
use crate::text::decode;
use crate::xml::Xml;
use crate::{Connector, ConnectorKind, Export, Mistake, Rule, order, powershell, xml};

/// One file of an export.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its name, for messages.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// What somebody says about a connector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectorName {
    /// Its GUID.
    pub id: String,
    /// Its name here.
    pub name: String,
}

impl ConnectorName {
    /// Reads `GUID=NAME`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not GUID=NAME");
        let (id, name) = text.split_once('=').ok_or_else(wrong)?;
        let (id, name) = (guid(id).ok_or_else(wrong)?, name.trim().to_owned());
        if name.is_empty() { Err(wrong()) } else { Ok(Self { id, name }) }
    }
}

/// Reads the files of an export. `names` tells connectors that are known by their GUID only, and renames others.
///
/// # Errors
/// With everything that is not of the form of an export, and connectors that nobody named.
pub fn read(files: &[SourceFile], names: &[ConnectorName]) -> Result<Export, Vec<Mistake>> {
    if files.len() > FILES_MAX {
        let text = format!("{} files, more than the {FILES_MAX} of any export", files.len());
        return Err(vec![Mistake::whole("the folder", text).hint("name the folder of one export")]);
    }
    let mut reader = Reader::default();
    let mut sorted: Vec<&SourceFile> = files.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    for file in sorted {
        if reader.mistakes.len() >= MISTAKES_MAX {
            break;
        }
        reader.file(file);
    }
    if reader.mistakes.is_empty() && reader.export.rules.is_empty() {
        let hint = "an export has SynchronizationRules/*.xml, or scripts with `New-ADSyncRule`";
        reader.mistakes.push(Mistake::whole("the export", "no rule was found").hint(hint));
    }
    if reader.mistakes.is_empty() {
        reader.connectors(names);
    }
    if !reader.mistakes.is_empty() {
        return Err(reader.mistakes);
    }
    let mut export = reader.export;
    order::settle(&mut export.rules, &mut export.remarks);
    for (id, file) in reader.rule_ids {
        export.remarks.push(format!("{file}: the rule {id} is in the export twice; both were read"));
    }
    Ok(export)
}

#[derive(Default)]
struct Reader {
    export: Export,
    mistakes: Vec<Mistake>,
    seen_rules: BTreeSet<String>,
    /// Rules that are there twice, with the file of the second.
    rule_ids: Vec<(String, String)>,
}

impl Reader {
    fn file(&mut self, file: &SourceFile) {
        let text = match decode(&file.path, &file.bytes) {
            Ok(text) => text,
            Err(mistake) => return self.mistakes.push(mistake),
        };
        let begin = text.trim_start_matches('\u{feff}').trim_start();
        if begin.is_empty() {
            self.export.remarks.push(format!("{}: the file is empty", file.path));
        } else if begin.starts_with('<') && !begin.starts_with("<#") {
            if let Err(mistake) = self.xml(&file.path, begin, &text) {
                self.mistakes.push(mistake);
            }
        } else if begin.starts_with('{') && text.contains("SynchronizationRules\"") {
            let text = "these are settings as the assistant exports them (JSON): they name the shipped rules, without what is in them";
            self.mistakes.push(Mistake::whole(&file.path, text).hint(
                "export the whole configuration with `Get-ADSyncServerConfiguration -Path FOLDER`, or all rules with the editor's Export",
            ));
        } else if has_commands(&text) {
            match powershell::rules(&file.path, &text, &mut self.export.remarks) {
                Ok(rules) => {
                    if self.export.connectors.is_empty() && self.export.metaverse.is_none() {
                        self.export.form = Form::Scripts;
                    }
                    rules.into_iter().for_each(|rule| self.rule(rule));
                }
                Err(found) => self.mistakes.extend(found.into_iter().take(MISTAKES_MAX)),
            }
        } else {
            self.export.remarks.push(format!("{}: no part of an export, not read", file.path));
        }
    }

    fn xml(&mut self, path: &str, begin: &str, text: &str) -> Result<(), Mistake> {
        // Places are those of the whole text: what stands before the first `<` is white space.
        let text = if text.starts_with('\u{feff}') { begin } else { text.trim_start_matches([' ', '\t']) };
        let document = Xml::parse(path, if begin.starts_with("<?xml") { begin } else { text })?;
        let root = document.root();
        match root.name() {
            "synchronizationRule" => {
                let rule = xml::rule(root, &mut self.export.remarks)?;
                self.rule(rule);
            }
            "synchronizationRules" => {
                for child in root.named("synchronizationRule") {
                    let rule = xml::rule(child, &mut self.export.remarks)?;
                    self.rule(rule);
                }
            }
            "ma-data" | "saved-ma-configuration" => {
                self.export.connectors.push(xml::connector(root, &mut self.export.remarks)?);
                self.export.form = Form::Folder;
            }
            "saved-mv-configuration" => {
                let (metaverse, parameters) = xml::metaverse(root, &mut self.export.remarks)?;
                self.export.metaverse = Some(metaverse);
                self.export.parameters = parameters;
                self.export.form = Form::Folder;
            }
            other => self.export.remarks.push(format!("{path}: `{other}` is no part of an export, not read")),
        }
        Ok(())
    }

    fn rule(&mut self, rule: Rule) {
        if !rule.id.is_empty() && !self.seen_rules.insert(rule.id.clone()) {
            self.rule_ids.push((rule.id.clone(), rule.place.0.clone()));
        }
        self.export.rules.push(rule);
    }

    /// Names the connectors, and makes those of which the export has no file.
    fn connectors(&mut self, names: &[ConnectorName]) {
        let mut named: BTreeMap<&str, &str> =
            names.iter().map(|n| (n.id.as_str(), n.name.as_str())).collect();
        for connector in &mut self.export.connectors {
            if let Some(name) = named.remove(connector.id.as_str()) {
                name.clone_into(&mut connector.name);
            }
        }
        for rule in &mut self.export.rules {
            let Some(name) = rule.connector.strip_prefix(BY_NAME) else { continue };
            let of_files = self.export.connectors.iter().map(|c| (&c.id, &c.name));
            let mut all = of_files.chain(names.iter().map(|n| (&n.id, &n.name)));
            if let Some((id, _)) = all.find(|(_, known)| known.eq_ignore_ascii_case(name)) {
                rule.connector.clone_from(id);
            }
        }
        let known: BTreeSet<String> = self.export.connectors.iter().map(|c| c.id.clone()).collect();
        let mut missing: BTreeMap<String, Vec<&Rule>> = BTreeMap::new();
        for rule in self.export.rules.iter().filter(|rule| !known.contains(&rule.connector)) {
            missing.entry(rule.connector.clone()).or_default().push(rule);
        }
        let mut unnamed = Vec::new();
        let mut made = Vec::new();
        for (id, rules) in missing {
            let kind = kind(&id, &rules);
            let name = match (named.remove(id.as_str()), &kind) {
                (Some(name), _) => name.to_owned(),
                (None, ConnectorKind::Cloud) if id == CLOUD_CONNECTOR => "entra".to_owned(),
                (None, _) if id.starts_with(BY_NAME) => id.replacen(BY_NAME, "", 1),
                _ => {
                    let first = rules.first().map(|rule| rule.name.as_str()).unwrap_or_default();
                    unnamed.push(format!("{id} ({} rules, e.g. `{first}`)", rules.len()));
                    continue;
                }
            };
            made.push(bare(id, name, kind));
        }
        if !unnamed.is_empty() {
            let options: Vec<String> = unnamed
                .iter()
                .map(|text| format!("--connector {}=NAME", text.split(' ').next().unwrap_or_default()))
                .collect();
            self.mistakes.push(
                Mistake::whole(
                    "the export",
                    format!("its rules name connectors by GUID only: {}", unnamed.join(", ")),
                )
                .hint(format!("say which each one is: {}", options.join(" "))),
            );
        }
        for (id, name) in named {
            self.export.remarks.push(format!("no rule and no file is of the connector {id} (`{name}`)"));
        }
        self.export.connectors.extend(made);
        self.export.connectors.sort_by(|a, b| (&a.created, &a.name).cmp(&(&b.created, &b.name)));
        let mut seen = BTreeSet::new();
        for connector in &self.export.connectors {
            if !seen.insert(connector.name.to_lowercase()) {
                self.mistakes.push(
                    Mistake::whole("the export", format!("two connectors are named `{}`", connector.name))
                        .hint("give one another name: --connector GUID=NAME"),
                );
            }
        }
    }
}

/// Whether a script is one of ours: the licence beside an export is a text, too.
fn has_commands(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["adsyncrule", "adsyncattributeflowmapping", "new-object"].iter().any(|word| lower.contains(word))
}

/// What a connector connects, as its rules tell: the tenant has one id everywhere, and other object types than a forest.
fn kind(id: &str, rules: &[&Rule]) -> ConnectorKind {
    let says = |word: &str| rules.iter().filter(|rule| rule.name.contains(word)).count();
    if id == CLOUD_CONNECTOR || says(" AAD ") + says(" Entra ") > rules.len() / 2 {
        ConnectorKind::Cloud
    } else {
        ConnectorKind::ActiveDirectory
    }
}

fn bare(id: String, name: String, kind: ConnectorKind) -> Connector {
    Connector {
        id,
        name,
        kind,
        account: None,
        secrets: Vec::new(),
        parameters: BTreeMap::new(),
        attributes: Vec::new(),
        schema: BTreeMap::new(),
        domains: Vec::new(),
        profiles: Vec::new(),
        password_sync: false,
        created: String::new(),
    }
}
