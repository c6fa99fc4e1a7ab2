//! Polling by hand: one poll for each time that somebody wakes the future.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use tokio::sync::Notify;

/// A future that is polled so often and no more, and lives until it is dropped.
pub(super) struct Polls<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
}

/// Remembers that it was rung while nobody listened, so that no wake is lost, and counts several as one.
#[derive(Default)]
struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl<F: Future> Polls<F> {
    pub(super) fn of(future: F) -> Self {
        Self { future: Box::pin(future), bell: Arc::default() }
    }

    /// Polls this often, each time but the first when it has been woken; `None` if it is not done by then.
    pub(super) async fn poll(&mut self, times: usize) -> Option<F::Output> {
        let waker = Waker::from(Arc::clone(&self.bell));
        for poll in 0..times {
            if poll > 0 {
                self.bell.0.notified().await;
            }
            let mut context = Context::from_waker(&waker);
            if let Poll::Ready(output) = self.future.as_mut().poll(&mut context) {
                return Some(output);
            }
        }
        None
    }
}

#[tokio::test]
async fn each_wake_is_one_poll_and_a_future_without_one_is_not_polled_again() {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};

    let polled = AtomicUsize::new(0);
    let waking_three_times = || {
        poll_fn(|context| match polled.fetch_add(1, Ordering::SeqCst) {
            0..3 => {
                // Two wakes before the next poll are one.
                context.waker().wake_by_ref();
                context.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Ready("done"),
        })
    };
    assert_eq!(Polls::of(waking_three_times()).poll(0).await, None);
    assert_eq!(polled.swap(0, Ordering::SeqCst), 0);
    assert_eq!(Polls::of(waking_three_times()).poll(3).await, None);
    assert_eq!(polled.swap(0, Ordering::SeqCst), 3);
    assert_eq!(Polls::of(waking_three_times()).poll(4).await, Some("done"));
    assert_eq!(polled.load(Ordering::SeqCst), 4);
    let mut asleep = Polls::of(std::future::pending::<()>());
    let woken = tokio::time::timeout(std::time::Duration::from_millis(20), asleep.poll(2));
    assert!(woken.await.is_err(), "nobody has woken it");
}
