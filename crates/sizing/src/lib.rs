//! How large an index would be, from what is known of its relation and keys.
//!
//! One module an access method. Each follows the code that builds such an index, so that the
//! estimate has the same steps (page fill, duplicates, levels) as the real thing. Nothing
//! here knows where the numbers come from: statistics, a sample, or a test.

pub mod brin;
pub mod btree;
pub mod duplicates;
pub mod gin;
pub mod hash;
pub mod page;
pub mod trees;

pub use duplicates::KeyGroup;
pub use page::Size;
