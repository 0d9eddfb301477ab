//! Running SQL as the owner of our tables, and reading what other transactions committed
//! whatever the isolation level of the present one.

use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::CStr;

/// Puts role, security context and settings back, also when an ERROR or a panic unwinds.
struct RoleGuard {
    role: pg_sys::Oid,
    context: std::ffi::c_int,
    settings: std::ffi::c_int,
}

impl Drop for RoleGuard {
    fn drop(&mut self) {
        // SAFETY: the values were read by GetUserIdAndSecContext in this transaction; the
        // nest level is ours and, levels being nested, still open.
        unsafe {
            pg_sys::AtEOXact_GUC(!std::thread::panicking(), self.settings);
            pg_sys::SetUserIdAndSecContext(self.role, self.context);
        }
    }
}

/// Runs `work` as the owner of our tables, with `search_path` set to `pg_catalog, pg_temp`.
/// Nobody else has rights on them, so the caller's rights are checked in code before this is
/// called, and `work` runs SQL of ours alone: relations qualified, operators and functions
/// of `pg_catalog` as they are.
///
/// # Panics
/// Raises an ERROR (undefined_table) when the extension is not in this database.
pub fn as_extension_owner<T>(work: impl FnOnce() -> T) -> T {
    let owner = owner_of_our_tables();
    // SAFETY: plain reads and writes of the backend's user id and of one setting, which the
    // guard restores; the strings are static.
    let guard = unsafe {
        let mut guard = RoleGuard {
            role: pg_sys::InvalidOid,
            context: 0,
            settings: pg_sys::NewGUCNestLevel(),
        };
        pg_sys::GetUserIdAndSecContext(&mut guard.role, &mut guard.context);
        pg_sys::SetUserIdAndSecContext(
            owner,
            guard.context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as std::ffi::c_int,
        );
        pg_sys::set_config_option(
            c"search_path".as_ptr(),
            c"pg_catalog, pg_temp".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
        guard
    };
    let result = work();
    drop(guard);
    result
}

/// OID of a relation in our schema; `None` when the extension is not in this database.
pub fn our_relation(name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: syscache lookups inside a transaction; both names are NUL-terminated.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"indexpilot".as_ptr(), true);
        if schema == pg_sys::InvalidOid {
            return None;
        }
        let relation = pg_sys::get_relname_relid(name.as_ptr(), schema);
        (relation != pg_sys::InvalidOid).then_some(relation)
    }
}

fn owner_of_our_tables() -> pg_sys::Oid {
    let Some(relation) = our_relation(c"mutation_log") else {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
            "extension \"indexpilot\" is not installed in this database"
        );
    };
    // SAFETY: the relation was just found; the entry is released before the value is used.
    unsafe {
        let entry = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::RELOID as _,
            pg_sys::Datum::from(relation),
        );
        if entry.is_null() {
            error!("cache lookup failed for relation {}", relation.to_u32());
        }
        let class = pg_sys::GETSTRUCT(entry).cast::<pg_sys::FormData_pg_class>();
        let owner = (*class).relowner;
        pg_sys::ReleaseSysCache(entry);
        owner
    }
}

/// Name of the role whose rights apply now (`current_user`).
pub fn current_role() -> String {
    // SAFETY: the current user id is always valid; the name is copied at once.
    unsafe {
        let name = pg_sys::GetUserNameFromId(pg_sys::GetUserId(), false);
        CStr::from_ptr(name).to_string_lossy().into_owned()
    }
}

/// Name of a role; its OID in digits when it is gone.
pub fn role_name(role: pg_sys::Oid) -> String {
    // SAFETY: a syscache lookup inside a transaction; NULL for an unknown role.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        if name.is_null() {
            return role.to_u32().to_string();
        }
        CStr::from_ptr(name).to_string_lossy().into_owned()
    }
}

/// Identifier of this cluster (pg_control), the same in the whole replication group.
pub fn system_identifier() -> i64 {
    // SAFETY: reads a value that was set at start. Stored as the server shows it, signed.
    unsafe { pg_sys::GetSystemIdentifier() as i64 }
}

