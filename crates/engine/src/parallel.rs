//! Computing a list on several threads. Results come in the order of the items, whatever the number of threads.

/// Items below which a thread costs more than it saves.
const ITEMS_PER_THREAD_MIN: usize = 32;

/// Applies a function to each item.
pub(crate) fn map<'t, T: Sync, R: Send>(
    threads: usize,
    items: &'t [T],
    f: impl Fn(&'t T) -> R + Sync,
) -> Vec<R> {
    let threads = threads.min(items.len() / ITEMS_PER_THREAD_MIN).max(1);
    if threads == 1 {
        return items.iter().map(f).collect();
    }
    let share = items.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let workers: Vec<_> = items
            .chunks(share)
            .map(|chunk| scope.spawn(|| chunk.iter().map(&f).collect::<Vec<R>>()))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| match worker.join() {
                Ok(results) => results,
                // A panic in a pure function is a bug: it must not be swallowed on its way through a thread.
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        for threads in 1..5 {
            assert_eq!(
                super::map(threads, &items, |n| n * 2),
                items.iter().map(|n| n * 2).collect::<Vec<_>>()
            );
        }
    }
}
