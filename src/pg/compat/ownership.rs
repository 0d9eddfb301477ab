//! Ownership checks: one function a kind of object until 15, one for all from 16 on.

use pgrx::pg_sys;

/// Whether a role owns a database (superusers own everything).
pub fn owns_database(database: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: a catalog lookup inside a transaction.
    unsafe {
        #[cfg(feature = "pg15")]
        {
            pg_sys::pg_database_ownercheck(database, role)
        }
        #[cfg(any(feature = "pg16", feature = "pg17", feature = "pg18"))]
        {
            pg_sys::object_ownercheck(pg_sys::DatabaseRelationId, database, role)
        }
    }
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
