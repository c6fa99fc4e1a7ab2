//! Which wallet is whose is remembered by a ledger, and compared with the row under lock: nobody pays with a stranger's money.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use auction_ledger::{AuctionLedger, Error, ManualClock};
use futures::FutureExt;
use sea_orm::{ConnectionTrait, DbErr, Value};

use super::{WON, all_at_once, charge, ledger, open, rejection, start};
use crate::support::{Books, Database, World, on_every_backend};

/// A wallet without money and entries, which the host may make and delete.
async fn make(world: &World, id: i64, user: &str) -> Result<(), DbErr> {
    let hex: String = user.bytes().map(|byte| format!("{byte:02x}")).collect();
    let owner = match world.database() {
        Database::Postgres => format!(r"'\x{hex}'"),
        _ => format!("X'{hex}'"),
    };
    let columns = "(id, owner, currency, exponent, available, held, seq)";
    let insert =
        format!("INSERT INTO al_wallet {columns} VALUES ({id}, {owner}, 'KRW', 0, 0, 0, 0)");
    world.db().execute_unprepared(&insert).await.map(drop)
}

async fn balance(ledger: &AuctionLedger, user: &str) -> Result<(i64, i64), Error> {
    let wallet = ledger.wallet(user, WON).await?;
    Ok((wallet.available.try_into().unwrap(), wallet.held.try_into().unwrap()))
}

/// Makes wallets of ann, bob and eve, which a ledger sees; then ann and bob have changed theirs, and eve has none. The ledger that
/// has seen them, and one that has not.
async fn after_a_swap(world: &World) -> Result<(AuctionLedger, AuctionLedger), Error> {
    let seen = ledger(world);
    for (id, user) in [(1_001, "ann"), (1_002, "bob"), (1_003, "eve")] {
        make(world, id, user).await?;
        assert_eq!(
            rejection(seen.withdraw(user, WON, 1.into()).await).code(),
            "insufficient_funds"
        );
    }
    world.db().execute_unprepared("DELETE FROM al_wallet WHERE id > 1000").await?;
    make(world, 1_001, "bob").await?;
    make(world, 1_002, "ann").await?;
    let fresh = AuctionLedger::new(world.db().clone()).clock(ManualClock::new(start()));
    Ok((seen, fresh))
}

/// A ledger with a connection of its own, and how often it has sent this name.
async fn counting(world: &World, name: &'static str) -> (AuctionLedger, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let mut db = world.database().connect(world.url(), 1).await;
    let counter = sent.clone();
    let is_name = move |value: &Value| matches!(value, Value::Bytes(Some(bytes)) if **bytes == *name.as_bytes());
    db.set_metric_callback(move |info| {
        let values = info.statement.values.iter().flat_map(|values| &values.0);
        counter.fetch_add(values.filter(|value| is_name(value)).count(), Ordering::SeqCst);
    });
    (AuctionLedger::new(db).clock(ManualClock::new(start())), sent)
}

on_every_backend! {
    async fn whose_a_wallet_is_is_asked_once(world: &World) {
        let (ledger, sent) = counting(world, "ann").await;
        charge(&ledger, &["ann"], 100).await?;
        assert!(sent.swap(0, Ordering::SeqCst) > 0);
        // It was looked for, made, and found.
        charge(&ledger, &["ann"], 100).await?;
        ledger.withdraw("ann", WON, 50.into()).await?;
        assert_eq!(sent.load(Ordering::SeqCst), 0);
        assert_eq!(balance(&ledger, "ann").await?, (150, 0));
    }

    async fn a_list_with_wrong_guesses_is_paid_by_who_bids(world: &World) {
        let (seen, fresh) = after_a_swap(world).await?;
        charge(&fresh, &["cat", "dan"], 1_000).await?;
        charge(&fresh, &["ann"], 200).await?;
        charge(&fresh, &["bob"], 5_000).await?;
        let auction = open(&seen).await?;
        let bid = |user: &'static str, amount: i64| {
            let ledger = seen.clone();
            async move { ledger.place_bid(auction, user, amount.into()).await }.boxed()
        };
        let bids = [bid("cat", 100), bid("ann", 150), bid("bob", 300), bid("eve", 400), bid("dan", 350), bid("ann", 400)];
        let mut answers = all_at_once(&seen, bids.into()).await.into_iter();
        for leads in ["cat", "ann", "bob"] {
            let bid = answers.next().unwrap()?;
            assert_eq!((bid.user.as_str(), bid.leads), (leads, true));
        }
        assert_eq!(rejection(answers.next().unwrap()).code(), "insufficient_funds");
        assert!(answers.next().unwrap()?.leads);
        assert_eq!(rejection(answers.next().unwrap()).code(), "insufficient_funds");

        assert_eq!(balance(&fresh, "ann").await?, (200, 0));
        assert_eq!(balance(&fresh, "bob").await?, (5_000, 0));
        assert_eq!(balance(&fresh, "dan").await?, (650, 350));
        Books::read(world.db()).await?.check();
    }

    async fn a_verb_with_a_wrong_guess_finds_the_wallet(world: &World) {
        let (seen, fresh) = after_a_swap(world).await?;
        charge(&seen, &["ann", "eve"], 200).await?;
        charge(&seen, &["bob"], 300).await?;
        seen.withdraw("ann", WON, 50.into()).await?;
        seen.withdraw("bob", WON, 50.into()).await?;
        for (user, available) in [("ann", 150), ("bob", 250), ("eve", 200)] {
            assert_eq!(balance(&fresh, user).await?, (available, 0), "{user}");
        }
        Books::read(world.db()).await?.check();
    }

    /// SQLite gives the id to the next who comes.
    async fn a_wallet_that_was_rolled_back_is_nobodys(world: &World) {
        let ledger = ledger(world);
        let undone = ledger.atomic(async |uow| {
            ledger.deposit("ann", WON, 1_000.into()).within(uow).await?;
            ledger.withdraw("ann", WON, 1.into()).within(uow).await?;
            Err::<(), _>(Error::UnknownAuction { auction: 7.into() })
        });
        assert!(undone.await.is_err());
        charge(&ledger, &["bob"], 500).await?;
        assert_eq!(rejection(ledger.withdraw("ann", WON, 1.into()).await).code(), "insufficient_funds");
        charge(&ledger, &["ann"], 20).await?;
        ledger.withdraw("ann", WON, 5.into()).await?;
        assert_eq!(balance(&ledger, "ann").await?, (15, 0));
        assert_eq!(balance(&ledger, "bob").await?, (500, 0));
        Books::read(world.db()).await?.check();
    }
}
