//! What the analysed query tree of a statement says about fields: the value that capture
//! counts by and that the candidate generator reads. It is made from the `Query` that the
//! planner sees (views expanded, row-security quals there), never from the text.

use crate::expression::Expression;
use crate::identifier::{QualifiedName, quote_identifier};
use crate::ids::Oid;
use serde::{Deserialize, Serialize};

/// A relation by OID and by name: history outlives the OID.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RelationName {
    /// `pg_class.oid`.
    pub oid: Oid,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
}

impl RelationName {
    /// `"schema"."name"`.
    pub fn qualified(&self) -> String {
        format!(
            "{}.{}",
            quote_identifier(&self.schema),
            quote_identifier(&self.name)
        )
    }
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum StatementKind {
    /// SELECT and VALUES.
    Select = 1,
    /// INSERT.
    Insert = 2,
    /// UPDATE.
    Update = 3,
    /// DELETE.
    Delete = 4,
    /// MERGE.
    Merge = 5,
    /// Everything that is not planned.
    Utility = 6,
}

/// How a field is used. The numbers are stored: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum FieldRole {
    /// `field = value`, value from outside the query level.
    Equality = 1,
    /// `field IN (…)`, `= ANY (array)`.
    InList = 2,
    /// `<`, `<=`, `>`, `>=`, BETWEEN.
    Range = 3,
    /// LIKE, ILIKE or `^@` with a fixed prefix.
    PrefixLike = 4,
    /// LIKE or ILIKE with a leading wildcard.
    InfixLike = 5,
    /// Regular expression match.
    Regex = 6,
    /// Compared with a field of another relation instance.
    Join = 7,
    /// ORDER BY ascending, NULLS LAST (the defaults).
    OrderAscending = 8,
    /// ORDER BY descending, NULLS FIRST (the defaults).
    OrderDescending = 9,
    /// ORDER BY ascending, NULLS FIRST.
    OrderAscendingNullsFirst = 10,
    /// ORDER BY descending, NULLS LAST.
    OrderDescendingNullsLast = 11,
    /// GROUP BY, DISTINCT, window partitions.
    Group = 12,
    /// IS NULL.
    IsNull = 13,
    /// IS NOT NULL.
    IsNotNull = 14,
    /// JSON containment and existence operators on json(b).
    Json = 15,
    /// Array operators (`&&`, `@>`, `<@`).
    Array = 16,
    /// Range-type, geometric and network operators (`&&`, `@>`, `<<`…).
    RangeType = 17,
    /// `@@` over tsvector.
    FullText = 18,
    /// ORDER BY distance operator (`<->`).
    Distance = 19,
    /// Assigned by INSERT … ON CONFLICT, UPDATE or MERGE.
    Updated = 20,
    /// `<>`, NOT IN, NOT LIKE: seldom served by an index, told apart so that nobody hopes.
    Inequality = 21,
    /// A boolean field used as a condition, or IS [NOT] TRUE/FALSE.
    Boolean = 22,
    /// Read in the target list only.
    Output = 23,
    /// A qualifier that we could not assign to any role above.
    Opaque = 24,
    /// Trigram similarity operators (`%`, `<%`).
    Similarity = 25,
    /// Compared with another field of the same row: no index on either one serves.
    SameRow = 26,
    /// In a condition over several relation instances that compares no field of one with a
    /// field of another (`a.x + b.y > 5`, `f(a.x, b.y)`): joins check it row by row, and no index
    /// serves.
    JoinFilter = 27,
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparand {
    /// A constant in the statement, in output form; `None` is NULL or too long to keep.
    Constant(Option<String>),
    /// An external parameter `$n` (from 1).
    Parameter(i32),
    /// A field of another instance in the query: (instance, element).
    Field(usize, Expression),
    /// `current_setting('name', …)`.
    Setting(String),
    /// Something computed at run time (a stable function, a subquery's result).
    Computed,
    /// No comparand (orders, groups, null tests).
    None,
}

/// One relation instance (a range-table entry of a base relation) anywhere in the query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelationInstance {
    /// The relation; for a partitioned parent, the parent.
    pub relation: RelationName,
    /// Which query level (subquery, CTE, sublink…) it belongs to; 0 is the top.
    pub level: usize,
    /// On the nullable side of an outer join.
    pub nullable: bool,
    /// Target of INSERT, UPDATE, DELETE or MERGE.
    pub is_target: bool,
    /// Attributes that the query reads from this instance at all (output, filters, joins),
    /// ascending: what an index-only scan would have to carry.
    pub needed: Vec<i16>,
    /// A whole-row reference or a system column makes index-only scans impossible.
    pub whole_row: bool,
}

/// One use of one field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldUse {
    /// Index into [`QueryShape::instances`].
    pub instance: usize,
    /// The attribute or the expression over the attributes of this instance.
    pub element: Expression,
    /// How it is used.
    pub role: FieldRole,
    /// The operator, as if the field stood on its left (commuted where necessary).
    pub operator: Option<QualifiedName>,
    /// OID of that operator; 0 without.
    pub operator_oid: Oid,
    /// Input collation of the comparison; 0 without.
    pub collation: Oid,
    /// What it is compared with.
    pub comparand: Comparand,
    /// 0: must hold (a conjunct of WHERE or ON). n > 0: inside the n-th disjunction of the
    /// level, `branch` telling the arms apart.
    pub disjunction: u16,
    /// Arm within the disjunction.
    pub branch: u16,
    /// For orders and groups: position within the clause, from 0. Otherwise 0.
    pub position: u16,
}

/// Facts about one query level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueryLevel {
    /// The level this one stands in; `None` for the top.
    pub parent: Option<usize>,
    /// LIMIT or FETCH FIRST is there.
    pub has_limit: bool,
    /// DISTINCT, GROUP BY, aggregates or window functions are there.
    pub has_grouping: bool,
    /// EXISTS / IN sublinks that become semi- or anti-joins.
    pub has_semi_join: bool,
    /// Subplans that stay subplans.
    pub has_subplan: bool,
}

/// What a statement does with which fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryShape {
    /// What the statement is.
    pub kind: StatementKind,
    /// Query levels; 0 is the top.
    pub levels: Vec<QueryLevel>,
    /// Relation instances of all levels.
    pub instances: Vec<RelationInstance>,
    /// All uses of all fields.
    pub uses: Vec<FieldUse>,
    /// Attributes assigned, as (instance, attribute number).
    pub assigned: Vec<(usize, i16)>,
    /// Qualifiers that were seen but could not be assigned to a field and a role.
    pub opaque_quals: u32,
}
