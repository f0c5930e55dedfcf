//! What becomes of objects that a proven full import did not show: deleted, unless they are only out of sight.

use onesync_engine::{CsRow, Stager};
use onesync_model::{Anchor, CsId};

use crate::error::ServiceError;
use crate::import::Seen;
use crate::runs::OpenRun;
use crate::runtime::{ConnectorHandle, Runtime, Service};
use crate::unreadable::LEFT_OUT_NAMED;

/// Row numbers looked at in one go.
const GONE_PAGE: usize = 2_000;

impl Service {
    /// How many objects were known, and how many of them were not seen.
    pub(crate) fn count_gone(
        &self,
        connector: &ConnectorHandle,
        seen: &Seen,
    ) -> Result<(u64, u64), ServiceError> {
        let reader = self.store().reader()?;
        let (mut known, mut gone, mut after) = (0, 0, CsId(i64::MIN));
        loop {
            let page = reader.live_ids(connector.id, after, GONE_PAGE)?;
            let Some(&last) = page.last() else { return Ok((known, gone)) };
            after = last;
            known += page.len() as u64;
            gone += page.iter().filter(|id| !seen.contains(**id)).count() as u64;
        }
    }

    /// Deletes what was not seen. What is only out of sight stays as it is, counts as errors, and is named in what
    /// this gives.
    pub(crate) async fn delete_gone(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        run: &OpenRun,
        stager: &mut Stager,
        seen: &Seen,
    ) -> Result<Option<String>, ServiceError> {
        let known = self.known_watermark(connector)?;
        let (mut hidden, mut count, mut after) = (Vec::new(), 0, CsId(i64::MIN));
        loop {
            self.check_stop()?;
            let (page, mut gone) = self.not_seen(connector, seen, after)?;
            let Some(last) = page else { break };
            after = last;
            if gone.is_empty() {
                continue;
            }
            let anchors: Vec<Anchor> = gone.iter().filter_map(|row| row.anchor.clone()).collect();
            let out = connector.connector.out_of_sight(known.as_ref(), &anchors).await;
            let out = out.map_err(|error| ServiceError::connector(connector.name(), error))?;
            gone.retain(|row| {
                let is_hidden = row.anchor.as_ref().is_some_and(|anchor| out.contains(anchor));
                if is_hidden && hidden.len() < LEFT_OUT_NAMED {
                    hidden.push(row.name.clone());
                }
                count += u64::from(is_hidden);
                !is_hidden
            });
            let ids: Vec<CsId> = gone.iter().map(|row| row.id).collect();
            let reader = self.store().reader()?;
            let changes = stager.gone(&self.context(runtime, run.id), &*reader, &ids)?;
            drop(reader);
            self.store().apply(self.epoch(), &changes)?;
        }
        stager.counters.errors += count;
        Ok((count > 0).then(|| {
            format!(
                "{count} objects are not shown any more although nobody deleted or moved them; they stay as they are: has \
                 the account lost a right, or does this server lag behind? `{}`",
                hidden.join("`, `")
            )
        }))
    }

    /// The last row of the page behind `after`, and the rows of it that were not seen.
    fn not_seen(
        &self,
        connector: &ConnectorHandle,
        seen: &Seen,
        after: CsId,
    ) -> Result<(Option<CsId>, Vec<CsRow>), ServiceError> {
        let reader = self.store().reader()?;
        let page = reader.live_ids(connector.id, after, GONE_PAGE)?;
        let gone: Vec<CsId> = page.iter().copied().filter(|id| !seen.contains(*id)).collect();
        let rows = if gone.is_empty() { Vec::new() } else { reader.cs_by_id(&gone)? };
        Ok((page.last().copied(), rows))
    }
}
