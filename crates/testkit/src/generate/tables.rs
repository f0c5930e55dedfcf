//! The fixed data that companies are made of: names of many scripts, sites, departments.
//!
//! The data are text files beside this module, so that the code stays ASCII. Deliberately absent: any meaning of a
//! name beyond its spelling; whether names fit each other is decided by the culture alone.

use std::ops::Range;
use std::sync::LazyLock;

/// Everything, read once.
pub static TABLES: LazyLock<Tables> = LazyLock::new(Tables::read);

/// The letters of a surname that a sAMAccountName takes: with an initial and a number it stays within AD's 20.
pub const SAM_SURNAME_MAX: usize = 12;

/// A name as it is written and in Latin letters.
#[derive(Clone, Debug)]
pub struct Name {
    /// As it is written.
    pub written: String,
    /// In lower case ASCII.
    pub roman: &'static str,
    /// The number of its culture.
    pub culture: usize,
}

impl Name {
    /// What a sAMAccountName takes of a surname.
    pub fn short(&self) -> &'static str {
        self.roman.get(..SAM_SURNAME_MAX).unwrap_or(self.roman)
    }
}

/// Names that go together.
#[derive(Clone, Debug)]
pub struct Culture {
    /// The surname comes first.
    pub east: bool,
    /// Where most of its people work.
    pub site: usize,
    /// Its given names.
    pub given: Range<usize>,
    /// Its surnames.
    pub surnames: Range<usize>,
}

/// A place of work.
#[derive(Clone, Debug)]
pub struct Site {
    /// `l`
    pub city: &'static str,
    /// `st`, often empty
    pub state: &'static str,
    /// `postalCode`
    pub postal_code: &'static str,
    /// `streetAddress`
    pub street: &'static str,
    /// `co`
    pub country: &'static str,
    /// `c`
    pub country_letters: &'static str,
    /// `countryCode`
    pub country_number: u32,
    /// What its telephone numbers begin with.
    pub phone: &'static str,
    /// `physicalDeliveryOfficeName`
    pub office: &'static str,
}

/// A department, which is also an OU.
#[derive(Clone, Debug)]
pub struct Department {
    /// Its name.
    pub name: &'static str,
    /// The titles in it, its head's first.
    pub titles: Vec<&'static str>,
}

/// All fixed data.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// The cultures.
    pub cultures: Vec<Culture>,
    /// All given names.
    pub given: Vec<Name>,
    /// All surnames.
    pub surnames: Vec<Name>,
    /// All sites.
    pub sites: Vec<Site>,
    /// All departments.
    pub departments: Vec<Department>,
}

impl Tables {
    fn read() -> Self {
        let mut tables = Self::default();
        for line in lines(include_str!("names.txt")) {
            tables.names(line);
        }
        for line in lines(include_str!("sites.txt")) {
            tables.site(line);
        }
        for line in lines(include_str!("departments.txt")) {
            let mut parts = line.split('|');
            let name = parts.next().unwrap_or_default();
            tables.departments.push(Department { name, titles: parts.collect() });
        }
        tables
    }

    fn names(&mut self, line: &'static str) {
        let mut words = line.split_ascii_whitespace();
        let kind = words.next();
        if kind == Some("culture") {
            let east = words.nth(1) == Some("east");
            let site = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
            let (given, surnames) = (self.given.len(), self.surnames.len());
            self.cultures.push(Culture { east, site, given: given..given, surnames: surnames..surnames });
            return;
        }
        let culture = self.cultures.len().saturating_sub(1);
        let names = words.filter_map(|word| word.split_once('=')).map(|(written, roman)| Name {
            written: written.replace('_', " "),
            roman,
            culture,
        });
        let Some(current) = self.cultures.last_mut() else { return };
        if kind == Some("g") {
            self.given.extend(names);
            current.given.end = self.given.len();
            current.surnames = self.surnames.len()..self.surnames.len();
        } else {
            self.surnames.extend(names);
            current.surnames.end = self.surnames.len();
        }
    }

    fn site(&mut self, line: &'static str) {
        let mut parts = line.split('|');
        let mut next = || parts.next().unwrap_or_default();
        self.sites.push(Site {
            city: next(),
            state: next(),
            postal_code: next(),
            street: next(),
            country: next(),
            country_letters: next(),
            country_number: next().parse().unwrap_or_default(),
            phone: next(),
            office: next(),
        });
    }
}

/// The lines of a table; comments begin with `# `, so that a name may begin with `#`.
fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_written_romanised_and_shortened() {
        for names in [&TABLES.given, &TABLES.surnames] {
            let mut written = BTreeSet::new();
            let mut roman = BTreeSet::new();
            for name in names {
                assert!(written.insert(name.written.to_lowercase()), "{name:?} twice");
                assert!(roman.insert(name.roman), "{name:?} twice");
                assert!(name.roman.bytes().all(|byte| byte.is_ascii_lowercase()), "{name:?}");
            }
        }
        let short: BTreeSet<_> = TABLES.surnames.iter().map(Name::short).collect();
        assert_eq!(short.len(), TABLES.surnames.len());
    }

    #[test]
    fn tables_are_whole() {
        assert!(TABLES.cultures.len() > 20 && TABLES.departments.len() == 16);
        for (number, culture) in TABLES.cultures.iter().enumerate() {
            assert!(culture.site < TABLES.sites.len());
            assert!(culture.given.len() >= 6 && culture.surnames.len() >= 6, "{culture:?}");
            assert!(TABLES.given[culture.given.clone()].iter().all(|name| name.culture == number));
            assert!(TABLES.surnames[culture.surnames.clone()].iter().all(|name| name.culture == number));
        }
        assert!(TABLES.sites.iter().all(|site| site.country_number > 0 && !site.office.is_empty()));
        assert!(TABLES.departments.iter().all(|department| department.titles.len() > 3));
    }
}
