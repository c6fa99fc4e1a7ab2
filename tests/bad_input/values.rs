//! The public types that need no database: made from anything, shown, and sent through JSON.

use auction_ledger::entity::{act, auction, entry};
use auction_ledger::unit_of_work::{Error as UnitOfWorkError, ErrorKind, Retry};
use auction_ledger::{
    AuctionEvent, AuctionId, AuctionState, Currency, CurrencyError, Error, EventKind, OperationId,
    Rejection, SaleKind, TermsError, UserId, UserIdError, WalletId,
};
use chrono::{DateTime, Utc};
use proptest::option;
use proptest::prelude::*;
use rust_decimal::Decimal;
use sea_orm::DbErr;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::source::Source;
use super::wild::{self, Text};
use crate::support::scale;

/// Judges so many values.
async fn each<T: std::fmt::Debug>(
    strategy: impl Strategy<Value = T>,
    judge: impl Fn(T) -> Result<(), String>,
) {
    let mut source = Source::new();
    for _ in 0..scale(10_000) {
        source.try_next(&strategy, async |value| judge(value)).await;
    }
}

fn same<T: PartialEq + std::fmt::Debug>(left: T, right: T) -> Result<(), String> {
    if left == right { Ok(()) } else { Err(format!("{left:?} is not {right:?}")) }
}

