//! The continuous knapsack: what the Lagrangian relaxation leaves of the indexes.
//!
//! G. Dantzig: "Discrete-variable extremum problems", Operations Research 5(2), 1957.

use crate::program::Fix;

/// Fills `x` with the continuous knapsack's optimum over the free items that pay; returns
/// its value and the price of a unit of room.
pub(crate) fn knapsack(
    fix: &[Fix],
    reduced: &[f64],
    size: &[f64],
    room: f64,
    x: &mut [f64],
) -> (f64, f64) {
    let mut items: Vec<usize> = (0..fix.len())
        .filter(|&i| fix[i] == Fix::Free && reduced[i] < 0.0)
        .collect();
    let total: f64 = items.iter().map(|&i| size[i]).sum();
    let mut value = 0.0;
    if total <= room {
        for &i in &items {
            x[i] = 1.0;
            value += reduced[i];
        }
        return (value, 0.0);
    }
    // One key an item: comparing cross products would not be a total order under rounding,
    // and the sort panics on what is none.
    let worth = |i: usize| {
        if size[i] > 0.0 {
            reduced[i] / size[i]
        } else {
            f64::NEG_INFINITY
        }
    };
    items.sort_by(|&a, &b| worth(a).total_cmp(&worth(b)));
    let mut left = room;
    for &i in &items {
        if size[i] <= left {
            x[i] = 1.0;
            left -= size[i];
            value += reduced[i];
        } else {
            let share = left / size[i];
            x[i] = share;
            value += share * reduced[i];
            return (value, -reduced[i] / size[i]);
        }
    }
    (value, 0.0)
}
