//! Exports in both forms: what is read, what is refused with its place, and that both forms of one rule are one.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod print;

use std::path::{Path, PathBuf};

use onesync_aadconnect::{
    ConnectorKind, ConnectorName, Export, FlowSource, LinkType, Merge, Rule, SourceFile, read,
};
use print::print;

fn files(folder: &Path) -> Vec<SourceFile> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            out.push(SourceFile { path: path.display().to_string(), bytes });
        }
    }
    out
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(name)
}

const AD: &str = "11111111-aaaa-4bbb-8ccc-222222222222=fabrikam.test";

fn folder() -> Export {
    read(&files(&fixture("folder")), &[]).unwrap()
}

fn scripts(bytes: Vec<u8>) -> Result<Export, Vec<onesync_aadconnect::Mistake>> {
    let file = SourceFile { path: "rules.ps1".to_owned(), bytes };
    read(&[file], &[ConnectorName::parse(AD).unwrap()])
}

fn script() -> String {
    std::fs::read_to_string(fixture("scripts/rules.ps1")).unwrap()
}

#[test]
fn a_folder_is_read() {
    let export = folder();
    let [cloud, forest] = export.connectors.as_slice() else { panic!("{:?}", export.connectors) };
    assert_eq!(cloud.kind, ConnectorKind::Cloud, "in the order of their creation");
    assert_eq!(cloud.account.as_deref(), Some("Sync_SRV_1@fabrikam.onmicrosoft.com"));
    assert_eq!(
        (cloud.secrets.as_slice(), forest.secrets.as_slice()),
        (&["Password".to_owned()][..], &["password".to_owned()][..])
    );
    assert_eq!(forest.account.as_deref(), Some("MSOL_reader@fabrikam.test"));
    assert!(forest.password_sync);
    assert_eq!(forest.domains.len(), 2);
    assert_eq!(forest.domains[0].inclusions, ["OU=Staff,DC=fabrikam,DC=test"]);
    assert_eq!(forest.profiles[0].steps, [Ok("full-import"), Ok("full-sync")]);
    let metaverse = export.metaverse.as_ref().unwrap();
    assert!(metaverse.attributes["proxyaddresses"].multi && !metaverse.attributes["mail"].multi);
    assert_eq!(export.parameters["Contoso.Unheard"], "of");
    let names: Vec<&str> = export.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names[0], "In from AD - Person Join");
    let first = &export.rules[0];
    assert_eq!((first.link, first.precedence, first.password_sync), (LinkType::Provision, 100, true));
    assert_eq!((first.scope[0].len(), first.join.len()), (2, 2));
    assert!(first.flows.iter().any(|f| f.source == FlowSource::Constant("User".to_owned())));
    let merged = export.rules[1].flows.iter().find(|f| f.target == "proxyAddresses").unwrap();
    assert_eq!(merged.merge, Merge::MergeCaseInsensitive);
    assert!(export.rules[1].flows.iter().any(|f| f.target == "firstSeen" && f.once));
    assert!(export.rules[3].join[0][0].case_sensitive && export.rules[5].disabled);
    assert!(export.remarks.iter().any(|line| line.contains("LICENSE.txt")), "{:?}", export.remarks);
}

