-- Creating, dropping, and the schema that is ours alone.
CREATE EXTENSION indexpilot;
SELECT indexpilot.version() = extversion AS same_version
FROM pg_extension WHERE extname = 'indexpilot';
ALTER EXTENSION indexpilot SET SCHEMA public;
DROP EXTENSION indexpilot;
SELECT count(*) AS left_behind FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname = 'indexpilot';
-- what stands in CONTEXT differs by version
\set SHOW_CONTEXT never
CREATE TABLE indexpilot.setting (mine int);
CREATE EXTENSION indexpilot;
DROP TABLE indexpilot.setting;
CREATE EXTENSION indexpilot;
