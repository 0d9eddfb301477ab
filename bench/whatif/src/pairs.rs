//! Generated indexes and the statements that they are for.

use indexpilot_tests::Session;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }

    pub fn of<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// An index and statements that might use it.
pub struct Case {
    pub table: &'static str,
    /// Access method, for the report.
    pub method: &'static str,
    /// What follows `CREATE INDEX [name] `.
    pub definition: String,
    pub queries: Vec<String>,
    /// Its statistics need ANALYZE.
    pub expression: bool,
}

struct Table {
    name: &'static str,
    /// Columns worth filtering by.
    columns: &'static [&'static str],
    /// A join to another table, and a filter there.
    join: Option<(&'static str, &'static str)>,
}

const TABLES: &[Table] = &[
    Table {
        name: "lineitem",
        columns: &[
            "l_orderkey",
            "l_partkey",
            "l_suppkey",
            "l_quantity",
            "l_extendedprice",
            "l_discount",
            "l_returnflag",
            "l_shipdate",
            "l_commitdate",
            "l_receiptdate",
            "l_shipmode",
        ],
        join: Some(("orders", "o_orderkey = l_orderkey")),
    },
    Table {
        name: "orders",
        columns: &[
            "o_custkey",
            "o_orderstatus",
            "o_totalprice",
            "o_orderdate",
            "o_orderpriority",
            "o_clerk",
        ],
        join: Some(("customer", "c_custkey = o_custkey")),
    },
    Table {
        name: "customer",
        columns: &[
            "c_name",
            "c_nationkey",
            "c_phone",
            "c_acctbal",
            "c_mktsegment",
        ],
        join: Some(("nation", "n_nationkey = c_nationkey")),
    },
    Table {
        name: "part",
        columns: &[
            "p_name",
            "p_brand",
            "p_type",
            "p_size",
            "p_container",
            "p_retailprice",
        ],
        join: Some(("partsupp", "ps_partkey = p_partkey")),
    },
    Table {
        name: "partsupp",
        columns: &["ps_suppkey", "ps_availqty", "ps_supplycost"],
        join: Some(("supplier", "s_suppkey = ps_suppkey")),
    },
    Table {
        name: "people",
        columns: &["email", "name", "created", "amount", "age", "tenant"],
        join: None,
    },
];

/// A value of a column, as a literal.
fn value(session: &mut Session, random: &mut Random, table: &str, column: &str) -> String {
    let rows = session.number(&format!(
        "SELECT reltuples FROM pg_class WHERE relname = '{table}'"
    ));
    let offset = random.below(rows.max(1.0) as usize);
    session
        .value(&format!(
            "SELECT quote_literal({column}) FROM (SELECT {column} FROM {table} WHERE {column} IS NOT NULL OFFSET {} LIMIT 1) AS x",
            offset * 3 / 4
        ))
        .unwrap_or_else(|| "NULL".into())
}

