//! The ledger's tables on MySQL and MariaDB.
//!
//! Every comparable text is bytes or binary: a collation would make `Ann`, `ann` and `Ann ` one wallet.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbErr};

use crate::statements::each;

/// Makes the tables, or none of them: DDL commits itself here, so what was made is dropped again after an error.
pub(super) async fn up(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    let mut made = Vec::with_capacity(TABLES.len());
    let result = make(db, &mut made).await.map_err(with_remedy);
    if result.is_err() {
        // Only what this run made, newest first. The error to tell is the first.
        for table in made.into_iter().rev() {
            let _ = db.execute_unprepared(&format!("DROP TABLE {table}")).await;
        }
    }
    result
}

async fn make(db: &impl ConnectionTrait, made: &mut Vec<&'static str>) -> Result<(), DbErr> {
    for (table, statement) in TABLES {
        db.execute_unprepared(statement).await?;
        made.push(table);
    }
    each(db, TRIGGERS).await
}

/// Says what helps against error 1419, whose own text is a riddle.
fn with_remedy(error: DbErr) -> DbErr {
    let text = error.to_string();
    // Known by the name of the variable: a server may speak another language, and the driver's type is not at hand.
    if !text.contains("log_bin_trust_function_creators") && !text.contains("1419 (HY000)") {
        return error;
    }
    DbErr::Migration(format!(
        "the ledger's triggers could not be made: with the binary log on, this needs the server variable \
         `log_bin_trust_function_creators = 1` (SET GLOBAL log_bin_trust_function_creators = 1), or a user with the SUPER privilege \
         to run the migrations; nothing was left behind, so run them again ({text})"
    ))
}

