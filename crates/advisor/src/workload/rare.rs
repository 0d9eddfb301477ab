//! Which statements run too rarely for an index of their own.

/// A statement with a smaller share of the calls is rare …
const RARE_CALLS: f64 = 1e-4;
/// … or that ran fewer times than this: once or twice may never happen again …
const ONCE_OR_TWICE: f64 = 3.0;
/// … unless it has this share of the time: a long report every hour is work worth saving.
const NOTABLE_TIME: f64 = 0.01;

/// For each statement (calls, milliseconds; history included), why it is not analysed: it is
/// rare. What it took in so few executions says little, and every write would pay for it.
pub fn rare(statements: &[(f64, f64)]) -> Vec<Option<String>> {
    let calls: f64 = statements.iter().map(|s| s.0).sum();
    let ms: f64 = statements.iter().map(|s| s.1).sum();
    statements
        .iter()
        .map(|&(own_calls, own_ms)| {
            let is_rare =
                own_calls < (RARE_CALLS * calls).max(ONCE_OR_TWICE) && own_ms < NOTABLE_TIME * ms;
            is_rare.then(|| {
                format!(
                    "it is rare: {own_calls:.0} of {calls:.0} calls and {:.2} % of the time",
                    100.0 * own_ms / ms.max(1e-12)
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_is_few_calls_and_little_time() {
        let found = rare(&[
            (100_000.0, 10_000.0),
            (3.0, 20.0),
            (3.0, 5_000.0),
            (50.0, 1.0),
        ]);
        assert!(found[1].as_ref().unwrap().contains("3 of 100056 calls"));
        assert_eq!(
            found.iter().map(Option::is_some).collect::<Vec<_>>(),
            [false, true, false, false]
        );
        // In a small workload, what ran once and takes its part of the time is not rare.
        let small = rare(&[(9.0, 1.0), (1.0, 0.1), (1.0, 1e-6)]);
        assert_eq!(
            small.iter().map(Option::is_some).collect::<Vec<_>>(),
            [false, false, true]
        );
    }
}
