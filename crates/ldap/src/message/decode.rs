//! Bytes to messages. Elements that the standard may add at the end of a sequence are passed over.

use bytes::Bytes;

use super::{
    Authentication, BindRequest, Change, ChangeKind, DerefAliases, ExtendedRequest, ExtendedResponse,
    Message, ModifyDnRequest, ModifyRequest, Op, Scope, SearchRequest, tag,
};
use crate::ber::{
    CodecError, ENUMERATED, OCTETS, Reader, SEQUENCE, SET, context, context_constructed, integer, natural,
    text,
};
use crate::control::Control;
use crate::entry::Entry;
use crate::filter::Filter;
use crate::result::{LdapResult, ResultCode};

impl Message {
    /// Decodes one whole message; values become slices of `frame`.
    ///
    /// # Errors
    /// When the bytes are not exactly one well-formed message.
    pub fn decode(frame: &Bytes) -> Result<Self, CodecError> {
        let mut outer = Reader::new(frame);
        let mut inside = outer.enter(SEQUENCE)?;
        if !outer.is_empty() {
            return Err(CodecError::Trailing);
        }
        let id = inside.natural("the number of a message")?;
        let (op_tag, content) = inside.element()?;
        let mut op = read_op(frame, op_tag, content, inside.inside(content)?)?;
        let mut controls = Vec::new();
        while !inside.is_empty() {
            let (found, content) = inside.element()?;
            if found == context_constructed(0) {
                let mut list = inside.inside(content)?;
                while !list.is_empty() {
                    controls.push(Control::decode(frame, &mut list)?);
                }
            } else if let (0x8a, Op::ExtendedResponse(response)) = (found, &mut op) {
                // Active Directory puts the name of its Notice of Disconnection here
                if response.name.is_none() {
                    response.name = Some(text(content, "the name of an operation")?.to_owned());
                }
            }
        }
        match &mut op {
            Op::SearchEntry(entry) => entry.controls = std::mem::take(&mut controls),
            Op::SearchRequest(request) => request.controls = std::mem::take(&mut controls),
            _ => {}
        }
        Ok(Self { id, op, controls })
    }
}

fn read_op(frame: &Bytes, op: u8, content: &[u8], mut inside: Reader<'_>) -> Result<Op, CodecError> {
    Ok(match op {
        tag::SEARCH_ENTRY => Op::SearchEntry(Entry::decode(frame, inside)?),
        tag::SEARCH_DONE => Op::SearchDone(read_result(&mut inside)?),
        tag::SEARCH_REFERENCE => Op::SearchReference(read_texts(inside, "a referral")?),
        tag::BIND_REQUEST => Op::BindRequest(read_bind(frame, &mut inside)?),
        tag::BIND_RESPONSE => {
            let result = read_result(&mut inside)?;
            Op::BindResponse(result, inside.optional(context(7))?.map(|value| frame.slice_ref(value)))
        }
        tag::UNBIND_REQUEST => Op::UnbindRequest,
        tag::SEARCH_REQUEST => Op::SearchRequest(read_search(frame, &mut inside)?),
        tag::MODIFY_REQUEST => Op::ModifyRequest(read_modify(frame, &mut inside)?),
        tag::MODIFY_RESPONSE => Op::ModifyResponse(read_result(&mut inside)?),
        tag::ADD_REQUEST => Op::AddRequest(Entry::decode(frame, inside)?),
        tag::ADD_RESPONSE => Op::AddResponse(read_result(&mut inside)?),
        tag::DELETE_REQUEST => Op::DeleteRequest(text(content, "the name of an entry")?.to_owned()),
        tag::DELETE_RESPONSE => Op::DeleteResponse(read_result(&mut inside)?),
        tag::MODIFY_DN_REQUEST => Op::ModifyDnRequest(read_modify_dn(&mut inside)?),
        tag::MODIFY_DN_RESPONSE => Op::ModifyDnResponse(read_result(&mut inside)?),
        tag::COMPARE_REQUEST => {
            let dn = inside.text("the name of an entry")?.to_owned();
            let mut assertion = inside.enter(SEQUENCE)?;
            let attribute = assertion.text("the name of an attribute")?.to_owned();
            Op::CompareRequest(dn, attribute, frame.slice_ref(assertion.octets()?))
        }
        tag::COMPARE_RESPONSE => Op::CompareResponse(read_result(&mut inside)?),
        tag::ABANDON_REQUEST => Op::AbandonRequest(natural(
            integer(content, "the number of a message")?,
            "the number of a message",
        )?),
        tag::EXTENDED_REQUEST => Op::ExtendedRequest(ExtendedRequest {
            name: text(inside.expect(context(0))?, "the name of an operation")?.to_owned(),
            value: inside.optional(context(1))?.map(|value| frame.slice_ref(value)),
        }),
        tag::EXTENDED_RESPONSE => Op::ExtendedResponse(ExtendedResponse {
            result: read_result(&mut inside)?,
            name: optional_text(&mut inside, context(10))?,
            value: inside.optional(context(11))?.map(|value| frame.slice_ref(value)),
        }),
        tag::INTERMEDIATE => {
            let name = optional_text(&mut inside, context(0))?;
            Op::Intermediate(name, inside.optional(context(1))?.map(|value| frame.slice_ref(value)))
        }
        other => return Err(CodecError::Operation(other)),
    })
}

