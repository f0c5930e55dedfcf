//! A made-up company in the form of Active Directory: people with names of many scripts, groups, contacts, and what
//! happens to them.
//!
//! The same options give the same company, byte for byte. A person takes some 30 bytes; everything that never
//! changes is drawn again from the seed whenever it is written. Deliberately absent: a directory (this writes LDIF
//! only), computers, `memberOf` (Active Directory derives it), and deleted objects (who leaves is gone).

mod changes;
mod entries;
mod ldif;
mod random;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use ldif::push_escaped;
use random::{Purpose, Random};
use tables::{Culture, Name, TABLES};

/// What kind of company is wanted.
#[derive(Clone, Debug)]
pub struct CompanyOptions {
    /// What everything is drawn from.
    pub seed: u64,
    /// People, groups and contacts together; OUs and the accounts every domain has come on top.
    pub objects: usize,
    /// Groups a person is a direct member of on average, the group of all staff included.
    pub memberships: usize,
    /// The DNS name of the domain, behind `@` in addresses.
    pub domain: String,
    /// The DN of the domain.
    pub base: String,
    /// Whether the group of all staff is a plain security group, which can be written to the cloud; else it is
    /// mail-enabled, as such groups are.
    pub staff_is_security: bool,
}

impl Default for CompanyOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            objects: 2000,
            memberships: 10,
            domain: "contoso.com".to_owned(),
            base: "DC=contoso,DC=com".to_owned(),
            staff_is_security: false,
        }
    }
}

/// A company and its present state.
///
/// A person or group keeps its index for ever; who has left keeps it too, and changes to them do nothing and say so.
#[derive(Clone, Debug)]
pub struct Company {
    options: CompanyOptions,
    /// What follows the cn in the DNs of a department's people: made once, for it is written most of all.
    department_ends: Vec<String>,
    random: Random,
    people: Vec<Person>,
    groups: Vec<Group>,
    contacts: Vec<Contact>,
    left: usize,
    /// Changes so far; makes update sequence numbers and times.
    changes: u32,
    /// How many had a login name before: by given name and surname.
    logins: HashMap<(u16, u16), u32>,
    /// How many had a sAMAccountName before: by initial and surname.
    sams: HashMap<(u8, u16), u32>,
}

/// What of a person can change or is costly to draw again. Kept small: there may be a million.
#[derive(Clone, Debug)]
struct Person {
    given: u16,
    surname: u16,
    born_surname: u16,
    department: u8,
    title: u8,
    number: u32,
    born_number: u32,
    sam_number: u32,
    /// The index of the manager, always lower than one's own: there are no cycles.
    manager: Option<u32>,
    /// The number of the last change, 0 for none.
    changed: u32,
    disabled: bool,
    left: bool,
}

#[derive(Clone, Debug, Default)]
struct Group {
    members: Vec<u32>,
    changed: u32,
}

#[derive(Clone, Debug)]
struct Contact {
    given: u16,
    surname: u16,
    number: u32,
}

/// Kinds of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GroupKind {
    Security,
    MailEnabled,
    Distribution,
}

/// The group that everyone is in.
const ALL_STAFF: usize = 0;

/// Draws per membership before it is given up, because all groups drawn have the person already.
const MEMBERSHIP_DRAWS_MAX: usize = 16;

/// Index space of draws for one person's memberships.
const MEMBERSHIP_DRAWS_PER_PERSON: usize = 4096;

impl Company {
    /// Makes a company: 90 % people, 5 % groups, 5 % contacts.
    #[must_use]
    pub fn new(options: CompanyOptions) -> Self {
        let objects = options.objects;
        let groups = if objects < 2 { 0 } else { (objects / 20).max(1) };
        let contacts = objects / 20;
        let people = objects - groups - contacts;
        let random = Random(options.seed);
        let ends = TABLES.departments.iter().map(|department| {
            let mut end = ",OU=".to_owned();
            push_escaped(department.name, &mut end);
            end + ",OU=People," + &options.base
        });
        let mut company = Self {
            department_ends: ends.collect(),
            random,
            people: Vec::with_capacity(people),
            groups: vec![Group::default(); groups],
            contacts: Vec::with_capacity(contacts),
            left: 0,
            changes: 0,
            logins: HashMap::new(),
            sams: HashMap::new(),
            options,
        };
        for _ in 0..people {
            company.add_person();
        }
        for person in 0..people {
            company.join_groups(person);
        }
        for group in &mut company.groups {
            group.members.shrink_to_fit();
        }
        company.add_contacts(contacts);
        company
    }

    /// How many people there are now.
    #[must_use]
    pub fn people(&self) -> usize {
        self.people.len() - self.left
    }

    /// How many people there ever were: their indexes are below it.
    #[must_use]
    pub fn people_ever(&self) -> usize {
        self.people.len()
    }

