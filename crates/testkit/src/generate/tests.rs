//! Tests of whole companies, read back from their LDIF.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::*;

/// One entry: attribute names in lower case and their values, binary ones as they are.
type Entry = BTreeMap<String, Vec<Vec<u8>>>;

fn ldif(company: &Company) -> String {
    let mut out = Vec::new();
    company.write_ldif(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn entries(company: &Company) -> Vec<Entry> {
    let text = ldif(company);
    assert!(text.is_ascii());
    let text = text.replace("\n ", "");
    let mut found = Vec::new();
    for record in text.strip_prefix("version: 1\n\n").unwrap().split("\n\n") {
        if let Some(count) = record.strip_prefix("# numEntries: ") {
            assert_eq!(count.trim().parse::<usize>().unwrap(), found.len());
            return found;
        }
        let mut entry = Entry::new();
        for line in record.lines() {
            let (name, value) = line.split_once(':').unwrap();
            let value = match value.strip_prefix(": ") {
                Some(coded) => unbase64(coded),
                None => value.strip_prefix(' ').unwrap().as_bytes().to_vec(),
            };
            entry.entry(name.to_lowercase()).or_default().push(value);
        }
        found.push(entry);
    }
    panic!("the count at the end is missing");
}

fn unbase64(coded: &str) -> Vec<u8> {
    let digit = |byte| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("{coded} is no base64"),
    };
    assert_eq!(coded.len() % 4, 0);
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for byte in coded.trim_end_matches('=').bytes() {
        bits = (bits << 6) | u32::from(digit(byte));
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

fn all(entry: &Entry, name: &str) -> Vec<String> {
    let values = entry.get(name).into_iter().flatten();
    values.map(|value| String::from_utf8(value.clone()).unwrap()).collect()
}

fn one(entry: &Entry, name: &str) -> String {
    let values = all(entry, name);
    assert_eq!(values.len(), 1, "{name} of {entry:?}");
    values.into_iter().next().unwrap()
}

fn class(entry: &Entry) -> String {
    all(entry, "objectclass").pop().unwrap()
}

fn small_company() -> Company {
    Company::new(CompanyOptions { objects: 400, ..CompanyOptions::default() })
}

fn by_upn(entries: &[Entry], upn: &str) -> Option<Entry> {
    entries.iter().find(|entry| all(entry, "userprincipalname") == [upn]).cloned()
}

#[test]
fn the_same_seed_makes_the_same_company() {
    let text = ldif(&small_company());
    assert_eq!(text, ldif(&small_company()));
    let other = Company::new(CompanyOptions { objects: 400, seed: 2, ..CompanyOptions::default() });
    assert_ne!(text, ldif(&other));
}

#[test]
fn counts_are_as_asked_for() {
    let company = Company::new(CompanyOptions::default());
    assert_eq!((company.people(), company.groups(), company.contacts()), (1800, 100, 100));
    let entries = entries(&company);
    let count = |name: &str| entries.iter().filter(|entry| class(entry) == name).count();
    assert_eq!((count("user"), count("group"), count("contact")), (1804, 100, 100));
    assert_eq!(count("organizationalUnit"), 19);
    assert_eq!((count("domainDNS"), count("container")), (1, 1));
    assert_eq!(entries.len(), 1804 + 100 + 100 + 19 + 2);

    let disabled = entries.iter().filter(|entry| all(entry, "useraccountcontrol") == ["514"]).count();
    assert!((70..150).contains(&disabled), "{disabled} disabled");
    let memberships: usize = company.groups.iter().map(|group| group.members.len()).sum();
    assert!((17_000..19_000).contains(&memberships), "{memberships} memberships");
    assert_eq!(company.groups[ALL_STAFF].members.len(), 1800);
    let sized = |test: fn(usize) -> bool| {
        entries.iter().filter(|e| class(e) == "group" && test(all(e, "member").len())).count()
    };
    assert!(sized(|size| size == 0) > 0 && sized(|size| size > 300) > 1);
}

#[test]
fn tiny_companies_are_possible() {
    for objects in 0..25 {
        let company = Company::new(CompanyOptions { objects, ..CompanyOptions::default() });
        assert_eq!(company.people() + company.groups() + company.contacts(), objects);
        assert_eq!(entries(&company).len(), objects + 25);
    }
}

#[test]
fn what_must_be_unique_is_unique() {
    let mut company = Company::new(CompanyOptions { objects: 12_000, ..CompanyOptions::default() });
    for person in 0..500 {
        company.marry(person);
        company.move_to_department(person + 200);
        company.hire();
    }
    let entries = entries(&company);
    for name in
        ["dn", "objectguid", "objectsid", "userprincipalname", "samaccountname", "mail", "proxyaddresses"]
    {
        let mut seen = BTreeSet::new();
        for value in entries.iter().filter_map(|entry| entry.get(name)).flatten() {
            let key = String::from_utf8(value.clone())
                .map_or_else(|_| value.clone(), |t| t.to_lowercase().into_bytes());
            let key = if name.starts_with("object") { value.clone() } else { key };
            assert!(seen.insert(key), "{name} {:?} twice", String::from_utf8_lossy(value));
        }
        assert!(seen.len() > 9000, "only {} {name}", seen.len());
    }
    for entry in &entries {
        assert_eq!(entry["objectguid"][0].len(), 16);
        assert!(all(entry, "samaccountname").iter().all(|sam| sam.len() <= 20 && sam.is_ascii()));
        assert!(all(entry, "cn").iter().all(|cn| cn.chars().count() <= 64));
    }
}

#[test]
fn references_lead_somewhere_and_have_no_cycles() {
    let mut company = Company::new(CompanyOptions { objects: 3000, ..CompanyOptions::default() });
    for person in 0..300 {
        company.move_to_department(person);
        company.leave(person * 3);
    }
    for (index, person) in company.people.iter().enumerate() {
        assert!(person.manager.is_none_or(|manager| (manager as usize) < index));
    }
    let entries = entries(&company);
    let place: BTreeMap<String, usize> = entries.iter().enumerate().map(|(i, e)| (one(e, "dn"), i)).collect();
    let mut nested = 0;
    for (index, entry) in entries.iter().enumerate() {
        let members = all(entry, "member");
        assert_eq!(members.iter().collect::<BTreeSet<_>>().len(), members.len());
        for name in all(entry, "manager").into_iter().chain(members) {
            let target = place[&name];
            if class(&entries[target]) == "group" {
                assert!(target > index);
                nested += 1;
            }
        }
    }
    assert!(nested > 5, "{nested} nested groups");
    let managed = entries.iter().filter(|entry| entry.contains_key("manager")).count();
    assert!(managed > 1500, "{managed} have a manager");
}

#[test]
fn names_are_of_many_scripts_and_dns_are_hard() {
    let entries = entries(&small_company());
    let text = |name: &str| entries.iter().flat_map(|entry| all(entry, name)).collect::<String>();
    let names = text("displayname");
    for (script, letters) in [
        ("Greek", '\u{391}'..='\u{3ff}'),
        ("Cyrillic", '\u{400}'..='\u{4ff}'),
        ("Armenian", '\u{530}'..='\u{58f}'),
        ("Hebrew", '\u{590}'..='\u{5ff}'),
        ("Arabic", '\u{600}'..='\u{6ff}'),
        ("Devanagari", '\u{900}'..='\u{97f}'),
        ("Thai", '\u{e00}'..='\u{e7f}'),
        ("Georgian", '\u{10a0}'..='\u{10ff}'),
        ("Kana", '\u{3040}'..='\u{30ff}'),
        ("Han", '\u{4e00}'..='\u{9fff}'),
        ("Hangul", '\u{ac00}'..='\u{d7a3}'),
    ] {
        assert!(names.chars().any(|letter| letters.contains(&letter)), "no {script}");
    }
    let dns = text("dn");
    for escaped in ["\\,", "\\+", "\\\"", "=\\#", "\\;", "\\<"] {
        assert!(dns.contains(escaped), "no {escaped}");
    }
    assert!(!dns.is_ascii() && text("userprincipalname").is_ascii());
}

#[test]
fn accounts_of_the_domain_are_there() {
    let entries = entries(&small_company());
    let critical = entries.iter().filter(|entry| all(entry, "iscriticalsystemobject") == ["TRUE"]).count();
    assert_eq!(critical, 3);
    let starts = |start: &str| entries.iter().filter(|entry| one(entry, "dn").starts_with(start)).count();
    for account in ["CN=Administrator,", "CN=krbtgt,", "CN=SystemMailbox{", "CN=MSOL_"] {
        assert_eq!(starts(account), 1, "{account}");
    }
}

#[test]
fn marriage_changes_the_name_and_keeps_the_identity() {
    let mut company = small_company();
    let (upn, dn) = (company.upn(40), company.dn(40));
    let before = by_upn(&entries(&company), &upn).unwrap();
    let said = company.marry(40);
    assert!(said.contains(&upn) && said.contains(&company.upn(40)) && !said.contains('\n'), "{said}");
    let all_after = entries(&company);
    let after = by_upn(&all_after, &company.upn(40)).unwrap();
    for name in ["sn", "displayname", "cn", "dn", "mail", "userprincipalname", "whenchanged", "usnchanged"] {
        assert_ne!(before[name], after[name], "{name}");
    }
    for name in
        ["objectguid", "objectsid", "samaccountname", "givenname", "employeeid", "department", "whencreated"]
    {
        assert_eq!(before[name], after[name], "{name}");
    }
    assert!(all(&after, "proxyaddresses").contains(&format!("smtp:{upn}")));
    assert!(by_upn(&all_after, &upn).is_none());
    let staff = all_after.iter().find(|entry| all(entry, "cn") == ["All Staff"]).unwrap();
    let members = all(staff, "member");
    assert!(members.contains(&company.dn(40)) && !members.contains(&dn));
}

#[test]
fn a_move_changes_department_ou_and_title_only() {
    let mut company = small_company();
    let upn = company.upn(50);
    let before = by_upn(&entries(&company), &upn).unwrap();
    let said = company.move_to_department(50);
    let after = by_upn(&entries(&company), &upn).unwrap();
    assert_ne!(one(&before, "department"), one(&after, "department"));
    assert!(said.contains(&one(&after, "title")) && said.contains(&one(&after, "department")), "{said}");
    let changed: Vec<_> =
        after.keys().filter(|name| before.get(*name) != after.get(*name)).cloned().collect();
    let allowed = ["department", "dn", "manager", "title", "usnchanged", "whenchanged"];
    assert!(changed.iter().all(|name| allowed.contains(&name.as_str())), "{changed:?}");
    assert!(changed.contains(&"dn".to_owned()));
}

#[test]
fn leavers_are_gone_with_all_references() {
    let mut company = small_company();
    let (people, upn, dn) = (company.people(), company.upn(1), company.dn(1));
    assert!(ldif(&company).contains(&upn));
    assert!(company.leave(1).ends_with("left the company"));
    assert_eq!((company.people(), company.people_ever()), (people - 1, people));
    let after = entries(&company);
    assert!(by_upn(&after, &upn).is_none());
    assert!(after.iter().all(|e| !all(e, "manager").contains(&dn) && !all(e, "member").contains(&dn)));

    let text = ldif(&company);
    for said in [company.leave(1), company.marry(1), company.disable(1), company.add_member(1, 1)] {
        assert!(said.ends_with("nothing changed"), "{said}");
    }
    assert!(company.move_to_department(9999).ends_with("nothing changed"));
    assert_eq!(ldif(&company), text);
}

#[test]
fn many_leave_at_once() {
    let mut company = small_company();
    let people = company.people();
    company.leave(7);
    assert!(company.leave_many(100).starts_with("100 people left"));
    assert_eq!(company.people(), people - 101);
    assert_eq!((0..people).filter(|person| company.is_employed(*person)).count(), people - 101);
    company.leave_many(usize::MAX);
    assert_eq!(company.people(), 0);
    assert_eq!(entries(&company).iter().filter(|entry| class(entry) == "user").count(), 4);
}

#[test]
fn a_hire_is_a_new_person_in_the_group_of_all() {
    let mut company = small_company();
    let before = entries(&company);
    let said = company.hire();
    let index = company.people_ever() - 1;
    assert!(said.contains(&company.upn(index)) && said.contains(&company.name(index)), "{said}");
    let after = entries(&company);
    assert_eq!(after.len(), before.len() + 1);
    let hired = by_upn(&after, &company.upn(index)).unwrap();
    assert!(before.iter().all(|entry| entry["objectguid"] != hired["objectguid"]));
    assert!(one(&hired, "whencreated").as_str() >= "20260105080000.0Z");
    let staff = after.iter().find(|entry| all(entry, "cn") == ["All Staff"]).unwrap();
    assert!(all(staff, "member").contains(&company.dn(index)));
}

#[test]
fn disabling_and_memberships_change_what_they_say() {
    let mut company = small_company();
    let person = (0..company.people()).find(|person| !company.people[*person].disabled).unwrap();
    company.disable(person);
    let after = entries(&company);
    assert_eq!(one(&by_upn(&after, &company.upn(person)).unwrap(), "useraccountcontrol"), "514");
    assert!(company.disable(person).ends_with("nothing changed"));

    let (dn, name) = (company.dn(person), company.group_name(3));
    let is_member = |company: &Company| {
        let found = entries(company).into_iter().find(|entry| all(entry, "cn") == [name.clone()]).unwrap();
        (all(&found, "member").contains(&dn), one(&found, "usnchanged"))
    };
    company.remove_member(3, person);
    let before = is_member(&company);
    assert!(company.add_member(3, person).contains("joined the group"));
    let joined = is_member(&company);
    assert_eq!((before.0, joined.0), (false, true));
    assert_ne!(before.1, joined.1);
    assert!(company.add_member(3, person).ends_with("nothing changed"));
    assert!(company.remove_member(3, person).contains("left the group"));
    assert!(!is_member(&company).0);
    assert!(company.add_member(9999, person).ends_with("nothing changed"));
}

/// Run it with `--release -- --ignored --nocapture`: the speed says nothing in a debug build.
#[test]
#[ignore = "a measurement of a release build"]
fn speed_of_a_large_company() {
    let begin = Instant::now();
    let company = Company::new(CompanyOptions { objects: 1_000_000, ..CompanyOptions::default() });
    let made = begin.elapsed();
    company.write_ldif(&mut std::io::sink()).unwrap();
    let rate = 1_000_000.0 / begin.elapsed().as_secs_f64();
    eprintln!("made in {made:?}, all in {:?}: {rate:.0} objects/s", begin.elapsed());
    assert!(rate >= 30_000.0, "{rate:.0} objects/s");
}
