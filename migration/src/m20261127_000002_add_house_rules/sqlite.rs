//! What the houses' rules need, on SQLite. A column is added alone, and with the checks that are its own.

pub(super) const UP: &[&str] = &[
    r"ALTER TABLE al_auction ADD COLUMN pricing SMALLINT NOT NULL DEFAULT 1
        CHECK (typeof(pricing) = 'integer')
        CONSTRAINT al_auction_pricing_check CHECK (pricing BETWEEN 0 AND 99)",
    r"ALTER TABLE al_auction ADD COLUMN increments TEXT
        CHECK (typeof(increments) IN ('text', 'null'))",
    r"ALTER TABLE al_auction ADD COLUMN increment_points SMALLINT
        CHECK (typeof(increment_points) IN ('integer', 'null'))
        CONSTRAINT al_auction_increment_points_check CHECK (increment_points IS NULL OR increment_points BETWEEN 1 AND 10000)",
    r"ALTER TABLE al_auction ADD COLUMN reserve BIGINT
        CHECK (typeof(reserve) IN ('integer', 'null'))
        CONSTRAINT al_auction_reserve_check CHECK (reserve IS NULL OR reserve > 0)",
    r"ALTER TABLE al_auction ADD COLUMN ask_until SMALLINT
        CHECK (typeof(ask_until) IN ('integer', 'null'))
        CONSTRAINT al_auction_ask_until_check CHECK (ask_until IS NULL OR ask_until BETWEEN 1 AND 99)",
    r"ALTER TABLE al_auction ADD COLUMN ask_floor BIGINT
        CHECK (typeof(ask_floor) IN ('integer', 'null'))
        CONSTRAINT al_auction_ask_floor_check CHECK (ask_floor IS NULL OR ask_floor >= 0)",
    r"ALTER TABLE al_auction ADD COLUMN ask_steps TEXT
        CHECK (typeof(ask_steps) IN ('text', 'null'))",
    r"ALTER TABLE al_auction ADD COLUMN acceptance_window BIGINT NOT NULL DEFAULT 0
        CHECK (typeof(acceptance_window) = 'integer')
        CONSTRAINT al_auction_acceptance_window_check CHECK (acceptance_window >= 0)",
    r"ALTER TABLE al_auction ADD COLUMN soft_close_window BIGINT
        CHECK (typeof(soft_close_window) IN ('integer', 'null'))
        CONSTRAINT al_auction_soft_close_window_check CHECK (soft_close_window IS NULL OR soft_close_window > 0)",
    r"ALTER TABLE al_auction ADD COLUMN soft_close_cap BIGINT
        CHECK (typeof(soft_close_cap) IN ('integer', 'null'))
        CONSTRAINT al_auction_soft_close_cap_check CHECK (soft_close_cap IS NULL OR soft_close_cap > 0)",
    r"ALTER TABLE al_auction ADD COLUMN premium_points SMALLINT NOT NULL DEFAULT 0
        CHECK (typeof(premium_points) = 'integer')
        CONSTRAINT al_auction_premium_points_check CHECK (premium_points BETWEEN 0 AND 10000)",
    r"ALTER TABLE al_auction ADD COLUMN premium_min BIGINT NOT NULL DEFAULT 0
        CHECK (typeof(premium_min) = 'integer')
        CONSTRAINT al_auction_premium_min_check CHECK (premium_min >= 0)",
    r"ALTER TABLE al_auction ADD COLUMN premium_cap BIGINT
        CHECK (typeof(premium_cap) IN ('integer', 'null'))
        CONSTRAINT al_auction_premium_cap_check CHECK (premium_cap IS NULL OR premium_cap >= 0)",
    r"ALTER TABLE al_auction ADD COLUMN fee_points SMALLINT NOT NULL DEFAULT 0
        CHECK (typeof(fee_points) = 'integer')
        CONSTRAINT al_auction_fee_points_check CHECK (fee_points BETWEEN 0 AND 10000)",
    r"ALTER TABLE al_auction ADD COLUMN fee_min BIGINT NOT NULL DEFAULT 0
        CHECK (typeof(fee_min) = 'integer')
        CONSTRAINT al_auction_fee_min_check CHECK (fee_min >= 0)",
    r"ALTER TABLE al_auction ADD COLUMN fee_cap BIGINT
        CHECK (typeof(fee_cap) IN ('integer', 'null'))
        CONSTRAINT al_auction_fee_cap_check CHECK (fee_cap IS NULL OR fee_cap >= 0)",
    r"CREATE TABLE al_house (
        auction_id          BIGINT NOT NULL CHECK (typeof(auction_id) = 'integer'),
        currency            VARCHAR(10) NOT NULL CHECK (typeof(currency) = 'text' AND length(CAST(currency AS BLOB)) BETWEEN 1 AND 10),
        exponent            SMALLINT NOT NULL CHECK (typeof(exponent) = 'integer'),
        amount              BIGINT NOT NULL CHECK (typeof(amount) = 'integer'),
        operation           BLOB NOT NULL CHECK (typeof(operation) = 'blob' AND length(operation) = 16),
        at                  BIGINT NOT NULL CHECK (typeof(at) = 'integer'),
        collected_by        BLOB CHECK (typeof(collected_by) IN ('blob', 'null') AND (collected_by IS NULL OR length(collected_by) = 16)),
        CONSTRAINT al_house_pkey PRIMARY KEY (auction_id),
        CONSTRAINT al_house_amount_check CHECK (amount > 0)
    ) WITHOUT ROWID",
    "CREATE INDEX al_house_due ON al_house (currency, collected_by, auction_id)",
    r"CREATE TABLE al_sealed_bid (
        auction_id          BIGINT NOT NULL CHECK (typeof(auction_id) = 'integer'),
        wallet_id           BIGINT NOT NULL CHECK (typeof(wallet_id) = 'integer'),
        maximum             BIGINT NOT NULL CHECK (typeof(maximum) = 'integer'),
        seq                 BIGINT NOT NULL CHECK (typeof(seq) = 'integer'),
        at                  BIGINT NOT NULL CHECK (typeof(at) = 'integer'),
        released_by         BLOB CHECK (typeof(released_by) IN ('blob', 'null') AND (released_by IS NULL OR length(released_by) = 16)),
        CONSTRAINT al_sealed_bid_pkey PRIMARY KEY (auction_id, wallet_id),
        CONSTRAINT al_sealed_bid_maximum_check CHECK (maximum > 0),
        CONSTRAINT al_sealed_bid_seq_check CHECK (seq > 1)
    ) WITHOUT ROWID",
    "CREATE INDEX al_sealed_bid_rank ON al_sealed_bid (auction_id, maximum, seq)",
    "CREATE INDEX al_sealed_bid_wallet ON al_sealed_bid (wallet_id)",
    "ALTER TABLE al_act ADD COLUMN bid_seq BIGINT CHECK (typeof(bid_seq) IN ('integer', 'null'))",
    "ALTER TABLE al_act ADD COLUMN ends_at BIGINT CHECK (typeof(ends_at) IN ('integer', 'null'))",
];

