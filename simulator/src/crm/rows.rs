//! The rows of the CRM: each a pure function of the seed and its number.
use super::Crm;
use crate::application::{DAY, EPOCH, date, timestamp};
use crate::persona::Persona;
use crate::random::{Purpose, Stream, hot_index, mix, pick, stream};
use crate::words::{CITY, COMPANY_HEAD, COMPANY_TAIL, FIRST, INDUSTRY, LAST_HEAD, LAST_TAIL, WORD};
use rand::RngExt;
use std::fmt::Write;

/// Tables in load order; the discriminant is the number of the table's random stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Table {
    /// Customers of the CRM.
    Tenants,
    /// Their staff.
    Users,
    /// Signed-in browsers.
    Sessions,
    /// Companies that the tenants deal with.
    Organizations,
    /// People at those companies.
    Contacts,
    /// Calls, messages, meetings, tasks.
    Interactions,
    /// Sales.
    Deals,
    /// Labels.
    Tags,
    /// Labels of contacts.
    ContactTags,
}

/// Seconds of history before [`EPOCH`].
pub const HISTORY: i64 = 3 * 365 * DAY;
/// Labels a tenant has.
pub const TAGS: u64 = 20;
/// Every such contact is left out of reads, so that deletes have someone to delete.
pub const DISPOSABLE: u64 = 40;

/// A row of `crm.contacts`.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    /// Position of the tenant.
    pub tenant: usize,
    /// Company, if any.
    pub organization: Option<u64>,
    /// Responsible member of staff.
    pub owner: u64,
    /// Given name.
    pub first: &'static str,
    /// Family name.
    pub last: String,
    /// E-mail in the case the person typed it.
    pub email: String,
    /// Telephone number.
    pub phone: String,
    /// Segment.
    pub city: &'static str,
    /// lead, customer, partner, archived.
    pub status: &'static str,
    /// Where it came from.
    pub source: &'static str,
    /// Custom fields as JSON text.
    pub custom: String,
    /// When it was created, seconds since 1970.
    pub created: i64,
    rest: Stream,
}

/// A family name.
pub fn last_name(rng: &mut Stream) -> String {
    format!("{}{}", pick(LAST_HEAD, rng), pick(LAST_TAIL, rng))
}

/// The account code that an enterprise's own systems gave a contact.
pub fn account_code(id: u64) -> String {
    format!("AC-{:07}", mix(id) % 10_000_000)
}

/// The membership number of a niche customer's contact.
pub fn membership(id: u64) -> String {
    format!("M{:06}", mix(id ^ 0x5eed) % 1_000_000)
}

/// The message id by which a webhook names an interaction.
pub fn external_ref(id: u64) -> String {
    format!("msg-{:012x}", mix(id ^ 0xe7) & 0xffff_ffff_ffff)
}

/// The e-mail thread of an interaction: about four messages share one.
pub fn thread(id: u64) -> String {
    format!("th-{:09x}", mix((id / 4) ^ 0x7ead) & 0xf_ffff_ffff)
}

/// The token of a session.
pub fn token(id: u64) -> String {
    format!("{:016x}{:016x}", mix(id ^ 0x70c3), mix(id ^ 0x11c3))
}

impl Crm {
    fn row(&self, table: Table, row: u64) -> Stream {
        stream(self.seed, Purpose::Table(table as u8), row)
    }

    /// When row `row` of `rows` was created: rows are in order of time, give or take six hours.
    fn moment(row: u64, rows: u64, rng: &mut Stream) -> i64 {
        EPOCH - HISTORY
            + (row as f64 / rows as f64 * (HISTORY - DAY) as f64) as i64
            + rng.random_range(0..21_600)
    }

    /// E-mail of a member of staff.
    pub fn user_email(&self, id: u64) -> String {
        let mut rng = self.row(Table::Users, id);
        let (first, last) = (pick(FIRST, &mut rng), last_name(&mut rng));
        // A third typed capitals when they signed up.
        let email = format!(
            "{first}.{last}{id}@tenant{}.example",
            self.user_tenant[id as usize - 1] + 1
        );
        if rng.random_range(0..3) == 0 {
            email
        } else {
            email.to_lowercase()
        }
    }

    /// Member of staff number `id`, any of the tenant, busy ones more often.
    pub fn some_user(&self, tenant: usize, rng: &mut Stream) -> u64 {
        let list = self.users.of(tenant);
        u64::from(list[hot_index(list.len(), rng)])
    }

