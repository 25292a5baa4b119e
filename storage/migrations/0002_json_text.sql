-- A text as a JSON string. PostgreSQL puts the function's body in the place of each call, so that
-- calling it costs nothing.
--
-- to_json looks up what to do with the type of its argument at every call. JSON_SCALAR, which
-- PostgreSQL has from version 17 on, does that once for a statement, and takes a third of the time.
DO $$
BEGIN
    EXECUTE format(
        'CREATE FUNCTION json_text(text) RETURNS json LANGUAGE sql STABLE PARALLEL SAFE AS %L',
        CASE WHEN current_setting('server_version_num')::integer >= 170000
            THEN 'SELECT json_scalar($1)' ELSE 'SELECT to_json($1)' END
    );
END
$$;
