//! The 62 real rules of an Azure AD Connect installation over a real Active Directory: everything that the tenant is
//! owed, object by object and attribute by attribute, as those rules are documented (`facts/defaults.md`).

use onesync_graphsim::{DomainConfig, TenantConfig};
use onesync_ldap::ChangeKind::Replace;
use onesync_service::{Configuration, CycleKind};
use serde_json::json;

use super::domain::{Domain, beginning, expected, long, text};
use super::forest::{DISABLED, ENABLED, Forest};
use crate::aadconnect::real;
use crate::imported::{Files, hex, imported, links, pending, shown};
use crate::world::base64;

/// The export, with this domain controller in the place of its own.
async fn configuration(forest: &Forest, export: &std::path::Path) -> Configuration {
    let include: Vec<toml::Value> =
        forest.selected(&["OU=CORP", "CN=Users,DC=contoso,DC=test"]).into_iter().map(Into::into).collect();
    let files: Files = imported(export, &[], &forest.sim.base_url(), |table| {
        let settings = table["settings"].as_table_mut().unwrap();
        for (key, value) in Forest::access() {
            settings.insert(key.to_owned(), value.into());
        }
        settings.insert("password".to_owned(), "ad".into());
        settings.insert("include".to_owned(), include.clone().into());
    })
    .await;
    let files = files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
    Configuration::parse(files).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_rules_over_a_real_domain_owe_the_cloud_what_they_are_documented_to() {
    let Some(export) = real() else { return };
    let mut tenant = TenantConfig::default();
    tenant.domains.push(DomainConfig {
        name: "contoso.test".to_owned(),
        verified: true,
        ..DomainConfig::default()
    });
    let Some(forest) = Forest::bare("aad", &["OU=CORP"], tenant).await else { return };
    let mut domain = Domain { forest, own: format!("x{:x}", std::process::id()) };
    // Names that the rules know are the same in each run: one that was cut short has left them.
    let fixed = "(|(sAMAccountName=SUPPORT_388945a0)(sAMAccountName=MSOL_AD_Sync_RichCoexistence))";
    for left in domain.forest.names("DC=contoso,DC=test", fixed).await {
        domain.forest.client.delete(&left, Vec::new()).await.unwrap();
    }
    let long = long();
    let kept = &long[..448];

    // Accounts: with everything, with nothing, disabled.
    let bert = domain.user("bert", ENABLED, &[]).await;
    let dora = domain.user("dora", DISABLED, &[("displayName", text("Dora"))]).await;
    let anna = format!("anna{}", domain.own);
    let (bert_dn, upn) = (domain.dn(&bert), format!("{anna}@contoso.com"));
    let exact = &long[..448];
    domain
        .account(
            &anna,
            ENABLED,
            &[
                ("userPrincipalName", text(&upn)),
                ("displayName", text("Anna Arndt")),
                ("givenName", text(" Anna")),
                ("sn", text("Arndt ")),
                ("initials", text("AA")),
                ("middleName", text("Amalia")),
                ("mail", text(&upn)),
                ("mailNickname", text("anna.a")),
                ("proxyAddresses", vec![b"SMTP:anna@contoso.com", b"smtp:a@contoso.com "]),
                ("targetAddress", text("SMTP:anna@contoso.mail")),
                ("description", text(&long)),
                ("info", text(exact)),
                ("url", vec![b"http://one.test", b"http://two.test"]),
                ("postOfficeBox", vec![b"Box 2", b"Box 1"]),
                ("title", text("Head")),
                ("company", text("Contoso")),
                ("department", text("Sales")),
                ("l", text("Jena")),
                ("st", text("TH")),
                ("co", text("Germany")),
                ("c", text("DE")),
                ("countryCode", text("276")),
                ("telephoneNumber", text("+49 1")),
                ("mobile", text("+49 2")),
                ("facsimileTelephoneNumber", text("+49 3")),
                ("homePhone", text("+49 4")),
                ("ipPhone", text("+49 5")),
                ("pager", text("+49 6")),
                ("telephoneAssistant", text("+49 7")),
                ("otherTelephone", vec![b"+49 11", b"+49 12"]),
                ("otherHomePhone", text("+49 13")),
                ("otherMobile", text("+49 14")),
                ("otherPager", text("+49 15")),
                ("otherIpPhone", text("+49 16")),
                ("otherFacsimileTelephoneNumber", text("+49 17")),
                ("physicalDeliveryOfficeName", text("7")),
                ("streetAddress", text("Road 1")),
                ("postalCode", text("07743")),
                ("preferredLanguage", text("de-DE")),
                ("wWWHomePage", text("http://anna.test")),
                ("extensionAttribute1", text(" one ")),
                ("extensionAttribute15", text("fifteen")),
                ("legacyExchangeDN", text("/o=Contoso/cn=anna")),
                ("msDS-PhoneticDisplayName", text("ANNA")),
                ("msDS-HABSeniorityIndex", text("3")),
                ("msExchRecipientTypeDetails", text("1")),
                ("msExchRecipientDisplayType", text("1073741824")),
                ("msExchRequireAuthToSendTo", text("FALSE")),
                ("msExchHideFromAddressLists", text("TRUE")),
                ("msExchMailboxGuid", text("0123456789abcdef")),
                // Not flowed by these rules: the tenant alone says where somebody is.
                ("msExchUsageLocation", text("DE")),
                ("employeeID", text("4711")),
                ("thumbnailPhoto", vec![&[0xFF, 0xD8, 0xFF]]),
                ("userCertificate", vec![&[0x30, 0x03, 0x02, 0x01, 0x01]]),
                ("userSMIMECertificate", vec![&[0x30, 0x00]]),
                ("manager", text(&bert_dn)),
                ("assistant", text(&bert_dn)),
            ],
        )
        .await;

    // Everybody who never goes to the cloud.
    let own = domain.own.clone();
    for (account, lines) in [
        (format!("CAS_{{8{own}}}"), vec![]),
        (format!("AAD_{own}"), vec![]),
        (format!("MSOL_{own}"), vec![]),
        ("SUPPORT_388945a0".to_owned(), vec![]),
        (format!("sysbox{own}"), vec![("mailNickname", text("SystemMailbox{1f05a927}"))]),
        (format!("casbox{own}"), vec![("mailNickname", text("CAS_{0816}"))]),
        (format!("arbit{own}"), vec![("msExchRecipientTypeDetails", text("8388608"))]),
        (format!("wrote{own}"), vec![("adminDescription", text("User_0815"))]),
    ] {
        domain.account(&account, ENABLED, &lines).await;
    }
    // A linked mailbox whose account is in a forest that nobody reads: no anchor, nobody to sign in.
    let foreign = [1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 9, 9, 0, 0];
    domain
        .user(
            "linked",
            DISABLED,
            &[
                ("mailNickname", text("linked")),
                ("msExchRecipientTypeDetails", text("2")),
                ("msExchMasterAccountSid", vec![&foreign]),
            ],
        )
        .await;

    // Contacts: with everything, filtered, and without a mail address.
    let partner = domain
        .object(
            "contact",
            "Partner",
            &[
                ("displayName", text("Partner")),
                ("givenName", text("Paul")),
                ("sn", text("Par")),
                ("mail", text("partner@example.com")),
                ("proxyAddresses", text("SMTP:partner@example.com")),
                ("targetAddress", text("SMTP:partner@example.com")),
                ("company", text("Fabrikam")),
                ("department", text("Press")),
                ("title", text("Editor")),
                ("l", text("Kiel")),
                ("st", text("SH")),
                ("c", text("DE")),
                ("co", text("Germany")),
                ("telephoneNumber", text("+49 21")),
                ("mobile", text("+49 22")),
                ("description", text("short")),
                ("extensionAttribute2", text("two")),
                ("msExchHideFromAddressLists", text("FALSE")),
                ("manager", text(&bert_dn)),
            ],
        )
        .await;
    for (name, lines) in [
        ("Nobody", vec![("displayName", text("Nobody"))]),
        (
            "Hidden",
            vec![
                ("displayName", text("Hidden (MSOL)")),
                ("mail", text("hidden@example.com")),
                ("msExchHideFromAddressLists", text("TRUE")),
            ],
        ),
        ("Cas", vec![("mailNickname", text("CAS_{17}")), ("mail", text("cas@example.com"))]),
    ] {
        domain.object("contact", name, &lines).await;
    }

    // Groups: security, with mail, distribution, and those that never go.
    let anna_dn = domain.dn(&anna);
    let inner = domain.group("Inner", "-2147483646", &[("displayName", text("Inner"))]).await;
    let members = vec![anna_dn.as_bytes(), bert_dn.as_bytes(), inner.as_bytes(), partner.as_bytes()];
    domain
        .group(
            "Staff",
            "-2147483646",
            &[
                ("displayName", text("All Staff")),
                ("description", text(&long)),
                ("info", text(&long)),
                ("extensionAttribute3", text("three")),
                ("managedBy", text(&bert_dn)),
                ("member", members),
            ],
        )
        .await;
    let mail = |address: &'static str| [("mail", text(address)), ("mailNickname", text("news"))];
    let news = [
        &mail("news@contoso.com")[..],
        &[
            ("displayName", text("News")),
            ("proxyAddresses", text("SMTP:news@contoso.com")),
            ("msExchRequireAuthToSendTo", text("TRUE")),
            ("member", text(&anna_dn)),
        ],
    ]
    .concat();
    domain.group("News", "8", &news).await;
    domain.group("Alerts", "-2147483640", &mail("alerts@contoso.com")).await;
    domain.group("Sealed", "8", &[]).await;
    domain.group("Role", "-2147483646", &[("msExchRecipientTypeDetails", text("1073741824"))]).await;
    domain.group("Back", "-2147483646", &[("adminDescription", text("Group_0815"))]).await;
    let rich = [("sAMAccountName", text("MSOL_AD_Sync_RichCoexistence")), ("groupType", text("-2147483646"))];
    domain.object("group", "Rich", &rich).await;

    // Computers: one that is registered, one that is not.
    for (name, certificate) in [("PC1", true), ("PC2", false)] {
        let account = format!("{name}{own}$");
        let mut lines = vec![
            ("sAMAccountName", text(&account)),
            ("userAccountControl", text("4096")),
            ("displayName", text(name)),
            ("operatingSystem", text("Windows 11")),
            ("operatingSystemVersion", text("10.0")),
        ];
        if certificate {
            lines.push(("userCertificate", vec![&[0x30, 0x01]]));
        }
        domain.object("computer", name, &lines).await;
    }

    let configuration = configuration(&domain.forest, &export).await;
    domain.forest.service.apply(configuration, "test").await.unwrap();
    let report = domain.forest.cycle(CycleKind::Initial).await;
    assert!(report.failures.is_empty(), "{report:#?}");
    assert_eq!(domain.forest.standing_errors(), [""; 0]);

    // Windows' own accounts and groups are read, and go nowhere.
    let runtime = domain.forest.service.runtime().unwrap();
    let forest = runtime.connector("contoso.com").unwrap();
    for name in ["krbtgt", "Domain Admins"] {
        let found = domain.forest.service.search_cs(&runtime, forest, name, 10).unwrap();
        assert!(!found.is_empty() && found.iter().all(|o| o.state.starts_with("disconnector")), "{found:?}");
    }
    let rows = pending(&domain.forest.service);
    // CN=Users has groups of DNS that are no critical objects: they go, as they do with the original.
    let of_dns = |name: &str| ["DnsAdmins", "DnsUpdateProxy"].contains(&name);
    let names: Vec<(&str, &str)> = rows
        .iter()
        .filter(|((_, name), _)| !of_dns(name))
        .map(|((kind, name), row)| (kind.as_str(), name.as_str(), row.state.as_str()))
        .map(|(kind, name, state)| {
            let cannot = kind != "user" && !["All Staff", "Inner"].contains(&name);
            assert_eq!(state, if cannot { "cannot be written" } else { "pending" }, "{kind} {name}");
            (kind, name)
        })
        .collect();
    let at = |name: &str| format!("{name}@contoso.test");
    let mut wanted = vec![
        ("contact", "Partner".to_owned()),
        ("device", "PC1".to_owned()),
        ("group", "Alerts".to_owned()),
        ("group", "All Staff".to_owned()),
        ("group", "Inner".to_owned()),
        ("group", "News".to_owned()),
        ("user", upn.clone()),
        ("user", at(&bert)),
        ("user", at(&dora)),
    ];
    wanted.sort();
    let wanted: Vec<(&str, &str)> = wanted.iter().map(|(kind, name)| (*kind, name.as_str())).collect();
    assert_eq!(names, wanted, "everybody filtered stays out, nobody of Windows' own goes");
    let row = |kind: &str, name: &str| shown(&rows[&(kind.to_owned(), name.to_owned())]);

    assert_eq!(row("user", &at(&bert)), domain.account_identity(&bert, &[]).await);
    let disabled = [("accountEnabled", "False"), ("displayName", "Dora")];
    assert_eq!(row("user", &at(&dora)), domain.account_identity(&dora, &disabled).await);
    let full = domain
        .account_identity(
            &anna,
            &[
                ("userPrincipalName", &upn),
                ("mail", &upn),
                ("displayName", "Anna Arndt"),
                ("givenName", "Anna"),
                ("surname", "Arndt"),
                ("initials", "AA"),
                ("middleName", "Amalia"),
                ("alias", "anna.a"),
                ("proxyAddresses", "smtp:a@contoso.com, SMTP:anna@contoso.com"),
                ("targetAddress", "SMTP:anna@contoso.mail"),
                ("description", kept),
                ("info", exact),
                // The first of several, in canonical order.
                ("url", "http://one.test"),
                ("postOfficeBox", "Box 1"),
                ("title", "Head"),
                ("company", "Contoso"),
                ("department", "Sales"),
                ("city", "Jena"),
                ("state", "TH"),
                ("country", "Germany"),
                ("countryLetterCode", "DE"),
                ("countryCode", "276"),
                ("telephoneNumber", "+49 1"),
                ("mobile", "+49 2"),
                ("facsimileTelephoneNumber", "+49 3"),
                ("homePhone", "+49 4"),
                ("ipPhone", "+49 5"),
                ("pager", "+49 6"),
                ("telephoneAssistant", "+49 7"),
                ("otherTelephone", "+49 11, +49 12"),
                ("otherHomePhone", "+49 13"),
                ("otherMobile", "+49 14"),
                ("otherPager", "+49 15"),
                ("otherIpPhone", "+49 16"),
                ("otherFacsimileTelephoneNumber", "+49 17"),
                ("physicalDeliveryOfficeName", "7"),
                ("streetAddress", "Road 1"),
                ("postalCode", "07743"),
                ("preferredLanguage", "de-DE"),
                ("wWWHomePage", "http://anna.test"),
                ("extensionAttribute1", "one"),
                ("extensionAttribute15", "fifteen"),
                ("legacyExchangeDN", "/o=Contoso/cn=anna"),
                ("msDsPhoneticDisplayName", "ANNA"),
                ("msDsHabSeniorityIndex", "3"),
                ("msExchRecipientTypeDetails", "1"),
                ("msExchRecipientDisplayType", "1073741824"),
                ("msExchRequireAuthToSendTo", "False"),
                ("msExchHideFromAddressLists", "True"),
                ("msExchMailboxGuid", &base64(b"0123456789abcdef")),
                ("thumbnailPhoto", &base64(&[0xFF, 0xD8, 0xFF])),
                ("userCertificate", &base64(&[0x30, 0x03, 0x02, 0x01, 0x01])),
                ("userSMIMECertificate", &base64(&[0x30, 0x00])),
            ],
        )
        .await;
    assert_eq!(row("user", &upn), full);

    let staff = domain
        .identity(
            "Staff",
            &[
                ("displayName", "All Staff"),
                ("securityEnabled", "True"),
                ("description", &beginning(kept)),
                ("info", kept),
                ("extensionAttribute3", "three"),
            ],
        )
        .await;
    assert_eq!(row("group", "All Staff"), staff);
    let plain = [("displayName", "Inner"), ("securityEnabled", "True")];
    assert_eq!(row("group", "Inner"), domain.identity("Inner", &plain).await);
    let mut news = domain
        .identity(
            "News",
            &[
                ("displayName", "News"),
                ("securityEnabled", "False"),
                ("mail", "news@contoso.com"),
                ("alias", "news"),
                ("proxyAddresses", "SMTP:news@contoso.com"),
                ("msExchRequireAuthToSendTo", "True"),
            ],
        )
        .await;
    let mut alerts = domain
        .identity(
            "Alerts",
            &[
                ("displayName", "Alerts"),
                ("securityEnabled", "True"),
                ("mail", "alerts@contoso.com"),
                ("alias", "news"),
            ],
        )
        .await;
    for (name, expected) in [("News", &mut news), ("Alerts", &mut alerts)] {
        let sid = domain.digits(name, "objectSid").await;
        expected.insert("onPremiseSecurityIdentifier".to_owned(), sid);
        assert_eq!(&row("group", name), expected, "{name}");
    }
    let partner = domain
        .identity(
            "Partner",
            &[
                ("displayName", "Partner"),
                ("givenName", "Paul"),
                ("surname", "Par"),
                // Without a mail nickname, the name of the entry.
                ("alias", "Partner"),
                ("mail", "partner@example.com"),
                ("proxyAddresses", "SMTP:partner@example.com"),
                ("targetAddress", "SMTP:partner@example.com"),
                ("company", "Fabrikam"),
                ("department", "Press"),
                ("title", "Editor"),
                ("city", "Kiel"),
                ("state", "SH"),
                ("country", "Germany"),
                ("countryLetterCode", "DE"),
                ("telephoneNumber", "+49 21"),
                ("mobile", "+49 22"),
                ("description", "short"),
                ("extensionAttribute2", "two"),
                ("msExchHideFromAddressLists", "False"),
            ],
        )
        .await;
    assert_eq!(row("contact", "Partner"), partner);
    let anchor = domain.anchor("PC1").await;
    let device = expected(&[
        ("dn", &format!("CN={{{}}}", hex(&anchor))),
        ("accountEnabled", "True"),
        ("deviceId", &domain.digits("PC1", "objectGUID").await),
        ("deviceOSType", "Windows 11"),
        ("deviceOSVersion", "10.0"),
        ("deviceTrustType", "ServerAd"),
        ("displayName", "PC1"),
        ("onPremiseSecurityIdentifier", &domain.digits("PC1", "objectSid").await),
        ("userCertificate", "3001"),
    ]);
    assert_eq!(row("device", "PC1"), device);

    // Links: managers and members of what can be written; `Partner` and `News` are there nowhere.
    let links: Vec<(String, String)> =
        links(&domain.forest.service).into_iter().filter(|(name, _)| !of_dns(name)).collect();
    let mut wanted: Vec<(String, String)> = [
        (upn.as_str(), format!("manager: {}", at(&bert))),
        ("All Staff", format!("member: {}", at(&bert))),
        ("All Staff", format!("member: {upn}")),
        ("All Staff", "member: Inner".to_owned()),
        ("All Staff", "member: Partner".to_owned()),
        ("News", format!("member: {upn}")),
    ]
    .map(|(of, to)| (of.to_owned(), to))
    .to_vec();
    wanted.sort();
    assert_eq!(links, wanted);

    live(domain, &anna, &bert, &dora, kept).await;
}

/// The plan is released: it is written, read back, and from then on only what changes.
async fn live(mut domain: Domain, anna: &str, bert: &str, dora: &str, kept: &str) {
    let runtime = domain.forest.service.runtime().unwrap();
    let cloud = runtime.connector("entra").unwrap();
    let plan = domain.forest.service.staging_plan(&runtime, cloud).unwrap();
    domain.forest.service.staging_off(&runtime, cloud, &plan.hash).unwrap();
    let report = domain.forest.cycle(CycleKind::Delta).await;
    assert_eq!(report.errors, 0, "{:?}", domain.forest.standing_errors());
    let nothing = [""; 0];
    let (report, written) = domain.forest.written().await;
    assert_eq!((written.as_slice(), report.errors), (&nothing.map(str::to_owned)[..], 0), "quiet");

    let users = domain.forest.cloud("users");
    let of = |upn: &str| users.iter().find(|user| user["userPrincipalName"] == upn).unwrap();
    let there = of(&format!("{anna}@contoso.com"));
    let anchor = domain.anchor(anna).await;
    assert_eq!(there["onPremisesImmutableId"], json!(anchor));
    for (attribute, value) in [
        ("jobTitle", json!("Head")),
        ("companyName", json!("Contoso")),
        ("city", json!("Jena")),
        ("state", json!("TH")),
        ("country", json!("Germany")),
        ("businessPhones", json!(["+49 1"])),
        ("mobilePhone", json!("+49 2")),
        ("faxNumber", json!("+49 3")),
        ("officeLocation", json!("7")),
        ("mailNickname", json!("anna.a")),
        ("preferredLanguage", json!("de-DE")),
        ("usageLocation", json!(null)),
    ] {
        assert_eq!(there[attribute], value, "{attribute}");
    }
    assert_eq!(of(&format!("{dora}@contoso.test"))["accountEnabled"], json!(false));
    let groups = domain.forest.cloud("groups");
    let staff = groups.iter().find(|group| group["displayName"] == "All Staff").unwrap();
    assert_eq!(staff["description"], json!(kept));
    assert_eq!(staff["members"].as_array().unwrap().len(), 3, "the contact is nowhere in the cloud");
    for name in ["News", "Alerts"] {
        assert!(!groups.iter().any(|group| group["displayName"] == name), "{name} is no plain group");
    }

    let forest = &mut domain.forest;
    let corp = |cn: &str, forest: &Forest| forest.dn(&format!("CN={cn},OU=CORP"));
    let (anna_dn, dora_dn, bert_dn) = (corp(anna, forest), corp(dora, forest), corp(bert, forest));
    forest.change(&anna_dn, Replace, "description", &[&format!("{kept}, and what is cut")]).await;
    forest.change(&anna_dn, Replace, "homePhone", &["+49 44"]).await;
    let (_, written) = forest.written().await;
    assert_eq!(written, nothing, "what is cut, and what nobody can write");
    forest.change(&dora_dn, Replace, "userAccountControl", &[ENABLED]).await;
    let (_, written) = forest.written().await;
    assert_eq!(written, ["PATCH users"], "an account is enabled");
    forest.change(&bert_dn, Replace, "mailNickname", &["SystemMailbox{1f}"]).await;
    let (_, written) = forest.written().await;
    assert_eq!(written, ["PATCH users"], "who is filtered from now on is disabled at once");
    let partner = corp("Partner", forest);
    forest.change(&partner, Replace, "title", &["Author"]).await;
    let (report, written) = forest.written().await;
    assert_eq!((written, report.errors), (vec![], 0), "a contact is computed, and never written");
    domain.forest.close().await;
}
