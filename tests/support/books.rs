//! Everything that is stored, read at once, and the laws that it must obey: written from the rules, apart from the audit.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use auction_ledger::AuctionId;
use auction_ledger::entity::{act, auction, bid, entry, house, key, sealed_bid, wallet};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, QueryOrder};

/// Everything that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) wallets: Vec<wallet::Model>,
    pub(crate) auctions: Vec<auction::Model>,
    pub(crate) bids: Vec<bid::Model>,
    pub(crate) acts: Vec<act::Model>,
    pub(crate) entries: Vec<entry::Model>,
    pub(crate) keys: Vec<key::Model>,
    pub(crate) shares: Vec<house::Model>,
    pub(crate) sealed_bids: Vec<sealed_bid::Model>,
}

impl Books {
    pub(crate) async fn read(db: &impl ConnectionTrait) -> Result<Self, DbErr> {
        Ok(Self {
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
            keys: key::Entity::find()
                .order_by_asc(key::Column::Scope)
                .order_by_asc(key::Column::IdempotencyKey)
                .all(db)
                .await?,
            shares: house::Entity::find().order_by_asc(house::Column::AuctionId).all(db).await?,
            sealed_bids: sealed_bid::Entity::find()
                .order_by_asc(sealed_bid::Column::AuctionId)
                .order_by_asc(sealed_bid::Column::WalletId)
                .all(db)
                .await?,
        })
    }

    pub(crate) fn wallet(&self, user: &str) -> &wallet::Model {
        let found = self.wallets.iter().find(|wallet| wallet.owner == user.as_bytes());
        found.unwrap_or_else(|| panic!("{user} has no wallet"))
    }

    pub(crate) fn auction(&self, id: AuctionId) -> &auction::Model {
        self.auctions.iter().find(|auction| auction.id == id.get()).expect("the auction is stored")
    }

    pub(crate) fn journal(&self, user: &str) -> Vec<&entry::Model> {
        let id = self.wallet(user).id;
        self.entries.iter().filter(|entry| entry.wallet_id == id).collect()
    }

    pub(crate) fn total(&self) -> i128 {
        let each = self.wallets.iter();
        let wallets = each.map(|wallet| i128::from(wallet.available) + i128::from(wallet.held));
        let waiting = self.shares.iter().filter(|share| share.collected_by.is_none());
        wallets.chain(waiting.map(|share| i128::from(share.amount))).sum()
    }

    /// Checks every law of the books.
    pub(crate) fn check(&self) {
        self.check_wallets();
        self.check_operations();
        for auction in &self.auctions {
            self.check_auction(auction);
        }
    }

    /// A wallet says what its journal says, and holds what it has promised to open auctions.
    fn check_wallets(&self) {
        let mut promised: BTreeMap<i64, i128> = BTreeMap::new();
        for auction in self.auctions.iter().filter(|row| holds(row) && !is_sealed(row)) {
            if let Some(leader) = auction.leader_wallet_id {
                let maximum = auction.leader_max.unwrap();
                *promised.entry(leader).or_default() +=
                    i128::from(maximum) + premium(auction, maximum);
            }
        }
        for bid in self.sealed_bids.iter().filter(|bid| bid.released_by.is_none()) {
            let mut auctions = self.auctions.iter();
            let auction = auctions.find(|auction| auction.id == bid.auction_id).unwrap();
            assert!(holds(auction), "an auction that is over holds {bid:?}");
            *promised.entry(bid.wallet_id).or_default() +=
                i128::from(bid.maximum) + premium(auction, bid.maximum);
        }
        for wallet in &self.wallets {
            let (mut available, mut held, mut seq, mut at) = (0_i128, 0_i128, 0, i64::MIN);
            for entry in self.entries.iter().filter(|entry| entry.wallet_id == wallet.id) {
                seq += 1;
                available += i128::from(entry.available_delta);
                held += i128::from(entry.held_delta);
                assert_eq!(entry.seq, seq, "entries are numbered without gaps: {entry:?}");
                let after = (i128::from(entry.available_after), i128::from(entry.held_after));
                assert_eq!(after, (available, held), "the balance runs along: {entry:?}");
                assert!(available >= 0 && held >= 0, "{entry:?}");
                assert!(at <= entry.at, "a wallet's clock never goes back: {entry:?}");
                at = entry.at;
            }
            let row = (i128::from(wallet.available), i128::from(wallet.held), wallet.seq);
            assert_eq!(row, (available, held, seq), "a wallet says what its last entry says");
            let promised = promised.get(&wallet.id).copied().unwrap_or(0);
            assert_eq!(held, promised, "{wallet:?} holds what it has promised to open auctions");
        }
        let wallets: BTreeSet<i64> = self.wallets.iter().map(|wallet| wallet.id).collect();
        let mut named = self.entries.iter().map(|entry| entry.wallet_id);
        assert!(named.all(|id| wallets.contains(&id)), "an entry of no wallet");
    }