pub(super) const DOWN: &[&str] = &[
    "ALTER TABLE al_act DROP COLUMN ends_at",
    "ALTER TABLE al_act DROP COLUMN bid_seq",
    "DROP TABLE al_sealed_bid",
    "DROP TABLE al_house",
    "ALTER TABLE al_auction DROP COLUMN fee_cap",
    "ALTER TABLE al_auction DROP COLUMN fee_min",
    "ALTER TABLE al_auction DROP COLUMN fee_points",
    "ALTER TABLE al_auction DROP COLUMN premium_cap",
    "ALTER TABLE al_auction DROP COLUMN premium_min",
    "ALTER TABLE al_auction DROP COLUMN premium_points",
    "ALTER TABLE al_auction DROP COLUMN soft_close_cap",
    "ALTER TABLE al_auction DROP COLUMN soft_close_window",
    "ALTER TABLE al_auction DROP COLUMN acceptance_window",
    "ALTER TABLE al_auction DROP COLUMN ask_steps",
    "ALTER TABLE al_auction DROP COLUMN ask_floor",
    "ALTER TABLE al_auction DROP COLUMN ask_until",
    "ALTER TABLE al_auction DROP COLUMN reserve",
    "ALTER TABLE al_auction DROP COLUMN increment_points",
    "ALTER TABLE al_auction DROP COLUMN increments",
    "ALTER TABLE al_auction DROP COLUMN pricing",
];
