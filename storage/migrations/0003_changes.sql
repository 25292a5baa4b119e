-- A log of what was changed. Reads take their validators from it (docs/architecture.md).
--
-- A statement that writes a table of the model adds a row for each shard of a domain that it has
-- changed, with a random token. The version of a set of shards is the XOR of the tokens that a
-- snapshot shows. It belongs to the data of that snapshot:
--
-- - A transaction that changes data adds tokens, and both become visible together.
-- - Rows are only added, so that no writer waits for another.
-- - Tokens do not repeat. After a restore or a promotion to an earlier state, the version is that of
--   the earlier data, and every later change has a version that was never used.
CREATE TABLE change (
    -- storage/reads/dependencies.py defines the domains and the shards.
    domain smallint NOT NULL,
    shard  smallint NOT NULL,
    token  bigint   NOT NULL DEFAULT uuid_hash_extended(gen_random_uuid(), 0)
) WITH (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

-- Two databases with different data have different versions, even if nothing changes any more.
INSERT INTO change (domain, shard) SELECT domain, 0 FROM generate_series(1, 5) AS domain;

-- Each table has a function of its own: PostgreSQL keeps the plans of fixed statements. Foreign keys
-- that cascade run statements on the tables that refer to a row, which fire the triggers of those
-- tables. Every role that may write the tables can run the functions, with any search path: all that
-- they name has its schema.
DO $$
DECLARE
    logged record;
    event  text;
    rows   text;
    -- The rows before and after the statement.
    before constant text := 'SELECT %1$s OPERATOR(pg_catalog.&) 63 AS shard FROM rows_before';
    after  constant text := 'SELECT %1$s OPERATOR(pg_catalog.&) 63 AS shard FROM rows_after';
BEGIN
    FOR logged IN
        SELECT * FROM (VALUES
            ('espace',         1, '0'),
            ('process',        2, 'id'),
            ('action',         2, 'process_id'),
            ('input',          2, 'process_id'),
            ('authorisation',  2, 'process_id'),
            ('source',         3, '0'),
            ('profile',        4, '0'),
            ('execution',      5, 'id'),
            ('execution_step', 5, 'execution_id')
        ) AS tables (name, domain, key)
    LOOP
        FOREACH event IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'] LOOP
            rows := CASE event
                WHEN 'INSERT' THEN after
                WHEN 'UPDATE' THEN before || ' UNION ALL ' || after
                WHEN 'DELETE' THEN before
                -- The rows are gone. There may have been some in every shard.
                WHEN 'TRUNCATE' THEN 'SELECT ' || CASE logged.key
                    WHEN '0' THEN '0' ELSE 'pg_catalog.generate_series(0, 63)' END || ' AS shard'
            END;
            EXECUTE format(
                'CREATE FUNCTION %I() RETURNS trigger'
                ' LANGUAGE plpgsql SECURITY DEFINER AS %L',
                format('log_%s_of_%s', lower(event), logged.name),
                format(
                    'BEGIN'
                    ' INSERT INTO %3$I.change (domain, shard)'
                    ' SELECT %2$s, shard FROM (' || rows || ') AS changed GROUP BY shard;'
                    ' RETURN NULL; '
                    'END',
                    logged.key, logged.domain, current_schema()
                )
            );
            EXECUTE format(
                'CREATE TRIGGER log_%1$s AFTER %2$s ON %3$I %4$s'
                ' FOR EACH STATEMENT EXECUTE FUNCTION %5$I()',
                lower(event), event, logged.name,
                CASE event
                    WHEN 'INSERT' THEN 'REFERENCING NEW TABLE AS rows_after'
                    WHEN 'UPDATE' THEN
                        'REFERENCING OLD TABLE AS rows_before NEW TABLE AS rows_after'
                    WHEN 'DELETE' THEN 'REFERENCING OLD TABLE AS rows_before'
                    ELSE ''
                END,
                format('log_%s_of_%s', lower(event), logged.name)
            );
        END LOOP;
    END LOOP;
END
$$;

-- Replace the rows of each shard by one row with the XOR of their tokens, which changes no version.
--
-- Does nothing while there are fewer than `minimum` rows, on a server that only reads, and while
-- another session does it. Returns the number of rows that are gone.
CREATE FUNCTION compact_changes(minimum bigint) RETURNS bigint LANGUAGE plpgsql AS $$
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
        DELETE FROM change WHERE (domain, shard) IN (
            SELECT domain, shard FROM change GROUP BY domain, shard HAVING count(*) > 1
        ) RETURNING *
    ), kept AS (
        INSERT INTO change SELECT domain, shard, bit_xor(token) FROM replaced GROUP BY domain, shard
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM replaced), (SELECT count(*) FROM kept) INTO removed, added;
    RETURN removed - added;
END
$$;

-- Give every shard another version, after data were changed while triggers were switched off.
CREATE FUNCTION log_unknown_changes() RETURNS void LANGUAGE sql AS $$
    INSERT INTO change (domain, shard)
        SELECT domain, shard FROM generate_series(1, 5) AS domain,
            generate_series(0, CASE WHEN domain IN (2, 5) THEN 63 ELSE 0 END) AS shard
$$;
