//! What a connector's file says about first contact: the pilot, and by which names existing accounts are adopted.

use onesync_engine::{ConnectorPolicy, NameMatch, Pilot};
use onesync_model::{AttrId, Names, Schema, fold_case};

use crate::config::ConfigCheck;
use crate::runtime::ConnectorHandle;

/// Metaverse attributes by which people and groups of a pilot are named.
const PILOT_NAMES: [&str; 4] = ["userPrincipalName", "accountName", "mail", "sourceAnchor"];
/// The metaverse attribute that holds the members of a group.
const MEMBER: &str = "member";
/// Attributes by which accounts can be adopted, the first being the one that nobody else may have.
const ADOPT_BY: [&str; 2] = ["userPrincipalName", "mail"];

/// Reads pilot and adoption into the policy of a connector; mistakes go into the check.
pub(crate) fn contact(
    handle: &ConnectorHandle,
    policy: &mut ConnectorPolicy,
    metaverse: &Schema,
    names: &Names,
    check: &mut ConfigCheck,
) {
    let mut wrong = |key: &str, message: String| {
        check.errors += 1;
        check.messages.push(format!("error: {}: {message}", handle.file.place_of(&[key])));
    };
    let attribute = |name: &str| names.find(name).filter(|&id| metaverse.attribute(id).is_some());
    let file = &handle.file;
    if !handle.capabilities.export {
        if file.pilot.is_some() {
            wrong("pilot", "`pilot` is for connectors that write; this one only reads".to_owned());
        }
        if !file.adopt_by.is_empty() {
            wrong("adopt_by", "`adopt_by` is for connectors that write; this one only reads".to_owned());
        }
        return;
    }
    if let Some(pilot) = &file.pilot {
        if pilot.group.is_some() != pilot.people.is_empty() {
            wrong("pilot", "`pilot` names either a `group` or `people`".to_owned());
        }
        let attributes: Vec<AttrId> = PILOT_NAMES.iter().filter_map(|name| attribute(name)).collect();
        let member = attribute(MEMBER);
        if attributes.is_empty() || (pilot.group.is_some() && member.is_none()) {
            let needed = PILOT_NAMES.join("`, `");
            wrong(
                "pilot",
                format!(
                    "`pilot` needs the metaverse attributes `{needed}` or some of them, and `{MEMBER}` for a group"
                ),
            );
        }
        policy.pilot = Some(Pilot {
            attributes,
            people: pilot.people.iter().map(|name| fold_case(name).into_owned()).collect(),
            group: pilot.group.as_deref().map(|name| fold_case(name).into_owned()),
            member: member.unwrap_or_default(),
        });
    }
    for name in &file.adopt_by {
        if !ADOPT_BY.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            wrong(
                "adopt_by",
                format!("`adopt_by` cannot name `{name}`: accounts are adopted by {}", ADOPT_BY.join(" or ")),
            );
        }
    }
    for (position, known) in ADOPT_BY.iter().enumerate() {
        let adopt = file.adopt_by.iter().any(|name| name.eq_ignore_ascii_case(known));
        let (Some(metaverse), Some(connector)) = (attribute(known), names.find(known)) else { continue };
        for (&type_id, rules) in &mut policy.types {
            let account = rules.disable.is_some() && rules.create_key.is_some();
            if account && handle.schema.allows(type_id, connector) {
                policy.search.push(connector);
                // A mail address may be shared; a sign-in name that is taken stands in the way.
                if adopt || position == 0 {
                    rules.by_name.push(NameMatch { connector, metaverse, adopt });
                }
            }
        }
    }
    policy.search.sort_unstable();
    policy.search.dedup();
}
