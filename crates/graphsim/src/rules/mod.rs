//! What may be written: types, lengths, required and read-only properties, uniqueness, protection.
//!
//! Checks read the world and change nothing; handlers apply what has passed.

mod group;
mod user;
mod values;

pub(crate) use group::{check_group_create, check_group_update, check_member, check_members_writable};
pub(crate) use user::{check_user_create, check_user_update, is_protected};
pub(crate) use values::check_values;

use crate::error::GraphError;
use crate::message::Caller;
use crate::state::Ix;
use crate::world::World;

/// Objects that directory synchronisation masters refuse every write.
pub(crate) fn refuse_synced(world: &World, ix: Ix) -> Result<(), GraphError> {
    match world.state.get(ix).and_then(|o| o.flag("onPremisesSyncEnabled")) {
        Some(true) => Err(GraphError::synced()),
        _ => Ok(()),
    }
}

/// A directory that is full takes no new object.
pub(crate) fn check_quota(world: &World) -> Result<(), GraphError> {
    let limit = world.tenant.object_quota;
    let live: usize = crate::schema::Kind::ALL.into_iter().map(|k| world.state.live_count(k)).sum();
    if limit > 0 && live >= limit {
        return Err(GraphError::new(
            403,
            "Directory_QuotaExceeded",
            "The directory object quota limit for the Tenant has been exceeded. Please ask your administrator to increase the quota limit or delete objects to reduce the used quota.",
        ));
    }
    Ok(())
}

/// True when the caller holds one of these directory roles.
pub(crate) fn holds(caller: &Caller, roles: &[&str]) -> bool {
    caller.directory_roles.iter().any(|r| roles.iter().any(|w| w.eq_ignore_ascii_case(r)))
}

/// Directory roles that may touch everybody.
pub(crate) const HIGHEST: &[&str] =
    &["Global Administrator", "Company Administrator", "Privileged Authentication Administrator"];
