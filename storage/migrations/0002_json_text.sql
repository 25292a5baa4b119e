-- Convert a text to a JSON string. PostgreSQL inlines the function, so a call costs nothing.
--
-- to_json looks up the conversion for the type of its argument at every call. JSON_SCALAR, available
-- since PostgreSQL 17, does that once for a statement, and takes a third of the time.
DO $$
BEGIN
    EXECUTE format(
        'CREATE FUNCTION json_text(text) RETURNS json LANGUAGE sql STABLE PARALLEL SAFE AS %L',
        CASE WHEN current_setting('server_version_num')::integer >= 170000
            THEN 'SELECT json_scalar($1)' ELSE 'SELECT to_json($1)' END
    );
END
$$;
