//! LDIF: the suite, and what only files can get wrong.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use onesync_connectors::conformance::{self, DirectoryDriver, Shape, TestObject};
use onesync_connectors::ldif::{LdifConnector, LdifSettings};
use onesync_connectors::{
    Anchor, Connector, Entry, EntryChange, ErrorClass, ImportEnd, ImportMode, ImportPage, LinkMode,
    LinkTarget, Proof,
};
use onesync_model::{Time, Value};
use tempfile::TempDir;

use crate::words::{Words, full, import};

struct Driver {
    path: PathBuf,
    words: Words,
}

fn guid(name: &str) -> String {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    BASE64.encode(bytes)
}

fn record(object: &TestObject) -> String {
    let class = if object.is_group { "group" } else { "user" };
    let (name, text) = (&object.name, &object.text);
    let mut out = format!("dn: CN={name},DC=x\nobjectClass: top\nobjectClass: {class}\n");
    for member in &object.members {
        writeln!(out, "member: CN={member},DC=x").unwrap();
    }
    writeln!(out, "objectGUID:: {}\ndisplayName: {text}\n", guid(name)).unwrap();
    out
}

#[async_trait]
impl DirectoryDriver for Driver {
    fn shape(&self) -> Shape {
        self.words.shape()
    }

    async fn hold(&self, objects: &[TestObject]) {
        let records: String = objects.iter().map(record).collect();
        fs::write(&self.path, format!("version: 1\n\n{records}# numEntries: {}\n", objects.len())).unwrap();
    }
}

fn file(content: impl AsRef<[u8]>) -> (TempDir, LdifSettings) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export.ldif");
    fs::write(&path, content).unwrap();
    (folder, LdifSettings { paths: vec![path], ..LdifSettings::default() })
}

async fn read_with(
    content: impl AsRef<[u8]>,
    change: impl FnOnce(&mut LdifSettings),
) -> (Vec<ImportPage>, ImportEnd) {
    let (_folder, mut settings) = file(content);
    change(&mut settings);
    full(&LdifConnector::new(settings).unwrap(), &Words::new()).await
}

async fn read(content: impl AsRef<[u8]>) -> (Vec<ImportPage>, ImportEnd) {
    read_with(content, |_| ()).await
}

fn entries(pages: Vec<ImportPage>) -> Vec<Entry> {
    pages.into_iter().flat_map(|page| page.entries).collect()
}

#[tokio::test]
async fn it_passes_the_suite() {
    let (_folder, settings) = file("");
    let driver = Driver { path: settings.paths[0].clone(), words: Words::new() };
    let settings = LdifSettings { require_end: true, ..settings };
    let report = conformance::check(&LdifConnector::new(settings).unwrap(), &driver).await;
    assert!(report.failed.is_empty(), "{report}");
}

#[tokio::test]
async fn every_form_of_value_is_read() {
    let words = Words::new();
    let text = "\u{feff}version: 1\r\n# comment\r\n\r\ndn:: Q049w4RyZ2VyLERDPXg=\r\nchangetype: add\r\n\
        objectClass: top\r\nOBJECTCLASS: User\r\nobjectGUID:: AAECAwQFBgcICQoLDA0ODw==\r\ndisplayName: J\u{fc}rgen\r\n  \
        Gro\u{df}\r\nmail:no-space@x\r\nproxyAddresses: b\r\nproxyAddresses: A\r\nproxyAddresses: b\r\n\
        userAccountControl: -2147483646\r\nisCriticalSystemObject: TRUE\r\nthumbnailPhoto;binary:: /9j/\r\n\
        whenChanged: 20260131235959.0Z\r\ndisplayName;lang-de: nicht dies\r\nmanager: CN=Boss,DC=x\r\nunknown: x";
    let (pages, end) = read(text).await;
    assert_eq!((end.proof, end.remarks.len()), (Proof::Complete, 0));
    let entry = &entries(pages)[0];
    assert_eq!(entry.dn.as_deref(), Some("CN=\u{c4}rger,DC=x"));
    assert_eq!(entry.anchor, Anchor((0..16).collect()));
    let value = |name: &str| entry.values.get(words.id(name)).unwrap().as_slice().to_vec();
    assert_eq!(value("displayName"), [Value::string("J\u{fc}rgen Gro\u{df}")]);
    assert_eq!(value("mail"), ["no-space@x".into()]);
    assert_eq!(value("proxyAddresses"), ["A".into(), "b".into()]);
    assert_eq!(value("userAccountControl"), [Value::Integer(-2_147_483_646)]);
    assert_eq!(value("isCriticalSystemObject"), [Value::Boolean(true)]);
    assert_eq!(value("thumbnailPhoto"), [Value::binary([0xff, 0xd8, 0xff])]);
    assert_eq!(value("whenChanged"), [Value::Time("2026-01-31T23:59:59Z".parse::<Time>().unwrap())]);
    assert_eq!(entry.links[0].targets, [LinkTarget::Dn("CN=Boss,DC=x".to_owned())]);
    assert_eq!(entry.links.len(), 1, "a user has no members");
}

