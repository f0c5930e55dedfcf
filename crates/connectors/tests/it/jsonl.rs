//! JSON lines: the suite, and what only files can get wrong.

use std::fs;
use std::path::PathBuf;

use async_trait::async_trait;
use onesync_connectors::conformance::{self, DirectoryDriver, Shape, TestObject};
use onesync_connectors::jsonl::{JsonlConnector, JsonlSettings, LinksBy};
use onesync_connectors::{
    Anchor, Connector, ErrorClass, ExportBatch, ExportItem, ExportOutcome, LinkTarget, Operation, Pass,
    Proof, Severity,
};
use onesync_model::{Time, Value, Values};
use serde_json::json;
use tempfile::TempDir;

use crate::words::{Words, full};

struct Driver {
    path: PathBuf,
    words: Words,
}

#[async_trait]
impl DirectoryDriver for Driver {
    fn shape(&self) -> Shape {
        self.words.shape()
    }

    async fn hold(&self, objects: &[TestObject]) {
        let line = |object: &TestObject| {
            let kind = if object.is_group { "group" } else { "user" };
            let attributes = json!({"displayName": object.text});
            let links = json!({"member": object.members});
            format!(
                "{}\n",
                json!({"anchor": object.name, "type": kind, "attributes": attributes, "links": links})
            )
        };
        fs::write(&self.path, objects.iter().map(line).collect::<String>()).unwrap();
    }
}

fn file(content: impl AsRef<[u8]>) -> (TempDir, JsonlSettings) {
    let folder = tempfile::tempdir().unwrap();
    let settings = JsonlSettings { path: folder.path().join("objects.jsonl"), ..JsonlSettings::default() };
    fs::write(&settings.path, content).unwrap();
    (folder, settings)
}

#[tokio::test]
async fn it_passes_the_suite_for_reading_and_for_writing() {
    for write in [false, true] {
        let words = Words::new();
        let (_folder, settings) = file("");
        let settings = JsonlSettings { write, link_attributes: vec!["member".to_owned()], ..settings };
        let connector = JsonlConnector::new(settings.clone(), words.selection.clone());
        let driver = Driver { path: settings.path, words };
        let report = conformance::check(&connector, &driver).await;
        assert!(report.failed.is_empty(), "{report}");
        assert_eq!(report.passed.contains(&"create, find, change, link, delete"), write);
    }
}

#[tokio::test]
async fn every_type_of_value_is_read() {
    let words = Words::new();
    let lines = "\u{feff}{\"anchor\": \"1\", \"dn\": \"CN=a\", \"attributes\": {\"DISPLAYNAME\": 7, \
        \"userAccountControl\": \"512\", \"isCriticalSystemObject\": true, \"thumbnailPhoto\": {\"$bin\": \"AAE=\"}, \
        \"whenChanged\": {\"$dt\": \"2026-01-31T00:00:00Z\"}, \"proxyAddresses\": [\"b\", \"a\"], \"other\": 1.5}, \
        \"links\": {\"manager\": [\"CN=boss\"]}}\r\n\r\n{\"anchor\": {\"$bin\": \"/w==\"}, \"type\": \"GROUP\"}";
    let (_folder, settings) = file(lines);
    let settings = JsonlSettings { object_type: Some("user".to_owned()), links_by: LinksBy::Dn, ..settings };
    let connector = JsonlConnector::new(settings, words.selection.clone());
    let (pages, end) = full(&connector, &words).await;
    assert_eq!(end.proof, Proof::Complete);
    let [user, group] = pages[0].entries.as_slice() else { panic!("{pages:?}") };
    let value = |name: &str| user.values.get(words.id(name)).unwrap().first().clone();
    assert_eq!(value("displayName"), Value::string("7"));
    assert_eq!(value("userAccountControl"), Value::Integer(512));
    assert_eq!(value("isCriticalSystemObject"), Value::Boolean(true));
    assert_eq!(value("thumbnailPhoto"), Value::binary([0, 1]));
    assert_eq!(value("whenChanged"), Value::Time("2026-01-31T00:00:00Z".parse::<Time>().unwrap()));
    assert_eq!(user.values.get(words.id("proxyAddresses")).unwrap().as_slice().len(), 2);
    assert_eq!(user.links[0].targets, [LinkTarget::Dn("CN=boss".to_owned())]);
    assert_eq!((group.anchor.clone(), group.dn.as_deref()), (Anchor([0xff].into()), Some("ff")));
}

