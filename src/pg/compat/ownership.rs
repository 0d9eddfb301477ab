//! Ownership checks: one function a kind of object until 15, one for all from 16 on.

use pgrx::pg_sys;

/// Declared anew for hooks, through which an ERROR passes as the server raised it.
mod raw {
    use pgrx::pg_sys::Oid;
    unsafe extern "C-unwind" {
        #[cfg(feature = "pg15")]
        pub fn pg_database_ownercheck(database: Oid, role: Oid) -> bool;
        #[cfg(not(feature = "pg15"))]
        pub fn object_ownercheck(class: Oid, object: Oid, role: Oid) -> bool;
    }
}

/// Whether a role owns a database (superusers own everything).
///
/// # Safety
/// Inside a transaction. An ERROR jumps over the callers' frames: no destructor may be alive.
pub unsafe fn owns_database_raw(database: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(feature = "pg15")]
        {
            raw::pg_database_ownercheck(database, role)
        }
        #[cfg(not(feature = "pg15"))]
        {
            raw::object_ownercheck(pg_sys::DatabaseRelationId, database, role)
        }
    }
}

/// The same, an ERROR as a panic.
pub fn owns_database(database: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: a catalog lookup inside a transaction; the guard catches what it raises.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| owns_database_raw(database, role)) }
}

/// Whether a role owns a relation (superusers own everything); false when it is gone.
pub fn owns_relation(relation: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: catalog lookups inside a transaction; the first keeps the second from raising.
    unsafe {
        if pg_sys::get_rel_relkind(relation) == 0 {
            return pg_sys::superuser_arg(role);
        }
        #[cfg(feature = "pg15")]
        {
            pg_sys::pg_class_ownercheck(relation, role)
        }
        #[cfg(any(feature = "pg16", feature = "pg17", feature = "pg18"))]
        {
            pg_sys::object_ownercheck(pg_sys::RelationRelationId, relation, role)
        }
    }
}
