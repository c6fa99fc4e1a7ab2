//! Nobody ends a transaction behind the back of the unit of work: control as text is refused (H39).

use auction_ledger::unit_of_work::{Atomic, Error};
use sea_orm::{ConnectionTrait, DbErr};

use super::{Failure, NOTHING, Stored, insert, numbers, on_mariadb, on_postgres, things};
use crate::support::{Database, on_every_backend_bare};

on_every_backend_bare! {
    /// H39: after a raw ROLLBACK a probe was `Ok`, the commit was `Ok`, and nothing was stored.
    async fn transaction_control_is_refused_and_breaks_nothing(world: &World) {
        let db = things(world).await?;
        let mut texts = vec![
            "COMMIT",
            "commit;",
            "ROLLBACK",
            "-- a comment\nROLLBACK",
            "/* a */ BEGIN",
            "SAVEPOINT a",
            "RELEASE SAVEPOINT a",
            "ROLLBACK TO SAVEPOINT a",
            "INSERT INTO thing VALUES (9); COMMIT",
            "END",
            "START TRANSACTION",
        ];
        if world.database() == Database::Mariadb {
            texts.extend([
                "CREATE TABLE other (n INT)",
                "DROP TABLE thing",
                "ALTER TABLE thing ADD n INT",
                "TRUNCATE thing",
                "SET autocommit = 1",
                "LOCK TABLES thing WRITE",
                "/*! COMMIT */",
                "BEGIN NOT ATOMIC COMMIT; END",
                "XA START 'a'",
                "EXECUTE IMMEDIATE 'COMMIT'",
                "SET SESSION TRANSACTION READ ONLY",
                "# a\nCOMMIT AND CHAIN",
                "IF 1 THEN COMMIT; END IF",
            ]);
        }
        let done = db.atomic(async |uow| {
            insert(uow, 1).await?;
            for text in &texts {
                let refused = uow.execute_unprepared(text).await.unwrap_err();
                assert!(
                    matches!(Error::of(&refused), Some(Error::TransactionControl { .. })),
                    "{text}: {refused:?}"
                );
                let prepared = sea_orm::Statement::from_string(uow.get_database_backend(), *text);
                let refused = uow.query_all_raw(prepared.clone()).await.unwrap_err();
                assert!(
                    matches!(Error::of(&refused), Some(Error::TransactionControl { .. })),
                    "{text}: {refused:?}"
                );
                assert!(
                    uow.execute_raw(prepared.clone()).await.is_err()
                        && uow.query_one_raw(prepared).await.is_err()
                );
                assert!(uow.refusal().is_none(), "{text}");
            }
            uow.atomic(async |uow| {
                assert!(uow.execute_unprepared("COMMIT").await.is_err());
                insert(uow, 2).await
            })
            .await?;
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
        assert_eq!(numbers(db).await?, [1, 2]);
    }
}

on_postgres! {
    /// BEGIN is a name like any other there: it must not be taken for the beginning of a body that hides a COMMIT.
    async fn a_routine_with_something_called_begin_hides_no_commit(world: &World) {
        let db = things(world).await?;
        let text =
            "CREATE FUNCTION f(begin integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'; COMMIT";
        let failed = db.atomic(async |uow| {
            insert(uow, 1).await?;
            let refused = uow.execute_unprepared(text).await.unwrap_err();
            assert!(
                matches!(Error::of(&refused), Some(Error::TransactionControl { .. })),
                "{refused:?}"
            );
            Err::<(), _>(Failure::Failed)
        });
        assert!(matches!(failed.await, Err(Failure::Failed)));
        assert_eq!(numbers(db).await?, NOTHING);
    }
}

on_mariadb! {
    /// Found by running each against the server between an INSERT and a ROLLBACK: the row was stored after all of them.
    async fn what_commits_implicitly_is_refused(world: &World) {
        let db = things(world).await?;
        let texts = [
            "UNINSTALL PLUGIN no_such_plugin",
            "UNINSTALL SONAME 'no_such_plugin'",
            "SET PASSWORD FOR nobody@localhost = PASSWORD('x')",
            "SET DEFAULT ROLE NONE",
            "SET STATEMENT max_statement_time = 9 FOR COMMIT",
            "SET STATEMENT max_statement_time = 9 FOR DROP TABLE IF EXISTS no_such_table",
            "REPEAT COMMIT; UNTIL 1 END REPEAT",
            "BACKUP UNLOCK",
            "CREATE TEMPORARY SEQUENCE temporary_sequence",
        ];
        let mut let_through = Vec::new();
        for text in texts {
            let failed = db.atomic(async |uow| {
                insert(uow, 1).await?;
                let refused = uow.execute_unprepared(text).await;
                let refused = matches!(
                    refused.as_ref().err().and_then(Error::of),
                    Some(Error::TransactionControl { .. })
                );
                Err::<(), _>(if refused {
                    Failure::Failed
                } else {
                    DbErr::Custom(text.to_owned()).into()
                })
            });
            let refused = matches!(failed.await, Err(Failure::Failed));
            let stored = !numbers(db).await?.is_empty();
            if !refused || stored {
                let_through.push(format!("{text} (stored: {stored})"));
            }
            super::empty(db).await?;
        }
        assert!(let_through.is_empty(), "{let_through:#?}");
    }
}