/// Random b-tree, hash and BRIN cases over plain columns.
pub fn plain(session: &mut Session, random: &mut Random, count: usize) -> Vec<Case> {
    (0..count)
        .map(|_| {
            let table = random.of(TABLES);
            let width = 1 + random.below(3);
            let mut columns: Vec<&str> = Vec::new();
            while columns.len() < width {
                let column = *random.of(table.columns);
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
            let first = columns[0];
            let method = match random.below(10) {
                0 => "hash",
                1 => "brin",
                _ => "btree",
            };
            if method == "hash" {
                columns.truncate(1);
            }
            let descending = method == "btree" && random.below(4) == 0;
            let keys: Vec<String> = columns
                .iter()
                .enumerate()
                .map(|(i, c)| {
                    format!("{c}{}", if descending && i > 0 { " DESC" } else { "" })
                })
                .collect();
            let mut definition = format!("ON {} USING {method} ({})", table.name, keys.join(", "));
            if method == "btree" && random.below(6) == 0 {
                let payload = *random.of(table.columns);
                if !columns.contains(&payload) {
                    definition.push_str(&format!(" INCLUDE ({payload})"));
                }
            }
            if method == "brin" && random.below(2) == 0 {
                definition.push_str(" WITH (pages_per_range = 32)");
            }
            let mut partial = None;
            if method == "btree" && random.below(6) == 0 {
                let column = *random.of(table.columns);
                let bound = value(session, random, table.name, column);
                let predicate = format!("{column} >= {bound}");
                definition.push_str(&format!(" WHERE {predicate}"));
                partial = Some(predicate);
            }
            let mut queries = Vec::new();
            for _ in 0..4 {
                let a = value(session, random, table.name, first);
                let b = value(session, random, table.name, first);
                let and = partial.as_ref().map_or(String::new(), |p| format!(" AND {p}"));
                let second = columns.get(1).map(|c| (*c, value(session, random, table.name, c)));
                queries.push(match random.below(6) {
                    0 => format!("SELECT * FROM {} WHERE {first} = {a}{and}", table.name),
                    1 => format!("SELECT {first}, count(*) FROM {} WHERE {first} = {a}{and} GROUP BY 1", table.name),
                    2 => format!(
                        "SELECT * FROM {} WHERE {first} BETWEEN least({a}, {b}) AND greatest({a}, {b}){and}",
                        table.name
                    )
                    .replace(&format!("least({a}, {b})"), if a <= b { &a } else { &b })
                    .replace(&format!("greatest({a}, {b})"), if a <= b { &b } else { &a }),
                    3 => match &second {
                        Some((c, v)) => format!("SELECT * FROM {} WHERE {first} = {a} AND {c} <= {v}{and}", table.name),
                        None => format!("SELECT * FROM {} WHERE {first} IN ({a}, {b}){and}", table.name),
                    },
                    4 => match &second {
                        Some((c, _)) => format!("SELECT * FROM {} WHERE {first} = {a}{and} ORDER BY {c} DESC LIMIT 10", table.name),
                        None => format!("SELECT * FROM {} WHERE {first} >= {a}{and} ORDER BY {first} LIMIT 20", table.name),
                    },
                    _ => match table.join {
                        Some((other, on)) => format!("SELECT count(*) FROM {}, {other} WHERE {on} AND {first} = {a}{and}", table.name),
                        None => format!("SELECT count(*) FROM {} AS x WHERE {first} = {a}{and}", table.name).replace(" AS x", ""),
                    },
                });
            }
            Case {
                table: table.name,
                method,
                definition,
                queries,
                expression: false,
            }
        })
        .collect()
}

/// Expressions, and the access methods for composite values.
pub fn rich(session: &mut Session, random: &mut Random) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case =
        |method: &'static str, keys: &str, tail: &str, expression: bool, queries: Vec<String>| {
            cases.push(Case {
                table: "people",
                method,
                definition: format!("ON people USING {method} ({keys}){tail}"),
                queries,
                expression,
            });
        };
    let some = |session: &mut Session, random: &mut Random, expression: &str| -> Vec<String> {
        (0..4)
            .map(|_| {
                session
                    .value(&format!(
                        "SELECT quote_literal({expression}) FROM people WHERE id = {}",
                        1 + random.below(100_000)
                    ))
                    .unwrap_or_else(|| "'x'".into())
            })
            .collect()
    };
    let each = |values: &[String], pattern: &str| -> Vec<String> {
        values.iter().map(|v| pattern.replace("$", v)).collect()
    };
    let v = some(session, random, "lower(email)");
    case(
        "btree",
        "lower(email)",
        "",
        true,
        each(&v, "SELECT * FROM people WHERE lower(email) = $"),
    );
    case(
        "btree",
        "tenant, lower(email)",
        "",
        true,
        each(
            &v,
            "SELECT * FROM people WHERE tenant = 3 AND lower(email) = $",
        ),
    );
    case(
        "btree",
        "lower(email) text_pattern_ops",
        "",
        true,
        v.iter()
            .map(|v| {
                format!(
                    "SELECT * FROM people WHERE lower(email) LIKE '{}%'",
                    &v[1..7]
                )
            })
            .collect(),
    );
    case(
        "hash",
        "lower(email)",
        "",
        true,
        each(&v, "SELECT id FROM people WHERE lower(email) = $"),
    );
    let v = some(session, random, "email");
    case(
        "btree",
        "email text_pattern_ops",
        "",
        false,
        v.iter()
            .map(|v| format!("SELECT * FROM people WHERE email LIKE '{}%'", &v[1..8]))
            .collect(),
    );
    case(
        "hash",
        "email",
        "",
        false,
        each(&v, "SELECT * FROM people WHERE email = $"),
    );
    let v = some(session, random, "doc->>'city'");
    case(
        "btree",
        "(doc->>'city')",
        "",
        true,
        each(&v, "SELECT * FROM people WHERE doc->>'city' = $"),
    );
    case(
        "btree",
        "tenant, (doc->>'city')",
        "",
        true,
        each(
            &v,
            "SELECT id FROM people WHERE tenant = 7 AND doc->>'city' = $",
        ),
    );
    case(
        "btree",
        "(doc->>'city'), created DESC",
        "",
        true,
        each(
            &v,
            "SELECT * FROM people WHERE doc->>'city' = $ ORDER BY created DESC LIMIT 10",
        ),
    );
    let v = some(session, random, "doc->>'n'");
    case(
        "btree",
        "((doc->>'n')::int)",
        "",
        true,
        each(&v, "SELECT * FROM people WHERE (doc->>'n')::int = $::int"),
    );
    case(
        "btree",
        "((doc->>'n')::int)",
        "",
        true,
        each(
            &v,
            "SELECT * FROM people WHERE (doc->>'n')::int BETWEEN $::int AND $::int + 50",
        ),
    );
    let v = some(session, random, "(created AT TIME ZONE 'UTC')::date");
    case(
        "btree",
        "((created AT TIME ZONE 'UTC')::date)",
        "",
        true,
        each(
            &v,
            "SELECT count(*) FROM people WHERE (created AT TIME ZONE 'UTC')::date = $",
        ),
    );
    let v = some(session, random, "tenant");
    case(
        "btree",
        "created",
        " WHERE age IS NULL",
        false,
        each(
            &v,
            "SELECT * FROM people WHERE age IS NULL AND tenant = $ ORDER BY created LIMIT 5",
        ),
    );
    case(
        "btree",
        "created",
        " WHERE amount > 9900",
        false,
        each(
            &v,
            "SELECT * FROM people WHERE amount > 9900 AND tenant = $::int",
        ),
    );
    case(
        "btree",
        "tenant, created DESC",
        " WHERE doc->>'level' = 'high'",
        false,
        each(
            &v,
            "SELECT * FROM people WHERE tenant = $::int AND doc->>'level' = 'high' ORDER BY created DESC LIMIT 10",
        ),
    );
    case(
        "btree",
        "age",
        "",
        false,
        each(&v, "SELECT * FROM people WHERE age = $::int"),
    );
    let v = some(session, random, "created");
    for method in ["brin", "btree"] {
        case(
            method,
            "created",
            "",
            false,
            each(
                &v,
                "SELECT count(*) FROM people WHERE created BETWEEN $ AND $::timestamptz + interval '1 day'",
            ),
        );
    }
    case(
        "brin",
        "created timestamptz_minmax_multi_ops",
        " WITH (pages_per_range = 16)",
        false,
        each(
            &v,
            "SELECT * FROM people WHERE created BETWEEN $ AND $::timestamptz + interval '1 day'",
        ),
    );
    let v = some(session, random, "tags[1]");
    case(
        "gin",
        "tags",
        "",
        false,
        each(&v, "SELECT * FROM people WHERE tags @> ARRAY[$]"),
    );
    case(
        "gin",
        "tags",
        "",
        false,
        each(
            &v,
            "SELECT count(*) FROM people WHERE tags && ARRAY[$, 'tag3']",
        ),
    );
    let v = some(session, random, "jsonb_build_object('city', doc->'city')");
    case(
        "gin",
        "doc",
        "",
        false,
        each(&v, "SELECT * FROM people WHERE doc @> $"),
    );
    case(
        "gin",
        "doc jsonb_path_ops",
        "",
        false,
        each(&v, "SELECT * FROM people WHERE doc @> $"),
    );
    let v = some(
        session,
        random,
        "jsonb_build_object('nested', doc->'nested')",
    );
    case(
        "gin",
        "doc jsonb_path_ops",
        "",
        false,
        each(&v, "SELECT id FROM people WHERE doc @> $"),
    );
    let v = some(session, random, "split_part(name, ' ', 2)");
    case(
        "gin",
        "name gin_trgm_ops",
        "",
        false,
        v.iter()
            .map(|v| format!("SELECT * FROM people WHERE name ILIKE '%{}%'", &v[2..7]))
            .collect(),
    );
    case(
        "gist",
        "name gist_trgm_ops",
        "",
        false,
        v.iter()
            .map(|v| format!("SELECT * FROM people WHERE name LIKE '%{}%'", &v[2..7]))
            .collect(),
    );
    let v = some(session, random, "'word' || (random() * 2000)::int");
    case(
        "gin",
        "body",
        "",
        false,
        each(&v, "SELECT * FROM people WHERE body @@ $::tsquery"),
    );
    case(
        "gist",
        "body",
        "",
        false,
        each(&v, "SELECT * FROM people WHERE body @@ $::tsquery"),
    );
    let v = some(session, random, "lower(period)");
    for method in ["gist", "spgist"] {
        case(
            method,
            "period",
            "",
            false,
            each(
                &v,
                "SELECT * FROM people WHERE period && tsrange($, $::timestamp + interval '1 hour')",
            ),
        );
    }
    let v = some(session, random, "location");
    for method in ["gist", "spgist"] {
        case(
            method,
            "location",
            "",
            false,
            each(
                &v,
                "SELECT * FROM people WHERE location <@ box($::point, point(10, 10) + $::point)",
            ),
        );
        case(
            method,
            "location",
            "",
            false,
            each(
                &v,
                "SELECT id FROM people ORDER BY location <-> $::point LIMIT 10",
            ),
        );
    }
    let v = some(session, random, "name");
    case(
        "spgist",
        "name",
        "",
        false,
        each(&v, "SELECT * FROM people WHERE name = $"),
    );
    cases
}
