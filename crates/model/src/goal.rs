//! Ordered goals of a selection as users write them: `total_cost 10%`, `index_bytes`, … The
//! first is reached as well as it can be, the next as well as it can be while the first stays
//! within its tolerance, and so on.

use crate::setting::Refusal;
use serde::{Deserialize, Serialize};

/// What may be minimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Time of all statements, weighted by their calls.
    TotalCost,
    /// The greatest cost that one execution of any statement has.
    MaxCost,
    /// Room that indexes take which may be chosen or dropped.
    IndexBytes,
    /// Number of these indexes.
    IndexCount,
    /// What writes pay for these indexes: upkeep, and heap-only updates that are lost.
    WriteCost,
}

/// All goals.
pub const GOALS: [Goal; 5] = [
    Goal::TotalCost,
    Goal::MaxCost,
    Goal::IndexBytes,
    Goal::IndexCount,
    Goal::WriteCost,
];

impl Goal {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Goal::TotalCost => "total_cost",
            Goal::MaxCost => "max_cost",
            Goal::IndexBytes => "index_bytes",
            Goal::IndexCount => "index_count",
            Goal::WriteCost => "write_cost",
        }
    }

    /// The unit of its values.
    pub fn unit(self) -> &'static str {
        match self {
            Goal::TotalCost | Goal::WriteCost => "ms",
            Goal::MaxCost => "cost units",
            Goal::IndexBytes => "bytes",
            Goal::IndexCount => "indexes",
        }
    }
}

/// A goal and the share by which the goals after it may worsen what it reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderedGoal {
    /// What is minimised.
    pub goal: Goal,
    /// Share, 0…[`MOST_TOLERANCE`].
    pub tolerance: f64,
}

impl std::fmt::Display for OrderedGoal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.goal.name())?;
        if self.tolerance > 0.0 {
            // Tenths of a thousandth: no digits of the binary representation.
            write!(f, " {}%", (self.tolerance * 1e6).round() / 1e4)?;
        }
        Ok(())
    }
}

/// The greatest tolerance, as a share: eleven times what could be had is no goal any more.
pub const MOST_TOLERANCE: f64 = 10.0;

const HINT: &str = "Write the name of a goal, and how much of it later goals may give away in percent, for example 'total_cost 10%'.";

fn refuse<T>(detail: String, hint: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        detail,
        hint: hint.into(),
    })
}

/// Reads one goal: a name and perhaps a tolerance in percent (none is 0).
///
/// # Errors
/// On a name that is no goal, and on a tolerance that is none.
pub fn parse_goal(text: &str) -> Result<OrderedGoal, Refusal> {
    let text = text.trim();
    let (name, rest) = match text.find(|c: char| !(c.is_alphanumeric() || c == '_')) {
        Some(end) => text.split_at(end),
        None => (text, ""),
    };
    if name.is_empty() {
        return refuse("A goal has no name.".into(), HINT);
    }
    let Some(goal) = GOALS
        .into_iter()
        .find(|goal| goal.name().eq_ignore_ascii_case(name))
    else {
        return refuse(
            format!("There is no goal \"{name}\"."),
            format!("The goals are: {}.", GOALS.map(Goal::name).join(", ")),
        );
    };
    let rest = rest.trim();
    if rest.is_empty() {
        return Ok(OrderedGoal {
            goal,
            tolerance: 0.0,
        });
    }
    let Some(number) = rest.strip_suffix('%') else {
        return refuse(
            format!("The tolerance \"{rest}\" of {name} is not in percent."),
            HINT,
        );
    };
    let percent: f64 = match number.trim().parse() {
        Ok(percent) if f64::is_finite(percent) => percent,
        _ => {
            return refuse(
                format!("The tolerance \"{rest}\" of {name} is not a number of percent."),
                HINT,
            );
        }
    };
    if percent < 0.0 {
        return refuse(
            format!("The tolerance of {name} is negative."),
            "A tolerance says by how much later goals may worsen this one: 0% and more.",
        );
    }
    if percent > 100.0 * MOST_TOLERANCE {
        return refuse(
            format!("The tolerance of {name}, {percent} %, allows nearly anything."),
            format!(
                "Tolerances go up to {:.0}%; leave the goal out where it does not matter.",
                100.0 * MOST_TOLERANCE
            ),
        );
    }
    Ok(OrderedGoal {
        goal,
        tolerance: percent / 100.0,
    })
}

/// Reads goals in their order, each as in [`parse_goal`].
///
/// # Errors
/// As there, and on a goal that stands twice: the second would change nothing.
pub fn ordered<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Vec<OrderedGoal>, Refusal> {
    let mut goals: Vec<OrderedGoal> = Vec::new();
    for text in texts {
        let goal = parse_goal(text)?;
        if goals.iter().any(|known| known.goal == goal.goal) {
            return refuse(
                format!("{} stands twice.", goal.goal.name()),
                "Give each goal once, with the tolerance that it is to have.",
            );
        }
        goals.push(goal);
    }
    Ok(goals)
}

/// Reads goals separated by commas; an empty text is an empty list.
///
/// # Errors
/// As [`ordered`].
pub fn parse_goals(text: &str) -> Result<Vec<OrderedGoal>, Refusal> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    ordered(text.split(','))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_read() {
        let goals = parse_goals("total_cost 10%, Index_Bytes,write_cost 0.5 %").expect("three");
        let of = |goal, tolerance| OrderedGoal { goal, tolerance };
        assert_eq!(
            goals,
            [
                of(Goal::TotalCost, 0.1),
                of(Goal::IndexBytes, 0.0),
                of(Goal::WriteCost, 0.005)
            ]
        );
        assert_eq!(parse_goals("  "), Ok(vec![]));
        assert_eq!(
            parse_goals("max_cost 1000%"),
            Ok(vec![of(Goal::MaxCost, 10.0)])
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        for goal in GOALS {
            for tolerance in [0.0, 0.005, 0.07, 0.1, 0.333, 10.0] {
                let text = OrderedGoal { goal, tolerance }.to_string();
                let read = parse_goal(&text).expect(&text);
                assert_eq!(read.goal, goal);
                assert!((read.tolerance - tolerance).abs() < 1e-9, "{text}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        for (text, part) in [
            ("total_cst", "no goal \"total_cst\""),
            ("total_cost 10", "\"10\" of total_cost is not in percent"),
            ("total_cost -5%", "negative"),
            ("total_cost x%", "not a number"),
            ("total_cost NaN%", "not a number"),
            ("total_cost inf%", "not a number"),
            ("total_cost 1001%", "allows nearly anything"),
            ("total_cost,total_cost 5%", "twice"),
            ("total_cost,", "no name"),
            ("5%", "no goal \"5\""),
            ("%", "no name"),
            ("total_cost 5% 6%", "not a number"),
        ] {
            let refusal = parse_goals(text).expect_err(text);
            assert!(refusal.detail.contains(part), "{text}: {}", refusal.detail);
            assert!(
                refusal.detail.ends_with('.') && refusal.hint.ends_with('.'),
                "{text}"
            );
        }
    }
}
