//! How answers with secrets are kept under their keys: in full, for they go to whoever was answered then.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Bid, Cancellation, Outbid, Purchase};
use crate::id::{AuctionId, OperationId, UserId};
use crate::money::Currency;
use crate::secret::Secret;

/// A [`Bid`] with its maximum.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Bid")]
pub(super) struct BidInFull {
    auction: AuctionId,
    seq: i64,
    operation: OperationId,
    user: UserId,
    #[serde(rename = "amount", with = "revealed")]
    maximum: Secret,
    #[serde(with = "rust_decimal::serde::str")]
    price: Decimal,
    currency: Currency,
    /// Before there was automatic bidding, every bid led.
    #[serde(default = "yes")]
    leads: bool,
    bought: bool,
    #[serde(with = "optional_outbid")]
    outbid: Option<Outbid>,
    ends_at: DateTime<Utc>,
    at: DateTime<Utc>,
}

/// A [`Purchase`] with what came back to whoever led.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Purchase")]
pub(super) struct PurchaseInFull {
    auction: AuctionId,
    seq: i64,
    operation: OperationId,
    buyer: UserId,
    seller: UserId,
    #[serde(with = "rust_decimal::serde::str")]
    price: Decimal,
    #[serde(default, with = "rust_decimal::serde::str")]
    premium: Decimal,
    currency: Currency,
    #[serde(with = "optional_outbid")]
    outbid: Option<Outbid>,
    at: DateTime<Utc>,
}

/// A [`Cancellation`] with what came back to whoever led.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Cancellation")]
pub(super) struct CancellationInFull {
    auction: AuctionId,
    seq: i64,
    operation: OperationId,
    currency: Currency,
    #[serde(with = "optional_outbid")]
    released: Option<Outbid>,
    at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Outbid")]
struct OutbidInFull {
    user: UserId,
    #[serde(with = "revealed")]
    released: Secret,
}

mod optional_outbid {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Outbid, OutbidInFull};

    #[derive(Deserialize)]
    struct One(#[serde(with = "OutbidInFull")] Outbid);

    struct Borrowed<'a>(&'a Outbid);

    impl Serialize for Borrowed<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            OutbidInFull::serialize(self.0, serializer)
        }
    }

    pub(super) fn serialize<S: Serializer>(
        outbid: &Option<Outbid>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        outbid.as_ref().map(Borrowed).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Outbid>, D::Error> {
        Ok(Option::<One>::deserialize(deserializer)?.map(|one| one.0))
    }
}

fn yes() -> bool {
    true
}

mod revealed {
    use rust_decimal::Decimal;
    use serde::{Deserializer, Serializer};

    use crate::secret::Secret;

    pub(super) fn serialize<S: Serializer>(
        secret: &Secret,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        rust_decimal::serde::str::serialize(&secret.reveal(), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret, D::Error> {
        let amount: Decimal = rust_decimal::serde::str::deserialize(deserializer)?;
        Ok(Secret::new(amount))
    }
}
