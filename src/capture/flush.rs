//! Saving what was counted: the worker drains shared memory into tables, in a transaction of
//! its own every flush interval.
//!
//! What was drained and not committed is carried over to the next time, so that an error
//! loses nothing; a crash of the server loses one interval.

use super::evidence::Evidence;
use super::usage::{FieldKey, FieldSum, Work, add_fields};
use crate::pg::hooks::{Source, decode};
use crate::pg::shmem::table::DrainedTenant;
use crate::pg::shmem::{self, Block, Drained, Entry};
use crate::pg::{clock, querytree, spi};
use crate::store::statement::{self, Known, NewSource, NewStatement};
use indexpilot_model::normalize::normalize;
use indexpilot_model::query::{Comparand, QueryShape};
use pgrx::spi::SpiResult;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;

/// A statement in memory: query identifier, role, top level, whether it is a utility one.
type MemoryKey = (u64, u32, bool, bool);

#[derive(Default)]
struct Saver {
    known: HashMap<MemoryKey, Known>,
    /// Drained and not yet known to be committed.
    uncommitted: Vec<Drained>,
    /// Of an earlier transaction that failed.
    carried: Vec<Drained>,
    /// The same for tenants.
    uncommitted_tenants: Vec<(MemoryKey, DrainedTenant)>,
    carried_tenants: Vec<(MemoryKey, DrainedTenant)>,
    /// Tenants' executions that ended after their statement was drained and before they were:
    /// the statement's counters have them the next time.
    ahead: Vec<(MemoryKey, DrainedTenant)>,
    /// What is ahead once the present transaction is committed.
    ahead_at_commit: Vec<(MemoryKey, DrainedTenant)>,
    /// Resets seen.
    resets: u64,
    /// `sample_parameters` is off, and what was counted of values is gone.
    values_forgotten: bool,
}

thread_local! {
    static SAVER: RefCell<Saver> = RefCell::new(Saver::default());
}

/// Width of a time bucket, microseconds: five minutes keep verification's windows sharp and
/// the table small.
const BUCKET: i64 = 300 * 1_000_000;
/// An entry that has not moved for so long may make room, microseconds.
const IDLE: i64 = 60 * 1_000_000;
/// Why fields are unknown.
const TOO_LONG: &str = "its text is too long";
const NOT_SEEN: &str = "its plan was made before it could be seen; it is known once planned again";
const NOT_READ: &str = "its tree could not be read";
/// With `sample_parameters` off nothing is kept that values cannot be taken out of.
const HOLDS_VALUES: &str = "values stay in its tree, and indexpilot.sample_parameters is off";

const UTILITY: u32 = indexpilot_model::query::StatementKind::Utility as u32;

fn kind_name(kind: u32) -> &'static str {
    match kind {
        1 => "select",
        2 => "insert",
        3 => "update",
        4 => "delete",
        5 => "merge",
        _ => "utility",
    }
}

/// Whether shared memory holds counters of this database. Callable in any process.
pub fn unsaved(database: u32) -> bool {
    shmem::block().is_some_and(|block| {
        block.entries().any(|entry| {
            entry.state.load(Ordering::Acquire) != 0
                && entry.database.load(Ordering::Relaxed) == database
                && (entry.pending().0 > 0
                    || entry.errors.load(Ordering::Relaxed) > 0
                    || entry.source.load(Ordering::Relaxed) != 0)
        })
    })
}

/// Saves the counters of this database. In the worker, within a transaction. Raises what SPI
/// raises; then the next call saves them.
pub fn flush() {
    let Some(block) = shmem::block() else { return };
    SAVER.with_borrow_mut(|saver| {
        // What the last call left here was not committed.
        let lost = std::mem::take(&mut saver.uncommitted);
        saver.carried.extend(lost);
        let lost = std::mem::take(&mut saver.uncommitted_tenants);
        saver.carried_tenants.extend(lost);
    });
    pgrx::register_xact_callback(pgrx::PgXactCallbackEvent::Commit, || {
        SAVER.with_borrow_mut(|saver| {
            saver.uncommitted.clear();
            saver.uncommitted_tenants.clear();
            saver.ahead = std::mem::take(&mut saver.ahead_at_commit);
        });
    });
    if let Err(error) = save(block) {
        pgrx::error!("{error}");
    }
}

/// Key of the lock, among [`spi::lock_until_commit`]'s, that the worker holds while counters are
/// neither in shared memory nor to be seen in tables.
pub const SAVING_LOCK: u32 = 3;

