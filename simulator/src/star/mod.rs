//! Analytics over a star schema: one fact table, four dimensions, many accounts.
use crate::application::{Application, DAY, Draw, EPOCH, Grouped, TableRows, date, owners};
use crate::pattern::Area::{self, *};
use crate::pattern::Kind::{Read, Write};
use crate::pattern::Protocol::{self, *};
use crate::pattern::{Pattern, Step};
use crate::persona::Tenants;
use crate::random::{Purpose, Stream, hot_index, mix, pick, stream};
use crate::scenario::Scenario;
use crate::value::Value;
use crate::words::{CITY, COMPANY_HEAD, COMPANY_TAIL, WORD};
use chrono::Datelike;
use rand::RngExt;
use std::fmt::Write as _;

/// Days in the date dimension.
const DAYS: u64 = 730;

/// The star schema at one size and seed.
pub struct Star {
    seed: u64,
    tenants: Tenants,
    main: u64,
    store_account: Vec<u32>,
    stores: Grouped,
}

type Entry = crate::application::Entry<Star>;

const fn read(
    name: &'static str,
    area: Area,
    protocol: Protocol,
    weight: f64,
    steps: &'static [Step],
    values: fn(&Star, &mut Draw<'_>) -> Vec<Value>,
) -> Entry {
    Entry {
        pattern: Pattern::one(name, area, Read, protocol, weight, steps),
        values,
    }
}

const fn sql(sql: &'static str) -> Step {
    Step { sql, values: &[] }
}

#[derive(Clone, Copy)]
#[repr(u8)]
enum Table {
    Accounts = 60,
    Dates,
    Stores,
    Products,
    Sales,
}

const TABLES: [(Table, &str, &str); 5] = [
    (Table::Accounts, "star.accounts", "id, name"),
    (Table::Dates, "star.dates", "id, day, month, quarter, year"),
    (Table::Stores, "star.stores", "id, account_id, city, format"),
    (
        Table::Products,
        "star.products",
        "id, brand, category, name",
    ),
    (
        Table::Sales,
        "star.sales",
        "id, account_id, date_id, store_id, product_id, receipt, quantity, amount, coupon",
    ),
];

fn receipt(id: u64) -> String {
    format!("rc-{:010x}", mix((id / 3) ^ 0x4ec) & 0xff_ffff_ffff)
}

impl Star {
    /// The star schema of a scenario.
    pub fn new(scenario: Scenario, seed: u64) -> Self {
        let tenants = Tenants::new(scenario.tenants(), seed);
        let (count, main) = (tenants.list().len(), scenario.main_rows());
        let stores = (main / 200).max(count as u64 * 2);
        let store_account = owners(count, stores, |row| {
            tenants.draw_by_size(&mut stream(seed, Purpose::Table(122), row))
        });
        Star {
            seed,
            main,
            stores: Grouped::new(count, &store_account),
            store_account,
            tenants,
        }
    }

    fn rows(&self, table: Table) -> u64 {
        match table {
            Table::Accounts => self.tenants.list().len() as u64,
            Table::Dates => DAYS,
            Table::Stores => self.store_account.len() as u64,
            Table::Products => (self.main / 20).max(100),
            Table::Sales => self.main * 6,
        }
    }

    fn some_store(&self, account: usize, rng: &mut Stream) -> u64 {
        let list = self.stores.of(account);
        u64::from(list[hot_index(list.len(), rng)])
    }

    fn some_product(&self, rng: &mut Stream) -> u64 {
        hot_index(self.rows(Table::Products) as usize, rng) as u64 + 1
    }

    fn line(&self, table: Table, id: u64, out: &mut String) -> std::fmt::Result {
        let mut rng = stream(self.seed, Purpose::Table(table as u8), id);
        match table {
            Table::Accounts => writeln!(
                out,
                "{id}\t{} {}",
                pick(COMPANY_HEAD, &mut rng),
                pick(COMPANY_TAIL, &mut rng)
            ),
            Table::Dates => {
                let at = EPOCH - (DAYS - id) as i64 * DAY;
                let day = chrono::DateTime::from_timestamp(at, 0)
                    .expect("within the years of the simulator");
                writeln!(
                    out,
                    "{id}\t{}\t{}\t{}\t{}",
                    date(at),
                    day.month(),
                    (day.month() - 1) / 3 + 1,
                    day.year()
                )
            }
            Table::Stores => writeln!(
                out,
                "{id}\t{}\t{}\t{}",
                self.store_account[id as usize - 1] + 1,
                pick(CITY, &mut rng),
                pick(&["city", "mall", "outlet", "online"], &mut rng)
            ),
            Table::Products => {
                let (head, tail) = (
                    pick(COMPANY_HEAD, &mut rng),
                    COMPANY_TAIL[hot_index(COMPANY_TAIL.len(), &mut rng)],
                );
                writeln!(
                    out,
                    "{id}\t{head} {}\t{tail}\t{} {}",
                    pick(COMPANY_HEAD, &mut rng),
                    pick(WORD, &mut rng),
                    pick(WORD, &mut rng)
                )
            }
            Table::Sales => {
                let account = self.tenants.draw_by_size(&mut rng);
                let day = (id as f64 / self.rows(table) as f64 * (DAYS - 1) as f64) as u64 + 1;
                let (store, product) = (
                    self.some_store(account, &mut rng),
                    self.some_product(&mut rng),
                );
                let quantity = rng.random_range(1..6);
                write!(
                    out,
                    "{id}\t{}\t{day}\t{store}\t{product}\t{}\t{quantity}\t{}.25\t",
                    account + 1,
                    receipt(id),
                    quantity * rng.random_range(1..80)
                )?;
                if rng.random_range(0..40) == 0 {
                    writeln!(out, "C{}", rng.random_range(0..500))
                } else {
                    writeln!(out, "\\N")
                }
            }
        }
    }
}

fn account(d: &Draw<'_>) -> Value {
    (d.tenant as u64 + 1).into()
}

/// First and last day id of a window of `days`.
fn window(days: u64, d: &mut Draw<'_>) -> (Value, Value) {
    let last = d.rng.random_range(days..=DAYS);
    ((last - days + 1).into(), last.into())
}

const ENTRIES: &[Entry] = &[
    read(
        "sales_of_week",
        Reporting,
        Prepared,
        200.0,
        &[sql(
            "SELECT sum(amount), count(*) FROM star.sales WHERE account_id = $1 AND date_id BETWEEN $2 AND $3",
        )],
        |_, d| {
            let (a, b) = window(7, d);
            vec![account(d), a, b]
        },
    ),
    read(
        "sales_by_store",
        Reporting,
        Prepared,
        80.0,
        &[sql(
            "SELECT st.city, sum(s.amount) FROM star.sales s JOIN star.stores st ON st.id = s.store_id WHERE s.account_id = $1 AND s.date_id BETWEEN $2 AND $3 GROUP BY st.city ORDER BY 2 DESC LIMIT 10",
        )],
        |_, d| {
            let (a, b) = window(7, d);
            vec![account(d), a, b]
        },
    ),
    read(
        "sales_by_category",
        Reporting,
        Simple,
        60.0,
        &[sql(
            "SELECT p.category, sum(s.amount) FROM star.sales s JOIN star.products p ON p.id = s.product_id WHERE s.account_id = $1 AND s.date_id BETWEEN $2 AND $3 GROUP BY p.category ORDER BY 2 DESC",
        )],
        |_, d| {
            let (a, b) = window(7, d);
            vec![account(d), a, b]
        },
    ),
    read(
        "one_store_by_day",
        Reporting,
        Prepared,
        120.0,
        &[sql(
            "SELECT date_id, sum(amount) FROM star.sales WHERE store_id = $1 AND date_id BETWEEN $2 AND $3 GROUP BY date_id ORDER BY date_id",
        )],
        |s, d| {
            let (a, b) = window(14, d);
            vec![s.some_store(d.tenant, d.rng).into(), a, b]
        },
    ),
    read(
        "one_product_by_day",
        Reporting,
        Prepared,
        100.0,
        &[sql(
            "SELECT date_id, sum(quantity) FROM star.sales WHERE product_id = $1 AND date_id BETWEEN $2 AND $3 GROUP BY date_id ORDER BY date_id",
        )],
        |s, d| {
            let (a, b) = window(30, d);
            vec![s.some_product(d.rng).into(), a, b]
        },
    ),
    read(
        "receipt",
        Lookup,
        Prepared,
        400.0,
        &[sql(
            "SELECT id, product_id, quantity, amount FROM star.sales WHERE receipt = $1",
        )],
        |s, d| vec![receipt(d.rng.random_range(1..=s.rows(Table::Sales))).into()],
    ),
    read(
        "brand_of_month",
        Reporting,
        Simple,
        30.0,
        &[sql(
            "SELECT p.name, sum(s.quantity) FROM star.products p JOIN star.sales s ON s.product_id = p.id JOIN star.dates t ON t.id = s.date_id WHERE p.brand = $1 AND t.year = $2 AND t.month = $3 GROUP BY p.name",
        )],
        |s, d| {
            let p = s.some_product(d.rng);
            let mut line = String::new();
            let _ = s.line(Table::Products, p, &mut line);
            vec![
                line.split('\t').nth(1).unwrap_or_default().into(),
                2025i64.into(),
                d.rng.random_range(1..13i64).into(),
            ]
        },
    ),
    read(
        "stores_in_city",
        Segment,
        Prepared,
        80.0,
        &[sql(
            "SELECT id, format FROM star.stores WHERE account_id = $1 AND city = $2",
        )],
        |_, d| vec![account(d), pick(CITY, d.rng).into()],
    ),
    read(
        "products_of_category",
        Segment,
        Prepared,
        60.0,
        &[sql(
            "SELECT id, name FROM star.products WHERE category = $1 ORDER BY name LIMIT 50",
        )],
        |_, d| vec![COMPANY_TAIL[hot_index(COMPANY_TAIL.len(), d.rng)].into()],
    ),
    read(
        "products_by_infix",
        Infix,
        Simple,
        40.0,
        &[sql(
            "SELECT id, name, brand FROM star.products WHERE name ILIKE $1 LIMIT 20",
        )],
        |_, d| vec![format!("%{} {}%", pick(WORD, d.rng), pick(WORD, d.rng)).into()],
    ),
    read(
        "day",
        Lookup,
        Prepared,
        100.0,
        &[sql(
            "SELECT id, month, quarter FROM star.dates WHERE day = $1",
        )],
        |_, d| vec![date(EPOCH - d.rng.random_range(0..DAYS as i64) * DAY).into()],
    ),
    read(
        "latest_sales",
        Listing,
        Prepared,
        100.0,
        &[sql(
            "SELECT id, receipt, amount FROM star.sales WHERE account_id = $1 ORDER BY date_id DESC LIMIT 20",
        )],
        |_, d| vec![account(d)],
    ),
    read(
        "coupon_use",
        Rare,
        Simple,
        0.3,
        &[sql("SELECT count(*) FROM star.sales WHERE coupon = $1")],
        |_, d| vec![format!("C{}", d.rng.random_range(0..500)).into()],
    ),
    Entry {
        pattern: Pattern::one(
            "load_sale",
            Edit,
            Write,
            Prepared,
            300.0,
            &[sql(
                "INSERT INTO star.sales (account_id, date_id, store_id, product_id, receipt, quantity, amount) VALUES ($1, $2, $3, $4, $5, 1, 9.99)",
            )],
        ),
        values: |s, d| {
            vec![
                account(d),
                DAYS.into(),
                s.some_store(d.tenant, d.rng).into(),
                s.some_product(d.rng).into(),
                format!("n{:x}", mix(d.serial)).into(),
            ]
        },
    },
];

impl Application for Star {
    fn name(&self) -> &'static str {
        "star"
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
            .map(|(t, table, columns)| TableRows {
                table,
                columns,
                rows: self.rows(*t),
                identity: Some("id"),
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
        &["star.sales.coupon"]
    }
    fn tenants(&self) -> &Tenants {
        &self.tenants
    }
}
