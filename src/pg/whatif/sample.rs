//! A bounded random sample of a relation's rows: random pages, and of each page one stretch of
//! neighbouring rows. It is kept for the life of a planner, because many hypothetical indexes
//! of one relation ask for it.
//!
//! ANALYZE (analyze.c, acquire_sample_rows) reads as many pages as it wants rows and scatters
//! its rows over them. Then nothing tells equal keys that lie together from keys that are
//! frequent everywhere: where an order's lines stand on one page, it meets pairs of equal keys
//! as many times too often as it leaves pages out, and takes four lines an order for a hundred.
//! Neighbours show how long keys stay the same, and fewer pages are read
//! ([`indexpilot_sizing::duplicates`]).

use super::columns::Columns;
use super::failure::Failure;
use super::memory::Context;
use super::watch;
use crate::pg::compat::planner as compat;
use indexpilot_sizing::duplicates::Place;
use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;

/// Rows of a stretch, where the relation has more pages than stretches are taken.
const STRETCH: f64 = 8.0;

/// Bytes of rows that one sample may hold; a relation of very wide rows gets fewer.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Samples that a planner keeps at a time.
const MOST_SAMPLES: usize = 8;

/// Rows of a relation, in physical order.
pub(super) struct RowSample {
    pub relation: pg_sys::Oid,
    /// Complete tuples without pointers to other storage; in the context below.
    pub tuples: Vec<pg_sys::HeapTuple>,
    /// Where each of them stood.
    pub places: Vec<Place>,
    /// Of every so many pages one is looked at where users' functions have to be called.
    pub stride: u32,
    /// What was made of single columns so far.
    pub columns: Columns,
    /// Change count of the relation when it was taken.
    epoch: u64,
    _context: Context,
}

/// The samples of one planner.
#[derive(Default)]
pub(super) struct Samples {
    /// Oldest first.
    kept: Vec<RowSample>,
    /// Rows for which expressions and predicates are evaluated, at most; 0 is all of them.
    pub most_evaluated: usize,
}

impl Samples {
    /// The sample of a relation, taken now or before. Within [`super::isolate::isolated`],
    /// the relation locked; reading rows runs nobody's functions.
    pub(super) fn of(&mut self, relation: pg_sys::Oid) -> Result<&RowSample, Failure> {
        self.kept
            .retain(|sample| !watch::changed_since(sample.relation, sample.epoch));
        if let Some(position) = self.kept.iter().position(|s| s.relation == relation) {
            return Ok(&self.kept[position]);
        }
        if self.kept.len() >= MOST_SAMPLES {
            self.kept.remove(0);
        }
        let epoch = watch::epoch();
        watch::add(relation);
        let context = Context::new(c"indexpilot row sample");
        // SAFETY: the relation is locked.
        let (tuples, places) = unsafe { context.within(|| take(relation))? };
        let stride = match self.most_evaluated {
            0 => 1,
            most => tuples.len().div_ceil(most).max(1) as u32,
        };
        self.kept.push(RowSample {
            relation,
            tuples,
            places,
            stride,
            columns: Columns::default(),
            epoch,
            _context: context,
        });
        Ok(self.kept.last().expect("just pushed"))
    }
}

/// SplitMix64: the sample of an unchanged relation is the same every time, so that prices
/// are.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0…1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Which rows of the sampled pages are kept: on each page a stretch of `length` in every
/// `period`, at a place of its own, so that every row has the same chance.
struct Stretches {
    length: u64,
    period: u64,
}

impl Stretches {
    /// `density` rows on each of `pages` pages, of which `wanted` rows are kept.
    fn new(wanted: f64, pages: f64, density: f64) -> Self {
        let length = (wanted / pages.max(1.0)).ceil().max(1.0);
        let period = (length * (pages * density / wanted).max(1.0)).round();
        Stretches {
            length: length as u64,
            period: period.max(length) as u64,
        }
    }

    /// The number of the stretch on its page that holds the row at `position`.
    fn of(&self, position: u64, phase: u64) -> Option<u32> {
        if self.period == self.length {
            return Some(0);
        }
        let place = position + phase;
        (place % self.period < self.length).then(|| (place / self.period) as u32)
    }
}

