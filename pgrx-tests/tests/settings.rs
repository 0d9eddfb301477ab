//! The settings: README's table against the server, and values that make no sense.

use std::fs;

use indexpilot_tests::{Cluster, workspace};

/// README's table between its two marks, as it ought to be.
fn table(cluster: &Cluster) -> String {
    let mut out =
        String::from("| setting | default | values | set by | what |\n|---|---|---|---|---|\n");
    for row in cluster.session().rows(
        "SELECT '`' || name || '`',
                 CASE current_setting(name) WHEN '' THEN 'empty' ELSE '`' || current_setting(name) || '`' END,
                 CASE WHEN vartype = 'enum' THEN array_to_string(enumvals, ', ')
                      WHEN vartype = 'bool' THEN 'on, off'
                      WHEN vartype = 'string' THEN 'text'
                      WHEN min_val = '-2147483648' THEN '-1 and more' || coalesce(' ' || unit, '')
                      ELSE min_val || ' to ' || max_val || coalesce(' ' || unit, '') END,
                 CASE context WHEN 'postmaster' THEN 'restart' WHEN 'sighup' THEN 'reload'
                              WHEN 'superuser' THEN 'superuser' ELSE 'anyone' END,
                 short_desc || coalesce(' ' || extra_desc, '')
          FROM pg_settings WHERE name LIKE 'indexpilot.%'
            -- only in libraries that are built for tests, as this one is
            AND name <> 'indexpilot.stop_at' ORDER BY name COLLATE \"C\"",
    ) {
        let cells: Vec<String> = row
            .into_iter()
            .map(|cell| cell.unwrap_or_default().replace('|', "\\|"))
            .collect();
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    out
}

/// Compares a part of README with what it ought to be; `BLESS=1` writes it instead.
#[track_caller]
fn compare_with_readme(mark: &str, wanted: &str) {
    let path = workspace().join("README.md");
    let readme = fs::read_to_string(&path).expect("README.md");
    let (begin, end) = (
        format!("<!-- {mark} -->\n"),
        format!("<!-- end of {mark} -->"),
    );
    let start = readme.find(&begin).expect("the mark's begin") + begin.len();
    let stop = start + readme[start..].find(&end).expect("the mark's end");
    if std::env::var_os("BLESS").is_some() {
        let text = format!("{}{wanted}{}", &readme[..start], &readme[stop..]);
        fs::write(&path, text).expect("write README.md");
    } else {
        assert!(
            readme[start..stop] == *wanted,
            "README's {mark} differ from the server's (BLESS=1 writes them). They ought to be:\n{wanted}"
        );
    }
}

#[test]
fn readme_lists_every_setting_as_the_server_has_it() {
    let cluster = Cluster::started();
    compare_with_readme("settings", &table(&cluster));
}

#[test]
fn readme_lists_every_function_and_view() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let mut out = String::from("| function | what |\n|---|---|\n");
    for row in session.rows(
        "SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ')', obj_description(p.oid, 'pg_proc')
         FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
         WHERE n.nspname = 'indexpilot' AND p.prorettype <> 'trigger'::regtype
         ORDER BY p.proname, pg_get_function_arguments(p.oid) COLLATE \"C\"",
    ) {
        // Arguments that come out are columns of the result, and described there.
        let signature = row[0].clone().unwrap_or_default();
        let (name, arguments) = signature.split_once('(').expect("a signature");
        let arguments: Vec<&str> = arguments
            .trim_end_matches(')')
            .split(", ")
            .filter(|argument| !argument.starts_with("OUT "))
            .collect();
        out.push_str(&format!(
            "| `{name}({})` | {} |\n",
            arguments.join(", "),
            row[1].clone().unwrap_or_default().replace('|', "\\|")
        ));
    }
    out.push_str("\n| table or view | what |\n|---|---|\n");
    for row in session.rows(
        "SELECT c.relname, obj_description(c.oid, 'pg_class')
         FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE n.nspname = 'indexpilot' AND c.relkind IN ('r', 'v', 'm', 'p')
         ORDER BY c.relname",
    ) {
        out.push_str(&format!(
            "| `{}` | {} |\n",
            row[0].clone().unwrap_or_default(),
            row[1].clone().unwrap_or_default().replace('|', "\\|")
        ));
    }
    compare_with_readme("objects", &out);
}

