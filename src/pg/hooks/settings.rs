//! The planning settings in force, written for the worker once for as long as they stay the
//! same: asking the server for fifty settings by name costs more than all else at the first
//! sight of a statement.
//!
//! Whether they are the same is read from the variables behind them (cost.h, optimizer.h,
//! paths.h, geqo.h, miscadmin.h), because a setting can change in any statement, by SET LOCAL,
//! a function's SET, a rollback or a reload.

use super::source::part;
use crate::pg::whatif::PLANNING_SETTINGS;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_int};

/// A variable as a word.
trait Word: Copy {
    fn word(self) -> u64;
}

impl Word for bool {
    fn word(self) -> u64 {
        u64::from(self)
    }
}

impl Word for c_int {
    fn word(self) -> u64 {
        u64::from(self as u32)
    }
}

impl Word for f64 {
    fn word(self) -> u64 {
        self.to_bits()
    }
}

unsafe extern "C" {
    static Geqo_effort: c_int;
    static Geqo_pool_size: c_int;
    static Geqo_generations: c_int;
    static Geqo_selection_bias: f64;
    static Geqo_seed: f64;
}

macro_rules! variables {
    ($($name:literal: $variable:expr,)*) => {
        const NAMES: &[&str] = &[$($name),*];

        /// The variables of all planning settings.
        unsafe fn variables() -> [u64; NAMES.len()] {
            // SAFETY: plain globals of this process.
            unsafe { [$(Word::word($variable)),*] }
        }
    };
}

variables! {
    "constraint_exclusion": pg_sys::constraint_exclusion,
    "cpu_index_tuple_cost": pg_sys::cpu_index_tuple_cost,
    "cpu_operator_cost": pg_sys::cpu_operator_cost,
    "cpu_tuple_cost": pg_sys::cpu_tuple_cost,
    "cursor_tuple_fraction": pg_sys::cursor_tuple_fraction,
    "effective_cache_size": pg_sys::effective_cache_size,
    "effective_io_concurrency": pg_sys::effective_io_concurrency,
    "enable_async_append": pg_sys::enable_async_append,
    "enable_bitmapscan": pg_sys::enable_bitmapscan,
    "enable_gathermerge": pg_sys::enable_gathermerge,
    "enable_hashagg": pg_sys::enable_hashagg,
    "enable_hashjoin": pg_sys::enable_hashjoin,
    "enable_incremental_sort": pg_sys::enable_incremental_sort,
    "enable_indexonlyscan": pg_sys::enable_indexonlyscan,
    "enable_indexscan": pg_sys::enable_indexscan,
    "enable_material": pg_sys::enable_material,
    "enable_memoize": pg_sys::enable_memoize,
    "enable_mergejoin": pg_sys::enable_mergejoin,
    "enable_nestloop": pg_sys::enable_nestloop,
    "enable_parallel_append": pg_sys::enable_parallel_append,
    "enable_parallel_hash": pg_sys::enable_parallel_hash,
    "enable_partition_pruning": pg_sys::enable_partition_pruning,
    "enable_partitionwise_aggregate": pg_sys::enable_partitionwise_aggregate,
    "enable_partitionwise_join": pg_sys::enable_partitionwise_join,
    "enable_seqscan": pg_sys::enable_seqscan,
    "enable_sort": pg_sys::enable_sort,
    "enable_tidscan": pg_sys::enable_tidscan,
    "from_collapse_limit": pg_sys::from_collapse_limit,
    "geqo": pg_sys::enable_geqo,
    "geqo_effort": Geqo_effort,
    "geqo_generations": Geqo_generations,
    "geqo_pool_size": Geqo_pool_size,
    "geqo_seed": Geqo_seed,
    "geqo_selection_bias": Geqo_selection_bias,
    "geqo_threshold": pg_sys::geqo_threshold,
    "hash_mem_multiplier": pg_sys::hash_mem_multiplier,
    "join_collapse_limit": pg_sys::join_collapse_limit,
    "max_parallel_workers_per_gather": pg_sys::max_parallel_workers_per_gather,
    "min_parallel_index_scan_size": pg_sys::min_parallel_index_scan_size,
    "min_parallel_table_scan_size": pg_sys::min_parallel_table_scan_size,
    "parallel_leader_participation": pg_sys::parallel_leader_participation,
    "parallel_setup_cost": pg_sys::parallel_setup_cost,
    "parallel_tuple_cost": pg_sys::parallel_tuple_cost,
    "random_page_cost": pg_sys::random_page_cost,
    "recursive_worktable_factor": pg_sys::recursive_worktable_factor,
    "row_security": pg_sys::row_security,
    "seq_page_cost": pg_sys::seq_page_cost,
    "work_mem": pg_sys::work_mem,
}

// What is watched is what is kept.
const _: () = {
    assert!(NAMES.len() == PLANNING_SETTINGS.len());
    let mut number = 0;
    while number < NAMES.len() {
        let (one, other) = (
            NAMES[number].as_bytes(),
            PLANNING_SETTINGS[number].as_bytes(),
        );
        assert!(one.len() == other.len());
        let mut place = 0;
        while place < one.len() {
            assert!(one[place] == other[place]);
            place += 1;
        }
        number += 1;
    }
};

struct Written {
    variables: [u64; NAMES.len()],
    bytes: Vec<u8>,
}

thread_local! {
    static WRITTEN: RefCell<Option<Written>> = const { RefCell::new(None) };
}

/// Appends all planning settings, number first, as `source::decode` reads them.
///
/// # Safety
/// In a transaction, below a guard: the server may raise (no memory).
pub(super) unsafe fn append(to: &mut Vec<u8>) {
    WRITTEN.with_borrow_mut(|written| {
        // SAFETY: plain globals; the settings are read by name.
        unsafe {
            let variables = variables();
            let same = written
                .as_ref()
                .is_some_and(|written| written.variables == variables);
            if !same {
                *written = None;
                let bytes = write();
                *written = Some(Written { variables, bytes });
            }
        }
        if let Some(written) = written {
            to.extend_from_slice(&written.bytes);
        }
    });
}

unsafe fn write() -> Vec<u8> {
    let mut settings = Vec::new();
    for &name in NAMES {
        let Ok(c_name) = CString::new(name) else {
            continue;
        };
        // SAFETY: reads a setting.
        let value = unsafe { value(&c_name) };
        if !value.is_empty() {
            settings.push((name, value));
        }
    }
    let mut bytes = Vec::new();
    part(&mut bytes, settings.len().to_string().as_bytes());
    for (name, value) in settings {
        part(&mut bytes, name.as_bytes());
        part(&mut bytes, value.as_bytes());
    }
    bytes
}

/// A setting's value; empty where there is none of that name.
///
/// # Safety
/// As [`append`].
pub(super) unsafe fn value(name: &CStr) -> String {
    // SAFETY: missing settings give null.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        if value.is_null() {
            return String::new();
        }
        CStr::from_ptr(value).to_string_lossy().into_owned()
    }
}
