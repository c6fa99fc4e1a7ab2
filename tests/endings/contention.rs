//! Many at once, judged by sums.

use std::collections::BTreeSet;

use auction_ledger::entity::auction;
use auction_ledger::{AuctionId, AuctionLedger, AuctionState, Error, ManualClock, Rejection};
use rust_decimal::Decimal;

use super::{balance, books, charge, end, ledger, open, rejection, start, terms};
use crate::support::{on_every_backend, race, scale};

/// Bids the minimum until it is accepted. Whatever is not the rules' own answer is an error.
async fn bid_until_accepted(
    ledger: &AuctionLedger,
    auction: AuctionId,
    user: &str,
) -> Result<(), Error> {
    let mut amount = Decimal::from(10);
    loop {
        match ledger.place_bid(auction, user, amount).await {
            Ok(_) => return Ok(()),
            Err(Error::Rejected(Rejection::BelowMinimum { minimum })) => amount = minimum,
            Err(error) => return Err(error),
        }
    }
}

/// What a contender at the end of an auction has to say.
#[derive(Debug)]
enum Ending {
    /// It has ended the auction, and this is what it says has become of it.
    Final(AuctionState),
    /// It has bid, or has been told how the auction ended.
    Other,
    Refused(Rejection),
}

async fn contend(ledger: AuctionLedger, auction: AuctionId, index: usize) -> Result<Ending, Error> {
    let sold = |sold: bool| if sold { AuctionState::Sold } else { AuctionState::Unsold };
    let outcome = match index {
        0 => ledger.place_bid(auction, "bob", 20.into()).await.map(|_| Ending::Other),
        1 => ledger.place_bid(auction, "cyd", 21.into()).await.map(|_| Ending::Other),
        2 => ledger.buy_now(auction, "dan").await.map(|_| Ending::Final(AuctionState::Sold)),
        3 => ledger.settle(auction).await.map(|done| match done.repeated {
            true => Ending::Other,
            false => Ending::Final(sold(done.sold.is_some())),
        }),
        4 => ledger
            .close_early(auction)
            .by("sam")
            .await
            .map(|done| Ending::Final(sold(done.sold.is_some()))),
        _ => ledger.cancel(auction).await.map(|_| Ending::Final(AuctionState::Cancelled)),
    };
    match outcome {
        Err(Error::Rejected(rejection)) => Ok(Ending::Refused(rejection)),
        outcome => outcome,
    }
}

