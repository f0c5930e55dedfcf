//! Waiting for what happens on the store's own runtime, from a thread that may block.
//!
//! The driver's futures need no runtime to be asked, only their connection does. So the asking thread asks them itself
//! and sleeps in between: nothing is handed to another thread, futures may borrow, and it works on whatever thread it is
//! called, a worker of the caller's runtime included (which then stands still for that long, as with any blocking call).

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread. Unconstrained: on a thread of another runtime this would use up the budget of the
/// task that calls, which is given back only when that task waits itself, and then nothing would ever be ready.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(tokio::task::unconstrained(future));
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// All of some futures, begun in their order: requests begun so are sent one after the other without waiting for the
/// answers, and answered in this order.
pub(crate) async fn pipelined<'f, T>(
    mut futures: Vec<Pin<Box<dyn Future<Output = T> + Send + 'f>>>,
) -> Vec<T> {
    let mut outputs: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut pending = false;
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(done) => *output = Some(done),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_what_another_thread_does() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || sender.send(7).unwrap());
        assert_eq!(wait(receiver).unwrap(), 7);
        thread.join().unwrap();
    }

    #[test]
    fn outputs_come_in_the_order_of_the_futures() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let first = Box::pin(async { receiver.await.unwrap() });
        let second = Box::pin(async move {
            sender.send(1).unwrap();
            2
        });
        assert_eq!(wait(pipelined::<i32>(vec![first, second])), [1, 2]);
    }
}
