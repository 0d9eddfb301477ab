//! Writes: what people change, what changes all the time, what goes away.
use super::deals::some_deal;
use super::people::tenant;
use super::{Crm, Entry, Table, rows, sql, step, write};
use crate::application::{DAY, Draw, EPOCH, date, timestamp};
use crate::pattern::Area::{self, *};
use crate::pattern::Protocol::{self, *};
use crate::pattern::Step;
use crate::random::{hot_index, mix, pick};
use crate::value::Value;
use crate::words::{CITY, FIRST, WORD};
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
        pattern: write(name, area, protocol, weight, steps),
        values,
    }
}

fn now(d: &Draw<'_>) -> Value {
    timestamp(EPOCH + d.elapsed).into()
}

/// A contact that reads never ask for.
fn disposable(crm: &Crm, d: &Draw<'_>) -> u64 {
    let n = crm.main / rows::DISPOSABLE;
    (mix(d.serial) % n + 1) * rows::DISPOSABLE
}

const NEW_INTERACTION: &str = "INSERT INTO crm.interactions (tenant_id, contact_id, user_id, kind, status, subject, occurred_at, due_at, external_ref, payload) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

/// tenant, contact, user, kind, status, subject, occurred, due, reference, payload.
fn interaction(crm: &Crm, d: &mut Draw<'_>) -> Vec<Value> {
    let kind = pick(&["email", "email", "call", "note", "task"], d.rng);
    let due = if kind == "task" {
        timestamp(EPOCH + d.elapsed + 5 * DAY).into()
    } else {
        Value::Null
    };
    let (reference, payload) = if kind == "email" {
        (
            format!("new-{:x}", mix(d.serial)).into(),
            format!(
                "{{\"thread_id\": \"th-n{:x}\", \"size\": 900}}",
                mix(d.serial)
            ),
        )
    } else {
        (Value::Null, "{}".to_owned())
    };
    vec![
        tenant(d),
        crm.some_contact(d.tenant, d.rng).into(),
        crm.some_user(d.tenant, d.rng).into(),
        kind.into(),
        if kind == "task" { "open" } else { "done" }.into(),
        format!("{} {}", pick(WORD, d.rng), pick(WORD, d.rng)).into(),
        now(d),
        due,
        reference,
        payload.into(),
    ]
}

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "add_interaction",
        Edit,
        Prepared,
        350.0,
        &[sql(NEW_INTERACTION)],
        interaction,
    ),
    entry(
        "log_call",
        Edit,
        Prepared,
        120.0,
        &[
            step(NEW_INTERACTION, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
            step(
                "UPDATE crm.contacts SET last_contacted_at = $1 WHERE tenant_id = $2 AND id = $3",
                &[6, 0, 1],
            ),
        ],
        interaction,
    ),
    entry(
        "add_contact",
        Edit,
        Prepared,
        80.0,
        &[
            step(
                "SELECT id FROM crm.contacts WHERE tenant_id = $1 AND lower(email) = $2",
                &[0, 5],
            ),
            step(
                "INSERT INTO crm.contacts (tenant_id, organization_id, owner_id, first_name, last_name, email, phone, status, source, city, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'lead', 'web', $8, $9, $9)",
                &[0, 1, 2, 3, 4, 5, 6, 7, 8],
            ),
        ],
        |crm, d| {
            let (first, last) = (pick(FIRST, d.rng), rows::last_name(d.rng));
            vec![
                tenant(d),
                crm.some_organization(d.tenant, d.rng).into(),
                crm.some_user(d.tenant, d.rng).into(),
                first.into(),
                last.clone().into(),
                format!("{first}.{last}.n{:x}@new.example", d.serial)
                    .to_lowercase()
                    .into(),
                format!("+00 {:012}", mix(d.serial) % 1_000_000_000_000).into(),
                CITY[hot_index(CITY.len(), d.rng)].into(),
                now(d),
            ]
        },
    ),
    entry(
        "add_deal",
        Edit,
        Prepared,
        50.0,
        &[sql(
            "INSERT INTO crm.deals (tenant_id, organization_id, contact_id, owner_id, title, stage, status, amount, closes_on, created_at) VALUES ($1, $2, $3, $4, $5, 'qualify', 'open', $6, $7, $8)",
        )],
        |crm, d| {
            vec![
                tenant(d),
                crm.some_organization(d.tenant, d.rng).into(),
                crm.some_contact(d.tenant, d.rng).into(),
                crm.some_user(d.tenant, d.rng).into(),
                format!("{} {}", pick(WORD, d.rng), pick(WORD, d.rng)).into(),
                d.rng.random_range(100..100_000i64).into(),
                date(EPOCH + d.rng.random_range(5..90) * DAY).into(),
                now(d),
            ]
        },
    ),
    entry(
        "sign_in",
        Session,
        Prepared,
        40.0,
        &[sql(
            "INSERT INTO crm.sessions (tenant_id, user_id, token, created_at, last_seen_at) VALUES ($1, $2, $3, $4, $4)",
        )],
        |crm, d| {
            vec![
                tenant(d),
                crm.some_user(d.tenant, d.rng).into(),
                format!("s{:x}", mix(d.serial)).into(),
                now(d),
            ]
        },
    ),
    entry(
        "touch_session",
        Hot,
        Prepared,
        500.0,
        &[sql(
            "UPDATE crm.sessions SET last_seen_at = $1, hits = hits + 1 WHERE id = $2",
        )],
        |crm, d| {
            let n = crm.rows(Table::Sessions);
            vec![now(d), (n - hot_index(n as usize, d.rng) as u64).into()]
        },
    ),
    entry(
        "count_deal_view",
        Hot,
        Prepared,
        200.0,
        &[sql(
            "UPDATE crm.deals SET view_count = view_count + 1 WHERE id = $1",
        )],
        |crm, d| vec![some_deal(crm, d).into()],
    ),
    entry(
        "set_score",
        Hot,
        Prepared,
        150.0,
        &[sql(
            "UPDATE crm.contacts SET score = $1 WHERE tenant_id = $2 AND id = $3",
        )],
        |crm, d| {
            vec![
                d.rng.random_range(0..1000i64).into(),
                tenant(d),
                crm.some_contact(d.tenant, d.rng).into(),
            ]
        },
    ),
    entry(
        "edit_contact",
        Edit,
        Simple,
        80.0,
        &[sql(
            "UPDATE crm.contacts SET job_title = $1, updated_at = $2 WHERE tenant_id = $3 AND id = $4",
        )],
        |crm, d| {
            vec![
                pick(&["Buyer", "CEO", "CFO", "Owner", "It's complicated"], d.rng).into(),
                now(d),
                tenant(d),
                crm.some_contact(d.tenant, d.rng).into(),
            ]
        },
    ),
    entry(
        "edit_contact_by_email",
        Edit,
        Prepared,
        30.0,
        &[sql(
            "UPDATE crm.contacts SET phone = $1, updated_at = $2 WHERE tenant_id = $3 AND lower(email) = $4",
        )],
        |crm, d| {
            let id = crm.some_contact(d.tenant, d.rng);
            vec![
                crm.contact(id).phone.into(),
                now(d),
                tenant(d),
                crm.contact(id).email.to_lowercase().into(),
            ]
        },
    ),
    entry(
        "move_deal",
        Edit,
        Prepared,
        60.0,
        &[sql(
            "UPDATE crm.deals SET stage = $1 WHERE id = $2 AND status = 'open'",
        )],
        |crm, d| {
            vec![
                pick(&["qualify", "demo", "proposal", "negotiate"], d.rng).into(),
                some_deal(crm, d).into(),
            ]
        },
    ),
    entry(
        "complete_task",
        Tasks,
        Prepared,
        60.0,
        &[sql(
            "UPDATE crm.interactions SET status = 'done' WHERE id = $1 AND status = 'open'",
        )],
        |crm, d| {
            let n = crm.rows(Table::Interactions);
            vec![(n - hot_index(n as usize, d.rng) as u64).into()]
        },
    ),
    entry(
        "message_bounced",
        Integration,
        Prepared,
        25.0,
        &[sql(
            "UPDATE crm.interactions SET status = 'cancelled' WHERE external_ref = $1",
        )],
        |crm, d| {
            let n = crm.rows(Table::Interactions);
            vec![rows::external_ref(n - hot_index(n as usize, d.rng) as u64).into()]
        },
    ),
    entry(
        "label_contact",
        Edit,
        Prepared,
        50.0,
        &[sql(
            "INSERT INTO crm.contact_tags (contact_id, tag_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )],
        |crm, d| {
            vec![
                crm.some_contact(d.tenant, d.rng).into(),
                (d.tenant as u64 * rows::TAGS + d.rng.random_range(1..=rows::TAGS)).into(),
            ]
        },
    ),
    entry(
        "sign_out_everywhere",
        Remove,
        Prepared,
        6.0,
        &[sql(
            "DELETE FROM crm.sessions WHERE user_id = $1 AND created_at < $2",
        )],
        |crm, d| {
            vec![
                crm.some_user(d.tenant, d.rng).into(),
                timestamp(EPOCH - rows::HISTORY + DAY).into(),
            ]
        },
    ),
    entry(
        "delete_contact",
        Remove,
        Prepared,
        5.0,
        &[sql("DELETE FROM crm.contacts WHERE id = $1")],
        |crm, d| vec![disposable(crm, d).into()],
    ),
    entry(
        "delete_tag",
        Remove,
        Simple,
        0.4,
        &[sql("DELETE FROM crm.contact_tags WHERE tag_id = $1")],
        |_, d| vec![(d.tenant as u64 * rows::TAGS + rows::TAGS).into()],
    ),
];
