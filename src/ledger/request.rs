//! What all requests of the ledger have in common: they are awaited, alone or within a unit of work of the host.

use super::AuctionLedger;
use crate::error::Error;
use crate::unit_of_work::{Committed, UnitOfWork};

/// Makes a verb out of a struct with the fields `ledger` and `within`, and the methods `check(&self)` for what can be
/// refused without the database and `run(&self, &UnitOfWork)`.
macro_rules! verb {
    ($verb:ident -> $output:ty) => {
        impl<'a> $verb<'a> {
            /// Joins `uow`: what the verb writes commits or rolls back with it, and nothing is run again by itself.
            ///
            /// `uow` must be on the ledger's database.
            #[must_use = "a request does nothing until it is awaited"]
            pub fn within(mut self, uow: &'a crate::unit_of_work::UnitOfWork) -> Self {
                self.within = Some(uow);
                self
            }
        }

        impl<'a> std::future::IntoFuture for $verb<'a> {
            type Output = Result<$output, crate::error::Error>;
            type IntoFuture = futures::future::BoxFuture<'a, Self::Output>;

            fn into_future(self) -> Self::IntoFuture {
                Box::pin(async move {
                    self.check()?;
                    match self.within {
                        Some(uow) => uow.wholly(self.run(uow)).await,
                        None => {
                            let name = stringify!($verb);
                            crate::ledger::request::alone(self.ledger, name, async |uow| {
                                self.run(uow).await
                            })
                            .await
                        }
                    }
                })
            }
        }
    };
}

pub(super) use verb;

/// Runs a verb in a unit of work of its own, and again when the database could not order it among its neighbours.
pub(super) async fn alone<F, T>(
    ledger: &AuctionLedger,
    name: &'static str,
    run: F,
) -> Result<T, Error>
where
    F: AsyncFnOnce(&UnitOfWork) -> Result<T, Error> + Clone,
{
    ledger.retry.atomic(ledger.unit_of_work().name(name), run).await.map(Committed::into_value)
}
