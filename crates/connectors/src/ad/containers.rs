//! Selected containers: found by name once, by `objectGUID` from then on.

use std::collections::{BTreeMap, HashMap};

use onesync_ldap::{ErrorClass as LdapClass, LdapError, SearchRequest};
use onesync_model::Dn;

use super::errors::{configuration, convert};
use super::server::{Server, guid, guid_name};
use super::settings::AdSettings;
use super::watermark::{Guid, Remembered, hex, unhex};
use crate::ConnectorError;

/// Parents whose answer is remembered: enough for every organisational unit of a large domain.
const PARENTS_REMEMBERED_MAX: usize = 100_000;

/// Which part of the domain is selected.
#[derive(Debug)]
pub struct Containers {
    /// The domain.
    pub base: String,
    chosen: Chosen,
    by_parent: HashMap<String, bool>,
    /// As they are remembered.
    pub remembered: BTreeMap<String, Remembered>,
    /// What a person should know.
    pub remarks: Vec<String>,
}

/// Included and excluded containers by their names.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    include: Vec<Container>,
    exclude: Vec<Container>,
    below: bool,
}

#[derive(Clone, Debug)]
struct Container {
    dn: Dn,
    text: String,
}

impl Containers {
    /// Finds the containers of the settings, remembered ones by their GUIDs.
    ///
    /// # Errors
    /// When the domain or one of them does not exist.
    pub async fn find(
        server: &mut Server,
        settings: &AdSettings,
        known: &BTreeMap<String, Remembered>,
    ) -> Result<Self, ConnectorError> {
        let base = base(server, settings)?;
        let mut containers = Self {
            base,
            chosen: Chosen { below: settings.include_below, ..Chosen::default() },
            by_parent: HashMap::new(),
            remembered: BTreeMap::new(),
            remarks: Vec::new(),
        };
        let root = Dn::parse(&containers.base)
            .map_err(|e| configuration("AD-BASE", "setting `base`", e.to_string()))?;
        for (setting, names) in [("include", &settings.include), ("exclude", &settings.exclude)] {
            for name in names {
                let container = containers.one(server, setting, name, known, &root).await?;
                let chosen = &mut containers.chosen;
                if setting == "include" { &mut chosen.include } else { &mut chosen.exclude }.push(container);
            }
        }
        if containers.chosen.include.is_empty() {
            let text = containers.base.clone();
            containers.chosen.include.push(Container { dn: root, text });
        }
        Ok(containers)
    }

    async fn one(
        &mut self,
        server: &mut Server,
        setting: &str,
        name: &str,
        known: &BTreeMap<String, Remembered>,
        root: &Dn,
    ) -> Result<Container, ConnectorError> {
        let place = format!("setting `{setting}`");
        let before = known.get(name);
        let by_guid = before.and_then(|found| unhex(found.guid.as_bytes()));
        let asked = by_guid.map_or_else(|| name.to_owned(), |guid: Guid| guid_name(&guid));
        let request = SearchRequest::entry(asked).attributes(["objectGUID"]);
        let entry = match server.look(request).await? {
            Ok(entry) => entry,
            Err(error) if error.class() == LdapClass::NoSuchObject => None,
            Err(error) if is_bad_name(&error) => {
                return Err(configuration(
                    "AD-CONTAINER",
                    place,
                    format!("`{name}` is no distinguished name: {error}"),
                ));
            }
            Err(error) => return Err(convert(&error, &server.address)),
        };
        let Some((entry, guid)) =
            entry.and_then(|entry| guid(&entry, "objectGUID").map(|guid| (entry, guid)))
        else {
            let was = before.map(|found| format!(", last seen as `{}`,", found.dn)).unwrap_or_default();
            return Err(configuration(
                "AD-NO-SUCH-CONTAINER",
                place,
                format!("the container `{name}`{was} does not exist, or the account may not see it"),
            )
            .hint("name it as it is called today, or remove it from the setting; a new container of the same name is another one: select it as `<GUID=...>`"));
        };
        let text = entry.dn().to_owned();
        let dn = Dn::parse(&text)
            .map_err(|error| configuration("AD-CONTAINER", place.as_str(), error.to_string()))?;
        if !dn.is_within(root) {
            return Err(configuration(
                "AD-CONTAINER",
                place,
                format!("`{text}` is not within `{}`", self.base),
            )
            .hint("each domain is a connector of its own"));
        }
        if before.is_some_and(|before| before.dn != text) {
            let was = before.map(|before| before.dn.as_str()).unwrap_or_default();
            let stays = if setting == "include" { "selected" } else { "left out" };
            self.remarks.push(format!("the container `{was}` is now `{text}` and stays {stays}"));
        }
        self.remembered.insert(name.to_owned(), Remembered { guid: hex(&guid), dn: text.clone() });
        Ok(Container { dn, text })
    }

