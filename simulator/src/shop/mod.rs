//! A shop platform: many shops, their customers, products, orders and reviews.
mod rows;

use crate::application::{Application, DAY, Draw, EPOCH, Grouped, TableRows, owners, timestamp};
use crate::pattern::Area::{self, *};
use crate::pattern::Kind::{Read, Write};
use crate::pattern::Protocol::{self, *};
use crate::pattern::{Pattern, Step};
use crate::persona::Tenants;
use crate::random::{Purpose, hot_index, mix, pick, stream};
use crate::scenario::Scenario;
use crate::value::Value;
use crate::words::{COMPANY_TAIL, WORD};
use rand::RngExt;
use rows::{Table, sku};

/// The shop platform at one size and seed.
pub struct Shop {
    seed: u64,
    tenants: Tenants,
    main: u64,
    customer_shop: Vec<u32>,
    customers: Grouped,
    product_shop: Vec<u32>,
    products: Grouped,
}

type Entry = crate::application::Entry<Shop>;

const fn read(
    name: &'static str,
    area: Area,
    protocol: Protocol,
    weight: f64,
    steps: &'static [Step],
    values: fn(&Shop, &mut Draw<'_>) -> Vec<Value>,
) -> Entry {
    Entry {
        pattern: Pattern::one(name, area, Read, protocol, weight, steps),
        values,
    }
}

const fn write(
    name: &'static str,
    area: Area,
    protocol: Protocol,
    weight: f64,
    steps: &'static [Step],
    values: fn(&Shop, &mut Draw<'_>) -> Vec<Value>,
) -> Entry {
    Entry {
        pattern: Pattern::one(name, area, Write, protocol, weight, steps),
        values,
    }
}

const fn sql(sql: &'static str) -> Step {
    Step { sql, values: &[] }
}

impl Shop {
    /// The platform of a scenario.
    pub fn new(scenario: Scenario, seed: u64) -> Self {
        let tenants = Tenants::new(scenario.tenants(), seed);
        let (count, main) = (tenants.list().len(), scenario.main_rows());
        let by = |purpose: u8| {
            let tenants = &tenants;
            move |row: u64| tenants.draw_by_size(&mut stream(seed, Purpose::Table(purpose), row))
        };
        let customer_shop = owners(count, main, by(120));
        let product_shop = owners(count, (main / 4).max(count as u64), by(121));
        Shop {
            seed,
            main,
            customers: Grouped::new(count, &customer_shop),
            products: Grouped::new(count, &product_shop),
            tenants,
            customer_shop,
            product_shop,
        }
    }

    fn orders(&self) -> u64 {
        self.main * 2
    }

    fn some_order(&self, d: &mut Draw<'_>) -> u64 {
        let n = self.orders();
        n - hot_index(n as usize, d.rng) as u64
    }
}

fn shop(d: &Draw<'_>) -> Value {
    (d.tenant as u64 + 1).into()
}

fn now(d: &Draw<'_>) -> Value {
    timestamp(EPOCH + d.elapsed).into()
}

const ENTRIES: &[Entry] = &[
    read(
        "product_by_id",
        Lookup,
        Prepared,
        900.0,
        &[sql(
            "SELECT * FROM shop.products WHERE shop_id = $1 AND id = $2",
        )],
        |s, d| vec![shop(d), s.some_product(d.tenant, d.rng).into()],
    ),
    read(
        "product_by_sku",
        Lookup,
        Prepared,
        400.0,
        &[sql(
            "SELECT id, title, price, stock FROM shop.products WHERE shop_id = $1 AND sku = $2",
        )],
        |s, d| vec![shop(d), sku(s.some_product(d.tenant, d.rng)).into()],
    ),
    read(
        "category_by_price",
        Segment,
        Prepared,
        400.0,
        &[sql(
            "SELECT id, title, price FROM shop.products WHERE shop_id = $1 AND category = $2 AND active ORDER BY price LIMIT 24",
        )],
        |_, d| {
            vec![
                shop(d),
                COMPANY_TAIL[hot_index(COMPANY_TAIL.len(), d.rng)].into(),
            ]
        },
    ),
    read(
        "new_arrivals",
        Listing,
        Prepared,
        250.0,
        &[sql(
            "SELECT id, title, price FROM shop.products WHERE shop_id = $1 AND active ORDER BY created_at DESC LIMIT 12",
        )],
        |_, d| vec![shop(d)],
    ),
    read(
        "search_titles",
        Infix,
        Simple,
        120.0,
        &[sql(
            "SELECT id, title, price FROM shop.products WHERE shop_id = $1 AND title ILIKE $2 AND active LIMIT 24",
        )],
        |_, d| {
            vec![
                shop(d),
                format!("%{} {}%", pick(WORD, d.rng), pick(WORD, d.rng)).into(),
            ]
        },
    ),
    read(
        "facet",
        CustomTags,
        Simple,
        60.0,
        &[sql(
            "SELECT id, title, price FROM shop.products WHERE shop_id = $1 AND attributes @> $2 LIMIT 24",
        )],
        |_, d| {
            vec![
                shop(d),
                format!(
                    "{{\"color\": \"{}\", \"size\": {}}}",
                    pick(&["red", "blue", "green", "black"], d.rng),
                    d.rng.random_range(30..60)
                )
                .into(),
            ]
        },
    ),
    read(
        "reviews_of_product",
        Timeline,
        Prepared,
        500.0,
        &[sql(
            "SELECT stars, body, created_at FROM shop.reviews WHERE product_id = $1 ORDER BY created_at DESC LIMIT 10",
        )],
        |s, d| vec![s.some_product(d.tenant, d.rng).into()],
    ),
    read(
        "stars_of_product",
        Reporting,
        Prepared,
        400.0,
        &[sql(
            "SELECT avg(stars), count(*) FROM shop.reviews WHERE product_id = $1",
        )],
        |s, d| vec![s.some_product(d.tenant, d.rng).into()],
    ),
    read(
        "customer_by_email",
        Email,
        Prepared,
        300.0,
        &[sql(
            "SELECT id, full_name FROM shop.customers WHERE shop_id = $1 AND lower(email) = lower($2)",
        )],
        |s, d| vec![shop(d), s.email(s.some_customer(d.tenant, d.rng)).into()],
    ),
    read(
        "customers_by_name",
        NameSearch,
        Simple,
        60.0,
        &[sql(
            "SELECT id, full_name, email FROM shop.customers WHERE shop_id = $1 AND full_name LIKE $2 LIMIT 20",
        )],
        |s, d| {
            let name = s.full_name(s.some_customer(d.tenant, d.rng));
            vec![shop(d), format!("{}%", &name[..name.len().min(9)]).into()]
        },
    ),
    read(
        "newest_customers",
        Listing,
        Prepared,
        50.0,
        &[sql(
            "SELECT id, full_name, created_at FROM shop.customers WHERE shop_id = $1 ORDER BY created_at DESC LIMIT 50",
        )],
        |_, d| vec![shop(d)],
    ),
    read(
        "orders_of_customer",
        Timeline,
        Prepared,
        350.0,
        &[sql(
            "SELECT id, number, status, total FROM shop.orders WHERE customer_id = $1 ORDER BY placed_at DESC LIMIT 10",
        )],
        |s, d| vec![s.some_customer(d.tenant, d.rng).into()],
    ),
    read(
        "order_by_number",
        Lookup,
        Prepared,
        250.0,
        &[sql(
            "SELECT id, status, total, placed_at FROM shop.orders WHERE shop_id = $1 AND number = $2",
        )],
        |s, d| {
            let o = s.some_order(d);
            vec![(s.order(o).0 as u64 + 1).into(), rows::number(o).into()]
        },
    ),
    read(
        "order_with_items",
        Lookup,
        Prepared,
        300.0,
        &[sql(
            "SELECT p.title, i.quantity, i.price FROM shop.order_items i JOIN shop.products p ON p.id = i.product_id WHERE i.order_id = $1",
        )],
        |s, d| vec![s.some_order(d).into()],
    ),
    read(
        "order_by_tracking",
        Integration,
        Prepared,
        120.0,
        &[sql(
            "SELECT id, shop_id, status FROM shop.orders WHERE tracking = $1",
        )],
        |s, d| vec![rows::tracking(s.some_order(d)).into()],
    ),
    read(
        "orders_to_ship",
        Tasks,
        Prepared,
        120.0,
        &[sql(
            "SELECT id, number, placed_at FROM shop.orders WHERE shop_id = $1 AND status = 'paid' ORDER BY placed_at LIMIT 50",
        )],
        |_, d| vec![shop(d)],
    ),
    read(
        "latest_orders",
        Listing,
        Prepared,
        150.0,
        &[sql(
            "SELECT id, number, status, total FROM shop.orders WHERE shop_id = $1 ORDER BY placed_at DESC LIMIT 30",
        )],
        |_, d| vec![shop(d)],
    ),
    read(
        "revenue_of_week",
        Reporting,
        Prepared,
        40.0,
        &[sql(
            "SELECT sum(total), count(*) FROM shop.orders WHERE shop_id = $1 AND placed_at >= $2 AND placed_at < $3",
        )],
        |_, d| {
            let at = EPOCH - d.rng.random_range(0..300) * DAY;
            vec![
                shop(d),
                timestamp(at - 7 * DAY).into(),
                timestamp(at).into(),
            ]
        },
    ),
    read(
        "buyers_of_product",
        Reporting,
        Prepared,
        25.0,
        &[sql(
            "SELECT DISTINCT o.customer_id FROM shop.order_items i JOIN shop.orders o ON o.id = i.order_id WHERE i.product_id = $1 LIMIT 100",
        )],
        |s, d| vec![s.some_product(d.tenant, d.rng).into()],
    ),
    read(
        "gift_notes",
        Rare,
        Simple,
        0.3,
        &[sql("SELECT count(*) FROM shop.orders WHERE gift_note = $1")],
        |_, d| vec![pick(WORD, d.rng).into()],
    ),
    write(
        "take_stock",
        Hot,
        Prepared,
        300.0,
        &[sql(
            "UPDATE shop.products SET stock = stock - 1 WHERE id = $1",
        )],
        |s, d| vec![s.some_product(d.tenant, d.rng).into()],
    ),
    write(
        "place_order",
        Edit,
        Prepared,
        200.0,
        &[
            Step {
                sql: "INSERT INTO shop.orders (shop_id, customer_id, number, status, total, placed_at, updated_at) VALUES ($1, $2, $3, 'paid', $4, $5, $5)",
                values: &[0, 1, 2, 3, 4],
            },
            Step {
                sql: "INSERT INTO shop.order_items (order_id, product_id, quantity, price) SELECT currval('shop.orders_id_seq'), $1, 1, $2",
                values: &[5, 3],
            },
            Step {
                sql: "UPDATE shop.products SET stock = stock - 1 WHERE id = $1",
                values: &[5],
            },
        ],
        |s, d| {
            vec![
                shop(d),
                s.some_customer(d.tenant, d.rng).into(),
                format!("N{:x}", mix(d.serial)).into(),
                d.rng.random_range(5..500i64).into(),
                now(d),
                s.some_product(d.tenant, d.rng).into(),
            ]
        },
    ),
    write(
        "ship_order",
        Edit,
        Prepared,
        100.0,
        &[sql(
            "UPDATE shop.orders SET status = 'shipped', tracking = $1, updated_at = $2 WHERE id = $3",
        )],
        |s, d| {
            vec![
                format!("T{:x}", mix(d.serial)).into(),
                now(d),
                s.some_order(d).into(),
            ]
        },
    ),
    write(
        "add_review",
        Edit,
        Prepared,
        60.0,
        &[sql(
            "INSERT INTO shop.reviews (product_id, stars, body, created_at) VALUES ($1, $2, $3, $4)",
        )],
        |s, d| {
            vec![
                s.some_product(d.tenant, d.rng).into(),
                d.rng.random_range(1..6i64).into(),
                format!("{} {}", pick(WORD, d.rng), pick(WORD, d.rng)).into(),
                now(d),
            ]
        },
    ),
    write(
        "sign_up",
        Edit,
        Prepared,
        40.0,
        &[sql(
            "INSERT INTO shop.customers (shop_id, email, full_name, city, newsletter, created_at) VALUES ($1, $2, 'New Customer', 'Lyon', true, $3)",
        )],
        |_, d| {
            vec![
                shop(d),
                format!("n{:x}@new.example", mix(d.serial)).into(),
                now(d),
            ]
        },
    ),
    write(
        "cancel_order",
        Remove,
        Prepared,
        4.0,
        &[sql("DELETE FROM shop.orders WHERE id = $1")],
        |s, d| vec![(mix(d.serial) % (s.orders() / 40) * 40 + 40).into()],
    ),
];

const TABLES: [(Table, &str, &str); 6] = [
    (Table::Shops, "shop.shops", "id, name, plan"),
    (
        Table::Customers,
        "shop.customers",
        "id, shop_id, email, full_name, city, newsletter, created_at",
    ),
    (
        Table::Products,
        "shop.products",
        "id, shop_id, sku, title, category, price, stock, attributes, active, created_at",
    ),
    (
        Table::Orders,
        "shop.orders",
        "id, shop_id, customer_id, number, status, total, tracking, gift_note, placed_at, updated_at",
    ),
    (
        Table::Items,
        "shop.order_items",
        "id, order_id, product_id, quantity, price",
    ),
    (
        Table::Reviews,
        "shop.reviews",
        "id, product_id, stars, body, created_at",
    ),
];

impl Application for Shop {
    fn name(&self) -> &'static str {
        "shop"
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
        &["shop.orders.gift_note"]
    }
    fn tenants(&self) -> &Tenants {
        &self.tenants
    }
}
