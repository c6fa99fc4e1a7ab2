//! Contention, made by a barrier and never by sleeping.

use std::sync::Arc;

use tokio::sync::Barrier;

/// Runs `contender(0)` to `contender(n - 1)` as tasks that all start at the same moment; their results in order.
/// A panic of one of them is a panic of the race.
pub(crate) async fn race<F, Fut>(n: usize, contender: F) -> Vec<Fut::Output>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output: Send> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(n));
    let tasks: Vec<_> = (0..n)
        .map(|i| {
            let (barrier, contender) = (barrier.clone(), contender(i));
            tokio::spawn(async move {
                barrier.wait().await;
                contender.await
            })
        })
        .collect();
    let mut results = Vec::with_capacity(n);
    for task in tasks {
        match task.await {
            Ok(result) => results.push(result),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    results
}
