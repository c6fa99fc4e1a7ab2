//! Each verb alone, and each within a unit of work that is dropped with it.

use super::bench::Bench;
use super::sweep::{Stores, sweep};
use super::verb::Verb;
use crate::support::on_every_backend;

on_every_backend! {
    async fn a_verb_dropped_anywhere_is_stored_wholly_with_its_events_or_not_at_all(world: &World) {
        let bench = Bench::new(world).await?;
        for verb in Verb::ALL {
            sweep(
                &bench,
                &format!("{verb:?}"),
                Stores::Whole,
                async |bench| verb.prepare(bench).await,
                |bench, scene, _| Box::pin(async move { verb.run(&bench.ledger, &scene, None).await }),
            )
            .await?;
        }
        bench.end().await?;
    }
}
