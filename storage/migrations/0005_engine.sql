-- The records, the leases and the queues of the execution engine (docs/execution.md).

-- Settings of processes -----------------------------------------------------------------------

ALTER TABLE process
    -- A switch that says 'parallel' is treated as 'queued': its actions depend on its state.
    ADD COLUMN concurrency text NOT NULL DEFAULT 'parallel'
        CHECK (concurrency IN ('single', 'queued', 'parallel', 'restart')),
    -- Seconds that an execution may take; null for the default of the gateway.
    ADD COLUMN timeout double precision CHECK (timeout > 0);

ALTER TABLE action
    -- Seconds that one attempt may take; null for the default of the gateway.
    ADD COLUMN timeout double precision CHECK (timeout > 0),
    ADD COLUMN retries smallint NOT NULL DEFAULT 0 CHECK (retries BETWEEN 0 AND 5),
    ADD COLUMN on_failure text NOT NULL DEFAULT 'stop' CHECK (on_failure IN ('stop', 'continue')),
    -- Whether the action may be repeated; null if its source decides.
    ADD COLUMN idempotent boolean;

ALTER TABLE input
    ADD COLUMN label text NOT NULL DEFAULT '',
    ADD COLUMN help text NOT NULL DEFAULT '',
    ADD COLUMN required boolean NOT NULL DEFAULT true,
    ADD COLUMN default_value text,
    ADD COLUMN choices text[] NOT NULL DEFAULT '{}',
    ADD COLUMN min double precision,
    ADD COLUMN max double precision,
    ADD COLUMN step double precision CHECK (step > 0),
    ADD COLUMN unit text NOT NULL DEFAULT '',
    ADD COLUMN pattern text;

-- Workers and definitions -----------------------------------------------------------------------

-- Each run of a worker has an ID of its own. A lease that has ended is never renewed.
CREATE TABLE worker (
    id          uuid PRIMARY KEY,
    lease_until timestamptz NOT NULL
);

-- What an execution runs: a process and all processes that it runs, without secrets. It is stored
-- once, by the hash of its text, however often it is executed.
CREATE TABLE definition (
    hash bytea PRIMARY KEY,
    body json NOT NULL
);

-- Executions --------------------------------------------------------------------------------------

ALTER TABLE execution DROP CONSTRAINT execution_parent_step_id_fkey;
ALTER TABLE execution DROP CONSTRAINT execution_status_check;
ALTER TABLE execution
    ALTER COLUMN parent_step_id TYPE bigint,
    ADD CONSTRAINT execution_status_check CHECK (
        status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'interrupted')),
    -- The outermost execution that it is nested in; null for that one, the root.
    ADD COLUMN root_id integer REFERENCES execution (id) ON DELETE CASCADE,
    ADD COLUMN error_code text,
    ADD COLUMN requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The remaining columns are those of a root.
    -- Grows by one with each change of the tree: its version, and the fence of its owner.
    ADD COLUMN seq bigint NOT NULL DEFAULT 0,
    -- The worker that runs it. Null while it is queued or released, and after its end.
    ADD COLUMN owner uuid,
    ADD COLUMN definition bytea REFERENCES definition (hash),
    -- What the caller supplied: {"inputs": [[reference, value], ...], "values": [value, ...]}.
    ADD COLUMN supplied json,
    ADD COLUMN timeout double precision NOT NULL DEFAULT 60,
    ADD COLUMN deadline timestamptz,
    ADD COLUMN cancel_requested_at timestamptz,
    ADD COLUMN takeovers integer NOT NULL DEFAULT 0,
    ADD COLUMN idempotency_key text COLLATE "C",
    ADD COLUMN request_hash bytea,
    ADD COLUMN trigger text NOT NULL DEFAULT 'request'
        CHECK (trigger IN ('request', 'process', 'replay', 'command', 'schedule')),
    ADD COLUMN dry_run boolean NOT NULL DEFAULT false,
    ADD COLUMN replay_of integer REFERENCES execution (id) ON DELETE SET NULL,
    ADD COLUMN replay_from integer,
    -- Workers leave the executions of other engines as they are.
    ADD COLUMN engine text NOT NULL DEFAULT 'embedded';

ALTER TABLE execution_step DROP CONSTRAINT execution_step_execution_id_position_key;
ALTER TABLE execution_step DROP CONSTRAINT execution_step_pkey;
ALTER TABLE execution_step DROP CONSTRAINT execution_step_status_check;
ALTER TABLE execution_step
    ALTER COLUMN id TYPE bigint,
    ADD PRIMARY KEY (execution_id, position),
    ADD UNIQUE (id),
    ADD CONSTRAINT execution_step_status_check CHECK (status IN (
        'running', 'waiting', 'succeeded', 'failed', 'cancelled', 'interrupted', 'skipped')),
    ADD COLUMN error_code text,
    -- Whether its effect may or may not have happened.
    ADD COLUMN in_doubt boolean NOT NULL DEFAULT false,
    -- The number of the current attempt, and the earlier ones:
    -- [{"startedAt": …, "finishedAt": …, "error": …, "errorCode": …, "inDoubt": …}, ...].
    ADD COLUMN attempt integer NOT NULL DEFAULT 1,
    ADD COLUMN attempts json NOT NULL DEFAULT '[]',
    ADD COLUMN attempted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN retry_at timestamptz;