/// Through JSON and back.
fn survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    value: &T,
) -> Result<(), String> {
    let text = serde_json::to_string(value).map_err(|error| error.to_string())?;
    let back: T = serde_json::from_str(&text).map_err(|error| format!("{text}: {error}"))?;
    same(&back, value)?;
    let tree = serde_json::to_value(value).map_err(|error| error.to_string())?;
    let back: T = serde_json::from_value(tree).map_err(|error| format!("{text}: {error}"))?;
    same(&back, value)
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

#[tokio::test]
async fn any_code_and_exponent_is_a_currency_or_is_refused() {
    let codes =
        prop_oneof!["[A-Z0-9]{0,12}", "[A-Za-z0-9 €é]{2,11}", wild::text().prop_map(|text| text.0)];
    each((codes, any::<u8>()), |(code, exponent)| {
        let fits = (3..=10).contains(&code.len())
            && code.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9'));
        let expected = match (fits, exponent) {
            (false, _) => Err(CurrencyError::InvalidCode),
            (true, 13..) => Err(CurrencyError::InvalidExponent { exponent }),
            (true, _) => Ok((code.as_str(), exponent)),
        };
        let made = Currency::new(&code, exponent);
        same(
            made.as_ref().map(|made| (made.code(), made.exponent())).map_err(|error| *error),
            expected,
        )?;
        let plain = json!({ "code": code, "exponent": exponent });
        let read = serde_json::from_value::<Currency>(plain).ok();
        same(read, made.ok())?;
        let Ok(made) = made else { return Ok(()) };
        survives(&made)?;
        same(made.to_string(), code)?;
        let maximum = Decimal::from_i128_with_scale(10_i128.pow(15), exponent.into());
        same(made.maximum(), maximum)?;
        same((made.maximum().scale(), format!("{made:>12}").len()), (exponent.into(), 12))
    })
    .await;
}

#[tokio::test]
async fn any_text_is_a_user_or_is_refused() {
    each((wild::text(), any::<i64>(), uuid()), |(Text(text), number, uuid)| {
        let expected = match text.len() {
            0 => Err(UserIdError::Empty),
            bytes @ 65.. => Err(UserIdError::TooLong { bytes }),
            _ if text.contains('\0') => Err(UserIdError::ContainsNul),
            _ => Ok(()),
        };
        let unchecked = UserId::from(text.as_str());
        same(unchecked.validate(), expected)?;
        same(UserId::new(text.clone()).map(drop), expected)?;
        same((unchecked.as_str(), unchecked.as_bytes()), (text.as_str(), text.as_bytes()))?;
        same(unchecked.to_string(), text.clone())?;
        same(&UserId::from(&unchecked), &unchecked)?;
        survives(&unchecked)?;
        same(serde_json::to_value(&unchecked).unwrap(), json!(text))?;
        same(UserId::from(number).validate(), Ok(()))?;
        same(UserId::from(number).as_str().parse(), Ok(number))?;
        same(UserId::from(uuid).validate(), Ok(()))
    })
    .await;
}

#[tokio::test]
async fn any_id_survives_text_and_json() {
    each((wild::id(), uuid()), |(id, uuid)| {
        survives(&AuctionId::from(id))?;
        survives(&WalletId::from(id))?;
        survives(&OperationId::from(uuid))?;
        same((AuctionId::from(id).get(), i64::from(WalletId::from(id))), (id, id))?;
        same(AuctionId::from(id).to_string(), id.to_string())?;
        same(OperationId::from(uuid).to_string().parse(), Ok(uuid))
    })
    .await;
    for state in
        [AuctionState::Open, AuctionState::Sold, AuctionState::Unsold, AuctionState::Cancelled]
    {
        survives(&state).unwrap();
        assert_eq!(serde_json::to_value(state).unwrap(), json!(state.to_string()));
    }
    for how in [SaleKind::Bought, SaleKind::Settled, SaleKind::ClosedEarly] {
        survives(&how).unwrap();
    }
}

fn user() -> BoxedStrategy<UserId> {
    wild::text().prop_map(|text| UserId::from(text.0)).boxed()
}

fn kind() -> BoxedStrategy<EventKind> {
    let (decimal, instant, text) =
        (wild::decimal, wild::instant, || wild::text().prop_map(|text| text.0));
    let how =
        prop::sample::select(vec![SaleKind::Bought, SaleKind::Settled, SaleKind::ClosedEarly]);
    prop_oneof![
        (text(), user(), decimal(), option::of(decimal()), instant(), instant()).prop_map(
            |(title, seller, start_price, buy_now_price, starts_at, ends_at)| EventKind::Opened {
                title,
                seller,
                start_price,
                buy_now_price,
                starts_at,
                ends_at
            }
        ),
        (user(), user(), decimal(), option::of(decimal()), instant(), option::of(any::<bool>()))
            .prop_map(|(bidder, leader, price, next_minimum, ends_at, reserve_met)| {
                EventKind::BidPlaced { bidder, leader, price, next_minimum, ends_at, reserve_met }
            }),
        Just(EventKind::Unchanged),
        Just(EventKind::SealedBid),
        (any::<i64>(), option::of(user()), option::of(decimal()), option::of(text())).prop_map(
            |(bid, leader, price, reason)| EventKind::BidVoided { bid, leader, price, reason }
        ),
        any::<i64>().prop_map(|bid| EventKind::BidSkipped { bid }),
        (user(), any::<i64>(), any::<bool>())
            .prop_map(|(user, bid, cannot_pay)| EventKind::BidLost { user, bid, cannot_pay }),
        user().prop_map(|user| EventKind::HeldAgain { user }),
        instant().prop_map(|ends_at| EventKind::Extended { ends_at }),
        instant().prop_map(|until| EventKind::AwaitingSeller { until }),
        (option::of(decimal()), any::<bool>()).prop_map(|(price, reserve_met)| {
            EventKind::ReserveLowered { price, reserve_met: Some(reserve_met) }
        }),
        (user(), decimal()).prop_map(|(user, price)| EventKind::Outbid { user, price }),
        (user(), decimal()).prop_map(|(user, amount)| EventKind::HoldReleased { user, amount }),
        (user(), user(), decimal(), how).prop_map(|(buyer, seller, price, how)| EventKind::Sold {
            buyer,
            seller,
            price,
            how
        }),
        Just(EventKind::Unsold),
        option::of(text()).prop_map(|reason| EventKind::Cancelled { reason }),
    ]
    .boxed()
}

/// An event as JSON, which is how a reader gets it.
fn event(
    (kind, id, seq, index, at, currency): (&EventKind, i64, i64, u32, DateTime<Utc>, Currency),
) -> Value {
    let mut event = serde_json::to_value(kind).unwrap();
    let all = json!({
        "version": 1, "auction": id, "seq": seq, "index": index, "at": at, "currency": currency,
        // Of a later release.
        "colour": "blue",
    });
    event.as_object_mut().unwrap().extend(all.as_object().unwrap().clone());
    event
}

#[tokio::test]
async fn any_event_survives_json() {
    let parts = (kind(), wild::id(), wild::id(), any::<u32>(), wild::instant(), wild::currency());
    each(parts, |(kind, id, seq, index, at, currency)| {
        let json = event((&kind, id, seq, index, at, currency));
        let text = json.to_string();
        let read: AuctionEvent =
            serde_json::from_str(&text).map_err(|error| format!("{text}: {error}"))?;
        same((read.auction.get(), read.seq, read.index, read.at), (id, seq, index, at))?;
        same((read.currency, &read.kind), (currency, &kind))?;
        survives(&read)?;
        let private = matches!(
            kind,
            EventKind::Outbid { .. }
                | EventKind::HoldReleased { .. }
                | EventKind::BidLost { .. }
                | EventKind::HeldAgain { .. }
        );
        same(read.recipient().is_some(), private)
    })
    .await;
}

#[tokio::test]
async fn json_of_any_shape_is_an_event_or_an_error() {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        wild::text().prop_map(|text| Value::from(text.0)),
        wild::instant().prop_map(|at| json!(at)),
        wild::decimal().prop_map(|number| json!(number)),
        Just(json!([])),
        Just(json!({ "code": "EUR", "exponent": 2 })),
    ];
    let fields = prop::sample::select(vec![
        "version",
        "auction",
        "seq",
        "index",
        "at",
        "currency",
        "type",
        "bidder",
        "price",
        "next_minimum",
        "ends_at",
        "user",
        "amount",
        "reason",
        "title",
        "seller",
        "how",
    ]);
    let types = prop::sample::select(vec![
        "opened",
        "bid_placed",
        "outbid",
        "sold",
        "unsold",
        "cancelled",
        "awaiting_seller",
        "unchanged",
        "unknown",
        "",
    ]);
    let parts = (kind(), prop::collection::vec((fields, leaf), 0..3), option::of(types));
    each(parts, |(kind, changes, other)| {
        let mut json = event((&kind, 1, 2, 0, super::start(), super::EUR));
        for (field, value) in changes {
            json[field] = value;
        }
        if let Some(other) = other {
            json["type"] = json!(other);
        }
        // A kind that this release does not know is no error, whatever it carries.
        let known = [
            "opened",
            "bid_placed",
            "unchanged",
            "sealed_bid",
            "bid_voided",
            "bid_skipped",
            "bid_lost",
            "held_again",
            "extended",
            "reserve_lowered",
            "awaiting_seller",
            "outbid",
            "hold_released",
            "sold",
            "unsold",
            "cancelled",
        ];
        let read = serde_json::from_value::<AuctionEvent>(json.clone());
        let unknown = json["type"].as_str().is_some_and(|kind| !known.contains(&kind));
        if let (true, Ok(read)) = (unknown, &read) {
            same(&read.kind, &EventKind::Unknown)?;
        }
        read.map_or(Ok(()), |read| survives(&read))
    })
    .await;
}

