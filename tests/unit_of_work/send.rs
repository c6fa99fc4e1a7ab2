//! A unit of work goes wherever a host's code goes: into tasks, handlers and joins, with what it captures (H19).

use std::sync::Arc;

use auction_ledger::unit_of_work::{
    Atomic, Committed, Error, Retry, Root, UnitOfWork, capture_on_commit,
};
use axum::extract::State;
use axum::routing::post;
use futures::future::try_join_all;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, Statement, StreamTrait,
    TransactionSession, TransactionTrait,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Failure, Stored, insert, number, numbers, things};
use crate::support::on_every_backend_bare;

fn assert_send<T: Send>(value: T) -> T {
    value
}

const fn assert_send_sync<T: Send + Sync>() {}

#[test]
fn public_types_are_send_and_sync() {
    const { assert_send_sync::<UnitOfWork>() };
    const { assert_send_sync::<Error>() };
    const { assert_send_sync::<Root>() };
    const { assert_send_sync::<Retry>() };
    const { assert_send_sync::<Committed<String>>() };
}

/// Whether a type streams rows. The method of the struct, which asks for the trait, goes before that of `Unable`.
struct Streams<T>(std::marker::PhantomData<T>);

trait Unable {
    fn able(&self) -> bool {
        false
    }
}

impl<T> Unable for Streams<T> {}

impl<T: StreamTrait> Streams<T> {
    fn able(&self) -> bool {
        true
    }
}

/// H17: a live stream makes every other statement on its connection wait for ever.
#[test]
fn a_unit_of_work_has_no_stream() {
    assert!(Streams::<DatabaseConnection>(std::marker::PhantomData).able());
    assert!(!Streams::<UnitOfWork>(std::marker::PhantomData).able());
}

#[allow(unreachable_pub, reason = "the derive asks for it")]
mod author {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "author")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[sea_orm(unique)]
        pub name: String,
        #[sea_orm(has_many)]
        pub books: HasMany<super::book::Entity>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

#[allow(unreachable_pub, reason = "the derive asks for it")]
mod book {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "book")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub author_id: i32,
        #[sea_orm(unique)]
        pub title: String,
        #[sea_orm(belongs_to, from = "author_id", to = "id")]
        pub author: BelongsTo<super::author::Entity>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// A host's own service, which borrows in its closures.
struct Service {
    db: DatabaseConnection,
    step: i32,
}

impl Service {
    async fn store(
        &self,
        nums: &[i32],
        sender: tokio::sync::mpsc::UnboundedSender<i32>,
    ) -> Result<i32, Failure> {
        let done = self.db.atomic(async |uow| {
            for num in nums {
                insert(uow, num * self.step).await?;
            }
            let sum = uow
                .atomic(async |uow| {
                    uow.merged(async |uow| insert(uow, self.step).await).await?;
                    Ok::<_, Failure>(nums.iter().sum::<i32>())
                })
                .await?;
            // Moved out of the closure, into the callback.
            uow.on_commit(move || async move { sender.send(sum) });
            Ok::<_, Failure>(sum)
        });
        Ok(done.await?.into_value())
    }
}

async fn handler(State(service): State<Arc<Service>>, body: String) -> Result<String, String> {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let nums: Vec<i32> = body.split(',').map(|num| num.parse().unwrap()).collect();
    let sum = service.store(&nums, sender).await.map_err(|error| error.to_string())?;
    Ok(format!("{sum} {:?}", receiver.recv().await))
}

