//! The SQL surface against the rules of CONTRIBUTING.md, as the catalogs show it.

use std::process::Command;

use indexpilot_tests::{Cluster, workspace};

/// Members of the extension, one line each.
const MEMBERS: &str = "pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_extension AS e
      ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid
     AND d.deptype = 'e' AND e.extname = 'indexpilot'";

#[track_caller]
fn none(cluster: &Cluster, what: &str, sql: &str) {
    let found = cluster.session().column(sql);
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn every_object_has_a_comment() {
    let cluster = Cluster::with_extension();
    none(
        &cluster,
        "objects without a comment",
        &format!(
            "SELECT pg_describe_object(d.classid, d.objid, 0) FROM {MEMBERS}
             WHERE obj_description(d.objid, (SELECT relname FROM pg_class WHERE oid = d.classid)) IS NULL
               -- row types and array types come with their tables
               AND NOT EXISTS (SELECT FROM pg_type AS t WHERE d.classid = 'pg_type'::regclass
                   AND t.oid = d.objid AND (t.typrelid <> 0 OR t.typelem <> 0))
             ORDER BY 1"
        ),
    );
    none(
        &cluster,
        "columns of tables without a comment",
        &format!(
            "SELECT a.attrelid::regclass || '.' || a.attname FROM {MEMBERS}
             JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind = 'r'
             JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE col_description(a.attrelid, a.attnum) IS NULL ORDER BY 1"
        ),
    );
}

#[test]
fn everything_is_in_our_schema_and_nothing_runs_with_the_rights_of_its_owner() {
    let cluster = Cluster::with_extension();
    none(
        &cluster,
        "objects outside the schema",
        &format!(
            "SELECT o.identity FROM {MEMBERS}
             CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) AS o
             WHERE o.schema IS DISTINCT FROM 'indexpilot'
               AND o.type NOT IN ('event trigger', 'schema') AND o.identity NOT LIKE '%indexpilot.%'"
        ),
    );
    none(
        &cluster,
        "functions with SECURITY DEFINER",
        &format!(
            "SELECT p.oid::regprocedure::text FROM {MEMBERS}
             JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid WHERE p.prosecdef"
        ),
    );
    // A body that is text is read anew under the caller's search_path.
    none(
        &cluster,
        "functions whose body depends on the caller's search_path",
        &format!(
            "SELECT p.oid::regprocedure::text FROM {MEMBERS}
             JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
             JOIN pg_language AS l ON l.oid = p.prolang
             WHERE l.lanname NOT IN ('c', 'internal') AND p.prosqlbody IS NULL
               AND NOT coalesce(array_to_string(p.proconfig, ' ') ~ 'search_path=pg_catalog, *pg_temp', false)"
        ),
    );
}

#[test]
fn nobody_writes_to_our_tables() {
    let cluster = Cluster::with_extension();
    none(
        &cluster,
        "rights to write that somebody beside the owner has",
        &format!(
            "SELECT c.relname || ': ' || acl.privilege_type || ' to ' ||
                    CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END
             FROM {MEMBERS}
             JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
             CROSS JOIN LATERAL aclexplode(c.relacl) AS acl
             WHERE acl.grantee <> c.relowner AND acl.privilege_type <> 'SELECT' ORDER BY 1"
        ),
    );
    none(
        &cluster,
        "tables whose history pg_dump would leave out",
        &format!(
            "SELECT c.relname FROM {MEMBERS}
             JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind IN ('r', 'p')
             WHERE NOT c.oid = ANY (e.extconfig) AND c.relpersistence = 'p'
               -- samples hold users' values, and do not leave the database
               AND c.relname NOT LIKE '%sample%' AND c.relname <> 'statement_source'
               -- OIDs of indexes, which are others after a restore, and built anew
               AND c.relname NOT IN ('index_size', 'statement_plan') ORDER BY 1"
        ),
    );
}

#[test]
fn what_changes_something_is_not_for_everybody() {
    let cluster = Cluster::with_extension();
    // Volatile because they read shared memory or plan; they change nothing that lasts.
    let harmless = [
        "advise",
        "advised_goals",
        "analyze",
        "explain",
        "health",
        "index_size_estimate",
        "lint",
        "metrics",
        "preview",
        "query_fields",
        "report",
        "rollback_preview",
        "status",
        "what_if",
        "what_if_counters",
        "what_if_subsets",
        "why",
    ];
    let open = cluster.session().column(&format!(
        "SELECT DISTINCT p.proname FROM {MEMBERS}
         JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
         WHERE p.provolatile = 'v' AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
           AND has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1"
    ));
    let wrong: Vec<_> = open
        .iter()
        .filter(|name| !harmless.contains(&name.as_str()))
        .collect();
    assert!(
        wrong.is_empty(),
        "volatile functions that PUBLIC may call: {wrong:?}"
    );
}

#[test]
fn the_install_script_replaces_nothing_and_takes_nothing_over() {
    let out = Command::new(workspace().join("scripts/install-sql"))
        .output()
        .expect("scripts/install-sql");
    assert!(out.status.success());
    let script = String::from_utf8(out.stdout).expect("UTF-8");
    let code: String = script
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
        .to_uppercase();
    for word in [
        "OR REPLACE",
        "IF NOT EXISTS",
        "SECURITY DEFINER",
        "IF EXISTS",
    ] {
        assert!(!code.contains(word), "the install script has {word}");
    }
    for what in [
        "TABLE",
        "VIEW",
        "FUNCTION",
        "TYPE",
        "DOMAIN",
        "SEQUENCE",
        "MATERIALIZED VIEW",
    ] {
        for (at, _) in code.match_indices(&format!("CREATE {what} ")) {
            let name = &code[at + 8 + what.len()..];
            assert!(
                name.starts_with("INDEXPILOT."),
                "unqualified: CREATE {what} {}",
                name.lines().next().unwrap_or_default()
            );
        }
    }
}
