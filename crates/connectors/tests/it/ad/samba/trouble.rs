//! What goes wrong, and what Samba does not imitate of Windows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onesync_connectors::ad::{AdConnector, AdSettings, places};
use onesync_connectors::{
    Connector, EntryChange, ErrorClass, ImportMode, ImportPage, LinkMode, Proof, Severity, TestReport,
    Watermark,
};
use onesync_ldap::ChangeKind::{Add, Replace};
use onesync_testkit::ldap_proxy::{Behaviour, LdapProxy};

use super::super::lab::{Lab, connector, connector_with, secrets, settings, through, variable};

const FULL: ImportMode = ImportMode::Full { resume: None };

/// More members than a range of Windows holds.
const MANY: usize = 1_600;

async fn proxy(behaviour: Behaviour) -> LdapProxy {
    LdapProxy::start(format!("{}:389", variable("AD_IP")), behaviour).await.unwrap()
}

/// Contacts are cheap, and a group takes them as members.
async fn large_group(lab: &mut Lab, members: usize) -> String {
    let names: Vec<String> = (0..members).map(|n| lab.dn(&format!("CN=m{n:04}"))).collect();
    for name in &names {
        lab.add(name, "contact", &[]).await;
    }
    let group = lab.group("CN=large", &[]).await;
    for part in names.chunks(500) {
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        lab.modify(&group, &[(Add, "member", &part)]).await;
    }
    group
}

#[tokio::test]
async fn a_large_group_is_read_whole_directly_and_in_ranges() {
    let Some(mut lab) = Lab::open("large").await else { return };
    let group = large_group(&mut lab, MANY).await;
    let direct = connector(lab.settings());
    lab.full(&direct).await;
    assert_eq!(lab.objects()["CN=large"].links["member"].len(), MANY);
    let by_whole = lab.objects()["CN=large"].clone();

    let windows =
        proxy(Behaviour { members_max: Some(1_500), page_max: Some(1_000), ..Behaviour::default() }).await;
    let mut own = lab.settings();
    own.page_size = 5_000;
    let limited = connector(through(&windows, own));
    lab.full(&limited).await;
    assert_eq!(*lab.objects()["CN=large"], by_whole);
    assert!(windows.pages() >= 2, "{} pages of at most 1,000", windows.pages());

    lab.modify(&group, &[(Replace, "description", &["one change"])]).await;
    assert_eq!(lab.delta(&limited).await.0, ["merge CN=large description=one change"]);
    // the members stay: removing 1,600 objects takes Samba minutes, and the domain is thrown away
    lab.client.delete(&group, Vec::new()).await.unwrap();
}

#[tokio::test]
async fn members_come_in_many_ranges_and_a_last_one_that_is_lost_is_unknown_not_empty() {
    let Some(mut lab) = Lab::open("ranges").await else { return };
    let mut members = Vec::new();
    for number in 0..7 {
        members.push(lab.user(&format!("CN=u{number}"), &[]).await);
    }
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    lab.group("CN=g", &members).await;
    let windows = proxy(Behaviour { members_max: Some(2), ..Behaviour::default() }).await;
    let reader = connector(through(&windows, lab.settings()));
    lab.full(&reader).await;
    assert_eq!(lab.linked("CN=g", "member").len(), 7, "three whole ranges and a rest");

    windows.play(|behaviour| behaviour.lose_last_range = true);
    let (pages, end) = lab.import(&reader, FULL).await;
    assert_eq!(end.unwrap().proof, Proof::Complete, "the objects are all there");
    let anchor = lab.guid(&lab.dn("CN=g")).await;
    let member = lab.selection.types[1].attributes.iter().find(|a| a.name == "member").unwrap().id;
    let modes: Vec<LinkMode> = pages
        .iter()
        .flat_map(|page| &page.entries)
        .filter(|entry| entry.anchor == anchor)
        .flat_map(|entry| &entry.links)
        .filter(|chunk| chunk.attribute == member)
        .map(|chunk| chunk.mode)
        .collect();
    assert_eq!(modes.last(), Some(&LinkMode::Unknown), "{modes:?}");
    assert!(!modes.contains(&LinkMode::Replace { first: false, last: true }), "{modes:?}");
    lab.close().await;
}

