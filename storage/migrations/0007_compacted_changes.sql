-- Compact the log of changes to one row for each domain. The tokens of shards move to a table of
-- their own: most answers depend on whole domains, and each of them reads all of the log.
CREATE TABLE compacted_change (
    domain smallint NOT NULL,
    shard  smallint NOT NULL,
    -- The XOR of the tokens that the log had for this shard.
    token  bigint   NOT NULL,
    PRIMARY KEY (domain, shard)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

COMMENT ON COLUMN change.shard IS 'The shard that was changed. -1 in the row with the XOR of all'
    ' tokens of the domain that are also in compacted_change.';

-- Replace the rows of each domain by one row with the XOR of their tokens, and add them to those of
-- their shards, which changes no version.
--
-- Does nothing while there are fewer than `minimum` rows, on a server that only reads, and while
-- another session does it. Returns the number of rows that are gone.
CREATE OR REPLACE FUNCTION compact_changes(minimum bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    removed bigint;
    added   bigint;
BEGIN
    IF current_setting('transaction_read_only')::boolean
        OR (SELECT count(*) FROM change) < minimum
        OR NOT pg_try_advisory_xact_lock(hashtext('compact_changes'))
    THEN
        RETURN 0;
    END IF;
    WITH replaced AS (
        DELETE FROM change RETURNING *
    ), of_domains AS (
        INSERT INTO change SELECT domain, -1, bit_xor(token) FROM replaced GROUP BY domain
        RETURNING 1
    ), of_shards AS (
        INSERT INTO compacted_change AS kept
            SELECT domain, shard, bit_xor(token) FROM replaced WHERE shard >= 0
            GROUP BY domain, shard
        ON CONFLICT (domain, shard) DO UPDATE SET token = kept.token # excluded.token
    )
    SELECT (SELECT count(*) FROM replaced), (SELECT count(*) FROM of_domains) INTO removed, added;
    RETURN removed - added;
END
$$;

SELECT compact_changes(0);
