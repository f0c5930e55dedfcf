//! The company as LDIF, with the attributes Active Directory gives.
//!
//! Deliberately absent: operational attributes that no synchronisation reads, and `memberOf`.

use std::io::{self, Write};

use super::ldif::{Escaped, Writer};
use super::random::Purpose;
use super::tables::TABLES;
use super::{Company, Contact, GroupKind, Person, Suffix, department, full_name, name_of, sam};

/// The moment the company is exported at: 2026-01-05 08:00 UTC. Changes happen a minute apart after it.
const NOW: u64 = 1_767_600_000;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Update sequence numbers before the first object of ours.
const USN_FIRST: usize = 12_000;

/// The first relative id of people and groups; people have even ones, groups odd ones.
const RID_FIRST: usize = 10_000;

/// Never, as `accountExpires` says it.
const NEVER: u64 = 0x7fff_ffff_ffff_ffff;

/// Firms that contacts work for, and their domains.
const PARTNERS: [(&str, &str); 6] = [
    ("Fabrikam", "fabrikam.com"),
    ("Northwind Traders", "northwindtraders.com"),
    ("Adventure Works", "adventure-works.com"),
    ("Tailspin Toys", "tailspintoys.com"),
    ("Wingtip, Inc.", "wingtiptoys.com"),
    ("Litware", "litwareinc.com"),
];

/// Kinds of objects, so that no two share a GUID.
#[derive(Clone, Copy)]
enum Kind {
    Person,
    Group,
    Contact,
    Container,
    Account,
}

