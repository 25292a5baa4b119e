-- The actions that each source offers. The gateway derives them from the kind and the settings of the
-- source, when it is written and when the gateway starts, so that SQL can read them.
ALTER TABLE source ADD COLUMN catalogue json NOT NULL
    DEFAULT '{"actions":[],"takesAnyAction":true,"takesAnyArgument":true}';
