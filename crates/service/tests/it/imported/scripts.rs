//! Rules in the PowerShell form of the Synchronization Rules Editor: imported, checked, and run.

#[path = "../../../../aadconnect/tests/it/print.rs"]
mod print;

use std::path::Path;

use onesync_aadconnect::{Condition, Export, Flow, FlowSource, LinkType, Merge, Rule, ScopeClause};
use onesync_service::{CycleKind, import_aadconnect};
use print::print;
use serde_json::json;

use super::story::{directory, owes_what_is_documented};
use super::{House, anchor, entry, from_file, hex, shown, user};
use crate::aadconnect::real;
use crate::world::{base64, sid};

const CLOUD: &str = "b891884f-051e-4a83-95af-2544101c9083";
/// Two forests.
const A: &str = "11111111-aaaa-4bbb-8ccc-222222222222";
const B: &str = "33333333-aaaa-4bbb-8ccc-444444444444";

fn script(rules: &[Rule]) -> String {
    rules.iter().map(print).collect()
}

fn read_folder(folder: &Path, out: &mut Vec<onesync_aadconnect::SourceFile>) {
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            read_folder(&path, out);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            out.push(onesync_aadconnect::SourceFile { path: path.display().to_string(), bytes });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_rules_in_one_script_owe_the_same_as_in_their_folder() {
    let Some(path) = real() else { return };
    let mut files = Vec::new();
    read_folder(&path, &mut files);
    let export: Export = onesync_aadconnect::read(&files, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all-rules.ps1");
    std::fs::write(&file, script(&export.rules).replace('\n', "\r\n")).unwrap();
    let forest = export.rules.iter().find(|rule| rule.connector != CLOUD).unwrap().connector.clone();
    let name = format!("{forest}=contoso.com");
    let report = import_aadconnect(&file, std::slice::from_ref(&name)).await.unwrap().report.to_text();
    assert!(report.contains("is absent: Domain.Netbios, Forest.FQDN, Forest.Netbios"), "{report}");
    let change = |table: &mut toml::Table| {
        // A script has no parameters of a domain: the report asks for them.
        let parameters: toml::Table = [("Domain.Netbios".to_owned(), "CONTOSO".into())].into_iter().collect();
        table.insert("parameters".to_owned(), parameters.into());
        from_file(table, "directory.ldif");
    };
    let directories = [("directory.ldif", directory())];
    let directories: Vec<(&str, &str)> = directories.iter().map(|(n, t)| (*n, t.as_str())).collect();
    let house = House::of_export(&file, &[&name], change, &directories).await;
    owes_what_is_documented(&house).await;
}

/// One rule of a newer build: `link`, number and tag; `object` and `metaverse` as the editor has them by direction.
fn rule(
    connector: &str,
    name: &str,
    types: [&str; 2],
    link: LinkType,
    precedence: u32,
    version: &str,
) -> Rule {
    let inbound = name.starts_with("In from");
    let words: String = name.split_whitespace().filter(|&word| word != "-").collect();
    let [object, metaverse] = types;
    Rule {
        place: (String::new(), 0, 0),
        id: format!("{precedence:08}-1111-4222-8333-{}", &connector[24..]),
        name: name.to_owned(),
        description: String::new(),
        tag: if version.is_empty() { String::new() } else { format!("Microsoft.{words}.{version}") },
        inbound,
        connector: connector.to_owned(),
        object: object.to_owned(),
        metaverse: metaverse.to_owned(),
        link,
        precedence,
        after: None,
        before: None,
        disabled: false,
        password_sync: false,
        soft_delete: None,
        scope: Vec::new(),
        join: Vec::new(),
        flows: Vec::new(),
    }
}

trait Build {
    fn scope(self, clauses: &[[&str; 3]]) -> Self;
    fn join(self, connector: &str, metaverse: &str, case_sensitive: bool) -> Self;
    /// Direct flows: `name`, or `target=source`.
    fn direct(self, flows: &str) -> Self;
    fn constant(self, target: &str, text: &str) -> Self;
    fn flow(self, target: &str, expression: &str) -> Self;
}

impl Build for Rule {
    fn scope(mut self, clauses: &[[&str; 3]]) -> Self {
        let clause = |&[attribute, operator, value]: &[&str; 3]| ScopeClause {
            attribute: attribute.to_owned(),
            operator: operator.to_owned(),
            value: value.to_owned(),
        };
        self.scope.push(clauses.iter().map(clause).collect());
        self
    }

    fn join(mut self, connector: &str, metaverse: &str, case_sensitive: bool) -> Self {
        let (connector, metaverse) = (connector.to_owned(), metaverse.to_owned());
        self.join.push(vec![Condition { connector, metaverse, case_sensitive }]);
        self
    }

    fn direct(mut self, flows: &str) -> Self {
        for flow in flows.split_whitespace() {
            let (target, source) = flow.split_once('=').unwrap_or((flow, flow));
            self.flows.push(one(target, FlowSource::Direct(source.to_owned())));
        }
        self
    }

    fn constant(mut self, target: &str, text: &str) -> Self {
        self.flows.push(one(target, FlowSource::Constant(text.to_owned())));
        self
    }

    fn flow(mut self, target: &str, expression: &str) -> Self {
        self.flows.push(one(target, FlowSource::Expression(expression.to_owned())));
        self
    }
}

fn one(target: &str, source: FlowSource) -> Flow {
    Flow { target: target.to_owned(), source, once: false, merge: Merge::Update }
}

/// The source anchor of newer builds: the wizard wrote the name of the attribute it found into the rules, as a text
/// that is compared with itself.
fn anchor_of(value: &str, other: &str) -> String {
    let chosen = "\"mS-DS-ConsistencyGuid\"=\"mS-DS-ConsistencyGuid\"";
    let part =
        format!("IIF({chosen},\n    IIF(IsPresent([mS-DS-ConsistencyGuid]),{value},{other}),\n    NULL)");
    format!(
        "\n  IIF(IsPresent([msExchRecipientTypeDetails]),\n    IIF([msExchRecipientTypeDetails]=2,NULL,{part}),\n    {part})\n  "
    )
}

fn as_text(attribute: &str) -> String {
    format!("IIF(IsString([{attribute}]),CStr([{attribute}]),ConvertToBase64([{attribute}]))")
}

/// The rules of a newer build for one forest; each forest has its own copy.
fn forest(connector: &str, at: u32) -> Vec<Rule> {
    let n = |number: u32| 100 + number * 2 + at;
    let (text, binary) = (
        anchor_of(&as_text("mS-DS-ConsistencyGuid"), &as_text("objectGUID")),
        anchor_of("[mS-DS-ConsistencyGuid]", "[objectGUID]"),
    );
    let upn = r#"IIF(IsPresent([userPrincipalName]),[userPrincipalName], IIF(IsPresent([sAMAccountName]),([sAMAccountName]&"@"&%Domain.FQDN%),Error("AccountName is not present")))"#;
    let in_scope =
        [["isCriticalSystemObject", "NOTEQUAL", "TRUE"], ["adminDescription", "NOTSTARTSWITH", "User_"]];
    let in_groups =
        [["isCriticalSystemObject", "NOTEQUAL", "True"], ["adminDescription", "NOTSTARTSWITH", "Group_"]];
    let group_anchor = "IIF(IsPresent([mS-DS-ConsistencyGuid]),ConvertToBase64([mS-DS-ConsistencyGuid]),ConvertToBase64([objectGUID]))";
    let person = ["user", "person"];
    let group = ["group", "group"];
    let mut enabled =
        rule(connector, "In from AD - User AccountEnabled", person, LinkType::Join, n(1), "007")
            .scope(&[["userAccountControl", "ISBITNOTSET", "2"]])
            .constant("accountEnabled", "True")
            .direct("cn objectSid")
            .flow("contributingConnectorUser", "%Connector.ID%")
            .flow("domainFQDN", "%Domain.FQDN%")
            .flow("objectSidString", "StringFromSid([objectSid])")
            .flow("sourceAnchorBinary", &binary)
            .flow("sourceAnchor", &text)
            .flow("userPrincipalName", upn);
    enabled.password_sync = true;
    let mut out = vec![
        rule(connector, "In from AD - User Join", person, LinkType::Provision, n(0), "006")
            .scope(&in_scope)
            .join("mS-DS-ConsistencyGuid", "sourceAnchorBinary", false)
            .join("objectGUID", "sourceAnchorBinary", false)
            .flow("cloudFiltered", r#"IIF(IsPresent([isCriticalSystemObject]) || IsPresent([sAMAccountName]) = False || Left([mailNickname], 14) = "SystemMailbox{" || Left([sAMAccountName], 4) = "AAD_" || CBool(InStr(DNComponent(CRef([dn]),1),"\\0ACNF:")>0), True, NULL)"#)
            .flow("sourceAnchorBinary", "IIF(IsPresent([mS-DS-ConsistencyGuid]),[mS-DS-ConsistencyGuid],[objectGUID])"),
        enabled,
        rule(connector, "In from AD - User Common", person, LinkType::Join, n(2), "012")
            .scope(&[["adminDescription", "NOTSTARTSWITH", "User_"]])
            .flow("accountEnabled", "IIF(BitAnd([userAccountControl],2)=0,True,False)")
            .direct("accountName=sAMAccountName cn manager objectSid employeeID distinguishedName=dn")
            .flow("displayName", "IIF(IsNullOrEmpty([displayName]),[cn],[displayName])")
            .flow("employeeType", "Trim([employeeType])")
            .flow("department", "Trim([department])")
            .flow("mail", "Trim([mail])")
            .flow("proxyAddresses", r#"RemoveDuplicates(Trim(ImportedValue("proxyAddresses")))"#)
            .flow("objectSidString", "StringFromSid([objectSid])")
            .flow("sourceAnchorBinary", &binary)
            .flow("sourceAnchor", &text)
            .flow("sourceObjectType", r#"IIF(IsPresent([msExchRecipientTypeDetails]), IIF([msExchRecipientTypeDetails]=2, NULL, "User"), "User")"#)
            .flow("userPrincipalName", upn)
            .flow("userType", r#"IIF(IsPresent([userPrincipalName]),IIF(CBool(InStr(LCase([userPrincipalName]),"@partners.fabrikam123.org")=0),"Member","Guest"),Error("UserPrincipalName is not present to determine UserType"))"#),
        rule(connector, "In from AD - User Exchange", person, LinkType::Join, n(3), "007")
            .scope(&[["mailNickname", "ISNOTNULL", ""]])
            .direct("altRecipient mailNickname msExchBypassAudit msExchRemoteRecipientType usageLocation=msExchUsageLocation")
            .flow("userCertificate", "IIF(IsNullOrEmpty([userCertificate]), NULL, IIF((Count([userCertificate])> 15),AuthoritativeNull,[userCertificate]))"),
        rule(connector, "In from AD - Group Join", group, LinkType::Provision, n(4), "006")
            .scope(&in_groups)
            .join("mS-DS-ConsistencyGuid", "sourceAnchorBinary", false)
            .join("objectGUID", "sourceAnchorBinary", false)
            .flow("cloudFiltered", r#"IIF(IsPresent([isCriticalSystemObject]) || [sAMAccountName] = "MSOL_AD_Sync_RichCoexistence", True, NULL)"#)
            .flow("mailEnabled", r#"IIF(IsPresent([mail]) = True && (InStr([mail], "@") > 0), True, False)"#)
            .flow("sourceAnchorBinary", "IIF(IsPresent([mS-DS-ConsistencyGuid]),[mS-DS-ConsistencyGuid],[objectGUID])"),
        rule(connector, "In from AD - Group Common", group, LinkType::Join, n(5), "007")
            .scope(&in_groups)
            .direct("accountName=sAMAccountName cn managedBy member objectSid")
            .flow("displayName", "IIF(IsNullOrEmpty([displayName]),[cn],[displayName])")
            .flow("mail", "Trim([mail])")
            .flow("memberCount", r#"ValueCount("member")"#)
            .flow("objectSidString", "StringFromSid([objectSid])")
            .flow("securityEnabled", "CBool(BitAnd([groupType],-2147483648))")
            .flow("sourceAnchor", group_anchor),
        rule(connector, "In from AD - ForeignSecurityPrincipal Join User", ["foreignSecurityPrincipal", "*"], LinkType::Join, n(6), "001")
            .join("cn", "objectSidString", false),
        rule(connector, "In from AD - Computer Join", ["computer", "device"], LinkType::Provision, n(7), "006")
            .join("objectGUID", "deviceId", false)
            .flow("accountEnabled", "IIF(BitAnd([userAccountControl],2)=0,True,False)")
            .direct("deviceId=objectGUID objectSid deviceOSType=operatingSystem")
            .constant("sourceObjectType", "Computer")
            .constant("deviceTrustType", "ServerAd")
            .flow("displayName", "IIF(IsNullOrEmpty([displayName]),[cn],[displayName])")
            .flow("sourceAnchor", "ConvertToBase64([objectGUID])")
            .flow("userCertificate", "Where($item,[userCertificate],IsCert($item))")
            .flow("cloudFiltered", r#"IIF(IsNullOrEmpty([userCertificate]),True,IIF(Count(Where($cert,[userCertificate],IsCert($cert) && CertNotAfter($cert)>Now()))=0,True,NULL))"#),
        rule(connector, "Out to AD - User ImmutableId", person, LinkType::Join, n(40), "001")
            .scope(&[["sourceAnchorBinary", "ISNOTNULL", ""]])
            .direct("mS-DS-ConsistencyGuid=sourceAnchorBinary"),
    ];
    // An administrator's own, before all shipped ones.
    let mut own = rule(connector, "In from AD - User Cost centre", person, LinkType::Join, 10 + at, "")
        .flow("extensionAttribute1", r#"IIF(IsPresent([department]),Switch([department]="Sales","CC-1",[department]="Law","CC-2",True,"CC-0"),NULL)"#);
    own.description = "Who's paid by whom".to_owned();
    out.insert(0, own);
    out
}

/// The rules of a newer build for the tenant.
fn tenant() -> Vec<Rule> {
    let n = |number: u32| 140 + number;
    let box_types = [0_i64, 2, 7, 8, 10, 16, 17, 18, 1_073_741_824, 1_073_741_840];
    let mailbox = box_types.iter().rev().fold("False".to_owned(), |rest, kind| {
        format!("IIF([cloudMSExchRecipientDisplayType]={kind},True,(\n    {rest}))")
    });
    let joined = |connector: &str, name: &str, types, number, version| {
        rule(connector, name, types, LinkType::Join, n(number), version)
    };
    let (person, group) = (["user", "person"], ["group", "group"]);
    let user = [["sourceObjectType", "EQUAL", "User"], ["cloudMastered", "NOTEQUAL", "True"]];
    let same_anchor = r#"IIF(IsPresent([cloudSourceAnchor]),IIF([cloudSourceAnchor] = [sourceAnchor],[sourceAnchor],Error("SourceAnchor attribute has changed.")),[sourceAnchor])"#;
    let dn = r#""CN={" & ConvertToUTF8Hex([sourceAnchor]) & "}""#;
    let in_group = [
        ["cloudFiltered", "NOTEQUAL", "True"],
        ["sourceAnchor", "ISNOTNULL", ""],
        ["cloudMastered", "NOTEQUAL", "True"],
        ["securityEnabled", "EQUAL", "True"],
    ];
    let grown = [&in_group[..], &[["cloudAnchor", "ISNOTNULL", ""]]].concat();
    let small = [&in_group[..], &[["memberCount", "LESSTHAN", "250000"]]].concat();
    let mut old = joined(CLOUD, "Out to AAD - User Identity", person, 0, "004").direct("displayName");
    old.disabled = true;
    old.name = "Out to AAD - User Identity (as it was)".to_owned();
    vec![
        joined(CLOUD, "In from AAD - User Join", person, 1, "006")
            .scope(&[["cloudMastered", "EQUAL", "False"]])
            .join("sourceAnchor", "sourceAnchor", true)
            .direct("accountEnabled cloudAnchor usageLocation")
            .flow("cloudSourceAnchor", r#"ImportedValue("sourceAnchor")"#)
            .flow("cloudUserCertificate", r#"ImportedValue("userCertificate")"#),
        joined(CLOUD, "In from AAD - Group Join", group, 2, "005")
            .scope(&[["cloudMastered", "NOTEQUAL", "True"]])
            .join("sourceAnchor", "sourceAnchor", true)
            .direct("cloudAnchor")
            .flow("cloudSourceAnchor", r#"ImportedValue("sourceAnchor")"#),
        joined(CLOUD, "In from AAD - User Exchange Hybrid", person, 3, "004")
            .direct("cloudLegacyExchangeDN cloudMSExchRecipientDisplayType cloudPublicDelegates")
            .flow("cloudSOAExchMailbox", &format!("\n  CBool(\n    IIF(IsPresent([cloudMSExchRecipientDisplayType]),({mailbox}),False))\n  ")),
        joined(CLOUD, "In from AAD - Device Common", ["device", "device"], 4, "002")
            .join("deviceId", "deviceId", false)
            .direct("cloudAnchor alternativeSecurityId isCompliant isManaged registeredUsersReference")
            .flow("cloudUserCertificate", r#"ImportedValue("userCertificate")"#),
        joined(CLOUD, "In from AAD - Group SOAinAAD coexistence with Cloud Sync", group, 5, "")
            .scope(&[["cloudMastered", "EQUAL", "true"]])
            .join("cloudAnchor", "cloudAnchor", false)
            .constant("cloudNoFlow", "true"),
        rule(CLOUD, "Out to AAD - User Join", person, LinkType::Provision, n(6), "012")
            .scope(&[&user[..], &[["cloudFiltered", "NOTEQUAL", "True"], ["sourceAnchor", "ISNOTNULL", ""], ["accountEnabled", "ISNOTNULL", ""]]].concat())
            .join("sourceAnchor", "sourceAnchor", false)
            .direct("accountEnabled commonName=cn dnsDomainName=domainFQDN onPremiseSecurityIdentifier=objectSid onPremisesSamAccountName=accountName onPremisesDistinguishedName=distinguishedName")
            .flow("dn", dn)
            .flow("onPremisesObjectIdentifier", "ConvertToBase64([sourceAnchorBinary])")
            .flow("sourceAnchor", same_anchor)
            .flow("usageLocation", "IIF(IsNullOrEmpty([usageLocation]),IgnoreThisFlow,[usageLocation])"),
        joined(CLOUD, "Out to AAD - User Identity", person, 7, "008")
            .scope(&user)
            .direct("displayName mail alias=mailNickname proxyAddresses userPrincipalName userType employeeId=employeeID employeeType department manager extensionAttribute1"),
        old,
        joined(CLOUD, "Out to AAD - User ExchangeOnline", person, 8, "009")
            .scope(&user)
            .direct("altRecipient msExchBypassAudit msExchRemoteRecipientType")
            .flow("userCertificate", "IIF(IsNullOrEmpty([userCertificate]), NULL, IIF((Count([userCertificate])> 15),AuthoritativeNull,[userCertificate]))"),
        rule(CLOUD, "Out to AAD - Group Join", group, LinkType::Provision, n(9), "010")
            .scope(&grown)
            .scope(&small)
            .join("sourceAnchor", "sourceAnchor", false)
            .direct("securityEnabled commonName=cn onPremiseSecurityIdentifier=objectSid")
            .flow("dn", dn)
            .flow("sourceAnchor", same_anchor),
        joined(CLOUD, "Out to AAD - Group Writeup Member Limit", group, 10, "003")
            .flow("member", r#"IIF(([memberCount]> 250000),Error("Maximum Group member count exceeded"),IgnoreThisFlow)"#),
        joined(CLOUD, "Out to AAD - Group Identity", group, 11, "007")
            .scope(&[["sourceAnchor", "ISNOTNULL", ""], ["cloudMastered", "NOTEQUAL", "True"]])
            .join("sourceAnchor", "sourceAnchor", false)
            .direct("displayName mail managedBy member"),
        rule(CLOUD, "Out to AAD - Device Join SOAInAD", ["device", "device"], LinkType::Provision, n(12), "004")
            .scope(&[["userCertificate", "ISNOTNULL", ""], ["cloudFiltered", "NOTEQUAL", "true"]])
            .join("deviceId", "deviceId", false)
            .direct("accountEnabled deviceId deviceOSType deviceTrustType displayName userCertificate")
            .flow("dn", dn),
    ]
}

/// The second forest, whose accounts live elsewhere.
fn elsewhere(text: &str) -> String {
    text.replace("DC=contoso,DC=com", "DC=woodgrove,DC=test")
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_a_newer_build_with_two_forests_run_as_they_came() {
    let rules = [forest(A, 0), forest(B, 1), tenant()].concat();
    assert!(rules.len() > 30, "{}", rules.len());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.ps1");
    std::fs::write(&file, script(&rules)).unwrap();
    let guid = "fedcba9876543210";
    let first = [
        "version: 1\n\n".to_owned(),
        user(1, "anna", 512, "userPrincipalName: anna@contoso.com\ndisplayName: Anna\nmail: anna@contoso.com\nmailNickname: anna\ndepartment: Sales\nemployeeID: 4711\nemployeeType: Staff\nmsExchUsageLocation: DE\nmsExchBypassAudit: TRUE\nuserCertificate: one\nmanager: CN=bert,OU=CORP,DC=contoso,DC=com\n"),
        // Its anchor was written back by the old installation, from another object.
        user(2, "bert", 512, &format!("mS-DS-ConsistencyGuid: {guid}\nuserPrincipalName: bert@contoso.com\ndepartment: Law\n")),
        user(3, "AAD_1", 512, "userPrincipalName: aad@contoso.com\n"),
        // Sixteen certificates are too many.
        user(4, "cora", 514, &format!("userPrincipalName: cora@contoso.com\nmailNickname: cora\n{}", (0..16).map(|n| format!("userCertificate: c{n:02}\n")).collect::<String>())),
        entry("group", 30, "Staff", "sAMAccountName: staff\ngroupType: -2147483646\nmember: CN=anna,OU=CORP,DC=contoso,DC=com\nmember: CN=bert,OU=CORP,DC=contoso,DC=com\n"),
        entry("computer", 50, "PC1", "userCertificate: no certificate at all\nuserAccountControl: 4096\n"),
    ]
    .concat();
    let second = elsewhere(
        &[
            "version: 1\n\n".to_owned(),
            // Moved from the first forest: another object with the same anchor.
            user(11, "bert2", 514, &format!("mS-DS-ConsistencyGuid: {guid}\nuserPrincipalName: old.bert@contoso.com\nemployeeType: Guest\n")),
            user(12, "dana", 512, "userPrincipalName: dana@contoso.com\n"),
            entry("group", 31, "Away", "sAMAccountName: away\ngroupType: -2147483646\nmember: CN=S-1-5-21-1-2-3-1,OU=CORP,DC=contoso,DC=com\n"),
            entry("foreignSecurityPrincipal", 60, "S-1-5-21-1-2-3-1", ""),
        ]
        .concat(),
    );
    let change = |table: &mut toml::Table| {
        let file = if table["name"].as_str() == Some("contoso.com") { "a.ldif" } else { "b.ldif" };
        from_file(table, file);
    };
    let names = [format!("{A}=contoso.com"), format!("{{{}}}=woodgrove.test", B.to_uppercase())];
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let directories = [("a.ldif", first.as_str()), ("b.ldif", second.as_str())];
    let house = House::of_export(&file, &names, change, &directories).await;
    house.cycle(CycleKind::Initial).await;
    assert_eq!(house.service.errors(None, 100).unwrap(), []);
    let pending = house.pending();
    let names: Vec<(&str, &str)> =
        pending.keys().map(|(kind, name)| (kind.as_str(), name.as_str())).collect();
    assert_eq!(
        names,
        [
            ("group", "Away"),
            ("group", "Staff"),
            ("user", "anna@contoso.com"),
            ("user", "bert@contoso.com"),
            ("user", "cora@contoso.com"),
            ("user", "dana@contoso.com"),
        ],
        "one bert, no computer without a certificate"
    );
    let owed = |kind: &str, name: &str, wanted: &[(&str, &str)]| {
        let row = shown(&pending[&(kind.to_owned(), name.to_owned())]);
        let wanted = wanted.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(row, wanted, "{name}");
    };
    let identity = |number: u32, account: &str, anchor: &str, domain: &str| -> Vec<(&'static str, String)> {
        vec![
            ("sourceAnchor", anchor.to_owned()),
            ("dn", format!("CN={{{}}}", hex(anchor))),
            ("onPremisesObjectIdentifier", anchor.to_owned()),
            ("commonName", account.to_owned()),
            ("onPremisesSamAccountName", account.to_owned()),
            ("onPremiseSecurityIdentifier", sid(number)),
            ("dnsDomainName", domain.to_owned()),
            ("userType", "Member".to_owned()),
        ]
    };
    let person = |mut all: Vec<(&'static str, String)>, more: &[(&'static str, &str)]| {
        all.extend(more.iter().map(|&(name, value)| (name, value.to_owned())));
        let borrowed: Vec<(&str, &str)> = all.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let name = borrowed.iter().find(|(n, _)| *n == "userPrincipalName").unwrap().1;
        owed("user", name, &borrowed);
    };
    let at_home = |cn: &str| format!("CN={cn},OU=CORP,DC=contoso,DC=com");
    person(
        identity(1, "anna", &anchor(1), "contoso.com"),
        &[
            ("accountEnabled", "True"),
            ("userPrincipalName", "anna@contoso.com"),
            ("displayName", "Anna"),
            ("mail", "anna@contoso.com"),
            ("alias", "anna"),
            ("department", "Sales"),
            ("extensionAttribute1", "CC-1"),
            ("employeeID", "4711"),
            ("employeeType", "Staff"),
            ("usageLocation", "DE"),
            ("msExchBypassAudit", "True"),
            ("userCertificate", &base64(b"one")),
            ("onPremisesDistinguishedName", &at_home("anna")),
        ],
    );
    // Two accounts with one anchor are one person: what sign-in needs is of the enabled one, what only the other has comes from it.
    person(
        identity(2, "bert", &base64(guid.as_bytes()), "contoso.com"),
        &[
            ("accountEnabled", "True"),
            ("userPrincipalName", "bert@contoso.com"),
            ("displayName", "bert"),
            ("department", "Law"),
            ("extensionAttribute1", "CC-2"),
            ("employeeType", "Guest"),
            ("onPremisesDistinguishedName", &at_home("bert")),
        ],
    );
    let cora = identity(4, "cora", &anchor(4), "contoso.com");
    let cora = cora.into_iter().filter(|(name, _)| *name != "dnsDomainName").collect();
    person(
        cora,
        &[
            ("accountEnabled", "False"),
            ("userPrincipalName", "cora@contoso.com"),
            ("displayName", "cora"),
            ("alias", "cora"),
            ("onPremisesDistinguishedName", &at_home("cora")),
        ],
    );
    person(
        identity(12, "dana", &anchor(12), "woodgrove.test"),
        &[
            ("accountEnabled", "True"),
            ("userPrincipalName", "dana@contoso.com"),
            ("displayName", "dana"),
            ("onPremisesDistinguishedName", &elsewhere(&at_home("dana"))),
        ],
    );
    for (name, number) in [("Staff", 30), ("Away", 31)] {
        let anchor = anchor(number);
        owed(
            "group",
            name,
            &[
                ("sourceAnchor", &anchor),
                ("dn", &format!("CN={{{}}}", hex(&anchor))),
                ("commonName", name),
                ("onPremiseSecurityIdentifier", &sid(number)),
                ("securityEnabled", "True"),
                ("displayName", name),
            ],
        );
    }
    let links: Vec<(String, String)> = house.links().into_iter().collect();
    let link = |of: &str, to: &str| (of.to_owned(), to.to_owned());
    assert_eq!(
        links,
        [
            link("Away", "member: anna@contoso.com"),
            link("Staff", "member: anna@contoso.com"),
            link("Staff", "member: bert@contoso.com"),
            link("anna@contoso.com", "manager: bert@contoso.com"),
        ],
        "a foreign member is the person of the other forest"
    );
    house.go_live().await;
    assert_eq!(house.pending().len(), 0);
    let users = house.cloud("users");
    let bert = users.iter().find(|user| user["userPrincipalName"] == "bert@contoso.com").unwrap();
    assert_eq!(bert["onPremisesImmutableId"], json!(base64(guid.as_bytes())));
    assert_eq!(bert["userType"], json!("Member"));
    // What was written back before the move is what counts after it: the first forest's account goes, the person stays.
    let without = first.replace(
        &user(
            2,
            "bert",
            512,
            &format!("mS-DS-ConsistencyGuid: {guid}\nuserPrincipalName: bert@contoso.com\ndepartment: Law\n"),
        ),
        "",
    );
    assert_ne!(without, first);
    house.write("a.ldif", &without);
    let mark = house.sim.log_mark();
    house.cycle(CycleKind::Delta).await;
    let after = house.cloud("users");
    let moved = after.iter().find(|user| user["id"] == bert["id"]).unwrap();
    assert_eq!(moved["userPrincipalName"], json!("old.bert@contoso.com"));
    assert_eq!(moved["accountEnabled"], json!(false));
    assert!(
        house.sim.changes(mark).iter().all(|write| write.method != "DELETE" || write.path.contains("$ref"))
    );
}
