-- Partitions the two tables that grow with every bid, with rows in them or without. 16 is an example.
-- The primary keys begin with the column that is hashed, the tables have no foreign keys, and the triggers stay.
ALTER TABLE al_bid PARTITION BY HASH (auction_id) PARTITIONS 16;
ALTER TABLE al_entry PARTITION BY HASH (wallet_id) PARTITIONS 16;
