//! The shipped rules beside the real ones of Azure AD Connect, for each topology: the same input, the same results as far
//! as Microsoft Graph can carry them; every difference is listed here with its reason, and a difference that is listed
//! and is not there fails as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use onesync_graphsim::GraphSim;
use onesync_service::{CycleKind, PendingView, template};
use serde_json::Value as Json;

use super::story::directory;
use super::{Files, House, cloud_settings, entry, from_file, imported, shown, user};
use crate::aadconnect::real;
use crate::world::sid;

/// One attribute in which the two may differ: object type, Graph's name, why.
type Difference = (&'static str, &'static str, &'static str);

const DIFFERENCES: &[Difference] = &[
    (
        "user",
        "mailNickname",
        "Graph wants an alias for each new account; where there is none, the shipped rules make it of the sign-in name, and the connector does so for imported ones when it creates",
    ),
    ("user", "employeeId", "flowed by newer builds than the export's"),
    ("user", "employeeType", "flowed by newer builds than the export's"),
    (
        "user",
        "usageLocation",
        "the shipped rules take msExchUsageLocation, else the country; those of the export read it from the tenant alone",
    ),
    (
        "group",
        "mailNickname",
        "Graph wants an alias for each group; the shipped rules make it of the source anchor, and the connector does so for imported ones when it creates",
    ),
    ("group", "mailEnabled", "said by the shipped rules; computed by the connector for imported ones"),
];

/// What a test sees of one installation: objects by type and name.
type Seen = BTreeMap<(String, String), Object>;

/// One object: its attributes by Graph's names, and those among them that would be written.
struct Object {
    attributes: BTreeMap<String, String>,
    written: BTreeSet<String>,
}

/// Graph's name of what the original calls otherwise.
fn graph_name(kind: &str, name: &str) -> String {
    match (kind, name) {
        ("user", "sourceAnchor") => "onPremisesImmutableId",
        ("group", "sourceAnchor") => "uniqueName",
        (_, "alias") => "mailNickname",
        ("user" | "contact", "company") => "companyName",
        ("user" | "contact", "title") => "jobTitle",
        ("user" | "contact", "mobile") => "mobilePhone",
        ("user" | "contact", "telephoneNumber") => "businessPhones",
        ("user" | "contact", "facsimileTelephoneNumber") => "faxNumber",
        ("user" | "contact", "physicalDeliveryOfficeName") => "officeLocation",
        _ => name,
    }
    .to_owned()
}

/// The original's word for an object type.
fn kind_of(object_type: &str) -> &str {
    match object_type {
        "mailGroup" => "group",
        "orgContact" => "contact",
        other => other,
    }
}

fn seen(house: &House) -> Seen {
    let object = |((object_type, name), row): ((String, String), PendingView)| {
        let kind = kind_of(&object_type).to_owned();
        let attributes: BTreeMap<String, String> =
            shown(&row).into_iter().map(|(name, value)| (graph_name(&kind, &name), value)).collect();
        let computed: BTreeSet<String> =
            row.not_writable.keys().map(|name| graph_name(&kind, name)).collect();
        let written = match row.state.as_str() {
            "pending" => attributes.keys().filter(|name| !computed.contains(*name)).cloned().collect(),
            _ => BTreeSet::new(),
        };
        ((kind, name), Object { attributes, written })
    };
    house.pending().into_iter().map(object).collect()
}

/// What each installation owes that the other does not, but for what is listed; `listed` takes down what was needed.
fn compare(
    original: &House,
    shipped: &House,
    differences: &[Difference],
    listed: &mut BTreeSet<(String, String)>,
) -> Vec<String> {
    let (theirs, ours) = (seen(original), seen(shipped));
    let mut found = Vec::new();
    let names = |seen: &Seen| -> BTreeSet<(String, String)> { seen.keys().cloned().collect() };
    // Graph knows devices, and lets nobody write those that a directory registers: the shipped rules leave them out.
    let theirs_named = names(&theirs).into_iter().filter(|(kind, _)| kind != "device").collect();
    for (kind, name) in names(&ours).symmetric_difference(&theirs_named) {
        found.push(format!("{kind} {name}: of one installation only"));
    }
    for ((kind, name), ours) in &ours {
        let Some(theirs) = theirs.get(&(kind.clone(), name.clone())) else { continue };
        let attributes: BTreeSet<&String> = ours.attributes.keys().chain(&theirs.written).collect();
        for attribute in attributes {
            let (a, b) = (theirs.attributes.get(attribute), ours.attributes.get(attribute));
            if a == b {
                continue;
            }
            if differences.iter().any(|(of, known, _)| of == kind && known == attribute) {
                listed.insert((kind.clone(), attribute.clone()));
            } else {
                found.push(format!("{kind} {name}, {attribute}: {a:?} with the original's, {b:?} with ours"));
            }
        }
    }
    // What an object that nobody can create would have as members is shown with the original's names, and moot.
    let of_written = |(of, _): &(String, String)| {
        theirs.iter().any(|((_, name), object)| name == of && !object.written.is_empty())
    };
    let a: BTreeSet<_> = original.links().into_iter().filter(of_written).collect();
    let b: BTreeSet<_> =
        shipped.links().into_iter().map(|(of, to)| (of, to.replace("members:", "member:"))).collect();
    if a != b {
        found.push(format!("links: {a:?} with the original's, {b:?} with ours"));
    }
    found
}

/// Objects of the tenant by anchor or name, without what is the tenant's own.
fn there(house: &House, set: &str) -> BTreeMap<String, BTreeMap<String, Json>> {
    let all = house.cloud(set);
    let names: BTreeMap<String, String> = ["users", "groups"]
        .iter()
        .flat_map(|set| house.cloud(set))
        .map(|object| {
            let name = object["userPrincipalName"].as_str().or(object["displayName"].as_str()).unwrap();
            (object["id"].as_str().unwrap().to_owned(), name.to_owned())
        })
        .collect();
    let by_name = |value: &Json| -> Json {
        let name = |id: &Json| names.get(id.as_str().unwrap_or_default()).cloned().unwrap_or_default();
        match value {
            Json::Array(ids) => {
                let mut list: Vec<String> = ids.iter().map(name).collect();
                list.sort();
                list.into()
            }
            id => name(id).into(),
        }
    };
    all.into_iter()
        .map(|object| {
            let mut attributes: BTreeMap<String, Json> = object
                .as_object()
                .unwrap()
                .iter()
                .filter(|(name, value)| {
                    !value.is_null()
                        && ![
                            "id",
                            "createdDateTime",
                            "renewedDateTime",
                            "passwordProfile",
                            "securityIdentifier",
                        ]
                        .contains(&name.as_str())
                })
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            for link in ["members", "manager", "owners"] {
                if let Some(value) = attributes.get_mut(link) {
                    *value = by_name(value);
                }
            }
            let name = names[object["id"].as_str().unwrap()].clone();
            (name, attributes)
        })
        // Each installation has one of its own.
        .filter(|(name, _)| name != "OneSync marker")
        .collect()
}

/// Both configurations over the same directories, from the first computation to the confirmed export.
async fn same(
    topology: &str,
    forests: &[(&str, &str)],
    directories: &[(&str, &str)],
    change: impl Fn(Files) -> Files,
    differences: &[Difference],
    listed: &mut BTreeSet<(String, String)>,
) -> Option<(House, House)> {
    let export = real()?;
    let sims = [
        GraphSim::builder().seed(7).judged().await.unwrap(),
        GraphSim::builder().seed(7).judged().await.unwrap(),
    ];
    let [theirs, ours] = sims;
    let original = imported(&export, &[], &theirs.base_url(), |table| from_file(table, forests[0].1)).await;
    let mut original = change(original);
    let mut shipped = template(topology, "ldif").unwrap();
    let cloud = shipped.get_mut("connectors/entra.toml").unwrap();
    let mut table: toml::Table = cloud.parse().unwrap();
    cloud_settings(&mut table, &ours.base_url());
    *cloud = table.to_string();
    shipped.retain(|path, _| !path.starts_with("connectors/") || path.ends_with("entra.toml"));
    let first: toml::Table = original["connectors/contoso.com.toml"].parse().unwrap();
    for (index, (name, file)) in forests.iter().enumerate() {
        let mut table = first.clone();
        table.insert("name".to_owned(), (*name).into());
        table.insert("rank".to_owned(), (index as i64 + 1).into());
        table.remove("profiles");
        from_file(&mut table, file);
        for files in [&mut original, &mut shipped] {
            files.insert(format!("connectors/{name}.toml"), table.to_string());
        }
    }
    let original = House::with(theirs, original, directories).await;
    let shipped = House::with(ours, shipped, directories).await;
    for house in [&original, &shipped] {
        house.cycle(CycleKind::Initial).await;
        assert_eq!(house.service.errors(None, 100).unwrap(), [], "{topology}");
    }
    let found = compare(&original, &shipped, differences, listed);
    assert_eq!(found, [""; 0], "{topology}: what is owed");
    for house in [&original, &shipped] {
        house.go_live().await;
    }
    for set in ["users", "groups"] {
        let (a, b) = (there(&original, set), there(&shipped, set));
        assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{topology}: {set}");
        for (name, theirs) in &a {
            let ours = &b[name];
            let attributes: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
            for attribute in attributes {
                let known =
                    differences.iter().any(|(of, known, _)| set.starts_with(of) && known == attribute);
                assert!(
                    known || theirs.get(attribute) == ours.get(attribute),
                    "{topology}, {set} {name}, {attribute}: {:?} with the original's, {:?} with ours",
                    theirs.get(attribute),
                    ours.get(attribute)
                );
            }
        }
    }
    Some((original, shipped))
}

/// The inbound rules of the export, for several forests: the original has a copy of each rule for each forest.
fn of_all(files: Files, forests: &[&str]) -> Files {
    let list =
        format!("[{}]", forests.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", "));
    files
        .into_iter()
        .map(|(path, text)| {
            let text = if path.starts_with("rules/") { text.replace("\"contoso.com\"", &list) } else { text };
            (path, text)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_forest_gives_what_the_original_gives() {
    let mut listed = BTreeSet::new();
    let directory = directory();
    let forests = [("contoso.com", "directory.ldif")];
    let files = [("directory.ldif", directory.as_str())];
    if same("single-forest", &forests, &files, |files| files, DIFFERENCES, &mut listed).await.is_none() {
        return;
    }
    // What is listed without need hides what comes later.
    let of_topologies = ["employeeId", "employeeType"];
    let unneeded: Vec<_> = DIFFERENCES
        .iter()
        .filter(|(kind, name, _)| {
            !of_topologies.contains(name) && !listed.contains(&((*kind).to_owned(), (*name).to_owned()))
        })
        .collect();
    assert_eq!(unneeded, [&("", "", ""); 0], "listed, and not so");
}

/// Accounts and mailboxes: the second forest's entries.
fn resources() -> String {
    let at = |text: String| text.replace("DC=contoso,DC=com", "DC=resource,DC=com");
    let mailbox = |number: u32, master: u32, lines: &str| {
        user(
            number,
            &format!("box{number}"),
            514,
            &format!(
                "msExchRecipientTypeDetails: 2\nmsExchMasterAccountSid:: {}\nmailNickname: box{number}\n{lines}",
                sid(master)
            ),
        )
    };
    let foreign = |of: u32| entry("foreignSecurityPrincipal", 300 + of, &format!("S-1-5-21-1-2-3-{of}"), "");
    let member = |name: &str| format!("member: CN={name},OU=CORP,DC=resource,DC=com\n");
    let team =
        [member("box101"), member("S-1-5-21-1-2-3-1"), member("S-1-5-21-1-2-3-2"), member("shared")].concat();
    at([
        "version: 1\n\n".to_owned(),
        mailbox(101, 1, "displayName: Ada at Mail\nmail: ada@contoso.com\nproxyAddresses: SMTP:ada@contoso.com\ntitle: Head\nuserPrincipalName: box101@resource.com\nmsExchHideFromAddressLists: TRUE\n"),
        mailbox(103, 3, "displayName: Cem\nmail: cem@contoso.com\n"),
        // Its account is in neither forest.
        mailbox(199, 9_999, "displayName: Nobody's\nmail: nobody@contoso.com\n"),
        // A person of the resource forest itself, and a room.
        user(110, "shared", 512, "userPrincipalName: shared@contoso.com\ndisplayName: Sue\nmailNickname: sue\nmail: sue@contoso.com\nmsExchRecipientTypeDetails: 1\n"),
        user(111, "room", 514, "userPrincipalName: room@contoso.com\ndisplayName: Room 1\nmailNickname: room1\nmail: room1@contoso.com\nmsExchRecipientTypeDetails: 16\n"),
        // A contact there, a user in the other forest: the user wins.
        entry("contact", 120, "Bob of old", "displayName: Bob of old\nmail: bob@contoso.com\nmailNickname: bob.old\ncompany: Contoso\n"),
        entry("contact", 121, "Partner", "displayName: Partner\nmail: partner@example.com\ntargetAddress: SMTP:partner@example.com\n"),
        foreign(1),
        foreign(2),
        entry("group", 130, "Team", &format!("sAMAccountName: team\ndisplayName: Team\ngroupType: -2147483646\n{team}")),
        entry("group", 131, "List", &format!("sAMAccountName: list\ndisplayName: List\ngroupType: 2\nmail: list@contoso.com\nmailNickname: list\n{}", member("box101"))),
    ]
    .concat())
}

fn accounts() -> String {
    let mut out = String::from("version: 1\n\n");
    for (number, name, control, lines) in [
        (1, "ada", 512, "department: Sales\ndisplayName: Ada\n"),
        (2, "bob", 512, "displayName: Bob\nmail: bob@contoso.com\ndepartment: Law\n"),
        (3, "cem", 514, "displayName: Cem of Sales\ndepartment: Sales\n"),
    ] {
        out += &user(number, name, control, &format!("userPrincipalName: {name}@contoso.com\n{lines}"));
    }
    out + &entry(
        "group",
        30,
        "Staff",
        "sAMAccountName: staff\ndisplayName: Staff\ngroupType: -2147483646\nmember: CN=ada,OU=CORP,DC=contoso,DC=com\n",
    )
}

const TWO: [(&str, &str); 2] = [("contoso.com", "accounts.ldif"), ("resource.com", "resources.ldif")];

#[tokio::test(flavor = "multi_thread")]
async fn accounts_with_mailboxes_in_another_forest_give_what_the_original_gives() {
    let (accounts, resources) = (accounts(), resources());
    let files = [("accounts.ldif", accounts.as_str()), ("resources.ldif", resources.as_str())];
    let both = |files| of_all(files, &["contoso.com", "resource.com"]);
    let Some((_, house)) =
        same("account-resource", &TWO, &files, both, DIFFERENCES, &mut BTreeSet::new()).await
    else {
        return;
    };
    // What that is, in words: by hand, from the facts.
    let users = there(&house, "users");
    let names: Vec<&String> = users.keys().filter(|name| !name.contains("admin")).collect();
    assert_eq!(
        names,
        ["ada@contoso.com", "bob@contoso.com", "cem@contoso.com", "room@contoso.com", "shared@contoso.com"],
        "a mailbox is nobody of its own, one without an account nobody at all"
    );
    let ada = &users["ada@contoso.com"];
    for (attribute, value, why) in [
        ("onPremisesImmutableId", super::anchor(1), "the anchor is the account's"),
        ("displayName", "Ada at Mail".to_owned(), "what the address list shows is the mailbox's"),
        ("jobTitle", "Head".to_owned(), "the same"),
        ("mailNickname", "box101".to_owned(), "the same"),
        ("department", "Sales".to_owned(), "what only the account has is the account's"),
    ] {
        assert_eq!(ada[attribute], Json::from(value), "{attribute}: {why}");
    }
    assert_eq!(users["cem@contoso.com"]["accountEnabled"], Json::from(false), "neither account is enabled");
    assert_eq!(users["cem@contoso.com"]["onPremisesImmutableId"], Json::from(super::anchor(3)));
    assert_eq!(
        users["bob@contoso.com"]["companyName"],
        Json::from("Contoso"),
        "a user, with what the contact adds"
    );
    let groups = there(&house, "groups");
    let team = serde_json::json!(["ada@contoso.com", "bob@contoso.com", "shared@contoso.com"]);
    assert_eq!(groups["Team"]["members"], team, "by mailbox or by foreign principal, each person once");
    assert!(!groups.contains_key("List"));

    // The account comes later than its mailbox: then the mailbox's person can sign in.
    let mut later = accounts.clone();
    write!(later, "{}", user(9_999, "late", 512, "userPrincipalName: late@contoso.com\n")).unwrap();
    house.write("accounts.ldif", &later);
    house.cycle(CycleKind::Delta).await;
    house.cycle(CycleKind::Delta).await;
    let late = &there(&house, "users")["late@contoso.com"];
    assert_eq!(
        (&late["displayName"], &late["mailNickname"]),
        (&Json::from("Nobody's"), &Json::from("box199"))
    );
    assert_eq!(late["onPremisesImmutableId"], Json::from(super::anchor(9_999)));
}

#[tokio::test(flavor = "multi_thread")]
async fn forests_tied_by_mail_give_what_the_original_gives() {
    let first = [
        "version: 1\n\n".to_owned(),
        user(1, "ada", 512, "userPrincipalName: ada@contoso.com\nmail: ada@contoso.com\ndepartment: Sales\n"),
        user(2, "bob", 514, "userPrincipalName: bob@contoso.com\nmail: bob@contoso.com\ntitle: Clerk\n"),
        user(3, "cem", 512, "userPrincipalName: cem@contoso.com\n"),
    ]
    .concat();
    let second = [
        "version: 1\n\n".to_owned(),
        user(11, "ada2", 512, "userPrincipalName: ada2@contoso.com\nmail: ADA@contoso.com\nmailNickname: ada.a\ndisplayName: Ada Two\n"),
        user(12, "bob2", 512, "userPrincipalName: bob2@contoso.com\nmail: bob@contoso.com\n"),
        user(14, "dan", 512, "userPrincipalName: dan@contoso.com\nmail: dan@contoso.com\n"),
        entry("group", 30, "Staff", "sAMAccountName: staff\ndisplayName: Staff\ngroupType: -2147483646\nmember: CN=ada2,OU=CORP,DC=resource,DC=com\n"),
    ]
    .concat()
    .replace("DC=contoso,DC=com", "DC=resource,DC=com");
    let files = [("accounts.ldif", first.as_str()), ("resources.ldif", second.as_str())];
    // What the original's assistant writes into its rules when accounts are matched by mail.
    let by_mail = |files: Files| -> Files {
        let mut files = of_all(files, &["contoso.com", "resource.com"]);
        for (path, text) in &mut files {
            if path.ends_with("in-from-ad-user-join.toml")
                || path.ends_with("in-from-ad-inetorgperson-join.toml")
            {
                let (head, _) = text.split_once("[[join]]").unwrap();
                let (_, flows) = text.split_once("[flow]").unwrap();
                let join = "[[join]]\nconditions = [{ connector = \"mail\", metaverse = \"mail\" }]\n";
                *text = format!("{head}{join}\n[flow]{flows}");
            }
        }
        files
    };
    let once: Difference = (
        "user",
        "onPremisesImmutableId",
        "an anchor is applied once here and stays; the original's follows the enabled account, and is an error once it was exported",
    );
    let differences = [DIFFERENCES, &[once]].concat();
    let both = same("multi-forest-mail", &TWO, &files, by_mail, &differences, &mut BTreeSet::new()).await;
    let Some((original, house)) = both else { return };
    let users = there(&house, "users");
    let names: Vec<&String> = users.keys().filter(|name| !name.contains("admin")).collect();
    assert_eq!(names, ["ada@contoso.com", "bob2@contoso.com", "dan@contoso.com"]);
    let ada = &users["ada@contoso.com"];
    assert_eq!(
        ada["onPremisesImmutableId"],
        Json::from(super::anchor(1)),
        "of two enabled ones, the first forest's"
    );
    assert_eq!(
        ada["displayName"],
        Json::from("Ada Two"),
        "the address list's are from the forest with the mailbox"
    );
    let bob = &users["bob2@contoso.com"];
    assert_eq!(bob["jobTitle"], Json::from("Clerk"));
    assert_eq!(there(&house, "groups")["Staff"]["members"], serde_json::json!(["ada@contoso.com"]));

    // The other account is the enabled one from now on: here the person stays who it is, with the original it is stuck.
    let swapped = [
        (&first, "bob\nuserAccountControl: 514", "bob\nuserAccountControl: 512"),
        (&second, "bob2\nuserAccountControl: 512", "bob2\nuserAccountControl: 514"),
    ];
    for (house, errors) in [(&house, 0), (&original, 1)] {
        for ((text, from, to), file) in swapped.iter().zip(["accounts.ldif", "resources.ldif"]) {
            assert!(text.contains(from));
            house.write(file, &text.replace(from, to));
        }
        house.cycle(CycleKind::Delta).await;
        assert_eq!(house.service.errors(None, 100).unwrap().len(), errors);
    }
    let after = there(&house, "users");
    assert_eq!(after["bob@contoso.com"]["onPremisesImmutableId"], bob["onPremisesImmutableId"]);
}
