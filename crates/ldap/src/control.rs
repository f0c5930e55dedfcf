//! Controls: extensions of a request or response, as a plain triple and as typed values.
//!
//! Every typed control knows how to become a [`Control`] and how to be found among the controls of a
//! message, so that servers in tests use the same code as the client.

use bytes::Bytes;

use crate::ber::{CodecError, OCTETS, Reader, SEQUENCE, Writer, context};

/// Paged results (RFC 2696).
pub const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";
/// Server side sorting, request (RFC 2891).
pub const SERVER_SORT: &str = "1.2.840.113556.1.4.473";
/// Server side sorting, response (RFC 2891).
pub const SERVER_SORT_RESPONSE: &str = "1.2.840.113556.1.4.474";
/// Active Directory: changes since a cookie.
pub const DIR_SYNC: &str = "1.2.840.113556.1.4.841";
/// Active Directory: deleted objects are found too.
pub const SHOW_DELETED: &str = "1.2.840.113556.1.4.417";
/// Active Directory: recycled objects are found too.
pub const SHOW_RECYCLED: &str = "1.2.840.113556.1.4.2064";
/// Active Directory: which parts of a security descriptor are meant.
pub const SD_FLAGS: &str = "1.2.840.113556.1.4.801";
/// Active Directory: names carry GUID and SID.
pub const EXTENDED_DN: &str = "1.2.840.113556.1.4.529";
/// Active Directory: no referrals into other domains.
pub const DOMAIN_SCOPE: &str = "1.2.840.113556.1.4.1339";
/// Active Directory: how a search is done. (1338, which some libraries use for it, is another control.)
pub const SEARCH_OPTIONS: &str = "1.2.840.113556.1.4.1340";
/// Active Directory: adding what is there and deleting what is not are no errors.
pub const PERMISSIVE_MODIFY: &str = "1.2.840.113556.1.4.1413";
/// Active Directory: an entry is deleted with all below it.
pub const TREE_DELETE: &str = "1.2.840.113556.1.4.805";
/// Content synchronisation, request (RFC 4533).
pub const SYNC_REQUEST: &str = "1.3.6.1.4.1.4203.1.9.1.1";
/// Content synchronisation, state of one entry (RFC 4533).
pub const SYNC_STATE: &str = "1.3.6.1.4.1.4203.1.9.1.2";
/// Content synchronisation, end (RFC 4533).
pub const SYNC_DONE: &str = "1.3.6.1.4.1.4203.1.9.1.3";
/// Referral objects are treated as entries (RFC 3296).
pub const MANAGE_DSA_IT: &str = "2.16.840.1.113730.3.4.2";

/// A control as it stands in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Its object identifier.
    pub oid: String,
    /// Whether the server must refuse the operation when it does not know the control.
    pub critical: bool,
    /// Its value.
    pub value: Option<Bytes>,
}

impl Control {
    /// Makes a critical control without a value, such as [`SHOW_DELETED`].
    pub fn flag(oid: &str) -> Self {
        Self { oid: oid.to_owned(), critical: true, value: None }
    }

    /// Makes a critical control with a value.
    fn with_value(oid: &str, write: impl FnOnce(&mut Writer)) -> Self {
        let mut writer = Writer::new();
        writer.constructed(SEQUENCE, write);
        Self { oid: oid.to_owned(), critical: true, value: Some(writer.into_bytes().into()) }
    }

    /// Sets whether the server must know the control.
    #[must_use]
    pub fn critical(self, critical: bool) -> Self {
        Self { critical, ..self }
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.constructed(SEQUENCE, |w| {
            w.octets(self.oid.as_bytes());
            if self.critical {
                w.boolean(true);
            }
            self.value.iter().for_each(|value| w.octets(value));
        });
    }

    pub(crate) fn decode(message: &Bytes, list: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut inside = list.enter(SEQUENCE)?;
        Ok(Self {
            oid: inside.text("the identifier of a control")?.to_owned(),
            critical: inside.boolean_or(false)?,
            value: inside.optional(OCTETS)?.map(|value| message.slice_ref(value)),
        })
    }
}

/// A control with a value of its own shape.
pub trait TypedControl: Sized {
    /// Its object identifier.
    const OID: &'static str;

    /// Makes the control.
    fn to_control(&self) -> Control;

    /// Reads its value.
    ///
    /// # Errors
    /// When the value has another shape.
    fn from_value(value: &Bytes) -> Result<Self, CodecError>;