    /// Where to search so that all selected containers are seen, none of them twice.
    #[must_use]
    pub fn search_bases(&self) -> Vec<&str> {
        let include = &self.chosen.include;
        let outermost = |container: &&Container| {
            !include.iter().any(|other| other.dn != container.dn && container.dn.is_within(&other.dn))
        };
        let mut bases: Vec<&str> =
            include.iter().filter(outermost).map(|found| found.text.as_str()).collect();
        bases.sort_unstable();
        bases.dedup();
        bases
    }

    /// Whether an object of this name is selected.
    #[must_use]
    pub fn contain(&mut self, name: &str) -> bool {
        let Ok(dn) = Dn::parse(name) else { return false };
        let Some(parent) = dn.parent() else { return false };
        let key = parent.to_string();
        if let Some(&known) = self.by_parent.get(&key) {
            return known;
        }
        let selected = self.chosen.decide(&parent);
        if self.by_parent.len() >= PARENTS_REMEMBERED_MAX {
            self.by_parent.clear();
        }
        self.by_parent.insert(key, selected);
        selected
    }

    /// Whether what lies directly in a container of this name is selected.
    #[must_use]
    pub fn decide(&self, name: &Dn) -> bool {
        self.chosen.decide(name)
    }

    /// Which part of the domain was selected when the containers of the settings had these names. `None` when that
    /// cannot be told.
    #[must_use]
    pub fn before(&self, settings: &AdSettings, known: &BTreeMap<String, Remembered>) -> Option<Chosen> {
        let all = settings.include.iter().chain(&settings.exclude).all(|name| known.contains_key(name));
        let settings = AdSettings { base: Some(self.base.clone()), ..settings.clone() };
        if all { Chosen::named(&settings, known) } else { None }
    }

    /// Whether a container of this name holds selected ones, is one or lies in one.
    #[must_use]
    pub fn touch(&self, name: &str) -> bool {
        let within = |dn: &Dn, include: &Dn| dn.is_within(include) || include.is_within(dn);
        Dn::parse(name).is_ok_and(|dn| self.chosen.include.iter().any(|include| within(&dn, &include.dn)))
    }

    /// Whether a container was renamed, moved or deleted since they were found.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn have_moved(
        &self,
        server: &mut Server,
        settings: &AdSettings,
    ) -> Result<bool, ConnectorError> {
        let now = Self::find(server, settings, &self.remembered).await?;
        Ok(now.remembered != self.remembered)
    }

    /// Whether a name from a referral lies in a container that was selected by name: then it hides a part of it.
    #[must_use]
    pub fn hides(&self, name: &Dn) -> bool {
        self.chosen
            .include
            .iter()
            .any(|container| container.text != self.base && name.is_within(&container.dn))
    }
}

impl Chosen {
    /// The containers of the settings as they were last seen, else as they are named. `None` when one of them cannot
    /// be told without asking the directory.
    pub fn named(settings: &AdSettings, known: &BTreeMap<String, Remembered>) -> Option<Self> {
        let one = |name: &String| {
            let text = known.get(name).map_or(name, |found| &found.dn);
            let dn = Dn::parse(text).ok().filter(|_| !text.starts_with('<'))?;
            Some(Container { dn, text: text.clone() })
        };
        let all = |names: &[String]| names.iter().map(one).collect::<Option<Vec<_>>>();
        let mut include = all(&settings.include)?;
        if include.is_empty() {
            let text = settings.base.clone().unwrap_or_default();
            include.push(Container { dn: Dn::parse(&text).ok()?, text });
        }
        Some(Self { include, exclude: all(&settings.exclude)?, below: settings.include_below })
    }

    /// Whether what lies directly in `parent` is selected. The nearest of the containers above decides; an excluded
    /// one wins over an included one of the same name.
    #[must_use]
    pub fn decide(&self, parent: &Dn) -> bool {
        let nearest = |containers: &[Container]| {
            containers.iter().filter(|c| parent.is_within(&c.dn)).map(|c| c.dn.rdns().len()).max()
        };
        let Some(included) = nearest(&self.include) else { return false };
        if nearest(&self.exclude).is_some_and(|excluded| excluded >= included) {
            return false;
        }
        self.below || included == parent.rdns().len()
    }
}

