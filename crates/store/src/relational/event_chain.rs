//! Events as links of a chain: appended, and deleted from its beginning only.

use onesync_model::Time;

use super::{Cells, Checked, Writer, values};
use crate::chain::{CHAIN_BEGIN, CHAIN_HEAD, ChainHash, ChainMark};
use crate::rows::EventRow;

/// Appends events. The transaction has the lock of whoever writes: nobody else appends meanwhile.
pub(super) fn append<W: Writer>(tx: &mut W, events: &[EventRow]) -> Checked<()> {
    if events.is_empty() {
        return Ok(());
    }
    let last = tx.there(W::EVENT_LAST, "event", &[], |cells| cells.get::<i64>(0))?.unwrap_or(0);
    let head = tx.there(W::SETTING, "setting", &values![CHAIN_HEAD], |cells| cells.get::<String>(0))?;
    let (mut mark, begin) = ChainMark::newest(head.as_deref(), last);
    if let Some(begin) = begin {
        tx.put(W::SETTING_PUT, &values![CHAIN_BEGIN, &begin.to_string()])?;
    }
    for row in events {
        mark = mark.then(row);
        let (time, hash) = (row.time.ticks(), &mark.hash.0[..]);
        tx.put(W::EVENT_PUT, &values![mark.seq, time, &row.kind, &row.subject, &row.text, hash])?;
    }
    tx.put(W::SETTING_PUT, &values![CHAIN_HEAD, &mark.to_string()])
}

/// Deletes events from before a time, and only those before all that stay: where a clock was put back, a row that looks old
/// stays as long as one before it. The last that went is noted, so that the chain goes on from it.
pub(crate) fn trim<W: Writer>(tx: &mut W, before: Time, limit: i64) -> Checked<u64> {
    let found = |cells: &Cells<'_>| {
        Ok((cells.get::<i64>(0)?, ChainHash::from_slice(&cells.get::<Vec<u8>>(1)?), cells.count(2)?))
    };
    let Some((seq, hash, count)) = tx.there(W::EVENT_OLD, "event", &values![before.ticks(), limit], found)?
    else {
        return Ok(0);
    };
    if let Some(hash) = hash {
        tx.put(W::SETTING_PUT, &values![CHAIN_BEGIN, &ChainMark { seq, hash }.to_string()])?;
    }
    tx.put(W::EVENT_DELETE, &values![seq])?;
    Ok(count)
}
