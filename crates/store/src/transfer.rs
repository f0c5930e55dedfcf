//! Everything of one database into another one: first as fast as it goes, while the one that is left is still written
//! to; then, when nobody writes any more, row by row until both are equal.
//!
//! Deliberately absent: who may write meanwhile, and which database counts (the service).

use std::cmp::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use onesync_model::{Hash128, hash128};

use crate::bulk::{Bulk, Rows, Values, by_key};
use crate::error::StoreError;
use crate::relational::tables::{TABLES, Table};
use crate::relational::{Checked, Value};

/// Rows of a page: of tables whose rows are small, and of those whose rows hold images.
const ROWS: (usize, usize) = (20_000, 1_000);
/// Bytes of differing rows that are gathered before they are written.
const GATHERED_MAX: usize = 8 << 20;
/// Settings that are about one database, not about the installation in it, begin so.
pub(crate) const OF_DATABASE: &str = "database-";

/// Hears of each page, and may end it all.
pub type Told<'t> = &'t (dyn Fn(&'static str, u64) -> Result<(), StoreError> + Sync);

/// What one table held when both sides were compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableHash {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
    /// The sum of the hashes of its rows.
    pub hash: Hash128,
    /// Rows that had changed since they were copied.
    pub changed: u64,
}

fn page(table: &Table<'_>) -> usize {
    if table.is_wide() { ROWS.1 } else { ROWS.0 }
}

/// Whether a row goes from one database to another.
pub(crate) fn travels(table: &Table<'_>, row: &[u8]) -> bool {
    let name = if table.name == "setting" { Values(row).next() } else { None };
    !matches!(name, Some(Value::Text(name)) if name.starts_with(OF_DATABASE))
}

/// Pages of one table, read ahead by another thread.
pub(crate) type Pages = Receiver<Checked<Rows>>;

fn read_all(from: &mut dyn Bulk, table: &Table<'_>, pages: &SyncSender<Checked<Rows>>) {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let read = from.read(table, after.as_deref(), page(table));
        let next = read.as_ref().ok().filter(|rows| rows.len() == page(table));
        let next = next.and_then(|rows| rows.get(rows.len() - 1)).map(<[u8]>::to_vec);
        // Whoever does not listen any more has failed, and says why.
        if pages.send(read).is_err() || next.is_none() {
            return;
        }
        after = next;
    }
}

/// Runs `work` on the pages of a table while the next ones are read.
pub(crate) fn with_pages<T, E>(
    from: &mut dyn Bulk,
    table: &Table<'_>,
    work: impl FnOnce(&Pages) -> Result<T, E>,
) -> Result<T, E> {
    let (sender, pages) = sync_channel(2);
    // The receiving end goes with the work, however that ends: then the other thread ends, too.
    std::thread::scope(move |scope| {
        scope.spawn(move || read_all(from, table, &sender));
        let pages = pages;
        work(&pages)
    })
}

/// Copies all rows into an empty database. What changes meanwhile may come or not: [`settle`] brings it.
///
/// # Errors
/// When one of the two fails, or `told` ends it.
pub fn fill(from: &mut dyn Bulk, to: &mut dyn Bulk, told: Told<'_>) -> Result<u64, StoreError> {
    to.begin_fill()?;
    let mut all = 0;
    for table in TABLES {
        let mut count = 0;
        with_pages::<_, StoreError>(from, table, |pages| {
            for rows in pages {
                let rows = rows?;
                let mut kept = Rows::default();
                rows.iter().filter(|row| travels(table, row)).for_each(|row| kept.push_packed(row));
                if !kept.is_empty() {
                    add_what_goes(to, table, kept.iter().collect())?;
                }
                count += kept.len() as u64;
                told(table.name, count)?;
            }
            Ok(())
        })?;
        all += count;
    }
    to.end_fill()?;
    Ok(all)
}

/// Adds rows but for those in whose way others are: an anchor may go from one object to a later one while pages are read,
/// and then comes twice. [`settle`] sees to these.
fn add_what_goes(to: &mut dyn Bulk, table: &Table<'_>, packed: Vec<&[u8]>) -> Checked<()> {
    let mut rows = Rows::default();
    packed.iter().for_each(|row| rows.push_packed(row));
    match to.add(table, &rows) {
        Err(StoreError::Conflict(_)) if packed.len() > 1 => {
            let (one, two) = packed.split_at(packed.len() / 2);
            add_what_goes(to, table, one.to_vec())?;
            add_what_goes(to, table, two.to_vec())
        }
        Err(StoreError::Conflict(_)) => Ok(()),
        added => added,
    }
}

/// The limit beside a store, for benchmarks: the rows of some tables as they are, into the same tables with the same indices of
/// an empty database. Reading them is not counted. Gives the rows, and the time of writing them.
///
/// # Errors
/// When one of the two fails.
#[cfg(feature = "limit")]
pub fn limit(
    from: &mut dyn Bulk,
    to: &mut dyn Bulk,
    tables: &[&str],
) -> Result<(u64, std::time::Duration), StoreError> {
    let (mut count, mut time) = (0, std::time::Duration::ZERO);
    let mut timed = |work: &mut dyn FnMut() -> Checked<()>| {
        let began = std::time::Instant::now();
        work()?;
        time += began.elapsed();
        Ok::<_, StoreError>(())
    };
    to.begin_fill()?;
    for table in TABLES.iter().filter(|table| tables.contains(&table.name)) {
        with_pages::<_, StoreError>(from, table, |pages| {
            pages.iter().try_for_each(|rows| {
                let rows = rows?;
                count += rows.len() as u64;
                if rows.is_empty() { Ok(()) } else { timed(&mut || to.add(table, &rows)) }
            })
        })?;
    }
    timed(&mut || to.end_fill())?;
    Ok((count, time))
}

