//! What a unit of work sends: nothing that was not asked for (H34). Counted on the wire, pings left out.

use auction_ledger::unit_of_work::Atomic;
use sea_orm::DbErr;

use super::{Failure, Stored, insert, on_servers, pool, things};
use crate::support::Database;
use crate::support::link::Link;

/// The statement words that a request carries, in the protocol's frame.
fn words(request: &str) -> String {
    // MariaDB's SET TRANSACTION is prepared by SeaORM, and then executed by its number: COM_STMT_EXECUTE.
    if request.as_bytes().get(4) == Some(&0x17) {
        return "SET TRANSACTION".to_owned();
    }
    let known = [
        "SET TRANSACTION",
        "BEGIN",
        "RELEASE SAVEPOINT",
        "ROLLBACK TO SAVEPOINT",
        "SAVEPOINT",
        "INSERT",
        "COMMIT",
        "ROLLBACK",
        "SET LOCAL",
        "SET SESSION",
        "SELECT",
    ];
    let word = known.into_iter().find(|word| request.contains(word));
    word.map_or_else(|| format!("{request:?}"), str::to_owned)
}

on_servers! {
    async fn a_unit_of_work_sends_begin_its_statements_and_commit(world: &World) {
        things(world).await?;
        let link = Link::to(world).await;
        let pool = pool(link.url(), 1, |_| {}).await;
        let begin: &[&str] = match world.database() {
            // READ COMMITTED must be asked for there (H24); prepared once for each connection.
            Database::Mariadb => &["SET TRANSACTION", "BEGIN"],
            _ => &["BEGIN"],
        };
        // Whatever is prepared once is prepared here.
        pool.atomic(async |uow| insert(uow, 0).await).await?.stored();
        let sent = |link: &Link| -> Vec<String> {
            link.requests().iter().map(|request| words(request)).collect()
        };
        let expect = |statements: &[&str]| -> Vec<String> {
            begin.iter().chain(statements).map(|word| (*word).to_owned()).collect()
        };
        sent(&link);

        pool.atomic(async |uow| insert(uow, 1).await).await?.stored();
        assert_eq!(sent(&link), expect(&["INSERT", "COMMIT"]));

        let failed = pool.atomic(async |uow| {
            insert(uow, 2).await?;
            Err::<(), _>(Failure::Failed)
        });
        assert!(failed.await.is_err());
        assert_eq!(sent(&link), expect(&["INSERT", "ROLLBACK"]));

        // Merged blocks and callbacks are free.
        let done = pool.atomic(async |uow| {
            uow.before_commit(async |_| {});
            uow.after_rollback(async |_| {});
            uow.on_commit(async || {});
            uow.merged(async |uow| uow.merged(async |uow| insert(uow, 3).await).await).await
        });
        done.await?.stored();
        assert_eq!(sent(&link), expect(&["INSERT", "COMMIT"]));

        // A savepoint costs two, and one more when it fails.
        let done = pool.atomic(async |uow| {
            uow.atomic(async |uow| insert(uow, 4).await).await?;
            let failed: Result<(), Failure> = uow.atomic(async |_| Err(Failure::Failed)).await;
            assert!(failed.is_err());
            Ok::<_, DbErr>(())
        });
        done.await?.stored();
        assert_eq!(
            sent(&link),
            expect(&[
                "SAVEPOINT",
                "INSERT",
                "RELEASE SAVEPOINT",
                "SAVEPOINT",
                "ROLLBACK TO SAVEPOINT",
                "RELEASE SAVEPOINT",
                "COMMIT"
            ])
        );

        // A refused statement is not sent.
        let failed = pool.atomic(async |uow| {
            assert!(insert(uow, 4).await.is_err());
            for num in 10..20 {
                assert!(insert(uow, num).await.is_err());
            }
            assert!(uow.atomic(async |uow| insert(uow, 20).await).await.is_err());
            Ok::<_, Failure>(())
        });
        assert!(failed.await.is_err());
        assert_eq!(sent(&link), expect(&["INSERT", "ROLLBACK"]));
        pool.close().await?;
    }
}