    /// Finds the control among those of a message.
    ///
    /// # Errors
    /// When it is there, but malformed or without a value.
    fn find(controls: &[Control]) -> Result<Option<Self>, CodecError> {
        let Some(control) = controls.iter().find(|control| control.oid == Self::OID) else { return Ok(None) };
        let value = control.value.as_ref().ok_or(CodecError::Undefined("a control without its value"))?;
        Self::from_value(value).map(Some)
    }
}

/// Paged results, in a request (how many, and where to go on) and in a response (an estimate, and the mark).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PagedResults {
    /// Entries wanted; in a response the server's estimate of the total, 0 when it does not say.
    pub size: i32,
    /// The mark; empty in the first request and in the last response.
    pub cookie: Bytes,
}

impl TypedControl for PagedResults {
    const OID: &'static str = PAGED_RESULTS;

    fn to_control(&self) -> Control {
        Control::with_value(Self::OID, |w| {
            w.integer(i64::from(self.size));
            w.octets(&self.cookie);
        })
    }

    fn from_value(value: &Bytes) -> Result<Self, CodecError> {
        let mut inside = Reader::new(value).enter(SEQUENCE)?;
        let size = inside.integer_i32("the size of a page")?;
        Ok(Self { size, cookie: value.slice_ref(inside.octets()?) })
    }
}

/// Active Directory's DirSync. In a response `flags` is not zero when there is more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirSync {
    /// Flags; bit 31 makes the number negative, as Active Directory takes 4 octets and no more.
    pub flags: i32,
    /// The largest answer wanted, in octets; 0 leaves it to the server.
    pub bytes_max: i32,
    /// The mark; empty for everything from the beginning.
    pub cookie: Bytes,
}

impl DirSync {
    /// Needs no right to replicate; shows only what the caller may read.
    pub const OBJECT_SECURITY: i32 = 0x1;
    /// Parents come before their children.
    pub const ANCESTORS_FIRST_ORDER: i32 = 0x800;
    /// Attributes that are secret are left out.
    pub const PUBLIC_DATA_ONLY: i32 = 0x2000;
    /// Only the values of a link that were added or removed.
    pub const INCREMENTAL_VALUES: i32 = i32::MIN;

    /// Says whether a response announces more.
    pub const fn has_more(&self) -> bool {
        self.flags != 0
    }
}

impl TypedControl for DirSync {
    const OID: &'static str = DIR_SYNC;

    fn to_control(&self) -> Control {
        Control::with_value(Self::OID, |w| {
            w.integer(i64::from(self.flags));
            w.integer(i64::from(self.bytes_max));
            w.octets(&self.cookie);
        })
    }

    fn from_value(value: &Bytes) -> Result<Self, CodecError> {
        let mut inside = Reader::new(value).enter(SEQUENCE)?;
        // some clients send flags with bit 31 as 5 octets
        let flags = inside.integer("the flags of DirSync")?;
        let flags = i32::try_from(flags).or_else(|_| {
            u32::try_from(flags)
                .map(u32::cast_signed)
                .map_err(|_| CodecError::Integer("the flags of DirSync"))
        })?;
        let bytes_max = inside.integer_i32("the size limit of DirSync")?;
        Ok(Self { flags, bytes_max, cookie: value.slice_ref(inside.octets()?) })
    }
}

/// Which parts of a security descriptor are read or written: owner 1, group 2, DACL 4, SACL 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SdFlags(pub i32);

/// How an extended name is written: 0 in hexadecimal digits, 1 as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedDn(pub i32);

/// How a search is done: 1 within the domain, 2 over all naming contexts of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchOptions(pub i32);

macro_rules! number_control {
    ($($name:ident $oid:ident $what:literal,)*) => {$(
        impl TypedControl for $name {
            const OID: &'static str = $oid;

            fn to_control(&self) -> Control {
                Control::with_value(Self::OID, |w| w.integer(i64::from(self.0)))
            }

            fn from_value(value: &Bytes) -> Result<Self, CodecError> {
                Reader::new(value).enter(SEQUENCE)?.integer_i32($what).map(Self)
            }
        }
    )*};
}

number_control! {
    SdFlags SD_FLAGS "the parts of a security descriptor",
    ExtendedDn EXTENDED_DN "the form of an extended name",
    SearchOptions SEARCH_OPTIONS "the options of a search",
}

/// One key of a sort.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SortKey {
    /// The attribute.
    pub attribute: String,
    /// The ordering rule; absent means the attribute's own.
    pub rule: Option<String>,
    /// Whether the order is turned round.
    pub reverse: bool,
}

