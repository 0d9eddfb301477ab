//! The old rule of thumb, kept in sight beside the solver: an index pays when the queries it
//! serves, times what each costs, exceed what building it costs, with more demanded of small
//! tables and less of large ones, and never for a flag alone.

use indexpilot_model::{AccessMethod, IndexDefinition, RelationInfo};

/// Below this many rows a table has to show more.
pub const SMALL: f64 = 1_000.0;
/// Above this many, less.
pub const LARGE: f64 = 10_000.0;
/// A field with fewer values than this, evenly spread, selects too little alone.
const FEW_VALUES: f64 = 10.0;

/// What the rule says.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// It says build.
    pub holds: bool,
    /// (queries × query cost) / (build cost × demand); above 1 it holds.
    pub ratio: f64,
    /// In a sentence.
    pub sentence: String,
}

/// Judges by the rule: `calls` of the statements that it serves over the window looked at,
/// `saved` cost units a call, `build` cost units.
pub fn judge(relation: &RelationInfo, calls: f64, saved: f64, build: f64) -> Verdict {
    let demand = if relation.tuples < SMALL {
        5.0
    } else if relation.tuples > LARGE {
        0.5
    } else {
        1.0
    };
    let ratio = if build > 0.0 {
        calls * saved / (build * demand)
    } else {
        f64::INFINITY
    };
    let holds = ratio > 1.0;
    Verdict {
        holds,
        ratio,
        sentence: format!(
            "{calls:.0} calls a day × {saved:.1} cost units saved {} build cost {build:.0} × {demand} ({} rows)",
            if holds { ">" } else { "≤" },
            relation.tuples.round()
        ),
    }
}

/// Why a definition is a flag alone: one key with few values, neither restricted by a
/// predicate nor carrying a payload. `None` where it is not.
pub fn flag_alone(definition: &IndexDefinition, relation: &RelationInfo) -> Option<String> {
    if definition.method != AccessMethod::Btree
        || definition.keys.len() != 1
        || !definition.include.is_empty()
        || definition.predicate.is_some()
    {
        return None;
    }
    let number = definition.keys[0].element.as_attribute()?;
    let attribute = relation.attribute(number)?;
    let distinct = attribute.distinct?;
    // Skewed fields have rare values that an index does find.
    let skewed = attribute
        .top_frequency
        .is_some_and(|top| top * distinct > 1.8);
    let mostly_null = attribute.null_fraction.is_some_and(|nulls| nulls > 0.5);
    (distinct < FEW_VALUES && !skewed && !mostly_null).then(|| {
        format!(
            "{} has only {distinct:.0} values: alone it selects too little",
            attribute.name
        )
    })
}
