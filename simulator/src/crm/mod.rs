//! The CRM: a multi-tenant application with about seventy statement patterns.
//!
//! Reusable as a library: [`Crm::new`] at a [`Scenario`] gives the schema, rows, [`Pattern`]s with parameter
//! values, and the expert's index set; nothing here needs a server.
mod deals;
mod interactions;
mod organizations;
mod people;
mod rows;
mod sessions;
mod writes;

use crate::application::{Application, Draw, Grouped, TableRows, owners};
use crate::pattern::Pattern;
use crate::persona::Tenants;
use crate::random::{Purpose, stream};
use crate::scenario::Scenario;
use crate::value::Value;
pub use rows::{Contact, Table};
use std::sync::LazyLock;

type Entry = crate::application::Entry<Crm>;

/// The CRM at one size and seed.
pub struct Crm {
    seed: u64,
    tenants: Tenants,
    main: u64,
    user_tenant: Vec<u32>,
    users: Grouped,
    organization_tenant: Vec<u32>,
    organizations: Grouped,
    contact_tenant: Vec<u32>,
    contacts: Grouped,
}

impl Crm {
    /// The CRM of a scenario. Takes time and memory proportional to the number of contacts (8 bytes each).
    pub fn new(scenario: Scenario, seed: u64) -> Self {
        let tenants = Tenants::new(scenario.tenants(), seed);
        let (count, main) = (tenants.list().len(), scenario.main_rows());
        let by = |purpose: u8| {
            let tenants = &tenants;
            move |row: u64| tenants.draw_by_size(&mut stream(seed, Purpose::Table(purpose), row))
        };
        let user_tenant = owners(count, (main / 100).max(count as u64 * 3), by(110));
        let organization_tenant = owners(count, (main / 8).max(count as u64), by(111));
        let contact_tenant = owners(count, main, by(112));
        Crm {
            seed,
            main,
            users: Grouped::new(count, &user_tenant),
            organizations: Grouped::new(count, &organization_tenant),
            contacts: Grouped::new(count, &contact_tenant),
            tenants,
            user_tenant,
            organization_tenant,
            contact_tenant,
        }
    }

    /// Number of seeded rows of a table.
    pub fn rows(&self, table: Table) -> u64 {
        match table {
            Table::Tenants => self.tenants.list().len() as u64,
            Table::Users => self.user_tenant.len() as u64,
            Table::Sessions => self.main / 3,
            Table::Organizations => self.organization_tenant.len() as u64,
            Table::Contacts => self.main,
            Table::Interactions => self.main * 4,
            Table::Deals => self.main / 4,
            Table::Tags => self.tenants.list().len() as u64 * rows::TAGS,
            Table::ContactTags => self.main,
        }
    }
}

static ENTRIES: LazyLock<Vec<&'static Entry>> = LazyLock::new(|| {
    [
        sessions::ENTRIES,
        people::ENTRIES,
        organizations::ENTRIES,
        interactions::ENTRIES,
        deals::ENTRIES,
        writes::ENTRIES,
    ]
    .into_iter()
    .flatten()
    .collect()
});

const TABLES: [(Table, &str, &str, Option<&str>); 9] = [
    (
        Table::Tenants,
        "crm.tenants",
        "id, name, plan, region, created_at",
        Some("id"),
    ),
    (
        Table::Users,
        "crm.users",
        "id, tenant_id, email, display_name, role, active",
        Some("id"),
    ),
    (
        Table::Sessions,
        "crm.sessions",
        "id, tenant_id, user_id, token, created_at, last_seen_at, hits",
        Some("id"),
    ),
    (
        Table::Organizations,
        "crm.organizations",
        "id, tenant_id, name, industry, domain, city, employees, owner_id, parent_id, legacy_code, created_at",
        Some("id"),
    ),
    (
        Table::Contacts,
        "crm.contacts",
        "id, tenant_id, organization_id, owner_id, first_name, last_name, email, phone, fax, job_title, status, source, score, city, birthday, custom, created_at, updated_at, last_contacted_at",
        Some("id"),
    ),
    (
        Table::Interactions,
        "crm.interactions",
        "id, tenant_id, contact_id, user_id, kind, status, subject, occurred_at, due_at, external_ref, payload",
        Some("id"),
    ),
    (
        Table::Deals,
        "crm.deals",
        "id, tenant_id, organization_id, contact_id, owner_id, title, stage, status, amount, closes_on, view_count, created_at",
        Some("id"),
    ),
    (Table::Tags, "crm.tags", "id, tenant_id, name", Some("id")),
    (
        Table::ContactTags,
        "crm.contact_tags",
        "contact_id, tag_id",
        None,
    ),
];

impl Application for Crm {
    fn name(&self) -> &'static str {
        "crm"
    }
    fn schema_sql(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn foreign_keys_sql(&self) -> &'static str {
        include_str!("foreign_keys.sql")
    }
    fn tables(&self) -> Vec<TableRows> {
        TABLES
            .iter()
            .map(|(t, table, columns, identity)| TableRows {
                table,
                columns,
                rows: self.rows(*t),
                identity: *identity,
            })
            .collect()
    }
    fn copy_line(&self, table: usize, row: u64, out: &mut String) {
        self.line(TABLES[table].0, row, out)
            .expect("writing to a string");
    }
    fn patterns(&self) -> Vec<Pattern> {
        ENTRIES.iter().map(|e| e.pattern).collect()
    }
    fn values(&self, pattern: usize, draw: &mut Draw<'_>) -> Vec<Value> {
        (ENTRIES[pattern].values)(self, draw)
    }
    fn expert_sql(&self) -> &'static str {
        include_str!("expert.sql")
    }
    fn rare_columns(&self) -> &'static [&'static str] {
        &[
            "crm.contacts.fax",
            "crm.contacts.birthday",
            "crm.organizations.legacy_code",
            "crm.sessions.last_seen_at",
        ]
    }
    fn tenants(&self) -> &Tenants {
        &self.tenants
    }
}

/// A read of one statement.
const fn read(
    name: &'static str,
    area: crate::pattern::Area,
    protocol: crate::pattern::Protocol,
    weight: f64,
    steps: &'static [crate::pattern::Step],
) -> Pattern {
    Pattern::one(
        name,
        area,
        crate::pattern::Kind::Read,
        protocol,
        weight,
        steps,
    )
}

/// A write.
const fn write(
    name: &'static str,
    area: crate::pattern::Area,
    protocol: crate::pattern::Protocol,
    weight: f64,
    steps: &'static [crate::pattern::Step],
) -> Pattern {
    Pattern::one(
        name,
        area,
        crate::pattern::Kind::Write,
        protocol,
        weight,
        steps,
    )
}

/// A statement that takes all values in order.
const fn sql(sql: &'static str) -> crate::pattern::Step {
    crate::pattern::Step { sql, values: &[] }
}

/// A statement of a transaction with its own choice of the values.
const fn step(sql: &'static str, values: &'static [usize]) -> crate::pattern::Step {
    crate::pattern::Step { sql, values }
}
