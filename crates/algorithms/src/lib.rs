//! Published methods, one a file, each with the paper it comes from.
//!
//! The crate depends on nothing of IndexPilot's own: it knows numbered indexes,
//! queries and costs, not tables or statements. `indexpilot-advisor` translates.
//!
//! | file | method | source |
//! |---|---|---|
//! | [`program`] | index selection as an integer program over atomic configurations | Dash, Polyzotis, Ailamaki: CoPhy, PVLDB 4(6), 2011 |
//! | [`selection_state`] | the program's value under one set, kept up to date flip by flip | – |
//! | [`presolve`] | dominated configurations and indexes | Savelsbergh, ORSA J. Computing 6(4), 1994 |
//! | [`greedy`] | the two greedy constructions | Chaudhuri, Narasayya: AutoAdmin, VLDB 1997; Schlosser, Kossmann, Boissier: Extend, ICDE 2019 |
//! | [`local_search`] | add, drop and swap moves to a local optimum | Kuehn, Hamburger, Management Science 9(4), 1963 |
//! | [`price_directed`] | a price in place of a limit | Everett, Operations Research 11(3), 1963 |
//! | [`ruin_and_recreate`] | a neighbourhood taken out and built anew | Schrimpf et al., J. Comp. Physics 159, 2000 |
//! | `knapsack` | the continuous knapsack | Dantzig, Operations Research 5(2), 1957 |
//! | [`volume`] | Lagrangian bound by the volume algorithm | Barahona, Anbil, Math. Programming 87, 2000 |
//! | [`branch_and_bound`] | exact search on Lagrangian bounds | Land, Doig, Econometrica 28(3), 1960; Geoffrion, 1974 |
//! | [`theil_sen`] | a robust line | Sen, JASA 63(324), 1968 |
//! | [`lexicographic`] | ordered goals with tolerances | Ehrgott, Multicriteria Optimization, 2005, ch. 5 |

pub mod branch_and_bound;
pub mod effort;
pub mod greedy;
mod knapsack;
pub mod lexicographic;
pub mod local_search;
mod multipliers;
pub mod presolve;
pub mod price_directed;
pub mod program;
pub mod ruin_and_recreate;
pub mod selection_state;
pub mod theil_sen;
pub mod volume;