    /// Whether a person is there now.
    #[must_use]
    pub fn is_employed(&self, person: usize) -> bool {
        self.people.get(person).is_some_and(|person| !person.left)
    }

    /// Whether a person is there now and may sign in.
    #[must_use]
    pub fn is_enabled(&self, person: usize) -> bool {
        self.people.get(person).is_some_and(|person| !person.left && !person.disabled)
    }

    /// How many groups there are.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// How many contacts there are.
    #[must_use]
    pub fn contacts(&self) -> usize {
        self.contacts.len()
    }

    /// A person's display name; empty when there never was such a person.
    #[must_use]
    pub fn name(&self, person: usize) -> String {
        self.people.get(person).map(|person| full_name(person.given, person.surname)).unwrap_or_default()
    }

    /// A person's userPrincipalName, which is the mail address too; empty when there never was such a person.
    #[must_use]
    pub fn upn(&self, person: usize) -> String {
        self.people.get(person).map(|person| self.address(person)).unwrap_or_default()
    }

    /// A person's sAMAccountName; empty when there never was such a person.
    #[must_use]
    pub fn sam(&self, person: usize) -> String {
        self.people.get(person).map(sam).unwrap_or_default()
    }

    /// A person's DN; empty when there never was such a person.
    #[must_use]
    pub fn dn(&self, person: usize) -> String {
        let mut dn = String::new();
        self.push_dn(person, &mut dn);
        dn
    }

    /// A group's name; empty when there is no such group.
    #[must_use]
    pub fn group_name(&self, group: usize) -> String {
        const TOPICS: [&str; 12] = [
            "Project Apollo",
            "Readers + Writers",
            "VPN Users",
            "Printers",
            "Committee, Standing",
            "Projekt \u{c4}nderung",
            "Fileshare RW",
            "#channel",
            "SAP Users",
            "\"Quoted\" Team",
            "\u{30c1}\u{30fc}\u{30e0}",
            "License E3",
        ];
        if group == ALL_STAFF {
            return "All Staff".to_owned();
        }
        // Every group has its number; plain names are in the majority as in life.
        match self.random.below(Purpose::GroupName, group, 4) {
            0 => format!("{} {group}", TOPICS[group % TOPICS.len()]),
            1 => format!("GG-{}-{group:05}", ["FIN", "HR", "IT", "RND", "OPS"][group % 5]),
            2 => format!("Team {group}"),
            _ => format!("APP-{group:05}-Users"),
        }
    }

    fn add_person(&mut self) -> usize {
        let index = self.people.len();
        let (given, surname) = self.draw_name(index);
        let number = counted(&mut self.logins, (given, surname));
        let initial = name_of(&TABLES.given, given).roman.bytes().next().unwrap_or(b'x');
        let sam_number = counted(&mut self.sams, (initial, surname));
        let heads = TABLES.departments.len();
        let (manager, department, title) = if index == 0 {
            (None, 0, 0)
        } else if index <= heads {
            (Some(0), index - 1, 0)
        } else {
            // The more people, the more managers: one has eight reports on average.
            let managers = 1 + (index - heads) / 8;
            let from = managers / 2;
            let manager = 1 + from + self.random.below(Purpose::Manager, index, managers - from);
            let manager = manager.min(index - 1);
            let department = self.people.get(manager).map_or(0, |person| usize::from(person.department));
            (Some(small(manager)), department, self.draw_title(department, index))
        };
        self.people.push(Person {
            given,
            surname,
            born_surname: surname,
            department: u8::try_from(department).unwrap_or_default(),
            title: u8::try_from(title).unwrap_or_default(),
            number,
            born_number: number,
            sam_number,
            manager,
            changed: 0,
            disabled: self.random.chance(Purpose::Disabled, index, 6),
            left: false,
        });
        index
    }

    fn draw_name(&self, index: usize) -> (u16, u16) {
        let Culture { given, surnames, .. } =
            &TABLES.cultures[self.random.below(Purpose::Culture, index, TABLES.cultures.len())];
        let given = given.start + self.random.below(Purpose::Given, index, given.len());
        let surname = surnames.start + self.random.below(Purpose::Surname, index, surnames.len());
        (id(given), id(surname))
    }

    /// A title that is not the head's.
    fn draw_title(&self, department: usize, index: usize) -> usize {
        let titles = TABLES.departments.get(department).map_or(1, |department| department.titles.len());
        1 + self.random.below(Purpose::Title, index, titles.saturating_sub(1))
    }

