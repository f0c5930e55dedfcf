//! Our messages as those of ldap3_proto.

use bytes::Bytes;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto as theirs;
use onesync_ldap::message::{Authentication, DerefAliases};
use onesync_ldap::{ChangeKind, Control, Entry, Filter, LdapResult, Message, Op, ResultCode, Scope};

pub fn message(ours: &Message) -> theirs::LdapMsg {
    let of_op = match &ours.op {
        Op::SearchRequest(request) => &request.controls,
        Op::SearchEntry(entry) => &entry.controls,
        _ => &ours.controls,
    };
    theirs::LdapMsg { msgid: ours.id, op: op(&ours.op), ctrl: of_op.iter().map(control).collect() }
}

fn op(ours: &Op) -> theirs::LdapOp {
    use theirs::LdapOp as Theirs;
    match ours {
        Op::BindRequest(request) => Theirs::BindRequest(theirs::LdapBindRequest {
            version: i64::from(request.version),
            dn: request.name.clone(),
            cred: match &request.auth {
                Authentication::Simple(password) => theirs::LdapBindCred::Simple(text(password)),
                Authentication::Sasl(mechanism, credentials) => {
                    theirs::LdapBindCred::SASL(theirs::SaslCredentials {
                        mechanism: mechanism.clone(),
                        credentials: credentials.as_deref().unwrap_or_default().to_vec(),
                    })
                }
            },
        }),
        Op::BindResponse(outcome, value) => Theirs::BindResponse(theirs::LdapBindResponse {
            res: result(outcome),
            saslcreds: value.as_ref().map(|value| value.to_vec()),
        }),
        Op::UnbindRequest => Theirs::UnbindRequest,
        Op::SearchRequest(request) => Theirs::SearchRequest(theirs::LdapSearchRequest {
            base: request.base.clone(),
            scope: match request.scope {
                Scope::Base => theirs::LdapSearchScope::Base,
                Scope::OneLevel => theirs::LdapSearchScope::OneLevel,
                Scope::Subtree => theirs::LdapSearchScope::Subtree,
                Scope::Children => theirs::LdapSearchScope::Children,
            },
            aliases: match request.deref_aliases {
                DerefAliases::Never => theirs::LdapDerefAliases::Never,
                DerefAliases::Searching => theirs::LdapDerefAliases::InSearching,
                DerefAliases::Finding => theirs::LdapDerefAliases::FindingBaseObj,
                DerefAliases::Always => theirs::LdapDerefAliases::Always,
            },
            sizelimit: request.size_limit,
            timelimit: request.time_limit,
            typesonly: request.types_only,
            filter: filter(&request.filter),
            attrs: request.attributes.clone(),
        }),
        Op::SearchEntry(entry) => Theirs::SearchResultEntry(theirs::LdapSearchResultEntry {
            dn: entry.dn().to_owned(),
            attributes: attributes(entry),
        }),
        Op::SearchDone(outcome) => Theirs::SearchResultDone(result(outcome)),
        Op::SearchReference(uris) => {
            Theirs::SearchResultReference(theirs::LdapSearchResultReference { uris: uris.clone() })
        }
        Op::ModifyRequest(request) => Theirs::ModifyRequest(theirs::LdapModifyRequest {
            dn: request.dn.clone(),
            changes: request
                .changes
                .iter()
                .map(|change| theirs::LdapModify {
                    operation: match change.kind {
                        ChangeKind::Add => theirs::LdapModifyType::Add,
                        ChangeKind::Delete => theirs::LdapModifyType::Delete,
                        ChangeKind::Replace => theirs::LdapModifyType::Replace,
                        ChangeKind::Increment => theirs::LdapModifyType::Increment,
                    },
                    modification: theirs::LdapPartialAttribute {
                        atype: change.attribute.clone(),
                        vals: change.values.iter().map(|value| value.to_vec()).collect(),
                    },
                })
                .collect(),
        }),
        Op::ModifyResponse(outcome) => Theirs::ModifyResponse(result(outcome)),
        Op::AddRequest(entry) => Theirs::AddRequest(theirs::LdapAddRequest {
            dn: entry.dn().to_owned(),
            attributes: attributes(entry),
        }),
        Op::AddResponse(outcome) => Theirs::AddResponse(result(outcome)),
        Op::DeleteRequest(dn) => Theirs::DelRequest(dn.clone()),
        Op::DeleteResponse(outcome) => Theirs::DelResponse(result(outcome)),
        Op::ModifyDnRequest(request) => Theirs::ModifyDNRequest(theirs::LdapModifyDNRequest {
            dn: request.dn.clone(),
            newrdn: request.new_rdn.clone(),
            deleteoldrdn: request.delete_old_rdn,
            new_superior: request.new_superior.clone(),
        }),
        Op::ModifyDnResponse(outcome) => Theirs::ModifyDNResponse(result(outcome)),
        Op::CompareRequest(dn, attribute, value) => Theirs::CompareRequest(theirs::LdapCompareRequest {
            dn: dn.clone(),
            atype: attribute.clone(),
            val: value.to_vec(),
        }),
        Op::CompareResponse(outcome) => Theirs::CompareResult(result(outcome)),
        Op::AbandonRequest(id) => Theirs::AbandonRequest(*id),
        Op::ExtendedRequest(request) => Theirs::ExtendedRequest(theirs::LdapExtendedRequest {
            name: request.name.clone(),
            value: request.value.as_ref().map(|value| value.to_vec()),
        }),
        Op::ExtendedResponse(response) => Theirs::ExtendedResponse(theirs::LdapExtendedResponse {
            res: result(&response.result),
            name: response.name.clone(),
            value: response.value.as_ref().map(|value| value.to_vec()),
        }),
        Op::Intermediate(name, value) => {
            Theirs::IntermediateResponse(theirs::LdapIntermediateResponse::Raw {
                name: name.clone(),
                value: value.as_ref().map(|value| value.to_vec()),
            })
        }
    }
}

