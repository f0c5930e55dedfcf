//! Messages to bytes.

use bytes::Bytes;

use super::{
    Authentication, BindRequest, Change, ChangeKind, DerefAliases, Message, ModifyDnRequest, Op, Scope,
    SearchRequest, tag,
};
use crate::ber::{CodecError, SEQUENCE, SET, Writer, context, context_constructed};
use crate::control::Control;
use crate::result::LdapResult;

impl Message {
    /// Makes a message without controls.
    pub const fn new(id: i32, op: Op) -> Self {
        Self { id, op, controls: Vec::new() }
    }

    /// Encodes the message.
    ///
    /// # Errors
    /// When the filter of a search is nested too deeply; nothing else can fail.
    pub fn encode(&self) -> Result<Bytes, CodecError> {
        let mut op = Writer::new();
        write_op(&mut op, &self.op)?;
        let op = op.into_bytes();
        let mut writer = Writer::new();
        writer.constructed(SEQUENCE, |w| {
            w.integer(i64::from(self.id));
            w.raw(&op);
            let of_op: &[Control] = match &self.op {
                Op::SearchEntry(entry) => &entry.controls,
                Op::SearchRequest(request) => &request.controls,
                _ => &[],
            };
            if !self.controls.is_empty() || !of_op.is_empty() {
                w.constructed(context_constructed(0), |w| {
                    self.controls.iter().chain(of_op).for_each(|control| control.encode(w));
                });
            }
        });
        Ok(writer.into_bytes().into())
    }
}

fn write_op(w: &mut Writer, op: &Op) -> Result<(), CodecError> {
    match op {
        Op::BindRequest(request) => write_bind(w, request),
        Op::BindResponse(result, credentials) => w.constructed(tag::BIND_RESPONSE, |w| {
            write_result(w, result);
            credentials.iter().for_each(|value| w.primitive(context(7), value));
        }),
        Op::UnbindRequest => w.primitive(tag::UNBIND_REQUEST, &[]),
        Op::SearchRequest(request) => write_search(w, request)?,
        Op::SearchEntry(entry) => w.constructed(tag::SEARCH_ENTRY, |w| entry.encode(w)),
        Op::SearchReference(urls) => w.constructed(tag::SEARCH_REFERENCE, |w| {
            urls.iter().for_each(|url| w.octets(url.as_bytes()));
        }),
        Op::SearchDone(result) => w.constructed(tag::SEARCH_DONE, |w| write_result(w, result)),
        Op::ModifyRequest(request) => w.constructed(tag::MODIFY_REQUEST, |w| {
            w.octets(request.dn.as_bytes());
            w.constructed(SEQUENCE, |w| request.changes.iter().for_each(|change| write_change(w, change)));
        }),
        Op::ModifyResponse(result) => w.constructed(tag::MODIFY_RESPONSE, |w| write_result(w, result)),
        Op::AddRequest(entry) => w.constructed(tag::ADD_REQUEST, |w| entry.encode(w)),
        Op::AddResponse(result) => w.constructed(tag::ADD_RESPONSE, |w| write_result(w, result)),
        Op::DeleteRequest(dn) => w.primitive(tag::DELETE_REQUEST, dn.as_bytes()),
        Op::DeleteResponse(result) => w.constructed(tag::DELETE_RESPONSE, |w| write_result(w, result)),
        Op::ModifyDnRequest(request) => write_modify_dn(w, request),
        Op::ModifyDnResponse(result) => w.constructed(tag::MODIFY_DN_RESPONSE, |w| write_result(w, result)),
        Op::CompareRequest(dn, attribute, value) => w.constructed(tag::COMPARE_REQUEST, |w| {
            w.octets(dn.as_bytes());
            w.constructed(SEQUENCE, |w| {
                w.octets(attribute.as_bytes());
                w.octets(value);
            });
        }),
        Op::CompareResponse(result) => w.constructed(tag::COMPARE_RESPONSE, |w| write_result(w, result)),
        Op::AbandonRequest(id) => w.integer_as(tag::ABANDON_REQUEST, i64::from(*id)),
        Op::ExtendedRequest(request) => w.constructed(tag::EXTENDED_REQUEST, |w| {
            w.primitive(context(0), request.name.as_bytes());
            request.value.iter().for_each(|value| w.primitive(context(1), value));
        }),
        Op::ExtendedResponse(response) => w.constructed(tag::EXTENDED_RESPONSE, |w| {
            write_result(w, &response.result);
            response.name.iter().for_each(|name| w.primitive(context(10), name.as_bytes()));
            response.value.iter().for_each(|value| w.primitive(context(11), value));
        }),
        Op::Intermediate(name, value) => w.constructed(tag::INTERMEDIATE, |w| {
            name.iter().for_each(|name| w.primitive(context(0), name.as_bytes()));
            value.iter().for_each(|value| w.primitive(context(1), value));
        }),
    }
    Ok(())
}

