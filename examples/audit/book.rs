//! A book of any size, written with SQL in the order of time, as the ledger would have written it.

use auction_ledger::entity::{act, auction, bid, entry, wallet};
use auction_ledger::unit_of_work::Atomic;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseConnection, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, prelude::Uuid,
};

/// Bids on an auction. The first makes one entry, each further one two, and the settlement two.
const BIDS: i64 = 25;
/// One in so many auctions is still open.
const OPEN: i64 = 10;
const ENTRIES: i64 = 2 * BIDS + 1;
const DEPOSIT: i64 = 1_000_000_000_000;
/// Rows of one statement: SQLite binds 32,766 values at most.
const ROWS: usize = 2_000;

/// Writes a book of about so many entries: 25 bids on each auction, 250 entries in each bidder's wallet.
pub(crate) async fn write(db: &DatabaseConnection, entries: i64) -> Result<(), DbErr> {
    let auctions = (entries / ENTRIES).max(1);
    let mut book = Book::new((entries / 250).max(3), (auctions / 20).max(1));
    book.open_wallets(db).await?;
    for number in 1..=auctions {
        book.auction(number);
        if book.entries.len() > 20_000 || number == auctions {
            book.flush(db).await?;
        }
    }
    book.close_wallets(db).await
}

struct Book {
    bidders: i64,
    /// Bidders first, then sellers.
    wallets: Vec<wallet::Model>,
    auctions: Vec<auction::Model>,
    bids: Vec<bid::Model>,
    acts: Vec<act::Model>,
    entries: Vec<entry::Model>,
    at: i64,
    random: u64,
}

impl Book {
    fn new(bidders: i64, sellers: i64) -> Self {
        let wallets = (1..=bidders + sellers).map(|id| wallet::Model {
            id,
            owner: format!("user {id}").into_bytes(),
            currency: "EUR".to_owned(),
            exponent: 2,
            available: 0,
            held: 0,
            seq: 0,
            last_at: 0,
        });
        Self {
            bidders,
            wallets: wallets.collect(),
            auctions: Vec::new(),
            bids: Vec::new(),
            acts: Vec::new(),
            entries: Vec::new(),
            at: 1_700_000_000_000_000,
            random: 1,
        }
    }

    async fn open_wallets(&mut self, db: &DatabaseConnection) -> Result<(), DbErr> {
        for some in self.wallets.chunks(ROWS) {
            insert::<wallet::Entity, _>(db, some).await?;
        }
        for bidder in 1..=self.bidders {
            self.enter(bidder, Uuid::now_v7(), entry::Kind::Deposit, DEPOSIT, 0, None);
        }
        self.flush(db).await
    }

    /// An auction from its opening to its end, or to its last bid.
    fn auction(&mut self, id: i64) {
        let seller =
            self.bidders + 1 + id % (i64::try_from(self.wallets.len()).unwrap_or(1) - self.bidders);
        self.act(id, 1, act::Kind::Opened, Some(seller), None);
        let mut leader: Option<(i64, i64)> = None;
        for number in 0..BIDS {
            let bidder = self.bidder(leader.map(|(wallet, _)| wallet));
            let price = 1_000 + 100 * number;
            let operation = Uuid::now_v7();
            if let Some((wallet, held)) = leader {
                self.enter(wallet, operation, entry::Kind::Release, held, -held, Some(id));
            }
            self.enter(bidder, operation, entry::Kind::Hold, -price, price, Some(id));
            self.bids.push(bid::Model {
                auction_id: id,
                seq: number + 2,
                operation,
                wallet_id: bidder,
                amount: price,
                price,
                leader_wallet_id: bidder,
                ends_at: self.at + 1_000_000,
                at: self.at,
            });
            leader = Some((bidder, price));
        }
        self.end(id, seller, leader.expect("there are bids"));
    }

