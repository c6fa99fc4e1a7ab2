//! A host's unit of work: a row of its own, and a bid.

use std::sync::Arc;

use auction_ledger::{AuctionId, AuctionLedger, Currency, Error};
use futures::FutureExt;
use futures::future::BoxFuture;
use sea_orm::ConnectionTrait;

use crate::Failure;
use crate::keys::Keys;
use crate::load::{Answer, Target};
use crate::ours::{Market, answer};
use crate::world::{DecimalOf, user};

/// Bids within a unit of work of the host.
pub struct Within {
    pub ledger: AuctionLedger,
    pub market: Market,
    pub keys: Keys,
}

impl Target for Within {
    fn call<'a>(&'a self, random: &'a mut fastrand::Rng) -> BoxFuture<'a, Result<Answer, Failure>> {
        async move {
            let auction = self.market.auction(random);
            let bidder: Arc<str> = user(self.market.bidder(random)).into();
            let key = self.keys.next().map(|key| key.to_string());
            let id = AuctionId::from(auction as i64 + 1);
            let done = self.ledger.atomic(async |uow| {
                let insert = format!("INSERT INTO note (auction_id) VALUES ({id})");
                uow.execute_unprepared(&insert).await?;
                // As late as a host can.
                let amount = Currency::EUR.decimal_of(self.market.amount(auction));
                let mut bid = self.ledger.place_bid(id, &*bidder, amount).within(uow);
                if let Some(key) = &key {
                    bid = bid.key(key.clone());
                }
                bid.await.map(drop)
            });
            answer::<auction_ledger::unit_of_work::Committed<()>>(done.await as Result<_, Error>)
        }
        .boxed()
    }
}
