-- When each process was created, and when it or one of its parts was last written. The times of the
-- processes that exist already are not known: they get the time of this migration.
ALTER TABLE process
    ADD COLUMN created_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();

-- Neither updated_at nor execution.finished_at has an index: an update of an indexed column is not
-- HOT, and then writes to every index of the table.
CREATE INDEX process_by_creation ON process (created_at, id);
CREATE INDEX execution_by_start ON execution (started_at, id);

-- The statements of the gateway set updated_at themselves. The trigger does it for all other
-- writers; calling it for each of 10,000 rows would cost a bulk update a sixth of its time.
CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := greatest(now(), OLD.updated_at);
    RETURN NEW;
END
$$;
CREATE TRIGGER updated_at_set BEFORE UPDATE ON process FOR EACH ROW
    WHEN (NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at)
    EXECUTE FUNCTION set_updated_at();

-- A written part counts as a change of its process. A statement can write parts of many processes:
-- renaming a process updates the actions of all that run it, and deleting a profile removes its
-- authorizations. Waiting for the rows of those processes could end in a deadlock, so a row that
-- another transaction has locked is skipped: that transaction writes the process, and sets
-- updated_at itself.
--
-- Every role that may write parts can run the function, with any search path.
CREATE FUNCTION touch_processes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN  -- it may move a part to another process
        UPDATE process SET updated_at = now() FROM (
            SELECT id FROM process WHERE updated_at < now() AND id IN (
                SELECT process_id FROM written UNION ALL SELECT process_id FROM before
            ) FOR NO KEY UPDATE SKIP LOCKED
        ) AS touched WHERE process.id = touched.id;
    ELSE
        UPDATE process SET updated_at = now() FROM (
            SELECT id FROM process WHERE updated_at < now() AND id IN (
                SELECT process_id FROM written
            ) FOR NO KEY UPDATE SKIP LOCKED
        ) AS touched WHERE process.id = touched.id;
    END IF;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    part text;
BEGIN
    FOREACH part IN ARRAY ARRAY['action', 'input', 'authorisation'] LOOP
        EXECUTE format('CREATE TRIGGER process_touched_by_insert AFTER INSERT ON %I
            REFERENCING NEW TABLE AS written
            FOR EACH STATEMENT EXECUTE FUNCTION touch_processes()', part);
        EXECUTE format('CREATE TRIGGER process_touched_by_update AFTER UPDATE ON %I
            REFERENCING NEW TABLE AS written OLD TABLE AS before
            FOR EACH STATEMENT EXECUTE FUNCTION touch_processes()', part);
        EXECUTE format('CREATE TRIGGER process_touched_by_delete AFTER DELETE ON %I
            REFERENCING OLD TABLE AS written
            FOR EACH STATEMENT EXECUTE FUNCTION touch_processes()', part);
    END LOOP;
END
$$;
