//! The real rules of an Azure AD Connect installation over a directory: what the cloud is owed, attribute by attribute.
//!
//! What is expected is what those rules are documented to do (`facts/defaults.md`), not what we made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use onesync_graphsim::judged::Judged;
use onesync_graphsim::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID, GraphSim};
use onesync_service::{
    Clock as _, Configuration, CycleKind, Home, ManualClock, PendingView, Service, SystemClock,
    import_aadconnect,
};
use serde_json::{Value as Json, json};

use crate::aadconnect::real;
use crate::world::{base64, sid};

/// The directory, the service with the imported configuration, the cloud.
struct House {
    service: Service,
    clock: Arc<ManualClock>,
    sim: Judged,
    cloud: String,
    _folder: tempfile::TempDir,
}

impl House {
    /// Imports an export; its forest becomes an LDIF file, its tenant the simulator.
    async fn new(export: &Path, directory: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sim = GraphSim::builder().seed(7).judged().await.unwrap();
        std::fs::write(folder.path().join("directory.ldif"), directory).unwrap();
        let imported = import_aadconnect(export, &[]).await.unwrap();
        let mut cloud = String::new();
        let mut files = BTreeMap::new();
        for (path, text) in imported.files {
            let text = if path.starts_with("connectors/") {
                let mut table: toml::Table = text.parse().unwrap();
                let settings = table["settings"].as_table().unwrap().clone();
                let made = if table["kind"].as_str() == Some("graph") {
                    table["name"].as_str().unwrap().clone_into(&mut cloud);
                    let mut settings = settings;
                    for (key, value) in [
                        ("tenant", DEFAULT_TENANT_ID),
                        ("client_id", DEFAULT_CLIENT_ID),
                        ("secret", "graph"),
                        ("graph_url", &sim.base_url()),
                        ("login_url", &sim.base_url()),
                    ] {
                        settings.insert(key.to_owned(), value.into());
                    }
                    settings
                } else {
                    table.insert("kind".to_owned(), "ldif".into());
                    [("path".to_owned(), "../directory.ldif".into())].into_iter().collect()
                };
                table.insert("settings".to_owned(), toml::Value::Table(made));
                table.to_string()
            } else if path.starts_with("rules/") || !path.contains('/') && path.ends_with(".toml") {
                text
            } else {
                continue;
            };
            files.insert(path, text.into_bytes());
        }
        let home = Home::new(folder.path().join("home"));
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        home.create(&*clock).unwrap();
        let service = Service::open(home, clock.clone(), 2).await.unwrap();
        service.set_secret("graph", DEFAULT_CLIENT_SECRET.as_bytes()).unwrap();
        service.apply(Configuration::parse(files).unwrap(), "test").await.unwrap();
        Self { service, clock, sim, cloud, _folder: folder }
    }

    async fn cycle(&self, kind: CycleKind) {
        self.clock.advance_seconds(1_800);
        let report = self.service.cycle(kind, &|_| ()).await.unwrap();
        assert!(report.failures.is_empty(), "{report:#?}");
    }

    /// What is owed to the cloud: objects by type and name.
    fn pending(&self) -> BTreeMap<(String, String), PendingView> {
        let runtime = self.service.runtime().unwrap();
        let rows = self.service.pending(&runtime, runtime.connector(&self.cloud).unwrap(), 10_000).unwrap();
        let objects = rows.into_iter().filter(|row| !row.operation.contains("link"));
        objects.map(|row| ((row.object_type.clone(), row.object.clone()), row)).collect()
    }

    fn links(&self) -> BTreeSet<(String, String)> {
        let runtime = self.service.runtime().unwrap();
        let rows = self.service.pending(&runtime, runtime.connector(&self.cloud).unwrap(), 10_000).unwrap();
        let links = rows.into_iter().filter(|row| row.operation == "add link");
        links.map(|row| (row.object, row.change)).collect()
    }

    fn activate(&self) {
        let runtime = self.service.runtime().unwrap();
        let cloud = runtime.connector(&self.cloud).unwrap();
        let plan = self.service.staging_plan(&runtime, cloud).unwrap();
        self.service.staging_off(&runtime, cloud, &plan.hash).unwrap();
    }
}

