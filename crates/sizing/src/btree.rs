//! B-tree (nbtsort.c, nbtdedup.c): leaf fill, posting lists, suffix truncation, levels.

use crate::duplicates::KeyGroup;
use crate::page::{ITEM_ID, PAGE, PAGE_HEADER, Size, max_align};

/// `BTPageOpaqueData`.
const OPAQUE: f64 = 16.0;
/// A heap TID in a posting list.
const TID: f64 = 6.0;
/// Free space of an empty page as `PageGetFreeSpace` sees it, with the line pointer of the
/// high key set aside (`_bt_blnewpage`) and that of the next item deducted.
const EMPTY: f64 = PAGE - PAGE_HEADER - OPAQUE - 2.0 * ITEM_ID;
/// Internal pages are filled to this share (`BTREE_NONLEAF_FILLFACTOR`).
const INTERNAL_FILL: f64 = 70.0;

/// What decides the size of a b-tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Input<'a> {
    /// Mean bytes of a leaf tuple without posting list: header, null bitmap, keys and
    /// payload, aligned.
    pub leaf_tuple: f64,
    /// Mean bytes of a pivot tuple, aligned (no payload; trailing keys truncated).
    pub pivot_tuple: f64,
    /// All tuples, by how often their keys repeat.
    pub groups: &'a [KeyGroup],
    /// Posting lists are used (`_bt_allequalimage`, not unique, no payload, the storage
    /// parameter on).
    pub deduplicate: bool,
    /// `fillfactor`, 10…100.
    pub fillfactor: f64,
}

/// The size of a freshly built b-tree.
pub fn size(input: &Input<'_>) -> Size {
    let mut leaves = 0.0;
    for group in input.groups {
        if group.keys <= 0.0 || group.repeats <= 0.0 {
            continue;
        }
        let repeats = group.repeats.max(1.0);
        leaves += if input.deduplicate {
            group.keys * expected_leaves_of_key(input, repeats)
        } else {
            group.keys * repeats / per_page(input.leaf_tuple, 0.0, input.fillfactor)
        };
    }
    if leaves <= 0.0 {
        // Only the metapage: a root is made by the first insertion.
        return Size {
            pages: 1.0,
            height: 0,
        };
    }
    let leaves = leaves.ceil();
    let fanout = per_page(input.pivot_tuple, 0.0, INTERNAL_FILL).max(2.0);
    let (mut pages, mut level, mut height) = (leaves, leaves, 0);
    while level > 1.0 {
        level = (level / fanout).ceil();
        pages += level;
        height += 1;
    }
    Size {
        pages: pages + 1.0,
        height,
    }
}

/// Leaf pages that one key with a mean of `repeats` tuples takes (a fraction). A mean that is
/// no whole number stands for a mixture of the two numbers around it.
fn expected_leaves_of_key(input: &Input<'_>, repeats: f64) -> f64 {
    let low = repeats.floor().max(1.0);
    let high = low + 1.0;
    let share = (repeats - low).clamp(0.0, 1.0);
    (1.0 - share) * leaves_of_key(input, low) + share * leaves_of_key(input, high)
}

fn leaves_of_key(input: &Input<'_>, repeats: f64) -> f64 {
    let single = |tuples: f64| tuples / per_page(input.leaf_tuple, 0.0, input.fillfactor);
    // nbtsort.c, _bt_load: posting tuples up to a tenth of a page, less a line pointer.
    let limit = (PAGE * 10.0 / 100.0 / 8.0).floor() * 8.0 - ITEM_ID;
    let most = ((limit / 8.0).floor() * 8.0 - input.leaf_tuple) / TID;
    let most = most.floor();
    if repeats < 2.0 || most < 2.0 {
        return single(repeats);
    }
    let posting = |tids: f64| {
        let size = max_align(input.leaf_tuple + tids * TID);
        1.0 / per_page(size, size - input.leaf_tuple, input.fillfactor)
    };
    let full = (repeats / most).floor();
    let rest = repeats - full * most;
    let mut leaves = full * posting(most);
    if rest >= 2.0 {
        leaves += posting(rest);
    } else if rest > 0.0 {
        leaves += single(rest);
    }
    leaves
}

/// Tuples of `size` bytes that stay on a page (`_bt_buildadd`): the page is closed when the
/// next tuple does not fit or the free space, not counting the truncatable tail of the last
/// tuple, fell below the fill factor's reserve; then the last tuple moves to the next page and
/// leaves its truncated self as the high key.
fn per_page(size: f64, truncatable: f64, fillfactor: f64) -> f64 {
    let reserve = (PAGE * (100.0 - fillfactor) / 100.0).floor();
    let item = size + ITEM_ID;
    let soft = (EMPTY + truncatable - reserve) / item;
    let hard = (EMPTY - size - 8.0) / item;
    if size.fract() == 0.0 && (size / 8.0).fract() == 0.0 {
        // Fixed size: whole tuples. `soft.floor() + 1` are added before the reserve is
        // touched, at most `hard.floor() + 1` fit, and one of them leaves.
        soft.floor().min(hard.floor()).max(1.0)
    } else {
        soft.min(hard).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn input(groups: &[KeyGroup]) -> Input<'_> {
        Input {
            leaf_tuple: 16.0,
            pivot_tuple: 16.0,
            groups,
            deduplicate: true,
            fillfactor: 90.0,
        }
    }

    /// Sizes that PostgreSQL 15 built on int4 columns of 1,000,000 rows.
    #[test]
    fn equals_real_builds() {
        let unique = [KeyGroup {
            keys: 1e6,
            repeats: 1.0,
        }];
        let built = size(&input(&unique));
        assert_eq!((built.pages, built.height), (2745.0, 2));
    }

    #[test]
    fn nothing_is_a_metapage() {
        assert_eq!(size(&input(&[])).pages, 1.0);
    }

    #[test]
    fn full_posting_lists_are_nine_a_page() {
        let one = [KeyGroup {
            keys: 1.0,
            repeats: 132.0 * 9.0 * 100.0,
        }];
        assert_eq!(size(&input(&one)).pages, 102.0);
    }

    proptest! {
        #[test]
        fn duplicates_never_enlarge(keys in 1.0f64..1e6, repeats in 1.0f64..1e4, tuple in 2u32..40) {
            let groups = [KeyGroup { keys, repeats }];
            let mut with = input(&groups);
            with.leaf_tuple = f64::from(tuple) * 8.0;
            let without = Input { deduplicate: false, ..with.clone() };
            prop_assert!(size(&with).pages <= size(&without).pages * 1.2 + 2.0);
        }

        #[test]
        fn grows_with_tuples(keys in 1.0f64..1e6, more in 1.0f64..1e5, repeats in 1.0f64..100.0) {
            let few = [KeyGroup { keys, repeats }];
            let many = [KeyGroup { keys: keys + more, repeats }];
            prop_assert!(size(&input(&many)).pages >= size(&input(&few)).pages);
        }
    }
}
