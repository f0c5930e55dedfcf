//! An exported configuration of Azure AD Connect: it passes the check, says what it cannot carry, and runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use onesync_service::{AadConnectImport, Configuration, import_aadconnect};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../aadconnect/tests/it").join(name)
}

/// The real export, where it is.
pub fn real() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/aadconnect-production");
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there", path.display());
    None
}

async fn import(path: &Path, names: &[&str]) -> AadConnectImport {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let imported = import_aadconnect(path, &names).await.unwrap();
    assert_eq!(imported.check.errors, 0, "{:#?}", imported.check.messages);
    let files: BTreeMap<String, Vec<u8>> =
        imported.files.iter().map(|(path, text)| (path.clone(), text.clone().into_bytes())).collect();
    let config: BTreeMap<String, Vec<u8>> = files
        .into_iter()
        .filter(|(path, _)| !path.starts_with("not-carried") && !path.starts_with("import-report"))
        .collect();
    Configuration::parse(config).unwrap();
    imported
}

fn said(imported: &AadConnectImport, part: &str) -> bool {
    imported.files["import-report.txt"].contains(part)
}

#[tokio::test]
async fn a_folder_becomes_a_configuration_that_passes_the_check() {
    let imported = import(&fixture("folder"), &[]).await;
    assert_eq!((imported.report.connectors, imported.report.rules), (3, 6));
    assert_eq!(
        imported.report.secrets,
        ["fabrikam.onmicrosoft.com-aad-secret", "fabrikam.test-secret", "emea.fabrikam.test-secret"]
    );
    let forest = &imported.files["connectors/fabrikam.test.toml"];
    for line in [
        "url = \"ldaps://dc1.fabrikam.test\"",
        "base = \"DC=fabrikam,DC=test\"",
        "include = [\"OU=Staff,DC=fabrikam,DC=test\"]",
        "exclude = [\"OU=Lab,OU=Staff,DC=fabrikam,DC=test\"]",
        "object_types = [\"user\", \"foreignSecurityPrincipal\"]",
        "attributes = [\"employeeID\"]",
        "contoso-badgeNumber = \"integer\"",
        "\"Domain.Netbios\" = \"FABRIKAM\"",
        "Night = [\"full-import\", \"full-sync\"]",
    ] {
        assert!(forest.contains(line), "{line}:\n{forest}");
    }
    let rule = &imported.files["rules/100-in-from-ad-person-join.toml"];
    assert!(rule.contains("connector  = [\"fabrikam.test\", \"emea.fabrikam.test\"]"), "{rule}");
    for part in [
        "object type printQueue of fabrikam.test",
        "parameter Contoso.Unheard: `of`",
        "PasswordHashSync: password hashes are not synchronised",
        "only members of CN=Pilot,DC=fabrikam,DC=test were synchronised",
        "threshold of 250",
        "onPremiseSecurityIdentifier",
    ] {
        assert!(said(&imported, part), "{part}:\n{}", imported.files["import-report.txt"]);
    }
}

#[tokio::test]
async fn a_script_becomes_a_configuration_that_passes_the_check() {
    let names = ["11111111-aaaa-4bbb-8ccc-222222222222=fabrikam.test"];
    let imported = import(&fixture("scripts"), &names).await;
    assert_eq!((imported.report.connectors, imported.report.rules), (2, 5));
    let report = &imported.files["import-report.txt"];
    // What cannot be carried is a comment in its rule, and a line of the report.
    assert!(
        report.contains("rule Out to AAD - User Join, flow to info: there is no function `NoSuchFunction`"),
        "{report}"
    );
    let rule = &imported.files["rules/103-out-to-aad-user-join.toml"];
    assert!(
        rule.contains("# info = 'NoSuchFunction([displayName])'")
            || rule.contains("# info = \"NoSuchFunction([displayName])\""),
        "{rule}"
    );
    let cloud = &imported.files["connectors/entra.toml"];
    assert!(cloud.contains("extension_9d98ed114c4840d298fad781915f27e4_costCentre"), "{cloud}");
    assert!(cloud.contains("contosoUnheardOf = \"string*\""), "{cloud}");
    assert!(imported.files["connectors/fabrikam.test.toml"].contains("contosoCostCentre = \"string*\""));
    let metaverse = &imported.files["metaverse.toml"];
    assert!(metaverse.contains("costCentre = { type = \"string\""), "{report}");
    assert!(report.contains("costCentre (person)"), "{report}");
    // One file serves as well as a folder, and a connector that nobody named is asked for.
    let one = import(&fixture("scripts/rules.ps1"), &names).await;
    assert_eq!(one.report.rules, 5);
    let error = import_aadconnect(&fixture("scripts"), &[]).await.unwrap_err().to_string();
    assert!(error.contains("--connector 11111111-aaaa-4bbb-8ccc-222222222222=NAME"), "{error}");
}

