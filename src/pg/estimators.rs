//! OIDs of the core's selectivity estimators (pg_proc.dat). They have not changed since 9.x
//! (matchingsel: since 14, where it came), and tell what an operator does whatever its name.

pub const EQSEL: u32 = 101;
pub const NEQSEL: u32 = 102;
pub const SCALARLTSEL: u32 = 103;
pub const SCALARGTSEL: u32 = 104;
pub const SCALARLESEL: u32 = 336;
pub const SCALARGESEL: u32 = 337;
pub const ICLIKESEL: u32 = 1814;
pub const ICNLIKESEL: u32 = 1815;
pub const REGEXEQSEL: u32 = 1818;
pub const LIKESEL: u32 = 1819;
pub const ICREGEXEQSEL: u32 = 1820;
pub const REGEXNESEL: u32 = 1821;
pub const NLIKESEL: u32 = 1822;
pub const ICREGEXNESEL: u32 = 1823;
pub const PREFIXSEL: u32 = 3437;
pub const ARRAYCONTSEL: u32 = 3817;
pub const MATCHINGSEL: u32 = 5040;
