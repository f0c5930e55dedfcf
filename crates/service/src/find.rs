//! Finding objects by what people know of them: a value, a name, a part of one.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use onesync_engine::{CsRow, MvRow, ReadError};
use onesync_model::{Anchor, AttrId, CsId, MvId, join_key};
use onesync_store::StoreReader;

use crate::error::ServiceError;
use crate::look::{ObjectView, cs_state, mv_name, view_cs, view_mv};
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// Objects that a message names when a text fits several, and that are looked at for it.
const NAMED_MAX: usize = 10;
/// Objects that are looked at for a text beyond those that an index found.
const SCANNED_AFTER_INDEX: usize = 100_000;
/// Objects that a search by text looks at before it says that there may be more.
const SCAN_PAGE: usize = 1_000;

impl Service {
    /// Finds objects of a connector space by a value, a name or an anchor; without text, the first ones.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn search_cs(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        text: &str,
        limit: usize,
    ) -> Result<Vec<ObjectView>, ServiceError> {
        let reader = self.store().reader()?;
        let found = self.rows_cs(&*reader, runtime, connector, text, limit)?;
        found.iter().map(|row| view_cs(&*reader, runtime, row, false)).collect()
    }

    /// The rows of objects of a connector space by anchor or indexed value, else by a text in name or values.
    pub(crate) fn rows_cs(
        &self,
        reader: &dyn StoreReader,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        text: &str,
        limit: usize,
    ) -> Result<Vec<CsRow>, ServiceError> {
        let mut found: Vec<CsRow> = Vec::new();
        if !text.is_empty() {
            let keys = vec![CsRow::anchor_key(connector.id, &Anchor::text(text))];
            found.extend(reader.cs_by_key(&keys)?);
            let value = onesync_model::Value::string(text);
            let attributes: Vec<AttrId> = runtime
                .rules
                .join_attributes_cs(connector.id)
                .iter()
                .chain(&runtime.policies.of(connector.id).search)
                .copied()
                .collect();
            let keys: Vec<i64> = attributes.iter().map(|&a| join_key(a, value.as_ref())).collect();
            let ids: Vec<CsId> = reader.cs_by_join(&keys)?.into_iter().map(|(_, id)| id).collect();
            let rows = reader.cs_by_id(&ids)?.into_iter().filter(|row| row.connector == connector.id);
            let sought = Sought::new(text, false);
            found.extend(rows.filter(|row| sought.fit(Wanted::of_cs(row)).is_some()));
        }
        let mut after = CsId(i64::MIN);
        let pages = || {
            let page = reader.cs_page(connector.id, after, SCAN_PAGE)?;
            after = page.last().map_or(after, |last| last.id);
            Ok(page)
        };
        let fits = |sought: &Sought<'_>, row: &CsRow| {
            let state = || has_state(row, text).then_some(Fit::Part);
            sought.fit(Wanted::of_cs(row)).or_else(state)
        };
        scan(text, limit, found, pages, fits, |row| row.id.0)
    }

    /// Finds metaverse objects by a value or their id; without text, the first ones.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn search_mv(
        &self,
        runtime: &Runtime,
        text: &str,
        limit: usize,
    ) -> Result<Vec<ObjectView>, ServiceError> {
        let reader = self.store().reader()?;
        let found = find_mvs(&*reader, runtime, text, limit)?;
        found.iter().map(|row| view_mv(&*reader, runtime, row, false)).collect()
    }

    pub(crate) fn one_mv(&self, runtime: &Runtime, object: &str) -> Result<MvId, ServiceError> {
        self.mv_if_any(runtime, object)?.ok_or_else(|| none(object))
    }

    /// The one metaverse object that is meant, if there is any; several are an error that names them.
    pub(crate) fn mv_if_any(&self, runtime: &Runtime, object: &str) -> Result<Option<MvId>, ServiceError> {
        if let Some(id) = find_mv(&*self.store().reader()?, object)? {
            return Ok(Some(id));
        }
        let found = find_mvs(&*self.store().reader()?, runtime, object, NAMED_MAX + 1)?;
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.id)),
            several => {
                let line = |row: &MvRow| {
                    let of = runtime.names.type_name(row.object_type);
                    format!("\n  {}  {of}  {}", row.guid, mv_name(runtime, row))
                };
                let lines: String = several.iter().take(NAMED_MAX).map(line).collect();
                let more = if several.len() > NAMED_MAX { "\n  and more" } else { "" };
                Err(ServiceError::usage(
                    format!("more than one object matches `{object}`:{lines}{more}"),
                    "name one of them by its id",
                ))
            }
        }
    }
}

/// Objects of connector spaces by row number, read as a set.
pub(crate) fn objects(
    reader: &dyn StoreReader,
    ids: impl IntoIterator<Item = CsId>,
) -> Result<BTreeMap<CsId, CsRow>, ReadError> {
    let ids: BTreeSet<CsId> = ids.into_iter().collect();
    let ids: Vec<CsId> = ids.into_iter().collect();
    Ok(reader.cs_by_id(&ids)?.into_iter().map(|row| (row.id, row)).collect())
}

pub(crate) fn none(object: &str) -> ServiceError {
    ServiceError::usage(
        format!("no metaverse object matches `{object}`"),
        "`onesync search mv TEXT` finds objects",
    )
}