/// Brings what has changed since [`fill`], while nobody writes to either; then reads both sides and compares them, table
/// by table and row by row.
///
/// # Errors
/// When one of the two fails, `told` ends it, or they are not equal at the end.
pub fn settle(from: &mut dyn Bulk, to: &mut dyn Bulk, told: Told<'_>) -> Result<Vec<TableHash>, StoreError> {
    let mut out = Vec::new();
    for table in TABLES {
        let mut changed = 0;
        // An anchor that went from one object to another one must be free before it is written.
        let passes: &[Mend] = if table.name == "cs_object" {
            &[Mend::Take, Mend::Give, Mend::Nothing]
        } else {
            &[Mend::Both, Mend::Nothing]
        };
        for mend in passes {
            let found = compare(from, to, table, *mend, told)?;
            let equal = found.missing + found.wrong == 0;
            if equal && found.hashes.0 == found.hashes.1 {
                out.push(TableHash { table: table.name, rows: found.rows, hash: found.hashes.0, changed });
                break;
            }
            if *mend == Mend::Nothing {
                return Err(StoreError::Conflict(format!(
                    "table `{}` is not the same on both sides ({} rows are missing, {} differ): somebody else writes to one \
                     of the databases",
                    table.name, found.missing, found.wrong
                )));
            }
            changed = changed.max(found.missing + found.wrong);
        }
    }
    Ok(out)
}

/// What is done about differences.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mend {
    Nothing,
    /// Rows that are not so at the source go.
    Take,
    /// Rows that are not there come.
    Give,
    Both,
}

#[derive(Default)]
struct Found {
    rows: u64,
    missing: u64,
    /// Rows that are another at the source, or not there.
    wrong: u64,
    hashes: (Hash128, Hash128),
}

/// The rows of a table in their order, page by page.
struct Cursor<F> {
    next: F,
    rows: Rows,
    at: usize,
}

impl<F: FnMut(&Rows) -> Checked<Option<Rows>>> Cursor<F> {
    fn new(next: F) -> Self {
        Self { next, rows: Rows::default(), at: 0 }
    }

    /// Makes sure that there is a row to look at, unless there are no more.
    fn ready(&mut self) -> Checked<bool> {
        while self.at >= self.rows.len() {
            match (self.next)(&self.rows)? {
                Some(rows) => (self.rows, self.at) = (rows, 0),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn row(&self) -> &[u8] {
        self.rows.get(self.at).unwrap_or_default()
    }
}

fn compare(
    from: &mut dyn Bulk,
    to: &mut dyn Bulk,
    table: &Table<'static>,
    mend: Mend,
    told: Told<'_>,
) -> Checked<Found> {
    // Both cursors borrow: what is written goes through the same connection as what is read.
    let to = std::cell::RefCell::new(to);
    with_pages::<_, StoreError>(from, table, |pages| {
        let mut found = Found::default();
        let (mut begun, mut ended) = (false, false);
        let mut source = Cursor::new(|_: &Rows| pages.recv().ok().transpose());
        let mut target = Cursor::new(|last: &Rows| {
            if ended {
                return Ok(None);
            }
            let after = last.len().checked_sub(1).and_then(|at| last.get(at)).filter(|_| begun);
            let rows = to.borrow_mut().read(table, after, page(table))?;
            (begun, ended) = (true, rows.len() < page(table));
            Ok(Some(rows))
        });
        let (mut take, mut give) = (Rows::default(), Rows::default());
        loop {
            while source.ready()? && !travels(table, source.row()) {
                source.at += 1;
            }
            while target.ready()? && !travels(table, target.row()) {
                target.at += 1;
            }
            let order = match (source.ready()?, target.ready()?) {
                (false, false) => break,
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (true, true) => by_key(table, source.row(), target.row()),
            };
            if order.is_le() {
                found.rows += 1;
                found.hashes.0 = found.hashes.0.plus(hash128(&[source.row()]));
            }
            if order.is_ge() {
                found.hashes.1 = found.hashes.1.plus(hash128(&[target.row()]));
            }
            match order {
                Ordering::Equal if source.row() == target.row() => {}
                Ordering::Equal => {
                    found.wrong += 1;
                    take.push_packed(target.row());
                    give.push_packed(source.row());
                }
                Ordering::Less => {
                    found.missing += 1;
                    give.push_packed(source.row());
                }
                Ordering::Greater => {
                    found.wrong += 1;
                    take.push_packed(target.row());
                }
            }
            source.at += usize::from(order.is_le());
            target.at += usize::from(order.is_ge());
            if take.bytes() + give.bytes() > GATHERED_MAX {
                write(*to.borrow_mut(), table, mend, &mut take, &mut give)?;
            }
            if found.rows % ROWS.0 as u64 == 0 {
                told(table.name, found.rows)?;
            }
        }
        write(*to.borrow_mut(), table, mend, &mut take, &mut give)?;
        told(table.name, found.rows)?;
        Ok(found)
    })
}

fn write(to: &mut dyn Bulk, table: &Table<'_>, mend: Mend, take: &mut Rows, give: &mut Rows) -> Checked<()> {
    if matches!(mend, Mend::Take | Mend::Both) && !take.is_empty() {
        to.remove(table, take)?;
    }
    if matches!(mend, Mend::Give | Mend::Both) && !give.is_empty() {
        to.add(table, give)?;
    }
    (*take, *give) = (Rows::default(), Rows::default());
    Ok(())
}