fn objects(pages: &[ImportPage]) -> usize {
    let entries = pages.iter().flat_map(|page| &page.entries);
    entries.filter(|entry| entry.change != EntryChange::Container).count()
}

#[tokio::test]
async fn an_interrupted_full_import_goes_on_after_the_containers_that_were_read() {
    let Some(mut lab) = Lab::open("resume").await else { return };
    for ou in ["OU=a", "OU=b"] {
        lab.add(&lab.dn(ou), "organizationalUnit", &[]).await;
        for number in 0..5 {
            lab.add(&lab.dn(&format!("CN=c{number}{},{ou}", &ou[3..])), "contact", &[]).await;
        }
    }
    let (a, b) = (lab.dn("OU=a"), lab.dn("OU=b"));
    let broken = proxy(Behaviour { cut_in_page: Some(5), ..Behaviour::default() }).await;
    let mut own = settings(&format!("include = [\"{a}\", \"{b}\"]"));
    own.page_size = 3;
    let reader = connector(through(&broken, own));
    let (first, end) = lab.import(&reader, FULL).await;
    assert_eq!(end.unwrap_err().class, ErrorClass::Transient);
    let resume = first.iter().rev().find_map(|page| page.resume.clone()).unwrap();
    assert_eq!(objects(&first), 5, "the first container, whole");

    // what changes in a container that was read is told by the first delta
    let gone = lab.dn("CN=c0a,OU=a");
    lab.client.delete(&gone, Vec::new()).await.unwrap();
    let pages = broken.pages();
    let (rest, end) = lab.import(&reader, ImportMode::Full { resume: Some(resume.clone()) }).await;
    let end = end.unwrap();
    assert_eq!(end.proof, Proof::Complete);
    assert_eq!(broken.pages() - pages, 3, "only the second container is read, and what containers there are");
    assert!(end.remarks.iter().any(|remark| remark.contains("went on")), "{end:?}");
    lab.believe(first.into_iter().chain(rest).collect(), &end);
    assert_eq!(lab.objects().len(), 10);
    assert_eq!(lab.delta(&reader).await.0, ["delete CN=c0a"]);
    lab.delta_equals_full(&reader).await;

    // in a container that has another name now, nobody knows what was read
    lab.rename(&a, "OU=z", None).await;
    let (_, end) = lab.import(&reader, ImportMode::Full { resume: Some(resume.clone()) }).await;
    let error = end.unwrap_err();
    assert_eq!(error.class, ErrorClass::Watermark);
    assert!(error.message.contains("renamed"), "{error:?}");
    broken.play(|behaviour| behaviour.invocation = Some([7; 16]));
    let (_, end) = lab.import(&reader, ImportMode::Full { resume: Some(resume) }).await;
    assert_eq!(end.unwrap_err().class, ErrorClass::Watermark);
    lab.close().await;
}

#[tokio::test]
async fn what_nobody_deleted_is_only_out_of_sight() {
    let Some(mut lab) = Lab::open("sight").await else { return };
    let mut anchors = Vec::new();
    for name in ["missed", "lost", "deleted", "moved"] {
        let dn = lab.user(&format!("CN={name}"), &[]).await;
        anchors.push(lab.guid(&dn).await);
    }
    let narrow = proxy(Behaviour::default()).await;
    let reader = connector(through(&narrow, lab.settings()));
    lab.full(&reader).await;
    let known = lab.watermark();
    let (deleted, moved) = (lab.dn("CN=deleted"), lab.dn("CN=moved"));
    lab.client.delete(&deleted, Vec::new()).await.unwrap();
    let users = format!("CN=Users,{}", lab.base);
    lab.rename(&moved, "CN=moved", Some(&users)).await;
    narrow.play(|behaviour| behaviour.hidden = Some("CN=lost".to_owned()));
    // what is there and selected was missed by the import, whatever the reason: it is not gone
    let out = reader.out_of_sight(Some(&known), &anchors).await.unwrap();
    assert_eq!(out, [anchors[0].clone(), anchors[1].clone()]);
    assert_eq!(reader.out_of_sight(None, &anchors).await.unwrap(), [], "nothing was known before");
    narrow.play(|behaviour| behaviour.current_time = Some("20990101000000.0Z".to_owned()));
    let out = reader.out_of_sight(Some(&known), &anchors).await.unwrap();
    assert_eq!(out, anchors[..1], "tombstones may be gone, too; what is there was missed");

    // without sight of deleted objects only another domain controller, which may lag behind, is in doubt of absence
    let mut blind = lab.settings();
    blind.deleted_objects = false;
    let blind = connector(through(&narrow, blind));
    narrow.play(|behaviour| behaviour.current_time = None);
    assert_eq!(blind.out_of_sight(Some(&known), &anchors).await.unwrap(), anchors[..1]);
    narrow.play(|behaviour| behaviour.invocation = Some([7; 16]));
    let doubted = blind.out_of_sight(Some(&known), &anchors).await.unwrap();
    assert_eq!(doubted, [anchors[0].clone(), anchors[1].clone(), anchors[2].clone()]);
    let moved = format!("CN=moved,{users}");
    lab.client.delete(&moved, Vec::new()).await.unwrap();
    lab.close().await;
}

