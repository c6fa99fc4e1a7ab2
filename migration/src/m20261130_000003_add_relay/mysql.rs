//! What relays need, on MySQL and MariaDB.

pub(super) const UP: &[&str] = &[r"CREATE TABLE al_relay (
        relay           VARBINARY(64) NOT NULL,
        auction_id      BIGINT NOT NULL,
        seq             BIGINT NOT NULL,
        told            BIGINT NOT NULL,
        finished        BOOLEAN NOT NULL,
        attempts        BIGINT NOT NULL,
        due_at          BIGINT NOT NULL,
        lease           BINARY(16) NULL,
        parked_at       BIGINT NULL,
        reason          TEXT NULL,
        changed_at      BIGINT NOT NULL,
        PRIMARY KEY (relay, auction_id),
        KEY al_relay_finished (relay, finished),
        CONSTRAINT al_relay_relay_check CHECK (LENGTH(relay) BETWEEN 1 AND 64),
        CONSTRAINT al_relay_seq_check CHECK (seq >= 0),
        CONSTRAINT al_relay_told_check CHECK (told >= 0),
        CONSTRAINT al_relay_attempts_check CHECK (attempts >= 0)
    ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"];
