//! Books that have grown: the same bids on them, side by side with an empty one.

use sea_orm::{ConnectionTrait, DatabaseConnection};

use super::Section;
use crate::Failure;
use crate::contest::{Audit, Bench, Contestant, Line, Peer};
use crate::database::{self, Engine, Pool};
use crate::floor;
use crate::world::{self, FUNDS, START_PRICE, Shape};

/// A book, and who bids on its first auction.
struct Book {
    name: &'static str,
    /// Bids on each of 1,000 auctions.
    bids: i64,
    wallets: i64,
    /// Deposits into the first wallet.
    deposits: i64,
    bidders: i64,
}

const BOOKS: [Book; 6] = [
    Book { name: "empty", bids: 0, wallets: 1000, deposits: 0, bidders: 1000 },
    Book { name: "1,000,000 bids", bids: 1000, wallets: 1000, deposits: 0, bidders: 1000 },
    Book { name: "10,000,000 bids", bids: 10_000, wallets: 1000, deposits: 0, bidders: 1000 },
    Book {
        name: "1,000,000 wallets",
        bids: 0,
        wallets: 1_000_000,
        deposits: 0,
        bidders: 1_000_000,
    },
    Book { name: "empty, two bidders", bids: 0, wallets: 1000, deposits: 0, bidders: 2 },
    Book {
        name: "two bidders, one with 1,000,000 entries",
        bids: 0,
        wallets: 1000,
        deposits: 1_000_000,
        bidders: 2,
    },
];

const NOTE: &str = "One book each, filled by SQL, on which all rounds go on. It is audited after it was filled and after the last \
round, not after every one.";

pub async fn growth(bench: &Bench) -> Result<Vec<Section>, Failure> {
    let mut lines = Vec::new();
    let mut urls = Vec::new();
    for (number, book) in BOOKS.iter().enumerate() {
        if book.bids == 10_000 && !bench.options.soak {
            println!("skipped: the book of 10,000,000 bids, which needs SOAK=1");
            continue;
        }
        eprintln!("  filling: {}", book.name);
        let url =
            bench.databases.create(Engine::Postgres, &format!("bench_grown_{number}")).await?;
        fill(&url, book).await?;
        for callers in [256, 1] {
            let mut contestant = Contestant::new(
                &format!("{}, {callers}", book.name),
                Peer::Ours,
                Shape { wallets: book.bidders, ..Shape::open(1) },
                callers,
            );
            contestant.price = Some(START_PRICE + book.bids);
            lines.push(Line { contestant, samples: Vec::new(), failure: None });
            urls.push(url.clone());
        }
    }
    for round in 0..bench.options.rounds {
        let count = lines.len();
        for turn in 0..count {
            // Another one begins each time.
            let index = (turn + round) % count;
            let (line, url) = (&mut lines[index], &urls[index]);
            if line.failure.is_some() {
                continue;
            }
            let contestant = &mut line.contestant;
            contestant.price = Some(price(url).await?);
            bench.databases.checkpoint().await?;
            let audit = if round + 1 == bench.options.rounds { Audit::Whole } else { Audit::Later };
            match bench.play(contestant, url, audit).await {
                Ok(sample) => {
                    eprintln!(
                        "  round {}: {}: {:.0}",
                        round + 1,
                        contestant.name,
                        sample.per_second()
                    );
                    line.samples.push(sample);
                }
                Err(error) => line.failure = Some(error.to_string()),
            }
        }
    }
    for number in 0..BOOKS.len() {
        bench.databases.remove(Engine::Postgres, &format!("bench_grown_{number}")).await?;
    }
    Ok(vec![Section::new("growth", "Books that have grown", lines).note(NOTE)])
}

/// The price of the first auction.
async fn price(url: &str) -> Result<i64, Failure> {
    let db = database::connect(url, Pool { connections: 1, pings: true }).await?;
    let sql = format!("SELECT coalesce(price, {START_PRICE} - 1) FROM al_auction WHERE id = 1");
    let price = database::number(&db, &sql).await?;
    db.close().await?;
    Ok(price)
}

async fn fill(url: &str, book: &Book) -> Result<(), Failure> {
    let db = database::connect(url, Pool { connections: 1, pings: true }).await?;
    world::fill(&db, Shape::open(1000)).await?;
    floor::install(&db).await?;
    if book.wallets > 1000 {
        db.execute_unprepared(&wallets(book.wallets)).await?;
    }
    if book.deposits > 0 {
        db.execute_unprepared(&deposits(book.deposits)).await?;
    }
    if book.bids > 0 {
        bids(&db, book.bids).await?;
    }
    db.execute_unprepared("VACUUM ANALYZE").await?;
    crate::ours::audit(&auction_ledger::AuctionLedger::new(db.clone())).await?;
    db.close().await?;
    Ok(())
}

