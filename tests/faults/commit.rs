//! COMMIT is lost before it arrives, or its reply is lost, or it is still running when its connection is gone.

use sea_orm::ConnectionTrait;

use super::boundaries::{House, VERBS, Verb};
use super::load::{Dice, Load, Market};
use super::log::times_stored;
use super::{Log, Result, Wish, audit, close_the_house, on_postgres, on_servers};
use crate::support::link::{Cut, Link, says};
use crate::support::scale;

/// Whether the database can be reached again after the cut, so that whoever wants to can look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afterwards {
    Reachable,
    Unreachable,
}

/// Sends a verb whose COMMIT is cut off; whether it answered `Ok`, and how often it is stored.
async fn cut_at_commit(
    house: &House,
    verb: Verb,
    cut: Cut,
    afterwards: Afterwards,
) -> Result<(bool, usize)> {
    let wish = house.wish(verb).await?;
    cut_wish_at_commit(house, (verb, wish), cut, afterwards).await
}

async fn cut_wish_at_commit(
    house: &House,
    (verb, wish): (Verb, Wish),
    cut: Cut,
    afterwards: Afterwards,
) -> Result<(bool, usize)> {
    let link = Link::to_url(&house.url).await;
    let pool = house.database.connect(link.url(), 2).await;
    link.cut_at("COMMIT", cut);
    if afterwards == Afterwards::Unreachable {
        link.stay_down_when_cut();
    }
    let mut note = String::new();
    let ledger = house.behind(&pool);
    let outcome = house.log.record(async |command| {
        command.clone_into(&mut note);
        wish.carry_out(&ledger, command, None).await
    });
    let outcome = outcome.await;
    assert_eq!(link.cuts(), 1, "{verb:?}: {outcome:?}");
    link.mend();
    pool.close().await?;
    let books = house.audit().await?;
    Ok((outcome.is_ok(), times_stored(&books, &note)))
}

on_servers! {
    async fn a_commit_that_never_arrived_is_stored_only_if_the_verb_says_so(world: &World) {
        let house = House::new(world).await?;
        for afterwards in [Afterwards::Reachable, Afterwards::Unreachable] {
            for verb in VERBS {
                let (ok, stored) =
                    cut_at_commit(&house, verb, Cut::BeforeRequest, afterwards).await?;
                assert_eq!(stored, usize::from(ok), "{verb:?}, {afterwards:?}");
                assert!(!ok || afterwards == Afterwards::Reachable, "{verb:?} cannot know");
            }
        }
        house.close().await?;
    }

    async fn a_commit_whose_answer_is_lost_is_stored_once_and_never_called_a_failure(world: &World) {
        let house = House::new(world).await?;
        for cut in [Cut::AfterRequest, Cut::BeforeReply] {
            for afterwards in [Afterwards::Reachable, Afterwards::Unreachable] {
                for verb in VERBS {
                    let (ok, stored) = cut_at_commit(&house, verb, cut, afterwards).await?;
                    assert_eq!(stored, 1, "{verb:?}, {cut:?}, {afterwards:?}");
                    assert!(!ok || afterwards == Afterwards::Reachable, "{verb:?} cannot know");
                }
            }
        }
        house.close().await?;
    }

    async fn bidders_whose_link_breaks_now_and_then_lose_and_double_nothing(world: &World) {
        let mut dice = Dice::new();
        let (log, market) = (Log::new("storm"), Market::default());
        let link = Link::to(world).await;
        let pool = world.database().connect(link.url(), 4).await;
        let ledger = auction_ledger::AuctionLedger::new(pool.clone());
        for round in 0..scale(3) {
            let mut weather = Dice::seeded(dice.seed());
            link.cut_when(move |request| {
                let odds = if says(request, "COMMIT") { 6 } else { 60 };
                (weather.roll(odds) == 0).then(|| match weather.roll(3) {
                    0 => Cut::BeforeRequest,
                    1 => Cut::AfterRequest,
                    _ => Cut::BeforeReply,
                })
            });
            let load = Load::start(4, &ledger, &log, &market, &mut dice);
            log.until_acknowledged(log.acknowledged() + 100).await;
            load.stop().await;
            link.mend();
            let books = audit(world.database(), world.db(), &log).await?;
            println!("round {round}: {} cuts, {:?}", link.cuts(), log.compare(&books));
        }
        assert!(link.cuts() > 10, "the link was cut {} times", link.cuts());
        close_the_house(world.database(), world.db(), &ledger, &log).await?;
        pool.close().await?;
    }
}

/// Until it is dropped, every COMMIT after an insert into these tables takes 300 ms.
const SLOW_COMMIT: &str = "
    CREATE OR REPLACE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON al_entry DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow_commit();
    CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON al_act DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow_commit();";

const FAST_COMMIT: &str =
    "DROP TRIGGER slow_commit ON al_entry; DROP TRIGGER slow_commit ON al_act;";

on_postgres! {
    /// Whoever looks at once finds nothing yet, and must not take that for an answer.
    async fn a_commit_that_is_still_running_is_not_taken_for_lost(world: &World) {
        let house = House::new(world).await?;
        run_slow_commits(&house, SLOW_COMMIT, FAST_COMMIT).await?;
    }
}

/// The same on a MariaDB of its own: what slows its commits down is a setting of the whole server.
mod a_commit_that_is_still_running_is_not_taken_for_lost_either {
    use super::{House, run_slow_commits};
    use crate::faults::{Result, server::Server};
    use crate::support::Database;

    const SLOW: &str =
        "SET GLOBAL binlog_commit_wait_count = 100, GLOBAL binlog_commit_wait_usec = 300000";
    const FAST: &str = "SET GLOBAL binlog_commit_wait_count = 0";

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs a server: run scripts/test"]
    async fn mariadb() -> Result {
        let server = Server::start(Database::Mariadb, "--log-bin=binlog");
        let (url, db) = server.database().await?;
        let house = House::on(Database::Mariadb, &url, &db).await?;
        run_slow_commits(&house, SLOW, FAST).await
    }
}

async fn run_slow_commits(house: &House, slow: &str, fast: &str) -> Result {
    for verb in VERBS {
        let after = Afterwards::Reachable;
        let wish = house.wish(verb).await?;
        house.db.execute_unprepared(slow).await?;
        let (_, stored) = cut_wish_at_commit(house, (verb, wish), Cut::AfterRequest, after).await?;
        assert_eq!(stored, 1, "{verb:?}");
        house.db.execute_unprepared(fast).await?;
    }
    house.close().await
}
