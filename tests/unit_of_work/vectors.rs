//! 500 random programs of nested blocks, whose traces were recorded from Django.

use std::sync::{Arc, Mutex};

use auction_ledger::unit_of_work::{Atomic, Error, ErrorKind, HookReport, UnitOfWork};
use futures::FutureExt;
use futures::future::BoxFuture;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use serde_json::{Value, json};

use crate::support::{on_every_backend_bare, report, vectors};

on_every_backend_bare! {
    async fn django_atomic(world: &World) {
        let db = world.db();
        db.execute_unprepared("CREATE TABLE thing (num INTEGER UNIQUE)").await?;
        let cases = vectors("django_atomic");
        let mut agreed = 0;
        for case in &cases {
            db.execute_unprepared("DELETE FROM thing").await?;
            let trace = Trace::default();
            let ops = case["program"].as_array().unwrap();
            if let Err(failure) = outside(db, ops, &trace).await {
                trace.push(json!(["raised", failure.to_string()]));
            }
            let rows: Value = numbers(db).await?.into();
            let got = Value::from(trace.0.lock().unwrap().clone());
            if (&got, &rows) == (&case["trace"], &case["rows"]) {
                agreed += 1;
            } else {
                println!("seed {}: program {}", case["seed"], case["program"]);
                println!("  expected {} and rows {}", case["trace"], case["rows"]);
                println!("  came     {got} and rows {rows}");
            }
        }
        report("django_atomic", world.database(), agreed, cases.len());
        assert_eq!(agreed, cases.len());
    }
}

#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<Value>>>);

impl Trace {
    fn push(&self, step: Value) {
        self.0.lock().unwrap().push(step);
    }
}

/// The errors that a program can meet, under the names that the vectors use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Failure {
    #[error("Failed")]
    Failed,
    #[error("UniqueViolation")]
    UniqueViolation,
    #[error("Broken")]
    Broken,
    #[error("NotDurable")]
    NotDurable,
    #[error("RolledBack")]
    RolledBack,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Broken { .. } | Error::RollbackOnly => Self::Broken,
            Error::NotDurable => Self::NotDurable,
            Error::RolledBack { .. } => Self::RolledBack,
            other => panic!("no program meets {other:?}"),
        }
    }
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        match Error::of(&error) {
            Some(refusal) => refusal.clone().into(),
            None => {
                assert_eq!(ErrorKind::of(&error), ErrorKind::UniqueViolation, "{error}");
                Self::UniqueViolation
            }
        }
    }
}

async fn numbers(connection: &impl ConnectionTrait) -> Result<Vec<i32>, DbErr> {
    let query = Statement::from_string(
        connection.get_database_backend(),
        "SELECT num FROM thing ORDER BY num",
    );
    let rows = connection.query_all_raw(query).await?;
    rows.iter().map(|row| row.try_get("", "num")).collect()
}

async fn insert(connection: &impl ConnectionTrait, op: &Value) -> Result<(), Failure> {
    connection.execute_unprepared(&format!("INSERT INTO thing VALUES ({})", op["num"])).await?;
    Ok(())
}

/// Where Django leaves a block without an exception, ours returns `RolledBack`.
fn as_django(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(Failure::RolledBack) => Ok(()),
        other => other,
    }
}

/// Where Django raises a callback's failure out of a committed block, ours reports it.
fn of_report(hooks: &HookReport) -> Result<(), Failure> {
    match hooks.stopped_by() {
        Some(failure) => Err(*failure.error.downcast_ref::<Failure>().unwrap()),
        None => Ok(()),
    }
}

fn caught(op: &Value, result: Result<(), Failure>, trace: &Trace) -> Result<(), Failure> {
    match result {
        Err(failure) if op["catch"] == true => {
            trace.push(json!(["caught", failure.to_string()]));
            Ok(())
        }
        other => other,
    }
}

/// The callback of an `on_commit` op.
fn callback(
    db: &DatabaseConnection,
    op: &Value,
    trace: &Trace,
) -> impl FnOnce() -> BoxFuture<'static, Result<(), Failure>> + Send + 'static {
    let (db, op, trace) = (db.clone(), op.clone(), trace.clone());
    move || {
        async move {
            trace.push(json!(["callback", op["id"]]));
            outside(&db, op["body"].as_array().unwrap(), &trace).await
        }
        .boxed()
    }
}

/// Runs ops with no transaction open.
fn outside<'a>(
    db: &'a DatabaseConnection,
    ops: &'a [Value],
    trace: &'a Trace,
) -> BoxFuture<'a, Result<(), Failure>> {
    async move {
        for op in ops {
            match op["op"].as_str().unwrap() {
                "insert" => insert(db, op).await?,
                "count" => trace.push(json!(["count", numbers(db).await?.len()])),
                "fail" => return Err(Failure::Failed),
                "on_commit" if op["robust"] == true => {
                    db.on_commit_robust(callback(db, op, trace)).await;
                }
                "on_commit" => of_report(&db.on_commit(callback(db, op, trace)).await)?,
                "atomic" => {
                    let body = op["body"].as_array().unwrap();
                    let done = db.atomic(async |uow| inside(db, uow, body, trace).await).await;
                    let result = match done {
                        Ok(committed) => of_report(committed.hooks()),
                        Err(failure) => as_django(Err(failure)),
                    };
                    caught(op, result, trace)?;
                }
                other => panic!("{other} outside a block"),
            }
        }
        Ok(())
    }
    .boxed()
}

/// Runs ops in a block.
fn inside<'a>(
    db: &'a DatabaseConnection,
    uow: &'a UnitOfWork,
    ops: &'a [Value],
    trace: &'a Trace,
) -> BoxFuture<'a, Result<(), Failure>> {
    async move {
        for op in ops {
            match op["op"].as_str().unwrap() {
                "insert" => insert(uow, op).await?,
                "count" => trace.push(json!(["count", numbers(uow).await?.len()])),
                "fail" => return Err(Failure::Failed),
                "set_rollback" => uow.set_rollback_only(),
                "on_commit" if op["robust"] == true => {
                    uow.on_commit_robust(callback(db, op, trace))
                }
                "on_commit" => uow.on_commit(callback(db, op, trace)),
                "atomic" => {
                    let body = op["body"].as_array().unwrap();
                    let run = async |uow: &UnitOfWork| inside(db, uow, body, trace).await;
                    let result = match (op["durable"] == true, op["savepoint"] == true) {
                        (true, _) => uow.durable(run).await,
                        (false, true) => uow.atomic(run).await,
                        (false, false) => uow.merged(run).await,
                    };
                    caught(op, as_django(result), trace)?;
                }
                other => panic!("{other} in a block"),
            }
        }
        Ok(())
    }
    .boxed()
}
