//! A bounded random sample of a relation's rows, as ANALYZE takes it (analyze.c,
//! acquire_sample_rows): random pages, then a reservoir of their visible rows. It is kept
//! for the life of a planner, because many hypothetical indexes of one relation ask for it.

use super::failure::Failure;
use super::memory::Context;
use super::watch;
use crate::pg::compat::planner as compat;
use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;

/// Bytes of rows that one sample may hold; a relation of very wide rows gets fewer.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Samples that a planner keeps at a time.
const MOST_SAMPLES: usize = 8;

/// Rows of a relation, in physical order.
pub(super) struct RowSample {
    pub relation: pg_sys::Oid,
    /// Complete tuples without pointers to other storage; in the context below.
    pub tuples: Vec<pg_sys::HeapTuple>,
    /// Visible rows of the whole relation, estimated from the pages read.
    #[expect(dead_code, reason = "the planner's own estimate is used")]
    pub total: f64,
    /// Change count of the relation when it was taken.
    epoch: u64,
    _context: Context,
}

/// The samples of one planner.
#[derive(Default)]
pub(super) struct Samples {
    /// Oldest first.
    kept: Vec<RowSample>,
    /// Rows of a sample at most; 0 is what ANALYZE takes.
    pub most_rows: usize,
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
        let (tuples, total) = unsafe { context.within(|| take(relation, self.most_rows))? };
        self.kept.push(RowSample {
            relation,
            tuples,
            total,
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

/// Reads the sample into the current context.
unsafe fn take(
    oid: pg_sys::Oid,
    most_rows: usize,
) -> Result<(Vec<pg_sys::HeapTuple>, f64), Failure> {
    // SAFETY: the relation is locked by the caller; the scan is ended here, or by the end of
    // the subtransaction when an error unwinds.
    unsafe {
        // 300 rows a histogram bucket, like std_typanalyze; never more than ANALYZE's default.
        let wanted = (300 * pg_sys::default_statistics_target.clamp(1, 100)) as usize;
        let wanted = if most_rows == 0 {
            wanted
        } else {
            wanted.min(most_rows)
        };
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
            return Ok((Vec::new(), 0.0));
        };
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
        let mut kept: Vec<(u64, pg_sys::HeapTuple)> = Vec::new();
        let (mut bytes, mut most) = (0usize, wanted);
        let (mut seen, mut read) = (0u64, 0u64);
        // Knuth's algorithm S over pages, as sampling.c does it.
        let goal = (wanted as u64).min(pages);
        for page in 0..pages {
            if read >= goal {
                break;
            }
            if random.fraction() * (pages - page) as f64 >= (goal - read) as f64 {
                continue;
            }
            read += 1;
            pgrx::check_for_interrupts!();
            let mut first = tid(page as u32, 1);
            let mut last = tid(page as u32, u16::MAX);
            pg_guard_ffi_boundary(|| {
                rescan(scan, std::ptr::null_mut(), false, false, false, false);
                set_range(scan, &mut first, &mut last);
            });
            while pg_guard_ffi_boundary(|| {
                next(scan, pg_sys::ScanDirection::ForwardScanDirection, slot)
            }) {
                seen += 1;
                // Algorithm R: every row seen so far has the same chance to be in.
                let place = if kept.len() < most {
                    kept.push((0, std::ptr::null_mut()));
                    kept.len() - 1
                } else {
                    let place = (random.fraction() * seen as f64) as usize;
                    if place >= most {
                        continue;
                    }
                    pg_sys::heap_freetuple(kept[place].1);
                    place
                };
                let tuple = copy(slot, (*relation).rd_att);
                bytes += (*tuple).t_len as usize;
                kept[place] = (seen, tuple);
                if bytes > MOST_BYTES && most == wanted {
                    most = kept.len();
                }
            }
        }
        pg_guard_ffi_boundary(|| end(scan));
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        kept.sort_unstable_by_key(|(position, _)| *position);
        let total = if read == 0 {
            0.0
        } else {
            (seen as f64 / read as f64 * pages as f64).round()
        };
        Ok((kept.into_iter().map(|(_, tuple)| tuple).collect(), total))
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
