//! A state as text that names objects by what they are, not by row numbers: how runs are compared that came to it by
//! different ways. Causes, runs and rules are annotations and left out.

use std::collections::BTreeMap;

use onesync_engine::{AttributeChange, CsRow, ExportRow, ReadError, Work};
use onesync_model::{AttrId, CsId, MvId, Time};
use onesync_service::{Runtime, Service};
use onesync_store::{ExportFilter, ExportLinkFilter, Store, StoreReader};

const ALL: usize = 1_000_000;

struct Names<'a> {
    runtime: &'a Runtime,
    cs: BTreeMap<CsId, String>,
    mv: BTreeMap<MvId, String>,
}

impl Names<'_> {
    fn attribute(&self, id: AttrId) -> &str {
        self.runtime.names.name(id)
    }

    fn cs(&self, id: CsId) -> String {
        self.cs.get(&id).cloned().unwrap_or_else(|| "missing".to_owned())
    }

    fn mv(&self, id: MvId) -> String {
        self.mv.get(&id).cloned().unwrap_or_else(|| "missing".to_owned())
    }
}

/// Draws a state.
pub fn draw(service: &Service, store: &dyn Store) -> String {
    let runtime = service.runtime().unwrap();
    let reader = store.reader().unwrap();
    let mut lines = lines(&runtime, &*reader).unwrap();
    lines.sort();
    lines.concat()
}

fn lines(runtime: &Runtime, reader: &dyn StoreReader) -> Result<Vec<String>, ReadError> {
    let mut names = Names { runtime, cs: BTreeMap::new(), mv: BTreeMap::new() };
    let mvs = reader.mv_page(MvId(i64::MIN), ALL)?;
    for mv in &mvs {
        let guid: String = mv.guid.0.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        names.mv.insert(mv.id, guid);
    }
    let mut rows: Vec<CsRow> = Vec::new();
    for connector in &runtime.connectors {
        rows.extend(reader.cs_page(connector.id, CsId(i64::MIN), ALL)?);
    }
    for row in &rows {
        let connector = runtime.connector_by_id(row.connector).unwrap().name();
        let own = match (&row.anchor, row.join) {
            (Some(anchor), _) => anchor.to_string(),
            (None, Some(join)) => format!("planned for {}", names.mv(join.mv)),
            (None, None) => "lost".to_owned(),
        };
        assert!(!names.cs.values().any(|known| *known == format!("{connector}:{own}")), "two rows {own}");
        names.cs.insert(row.id, format!("{connector}:{own}"));
    }
    let mut out = Vec::new();
    for row in &rows {
        out.push(cs_line(&names, reader, row)?);
    }
    for mv in &mvs {
        let mut line = format!("mv {} type {} {:?}", names.mv(mv.id), mv.object_type.0, mv.state);
        for (attribute, values) in mv.values.as_ref().iter() {
            line.push_str(&format!(" {}={:?}", names.attribute(attribute), values.to_values()));
        }
        let mut causes: Vec<String> = Vec::new();
        for cause in &mv.causes {
            causes.push(format!(
                " {} by {} {:?}",
                names.attribute(cause.attribute),
                names.cs(cause.source),
                cause.retained
            ));
        }
        for pick in &mv.picks {
            causes.push(format!(
                " {} from {} {}",
                names.attribute(pick.attribute),
                names.cs(pick.source),
                names.attribute(pick.source_attribute)
            ));
        }
        causes.sort();
        line.push_str(&causes.concat());
        for name in ["manager", "member", "managedBy"] {
            let Some(attribute) = runtime.names.find(name) else { continue };
            let mut targets: Vec<String> = reader
                .mv_links(mv.id, attribute, MvId(i64::MIN), ALL)?
                .into_iter()
                .map(|id| names.mv(id))
                .collect();
            targets.sort();
            line.push_str(&format!(" {name}:{targets:?}"));
        }
        out.push(line + "\n");
    }
    for connector in &runtime.connectors {
        for row in reader.exports_page(connector.id, ExportFilter::default(), CsId(i64::MIN), ALL)? {
            out.push(export_line(&names, &row));
        }
        for row in reader.export_links_page(connector.id, ExportLinkFilter::default(), None, ALL)? {
            out.push(format!(
                "export-link {} {} {} add {} {:?} attempts {} not before {} held {} {:?}\n",
                names.cs(row.owner),
                names.attribute(row.attribute),
                names.cs(row.target),
                row.add,
                row.state,
                row.attempts,
                row.not_before,
                row.held,
                row.error
            ));
        }
    }
    for row in reader.errors_page(None, None, ALL)? {
        out.push(format!(
            "error {} {} {} {} {}\n",
            names.cs(row.cs),
            row.place,
            row.code,
            row.message,
            row.alarm
        ));
    }
    for pass in 0..Work::PASSES {
        for row in reader.agenda(pass, None, Time::from_ticks(i64::MAX), None, ALL)? {
            let work = match row.work {
                Work::Identity(turn) => format!("identity {}", names.cs(turn.cs)),
                Work::Target(cs) => format!("target {}", names.cs(cs)),
                Work::Values(mv) => format!("values {}", names.mv(mv)),
                Work::Outbound(mv) => format!("outbound {}", names.mv(mv)),
                Work::MvTarget(mv) => format!("mv-target {}", names.mv(mv)),
                Work::CsLinks(cs, attribute) => {
                    format!("links {} {}", names.cs(cs), names.attribute(attribute))
                }
                Work::CsLink(cs, attribute, _) => {
                    format!("link {} {}", names.cs(cs), names.attribute(attribute))
                }
                Work::MvLinks(mv, attribute) => {
                    format!("links {} {}", names.mv(mv), names.attribute(attribute))
                }
                Work::Below(_) => "below".to_owned(),
                Work::Members(at) => format!("members {}", names.cs(at.group)),
            };
            out.push(format!("agenda {work} not before {}\n", row.not_before));
        }
    }
    Ok(out)
}

