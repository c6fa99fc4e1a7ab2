-- The floor: one call carries out one bid, wholly in the server. It writes the rows that the ledger writes, so that the ledger
-- can audit its books, and checks what the ledger checks of a plain English auction. Users are wallets here.
CREATE OR REPLACE FUNCTION floor_bid(the_auction bigint, the_bidder bigint, with_key boolean) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    lot al_auction;
    one al_wallet;
    bidder al_wallet;
    leader al_wallet;
    op uuid := gen_random_uuid();
    amount bigint;
    now_us bigint;
BEGIN
    SELECT * INTO STRICT lot FROM al_auction WHERE id = the_auction FOR UPDATE;
    -- Nobody outbids themselves here: their neighbour bids instead.
    IF the_bidder = lot.leader_wallet_id THEN
        the_bidder := CASE the_bidder WHEN 1 THEN 3 ELSE 1 END;
    END IF;
    FOR one IN SELECT * FROM al_wallet WHERE id IN (the_bidder, lot.leader_wallet_id) ORDER BY id FOR UPDATE LOOP
        IF one.id = the_bidder THEN bidder := one; ELSE leader := one; END IF;
    END LOOP;
    now_us := greatest(CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint),
        lot.last_at, bidder.last_at, leader.last_at);
    amount := coalesce(lot.price + lot.increment, lot.start_price);
    IF lot.state <> 1 OR now_us < lot.starts_at OR now_us >= lot.ends_at OR bidder.id = lot.seller_wallet_id THEN
        RAISE EXCEPTION 'refused';
    END IF;
    IF bidder.available < amount THEN RAISE EXCEPTION 'not enough money'; END IF;

    IF with_key THEN
        INSERT INTO al_key (scope, idempotency_key, request_hash, operation, answer, at) VALUES (
            'user '::bytea || bidder.owner, convert_to(gen_random_uuid()::text, 'UTF8'),
            sha256(convert_to(format('place_bid %s %s %s', the_auction, the_bidder, amount), 'UTF8')), op,
            json_build_object('version', 1,
                'command', json_build_object('auction', the_auction, 'seq', lot.seq + 1, 'operation', op),
                'outcome', json_build_object('bid', json_build_object('auction', the_auction, 'seq', lot.seq + 1,
                    'operation', op, 'user', convert_from(bidder.owner, 'UTF8'), 'amount', amount::text,
                    'price', amount::text, 'currency', lot.currency, 'leads', true, 'bought', false,
                    'outbid', convert_from(leader.owner, 'UTF8'), 'ends_at', lot.ends_at, 'at', now_us)))::text,
            now_us);
    END IF;
    INSERT INTO al_bid (auction_id, seq, operation, wallet_id, amount, price, leader_wallet_id, ends_at, at)
        VALUES (the_auction, lot.seq + 1, op, the_bidder, amount, amount, the_bidder, lot.ends_at, now_us);
    UPDATE al_wallet SET available = available - amount, held = held + amount, seq = seq + 1, last_at = now_us
        WHERE id = the_bidder;
    INSERT INTO al_entry (wallet_id, seq, operation, kind, available_delta, held_delta, available_after, held_after,
        auction_id, at) VALUES (the_bidder, bidder.seq + 1, op, 3, -amount, amount,
        bidder.available - amount, bidder.held + amount, the_auction, now_us);
    IF leader.id IS NOT NULL THEN
        UPDATE al_wallet SET available = available + lot.leader_max, held = held - lot.leader_max, seq = seq + 1,
            last_at = now_us WHERE id = leader.id;
        INSERT INTO al_entry (wallet_id, seq, operation, kind, available_delta, held_delta, available_after, held_after,
            auction_id, at) VALUES (leader.id, leader.seq + 1, op, 4, lot.leader_max, -lot.leader_max,
            leader.available + lot.leader_max, leader.held - lot.leader_max, the_auction, now_us);
    END IF;
    UPDATE al_auction SET leader_wallet_id = the_bidder, leader_max = amount, leader_seq = lot.seq + 1, price = amount,
        runner_up_max = lot.leader_max, seq = lot.seq + 1, last_at = now_us WHERE id = the_auction;
    RETURN amount;
END $$;
