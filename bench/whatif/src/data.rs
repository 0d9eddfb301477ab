//! The two databases' worth of data: TPC-H, and a schema of what business applications have
//! beside numbers (expressions, JSON, arrays, ranges, text, points).

use indexpilot_tests::Session;
use std::fmt::Display;
use std::io::Write;
use tpchgen::csv::{
    CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv,
};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};

const TPCH: &str = "
CREATE TABLE region (r_regionkey int PRIMARY KEY, r_name text, r_comment text);
CREATE TABLE nation (n_nationkey int PRIMARY KEY, n_name text, n_regionkey int, n_comment text);
CREATE TABLE part (p_partkey int PRIMARY KEY, p_name text, p_mfgr text, p_brand text, p_type text,
    p_size int, p_container text, p_retailprice numeric, p_comment text);
CREATE TABLE supplier (s_suppkey int PRIMARY KEY, s_name text, s_address text, s_nationkey int,
    s_phone text, s_acctbal numeric, s_comment text);
CREATE TABLE partsupp (ps_partkey int, ps_suppkey int, ps_availqty int, ps_supplycost numeric,
    ps_comment text, PRIMARY KEY (ps_partkey, ps_suppkey));
CREATE TABLE customer (c_custkey int PRIMARY KEY, c_name text, c_address text, c_nationkey int,
    c_phone text, c_acctbal numeric, c_mktsegment text, c_comment text);
CREATE TABLE orders (o_orderkey int PRIMARY KEY, o_custkey int, o_orderstatus text,
    o_totalprice numeric, o_orderdate date, o_orderpriority text, o_clerk text,
    o_shippriority int, o_comment text);
CREATE TABLE lineitem (l_orderkey int, l_partkey int, l_suppkey int, l_linenumber int,
    l_quantity numeric, l_extendedprice numeric, l_discount numeric, l_tax numeric,
    l_returnflag text, l_linestatus text, l_shipdate date, l_commitdate date,
    l_receiptdate date, l_shipinstruct text, l_shipmode text, l_comment text,
    PRIMARY KEY (l_orderkey, l_linenumber));";

const APPLICATION: &str = "
CREATE EXTENSION pg_trgm;
SELECT setseed(0.42);
CREATE TABLE people AS
SELECT g AS id,
    'User' || (random() * 90000)::int || '@' || (ARRAY['Example.org','mail.test','corp.example'])[1 + g % 3] AS email,
    (ARRAY['Anna','Bert','Carla','Dieter','Emma','Franz','Greta','Hans'])[1 + (random() * 7)::int]
        || ' ' || substr(md5((g % 20000)::text), 1, 8) AS name,
    timestamptz '2024-01-01' + g * interval '5 minutes' + random() * interval '1 hour' AS created,
    ARRAY(SELECT 'tag' || ((random() * random() * 400)::int) FROM generate_series(1, 1 + (g % 5))) AS tags,
    jsonb_build_object('city', 'city' || (random() * random() * 300)::int, 'n', (random() * 5000)::int,
        'level', (ARRAY['low','mid','high'])[1 + (random() * 2)::int], 'nested', jsonb_build_object('k', g % 1000)) AS doc,
    tsrange(timestamp '2024-01-01' + (g % 50000) * interval '10 minutes',
        timestamp '2024-01-01' + (g % 50000) * interval '10 minutes' + random() * interval '2 days') AS period,
    point(random() * 1000, random() * 1000) AS location,
    to_tsvector('simple', 'word' || (random() * random() * 2000)::int || ' word' || (random() * 2000)::int || ' common') AS body,
    (random() * 10000)::numeric(10, 2) AS amount,
    CASE WHEN g % 7 = 0 THEN NULL ELSE (random() * 90)::int END AS age,
    (random() * random() * 50)::int AS tenant
FROM generate_series(1, 100000) AS g;
ALTER TABLE people ADD PRIMARY KEY (id);";

/// Makes all tables and their statistics. `scale` is TPC-H's scale factor.
#[allow(dead_code, reason = "another bench takes TPC-H alone")]
pub fn load(session: &mut Session, scale: f64) {
    tpch(session, scale);
    session.run(APPLICATION);
    session.run("VACUUM ANALYZE");
}

/// Makes the tables of TPC-H, without statistics.
pub fn tpch(session: &mut Session, scale: f64) {
    session.run(TPCH);
    copy(
        session,
        "region",
        RegionGenerator::default().iter().map(RegionCsv::new),
    );
    copy(
        session,
        "nation",
        NationGenerator::default().iter().map(NationCsv::new),
    );
    copy(
        session,
        "part",
        PartGenerator::new(scale, 1, 1).iter().map(PartCsv::new),
    );
    copy(
        session,
        "supplier",
        SupplierGenerator::new(scale, 1, 1)
            .iter()
            .map(SupplierCsv::new),
    );
    copy(
        session,
        "partsupp",
        PartSuppGenerator::new(scale, 1, 1)
            .iter()
            .map(PartSuppCsv::new),
    );
    copy(
        session,
        "customer",
        CustomerGenerator::new(scale, 1, 1)
            .iter()
            .map(CustomerCsv::new),
    );
    copy(
        session,
        "orders",
        OrderGenerator::new(scale, 1, 1).iter().map(OrderCsv::new),
    );
    copy(
        session,
        "lineitem",
        LineItemGenerator::new(scale, 1, 1)
            .iter()
            .map(LineItemCsv::new),
    );
}

fn copy(session: &mut Session, table: &str, rows: impl Iterator<Item = impl Display>) {
    let mut writer = session
        .copy_in(&format!("COPY {table} FROM STDIN (FORMAT csv)"))
        .expect("COPY");
    for row in rows {
        writeln!(writer, "{row}").expect("a row");
    }
    writer.finish().expect("the end of COPY");
}
