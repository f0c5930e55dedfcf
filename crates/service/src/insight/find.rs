//! Finding the one object that is meant: by row, DN, anchor, or a value that only it has.

use onesync_engine::{CsFlags, CsRow, MvRow, Reader};
use onesync_model::{
    Anchor, CsId, Dn, Value, ValueRef, ValuesRef, fold_case, normalise_rdn, value_from_json,
};
use onesync_store::StoreReader;

use crate::error::ServiceError;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// Objects looked at in one go.
const PAGE: usize = 2_000;
/// Objects that match loosely, of which one may match exactly.
const LOOSE_MAX: usize = 200;
/// Objects that an error names.
const NAMED_MAX: usize = 5;

/// What was found.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// An object of a connector space.
    Cs(CsRow),
    /// A metaverse object.
    Mv(MvRow),
}

impl Service {
    /// The one object that is meant, in the metaverse or in a connector space.
    pub(crate) fn find_anywhere(&self, runtime: &Runtime, text: &str) -> Result<Found, ServiceError> {
        let reader = self.store().reader()?;
        if let Some(row) = by_number(&*reader, text)? {
            return Ok(Found::Cs(row));
        }
        if Dn::parse(text).is_ok_and(|dn| !dn.is_root()) && text.contains('=') {
            let mut found = Vec::new();
            for connector in &runtime.connectors {
                found.extend(by_dn(&*reader, connector, text)?);
            }
            if !found.is_empty() {
                return one_cs(runtime, found, text).map(Found::Cs);
            }
        }
        if let Some(id) = self.mv_if_any(runtime, text)? {
            let row = reader.mv_by_id(&[id])?.into_iter().next();
            return row.map(Found::Mv).ok_or_else(|| none(text));
        }
        let mut found = Vec::new();
        for connector in &runtime.connectors {
            found.extend(self.matching(&*reader, runtime, connector, text)?);
        }
        if found.is_empty() {
            return Err(none(text));
        }
        one_cs(runtime, found, text).map(Found::Cs)
    }

    /// The one object of a connector space that is meant.
    pub(crate) fn find_cs(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        text: &str,
    ) -> Result<CsRow, ServiceError> {
        let reader = self.store().reader()?;
        if let Some(row) = by_number(&*reader, text)? {
            if row.connector != connector.id {
                let at = runtime.connector_by_id(row.connector).map_or("another connector", |c| c.name());
                return Err(ServiceError::usage(
                    format!("`{text}` is an object of `{at}`, not of `{}`", connector.name()),
                    format!("name it with its connector: `{at} {text}`"),
                ));
            }
            return Ok(row);
        }
        let mut found = by_dn(&*reader, connector, text)?;
        if found.is_empty() {
            found = self.matching(&*reader, runtime, connector, text)?;
        }
        if found.is_empty() {
            return Err(ServiceError::usage(
                format!("`{}` has no object `{text}`", connector.name()),
                format!(
                    "write its DN, its anchor, cs:NUMBER or a value that only it has; `onesync search cs {0} TEXT` finds objects, `onesync explain {text}` says why one may be missing",
                    connector.name()
                ),
            ));
        }
        one_cs(runtime, found, text)
    }

    /// By anchor, else by value: of several that contain the text the ones that have exactly it.
    fn matching(
        &self,
        reader: &dyn StoreReader,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        text: &str,
    ) -> Result<Vec<CsRow>, ServiceError> {
        let keys: Vec<_> = anchors(text).iter().map(|a| CsRow::anchor_key(connector.id, a)).collect();
        let by_anchor = reader.cs_by_key(&keys)?;
        if !by_anchor.is_empty() {
            return Ok(by_anchor);
        }
        let found = self.rows_cs(reader, runtime, connector, text, LOOSE_MAX)?;
        let wanted = fold_case(text);
        let same = |value: ValueRef<'_>| match value {
            ValueRef::String(value) | ValueRef::Reference(value) => fold_case(value) == wanted,
            other => other.to_string() == text,
        };
        let exact = |row: &CsRow| {
            fold_case(&row.name) == wanted
                || row.image.as_ref().iter().flat_map(|(_, values)| ValuesRef::iter(values)).any(same)
        };
        let exactly: Vec<CsRow> = found.iter().filter(|row| exact(row)).cloned().collect();
        Ok(if exactly.is_empty() { found } else { exactly })
    }
}

/// `cs:NUMBER`.
fn by_number(reader: &dyn StoreReader, text: &str) -> Result<Option<CsRow>, ServiceError> {
    let Some(number) = text.strip_prefix("cs:") else { return Ok(None) };
    let id = number.parse().map(CsId).map_err(|_| {
        ServiceError::usage(format!("`{text}` is no object"), "write cs:NUMBER as `search cs` shows it")
    })?;
    let row = reader.cs_by_id(&[id])?.into_iter().next();
    row.map(Some).ok_or_else(|| {
        ServiceError::usage(
            format!("there is no object `{text}`"),
            "`onesync search cs CONNECTOR TEXT` finds objects",
        )
    })
}

