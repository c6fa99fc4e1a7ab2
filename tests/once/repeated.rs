//! What an error tells the host: a refusal, to be sent again, known not to have happened.

use auction_ledger::unit_of_work::{ErrorKind, Retry};
use auction_ledger::{AuctionLedger, Error};

use super::{Ask, EVERY, end, house};
use crate::support::link::{Cut, Link};
use crate::support::{Books, Database, on_every_backend};

on_every_backend! {
    /// Nothing is stored before COMMIT, so a verb whose connection is lost there begins again by itself.
    async fn a_connection_lost_before_the_commit_is_no_error_to_the_caller(world: &World) {
        if world.database() == Database::Sqlite {
            return Ok(());
        }
        for ask in EVERY {
            let (_, clock, auction) = house(world).await?;
            if ask.comes_after_the_end() {
                clock.set(end());
            }
            let link = Link::to(world).await;
            let ledger = AuctionLedger::new(world.database().connect(link.url(), 2).await).clock(clock);
            link.cut_at("al_wallet", Cut::BeforeReply);
            ask.send(&ledger, auction, None).await?;
            assert_eq!(link.cuts(), 1, "{ask:?}");
            Books::read(world.db()).await?.check();
        }
    }

    async fn a_link_that_is_cut_again_and_again_is_a_retryable_error(world: &World) {
        if world.database() == Database::Sqlite {
            return Ok(());
        }
        let (_, clock, auction) = house(world).await?;
        let link = Link::to(world).await;
        let db = world.database().connect(link.url(), 2).await;
        let ledger = AuctionLedger::new(db).clock(clock).retry(Retry::new().attempts(3));
        link.cut_when(|request| request.contains("al_wallet").then_some(Cut::BeforeReply));
        let before = Books::read(world.db()).await?;
        let error = Ask::Bid(100).send(&ledger, auction, None).await.unwrap_err();
        assert_eq!(link.cuts(), 3, "three attempts, and no more");
        assert_eq!(error.kind(), Some(ErrorKind::ConnectionLost));
        assert!(error.is_retryable() && error.is_known_not_stored() && !error.is_rejection());
        assert_eq!(Books::read(world.db()).await?, before);
    }

    async fn a_refusal_is_known_not_to_be_stored_and_asking_again_does_not_help(world: &World) {
        let (ledger, _, auction) = house(world).await?;
        let refused = ledger.place_bid(auction, "ann", 5.into()).await.unwrap_err();
        assert!(refused.is_rejection() && refused.is_known_not_stored() && !refused.is_retryable());
        let wrong = ledger.place_bid(auction, "", 5.into()).await.unwrap_err();
        assert!(!wrong.is_rejection() && wrong.is_known_not_stored() && !wrong.is_retryable());
        assert!(matches!(wrong, Error::InvalidUser(_)));
    }
}
