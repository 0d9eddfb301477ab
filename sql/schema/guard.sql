-- complain if the script is sourced in psql rather than by CREATE EXTENSION
\echo Use "CREATE EXTENSION indexpilot" to load this file. \quit

COMMENT ON SCHEMA indexpilot IS 'IndexPilot: runs the indexes of this database by itself';
GRANT USAGE ON SCHEMA indexpilot TO PUBLIC;
