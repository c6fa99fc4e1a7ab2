//! What the houses' rules need, on PostgreSQL.

pub(super) const UP: &[&str] = &[
    r"ALTER TABLE al_auction
        ADD COLUMN pricing             SMALLINT NOT NULL DEFAULT 1
            CONSTRAINT al_auction_pricing_check CHECK (pricing BETWEEN 0 AND 99),
        ADD COLUMN increments          TEXT,
        ADD COLUMN increment_points    SMALLINT
            CONSTRAINT al_auction_increment_points_check CHECK (increment_points IS NULL OR increment_points BETWEEN 1 AND 10000),
        ADD COLUMN reserve             BIGINT
            CONSTRAINT al_auction_reserve_check CHECK (reserve IS NULL OR reserve > 0),
        ADD COLUMN ask_until           SMALLINT
            CONSTRAINT al_auction_ask_until_check CHECK (ask_until IS NULL OR ask_until BETWEEN 1 AND 99),
        ADD COLUMN ask_floor           BIGINT
            CONSTRAINT al_auction_ask_floor_check CHECK (ask_floor IS NULL OR ask_floor >= 0),
        ADD COLUMN ask_steps           TEXT,
        ADD COLUMN acceptance_window   BIGINT NOT NULL DEFAULT 0
            CONSTRAINT al_auction_acceptance_window_check CHECK (acceptance_window >= 0),
        ADD COLUMN soft_close_window   BIGINT
            CONSTRAINT al_auction_soft_close_window_check CHECK (soft_close_window IS NULL OR soft_close_window > 0),
        ADD COLUMN soft_close_cap      BIGINT
            CONSTRAINT al_auction_soft_close_cap_check CHECK (soft_close_cap IS NULL OR soft_close_cap > 0),
        ADD COLUMN premium_points      SMALLINT NOT NULL DEFAULT 0
            CONSTRAINT al_auction_premium_points_check CHECK (premium_points BETWEEN 0 AND 10000),
        ADD COLUMN premium_min         BIGINT NOT NULL DEFAULT 0
            CONSTRAINT al_auction_premium_min_check CHECK (premium_min >= 0),
        ADD COLUMN premium_cap         BIGINT
            CONSTRAINT al_auction_premium_cap_check CHECK (premium_cap IS NULL OR premium_cap >= 0),
        ADD COLUMN fee_points          SMALLINT NOT NULL DEFAULT 0
            CONSTRAINT al_auction_fee_points_check CHECK (fee_points BETWEEN 0 AND 10000),
        ADD COLUMN fee_min             BIGINT NOT NULL DEFAULT 0
            CONSTRAINT al_auction_fee_min_check CHECK (fee_min >= 0),
        ADD COLUMN fee_cap             BIGINT
            CONSTRAINT al_auction_fee_cap_check CHECK (fee_cap IS NULL OR fee_cap >= 0)",
    r"CREATE TABLE al_house (
        auction_id      BIGINT PRIMARY KEY,
        currency        VARCHAR(10) NOT NULL,
        exponent        SMALLINT NOT NULL,
        amount          BIGINT NOT NULL,
        operation       UUID NOT NULL,
        at              BIGINT NOT NULL,
        collected_by    UUID,
        CONSTRAINT al_house_amount_check CHECK (amount > 0)
    )",
    "CREATE INDEX al_house_due ON al_house (currency, collected_by, auction_id)",
    r"CREATE TABLE al_sealed_bid (
        auction_id      BIGINT NOT NULL,
        wallet_id       BIGINT NOT NULL,
        maximum         BIGINT NOT NULL,
        seq             BIGINT NOT NULL,
        at              BIGINT NOT NULL,
        released_by     UUID,
        CONSTRAINT al_sealed_bid_pkey PRIMARY KEY (auction_id, wallet_id),
        CONSTRAINT al_sealed_bid_maximum_check CHECK (maximum > 0),
        CONSTRAINT al_sealed_bid_seq_check CHECK (seq > 1)
    )",
    "CREATE INDEX al_sealed_bid_rank ON al_sealed_bid (auction_id, maximum, seq)",
    "CREATE INDEX al_sealed_bid_wallet ON al_sealed_bid (wallet_id)",
    "ALTER TABLE al_act ADD COLUMN bid_seq BIGINT, ADD COLUMN ends_at BIGINT",
];

pub(super) const DOWN: &[&str] = &[
    "ALTER TABLE al_act DROP COLUMN bid_seq, DROP COLUMN ends_at",
    "DROP TABLE al_sealed_bid",
    "DROP TABLE al_house",
    r"ALTER TABLE al_auction
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
];