on_every_backend_bare! {
    async fn a_unit_of_work_can_be_spawned_with_what_it_captures_and_borrows(world: &World) {
        let db = things(world).await?.clone();
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let service = Service { db: db.clone(), step: 10 };
        let sum = tokio::spawn(async move { service.store(&[2, 3, 4], sender).await }).await??;
        assert_eq!((sum, receiver.recv().await), (9, Some(9)));
        assert_eq!(numbers(&db).await?, [10, 20, 30, 40]);
    }

    async fn retry_can_be_spawned_with_captured_clones(world: &World) {
        let db = things(world).await?.clone();
        let names = vec!["a".to_owned(), "b".to_owned()];
        let (inside, shared) = (db.clone(), Arc::new(7));
        let task = tokio::spawn(async move {
            let retry = Retry::new();
            let done = retry.atomic(inside.unit_of_work(), async move |uow| {
                insert(uow, *shared).await?;
                uow.atomic(async |uow| insert(uow, names.len() as i32).await).await?;
                Ok::<_, DbErr>(names)
            });
            done.await.map(|done| done.into_value())
        });
        assert_eq!(task.await??, ["a", "b"]);
        assert_eq!(numbers(&db).await?, [2, 7]);
    }

    async fn every_public_future_is_send(world: &World) {
        let db = things(world).await?;
        assert_send(db.on_commit(async || {})).await;
        assert_send(db.on_commit_robust(async || {})).await;
        let captured = assert_send(capture_on_commit(db, async |uow| {
            uow.on_commit(async || {});
            Ok::<_, Failure>(())
        }))
        .await?;
        assert_send(captured.run()).await;
        let done = assert_send(db.unit_of_work().name("root").atomic(async |uow| {
            assert_send(insert(uow, 1)).await?;
            assert_send(uow.atomic(async |uow| insert(uow, 2).await)).await?;
            assert_send(uow.merged(async |uow| insert(uow, 3).await)).await?;
            let refused: Result<(), Failure> = assert_send(uow.durable(async |_| Ok(()))).await;
            assert!(refused.is_err());
            let child = assert_send(uow.begin()).await?;
            assert_send(child.commit()).await?;
            assert_send(uow.begin().await?.rollback()).await?;
            Ok::<_, Failure>(())
        }))
        .await?;
        assert_eq!(done.hooks().succeeded, 0);
        assert_send(Retry::new().atomic(db.unit_of_work(), async |uow| insert(uow, 4).await))
            .await?
            .stored();
        assert_eq!(numbers(db).await?, [1, 2, 3, 4]);
    }

    async fn statements_of_one_unit_of_work_can_be_joined(world: &World) {
        let db = things(world).await?.clone();
        let task = tokio::spawn(async move {
            let done = db.atomic(async |uow| {
                try_join_all((0..10).map(|num| insert(uow, num))).await?;
                let rows =
                    Statement::from_string(uow.get_database_backend(), "SELECT num FROM thing");
                let (one, all) =
                    tokio::try_join!(uow.query_one_raw(rows.clone()), uow.query_all_raw(rows))?;
                assert!(one.is_some());
                Ok::<_, DbErr>(all.len())
            });
            done.await.map(|done| done.into_value())
        });
        assert_eq!(task.await??, 10);
    }

    async fn an_axum_handler_can_run_one(world: &World) {
        let db = things(world).await?.clone();
        let service = Arc::new(Service { db: db.clone(), step: 100 });
        let router = axum::Router::new().route("/", post(handler)).with_state(service);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        for (body, expected) in [("2,3", "5 Some(5)"), ("7,7", "UNIQUE")] {
            let mut client = tokio::net::TcpStream::connect(address).await?;
            let request = format!(
                "POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            client.write_all(request.as_bytes()).await?;
            let mut response = String::new();
            client.read_to_string(&mut response).await?;
            let duplicate = response.to_lowercase().contains("duplicate");
            assert!(
                response.contains(expected) || (expected == "UNIQUE" && duplicate),
                "{response}"
            );
        }
        server.abort();
        assert_eq!(numbers(&db).await?, [100, 200, 300]);
    }

    /// SeaORM 2's nested models: one call inserts the author and the books, in a nested `begin` of its own.
    async fn related_models_are_stored_by_one_call_and_rolled_back_together(world: &World) {
        let db = world.db();
        db.get_schema_builder().register(author::Entity).register(book::Entity).apply(db).await?;
        let write = |name: &'static str, titles: [&'static str; 2]| {
            let [first, second] = titles.map(|title| book::ActiveModel::builder().set_title(title));
            author::ActiveModel::builder().set_name(name).add_book(first).add_book(second)
        };
        let done = db.atomic(async |uow| {
            let ann = write("ann", ["one", "two"]).insert(uow).await?;
            assert_eq!(ann.books.len(), 2);
            // The second book of bob is ann's: bob and his first book go with it, ann stays.
            let bob = write("bob", ["three", "two"]).insert(uow).await;
            assert!(bob.is_err());
            Ok::<_, DbErr>(uow.refusal().is_none())
        });
        // `insert` began and dropped, or rolled back, a child of its own: this block is as it was.
        assert!(*done.await?, "the nested begin of ActiveModelEx healed");
        assert_eq!(number(db, "SELECT count(*) FROM author").await?, 1);
        assert_eq!(number(db, "SELECT count(*) FROM book").await?, 2);
        let failed = db.atomic(async |uow| {
            write("carl", ["five", "six"]).save(uow).await?;
            assert_eq!(author::Entity::find().all(uow).await?.len(), 2);
            Err::<(), _>(Failure::Failed)
        });
        assert!(matches!(failed.await, Err(Failure::Failed)));
        assert_eq!(number(db, "SELECT count(*) FROM book").await?, 2);
    }
}
