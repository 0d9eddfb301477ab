//! Whether IndexPilot runs: the four levels of bypass, and what `status()` shows of them.
//!
//! | level | by | takes effect |
//! |---|---|---|
//! | feature | `create_index` and its like set to `off`, `disable(reason, 'create_index')` | at the next look at it |
//! | module | `disabled_modules`, `disable(reason, 'capture')` | at once |
//! | system | `enabled`, `disable(reason)` | at once |
//! | start-up | `startup = off`, `INDEXPILOT_BYPASS=1` | the server loads the library and nothing of it runs |

mod start;
mod status;
mod switches;

pub use start::{Idle, begin, idle};
pub use status::status;
pub use switches::{attach, switch_off, switch_on};
