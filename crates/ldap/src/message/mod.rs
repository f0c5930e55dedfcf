//! Messages of LDAP version 3 (RFC 4511), in both directions.
//!
//! The client needs half of this; test proxies and the demonstration's own server need the other half.
//! Deliberately absent: extensions of single operations; they are an [`ExtendedRequest`] with a name.

mod decode;
mod encode;

use std::fmt;

use bytes::Bytes;

use crate::control::Control;
use crate::entry::Entry;
use crate::filter::Filter;
use crate::result::LdapResult;

/// Name of the StartTLS operation (RFC 4511 section 4.14).
pub const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
/// Name of the Notice of Disconnection (RFC 4511 section 4.4.1).
pub const NOTICE_OF_DISCONNECTION: &str = "1.3.6.1.4.1.1466.20036";
/// Name of the Who am I operation (RFC 4532).
pub const WHO_AM_I: &str = "1.3.6.1.4.1.4203.1.11.3";

/// One message: an operation, its number, its controls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Ties a response to its request; 0 in what the server says unasked.
    pub id: i32,
    /// The operation.
    pub op: Op,
    /// The controls. Those of a search and of an entry stay in their operation.
    pub controls: Vec<Control>,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Who the client is.
    BindRequest(BindRequest),
    /// Answer to a bind.
    BindResponse(LdapResult, Option<Bytes>),
    /// The client leaves.
    UnbindRequest,
    /// A search.
    SearchRequest(SearchRequest),
    /// An entry found.
    SearchEntry(Entry),
    /// Places where the search should go on.
    SearchReference(Vec<String>),
    /// End of a search.
    SearchDone(LdapResult),
    /// A change.
    ModifyRequest(ModifyRequest),
    /// Answer to a change.
    ModifyResponse(LdapResult),
    /// A new entry.
    AddRequest(Entry),
    /// Answer to a new entry.
    AddResponse(LdapResult),
    /// A deletion, by name.
    DeleteRequest(String),
    /// Answer to a deletion.
    DeleteResponse(LdapResult),
    /// A rename or move.
    ModifyDnRequest(ModifyDnRequest),
    /// Answer to a rename or move.
    ModifyDnResponse(LdapResult),
    /// A comparison: name, attribute, value.
    CompareRequest(String, String, Bytes),
    /// Answer to a comparison.
    CompareResponse(LdapResult),
    /// The operation of this number is of no more interest.
    AbandonRequest(i32),
    /// An operation by name.
    ExtendedRequest(ExtendedRequest),
    /// Answer to an operation by name.
    ExtendedResponse(ExtendedResponse),
    /// An answer before the last: name and value.
    Intermediate(Option<String>, Option<Bytes>),
}

impl Op {
    /// Gives the name of the operation, for errors.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BindRequest(_) => "bind request",
            Self::BindResponse(..) => "bind response",
            Self::UnbindRequest => "unbind request",
            Self::SearchRequest(_) => "search request",
            Self::SearchEntry(_) => "search entry",
            Self::SearchReference(_) => "search reference",
            Self::SearchDone(_) => "search end",
            Self::ModifyRequest(_) => "modify request",
            Self::ModifyResponse(_) => "modify response",
            Self::AddRequest(_) => "add request",
            Self::AddResponse(_) => "add response",
            Self::DeleteRequest(_) => "delete request",
            Self::DeleteResponse(_) => "delete response",
            Self::ModifyDnRequest(_) => "rename request",
            Self::ModifyDnResponse(_) => "rename response",
            Self::CompareRequest(..) => "compare request",
            Self::CompareResponse(_) => "compare response",
            Self::AbandonRequest(_) => "abandon request",
            Self::ExtendedRequest(_) => "extended request",
            Self::ExtendedResponse(_) => "extended response",
            Self::Intermediate(..) => "intermediate response",
        }
    }
}

/// Who the client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindRequest {
    /// The version of the protocol: 3.
    pub version: i32,
    /// The name; empty with SASL.
    pub name: String,
    /// The proof.
    pub auth: Authentication,
}

/// The proof of a bind.
#[derive(Clone, PartialEq, Eq)]
pub enum Authentication {
    /// A password.
    Simple(Bytes),
    /// A SASL mechanism and its credentials.
    Sasl(String, Option<Bytes>),
}

impl fmt::Debug for Authentication {
    /// Hides the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(_) => f.write_str("Simple(..)"),
            Self::Sasl(mechanism, _) => write!(f, "Sasl({mechanism:?}, ..)"),
        }
    }
}

/// How far a search reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// The base alone.
    Base,
    /// What stands directly below the base.
    OneLevel,
    /// The base and all below.
    #[default]
    Subtree,
    /// All below, without the base.
    Children,
}