/// One entry; `lines` are what is special about it.
fn entry(class: &str, number: u32, name: &str, lines: &str) -> String {
    let mut out = format!(
        "dn: CN={name},OU=CORP,DC=contoso,DC=com\nobjectClass: {class}\nobjectGUID: guid-{number:011}\ncn: {name}\n"
    );
    if class != "contact" {
        writeln!(out, "objectSid:: {}", sid(number)).unwrap();
    }
    format!("{out}{lines}\n")
}

fn user(number: u32, account: &str, control: u32, lines: &str) -> String {
    let lines = format!("sAMAccountName: {account}\nuserAccountControl: {control}\n{lines}");
    entry("user", number, account, &lines)
}

fn anchor(number: u32) -> String {
    base64(format!("guid-{number:011}").as_bytes())
}

fn directory() -> String {
    let long = "y".repeat(600);
    let dn = |name: &str| format!("CN={name},OU=CORP,DC=contoso,DC=com");
    let mut out = String::from("version: 1\n\n");
    out += &user(
        1,
        "anna",
        512,
        &format!(
            "userPrincipalName: anna@contoso.com\ndisplayName: Anna Arndt\ngivenName: Anna\nsn: Arndt\nmail: anna@contoso.com\n\
         mailNickname: anna.a\nproxyAddresses: SMTP:anna@contoso.com\nproxyAddresses: smtp:a@contoso.com\ndescription: {long}\n\
         title: Head\ncompany: Contoso\ndepartment: Sales\nl: Jena\nst: TH\nco: Germany\nc: DE\ncountryCode: 276\n\
         telephoneNumber: +49 1\nmobile: +49 2\nfacsimileTelephoneNumber: +49 3\nphysicalDeliveryOfficeName: 7\n\
         streetAddress: Road 1\npostalCode: 07743\nextensionAttribute1:  one\nextensionAttribute15: fifteen\n\
         pwdLastSet: 132000000000000000\nmsExchRecipientTypeDetails: 1\nmsExchHideFromAddressLists: TRUE\n\
         msExchMailboxGuid: 0123456789abcdef\nhomePhone: +49 4\nmanager: {}\nauthOrig: {}\n",
            dn("bert"),
            dn("bert")
        ),
    );
    out += &user(2, "bert", 512, "displayName: Bert\n");
    out += &user(3, "dora", 514, "userPrincipalName: dora@contoso.com\ndisplayName: Dora\n");
    for (number, account, lines) in [
        (10, "CAS_{0815}", ""),
        (11, "mailbox", "mailNickname: SystemMailbox{1f05}\n"),
        (12, "AAD_0815", ""),
        (13, "MSOL_0815", ""),
        (14, "SUPPORT_388945a0", ""),
        (15, "arbitration", "msExchRecipientTypeDetails: 8388608\n"),
        (16, "krbtgt2", "isCriticalSystemObject: TRUE\n"),
        (17, "writtenback", "adminDescription: User_0815\n"),
        (18, "casbox", "mailNickname: CAS_{0816}\n"),
    ] {
        out += &user(number, account, 512, lines);
    }
    // A linked mailbox whose account is in another forest: nobody to sign in with.
    out += &user(
        20,
        "linked",
        514,
        &format!(
            "mailNickname: linked\nmsExchRecipientTypeDetails: 2\nmsExchMasterAccountSid:: {}\n",
            sid(999)
        ),
    );
    out += &entry(
        "group",
        30,
        "Staff",
        &format!(
            "sAMAccountName: staff\ndisplayName: Staff\ngroupType: -2147483646\ninfo: {long}\ndescription: All staff\nmember: {}\nmember: {}\n",
            dn("anna"),
            dn("bert")
        ),
    );
    out += &entry(
        "group",
        31,
        "News",
        &format!(
            "sAMAccountName: news\ndisplayName: News\ngroupType: 8\nmail: news@contoso.com\nmailNickname: news\n\
         proxyAddresses: SMTP:news@contoso.com\nmember: {}\n",
            dn("anna")
        ),
    );
    out += &entry("group", 32, "Sealed", "sAMAccountName: sealed\ngroupType: 8\n");
    out +=
        &entry("group", 33, "Rich", "sAMAccountName: MSOL_AD_Sync_RichCoexistence\ngroupType: -2147483646\n");
    out += &entry(
        "contact",
        40,
        "Partner",
        "displayName: Partner\nmail: partner@example.com\nsn: Par\ntargetAddress: SMTP:partner@example.com\n",
    );
    out += &entry("contact", 41, "Nobody", "displayName: Nobody\n");
    out += &entry(
        "computer",
        50,
        "PC1",
        "displayName: PC1\nuserCertificate: certificate\noperatingSystem: Windows\nuserAccountControl: 4096\n",
    );
    out
}

