-- Partitions the two tables that grow with every bid, while they are empty: right after the migration. 16 is an example.
-- A table with rows is copied into its partitioned twin in the same way, with nobody writing; that copy is not part of this.
-- The primary keys begin with the column that is hashed, so they stay what they are. Row triggers of the parent hold on every
-- partition. A trigger against TRUNCATE does not: each partition gets its own, or could be truncated by its name.
DO $$
DECLARE
    partitions CONSTANT integer := 16;
    kept record;
    part text;
BEGIN
    FOR kept IN SELECT * FROM (VALUES ('al_bid', 'auction_id'), ('al_entry', 'wallet_id')) AS t (name, hashed) LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', kept.name, kept.name || '_plain');
        EXECUTE format('ALTER TABLE %I RENAME CONSTRAINT %I TO %I',
            kept.name || '_plain', kept.name || '_pkey', kept.name || '_plain_pkey');
        EXECUTE format(
            'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS, CONSTRAINT %I PRIMARY KEY (%I, seq)) PARTITION BY HASH (%I)',
            kept.name, kept.name || '_plain', kept.name || '_pkey', kept.hashed, kept.hashed);
        EXECUTE format('DROP TABLE %I', kept.name || '_plain');
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION al_refuse_change()',
            kept.name || '_no_change', kept.name);
        EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION al_refuse_change()',
            kept.name || '_no_truncate', kept.name);
        FOR number IN 0 .. partitions - 1 LOOP
            part := kept.name || '_' || number;
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS %s, REMAINDER %s)',
                part, kept.name, partitions, number);
            EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION al_refuse_change()',
                part || '_no_truncate', part);
        END LOOP;
    END LOOP;
END $$;
