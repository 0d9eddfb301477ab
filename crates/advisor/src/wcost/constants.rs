//! The constants, where they come from, and how a host replaces them.

use indexpilot_algorithms::theil_sen;
use indexpilot_model::AccessMethod;

/// Times in microseconds, WAL in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WriteConstants {
    /// CPU for a b-tree entry on insert. Measured on PostgreSQL 15, a million rows, cached:
    /// 8–12 µs a row and index.
    pub insert_us: f64,
    /// WAL of a b-tree entry on insert. Measured: 64 bytes.
    pub insert_wal: f64,
    /// CPU for each index of an update that is not heap-only. Measured: 10–21 µs.
    pub update_us: f64,
    /// WAL for each index of such an update. Measured: 98 bytes.
    pub update_wal: f64,
    /// CPU that the heap itself needs more when an update is not heap-only (a new page
    /// more often, no pruning on the spot).
    pub heap_us: f64,
    /// A full-page image after a checkpoint, compressed hole taken off: a leaf is about
    /// two thirds full in the long run (A. Yao, Acta Informatica 9, 1978: ln 2).
    pub page_image: f64,
    /// Time for a megabyte of WAL, written and flushed (200 MB/s).
    pub wal_us_per_mb: f64,
    /// Vacuum: time for each index page of a pass.
    pub vacuum_us_per_page: f64,
    /// A random read of a page that is not in the cache (an SSD).
    pub miss_us: f64,
    /// Planning: time for each index of a table that a plan looks at.
    pub plan_us: f64,
    /// Seconds between checkpoints (`checkpoint_timeout`).
    pub checkpoint_seconds: f64,
    /// Autovacuum starts after this share of the table is dead
    /// (`autovacuum_vacuum_scale_factor`).
    pub vacuum_scale: f64,
    /// … and this many rows (`autovacuum_vacuum_threshold`).
    pub vacuum_threshold: f64,
}

impl Default for WriteConstants {
    fn default() -> Self {
        WriteConstants {
            insert_us: 10.0,
            insert_wal: 64.0,
            update_us: 15.0,
            update_wal: 98.0,
            heap_us: 3.0,
            page_image: 8192.0 * 0.69,
            wal_us_per_mb: 5_000.0,
            vacuum_us_per_page: 10.0,
            miss_us: 100.0,
            plan_us: 2.0,
            checkpoint_seconds: 300.0,
            vacuum_scale: 0.2,
            vacuum_threshold: 50.0,
        }
    }
}

/// A batch of writes that was timed on this host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WriteSample {
    /// True for updates that were not heap-only, false for inserts.
    pub update: bool,
    /// Indexes of the table.
    pub indexes: u32,
    /// Microseconds a row, all told.
    pub us_per_row: f64,
    /// WAL bytes a row, all told.
    pub wal_per_row: f64,
}

impl WriteConstants {
    /// Entries that an access method writes for one row, in units of a b-tree entry. GIN
    /// writes one for each key of the value (about five where nothing is known, softened
    /// by its pending list), BRIN changes a summary now and then; neither is measured.
    pub fn entries(method: AccessMethod) -> f64 {
        match method {
            AccessMethod::Btree => 1.0,
            AccessMethod::Hash => 1.1,
            AccessMethod::Gist | AccessMethod::Spgist => 2.0,
            AccessMethod::Gin => 5.0,
            AccessMethod::Brin => 0.05,
        }
    }

    /// Replaces the four measured constants by what this host shows: the slope of the time
    /// (and WAL) a row over the number of indexes, robustly. Fewer than three different
    /// numbers of indexes, or a slope that is not positive, change nothing.
    pub fn calibrate(&self, samples: &[WriteSample]) -> WriteConstants {
        let slope = |update: bool, value: fn(&WriteSample) -> f64, old: f64| {
            let of = samples.iter().filter(|s| s.update == update);
            let points: Vec<(f64, f64)> = of.map(|s| (f64::from(s.indexes), value(s))).collect();
            let mut counts: Vec<u64> = points.iter().map(|p| p.0 as u64).collect();
            counts.sort_unstable();
            counts.dedup();
            match theil_sen::fit(&points) {
                // Tables differ in more than the number of their indexes: beyond a factor of
                // four the slope is of something else.
                Some(line) if counts.len() >= 3 && line.slope > 0.0 => {
                    line.slope.clamp(old / 4.0, old * 4.0)
                }
                _ => old,
            }
        };
        WriteConstants {
            insert_us: slope(false, |s| s.us_per_row, self.insert_us),
            insert_wal: slope(false, |s| s.wal_per_row, self.insert_wal),
            update_us: slope(true, |s| s.us_per_row, self.update_us),
            update_wal: slope(true, |s| s.wal_per_row, self.update_wal),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibrates_from_samples_and_ignores_outliers() {
        let mut samples: Vec<WriteSample> = (1..9)
            .map(|indexes| WriteSample {
                update: true,
                indexes,
                us_per_row: 30.0 + 22.0 * f64::from(indexes),
                wal_per_row: 150.0 + 110.0 * f64::from(indexes),
            })
            .collect();
        samples[3].us_per_row = 9_999.0;
        let constants = WriteConstants::default().calibrate(&samples);
        assert!((constants.update_us - 22.0).abs() < 1.0, "{constants:?}");
        assert!((constants.update_wal - 110.0).abs() < 1e-6);
        // No inserts were seen.
        assert_eq!(constants.insert_us, WriteConstants::default().insert_us);
        assert_eq!(
            WriteConstants::default().calibrate(&samples[..2]),
            WriteConstants::default()
        );
    }
}