/// The group of a connector that a scope calls so, as far as it is there.
pub(crate) fn find_group(
    reader: &dyn Reader,
    connector: &ConnectorHandle,
    name: &str,
) -> Result<Option<CsRow>, ServiceError> {
    let keys: Vec<_> = anchors(name).iter().map(|a| CsRow::anchor_key(connector.id, a)).collect();
    let mut found = reader.cs_by_key(&keys)?;
    if found.is_empty() {
        found = match connector.capabilities.hierarchical {
            true => by_dn(reader, connector, name)?,
            false => return Ok(None),
        };
    }
    Ok(found.into_iter().find(|row| !row.flags.has(CsFlags::GONE)))
}

/// By distinguished name, through the containers.
fn by_dn(reader: &dyn Reader, connector: &ConnectorHandle, text: &str) -> Result<Vec<CsRow>, ServiceError> {
    if !connector.capabilities.hierarchical || !text.contains('=') {
        return Ok(Vec::new());
    }
    let Ok(dn) = Dn::parse(text) else { return Ok(Vec::new()) };
    let Some((own, parents)) = dn.rdns().split_first() else { return Ok(Vec::new()) };
    let mut container = None;
    for rdn in parents.iter().rev() {
        match reader.container(connector.id, container, &rdn.normalised())? {
            Some(row) => container = Some(row.id),
            None => return Ok(Vec::new()),
        }
    }
    let wanted = own.normalised();
    if connector.capabilities.links_by_name {
        return Ok(reader.cs_by_name(&[CsRow::name_key(connector.id, container, &wanted)])?);
    }
    let Some(container) = container else { return Ok(Vec::new()) };
    let (mut found, mut after) = (Vec::new(), CsId(i64::MIN));
    loop {
        let page = reader.cs_in_container(container, after, PAGE)?;
        let Some(&last) = page.last() else { return Ok(found) };
        after = last;
        found.extend(reader.cs_by_id(&page)?.into_iter().filter(|row| normalise_rdn(&row.name) == wanted));
    }
}

/// What a text may stand for as an anchor: itself, a GUID in either order of its bytes, hexadecimal digits, base64.
fn anchors(text: &str) -> Vec<Anchor> {
    let mut all = vec![Anchor::text(text)];
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | '{' | '}')).collect();
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
    let bytes: Option<Vec<u8>> = pairs.map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    if let Some(bytes) = bytes.filter(|_| digits.len().is_multiple_of(2) && digits.is_ascii()) {
        if let [a, b, c, d, e, f, g, h, rest @ ..] = bytes.as_slice()
            && rest.len() == 8
        {
            let mixed = [&[*d, *c, *b, *a, *f, *e, *h, *g], rest].concat();
            all.push(Anchor(mixed.into()));
        }
        all.push(Anchor(bytes.into()));
    }
    if let Ok(Some(Value::Binary(bytes))) = value_from_json(&serde_json::json!({"$bin": text})) {
        all.push(Anchor(bytes));
    }
    all
}

fn one_cs(runtime: &Runtime, found: Vec<CsRow>, text: &str) -> Result<CsRow, ServiceError> {
    let named: Vec<String> = found
        .iter()
        .take(NAMED_MAX)
        .map(|row| {
            let at = runtime.connector_by_id(row.connector).map_or("", |c| c.name());
            format!("cs:{} ({at}: {})", row.id, row.name)
        })
        .collect();
    let more = if found.len() > NAMED_MAX { ", ..." } else { "" };
    let mut found = found;
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        _ => Err(ServiceError::usage(
            format!("more than one object matches `{text}`: {}{more}", named.join(", ")),
            "name one of them by its cs:NUMBER",
        )),
    }
}

fn none(text: &str) -> ServiceError {
    ServiceError::usage(
        format!("neither the metaverse nor any connector space has an object `{text}`"),
        "write its DN, its anchor or a value; `onesync search cs CONNECTOR TEXT` and `onesync search mv TEXT` find objects",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_found_in_either_order_of_its_bytes() {
        let found = anchors("{00112233-4455-6677-8899-aabbccddeeff}");
        let mixed =
            [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        assert!(found.contains(&Anchor(mixed.as_slice().into())), "{found:?}");
        assert!(anchors("AAE=").contains(&Anchor([0, 1].as_slice().into())));
        assert!(anchors("u1@contoso.com").contains(&Anchor::text("u1@contoso.com")));
    }
}