#[test]
fn every_major_refuses_values_that_make_no_sense_with_detail_and_hint() {
    let cluster = Cluster::started();
    let mut session = cluster.session();
    for (statement, detail, hint) in [
        (
            "SET indexpilot.maintenance_window = '26:00-07'",
            "\"26:00\" is not a time of the day.",
            "'02:00-06:00'",
        ),
        (
            "SET indexpilot.maintenance_days = 'weekend'",
            "\"weekend\" is not a day of the week.",
            "'mon-fri'",
        ),
        (
            "ALTER SYSTEM SET indexpilot.disabled_modules = 'captur'",
            "There is no module \"captur\".",
            "capture, advisor, worker",
        ),
        (
            "ALTER SYSTEM SET indexpilot.disabled_modules = 'reindex'",
            "\"reindex\" is a feature, not a module.",
            "indexpilot.reindex",
        ),
        (
            "SET indexpilot.storage_budget = '-5GB'",
            "A budget of -5120 MB would have to take space back.",
            "-1 for no limit",
        ),
        (
            "SET indexpilot.protected_statements = '4711'",
            "\"4711\" is no statement's id.",
            "indexpilot.statements",
        ),
        (
            "SET indexpilot.include_schemas = 'a,,b'",
            "A name in the list is empty.",
            "separated by commas",
        ),
    ] {
        let error = session.error(statement);
        assert_eq!(error.code, "22023", "{statement}: {error}");
        assert!(
            error.message.starts_with("invalid value for parameter"),
            "{error}"
        );
        assert_eq!(error.detail, detail, "{statement}");
        assert!(error.hint.contains(hint), "{statement}: {error}");
    }
    // The server's own refusals: an unknown word, a number out of range, an unknown setting.
    assert_eq!(
        session.error("SET indexpilot.create_index = 'yes'").code,
        "22023"
    );
    assert!(
        session
            .error("SET indexpilot.create_index = 'yes'")
            .hint
            .contains("off, advise, auto")
    );
    assert_eq!(
        session.error("SET indexpilot.cooldown = '2 days'").code,
        "22023"
    );
    assert_eq!(
        session.error("SET indexpilot.no_such_thing = 1").code,
        "42602"
    );
}

#[test]
fn a_setting_of_the_whole_server_is_not_set_by_a_session_nor_by_an_ordinary_user() {
    let cluster = Cluster::started();
    let mut session = cluster.session();
    assert_eq!(session.error("SET indexpilot.enabled = off").code, "55P02");
    assert_eq!(session.error("SET indexpilot.startup = off").code, "55P02");
    session.run("CREATE ROLE walter LOGIN");
    let mut walter = cluster.session_as("walter", "postgres");
    assert_eq!(
        walter.error("SET indexpilot.create_index = 'auto'").code,
        "42501"
    );
}

#[test]
fn a_window_with_units_and_a_database_of_its_own_is_kept() {
    let cluster = Cluster::started();
    let mut session = cluster.session();
    session.run("ALTER DATABASE postgres SET indexpilot.maintenance_window = '22:30-05:00'");
    session.run("ALTER DATABASE postgres SET indexpilot.storage_budget = '10GB'");
    let mut fresh = cluster.session();
    assert_eq!(
        fresh.text("SHOW indexpilot.maintenance_window"),
        "22:30-05:00"
    );
    assert_eq!(fresh.text("SHOW indexpilot.storage_budget"), "10GB");
    assert_eq!(fresh.text("SHOW indexpilot.retention"), "31d");
}
