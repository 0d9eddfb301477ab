-- Switching off and on, and what the log says of it.
SELECT module, desired, actual FROM indexpilot.status() WHERE module IN ('system', 'genome');
SELECT indexpilot.disable('a test', 'genome');
SELECT indexpilot.disable('a test', 'genome');
SELECT desired, actual, reason LIKE 'disabled by %: a test' AS says_why
FROM indexpilot.status() WHERE module = 'genome';
BEGIN;
SELECT indexpilot.disable('not meant');
ROLLBACK;
SELECT indexpilot.enable('genome', 'the test is over');
SELECT desired, actual, reason FROM indexpilot.status() WHERE module = 'genome';
SELECT kind, evidence->>'part' AS part, reason FROM indexpilot.mutation_log
WHERE kind LIKE 'SYSTEM%' ORDER BY sequence;
SELECT * FROM indexpilot.verify_log();
SELECT indexpilot.disable('');
SELECT indexpilot.disable(NULL);
SELECT indexpilot.disable('a test', 'everything');
