use auction_ledger::entity::{entry, house, wallet};
use auction_ledger::{AuctionTerms, Currency, HouseShare, Rejection};
use rust_decimal::Decimal;
use sea_orm::EntityTrait;

use super::{WON, automatic, balance, books, charge, end, ledger, open, rejection};
use crate::faults::on_servers;
use crate::support::{Books, on_every_backend, race};

on_every_backend! {
    /// Premium 10 % of 100 makes 110; the fee of 5 % leaves the seller 95; the rest is the house's.
    async fn price_and_premium_are_what_seller_and_house_get(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"], 1_000).await?;
        let terms = automatic().premium(HouseShare::basis_points(10_00)).fee(HouseShare::basis_points(5_00));
        let auction = open(&ledger, terms).await?;
        ledger.place_bid(auction, "bob", 95.into()).await?;
        assert_eq!(balance(&ledger, "bob").await?, (896, 104), "95 and 9 of 9.5");
        ledger.place_bid(auction, "ann", 200.into()).await?;
        assert_eq!((balance(&ledger, "ann").await?, balance(&ledger, "bob").await?), ((780, 220), (1_000, 0)));
        clock.set(end());
        let sale = ledger.settle(auction).await?.sold.expect("sold");
        assert_eq!((sale.price, sale.premium, sale.fee), (100.into(), 10.into(), 5.into()));
        assert_eq!((balance(&ledger, "ann").await?, balance(&ledger, "sam").await?), ((890, 0), (95, 0)));
        // Nobody's yet, and all the same there.
        books(world, &ledger).await?;
        assert_eq!(ledger.collect_house("the house", WON).await?, 15.into());
        assert_eq!((balance(&ledger, "the house").await?, ledger.collect_house("the house", WON).await?), ((15, 0), 0.into()));
        let journal = ledger.entries("the house", WON).await?;
        assert_eq!((journal.len(), journal[0].kind, journal[0].auction), (1, entry::Kind::HouseShare, None));
        books(world, &ledger).await?;
    }

    /// One code with other decimals is another currency: five thousandths never become five hundredths.
    async fn currencies_of_one_code_are_not_mixed(world: &World) {
        let (ledger, _) = ledger(world);
        let (fine, coarse) = (Currency::new("PTS", 3)?, Currency::new("PTS", 2)?);
        for (currency, buyer, seller) in [(fine, "ann", "sam"), (coarse, "bob", "tim")] {
            ledger.deposit(buyer, currency, 10.into()).await?;
            let terms = AuctionTerms::fixed_price(currency, 10.into());
            let terms = terms.fee(HouseShare::basis_points(5_00)).ends_at(end());
            let auction = ledger.open_auction(seller, "a thing", terms).await?.id;
            ledger.buy_now(auction, buyer).await?;
        }
        let half = Decimal::new(5, 1);
        assert_eq!(ledger.collect_house("the house", coarse).await?, half);
        assert_eq!(ledger.wallet("the house", coarse).await?.available, half);
        assert_eq!(ledger.collect_house("another", fine).await?, half);
        books(world, &ledger).await?;
    }

    async fn the_hold_covers_the_premium(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann"], 109).await?;
        let terms = automatic().premium(HouseShare::basis_points(10_00));
        let auction = open(&ledger, terms).await?;
        let refused = rejection(ledger.place_bid(auction, "ann", 100.into()).await);
        assert_eq!(refused, Rejection::InsufficientFunds { needed: 110.into(), available: 109.into() });
        ledger.place_bid(auction, "ann", 99.into()).await?;
        assert_eq!(balance(&ledger, "ann").await?, (1, 108));
        ledger.cancel(auction).await?;
        assert_eq!(balance(&ledger, "ann").await?, (109, 0));
        books(world, &ledger).await?;
    }

    /// Seller's fee 5 %, at least 50, at most the hammer.
    async fn a_fee_can_take_all_and_leaves_no_empty_entry(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann"], 30_000).await?;
        for (hammer, fee) in [(1, 1), (25, 25), (49, 49), (50, 50), (500, 50), (1_000, 50), (10_000, 500)] {
            let before = balance(&ledger, "sam").await.map_or(0, |balance| balance.0);
            let share = HouseShare::basis_points(5_00).at_least(50.into());
            let auction = open(&ledger, AuctionTerms::fixed_price(WON, hammer.into()).fee(share).ends_at(end())).await?;
            ledger.buy_now(auction, "ann").await?;
            assert_eq!(balance(&ledger, "sam").await?.0 - before, hammer - fee, "{hammer}");
        }
        let books = books(world, &ledger).await?;
        assert_eq!(books.journal("sam").len(), 3, "where nothing is left for the seller, nothing is written");
    }

    /// 32 sales at once: each sets the house's share aside in a row of its own, and no two wait for one wallet.
    async fn thirty_two_sales_and_a_collector(world: &World) {
        let (ledger, _) = ledger(world);
        let mut sales = Vec::new();
        for number in 0..32 {
            let (seller, buyer) = (format!("seller {number}"), format!("buyer {number}"));
            let terms = AuctionTerms::fixed_price(WON, 100.into()).fee(HouseShare::basis_points(7_00)).ends_at(end());
            let auction = ledger.open_auction(seller, "a thing", terms).await?.id;
            ledger.deposit(buyer.as_str(), WON, 100.into()).await?;
            sales.push((auction, buyer));
        }
        let results = race(36, |index| {
            let (ledger, sale) = (ledger.clone(), sales.get(index).cloned());
            async move {
                match sale {
                    Some((auction, buyer)) => ledger.buy_now(auction, buyer).await.map(|_| 0.into()),
                    None => ledger.collect_house("the house", WON).await,
                }
            }
        }).await;
        let mut collected = rust_decimal::Decimal::ZERO;
        for result in results {
            collected += result?;
        }
        collected += ledger.collect_house("the house", WON).await?;
        assert_eq!(collected, (32 * 7).into());
        assert_eq!(balance(&ledger, "the house").await?, (224, 0));
        assert_eq!(house::Entity::find().all(world.db()).await?.len(), 32);
        books(world, &ledger).await?;
    }
}

on_servers! {
    /// Whoever has the house's wallet keeps no sale waiting: its share is set aside in a row of its own.
    async fn a_settlement_does_not_wait_for_the_wallet_of_the_house(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "the house"], 1_000).await?;
        let terms = automatic().fee(HouseShare::basis_points(10_00)).premium(HouseShare::basis_points(10_00));
        let auction = open(&ledger, terms).await?;
        ledger.place_bid(auction, "ann", 100.into()).await?;
        clock.set(end());
        let books = Books::read(world.db()).await?;
        let house = books.wallets.iter().find(|row| row.owner == b"the house").expect("it was charged").id;
        let settled = ledger.atomic(async |uow| {
            uow.lock_one::<wallet::Entity>(house).await?;
            let settling = tokio::spawn({
                let ledger = ledger.clone();
                async move { ledger.settle(auction).await }
            });
            // It would wait for this unit of work, which waits for it.
            let settled = tokio::time::timeout(std::time::Duration::from_secs(20), settling).await;
            settled.expect("it does not wait").expect("it does not panic")
        });
        assert!(settled.await?.into_value().sold.is_some());
        assert_eq!(ledger.collect_house("the house", WON).await?, 2.into());
        super::books(world, &ledger).await?;
    }
}
