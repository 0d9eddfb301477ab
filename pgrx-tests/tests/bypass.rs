//! The four levels at which IndexPilot is switched off, and what status() says of them.

use indexpilot_tests::{Cluster, PATIENCE, Session, wait_for};

/// `desired`, `actual` and `reason` of a part.
fn state(session: &mut Session, part: &str) -> (String, String, String) {
    let row = session
        .rows(&format!(
            "SELECT desired, actual, coalesce(reason, '') FROM indexpilot.status() WHERE module = '{part}'"
        ))
        .remove(0);
    let mut cells = row.into_iter().map(Option::unwrap_or_default);
    let mut next = || cells.next().unwrap_or_default();
    (next(), next(), next())
}

#[track_caller]
fn expect(session: &mut Session, part: &str, desired: &str, actual: &str, reason: &str) {
    let (d, a, r) = state(session, part);
    assert_eq!((d.as_str(), a.as_str()), (desired, actual), "{part}: {r}");
    assert!(
        r.contains(reason) && (!reason.is_empty() || r.is_empty()),
        "{part}: the reason is {r:?}, not {reason:?}"
    );
}

#[test]
fn every_major_is_on_after_create_extension() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    expect(&mut session, "system", "on", "on", "");
    expect(&mut session, "capture", "on", "on", "");
    expect(&mut session, "create_index", "advise", "advise", "");
    assert!(
        cluster
            .log()
            .contains("indexpilot 0.1.0 starts, switched on")
    );
}

#[test]
fn a_reload_switches_the_whole_off_and_on_also_for_a_busy_session() {
    let cluster = Cluster::with_extension();
    let mut busy = cluster.session();
    // In one statement, a session watches the state that hooks see; it does not read its own
    // configuration before the statement is over.
    let watch = std::thread::spawn(move || {
        busy.text(
            "DO $$ BEGIN
               WHILE (SELECT actual FROM indexpilot.status() WHERE module = 'system') = 'on' LOOP
                 PERFORM pg_catalog.pg_sleep(0.01);
               END LOOP; END $$;
             SELECT current_setting('indexpilot.enabled')",
        )
    });
    let mut session = cluster.session();
    cluster.wait(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND wait_event = 'PgSleep'",
        "1",
    );
    session.run("ALTER SYSTEM SET indexpilot.enabled = off");
    cluster.reload();
    watch.join().expect("the busy session saw the switch");
    expect(
        &mut session,
        "system",
        "off",
        "off",
        "indexpilot.enabled is off",
    );
    expect(
        &mut session,
        "worker",
        "off",
        "off",
        "indexpilot.enabled is off",
    );
    cluster.wait_log("indexpilot is switched off by indexpilot.enabled");
    session.run("ALTER SYSTEM RESET indexpilot.enabled");
    cluster.reload();
    expect(&mut session, "system", "on", "on", "");
    cluster.wait_log("indexpilot is switched on");
}

#[test]
fn modules_are_switched_off_by_the_configuration() {
    let cluster = Cluster::builder()
        .conf("indexpilot.disabled_modules = 'advisor, genome'")
        .start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION indexpilot");
    expect(&mut session, "advisor", "off", "off", "disabled_modules");
    expect(&mut session, "genome", "off", "off", "disabled_modules");
    expect(&mut session, "capture", "on", "on", "");
    assert!(
        cluster
            .log()
            .contains("starts, switched on, but for advisor, genome")
    );
}

#[test]
fn disable_lasts_over_a_restart_and_is_in_the_mutation_log() {
    let mut cluster = Cluster::with_extension();
    let mut session = cluster.session();
    assert_eq!(
        session.text("SELECT indexpilot.disable('moving house')"),
        "t"
    );
    assert_eq!(session.text("SELECT indexpilot.disable('again')"), "f");
    assert_eq!(
        session.text("SELECT indexpilot.disable('noisy', 'capture')"),
        "t"
    );
    expect(&mut session, "system", "off", "off", "moving house");
    expect(&mut session, "worker", "off", "off", "disabled by postgres");
    drop(session);
    cluster.restart();
    let mut session = cluster.session();
    expect(&mut session, "system", "off", "off", "moving house");
    assert_eq!(session.text("SELECT indexpilot.enable()"), "t");
    assert_eq!(session.text("SELECT indexpilot.enable()"), "f");
    expect(&mut session, "system", "on", "on", "");
    expect(&mut session, "capture", "off", "off", "noisy");
    assert_eq!(
        session.text("SELECT indexpilot.enable('capture', 'quiet again')"),
        "t"
    );
    expect(&mut session, "capture", "on", "on", "");
    assert_eq!(
        session.column(
            "SELECT kind || ' ' || (evidence->>'part') || ': ' || reason FROM indexpilot.mutation_log
             WHERE kind LIKE 'SYSTEM%' ORDER BY sequence"
        ),
        [
            "SYSTEM_DISABLE system: moving house",
            "SYSTEM_DISABLE capture: noisy",
            "SYSTEM_ENABLE system: switched on again",
            "SYSTEM_ENABLE capture: quiet again",
        ]
    );
}