#[tokio::test]
async fn types_come_from_the_most_specific_class() {
    let text = "dn: DC=x\nobjectClass: top\nobjectClass: domainDNS\n\n\
        dn: CN=pc,DC=x\nobjectClass: user\nobjectClass: computer\n\n\
        dn: CN=p,DC=x\nobjectClass: person\nobjectClass: posixAccount\n\n\
        dn: CN=g,DC=x\nobjectClass: top\nobjectClass: group\n\ndn:\nobjectClass: top\n\n";
    let names = |pages| entries(pages).into_iter().filter_map(|entry| entry.dn).collect::<Vec<_>>();
    assert_eq!(names(read(text).await.0), ["CN=g,DC=x"]);
    let (pages, _) = read_with(text, |settings| {
        settings.types.insert("posixaccount".to_owned(), "user".to_owned());
    })
    .await;
    assert_eq!(names(pages), ["CN=p,DC=x", "CN=g,DC=x"]);
}

#[tokio::test]
async fn anchors_are_found_or_configured() {
    let anchors = |pages| entries(pages).into_iter().map(|entry| entry.anchor).collect::<Vec<_>>();
    let plain = "dn: CN=A ,DC=x\nobjectClass: user\nuid: one\n";
    assert_eq!(anchors(read(plain).await.0), [Anchor::text("cn=a,dc=x")]);
    let (pages, _) = read_with(plain, |settings| settings.anchor = Some("UID".to_owned())).await;
    assert_eq!(anchors(pages), [Anchor::text("one")]);
    let uuid = "dn: OU=x\nobjectClass: organizationalPerson\n\ndn: CN=a\nobjectClass: user\nentryUUID: ABCD\n\n\
        dn: CN=b\nobjectClass: user\n";
    let (pages, end) = read(uuid).await;
    assert!(pages[0].errors[0].message.contains("no `entryuuid`"), "{:?}", pages[0].errors);
    assert_eq!(anchors(pages), [Anchor::text("abcd")]);
    assert_eq!(end.proof, Proof::Incomplete("1 records could not be read".to_owned()));
}

#[tokio::test]
async fn the_base_limits_what_is_read() {
    let text = "dn: CN=a,OU=People,DC=x\nobjectClass: user\n\ndn: CN=b\\,OU=People,DC=x\nobjectClass: user\n\n\
        dn: cn=c , ou=PEOPLE , dc=X\nobjectClass: user\n\ndn: CN=d,OU=Other People,DC=x\nobjectClass: user\n\n";
    let (pages, _) = read_with(text, |settings| settings.base = Some("OU=People,DC=x".to_owned())).await;
    let names: Vec<_> = entries(pages).into_iter().filter_map(|entry| entry.dn).collect();
    assert_eq!(names, ["CN=a,OU=People,DC=x", "cn=c , ou=PEOPLE , dc=X"]);
}

#[tokio::test]
async fn a_bad_record_stops_itself_and_the_proof() {
    let good = "dn: CN=good,DC=x\nobjectClass: user\n\n";
    for (bad, line, why) in [
        ("dn: CN=a,DC=x\nobjectClass: user\nno colon\n", 6, "expected `name: value`"),
        ("dn: CN=a,DC=x\nobjectClass: user\nmail:: ab!\n", 6, "not base64"),
        ("dn: CN=a,DC=x\nchangetype: modify\nreplace: mail\nmail: x\n-\n", 5, "change record"),
        ("dn: CN=a,DC=x\nchangetype: delete\n", 5, "change record"),
        ("dn: CN=a,DC=x\nobjectClass: user\nthumbnailPhoto:< file:///etc/passwd\n", 6, "not followed"),
        ("dn: no name\nobjectClass: user\n", 4, "not a distinguished name"),
        ("dn:: /w==\nobjectClass: user\n", 4, "not UTF-8"),
        ("mail: x\n", 4, "begins with `dn:`"),
        ("version: 2\n", 4, "version 1"),
    ] {
        let (pages, end) = read(format!("{good}{bad}\n{}", good.replace("good", "after"))).await;
        let error = pages[0].errors.first().unwrap_or_else(|| panic!("{bad} is accepted"));
        assert!(error.message.contains(why), "{bad}: {error}");
        assert!(error.place.ends_with(&format!(":{line}")), "{bad}: {error}");
        assert_eq!(entries(pages).len(), 2, "{bad}");
        assert!(matches!(end.proof, Proof::Incomplete(_)));
    }
}

