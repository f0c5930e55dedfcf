//! The sync of one object as it would run now, nothing of it stored.

use std::collections::BTreeSet;

use onesync_engine::{Context, CsRow, MvRow, Note, Overlay, Reader as _, Trace, Turn, Work};
use onesync_model::{AttrId, CsId, MvId, RunId, Time};
use onesync_store::StoreReader;

use crate::error::ServiceError;
use crate::runtime::{Runtime, Service};

/// Rounds over all passes; an object that needs more is one whose rules feed each other.
const ROUNDS_MAX: usize = 10;
/// Pass of the identities, and of what they mean for targets.
const IDENTITY: u8 = 0;
/// The passes about one object each; the last two put many on the agenda.
const ABOUT_ONE: u8 = Work::PASSES - 2;

/// What a sync of an object would decide.
pub(crate) struct Rehearsal<'r> {
    /// The state after it.
    pub(crate) after: Overlay<'r>,
    /// The decisions, in their order.
    pub(crate) notes: Vec<Note>,
    /// The metaverse objects it is about.
    pub(crate) mvs: BTreeSet<MvId>,
    /// The connector-space objects that are, or were, joined to them.
    pub(crate) objects: BTreeSet<CsId>,
    /// Other objects that would be looked at again because of it.
    pub(crate) others: BTreeSet<Work>,
    /// Whether it did not come to rest.
    pub(crate) restless: bool,
}

impl Service {
    /// Rehearses the sync of a connector-space object, or of a metaverse object without one. The object may be another
    /// than the one that is stored, or one that is not.
    pub(crate) fn rehearse<'r>(
        &self,
        runtime: &Runtime,
        reader: &'r dyn StoreReader,
        object: Option<&CsRow>,
        mv: Option<&MvRow>,
    ) -> Result<Rehearsal<'r>, ServiceError> {
        let trace = Trace::default();
        let run = RunId(reader.next_run()?.0);
        let ctx = Context { threads: 1, trace: Some(&trace), ..self.context(runtime, run) };
        let mut out = Rehearsal {
            after: Overlay::new(reader),
            notes: Vec::new(),
            mvs: BTreeSet::new(),
            objects: BTreeSet::new(),
            others: BTreeSet::new(),
            restless: false,
        };
        let mut work = BTreeSet::new();
        out.mvs.extend(mv.map(|mv| mv.id));
        let mut object = object.cloned();
        if let Some(row) = &mut object
            && reader.cs_by_id(&[row.id])?.first() != Some(row)
        {
            let (id, changes) = onesync_engine::suppose(&ctx, reader, row.clone())?;
            out.after.apply(&changes);
            row.id = id;
        }
        if let Some(row) = &object {
            out.objects.insert(row.id);
            out.mvs.extend(row.join.map(|join| join.mv));
            work.insert(Work::Identity(Turn::of(row)));
            work.extend(row.links.iter().map(|sum| Work::CsLinks(row.id, sum.attribute)));
        }
        work.extend(mv.map(|mv| Work::Values(mv.id)));
        let mut asked_targets = BTreeSet::new();
        for _ in 0..ROUNDS_MAX {
            for pass in 0..ABOUT_ONE {
                out.take_in()?;
                if pass > IDENTITY {
                    // What it means for targets is shown also where no value changes.
                    let new: Vec<MvId> = out.mvs.difference(&asked_targets).copied().collect();
                    for mv in new {
                        asked_targets.insert(mv);
                        work.insert(Work::Outbound(mv));
                        let row = out.after.mv_by_id(&[mv])?.into_iter().next();
                        let picks: BTreeSet<AttrId> =
                            row.iter().flat_map(|row| &row.picks).map(|pick| pick.attribute).collect();
                        work.extend(picks.into_iter().map(|attribute| Work::MvLinks(mv, attribute)));
                    }
                }
                let due: Vec<Work> = work.iter().filter(|work| work.pass() == pass).copied().collect();
                if due.is_empty() {
                    continue;
                }
                work.retain(|work| work.pass() != pass);
                let changes = crate::sync::batch(&ctx, &out.after, pass, &due, self.sizes().batch)?;
                out.after.apply(&changes);
                out.take_in()?;
                for row in changes.agenda.iter().filter(|row| row.not_before <= ctx.now.max(Time::default()))
                {
                    if out.is_ours(row.work) {
                        work.insert(row.work);
                    } else {
                        out.others.insert(row.work);
                    }
                }
            }
            if work.is_empty() {
                break;
            }
        }
        out.restless = !work.is_empty();
        out.notes = trace.into_notes();
        Ok(out)
    }
}

impl Rehearsal<'_> {
    /// Takes in what is joined by now: the objects of our metaverse objects, and the metaverse objects of ours.
    fn take_in(&mut self) -> Result<(), ServiceError> {
        let ids: Vec<CsId> = self.objects.iter().copied().collect();
        self.mvs.extend(self.after.joins_of(&ids)?.into_iter().map(|(_, mv)| mv));
        let mvs: Vec<MvId> = self.mvs.iter().copied().collect();
        self.objects.extend(self.after.joined_to(&mvs)?.into_iter().map(|(_, id)| id));
        Ok(())
    }

    fn is_ours(&self, work: Work) -> bool {
        match work {
            Work::Identity(turn) => self.objects.contains(&turn.cs),
            Work::Values(mv) | Work::Outbound(mv) | Work::MvTarget(mv) | Work::MvLinks(mv, _) => {
                self.mvs.contains(&mv)
            }
            Work::Target(cs) | Work::CsLinks(cs, _) | Work::CsLink(cs, ..) => self.objects.contains(&cs),
            Work::Below(_) | Work::Members(_) => false,
        }
    }
}