/// More wallets, as the first.
fn wallets(count: i64) -> String {
    format!(
        "INSERT INTO al_wallet (id, owner, currency, exponent, available, held, seq, last_at)
         SELECT n, convert_to('user-' || lpad(n::text, 8, '0'), 'UTF8'), currency, exponent, available, held, seq, last_at
         FROM al_wallet, generate_series(1002, {count} + 1) AS n WHERE id = 1;
         INSERT INTO al_entry (wallet_id, seq, operation, kind, available_delta, held_delta, available_after, held_after, at)
         SELECT n, 1, gen_random_uuid(), kind, available_delta, held_delta, available_after, held_after, at
         FROM al_entry, generate_series(1002, {count} + 1) AS n WHERE wallet_id = 1 AND seq = 1"
    )
}

/// Deposits of one minor unit each into the first wallet.
fn deposits(count: i64) -> String {
    format!(
        "INSERT INTO al_entry (wallet_id, seq, operation, kind, available_delta, held_delta, available_after, held_after, at)
         SELECT 1, n + 1, gen_random_uuid(), kind, 1, 0, available_after + n, 0, at
         FROM al_entry, generate_series(1, {count}) AS n WHERE wallet_id = 1 AND seq = 1;
         UPDATE al_wallet SET available = available + {count}, seq = seq + {count} WHERE id = 1"
    )
}

/// Bids in turn on 1,000 auctions by 1,000 wallets, each one minor unit above the last: bid `k` on auction `a` is the
/// `k * 1000 + a`-th of all. The seller has the second wallet.
async fn bids(db: &DatabaseConnection, each: i64) -> Result<(), Failure> {
    let all = format!(
        "CREATE UNLOGGED TABLE made AS SELECT a, k, k * 1000 + a AS n, {START_PRICE} + k AS amount,
             CASE (a + k * 7) % 1000 WHEN 0 THEN 1 ELSE (a + k * 7) % 1000 + 2 END AS wallet,
             md5((k * 1000 + a)::text)::uuid AS operation
         FROM generate_series(0::bigint, {each} - 1) AS k, generate_series(1::bigint, 1000) AS a"
    );
    let steps = [
        all.as_str(),
        "INSERT INTO al_bid (auction_id, seq, operation, wallet_id, amount, price, leader_wallet_id, ends_at, at)
         SELECT a, k + 2, operation, wallet, amount, amount, wallet, ends_at, starts_at + n / 100
         FROM made JOIN al_auction ON id = a ORDER BY n",
        &entries(each),
        "UPDATE al_wallet SET available = available_after, held = held_after, seq = last.seq, last_at = last.at
         FROM (SELECT DISTINCT ON (wallet_id) * FROM al_entry ORDER BY wallet_id, seq DESC) AS last
         WHERE al_wallet.id = last.wallet_id",
        &format!(
            "UPDATE al_auction SET leader_wallet_id = wallet, leader_max = amount, leader_seq = k + 2, price = amount,
                 runner_up_max = amount - 1, seq = k + 2, last_at = starts_at + n / 100
             FROM made WHERE id = a AND k = {each} - 1"
        ),
        "DROP TABLE made",
    ];
    for step in steps {
        db.execute_unprepared(step).await?;
    }
    Ok(())
}

/// A hold for each bid, and a release for each but the last of its auction.
fn entries(each: i64) -> String {
    format!(
        "INSERT INTO al_entry (wallet_id, seq, operation, kind, available_delta, held_delta, available_after, held_after,
             auction_id, at)
         SELECT wallet, 1 + row_number() OVER w, operation, kind, -held, held,
             {FUNDS} - (sum(held) OVER w)::bigint, (sum(held) OVER w)::bigint, a, starts_at + n / 100
         FROM (
             SELECT wallet, n, 3 AS kind, amount AS held, a, operation FROM made
             UNION ALL
             SELECT wallet, n + 1000, 4, -amount, a, md5((n + 1000)::text)::uuid FROM made WHERE k < {each} - 1
         ) AS moved JOIN al_auction ON id = a
         WINDOW w AS (PARTITION BY wallet ORDER BY n, kind)"
    )
}
