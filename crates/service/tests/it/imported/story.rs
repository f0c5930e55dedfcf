//! The real rules of an Azure AD Connect installation over a directory: what the cloud is owed, attribute by attribute.
//!
//! What is expected is what those rules are documented to do (`facts/defaults.md`), not what we made of them.

use std::collections::{BTreeMap, BTreeSet};

use onesync_service::{CycleKind, PendingView};
use serde_json::{Value as Json, json};

use super::{House, anchor, entry, hex, user};
use crate::aadconnect::real;
use crate::world::{base64, sid};

pub fn directory() -> String {
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

#[tokio::test(flavor = "multi_thread")]
async fn the_real_rules_owe_the_cloud_what_they_are_documented_to() {
    let Some(export) = real() else { return };
    owes_what_is_documented(&House::new(&export, &directory()).await).await;
}

/// The 62 rules over the directory above, whatever form they came in.
pub async fn owes_what_is_documented(house: &House) {
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
    // Who has no mail nickname gets one in the tenant, and Graph lets nobody empty it: it stays.
    house.go_live().await;
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