    fn end(&mut self, id: i64, seller: i64, (winner, price): (i64, i64)) {
        let sold = id % OPEN != 0;
        if sold {
            let operation = self.act(id, BIDS + 2, act::Kind::Settled, None, Some(price));
            self.enter(winner, operation, entry::Kind::Capture, 0, -price, Some(id));
            self.enter(seller, operation, entry::Kind::Proceeds, price, 0, Some(id));
        }
        let starts_at = self.at - 3_600_000_000;
        self.auctions.push(auction::Model {
            id,
            title: format!("thing {id}"),
            seller_wallet_id: seller,
            currency: "EUR".to_owned(),
            exponent: 2,
            start_price: 1_000,
            increment: 100,
            multiple_of: None,
            buy_now_price: None,
            starts_at,
            original_ends_at: self.at,
            ends_at: self.at,
            state: if sold { auction::State::Sold } else { auction::State::Open },
            leader_wallet_id: Some(winner),
            leader_max: Some(price),
            leader_seq: Some(BIDS + 1),
            price: Some(price),
            runner_up_max: Some(price - 100),
            winner_wallet_id: sold.then_some(winner),
            sold_price: sold.then_some(price),
            seq: BIDS + 1 + i64::from(sold),
            last_at: self.at,
            pricing: auction::Pricing::OwnBid,
            increments: None,
            increment_points: None,
            reserve: None,
            ask_until: None,
            ask_floor: None,
            ask_steps: None,
            acceptance_window: 0,
            soft_close_window: None,
            soft_close_cap: None,
            premium_points: 0,
            premium_min: 0,
            premium_cap: None,
            fee_points: 0,
            fee_min: 0,
            fee_cap: None,
        });
    }

    fn act(
        &mut self,
        auction_id: i64,
        seq: i64,
        kind: act::Kind,
        wallet_id: Option<i64>,
        amount: Option<i64>,
    ) -> Uuid {
        let operation = Uuid::now_v7();
        let at = self.at;
        let reason = None;
        self.acts.push(act::Model {
            auction_id,
            seq,
            operation,
            kind,
            wallet_id,
            amount,
            reason,
            at,
            bid_seq: None,
            ends_at: None,
        });
        operation
    }

    fn enter(
        &mut self,
        wallet_id: i64,
        operation: Uuid,
        kind: entry::Kind,
        available_delta: i64,
        held_delta: i64,
        auction_id: Option<i64>,
    ) {
        self.at += 1_000;
        let index = usize::try_from(wallet_id - 1).expect("wallets are numbered from 1");
        let wallet = &mut self.wallets[index];
        wallet.available += available_delta;
        wallet.held += held_delta;
        wallet.seq += 1;
        wallet.last_at = self.at;
        self.entries.push(entry::Model {
            wallet_id,
            seq: wallet.seq,
            operation,
            kind,
            available_delta,
            held_delta,
            available_after: wallet.available,
            held_after: wallet.held,
            auction_id,
            memo: None,
            at: self.at,
        });
    }

    /// Anybody but the leader.
    fn bidder(&mut self, leader: Option<i64>) -> i64 {
        loop {
            // The generator of Knuth's MMIX: the book is the same every time.
            self.random = self
                .random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let bidder = 1 + i64::try_from(self.random >> 33).unwrap_or(0) % self.bidders;
            if Some(bidder) != leader {
                return bidder;
            }
        }
    }

    async fn flush(&mut self, db: &DatabaseConnection) -> Result<(), DbErr> {
        let (auctions, bids) = (std::mem::take(&mut self.auctions), std::mem::take(&mut self.bids));
        let (acts, entries) = (std::mem::take(&mut self.acts), std::mem::take(&mut self.entries));
        let written = db
            .atomic(async |uow| {
                for some in auctions.chunks(ROWS / 2) {
                    insert::<auction::Entity, _>(uow, some).await?;
                }
                for some in bids.chunks(ROWS) {
                    insert::<bid::Entity, _>(uow, some).await?;
                }
                for some in acts.chunks(ROWS) {
                    insert::<act::Entity, _>(uow, some).await?;
                }
                for some in entries.chunks(ROWS) {
                    insert::<entry::Entity, _>(uow, some).await?;
                }
                Ok::<_, DbErr>(())
            })
            .await;
        written.map(drop)
    }

    /// Says in each wallet what its last entry says.
    async fn close_wallets(self, db: &DatabaseConnection) -> Result<(), DbErr> {
        let written = db
            .atomic(async |uow| {
                for row in &self.wallets {
                    wallet::Entity::update_many()
                        .col_expr(wallet::Column::Available, Expr::value(row.available))
                        .col_expr(wallet::Column::Held, Expr::value(row.held))
                        .col_expr(wallet::Column::Seq, Expr::value(row.seq))
                        .col_expr(wallet::Column::LastAt, Expr::value(row.last_at))
                        .filter(wallet::Column::Id.eq(row.id))
                        .exec(uow)
                        .await?;
                }
                Ok::<_, DbErr>(())
            })
            .await;
        written.map(drop)
    }
}

async fn insert<E, C>(connection: &C, rows: &[E::Model]) -> Result<(), DbErr>
where
    C: sea_orm::ConnectionTrait,
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + Send,
{
    let rows = rows.iter().map(|row| row.clone().into_active_model().reset_all());
    E::insert_many(rows).exec_without_returning(connection).await?;
    Ok(())
}