/// Where aliases are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DerefAliases {
    /// Nowhere.
    #[default]
    Never,
    /// Below the base.
    Searching,
    /// At the base.
    Finding,
    /// Everywhere.
    Always,
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchRequest {
    /// Where it begins.
    pub base: String,
    /// How far it reaches.
    pub scope: Scope,
    /// Where aliases are followed.
    pub deref_aliases: DerefAliases,
    /// The largest number of entries; 0 sets no limit.
    pub size_limit: i32,
    /// The longest time in seconds that the server may take; 0 sets no limit.
    pub time_limit: i32,
    /// Whether only names of attributes are wanted.
    pub types_only: bool,
    /// What is looked for.
    pub filter: Filter,
    /// The attributes wanted: empty or `*` is all of the user's, `+` the operational ones, `1.1` none.
    pub attributes: Vec<String>,
    /// The controls.
    pub controls: Vec<Control>,
}

impl SearchRequest {
    /// Makes a search for all attributes, without limits or controls.
    pub fn new(base: impl Into<String>, scope: Scope, filter: Filter) -> Self {
        Self {
            base: base.into(),
            scope,
            deref_aliases: DerefAliases::Never,
            size_limit: 0,
            time_limit: 0,
            types_only: false,
            filter,
            attributes: Vec::new(),
            controls: Vec::new(),
        }
    }

    /// Makes a search for the entry `base` itself.
    pub fn entry(base: impl Into<String>) -> Self {
        Self::new(base, Scope::Base, Filter::any_object())
    }

    /// Sets the attributes wanted.
    #[must_use]
    pub fn attributes<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.attributes = names.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a control.
    #[must_use]
    pub fn control(mut self, control: Control) -> Self {
        self.controls.push(control);
        self
    }
}

/// A change of one entry.
#[derive(Clone, PartialEq, Eq)]
pub struct ModifyRequest {
    /// The entry.
    pub dn: String,
    /// What changes, in this order.
    pub changes: Vec<Change>,
}

/// A change of one attribute.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// What is done with the values.
    pub kind: ChangeKind,
    /// The attribute.
    pub attribute: String,
    /// The values.
    pub values: Vec<Bytes>,
}

impl fmt::Debug for ModifyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModifyRequest").field("dn", &self.dn).field("changes", &self.changes).finish()
    }
}

impl fmt::Debug for Change {
    /// Hides the values: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} ({} values)", self.kind, self.attribute, self.values.len())
    }
}

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// Adds the values.
    Add,
    /// Deletes the values; without values all of them.
    Delete,
    /// Replaces all values by these.
    Replace,
    /// Adds the number to the value (RFC 4525).
    Increment,
}

/// A rename or move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModifyDnRequest {
    /// The entry.
    pub dn: String,
    /// Its new relative name.
    pub new_rdn: String,
    /// Whether the values of the old relative name go.
    pub delete_old_rdn: bool,
    /// Its new parent; absent when it stays where it is.
    pub new_superior: Option<String>,
}

/// An operation by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedRequest {
    /// The name, an object identifier.
    pub name: String,
    /// The value.
    pub value: Option<Bytes>,
}

/// Answer to an operation by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedResponse {
    /// The outcome.
    pub result: LdapResult,
    /// The name, an object identifier.
    pub name: Option<String>,
    /// The value.
    pub value: Option<Bytes>,
}

pub(crate) mod tag {
    //! Tags of the operations.

    pub const BIND_REQUEST: u8 = 0x60;
    pub const BIND_RESPONSE: u8 = 0x61;
    pub const UNBIND_REQUEST: u8 = 0x42;
    pub const SEARCH_REQUEST: u8 = 0x63;
    pub const SEARCH_ENTRY: u8 = 0x64;
    pub const SEARCH_DONE: u8 = 0x65;
    pub const SEARCH_REFERENCE: u8 = 0x73;
    pub const MODIFY_REQUEST: u8 = 0x66;
    pub const MODIFY_RESPONSE: u8 = 0x67;
    pub const ADD_REQUEST: u8 = 0x68;
    pub const ADD_RESPONSE: u8 = 0x69;
    pub const DELETE_REQUEST: u8 = 0x4a;
    pub const DELETE_RESPONSE: u8 = 0x6b;
    pub const MODIFY_DN_REQUEST: u8 = 0x6c;
    pub const MODIFY_DN_RESPONSE: u8 = 0x6d;
    pub const COMPARE_REQUEST: u8 = 0x6e;
    pub const COMPARE_RESPONSE: u8 = 0x6f;
    pub const ABANDON_REQUEST: u8 = 0x50;
    pub const EXTENDED_REQUEST: u8 = 0x77;
    pub const EXTENDED_RESPONSE: u8 = 0x78;
    pub const INTERMEDIATE: u8 = 0x79;
}
