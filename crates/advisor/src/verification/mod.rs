//! Verification: did an action do what was expected of it?
//!
//! Pure statistics over what capture measured before and after: [`latency`] makes
//! observations of histograms, [`effect`] a ratio with its confidence of observations,
//! [`verdict`] a verdict of ratios, and [`feedback`] corrects the next prediction.
//!
//! How often it errs is measured over simulated histories in `tests/verification.rs`.

pub mod effect;
pub mod feedback;
pub mod latency;
pub mod student;
pub mod verdict;

pub use effect::{Control, Effect, Measure, control, effect};
pub use feedback::{Outcome, gamma, kind};
pub use latency::{Cell, Sample, cells};
pub use verdict::{Judgement, Rules, StatementEvidence, judge};
