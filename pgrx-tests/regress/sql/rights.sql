-- What an ordinary role may not do.
CREATE ROLE regress_indexpilot_user;
SET SESSION AUTHORIZATION regress_indexpilot_user;
SELECT count(*) > 0 AS sees_the_status FROM indexpilot.status();
SELECT indexpilot.disable('mischief');
SELECT indexpilot.enable();
SELECT indexpilot.attach();
INSERT INTO indexpilot.setting VALUES (1, 1, 'system', 'mischief', 'me', now());
DELETE FROM indexpilot.mutation_log;
CREATE FUNCTION indexpilot.mine() RETURNS int LANGUAGE sql AS 'SELECT 1';
SET indexpilot.create_index = 'auto';
RESET SESSION AUTHORIZATION;
GRANT EXECUTE ON FUNCTION indexpilot.disable(text, text) TO regress_indexpilot_user;
SET SESSION AUTHORIZATION regress_indexpilot_user;
\set VERBOSITY terse
SELECT indexpilot.disable('mischief') IS NULL AS never;
RESET SESSION AUTHORIZATION;
\set VERBOSITY default
UPDATE indexpilot.mutation_log SET reason = 'nothing happened';
REVOKE EXECUTE ON FUNCTION indexpilot.disable(text, text) FROM regress_indexpilot_user;
DROP ROLE regress_indexpilot_user;
