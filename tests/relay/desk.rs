//! How far a relay is behind, and what can be done about it.

use std::time::Duration;

use auction_ledger::{Error, TextError};
use chrono::TimeDelta;
use sea_orm::{ConnectionTrait, DbErr, Statement};

use super::{Notebook, bids, charge, ledger, open};
use crate::support::{World, on_every_backend};

pub(super) async fn count(world: &World, sql: &str) -> Result<i64, DbErr> {
    let backend = world.db().get_database_backend();
    let row = world.db().query_one_raw(Statement::from_string(backend, sql)).await?;
    row.expect("a count is a row").try_get_by_index(0)
}

on_every_backend! {
    async fn a_relay_knows_how_far_it_is_behind(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"]).await?;
        let notebook = Notebook::new();
        let relay = ledger.relay("mail", notebook.clone())?;
        let lag = relay.lag().await?;
        assert_eq!((lag.auctions, lag.commands, lag.oldest, lag.parked), (0, 0, Duration::ZERO, 0));

        let first = open(&ledger).await?;
        clock.advance(TimeDelta::seconds(10));
        open(&ledger).await?;
        bids(&ledger, first, 3).await?;
        clock.advance(TimeDelta::seconds(5));
        let lag = relay.lag().await?;
        assert_eq!((lag.auctions, lag.commands, lag.oldest), (2, 5, Duration::from_secs(15)));

        relay.deliver().await?;
        assert_eq!(relay.lag().await?.oldest, Duration::ZERO);
        // The next is a bid.
        bids(&ledger, first, 1).await?;
        clock.advance(TimeDelta::seconds(3));
        let lag = relay.lag().await?;
        assert_eq!((lag.auctions, lag.commands, lag.oldest), (1, 1, Duration::from_secs(3)));
    }

    async fn whoever_begins_late_can_leave_out_what_there_is(world: &World) {
        let (ledger, clock) = ledger(world);
        charge(&ledger, &["ann", "bob"]).await?;
        let (over, going_on) = (open(&ledger).await?, open(&ledger).await?);
        ledger.cancel(over).await?;
        bids(&ledger, going_on, 2).await?;
        let notebook = Notebook::new();
        let relay = ledger.relay("mail", notebook.clone())?;
        relay.skip_all().await?;
        assert_eq!(relay.deliver().await?.delivered, 0);
        bids(&ledger, going_on, 1).await?;
        assert_eq!(relay.deliver().await?.delivered, 3);
        assert_eq!(notebook.of(going_on), [(4, 0), (4, 1), (4, 2)]);
        // What is over is forgotten in its time, as if it had been delivered.
        clock.advance(TimeDelta::days(30) + TimeDelta::hours(2));
        assert_eq!(relay.deliver().await?.delivered, 0);
        assert_eq!(count(world, "SELECT COUNT(*) FROM al_relay WHERE auction_id > 0").await?, 1);
    }

    async fn each_name_has_its_own_way(world: &World) {
        let (ledger, _) = ledger(world);
        let auction = open(&ledger).await?;
        // As bytes: no collation makes two names one.
        let names = ["mail", "Mail", "mail ", "m\u{e4}il", &"x".repeat(64)];
        for name in names {
            let notebook = Notebook::new();
            ledger.relay(name, notebook.clone())?.deliver().await?;
            assert_eq!(notebook.of(auction), [(1, 0)], "{name:?}");
        }
        for (name, what) in [("", TextError::Empty), ("a\0b", TextError::ContainsNul)] {
            let refused = ledger.relay(name, Notebook::new());
            assert!(matches!(refused, Err(Error::InvalidText { what: "relay", error }) if error == what));
        }
        assert!(ledger.relay("x".repeat(65), Notebook::new()).is_err());
    }
}
