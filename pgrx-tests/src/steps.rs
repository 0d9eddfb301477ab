//! Steps that tests of the whole loop share: traffic that becomes history, and advice awaited.

use crate::{PATIENCE, Session, wait_for};

/// Runs `statements`, waits until that many calls of statements like `pattern` (SQL `LIKE`,
/// on the normalised text) are saved, and moves what was saved back in time by `minutes`.
/// Capture's blocks are five minutes long, and nobody waits an hour for a test: what is
/// measured is real; only the hour that it is filed under is not.
///
/// `traffic` runs the statements, `reader` looks at the tables; they may be of one role or not.
///
/// # Panics
/// When the traffic is not saved in time.
#[track_caller]
pub fn past_traffic(
    traffic: &mut Session,
    reader: &mut Session,
    statements: &[String],
    pattern: &str,
    minutes: i32,
) {
    for statement in statements {
        traffic.run(statement);
    }
    let wanted = statements.len() as f64;
    wait_for("the traffic to be saved", PATIENCE, || {
        let calls = reader.number(&format!(
            "SELECT coalesce(sum(t.calls), 0) FROM indexpilot.statement_stats AS t
             JOIN indexpilot.statement AS s ON s.id = t.statement
             WHERE s.query LIKE '{pattern}' AND t.bucket > now() - interval '6 minutes'"
        ));
        if calls >= wanted {
            Ok(())
        } else {
            Err(format!("{calls} calls"))
        }
    });
    reader.run(&format!(
        "UPDATE indexpilot.statement_stats SET bucket = bucket - interval '{minutes} minutes'
         WHERE bucket > now() - interval '6 minutes'"
    ));
}

/// Asks `indexpilot.analyze()` until a definition that it advises contains `part`.
///
/// # Panics
/// When it never does, with what was advised last.
#[track_caller]
pub fn advised(session: &mut Session, part: &str) {
    wait_for("advice", PATIENCE, || {
        let found = session.column("SELECT definition FROM indexpilot.analyze()");
        if found.iter().any(|definition| definition.contains(part)) {
            return Ok(());
        }
        Err(format!("{found:?}"))
    });
}