/// Reads the sample into the current context: rows in physical order, and where they stood.
unsafe fn take(oid: pg_sys::Oid) -> Result<(Vec<pg_sys::HeapTuple>, Vec<Place>), Failure> {
    // SAFETY: the relation is locked by the caller; the scan is ended here, or by the end of
    // the subtransaction when an error unwinds.
    unsafe {
        // 300 rows a histogram bucket, like std_typanalyze; never more than ANALYZE's default.
        let wanted = f64::from(300 * pg_sys::default_statistics_target.clamp(1, 100));
        let relation = pg_sys::relation_open(oid, pg_sys::NoLock as i32);
        let am = (*relation).rd_tableam;
        let pages = u64::from(pg_sys::RelationGetNumberOfBlocksInFork(
            relation,
            pg_sys::ForkNumber::MAIN_FORKNUM,
        ));
        let (Some(begin), Some(end), Some(rescan), Some(set_range), Some(next)) = (
            (*am).scan_begin,
            (*am).scan_end,
            (*am).scan_rescan,
            (*am).scan_set_tidrange,
            (*am).scan_getnextslot_tidrange,
        ) else {
            pg_sys::relation_close(relation, pg_sys::NoLock as i32);
            return Ok((Vec::new(), Vec::new()));
        };
        let (mut heap_pages, mut heap_tuples, mut visible) = (0, 0.0, 0.0);
        pg_sys::estimate_rel_size(
            relation,
            std::ptr::null_mut(),
            &mut heap_pages,
            &mut heap_tuples,
            &mut visible,
        );
        let density = (heap_tuples / f64::from(heap_pages.max(1))).max(1.0);
        let goal = (wanted / STRETCH.min(density)).ceil().min(pages as f64);
        let stretches = Stretches::new(wanted, goal, density);
        let goal = goal as u64;
        let slot = pg_sys::table_slot_create(relation, std::ptr::null_mut());
        let flags =
            pg_sys::ScanOptions::SO_TYPE_TIDRANGESCAN | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
        let snapshot = pg_sys::GetActiveSnapshot();
        let scan = pg_guard_ffi_boundary(|| {
            begin(
                relation,
                snapshot,
                0,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                flags,
            )
        });
        let mut random = Random(u64::from(oid.to_u32()));
        let mut kept: Vec<pg_sys::HeapTuple> = Vec::new();
        let mut places: Vec<Place> = Vec::new();
        let mut bytes = 0usize;
        let mut read = 0u64;
        // Where rows are more or larger than thought, of every so many pages one is kept.
        let mut thinned = 1;
        // Knuth's algorithm S over pages, as sampling.c does it.
        for page in 0..pages {
            if read >= goal {
                break;
            }
            if random.fraction() * (pages - page) as f64 >= (goal - read) as f64 {
                continue;
            }
            let phase = (random.fraction() * stretches.period as f64) as u64;
            let number = read;
            read += 1;
            if !number.is_multiple_of(thinned) {
                continue;
            }
            pgrx::check_for_interrupts!();
            let mut first = tid(page as u32, 1);
            let mut last = tid(page as u32, u16::MAX);
            pg_guard_ffi_boundary(|| {
                rescan(scan, std::ptr::null_mut(), false, false, false, false);
                set_range(scan, &mut first, &mut last);
            });
            let mut position = 0u64;
            while pg_guard_ffi_boundary(|| {
                next(scan, pg_sys::ScanDirection::ForwardScanDirection, slot)
            }) {
                let stretch = stretches.of(position, phase);
                position += 1;
                if let Some(stretch) = stretch {
                    let tuple = copy(slot, (*relation).rd_att);
                    bytes += (*tuple).t_len as usize;
                    kept.push(tuple);
                    places.push(Place {
                        page: number as u32,
                        stretch,
                    });
                }
            }
            while bytes > MOST_BYTES || kept.len() as f64 > 2.0 * wanted {
                thinned *= 2;
                let stays = |place: &Place| u64::from(place.page).is_multiple_of(thinned);
                let mut row = 0;
                kept.retain(|tuple| {
                    let stay = stays(&places[row]);
                    row += 1;
                    if !stay {
                        bytes -= (**tuple).t_len as usize;
                        pg_sys::heap_freetuple(*tuple);
                    }
                    stay
                });
                places.retain(stays);
                if thinned > goal {
                    break;
                }
            }
        }
        pg_guard_ffi_boundary(|| end(scan));
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        Ok((kept, places))
    }
}

/// A row's tuple with everything inside: out-of-line values may be gone when it is read.
unsafe fn copy(slot: *mut pg_sys::TupleTableSlot, desc: pg_sys::TupleDesc) -> pg_sys::HeapTuple {
    // SAFETY: the slot holds a row; the copy is in the current context.
    unsafe {
        let mut should_free = false;
        let tuple = pg_sys::ExecFetchSlotHeapTuple(slot, false, &mut should_free);
        let has_external = (*(*tuple).t_data).t_infomask & pg_sys::HEAP_HASEXTERNAL as u16 != 0;
        let result = if has_external {
            compat::flatten(tuple, desc)
        } else {
            pg_sys::heap_copytuple(tuple)
        };
        if should_free {
            pg_sys::heap_freetuple(tuple);
        }
        result
    }
}

fn tid(page: u32, offset: u16) -> pg_sys::ItemPointerData {
    pg_sys::ItemPointerData {
        ip_blkid: pg_sys::BlockIdData {
            bi_hi: (page >> 16) as u16,
            bi_lo: (page & 0xffff) as u16,
        },
        ip_posid: offset,
    }
}
