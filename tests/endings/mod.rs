//! Issue 3 from the outside: contention, endings, events, bad input, history and the plans of the write path.

mod bad_input;
mod contention;
#[allow(clippy::module_inception)]
mod endings;
mod events;
mod history;
mod plans;

use std::collections::{BTreeMap, BTreeSet};

use auction_ledger::entity::{act, auction, bid, entry, key, wallet};
use auction_ledger::{
    AuctionId, AuctionLedger, AuctionTerms, Currency, Error, ManualClock, Rejection,
};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, QueryOrder};

use crate::support::World;

const WON: Currency = Currency::KRW;

fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn end() -> DateTime<Utc> {
    start() + TimeDelta::hours(1)
}

/// The last instant at which a bid counts.
fn just_before_the_end() -> DateTime<Utc> {
    end() - TimeDelta::microseconds(1)
}

fn ledger(world: &World) -> (AuctionLedger, ManualClock) {
    let clock = ManualClock::new(start());
    let ledger = AuctionLedger::new(world.db().clone()).clock(clock.clone());
    (ledger, clock)
}

/// Start price 10, increment 1, an hour.
fn terms() -> AuctionTerms {
    AuctionTerms::english(WON, 10.into(), 1.into()).ends_at(end())
}

async fn open(ledger: &AuctionLedger, terms: AuctionTerms) -> Result<AuctionId, Error> {
    Ok(ledger.open_auction("sam", "a thing", terms).await?.id)
}

async fn charge(ledger: &AuctionLedger, users: &[&str], amount: i64) -> Result<(), Error> {
    for user in users {
        ledger.deposit(*user, WON, amount.into()).await?;
    }
    Ok(())
}

async fn balance(ledger: &AuctionLedger, user: &str) -> Result<(i64, i64), Error> {
    let wallet = ledger.wallet(user, WON).await?;
    let won = |amount: Decimal| i64::try_from(amount).expect("whole won");
    Ok((won(wallet.available), won(wallet.held)))
}

fn rejection<T: std::fmt::Debug>(result: Result<T, Error>) -> Rejection {
    match result {
        Err(Error::Rejected(rejection)) => rejection,
        other => panic!("the rules should have said no: {other:?}"),
    }
}

/// Everything that is stored.
#[derive(Debug, PartialEq, Eq)]
struct Dump {
    wallets: Vec<wallet::Model>,
    auctions: Vec<auction::Model>,
    bids: Vec<bid::Model>,
    acts: Vec<act::Model>,
    entries: Vec<entry::Model>,
    keys: Vec<key::Model>,
}

async fn dump<C: ConnectionTrait>(db: &C) -> Result<Dump, DbErr> {
    Ok(Dump {
        wallets: wallet::Entity::find().order_by_asc(wallet::Column::Id).all(db).await?,
        auctions: auction::Entity::find().order_by_asc(auction::Column::Id).all(db).await?,
        bids: bid::Entity::find()
            .order_by_asc(bid::Column::AuctionId)
            .order_by_asc(bid::Column::Seq)
            .all(db)
            .await?,
        acts: act::Entity::find()
            .order_by_asc(act::Column::AuctionId)
            .order_by_asc(act::Column::Seq)
            .all(db)
            .await?,
        entries: entry::Entity::find()
            .order_by_asc(entry::Column::WalletId)
            .order_by_asc(entry::Column::Seq)
            .all(db)
            .await?,
        keys: key::Entity::find().all(db).await?,
    })
}

/// Reads all tables and checks every law of the books; `total` is all money there should be.
async fn books(world: &World, total: i128) -> Result<Dump, DbErr> {
    let dump = dump(world.db()).await?;
    check(&dump, total);
    Ok(dump)
}

