//! The subset of BER that LDAP uses (RFC 4511 section 5.1): single-octet tags and definite lengths.
//!
//! The reader borrows from the message and never copies or allocates.
//! Deliberately absent: multi-octet tags, indefinite lengths, constructed strings, REAL, OBJECT IDENTIFIER:
//! no LDAP message may contain them, so meeting one is an error.

mod reader;
mod writer;

pub use reader::{Header, Reader, header};
pub(crate) use reader::{boolean, integer, natural, text};
pub use writer::Writer;

/// How deep elements may be nested: LDAP needs about 10, a filter a few more, a hostile peer 100,000.
pub const DEPTH_MAX: u8 = 64;

/// Tag of BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// Tag of INTEGER.
pub const INTEGER: u8 = 0x02;
/// Tag of OCTET STRING.
pub const OCTETS: u8 = 0x04;
/// Tag of ENUMERATED.
pub const ENUMERATED: u8 = 0x0a;
/// Tag of SEQUENCE and SEQUENCE OF.
pub const SEQUENCE: u8 = 0x30;
/// Tag of SET and SET OF.
pub const SET: u8 = 0x31;

/// Tag of a context-specific primitive element.
pub const fn context(number: u8) -> u8 {
    0x80 | number
}

/// Tag of a context-specific constructed element.
pub const fn context_constructed(number: u8) -> u8 {
    0xa0 | number
}

/// Says why bytes are not the message they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// An element is longer than what holds it.
    #[error("an element ends behind its container")]
    Truncated,
    /// A length is in a form that LDAP does not allow, or does not fit in memory.
    #[error("a length is in a form that LDAP forbids")]
    Length,
    /// A tag is in the multi-octet form.
    #[error("a tag is in the multi-octet form that LDAP does not use")]
    LongTag,
    /// Elements are nested deeper than [`DEPTH_MAX`].
    #[error("elements are nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// Another element was due here.
    #[error("tag 0x{found:02x} stands where 0x{expected:02x} was due")]
    Tag {
        /// The tag that was due.
        expected: u8,
        /// The tag that was found.
        found: u8,
    },
    /// A number has no octets, too many of them, or is out of range.
    #[error("{0} is no number in its range")]
    Integer(&'static str),
    /// A BOOLEAN is not one octet long.
    #[error("a boolean is not one octet long")]
    Boolean,
    /// A text is not UTF-8.
    #[error("{0} is not UTF-8")]
    Utf8(&'static str),
    /// A value is none of those that are defined.
    #[error("{0} has an undefined value")]
    Undefined(&'static str),
    /// The protocol operation is none of LDAP version 3.
    #[error("0x{0:02x} is no operation of LDAP version 3")]
    Operation(u8),
    /// Bytes follow where the message should end.
    #[error("bytes follow behind the end of the message")]
    Trailing,
}
