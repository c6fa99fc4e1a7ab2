//! What distributed databases answer that speak the protocol of PostgreSQL or MySQL (H30, H31): the codes of their
//! documentation, or seen on Galera, raised here by a server that stands in for them. `docs/scaling.md` says which is which.

use auction_ledger::unit_of_work::{Atomic, Error, ErrorKind, Retry};
use sea_orm::{ConnectionTrait, DbErr};

use super::{Failure, NOTHING, Stored, insert, numbers, on_mariadb, on_postgres, things};

/// Has every COMMIT after an INSERT of an odd number fail with this SQLSTATE.
async fn refuse_odd_commits(db: &impl ConnectionTrait, code: &str) -> Result<(), DbErr> {
    db.execute_unprepared(&format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$",
    ))
    .await?;
    db.execute_unprepared(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON thing DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW WHEN (NEW.num % 2 = 1) EXECUTE FUNCTION refuse()",
    )
    .await?;
    Ok(())
}

on_postgres! {
    /// 40001 may come at any statement, COMMIT included: CockroachDB, YugabyteDB, Aurora DSQL, Spanner.
    async fn a_commit_that_could_not_be_ordered_is_run_again(world: &World) {
        let db = things(world).await?;
        refuse_odd_commits(db, "40001").await?;
        let retry = Retry::new();
        let done = retry.atomic(db.unit_of_work(), async |uow| {
            insert(uow, i32::try_from(uow.attempt()).unwrap()).await?;
            Ok::<_, DbErr>(uow.attempt())
        });
        assert_eq!(*done.await?, 2);
        assert_eq!(numbers(db).await?, [2]);
    }

    /// 40003 is CockroachDB's word for "nobody knows": to call it a refusal, and to try again, would pay twice.
    async fn a_commit_of_unknown_completion_is_unknown_and_not_run_again(world: &World) {
        let db = things(world).await?;
        refuse_odd_commits(db, "40003").await?;
        let retry = Retry::new();
        let failed = retry.atomic(db.unit_of_work(), async |uow| {
            insert(uow, i32::try_from(uow.attempt()).unwrap()).await.map_err(Failure::from)
        });
        let failed = failed.await.unwrap_err();
        assert!(matches!(failed.refusal(), Error::CommitUnknown { .. }), "{failed:?}");
        assert!(!failed.refusal().is_retryable());
        assert_eq!(numbers(db).await?, NOTHING, "as it happens");
    }
}

on_mariadb! {
    async fn conflicts_of_other_servers_are_told_and_run_again(world: &World) {
        let db = things(world).await?;
        let retry = Retry::new();
        // MySQL's group replication; TiDB.
        for number in [3101, 8002, 8005, 8022, 8028, 9007] {
            let signal = format!("SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}");
            let error = db.execute_unprepared(&signal).await.unwrap_err();
            assert_eq!(ErrorKind::of(&error), ErrorKind::Serialization, "{number}");
            let done = retry.atomic(db.unit_of_work(), async |uow| {
                if uow.attempt() == 1 {
                    uow.execute_unprepared(&signal).await?;
                }
                Ok::<_, DbErr>(uow.attempt())
            });
            assert_eq!(*done.await?, 2, "{number}");
        }
    }

    /// Galera's answer to everything while a node has lost the others, or has not caught up with them.
    async fn a_node_that_is_not_ready_is_as_good_as_lost(world: &World) {
        let db = things(world).await?;
        let signal = "SIGNAL SQLSTATE '08S01' SET MYSQL_ERRNO = 1047";
        let failed = db.atomic(async |uow| {
            insert(uow, 1).await?;
            uow.execute_unprepared(signal).await.map(drop).map_err(Failure::from)
        });
        assert_eq!(failed.await.unwrap_err().kind(), Some(ErrorKind::ConnectionLost));
        assert_eq!(numbers(db).await?, NOTHING);
        db.atomic(async |uow| insert(uow, 2).await).await?.stored();
    }
}
