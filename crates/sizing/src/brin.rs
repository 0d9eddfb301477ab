//! BRIN (brin_pageops.c, brin_revmap.c, brin_tuple.c): a summary a page range, a map of where
//! the summaries are, and the metapage.

use crate::page::{ITEM_ID, PAGE, PAGE_HEADER, Size, max_align};

/// Special space of a BRIN page (`BrinSpecialSpace`).
const SPECIAL: f64 = 8.0;
/// Entries of a range map page (`REVMAP_PAGE_MAXITEMS`).
const MAP_ENTRIES: f64 = 1360.0;
/// `BrinTuple` up to its data, aligned; a null bitmap fits into the padding.
const TUPLE_HEADER: f64 = 8.0;

/// What one key's summary of a range takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Summary {
    /// Least and greatest value, of so many bytes each.
    MinMax(f64),
    /// `minmax_multi`: so many values of so many bytes, behind a header.
    MinMaxMulti {
        /// Values kept a range (`values_per_range`).
        values: f64,
        /// Bytes of a value.
        bytes: f64,
    },
    /// A value that includes all of the range's, and two flags.
    Inclusion(f64),
    /// A Bloom filter for so many distinct values at this rate of false positives.
    Bloom {
        /// Distinct values of a range.
        distinct: f64,
        /// False positives, 0…1.
        false_positives: f64,
    },
}

impl Summary {
    fn bytes(self) -> f64 {
        match self {
            Summary::MinMax(bytes) => 2.0 * bytes,
            Summary::MinMaxMulti { values, bytes } => 4.0 + 20.0 + values * bytes,
            Summary::Inclusion(bytes) => bytes + 2.0,
            Summary::Bloom {
                distinct,
                false_positives,
            } => {
                let bits = -distinct * false_positives.ln() / std::f64::consts::LN_2.powi(2);
                20.0 + (bits / 8.0).ceil()
            }
        }
    }
}

/// The size over `heap_pages` with `pages_per_range`.
pub fn size(heap_pages: f64, pages_per_range: f64, keys: &[Summary]) -> Size {
    let ranges = (heap_pages / pages_per_range.max(1.0)).ceil();
    let data: f64 = keys.iter().map(|key| key.bytes()).sum();
    let tuple = max_align(TUPLE_HEADER + data);
    let per_page = ((PAGE - PAGE_HEADER - SPECIAL) / (tuple + ITEM_ID))
        .floor()
        .max(1.0);
    // Metapage; at least one page of map and, as soon as there is a summary, one of those.
    let pages = 1.0 + (ranges / MAP_ENTRIES).ceil().max(1.0) + (ranges / per_page).ceil();
    Size { pages, height: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_tables_take_three_pages() {
        assert_eq!(size(1000.0, 128.0, &[Summary::MinMax(8.0)]).pages, 3.0);
    }

    #[test]
    fn one_page_a_range_costs() {
        let fine = size(100_000.0, 1.0, &[Summary::MinMax(8.0)]);
        assert_eq!(fine.pages, 1.0 + 74.0 + (100_000f64 / 291.0).ceil());
    }
}
