//! What relays need, on SQLite.

pub(super) const UP: &[&str] = &[
    r"CREATE TABLE al_relay (
        relay               BLOB NOT NULL CHECK (typeof(relay) = 'blob' AND length(relay) BETWEEN 1 AND 64),
        auction_id          BIGINT NOT NULL CHECK (typeof(auction_id) = 'integer'),
        seq                 BIGINT NOT NULL CHECK (typeof(seq) = 'integer'),
        told                BIGINT NOT NULL CHECK (typeof(told) = 'integer'),
        finished            BOOLEAN NOT NULL CHECK (typeof(finished) = 'integer' AND finished IN (0, 1)),
        attempts            BIGINT NOT NULL CHECK (typeof(attempts) = 'integer'),
        due_at              BIGINT NOT NULL CHECK (typeof(due_at) = 'integer'),
        lease               BLOB CHECK (typeof(lease) IN ('blob', 'null') AND (lease IS NULL OR length(lease) = 16)),
        parked_at           BIGINT CHECK (typeof(parked_at) IN ('integer', 'null')),
        reason              TEXT CHECK (typeof(reason) IN ('text', 'null')),
        changed_at          BIGINT NOT NULL CHECK (typeof(changed_at) = 'integer'),
        CONSTRAINT al_relay_pkey PRIMARY KEY (relay, auction_id),
        CONSTRAINT al_relay_seq_check CHECK (seq >= 0),
        CONSTRAINT al_relay_told_check CHECK (told >= 0),
        CONSTRAINT al_relay_attempts_check CHECK (attempts >= 0)
    ) WITHOUT ROWID",
    "CREATE INDEX al_relay_finished ON al_relay (relay, finished)",
];
