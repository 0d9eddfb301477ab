//! The cost of a hypothetical BRIN index.
//!
//! The server's estimator reads pages per range and the size of the range map from the index
//! itself and invents both for a hypothetical one: 128 pages a range, and one map page more
//! than a real index reports. Everything else in it depends on the number of ranges only,
//! which it computes from the relation's pages; so it is shown as many pages as make the right
//! number of ranges, and the two terms that are left are put right afterwards
//! (selfuncs.c, brincostestimate; brin.c, brinGetStats).

use super::scope;
use pgrx::pg_sys;

/// `BRIN_DEFAULT_PAGES_PER_RANGE`.
const DEFAULT_RANGE: f64 = 128.0;

/// An `amcostestimate` for hypothetical BRIN indexes. Holds nothing that needs dropping: an
/// error of the server's estimator passes straight through, and with it goes the planner call
/// that owns the relation's structure.
pub(super) unsafe extern "C-unwind" fn estimate(
    root: *mut pg_sys::PlannerInfo,
    path: *mut pg_sys::IndexPath,
    loop_count: f64,
    startup: *mut pg_sys::Cost,
    total: *mut pg_sys::Cost,
    selectivity: *mut pg_sys::Selectivity,
    correlation: *mut f64,
    pages: *mut f64,
) {
    // SAFETY: called by the planner with live structures.
    unsafe {
        let index = (*path).indexinfo;
        let Some((servers, range)) = scope::brin_of(root, (*index).indexoid) else {
            return;
        };
        let rel = (*index).rel;
        let real_pages = (*rel).pages;
        let ranges = (f64::from(real_pages) / range).ceil().max(1.0);
        (*rel).pages = (ranges * DEFAULT_RANGE).min(f64::from(u32::MAX - 1)) as u32;
        servers(
            root,
            path,
            loop_count,
            startup,
            total,
            selectivity,
            correlation,
            pages,
        );
        (*rel).pages = real_pages;
        let (mut random_page, mut seq_page) = (0.0, 0.0);
        pg_sys::get_tablespace_page_costs((*index).reltablespace, &mut random_page, &mut seq_page);
        *startup -= seq_page * loop_count;
        *total += (random_page - seq_page) * loop_count;
        *total += 0.1 * pg_sys::cpu_operator_cost * *selectivity * ranges * (range - DEFAULT_RANGE);
    }
}
