//! What the page of an auction shows to one user, as texts: for the page as it is loaded and for the WebSocket, so that both say
//! the same, and no script adds amounts up.

use auction_ledger::{
    AuctionEvent, AuctionId, AuctionLedger, AuctionState, AuctionView, Error, EventKind, Wallet,
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::time::Instant;

use crate::money::spoken;
use crate::words;

/// What is to be seen at one instant. It is of the user that it was read for, and of nobody else.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    /// The number of the last command that is in it.
    pub(crate) seq: i64,
    pub(crate) price: String,
    /// Who leads, and, for the leader alone, with what.
    pub(crate) standing: String,
    pub(crate) leads: bool,
    pub(crate) reserve: &'static str,
    pub(crate) phase: Phase,
    /// How long it is until the end, by the clock that judges bids. A browser counts down from it and needs no clock of its own.
    pub(crate) left_ms: u64,
    /// The end by this machine's clock, as far as that goes like the ledger's.
    #[serde(skip)]
    end: Instant,
    #[serde(skip)]
    ends_at: DateTime<Utc>,
    /// The least that this user can bid now.
    pub(crate) minimum: Option<String>,
    pub(crate) buy_now: Option<String>,
    /// What became of it.
    pub(crate) result: Option<String>,
    pub(crate) available: String,
    pub(crate) held: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It has not begun.
    Soon,
    Running,
    /// It has ended, and waits to be settled.
    Ended,
    Over,
}

impl Shown {
    /// Reads what `user` sees: the auction first, so that the wallet is not older than that.
    pub(crate) async fn read(
        ledger: &AuctionLedger,
        auction: AuctionId,
        user: &str,
    ) -> Result<(AuctionView, Self), Error> {
        let view = ledger.auction_for(auction, user).await?;
        let wallet = ledger.wallet(user, view.auction.currency).await?;
        let shown = Self::of(&view, &wallet, user);
        Ok((view, shown))
    }

    fn of(view: &AuctionView, wallet: &Wallet, user: &str) -> Self {
        let auction = &view.auction;
        let money = |amount| spoken(amount, auction.currency);
        let phase = phase(view);
        let takes_bids = phase == Phase::Running;
        Self {
            seq: auction.seq,
            price: match auction.price {
                Some(price) => money(price),
                None if auction.sealed => "sealed until the end".to_owned(),
                None => format!("{} to begin with", money(auction.start_price)),
            },
            standing: standing(view),
            leads: view.leads,
            reserve: reserve(auction.reserve_met),
            phase,
            left_ms: match phase {
                Phase::Running => u64::try_from(view.time_left.as_millis()).unwrap_or(u64::MAX),
                Phase::Soon | Phase::Ended | Phase::Over => 0,
            },
            end: Instant::now().checked_add(view.time_left).unwrap_or_else(Instant::now),
            ends_at: auction.ends_at,
            minimum: view.next_minimum.filter(|_| takes_bids).map(money),
            buy_now: view.take_price.map(money),
            result: result(view, user),
            available: money(wallet.available),
            held: money(wallet.held),
        }
    }

    /// Goes on with somebody's bid on somebody's, and says whether it could. What concerns the user, and whatever is rare, has to
    /// be read.
    ///
    /// Most bids concern nobody of those who watch, and all of them are told. So they ask the database for nothing.
    pub(crate) fn follow(&mut self, event: &AuctionEvent, user: &str) -> bool {
        let EventKind::BidPlaced { bidder, leader, price, next_minimum, ends_at, reserve_met } =
            &event.kind
        else {
            return false;
        };
        let concerns = self.leads || [bidder, leader].iter().any(|bids| bids.as_str() == user);
        let is_next = event.seq == self.seq.saturating_add(1);
        // A bid can end the offer to buy.
        if concerns || !is_next || self.phase != Phase::Running || self.buy_now.is_some() {
            return false;
        }
        let later = ends_at.signed_duration_since(self.ends_at).to_std().unwrap_or_default();
        let Some(end) = self.end.checked_add(later) else {
            return false;
        };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let money = |amount| spoken(amount, event.currency);
        self.seq = event.seq;
        self.price = money(*price);
        self.standing = format!("{leader} leads.");
        self.reserve = reserve(*reserve_met);
        self.left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        (self.end, self.ends_at) = (end, *ends_at);
        // The seller has none.
        self.minimum = self.minimum.take().and(*next_minimum).map(money);
        true
    }

    /// The time that is left, as a browser without scripts shows it.
    pub(crate) fn time_left(&self) -> String {
        let seconds = self.left_ms / 1_000;
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        match hours {
            0 => format!("{minutes}:{seconds:02}"),
            _ => format!("{hours}:{minutes:02}:{seconds:02}"),
        }
    }
}

fn phase(view: &AuctionView) -> Phase {
    match view.auction.state {
        AuctionState::Open if view.is_running => Phase::Running,
        AuctionState::Open if view.now < view.auction.starts_at => Phase::Soon,
        AuctionState::Sold | AuctionState::Unsold | AuctionState::Cancelled => Phase::Over,
        _ => Phase::Ended,
    }
}

fn reserve(is_met: Option<bool>) -> &'static str {
    match is_met {
        Some(true) => "The reserve is met.",
        Some(false) => "The reserve is not met.",
        None => "",
    }
}

fn standing(view: &AuctionView) -> String {
    let auction = &view.auction;
    match phase(view) {
        Phase::Over => return "It is over.".to_owned(),
        Phase::Soon => return format!("It begins at {}.", auction.starts_at.format("%F %T UTC")),
        Phase::Running | Phase::Ended => {}
    }
    let own = view.own_maximum.map(|maximum| spoken(maximum.reveal(), auction.currency));
    match (&auction.leader, own) {
        (_, Some(own)) if auction.sealed => {
            format!("Your sealed bid is {own}. Nobody else sees it.")
        }
        (Some(_), Some(own)) if auction.automatic_bidding => {
            format!("You lead. Your maximum is {own}; nobody else sees it.")
        }
        (Some(_), _) if view.leads => "You lead.".to_owned(),
        (Some(leader), _) => format!("{leader} leads."),
        (None, _) if auction.sealed => "Bids are sealed.".to_owned(),
        (None, _) => "Nobody has bid yet.".to_owned(),
    }
}

fn result(view: &AuctionView, user: &str) -> Option<String> {
    let auction = &view.auction;
    let text = match (auction.state, &auction.leader, auction.price) {
        (AuctionState::Sold, Some(buyer), Some(price)) => {
            words::sold(buyer.as_str(), user, &spoken(price, auction.currency))
        }
        (AuctionState::Unsold, ..) => "Ended without a winner.".to_owned(),
        (AuctionState::Cancelled, ..) => "Called off.".to_owned(),
        _ if phase(view) == Phase::Ended => {
            "The auction has ended. The result comes in a moment.".to_owned()
        }
        _ => return None,
    };
    Some(text)
}
