//! The suite that every connector passes: what the contract promises, tried on a directory that a test can fill.
//!
//! A test gives a connector and a [`DirectoryDriver`], which fills the directory through a side door, and asks for
//! the [`Report`]. Parts that a connector cannot do are skipped by its capabilities, and named. Deliberately absent:
//! what is special to one kind of directory.

mod exports;
mod imports;
mod observed;

use std::fmt;

use async_trait::async_trait;
use onesync_model::{AttrId, Value, Values};

use super::{Connector, SelectedAttribute, SelectedType, Selection, Severity};

/// A directory that a test can fill without the connector.
#[async_trait]
pub trait DirectoryDriver: Sync {
    /// Which types and attributes the suite uses.
    fn shape(&self) -> Shape;

    /// Makes the directory hold exactly these objects of the shape's types, changing no more than needed.
    async fn hold(&self, objects: &[TestObject]);

    /// The key under which a connector creates an object of this name.
    fn create_key(&self, name: &str) -> String {
        name.to_owned()
    }

    /// The values with which an object is created.
    fn create_values(&self, object: &TestObject) -> Vec<(AttrId, Option<Values>)> {
        let shape = self.shape();
        vec![(shape.text(object.is_group).id, Some(Values::one(Value::string(&object.text))))]
    }

    /// Renames the container in which all objects lie; `false` where there is none.
    async fn rename_container(&self) -> bool {
        false
    }

    /// Lets the next exported item be written without an answer; `false` where that cannot be arranged.
    async fn lose_next_answer(&self) -> bool {
        false
    }
}

/// The types and attributes that the suite uses.
#[derive(Clone, Debug)]
pub struct Shape {
    /// What is selected: at least the types and attributes below.
    pub selection: Selection,
    /// A type without members.
    pub person: String,
    /// A type with members.
    pub group: String,
    /// An attribute of both types that holds one text.
    pub text: String,
    /// The link attribute of the group's members.
    pub member: String,
}

impl Shape {
    pub(super) fn type_of(&self, is_group: bool) -> &SelectedType {
        let name = if is_group { &self.group } else { &self.person };
        find(&self.selection.types, |selected| selected.name == *name, name)
    }

    pub(super) fn text(&self, is_group: bool) -> &SelectedAttribute {
        find(&self.type_of(is_group).attributes, |attribute| attribute.name == self.text, &self.text)
    }

    pub(super) fn member(&self) -> &SelectedAttribute {
        find(&self.type_of(true).attributes, |attribute| attribute.name == self.member, &self.member)
    }
}

/// Finds what a driver promised to select.
#[allow(clippy::expect_used, reason = "a wrong driver is a wrong test: it must stop at once")]
fn find<'a, T>(all: &'a [T], wanted: impl Fn(&T) -> bool, name: &str) -> &'a T {
    all.iter()
        .find(|one| wanted(one))
        .ok_or(name)
        .expect("the driver's selection has everything its shape names")
}

/// One object that a directory is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestObject {
    /// What the driver knows it by; never changes.
    pub name: String,
    /// The value of its text attribute; different for every object, so that the suite recognises it.
    pub text: String,
    /// Whether it is a group.
    pub is_group: bool,
    /// The names of its members.
    pub members: Vec<String>,
}

impl TestObject {
    /// A person.
    #[must_use]
    pub fn person(name: &str) -> Self {
        Self { name: name.to_owned(), text: format!("text of {name}"), is_group: false, members: Vec::new() }
    }

    /// A group.
    #[must_use]
    pub fn group(name: &str, members: &[&str]) -> Self {
        let members = members.iter().map(|&member| member.to_owned()).collect();
        Self { is_group: true, members, ..Self::person(name) }
    }
}

/// What the suite found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Parts that hold.
    pub passed: Vec<&'static str>,
    /// Parts that were not tried, with the reason.
    pub skipped: Vec<(&'static str, &'static str)>,
    /// Parts that do not hold, with what was seen.
    pub failed: Vec<(&'static str, String)>,
}

impl Report {
    fn note(&mut self, part: &'static str, result: Result<(), String>) {
        match result {
            Ok(()) => self.passed.push(part),
            Err(seen) => self.failed.push((part, seen)),
        }
    }

    fn skip(&mut self, part: &'static str, reason: &'static str) {
        self.skipped.push((part, reason));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (part, seen) in &self.failed {
            writeln!(f, "FAILED  {part}: {seen}")?;
        }
        for (part, reason) in &self.skipped {
            writeln!(f, "skipped {part}: {reason}")?;
        }
        writeln!(f, "passed  {}", self.passed.join(", "))
    }
}

/// Tries everything that the contract promises.
pub async fn check(connector: &dyn Connector, driver: &dyn DirectoryDriver) -> Report {
    let mut report = Report::default();
    let capabilities = connector.capabilities();
    report.note("kind", kind(connector.kind()));
    imports::check_full(connector, driver, &mut report).await;
    report.note("test and schema", describes_itself(connector, driver).await);
    if capabilities.delta_import {
        imports::check_delta(connector, driver, &mut report).await;
    } else {
        report.skip("delta import", "the connector reads everything");
    }
    report.note("useless watermark", imports::useless_watermark(connector, driver).await);
    if capabilities.export {
        exports::check(connector, driver, &mut report).await;
    } else {
        report.skip("export", "the connector only reads");
        report.note("export is refused", exports::refused(connector).await);
    }
    if capabilities.marker {
        report.note("marker", exports::marker(connector).await);
    } else {
        report.skip("marker", "the directory keeps none");
    }
    report
}

fn kind(kind: &str) -> Result<(), String> {
    let plain = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if plain { Ok(()) } else { Err(format!("`{kind}` is no word for a configuration file")) }
}

/// A healthy directory has no failed finding, and its schema knows what is selected. Runs on a filled directory.
async fn describes_itself(connector: &dyn Connector, driver: &dyn DirectoryDriver) -> Result<(), String> {
    let report = connector.test().await.map_err(|error| error.to_string())?;
    if report.findings.is_empty() {
        return Err("the test looked at nothing".to_owned());
    }
    if let Some(failed) = report.findings.iter().find(|finding| finding.severity == Severity::Failed) {
        return Err(format!(
            "the test failed on a healthy directory: {}: {}",
            failed.subject, failed.message
        ));
    }
    let schema = connector.schema().await.map_err(|error| error.to_string())?;
    let shape = driver.shape();
    for (is_group, names) in [(false, vec![&shape.text]), (true, vec![&shape.text, &shape.member])] {
        let selected = shape.type_of(is_group);
        let found = schema.types.iter().find(|found| found.name.eq_ignore_ascii_case(&selected.name));
        let found = found.ok_or_else(|| format!("the schema has no type `{}`", selected.name))?;
        for name in names {
            if !found.attributes.iter().any(|attribute| attribute.eq_ignore_ascii_case(name)) {
                return Err(format!("the schema has no attribute `{name}` in type `{}`", selected.name));
            }
        }
    }
    for expected in [shape.text(false), shape.member()] {
        let found = schema.attributes.iter().find(|found| found.name.eq_ignore_ascii_case(&expected.name));
        if found.is_none_or(|found| found.kind != expected.kind) {
            return Err(format!("the schema has `{}` as {:?}", expected.name, found.map(|found| found.kind)));
        }
    }
    Ok(())
}
