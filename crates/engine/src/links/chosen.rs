//! Which links of a contributor flow: all, or those that an expression chooses.
//!
//! What is chosen is no row: it is decided anew where links are looked at, by the very flow that was asked when the
//! contributor was picked. Whatever it depends on puts the contributor on the agenda, and with it the links as a whole.

use std::rc::Rc;

use onesync_expr::{Env, Outcome};
use onesync_model::CsId;
use onesync_rules::Flow;

use super::Links;
use crate::batch::{Batch, Context};
use crate::link_names::LinkNames;
use crate::reader::ReadError;
use crate::sources::CsSource;
use crate::state::LinkPick;
use crate::values::seed_of;

/// What flows of the links of a contributor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Chosen {
    /// All of them.
    All,
    /// Those that lead to these objects, ascending.
    These(Vec<CsId>),
    /// It is not known now: the links stay as they are.
    Unclear,
}

/// Whether an expression chooses among the links that were picked; also where its rule is not there any more, and
/// nobody knows.
pub(crate) fn chooses(ctx: &Context<'_>, pick: &LinkPick) -> bool {
    flow(ctx, pick).is_none_or(Flow::chooses)
}

fn flow<'a>(ctx: &Context<'a>, pick: &LinkPick) -> Option<&'a Flow> {
    ctx.rules.rule(pick.rule)?.flow(pick.attribute)
}

/// What flows of the links that were picked.
pub(crate) fn chosen(ctx: &Context<'_>, batch: &mut Batch<'_>, pick: &LinkPick) -> Result<Chosen, ReadError> {
    // A pick whose rule has changed stands only because the new one fails, or keeps what is there.
    let Some((flow, rule)) = flow(ctx, pick).zip(ctx.rules.rule(pick.rule)) else {
        return Ok(Chosen::Unclear);
    };
    if !flow.chooses() {
        return Ok(Chosen::All);
    }
    batch.load_cs([pick.source])?;
    let Some(row) = batch.cs(pick.source).cloned() else { return Ok(Chosen::These(Vec::new())) };
    let asked = flow.program().map(|program| program.link_names().to_vec()).unwrap_or_default();
    let (dn, names) = (batch.dn(&row)?, LinkNames::read(batch, &row, asked)?);
    let source = CsSource::new(&row, &dn, ctx.rules.parameters(row.connector)).naming(Some(&names));
    let env = Env { now: ctx.now, seed: seed_of(ctx, &row, pick.attribute, rule) };
    Ok(match flow.lend(&source, &env).map(|evaluated| evaluated.outcome) {
        Ok(Outcome::Values(values)) => Chosen::These(names.targets(&values)),
        Ok(Outcome::Null | Outcome::AuthoritativeNull) => Chosen::These(Vec::new()),
        Ok(Outcome::Link(_)) => Chosen::All,
        Ok(Outcome::IgnoreThisFlow) | Err(_) => Chosen::Unclear,
    })
}

impl Links<'_, '_> {
    /// What flows of the links that were picked, decided once in a batch.
    pub(super) fn chosen(&mut self, pick: &LinkPick) -> Result<Rc<Chosen>, ReadError> {
        if let Some(known) = self.chosen.get(pick) {
            return Ok(Rc::clone(known));
        }
        let decided = Rc::new(chosen(self.ctx, &mut self.batch, pick)?);
        self.chosen.insert(*pick, Rc::clone(&decided));
        Ok(decided)
    }
}