#[tokio::test]
async fn the_real_rules_become_a_configuration_that_passes_the_check() {
    let Some(path) = real() else { return };
    let imported = import(&path, &[]).await;
    assert_eq!((imported.report.connectors, imported.report.rules), (2, 62));
    // One flow asks for what is no link: a SID in an attribute for references.
    assert_eq!(imported.report.flows, 1_199, "{}", imported.files["import-report.txt"]);
    for part in [
        "contact: contacts of the tenant are not joined",
        "these are nowhere: assistant, authOrig",
        "managedBy",
    ] {
        assert!(said(&imported, part), "{part}: {}", imported.files["import-report.txt"]);
    }
    // Of people a manager is written, of contacts not.
    let report = &imported.files["import-report.txt"];
    let links =
        |of: &str| report.lines().find(|line| line.contains(of) && line.contains("these are nowhere"));
    assert!(
        !links("AAD, user:").unwrap().contains("manager")
            && links("AAD, contact:").unwrap().contains("manager")
    );
    assert!(said(&imported, "rule In from AD - Computer Join, flow to registeredOwnerReference"));
    assert!(said(&imported, "attribute msExchBypassModerationFromDLMembersBL"));
}

#[tokio::test]
async fn what_is_no_file_or_too_large_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("trace.txt");
    // A file of holes: long, and without a byte on the disk.
    std::fs::File::create(&large).unwrap().set_len(40 << 30).unwrap();
    for path in [folder.path(), &large] {
        let error = import_aadconnect(path, &[]).await.unwrap_err().to_string();
        assert!(error.contains("trace.txt is too large"), "{error}");
    }
    std::fs::remove_file(&large).unwrap();
    let pipe = folder.path().join("pipe.xml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [folder.path(), &pipe] {
        let error = import_aadconnect(path, &[]).await.unwrap_err().to_string();
        assert!(error.contains("pipe.xml is no file"), "{error}");
    }
}

#[tokio::test]
async fn a_domain_whose_base_is_left_out_with_nothing_in_its_place_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("folder"), folder.path());
    let all = import(folder.path(), &[]).await;
    assert!(all.files.contains_key("connectors/fabrikam.test.toml"), "{:?}", all.files.keys());
    let name = "Connectors/Connector_{11111111-aaaa-4bbb-8ccc-222222222222}.xml";
    let file = folder.path().join(name);
    let text = std::fs::read_to_string(&file).unwrap();
    let without =
        text.replace("<inclusions><inclusion>OU=Staff,DC=fabrikam,DC=test</inclusion></inclusions>", "");
    assert_ne!(without, text);
    std::fs::write(&file, without).unwrap();
    let imported = import(folder.path(), &[]).await;
    let report = &imported.files["import-report.txt"];
    assert!(report.contains("its base is excluded and no container is included"), "{report}");
    let bases: Vec<&String> =
        imported.files.values().filter(|text| text.contains("base = \"DC=fabrikam,DC=test\"")).collect();
    assert!(bases.is_empty(), "{bases:?}");
    let nameless = imported.files.values().filter(|text| text.contains("kind = \"ad\"")).count();
    assert_eq!(nameless, 1, "the other domain");
}

#[tokio::test]
async fn scopes_that_ask_for_groups_are_carried_over() {
    let vip = "CN=Vip,OU=Groups,DC=fabrikam,DC=test";
    let clause = format!("operator = \"ISNOTMEMBEROF\", value = \"{vip}\"");
    let folder = tempfile::tempdir().unwrap();
    let changed = |name: &str, from: &str, to: &str| {
        let file = folder.path().join(name);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
    };
    copy(&fixture("folder"), folder.path());
    let scope = |attribute: &str, operator: &str, value: &str| {
        format!(
            "<scope><csAttribute>{attribute}</csAttribute><csOperator>{operator}</csOperator><csValue>{value}</csValue></scope>"
        )
    };
    let rule = |number: u32| {
        format!(
            "SynchronizationRules/SynchronizationRule_{{0000000{number}-1111-4222-8333-444444444444}}.xml"
        )
    };
    let asked = scope("dn", "ISNOTMEMBEROF", vip);
    changed(&rule(1), &scope("isCriticalSystemObject", "NOTEQUAL", "TRUE"), &asked);
    changed(&rule(5), &scope("cloudFiltered", "NOTEQUAL", "True"), &asked);
    let imported = import(folder.path(), &[]).await;
    let carried = &imported.files["rules/100-in-from-ad-person-join.toml"];
    assert!(carried.contains(&clause), "{carried}");
    // The scope of an outbound rule looks at the metaverse.
    let not: Vec<&String> = imported.files.keys().filter(|path| path.starts_with("not-carried/")).collect();
    assert_eq!(
        (not.len(), said(&imported, "an outbound scope looks at the metaverse")),
        (1, true),
        "{not:?}"
    );

    let script = std::fs::read_to_string(fixture("scripts/rules.ps1")).unwrap();
    let written = "'isCriticalSystemObject','TRUE','NOTEQUAL'";
    assert!(script.contains(written));
    let file = folder.path().join("rules.ps1");
    std::fs::write(&file, script.replace(written, &format!("'memberOf','{vip}','ISNOTMEMBEROF'"))).unwrap();
    let imported = import(&file, &["11111111-aaaa-4bbb-8ccc-222222222222=fabrikam.test"]).await;
    let carried = imported.files.values().filter(|text| text.contains(&clause)).count();
    assert_eq!(carried, 1, "{}", imported.files["import-report.txt"]);
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
