//! One statement of one user in one database: its counters, by plan.

use crate::pg::planwalk::{MOST_INDEXES, PlanIndexes};
use indexpilot_model::histogram::BUCKETS;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

/// Plans told apart; what finds no place counts as [`UNKNOWN_PLAN`].
pub const PLANS: usize = 4;
/// Index of the counters for executions whose plan is not known.
pub const UNKNOWN_PLAN: usize = PLANS;
/// Planner costs remembered, each leading to a plan.
const COSTS: usize = 8;
/// Parameter samples on their way to the worker.
pub const SAMPLES: usize = 5;

/// What an entry counts. The numbers are those of `model::query::StatementKind`.
pub type Kind = u32;

/// Counters of one plan. All sums since the last drain.
#[repr(C, align(64))]
pub struct Plan {
    /// Shape of the plan (planwalk::fingerprint); 0 is free.
    pub fingerprint: AtomicU64,
    /// The indexes it reads; see [`PlanIndexes`].
    indexes: [AtomicU32; MOST_INDEXES],
    more_indexes: AtomicBool,
    calls: AtomicU64,
    rows: AtomicU64,
    nanoseconds: AtomicU64,
    /// Sum of squared microseconds.
    squares: AtomicU64,
    /// Planner cost of the executions, in hundredths.
    cost: AtomicU64,
    /// The bits of the shortest time inverted, so that 0 means none yet and the greater one
    /// stays.
    least_inverted: AtomicU64,
    most: AtomicU64,
    /// Shared blocks hit, read, dirtied, written; temporary blocks read, written; WAL bytes.
    pub resources: [AtomicU64; 7],
    histogram: [AtomicU32; BUCKETS],
}

/// An entry. `key` is 0 while it is free or retired.
#[repr(C, align(64))]
pub struct Entry {
    /// Hash of query id, database, user and level: the identity in memory.
    pub key: AtomicU64,
    /// Bits of [`Wants`].
    pub wants: AtomicU32,
    /// Where the tenant comes from, see [`super::super::hooks::tenant`].
    pub tenant_source: AtomicU32,
    /// Key of a fixed tenant, or relation and attribute of the tenant column.
    pub tenant_value: AtomicU64,
    costs: [AtomicU64; COSTS],
    next_cost: AtomicU32,
    /// Link of the free list.
    pub next: AtomicU32,
    /// 0 free, 1 in use, 2 retired.
    pub state: AtomicU32,
    /// Tells the statement apart (`pg::identity`).
    pub id: AtomicU64,
    /// Its query identifier as shown (Query.queryId), 0 where it has none; for utility
    /// statements a hash of the command tag.
    pub query_id: AtomicU64,
    /// pg_database.oid.
    pub database: AtomicU32,
    /// pg_authid.oid.
    pub user: AtomicU32,
    /// 1 where a client sent it, 0 where a function or another statement ran it.
    pub top_level: AtomicU32,
    /// See [`Kind`].
    pub kind: AtomicU32,
    /// When it was first seen, microseconds since the Unix epoch.
    pub first_seen: AtomicI64,
    /// When the worker last saw it move, microseconds since the Unix epoch.
    pub last_moved: AtomicI64,
    /// Executions that ended with an ERROR.
    pub errors: AtomicU64,
    /// Times it was planned, and for how long.
    pub plannings: AtomicU64,
    /// Nanoseconds of planning.
    pub planning_nanoseconds: AtomicU64,
    /// Text, tree and settings on their way to the worker (chunk chain).
    pub source: AtomicU32,
    /// Parameter samples on their way (chunk chains).
    pub samples: [AtomicU32; SAMPLES],
    /// Samples offered since the worker asked for some.
    pub offered: AtomicU32,
    /// Name of a fixed tenant.
    pub tenant_label: SharedLabel,
    /// Rows thrown away by filters, in sampled executions.
    pub filters: Filters,
    /// By plan, the last one for unknown plans.
    pub plans: [Plan; PLANS + 1],
}

/// Filters told apart in one statement; what finds no place is not counted.
const FILTERS: usize = 8;
/// Set in [`Filtered::attributes`] where the rows were thrown away by conditions over several
/// relations, in a join or in a scan on the inner side of a nested loop.
pub const JOINED: u64 = 1;

/// Rows that filters threw away, summed since the entry was made (not since the last drain:
/// an average is wanted, and samples are few).
#[repr(C)]
pub struct Filters {
    /// Executions that were looked at.
    pub sampled: AtomicU64,
    slots: [FilterSlot; FILTERS],
}

#[repr(C)]
struct FilterSlot {
    /// Relation and a fold of the attributes; 0 is free.
    key: AtomicU64,
    attributes: AtomicU64,
    rows: AtomicU64,
}