/// Every change of a row is in the text that `pending` shows.
fn owes(row: &PendingView, expected: &[(&str, &str)]) {
    let shown: BTreeMap<&str, &str> =
        row.change.split("; ").filter_map(|part| part.split_once(" = ")).collect();
    for (attribute, value) in expected {
        assert_eq!(shown.get(attribute), Some(value), "{attribute} of {}: {}", row.object, row.change);
    }
}

fn computes(row: &PendingView, expected: &[(&str, Json)]) {
    for (attribute, value) in expected {
        assert_eq!(
            row.not_writable.get(*attribute),
            Some(value),
            "{attribute} of {}: {:?}",
            row.object,
            row.not_writable
        );
    }
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02X}").unwrap();
        out
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_rules_owe_the_cloud_what_they_are_documented_to() {
    let Some(export) = real() else { return };
    let house = House::new(&export, &directory()).await;
    house.cycle(CycleKind::Initial).await;
    let errors = house.service.errors(None, 100).unwrap();
    assert_eq!(errors.len(), 0, "{errors:#?}");
    let pending = house.pending();
    let names: BTreeSet<(&str, &str)> =
        pending.keys().map(|(object_type, name)| (object_type.as_str(), name.as_str())).collect();
    assert_eq!(
        names,
        BTreeSet::from([
            ("user", "anna@contoso.com"),
            ("user", "bert@contoso.com"),
            ("user", "dora@contoso.com"),
            ("group", "Staff"),
            ("group", "News"),
            ("contact", "Partner"),
            ("device", "PC1"),
        ]),
        "everybody filtered stays out"
    );
    let row = |object_type: &str, name: &str| &pending[&(object_type.to_owned(), name.to_owned())];

    let anna = row("user", "anna@contoso.com");
    assert_eq!((anna.operation.as_str(), anna.state.as_str()), ("add", "pending"));
    owes(
        anna,
        &[
            ("sourceAnchor", &anchor(1)),
            ("accountEnabled", "True"),
            ("userPrincipalName", "anna@contoso.com"),
            ("displayName", "Anna Arndt"),
            ("givenName", "Anna"),
            ("surname", "Arndt"),
            ("mail", "anna@contoso.com"),
            ("alias", "anna.a"),
            ("title", "Head"),
            ("company", "Contoso"),
            ("department", "Sales"),
            ("city", "Jena"),
            ("state", "TH"),
            ("country", "Germany"),
            ("telephoneNumber", "+49 1"),
            ("mobile", "+49 2"),
            ("facsimileTelephoneNumber", "+49 3"),
            ("physicalDeliveryOfficeName", "7"),
            ("streetAddress", "Road 1"),
            ("postalCode", "07743"),
            ("extensionAttribute1", "one"),
            ("extensionAttribute15", "fifteen"),
        ],
    );
    computes(
        anna,
        &[
            ("dn", json!(format!("CN={{{}}}", hex(&anchor(1))))),
            ("commonName", json!("anna")),
            ("dnsDomainName", json!("contoso.com")),
            ("netBiosName", json!("CONTOSO")),
            ("onPremisesSamAccountName", json!("anna")),
            ("onPremiseSecurityIdentifier", json!({"$bin": sid(1)})),
            ("lastPasswordChangeTimestamp", json!("20190417184000.0Z")),
            ("proxyAddresses", json!(["smtp:a@contoso.com", "SMTP:anna@contoso.com"])),
            ("description", json!("y".repeat(448))),
            ("countryLetterCode", json!("DE")),
            ("countryCode", json!(276)),
            ("msExchHideFromAddressLists", json!(true)),
            ("msExchRecipientTypeDetails", json!(1)),
            ("msExchMailboxGuid", json!({"$bin": base64(b"0123456789abcdef")})),
            ("homePhone", json!("+49 4")),
        ],
    );
    assert!(!anna.change.contains("proxyAddresses"), "what nobody can write is no change: {}", anna.change);

    // Without a name to sign in with, the account's name in the domain.
    owes(
        row("user", "bert@contoso.com"),
        &[("userPrincipalName", "bert@contoso.com"), ("accountEnabled", "True")],
    );
    owes(row("user", "dora@contoso.com"), &[("accountEnabled", "False"), ("sourceAnchor", &anchor(3))]);

    let staff = row("group", "Staff");
    assert_eq!(staff.state, "pending");
    owes(
        staff,
        &[
            ("sourceAnchor", &anchor(30)),
            ("displayName", "Staff"),
            ("securityEnabled", "True"),
            ("description", "All staff"),
        ],
    );
    computes(staff, &[("info", json!("y".repeat(448))), ("commonName", json!("Staff"))]);
    // Graph lets nobody create it: all of it is shown, none of it is sent.
    for (object_type, name) in [("group", "News"), ("contact", "Partner"), ("device", "PC1")] {
        assert_eq!(row(object_type, name).state, "cannot be written", "{name}");
    }
    owes(
        row("group", "News"),
        &[("mail", "news@contoso.com"), ("alias", "news"), ("securityEnabled", "False")],
    );
    owes(
        row("contact", "Partner"),
        &[
            ("sourceAnchor", &anchor(40)),
            ("surname", "Par"),
            ("alias", "Partner"),
            ("mail", "partner@example.com"),
            ("targetAddress", "SMTP:partner@example.com"),
        ],
    );
    owes(
        row("device", "PC1"),
        &[("displayName", "PC1"), ("deviceOSType", "Windows"), ("deviceTrustType", "ServerAd")],
    );

    // Now it is written, and read back under the original's names.
    house.activate();
    house.cycle(CycleKind::Delta).await;
    house.cycle(CycleKind::Delta).await;
    // Who has no mail nickname gets one in the tenant, and Graph lets nobody empty it: it stays.
    let left: Vec<_> =
        house.pending().into_iter().filter(|(_, row)| row.state != "cannot be written").collect();
    assert_eq!(left.len(), 0, "{left:?}");
    let errors = house.service.errors(None, 100).unwrap();
    assert_eq!(errors.len(), 0, "{errors:#?}");
    let shown = ("News".to_owned(), "member: anna@contoso.com".to_owned());
    assert_eq!(house.links(), BTreeSet::from([shown]), "of a group that is never created");
    let dump = house.sim.dump();
    let users = dump["users"].as_array().unwrap();
    let anna = users.iter().find(|user| user["userPrincipalName"] == "anna@contoso.com").unwrap();
    assert_eq!((&anna["onPremisesImmutableId"], &anna["jobTitle"]), (&json!(anchor(1)), &json!("Head")));
    assert_eq!(anna["mailNickname"], "anna.a");
    assert_eq!(users.iter().filter(|user| user["onPremisesImmutableId"].is_string()).count(), 3);
    let groups = dump["groups"].as_array().unwrap();
    let staff = groups.iter().find(|group| group["displayName"] == "Staff").unwrap();
    assert_eq!(staff["members"].as_array().unwrap().len(), 2);
    assert!(
        !groups.iter().any(|group| group["displayName"] == "News"),
        "no plain group in place of one with mail"
    );
    let runtime = house.service.runtime().unwrap();
    let view = house.service.show(&runtime, "anna@contoso.com").unwrap();
    let anchor_of_cloud = view.attributes["cloudAnchor"].value.as_str().unwrap().to_owned();
    assert!(anchor_of_cloud.starts_with("User_"), "{anchor_of_cloud}");
    assert_eq!(view.attributes["cloudSourceAnchor"].value, json!(anchor(1)));
}