    /// A company of the tenant.
    pub fn some_organization(&self, tenant: usize, rng: &mut Stream) -> u64 {
        let list = self.organizations.of(tenant);
        u64::from(list[hot_index(list.len(), rng)])
    }

    /// A contact of the tenant that is never deleted; recent ones more often.
    pub fn some_contact(&self, tenant: usize, rng: &mut Stream) -> u64 {
        let list = self.contacts.of(tenant);
        let id = list[list.len() - 1 - hot_index(list.len(), rng)];
        if u64::from(id) % DISPOSABLE != 0 {
            return u64::from(id);
        }
        u64::from(
            list.iter()
                .copied()
                .find(|id| u64::from(*id) % DISPOSABLE != 0)
                .unwrap_or(id),
        )
    }

    /// The contact of an interaction.
    fn contact_of_interaction(&self, tenant: usize, rng: &mut Stream) -> u64 {
        let list = self.contacts.of(tenant);
        u64::from(list[hot_index(list.len(), rng)])
    }

    /// Name, domain and industry of a company.
    pub fn organization(&self, id: u64) -> (String, String, &'static str, &'static str) {
        let mut rng = self.row(Table::Organizations, id);
        let (head, tail) = (pick(COMPANY_HEAD, &mut rng), pick(COMPANY_TAIL, &mut rng));
        let name = match rng.random_range(0..4) {
            0 => format!(
                "{head} {tail} {}",
                pick(
                    &["Group", "Holding", "International", "AG", "Ltd"],
                    &mut rng
                )
            ),
            1 => format!("{} {tail}", last_name(&mut rng)),
            _ => format!("{head} {tail}"),
        };
        let domain = format!("{}{id}.example", head.to_lowercase());
        (
            name,
            domain,
            INDUSTRY[hot_index(INDUSTRY.len(), &mut rng)],
            pick(CITY, &mut rng),
        )
    }

    /// Row `id` of `crm.contacts`.
    pub fn contact(&self, id: u64) -> Contact {
        let mut rng = self.row(Table::Contacts, id);
        let tenant = self.contact_tenant[id as usize - 1] as usize;
        let persona = self.tenants.list()[tenant].persona;
        let organization =
            (rng.random_range(0..100) < 85).then(|| self.some_organization(tenant, &mut rng));
        let owner = self.some_user(tenant, &mut rng);
        let (first, last) = (pick(FIRST, &mut rng), last_name(&mut rng));
        let host = pick(
            &[
                "mail.example",
                "post.example",
                "inbox.example",
                "work.example",
            ],
            &mut rng,
        );
        let email = format!("{first}.{last}.{id}@{host}");
        let email = if rng.random_range(0..4) == 0 {
            email
        } else {
            email.to_lowercase()
        };
        let phone = format!(
            "+{} {:03} {:04} {:03}",
            rng.random_range(1..99),
            rng.random_range(100..999),
            rng.random_range(0..10_000),
            id % 1000
        );
        let status = match rng.random_range(0..100) {
            0..8 => "lead",
            8..70 => "customer",
            70..76 => "partner",
            _ => "archived",
        };
        let source = match rng.random_range(0..100) {
            0..3 => "referral",
            3..10 => "event",
            10..40 => "web",
            40..60 => "phone",
            _ => "import",
        };
        let mut custom = String::from("{");
        match persona {
            Persona::Enterprise => write!(
                custom,
                "\"account_code\": \"{}\", \"cost_center\": \"CC{}\"",
                account_code(id),
                rng.random_range(10..99)
            ),
            Persona::Established if id.is_multiple_of(2) => {
                write!(custom, "\"account_code\": \"{}\"", account_code(id))
            }
            Persona::Niche => write!(
                custom,
                "\"membership_no\": \"{}\", \"level\": {}",
                membership(id),
                rng.random_range(1..9)
            ),
            _ => write!(
                custom,
                "\"segment\": \"{}{}\"",
                pick(&["gold", "silver", "bronze", "vip", "trial"], &mut rng),
                rng.random_range(1..80)
            ),
        }
        .expect("writing to a string");
        if rng.random_range(0..10) == 0 {
            write!(custom, ", \"newsletter\": {}", rng.random_bool(0.5))
                .expect("writing to a string");
        }
        custom.push('}');
        let created = Self::moment(id, self.contact_tenant.len() as u64, &mut rng);
        Contact {
            tenant,
            organization,
            owner,
            first,
            last,
            email,
            phone,
            city: CITY[hot_index(CITY.len(), &mut rng)],
            status,
            source,
            custom,
            created,
            rest: rng,
        }
    }