/// Rows of one relation that a filter over some attributes threw away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// pg_class.oid.
    pub relation: u32,
    /// Attribute numbers 1 to 62 as bits, 63 for all others; bit 0 is [`JOINED`].
    pub attributes: u64,
    /// Rows.
    pub rows: u64,
}

impl Filters {
    /// Adds what one scan or join threw away.
    pub fn add(&self, found: Filtered) {
        let fold = (found.attributes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
        let key = u64::from(found.relation) << 32 | u64::from(fold);
        for slot in &self.slots {
            let taken = slot
                .key
                .compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire);
            if taken.is_ok() {
                slot.attributes.store(found.attributes, Ordering::Relaxed);
            }
            if taken.is_ok() || taken == Err(key) {
                slot.rows.fetch_add(found.rows, Ordering::Relaxed);
                return;
            }
        }
    }

    /// Executions looked at, and what was thrown away in all of them.
    pub fn read(&self) -> (u64, Vec<Filtered>) {
        let filtered = self
            .slots
            .iter()
            .filter(|slot| slot.key.load(Ordering::Acquire) != 0)
            .map(|slot| Filtered {
                relation: (slot.key.load(Ordering::Relaxed) >> 32) as u32,
                attributes: slot.attributes.load(Ordering::Relaxed),
                rows: slot.rows.load(Ordering::Relaxed),
            })
            .collect();
        (self.sampled.load(Ordering::Relaxed), filtered)
    }

    fn clear(&self) {
        self.sampled.store(0, Ordering::Relaxed);
        for slot in &self.slots {
            slot.rows.store(0, Ordering::Relaxed);
            slot.attributes.store(0, Ordering::Relaxed);
            slot.key.store(0, Ordering::Relaxed);
        }
    }
}

/// What the worker still wants of a statement.
pub struct Wants;

impl Wants {
    /// Its text and tree.
    pub const SOURCE: u32 = 1;
    /// A sample of its parameters.
    pub const SAMPLE: u32 = 2;
}

/// What one execution took.
#[derive(Clone, Copy)]
pub struct Spent {
    /// Time in the executor.
    pub nanoseconds: u64,
    /// As in [`Plan::resources`].
    pub resources: [u64; 7],
}

impl Spent {
    /// Nothing.
    pub const NONE: Spent = Spent {
        nanoseconds: 0,
        resources: [0; 7],
    };
}

/// Counters taken out of one plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DrainedPlan {
    /// Plan shape; 0 is unknown.
    pub fingerprint: u64,
    /// The indexes it reads; `None` where not all of them are known.
    pub indexes: Option<Vec<u32>>,
    /// Executions.
    pub calls: u64,
    /// Rows.
    pub rows: u64,
    /// Nanoseconds.
    pub nanoseconds: u64,
    /// Squared microseconds.
    pub squares: u64,
    /// Hundredths of cost units.
    pub cost: u64,
    /// Shortest execution, nanoseconds.
    pub least: u64,
    /// Longest execution, nanoseconds.
    pub most: u64,
    /// As in [`Plan::resources`].
    pub resources: [u64; 7],
    /// (bucket, count) where the count is not 0.
    pub histogram: Vec<(u16, u64)>,
}

/// Counters taken out of one entry.
#[derive(Clone, Debug, Default)]
pub struct Drained {
    /// Tells the statement apart.
    pub id: u64,
    /// The server's query identifier.
    pub query_id: u64,
    /// pg_authid.oid.
    pub user: u32,
    /// Whether a client sent it.
    pub top_level: bool,
    /// See [`Kind`].
    pub kind: Kind,
    /// Microseconds since the Unix epoch.
    pub first_seen: i64,
    /// Failed executions.
    pub errors: u64,
    /// Times planned.
    pub plannings: u64,
    /// Nanoseconds of planning.
    pub planning_nanoseconds: u64,
    /// Plans that were run.
    pub plans: Vec<DrainedPlan>,
    /// Executions in which filters were looked at, since the entry was made.
    pub sampled: u64,
    /// Rows thrown away in those.
    pub filtered: Vec<Filtered>,
}

/// A planner's cost in hundredths. By adding 2⁵², whose unit in the last place is 1: the
/// conversion to an unsigned integer takes three times as long.
#[inline(always)]
fn hundredths(cost: f64) -> u64 {
    const UNIT: f64 = (1u64 << 52) as f64;
    // Comparisons that bound NaN too. Costs beyond are of plans that nobody wants to run.
    const MOST: f64 = 1e15;
    let scaled = cost * 100.0;
    let scaled = if scaled < MOST { scaled } else { MOST };
    let scaled = if scaled > 0.0 { scaled } else { 0.0 };
    (scaled + UNIT).to_bits() & ((1 << 52) - 1)
}

