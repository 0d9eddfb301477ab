//! Which existing indexes may be proposed to be dropped.

use indexpilot_advisor::candidates::Generated;
use indexpilot_advisor::plan::{Known, Settings, assemble};
use indexpilot_model::catalog::{ExistingIndex, Protection, RelationActivity};
use indexpilot_model::price::{Price, PriceError, SizeEstimate};
use indexpilot_model::query::RelationName;
use indexpilot_model::{
    CandidateId, Config, Expression, IndexDefinition, IndexKey, Oid, RelationInfo, StatementId,
    WhatIf,
};
use std::collections::BTreeMap;

/// Nobody has to be asked about what is there.
struct Nobody;

impl WhatIf for Nobody {
    fn register(
        &mut self,
        definition: &IndexDefinition,
    ) -> Result<(CandidateId, SizeEstimate), PriceError> {
        panic!("registered: {definition:?}")
    }

    fn price(
        &mut self,
        statement: StatementId,
        _: &[CandidateId],
        _: &[Oid],
    ) -> Result<Price, PriceError> {
        panic!("priced: {statement}")
    }

    fn planner_calls(&self) -> u64 {
        0
    }
}

const DAY: f64 = 86_400.0;

/// Names of the indexes that may go, of these on different columns of one table, whose counters
/// run since a hundred days.
fn droppable(indexes: &[ExistingIndex]) -> Vec<String> {
    let name = RelationName {
        oid: 1,
        schema: "public".into(),
        name: "t".into(),
    };
    let mut indexes = indexes.to_vec();
    for (number, index) in (1..).zip(&mut indexes) {
        let key = IndexKey::ascending(Expression::attribute(number, "c"));
        index.definition = Some(IndexDefinition::btree(name.clone(), vec![key]));
    }
    let relation = RelationInfo {
        name,
        kind: 'r',
        tuples: 100_000.0,
        pages: 5_000,
        all_visible: 1.0,
        attributes: Vec::new(),
        indexes,
        foreign_keys: Vec::new(),
        leaves: Vec::new(),
        activity: RelationActivity {
            seconds: 100.0 * DAY,
            ..RelationActivity::default()
        },
        fillfactor: 100,
    };
    let settings = Settings::automatic(&Config::default());
    let found = assemble(
        &mut Nobody,
        &[],
        &BTreeMap::from([(1, relation)]),
        Generated::default(),
        &settings,
    );
    let known = found.expect("nobody is asked").known;
    known
        .into_iter()
        .map(|known| match known {
            Known::Existing(index) => index.name,
            candidate @ Known::Candidate { .. } => panic!("{candidate:?}"),
        })
        .collect()
}

fn index(name: &str, scans: u64, days: f64) -> ExistingIndex {
    ExistingIndex {
        oid: 9,
        name: name.into(),
        definition: None,
        valid: true,
        bytes: 1,
        scans,
        counted_seconds: days * DAY,
        protections: Vec::new(),
        ours: false,
    }
}

#[test]
fn an_index_is_unused_when_its_own_scans_were_counted_for_long() {
    let guarded = ExistingIndex {
        protections: vec![Protection::Unique],
        ..index("guarded", 0, 90.0)
    };
    let found = droppable(&[
        index("old", 0, 90.0),
        // The table's counters are as old as the others', this index is not.
        index("built_last_week", 0, 7.0),
        index("used", 3, 90.0),
        guarded,
    ]);
    assert_eq!(found, ["old"]);
}