fn write_bind(w: &mut Writer, request: &BindRequest) {
    w.constructed(tag::BIND_REQUEST, |w| {
        w.integer(i64::from(request.version));
        w.octets(request.name.as_bytes());
        match &request.auth {
            Authentication::Simple(password) => w.primitive(context(0), password),
            Authentication::Sasl(mechanism, credentials) => w.constructed(context_constructed(3), |w| {
                w.octets(mechanism.as_bytes());
                credentials.iter().for_each(|value| w.octets(value));
            }),
        }
    });
}

fn write_search(w: &mut Writer, request: &SearchRequest) -> Result<(), CodecError> {
    let mut filter = Writer::new();
    request.filter.encode(&mut filter)?;
    w.constructed(tag::SEARCH_REQUEST, |w| {
        w.octets(request.base.as_bytes());
        w.enumerated(match request.scope {
            Scope::Base => 0,
            Scope::OneLevel => 1,
            Scope::Subtree => 2,
            Scope::Children => 3,
        });
        w.enumerated(match request.deref_aliases {
            DerefAliases::Never => 0,
            DerefAliases::Searching => 1,
            DerefAliases::Finding => 2,
            DerefAliases::Always => 3,
        });
        w.integer(i64::from(request.size_limit));
        w.integer(i64::from(request.time_limit));
        w.boolean(request.types_only);
        w.raw(&filter.into_bytes());
        w.constructed(SEQUENCE, |w| request.attributes.iter().for_each(|name| w.octets(name.as_bytes())));
    });
    Ok(())
}

fn write_change(w: &mut Writer, change: &Change) {
    w.constructed(SEQUENCE, |w| {
        w.enumerated(match change.kind {
            ChangeKind::Add => 0,
            ChangeKind::Delete => 1,
            ChangeKind::Replace => 2,
            ChangeKind::Increment => 3,
        });
        w.constructed(SEQUENCE, |w| {
            w.octets(change.attribute.as_bytes());
            w.constructed(SET, |w| change.values.iter().for_each(|value| w.octets(value)));
        });
    });
}

fn write_modify_dn(w: &mut Writer, request: &ModifyDnRequest) {
    w.constructed(tag::MODIFY_DN_REQUEST, |w| {
        w.octets(request.dn.as_bytes());
        w.octets(request.new_rdn.as_bytes());
        w.boolean(request.delete_old_rdn);
        request.new_superior.iter().for_each(|parent| w.primitive(context(0), parent.as_bytes()));
    });
}

fn write_result(w: &mut Writer, result: &LdapResult) {
    w.enumerated(result.code.number());
    w.octets(result.matched_dn.as_bytes());
    w.octets(result.message.as_bytes());
    if !result.referrals.is_empty() {
        w.constructed(context_constructed(3), |w| {
            result.referrals.iter().for_each(|url| w.octets(url.as_bytes()));
        });
    }
}
