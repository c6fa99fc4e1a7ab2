//! What notices a write, whoever makes it.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, Iden, Iterable, Statement};

use auction_ledger::entity::{act, auction, bid, entry, house, key, sealed_bid, wallet};
use auction_ledger::unit_of_work::UnitOfWork;

use crate::support::{Database, World};

/// Looks at the database from a connection of its own.
pub(super) struct Witness {
    database: Database,
    db: DatabaseConnection,
    look: Statement,
}

impl Witness {
    pub(super) async fn of(world: &World) -> Result<Self, DbErr> {
        let db = super::pool(world).await?;
        let look = match world.database() {
            // It changes with every commit of any other connection that has written anything.
            Database::Sqlite => "PRAGMA data_version".to_owned(),
            Database::Postgres => digest(|table, _| {
                // The row and the transaction that wrote it.
                format!("SELECT sum(hashtextextended(r::text || r.xmin::text, 0)) FROM {table} r")
            }),
            Database::Mariadb => digest(|table, columns| {
                let columns: Vec<_> =
                    columns.iter().map(|column| format!("QUOTE({column})")).collect();
                let hash = format!(
                    "CAST(CONV(LEFT(MD5(CONCAT_WS(',', {})), 15), 16, 10) AS UNSIGNED)",
                    columns.join(", ")
                );
                format!("SELECT CONCAT(COUNT(*), ' ', COALESCE(SUM({hash}), 0)) FROM {table}")
            }),
        };
        let look = Statement::from_string(db.get_database_backend(), look);
        Ok(Self { database: world.database(), db, look })
    }

    /// A text that is another one as soon as any row of any table is, and committed.
    pub(super) async fn look(&self) -> Result<String, DbErr> {
        text(&self.db, &self.look).await
    }

    /// The same from inside a unit of work, which sees what it has written itself.
    pub(super) async fn look_inside(&self, uow: &UnitOfWork) -> Result<String, DbErr> {
        if self.database == Database::Sqlite {
            // How many rows this connection has written since it was opened.
            let rows = "SELECT total_changes()";
            return text(uow, &Statement::from_string(uow.get_database_backend(), rows)).await;
        }
        text(uow, &self.look).await
    }

    pub(super) async fn end(self) -> Result<(), DbErr> {
        self.db.close().await
    }
}

async fn text(connection: &impl ConnectionTrait, look: &Statement) -> Result<String, DbErr> {
    let row = connection.query_one_raw(look.clone()).await?.expect("one row");
    row.try_get_by_index(0).or_else(|_| Ok(row.try_get_by_index::<i64>(0)?.to_string()))
}

/// One text of what `of` says of each table and its columns.
fn digest(of: impl Fn(&str, Vec<String>) -> String) -> String {
    fn columns<E: EntityTrait>() -> Vec<String>
    where
        E::Column: Iden,
    {
        E::Column::iter().map(|column| Iden::to_string(&column)).collect()
    }
    let tables = [
        ("al_wallet", columns::<wallet::Entity>()),
        ("al_auction", columns::<auction::Entity>()),
        ("al_bid", columns::<bid::Entity>()),
        ("al_act", columns::<act::Entity>()),
        ("al_entry", columns::<entry::Entity>()),
        ("al_key", columns::<key::Entity>()),
        ("al_house", columns::<house::Entity>()),
        ("al_sealed_bid", columns::<sealed_bid::Entity>()),
    ];
    let each = tables.map(|(table, columns)| format!("({})", of(table, columns)));
    format!("SELECT CONCAT_WS(' | ', {})", each.join(", "))
}