#[test]
fn what_is_rolled_back_switches_nothing() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("BEGIN; SELECT indexpilot.disable('no'); ROLLBACK");
    expect(&mut session, "system", "on", "on", "");
    session.run(
        "BEGIN; SAVEPOINT a; SELECT indexpilot.disable('no'); ROLLBACK TO a;
         SELECT indexpilot.disable('yes', 'worker'); COMMIT",
    );
    expect(&mut session, "system", "on", "on", "");
    expect(&mut session, "worker", "off", "off", "yes");
    assert_eq!(
        session.text("SELECT count(*) FROM indexpilot.mutation_log WHERE kind = 'SYSTEM_DISABLE'"),
        "1"
    );
}

#[test]
fn switching_is_for_superusers_and_the_owner_of_the_database() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE ROLE olga LOGIN; CREATE ROLE walter LOGIN;
         GRANT EXECUTE ON FUNCTION indexpilot.disable(text, text) TO olga, walter;
         ALTER DATABASE postgres OWNER TO olga",
    );
    let mut walter = cluster.session_as("walter", "postgres");
    assert_eq!(walter.error("SELECT indexpilot.enable()").code, "42501");
    let error = walter.error("SELECT indexpilot.disable('why not')");
    assert_eq!(error.code, "42501");
    assert!(error.detail.contains("owner"), "{error}");
    assert_eq!(
        walter
            .error("INSERT INTO indexpilot.setting VALUES (1, 1, 'system', 'x', 'x', now())")
            .code,
        "42501"
    );
    let mut olga = cluster.session_as("olga", "postgres");
    assert_eq!(olga.text("SELECT indexpilot.disable('mine')"), "t");
    expect(&mut walter, "system", "off", "off", "disabled by olga");
    let error = session.error("SELECT indexpilot.disable(' ')");
    assert_eq!(
        (error.code.as_str(), error.hint.is_empty()),
        ("22023", false),
        "{error}"
    );
    let error = session.error("SELECT indexpilot.disable('x', 'everything')");
    assert!(error.detail.contains("capture, advisor"), "{error}");
}

#[test]
fn features_are_switched_off_by_their_stage_and_by_hand() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("SET indexpilot.drop_index = 'off'; SET indexpilot.create_index = 'auto'");
    expect(
        &mut session,
        "drop_index",
        "off",
        "off",
        "indexpilot.drop_index is off",
    );
    expect(&mut session, "create_index", "auto", "auto", "");
    session.run("SELECT indexpilot.disable('freeze', 'create_index')");
    expect(&mut session, "create_index", "off", "off", "freeze");
}

#[test]
fn a_start_without_us_loads_the_library_and_does_nothing() {
    for cluster in [
        Cluster::builder().conf("indexpilot.startup = off").start(),
        Cluster::builder().env("INDEXPILOT_BYPASS", "1").start(),
    ] {
        let mut session = cluster.session();
        session.run("CREATE EXTENSION indexpilot");
        let (desired, actual, reason) = state(&mut session, "system");
        assert_eq!((desired.as_str(), actual.as_str()), ("on", "off"));
        assert!(
            reason == "indexpilot.startup is off" || reason.contains("INDEXPILOT_BYPASS"),
            "{reason}"
        );
        assert!(
            cluster
                .log()
                .contains(&format!("indexpilot stays idle: {reason}"))
        );
        // Nothing of ours is in shared memory, and no process runs.
        assert_eq!(
            session.text("SELECT count(*) FROM pg_shmem_allocations WHERE name LIKE 'indexpilot%'"),
            "0"
        );
        assert_eq!(
            session.text(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'indexpilot%'"
            ),
            "0"
        );
        // What is disabled now still counts after a start with us.
        assert_eq!(session.text("SELECT indexpilot.disable('later')"), "t");
    }
    let cluster = Cluster::builder().env("INDEXPILOT_BYPASS", "0").start();
    assert!(cluster.log().contains("starts, switched on"));
}

#[test]
fn two_who_switch_different_modules_at_once_both_count() {
    let cluster = Cluster::with_extension();
    let mut first = cluster.session();
    let mut second = cluster.session();
    let pid = second.pid();
    first.run("BEGIN; SELECT indexpilot.disable('one', 'capture')");
    let waiting =
        std::thread::spawn(move || second.run("SELECT indexpilot.disable('two', 'genome')"));
    cluster.wait(
        &format!("SELECT wait_event_type FROM pg_stat_activity WHERE pid = {pid}"),
        "Lock",
    );
    first.run("COMMIT");
    waiting.join().expect("the second");
    let mut session = cluster.session();
    wait_for("both to be off", PATIENCE, || {
        let states = (
            state(&mut session, "capture").1,
            state(&mut session, "genome").1,
        );
        if states == ("off".into(), "off".into()) {
            Ok(())
        } else {
            Err(format!("{states:?}"))
        }
    });
    expect(&mut session, "worker", "on", "on", "");
}

#[test]
fn a_module_that_is_off_does_not_do_its_work() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let logged = |name: &str| {
        format!(
            "SELECT count(*) > 0 FROM indexpilot.mutation_log
             WHERE kind = 'SCHEMA_CHANGE' AND relation_name = '{name}'"
        )
    };
    session.run("CREATE TABLE seen (a int)");
    cluster.wait(&logged("seen"), "t");
    session.run("SELECT indexpilot.disable('quiet', 'lineage')");
    session.run("CREATE TABLE unseen (a int)");
    session.run("SELECT indexpilot.enable('lineage')");
    session.run("CREATE TABLE seen_again (a int)");
    cluster.wait(&logged("seen_again"), "t");
    assert_eq!(session.text(&logged("unseen")), "f");
}
