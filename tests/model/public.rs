//! What the ledger's own reading verbs say, compared with what they must say.

use std::collections::BTreeMap;

use auction_ledger::{AuctionId, AuctionLedger, Currency, Error};
use sea_orm::prelude::Uuid;

use super::answer::{Answer, words};
use super::book::Book;
use super::rows::{ActRow, BidRow, Line, Lot};
use super::send::{self, Sender};
use super::terms::calendar;

impl Sender {
    /// Fails unless an auction looks to everybody as it does in the model.
    pub(super) async fn check_view(&self, book: &Book, lot: usize) -> Result<(), Error> {
        let auction = self.ledger.auction(self.lots[lot]).await?;
        assert_eq!(send::view(auction, &self.lots), book.view(lot));
        Ok(())
    }

    /// Fails unless a wallet looks to its owner as it does in the model.
    pub(super) async fn check_wallet(
        &self,
        book: &Book,
        user: &str,
        currency: Currency,
    ) -> Result<(), Error> {
        let wallet = self.ledger.wallet(user, currency).await?;
        assert_eq!(send::wallet(wallet), book.wallet(user, currency));
        Ok(())
    }

    /// Fails unless all wallets, auctions, their histories and the past balances are told as the model knows them.
    pub(super) async fn check_all(
        &self,
        book: &Book,
        names: &BTreeMap<Uuid, String>,
    ) -> Result<(), Error> {
        for ((user, _), purse) in &book.rows.purses {
            self.check_wallet(book, user, purse.currency).await?;
            let entries = self.ledger.entries(user.as_str(), purse.currency).limit(1_000).await?;
            let told: Vec<String> = entries
                .iter()
                .map(|entry| {
                    let lot = entry.auction.map(|id| place(id, &self.lots));
                    let parts = (entry.seq, &names[&entry.operation.get()], entry.kind, lot);
                    let amounts = [
                        entry.available_delta,
                        entry.held_delta,
                        entry.available_after,
                        entry.held_after,
                    ];
                    let amounts = amounts.map(|amount| amount.to_string());
                    format!(
                        "{parts:?} {amounts:?} {:?} {}",
                        entry.memo,
                        entry.at.timestamp_micros()
                    )
                })
                .collect();
            let known: Vec<_> = (1..)
                .zip(&purse.lines)
                .map(|(seq, line)| told_line(seq, line, purse.currency))
                .collect();
            assert_eq!(told, known);
            self.check_past(book, user, purse.currency).await?;
        }
        for (index, lot) in book.rows.lots.iter().enumerate() {
            self.check_view(book, index).await?;
            check_history(&self.ledger, self.lots[index], lot, names).await?;
        }
        Ok(())
    }

    /// The balance at the instant of every entry, and one microsecond before.
    async fn check_past(&self, book: &Book, user: &str, currency: Currency) -> Result<(), Error> {
        let lines = &book.rows.purses[&(user.to_owned(), currency.code().to_owned())].lines;
        let instants = lines.iter().flat_map(|line| [line.at - 1, line.at]);
        let instants: std::collections::BTreeSet<i64> = instants.collect();
        for at in instants {
            let wallet = self.ledger.balance_at(user, currency, calendar(at)).await?;
            let last = lines.iter().rev().find(|line| line.at <= at);
            let (available, held) =
                last.map_or((0, 0), |line| (line.available_after, line.held_after));
            let known = Answer::Wallet {
                user: user.to_owned(),
                currency,
                available: words(available, currency),
                held: words(held, currency),
            };
            assert_eq!(send::wallet(wallet), known, "at {at}");
        }
        Ok(())
    }
}

fn told_line(seq: i64, line: &Line, currency: Currency) -> String {
    let parts = (seq, &line.operation, line.kind, line.lot);
    let amounts = [line.available_delta, line.held_delta, line.available_after, line.held_after];
    let amounts = amounts.map(|minor| words(minor, currency));
    format!("{parts:?} {amounts:?} {:?} {}", line.memo, line.at)
}

/// The public history of one auction: its bids and its acts.
async fn check_history(
    ledger: &AuctionLedger,
    id: AuctionId,
    lot: &Lot,
    names: &BTreeMap<Uuid, String>,
) -> Result<(), Error> {
    let bids = ledger.bids(id).limit(1_000).await?;
    let told: Vec<_> = bids
        .iter()
        .map(|bid| {
            let parts = (bid.seq, &names[&bid.operation.get()], bid.user.as_str());
            let amounts = [bid.amount, bid.price].map(|amount| amount.to_string());
            let (ends_at, at) = (bid.ends_at.timestamp_micros(), bid.at.timestamp_micros());
            format!("{parts:?} {amounts:?} {ends_at} {at}")
        })
        .collect();
    let known: Vec<_> = lot.bids.iter().map(|bid| told_bid(bid, lot.currency)).collect();
    assert_eq!(told, known);
    let acts = ledger.acts(id).limit(1_000).await?;
    let told: Vec<_> = acts
        .iter()
        .map(|act| {
            let user = act.user.as_ref().map(|user| user.as_str());
            let parts = (act.seq, &names[&act.operation.get()], act.kind, user);
            let amount = act.amount.map(|amount| amount.to_string());
            format!("{parts:?} {amount:?} {:?} {}", act.reason, act.at.timestamp_micros())
        })
        .collect();
    let known: Vec<_> = lot.acts.iter().map(|act| told_act(act, lot.currency)).collect();
    assert_eq!(told, known);
    Ok(())
}

fn told_bid(bid: &BidRow, currency: Currency) -> String {
    let parts = (bid.seq, &bid.operation, bid.user.as_str());
    let amounts = [bid.amount, bid.price].map(|minor| words(minor, currency));
    format!("{parts:?} {amounts:?} {} {}", bid.ends_at, bid.at)
}

fn told_act(act: &ActRow, currency: Currency) -> String {
    let parts = (act.seq, &act.operation, act.kind, act.user.as_deref());
    let amount = act.amount.map(|minor| words(minor, currency));
    format!("{parts:?} {amount:?} {:?} {}", act.reason, act.at)
}

fn place(auction: AuctionId, lots: &[AuctionId]) -> usize {
    lots.iter().position(|id| *id == auction).expect("an entry is about an auction of the test")
}