fn save(block: &Block) -> SpiResult<()> {
    spi::lock_until_commit(SAVING_LOCK);
    let database = spi::database().to_u32();
    let now = clock::now();
    let drained = SAVER.with_borrow_mut(|saver| std::mem::take(&mut saver.carried));
    SAVER.with_borrow_mut(|saver| {
        saver.uncommitted.extend(drained);
        let tenants = std::mem::take(&mut saver.carried_tenants);
        saver.uncommitted_tenants.extend(tenants);
        let ahead = std::mem::take(&mut saver.ahead);
        saver.uncommitted_tenants.extend(ahead);
        let resets = block.header().resets.load(Ordering::Acquire);
        if saver.resets != resets {
            saver.resets = resets;
            saver.known.clear();
            saver.ahead_at_commit.clear();
        }
    });
    if super::samples_parameters() {
        SAVER.with_borrow_mut(|saver| saver.values_forgotten = false);
    } else if !SAVER.with_borrow_mut(|saver| std::mem::replace(&mut saver.values_forgotten, true)) {
        statement::forget_evidence()?;
        SAVER.with_borrow_mut(|saver| saver.known.clear());
    }
    let mut keys: HashMap<u64, MemoryKey> = HashMap::new();
    let crowded =
        block.header().entries.load(Ordering::Relaxed) as usize > block.sizes().statements * 9 / 10;
    for entry in block.entries() {
        let state = entry.state.load(Ordering::Acquire);
        if state == 0 || entry.database.load(Ordering::Relaxed) != database {
            continue;
        }
        receive(block, entry)?;
        keys.insert(entry.key.load(Ordering::Relaxed), memory_key(entry));
        if let Some(drained) = entry.drain() {
            entry.last_moved.store(now, Ordering::Relaxed);
            SAVER.with_borrow_mut(|saver| saver.uncommitted.push(drained));
        }
        if state == 2 {
            block.bury(entry);
        } else if crowded && now - entry.last_moved.load(Ordering::Relaxed) > IDLE {
            block.retire(entry);
        }
    }
    let tenants = block.drain_tenants(|statement| keys.contains_key(&statement));
    SAVER.with_borrow_mut(|saver| {
        saver.uncommitted_tenants.extend(
            tenants
                .into_iter()
                .map(|tenant| (keys[&tenant.statement], tenant)),
        );
    });
    let (drained, tenants) =
        SAVER.with_borrow(|saver| (saver.uncommitted.clone(), saver.uncommitted_tenants.clone()));
    let ahead = write(block, &drained, tenants, now)?;
    SAVER.with_borrow_mut(|saver| saver.ahead_at_commit = ahead);
    Ok(())
}

fn memory_key(entry: &Entry) -> MemoryKey {
    (
        entry.id.load(Ordering::Relaxed),
        entry.user.load(Ordering::Relaxed),
        entry.top_level.load(Ordering::Relaxed) != 0,
        entry.kind.load(Ordering::Relaxed) == UTILITY,
    )
}

/// Takes in what backends sent about a statement.
fn receive(block: &Block, entry: &Entry) -> SpiResult<()> {
    let key = memory_key(entry);
    if let Some(source) = block.take(&entry.source).and_then(|bytes| decode(&bytes)) {
        let known = first_sight(key, entry, source)?;
        SAVER.with_borrow_mut(|saver| saver.known.insert(key, known));
    }
    for (place, sample) in entry.samples.iter().enumerate() {
        let Some(source) = block.take(sample).and_then(|bytes| decode(&bytes)) else {
            continue;
        };
        if !super::samples_parameters() {
            // On its way when sampling was switched off.
            continue;
        }
        let Some(mut known) = lookup(key)? else {
            continue;
        };
        let mut values: Vec<Option<String>> =
            source.bound.into_iter().map(|(_, value)| value).collect();
        let mut form = None;
        if !source.tree.is_empty() {
            let Some(lifted) = querytree::lift(&source.tree, &[]) else {
                continue;
            };
            values.resize(lifted.own, None);
            count_values(&mut known, &lifted.shape, &values, true);
            values.extend(lifted.values);
            form = Some(lifted.form);
        } else if let Some(shape) = known.shape.clone()
            && (known.own_lists == 0 || known.own_lists == 1 && values.len() == known.own)
        {
            count_values(&mut known, &shape, &values, false);
        }
        statement::save_evidence(&known)?;
        SAVER.with_borrow_mut(|saver| saver.known.insert(key, known.clone()));
        let count = statement::add_sample(&known.id, &values, form, place)?;
        let few = count.is_none_or(|count| (count as usize) < statement::SAMPLES)
            && known.own > 0
            && known.own_lists < 2;
        if few || known.wants_evidence() {
            // Repeated values were dropped, or there is too little to judge by: some more.
            if known.wants_evidence() {
                entry.offered.store(0, Ordering::Relaxed);
            }
            entry
                .wants
                .fetch_or(shmem::entry::Wants::SAMPLE, Ordering::AcqRel);
        }
    }
    Ok(())
}