/// Server side sorting, request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerSort(pub Vec<SortKey>);

impl TypedControl for ServerSort {
    const OID: &'static str = SERVER_SORT;

    fn to_control(&self) -> Control {
        Control::with_value(Self::OID, |w| {
            for key in &self.0 {
                w.constructed(SEQUENCE, |w| {
                    w.octets(key.attribute.as_bytes());
                    key.rule.iter().for_each(|rule| w.primitive(context(0), rule.as_bytes()));
                    if key.reverse {
                        w.boolean_as(context(1), true);
                    }
                });
            }
        })
    }

    fn from_value(value: &Bytes) -> Result<Self, CodecError> {
        let mut list = Reader::new(value).enter(SEQUENCE)?;
        let mut keys = Vec::new();
        while !list.is_empty() {
            let mut inside = list.enter(SEQUENCE)?;
            let attribute = inside.text("an attribute to sort by")?.to_owned();
            let rule = inside.optional(context(0))?.map(|rule| crate::ber::text(rule, "an ordering rule"));
            let reverse = inside.optional(context(1))?.map_or(Ok(false), crate::ber::boolean)?;
            keys.push(SortKey { attribute, rule: rule.transpose()?.map(str::to_owned), reverse });
        }
        Ok(Self(keys))
    }
}

/// Server side sorting, response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerSortResponse {
    /// The number of a result code; 0 when the entries are sorted.
    pub code: u32,
    /// The attribute that is to blame.
    pub attribute: Option<String>,
}

impl TypedControl for ServerSortResponse {
    const OID: &'static str = SERVER_SORT_RESPONSE;

    fn to_control(&self) -> Control {
        Control::with_value(Self::OID, |w| {
            w.enumerated(self.code);
            self.attribute.iter().for_each(|name| w.primitive(context(0), name.as_bytes()));
        })
        .critical(false)
    }

    fn from_value(value: &Bytes) -> Result<Self, CodecError> {
        let mut inside = Reader::new(value).enter(SEQUENCE)?;
        let code = inside.enumerated("the result of a sort")?;
        let attribute = inside.optional(context(0))?.map(|name| crate::ber::text(name, "an attribute name"));
        Ok(Self { code, attribute: attribute.transpose()?.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<C: TypedControl + PartialEq + std::fmt::Debug>(typed: &C) {
        let mut writer = Writer::new();
        typed.to_control().encode(&mut writer);
        let bytes = Bytes::from(writer.into_bytes());
        let control = Control::decode(&bytes, &mut Reader::new(&bytes)).expect("a control");
        assert_eq!(control, typed.to_control());
        assert_eq!(C::find(&[Control::flag("1.2.3"), control]).expect("well-formed").as_ref(), Some(typed));
        assert_eq!(C::find(&[]).expect("absent is fine"), None);
        assert!(C::find(&[Control::flag(C::OID)]).is_err(), "the value is missing");
        let cut = typed.to_control().value.expect("a value");
        for len in 0..cut.len() {
            assert!(C::from_value(&cut.slice(..len)).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn typed_controls_round_trip() {
        round_trip(&PagedResults { size: 1000, cookie: Bytes::from_static(b"next") });
        round_trip(&DirSync {
            flags: DirSync::INCREMENTAL_VALUES | DirSync::OBJECT_SECURITY,
            bytes_max: 0x7fff_ffff,
            cookie: Bytes::from_static(b"MSDS"),
        });
        round_trip(&SdFlags(7));
        round_trip(&ExtendedDn(1));
        round_trip(&SearchOptions(2));
        round_trip(&ServerSort(vec![
            SortKey { attribute: "cn".into(), ..Default::default() },
            SortKey { attribute: "sn".into(), rule: Some("2.5.13.3".into()), reverse: true },
        ]));
        round_trip(&ServerSortResponse { code: 16, attribute: Some("sn".into()) });
    }

    #[test]
    fn dir_sync_flags_are_four_octets() {
        let control = DirSync { flags: DirSync::INCREMENTAL_VALUES, ..Default::default() }.to_control();
        let value = control.value.expect("a value");
        assert_eq!(&value[..8], [0x30, 11, 2, 4, 0x80, 0, 0, 0]);
        let five = Bytes::from_static(&[0x30, 12, 2, 5, 0, 0x80, 0, 0, 0, 2, 1, 0, 4, 0]);
        assert_eq!(DirSync::from_value(&five).map(|found| found.flags), Ok(i32::MIN));
    }
}