impl Company {
    /// Writes everything as LDIF: parents before children, everything before the groups that refer to it.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn write_ldif(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut writer = Writer::new(out);
        self.write_containers(&mut writer)?;
        self.write_accounts(&mut writer)?;
        let mut manager = String::new();
        for (index, person) in self.people.iter().enumerate().filter(|(_, person)| !person.left) {
            manager.clear();
            let superior = person.manager.map(|manager| manager as usize);
            if let Some(superior) = superior.filter(|superior| self.is_employed(*superior)) {
                self.push_dn(superior, &mut manager);
            }
            self.write_person(&mut writer, index, person, &manager)?;
        }
        for (index, contact) in self.contacts.iter().enumerate() {
            self.write_contact(&mut writer, index, contact)?;
        }
        for index in 0..self.groups.len() {
            self.write_group(&mut writer, index)?;
        }
        writer.finish()
    }

    fn write_containers(&self, writer: &mut Writer<'_>) -> io::Result<()> {
        let base = &self.options.base;
        let (kind, name) = base.split(',').next().and_then(|rdn| rdn.split_once('=')).unwrap_or(("DC", base));
        let is_domain = kind.trim().eq_ignore_ascii_case("dc");
        let classes: &[&str] =
            if is_domain { &["top", "domain", "domainDNS"] } else { &["top", "organizationalUnit"] };
        let category = if is_domain { "Domain-DNS" } else { "Organizational-Unit" };
        self.write_head(writer, base, classes, Kind::Container, 0, category);
        writer.text(if is_domain { "dc" } else { "ou" }, name);
        writer.end()?;

        let users = format!("CN=Users,{base}");
        self.write_head(writer, &users, &["top", "container"], Kind::Container, 1, "Container");
        writer.text("cn", "Users");
        writer.text("isCriticalSystemObject", "TRUE");
        writer.end()?;

        let roots = ["People", "Groups", "Contacts"].map(|name| (name, base.clone()));
        let people = format!("OU=People,{base}");
        let departments = TABLES.departments.iter().map(|department| (department.name, people.clone()));
        for (index, (name, parent)) in roots.into_iter().chain(departments).enumerate() {
            let dn = format!("OU={},{parent}", Escaped(name));
            let classes = ["top", "organizationalUnit"];
            self.write_head(writer, &dn, &classes, Kind::Container, index + 2, "Organizational-Unit");
            writer.text("ou", name);
            writer.text("name", name);
            writer.end()?;
        }
        Ok(())
    }

    /// The accounts that every domain has, which no synchronisation should take for people.
    fn write_accounts(&self, writer: &mut Writer<'_>) -> io::Result<()> {
        const MAILBOX: &str = "SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}";
        let id = self.random.bits(Purpose::Domain, 9) & 0xffff_ffff_ffff;
        let msol = format!("MSOL_{id:012x}");
        let accounts = [
            (
                "Administrator",
                "Administrator",
                500,
                66048,
                true,
                "Built-in account for administering the domain",
            ),
            ("krbtgt", "krbtgt", 502, 514, true, "Key Distribution Center Service Account"),
            (MAILBOX, "SM_5f1c2b7a9d3e4f60a", 1104, 514, false, ""),
            (&msol, &msol, 1105, 66048, false, "Account created by Microsoft Azure Active Directory Connect"),
        ];
        for (index, (cn, sam, rid, control, critical, description)) in accounts.into_iter().enumerate() {
            let dn = format!("CN={},CN=Users,{}", Escaped(cn), self.options.base);
            let classes = ["top", "person", "organizationalPerson", "user"];
            self.write_head(writer, &dn, &classes, Kind::Account, index, "Person");
            writer.text("cn", cn);
            writer.text("sAMAccountName", sam);
            writer.binary("objectSid", &self.sid(rid));
            writer.format("userAccountControl", format_args!("{control}"));
            writer.text("primaryGroupID", "513");
            writer.text("sAMAccountType", "805306368");
            if !description.is_empty() {
                writer.text("description", description);
            }
            if cn == MAILBOX {
                writer.text("mailNickname", MAILBOX);
            }
            if critical {
                writer.text("adminCount", "1");
                writer.text("isCriticalSystemObject", "TRUE");
            }
            if cn == "krbtgt" {
                writer.text("showInAdvancedViewOnly", "TRUE");
            }
            if cn == MAILBOX {
                writer.text("displayName", "Microsoft Exchange");
                writer.format("userPrincipalName", format_args!("{cn}@{}", self.options.domain));
                writer.format("mail", format_args!("{cn}@{}", self.options.domain));
                writer.format("proxyAddresses", format_args!("SMTP:{cn}@{}", self.options.domain));
            }
            writer.end()?;
        }
        Ok(())
    }

    fn write_person(
        &self,
        writer: &mut Writer<'_>,
        index: usize,
        person: &Person,
        manager: &str,
    ) -> io::Result<()> {
        let mut dn = String::with_capacity(128);
        self.push_dn(index, &mut dn);
        let classes = ["top", "person", "organizationalPerson", "user"];
        self.write_head(writer, &dn, &classes, Kind::Person, index, "Person");
        let cn = self.cn(index, person);
        writer.text("cn", &cn);
        writer.text("name", &cn);
        writer.text("sn", &name_of(&TABLES.surnames, person.surname).written);
        writer.text("givenName", &name_of(&TABLES.given, person.given).written);
        writer.text("displayName", &full_name(person.given, person.surname));
        self.write_addresses(writer, index, person);
        writer.binary("objectSid", &self.sid(RID_FIRST + 2 * index));
        writer.text("userAccountControl", if person.disabled { "514" } else { "512" });
        writer.text("primaryGroupID", "513");
        writer.text("sAMAccountType", "805306368");
        let department = department(person);
        writer.text("department", department.name);
        let title = if index == 0 && person.department == 0 && person.title == 0 {
            "Chief Executive Officer"
        } else {
            department.titles.get(usize::from(person.title)).copied().unwrap_or("Employee")
        };
        writer.text("title", title);
        writer.text(
            "company",
            if self.random.chance(Purpose::Type, index, 97) { "Contoso" } else { "Contoso & Co." },
        );
        self.write_place(writer, index, person);
        writer.format("employeeID", format_args!("{}", 100_000 + index));
        let kind = ["Employee", "Employee", "Employee", "Employee", "Contractor", "Intern"];
        writer.text("employeeType", kind[self.random.below(Purpose::Type, index, kind.len())]);
        if !manager.is_empty() {
            writer.text("manager", manager);
        }
        self.write_extras(writer, index);
        self.write_times(writer, self.order(Kind::Person, index), person.changed);
        let password = NOW - self.random.below(Purpose::Password, index, 300 * DAY as usize) as u64;
        writer.format("pwdLastSet", format_args!("{}", filetime(password)));
        let expires = match self.random.below(Purpose::Expires, index, 100) {
            0..10 => 0,
            10..15 => filetime(NOW + (index as u64 % 700) * DAY),
            _ => NEVER,
        };
        writer.format("accountExpires", format_args!("{expires}"));
        writer.end()
    }

    fn write_addresses(&self, writer: &mut Writer<'_>, index: usize, person: &Person) {
        let (address, sam) = (self.address(person), sam(person));
        writer.text("sAMAccountName", &sam);
        writer.text("userPrincipalName", &address);
        writer.text("mail", &address);
        writer.format("proxyAddresses", format_args!("SMTP:{address}"));
        writer.format("proxyAddresses", format_args!("smtp:{sam}@{}", self.options.domain));
        if (person.surname, person.number) != (person.born_surname, person.born_number) {
            // Mail to the old name still arrives.
            let old = self.address_of(person.given, person.born_surname, person.born_number);
            writer.format("proxyAddresses", format_args!("smtp:{old}"));
        }
        if self.random.chance(Purpose::Nickname, index, 80) {
            writer.text("mailNickname", &sam);
        }
    }

    fn write_place(&self, writer: &mut Writer<'_>, index: usize, person: &Person) {
        let home = TABLES.cultures[name_of(&TABLES.given, person.given).culture].site;
        let draw = self.random.below(Purpose::Site, index, TABLES.sites.len() * 4);
        let site = TABLES.sites.get(draw).unwrap_or(&TABLES.sites[home]);
        let phone = self.random.below(Purpose::Phone, index, 10_000);
        writer.format("telephoneNumber", format_args!("{} {phone:04}", site.phone));
        if self.random.chance(Purpose::Mobile, index, 60) {
            let mobile = self.random.below(Purpose::Mobile, index, 10_000_000);
            writer.format("mobile", format_args!("{} {mobile:07}", site.phone));
        }
        writer.text("physicalDeliveryOfficeName", site.office);
        writer.text("streetAddress", site.street);
        writer.text("l", site.city);
        if !site.state.is_empty() {
            writer.text("st", site.state);
        }
        writer.text("postalCode", site.postal_code);
        writer.text("co", site.country);
        writer.text("c", site.country_letters);
        writer.format("countryCode", format_args!("{}", site.country_number));
    }

    fn write_extras(&self, writer: &mut Writer<'_>, index: usize) {
        let descriptions = [
            "Team lead; works from home",
            " padded ",
            "Vertretung f\u{fc}r Frau Wei\u{df}",
            "line one\r\nline two",
        ];
        if self.random.chance(Purpose::Description, index, 12) {
            writer.text("description", descriptions[index % descriptions.len()]);
        }
        if self.random.chance(Purpose::Extension1, index, 50) {
            writer.format("extensionAttribute1", format_args!("CC-{:04}", index % 977));
        }
        if self.random.chance(Purpose::Extension2, index, 20) {
            writer.text("extensionAttribute2", ["gold", "silver", "bronze"][index % 3]);
        }
        if self.random.chance(Purpose::Extension3, index, 10) {
            writer.text("extensionAttribute3", if index.is_multiple_of(2) { "NoSync" } else { "Sync" });
        }
    }

    fn write_contact(&self, writer: &mut Writer<'_>, index: usize, contact: &Contact) -> io::Result<()> {
        let name = full_name(contact.given, contact.surname);
        let (firm, domain) = PARTNERS[self.random.below(Purpose::Partner, index, PARTNERS.len())];
        let cn = contact_cn(contact);
        let classes = ["top", "person", "organizationalPerson", "contact"];
        self.write_head(writer, &self.contact_dn(contact), &classes, Kind::Contact, index, "Person");
        let (given, surname) =
            (name_of(&TABLES.given, contact.given), name_of(&TABLES.surnames, contact.surname));
        let number = Suffix("", contact.number);
        let address = format!("{}.{}{number}@{domain}", given.roman, surname.roman);
        writer.text("cn", &cn);
        writer.text("name", &cn);
        writer.text("sn", &surname.written);
        writer.text("givenName", &given.written);
        writer.format("displayName", format_args!("{name} ({firm})"));
        writer.text("company", firm);
        writer.text("mail", &address);
        writer.format("mailNickname", format_args!("ext.{}.{}{number}", given.roman, surname.roman));
        writer.format("proxyAddresses", format_args!("SMTP:{address}"));
        writer.format("targetAddress", format_args!("SMTP:{address}"));
        self.write_times(writer, self.order(Kind::Contact, index), 0);
        writer.end()
    }

    fn write_group(&self, writer: &mut Writer<'_>, index: usize) -> io::Result<()> {
        let name = self.group_name(index);
        let kind = self.group_kind(index);
        self.write_head(writer, &self.group_dn(index), &["top", "group"], Kind::Group, index, "Group");
        let account = if index == 0 { "AllStaff".to_owned() } else { format!("grp-{index}") };
        writer.text("cn", &name);
        writer.text("name", &name);
        writer.text("displayName", &name);
        writer.text("sAMAccountName", &account);
        writer.binary("objectSid", &self.sid(RID_FIRST + 1 + 2 * index));
        let (group_type, account_type) = match kind {
            GroupKind::Distribution => ("2", "268435457"),
            GroupKind::Security | GroupKind::MailEnabled => ("-2147483646", "268435456"),
        };
        writer.text("groupType", group_type);
        writer.text("sAMAccountType", account_type);
        if kind != GroupKind::Security {
            let address = format!("{}@{}", account.to_lowercase(), self.options.domain);
            writer.text("mail", &address);
            writer.text("mailNickname", &account);
            writer.format("proxyAddresses", format_args!("SMTP:{address}"));
        }
        if index.is_multiple_of(7) {
            writer.format("description", format_args!("Owner: {}", department_of(index)));
        }
        self.write_members(writer, index)?;
        self.write_times(writer, self.order(Kind::Group, index), self.groups[index].changed);
        writer.end()
    }

    fn write_members(&self, writer: &mut Writer<'_>, index: usize) -> io::Result<()> {
        let mut dn = String::with_capacity(128);
        for member in &self.groups[index].members {
            if self.is_employed(*member as usize) {
                dn.clear();
                self.push_dn(*member as usize, &mut dn);
                writer.text("member", &dn);
                writer.drain_much()?;
            }
        }
        if index == super::ALL_STAFF || self.is_empty_group(index) {
            return Ok(());
        }
        let after = self.groups.len() - index - 1;
        if after > 0 && self.random.chance(Purpose::Nested, index, 15) {
            // Only groups that come later: no cycles.
            let first = index + 1 + self.random.below(Purpose::Nested, index, after);
            for nested in (first..self.groups.len()).take(1 + index % 3) {
                writer.text("member", &self.group_dn(nested));
            }
        }
        if self.group_kind(index) == GroupKind::Distribution && !self.contacts.is_empty() {
            let first = self.random.below(Purpose::Partner, index, self.contacts.len());
            for contact in self.contacts.iter().skip(first).take(1 + index % 5) {
                writer.text("member", &self.contact_dn(contact));
            }
        }
        Ok(())
    }

    fn write_head(
        &self,
        writer: &mut Writer<'_>,
        dn: &str,
        classes: &[&str],
        kind: Kind,
        index: usize,
        category: &str,
    ) {
        writer.text("dn", dn);
        for class in classes {
            writer.text("objectClass", class);
        }
        writer.text("instanceType", "4");
        writer.binary("objectGUID", &self.guid(kind, index));
        let base = &self.options.base;
        writer.format("objectCategory", format_args!("CN={category},CN=Schema,CN=Configuration,{base}"));
        if matches!(kind, Kind::Container | Kind::Account) {
            self.write_times(writer, self.order(kind, index), 0);
        }
    }

    fn write_times(&self, writer: &mut Writer<'_>, order: usize, change: u32) {
        // Ten years of history; the last change lies between then and now.
        let age = self.random.below(Purpose::Created, order, 3650) as u64 * DAY + order as u64 % DAY;
        let created = if order < self.first_orders() { NOW - age } else { NOW + u64::from(change) * 60 };
        let changed = match change {
            0 => {
                NOW - self.random.below(Purpose::Changed, order, usize::try_from(age).unwrap_or(0) + 1) as u64
            }
            _ => NOW + u64::from(change) * 60,
        };
        writer.text("whenCreated", &generalized_time(created));
        writer.text("whenChanged", &generalized_time(changed));
        let usn = match change {
            0 => USN_FIRST + order,
            _ => USN_FIRST + self.first_orders() + change as usize,
        };
        writer.format("uSNChanged", format_args!("{usn}"));
    }

    /// The place of an object in the order of creation; who was hired later comes behind all others.
    fn order(&self, kind: Kind, index: usize) -> usize {
        let accounts = 64;
        let before = accounts + self.groups.len() + self.contacts.len();
        match kind {
            Kind::Account => index,
            Kind::Container => 8 + index,
            Kind::Group => accounts + index,
            Kind::Contact => accounts + self.groups.len() + index,
            Kind::Person => before + index,
        }
    }

    /// The objects there were at the begin.
    fn first_orders(&self) -> usize {
        64 + self.options.objects
    }

    fn guid(&self, kind: Kind, index: usize) -> [u8; 16] {
        let index = index | ((kind as usize) << 56);
        let head = self.random.bits(Purpose::Guid, index);
        let tail = self.random.bits(Purpose::GuidTail, index);
        let mut guid = (u128::from(head) << 64 | u128::from(tail)).to_be_bytes();
        // Version 4 and its variant, at their places in the order of bytes that Active Directory stores.
        guid[7] = (guid[7] & 0x0f) | 0x40;
        guid[8] = (guid[8] & 0x3f) | 0x80;
        guid
    }

    /// S-1-5-21, three numbers of the domain, and the relative id.
    fn sid(&self, rid: usize) -> Vec<u8> {
        let mut sid = vec![1, 5, 0, 0, 0, 0, 0, 5];
        sid.extend_from_slice(&21_u32.to_le_bytes());
        for part in 0..3 {
            let bytes = self.random.bits(Purpose::Domain, part).to_le_bytes();
            sid.extend_from_slice(&bytes[..4]);
        }
        sid.extend_from_slice(&super::small(rid).to_le_bytes());
        sid
    }

    fn group_dn(&self, index: usize) -> String {
        format!("CN={},OU=Groups,{}", Escaped(&self.group_name(index)), self.options.base)
    }

    fn contact_dn(&self, contact: &Contact) -> String {
        format!("CN={},OU=Contacts,{}", Escaped(&contact_cn(contact)), self.options.base)
    }
}

fn contact_cn(contact: &Contact) -> String {
    format!("{}{} (extern)", full_name(contact.given, contact.surname), Suffix(" ", contact.number))
}

fn department_of(index: usize) -> &'static str {
    TABLES.departments[index % TABLES.departments.len()].name
}

/// A moment as Active Directory's large integers count it: 100 ns since 1601.
fn filetime(seconds: u64) -> u64 {
    (seconds + 11_644_473_600) * 10_000_000
}

/// A moment as `20260105080000.0Z`.
fn generalized_time(seconds: u64) -> String {
    // Days to a date of the Gregorian calendar, in years that begin in March and eras of 400 years.
    let days = seconds / DAY + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + carry;
    let second = seconds % DAY;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}.0Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(generalized_time(NOW), "20260105080000.0Z");
        assert_eq!(generalized_time(0), "19700101000000.0Z");
        assert_eq!(generalized_time(951_782_399), "20000228235959.0Z");
        assert_eq!(generalized_time(951_782_400), "20000229000000.0Z");
        assert_eq!(filetime(0), 116_444_736_000_000_000);
    }
}