#[tokio::test]
async fn what_cannot_be_read_of_an_entry_is_unknown_not_empty() {
    let words = Words::new();
    let text =
        b"dn: CN=a,DC=x\nobjectClass: user\nuserAccountControl: many\nmail:: /w==\ndisplayName: fine\n\n\
        dn: CN=g,DC=x\nobjectClass: group\nmember;range=0-1: CN=a,DC=x\nmember;range=0-1: CN=b,DC=x\n\n";
    let (pages, end) = read(text).await;
    let told: Vec<_> = pages.iter().flat_map(|page| &page.errors).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].place.ends_with(":3") && told[0].message.contains("`userAccountControl` of `CN=a,DC=x`"));
    let entries = entries(pages);
    let mut unknown = entries[0].unknown.clone();
    unknown.sort();
    assert_eq!(unknown, [words.id("mail"), words.id("userAccountControl")]);
    assert!(entries[0].values.get(words.id("displayName")).is_some());
    assert_eq!((entries[1].links[0].mode, entries[1].links[0].targets.len()), (LinkMode::Unknown, 0));
    assert_eq!(end.proof, Proof::Complete);
}

#[tokio::test]
async fn a_file_that_is_not_whole_proves_nothing() {
    let entry = "dn: CN=a,DC=x\nobjectClass: user\nthumbnailPhoto:: AAECAwQF\n\n";
    let incomplete = |end: ImportEnd| matches!(end.proof, Proof::Incomplete(_));
    assert!(!incomplete(read(entry.trim_end()).await.1), "the last line needs no end");
    assert!(incomplete(read("").await.1));
    for cut in ["F", "QF", "wQF"] {
        assert!(incomplete(read(entry.trim_end().strip_suffix(cut).unwrap()).await.1), "{cut}");
    }
    // Cut between groups of four digits, base64 is still base64: only an end mark shows it.
    let cut = entry.trim_end().strip_suffix("AwQF").unwrap();
    assert!(!incomplete(read(cut).await.1));
    assert!(incomplete(read_with(cut, |settings| settings.require_end = true).await.1));
    assert!(incomplete(read_with(entry, |settings| settings.require_end = true).await.1));
    for (tail, whole) in [
        ("# end\n", true),
        ("# numEntries: 1", true),
        ("# numEntries: 2", false),
        ("# search result\nsearch: 2\nresult: 0 Success\n\n# numResponses: 2\n# numEntries: 1\n", true),
        ("# search result\nsearch: 2\nresult: 4 Size limit exceeded\n\n# numEntries: 1\n", false),
        ("# end\n\ndn: CN=b,DC=x\nobjectClass: user\n", false),
    ] {
        let (_, end) = read_with(format!("{entry}{tail}"), |settings| settings.require_end = true).await;
        assert_eq!(end.proof == Proof::Complete, whole, "{tail}: {:?}", end.proof);
    }
    let (_, end) = read(format!("{entry}# refldap://x\nref: ldap://x/DC=y??sub\n\n")).await;
    assert!(end.remarks[0].contains("1 search references"), "{end:?}");
}

#[tokio::test]
async fn errors_of_configuration_say_what_to_do() {
    let words = Words::new();
    let mode = ImportMode::Full { resume: None };
    assert_eq!(LdifConnector::new(LdifSettings::default()).unwrap_err().class, ErrorClass::Configuration);
    let (folder, settings) = file("\u{0}");
    fs::write(&settings.paths[0], b"\xff\xfed\0n\0").unwrap();
    let error =
        import(&LdifConnector::new(settings.clone()).unwrap(), &words, mode.clone(), 10).await.1.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Configuration, "LDIF-UTF16"));
    let missing = LdifSettings { paths: vec![folder.path().join("missing")], ..LdifSettings::default() };
    let error = import(&LdifConnector::new(missing).unwrap(), &words, mode, 10).await.1.unwrap_err();
    assert!(error.place.ends_with("missing") && error.hint.is_some(), "{error}");
    let base = LdifSettings { base: Some("nonsense".to_owned()), ..settings };
    assert_eq!(LdifConnector::new(base).unwrap_err().code, "LDIF-BASE");
}

