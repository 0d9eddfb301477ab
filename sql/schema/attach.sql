-- From the commit on, this database is looked after.
SELECT indexpilot.attach();
