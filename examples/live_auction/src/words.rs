//! What people read: events, refusals and errors, as sentences.

use auction_ledger::{
    AmountError, AuctionEvent, Bid, Currency, Eligibility, Error, EventKind, Rejection,
};

use crate::money::{NoAmount, spoken};

/// What an event says to `reader`; nothing where nothing changes that is to be seen.
pub(crate) fn of_event(event: &AuctionEvent, reader: &str) -> Option<String> {
    let money = |amount| spoken(amount, event.currency);
    let text = match &event.kind {
        EventKind::Opened { seller, start_price, .. } => {
            format!("{seller} opens the auction at {}.", money(*start_price))
        }
        EventKind::BidPlaced { bidder, leader, price, reserve_met, .. } => {
            let bid = bid_placed(bidder.as_str(), leader.as_str(), reader);
            let below = if *reserve_met == Some(false) { " The reserve is not met." } else { "" };
            format!("{bid} at {}.{below}", money(*price))
        }
        EventKind::SealedBid => "A sealed bid was placed.".to_owned(),
        EventKind::Extended { .. } => "The end was moved to later.".to_owned(),
        EventKind::ReserveLowered { .. } => "The seller has lowered the reserve.".to_owned(),
        EventKind::BidVoided { bid, reason, .. } => {
            format!("Bid {bid} is void{}.", because(reason.as_deref()))
        }
        EventKind::BidSkipped { bid } => {
            format!("Bid {bid} is void, too: it could not be paid any more.")
        }
        EventKind::AwaitingSeller { .. } => {
            "The auction has ended below its reserve. The seller can still accept the price."
                .to_owned()
        }
        EventKind::Outbid { price, .. } => {
            format!("You have been outbid: the price is {} now.", money(*price))
        }
        EventKind::BidLost { bid, .. } => format!("Your bid {bid} is void."),
        EventKind::HeldAgain { .. } => "You lead again, and your money is held again.".to_owned(),
        EventKind::HoldReleased { amount, .. } => {
            format!("{} are available to you again.", money(*amount))
        }
        EventKind::Sold { buyer, price, .. } => sold(buyer.as_str(), reader, &money(*price)),
        EventKind::Unsold => "The auction has ended without a winner.".to_owned(),
        EventKind::Cancelled { reason } => {
            format!("The auction was called off{}.", because(reason.as_deref()))
        }
        // A leader's own maximum was raised, or it is of a later release.
        _ => return None,
    };
    Some(text)
}

fn bid_placed(bidder: &str, leader: &str, reader: &str) -> String {
    match (bidder == reader, leader == reader) {
        (true, true) => "You bid, and lead".to_owned(),
        (true, false) => format!("You bid, but {leader}'s maximum is not below it: {leader} leads"),
        (false, true) => format!("{bidder} bids, but your maximum is not below it: you lead"),
        (false, false) if bidder == leader => format!("{bidder} bids, and leads"),
        (false, false) => {
            format!("{bidder} bids, but {leader}'s maximum is not below it: {leader} leads")
        }
    }
}