#[test]
fn a_script_is_read_in_every_encoding() {
    let text = script();
    let plain = scripts(text.clone().into_bytes()).unwrap();
    assert_eq!(plain.rules.len(), 5);
    let join = &plain.rules[0];
    assert_eq!(join.description, "People, and who's one");
    assert_eq!(join.join.len(), 2);
    assert_eq!(join.scope[0][1].operator, "NOTSTARTSWITH");
    assert!(matches!(&join.flows[0].source, FlowSource::Expression(text) if text.lines().count() == 3));
    assert!(
        plain.rules[1].password_sync && plain.rules[4].disabled && plain.rules[2].join[0][0].case_sensitive
    );
    let kinds: Vec<_> = plain.connectors.iter().map(|c| (c.name.as_str(), c.kind.clone())).collect();
    assert_eq!(
        kinds,
        [("entra", ConnectorKind::Cloud), ("fabrikam.test", ConnectorKind::ActiveDirectory)],
        "the tenant has one id everywhere"
    );
    let windows = text.replace('\n', "\r\n");
    let utf16: Vec<u8> =
        [0xFF, 0xFE].into_iter().chain(windows.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let marked: Vec<u8> = [0xEF, 0xBB, 0xBF].into_iter().chain(windows.bytes()).collect();
    for bytes in [windows.into_bytes(), utf16, marked] {
        let export = scripts(bytes).unwrap();
        assert_eq!(format!("{:?}", export.rules), format!("{:?}", plain.rules));
    }
    // A script that lost its backticks on the way reads as before.
    let lost = scripts(text.replace(" `\n", "\n").into_bytes()).unwrap();
    assert_eq!(lost.rules.len(), 5);
}

#[test]
fn connectors_that_nobody_named_are_asked_for() {
    let file = SourceFile { path: "rules.ps1".to_owned(), bytes: script().into_bytes() };
    let asked = read(&[file], &[]).unwrap_err();
    let text = asked[0].to_string();
    assert!(
        text.contains("11111111-aaaa-4bbb-8ccc-222222222222 (2 rules, e.g. `In from AD - User Join`)"),
        "{text}"
    );
    assert!(text.contains("--connector 11111111-aaaa-4bbb-8ccc-222222222222=NAME"), "{text}");
    for bad in ["x=y", "11111111-aaaa-4bbb-8ccc-222222222222", "11111111-aaaa-4bbb-8ccc-222222222222= "] {
        assert!(ConnectorName::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_not_of_the_form_has_its_place() {
    let text = script();
    for (from, to, word) in [
        ("Import-Module ADSync", "Remove-Item C:/x", "`Remove-Item`"),
        ("-Direction 'Inbound' `\n-Precedence 100", "-Direction 'Up' `\n-Precedence 100", "`up`"),
        ("-Precedence 100 ", "-Precedence many ", "whole number"),
        ("-FlowType 'Expression' `", "-FlowType 'Magic' `", "`magic`"),
        (
            "-ScopeConditions @($condition0[0],$condition1[0])",
            "-ScopeConditions @($condition7[0])",
            "$condition7",
        ),
        ("-Description 'People", "-Description $text + 'People", "without a parameter"),
    ] {
        assert!(text.contains(from), "{from}");
        let broken = text.replacen(from, to, 1);
        let at = broken.find(to).unwrap();
        let line = u32::try_from(broken[..at].matches('\n').count() + 1).unwrap();
        let found = scripts(broken.into_bytes()).unwrap_err();
        assert!(found.iter().any(|m| m.line == line && m.to_string().contains(word)), "{from}: {found:?}");
    }
    let xml = |text: &str| {
        let file = SourceFile { path: "rule.xml".to_owned(), bytes: text.as_bytes().to_vec() };
        read(&[file], &[]).unwrap_err()[0].clone()
    };
    let broken = xml("<synchronizationRule>\n  <name>x</nam>\n</synchronizationRule>");
    assert_eq!((broken.line, broken.file.as_str()), (2, "rule.xml"));
    let wrong =
        xml("<synchronizationRule>\n <name>x</name>\n <direction>Up</direction>\n</synchronizationRule>");
    assert_eq!((wrong.line, wrong.column), (3, 2), "{wrong}");
    assert!(xml("<html/>").to_string().contains("no rule was found"));
}

#[test]
fn what_is_not_understood_is_said() {
    let text = script()
        .replacen("-ImmutableTag 'Microsoft", "-NewInThisBuild 'x' `\n-ImmutableTag 'Microsoft", 1)
        .replace("\nAdd-ADSyncRule -SynchronizationRule $syncRule[0]\n\nNew-ADSyncRule -Name 'Out to AAD - User Old'", "\nNew-ADSyncRule -Name 'Out to AAD - User Old'");
    let export = scripts(text.into_bytes()).unwrap();
    assert_eq!(export.rules.len(), 5);
    let said = export.remarks.join("\n");
    assert!(said.contains("`-NewInThisBuild` of `New-ADSyncRule`"), "{said}");
    assert!(said.contains("`Out to AAD - User Join` is never stored"), "{said}");
}

/// The rules without their places in files.
fn plain(rules: &[Rule]) -> Vec<String> {
    rules
        .iter()
        .map(|rule| {
            format!("{:?}", Rule { place: (String::new(), 0, 0), after: None, before: None, ..rule.clone() })
        })
        .collect()
}

fn both_forms_are_one(export: &Export) {
    let text: String = export.rules.iter().map(print).collect();
    let names: Vec<ConnectorName> =
        export.connectors.iter().map(|c| ConnectorName { id: c.id.clone(), name: c.name.clone() }).collect();
    let file = SourceFile { path: "all.ps1".to_owned(), bytes: text.into_bytes() };
    let again = read(&[file], &names).unwrap();
    assert_eq!(plain(&again.rules), plain(&export.rules));
}

#[test]
fn both_forms_of_a_rule_are_one() {
    both_forms_are_one(&folder());
}

#[test]
fn both_forms_of_the_real_rules_are_one() {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/aadconnect-production");
    if !real.is_dir() {
        eprintln!("SKIPPED: {} is not there", real.display());
        return;
    }
    let export = read(&files(&real), &[]).unwrap();
    assert_eq!((export.rules.len(), export.connectors.len()), (62, 2));
    assert_eq!(export.rules.iter().map(|rule| rule.flows.len()).sum::<usize>(), 1_200);
    both_forms_are_one(&export);
}

#[test]
fn what_the_assistant_exports_as_json_is_refused_with_what_to_export_instead() {
    let text = r#"{"onpremisesDirectoryPolicy": [{"standardSynchronizationRules": [{"name": "In from AD - User Join"}]}]}"#;
    let file = SourceFile { path: "Exported.json".to_owned(), bytes: text.as_bytes().to_vec() };
    let said = read(&[file], &[]).unwrap_err()[0].to_string();
    assert!(said.contains("by name") || said.contains("they name the shipped rules"), "{said}");
    assert!(said.contains("Get-ADSyncServerConfiguration"), "{said}");
}

/// A rule as other tools write it, with what a program does around it.
const AROUND: &str = r#"
Import-Module ADSync
$connectorName = 'woodgrove.test'
$syncRuleName = 'In from AD - User Badge'
[int] $syncRulePrecedence = 42
Write-Host "Processing Sync Rule '$syncRuleName' for Connector '$connectorName'"
$connectorId = [string](Get-ADSyncConnector -Name $connectorName).Identifier
$syncRule = Get-ADSyncRule | Where { $_.Name -eq $syncRuleName -and $_.Connector -eq  $connectorId }
if ($syncRule.Count -eq 1)
{
    $syncRule | Remove-ADSyncRule | Out-Null
}
elseif ($syncRule.Count -gt 1)
{
    Write-Error "Error processing Sync Rule '$syncRuleName'. More than one sync rules found."
}

New-ADSyncRule `
-Name $syncRuleName `
-Identifier '0b7c3f7e-1111-4222-8333-444444444444' `
-Description @'
Badges
'@ `
-Direction 'Inbound' `
-Precedence $syncRulePrecedence `
-PrecedenceAfter '{00000000-0000-0000-0000-000000000000}' `
-SourceObjectType 'user' `
-TargetObjectType 'person' `
-Connector $connectorId `
-LinkType 'Join' `
-SoftDeleteExpiryInterval '00:00:00' `
-ImmutableTag '' `
-OutVariable syncRule | Out-Null

Add-ADSyncAttributeFlowMapping `
-SynchronizationRule $syncRule[0] `
-Source @('badge') `
-Destination 'employeeID' `
-FlowType 'Direct' `
-ValueMergeType 'Update' `
#-ExecuteOnce `
-OutVariable syncRule | Out-Null

Add-ADSyncRule -SynchronizationRule $syncRule[0] | Out-Null
Get-ADSyncRule -Identifier $syncRule[0].Identifier
Remove-Variable syncRule -Force
Set-ADSyncScheduler -SyncCycleEnabled $true
"#;

#[test]
fn what_a_program_does_around_a_rule_is_passed_over_and_said() {
    let file = |text: &str| [SourceFile { path: "rules.ps1".to_owned(), bytes: text.as_bytes().to_vec() }];
    let export = read(&file(AROUND), &[]).unwrap();
    let [rule] = export.rules.as_slice() else { panic!("{:?}", export.rules) };
    assert_eq!(
        (rule.name.as_str(), rule.precedence, rule.description.trim()),
        ("In from AD - User Badge", 42, "Badges")
    );
    assert!(!rule.flows[0].once, "what is commented out is not there");
    assert_eq!(export.connectors[0].name, "woodgrove.test");
    let said = export.remarks.join("\n");
    assert!(said.contains("rules.ps1:9:1: `if` was passed over") && said.contains("`elseif`"), "{said}");
    // Beside scripts with its GUID, the connector is one.
    let both = format!("{AROUND}\n{}", script());
    let names = [ConnectorName::parse("11111111-aaaa-4bbb-8ccc-222222222222=woodgrove.test").unwrap()];
    let export = read(&file(&both), &names).unwrap();
    assert_eq!((export.rules.len(), export.connectors.len()), (6, 2), "{:?}", export.connectors);
    for (from, to, word) in [
        (
            "[int] $syncRulePrecedence = 42",
            "$syncRulePrecedence = Read-Host -Prompt 'number'",
            "is a variable",
        ),
        ("-Name $syncRuleName", "-Name \"$syncRuleName\"", "double quotes"),
        ("Add-ADSyncRule -Sync", "if ($x) { Add-ADSyncRule -Sync", "stands inside"),
        ("New-ADSyncRule `", "New-ADSyncRule @Params `", "`@` begins"),
    ] {
        assert!(AROUND.contains(from), "{from}");
        let found = read(&file(&AROUND.replacen(from, to, 1)), &[]).unwrap_err();
        assert!(found.iter().any(|mistake| mistake.to_string().contains(word)), "{from}: {found:?}");
    }
}