#[tokio::test]
async fn a_bad_line_stops_itself_and_the_proof() {
    let words = Words::new();
    let good = r#"{"anchor": "1", "type": "user"}"#;
    for (bad, why) in [
        ("{\"anchor\": \"2\", \"ty", "EOF"),
        ("[\"1\"]", "expected a JSON object"),
        (r#"{"anchor": "2"}"#, "no `type`"),
        (r#"{"anchor": "", "type": "user"}"#, "anchor"),
        (r#"{"anchor": "2", "type": "user", "attributes": {"userAccountControl": "many"}}"#, "no integer"),
        (r#"{"anchor": "2", "type": "user", "attributes": {"mail": 1.5}}"#, "`mail`"),
        (r#"{"anchor": "2", "type": "user", "links": {"manager": [5]}}"#, "`manager`"),
        (r#"{"anchor": "2", "type": "user", "color": "red"}"#, "color"),
    ] {
        let (_folder, settings) = file(format!("{good}\n{bad}\n"));
        let name = settings.path.display().to_string();
        let connector = JsonlConnector::new(settings, words.selection.clone());
        let (pages, end) = full(&connector, &words).await;
        assert_eq!(pages[0].entries.len(), 1);
        let error = &pages[0].errors[0];
        assert!(error.message.contains(why), "{bad}: {error}");
        assert_eq!(error.place, format!("{name}:2"));
        assert_eq!(end.proof, Proof::Incomplete("1 lines could not be read".to_owned()));
    }
}

#[tokio::test]
async fn a_missing_file_is_an_error_or_an_empty_target() {
    let words = Words::new();
    let (folder, settings) = file("");
    let settings = JsonlSettings { path: folder.path().join("missing.jsonl"), ..settings };
    let connector = JsonlConnector::new(settings.clone(), words.selection.clone());
    assert_eq!(connector.schema().await.unwrap_err().class, ErrorClass::Configuration);
    assert_eq!(connector.test().await.unwrap().findings[0].severity, Severity::Failed);

    let connector = JsonlConnector::new(JsonlSettings { write: true, ..settings }, words.selection.clone());
    let (pages, end) = full(&connector, &words).await;
    assert_eq!((pages.len(), end.proof), (0, Proof::Complete));
}

#[tokio::test]
async fn an_export_leaves_every_other_line_as_it_is() {
    let words = Words::new();
    let strange = "{ \"anchor\":\"2\",  \"type\":\"user\", \"attributes\":{\"b\":1,\"a\":2} }";
    let (_folder, settings) =
        file(format!("{strange}\nthis is no JSON\n{{\"anchor\": \"3\", \"type\": \"user\"}}\n"));
    let settings = JsonlSettings { write: true, ..settings };
    let connector = JsonlConnector::new(settings.clone(), words.selection.clone());
    let item = |anchor: &str, operation| ExportItem {
        operation,
        object_type: words.selection.types[0].id,
        anchor: Some(Anchor::text(anchor)),
        create_key: Some(anchor.to_owned()),
        values: vec![(words.id("mail"), Some(Values::one("m@x".into()))), (words.id("description"), None)],
        links: Vec::new(),
    };
    let items = vec![item("3", Operation::Update), item("4", Operation::Add), item("5", Operation::Delete)];
    let results =
        connector.export(ExportBatch { items, pass: Pass::unchecked(1), seed: [0; 32] }).await.unwrap();
    assert!(matches!(results[2].outcome, ExportOutcome::Gone));
    let written = fs::read_to_string(&settings.path).unwrap();
    let lines: Vec<_> = written.lines().collect();
    assert_eq!(lines[..2], [strange, "this is no JSON"]);
    assert_eq!(lines[2], r#"{"anchor":"3","type":"user","attributes":{"mail":"m@x"}}"#);
    assert_eq!(lines[3], r#"{"anchor":"4","type":"user","attributes":{"mail":"m@x"}}"#);
}

#[tokio::test]
async fn a_target_has_a_schema_before_it_has_lines() {
    let (_folder, settings) =
        file("{\"anchor\": \"1\", \"type\": \"user\", \"attributes\": {\"ID\": 7, \"extra\": true}}\n");
    let declared = "path = \"x\"\n[types.user]\ncreate_key = \"id\"\naccount = true\n\
        attributes = { id = \"string\", manager = \"reference\" }\n[types.group.attributes]\nmember = \"reference*\"";
    let declared: JsonlSettings = toml::from_str(declared).unwrap();
    let settings = JsonlSettings { path: settings.path, write: true, ..declared };
    let connector = JsonlConnector::new(settings, Words::new().selection);
    let schema = connector.schema().await.unwrap();
    let kind =
        |name: &str| schema.attributes.iter().find(|a| a.name == name).map(|a| (a.kind.as_str(), a.multi));
    assert_eq!(kind("id"), Some(("string", false)), "what is declared stays");
    assert_eq!(kind("member"), Some(("reference", true)));
    assert_eq!(kind("extra"), Some(("boolean", false)));
    let roles = connector.type_roles();
    let user = roles.iter().find(|role| role.object_type == "user").unwrap();
    assert_eq!((user.create_key.as_deref(), user.account), (Some("id"), true));
}