/// Who has bought for how much.
pub(crate) fn sold(buyer: &str, reader: &str, price: &str) -> String {
    match buyer == reader {
        true => format!("Sold: you have bought it for {price}."),
        false => format!("Sold to {buyer} for {price}."),
    }
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

/// What became of a bid.
pub(crate) fn of_bid(bid: &Bid, sealed: bool) -> String {
    let price = spoken(bid.price, bid.currency);
    match bid {
        Bid { bought: true, .. } => format!("You have bought it for {price}."),
        _ if sealed => "Your sealed bid counts. Nobody sees it before the end.".to_owned(),
        Bid { leads: true, .. } => format!("Your bid counts: you lead at {price}."),
        _ => format!(
            "Your bid counts, but somebody's maximum is not below it: the price is {price} now, and nothing is held for \
             your bid."
        ),
    }
}

/// What is wrong with a text that was to be an amount.
pub(crate) fn of_no_amount(problem: NoAmount, currency: Currency) -> String {
    match problem {
        NoAmount::Empty => "Say how much you bid.".to_owned(),
        NoAmount::Negative => "A bid must be more than zero.".to_owned(),
        NoAmount::NotDigits => {
            "Write the amount with the digits 0 to 9 and nothing else but a decimal point, for example 12.50.".to_owned()
        }
        NoAmount::TooPrecise => match currency.exponent() {
            0 => format!("Amounts in {currency} have no decimals."),
            decimals => format!("Amounts in {currency} have at most {decimals} decimals."),
        },
    }
}

/// Why a bid or a purchase was not carried out. What the database said is not the bidder's affair.
pub(crate) fn of_error(error: &Error, currency: Currency) -> String {
    let text = match error {
        Error::Rejected(rejection) => return of_rejection(rejection, currency),
        Error::InvalidAmount { error: AmountError::NotPositive, .. } => {
            "A bid must be more than zero."
        }
        Error::InvalidAmount { error: AmountError::TooLarge { maximum }, .. } => {
            return format!("A bid is at most {}.", spoken(*maximum, currency));
        }
        Error::InvalidAmount { .. } => "This is no amount.",
        Error::InvalidText { .. } => "This form is damaged. Reload the page.",
        Error::IdempotencyConflict { .. } => {
            "This form was sent before with something else in it, and that counts. Look at the price, and send it again \
             if you still want to."
        }
        Error::CommitUnknown { .. } => {
            "The database did not answer, so nobody knows yet whether this counts. Send it again: it counts once."
        }
        error if error.is_retryable() || matches!(error, Error::Overloaded { .. }) => {
            "Too many are bidding at once. Nothing of yours was carried out: send it again."
        }
        _ => "Something went wrong here, and nothing was carried out. Try again in a while.",
    };
    text.to_owned()
}

/// What the rules say when they say no, to the one who asked.
pub(crate) fn of_rejection(rejection: &Rejection, currency: Currency) -> String {
    let money = |amount| spoken(amount, currency);
    match rejection {
        Rejection::Closed { state } => format!("The auction is over: {state}."),
        Rejection::NotOpenYet { .. } => "The auction has not begun.".to_owned(),
        Rejection::Ended { .. } => "The auction has ended: this came too late.".to_owned(),
        Rejection::TakesNoBids => "This auction takes no bids.".to_owned(),
        Rejection::BuyNowUnavailable => "It cannot be bought at once any more.".to_owned(),
        Rejection::SellerCannotBid => "You sell this yourself, and cannot bid on it.".to_owned(),
        Rejection::SellerCannotBuy => "You sell this yourself, and cannot buy it.".to_owned(),
        Rejection::NotEligible { why } => of_eligibility(*why, currency),
        Rejection::AboveLimit { price } => format!("It costs {} now.", money(*price)),
        Rejection::NotAboveOwnMaximum => {
            "You lead with a maximum that is not below this. You can only raise it.".to_owned()
        }
        Rejection::BelowMinimum { minimum } => {
            format!("That is too low: bid at least {}.", money(*minimum))
        }
        Rejection::NotOnIncrement { multiple_of, below, above } => {
            let nearest = match above {
                Some(above) => format!("{} or {}", money(*below), money(*above)),
                None => money(*below),
            };
            format!("Bids are multiples of {}: bid {nearest}.", money(*multiple_of))
        }
        Rejection::TooLarge { maximum } => {
            format!("With the premium that is more than {}.", money(*maximum))
        }
        Rejection::InsufficientFunds { needed, available } => {
            format!("That needs {}, and you have {} available.", money(*needed), money(*available))
        }
        Rejection::BalanceTooLarge { .. } => "The seller cannot be paid so much.".to_owned(),
        // Refusals of what this application does not ask for.
        _ => "That is not possible now.".to_owned(),
    }
}

fn of_eligibility(why: Eligibility, currency: Currency) -> String {
    match why {
        Eligibility::Banned => "You may not bid here.".to_owned(),
        Eligibility::NotOnList => "Only invited bidders may bid on this.".to_owned(),
        Eligibility::Deposit { required, .. } => {
            format!("Bidding needs a deposit of {}.", spoken(required, currency))
        }
        _ => "You may not bid on this.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use auction_ledger::{Currency, Rejection};
    use rust_decimal::Decimal;

    use super::{bid_placed, of_rejection};

    #[test]
    fn a_refusal_says_what_would_be_accepted() {
        let minimum = Decimal::new(10_50, 2);
        let low = Rejection::BelowMinimum { minimum };
        assert_eq!(of_rejection(&low, Currency::EUR), "That is too low: bid at least 10.50 EUR.");
        let step = Rejection::NotOnIncrement {
            multiple_of: 10.into(),
            below: 20.into(),
            above: Some(30.into()),
        };
        assert_eq!(
            of_rejection(&step, Currency::EUR),
            "Bids are multiples of 10 EUR: bid 20 EUR or 30 EUR."
        );
    }

    #[test]
    fn a_bid_is_told_from_the_side_of_its_reader() {
        assert_eq!(bid_placed("ann", "ann", "ann"), "You bid, and lead");
        assert_eq!(bid_placed("ann", "ann", "bob"), "ann bids, and leads");
        assert!(bid_placed("ann", "bob", "bob").ends_with("you lead"));
        assert!(bid_placed("ann", "bob", "ann").ends_with("bob leads"));
        assert!(bid_placed("ann", "bob", "cid").ends_with("bob leads"));
    }
}
