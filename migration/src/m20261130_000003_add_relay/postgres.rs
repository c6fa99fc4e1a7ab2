//! What relays need, on PostgreSQL.

pub(super) const UP: &[&str] = &[
    r"CREATE TABLE al_relay (
        relay           BYTEA NOT NULL,
        auction_id      BIGINT NOT NULL,
        seq             BIGINT NOT NULL,
        told            BIGINT NOT NULL,
        finished        BOOLEAN NOT NULL,
        attempts        BIGINT NOT NULL,
        due_at          BIGINT NOT NULL,
        lease           UUID,
        parked_at       BIGINT,
        reason          TEXT,
        changed_at      BIGINT NOT NULL,
        CONSTRAINT al_relay_pkey PRIMARY KEY (relay, auction_id),
        CONSTRAINT al_relay_relay_check CHECK (octet_length(relay) BETWEEN 1 AND 64),
        CONSTRAINT al_relay_seq_check CHECK (seq >= 0),
        CONSTRAINT al_relay_told_check CHECK (told >= 0),
        CONSTRAINT al_relay_attempts_check CHECK (attempts >= 0)
    )",
    "CREATE INDEX al_relay_finished ON al_relay (relay, finished)",
];