/// A metaverse object by its lasting identity as shown.
fn find_mv(reader: &dyn StoreReader, text: &str) -> Result<Option<MvId>, ServiceError> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let Some(hash) = onesync_model::Hash128::parse(&digits) else { return Ok(None) };
    Ok(reader.mv_by_guid(onesync_model::MvGuid(hash.0))?)
}

/// Metaverse objects that a text fits: those of which it is a value or the id, else those in whose values it occurs;
/// without text, the first ones.
fn find_mvs(
    reader: &dyn StoreReader,
    runtime: &Runtime,
    text: &str,
    limit: usize,
) -> Result<Vec<MvRow>, ServiceError> {
    let mut found: Vec<MvRow> = Vec::new();
    if let Some(id) = find_mv(reader, text)? {
        return Ok(reader.mv_by_id(&[id])?);
    }
    if !text.is_empty() {
        let value = onesync_model::Value::string(text);
        let indexed = runtime.rules.join_attributes_mv().iter().chain(&runtime.search);
        let keys: Vec<i64> = indexed.map(|&a| join_key(a, value.as_ref())).collect();
        let ids: Vec<MvId> = reader.mv_by_join(&keys)?.into_iter().map(|(_, id)| id).collect();
        let rows = reader.mv_by_id(&ids)?.into_iter();
        let sought = Sought::new(text, false);
        found.extend(rows.filter(|row| sought.fit(Wanted::of_mv(row)).is_some()));
    }
    let mut after = MvId(i64::MIN);
    let pages = || {
        let page = reader.mv_page(after, SCAN_PAGE)?;
        after = page.last().map_or(after, |last| last.id);
        Ok(page)
    };
    scan(text, limit, found, pages, |sought, row| sought.fit(Wanted::of_mv(row)), |row| row.id.0)
}

/// Looks through pages of objects for those that a text fits: beside what an index found and what it fits exactly,
/// those it fits in part are noise.
fn scan<T>(
    text: &str,
    limit: usize,
    mut found: Vec<T>,
    mut next: impl FnMut() -> Result<Vec<T>, ReadError>,
    fits: impl Fn(&Sought<'_>, &T) -> Option<Fit>,
    id: impl Fn(&T) -> i64,
) -> Result<Vec<T>, ServiceError> {
    found.sort_by_key(&id);
    found.dedup_by_key(|row| id(row));
    let mut known: BTreeSet<i64> = found.iter().map(&id).collect();
    let sought = Sought::new(text, found.is_empty());
    let most = if found.is_empty() { usize::MAX } else { SCANNED_AFTER_INDEX };
    let (mut others, mut looked_at) = (Vec::new(), 0);
    while found.len() < limit && looked_at < most && (!text.is_empty() || others.len() < limit) {
        let page = next()?;
        if page.is_empty() {
            break;
        }
        looked_at += page.len();
        for row in page {
            match fits(&sought, &row) {
                Some(Fit::Exact) if known.insert(id(&row)) => found.push(row),
                Some(Fit::Part) if others.len() < limit => others.push(row),
                _ => {}
            }
        }
    }
    if found.is_empty() {
        found = others;
    }
    found.sort_by_key(&id);
    found.truncate(limit);
    Ok(found)
}

/// How a text fits an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fit {
    /// It is a value or the name.
    Exact,
    /// It occurs in one.
    Part,
}

/// What of an object a text may fit.
struct Wanted<'a> {
    name: &'a str,
    values: onesync_model::ImageRef<'a>,
}

impl<'a> Wanted<'a> {
    fn of_cs(row: &'a CsRow) -> Self {
        Self { name: &row.name, values: row.image.as_ref() }
    }

    fn of_mv(row: &'a MvRow) -> Self {
        Self { name: "", values: row.values.as_ref() }
    }
}

/// What is looked for, made once for all objects that are looked at.
struct Sought<'t> {
    /// As it is compared.
    text: Cow<'t, str>,
    /// Whether texts count in which it only occurs.
    parts: bool,
}

impl<'t> Sought<'t> {
    fn new(text: &'t str, parts: bool) -> Self {
        Self { text: onesync_model::fold_case(text), parts }
    }

    fn fit(&self, of: Wanted<'_>) -> Option<Fit> {
        let mut best = self.text.is_empty().then_some(Fit::Part);
        let mut look = |value: &str, whole: bool| {
            // Nearly all values are told apart by their length, without a folded copy of each.
            let exact = match value.is_ascii() {
                true => value.eq_ignore_ascii_case(&self.text),
                false => *onesync_model::fold_case(value) == *self.text,
            };
            if exact && !self.text.is_empty() {
                best = Some(Fit::Exact);
            } else if self.parts
                && !whole
                && best.is_none()
                && onesync_model::fold_case(value).contains(&*self.text)
            {
                best = Some(Fit::Part);
            }
        };
        look(of.name, false);
        for value in of.values.iter().flat_map(|(_, values)| values.iter()) {
            match value {
                onesync_model::ValueRef::String(text) => look(text, false),
                onesync_model::ValueRef::Integer(number) => look(&number.to_string(), true),
                _ => {}
            }
        }
        best
    }
}

fn has_state(row: &CsRow, text: &str) -> bool {
    cs_state(row).split(", ").any(|word| word.eq_ignore_ascii_case(text))
}