#[tokio::test]
async fn a_page_that_fails_half_way_proves_nothing() {
    let Some(mut lab) = Lab::open("half").await else { return };
    for number in 0..30 {
        lab.add(&lab.dn(&format!("CN=c{number}")), "contact", &[]).await;
    }
    let broken = proxy(Behaviour { cut_in_page: Some(3), ..Behaviour::default() }).await;
    let mut own = lab.settings();
    own.page_size = 10;
    let reader = connector(through(&broken, own));
    let (pages, end) = lab.import(&reader, FULL).await;
    let error = end.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error:?}");
    assert!(pages.iter().map(|page| page.entries.len()).sum::<usize>() < 30);
    lab.full(&reader).await;
    assert_eq!(lab.objects().len(), 30, "the next run reads everything");
    lab.close().await;
}

#[tokio::test]
async fn a_busy_server_is_asked_again_by_the_next_run() {
    let Some(mut lab) = Lab::open("busy").await else { return };
    lab.user("CN=u1", &[]).await;
    // the search for the cookie is the first one of a subtree
    let busy = proxy(Behaviour { busy: 1, ..Behaviour::default() }).await;
    let reader = connector(through(&busy, lab.settings()));
    let (_, end) = lab.import(&reader, FULL).await;
    let error = end.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Transient, "LDAP-BUSY"), "{error:?}");
    lab.full(&reader).await;
    busy.play(|behaviour| behaviour.busy = 1);
    let (_, end) = lab.import(&reader, ImportMode::Delta { since: lab.watermark() }).await;
    assert_eq!(end.unwrap_err().class, ErrorClass::Transient, "busy does not make the watermark useless");
    busy.play(|behaviour| behaviour.delay = Some(Duration::from_millis(50)));
    let began = Instant::now();
    assert_eq!(lab.delta(&reader).await.0, Vec::<String>::new());
    assert!(began.elapsed() >= Duration::from_millis(50));
    lab.close().await;
}

