//! Candidates from hand-made shapes: the stages one by one, and what must hold for any shape.

use indexpilot_advisor::candidates::{Settings, Source, existing, generate, merge};
use indexpilot_model::catalog::{ExistingIndex, ForeignKey, Protection, RelationActivity};
use indexpilot_model::expression::Expression;
use indexpilot_model::identifier::QualifiedName;
use indexpilot_model::query::{
    Comparand, FieldRole, FieldUse, QueryLevel, QueryShape, RelationInstance, StatementKind,
};
use indexpilot_model::{AttributeInfo, IndexDefinition, IndexKey, Oid, RelationInfo, RelationName};
use proptest::prelude::*;
use std::collections::BTreeMap;

const COLUMNS: [(&str, &str, f64); 6] = [
    ("id", "int4", 100_000.0),
    ("tenant_id", "int4", 50.0),
    ("status", "text", 4.0),
    ("created_at", "timestamptz", 90_000.0),
    ("email", "text", 80_000.0),
    ("owner_id", "int4", 500.0),
];

fn attribute(number: i16) -> Expression {
    Expression::attribute(number, COLUMNS[number as usize - 1].0)
}

fn relation() -> RelationInfo {
    RelationInfo {
        name: RelationName {
            oid: 1,
            schema: "public".into(),
            name: "t".into(),
        },
        kind: 'r',
        tuples: 100_000.0,
        pages: 5_000,
        all_visible: 1.0,
        attributes: COLUMNS
            .iter()
            .enumerate()
            .map(|(i, (name, type_name, distinct))| AttributeInfo {
                number: i as i16 + 1,
                name: (*name).into(),
                type_name: QualifiedName::catalog(*type_name),
                average_width: 8.0,
                null_fraction: Some(0.0),
                distinct: Some(*distinct),
                correlation: Some(0.0),
                top_frequency: None,
                collation: 100,
                collation_is_c: false,
                btree_orderable: true,
                hashable: true,
                not_null: true,
            })
            .collect(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        leaves: Vec::new(),
        activity: RelationActivity::default(),
        fillfactor: 100,
    }
}

fn field(
    number: i16,
    role: FieldRole,
    operator: &str,
    comparand: Comparand,
    position: u16,
) -> FieldUse {
    FieldUse {
        instance: 0,
        element: attribute(number),
        role,
        operator: (!operator.is_empty()).then(|| QualifiedName::catalog(operator)),
        operator_oid: 0,
        collation: 0,
        comparand,
        disjunction: 0,
        branch: 0,
        position,
    }
}

fn shape(uses: Vec<FieldUse>, needed: Vec<i16>) -> QueryShape {
    QueryShape {
        kind: StatementKind::Select,
        levels: vec![QueryLevel {
            has_limit: true,
            ..QueryLevel::default()
        }],
        instances: vec![RelationInstance {
            relation: relation().name,
            level: 0,
            nullable: false,
            is_target: false,
            needed,
            whole_row: false,
        }],
        uses,
        assigned: Vec::new(),
        opaque_quals: 0,
    }
}

fn generated(shapes: &[QueryShape], relation: RelationInfo) -> Vec<String> {
    let relations: BTreeMap<Oid, RelationInfo> = BTreeMap::from([(1, relation)]);
    let sources: Vec<Source> = shapes
        .iter()
        .map(|shape| Source {
            shape,
            weight: 1.0,
            constants_fixed: false,
        })
        .collect();
    generate(&sources, &relations, &Settings::default())
        .candidates
        .iter()
        .map(|c| {
            let text = c.definition.for_people(None);
            text[text.find("USING").expect("a method")..].to_owned()
        })
        .collect()
}

#[test]
fn equalities_lead_and_one_order_follows() {
    let found = generated(
        &[shape(
            vec![
                field(2, FieldRole::Equality, "=", Comparand::Parameter(1), 0),
                field(4, FieldRole::OrderDescending, "", Comparand::None, 0),
            ],
            (1..=6).collect(),
        )],
        relation(),
    );
    assert!(
        found.contains(&"USING btree (tenant_id, created_at)".to_string()),
        "{found:#?}"
    );
}

#[test]
fn a_list_stands_behind_the_order_it_would_break() {
    let found = generated(
        &[shape(
            vec![
                field(2, FieldRole::Equality, "=", Comparand::Parameter(1), 0),
                field(6, FieldRole::InList, "=", Comparand::Parameter(2), 0),
                field(4, FieldRole::OrderAscending, "", Comparand::None, 0),
            ],
            (1..=6).collect(),
        )],
        relation(),
    );
    assert!(
        found.contains(&"USING btree (tenant_id, created_at, owner_id)".to_string()),
        "{found:#?}"
    );
}

#[test]
fn states_become_predicates_and_parameters_do_not() {
    let with = |comparand| {
        generated(
            &[shape(
                vec![
                    field(2, FieldRole::Equality, "=", Comparand::Parameter(1), 0),
                    field(3, FieldRole::Equality, "=", comparand, 0),
                ],
                (1..=6).collect(),
            )],
            relation(),
        )
    };
    let wanted = "USING btree (tenant_id) WHERE (status = 'open'::text)".to_string();
    assert!(with(Comparand::Constant(Some("open".into()))).contains(&wanted));
    let plain = with(Comparand::Parameter(2));
    assert!(plain.iter().all(|d| !d.contains("WHERE")), "{plain:#?}");
}

#[test]
fn prefixes_get_the_pattern_class_where_the_collation_needs_it() {
    let one = shape(
        vec![field(
            5,
            FieldRole::PrefixLike,
            "~~",
            Comparand::Parameter(1),
            0,
        )],
        (1..=6).collect(),
    );
    let found = generated(std::slice::from_ref(&one), relation());
    assert!(found.contains(&"USING btree (email text_pattern_ops)".to_string()));
    let mut c = relation();
    c.attributes[4].collation_is_c = true;
    assert!(generated(&[one], c).contains(&"USING btree (email)".to_string()));
}

#[test]
fn what_exists_is_not_thought_of_again_and_invalid_twins_are_named() {
    let one = shape(
        vec![field(
            2,
            FieldRole::Equality,
            "=",
            Comparand::Parameter(1),
            0,
        )],
        (1..=6).collect(),
    );
    let definition =
        IndexDefinition::btree(relation().name, vec![IndexKey::ascending(attribute(2))]);
    for valid in [true, false] {
        let mut with = relation();
        with.indexes.push(ExistingIndex {
            oid: 9,
            name: "t_tenant".into(),
            definition: Some(definition.clone()),
            valid,
            bytes: 1,
            scans: 0,
            counted_seconds: 0.0,
            protections: Vec::new(),
            ours: false,
        });
        let relations = BTreeMap::from([(1, with)]);
        let out = generate(
            &[Source {
                shape: &one,
                weight: 1.0,
                constants_fixed: false,
            }],
            &relations,
            &Settings::default(),
        );
        assert!(out.candidates.iter().all(|c| c.definition != definition));
        let why = &out
            .refused
            .iter()
            .find(|r| r.definition == definition)
            .expect("refused")
            .why;
        assert_eq!(why.contains("invalid"), !valid, "{why}");
    }
}

#[test]
fn redundancy_respects_payload_predicate_and_protection() {
    let base = IndexDefinition::btree(relation().name, vec![IndexKey::ascending(attribute(2))]);
    let mut wide = base.clone();
    wide.keys.push(IndexKey::ascending(attribute(4)));
    assert!(existing::subsumes(&wide, &base));
    assert!(!existing::subsumes(&base, &wide));
    let mut covering = base.clone();
    covering
        .include
        .push(indexpilot_model::index::IncludedAttribute {
            number: 5,
            name: "email".into(),
        });
    assert!(!existing::subsumes(&wide, &covering));
    assert!(existing::subsumes(&covering, &base));
    let mut partial = base.clone();
    partial.predicate = Some(attribute(3));
    assert!(!existing::subsumes(&partial, &base));
    let mut unique = base.clone();
    unique.unique = true;
    assert!(!existing::subsumes(&wide, &unique));
    let mut with = relation();
    for (oid, definition, protections) in [
        (1, base.clone(), vec![Protection::ForeignKey]),
        (2, wide.clone(), vec![]),
    ] {
        with.indexes.push(ExistingIndex {
            oid,
            name: format!("i{oid}"),
            definition: Some(definition),
            valid: true,
            bytes: 1,
            scans: 0,
            counted_seconds: 0.0,
            protections,
            ours: false,
        });
    }
    assert!(existing::redundant(&with).is_empty());
    with.indexes[0].protections.clear();
    assert_eq!(existing::redundant(&with), vec![(0, 1)]);
}

#[test]
fn foreign_keys_get_their_index_unless_one_leads_with_them() {
    let mut with = relation();
    with.foreign_keys.push(ForeignKey {
        name: "fk".into(),
        attributes: vec![2, 6],
        references: 7,
    });
    assert!(
        generated(&[], with.clone()).contains(&"USING btree (owner_id, tenant_id)".to_string())
    );
    with.indexes.push(ExistingIndex {
        oid: 9,
        name: "i".into(),
        definition: Some(IndexDefinition::btree(
            relation().name,
            [2, 6, 4]
                .map(|n| IndexKey::ascending(attribute(n)))
                .to_vec(),
        )),
        valid: true,
        bytes: 1,
        scans: 0,
        counted_seconds: 0.0,
        protections: Vec::new(),
        ours: false,
    });
    assert_eq!(generated(&[], with), Vec::<String>::new());
}

fn any_use() -> impl Strategy<Value = FieldUse> {
    let role = prop::sample::select(vec![
        (FieldRole::Equality, "="),
        (FieldRole::InList, "="),
        (FieldRole::Range, "<"),
        (FieldRole::PrefixLike, "~~"),
        (FieldRole::InfixLike, "~~"),
        (FieldRole::IsNull, ""),
        (FieldRole::OrderAscending, ""),
        (FieldRole::OrderDescendingNullsLast, ""),
        (FieldRole::Group, ""),
        (FieldRole::Opaque, ""),
    ]);
    (1i16..=6, role, 0u16..3, 0u16..3, any::<bool>()).prop_map(
        |(number, (role, operator), disjunction, branch, constant)| FieldUse {
            disjunction,
            branch,
            ..field(
                number,
                role,
                operator,
                if constant {
                    Comparand::Constant(Some("a".into()))
                } else {
                    Comparand::Parameter(1)
                },
                branch,
            )
        },
    )
}

proptest! {
    #[test]
    fn any_shape_gives_sound_candidates(
        uses in prop::collection::vec(any_use(), 0..12),
        more in prop::collection::vec(any_use(), 0..12),
        columns in 1usize..5,
    ) {
        let shapes = [shape(uses, (1..=6).collect()), shape(more, vec![1, 2])];
        let relations = BTreeMap::from([(1, relation())]);
        let sources: Vec<Source> = shapes
            .iter()
            .map(|shape| Source { shape, weight: 1.0, constants_fixed: true })
            .collect();
        let settings = Settings { max_columns: columns, ..Settings::default() };
        let out = generate(&sources, &relations, &settings);
        prop_assert!(out.candidates.len() <= settings.most_per_relation);
        let mut seen = std::collections::BTreeSet::new();
        for candidate in &out.candidates {
            let definition = &candidate.definition;
            prop_assert!(seen.insert(definition.clone()), "twice: {definition:?}");
            prop_assert!(!definition.keys.is_empty() && definition.keys.len() <= columns);
            prop_assert!(definition.include.len() <= settings.max_include);
            // No attribute stands twice among keys and payload.
            let mut numbers: Vec<i16> = definition.keys.iter().filter_map(|k| k.element.as_attribute()).collect();
            numbers.extend(definition.include.iter().map(|c| c.number));
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(count, numbers.len());
            prop_assert!(!definition.unique);
        }
        // The same input gives the same output.
        prop_assert_eq!(generate(&sources, &relations, &settings), out);
    }

    #[test]
    fn merging_keeps_the_first_parents_order(a in prop::collection::vec(1i16..=6, 1..3), b in prop::collection::vec(1i16..=6, 1..3)) {
        let make = |numbers: &[i16]| {
            let mut numbers = numbers.to_vec();
            let mut seen = std::collections::BTreeSet::new();
            numbers.retain(|n| seen.insert(*n));
            IndexDefinition::btree(relation().name, numbers.iter().map(|n| IndexKey::ascending(attribute(*n))).collect())
        };
        let (a, b) = (make(&a), make(&b));
        if let Some(child) = merge::merged(&a, &b, &Settings::default()) {
            prop_assert_eq!(&child.keys[..a.keys.len()], &a.keys[..]);
            prop_assert!(b.keys.iter().all(|key| child.keys.contains(key)));
            prop_assert!(existing::subsumes(&child, &a));
        }
    }
}

#[test]
fn a_light_statement_keeps_its_fittest_beside_heavy_ones() {
    let searched = |numbers: &[i16]| {
        shape(
            numbers
                .iter()
                .map(|n| field(*n, FieldRole::Equality, "=", Comparand::Parameter(1), 0))
                .collect(),
            (1..=6).collect(),
        )
    };
    let shapes = [searched(&[2, 3, 4, 6]), searched(&[5])];
    let relations: BTreeMap<Oid, RelationInfo> = BTreeMap::from([(1, relation())]);
    let sources: Vec<Source> = shapes
        .iter()
        .zip([1e6, 1.0])
        .map(|(shape, weight)| Source {
            shape,
            weight,
            constants_fixed: false,
        })
        .collect();
    let settings = Settings {
        most_per_relation: 2,
        each_statement: 1,
        ..Settings::default()
    };
    let found = generate(&sources, &relations, &settings).candidates;
    let email = |c: &indexpilot_advisor::candidates::Candidate| {
        c.definition.keys[0].element == attribute(5)
    };
    assert!(found.iter().any(email), "{found:#?}");
    assert!(found.len() <= 3, "{}", found.len());
}