/// Counts a sample's values, unless its shape is not the one that the statement is known by.
fn count_values(known: &mut Known, shape: &QueryShape, bound: &[Option<String>], whole: bool) {
    let alike = known.shape.as_ref().is_some_and(|expected| {
        shape.uses.len() == expected.uses.len()
            && shape.uses.iter().zip(&expected.uses).all(|(one, other)| {
                one.role == other.role
                    && one.instance == other.instance
                    && one.element == other.element
            })
    });
    if alike {
        known.evidence.add(shape, bound, whole);
    }
}

fn lookup(key: MemoryKey) -> SpiResult<Option<Known>> {
    if let Some(known) = SAVER.with_borrow(|saver| saver.known.get(&key).cloned()) {
        return Ok(Some(known));
    }
    let found = statement::find(key.0, key.1, key.2, key.3)?;
    if let Some(known) = &found {
        SAVER.with_borrow_mut(|saver| saver.known.insert(key, known.clone()));
    }
    Ok(found)
}

fn first_sight(key: MemoryKey, entry: &Entry, source: Source) -> SpiResult<Known> {
    let kind = kind_name(entry.kind.load(Ordering::Relaxed));
    let bound: Vec<Option<String>> = source
        .bound
        .iter()
        .map(|(_, value)| value.clone())
        .collect();
    let mut lifted = if source.tree.is_empty() {
        None
    } else {
        querytree::lift(&source.tree, &bound)
    };
    // Before anything is withheld: the identity does not depend on a setting.
    let relations: BTreeSet<String> = lifted
        .iter()
        .flat_map(|lifted| &lifted.shape.instances)
        .map(|instance| instance.relation.qualified())
        .collect();
    let relations: Vec<String> = relations.into_iter().collect();
    let mut withheld = false;
    if !super::samples_parameters() {
        withheld = lifted.as_ref().is_some_and(|lifted| !lifted.complete);
        lifted = lifted.filter(|lifted| lifted.complete);
        for field in lifted.iter_mut().flat_map(|lifted| &mut lifted.shape.uses) {
            if let Comparand::Constant(value) = &mut field.comparand {
                *value = None;
            }
        }
    }
    let not_analysable = match &lifted {
        _ if key.3 => None,
        None if withheld => Some(HOLDS_VALUES),
        Some(_) => None,
        None if source.truncated => Some(TOO_LONG),
        None if source.tree.is_empty() => Some(NOT_SEEN),
        None => Some(NOT_READ),
    };
    // Utility statements are command tags; nothing in them is a value.
    let (text, identity) = {
        let normalized = normalize(&source.text);
        let path = if key.3 {
            ""
        } else {
            source.search_path.as_str()
        };
        let identity = normalized.identity(&relations, path);
        (
            if key.3 {
                source.text.clone()
            } else {
                normalized.text
            },
            identity,
        )
    };
    let (own, own_lists) = lifted
        .as_ref()
        .map_or((0, 0), |lifted| (lifted.own, lifted.own_lists));
    let shape = lifted.as_ref().map(|lifted| lifted.shape.clone());
    let new = NewStatement {
        identity,
        memory_id: key.0,
        query_id: entry.query_id.load(Ordering::Relaxed),
        role: key.1,
        top_level: key.2,
        kind,
        text,
        relations,
        not_analysable,
        first_seen: entry.first_seen.load(Ordering::Relaxed),
        source: lifted.map(|lifted| {
            // A sample is complete or none: parameters that were not told make it useless.
            let sample = (super::samples_parameters() && bound.len() >= lifted.own).then(|| {
                let mut values = bound[..lifted.own].to_vec();
                values.extend(lifted.values);
                values
            });
            NewSource {
                tree: lifted.tree,
                shape: lifted.shape,
                search_path: source.search_path,
                settings: source.settings,
                types: lifted.types,
                own: lifted.own,
                own_lists: lifted.own_lists,
                form: lifted.form,
                sample: sample.filter(|values| !values.is_empty()),
            }
        }),
    };
    let id = statement::save(&new)?;
    // Of a statement that was known before, the samples counted earlier are in the table.
    let mut evidence = statement::find(key.0, key.1, key.2, key.3)?
        .filter(|found| found.id == id)
        .map(|found| found.evidence)
        .unwrap_or_default();
    if super::samples_parameters()
        && let Some(shape) = &shape
    {
        evidence.add(shape, &bound, true);
    }
    let known = Known {
        id,
        kind: kind.to_owned(),
        shape,
        own,
        own_lists,
        evidence,
    };
    statement::save_evidence(&known)?;
    Ok(known)
}