fn check(dump: &Dump, total: i128) {
    let wallets: BTreeMap<i64, &wallet::Model> =
        dump.wallets.iter().map(|row| (row.id, row)).collect();
    let mut held: BTreeMap<i64, i128> = BTreeMap::new();
    for auction in &dump.auctions {
        if auction.state == auction::State::Open
            && let (Some(leader), Some(maximum)) = (auction.leader_wallet_id, auction.leader_max)
        {
            *held.entry(leader).or_default() += i128::from(maximum);
        }
        check_auction(dump, auction, &wallets);
    }
    let mut owned = 0_i128;
    for wallet in &dump.wallets {
        owned += i128::from(wallet.available) + i128::from(wallet.held);
        let promised = held.get(&wallet.id).copied().unwrap_or(0);
        assert_eq!(
            i128::from(wallet.held),
            promised,
            "what {wallet:?} holds is what it leads with"
        );
        check_wallet(dump, wallet);
    }
    assert_eq!(owned, total, "money is conserved");
    let mut operations: BTreeMap<_, (i128, bool)> = BTreeMap::new();
    let mut border = 0_i128;
    for entry in &dump.entries {
        assert!(wallets.contains_key(&entry.wallet_id), "{entry:?} is of no wallet");
        let outside = matches!(entry.kind, entry::Kind::Deposit | entry::Kind::Withdrawal);
        let delta = i128::from(entry.available_delta) + i128::from(entry.held_delta);
        let operation = operations.entry(entry.operation).or_insert((0, outside));
        operation.0 += delta;
        assert_eq!(
            operation.1, outside,
            "an operation moves money or crosses the border: {entry:?}"
        );
        assert_eq!(entry.auction_id.is_none(), outside, "{entry:?}");
        border += if outside { delta } else { 0 };
    }
    assert_eq!(border, total, "all money came in by a deposit");
    for (operation, (sum, outside)) in operations {
        assert!(outside || sum == 0, "operation {operation} makes {sum}");
    }
}

fn check_auction(dump: &Dump, auction: &auction::Model, wallets: &BTreeMap<i64, &wallet::Model>) {
    let bids: Vec<_> = dump.bids.iter().filter(|row| row.auction_id == auction.id).collect();
    let acts: Vec<_> = dump.acts.iter().filter(|row| row.auction_id == auction.id).collect();
    let numbers: BTreeSet<i64> =
        bids.iter().map(|row| row.seq).chain(acts.iter().map(|row| row.seq)).collect();
    assert_eq!(numbers.len(), bids.len() + acts.len(), "{auction:?}: a number twice");
    assert!(numbers.into_iter().eq(1..=auction.seq), "{auction:?}: numbers are dense");
    for pair in bids.windows(2) {
        assert!(pair[0].price < pair[1].price, "prices rise with the numbers: {pair:?}");
        assert!(pair[0].at <= pair[1].at, "an auction's clock never goes back: {pair:?}");
    }
    for bid in &bids {
        assert!(wallets.contains_key(&bid.wallet_id), "{bid:?} is of no wallet");
        assert_ne!(bid.wallet_id, auction.seller_wallet_id, "the seller bid: {bid:?}");
        assert!(bid.at < bid.ends_at, "a bid after the end: {bid:?}");
    }
    assert_eq!(acts[0].kind, act::Kind::Opened);
    assert_eq!(acts[0].seq, 1);
    let ending = acts.iter().filter(|act| act.kind != act::Kind::Opened).count();
    let open = auction.state == auction::State::Open;
    assert_eq!(ending, usize::from(!open), "{auction:?} ends once: {acts:?}");
    let sold = auction.state == auction::State::Sold;
    let proceeds: i128 = dump
        .entries
        .iter()
        .filter(|entry| entry.auction_id == Some(auction.id) && entry.kind == entry::Kind::Proceeds)
        .map(|entry| i128::from(entry.available_delta))
        .sum();
    assert_eq!(
        proceeds,
        i128::from(auction.sold_price.unwrap_or(0)),
        "{auction:?}: the seller is paid once"
    );
    assert_eq!(sold, auction.winner_wallet_id.is_some());
    if open && let Some(last) = bids.last() {
        assert_eq!(auction.leader_wallet_id, Some(last.wallet_id));
        assert_eq!(auction.leader_seq, Some(last.seq));
        assert_eq!(auction.price, Some(last.price));
    }
}

fn check_wallet(dump: &Dump, wallet: &wallet::Model) {
    let entries = dump.entries.iter().filter(|row| row.wallet_id == wallet.id);
    let (mut available, mut held, mut seq) = (0_i64, 0_i64, 0_i64);
    for entry in entries {
        seq += 1;
        available += entry.available_delta;
        held += entry.held_delta;
        assert_eq!(entry.seq, seq, "entries are numbered without gaps: {entry:?}");
        assert_eq!((entry.available_after, entry.held_after), (available, held), "{entry:?}");
    }
    let last = (wallet.available, wallet.held, wallet.seq);
    assert_eq!(last, (available, held, seq), "a wallet says what its last entry says: {wallet:?}");
}
