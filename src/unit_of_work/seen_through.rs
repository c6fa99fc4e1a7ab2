//! What must not stop halfway when its caller does.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Some work that its caller does, and a task if the caller stops: BEGIN, which must not leave a half-begun connection behind,
/// and COMMIT.
pub(super) struct SeenThrough<T: Send + 'static> {
    runtime: Handle,
    /// Nothing once it has ended, or has panicked.
    work: Option<BoxFuture<'static, T>>,
}

impl<T: Send + 'static> SeenThrough<T> {
    pub(super) fn new(runtime: Handle, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { runtime, work: Some(Box::pin(work)) }
    }
}

impl<T: Send + 'static> Future for SeenThrough<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut work = self.work.take().expect("it is not polled again when it has ended");
        // Whoever polls it may be on no runtime.
        let entered = self.runtime.enter();
        let poll = work.as_mut().poll(context);
        drop(entered);
        if poll.is_pending() {
            self.work = Some(work);
        }
        poll
    }
}

impl<T: Send + 'static> Drop for SeenThrough<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            // A runtime of one thread may be driven by nobody any more; whoever drops this drives the current one.
            let current = match self.runtime.runtime_flavor() {
                RuntimeFlavor::CurrentThread => Handle::try_current().ok(),
                _ => None,
            };
            current.as_ref().unwrap_or(&self.runtime).spawn(work);
        }
    }
}