on_every_backend! {
    async fn mirrored_outbids_on_two_auctions_never_fail_for_the_caller(world: &World) {
        const USERS: [&str; 4] = ["ann", "bob", "cyd", "dan"];
        let (ledger, _) = ledger(world);
        charge(&ledger, &USERS, 1_000_000_000).await?;
        let auctions = [open(&ledger, terms()).await?, open(&ledger, terms()).await?];
        let rounds = scale(1_000).div_ceil(16);
        let outcomes = race(16, |index| {
            let ledger = ledger.clone();
            async move {
                for round in 0..rounds {
                    // The two auctions in the opposite order, by users who lead the other one.
                    let first = (index + round) % 2;
                    let user = USERS[(index + round / 2) % 4];
                    bid_until_accepted(&ledger, auctions[first], user).await?;
                    bid_until_accepted(&ledger, auctions[1 - first], user).await?;
                }
                Ok::<_, Error>(())
            }
        })
        .await;
        for outcome in outcomes {
            outcome?;
        }
        let dump = books(world, 4_000_000_000).await?;
        assert_eq!(dump.bids.len(), rounds * 16 * 2, "every round is two bids");
        assert_eq!(dump.auctions[0].seq, rounds as i64 * 16 + 1);
    }

    async fn at_the_instant_of_the_end_there_is_one_winner_and_nothing_stays_held(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob", "cyd", "dan"], 1_000_000).await?;
        let mut seen = BTreeSet::new();
        for round in 0..scale(500) {
            let over = round % 2 == 0;
            // Each round has its own hour: the time of a wallet never goes back.
            let later = chrono::TimeDelta::hours(2 * round as i64);
            let (start, end) = (start() + later, end() + later);
            clock.set(start);
            let auction = open(&ledger, terms().starts_at(start).ends_at(end).buy_now(100.into())).await?;
            // Every third auction has no bid yet.
            if round % 3 != 0 {
                ledger.place_bid(auction, "ann", 10.into()).await?;
            }
            clock.set(if over { end } else { end - chrono::TimeDelta::microseconds(1) });
            let outcomes = race(6, |index| contend(ledger.clone(), auction, index)).await;
            let outcomes: Vec<_> = outcomes.into_iter().collect::<Result<_, _>>()?;
            let finals: Vec<AuctionState> = outcomes
                .iter()
                .filter_map(|outcome| match outcome {
                    Ending::Final(state) => Some(*state),
                    _ => None,
                })
                .collect();
            assert_eq!(finals.len(), 1, "round {round}: it ends once: {outcomes:?}");
            let after = ledger.auction(auction).await?;
            assert_eq!(after.state, finals[0], "round {round}: {outcomes:?}");
            for (index, outcome) in outcomes.iter().enumerate() {
                let fits = match outcome {
                    Ending::Refused(Rejection::Closed { state }) => *state == finals[0],
                    Ending::Refused(Rejection::Ended { at }) => over && *at == end && [0, 1, 2, 4].contains(&index),
                    Ending::Refused(Rejection::NotEnded { .. }) => !over && index == 3,
                    Ending::Refused(Rejection::BelowMinimum { .. }) => !over && index < 2,
                    Ending::Refused(_) => false,
                    // A bid, or a settlement that repeats.
                    Ending::Other => (index == 3) || (!over && index < 2),
                    Ending::Final(_) => if over { [3, 5].contains(&index) } else { [2, 4, 5].contains(&index) },
                };
                assert!(fits, "round {round}, contender {index}: {outcomes:?}");
            }
            seen.insert(format!("{over} {:?}", finals[0]));
            for user in ["ann", "bob", "cyd", "dan"] {
                assert_eq!(balance(&ledger, user).await?.1, 0, "round {round}: {user} holds nothing");
            }
        }
        let dump = books(world, 4_000_000).await?;
        assert!(dump.auctions.iter().all(|row| row.state != auction::State::Open));
        assert!(dump.wallets.iter().all(|row| row.held == 0));
        println!("{}: {seen:?}", world.database().label());
    }

    async fn one_user_with_money_for_one_bid_on_twenty_auctions_is_accepted_once(world: &World) {
        let (ledger, _) = ledger(world);
        charge(&ledger, &["ann"], 10).await?;
        for _ in 0..scale(10) {
            let mut auctions = Vec::new();
            for _ in 0..20 {
                auctions.push(open(&ledger, terms()).await?);
            }
            let outcomes = race(20, |index| {
                let (ledger, auction) = (ledger.clone(), auctions[index]);
                async move { ledger.place_bid(auction, "ann", 10.into()).await }
            })
            .await;
            let (accepted, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
            assert_eq!(accepted.len(), 1);
            let broke = Rejection::InsufficientFunds { needed: 10.into(), available: 0.into() };
            for outcome in refused {
                assert_eq!(rejection(outcome), broke);
            }
            assert_eq!(balance(&ledger, "ann").await?, (0, 10));
            books(world, 10).await?;
            let accepted = accepted.into_iter().next().unwrap()?;
            ledger.cancel(accepted.auction).await?;
        }
        books(world, 10).await?;
    }

    async fn thirty_two_bidders_get_a_number_each_and_prices_rise_with_it(world: &World) {
        let (ledger, _) = ledger(world);
        let users: Vec<String> = (0..32).map(|index| format!("bidder {index}")).collect();
        let names: Vec<&str> = users.iter().map(String::as_str).collect();
        charge(&ledger, &names, 1_000_000).await?;
        let auction = open(&ledger, terms()).await?;
        let bids = scale(5);
        let outcomes = race(32, |index| {
            let (ledger, user) = (ledger.clone(), users[index].clone());
            async move {
                let mut accepted = Vec::new();
                for step in 0..bids {
                    let amount = Decimal::from(10 + step as i64 * 40 + (index as i64 * 7) % 32);
                    match ledger.place_bid(auction, user.as_str(), amount).await {
                        Ok(bid) => accepted.push((bid.seq, bid.price)),
                        Err(Error::Rejected(Rejection::BelowMinimum { minimum })) => assert!(minimum > amount),
                        Err(error) => return Err(error),
                    }
                }
                Ok(accepted)
            }
        })
        .await;
        let mut accepted = Vec::new();
        for outcome in outcomes {
            accepted.extend(outcome?);
        }
        accepted.sort_unstable();
        assert!(accepted.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1), "{accepted:?}");
        let dump = books(world, 32_000_000).await?;
        let stored: Vec<_> = dump.bids.iter().map(|row| (row.seq, Decimal::from(row.price))).collect();
        assert_eq!(stored, accepted, "what was answered is what is stored");
        assert!(accepted.iter().map(|(seq, _)| *seq).eq(2..2 + accepted.len() as i64));
    }

    async fn four_sweeps_settle_sixty_auctions_once_each(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob", "cyd"], 1_000_000).await?;
        let mut auctions = BTreeSet::new();
        for index in 0..60 {
            let auction = open(&ledger, terms()).await?;
            if index % 4 != 0 {
                ledger.place_bid(auction, ["ann", "bob", "cyd"][index % 3], 10.into()).await?;
            }
            auctions.insert(auction);
        }
        clock.set(end());
        let mut ledgers = Vec::new();
        for _ in 0..4 {
            ledgers.push(AuctionLedger::new(world.connect(3).await).clock(ManualClock::new(end())));
        }
        let reports = race(4, |index| {
            let ledger = ledgers[index].clone();
            async move {
                let mut settled = Vec::new();
                loop {
                    let sweep = ledger.settle_due(25).await?;
                    assert!(sweep.failed.is_empty(), "{:?}", sweep.failed);
                    settled.extend(sweep.settled.iter().map(|done| (done.auction, done.sold.is_some())));
                    if !sweep.more {
                        return Ok::<_, Error>(settled);
                    }
                }
            }
        })
        .await;
        let mut all = Vec::new();
        for report in reports {
            all.extend(report?);
        }
        assert_eq!(all.len(), 60, "each is reported once");
        assert_eq!(all.iter().filter(|(_, sold)| *sold).count(), 45);
        let distinct: BTreeSet<_> = all.into_iter().map(|(auction, _)| auction).collect();
        assert_eq!(distinct, auctions, "the reports are disjoint and complete");
        books(world, 3_000_000).await?;
        assert_eq!(balance(&ledger, "sam").await?, (450, 0));
        let sweep = ledger.settle_due(100).await?;
        assert!(sweep.settled.is_empty() && sweep.failed.is_empty() && !sweep.more);
    }

    async fn first_deposits_and_openings_of_one_user_at_once_make_one_wallet(world: &World) {
        let (ledger, _) = ledger(world);
        let rounds = scale(20);
        for round in 0..rounds {
            let user = format!("user {round}");
            let outcomes = race(12, |index| {
                let (ledger, user) = (ledger.clone(), user.clone());
                async move {
                    match index % 3 {
                        0 => ledger.open_auction(user, "a thing", terms()).await.map(drop),
                        _ => ledger.deposit(user, super::WON, 1.into()).await.map(drop),
                    }
                }
            })
            .await;
            for outcome in outcomes {
                outcome?;
            }
            assert_eq!(balance(&ledger, &user).await?, (8, 0));
        }
        let dump = books(world, rounds as i128 * 8).await?;
        assert_eq!(dump.wallets.len(), rounds);
    }

    async fn a_withdrawal_and_a_bid_never_spend_the_same_money(world: &World) {
        let (ledger, _) = ledger(world);
        let mut total = 0;
        for _ in 0..scale(50) {
            ledger.deposit("ann", super::WON, 10.into()).await?;
            let auction = open(&ledger, terms()).await?;
            let outcomes = race(8, |index| {
                let ledger = ledger.clone();
                async move {
                    match index % 2 {
                        0 => ledger.place_bid(auction, "ann", 10.into()).await.map(|_| 0),
                        _ => ledger.withdraw("ann", super::WON, 10.into()).await.map(|_| 10),
                    }
                }
            })
            .await;
            let accepted: Vec<i128> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
            assert_eq!(accepted.len(), 1, "{outcomes:?}");
            for outcome in outcomes {
                if outcome.is_err() {
                    rejection(outcome);
                }
            }
            total += 10 - accepted[0];
            ledger.cancel(auction).await?;
            let (available, _) = balance(&ledger, "ann").await?;
            if available > 0 {
                ledger.withdraw("ann", super::WON, available.into()).await?;
                total -= i128::from(available);
            }
        }
        assert_eq!(total, 0);
        books(world, 0).await?;
    }
}
