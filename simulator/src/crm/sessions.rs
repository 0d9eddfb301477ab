//! What comes with every request: sessions, sign-in, labels.
use super::{Entry, read, rows, sql};
use crate::pattern::{Area, Protocol};
use crate::random::hot_index;
use rand::RngExt;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        pattern: read(
            "session_by_token",
            Area::Session,
            Protocol::Prepared,
            900.0,
            &[sql(
                "SELECT id, tenant_id, user_id, last_seen_at FROM crm.sessions WHERE token = $1",
            )],
        ),
        values: |crm, d| {
            // The token of a recent session; sessions belong to no tenant's reads in particular.
            let n = crm.rows(super::Table::Sessions);
            vec![rows::token(n - hot_index(n as usize, d.rng) as u64).into()]
        },
    },
    Entry {
        pattern: read(
            "user_by_email",
            Area::Session,
            Protocol::Simple,
            120.0,
            &[sql(
                "SELECT id, tenant_id, display_name, role FROM crm.users WHERE lower(email) = lower($1) AND active",
            )],
        ),
        values: |crm, d| {
            let user = crm.some_user(d.tenant, d.rng);
            vec![crm.user_email(user).into()]
        },
    },
    Entry {
        pattern: read(
            "users_of_tenant",
            Area::Listing,
            Protocol::Prepared,
            60.0,
            &[sql(
                "SELECT id, display_name, role FROM crm.users WHERE tenant_id = $1 AND active ORDER BY display_name",
            )],
        ),
        values: |_, d| vec![(d.tenant as u64 + 1).into()],
    },
    Entry {
        pattern: read(
            "sessions_of_user",
            Area::Session,
            Protocol::Prepared,
            40.0,
            &[sql(
                "SELECT id, created_at, last_seen_at FROM crm.sessions WHERE user_id = $1 ORDER BY created_at DESC LIMIT 10",
            )],
        ),
        values: |crm, d| vec![crm.some_user(d.tenant, d.rng).into()],
    },
    Entry {
        pattern: read(
            "tags_of_tenant",
            Area::Listing,
            Protocol::Prepared,
            80.0,
            &[sql(
                "SELECT id, name FROM crm.tags WHERE tenant_id = $1 ORDER BY name",
            )],
        ),
        values: |_, d| vec![(d.tenant as u64 + 1).into()],
    },
    Entry {
        pattern: read(
            "tags_of_contact",
            Area::Lookup,
            Protocol::Prepared,
            150.0,
            &[sql(
                "SELECT t.id, t.name FROM crm.contact_tags ct JOIN crm.tags t ON t.id = ct.tag_id WHERE ct.contact_id = $1",
            )],
        ),
        values: |crm, d| vec![crm.some_contact(d.tenant, d.rng).into()],
    },
    Entry {
        pattern: read(
            "contacts_by_tag",
            Area::Segment,
            Protocol::Prepared,
            80.0,
            &[sql(
                "SELECT c.id, c.first_name, c.last_name FROM crm.contact_tags ct JOIN crm.contacts c ON c.id = ct.contact_id WHERE ct.tag_id = $1 ORDER BY c.id DESC LIMIT 50",
            )],
        ),
        values: |_, d| {
            vec![(d.tenant as u64 * rows::TAGS + d.rng.random_range(1..=rows::TAGS)).into()]
        },
    },
    Entry {
        pattern: read(
            "sessions_cleanup_report",
            Area::Rare,
            Protocol::Simple,
            0.3,
            &[sql(
                "SELECT count(*) FROM crm.sessions WHERE last_seen_at < $1",
            )],
        ),
        values: |_, _| {
            vec![
                crate::application::timestamp(
                    crate::application::EPOCH - rows::HISTORY + 40 * crate::application::DAY,
                )
                .into(),
            ]
        },
    },
];
