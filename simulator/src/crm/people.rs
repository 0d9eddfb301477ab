//! Reads of contacts: by key, by e-mail, by name, by number, by segment, in pages.
use super::{Crm, Entry, read, rows, sql};
use crate::application::{DAY, Draw, EPOCH, timestamp};
use crate::pattern::Area::{self, *};
use crate::pattern::Protocol::{self, *};
use crate::pattern::{Pattern, Step};
use crate::random::pick;
use crate::value::Value;
use crate::words::CITY;
use rand::RngExt;

/// Key of the tenant as the application sends it.
pub(super) fn tenant(d: &Draw<'_>) -> Value {
    (d.tenant as u64 + 1).into()
}

fn person(crm: &Crm, d: &mut Draw<'_>) -> super::Contact {
    let id = crm.some_contact(d.tenant, d.rng);
    crm.contact(id)
}

/// Seconds since 1970 of a random moment in the last `days` of the seeded history.
pub(super) fn recent(days: i64, d: &mut Draw<'_>) -> i64 {
    EPOCH - d.rng.random_range(0..days * DAY)
}

const fn entry(
    name: &'static str,
    area: Area,
    protocol: Protocol,
    weight: f64,
    steps: &'static [Step],
    values: fn(&Crm, &mut Draw<'_>) -> Vec<Value>,
) -> Entry {
    let pattern: Pattern = read(name, area, protocol, weight, steps);
    Entry { pattern, values }
}

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "contact_by_id",
        Lookup,
        Prepared,
        900.0,
        &[sql(
            "SELECT * FROM crm.contacts WHERE tenant_id = $1 AND id = $2",
        )],
        |crm, d| vec![tenant(d), crm.some_contact(d.tenant, d.rng).into()],
    ),
    entry(
        "contacts_by_ids",
        Lookup,
        Simple,
        150.0,
        &[sql(
            "SELECT id, first_name, last_name, email FROM crm.contacts WHERE tenant_id = $1 AND id IN ($2, $3, $4, $5, $6)",
        )],
        |crm, d| {
            let mut values = vec![tenant(d)];
            values.extend((0..5).map(|_| Value::from(crm.some_contact(d.tenant, d.rng))));
            values
        },
    ),
    entry(
        "contact_by_email_any_case",
        Email,
        Prepared,
        450.0,
        &[sql(
            "SELECT id, first_name, last_name, status FROM crm.contacts WHERE tenant_id = $1 AND lower(email) = $2",
        )],
        |crm, d| vec![tenant(d), person(crm, d).email.to_lowercase().into()],
    ),
    entry(
        "contact_by_email_exact",
        Email,
        Simple,
        100.0,
        &[sql("SELECT id FROM crm.contacts WHERE email = $1")],
        |crm, d| vec![person(crm, d).email.into()],
    ),
    entry(
        "contacts_by_name_prefix",
        NameSearch,
        Simple,
        250.0,
        &[sql(
            "SELECT id, first_name, last_name, email FROM crm.contacts WHERE tenant_id = $1 AND last_name LIKE $2 ORDER BY last_name, first_name LIMIT 20",
        )],
        |crm, d| {
            let length = d.rng.random_range(4..7);
            let last = person(crm, d).last;
            vec![
                tenant(d),
                format!("{}%", &last[..length.min(last.len())]).into(),
            ]
        },
    ),
    entry(
        "contacts_by_name_prefix_any_case",
        NameSearch,
        Prepared,
        250.0,
        &[sql(
            "SELECT id, first_name, last_name FROM crm.contacts WHERE tenant_id = $1 AND lower(last_name) LIKE $2 LIMIT 20",
        )],
        |crm, d| {
            let length = d.rng.random_range(5..8);
            let last = person(crm, d).last.to_lowercase();
            vec![
                tenant(d),
                format!("{}%", &last[..length.min(last.len())]).into(),
            ]
        },
    ),
    entry(
        "contact_by_phone",
        Phone,
        Prepared,
        180.0,
        &[sql(
            "SELECT id, first_name, last_name FROM crm.contacts WHERE tenant_id = $1 AND phone = $2",
        )],
        |crm, d| vec![tenant(d), person(crm, d).phone.into()],
    ),
    entry(
        "contact_duplicates",
        Email,
        Prepared,
        50.0,
        &[sql(
            "SELECT id, email FROM crm.contacts WHERE tenant_id = $1 AND first_name = $2 AND last_name = $3 AND city = $4",
        )],
        |crm, d| {
            let p = person(crm, d);
            vec![tenant(d), p.first.into(), p.last.into(), p.city.into()]
        },
    ),
    entry(
        "contacts_latest",
        Listing,
        Prepared,
        350.0,
        &[sql(
            "SELECT id, first_name, last_name, status, created_at FROM crm.contacts WHERE tenant_id = $1 ORDER BY created_at DESC LIMIT 50",
        )],
        |_, d| vec![tenant(d)],
    ),
    entry(
        "contacts_next_page",
        Listing,
        Prepared,
        120.0,
        &[sql(
            "SELECT id, first_name, last_name, status, created_at FROM crm.contacts WHERE tenant_id = $1 AND created_at < $2 ORDER BY created_at DESC LIMIT 50",
        )],
        |_, d| vec![tenant(d), timestamp(recent(700, d)).into()],
    ),
    entry(
        "contacts_alphabetical_page",
        Listing,
        Simple,
        40.0,
        &[sql(
            "SELECT id, first_name, last_name FROM crm.contacts WHERE tenant_id = $1 ORDER BY last_name, first_name LIMIT 25 OFFSET $2",
        )],
        |_, d| vec![tenant(d), (d.rng.random_range(0..8i64) * 25).into()],
    ),
    entry(
        "leads_by_score",
        Segment,
        Prepared,
        100.0,
        &[sql(
            "SELECT id, first_name, last_name, score FROM crm.contacts WHERE tenant_id = $1 AND status = 'lead' ORDER BY score DESC LIMIT 20",
        )],
        |_, d| vec![tenant(d)],
    ),
    entry(
        "contacts_of_organization",
        Lookup,
        Prepared,
        350.0,
        &[sql(
            "SELECT id, first_name, last_name, job_title FROM crm.contacts WHERE tenant_id = $1 AND organization_id = $2 ORDER BY last_name",
        )],
        |crm, d| vec![tenant(d), crm.some_organization(d.tenant, d.rng).into()],
    ),
    entry(
        "contacts_of_owner",
        Listing,
        Prepared,
        80.0,
        &[sql(
            "SELECT id, first_name, last_name, last_contacted_at FROM crm.contacts WHERE tenant_id = $1 AND owner_id = $2 AND status = 'lead' ORDER BY created_at DESC LIMIT 25",
        )],
        |crm, d| vec![tenant(d), crm.some_user(d.tenant, d.rng).into()],
    ),
    entry(
        "contact_by_account_code",
        CustomCode,
        Prepared,
        120.0,
        &[sql(
            "SELECT id, first_name, last_name FROM crm.contacts WHERE tenant_id = $1 AND custom->>'account_code' = $2",
        )],
        |crm, d| {
            vec![
                tenant(d),
                rows::account_code(crm.some_contact(d.tenant, d.rng)).into(),
            ]
        },
    ),
    entry(
        "contact_by_membership",
        CustomMember,
        Prepared,
        100.0,
        &[sql(
            "SELECT id, first_name, last_name FROM crm.contacts WHERE tenant_id = $1 AND custom->>'membership_no' = $2",
        )],
        |crm, d| {
            vec![
                tenant(d),
                rows::membership(crm.some_contact(d.tenant, d.rng)).into(),
            ]
        },
    ),
    entry(
        "contacts_by_custom_fields",
        CustomTags,
        Simple,
        40.0,
        &[sql(
            "SELECT id, first_name, last_name FROM crm.contacts WHERE tenant_id = $1 AND custom @> $2 ORDER BY id LIMIT 50",
        )],
        |_, d| {
            let segment = pick(&["gold", "silver", "bronze", "vip", "trial"], d.rng);
            vec![
                tenant(d),
                format!(
                    "{{\"segment\": \"{segment}{}\"}}",
                    d.rng.random_range(1..80)
                )
                .into(),
            ]
        },
    ),
    entry(
        "contacts_in_city",
        Segment,
        Prepared,
        50.0,
        &[sql(
            "SELECT count(*) FROM crm.contacts WHERE tenant_id = $1 AND city = $2",
        )],
        |_, d| vec![tenant(d), pick(CITY, d.rng).into()],
    ),
    entry(
        "contacts_created_between",
        Reporting,
        Prepared,
        40.0,
        &[sql(
            "SELECT count(*) FROM crm.contacts WHERE tenant_id = $1 AND created_at >= $2 AND created_at < $3",
        )],
        |_, d| {
            let at = recent(600, d);
            vec![
                tenant(d),
                timestamp(at - 14 * DAY).into(),
                timestamp(at).into(),
            ]
        },
    ),
    entry(
        "referrals_since",
        Segment,
        Prepared,
        30.0,
        &[sql(
            "SELECT id, first_name, last_name, created_at FROM crm.contacts WHERE tenant_id = $1 AND source = 'referral' AND created_at >= $2 ORDER BY created_at DESC",
        )],
        |_, d| vec![tenant(d), timestamp(recent(90, d)).into()],
    ),
    entry(
        "contacts_changed_since",
        Sync,
        Prepared,
        80.0,
        &[sql(
            "SELECT id, email, status, updated_at FROM crm.contacts WHERE tenant_id = $1 AND updated_at > $2 ORDER BY updated_at LIMIT 100",
        )],
        |_, d| vec![tenant(d), timestamp(recent(20, d)).into()],
    ),
    entry(
        "people_and_company",
        Lookup,
        Prepared,
        150.0,
        &[sql(
            "SELECT c.first_name, c.last_name, o.name, o.industry FROM crm.contacts c LEFT JOIN crm.organizations o ON o.id = c.organization_id WHERE c.id = $1",
        )],
        |crm, d| vec![crm.some_contact(d.tenant, d.rng).into()],
    ),
    entry(
        "fax_report",
        Rare,
        Simple,
        0.3,
        &[sql("SELECT count(*) FROM crm.contacts WHERE fax LIKE $1")],
        |_, d| vec![format!("fax {}%", d.rng.random_range(10..99)).into()],
    ),
    entry(
        "birthdays",
        Rare,
        Prepared,
        0.3,
        &[sql(
            "SELECT id, first_name, last_name FROM crm.contacts WHERE birthday BETWEEN $1 AND $2",
        )],
        |_, d| {
            let at = -d.rng.random_range(0..14_000) * DAY;
            vec![
                crate::application::date(at).into(),
                crate::application::date(at + 7 * DAY).into(),
            ]
        },
    ),
    entry(
        "contacts_by_name_infix",
        Infix,
        Simple,
        25.0,
        &[sql(
            "SELECT id, first_name, last_name FROM crm.contacts WHERE tenant_id = $1 AND last_name ILIKE $2 LIMIT 30",
        )],
        |crm, d| {
            let last = person(crm, d).last.to_lowercase();
            let from = d.rng.random_range(1..3.min(last.len() - 4).max(2));
            vec![
                tenant(d),
                format!("%{}%", &last[from..(from + 5).min(last.len())]).into(),
            ]
        },
    ),
];