impl Plan {
    /// An execution was shorter or longer than all before it.
    #[cold]
    #[inline(never)]
    fn widen(&self, nanoseconds: u64) {
        self.most.fetch_max(nanoseconds, Ordering::Relaxed);
        self.least_inverted
            .fetch_max(!nanoseconds, Ordering::Relaxed);
    }

    /// All but shared blocks hit.
    #[inline(never)]
    fn add_resources(&self, amounts: &[u64; 6]) {
        for (counter, &amount) in self.resources[1..].iter().zip(amounts) {
            if amount != 0 {
                counter.fetch_add(amount, Ordering::Relaxed);
            }
        }
    }
}

impl Entry {
    /// The plan of an execution by its cost bits.
    #[inline(always)]
    fn plan_of(&self, cost_bits: u64) -> usize {
        // The three lowest bits of the mantissa carry the plan's number, from 1.
        let wanted = cost_bits & !7;
        for cost in &self.costs {
            let plan = (cost.load(Ordering::Relaxed) ^ wanted).wrapping_sub(1);
            if plan < PLANS as u64 {
                return plan as usize;
            }
        }
        UNKNOWN_PLAN
    }

    /// Whether executions with this cost are known to a plan.
    #[inline]
    pub fn knows_cost(&self, cost_bits: u64) -> bool {
        self.plan_of(cost_bits) != UNKNOWN_PLAN
    }

    /// Remembers which shape a plan of this cost has. Two shapes of one cost count as
    /// unknown, like a fifth shape.
    pub fn learn_cost(&self, cost_bits: u64, fingerprint: u64, indexes: &PlanIndexes) {
        let fingerprint = fingerprint.max(1);
        let plan = self.plans[..PLANS].iter().position(|plan| {
            match plan.fingerprint.compare_exchange(
                0,
                fingerprint,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    for (place, index) in plan.indexes.iter().zip(indexes.oids) {
                        place.store(index, Ordering::Relaxed);
                    }
                    plan.more_indexes
                        .store(indexes.truncated, Ordering::Relaxed);
                    true
                }
                Err(present) => present == fingerprint,
            }
        });
        let Some(plan) = plan else { return };
        let place = self.next_cost.fetch_add(1, Ordering::Relaxed) as usize % COSTS;
        self.costs[place].store((cost_bits & !7) | (plan as u64 + 1), Ordering::Relaxed);
    }

    /// Adds one execution: rows returned or changed, `total_cost` of the plan as bits, and what
    /// it took.
    #[inline(always)]
    pub fn add(&self, rows: u64, cost_bits: u64, spent: &Spent) {
        let plan = &self.plans[self.plan_of(cost_bits)];
        plan.calls.fetch_add(1, Ordering::Relaxed);
        if rows != 0 {
            plan.rows.fetch_add(rows, Ordering::Relaxed);
        }
        let nanoseconds = spent.nanoseconds;
        plan.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        let microseconds = nanoseconds >> 10;
        plan.squares
            .fetch_add(microseconds.wrapping_mul(microseconds), Ordering::Relaxed);
        plan.cost
            .fetch_add(hundredths(f64::from_bits(cost_bits)), Ordering::Relaxed);
        if nanoseconds > plan.most.load(Ordering::Relaxed)
            || !nanoseconds > plan.least_inverted.load(Ordering::Relaxed)
        {
            plan.widen(nanoseconds);
        }
        // Most executions find everything in shared buffers.
        let [hit, others @ ..] = &spent.resources;
        if *hit != 0 {
            plan.resources[0].fetch_add(*hit, Ordering::Relaxed);
        }
        if others.iter().fold(0, |all, amount| all | amount) != 0 {
            plan.add_resources(others);
        }
        plan.histogram[indexpilot_model::histogram::bucket(nanoseconds)]
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the counters out, leaving zeros. What is added meanwhile stays for the next time.
    /// `None` when nothing was counted.
    pub fn drain(&self) -> Option<Drained> {
        let take = |counter: &AtomicU64| {
            if counter.load(Ordering::Relaxed) == 0 {
                0
            } else {
                counter.swap(0, Ordering::AcqRel)
            }
        };
        let mut plans = Vec::new();
        for (number, plan) in self.plans.iter().enumerate() {
            let calls = take(&plan.calls);
            if calls == 0 {
                continue;
            }
            plans.push(DrainedPlan {
                fingerprint: if number == UNKNOWN_PLAN {
                    0
                } else {
                    plan.fingerprint.load(Ordering::Relaxed)
                },
                indexes: (number != UNKNOWN_PLAN && !plan.more_indexes.load(Ordering::Relaxed))
                    .then(|| {
                        plan.indexes
                            .iter()
                            .map(|index| index.load(Ordering::Relaxed))
                            .filter(|&index| index != 0)
                            .collect()
                    }),
                calls,
                rows: take(&plan.rows),
                nanoseconds: take(&plan.nanoseconds),
                squares: take(&plan.squares),
                cost: take(&plan.cost),
                least: match take(&plan.least_inverted) {
                    0 => 0,
                    inverted => !inverted,
                },
                most: take(&plan.most),
                resources: std::array::from_fn(|place| take(&plan.resources[place])),
                histogram: plan
                    .histogram
                    .iter()
                    .enumerate()
                    .filter(|(_, counter)| counter.load(Ordering::Relaxed) != 0)
                    .map(|(bucket, counter)| {
                        (bucket as u16, u64::from(counter.swap(0, Ordering::AcqRel)))
                    })
                    .collect(),
            });
        }
        let errors = take(&self.errors);
        let plannings = take(&self.plannings);
        let planning_nanoseconds = take(&self.planning_nanoseconds);
        if plans.is_empty() && errors == 0 && plannings == 0 {
            return None;
        }
        let (sampled, filtered) = self.filters.read();
        Some(Drained {
            sampled,
            filtered,
            id: self.id.load(Ordering::Relaxed),
            query_id: self.query_id.load(Ordering::Relaxed),
            user: self.user.load(Ordering::Relaxed),
            top_level: self.top_level.load(Ordering::Relaxed) != 0,
            kind: self.kind.load(Ordering::Relaxed),
            first_seen: self.first_seen.load(Ordering::Relaxed),
            errors,
            plannings,
            planning_nanoseconds,
            plans,
        })
    }

    /// What has been counted and not drained, over all plans: (calls, rows, nanoseconds).
    pub fn pending(&self) -> (u64, u64, u64) {
        self.plans.iter().fold((0, 0, 0), |sum, plan| {
            (
                sum.0 + plan.calls.load(Ordering::Relaxed),
                sum.1 + plan.rows.load(Ordering::Relaxed),
                sum.2 + plan.nanoseconds.load(Ordering::Relaxed),
            )
        })
    }

    /// Empties an entry that nobody can find any more.
    pub(super) fn clear(&self) {
        let _ = self.drain();
        for cost in &self.costs {
            cost.store(0, Ordering::Relaxed);
        }
        for plan in &self.plans {
            plan.fingerprint.store(0, Ordering::Relaxed);
        }
        self.filters.clear();
        self.tenant_source.store(0, Ordering::Relaxed);
        self.wants.store(0, Ordering::Relaxed);
        self.offered.store(0, Ordering::Relaxed);
        self.last_moved.store(0, Ordering::Relaxed);
    }
}

