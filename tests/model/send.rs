//! The same commands through the ledger, and what it answers in names.

use auction_ledger::unit_of_work::{self, UnitOfWork};
use auction_ledger::{
    Auction, AuctionId, AuctionLedger, Bid, Cancellation, Error, OperationId, Outbid, Purchase,
    Settlement, Wallet,
};

use super::answer::{Answer, View};
use super::book::NOWHERE;
use super::command::{Command, Transfer, Wish};
use super::rows::command_name;

/// A ledger, and the auctions that were opened on it, in their order.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) ledger: AuctionLedger,
    pub(super) lots: Vec<AuctionId>,
    /// What each answer said its operation was: the one by which the journal must know the command.
    pub(super) claims: Vec<(OperationId, String)>,
    /// The operations that were said to have used a key before.
    pub(super) known: Vec<OperationId>,
}

/// Why a unit of work of the host was not committed.
enum Halt {
    Undo(Vec<Answer>),
    Failed(Error),
}

impl From<unit_of_work::Error> for Halt {
    fn from(error: unit_of_work::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Awaits a request, within a unit of work if there is one.
macro_rules! sent {
    ($request:expr, $uow:expr) => {
        match $uow {
            Some(uow) => $request.within(uow).await,
            None => $request.await,
        }
    };
}

/// Gives a request its setters where there is something to set.
macro_rules! with {
    ($request:expr, $setter:ident, $value:expr) => {
        match $value {
            Some(value) => $request.$setter(value),
            None => $request,
        }
    };
}

impl Sender {
    pub(super) fn new(ledger: AuctionLedger) -> Self {
        Self { ledger, lots: Vec::new(), claims: Vec::new(), known: Vec::new() }
    }

    /// Sends a command, alone or as one unit of work.
    ///
    /// # Errors
    ///
    /// Whatever is neither the rules' answer nor a mistake of the request.
    pub(super) async fn send(&mut self, command: &Command) -> Result<Answer, Error> {
        let Command::Together { commands, keep } = command else {
            return self.one(command, None).await;
        };
        let before = self.clone();
        let ledger = self.ledger.clone();
        let sent = ledger
            .atomic(async |uow| {
                let mut answers = Vec::new();
                for command in commands {
                    answers.push(self.one(command, Some(uow)).await.map_err(Halt::Failed)?);
                }
                if *keep { Ok(answers) } else { Err(Halt::Undo(answers)) }
            })
            .await;
        match sent {
            Ok(answers) => Ok(Answer::Together(answers.into_value())),
            Err(Halt::Undo(answers)) => {
                *self = before;
                Ok(Answer::Together(answers))
            }
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    async fn one(&mut self, command: &Command, uow: Option<&UnitOfWork>) -> Result<Answer, Error> {
        let key = match command {
            Command::Keyed { key, .. } => Some(key.as_str()),
            _ => None,
        };
        let answer = match command.bare() {
            Command::Deposit(Transfer { user, currency, amount, memo }) => {
                let request = self.ledger.deposit(user.as_str(), *currency, *amount);
                sent!(with!(with!(request, memo, memo.as_deref()), key, key), uow).map(wallet)
            }
            Command::Withdraw(Transfer { user, currency, amount, memo }) => {
                let request = self.ledger.withdraw(user.as_str(), *currency, *amount);
                sent!(with!(with!(request, memo, memo.as_deref()), key, key), uow).map(wallet)
            }
            Command::Open { seller, title, terms } => {
                let request =
                    self.ledger.open_auction(seller.as_str(), title.as_str(), terms.terms());
                sent!(with!(request, key, key), uow).map(|auction| {
                    if !self.lots.contains(&auction.id) {
                        self.lots.push(auction.id);
                    }
                    Answer::Opened(view(auction, &self.lots))
                })
            }
            Command::On { lot, wish, user, note } => {
                self.on(*lot, wish, user.as_deref(), note.as_deref(), key, uow).await
            }
            Command::Keyed { .. } | Command::Together { .. } => panic!("no command in itself"),
        };
        match answer {
            Err(Error::IdempotencyConflict { operation }) => {
                self.known.push(operation);
                Ok(Answer::conflict())
            }
            Err(
                error @ (Error::Rejected(_)
                | Error::InvalidUser(_)
                | Error::InvalidAmount { .. }
                | Error::InvalidTerms(_)
                | Error::InvalidText { .. }
                | Error::UnknownAuction { .. }
                | Error::CurrencyMismatch { .. }),
            ) => Ok(Answer::refused(&error)),
            answer => answer,
        }
    }

    async fn on(
        &mut self,
        lot: usize,
        wish: &Wish,
        user: Option<&str>,
        note: Option<&str>,
        key: Option<&str>,
        uow: Option<&UnitOfWork>,
    ) -> Result<Answer, Error> {
        let ledger = self.ledger.clone();
        let id = self.lots.get(lot).copied().unwrap_or(AuctionId::from(NOWHERE));
        let somebody = user.unwrap_or_default();
        match wish {
            Wish::Bid(amount) => {
                let request = with!(ledger.place_bid(id, somebody, *amount), memo, note);
                sent!(with!(request, key, key), uow).map(|bid| self.bid(bid))
            }
            Wish::Buy => {
                let request = with!(ledger.buy_now(id, somebody), memo, note);
                sent!(with!(request, key, key), uow).map(|purchase| self.purchase(purchase))
            }
            Wish::Settle => {
                let request = with!(ledger.settle(id), memo, note);
                sent!(with!(request, key, key), uow).map(|settlement| self.settlement(settlement))
            }
            Wish::CloseEarly => {
                let request = with!(with!(ledger.close_early(id), by, user), reason, note);
                sent!(with!(request, key, key), uow).map(|settlement| self.settlement(settlement))
            }
            Wish::Cancel => {
                let request = with!(with!(ledger.cancel(id), by, user), reason, note);
                sent!(with!(request, key, key), uow)
                    .map(|cancellation| self.cancellation(cancellation))
            }
        }
    }

    /// The place of an auction, after taking down which operation the answer claims to be.
    fn lot(&mut self, auction: AuctionId, seq: i64, operation: OperationId) -> usize {
        let lot = place(auction, &self.lots);
        self.claims.push((operation, command_name(lot, seq)));
        lot
    }

    fn bid(&mut self, bid: Bid) -> Answer {
        Answer::Bid {
            lot: self.lot(bid.auction, bid.seq, bid.operation),
            seq: bid.seq,
            user: bid.user.to_string(),
            amount: bid.maximum.reveal().to_string(),
            price: bid.price.to_string(),
            currency: bid.currency,
            bought: bid.bought,
            outbid: bid.outbid.map(released),
            ends_at: bid.ends_at.timestamp_micros(),
            at: bid.at.timestamp_micros(),
        }
    }

    fn purchase(&mut self, purchase: Purchase) -> Answer {
        Answer::Purchase {
            lot: self.lot(purchase.auction, purchase.seq, purchase.operation),
            seq: purchase.seq,
            buyer: purchase.buyer.to_string(),
            seller: purchase.seller.to_string(),
            price: purchase.price.to_string(),
            currency: purchase.currency,
            outbid: purchase.outbid.map(released),
            at: purchase.at.timestamp_micros(),
        }
    }

    fn settlement(&mut self, settlement: Settlement) -> Answer {
        Answer::Settlement {
            lot: self.lot(settlement.auction, settlement.seq, settlement.operation),
            seq: settlement.seq,
            currency: settlement.currency,
            sold: settlement.sold.map(|sale| {
                (sale.winner.to_string(), sale.seller.to_string(), sale.price.to_string())
            }),
            at: settlement.at.timestamp_micros(),
            repeated: settlement.repeated,
        }
    }

    fn cancellation(&mut self, cancellation: Cancellation) -> Answer {
        Answer::Cancellation {
            lot: self.lot(cancellation.auction, cancellation.seq, cancellation.operation),
            seq: cancellation.seq,
            currency: cancellation.currency,
            released: cancellation.released.map(released),
            at: cancellation.at.timestamp_micros(),
        }
    }
}

fn released(outbid: Outbid) -> (String, String) {
    (outbid.user.to_string(), outbid.released.reveal().to_string())
}

pub(super) fn wallet(wallet: Wallet) -> Answer {
    Answer::Wallet {
        user: wallet.user.to_string(),
        currency: wallet.currency,
        available: wallet.available.to_string(),
        held: wallet.held.to_string(),
    }
}

fn place(auction: AuctionId, lots: &[AuctionId]) -> usize {
    lots.iter().position(|id| *id == auction).expect("an answer is about an auction of the test")
}

pub(super) fn view(auction: Auction, lots: &[AuctionId]) -> View {
    View {
        lot: place(auction.id, lots),
        title: auction.title,
        seller: auction.seller.to_string(),
        currency: auction.currency,
        start_price: auction.start_price.to_string(),
        increment: auction.increment.unwrap().to_string(),
        multiple_of: auction.multiple_of.map(|amount| amount.to_string()),
        buy_now_price: auction.buy_now_price.map(|amount| amount.to_string()),
        starts_at: auction.starts_at.timestamp_micros(),
        ends_at: auction.ends_at.timestamp_micros(),
        state: auction.state,
        leader: auction.leader.map(|user| user.to_string()),
        price: auction.price.map(|amount| amount.to_string()),
        next_minimum: auction.next_minimum.map(|amount| amount.to_string()),
        buy_now_offer: auction.buy_now_offer.map(|amount| amount.to_string()),
        seq: auction.seq,
    }
}