#[tokio::test]
async fn a_move_between_containers_while_they_are_read_proves_nothing() {
    let Some(mut lab) = Lab::open("crossing").await else { return };
    for ou in ["OU=a", "OU=b"] {
        lab.add(&lab.dn(ou), "organizationalUnit", &[]).await;
    }
    let (a, b) = (lab.dn("OU=a"), lab.dn("OU=b"));
    let user = lab.user("CN=u1,OU=b", &[]).await;
    let slow = proxy(Behaviour::default()).await;
    let reader = connector(through(&slow, settings(&format!("include = [\"{a}\", \"{b}\"]"))));
    lab.full(&reader).await;
    // that of all containers comes before it
    let first = slow.pages() + 2;
    slow.play(|behaviour| behaviour.hold_page = Some(first));
    let mover = super::super::lab::administrator();
    let moving = async {
        // the first container has been read, the second is not asked for before the first has ended
        tokio::time::timeout(Duration::from_secs(60), slow.held(first)).await.unwrap();
        let request = onesync_ldap::message::ModifyDnRequest {
            dn: user,
            new_rdn: "CN=u1".to_owned(),
            delete_old_rdn: true,
            new_superior: Some(a),
        };
        mover.await.modify_dn(request, Vec::new()).await.unwrap();
        slow.play(|behaviour| behaviour.hold_page = None);
    };
    let ((pages, end), ()) = tokio::join!(lab.import(&reader, FULL), moving);
    let end = end.unwrap();
    assert_eq!(objects(&pages), 0, "it was seen nowhere");
    assert!(matches!(&end.proof, Proof::Incomplete(why) if why.contains("moved")), "{end:?}");

    // what is renamed elsewhere has nothing to do with it
    let elsewhere = lab.user("CN=u2", &[]).await;
    let first = slow.pages() + 2;
    slow.play(|behaviour| behaviour.hold_page = Some(first));
    let mover = super::super::lab::administrator().await;
    let renaming = async {
        tokio::time::timeout(Duration::from_secs(60), slow.held(first)).await.unwrap();
        let request = onesync_ldap::message::ModifyDnRequest {
            dn: elsewhere,
            new_rdn: "CN=u3".to_owned(),
            delete_old_rdn: true,
            new_superior: None,
        };
        let mut mover = mover;
        mover.modify_dn(request, Vec::new()).await.unwrap();
        slow.play(|behaviour| behaviour.hold_page = None);
    };
    let ((_, end), ()) = tokio::join!(lab.import(&reader, FULL), renaming);
    assert_eq!(end.unwrap().proof, Proof::Complete);
    lab.close().await;
}

#[tokio::test]
async fn another_server_or_selection_asks_for_a_full_import() {
    let Some(mut lab) = Lab::open("watermark").await else { return };
    lab.user("CN=u1", &[]).await;
    let other = proxy(Behaviour::default()).await;
    let reader = connector(through(&other, lab.settings()));
    lab.full(&reader).await;
    let since = lab.watermark();
    let refused = async |lab: &Lab, reader: &AdConnector, since: Watermark, why: &str| {
        let (pages, end) = lab.import(reader, ImportMode::Delta { since }).await;
        let error = end.unwrap_err();
        assert_eq!(error.class, ErrorClass::Watermark, "{error:?}");
        assert!(error.message.contains(why), "{error:?}");
        assert_eq!(pages.iter().map(|page| page.entries.len()).sum::<usize>(), 0);
    };
    other.play(|behaviour| behaviour.invocation = Some([7; 16]));
    refused(&lab, &reader, since.clone(), "another domain controller").await;
    other.play(|behaviour| (behaviour.invocation, behaviour.usn) = (None, Some(1)));
    refused(&lab, &reader, since.clone(), "set back").await;
    other.play(|behaviour| {
        (behaviour.usn, behaviour.current_time) = (None, Some("20990101000000.0Z".to_owned()));
    });
    refused(&lab, &reader, since.clone(), "days old").await;
    other.play(|behaviour| behaviour.current_time = None);

    let wider = connector(through(&other, settings("")));
    refused(&lab, &wider, since.clone(), "selection").await;
    refused(&lab, &reader, Watermark(b"nonsense".to_vec()), "cannot be read").await;
    let text = String::from_utf8(since.0.clone()).unwrap();
    let cookie =
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["cookie"].as_str().unwrap().to_owned();
    let damaged = text.replace(&cookie, "TVNEU3h4eHh4eHh4");
    refused(&lab, &reader, Watermark(damaged.into_bytes()), "refused it").await;

    assert_eq!(lab.delta(&reader).await.0, Vec::<String>::new(), "and the good one still works");
    lab.close().await;
}

