//! Upgrades of the SQL objects: a database that was updated has the objects of a fresh one.
//!
//! Scripts of released versions lie in `sql/` (`indexpilot--OLD.sql`, frozen, and
//! `indexpilot--OLD--NEW.sql`). As long as there is no released version, the comparison itself
//! is what is tested.

use std::fs;

use indexpilot_tests::{Cluster, workspace};

/// Everything that makes up the SQL objects of a database, one line each, in an order.
fn objects(cluster: &Cluster, database: &str) -> Vec<String> {
    cluster.session_in(database).column(
        "WITH member AS (
             SELECT d.classid, d.objid FROM pg_depend AS d JOIN pg_extension AS e
               ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
             WHERE e.extname = 'indexpilot'),
         relation AS (
             SELECT c.* FROM member AS m JOIN pg_class AS c
               ON m.classid = 'pg_class'::regclass AND m.objid = c.oid)
         SELECT line FROM (
             SELECT pg_describe_object(classid, objid, 0) || ': ' || coalesce(obj_description(objid,
                        (SELECT relname FROM pg_class WHERE oid = classid)), '') AS line FROM member
             UNION ALL
             SELECT pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '') FROM member AS m
               JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid AND p.prokind <> 'a'
             UNION ALL
             SELECT format('%s.%s %s %s %s %s %s', r.relname, a.attname, a.attnum,
                        format_type(a.atttypid, a.atttypmod), a.attnotnull,
                        pg_get_expr(f.adbin, f.adrelid), col_description(r.oid, a.attnum))
               FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND NOT a.attisdropped
               LEFT JOIN pg_attrdef AS f ON f.adrelid = r.oid AND f.adnum = a.attnum WHERE a.attnum > 0
             UNION ALL
             SELECT r.relname || ' ' || r.relkind::text || ' ' || coalesce(r.relacl::text, '') FROM relation AS r
             UNION ALL
             SELECT c.conname || ' ' || pg_get_constraintdef(c.oid) FROM relation AS r
               JOIN pg_constraint AS c ON c.conrelid = r.oid
             UNION ALL
             SELECT pg_get_indexdef(i.indexrelid) FROM relation AS r JOIN pg_index AS i ON i.indrelid = r.oid
             UNION ALL
             SELECT pg_get_triggerdef(t.oid) || t.tgenabled::text FROM relation AS r
               JOIN pg_trigger AS t ON t.tgrelid = r.oid AND NOT t.tgisinternal
             UNION ALL
             SELECT pg_get_viewdef(r.oid) FROM relation AS r WHERE r.relkind IN ('v', 'm')
             UNION ALL
             SELECT 'dumped ' || c::regclass || ' ' || k FROM pg_extension AS e
               CROSS JOIN LATERAL unnest(e.extconfig, e.extcondition) AS x (c, k)
             WHERE e.extname = 'indexpilot') AS lines
         ORDER BY line COLLATE \"C\"",
    )
}

/// What one has and the other has not.
fn difference(a: &[String], b: &[String]) -> Vec<String> {
    let only = |a: &[String], b: &[String], mark: char| -> Vec<String> {
        a.iter()
            .filter(|line| !b.contains(line))
            .map(|line| format!("{mark} {line}"))
            .collect()
    };
    let mut lines = only(a, b, '-');
    lines.extend(only(b, a, '+'));
    lines
}

/// Versions with a frozen install script in `sql/`.
fn released() -> Vec<String> {
    fs::read_dir(workspace().join("sql"))
        .expect("sql/")
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name.strip_prefix("indexpilot--")?.strip_suffix(".sql")?;
            (!version.contains("--")).then(|| version.to_owned())
        })
        .collect()
}

#[test]
fn an_updated_database_has_the_objects_of_a_fresh_one() {
    let cluster = Cluster::with_extension();
    let fresh = objects(&cluster, "postgres");
    assert!(fresh.len() > 50, "only {} lines", fresh.len());
    for version in released() {
        let database = format!("from_{}", version.replace('.', "_"));
        cluster
            .session()
            .run(&format!("CREATE DATABASE {database}"));
        let mut session = cluster.session_in(&database);
        session.run(&format!(
            "CREATE EXTENSION indexpilot VERSION '{version}'; ALTER EXTENSION indexpilot UPDATE"
        ));
        let lines = difference(&fresh, &objects(&cluster, &database));
        assert!(
            lines.is_empty(),
            "updated from {version}:\n{}",
            lines.join("\n")
        );
    }
}

#[test]
fn the_comparison_sees_what_an_update_could_forget() {
    let cluster = Cluster::with_extension();
    cluster
        .session()
        .run("CREATE DATABASE other TEMPLATE template0");
    let mut other = cluster.session_in("other");
    other.run("CREATE EXTENSION indexpilot");
    let fresh = objects(&cluster, "postgres");
    assert_eq!(
        difference(&fresh, &objects(&cluster, "other")),
        Vec::<String>::new()
    );
    for forgotten in [
        "ALTER TABLE indexpilot.setting ALTER COLUMN reason DROP NOT NULL",
        "ALTER TABLE indexpilot.setting ADD COLUMN more int",
        "COMMENT ON FUNCTION indexpilot.status() IS 'another'",
        "GRANT EXECUTE ON FUNCTION indexpilot.attach() TO PUBLIC",
        "ALTER TABLE indexpilot.mutation_log DISABLE TRIGGER guard_rows",
        "DROP INDEX indexpilot.mutation_log_at",
        "ALTER FUNCTION indexpilot.version() VOLATILE",
    ] {
        other.run(&format!("BEGIN; {forgotten}; COMMIT"));
        let lines = difference(&fresh, &objects(&cluster, "other"));
        assert!(!lines.is_empty(), "not seen: {forgotten}");
        other.run("DROP EXTENSION indexpilot; CREATE EXTENSION indexpilot");
    }
}

#[test]
fn there_is_a_way_from_every_released_version_to_this_one() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let version = env!("CARGO_PKG_VERSION");
    for old in released() {
        assert_eq!(
            session.text(&format!(
                "SELECT count(*) FROM pg_extension_update_paths('indexpilot')
                 WHERE source = '{old}' AND target = '{version}' AND path IS NOT NULL"
            )),
            "1",
            "no path from {old} to {version}"
        );
    }
    assert_eq!(
        session
            .text("SELECT default_version FROM pg_available_extensions WHERE name = 'indexpilot'"),
        version,
        "the control file and Cargo.toml name one version"
    );
}
