ALTER TABLE crm.users ADD FOREIGN KEY (tenant_id) REFERENCES crm.tenants ON DELETE CASCADE;
ALTER TABLE crm.sessions ADD FOREIGN KEY (user_id) REFERENCES crm.users ON DELETE CASCADE;
ALTER TABLE crm.organizations ADD FOREIGN KEY (tenant_id) REFERENCES crm.tenants ON DELETE CASCADE;
ALTER TABLE crm.contacts ADD FOREIGN KEY (organization_id) REFERENCES crm.organizations ON DELETE SET NULL;
ALTER TABLE crm.interactions ADD FOREIGN KEY (contact_id) REFERENCES crm.contacts ON DELETE CASCADE;
ALTER TABLE crm.deals ADD FOREIGN KEY (organization_id) REFERENCES crm.organizations ON DELETE CASCADE;
ALTER TABLE crm.deals ADD FOREIGN KEY (contact_id) REFERENCES crm.contacts ON DELETE SET NULL;
ALTER TABLE crm.contact_tags ADD FOREIGN KEY (contact_id) REFERENCES crm.contacts ON DELETE CASCADE;
ALTER TABLE crm.contact_tags ADD FOREIGN KEY (tag_id) REFERENCES crm.tags ON DELETE CASCADE;