fn attributes(entry: &Entry) -> Vec<theirs::LdapPartialAttribute> {
    let list = entry.attributes().map(|found| theirs::LdapPartialAttribute {
        atype: found.name().to_owned(),
        vals: found.values().map(|value| value.to_vec()).collect(),
    });
    list.collect()
}

fn filter(ours: &Filter) -> theirs::LdapFilter {
    use theirs::LdapFilter as Theirs;
    match ours {
        Filter::And(parts) => Theirs::And(parts.iter().map(filter).collect()),
        Filter::Or(parts) => Theirs::Or(parts.iter().map(filter).collect()),
        Filter::Not(part) => Theirs::Not(Box::new(filter(part))),
        Filter::Equal(name, value) => Theirs::Equality(name.clone(), text(value)),
        Filter::GreaterOrEqual(name, value) => Theirs::GreaterOrEqual(name.clone(), text(value)),
        Filter::LessOrEqual(name, value) => Theirs::LessOrEqual(name.clone(), text(value)),
        Filter::Approx(name, value) => Theirs::Approx(name.clone(), text(value)),
        Filter::Present(name) => Theirs::Present(name.clone()),
        Filter::Substrings(parts) => Theirs::Substring(
            parts.attribute.clone(),
            theirs::LdapSubstringFilter {
                initial: parts.initial.as_ref().map(text),
                any: parts.any.iter().map(text).collect(),
                final_: parts.last.as_ref().map(text),
            },
        ),
        Filter::Extensible(parts) => Theirs::Extensible(theirs::LdapMatchingRuleAssertion {
            matching_rule: parts.rule.clone(),
            type_: parts.attribute.clone(),
            match_value: text(&parts.value),
            dn_attributes: parts.dn_attributes,
        }),
    }
}

fn result(ours: &LdapResult) -> theirs::LdapResult {
    theirs::LdapResult {
        code: code(ours.code),
        matcheddn: ours.matched_dn.clone(),
        message: ours.message.clone(),
        referral: ours.referrals.clone(),
    }
}

fn code(ours: ResultCode) -> theirs::LdapResultCode {
    use ResultCode as Ours;
    use theirs::LdapResultCode as Theirs;
    match ours {
        Ours::Success => Theirs::Success,
        Ours::OperationsError => Theirs::OperationsError,
        Ours::ProtocolError => Theirs::ProtocolError,
        Ours::TimeLimitExceeded => Theirs::TimeLimitExceeded,
        Ours::SizeLimitExceeded => Theirs::SizeLimitExceeded,
        Ours::CompareFalse => Theirs::CompareFalse,
        Ours::CompareTrue => Theirs::CompareTrue,
        Ours::AuthMethodNotSupported => Theirs::AuthMethodNotSupported,
        Ours::StrongerAuthRequired => Theirs::StrongerAuthRequired,
        Ours::Referral => Theirs::Referral,
        Ours::AdminLimitExceeded => Theirs::AdminLimitExceeded,
        Ours::UnavailableCriticalExtension => Theirs::UnavailableCriticalExtension,
        Ours::ConfidentialityRequired => Theirs::ConfidentialityRequired,
        Ours::SaslBindInProgress => Theirs::SaslBindInProgress,
        Ours::NoSuchAttribute => Theirs::NoSuchAttribute,
        Ours::NoSuchObject => Theirs::NoSuchObject,
        Ours::InvalidDnSyntax => Theirs::InvalidDNSyntax,
        Ours::InvalidCredentials => Theirs::InvalidCredentials,
        Ours::InsufficientAccessRights => Theirs::InsufficentAccessRights,
        Ours::Busy => Theirs::Busy,
        Ours::Unavailable => Theirs::Unavailable,
        Ours::UnwillingToPerform => Theirs::UnwillingToPerform,
        Ours::EntryAlreadyExists => Theirs::EntryAlreadyExists,
        Ours::Unspecified => Theirs::Other,
        other => panic!("{other} is not generated"),
    }
}

fn control(ours: &Control) -> LdapControl {
    LdapControl::Unknown {
        oid: ours.oid.clone(),
        criticality: ours.critical,
        value: ours.value.as_ref().map(|value| value.to_vec()),
    }
}

fn text(value: &Bytes) -> String {
    String::from_utf8(value.to_vec()).expect("text is generated for this peer")
}