    /// Money is moved and never made: every operation sums to zero, but for the border of the system.
    fn check_operations(&self) {
        let mut sums: BTreeMap<_, (i128, usize)> = BTreeMap::new();
        let mut border = 0_i128;
        for entry in &self.entries {
            let delta = i128::from(entry.available_delta) + i128::from(entry.held_delta);
            let sum = sums.entry(entry.operation).or_default();
            match entry.kind {
                entry::Kind::Deposit | entry::Kind::Withdrawal => {
                    border += delta;
                    sum.1 += 1;
                    assert_eq!((entry.auction_id, sum.1), (None, 1), "{entry:?}");
                }
                entry::Kind::HouseShare => {
                    sum.0 += delta;
                    assert_eq!(entry.auction_id, None, "{entry:?}");
                }
                _ => {
                    sum.0 += delta;
                    assert!(entry.auction_id.is_some(), "{entry:?}");
                }
            }
        }
        // A sale pays the house's share in, and a collection takes it out.
        for share in &self.shares {
            sums.entry(share.operation).or_default().0 += i128::from(share.amount);
            if let Some(operation) = share.collected_by {
                sums.entry(operation).or_default().0 -= i128::from(share.amount);
            }
        }
        for (operation, (sum, _)) in &sums {
            assert_eq!(*sum, 0, "operation {operation} makes money");
        }
        assert_eq!(self.total(), border, "what is there is what came in less what went out");
        let commands = self.bids.iter().map(|bid| bid.operation);
        let commands: Vec<_> = commands.chain(self.acts.iter().map(|act| act.operation)).collect();
        let distinct: BTreeSet<_> = commands.iter().collect();
        assert_eq!(distinct.len(), commands.len(), "an operation is one command");
        let moves = self.entries.iter().filter(|entry| entry.auction_id.is_some());
        for entry in moves {
            assert!(distinct.contains(&entry.operation), "an entry of no command: {entry:?}");
        }
    }

    /// The numbers of an auction are dense over bids and acts, and what the last one made is where the auction stands.
    fn check_auction(&self, auction: &auction::Model) {
        let bids: Vec<_> = self.bids.iter().filter(|bid| bid.auction_id == auction.id).collect();
        let acts: Vec<_> = self.acts.iter().filter(|act| act.auction_id == auction.id).collect();
        let mut history: Vec<(i64, i64)> = bids.iter().map(|bid| (bid.seq, bid.at)).collect();
        history.extend(acts.iter().map(|act| (act.seq, act.at)));
        history.sort_unstable();
        assert!(
            history.iter().map(|(seq, _)| *seq).eq(1..=auction.seq),
            "{auction:?}: {history:?}"
        );
        assert!(
            history.is_sorted_by_key(|(_, at)| *at),
            "an auction's clock goes back: {history:?}"
        );
        assert_eq!(history.last().unwrap().1, auction.last_at, "{auction:?}");
        let ends = acts.iter().filter_map(|act| Some((act.seq, act.ends_at?)));
        let last_end = bids.iter().map(|bid| (bid.seq, bid.ends_at)).chain(ends).max();
        let last_end = last_end.map_or(auction.original_ends_at, |(_, ends_at)| ends_at);
        assert_eq!(last_end, auction.ends_at, "{auction:?}: its history says where its end is");
        let voided: BTreeSet<i64> = acts.iter().filter_map(|act| act.bid_seq).collect();
        let counted: Vec<_> =
            bids.iter().copied().filter(|bid| !voided.contains(&bid.seq)).collect();
        let prices: Vec<_> = bids.iter().map(|bid| bid.price).collect();
        let plain = auction.pricing == auction::Pricing::OwnBid;
        assert!(
            !voided.is_empty() || prices.is_sorted_by(|a, b| a < b || !plain && a == b),
            "prices rise with their numbers: {prices:?}"
        );
        assert_eq!((acts[0].kind, acts[0].seq), (act::Kind::Opened, 1));
        let proceeds = self.entries.iter().filter(|entry| {
            entry.auction_id == Some(auction.id) && entry.kind == entry::Kind::Proceeds
        });
        let proceeds: i128 = proceeds.map(|entry| i128::from(entry.available_delta)).sum();
        let sold_price = auction.sold_price.unwrap_or(0);
        let (premium, fee) = match auction.sold_price {
            Some(price) => (premium(auction, price), fee(auction, price)),
            None => (0, 0),
        };
        let due = i128::from(sold_price) - fee;
        assert_eq!(proceeds, due, "{auction:?}: the seller is paid once");
        let share = self.shares.iter().find(|share| share.auction_id == auction.id);
        let share = share.map_or(0, |share| i128::from(share.amount));
        assert_eq!(share, premium + fee, "{auction:?}: what is the house's waits for it");
        let open = auction.state == auction::State::Open;
        let changes = [
            act::Kind::Opened,
            act::Kind::ReserveLowered,
            act::Kind::Extended,
            act::Kind::AwaitingSeller,
            act::Kind::SealedBid,
            act::Kind::Released,
            act::Kind::BidVoided,
            act::Kind::BidSkipped,
        ];
        let ends = acts.iter().filter(|act| !changes.contains(&act.kind)).count();
        let ended = !holds(auction) || auction.state == auction::State::Cancelling;
        assert_eq!(ends, usize::from(ended), "it ends once: {acts:?}");
        assert!(bids.iter().all(|bid| bid.wallet_id != auction.seller_wallet_id), "the seller bid");
        if open && (!plain || !voided.is_empty()) {
            check_standing(auction, &counted, &acts);
        } else if open {
            let last = bids.last();
            assert_eq!(auction.leader_wallet_id, last.map(|bid| bid.wallet_id));
            assert_eq!(auction.leader_max, last.map(|bid| bid.amount));
            assert_eq!(auction.leader_seq, last.map(|bid| bid.seq));
            assert_eq!(auction.price, last.map(|bid| bid.price));
        }
        for bid in bids {
            assert!(self.wallets.iter().any(|wallet| wallet.id == bid.wallet_id), "{bid:?}");
            assert!(bid.at < bid.ends_at, "a bid after the end: {bid:?}");
            let moved = self.entries.iter().filter(|entry| entry.operation == bid.operation);
            for entry in moved {
                assert_eq!((entry.at, entry.auction_id), (bid.at, Some(auction.id)), "{entry:?}");
            }
        }
    }
}

