//! Which types an index key can have, as the server itself decides.

use pgrx::pg_sys;

/// Index access methods that PostgreSQL ships (`pg_am.dat`): btree, hash, gist, gin, spgist, brin.
const BTREE: pg_sys::Oid = pg_sys::BTREE_AM_OID;
const OTHERS: [pg_sys::Oid; 3] = [
    pg_sys::GIST_AM_OID,
    pg_sys::SPGIST_AM_OID,
    pg_sys::BRIN_AM_OID,
];

/// Whether any index method of PostgreSQL takes a column of this type without an operator
/// class being named (`GetDefaultOpClass` in indexcmds.c). Arrays and rows count only when
/// their elements can be compared: there the operator class exists and every insert fails.
pub fn any_index_takes(type_oid: pg_sys::Oid) -> bool {
    // SAFETY: catalog lookups inside a transaction; the cache entry lives as long as the
    // backend.
    unsafe {
        let base = pg_sys::getBaseType(type_oid);
        let entry = pg_sys::lookup_type_cache(
            base,
            (pg_sys::TYPECACHE_CMP_PROC | pg_sys::TYPECACHE_HASH_PROC) as _,
        );
        if (*entry).cmp_proc != pg_sys::InvalidOid || (*entry).hash_proc != pg_sys::InvalidOid {
            return true;
        }
        let composed =
            pg_sys::get_element_type(base) != pg_sys::InvalidOid || pg_sys::type_is_rowtype(base);
        if composed {
            return false;
        }
        let gin = pg_sys::GetDefaultOpClass(base, pg_sys::GIN_AM_OID);
        gin != pg_sys::InvalidOid
            || pg_sys::GetDefaultOpClass(base, BTREE) != pg_sys::InvalidOid
            || OTHERS
                .into_iter()
                .any(|method| pg_sys::GetDefaultOpClass(base, method) != pg_sys::InvalidOid)
    }
}
