//! What there is before the server starts: an auction that goes up by cents, bidders with money, and the sessions of everybody.

use std::time::Duration;

use auction_ledger::{AuctionId, AuctionLedger, AuctionTerms, Currency};
use auction_ledger_migration::{Migrator, MigratorTrait};
use hmac::{Hmac, KeyInit, Mac};
use rust_decimal::Decimal;
use sha2::Sha256;

use crate::listeners::Heard;
use crate::process::SECRET;

/// With a bid each half second from each of them, a bid is answered before its bidder's next one is due.
pub(crate) const BIDDERS: usize = 100;
const DAY: Duration = Duration::from_secs(24 * 3_600);

pub(crate) fn bidder(number: usize) -> String {
    format!("bidder-{number}")
}

/// The cookie of a user's session, which the server believes, for it is signed with its secret. It can sign in demo users only.
pub(crate) fn cookie(user: &str) -> String {
    // It ends in the year 2100.
    let text = format!("{}.4102444800.00", hex::encode(user));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("session\0{text}").as_bytes());
    format!("live_auction={text}.{}", hex::encode(mac.finalize().into_bytes()))
}

/// The database, as another process sees it.
pub(crate) struct House {
    ledger: AuctionLedger,
    pub(crate) auction: AuctionId,
}

impl House {
    pub(crate) async fn furnish(database: &str) -> Self {
        let db = sea_orm::Database::connect(format!("{database}?mode=rwc")).await.unwrap();
        Migrator::up(&db, None).await.unwrap();
        let ledger = AuctionLedger::new(db);
        for number in 0..BIDDERS {
            ledger.deposit(bidder(number), Currency::EUR, 10_000.into()).await.unwrap();
        }
        let cent = Decimal::new(1, 2);
        let terms = AuctionTerms::english(Currency::EUR, cent, cent).ends_in(DAY);
        let auction = ledger.open_auction("sam", "A long story", terms).await.unwrap().id;
        Self { ledger, auction }
    }

    /// The number of the auction's last command.
    pub(crate) async fn last(&self) -> i64 {
        self.ledger.auction(self.auction).await.unwrap().seq
    }

    /// Asserts that a page shows at the end what its user would read from the ledger.
    pub(crate) async fn agrees(&self, page: &Heard) {
        let view = self.ledger.auction_for(self.auction, &*page.user).await.unwrap();
        let wallet = self.ledger.wallet(&*page.user, Currency::EUR).await.unwrap();
        let euros = |amount: Decimal| format!("{amount} EUR");
        let leader = view.auction.leader.unwrap();
        let standing = match view.leads {
            true => "You lead.".to_owned(),
            false => format!("{leader} leads."),
        };
        let texts = [
            ("price", euros(view.auction.price.unwrap())),
            ("standing", standing),
            ("minimum", euros(view.next_minimum.unwrap())),
            ("available", euros(wallet.available)),
            ("held", euros(wallet.held)),
            ("phase", "running".to_owned()),
        ];
        for (name, text) in texts {
            assert_eq!(page.shown[name], text, "{name}, as {} is shown it", page.user);
        }
        assert_eq!(page.shown["leads"], view.leads, "{}", page.user);
    }

    /// Asserts that the books are right.
    pub(crate) async fn is_balanced(&self) {
        let report = self.ledger.audit().await.unwrap();
        assert!(report.is_clean(), "{report:?}");
    }
}
