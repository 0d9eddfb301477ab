//! GIN (ginentrypage.c, ginpostinglist.c, gindatapage.c): one entry a distinct key with its
//! compressed row pointers, which move to a tree of their own when they are many. A rough
//! estimate: the fill of pages depends on the order of insertion.

use crate::duplicates::KeyGroup;
use crate::page::{ITEM_ID, PAGE, PAGE_HEADER, Size, TUPLE_HEADER, max_align};

/// `GinPageOpaqueData`.
const OPAQUE: f64 = 8.0;
/// Row pointers are (page << 11 | offset) before they become differences.
const POINTERS_PER_PAGE: f64 = 2048.0;
/// Header of a compressed list: first pointer and length.
const LIST_HEADER: f64 = 8.0;
/// An entry with its list must leave room for three on a page (`GinMaxItemSize`).
const MOST_INLINE: f64 = 2712.0;
/// Entries arrive in order and pages split in the middle, which leaves them half full.
const ENTRY_FILL: f64 = 0.52;
/// Posting tree leaves are packed while a list is built.
const DATA_FILL: f64 = 0.95;

/// The size for entries that repeat as `groups` say, with keys of `key_bytes` on average
/// (aligned as stored), over a heap of `heap_pages`.
pub fn size(groups: &[KeyGroup], key_bytes: f64, heap_pages: f64) -> Size {
    let room = PAGE - PAGE_HEADER - OPAQUE;
    let (mut entry_bytes, mut data_pages) = (0.0, 0.0);
    for group in groups {
        let list = list_bytes(group.repeats, heap_pages);
        let plain = TUPLE_HEADER + key_bytes;
        let inline = max_align(plain + list);
        if inline <= MOST_INLINE {
            entry_bytes += group.keys * (inline + ITEM_ID);
        } else {
            entry_bytes += group.keys * (max_align(plain) + ITEM_ID);
            let leaves = (list / (room * DATA_FILL)).ceil().max(1.0);
            // One leaf is the root itself; more have a root above.
            data_pages += group.keys * (leaves + if leaves > 1.0 { 1.0 } else { 0.0 });
        }
    }
    let leaves = (entry_bytes / (room * ENTRY_FILL)).ceil().max(1.0);
    let fanout = (room * ENTRY_FILL / (max_align(TUPLE_HEADER + key_bytes) + ITEM_ID)).max(2.0);
    let (mut entry_pages, mut level) = (leaves, leaves);
    while level > 1.0 {
        level = (level / fanout).ceil();
        entry_pages += level;
    }
    Size {
        pages: 1.0 + entry_pages + data_pages,
        height: 0,
    }
}

/// Bytes of `items` row pointers spread over the heap: seven bits of a difference a byte.
fn list_bytes(items: f64, heap_pages: f64) -> f64 {
    if items < 1.0 {
        return 0.0;
    }
    let gap = heap_pages.max(1.0) * POINTERS_PER_PAGE / items;
    let each: f64 = (0..6)
        .map(|byte| {
            let limit = if byte == 0 {
                0.0
            } else {
                f64::from(7 * byte).exp2()
            };
            (-limit / gap).exp()
        })
        .sum();
    LIST_HEADER + (items - 1.0) * each
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_lists_take_a_byte_or_two_an_item() {
        let bytes = list_bytes(100_000.0, 1000.0);
        assert!((100_000.0..120_000.0).contains(&bytes), "{bytes}");
    }

    #[test]
    fn more_entries_are_more_pages() {
        let few = [KeyGroup {
            keys: 1e3,
            repeats: 10.0,
        }];
        let many = [KeyGroup {
            keys: 1e5,
            repeats: 10.0,
        }];
        assert!(size(&many, 8.0, 1000.0).pages > size(&few, 8.0, 1000.0).pages);
    }
}