/// A statement of which only counters are there (its text was lost): it stands under its
/// query identifier until it is planned again.
fn placeholder(key: MemoryKey, drained: &Drained) -> SpiResult<Known> {
    let kind = kind_name(drained.kind);
    let text = String::from("(text not known yet)");
    let identity = normalize(&format!("{text} {}", key.0)).identity(&[], "");
    let id = statement::save(&NewStatement {
        identity,
        memory_id: key.0,
        query_id: drained.query_id,
        role: key.1,
        top_level: key.2,
        kind,
        text,
        relations: Vec::new(),
        not_analysable: (!key.3).then_some(NOT_SEEN),
        first_seen: drained.first_seen,
        source: None,
    })?;
    Ok(Known {
        id,
        kind: kind.to_owned(),
        shape: None,
        own: 0,
        own_lists: 0,
        evidence: Evidence::default(),
    })
}

fn timestamp(microseconds: i64) -> Value {
    Value::from(super::moment::iso(microseconds))
}

/// Takes from a tenant's work what the statement's has, and leaves what is ahead of it.
fn take_work(tenant: &mut DrainedTenant, rest: &mut Work) -> Work {
    let take = |from: &mut u64, rest: &mut u64| {
        let taken = (*from).min(*rest);
        *from -= taken;
        *rest -= taken;
        taken
    };
    Work {
        calls: take(&mut tenant.calls, &mut rest.calls),
        rows: take(&mut tenant.rows, &mut rest.rows),
        nanoseconds: take(&mut tenant.nanoseconds, &mut rest.nanoseconds),
    }
}

/// Writes everything, and gives the tenants' work that is ahead of its statements'.
fn write(
    block: &Block,
    drained: &[Drained],
    tenants: Vec<(MemoryKey, DrainedTenant)>,
    now: i64,
) -> SpiResult<Vec<(MemoryKey, DrainedTenant)>> {
    let mut left: HashMap<MemoryKey, Vec<DrainedTenant>> = HashMap::new();
    for (key, tenant) in tenants {
        left.entry(key).or_default().push(tenant);
    }
    let bucket = timestamp(now - now.rem_euclid(BUCKET));
    let (mut statements, mut stats) = (BTreeMap::new(), BTreeMap::new());
    let mut tenant_rows: Vec<Value> = Vec::new();
    let mut fields: BTreeMap<FieldKey, FieldSum> = BTreeMap::new();
    for one in drained {
        let key: MemoryKey = (one.id, one.user, one.top_level, one.kind == UTILITY);
        let known = match lookup(key)? {
            Some(known) => known,
            None => {
                let known = placeholder(key, one)?;
                ask_for_source(block, one);
                SAVER.with_borrow_mut(|saver| saver.known.insert(key, known.clone()));
                known
            }
        };
        let entry = statements
            .entry(known.id.clone())
            .or_insert((0u64, 0u64, 0u64));
        entry.0 += one.errors;
        entry.1 += one.plannings;
        entry.2 += one.planning_nanoseconds;
        for plan in &one.plans {
            add_plan(
                stats
                    .entry((known.id.clone(), plan.fingerprint))
                    .or_default(),
                plan,
            );
        }
        let mut rest = Work::of(one);
        for tenant in left.get_mut(&key).into_iter().flatten() {
            let work = take_work(tenant, &mut rest);
            tenant_rows.push(json!({ "bucket": bucket, "tenant": tenant.tenant,
                "statement": known.id, "calls": work.calls, "rows": work.rows,
                "total_ms": work.nanoseconds as f64 / 1e6 }));
            add_fields(&mut fields, &known, one, &tenant.tenant, &work);
        }
        add_fields(&mut fields, &known, one, "", &rest);
    }
    let statements: Vec<Value> = statements
        .into_iter()
        .map(|(id, (errors, plannings, nanoseconds))| {
            json!({ "id": id, "last_seen": timestamp(now), "errors": errors,
                "plannings": plannings, "planning_ms": nanoseconds as f64 / 1e6 })
        })
        .collect();
    let stats: Vec<Value> = stats
        .into_iter()
        .map(|((id, fingerprint), sum)| stats_row(&id, &bucket, fingerprint, &sum))
        .collect();
    let fields: Vec<Value> = fields
        .into_iter()
        .map(|((relation, field, role, kind, tenant), sum)| {
            json!({ "bucket": bucket, "tenant": tenant, "relation": relation,
                "relation_oid": sum.relation_oid, "field": field, "role": role, "kind": kind,
                "calls": sum.calls, "rows": sum.rows, "total_ms": sum.milliseconds,
                "rows_filtered": sum.filtered })
        })
        .collect();
    statement::add_counters(&statements, &stats, &fields)?;
    statement::add_tenants(&merged(tenant_rows))?;
    let ahead = left
        .into_iter()
        .flat_map(|(key, tenants)| tenants.into_iter().map(move |tenant| (key, tenant)));
    Ok(ahead.filter(|(_, tenant)| tenant.calls > 0).collect())
}