#[tokio::test]
async fn each_mistake_has_its_message() {
    let Some(lab) = Lab::open("mistakes").await else { return };
    let address = variable("AD_IP");
    let url = |url: String| AdSettings { url, ..settings("") };
    let fresh = |settings| connector(settings);
    let cases = [
        (
            connector_with(settings(""), "wrong"),
            "LDAP-BIND-REFUSED",
            "name or the password is wrong",
            "secret set",
        ),
        (fresh(settings("base = \"DC=nowhere\"")), "AD-BASE", "is no domain of", "domain itself"),
        (
            fresh(settings(&format!("base = \"CN=Users,{}\"", variable("AD_BASE_DN")))),
            "AD-BASE",
            "no domain",
            "include",
        ),
        (
            fresh(settings("include = [\"OU=gone,DC=contoso,DC=test\"]")),
            "AD-NO-SUCH-CONTAINER",
            "OU=gone",
            "today",
        ),
        (fresh(settings("include = [\"nonsense\"]")), "AD-", "nonsense", ""),
        (fresh(url(format!("ldaps://{}:1", variable("AD_IP")))), "LDAP-UNREACHABLE", "refused", "firewall"),
        (fresh(AdSettings { ca_file: None, ..settings("") }), "LDAP-TLS", "not trusted", ""),
        (fresh(url(variable("AD_LDAP_URL"))), "LDAP-SETTINGS", "unencrypted", ""),
        (fresh(url(format!("ldaps://{}:389", variable("AD_IP")))), "LDAP-", &address, ""),
    ];
    for (reader, code, message, hint) in cases {
        let error = lab.import(&reader, FULL).await.1.unwrap_err();
        let text = format!("{error} {}", error.hint.clone().unwrap_or_default());
        assert!(
            error.code.starts_with(code) && text.contains(message) && text.contains(hint),
            "{code}: {error:?}"
        );
        let report = reader.test().await.unwrap();
        let failed: Vec<_> =
            report.findings.iter().filter(|found| found.severity == Severity::Failed).collect();
        assert_eq!(failed.len(), 1, "{report:?}");
        assert!(failed[0].message.contains(message), "{report:?}");
    }
    let nobody = AdConnector::new(settings(""), &BTreeMap::new()).unwrap();
    assert_eq!(lab.import(&nobody, FULL).await.1.unwrap_err().code, "AD-NO-SECRET");
    lab.close().await;
}

#[tokio::test]
async fn starttls_and_preferred_servers() {
    if !super::super::lab::has_peer("starttls") {
        return;
    }
    let mut own = settings("starttls = true\npreferred_servers = [\"ldap://127.0.0.1:1\"]");
    own.url = variable("AD_LDAP_URL");
    let report = connector(own).test().await.unwrap();
    assert!(report.findings.iter().all(|found| found.severity != Severity::Failed), "{report:?}");
    assert!(find(&report, "encryption").message.contains("is encrypted"));
}

#[tokio::test]
async fn the_ends_of_certificate_and_authority_can_be_read() {
    if !super::super::lab::has_peer("expiries") {
        return;
    }
    let ends = connector(settings("")).expiries().await.unwrap();
    let what: Vec<&str> = ends.iter().map(|end| end.what.as_str()).collect();
    let own = format!("certificate of `{}:636`", variable("AD_IP"));
    let authority = format!("certificate 1 of `{}`", variable("AD_CA_FILE"));
    assert_eq!(what, [own.as_str(), authority.as_str()]);
    assert!(ends.iter().all(|end| end.at.to_string().as_str() > "2030"), "made for ten years: {ends:?}");
}

fn find<'r>(report: &'r TestReport, subject: &str) -> &'r onesync_connectors::Finding {
    report
        .findings
        .iter()
        .find(|found| found.subject == subject)
        .unwrap_or_else(|| panic!("{subject}: {report:?}"))
}