fn cs_line(names: &Names<'_>, reader: &dyn StoreReader, row: &CsRow) -> Result<String, ReadError> {
    let mut path = vec![row.name.clone()];
    let mut container = row.container;
    while let Some(id) = container {
        let found = reader.containers(&[id])?;
        path.extend(Some(found[0].rdn.clone()).filter(|rdn| !rdn.is_empty()));
        container = found[0].parent;
    }
    let mut line = format!(
        "cs {} type {} `{}` flags {:?} {:?} leaving {:?}",
        names.cs(row.id),
        row.object_type.0,
        path.join(","),
        row.flags,
        row.reason,
        row.leaving
    );
    if let Some(join) = row.join {
        line.push_str(&format!(" joined {} owned {}", names.mv(join.mv), join.owned));
    }
    for (attribute, values) in row.image.as_ref().iter() {
        line.push_str(&format!(" {}={:?}", names.attribute(attribute), values.to_values()));
    }
    for sum in &row.links {
        let keys = reader.links(row.id, sum.attribute, None, ALL)?;
        assert_eq!(keys.len() as u64, sum.count, "the count of {}", names.cs(row.id));
        let total = keys.iter().fold(onesync_model::Hash128::default(), |total, &key| total.plus(key));
        assert_eq!(total, sum.sum, "the sum of {}", names.cs(row.id));
        let mut targets: Vec<String> =
            reader.link_targets(&keys)?.into_iter().map(|(_, cs, _)| names.cs(cs)).collect();
        targets.sort();
        line.push_str(&format!(" {}:{}{targets:?}", names.attribute(sum.attribute), sum.count));
    }
    Ok(line + "\n")
}

fn export_line(names: &Names<'_>, row: &ExportRow) -> String {
    let changes: Vec<String> = row
        .changes
        .iter()
        .map(|AttributeChange { attribute, values, state, attempts, error, .. }| {
            format!("{}={values:?} {state:?} {attempts} {error:?}", names.attribute(*attribute))
        })
        .collect();
    format!(
        "export {} {:?} {:?} {changes:?} key {:?} not before {} attempts {} sent {:?} {:?} kinds {} held {}\n",
        names.cs(row.cs),
        row.operation,
        row.state,
        row.create_key,
        row.not_before,
        row.attempts,
        row.sent,
        row.error,
        row.kinds,
        row.held
    )
}
