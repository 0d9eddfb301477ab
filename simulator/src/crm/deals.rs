//! Reads of sales.
use super::people::tenant;
use super::{Crm, Entry, Table, read, sql};
use crate::application::{DAY, Draw, EPOCH, date};
use crate::pattern::Area::{self, *};
use crate::pattern::Protocol::{self, *};
use crate::pattern::Step;
use crate::value::Value;
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

/// Any deal; the tenant follows from it.
pub(super) fn some_deal(crm: &Crm, d: &mut Draw<'_>) -> u64 {
    d.rng.random_range(1..=crm.rows(Table::Deals))
}

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "deal_by_id",
        Lookup,
        Prepared,
        250.0,
        &[sql("SELECT * FROM crm.deals WHERE id = $1")],
        |crm, d| vec![some_deal(crm, d).into()],
    ),
    entry(
        "deals_of_organization",
        Sales,
        Prepared,
        150.0,
        &[sql(
            "SELECT id, title, stage, amount FROM crm.deals WHERE organization_id = $1 ORDER BY created_at DESC",
        )],
        |crm, d| vec![crm.some_organization(d.tenant, d.rng).into()],
    ),
    entry(
        "deals_of_contact",
        Sales,
        Prepared,
        80.0,
        &[sql(
            "SELECT id, title, status, amount FROM crm.deals WHERE contact_id = $1",
        )],
        |crm, d| vec![crm.some_contact(d.tenant, d.rng).into()],
    ),
    entry(
        "pipeline",
        Sales,
        Prepared,
        80.0,
        &[sql(
            "SELECT stage, count(*), sum(amount) FROM crm.deals WHERE tenant_id = $1 AND status = 'open' GROUP BY stage",
        )],
        |_, d| vec![tenant(d)],
    ),
    entry(
        "open_deals_of_owner",
        Sales,
        Prepared,
        120.0,
        &[sql(
            "SELECT id, title, amount, closes_on FROM crm.deals WHERE tenant_id = $1 AND owner_id = $2 AND status = 'open' AND closes_on < $3 ORDER BY closes_on LIMIT 20",
        )],
        |crm, d| {
            let until = EPOCH + d.rng.random_range(0..90) * DAY;
            vec![
                tenant(d),
                crm.some_user(d.tenant, d.rng).into(),
                date(until).into(),
            ]
        },
    ),
    entry(
        "largest_open_deals",
        Sales,
        Prepared,
        100.0,
        &[sql(
            "SELECT id, title, amount FROM crm.deals WHERE tenant_id = $1 AND status = 'open' ORDER BY amount DESC LIMIT 10",
        )],
        |_, d| vec![tenant(d)],
    ),
    entry(
        "deals_closing_with_company",
        Sales,
        Simple,
        40.0,
        &[sql(
            "SELECT d.id, d.title, d.amount, o.name, u.display_name FROM crm.deals d JOIN crm.organizations o ON o.id = d.organization_id JOIN crm.users u ON u.id = d.owner_id WHERE d.tenant_id = $1 AND d.status = 'open' AND d.closes_on BETWEEN $2 AND $3 ORDER BY d.amount DESC LIMIT 20",
        )],
        |_, d| {
            let from = EPOCH + d.rng.random_range(-10..80) * DAY;
            vec![tenant(d), date(from).into(), date(from + 7 * DAY).into()]
        },
    ),
    entry(
        "won_in_month",
        Reporting,
        Prepared,
        20.0,
        &[sql(
            "SELECT sum(amount), count(*) FROM crm.deals WHERE tenant_id = $1 AND status = 'won' AND closes_on >= $2 AND closes_on < $3",
        )],
        |_, d| {
            let from = EPOCH - d.rng.random_range(30..400) * DAY;
            vec![tenant(d), date(from).into(), date(from + 30 * DAY).into()]
        },
    ),
];
