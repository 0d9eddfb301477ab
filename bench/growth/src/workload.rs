//! A hundred tables and statements over them: a pure function of the seed.

use indexpilot_tests::Session;
use std::fmt::Write;

/// Tables.
pub const TABLES: u64 = 100;

/// splitmix64.
pub struct Dice(pub u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0…n−1.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// One of a list.
    fn of<'l>(&mut self, list: &[&'l str]) -> &'l str {
        list[self.below(list.len() as u64) as usize]
    }
}

/// Columns that statements search by, with their numbers of values.
const COLUMNS: [(&str, u64); 6] = [
    ("tenant_id", 50),
    ("kind", 12),
    ("owner", 900),
    ("stage", 6),
    ("score", 5_000),
    ("parent", 4_000),
];

/// Makes and fills the tables; `parent` of each refers to the table before it.
pub fn load(session: &mut Session, rows: u64) {
    for table in 0..TABLES {
        // From a fifth of the mean to nine fifths.
        let rows = rows / 5 + rows * 8 / 5 * table / TABLES;
        let mut columns = String::new();
        for (number, (name, values)) in COLUMNS.iter().enumerate() {
            let _ = write!(
                columns,
                ", (hashint4(g + {}) & 268435455) % {values} AS {name}",
                1_000_000 * (number as u64 + 1) + 7 * table
            );
        }
        session.run(&format!(
            "CREATE TABLE t{table} AS SELECT g AS id{columns},
                 timestamptz '2024-01-01' + (hashint4(g) & 1048575) * interval '1 minute' AS made,
                 'name ' || md5(g::text) AS name, repeat('x', 60) AS note
             FROM generate_series(1, {rows}) AS g;
             ALTER TABLE t{table} ADD PRIMARY KEY (id)"
        ));
        session.run(&format!("VACUUM ANALYZE t{table}"));
    }
}

/// A condition on a column of `t`.
fn condition(dice: &mut Dice, t: &str) -> String {
    let (column, values) = COLUMNS[dice.below(COLUMNS.len() as u64) as usize];
    let value = dice.below(values);
    match dice.below(10) {
        0..=6 => format!("{t}.{column} = {value}"),
        7 => format!("{t}.{column} IN ({value}, {})", dice.below(values)),
        8 => format!("{t}.score > {}", 4_800 + dice.below(200)),
        _ => format!("{t}.made > '2025-12-{:02}'", 1 + dice.below(28)),
    }
}

/// Different conditions, from one to three.
fn conditions(dice: &mut Dice, t: &str) -> String {
    let mut list: Vec<String> = (0..=dice.below(3)).map(|_| condition(dice, t)).collect();
    list.sort();
    list.dedup();
    list.join(" AND ")
}

/// So many statements with their weights: searches, pages of lists, joins of two and three
/// tables, groups, and one in ten that writes.
pub fn statements(seed: u64, number: usize) -> Vec<(String, u64)> {
    let mut dice = Dice(seed);
    let outputs = ["*", "a.id, a.name", "count(*)", "sum(a.score)"];
    (0..number)
        .map(|place| {
            // Every table has its share.
            let table = place as u64 % (TABLES - 2);
            let found = conditions(&mut dice, "a");
            let text = match dice.below(20) {
                0..=7 => format!("SELECT {} FROM t{table} AS a WHERE {found}", dice.of(&outputs)),
                8..=10 => format!(
                    "SELECT a.id, a.name FROM t{table} AS a WHERE {found} ORDER BY a.{} LIMIT 20",
                    dice.of(&["made", "made DESC", "score", "name"])
                ),
                11..=14 => format!(
                    "SELECT a.id, b.name FROM t{table} AS a JOIN t{} AS b ON b.parent = a.id WHERE {found}",
                    table + 1
                ),
                15..=16 => format!(
                    "SELECT c.note FROM t{table} AS a JOIN t{} AS b ON b.parent = a.id
                     JOIN t{} AS c ON c.parent = b.id WHERE {found} AND {}",
                    table + 1,
                    table + 2,
                    condition(&mut dice, "c")
                ),
                17 => format!(
                    "SELECT a.{0}, count(*) FROM t{table} AS a WHERE {found} GROUP BY a.{0}",
                    dice.of(&["kind", "owner", "stage"])
                ),
                18 => format!(
                    "UPDATE t{table} AS a SET {} = 1 WHERE {found}",
                    dice.of(&["stage", "score", "owner"])
                ),
                _ => format!(
                    "INSERT INTO t{table} (id, tenant_id, name) VALUES ({}, 1, 'new')",
                    1_000_000 + place
                ),
            };
            (text, 1 + dice.below(1_000))
        })
        .collect()
}