/// The next planning of the statement sends its text again.
fn ask_for_source(block: &Block, drained: &Drained) {
    let key = shmem::table::key(
        drained.id,
        spi::database().to_u32(),
        drained.user,
        drained.top_level,
    );
    if let Some(entry) = block.find(key) {
        entry
            .wants
            .fetch_or(shmem::entry::Wants::SOURCE, Ordering::AcqRel);
    }
}

fn add_plan(sum: &mut shmem::entry::DrainedPlan, plan: &shmem::entry::DrainedPlan) {
    sum.least = if sum.calls == 0 {
        plan.least
    } else {
        sum.least.min(plan.least)
    };
    sum.indexes.clone_from(&plan.indexes);
    sum.calls += plan.calls;
    sum.rows += plan.rows;
    sum.nanoseconds += plan.nanoseconds;
    sum.squares = sum.squares.saturating_add(plan.squares);
    sum.cost += plan.cost;
    sum.most = sum.most.max(plan.most);
    for (total, part) in sum.resources.iter_mut().zip(plan.resources) {
        *total += part;
    }
    sum.histogram.extend_from_slice(&plan.histogram);
}

fn stats_row(id: &str, bucket: &Value, plan: u64, sum: &shmem::entry::DrainedPlan) -> Value {
    let mut histogram: BTreeMap<u16, u64> = BTreeMap::new();
    for &(bucket, count) in &sum.histogram {
        *histogram.entry(bucket).or_default() += count;
    }
    let histogram: serde_json::Map<String, Value> = histogram
        .into_iter()
        .map(|(bucket, count)| (bucket.to_string(), Value::from(count)))
        .collect();
    // Squares were summed in units of 1.024 µs.
    let square_ms = sum.squares as f64 * 1.024e-3 * 1.024e-3;
    let [hit, read, dirtied, written, temp_read, temp_written, wal] = sum.resources;
    json!({ "statement": id, "bucket": bucket, "plan": plan as i64, "calls": sum.calls,
        "rows": sum.rows, "total_ms": sum.nanoseconds as f64 / 1e6, "square_ms": square_ms,
        "min_ms": sum.least as f64 / 1e6, "max_ms": sum.most as f64 / 1e6,
        "cost": sum.cost as f64 / 100.0, "indexes": sum.indexes, "shared_hit": hit, "shared_read": read,
        "shared_dirtied": dirtied, "shared_written": written, "temp_read": temp_read,
        "temp_written": temp_written, "wal_bytes": wal, "histogram": histogram })
}

/// One row for each tenant and statement: an insertion must not meet a key twice.
fn merged(rows: Vec<Value>) -> Vec<Value> {
    let mut sums: BTreeMap<(String, String), Value> = BTreeMap::new();
    for row in rows {
        let key = (row["tenant"].to_string(), row["statement"].to_string());
        match sums.entry(key) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(row);
            }
            std::collections::btree_map::Entry::Occupied(mut place) => {
                let sum = place.get_mut();
                for column in ["calls", "rows"] {
                    let total =
                        sum[column].as_u64().unwrap_or(0) + row[column].as_u64().unwrap_or(0);
                    sum[column] = Value::from(total);
                }
                let total = sum["total_ms"].as_f64().unwrap_or(0.0)
                    + row["total_ms"].as_f64().unwrap_or(0.0);
                sum["total_ms"] = Value::from(total);
            }
        }
    }
    sums.into_values().collect()
}

/// A latency quantile of a stored histogram, milliseconds.
pub fn quantile(histogram: &Value, share: f64) -> Option<f64> {
    let counts: Vec<(u16, u64)> = histogram
        .as_object()?
        .iter()
        .filter_map(|(bucket, count)| Some((bucket.parse().ok()?, count.as_u64()?)))
        .collect();
    indexpilot_model::histogram::quantile(&counts, share).map(|nanoseconds| nanoseconds / 1e6)
}
