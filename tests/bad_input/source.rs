//! Where inputs come from: a seed, which a failure names, and from it the same inputs again.

use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Random inputs of one test.
pub(super) struct Source {
    runner: TestRunner,
    seed: u64,
}

impl Source {
    /// A new seed for each run, or the one that `AUCTION_LEDGER_SEED` names.
    pub(super) fn new() -> Self {
        let seed = match std::env::var("AUCTION_LEDGER_SEED") {
            Ok(seed) => seed
                .parse()
                .unwrap_or_else(|_| panic!("AUCTION_LEDGER_SEED is a whole number, not {seed:?}")),
            Err(_) => RandomState::new().hash_one(0),
        };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        // What failed is found again by its seed; nothing is written into the source tree.
        let config = Config { failure_persistence: None, ..Config::default() };
        Self { runner: TestRunner::new_with_rng(config, rng), seed }
    }

    /// The next input. `attempt` judges it: a panic, or an `Err`, is a failure, which is told with the seed and with the
    /// simplest input that fails too.
    pub(super) async fn try_next<S: Strategy<Value: Debug>>(
        &mut self,
        strategy: &S,
        mut attempt: impl AsyncFnMut(S::Value) -> Result<(), String>,
    ) {
        let tree =
            strategy.new_tree(&mut self.runner).expect("a strategy without filters has a value");
        let Err(failure) = guarded(attempt(tree.current())).await else {
            return;
        };
        let input = tree.current();
        println!("{failure}\nwith {input:?}");
        let (input, failure) = simplest(tree, failure, &mut attempt).await;
        let seed = self.seed;
        panic!("{failure}\nwith {input:?}\nAUCTION_LEDGER_SEED={seed} gives the same inputs again");
    }
}

/// Makes the input simpler for as long as it fails.
async fn simplest<T: ValueTree>(
    mut tree: T,
    mut failure: String,
    attempt: &mut impl AsyncFnMut(T::Value) -> Result<(), String>,
) -> (T::Value, String) {
    let mut input = tree.current();
    for _ in 0..1_000 {
        if !tree.simplify() {
            break;
        }
        while let Ok(()) = guarded(attempt(tree.current())).await {
            if !tree.complicate() {
                return (input, failure);
            }
        }
        if let Err(still) = guarded(attempt(tree.current())).await {
            (input, failure) = (tree.current(), still);
        }
    }
    (input, failure)
}

async fn guarded(attempt: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    // Boxed: these futures are large, and the stack of a test is not.
    AssertUnwindSafe(Box::pin(attempt)).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("it panicked: {}", text.unwrap_or("with something that is no text")))
    })
}
