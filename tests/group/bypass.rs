//! Who stands in no line: what is part of a host's unit of work, and what a host wants to be asked about.

use std::time::Duration;

use auction_ledger::{AuctionLedger, Eligibility, Error, GroupCommit};
use futures::future::poll_immediate;

use super::{charge, ledger, open};
use crate::faults::on_servers;
use crate::houses::eligibility::Everybody;
use crate::support::Books;

/// One transaction at a time, and no place in any line.
fn crowded(ledger: &AuctionLedger) -> AuctionLedger {
    ledger
        .clone()
        .group_commit(GroupCommit::new().lists(1).waiting(0).slow(Duration::from_secs(600)))
}

on_servers! {
    async fn within_a_unit_of_work_nobody_waits_in_line(world: &World) {
        let ledger = crowded(&ledger(world));
        charge(&ledger, &["ann", "bob"], 10_000).await?;
        let (busy, free) = (open(&ledger).await?, open(&ledger).await?);
        let mut first = ledger.place_bid(busy, "ann", 100.into()).into_future();
        assert!(poll_immediate(&mut first).await.is_none());
        let alone = ledger.place_bid(free, "bob", 100.into()).await;
        assert!(matches!(alone, Err(Error::Overloaded { waiting: 0 })), "{alone:?}");
        let within = ledger.atomic(async |uow| ledger.place_bid(free, "bob", 100.into()).within(uow).await);
        assert_eq!(within.await?.seq, 2);
        assert_eq!(first.await?.seq, 2);
        Books::read(world.db()).await?.check();
    }

    async fn whom_the_host_is_asked_about_does_not_wait_in_line(world: &World) {
        let ledger = crowded(&ledger(world).eligibility_check(Everybody(Eligibility::Eligible)));
        charge(&ledger, &["ann", "bob"], 10_000).await?;
        let (busy, free) = (open(&ledger).await?, open(&ledger).await?);
        let mut first = ledger.place_bid(busy, "ann", 100.into()).into_future();
        assert!(poll_immediate(&mut first).await.is_none());
        assert_eq!(ledger.place_bid(free, "bob", 100.into()).await?.seq, 2);
        assert_eq!(first.await?.seq, 2);
        Books::read(world.db()).await?.check();
    }
}