    fn join_groups(&mut self, person: usize) {
        let (count, member) = (self.groups.len(), small(person));
        if let Some(group) = self.groups.get_mut(ALL_STAFF) {
            group.members.push(member);
        }
        let others = self.options.memberships.saturating_sub(1);
        let wanted = others / 2 + self.random.below(Purpose::Wanted, person, (others - others / 2) * 2 + 1);
        let wanted = wanted.min(count.saturating_sub(1));
        let mut draw = person * MEMBERSHIP_DRAWS_PER_PERSON;
        for _ in 0..wanted {
            for _ in 0..MEMBERSHIP_DRAWS_MAX {
                draw += 1;
                // The lower of two makes some groups large and many small.
                let first = self.random.below(Purpose::Membership, draw, count - 1);
                let second = self.random.below(Purpose::Membership2, draw, count - 1);
                let group = 1 + first.min(second);
                // People join in order: one who is in the group already is its last member.
                if self.is_empty_group(group) || self.groups[group].members.last() == Some(&member) {
                    continue;
                }
                self.groups[group].members.push(member);
                break;
            }
        }
    }

    fn add_contacts(&mut self, count: usize) {
        let mut numbers = HashMap::new();
        for index in 0..count {
            // Far from the indexes of people, so that contacts are not their doubles.
            let (given, surname) = self.draw_name(usize::MAX - index);
            let number = counted(&mut numbers, (given, surname));
            self.contacts.push(Contact { given, surname, number });
        }
    }

    fn is_empty_group(&self, group: usize) -> bool {
        group != ALL_STAFF && self.random.chance(Purpose::EmptyGroup, group, 5)
    }

    fn group_kind(&self, group: usize) -> GroupKind {
        match self.random.below(Purpose::GroupKind, group, 100) {
            _ if group == ALL_STAFF && self.options.staff_is_security => GroupKind::Security,
            _ if group == ALL_STAFF => GroupKind::MailEnabled,
            0..10 => GroupKind::Distribution,
            10..25 => GroupKind::MailEnabled,
            _ => GroupKind::Security,
        }
    }

    fn address(&self, person: &Person) -> String {
        self.address_of(person.given, person.surname, person.number)
    }

    fn address_of(&self, given: u16, surname: u16, number: u32) -> String {
        let (given, surname) = (name_of(&TABLES.given, given), name_of(&TABLES.surnames, surname));
        format!("{}.{}{}@{}", given.roman, surname.roman, Suffix("", number), self.options.domain)
    }

    /// The cn: the name with a number where it has doubles, and now and then what makes a DN hard to read.
    fn cn(&self, index: usize, person: &Person) -> String {
        let number = Suffix(" ", person.number);
        let (given, surname) = (
            &name_of(&TABLES.given, person.given).written,
            &name_of(&TABLES.surnames, person.surname).written,
        );
        match self.random.below(Purpose::Style, index, 100) {
            0..6 => format!("{surname}, {given}{number}"),
            6 => format!("{given} \"Nick\" {surname}{number}"),
            7 => format!("{given} {surname} + Extern{number}"),
            8 => format!("#{given} {surname}{number}"),
            9 => format!("{given} {surname}; <Gast>{number}"),
            _ if person.number == 0 => full_name(person.given, person.surname),
            _ => full_name(person.given, person.surname) + " " + &(person.number + 1).to_string(),
        }
    }

    fn push_dn(&self, index: usize, dn: &mut String) {
        if let Some(person) = self.people.get(index) {
            dn.push_str("CN=");
            push_escaped(&self.cn(index, person), dn);
            dn.push_str(&self.department_ends[usize::from(person.department)]);
        }
    }
}

/// A number behind a name, if it is not the first of its kind.
struct Suffix(&'static str, u32);

impl std::fmt::Display for Suffix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.1 == 0 { Ok(()) } else { write!(f, "{}{}", self.0, self.1 + 1) }
    }
}

fn full_name(given: u16, surname: u16) -> String {
    let (given, surname) = (name_of(&TABLES.given, given), name_of(&TABLES.surnames, surname));
    let east = TABLES.cultures[surname.culture].east;
    let (first, second) = if east { (surname, given) } else { (given, surname) };
    [first.written.as_str(), second.written.as_str()].join(" ")
}

fn sam(person: &Person) -> String {
    let (given, surname) =
        (name_of(&TABLES.given, person.given), name_of(&TABLES.surnames, person.born_surname));
    let initial = given.roman.get(..1).unwrap_or("x");
    format!("{initial}{}{}", surname.short(), Suffix("", person.sam_number))
}

fn department(person: &Person) -> &'static tables::Department {
    &TABLES.departments[usize::from(person.department)]
}

fn name_of(names: &'static [Name], id: u16) -> &'static Name {
    &names[usize::from(id)]
}

/// How often this was asked for the same key before.
fn counted<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: K) -> u32 {
    let count = counts.entry(key).or_default();
    *count += 1;
    *count - 1
}

/// An index in the compact form; companies are smaller than the human race.
fn small(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// A number of a name in the compact form; the tables are small.
fn id(index: usize) -> u16 {
    u16::try_from(index).unwrap_or_default()
}
