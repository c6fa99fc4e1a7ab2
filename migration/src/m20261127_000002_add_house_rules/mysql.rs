//! What the houses' rules need, on MySQL and MariaDB.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbErr};

use crate::statements::each;

/// Makes all of it, or nothing: DDL commits itself here, so what was made is undone again after an error.
pub(super) async fn up(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    for (done, (statement, _)) in UP.iter().enumerate() {
        if let Err(error) = db.execute_unprepared(statement).await {
            for (_, undo) in UP.iter().take(done).rev() {
                // The error to tell is the first.
                let _ = db.execute_unprepared(undo).await;
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Each statement, and the one that undoes it.
const UP: [(&str, &str); 4] = [
    (HOUSE, "DROP TABLE al_house"),
    (SEALED_BID, "DROP TABLE al_sealed_bid"),
    (
        "ALTER TABLE al_act ADD COLUMN bid_seq BIGINT NULL, ADD COLUMN ends_at BIGINT NULL",
        "ALTER TABLE al_act DROP COLUMN bid_seq, DROP COLUMN ends_at",
    ),
    (COLUMNS, ""),
];

pub(super) async fn down(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    each(db, DOWN).await
}

const HOUSE: &str = r"CREATE TABLE al_house (
        auction_id      BIGINT NOT NULL,
        currency        VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        exponent        SMALLINT NOT NULL,
        amount          BIGINT NOT NULL,
        operation       BINARY(16) NOT NULL,
        at              BIGINT NOT NULL,
        collected_by    BINARY(16) NULL,
        PRIMARY KEY (auction_id),
        KEY al_house_due (currency, collected_by, auction_id),
        CONSTRAINT al_house_amount_check CHECK (amount > 0)
    ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

const SEALED_BID: &str = r"CREATE TABLE al_sealed_bid (
        auction_id      BIGINT NOT NULL,
        wallet_id       BIGINT NOT NULL,
        maximum         BIGINT NOT NULL,
        seq             BIGINT NOT NULL,
        at              BIGINT NOT NULL,
        released_by     BINARY(16) NULL,
        PRIMARY KEY (auction_id, wallet_id),
        KEY al_sealed_bid_rank (auction_id, maximum, seq),
        KEY al_sealed_bid_wallet (wallet_id),
        CONSTRAINT al_sealed_bid_maximum_check CHECK (maximum > 0),
        CONSTRAINT al_sealed_bid_seq_check CHECK (seq > 1)
    ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

const COLUMNS: &str = r"ALTER TABLE al_auction
        ADD COLUMN pricing             SMALLINT NOT NULL DEFAULT 1,
        ADD COLUMN increments          TEXT CHARACTER SET ascii COLLATE ascii_bin NULL,
        ADD COLUMN increment_points    SMALLINT NULL,
        ADD COLUMN reserve             BIGINT NULL,
        ADD COLUMN ask_until           SMALLINT NULL,
        ADD COLUMN ask_floor           BIGINT NULL,
        ADD COLUMN ask_steps           TEXT CHARACTER SET ascii COLLATE ascii_bin NULL,
        ADD COLUMN acceptance_window   BIGINT NOT NULL DEFAULT 0,
        ADD COLUMN soft_close_window   BIGINT NULL,
        ADD COLUMN soft_close_cap      BIGINT NULL,
        ADD COLUMN premium_points      SMALLINT NOT NULL DEFAULT 0,
        ADD COLUMN premium_min         BIGINT NOT NULL DEFAULT 0,
        ADD COLUMN premium_cap         BIGINT NULL,
        ADD COLUMN fee_points          SMALLINT NOT NULL DEFAULT 0,
        ADD COLUMN fee_min             BIGINT NOT NULL DEFAULT 0,
        ADD COLUMN fee_cap             BIGINT NULL,
        ADD CONSTRAINT al_auction_pricing_check CHECK (pricing BETWEEN 0 AND 99),
        ADD CONSTRAINT al_auction_increment_points_check CHECK (increment_points IS NULL OR increment_points BETWEEN 1 AND 10000),
        ADD CONSTRAINT al_auction_reserve_check CHECK (reserve IS NULL OR reserve > 0),
        ADD CONSTRAINT al_auction_ask_until_check CHECK (ask_until IS NULL OR ask_until BETWEEN 1 AND 99),
        ADD CONSTRAINT al_auction_ask_floor_check CHECK (ask_floor IS NULL OR ask_floor >= 0),
        ADD CONSTRAINT al_auction_acceptance_window_check CHECK (acceptance_window >= 0),
        ADD CONSTRAINT al_auction_soft_close_window_check CHECK (soft_close_window IS NULL OR soft_close_window > 0),
        ADD CONSTRAINT al_auction_soft_close_cap_check CHECK (soft_close_cap IS NULL OR soft_close_cap > 0),
        ADD CONSTRAINT al_auction_premium_points_check CHECK (premium_points BETWEEN 0 AND 10000),
        ADD CONSTRAINT al_auction_premium_min_check CHECK (premium_min >= 0),
        ADD CONSTRAINT al_auction_premium_cap_check CHECK (premium_cap IS NULL OR premium_cap >= 0),
        ADD CONSTRAINT al_auction_fee_points_check CHECK (fee_points BETWEEN 0 AND 10000),
        ADD CONSTRAINT al_auction_fee_min_check CHECK (fee_min >= 0),
        ADD CONSTRAINT al_auction_fee_cap_check CHECK (fee_cap IS NULL OR fee_cap >= 0)";

const DOWN: &[&str] = &[
    r"ALTER TABLE al_auction
        DROP CONSTRAINT al_auction_pricing_check,
        DROP CONSTRAINT al_auction_increment_points_check,
        DROP CONSTRAINT al_auction_reserve_check,
        DROP CONSTRAINT al_auction_ask_until_check,
        DROP CONSTRAINT al_auction_ask_floor_check,
        DROP CONSTRAINT al_auction_acceptance_window_check,
        DROP CONSTRAINT al_auction_soft_close_window_check,
        DROP CONSTRAINT al_auction_soft_close_cap_check,
        DROP CONSTRAINT al_auction_premium_points_check,
        DROP CONSTRAINT al_auction_premium_min_check,
        DROP CONSTRAINT al_auction_premium_cap_check,
        DROP CONSTRAINT al_auction_fee_points_check,
        DROP CONSTRAINT al_auction_fee_min_check,
        DROP CONSTRAINT al_auction_fee_cap_check,
        DROP COLUMN pricing,
        DROP COLUMN increments,
        DROP COLUMN increment_points,
        DROP COLUMN reserve,
        DROP COLUMN ask_until,
        DROP COLUMN ask_floor,
        DROP COLUMN ask_steps,
        DROP COLUMN acceptance_window,
        DROP COLUMN soft_close_window,
        DROP COLUMN soft_close_cap,
        DROP COLUMN premium_points,
        DROP COLUMN premium_min,
        DROP COLUMN premium_cap,
        DROP COLUMN fee_points,
        DROP COLUMN fee_min,
        DROP COLUMN fee_cap",
    "ALTER TABLE al_act DROP COLUMN bid_seq, DROP COLUMN ends_at",
    "DROP TABLE al_sealed_bid",
    "DROP TABLE al_house",
];
