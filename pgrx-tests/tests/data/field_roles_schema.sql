CREATE SCHEMA crm;
SET search_path = crm;
CREATE TABLE t (id int PRIMARY KEY, a int, b int, c bigint, tenant uuid, email varchar(200), name text,
    body text, data jsonb, tags text[], span int4range, at timestamptz, ok boolean, loc point, addr inet,
    vec tsvector, price numeric, d date, code char(4), num int[]);
CREATE TABLE u (id int PRIMARY KEY, t_id int, a int, label text, at timestamptz, deleted_at timestamptz);
CREATE TABLE w (id int, u_id int, kind text, x float8, y float8);
CREATE TABLE parted (id int, day date, v int) PARTITION BY RANGE (day);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2030-01-01');
CREATE TABLE secured (id int, owner_name text, v int);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON secured USING (owner_name = current_setting('app.owner', true));
CREATE TABLE tree (id int, parent int, label text);
CREATE VIEW tv AS SELECT id, a, lower(email) AS mail, ok FROM t WHERE ok;
CREATE VIEW agg AS SELECT t_id, count(*) AS n, max(at) AS last FROM u GROUP BY t_id;
CREATE VIEW both_kinds AS SELECT id, a FROM t UNION ALL SELECT id, a FROM u;
CREATE VIEW checked AS SELECT id, a FROM u WHERE t_id IN (SELECT id FROM t WHERE ok) WITH CHECK OPTION;
CREATE TYPE place AS (street text, city text);
CREATE TABLE homes (id int, home place, names varchar(20)[]);
CREATE DOMAIN posint AS int CHECK (VALUE > 0);
CREATE TABLE dom (p posint, q text COLLATE "C");
CREATE FUNCTION immut(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE ROLE reader;
GRANT USAGE ON SCHEMA crm TO reader;
GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA crm TO reader;