ALTER SEQUENCE execution_step_id_seq AS bigint;
ALTER TABLE execution
    ADD FOREIGN KEY (parent_step_id) REFERENCES execution_step (id) ON DELETE CASCADE;

-- The records of earlier versions.
WITH RECURSIVE tree (id, root_id) AS (
    SELECT id, id FROM execution WHERE parent_step_id IS NULL
    UNION ALL
    SELECT execution.id, tree.root_id
    FROM tree JOIN execution_step ON execution_id = tree.id
        JOIN execution ON parent_step_id = execution_step.id
)
UPDATE execution SET requested_at = started_at, root_id = nullif(tree.root_id, tree.id),
    trigger = CASE WHEN parent_step_id IS NULL THEN 'request' ELSE 'process' END
FROM tree WHERE tree.id = execution.id;
UPDATE execution_step SET attempted_at = started_at;
-- The results of a nested execution are read with it; the step that ran it has none of its own.
UPDATE execution_step SET result = NULL
WHERE id IN (SELECT parent_step_id FROM execution WHERE parent_step_id IS NOT NULL);
-- Nobody runs these any more.
UPDATE execution_step SET status = 'interrupted', error = 'the gateway ended while it ran',
    error_code = 'interrupted', in_doubt = true, finished_at = clock_timestamp()
WHERE status = 'running';
UPDATE execution SET status = 'interrupted', error = 'the gateway ended while it ran',
    error_code = 'interrupted', finished_at = clock_timestamp()
WHERE status = 'running';

-- What is active: for the sweep, the gates, and the callers that repeat a request.
CREATE INDEX execution_active ON execution (owner) WHERE status = 'running' AND root_id IS NULL;
CREATE INDEX execution_at_gate ON execution (process_id, id) WHERE status IN ('queued', 'running');
CREATE INDEX execution_of_root ON execution (root_id) WHERE root_id IS NOT NULL;
CREATE UNIQUE INDEX execution_by_key ON execution (profile_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX execution_by_replayed ON execution (replay_of) WHERE replay_of IS NOT NULL;
CREATE INDEX execution_by_definition ON execution (definition) WHERE definition IS NOT NULL;
CREATE INDEX execution_step_in_doubt ON execution_step (execution_id) WHERE in_doubt;

-- Return the result of a step that ran a process: the ID of the nested execution, and the results
-- of its steps. Null for any other step.
--
-- Of a step that ran a process that the profile cannot see, only null is shown. A profile of null
-- sees everything.
CREATE FUNCTION nested_result(step bigint, profile integer) RETURNS json
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT concat('{"execution":', nested.id, ',"results":[', (
            SELECT string_agg(
                CASE
                    WHEN inner_step.status <> 'succeeded' THEN 'null'
                    WHEN inner_step.result IS NOT NULL THEN inner_step.result::text
                    WHEN profile IS NOT NULL AND NOT EXISTS (
                        SELECT FROM authorisation
                        WHERE process_id = inner_step.subprocess_id AND profile_id = profile
                    ) THEN 'null'
                    ELSE coalesce(nested_result(inner_step.id, profile)::text, 'null')
                END, ',' ORDER BY inner_step.position)
            FROM execution_step AS inner_step WHERE inner_step.execution_id = nested.id
        ), ']}')::json
        FROM execution AS nested WHERE nested.parent_step_id = step
    );
END
$$;

-- Versions of trees ---------------------------------------------------------------------------------

-- What is written to an execution or to its steps is logged in the shard of the execution, and in
-- that of its root: an answer about an execution depends on the shard of its root alone
-- (storage/reads/dependencies.py). This is so for every writer; the engine writes the root anyway.
DO $$
DECLARE
    logged record;
    event  text;
    rows   text;
BEGIN
    FOR logged IN
        SELECT * FROM (VALUES
            ('execution',
                'SELECT id, root_id FROM %1$s'),
            ('execution_step',
                'SELECT execution_id, root_id FROM %1$s LEFT JOIN %2$I.execution'
                ' ON execution.id OPERATOR(pg_catalog.=) execution_id')
        ) AS tables (name, written)
    LOOP
        FOREACH event IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE'] LOOP
            rows := CASE event
                WHEN 'INSERT' THEN format(logged.written, 'rows_after', current_schema())
                WHEN 'UPDATE' THEN format(logged.written, 'rows_before', current_schema())
                    || ' UNION ALL ' || format(logged.written, 'rows_after', current_schema())
                WHEN 'DELETE' THEN format(logged.written, 'rows_before', current_schema())
            END;
            EXECUTE format(
                'CREATE OR REPLACE FUNCTION %I() RETURNS trigger'
                ' LANGUAGE plpgsql SECURITY DEFINER AS %L',
                format('log_%s_of_%s', lower(event), logged.name),
                format(
                    'BEGIN'
                    ' INSERT INTO %1$I.change (domain, shard)'
                    ' SELECT DISTINCT 5, shard.id OPERATOR(pg_catalog.&) 63'
                    ' FROM (' || rows || ') AS written (own_id, root_id),'
                    ' LATERAL (VALUES (own_id), (root_id)) AS shard (id)'
                    ' WHERE shard.id IS NOT NULL;'
                    ' RETURN NULL; '
                    'END',
                    current_schema()
                )
            );
        END LOOP;
    END LOOP;
END
$$;
ALTER TABLE execution ADD CONSTRAINT execution_tree_check
    CHECK ((root_id IS NULL) = (parent_step_id IS NULL));
