//! The rows of the shop platform: each a pure function of the seed and its number.
use super::Shop;
use crate::application::{DAY, EPOCH, timestamp};
use crate::random::{Purpose, Stream, hot_index, mix, pick, stream};
use crate::words::{CITY, COMPANY_HEAD, COMPANY_TAIL, FIRST, LAST_HEAD, LAST_TAIL, WORD};
use rand::RngExt;
use std::fmt::Write;

/// Tables in load order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Table {
    Shops = 20,
    Customers,
    Products,
    Orders,
    Items,
    Reviews,
}

const HISTORY: i64 = 2 * 365 * DAY;

/// Stock-keeping unit of a product.
pub(super) fn sku(id: u64) -> String {
    format!("SKU-{:08x}", mix(id ^ 0x5c) & 0xffff_ffff)
}

/// Number of an order as printed.
pub(super) fn number(id: u64) -> String {
    format!("R{:09}", mix(id ^ 0x0d) % 1_000_000_000)
}

/// Carrier's number of a shipped order.
pub(super) fn tracking(id: u64) -> String {
    format!("1Z{:012X}", mix(id ^ 0x7c) & 0xffff_ffff_ffff)
}

impl Shop {
    fn row(&self, table: Table, row: u64) -> Stream {
        stream(self.seed, Purpose::Table(table as u8), row)
    }

    fn moment(row: u64, rows: u64, rng: &mut Stream) -> i64 {
        EPOCH - HISTORY
            + (row as f64 / rows as f64 * (HISTORY - DAY) as f64) as i64
            + rng.random_range(0..21_600)
    }

    pub(super) fn rows(&self, table: Table) -> u64 {
        match table {
            Table::Shops => self.tenants.list().len() as u64,
            Table::Customers => self.main,
            Table::Products => self.product_shop.len() as u64,
            Table::Orders => self.orders(),
            Table::Items => self.orders() * 2,
            Table::Reviews => self.main * 2,
        }
    }

    pub(super) fn some_product(&self, shop: usize, rng: &mut Stream) -> u64 {
        let list = self.products.of(shop);
        u64::from(list[hot_index(list.len(), rng)])
    }

    pub(super) fn some_customer(&self, shop: usize, rng: &mut Stream) -> u64 {
        let list = self.customers.of(shop);
        u64::from(list[list.len() - 1 - hot_index(list.len(), rng)])
    }

    pub(super) fn full_name(&self, id: u64) -> String {
        let mut rng = self.row(Table::Customers, id);
        format!(
            "{} {}{}",
            pick(FIRST, &mut rng),
            pick(LAST_HEAD, &mut rng),
            pick(LAST_TAIL, &mut rng)
        )
    }

    pub(super) fn email(&self, id: u64) -> String {
        let email = format!("{}{id}@mail.example", self.full_name(id).replace(' ', "."));
        if id.is_multiple_of(3) {
            email
        } else {
            email.to_lowercase()
        }
    }

    /// Shop position and customer of an order.
    pub(super) fn order(&self, id: u64) -> (usize, u64) {
        let mut rng = self.row(Table::Orders, id);
        let shop = self.tenants.draw_by_size(&mut rng);
        (shop, self.some_customer(shop, &mut rng))
    }

    pub(super) fn line(&self, table: Table, id: u64, out: &mut String) -> std::fmt::Result {
        let rows = self.rows(table);
        let mut rng = stream(self.seed, Purpose::Table(table as u8 + 20), id);
        match table {
            Table::Shops => writeln!(
                out,
                "{id}\t{} {}\t{}",
                pick(COMPANY_HEAD, &mut rng),
                pick(COMPANY_TAIL, &mut rng),
                self.tenants.list()[id as usize - 1].persona.name()
            ),
            Table::Customers => {
                let at = timestamp(Self::moment(id, rows, &mut rng));
                writeln!(
                    out,
                    "{id}\t{}\t{}\t{}\t{}\t{}\t{at}",
                    self.customer_shop[id as usize - 1] + 1,
                    self.email(id),
                    self.full_name(id),
                    pick(CITY, &mut rng),
                    if rng.random_bool(0.3) { 't' } else { 'f' }
                )
            }
            Table::Products => {
                let color = pick(
                    &["red", "blue", "green", "black", "white", "grey"],
                    &mut rng,
                );
                writeln!(
                    out,
                    "{id}\t{}\t{}\t{} {} {}\t{}\t{}.99\t{}\t{{\"color\": \"{color}\", \"size\": {}}}\t{}\t{}",
                    self.product_shop[id as usize - 1] + 1,
                    sku(id),
                    pick(WORD, &mut rng),
                    pick(WORD, &mut rng),
                    pick(WORD, &mut rng),
                    COMPANY_TAIL[hot_index(COMPANY_TAIL.len(), &mut rng)],
                    rng.random_range(1..500),
                    rng.random_range(0..10_000),
                    rng.random_range(30..60),
                    if rng.random_range(0..5) == 0 {
                        'f'
                    } else {
                        't'
                    },
                    timestamp(Self::moment(id, rows, &mut rng))
                )
            }
            Table::Orders => {
                let (shop, customer) = self.order(id);
                let at = Self::moment(id, rows, &mut rng);
                let age = (EPOCH - at) / DAY;
                let status = if age < 5 && rng.random_range(0..3) == 0 {
                    "paid"
                } else if rng.random_range(0..20) == 0 {
                    "returned"
                } else {
                    "shipped"
                };
                let tracking = if status == "paid" {
                    "\\N".to_owned()
                } else {
                    tracking(id)
                };
                let note = if rng.random_range(0..30) == 0 {
                    pick(WORD, &mut rng)
                } else {
                    "\\N"
                };
                writeln!(
                    out,
                    "{id}\t{}\t{customer}\t{}\t{status}\t{}.50\t{tracking}\t{note}\t{}\t{}",
                    shop + 1,
                    number(id),
                    rng.random_range(5..900),
                    timestamp(at),
                    timestamp(at + 7_200)
                )
            }
            Table::Items => {
                let (shop, _) = self.order((id - 1) / 2 + 1);
                writeln!(
                    out,
                    "{id}\t{}\t{}\t{}\t{}.99",
                    (id - 1) / 2 + 1,
                    self.some_product(shop, &mut rng),
                    rng.random_range(1..5),
                    rng.random_range(1..500)
                )
            }
            Table::Reviews => {
                let shop = self.tenants.draw_by_size(&mut rng);
                let product = self.some_product(shop, &mut rng);
                let at = timestamp(Self::moment(id, rows, &mut rng));
                writeln!(
                    out,
                    "{id}\t{product}\t{}\t{} {} {} {}\t{at}",
                    rng.random_range(1..6),
                    pick(WORD, &mut rng),
                    pick(WORD, &mut rng),
                    pick(WORD, &mut rng),
                    pick(WORD, &mut rng)
                )
            }
        }
    }
}
