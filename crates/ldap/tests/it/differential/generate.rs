//! Messages of every kind, at random.

use bytes::Bytes;
use onesync_ldap::filter::{Extensible, Substrings};
use onesync_ldap::message::{
    Authentication, BindRequest, DerefAliases, ExtendedRequest, ExtendedResponse, ModifyDnRequest,
    ModifyRequest,
};
use onesync_ldap::{
    Change, ChangeKind, Control, Entry, Filter, LdapResult, Message, Op, ResultCode, Scope, SearchRequest,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// What values in filters and passwords are made of: ldap3_proto takes text only.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    Text,
    Octets,
}

pub fn message(values: Values) -> impl Strategy<Value = Message> {
    (1..=i32::MAX, op(values), vec(control(), 0..3)).prop_map(|(id, mut op, mut controls)| {
        match &mut op {
            Op::SearchRequest(request) => request.controls = std::mem::take(&mut controls),
            Op::SearchEntry(entry) => entry.controls = std::mem::take(&mut controls),
            _ => {}
        }
        Message { id, op, controls }
    })
}

fn op(values: Values) -> impl Strategy<Value = Op> {
    let result = || result().boxed();
    prop_oneof![
        bind(values),
        (result(), option::of(octets())).prop_map(|(result, value)| Op::BindResponse(result, value)),
        Just(Op::UnbindRequest),
        search(values),
        entry().prop_map(Op::SearchEntry),
        result().prop_map(Op::SearchDone),
        vec(url(), 1..4).prop_map(Op::SearchReference),
        (text(), vec(change(), 0..4))
            .prop_map(|(dn, changes)| Op::ModifyRequest(ModifyRequest { dn, changes })),
        result().prop_map(Op::ModifyResponse),
        entry().prop_map(Op::AddRequest),
        result().prop_map(Op::AddResponse),
        text().prop_map(Op::DeleteRequest),
        result().prop_map(Op::DeleteResponse),
        (text(), text(), any::<bool>(), option::of(text())).prop_map(
            |(dn, new_rdn, delete_old_rdn, new_superior)| {
                Op::ModifyDnRequest(ModifyDnRequest { dn, new_rdn, delete_old_rdn, new_superior })
            }
        ),
        result().prop_map(Op::ModifyDnResponse),
        (text(), name(), octets()).prop_map(|(dn, name, value)| Op::CompareRequest(dn, name, value)),
        result().prop_map(Op::CompareResponse),
        (0..=i32::MAX).prop_map(Op::AbandonRequest),
        (oid(), option::of(octets()))
            .prop_map(|(name, value)| Op::ExtendedRequest(ExtendedRequest { name, value })),
        (result(), option::of(oid()), option::of(octets())).prop_map(|(result, name, value)| {
            Op::ExtendedResponse(ExtendedResponse { result, name, value })
        }),
        (option::of(oid()), option::of(octets())).prop_map(|(name, value)| Op::Intermediate(name, value)),
    ]
}

fn bind(values: Values) -> impl Strategy<Value = Op> {
    let auth = prop_oneof![
        value(values).prop_map(Authentication::Simple),
        (name(), octets()).prop_map(|(name, value)| Authentication::Sasl(name, Some(value))),
    ];
    (2..4i32, text(), auth)
        .prop_map(|(version, name, auth)| Op::BindRequest(BindRequest { version, name, auth }))
}

fn search(values: Values) -> impl Strategy<Value = Op> {
    let scope = select(vec![Scope::Base, Scope::OneLevel, Scope::Subtree, Scope::Children]);
    let deref = select(vec![
        DerefAliases::Never,
        DerefAliases::Searching,
        DerefAliases::Finding,
        DerefAliases::Always,
    ]);
    let limits = (0..=i32::MAX, 0..=i32::MAX, any::<bool>());
    (text(), scope, deref, limits, filter(values), vec(name(), 0..4)).prop_map(
        |(base, scope, deref_aliases, (size_limit, time_limit, types_only), filter, attributes)| {
            Op::SearchRequest(SearchRequest {
                base,
                scope,
                deref_aliases,
                size_limit,
                time_limit,
                types_only,
                filter,
                attributes,
                controls: Vec::new(),
            })
        },
    )
}

