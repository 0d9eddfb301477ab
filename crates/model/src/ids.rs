//! Identities. An `Oid` is the server's and dies with its object; a `StatementId` and a
//! `TenantKey` are ours and last over restarts, dumps and major versions.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An object identifier of the server (`pg_catalog`), valid within one database.
pub type Oid = u32;

/// The lasting identity of a statement: a hash of its normalised text, the
/// schema-qualified names of its relations and the `search_path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StatementId(pub u64);

/// The identity of a tenant: a hash of the canonical bytes of its key, so that
/// `int4 42`, `int8 42` and `'42'` are one tenant. Zero means "no tenant known".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TenantKey(pub u64);

impl TenantKey {
    /// Work that could not be attributed to a tenant.
    pub const NONE: TenantKey = TenantKey(0);
}

impl fmt::Display for StatementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