/// The domain that is read.
///
/// # Errors
/// When the server does not hold it.
pub fn base(server: &Server, settings: &AdSettings) -> Result<String, ConnectorError> {
    let root = &server.root;
    let Some(base) = &settings.base else {
        if root.domain.is_empty() {
            return Err(configuration(
                "AD-BASE",
                server.address.clone(),
                "the server does not name its domain",
            )
            .hint("is it a domain controller of Active Directory? else set `base`"));
        }
        return Ok(root.domain.clone());
    };
    let same = |held: &&String| match (Dn::parse(held), Dn::parse(base)) {
        (Ok(held), Ok(base)) => held.normalised() == base.normalised(),
        _ => false,
    };
    root.naming_contexts.iter().find(same).cloned().ok_or_else(|| {
        let message = format!(
            "`{base}` is no domain of `{}`, which holds {}",
            server.address,
            root.naming_contexts.join("; ")
        );
        configuration("AD-BASE", "setting `base`", message)
            .hint("name the domain itself in `base`, and parts of it in `include`")
    })
}

fn is_bad_name(error: &LdapError) -> bool {
    error.result().is_some_and(|result| result.code == onesync_ldap::ResultCode::InvalidDnSyntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containers(include: &[&str], exclude: &[&str], below: bool) -> Containers {
        let of = |names: &[&str]| {
            names.iter().map(|n| Container { dn: Dn::parse(n).unwrap(), text: (*n).to_owned() }).collect()
        };
        Containers {
            base: "DC=x".to_owned(),
            chosen: Chosen { include: of(include), exclude: of(exclude), below },
            by_parent: HashMap::new(),
            remembered: BTreeMap::new(),
            remarks: Vec::new(),
        }
    }

    #[test]
    fn containers_are_told_by_name_without_asking_the_directory() {
        let settings = |more: &str| -> AdSettings {
            toml::from_str(&format!("url = \"ldap://dc1\"\nbind = \"b\"\npassword = \"p\"\n{more}")).unwrap()
        };
        let at = |name| Dn::parse(name).unwrap();
        let nothing = BTreeMap::new();
        assert!(Chosen::named(&settings(""), &nothing).unwrap().decide(&at("OU=a,DC=x")));
        let some = settings("include = [\"OU=a,DC=x\"]\nexclude = [\"OU=b,OU=a,DC=x\"]");
        let chosen = Chosen::named(&some, &nothing).unwrap();
        let decide = |name| chosen.decide(&at(name));
        assert_eq!(
            (decide("OU=a,DC=x"), decide("OU=b,OU=a,DC=x"), decide("OU=c,DC=x")),
            (true, false, false)
        );
        let renamed = Remembered { guid: String::new(), dn: "OU=c,DC=x".to_owned() };
        let known = BTreeMap::from([("OU=a,DC=x".to_owned(), renamed)]);
        assert!(Chosen::named(&some, &known).unwrap().decide(&at("OU=c,DC=x")), "as it is called now");
        assert!(Chosen::named(&settings("include = [\"<GUID=00>\"]"), &nothing).is_none());
    }

    #[test]
    fn the_nearest_container_decides() {
        let mut all = containers(&["DC=x", "OU=c,OU=b,OU=a,DC=x"], &["OU=b,OU=a,DC=x"], true);
        for (name, selected) in [
            ("CN=u,DC=x", true),
            ("CN=u,OU=a,DC=x", true),
            ("CN=u,ou=B,ou=A,dc=X", false),
            ("CN=u,OU=d,OU=b,OU=a,DC=x", false),
            ("CN=u,OU=c,OU=b,OU=a,DC=x", true),
            ("CN=u,OU=a,DC=y", false),
            ("CN=a\\,b,OU=a,DC=x", true),
        ] {
            assert_eq!((all.contain(name), all.contain(name)), (selected, selected), "{name}");
        }
        assert_eq!(all.search_bases(), ["DC=x"]);
        let mut flat = containers(&["OU=a,DC=x", "OU=b,DC=x"], &[], false);
        assert!(flat.contain("CN=u,OU=a,DC=x") && !flat.contain("CN=u,OU=new,OU=a,DC=x"));
        assert_eq!(flat.search_bases(), ["OU=a,DC=x", "OU=b,DC=x"]);
        assert!(
            flat.hides(&Dn::parse("DC=y,OU=a,DC=x").unwrap())
                && !flat.hides(&Dn::parse("DC=y,DC=x").unwrap())
        );
    }
}