/// Whether it is not over.
fn holds(auction: &auction::Model) -> bool {
    !matches!(
        auction.state,
        auction::State::Sold | auction::State::Unsold | auction::State::Cancelled
    )
}

fn is_sealed(auction: &auction::Model) -> bool {
    matches!(auction.pricing, auction::Pricing::FirstPrice | auction::Pricing::SecondPrice)
}

fn part(price: i64, points: i16, min: i64, cap: Option<i64>) -> i128 {
    let part = (i128::from(price) * i128::from(points) / 10_000).max(i128::from(min));
    part.min(cap.map_or(i128::MAX, i128::from))
}

fn premium(auction: &auction::Model, price: i64) -> i128 {
    part(price, auction.premium_points, auction.premium_min, auction.premium_cap)
}

fn fee(auction: &auction::Model, price: i64) -> i128 {
    part(price, auction.fee_points, auction.fee_min, auction.fee_cap).min(i128::from(price))
}

/// With automatic bidding: who leads is who bid most, the earlier of two; and the runner-up is the best of the others.
fn check_standing(auction: &auction::Model, bids: &[&bid::Model], acts: &[&act::Model]) {
    let mut best: BTreeMap<i64, (i64, Reverse<i64>)> = BTreeMap::new();
    for bid in bids {
        let one = best.entry(bid.wallet_id).or_insert((0, Reverse(0)));
        *one = (*one).max((bid.amount, Reverse(bid.seq)));
    }
    let top = best.iter().max_by_key(|(_, rank)| **rank).map(|(wallet, rank)| (*wallet, *rank));
    let others = best.iter().filter(|(wallet, _)| Some(**wallet) != top.map(|top| top.0));
    let runner_up = others.map(|(_, rank)| rank.0).max();
    assert_eq!(auction.leader_wallet_id, top.map(|top| top.0), "{auction:?}");
    assert_eq!(auction.leader_max, top.map(|top| top.1.0), "{auction:?}");
    assert_eq!(auction.leader_seq, top.map(|top| top.1.1.0), "{auction:?}");
    assert_eq!(auction.runner_up_max, runner_up, "{auction:?}");
    if acts.iter().all(|act| act.kind != act::Kind::ReserveLowered && act.bid_seq.is_none()) {
        assert_eq!(auction.price, bids.last().map(|bid| bid.price), "{auction:?}");
    }
}
