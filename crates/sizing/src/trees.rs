//! GiST and SP-GiST (gistbuild.c, spgdoinsert.c): search trees whose page fill depends on
//! where keys fall. Rough estimates.

use crate::page::{ITEM_ID, PAGE, PAGE_HEADER, Size, TUPLE_HEADER, max_align};

/// Page room without header and opaque data (16 bytes for GiST, 8 for SP-GiST).
const GIST_ROOM: f64 = PAGE - PAGE_HEADER - 16.0;
const SPGIST_ROOM: f64 = PAGE - PAGE_HEADER - 8.0;
/// Mean fill of pages that split where they must: between a half and full. Sorted builds
/// split batches of pages just so.
const SPLIT_FILL: f64 = 0.68;
/// SP-GiST packs several small groups of leaves on a page.
const SPGIST_FILL: f64 = 0.75;
/// `SpGistLeafTupleData`.
const SPGIST_HEADER: f64 = 12.0;

/// A GiST index: leaf keys of `leaf_bytes` and union keys of `union_bytes`.
pub fn gist(tuples: f64, leaf_bytes: f64, union_bytes: f64, fillfactor: f64) -> Size {
    let fill = SPLIT_FILL.min(fillfactor / 100.0);
    let leaf = max_align(TUPLE_HEADER + leaf_bytes) + ITEM_ID;
    let inner = max_align(TUPLE_HEADER + union_bytes) + ITEM_ID;
    let mut level = (tuples / (GIST_ROOM * fill / leaf).max(1.0))
        .ceil()
        .max(1.0);
    let fanout = (GIST_ROOM * fill / inner).max(2.0);
    let (mut pages, mut height) = (level, 0);
    while level > 1.0 {
        level = (level / fanout).ceil();
        pages += level;
        height += 1;
    }
    Size { pages, height }
}

/// An SP-GiST index with leaf values of `leaf_bytes`.
pub fn spgist(tuples: f64, leaf_bytes: f64) -> Size {
    let leaf = max_align(SPGIST_HEADER + leaf_bytes) + ITEM_ID;
    let leaves = (tuples / (SPGIST_ROOM * SPGIST_FILL / leaf).max(1.0)).ceil();
    // Metapage, the roots for values and for nulls, and inner tuples on pages of their own.
    Size {
        pages: 3.0 + leaves + (leaves / 60.0).ceil(),
        height: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_tuples_and_keys() {
        let small = gist(1e5, 16.0, 16.0, 90.0);
        assert!(gist(1e6, 16.0, 16.0, 90.0).pages > small.pages);
        assert!(gist(1e5, 32.0, 32.0, 90.0).pages > small.pages);
        assert!(spgist(1e5, 32.0).pages > spgist(1e5, 16.0).pages);
    }

    #[test]
    fn empty_ones_have_their_fixed_pages() {
        assert_eq!(gist(0.0, 8.0, 8.0, 90.0).pages, 1.0);
        assert_eq!(spgist(0.0, 8.0).pages, 3.0);
    }
}
