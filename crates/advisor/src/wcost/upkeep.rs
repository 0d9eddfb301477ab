//! What one index costs by itself.

use super::constants::WriteConstants;
use crate::selection::why::duration;
use indexpilot_model::{IndexDefinition, SizeEstimate};
use std::fmt::Write;

const PAGE: f64 = 8192.0;

/// Updates that assign one set of columns.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdatePattern {
    /// For people ("last_seen, status").
    pub label: String,
    /// Attribute numbers assigned, those whose value really changes where that is known.
    pub attributes: Vec<i16>,
    /// Rows a day.
    pub per_day: f64,
}

/// The writes of a table, per day.
#[derive(Clone, Debug, PartialEq)]
pub struct TableWrites {
    /// For people.
    pub label: String,
    /// Rows inserted.
    pub inserts: f64,
    /// Rows deleted.
    pub deletes: f64,
    /// Rows updated, by the columns assigned.
    pub updates: Vec<UpdatePattern>,
    /// Live rows.
    pub tuples: f64,
    /// Of the updates that no index stands in the way of, the share that finds room on its
    /// page and so is heap-only; 0…1. [`TableWrites::hot_share_from`] gives it.
    pub hot_share: f64,
    /// Attributes that existing indexes outside the problem cover.
    pub indexed: Vec<i16>,
    /// Number of those indexes.
    pub indexes_outside: u32,
    /// Plans a day that look at the table.
    pub plans: f64,
    /// Bytes of cache that its indexes can count on; `None` where unknown (no misses are
    /// charged then).
    pub cache_bytes: Option<f64>,
    /// True where a summarising index (BRIN) does not stand in the way of heap-only
    /// updates: PostgreSQL 16 and later.
    pub summarizing_is_hot: bool,
}

impl TableWrites {
    /// The share of heap-only updates among those that could be, from the counters of
    /// `pg_stat_user_tables`: `hot` of `updates`, of which `blocked` touched an indexed
    /// column. Without updates, or where the numbers contradict each other, it comes from
    /// the fillfactor: at 100 about half find room behind a pruned row, at 90 and below
    /// nearly all (an assumption).
    pub fn hot_share_from(updates: f64, hot: f64, blocked: f64, fillfactor: u32) -> f64 {
        let eligible = updates - blocked;
        if eligible >= 100.0 && hot <= updates {
            return (hot / eligible).clamp(0.0, 1.0);
        }
        if fillfactor <= 90 {
            0.95
        } else {
            0.5 + 0.045 * f64::from(100 - fillfactor.min(100))
        }
    }

    /// Updates whose columns none of the outside indexes covers.
    pub fn eligible(&self, pattern: &UpdatePattern) -> bool {
        !pattern.attributes.iter().any(|a| self.indexed.contains(a))
    }
}

/// Upkeep of one index, milliseconds a day unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Upkeep {
    /// Entries for inserted rows.
    pub insert_ms: f64,
    /// Entries for updates that are not heap-only whatever is chosen (no room on the page).
    pub update_ms: f64,
    /// WAL, full-page images included.
    pub wal_ms: f64,
    /// Its bytes a day.
    pub wal_bytes: f64,
    /// Its part of every vacuum.
    pub vacuum_ms: f64,
    /// Leaf pages that have to be read to be written.
    pub cache_ms: f64,
    /// Planning.
    pub plan_ms: f64,
}

impl Upkeep {
    /// All of it, milliseconds a day.
    pub fn total_ms(&self) -> f64 {
        self.insert_ms
            + self.update_ms
            + self.wal_ms
            + self.vacuum_ms
            + self.cache_ms
            + self.plan_ms
    }

    /// In words, the greatest part first.
    pub fn words(&self) -> String {
        let mut parts = [
            ("inserts", self.insert_ms),
            ("updates", self.update_ms),
            ("WAL", self.wal_ms),
            ("vacuum", self.vacuum_ms),
            ("cache misses", self.cache_ms),
            ("planning", self.plan_ms),
        ];
        parts.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut words = format!("about {} a day (estimate)", duration(self.total_ms()));
        let shown: Vec<_> = parts
            .iter()
            .filter(|p| p.1 >= 0.05 * self.total_ms() && p.1 > 0.0)
            .collect();
        for (k, (name, ms)) in shown.iter().enumerate() {
            let _ = write!(
                words,
                "{} {name} {}",
                if k == 0 { ":" } else { "," },
                duration(*ms)
            );
        }
        words
    }
}

/// The upkeep of `definition` on a table with these writes. What lost heap-only updates
/// cost is not in it ([`super::hot`]), nor what updates cost that are lost already: those
/// are update groups too, so that they are charged once.
pub fn upkeep(
    definition: &IndexDefinition,
    size: &SizeEstimate,
    writes: &TableWrites,
    constants: &WriteConstants,
) -> Upkeep {
    let c = constants;
    let entries = WriteConstants::entries(definition.method);
    // A partial index sees only the rows that it holds.
    let share = if writes.tuples > 0.0 {
        (size.tuples / writes.tuples).clamp(0.0, 1.0)
    } else {
        1.0
    };
    let share = if definition.predicate.is_some() {
        share
    } else {
        1.0
    };
    let inserts = writes.inserts * share;
    let no_room: f64 = writes
        .updates
        .iter()
        .filter(|p| writes.eligible(p))
        .map(|p| p.per_day * (1.0 - writes.hot_share) * share)
        .sum();
    let changes = inserts + no_room;
    let pages = (size.pages as f64).max(1.0);
    let images = page_images(changes * entries, pages, c.checkpoint_seconds);
    let wal_bytes =
        entries * (inserts * c.insert_wal + no_room * c.update_wal) + images * c.page_image;
    let all_updates: f64 = writes.updates.iter().map(|p| p.per_day).sum();
    let dead = writes.deletes + all_updates * (1.0 - writes.hot_share).max(0.1);
    let vacuums = dead / (c.vacuum_threshold + c.vacuum_scale * writes.tuples.max(0.0));
    let missing = writes
        .cache_bytes
        .map_or(0.0, |cache| (1.0 - cache / (pages * PAGE)).clamp(0.0, 1.0));
    Upkeep {
        insert_ms: inserts * entries * c.insert_us / 1e3,
        update_ms: no_room * entries * c.update_us / 1e3,
        wal_ms: wal_bytes / 1e6 * c.wal_us_per_mb / 1e3,
        wal_bytes,
        vacuum_ms: vacuums * pages * c.vacuum_us_per_page / 1e3,
        cache_ms: changes * entries * missing * c.miss_us / 1e3,
        plan_ms: writes.plans * c.plan_us / 1e3,
    }
}

