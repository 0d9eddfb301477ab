CREATE INDEX ON crm.sessions (token);
CREATE INDEX ON crm.sessions (user_id, created_at);
CREATE INDEX ON crm.users (lower(email));
CREATE INDEX ON crm.users (tenant_id, display_name) WHERE active;
CREATE INDEX ON crm.tags (tenant_id, name);
CREATE INDEX ON crm.contact_tags (tag_id, contact_id);

CREATE INDEX ON crm.contacts (lower(email));
CREATE INDEX ON crm.contacts (email);
-- Covering, or the planner would walk the alphabetical index for "LIKE ... ORDER BY ... LIMIT" and filter.
CREATE INDEX ON crm.contacts (tenant_id, last_name text_pattern_ops) INCLUDE (first_name, email, id);
CREATE INDEX ON crm.contacts (tenant_id, last_name, first_name);
CREATE INDEX ON crm.contacts (tenant_id, lower(last_name) text_pattern_ops);
CREATE INDEX ON crm.contacts (phone);
CREATE INDEX ON crm.contacts (tenant_id, created_at);
CREATE INDEX ON crm.contacts (tenant_id, score) WHERE status = 'lead';
CREATE INDEX ON crm.contacts (organization_id, last_name);
CREATE INDEX ON crm.contacts (tenant_id, owner_id, created_at) WHERE status = 'lead';
CREATE INDEX ON crm.contacts ((custom->>'account_code'));
CREATE INDEX ON crm.contacts ((custom->>'membership_no'));
CREATE INDEX ON crm.contacts USING gin (custom jsonb_path_ops);
CREATE INDEX ON crm.contacts (tenant_id, city);
CREATE INDEX ON crm.contacts (tenant_id, created_at) WHERE source = 'referral';
CREATE INDEX ON crm.contacts (tenant_id, updated_at);
CREATE INDEX ON crm.contacts USING gin (last_name gin_trgm_ops);

CREATE INDEX ON crm.organizations (domain);
CREATE INDEX ON crm.organizations (tenant_id, name text_pattern_ops);
CREATE INDEX ON crm.organizations USING gin (name gin_trgm_ops);
CREATE INDEX ON crm.organizations (tenant_id, industry, employees);
CREATE INDEX ON crm.organizations (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX ON crm.organizations (tenant_id, owner_id, name);

CREATE INDEX ON crm.interactions (contact_id, occurred_at);
CREATE INDEX ON crm.interactions (tenant_id, occurred_at);
CREATE INDEX ON crm.interactions (tenant_id, user_id, due_at) WHERE kind = 'task' AND status = 'open';
CREATE INDEX ON crm.interactions (tenant_id, due_at) WHERE status = 'open';
CREATE INDEX ON crm.interactions (external_ref) WHERE external_ref IS NOT NULL;
CREATE INDEX ON crm.interactions ((payload->>'thread_id'));
CREATE INDEX ON crm.interactions (tenant_id, occurred_at) WHERE kind = 'meeting';
CREATE INDEX ON crm.interactions USING gin (subject gin_trgm_ops);

CREATE INDEX ON crm.deals (organization_id);
CREATE INDEX ON crm.deals (contact_id);
CREATE INDEX ON crm.deals (tenant_id, stage) INCLUDE (amount) WHERE status = 'open';
CREATE INDEX ON crm.deals (tenant_id, owner_id, closes_on) WHERE status = 'open';
CREATE INDEX ON crm.deals (tenant_id, amount) WHERE status = 'open';
CREATE INDEX ON crm.deals (tenant_id, closes_on) WHERE status = 'open';
CREATE INDEX ON crm.deals (tenant_id, status, closes_on);