/// OID of this database.
pub fn database() -> pg_sys::Oid {
    // SAFETY: a global that does not change in a connected backend.
    unsafe { pg_sys::MyDatabaseId }
}

/// A lock of this database that SQL cannot take through its advisory lock functions. It is of
/// the type `userlock`, which nothing else has used since contrib/userlock went: applications
/// that count advisory locks do not see it.
fn user_lock(key: u32) -> pg_sys::LOCKTAG {
    const OURS: u16 = 0x1d;
    pg_sys::LOCKTAG {
        locktag_field1: database().to_u32(),
        locktag_field2: 0,
        locktag_field3: key,
        locktag_field4: OURS,
        locktag_type: pg_sys::LockTagType::LOCKTAG_USERLOCK as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    }
}

/// Takes the lock of this database that `key` names, and keeps it until the transaction ends.
pub fn lock_until_commit(key: u32) {
    // SAFETY: the tag is complete; a transaction lock is released by the server.
    unsafe { pg_sys::LockAcquire(&user_lock(key), pg_sys::ExclusiveLock as _, false, false) };
}

/// Runs `work` while nobody else has the lock that `key` names. An ERROR leaves it to the end
/// of the transaction.
pub fn under_lock<T>(key: u32, work: impl FnOnce() -> T) -> T {
    let tag = user_lock(key);
    // SAFETY: the tag is complete; taken and given back in pairs.
    unsafe { pg_sys::LockAcquire(&tag, pg_sys::ExclusiveLock as _, false, false) };
    let result = work();
    // SAFETY: as above.
    unsafe { pg_sys::LockRelease(&tag, pg_sys::ExclusiveLock as _, false) };
    result
}

/// Runs `work` under a snapshot that sees all that is committed by now, also in a
/// REPEATABLE READ transaction. Only read-only SPI calls use the active snapshot.
pub fn with_latest_snapshot<T>(work: impl FnOnce() -> T) -> T {
    // On an ERROR the server pops the snapshot with the (sub)transaction; a destructor
    // would pop it twice.
    // SAFETY: pushed and popped in pairs, inside a transaction.
    unsafe {
        pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
        let result = work();
        pg_sys::PopActiveSnapshot();
        result
    }
}

/// Place and hash of the newest sealed row of the mutation log that any transaction
/// committed, or this one wrote, for this cluster and database. Call it under the chain's
/// lock and [`with_latest_snapshot`].
///
/// `query` takes the system identifier (int8) and the database (oid) and gives one row of
/// (int8, bytea) at most.
pub fn newest_of_chain(query: &CStr) -> Option<(i64, Vec<u8>)> {
    Spi::connect(|_| {
        let mut types = [pg_sys::INT8OID, pg_sys::OIDOID];
        let mut values = [
            pg_sys::Datum::from(system_identifier()),
            pg_sys::Datum::from(database()),
        ];
        // SAFETY: SPI is connected; two arguments of the types said, none NULL. The row is
        // read before anything else uses SPI.
        unsafe {
            // Read-only, so that SPI keeps our snapshot instead of taking the transaction's.
            let status = pg_sys::SPI_execute_with_args(
                query.as_ptr(),
                2,
                types.as_mut_ptr(),
                values.as_mut_ptr(),
                std::ptr::null(),
                true,
                1,
            );
            if status != pg_sys::SPI_OK_SELECT as i32 {
                error!(
                    "the newest row of the mutation log could not be read (SPI status {status})"
                );
            }
            if pg_sys::SPI_processed == 0 {
                return None;
            }
            let table = pg_sys::SPI_tuptable;
            let row = *(*table).vals;
            let mut null = false;
            let sequence = pg_sys::SPI_getbinval(row, (*table).tupdesc, 1, &mut null);
            let sequence = i64::from_datum(sequence, null)?;
            let hash = pg_sys::SPI_getbinval(row, (*table).tupdesc, 2, &mut null);
            let hash = Vec::<u8>::from_datum(hash, null)?;
            Some((sequence, hash))
        }
    })
}

/// OID of the role whose rights apply now.
pub fn current_role_oid() -> pg_sys::Oid {
    // SAFETY: the current user id is always valid.
    unsafe { pg_sys::GetUserId() }
}