/// Full-page images a day: each page that is touched for the first time after a
/// checkpoint, with the touches spread evenly over pages and day (A. Cardenas, CACM 18(5),
/// 1975).
fn page_images(changes: f64, pages: f64, checkpoint_seconds: f64) -> f64 {
    let checkpoints = 86_400.0 / checkpoint_seconds.max(1.0);
    let touches = changes / checkpoints;
    let touched = pages * (1.0 - (1.0 - 1.0 / pages.max(1.0 + 1e-9)).powf(touches));
    checkpoints * touched.min(touches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use indexpilot_model::{AccessMethod, Expression, IndexKey, RelationName};

    pub(crate) fn definition(attribute: i16) -> IndexDefinition {
        let relation = RelationName {
            oid: 1,
            schema: "crm".into(),
            name: "contacts".into(),
        };
        IndexDefinition::btree(
            relation,
            vec![IndexKey::ascending(Expression::attribute(
                attribute,
                format!("c{attribute}"),
            ))],
        )
    }

    fn size(pages: u64) -> SizeEstimate {
        SizeEstimate {
            pages,
            bytes: pages * 8192,
            tuples: 1e6,
            height: 2,
            build_cost: 0.0,
            rough: false,
        }
    }

    fn writes() -> TableWrites {
        TableWrites {
            label: "contacts".into(),
            inserts: 100_000.0,
            deletes: 0.0,
            updates: vec![],
            tuples: 1e6,
            hot_share: 0.9,
            indexed: vec![1],
            indexes_outside: 1,
            plans: 0.0,
            cache_bytes: None,
            summarizing_is_hot: false,
        }
    }

    #[test]
    fn inserts_cost_what_was_measured() {
        let cost = upkeep(
            &definition(2),
            &size(3_000),
            &writes(),
            &WriteConstants::default(),
        );
        assert!((cost.insert_ms - 1_000.0).abs() < 1e-9, "100,000 × 10 µs");
        assert!(cost.wal_bytes > 6.4e6, "64 bytes each, and page images");
        // Full-page images at most once a page and checkpoint, never more than changes.
        assert!(cost.wal_bytes <= 6.4e6 + 100_000.0 * 8192.0);
        assert!(cost.words().starts_with("about "), "{}", cost.words());
    }

    #[test]
    fn more_of_anything_never_costs_less() {
        let c = WriteConstants::default();
        let base = upkeep(&definition(2), &size(3_000), &writes(), &c).total_ms();
        let more = [
            TableWrites {
                inserts: 200_000.0,
                ..writes()
            },
            TableWrites {
                deletes: 50_000.0,
                ..writes()
            },
            TableWrites {
                plans: 1e6,
                ..writes()
            },
            TableWrites {
                cache_bytes: Some(1e6),
                ..writes()
            },
            TableWrites {
                updates: vec![UpdatePattern {
                    label: "c5".into(),
                    attributes: vec![5],
                    per_day: 1e5,
                }],
                ..writes()
            },
        ];
        for writes in more {
            assert!(
                upkeep(&definition(2), &size(3_000), &writes, &c).total_ms() > base,
                "{writes:?}"
            );
        }
        let mut gin = definition(2);
        gin.method = AccessMethod::Gin;
        assert!(upkeep(&gin, &size(3_000), &writes(), &c).total_ms() > base);
    }

    #[test]
    fn a_partial_index_pays_for_its_rows() {
        let mut partial = definition(2);
        partial.predicate = Some(Expression::attribute(3, "active"));
        let small = SizeEstimate {
            tuples: 1e4,
            pages: 30,
            ..size(3_000)
        };
        let cost = upkeep(&partial, &small, &writes(), &WriteConstants::default());
        assert!((cost.insert_ms - 10.0).abs() < 1e-9);
    }

    #[test]
    fn hot_share_from_counters_or_fillfactor() {
        assert_eq!(TableWrites::hot_share_from(1_000.0, 720.0, 200.0, 100), 0.9);
        assert_eq!(TableWrites::hot_share_from(0.0, 0.0, 0.0, 90), 0.95);
        assert_eq!(TableWrites::hot_share_from(0.0, 0.0, 0.0, 100), 0.5);
        assert!(TableWrites::hot_share_from(10.0, 10.0, 0.0, 95) < 0.95);
    }

    #[test]
    fn page_images_are_bounded() {
        assert_eq!(page_images(0.0, 100.0, 300.0), 0.0);
        // A few changes a checkpoint touch as many pages; very many touch each page once.
        assert!((page_images(288.0, 1e6, 300.0) - 288.0).abs() < 1.0);
        assert!((page_images(1e9, 100.0, 300.0) - 28_800.0).abs() < 1.0);
    }
}