#[tokio::test]
async fn a_large_group_is_read_in_chunks_whatever_the_order_of_its_lines() {
    const MEMBERS: usize = 23_456;
    let words = Words::new();
    let mut text = "dn: CN=all,DC=x\nobjectClass: group\n".to_owned();
    for n in 0..MEMBERS {
        writeln!(
            text,
            "member: CN=User {n},OU=a quite long name of a container that has to be folded,DC=con\n toso"
        )
        .unwrap();
    }
    writeln!(text, "displayName: everyone\nobjectGUID:: {}\n", guid("all")).unwrap();
    text.push_str(&record(&TestObject::person("next")));
    let (_folder, settings) = file(&text);
    let connector = LdifConnector::new(settings).unwrap();
    let (pages, end) = import(&connector, &words, ImportMode::Full { resume: None }, 2_000).await;
    assert_eq!(end.unwrap().proof, Proof::Complete);
    let found = entries(pages);
    assert_eq!((found[0].change, found[0].links.len()), (EntryChange::Full, 0));
    assert!(found[0].values.get(words.id("displayName")).is_some());
    let chunks: Vec<_> =
        found.iter().flat_map(|entry| &entry.links).filter(|c| c.attribute == words.id("member")).collect();
    assert!(chunks.iter().all(|chunk| chunk.targets.len() <= 5_000));
    assert_eq!(chunks[0].mode, LinkMode::Replace { first: true, last: false });
    let of_all: Vec<_> = found.iter().filter(|entry| entry.change == EntryChange::MoreLinks).collect();
    let last = of_all.last().unwrap().links[0].mode;
    assert_eq!(last, LinkMode::Replace { first: false, last: true });
    let mut targets: Vec<_> = chunks.iter().flat_map(|chunk| &chunk.targets).collect();
    targets.dedup();
    assert_eq!(targets.len(), MEMBERS);
    assert_eq!(found.last().unwrap().dn.as_deref(), Some("CN=next,DC=x"));
}

#[tokio::test]
async fn an_interrupted_import_goes_on_only_in_the_same_file() {
    let words = Words::new();
    let people: Vec<_> = (0..10).map(|n| TestObject::person(&format!("p{n}"))).collect();
    let bad = "dn: CN=bad,DC=x\nobjectClass: user\nno colon\n\n";
    let text = bad.to_owned() + &people.iter().map(record).collect::<String>();
    let (_folder, settings) = file(&text);
    let connector = LdifConnector::new(settings.clone()).unwrap();
    let (pages, _) = import(&connector, &words, ImportMode::Full { resume: None }, 4).await;
    let resume = Some(pages[0].resume.clone().unwrap());
    let (rest, end) = import(&connector, &words, ImportMode::Full { resume: resume.clone() }, 4).await;
    assert_eq!(entries(rest).len() + pages[0].entries.len(), 10);
    assert!(
        matches!(end.unwrap().proof, Proof::Incomplete(_)),
        "the bad record lies before the place of resuming"
    );

    fs::write(&settings.paths[0], text.replace("p9", "q9") + "\n").unwrap();
    let (_, end) = import(&connector, &words, ImportMode::Full { resume }, 4).await;
    assert_eq!(end.unwrap_err().class, ErrorClass::Watermark);
}

#[tokio::test]
async fn several_files_are_one_directory() {
    let (folder, mut settings) = file(record(&TestObject::person("one")));
    let second = folder.path().join("second.ldif");
    fs::write(&second, record(&TestObject::group("two", &["one"]))).unwrap();
    settings.paths.push(second);
    let (pages, end) = full(&LdifConnector::new(settings).unwrap(), &Words::new()).await;
    assert_eq!((entries(pages).len(), end.proof), (2, Proof::Complete));
}

#[tokio::test]
async fn the_schema_has_what_the_file_has_beyond_active_directory() {
    let text = "dn: CN=a\nobjectClass: user\nfavouriteColour: red\nbadge:: /w==\nbadge: 1\nmember: CN=x\n";
    let (_folder, settings) = file(text);
    let schema = LdifConnector::new(settings).unwrap().schema().await.unwrap();
    let kind = |name: &str| schema.attributes.iter().find(|a| a.name == name).map(|a| a.kind.as_str());
    assert_eq!(kind("favouriteColour"), Some("string"));
    assert_eq!(kind("badge"), Some("binary"));
    assert_eq!(kind("member"), Some("reference"));
    let user = schema.types.iter().find(|t| t.name == "user").unwrap();
    assert!(user.attributes.iter().any(|name| name == "favouriteColour"));
}
