//! Write cost: what an index costs on every insert, update, vacuum and plan.
//!
//! Two kinds of cost are kept apart, because only one of them adds up. *Upkeep*
//! ([`upkeep`]) is what an index costs by itself: an entry for each insert and for each
//! update that is not heap-only anyway, its WAL, its share of each vacuum, cache misses,
//! planning. *Lost heap-only updates* ([`hot`]) are a cost of the whole table: the first
//! index that covers an updated column makes those updates touch every index there is
//! (PostgreSQL manual, "Heap-Only Tuples (HOT)"; `heap_update` and
//! `RelationGetIndexAttrBitmap` in the sources). They become update groups of the
//! selection problem.
//!
//! Every figure is an estimate from the constants in [`constants`], which a host can
//! measure and replace.

pub mod constants;
pub mod hot;
pub mod upkeep;

pub use constants::{WriteConstants, WriteSample};
pub use hot::{HotOption, update_groups};
pub use upkeep::{TableWrites, UpdatePattern, Upkeep, upkeep};
