//! What all access methods share: page layout (manual: Database Page Layout).

/// Bytes of a page (`BLCKSZ` of every common build).
pub const PAGE: f64 = 8192.0;
/// Bytes of a page header (`SizeOfPageHeaderData`).
pub const PAGE_HEADER: f64 = 24.0;
/// Bytes of a line pointer (`ItemIdData`).
pub const ITEM_ID: f64 = 4.0;
/// Bytes of an index tuple's header (`IndexTupleData`).
pub const TUPLE_HEADER: f64 = 8.0;

/// A physical size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Size {
    /// All pages, metapage included.
    pub pages: f64,
    /// Levels above the leaves; 0 where the method has none or the tree is one page.
    pub height: u32,
}

/// Rounds up to the next multiple of eight (`MAXALIGN`).
pub fn max_align(bytes: f64) -> f64 {
    (bytes / 8.0).ceil() * 8.0
}

/// The mean of [`max_align`] over sizes that spread around `bytes`: padding is 0…7 with equal
/// chance when the width varies, and exact when it does not.
pub fn mean_aligned(bytes: f64, varies: bool) -> f64 {
    if varies {
        bytes + 3.5
    } else {
        max_align(bytes)
    }
}
