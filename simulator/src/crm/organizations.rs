//! Reads of companies.
use super::people::tenant;
use super::{Crm, Entry, read, sql};
use crate::application::Draw;
use crate::pattern::Area::{self, *};
use crate::pattern::Protocol::{self, *};
use crate::pattern::Step;
use crate::random::{hot_index, pick};
use crate::value::Value;
use crate::words::{COMPANY_HEAD, COMPANY_TAIL, INDUSTRY};
use rand::RngExt;

const fn entry(
    name: &'static str,
    area: Area,
    protocol: Protocol,
    weight: f64,
    steps: &'static [Step],
    values: fn(&Crm, &mut Draw<'_>) -> Vec<Value>,
) -> Entry {
    Entry {
        pattern: read(name, area, protocol, weight, steps),
        values,
    }
}

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "organization_by_id",
        Lookup,
        Prepared,
        300.0,
        &[sql(
            "SELECT * FROM crm.organizations WHERE tenant_id = $1 AND id = $2",
        )],
        |crm, d| vec![tenant(d), crm.some_organization(d.tenant, d.rng).into()],
    ),
    entry(
        "organization_by_domain",
        Email,
        Prepared,
        120.0,
        &[sql(
            "SELECT id, name FROM crm.organizations WHERE tenant_id = $1 AND domain = $2",
        )],
        |crm, d| {
            vec![
                tenant(d),
                crm.organization(crm.some_organization(d.tenant, d.rng))
                    .1
                    .into(),
            ]
        },
    ),
    entry(
        "organizations_by_name_prefix",
        NameSearch,
        Simple,
        120.0,
        &[sql(
            "SELECT id, name, city FROM crm.organizations WHERE tenant_id = $1 AND name LIKE $2 ORDER BY name LIMIT 20",
        )],
        |_, d| vec![tenant(d), format!("{}%", pick(COMPANY_HEAD, d.rng)).into()],
    ),
    entry(
        "organizations_by_name_infix",
        Infix,
        Simple,
        80.0,
        &[sql(
            "SELECT id, name, city FROM crm.organizations WHERE tenant_id = $1 AND name ILIKE $2 LIMIT 20",
        )],
        |_, d| {
            vec![
                tenant(d),
                format!("%{}%", pick(COMPANY_TAIL, d.rng).to_lowercase()).into(),
            ]
        },
    ),
    entry(
        "organizations_by_industry",
        Segment,
        Prepared,
        70.0,
        &[sql(
            "SELECT id, name, employees FROM crm.organizations WHERE tenant_id = $1 AND industry = $2 ORDER BY employees DESC LIMIT 20",
        )],
        |_, d| vec![tenant(d), INDUSTRY[hot_index(INDUSTRY.len(), d.rng)].into()],
    ),
    entry(
        "subsidiaries",
        Lookup,
        Prepared,
        50.0,
        &[sql(
            "SELECT id, name FROM crm.organizations WHERE parent_id = $1",
        )],
        |crm, d| vec![crm.some_organization(d.tenant, d.rng).into()],
    ),
    entry(
        "organizations_of_owner",
        Reporting,
        Prepared,
        40.0,
        &[sql(
            "SELECT o.id, o.name, count(c.id) FROM crm.organizations o LEFT JOIN crm.contacts c ON c.organization_id = o.id WHERE o.tenant_id = $1 AND o.owner_id = $2 GROUP BY o.id, o.name ORDER BY o.name LIMIT 20",
        )],
        |crm, d| {
            // People further down the list own fewer companies.
            let list = crm.users.of(d.tenant);
            let at = list.len() / 4 + d.rng.random_range(0..(list.len() - list.len() / 4).max(1));
            vec![tenant(d), u64::from(list[at.min(list.len() - 1)]).into()]
        },
    ),
    entry(
        "legacy_code_lookup",
        Rare,
        Prepared,
        0.3,
        &[sql(
            "SELECT id, name FROM crm.organizations WHERE legacy_code = $1",
        )],
        |_, d| vec![format!("L{:06}", d.rng.random_range(0..1_000_000)).into()],
    ),
];