/// A tenant's name, as far as it fits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Label([u64; 6]);

impl Label {
    /// No name.
    pub const EMPTY: Label = Label([0; 6]);

    /// Cut to 48 bytes on a character boundary.
    pub fn new(name: &str) -> Self {
        let mut bytes = [0u8; 48];
        let cut = indexpilot_model::identifier::clip(name, bytes.len()).as_bytes();
        bytes[..cut.len()].copy_from_slice(cut);
        let mut words = [0; 6];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        Label(words)
    }

    /// An integer as text.
    pub fn of_integer(value: i64) -> Self {
        let [first, second, third] = indexpilot_model::decimal_words(value);
        Label([first, second, third, 0, 0, 0])
    }

    /// The name.
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self
            .0
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .take_while(|&byte| byte != 0)
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A label in shared memory.
#[repr(C)]
pub struct SharedLabel([AtomicU64; 6]);

impl SharedLabel {
    /// Stores it.
    pub fn write(&self, label: Label) {
        for (place, word) in self.0.iter().zip(label.0) {
            place.store(word, Ordering::Relaxed);
        }
    }

    /// Reads it.
    pub fn read(&self) -> Label {
        Label(std::array::from_fn(|place| {
            self.0[place].load(Ordering::Relaxed)
        }))
    }
}

/// Counters of one tenant in one statement, in one flush interval.
#[repr(C)]
pub struct TenantCell {
    /// Hash of entry key and tenant; 0 is free.
    pub key: AtomicU64,
    /// The statement's key.
    pub statement: AtomicU64,
    /// model::TenantKey.
    pub tenant: AtomicU64,
    /// Executions.
    pub calls: AtomicU64,
    /// Nanoseconds.
    pub nanoseconds: AtomicU64,
    /// Rows.
    pub rows: AtomicU64,
    /// Drains without any call.
    pub idle: AtomicU64,
    /// The tenant's name.
    pub label: SharedLabel,
}
