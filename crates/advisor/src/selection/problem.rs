//! The selection problem in the advisor's words: options, statements, update classes,
//! rules. All times are milliseconds a day, all costs planner cost units.

use indexpilot_model::Oid;
use indexpilot_model::goal::OrderedGoal;

/// What may be decided about an index.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// Does not exist; may be built.
    Candidate,
    /// Exists and may be dropped, at this one-off price (milliseconds, spread over the
    /// horizon like a build): lock waits, the risk of having to build it again.
    Droppable {
        /// Milliseconds.
        price_ms: f64,
    },
    /// Exists and stays, with why (constraint, pinned, built too recently…). Needs to be an
    /// option only where it shares atoms or update classes with others.
    Stays {
        /// Why, for people.
        why: String,
    },
    /// Must not be built, with why (dropped not long ago, dismissed, refused before).
    Banned {
        /// Why, for people.
        why: String,
    },
}

impl Status {
    /// True where the index exists now.
    pub fn exists(&self) -> bool {
        matches!(self, Status::Droppable { .. } | Status::Stays { .. })
    }
}

/// One index that may be there or not.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexOption {
    /// For people: the definition or the name.
    pub label: String,
    /// OID of its relation (the parent's, for a partitioned one).
    pub table: Oid,
    /// What may be decided.
    pub status: Status,
    /// It exists and was built on our advice: its upkeep counts against
    /// `max_write_overhead`.
    pub ours: bool,
    /// Bytes expected (0 where it does not count against the storage budget).
    pub bytes: u64,
    /// Bytes that count against the storage budget: as expected, and by as much more as the
    /// estimate may be wrong, because the budget is a promise.
    pub bytes_at_most: u64,
    /// Bytes that it takes or would take: what the goal `index_bytes` counts, existing ones too.
    pub occupies: u64,
    /// Upkeep, milliseconds a day: inserts, updates that write it anyway, vacuum, cache
    /// (see [`crate::wcost`]). Lost heap-only updates are in [`UpdateGroup`]s.
    pub write_ms: f64,
    /// One-off build, milliseconds.
    pub build_ms: f64,
}

/// A set of options under which a statement's plan is priced.
#[derive(Clone, Debug, PartialEq)]
pub struct Atom {
    /// Numbers of options, ascending; empty: none of the options.
    pub options: Vec<usize>,
    /// The planner's estimate: it decides which plan is taken.
    pub planner: f64,
    /// What we believe that plan costs (the estimate times a caution factor).
    pub believed: f64,
}

/// One statement (pattern) with its prices.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementCosts {
    /// For people.
    pub label: String,
    /// Milliseconds a day for each planner cost unit: calls a day × milliseconds a unit.
    pub weight: f64,
    /// `max_regression` for this one where it differs from the rule's; 0 for a statement
    /// that must not get worse at all.
    pub max_regression: Option<f64>,
    /// Atoms; exactly one without options.
    pub atoms: Vec<Atom>,
}

/// Updates of one set of columns of one table that are heap-only now, or could be.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateGroup {
    /// For people: which columns.
    pub label: String,
    /// Relation.
    pub table: Oid,
    /// Updates a day that are lost as heap-only when one of `triggers` is there.
    pub updates: f64,
    /// Options that cover an updated column in key or predicate (summarising ones do not).
    pub triggers: Vec<usize>,
    /// True where an index outside the problem covers one already.
    pub already_lost: bool,
    /// Milliseconds a day once lost: heap, WAL and every index outside the problem.
    pub base_ms: f64,
    /// Number of indexes outside the problem that `base_ms` charges (for the reason).
    pub outside: u32,
    /// Option and its milliseconds a day once lost: every option on the table.
    pub per_option: Vec<(usize, f64)>,
}

/// What a table has apart from the options.
#[derive(Clone, Debug, PartialEq)]
pub struct TableState {
    /// Relation.
    pub table: Oid,
    /// For people.
    pub label: String,
    /// Indexes that are not options.
    pub indexes_outside: u32,
    /// Bytes of the table itself.
    pub bytes: u64,
    /// Measured time of the table's writes now, milliseconds a day.
    pub write_ms_now: f64,
}

/// The limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Bytes for all options that count.
    pub storage_budget: Option<u64>,
    /// Indexes on one table, those outside the problem included.
    pub max_indexes_per_table: Option<u32>,
    /// Share by which a table's writes may get dearer.
    pub max_write_overhead: Option<f64>,
    /// Additional write time a day and table that is never worth a refusal, milliseconds.
    pub negligible_write_ms: f64,
    /// Share by which any statement may get worse than it is now.
    pub max_regression: f64,
    /// An index must make some statement cheaper by at least this share.
    pub min_improvement: f64,
    /// An index must be able to save at least this share of the time that all statements take
    /// ([`Problem::base_ms`]); 0 where the price of building decides.
    pub min_share: f64,
    /// What room for indexes costs: candidates as large as all tables of the problem together
    /// must save this share of the time that the statements take ([`Problem::base_ms`]),
    /// smaller ones in proportion. 0 where the storage budget says what room is worth.
    pub storage_share: f64,
    /// The whole choice must save at least this many milliseconds a day to be worth acting.
    pub min_saving_ms: f64,
    /// Days over which a build or drop has to pay.
    pub horizon_days: f64,
    /// A build or drop counts this many times its price.
    pub act_factor: f64,
    /// What deviating from the previous advice costs for each option, as a share of what the
    /// option could save at most: near-ties do not flip with the noise of a day.
    pub switch_share: f64,
    /// Goals in order; the price of everything decides among what they allow. Empty: it alone.
    pub goals: Vec<OrderedGoal>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            storage_budget: None,
            max_indexes_per_table: None,
            max_write_overhead: None,
            // A second a day: below anything an operator would notice.
            negligible_write_ms: 1_000.0,
            max_regression: 0.10,
            min_improvement: 0.20,
            min_share: 0.0,
            storage_share: 0.0,
            min_saving_ms: 0.0,
            // A fortnight: the dwell time that an index built gets at least.
            horizon_days: 14.0,
            act_factor: 1.3,
            // Twice the noise that a statement's measured time has from day to day.
            switch_share: 0.10,
            goals: Vec::new(),
        }
    }
}

/// The whole problem.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problem {
    /// Options by number.
    pub options: Vec<IndexOption>,
    /// Statements by number.
    pub statements: Vec<StatementCosts>,
    /// Update groups by number.
    pub updates: Vec<UpdateGroup>,
    /// Tables that have options.
    pub tables: Vec<TableState>,
    /// Limits.
    pub rules: Rules,
    /// Time of all statements that the price of room and the least share refer to,
    /// milliseconds a day; `None`: what they take now.
    pub base_ms: Option<f64>,
    /// What was advised last time (which options should exist), where there was a last time.
    pub previous: Option<Vec<bool>>,
}

impl Problem {
    /// What exists now, by option.
    pub fn current(&self) -> Vec<bool> {
        self.options.iter().map(|o| o.status.exists()).collect()
    }
}