pub fn filter(values: Values) -> impl Strategy<Value = Filter> {
    let part = move || value(values).prop_filter("a part is never empty", |part| !part.is_empty());
    let leaf = prop_oneof![
        (name(), value(values)).prop_map(|(name, value)| Filter::Equal(name, value)),
        (name(), value(values)).prop_map(|(name, value)| Filter::GreaterOrEqual(name, value)),
        (name(), value(values)).prop_map(|(name, value)| Filter::LessOrEqual(name, value)),
        (name(), value(values)).prop_map(|(name, value)| Filter::Approx(name, value)),
        name().prop_map(Filter::Present),
        (name(), option::of(part()), vec(part(), 0..3), option::of(part()))
            .prop_filter("some part", |(_, initial, any, last)| {
                initial.is_some() || !any.is_empty() || last.is_some()
            })
            .prop_map(|(attribute, initial, any, last)| {
                Filter::Substrings(Substrings { attribute, initial, any, last })
            }),
        (option::of(name()), oid(), value(values), any::<bool>()).prop_map(
            |(attribute, rule, value, dn_attributes)| {
                Filter::Extensible(Extensible { attribute, rule: Some(rule), value, dn_attributes })
            }
        ),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(Filter::And),
            vec(inner.clone(), 1..4).prop_map(Filter::Or),
            inner.prop_map(|part| Filter::Not(Box::new(part))),
        ]
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    (text(), vec((name(), vec(octets(), 0..4)), 0..6)).prop_map(|(dn, list)| Entry::build(&dn, list))
}

fn change() -> impl Strategy<Value = Change> {
    let kinds = vec![ChangeKind::Add, ChangeKind::Delete, ChangeKind::Replace, ChangeKind::Increment];
    (select(kinds), name(), vec(octets(), 0..4)).prop_map(|(kind, attribute, values)| Change {
        kind,
        attribute,
        values,
    })
}

fn result() -> impl Strategy<Value = LdapResult> {
    let codes = [0u32, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16, 32, 34, 49, 50, 51, 52, 53, 68, 80];
    let code = select(codes.to_vec()).prop_map(ResultCode::from_number);
    (code, text(), text(), vec(url(), 0..3)).prop_map(|(code, matched_dn, message, referrals)| LdapResult {
        code,
        matched_dn,
        message,
        referrals,
    })
}

/// Controls that neither side knows, so that their values stay as they are.
fn control() -> impl Strategy<Value = Control> {
    (oid(), any::<bool>(), option::of(octets())).prop_map(|(oid, critical, value)| Control {
        oid,
        critical,
        value,
    })
}

fn value(values: Values) -> BoxedStrategy<Bytes> {
    match values {
        Values::Text => text().prop_map(Bytes::from).boxed(),
        Values::Octets => octets().boxed(),
    }
}

fn octets() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        9 => vec(any::<u8>(), 0..20),
        1 => vec(any::<u8>(), 120..300),
    ]
    .prop_map(Bytes::from)
}

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 ,=()*\\\\\u{e9}\u{4e2d}\u{1f600}-]{0,16}"
}

/// Never empty: ldap3_proto passes over empty referrals.
fn url() -> impl Strategy<Value = String> {
    "ldaps?://[a-z0-9.]{1,12}/[A-Z=,%0-9]{0,12}"
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z][a-zA-Z0-9-]{0,12}(;[a-z]{1,4})?"
}

fn oid() -> impl Strategy<Value = String> {
    "1\\.9(\\.[1-9][0-9]{0,3}){1,4}"
}
