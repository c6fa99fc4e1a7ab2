//! What the tests stand on: a world of its own for every test on every database.
//!
//! ```ignore
//! use crate::support::{World, on_every_backend};
//!
//! on_every_backend! {
//!     async fn outbid_releases_the_hold(world: &World) {
//!         let ledger = AuctionLedger::new(world.db().clone());
//!         ledger.place_bid(auction, "ann", won(1)).await?;
//!     }
//! }
//! ```

// The helpers are older than the tests that use them, which come one feature at a time.
#![allow(dead_code, unused_imports, unused_macros)]

mod books;
mod database;
mod gate;
pub(crate) mod link;
mod logged;
mod race;
pub(crate) mod told;
mod vectors;
mod world;

pub(crate) use books::Books;
pub(crate) use database::Database;
pub(crate) use logged::logged;
pub(crate) use race::race;
pub(crate) use vectors::{report, vectors};
pub(crate) use world::{Schema, World, run};

/// What a test's body returns; any error fails the test.
pub(crate) type TestResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// The number of rounds of a long test: `AUCTION_LEDGER_SCALE` per cent of the usual, at least one.
pub(crate) fn scale(usual: usize) -> usize {
    (usual * scale_percent() / 100).max(1)
}

fn scale_percent() -> usize {
    match std::env::var("AUCTION_LEDGER_SCALE") {
        Ok(percent) => percent.parse().unwrap_or_else(|_| {
            panic!("AUCTION_LEDGER_SCALE is a whole percentage, not {percent:?}")
        }),
        Err(_) => 100,
    }
}

/// Runs each function on every database, in a fresh one that has the tables of the crate.
///
/// `async fn name(world: &World) { … }` becomes the tests `name::sqlite`, `name::postgres` and `name::mariadb`.
/// In the body `?` works on every error; it may also be written with `-> TestResult` and an `Ok(())`.
/// Attributes are given to the function and to the module of its tests.
macro_rules! on_every_backend {
    ($($tests:tt)*) => { $crate::support::tests_with_schema! { Migrated $($tests)* } };
}

/// The same in an empty database.
macro_rules! on_every_backend_bare {
    ($($tests:tt)*) => { $crate::support::tests_with_schema! { Bare $($tests)* } };
}

macro_rules! tests_with_schema {
    ($schema:ident $(
        $(#[$attribute:meta])*
        async fn $name:ident($world:ident: &World $(,)?) $(-> $result:ty)? $body:block
    )*) => { $(
        $crate::support::test_body! { [$(#[$attribute])*] $name $world $body $($result)? }

        $(#[$attribute])*
        mod $name {
            use $crate::support::{Database, Schema, run};

            const NAME: &str = module_path!();

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                run(Database::Sqlite, Schema::$schema, NAME, async |world| super::$name(world).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs a server: run scripts/test"]
            async fn postgres() {
                run(Database::Postgres, Schema::$schema, NAME, async |world| super::$name(world).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs a server: run scripts/test"]
            async fn mariadb() {
                run(Database::Mariadb, Schema::$schema, NAME, async |world| super::$name(world).await).await;
            }
        }
    )* };
}

/// Runs each function on SQLite, in a fresh database that has the tables of the crate: `name` becomes the test `name::sqlite`.
macro_rules! on_sqlite {
    ($($tests:tt)*) => { $crate::support::tests_on_sqlite! { Migrated $($tests)* } };
}

/// The same in an empty database.
macro_rules! on_sqlite_bare {
    ($($tests:tt)*) => { $crate::support::tests_on_sqlite! { Bare $($tests)* } };
}

macro_rules! tests_on_sqlite {
    ($schema:ident $(
        $(#[$attribute:meta])*
        async fn $name:ident($world:ident: &World $(,)?) $body:block
    )*) => { $(
        $crate::support::test_body! { [$(#[$attribute])*] $name $world $body }

        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                use $crate::support::{Database, Schema, run};
                run(Database::Sqlite, Schema::$schema, module_path!(), async |world| super::$name(world).await).await;
            }
        }
    )* };
}

macro_rules! test_body {
    ([$(#[$attribute:meta])*] $name:ident $world:ident $body:block) => {
        $(#[$attribute])*
        async fn $name($world: &$crate::support::World) -> $crate::support::TestResult {
            let () = $body;
            #[allow(unreachable_code)]
            Ok(())
        }
    };
    ([$(#[$attribute:meta])*] $name:ident $world:ident $body:block $result:ty) => {
        $(#[$attribute])*
        async fn $name($world: &$crate::support::World) -> $result $body
    };
}

pub(crate) use {
    on_every_backend, on_every_backend_bare, on_sqlite, on_sqlite_bare, test_body, tests_on_sqlite,
    tests_with_schema,
};
