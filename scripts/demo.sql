-- A small table and a statement that has no index to use.
CREATE EXTENSION indexpilot;
SELECT indexpilot.version();
\dx indexpilot