#[tokio::test]
async fn the_test_names_missing_and_excessive_rights() {
    let Some(mut lab) = Lab::open("rights").await else { return };
    let report = connector(lab.settings()).test().await.unwrap();
    assert_eq!(find(&report, "delta import").severity, Severity::Ok);
    assert_eq!(find(&report, "deleted objects").severity, Severity::Ok);
    let account = find(&report, "account");
    assert_eq!(account.severity, Severity::Warning);
    assert!(
        account.message.contains("Domain Admins") && account.message.contains("Administrators"),
        "{account:?}"
    );
    assert!(find(&report, "functional level").message.contains("2008 R2"));
    assert_eq!(find(&report, "clock").severity, Severity::Ok);
    assert_eq!(find(&report, "password of the account").message, "does not end");
    let places = places(&lab.settings(), &secrets(&variable("AD_BIND_PASSWORD"))).await.unwrap();
    assert_eq!(places.domain, lab.base);
    assert_eq!(places.domains, [(variable("AD_REALM").to_lowercase(), lab.base.clone())]);
    let users = format!("CN=Users,{}", lab.base);
    let ous = places.containers.iter().take_while(|dn| dn.starts_with("OU=")).count();
    assert!(places.containers.contains(&lab.ou) && places.containers.contains(&users), "{places:?}");
    assert!(ous > 0 && !places.containers.iter().skip(ous).any(|dn| dn.starts_with("OU=")), "units first");
    assert!(find(&report, "naming contexts").message.contains(&lab.base));

    lab.user("CN=seen", &[]).await;
    let plain = plain_user(&mut lab, "CN=plain").await;
    let mut own = lab.settings();
    own.bind = plain;
    let narrow = connector_with(own, PLAIN_PASSWORD);
    let report = narrow.test().await.unwrap();
    // The policy of this domain lets none end; an account may read that of itself.
    assert_eq!(find(&report, "password of the account").message, "does not end");
    let delta = find(&report, "delta import");
    assert_eq!(delta.severity, Severity::Warning);
    assert!(delta.message.contains("Replicating Directory Changes"), "{delta:?}");
    assert_eq!(find(&report, "account").severity, Severity::Ok);

    // it can be used all the same
    lab.full(&narrow).await;
    let seen = lab.dn("CN=seen");
    lab.modify(&seen, &[(Replace, "description", &["d"])]).await;
    assert_eq!(lab.delta(&narrow).await.0, ["merge CN=seen description=d"]);
    lab.close().await;
}

#[tokio::test]
async fn an_account_that_lost_its_right_on_purpose_goes_on_without_dirsync() {
    let Some(mut lab) = Lab::open("without").await else { return };
    let stays = lab.user("CN=stays", &[]).await;
    let goes = lab.user("CN=goes", &[]).await;
    let stays = lab.guid(&stays).await;
    let plain = plain_user(&mut lab, "CN=plain").await;
    lab.full(&connector(lab.settings())).await;
    let mut own = lab.settings();
    own.bind = plain;
    let narrow = connector_with(own.clone(), PLAIN_PASSWORD);
    for _ in 0..2 {
        let (_, end) = lab.import(&narrow, FULL).await;
        let proof = end.unwrap().proof;
        assert!(matches!(&proof, Proof::Incomplete(why) if why.contains("without_dirsync")), "{proof:?}");
    }

    own.without_dirsync = true;
    let whole = connector_with(own.clone(), PLAIN_PASSWORD);
    assert!(!whole.capabilities().delta_import);
    lab.client.delete(&goes, Vec::new()).await.unwrap();
    lab.full(&whole).await;
    assert_eq!(lab.objects().keys().filter(|name| name.as_str() == "CN=goes").count(), 0);
    assert_eq!(lab.objects().len(), 2);
    let report = whole.test().await.unwrap();
    let delta = find(&report, "delta import");
    assert_eq!(delta.severity, Severity::Warning);
    assert!(delta.message.contains("every import reads everything"), "{delta:?}");
    // what is there was missed, whoever says that it is gone
    let mark = lab.watermark();
    assert_eq!(whole.out_of_sight(Some(&mark), std::slice::from_ref(&stays)).await.unwrap(), [stays]);

    // and back again: no delta goes on from such an import
    own.without_dirsync = false;
    let again = connector_with(own, PLAIN_PASSWORD);
    let error = lab.import(&again, ImportMode::Delta { since: mark }).await.1.unwrap_err();
    assert_eq!(error.class, ErrorClass::Watermark);
    assert!(error.message.contains("without DirSync"), "{error:?}");
    lab.close().await;
}

const PLAIN_PASSWORD: &str = "Plain.Passw0rd";

/// A user without any right; gives the name to sign in by.
async fn plain_user(lab: &mut Lab, rdn: &str) -> String {
    let dn = lab.user(rdn, &[]).await;
    let quoted: Vec<u8> = format!("\"{PLAIN_PASSWORD}\"").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let changes = vec![
        onesync_ldap::Change {
            kind: Replace,
            attribute: "unicodePwd".to_owned(),
            values: vec![quoted.into()],
        },
        onesync_ldap::Change {
            kind: Replace,
            attribute: "userAccountControl".to_owned(),
            values: vec![bytes::Bytes::from_static(b"512")],
        },
    ];
    lab.client.modify(&dn, changes, Vec::new()).await.unwrap();
    dn
}
