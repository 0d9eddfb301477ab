//! What the advisor needs to know of relations, read once an analysis.

use crate::identifier::QualifiedName;
use crate::ids::Oid;
use crate::index::IndexDefinition;
use crate::query::RelationName;
use serde::{Deserialize, Serialize};

/// One attribute with its statistics (pg_attribute, pg_statistic).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttributeInfo {
    /// `attnum`.
    pub number: i16,
    /// `attname`.
    pub name: String,
    /// The type, without modifier (domains resolved to their base type).
    pub type_name: QualifiedName,
    /// Average width in bytes (pg_statistic.stawidth, or the type's).
    pub average_width: f64,
    /// Share of NULLs, 0…1; `None` without statistics.
    pub null_fraction: Option<f64>,
    /// Number of distinct values, absolute; `None` without statistics.
    pub distinct: Option<f64>,
    /// Physical correlation, −1…1.
    pub correlation: Option<f64>,
    /// Frequency of the most common value, 0…1.
    pub top_frequency: Option<f64>,
    /// Collation OID; 0 where the type has none.
    pub collation: Oid,
    /// The collation compares bytes (C or POSIX), so prefix LIKE needs no pattern opclass.
    pub collation_is_c: bool,
    /// The type has a default b-tree operator class.
    pub btree_orderable: bool,
    /// The type has a default hash operator class.
    pub hashable: bool,
    /// `attnotnull`.
    pub not_null: bool,
}

/// Why an index must not be dropped, whatever its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// Primary key.
    Primary,
    /// Unique index or constraint.
    Unique,
    /// Exclusion constraint.
    Exclusion,
    /// Replica identity.
    ReplicaIdentity,
    /// Supports a foreign key of a referencing table.
    ForeignKey,
    /// Owned by an extension.
    Extension,
    /// CLUSTER ordering.
    Clustered,
    /// Pinned by the operator.
    Pinned,
    /// Attached to a partitioned parent.
    Partition,
}

/// An index that is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExistingIndex {
    /// `pg_class.oid` of the index.
    pub oid: Oid,
    /// Its name.
    pub name: String,
    /// Typed definition; `None` where it has parts that we cannot express (then it is
    /// respected but never touched).
    pub definition: Option<IndexDefinition>,
    /// `indisvalid` and `indisready`.
    pub valid: bool,
    /// Size in bytes.
    pub bytes: u64,
    /// Scans since statistics were reset (pg_stat_user_indexes.idx_scan).
    pub scans: u64,
    /// Seconds that scans have been counted: since the statistics were reset, or since the index
    /// was built, as far as that is known.
    pub counted_seconds: f64,
    /// Why it must stay.
    pub protections: Vec<Protection>,
    /// Built by us (recorded in the mutation log).
    pub ours: bool,
}

/// A foreign key from this relation (pg_constraint, contype 'f').
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Constraint name.
    pub name: String,
    /// Referencing attributes, in constraint order.
    pub attributes: Vec<i16>,
    /// Referenced relation.
    pub references: Oid,
}

/// Cumulative activity of a relation (pg_stat_user_tables).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RelationActivity {
    /// Rows inserted.
    pub inserts: f64,
    /// Rows updated.
    pub updates: f64,
    /// Of these, heap-only.
    pub hot_updates: f64,
    /// Rows deleted.
    pub deletes: f64,
    /// Seconds over which the counters above were collected; 0 where unknown.
    pub seconds: f64,
}

/// A relation with all that decisions about it rest on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelationInfo {
    /// OID and name.
    pub name: RelationName,
    /// `relkind`: 'r', 'p' or 'm'.
    pub kind: char,
    /// Live rows (reltuples, scaled to the present size as the planner does).
    pub tuples: f64,
    /// Heap pages.
    pub pages: u64,
    /// Share of all-visible pages, 0…1.
    pub all_visible: f64,
    /// Attributes that are not dropped, by number.
    pub attributes: Vec<AttributeInfo>,
    /// Its indexes.
    pub indexes: Vec<ExistingIndex>,
    /// Its foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Leaf partitions, for a partitioned parent.
    pub leaves: Vec<Oid>,
    /// Activity.
    pub activity: RelationActivity,
    /// `reloptions` fillfactor of the heap, 10…100.
    pub fillfactor: u32,
}

impl RelationInfo {
    /// The attribute with this number.
    pub fn attribute(&self, number: i16) -> Option<&AttributeInfo> {
        self.attributes
            .iter()
            .find(|attribute| attribute.number == number)
    }
}