/// The tables by name, in the order of their making.
const TABLES: [(&str, &str); 6] = [
    (
        "al_wallet",
        r"CREATE TABLE al_wallet (
            id          BIGINT NOT NULL AUTO_INCREMENT,
            owner       VARBINARY(64) NOT NULL,
            currency    VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
            exponent    SMALLINT NOT NULL,
            available   BIGINT NOT NULL,
            held        BIGINT NOT NULL,
            seq         BIGINT NOT NULL,
            last_at     BIGINT NOT NULL DEFAULT 0,
            PRIMARY KEY (id),
            CONSTRAINT al_wallet_owner_currency UNIQUE (owner, currency),
            CONSTRAINT al_wallet_owner_check CHECK (LENGTH(owner) BETWEEN 1 AND 64),
            CONSTRAINT al_wallet_currency_check CHECK (LENGTH(currency) BETWEEN 1 AND 10),
            CONSTRAINT al_wallet_exponent_check CHECK (exponent BETWEEN 0 AND 18),
            CONSTRAINT al_wallet_balance_check CHECK (available >= 0 AND held >= 0),
            CONSTRAINT al_wallet_seq_check CHECK (seq >= 0)
        ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    ),
    (
        "al_auction",
        // The foreign key needs an index on the seller; naming it spares MySQL from making one.
        r"CREATE TABLE al_auction (
            id                  BIGINT NOT NULL AUTO_INCREMENT,
            title               VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
            seller_wallet_id    BIGINT NOT NULL,
            currency            VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
            exponent            SMALLINT NOT NULL,
            start_price         BIGINT NOT NULL,
            increment           BIGINT NOT NULL,
            multiple_of         BIGINT NULL,
            buy_now_price       BIGINT NULL,
            starts_at           BIGINT NOT NULL,
            original_ends_at    BIGINT NOT NULL,
            ends_at             BIGINT NOT NULL,
            state               SMALLINT NOT NULL,
            leader_wallet_id    BIGINT NULL,
            leader_max          BIGINT NULL,
            leader_seq          BIGINT NULL,
            price               BIGINT NULL,
            runner_up_max       BIGINT NULL,
            winner_wallet_id    BIGINT NULL,
            sold_price          BIGINT NULL,
            seq                 BIGINT NOT NULL,
            last_at             BIGINT NOT NULL,
            PRIMARY KEY (id),
            KEY al_auction_due (state, original_ends_at),
            KEY al_auction_seller (seller_wallet_id),
            CONSTRAINT al_auction_seller FOREIGN KEY (seller_wallet_id)
                REFERENCES al_wallet (id) ON DELETE RESTRICT ON UPDATE RESTRICT,
            CONSTRAINT al_auction_title_check CHECK (CHAR_LENGTH(title) BETWEEN 1 AND 200),
            CONSTRAINT al_auction_currency_check CHECK (LENGTH(currency) BETWEEN 1 AND 10),
            CONSTRAINT al_auction_exponent_check CHECK (exponent BETWEEN 0 AND 18),
            CONSTRAINT al_auction_start_price_check CHECK (start_price > 0),
            CONSTRAINT al_auction_increment_check CHECK (increment > 0),
            CONSTRAINT al_auction_multiple_of_check CHECK (multiple_of IS NULL OR multiple_of > 0),
            CONSTRAINT al_auction_buy_now_check CHECK (buy_now_price IS NULL OR buy_now_price > start_price),
            CONSTRAINT al_auction_time_check CHECK (original_ends_at > starts_at AND ends_at > starts_at),
            CONSTRAINT al_auction_state_check CHECK (state BETWEEN 1 AND 99),
            CONSTRAINT al_auction_standing_check CHECK (
                (leader_wallet_id IS NULL AND leader_max IS NULL AND leader_seq IS NULL AND price IS NULL)
                OR (leader_wallet_id IS NOT NULL AND leader_max IS NOT NULL AND leader_seq IS NOT NULL AND price IS NOT NULL
                    AND leader_seq >= 1 AND leader_max >= price AND price >= start_price)
            ),
            CONSTRAINT al_auction_runner_up_check CHECK (
                runner_up_max IS NULL OR (leader_wallet_id IS NOT NULL AND runner_up_max > 0)
            ),
            CONSTRAINT al_auction_winner_check CHECK ((state = 2) = (winner_wallet_id IS NOT NULL)),
            CONSTRAINT al_auction_sold_price_check CHECK (
                (state = 2) = (sold_price IS NOT NULL) AND (sold_price IS NULL OR sold_price > 0)
            ),
            CONSTRAINT al_auction_seq_check CHECK (seq >= 1)
        ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    ),
    (
        "al_bid",
        r"CREATE TABLE al_bid (
            auction_id          BIGINT NOT NULL,
            seq                 BIGINT NOT NULL,
            operation           BINARY(16) NOT NULL,
            wallet_id           BIGINT NOT NULL,
            amount              BIGINT NOT NULL,
            price               BIGINT NOT NULL,
            leader_wallet_id    BIGINT NOT NULL,
            ends_at             BIGINT NOT NULL,
            at                  BIGINT NOT NULL,
            PRIMARY KEY (auction_id, seq),
            CONSTRAINT al_bid_seq_check CHECK (seq >= 1),
            CONSTRAINT al_bid_amount_check CHECK (amount > 0 AND price > 0)
        ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    ),
    (
        "al_act",
        r"CREATE TABLE al_act (
            auction_id  BIGINT NOT NULL,
            seq         BIGINT NOT NULL,
            operation   BINARY(16) NOT NULL,
            kind        SMALLINT NOT NULL,
            wallet_id   BIGINT NULL,
            amount      BIGINT NULL,
            reason      VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
            at          BIGINT NOT NULL,
            PRIMARY KEY (auction_id, seq),
            CONSTRAINT al_act_seq_check CHECK (seq >= 1),
            CONSTRAINT al_act_kind_check CHECK (kind BETWEEN 1 AND 99)
        ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    ),
    (
        "al_entry",
        r"CREATE TABLE al_entry (
            wallet_id           BIGINT NOT NULL,
            seq                 BIGINT NOT NULL,
            operation           BINARY(16) NOT NULL,
            kind                SMALLINT NOT NULL,
            available_delta     BIGINT NOT NULL,
            held_delta          BIGINT NOT NULL,
            available_after     BIGINT NOT NULL,
            held_after          BIGINT NOT NULL,
            auction_id          BIGINT NULL,
            memo                VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
            at                  BIGINT NOT NULL,
            PRIMARY KEY (wallet_id, seq),
            CONSTRAINT al_entry_seq_check CHECK (seq >= 1),
            CONSTRAINT al_entry_kind_check CHECK (kind BETWEEN 1 AND 99),
            CONSTRAINT al_entry_delta_check CHECK (available_delta <> 0 OR held_delta <> 0),
            CONSTRAINT al_entry_after_check CHECK (available_after >= 0 AND held_after >= 0),
            CONSTRAINT al_entry_memo_check CHECK (memo IS NULL OR LENGTH(memo) <= 200)
        ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    ),
    (
        "al_key",
        r"CREATE TABLE al_key (
            scope               VARBINARY(80) NOT NULL,
            idempotency_key     VARBINARY(200) NOT NULL,
            request_hash        VARBINARY(64) NOT NULL,
            operation           BINARY(16) NOT NULL,
            answer              TEXT,
            at                  BIGINT NOT NULL,
            PRIMARY KEY (scope, idempotency_key),
            KEY al_key_at (at),
            CONSTRAINT al_key_scope_check CHECK (LENGTH(scope) BETWEEN 1 AND 80),
            CONSTRAINT al_key_key_check CHECK (LENGTH(idempotency_key) BETWEEN 1 AND 200),
            CONSTRAINT al_key_request_hash_check CHECK (LENGTH(request_hash) BETWEEN 1 AND 64)
        ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    ),
];

