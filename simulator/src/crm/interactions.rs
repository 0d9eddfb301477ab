//! Reads of interactions: timelines, tasks, integrations.
use super::people::{recent, tenant};
use super::{Crm, Entry, read, rows, sql};
use crate::application::{DAY, Draw, EPOCH, timestamp};
use crate::pattern::Area::{self, *};
use crate::pattern::Protocol::{self, *};
use crate::pattern::Step;
use crate::random::{hot_index, pick};
use crate::value::Value;
use crate::words::WORD;

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

/// A recent interaction of any tenant: webhooks know no tenant.
fn message(crm: &Crm, d: &mut Draw<'_>) -> u64 {
    let n = crm.rows(super::Table::Interactions);
    n - hot_index(n as usize, d.rng) as u64
}

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "timeline_of_contact",
        Timeline,
        Prepared,
        800.0,
        &[sql(
            "SELECT id, kind, subject, occurred_at FROM crm.interactions WHERE tenant_id = $1 AND contact_id = $2 ORDER BY occurred_at DESC LIMIT 20",
        )],
        |crm, d| vec![tenant(d), crm.some_contact(d.tenant, d.rng).into()],
    ),
    entry(
        "feed_of_tenant",
        Listing,
        Prepared,
        300.0,
        &[sql(
            "SELECT id, contact_id, kind, subject, occurred_at FROM crm.interactions WHERE tenant_id = $1 ORDER BY occurred_at DESC LIMIT 30",
        )],
        |_, d| vec![tenant(d)],
    ),
    entry(
        "open_tasks_of_user",
        Tasks,
        Prepared,
        350.0,
        &[sql(
            "SELECT id, contact_id, subject, due_at FROM crm.interactions WHERE tenant_id = $1 AND user_id = $2 AND kind = 'task' AND status = 'open' ORDER BY due_at LIMIT 25",
        )],
        |crm, d| vec![tenant(d), crm.some_user(d.tenant, d.rng).into()],
    ),
    entry(
        "overdue_tasks",
        Tasks,
        Prepared,
        100.0,
        &[sql(
            "SELECT count(*) FROM crm.interactions WHERE tenant_id = $1 AND status = 'open' AND due_at < $2",
        )],
        |_, d| vec![tenant(d), timestamp(EPOCH + d.elapsed).into()],
    ),
    entry(
        "interaction_by_external_ref",
        Integration,
        Prepared,
        350.0,
        &[sql(
            "SELECT id, tenant_id, contact_id, status FROM crm.interactions WHERE external_ref = $1",
        )],
        |crm, d| vec![rows::external_ref(message(crm, d)).into()],
    ),
    entry(
        "thread",
        Integration,
        Prepared,
        120.0,
        &[sql(
            "SELECT id, contact_id, subject, occurred_at FROM crm.interactions WHERE payload->>'thread_id' = $1 ORDER BY occurred_at",
        )],
        |crm, d| vec![rows::thread(message(crm, d)).into()],
    ),
    entry(
        "activity_by_user",
        Reporting,
        Prepared,
        30.0,
        &[sql(
            "SELECT user_id, count(*) FROM crm.interactions WHERE tenant_id = $1 AND occurred_at >= $2 AND occurred_at < $3 GROUP BY user_id ORDER BY 2 DESC LIMIT 10",
        )],
        |_, d| {
            let at = recent(300, d);
            vec![
                tenant(d),
                timestamp(at - 3 * DAY).into(),
                timestamp(at).into(),
            ]
        },
    ),
    entry(
        "meetings_between",
        Reporting,
        Simple,
        50.0,
        &[sql(
            "SELECT i.id, i.subject, i.occurred_at, c.first_name, c.last_name FROM crm.interactions i JOIN crm.contacts c ON c.id = i.contact_id WHERE i.tenant_id = $1 AND i.kind = 'meeting' AND i.occurred_at >= $2 AND i.occurred_at < $3 ORDER BY i.occurred_at LIMIT 50",
        )],
        |_, d| {
            let at = recent(300, d);
            vec![
                tenant(d),
                timestamp(at - 7 * DAY).into(),
                timestamp(at).into(),
            ]
        },
    ),
    entry(
        "subjects_infix",
        Infix,
        Simple,
        20.0,
        &[sql(
            "SELECT id, subject, occurred_at FROM crm.interactions WHERE tenant_id = $1 AND subject ILIKE $2 LIMIT 20",
        )],
        |_, d| {
            vec![
                tenant(d),
                format!("%{} {}%", pick(WORD, d.rng), pick(WORD, d.rng)).into(),
            ]
        },
    ),
    entry(
        "last_touch_of_organization",
        Timeline,
        Prepared,
        80.0,
        &[sql(
            "SELECT c.id, c.last_name, t.occurred_at FROM crm.contacts c LEFT JOIN LATERAL (SELECT i.occurred_at FROM crm.interactions i WHERE i.contact_id = c.id ORDER BY i.occurred_at DESC LIMIT 1) t ON true WHERE c.organization_id = $1",
        )],
        |crm, d| vec![crm.some_organization(d.tenant, d.rng).into()],
    ),
    entry(
        "timeline_of_organization",
        Timeline,
        Prepared,
        100.0,
        &[sql(
            "SELECT i.id, i.subject, i.occurred_at, c.last_name FROM crm.interactions i JOIN crm.contacts c ON c.id = i.contact_id WHERE c.organization_id = $1 ORDER BY i.occurred_at DESC LIMIT 20",
        )],
        |crm, d| vec![crm.some_organization(d.tenant, d.rng).into()],
    ),
    entry(
        "silent_contacts",
        Reporting,
        Prepared,
        15.0,
        &[sql(
            "SELECT c.id, c.last_name FROM crm.contacts c WHERE c.tenant_id = $1 AND c.organization_id = $2 AND NOT EXISTS (SELECT 1 FROM crm.interactions i WHERE i.contact_id = c.id AND i.occurred_at > $3)",
        )],
        |crm, d| {
            vec![
                tenant(d),
                crm.some_organization(d.tenant, d.rng).into(),
                timestamp(recent(200, d)).into(),
            ]
        },
    ),
];