fn read_result(inside: &mut Reader<'_>) -> Result<LdapResult, CodecError> {
    let code = ResultCode::from_number(inside.enumerated("a result code")?);
    // the texts are for people: a server that sends them in another character set is still understood
    let matched_dn = String::from_utf8_lossy(inside.octets()?).into_owned();
    let message = String::from_utf8_lossy(inside.octets()?).into_owned();
    let referrals = match inside.optional(context_constructed(3))? {
        Some(content) => read_texts(inside.inside(content)?, "a referral")?,
        None => Vec::new(),
    };
    Ok(LdapResult { code, matched_dn, message, referrals })
}

fn read_texts(mut list: Reader<'_>, what: &'static str) -> Result<Vec<String>, CodecError> {
    let mut texts = Vec::new();
    while !list.is_empty() {
        texts.push(list.text(what)?.to_owned());
    }
    Ok(texts)
}

fn optional_text(inside: &mut Reader<'_>, tag: u8) -> Result<Option<String>, CodecError> {
    let found = inside.optional(tag)?;
    Ok(found.map(|name| text(name, "the name of an operation")).transpose()?.map(str::to_owned))
}

fn read_bind(frame: &Bytes, inside: &mut Reader<'_>) -> Result<BindRequest, CodecError> {
    let version = inside.natural("the version of the protocol")?;
    let name = inside.text("the name of a bind")?.to_owned();
    let (tag, content) = inside.element()?;
    let auth = match tag {
        0x80 => Authentication::Simple(frame.slice_ref(content)),
        0xa3 => {
            let mut sasl = inside.inside(content)?;
            let mechanism = sasl.text("a SASL mechanism")?.to_owned();
            Authentication::Sasl(mechanism, sasl.optional(OCTETS)?.map(|value| frame.slice_ref(value)))
        }
        _ => return Err(CodecError::Undefined("the proof of a bind")),
    };
    Ok(BindRequest { version, name, auth })
}

fn read_search(frame: &Bytes, inside: &mut Reader<'_>) -> Result<SearchRequest, CodecError> {
    let base = inside.text("the base of a search")?.to_owned();
    let scope = match inside.enumerated("the scope of a search")? {
        0 => Scope::Base,
        1 => Scope::OneLevel,
        2 => Scope::Subtree,
        3 => Scope::Children,
        _ => return Err(CodecError::Undefined("the scope of a search")),
    };
    let deref_aliases = match inside.enumerated("the use of aliases")? {
        0 => DerefAliases::Never,
        1 => DerefAliases::Searching,
        2 => DerefAliases::Finding,
        3 => DerefAliases::Always,
        _ => return Err(CodecError::Undefined("the use of aliases")),
    };
    let size_limit = inside.natural("the size limit")?;
    let time_limit = inside.natural("the time limit")?;
    let types_only = crate::ber::boolean(inside.expect(crate::ber::BOOLEAN)?)?;
    let filter = Filter::decode(frame, inside)?;
    let attributes = read_texts(inside.enter(SEQUENCE)?, "the name of an attribute")?;
    Ok(SearchRequest {
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
}

fn read_modify(frame: &Bytes, inside: &mut Reader<'_>) -> Result<ModifyRequest, CodecError> {
    let dn = inside.text("the name of an entry")?.to_owned();
    let mut list = inside.enter(SEQUENCE)?;
    let mut changes = Vec::new();
    while !list.is_empty() {
        let mut change = list.enter(SEQUENCE)?;
        let kind = match integer(change.expect(ENUMERATED)?, "the kind of a change")? {
            0 => ChangeKind::Add,
            1 => ChangeKind::Delete,
            2 => ChangeKind::Replace,
            3 => ChangeKind::Increment,
            _ => return Err(CodecError::Undefined("the kind of a change")),
        };
        let mut attribute = change.enter(SEQUENCE)?;
        let name = attribute.text("the name of an attribute")?.to_owned();
        let mut set = attribute.enter(SET)?;
        let mut values = Vec::new();
        while !set.is_empty() {
            values.push(frame.slice_ref(set.octets()?));
        }
        changes.push(Change { kind, attribute: name, values });
    }
    Ok(ModifyRequest { dn, changes })
}

fn read_modify_dn(inside: &mut Reader<'_>) -> Result<ModifyDnRequest, CodecError> {
    let dn = inside.text("the name of an entry")?.to_owned();
    let new_rdn = inside.text("a relative name")?.to_owned();
    let delete_old_rdn = crate::ber::boolean(inside.expect(crate::ber::BOOLEAN)?)?;
    let new_superior = inside.optional(context(0))?.map(|parent| text(parent, "the name of a parent"));
    Ok(ModifyDnRequest {
        dn,
        new_rdn,
        delete_old_rdn,
        new_superior: new_superior.transpose()?.map(str::to_owned),
    })
}