#[tokio::test]
async fn any_error_of_a_database_has_a_kind_and_a_text() {
    each((wild::text(), any::<bool>()), |(Text(text), query)| {
        let runtime = || sea_orm::RuntimeErr::Internal(text.clone());
        let error = if query { DbErr::Query(runtime()) } else { DbErr::Custom(text.clone()) };
        // By code and never by text.
        same(ErrorKind::of(&error), ErrorKind::Other)?;
        same(UnitOfWorkError::of(&error).is_none(), true)?;
        let error = Error::from(error);
        let sound = matches!(error, Error::Database(_)) && !error.is_retryable();
        same((sound, error.to_string().as_str()), (true, "the database failed"))?;
        let refusal = UnitOfWorkError::Begin { error: DbErr::Custom(text.clone()) };
        let travelled = Error::from(DbErr::from(refusal));
        same(matches!(travelled, Error::UnitOfWork(UnitOfWorkError::Begin { .. })), true)
    })
    .await;
}

/// Numbers and instants at the ends of their types can be shown: a rejection is what a user sees.
#[tokio::test]
async fn any_rejection_can_be_shown() {
    let parts = (
        wild::decimal(),
        wild::decimal(),
        option::of(wild::decimal()),
        wild::instant(),
        wild::instant(),
    );
    each(parts, |(first, second, third, at, other)| {
        let rejections = [
            Rejection::NotOpenYet { starts_at: at },
            Rejection::Ended { at },
            Rejection::NotEnded { ends_at: at },
            Rejection::BelowMinimum { minimum: first },
            Rejection::NotOnIncrement { multiple_of: first, below: second, above: third },
            Rejection::InsufficientFunds { needed: first, available: second },
            Rejection::BalanceTooLarge { maximum: first },
        ];
        let terms = [
            TermsError::EndNotAfterStart { starts_at: at, ends_at: other },
            TermsError::BuyNowNotAboveStart { start_price: first, buy_now_price: second },
            TermsError::StartPriceOffGrid { start_price: first, multiple_of: second },
        ];
        let errors =
            rejections.into_iter().map(Error::from).chain(terms.into_iter().map(Error::from));
        for error in errors {
            let text = format!("{error} {error:?} {}", error.rejection().is_some());
            same(text.len() < 1_000, true)?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn any_bounds_of_a_retry_are_taken() {
    each((any::<u32>(), wild::duration()), |(attempts, deadline)| {
        _ = Retry::new().attempts(attempts).deadline(deadline);
        Ok(())
    })
    .await;
    // The kinds of the tables are closed lists.
    use sea_orm::ActiveEnum;
    for value in i16::MIN..=i16::MAX {
        let kinds = (
            entry::Kind::try_from_value(&value).ok().map(|kind| kind.to_value()),
            act::Kind::try_from_value(&value).ok().map(|kind| kind.to_value()),
            auction::State::try_from_value(&value).ok().map(|state| state.to_value()),
        );
        for kind in [kinds.0, kinds.1, kinds.2].into_iter().flatten() {
            assert_eq!(kind, value);
        }
    }
}
