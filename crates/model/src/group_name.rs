//! What a group is called where somebody asks who is its member: by its distinguished name, or by its anchor.

use crate::{Anchor, Dn, MvGuid, fold_case};

/// The form in which names of groups are compared.
#[must_use]
pub fn group_name(text: &str) -> String {
    match Dn::parse(text) {
        Ok(dn) => dn.normalised(),
        Err(_) => {
            let name = fold_case(text.trim().trim_matches(['{', '}']));
            // A GUID is the same with and without hyphens.
            let digits: String = name.chars().filter(|c| *c != '-').collect();
            let is_guid = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_guid { digits } else { name.into_owned() }
        }
    }
}

/// The part of a group's name that stays when the containers above it are renamed, in the form in which it is compared.
#[must_use]
pub fn group_own_name(text: &str) -> String {
    let dn = Dn::parse(text).ok();
    dn.as_ref().and_then(Dn::rdn).map_or_else(|| group_name(text), |own| own.normalised())
}

/// What a group with this anchor is called besides its name: the anchor as it is shown, and as the GUID that it is in
/// Active Directory.
pub fn anchor_names(anchor: &Anchor) -> impl Iterator<Item = String> {
    let guid = <[u8; 16]>::try_from(&*anchor.0).ok().map(|[a, b, c, d, e, f, g, h, rest @ ..]| {
        // The first three groups of digits are numbers, stored low byte first.
        let mut bytes = [d, c, b, a, f, e, h, g, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.iter_mut().skip(8).zip(rest).for_each(|(to, from)| *to = from);
        group_name(&MvGuid(bytes).to_string())
    });
    std::iter::once(group_name(&anchor.to_string())).chain(guid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_known_by_its_name_and_by_its_guid() {
        let name = "CN=Staff\\, all,OU=Groups,DC=contoso,DC=com";
        assert_eq!(group_name("cn=staff\\2C ALL, ou=groups,dc=contoso,dc=com"), group_name(name));
        assert_ne!(group_name("CN=Staff,OU=Groups,DC=contoso,DC=com"), group_name(name));
        assert_eq!(group_own_name(name), group_own_name("CN=staff\\, ALL"));
        let anchor = Anchor((0..16).collect());
        let names: Vec<String> = anchor_names(&anchor).collect();
        for text in [
            "{03020100-0504-0706-0809-0A0B0C0D0E0F}",
            "000102030405060708090A0B0C0D0E0F",
            "03020100-0504-0706-0809-0a0b0c0d0e0f",
            "030201000504070608090a0b0c0d0e0f",
            "00010203-0405-0607-0809-0a0b0c0d0e0f",
        ] {
            assert!(names.contains(&group_name(text)), "{text}: {names:?}");
        }
        assert_eq!(anchor_names(&Anchor::text("Group-7")).collect::<Vec<_>>(), ["group-7"]);
        assert_eq!((group_name("Group-7"), group_own_name("Group-7")), ("group-7".into(), "group-7".into()));
    }
}
