//! Typed ids: no bare integer crosses a crate boundary.

use std::fmt;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id_type! {
    /// An attribute name, interned in [`crate::Names`]. Names differ without regard to ASCII case.
    AttrId(u32)
}
id_type! {
    /// An object type name, interned in [`crate::Names`] like an attribute name.
    TypeId(u32)
}
id_type! {
    /// One configured connector. Given when its configuration is first applied, never reused.
    ConnectorId(u32)
}
id_type! {
    /// The row number of a connector-space object: dense, given by the store, never reused.
    CsId(i64)
}
id_type! {
    /// The row number of a metaverse object: dense, given by the store, never reused.
    MvId(i64)
}
id_type! {
    /// One container (organisational unit, domain) of a hierarchical connected directory.
    ContainerId(i64)
}
id_type! {
    /// One rule in one version: a changed rule gets a new id.
    RuleId(u32)
}
id_type! {
    /// One execution of one step of one connector.
    RunId(i64)
}

/// The lasting identity of a metaverse object, derived from the object that first provisioned it.
///
/// Derived from connector, anchor and incarnation, so that a repeated run gives the same object the same identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MvGuid(pub [u8; 16]);

impl fmt::Display for MvGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = &self.0;
        for (index, byte) in b.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MvGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
