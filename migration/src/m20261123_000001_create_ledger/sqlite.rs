//! The ledger's tables on SQLite.
//!
//! SQLite stores what it is given: a sum that overflows becomes a REAL, a text stays a text. So every column checks its type.

pub(super) const UP: &[&str] = &[
    r"CREATE TABLE al_wallet (
        id                  INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
        owner               BLOB NOT NULL CHECK (typeof(owner) = 'blob' AND length(owner) BETWEEN 1 AND 64),
        currency            VARCHAR(10) NOT NULL CHECK (typeof(currency) = 'text' AND length(CAST(currency AS BLOB)) BETWEEN 1 AND 10),
        exponent            SMALLINT NOT NULL CHECK (typeof(exponent) = 'integer'),
        available           BIGINT NOT NULL CHECK (typeof(available) = 'integer'),
        held                BIGINT NOT NULL CHECK (typeof(held) = 'integer'),
        seq                 BIGINT NOT NULL CHECK (typeof(seq) = 'integer'),
        last_at             BIGINT NOT NULL DEFAULT 0 CHECK (typeof(last_at) = 'integer'),
        CONSTRAINT al_wallet_owner_currency UNIQUE (owner, currency),
        CONSTRAINT al_wallet_exponent_check CHECK (exponent BETWEEN 0 AND 18),
        CONSTRAINT al_wallet_balance_check CHECK (available >= 0 AND held >= 0),
        CONSTRAINT al_wallet_seq_check CHECK (seq >= 0)
    )",
    // The seller has no index of its own: wallets with auctions are not deleted, and that is all it would serve.
    r"CREATE TABLE al_auction (
        id                  INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
        title               VARCHAR(200) NOT NULL CHECK (typeof(title) = 'text' AND length(title) BETWEEN 1 AND 200),
        seller_wallet_id    BIGINT NOT NULL CHECK (typeof(seller_wallet_id) = 'integer'),
        currency            VARCHAR(10) NOT NULL CHECK (typeof(currency) = 'text' AND length(CAST(currency AS BLOB)) BETWEEN 1 AND 10),
        exponent            SMALLINT NOT NULL CHECK (typeof(exponent) = 'integer'),
        start_price         BIGINT NOT NULL CHECK (typeof(start_price) = 'integer'),
        increment           BIGINT NOT NULL CHECK (typeof(increment) = 'integer'),
        multiple_of         BIGINT CHECK (typeof(multiple_of) IN ('integer', 'null')),
        buy_now_price       BIGINT CHECK (typeof(buy_now_price) IN ('integer', 'null')),
        starts_at           BIGINT NOT NULL CHECK (typeof(starts_at) = 'integer'),
        original_ends_at    BIGINT NOT NULL CHECK (typeof(original_ends_at) = 'integer'),
        ends_at             BIGINT NOT NULL CHECK (typeof(ends_at) = 'integer'),
        state               SMALLINT NOT NULL CHECK (typeof(state) = 'integer'),
        leader_wallet_id    BIGINT CHECK (typeof(leader_wallet_id) IN ('integer', 'null')),
        leader_max          BIGINT CHECK (typeof(leader_max) IN ('integer', 'null')),
        leader_seq          BIGINT CHECK (typeof(leader_seq) IN ('integer', 'null')),
        price               BIGINT CHECK (typeof(price) IN ('integer', 'null')),
        runner_up_max       BIGINT CHECK (typeof(runner_up_max) IN ('integer', 'null')),
        winner_wallet_id    BIGINT CHECK (typeof(winner_wallet_id) IN ('integer', 'null')),
        sold_price          BIGINT CHECK (typeof(sold_price) IN ('integer', 'null')),
        seq                 BIGINT NOT NULL CHECK (typeof(seq) = 'integer'),
        last_at             BIGINT NOT NULL CHECK (typeof(last_at) = 'integer'),
        CONSTRAINT al_auction_seller FOREIGN KEY (seller_wallet_id)
            REFERENCES al_wallet (id) ON DELETE RESTRICT ON UPDATE RESTRICT,
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
    )",
    r"CREATE INDEX al_auction_due ON al_auction (state, original_ends_at)",
    r"CREATE TABLE al_bid (
        auction_id          BIGINT NOT NULL CHECK (typeof(auction_id) = 'integer'),
        seq                 BIGINT NOT NULL CHECK (typeof(seq) = 'integer'),
        operation           BLOB NOT NULL CHECK (typeof(operation) = 'blob' AND length(operation) = 16),
        wallet_id           BIGINT NOT NULL CHECK (typeof(wallet_id) = 'integer'),
        amount              BIGINT NOT NULL CHECK (typeof(amount) = 'integer'),
        price               BIGINT NOT NULL CHECK (typeof(price) = 'integer'),
        leader_wallet_id    BIGINT NOT NULL CHECK (typeof(leader_wallet_id) = 'integer'),
        ends_at             BIGINT NOT NULL CHECK (typeof(ends_at) = 'integer'),
        at                  BIGINT NOT NULL CHECK (typeof(at) = 'integer'),
        CONSTRAINT al_bid_pkey PRIMARY KEY (auction_id, seq),
        CONSTRAINT al_bid_seq_check CHECK (seq >= 1),
        CONSTRAINT al_bid_amount_check CHECK (amount > 0 AND price > 0)
    ) WITHOUT ROWID",
    r"CREATE TABLE al_act (
        auction_id          BIGINT NOT NULL CHECK (typeof(auction_id) = 'integer'),
        seq                 BIGINT NOT NULL CHECK (typeof(seq) = 'integer'),
        operation           BLOB NOT NULL CHECK (typeof(operation) = 'blob' AND length(operation) = 16),
        kind                SMALLINT NOT NULL CHECK (typeof(kind) = 'integer'),
        wallet_id           BIGINT CHECK (typeof(wallet_id) IN ('integer', 'null')),
        amount              BIGINT CHECK (typeof(amount) IN ('integer', 'null')),
        reason              VARCHAR(200) CHECK (typeof(reason) IN ('text', 'null') AND (reason IS NULL OR length(reason) <= 200)),
        at                  BIGINT NOT NULL CHECK (typeof(at) = 'integer'),
        CONSTRAINT al_act_pkey PRIMARY KEY (auction_id, seq),
        CONSTRAINT al_act_seq_check CHECK (seq >= 1),
        CONSTRAINT al_act_kind_check CHECK (kind BETWEEN 1 AND 99)
    ) WITHOUT ROWID",
    r"CREATE TABLE al_entry (
        wallet_id           BIGINT NOT NULL CHECK (typeof(wallet_id) = 'integer'),
        seq                 BIGINT NOT NULL CHECK (typeof(seq) = 'integer'),
        operation           BLOB NOT NULL CHECK (typeof(operation) = 'blob' AND length(operation) = 16),
        kind                SMALLINT NOT NULL CHECK (typeof(kind) = 'integer'),
        available_delta     BIGINT NOT NULL CHECK (typeof(available_delta) = 'integer'),
        held_delta          BIGINT NOT NULL CHECK (typeof(held_delta) = 'integer'),
        available_after     BIGINT NOT NULL CHECK (typeof(available_after) = 'integer'),
        held_after          BIGINT NOT NULL CHECK (typeof(held_after) = 'integer'),
        auction_id          BIGINT CHECK (typeof(auction_id) IN ('integer', 'null')),
        memo                VARCHAR(200) CHECK (typeof(memo) IN ('text', 'null') AND (memo IS NULL OR length(CAST(memo AS BLOB)) <= 200)),
        at                  BIGINT NOT NULL CHECK (typeof(at) = 'integer'),
        CONSTRAINT al_entry_pkey PRIMARY KEY (wallet_id, seq),
        CONSTRAINT al_entry_seq_check CHECK (seq >= 1),
        CONSTRAINT al_entry_kind_check CHECK (kind BETWEEN 1 AND 99),
        CONSTRAINT al_entry_delta_check CHECK (available_delta <> 0 OR held_delta <> 0),
        CONSTRAINT al_entry_after_check CHECK (available_after >= 0 AND held_after >= 0)
    ) WITHOUT ROWID",
    r"CREATE TABLE al_key (
        scope               BLOB NOT NULL CHECK (typeof(scope) = 'blob' AND length(scope) BETWEEN 1 AND 80),
        idempotency_key     BLOB NOT NULL CHECK (typeof(idempotency_key) = 'blob' AND length(idempotency_key) BETWEEN 1 AND 200),
        request_hash        BLOB NOT NULL CHECK (typeof(request_hash) = 'blob' AND length(request_hash) BETWEEN 1 AND 64),
        operation           BLOB NOT NULL CHECK (typeof(operation) = 'blob' AND length(operation) = 16),
        answer              TEXT CHECK (typeof(answer) IN ('text', 'null')),
        at                  BIGINT NOT NULL CHECK (typeof(at) = 'integer'),
        CONSTRAINT al_key_pkey PRIMARY KEY (scope, idempotency_key)
    ) WITHOUT ROWID",
    r"CREATE INDEX al_key_at ON al_key (at)",
    r"CREATE TRIGGER al_bid_no_update BEFORE UPDATE ON al_bid
    BEGIN
        SELECT RAISE(ABORT, 'al_bid is append-only');
    END",
    r"CREATE TRIGGER al_bid_no_delete BEFORE DELETE ON al_bid
    BEGIN
        SELECT RAISE(ABORT, 'al_bid is append-only');
    END",
    r"CREATE TRIGGER al_act_no_update BEFORE UPDATE ON al_act
    BEGIN
        SELECT RAISE(ABORT, 'al_act is append-only');
    END",
    r"CREATE TRIGGER al_act_no_delete BEFORE DELETE ON al_act
    BEGIN
        SELECT RAISE(ABORT, 'al_act is append-only');
    END",
    r"CREATE TRIGGER al_entry_no_update BEFORE UPDATE ON al_entry
    BEGIN
        SELECT RAISE(ABORT, 'al_entry is append-only');
    END",
    r"CREATE TRIGGER al_entry_no_delete BEFORE DELETE ON al_entry
    BEGIN
        SELECT RAISE(ABORT, 'al_entry is append-only');
    END",
    // REPLACE deletes without firing the triggers of DELETE: an existing key is refused before it comes to that.
    r"CREATE TRIGGER al_bid_no_replace BEFORE INSERT ON al_bid
    WHEN EXISTS (SELECT 1 FROM al_bid WHERE auction_id = NEW.auction_id AND seq = NEW.seq)
    BEGIN
        SELECT RAISE(ABORT, 'al_bid is append-only: the key exists');
    END",
    r"CREATE TRIGGER al_act_no_replace BEFORE INSERT ON al_act
    WHEN EXISTS (SELECT 1 FROM al_act WHERE auction_id = NEW.auction_id AND seq = NEW.seq)
    BEGIN
        SELECT RAISE(ABORT, 'al_act is append-only: the key exists');
    END",
    r"CREATE TRIGGER al_entry_no_replace BEFORE INSERT ON al_entry
    WHEN EXISTS (SELECT 1 FROM al_entry WHERE wallet_id = NEW.wallet_id AND seq = NEW.seq)
    BEGIN
        SELECT RAISE(ABORT, 'al_entry is append-only: the key exists');
    END",
    // Where the id is left to SQLite, NEW.id is no id of any row here: ids are positive.
    r"CREATE TRIGGER al_wallet_no_replace BEFORE INSERT ON al_wallet
    WHEN EXISTS (SELECT 1 FROM al_wallet WHERE id = NEW.id OR (owner = NEW.owner AND currency = NEW.currency))
    BEGIN
        SELECT RAISE(ABORT, 'al_wallet: the key exists and cannot be replaced');
    END",
    r"CREATE TRIGGER al_auction_no_replace BEFORE INSERT ON al_auction
    WHEN EXISTS (SELECT 1 FROM al_auction WHERE id = NEW.id)
    BEGIN
        SELECT RAISE(ABORT, 'al_auction: the key exists and cannot be replaced');
    END",
    // UPDATE OR REPLACE deletes the row that is in the way, and fires no trigger for it either. Nothing of the ledger
    // updates these columns, so these triggers never fire for it.
    r"CREATE TRIGGER al_wallet_same_owner BEFORE UPDATE OF id, owner, currency ON al_wallet
    WHEN NEW.id IS NOT OLD.id OR NEW.owner IS NOT OLD.owner OR NEW.currency IS NOT OLD.currency
    BEGIN
        SELECT RAISE(ABORT, 'al_wallet: the id, the owner and the currency cannot be changed');
    END",
    r"CREATE TRIGGER al_auction_same_id BEFORE UPDATE OF id ON al_auction
    WHEN NEW.id IS NOT OLD.id
    BEGIN
        SELECT RAISE(ABORT, 'al_auction: the id cannot be changed');
    END",
    r"CREATE TRIGGER al_wallet_no_delete BEFORE DELETE ON al_wallet
    WHEN EXISTS (SELECT 1 FROM al_entry WHERE wallet_id = OLD.id)
    BEGIN
        SELECT RAISE(ABORT, 'al_wallet: a wallet with entries cannot be deleted');
    END",
    r"CREATE TRIGGER al_auction_no_delete BEFORE DELETE ON al_auction
    WHEN EXISTS (SELECT 1 FROM al_act WHERE auction_id = OLD.id)
        OR EXISTS (SELECT 1 FROM al_bid WHERE auction_id = OLD.id)
    BEGIN
        SELECT RAISE(ABORT, 'al_auction: an auction with acts or bids cannot be deleted');
    END",
];

/// Indexes and triggers go with their tables.
pub(super) const DOWN: &[&str] = &[
    "DROP TABLE al_key",
    "DROP TABLE al_entry",
    "DROP TABLE al_act",
    "DROP TABLE al_bid",
    "DROP TABLE al_auction",
    "DROP TABLE al_wallet",
];
