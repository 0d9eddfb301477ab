-- Values that make no sense are refused, with the reason.
SET indexpilot.maintenance_window = '26:00-07';
SET indexpilot.maintenance_window = '02:00-02:00';
SET indexpilot.maintenance_window = '22:30-05:00';
SHOW indexpilot.maintenance_window;
RESET indexpilot.maintenance_window;
SET indexpilot.maintenance_days = 'mon-fri,caturday';
SET indexpilot.storage_budget = -5;
SET indexpilot.storage_budget = '10GB';
SHOW indexpilot.storage_budget;
RESET indexpilot.storage_budget;
SET indexpilot.exclude_schemas = 'a b';
SET indexpilot.create_index = 'sometimes';
SET indexpilot.enabled = off;
SET indexpilot.no_such_setting = 1;