/// A trigger has no `%` for its table, so each names its own.
const TRIGGERS: &[&str] = &[
    r"CREATE TRIGGER al_bid_no_update BEFORE UPDATE ON al_bid
        FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'al_bid is append-only'",
    r"CREATE TRIGGER al_bid_no_delete BEFORE DELETE ON al_bid
        FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'al_bid is append-only'",
    r"CREATE TRIGGER al_act_no_update BEFORE UPDATE ON al_act
        FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'al_act is append-only'",
    r"CREATE TRIGGER al_act_no_delete BEFORE DELETE ON al_act
        FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'al_act is append-only'",
    r"CREATE TRIGGER al_entry_no_update BEFORE UPDATE ON al_entry
        FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'al_entry is append-only'",
    r"CREATE TRIGGER al_entry_no_delete BEFORE DELETE ON al_entry
        FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'al_entry is append-only'",
    // These read the rows as they are: a snapshot taken before the DELETE waited for the row would hide a new entry.
    r"CREATE TRIGGER al_wallet_no_delete BEFORE DELETE ON al_wallet
        FOR EACH ROW
        IF EXISTS (SELECT 1 FROM al_entry WHERE wallet_id = OLD.id LOCK IN SHARE MODE) THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'al_wallet: a wallet with entries cannot be deleted';
        END IF",
    r"CREATE TRIGGER al_auction_no_delete BEFORE DELETE ON al_auction
        FOR EACH ROW
        IF EXISTS (SELECT 1 FROM al_act WHERE auction_id = OLD.id LOCK IN SHARE MODE)
            OR EXISTS (SELECT 1 FROM al_bid WHERE auction_id = OLD.id LOCK IN SHARE MODE) THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'al_auction: an auction with acts or bids cannot be deleted';
        END IF",
];

/// Triggers go with their tables.
pub(super) const DOWN: &[&str] = &[
    "DROP TABLE al_key",
    "DROP TABLE al_entry",
    "DROP TABLE al_act",
    "DROP TABLE al_bid",
    "DROP TABLE al_auction",
    "DROP TABLE al_wallet",
];