    /// Tenant of an interaction.
    pub fn interaction_tenant(&self, id: u64) -> usize {
        self.tenants
            .draw_by_size(&mut self.row(Table::Interactions, id))
    }

    /// Tenant and company of a deal.
    pub fn deal(&self, id: u64) -> (usize, u64) {
        let mut rng = self.row(Table::Deals, id);
        let tenant = self.tenants.draw_by_size(&mut rng);
        (tenant, self.some_organization(tenant, &mut rng))
    }

    /// User of a session.
    pub fn session_user(&self, id: u64) -> u64 {
        let mut rng = self.row(Table::Sessions, id);
        let tenant = self.tenants.draw_by_size(&mut rng);
        self.some_user(tenant, &mut rng)
    }

    /// One line of COPY text format.
    pub(super) fn line(&self, table: Table, id: u64, out: &mut String) -> std::fmt::Result {
        let rows = self.rows(table);
        let mut rng = self.row(table, id);
        let tab = '\t';
        match table {
            Table::Tenants => {
                let t = &self.tenants.list()[id as usize - 1];
                let region = pick(
                    &["eu-central", "eu-north", "us-east", "us-west", "ap-south"],
                    &mut rng,
                );
                writeln!(
                    out,
                    "{id}\t{} {}\t{}\t{region}\t{}",
                    pick(COMPANY_HEAD, &mut rng),
                    pick(COMPANY_TAIL, &mut rng),
                    t.persona.name(),
                    timestamp(EPOCH - HISTORY)
                )
            }
            Table::Users => {
                let (first, last) = (pick(FIRST, &mut rng), last_name(&mut rng));
                let role = pick(&["agent", "agent", "agent", "manager", "admin"], &mut rng);
                let tenant = self.user_tenant[id as usize - 1] + 1;
                writeln!(
                    out,
                    "{id}\t{tenant}\t{}\t{first} {last}\t{role}\t{}",
                    self.user_email(id),
                    if rng.random_range(0..20) == 0 {
                        'f'
                    } else {
                        't'
                    }
                )
            }
            Table::Sessions => {
                let user = self.session_user(id);
                let at = Self::moment(id, rows, &mut rng);
                writeln!(
                    out,
                    "{id}\t{}\t{user}\t{}\t{}\t{}\t{}",
                    self.user_tenant[user as usize - 1] + 1,
                    token(id),
                    timestamp(at),
                    timestamp(at + 3600),
                    rng.random_range(1..500)
                )
            }
            Table::Organizations => {
                let (name, domain, industry, city) = self.organization(id);
                let tenant = self.organization_tenant[id as usize - 1] as usize;
                let mut rng = stream(self.seed, Purpose::Table(100), id);
                let employees = (10f64.powf(rng.random_range(0.0..5.0))) as i64 + 1;
                let owner = self.some_user(tenant, &mut rng);
                write!(
                    out,
                    "{id}\t{}\t{name}\t{industry}\t{domain}\t{city}\t{employees}\t{owner}\t",
                    tenant + 1
                )?;
                if id > 1000 && rng.random_range(0..10) == 0 {
                    write!(out, "{}", self.some_organization(tenant, &mut rng))?
                } else {
                    out.push_str("\\N")
                }
                out.push(tab);
                if rng.random_range(0..2) == 0 {
                    write!(out, "L{:06}", mix(id) % 1_000_000)?
                } else {
                    out.push_str("\\N")
                }
                writeln!(out, "\t{}", timestamp(Self::moment(id, rows, &mut rng)))
            }
            Table::Contacts => {
                let mut c = self.contact(id);
                let rng = &mut c.rest;
                write!(out, "{id}\t{}\t", c.tenant + 1)?;
                match c.organization {
                    Some(o) => write!(out, "{o}")?,
                    None => out.push_str("\\N"),
                }
                write!(
                    out,
                    "\t{}\t{}\t{}\t{}\t{}\t",
                    c.owner, c.first, c.last, c.email, c.phone
                )?;
                if rng.random_range(0..12) == 0 {
                    write!(out, "{}", c.phone.replace('+', "fax "))?
                } else {
                    out.push_str("\\N")
                }
                let title = pick(
                    &[
                        "Buyer",
                        "CEO",
                        "CFO",
                        "CTO",
                        "Engineer",
                        "Head of Sales",
                        "Analyst",
                        "Assistant",
                        "Consultant",
                        "Director",
                    ],
                    rng,
                );
                write!(
                    out,
                    "\t{title}\t{}\t{}\t{}\t{}\t",
                    c.status,
                    c.source,
                    rng.random_range(0..1000),
                    c.city
                )?;
                if rng.random_range(0..4) == 0 {
                    out.push_str(&date(-rng.random_range(0..14_000) * DAY))
                } else {
                    out.push_str("\\N")
                }
                let updated =
                    c.created + (rng.random::<f64>().powi(3) * (EPOCH - c.created) as f64) as i64;
                writeln!(
                    out,
                    "\t{}\t{}\t{}\t{}",
                    c.custom,
                    timestamp(c.created),
                    timestamp(updated),
                    timestamp(updated - 100)
                )
            }
            Table::Interactions => {
                let tenant = self.tenants.draw_by_size(&mut rng);
                let contact = self.contact_of_interaction(tenant, &mut rng);
                let user = self.some_user(tenant, &mut rng);
                let at = Self::moment(id, rows, &mut rng);
                let kind = match rng.random_range(0..100) {
                    0..45 => "email",
                    45..70 => "call",
                    70..80 => "meeting",
                    80..90 => "note",
                    _ => "task",
                };
                // A tenth of the tasks is still open, most of those recent.
                let open = kind == "task"
                    && rng.random::<f64>()
                        < 0.02 + 0.3 * ((at - (EPOCH - HISTORY)) as f64 / HISTORY as f64).powi(6);
                let status = if open {
                    "open"
                } else if rng.random_range(0..25) == 0 {
                    "cancelled"
                } else {
                    "done"
                };
                write!(
                    out,
                    "{id}\t{}\t{contact}\t{user}\t{kind}\t{status}\t{} {} {}\t{}\t",
                    tenant + 1,
                    pick(WORD, &mut rng),
                    pick(WORD, &mut rng),
                    pick(WORD, &mut rng),
                    timestamp(at)
                )?;
                if kind == "task" {
                    out.push_str(&timestamp(at + rng.random_range(1..30) * DAY))
                } else {
                    out.push_str("\\N")
                }
                if kind == "email" {
                    writeln!(
                        out,
                        "\t{}\t{{\"thread_id\": \"{}\", \"size\": {}}}",
                        external_ref(id),
                        thread(id),
                        rng.random_range(200..90_000)
                    )
                } else {
                    writeln!(out, "\t\\N\t{{\"minutes\": {}}}", rng.random_range(1..90))
                }
            }
            Table::Deals => {
                let (tenant, organization) = self.deal(id);
                let mut rng = stream(self.seed, Purpose::Table(101), id);
                let at = Self::moment(id, rows, &mut rng);
                let status = match rng.random_range(0..100) {
                    0..12 => "open",
                    12..55 => "won",
                    _ => "lost",
                };
                let stage = if status == "open" {
                    pick(&["qualify", "demo", "proposal", "negotiate"], &mut rng)
                } else {
                    "closed"
                };
                let closes = if status == "open" {
                    EPOCH + rng.random_range(-20..120) * DAY
                } else {
                    at + rng.random_range(5..90) * DAY
                };
                let amount = 10f64.powf(rng.random_range(2.0..6.0));
                writeln!(
                    out,
                    "{id}\t{}\t{organization}\t{}\t{}\t{} {}\t{stage}\t{status}\t{amount:.2}\t{}\t{}\t{}",
                    tenant + 1,
                    self.contact_of_interaction(tenant, &mut rng),
                    self.some_user(tenant, &mut rng),
                    pick(WORD, &mut rng),
                    pick(WORD, &mut rng),
                    date(closes),
                    rng.random_range(0..300),
                    timestamp(at)
                )
            }
            Table::Tags => writeln!(
                out,
                "{id}\t{}\t{}-{}",
                (id - 1) / TAGS + 1,
                pick(WORD, &mut rng),
                id % TAGS
            ),
            Table::ContactTags => {
                // One label a contact, the popular ones more often; the key is unique because the contact is.
                let tenant = u64::from(self.contact_tenant[id as usize - 1]);
                writeln!(
                    out,
                    "{id}\t{}",
                    tenant * TAGS + hot_index(TAGS as usize, &mut rng) as u64 + 1
                )
            }
        }
    }
}
