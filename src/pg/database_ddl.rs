//! DROP, RENAME and copying of a database need it without connections. Our worker is one,
//! so it is stopped before such a statement runs; and CREATE EXTENSION in a database makes
//! the launcher look at it.
//!
//! The hook does nothing for every other statement. It raises no error of its own and runs
//! no Rust destructor around the server's code (an ERROR passes through with every field).

use crate::pg::compat::ownership;
use crate::pg::ddl_notices;
use crate::pg::worker_entry::board::{CancelReason, Presence, Request, board};
use crate::pg::worker_entry::{self, wake_launcher};
use pgrx::pg_sys;
use std::ffi::{CStr, c_char};

/// Seconds for which no worker comes back to a database that somebody needs empty.
const HOLD_SECONDS: i64 = 10;
/// How long the statement waits for our worker to end before it goes on anyway.
const PATIENCE_MS: i64 = 3_000;

static mut PREVIOUS: pg_sys::ProcessUtility_hook_type = None;

unsafe extern "C-unwind" {
    // Our own declaration: the binding would turn an ERROR into a panic and back.
    #[link_name = "standard_ProcessUtility"]
    fn standard_process_utility(
        statement: *mut pg_sys::PlannedStmt,
        text: *const c_char,
        read_only: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        parameters: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        destination: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );
}

/// Installs the hook. Only while the library is preloaded.
pub fn install() {
    // SAFETY: hook variables are written once, by the postmaster, while it loads libraries.
    unsafe {
        if !pg_sys::process_shared_preload_libraries_in_progress || pg_sys::IsBinaryUpgrade {
            return;
        }
        PREVIOUS = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(hook);
    }
}

type Utility = unsafe extern "C-unwind" fn(
    *mut pg_sys::PlannedStmt,
    *const c_char,
    bool,
    pg_sys::ProcessUtilityContext::Type,
    pg_sys::ParamListInfo,
    *mut pg_sys::QueryEnvironment,
    *mut pg_sys::DestReceiver,
    *mut pg_sys::QueryCompletion,
);

#[allow(clippy::too_many_arguments)]
unsafe extern "C-unwind" fn hook(
    statement: *mut pg_sys::PlannedStmt,
    text: *const c_char,
    read_only: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    parameters: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    destination: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: the arguments are the server's and are handed on as they came. No value with
    // a destructor is alive in this frame while the next function runs.
    unsafe {
        let node = (*statement).utilityStmt;
        if !node.is_null() {
            let _ = std::panic::catch_unwind(|| {
                ddl_notices::about_to_run(node);
                before(node);
            });
        }
        let next: Utility = match PREVIOUS {
            // The types differ only in being optional.
            Some(previous) => previous,
            None => standard_process_utility,
        };
        next(
            statement,
            text,
            read_only,
            context,
            parameters,
            environment,
            destination,
            completion,
        );
        if (*node_or(node)).type_ == pg_sys::NodeTag::T_CreateExtensionStmt {
            let _ = std::panic::catch_unwind(after_create_extension);
        }
    }
}

/// A node that can be read whatever `node` is.
unsafe fn node_or(node: *mut pg_sys::Node) -> *const pg_sys::Node {
    const NOTHING: pg_sys::Node = pg_sys::Node {
        type_: pg_sys::NodeTag::T_Invalid,
    };
    if node.is_null() { &NOTHING } else { node }
}

/// Frees the database that a statement is about to need. Raises nothing: catalog lookups
/// are left to the statement itself, so names are compared in the processes' own terms.
unsafe fn before(node: *mut pg_sys::Node) {
    // SAFETY: the tag says which struct it is; strings in parse trees are NUL-terminated.
    unsafe {
        let name = match (*node).type_ {
            pg_sys::NodeTag::T_DropdbStmt => (*node.cast::<pg_sys::DropdbStmt>()).dbname,
            pg_sys::NodeTag::T_RenameStmt => {
                let rename = node.cast::<pg_sys::RenameStmt>();
                if (*rename).renameType != pg_sys::ObjectType::OBJECT_DATABASE {
                    return;
                }
                (*rename).subname
            }
            pg_sys::NodeTag::T_CreatedbStmt => {
                option((*node.cast::<pg_sys::CreatedbStmt>()).options, c"template")
            }
            pg_sys::NodeTag::T_AlterDatabaseStmt => {
                let alter = node.cast::<pg_sys::AlterDatabaseStmt>();
                if option((*alter).options, c"tablespace").is_null() {
                    return;
                }
                (*alter).dbname
            }
            _ => return,
        };
        if name.is_null() || !pg_sys::IsTransactionState() {
            return;
        }
        let database = pg_sys::get_database_oid(name, true);
        // Whom the statement will refuse must not be able to stop our worker with it.
        if database != pg_sys::InvalidOid && ownership::owns_database(database, pg_sys::GetUserId())
        {
            free_database(database);
        }
    }
}

/// The string value of an option in a list of `DefElem`; NULL where it is not there.
unsafe fn option(options: *mut pg_sys::List, wanted: &CStr) -> *mut c_char {
    // SAFETY: a list of DefElem, as the grammar makes it for these statements.
    unsafe {
        if options.is_null() {
            return std::ptr::null_mut();
        }
        for place in 0..(*options).length {
            let element = (*(*options).elements.add(place as usize))
                .ptr_value
                .cast::<pg_sys::DefElem>();
            if CStr::from_ptr((*element).defname) == wanted && !(*element).arg.is_null() {
                return pg_sys::defGetString(element);
            }
        }
        std::ptr::null_mut()
    }
}

/// Keeps workers away from a database for a while and ends the one that is there.
fn free_database(database: pg_sys::Oid) {
    let Some(slot) = board().and_then(|board| board.find(database)) else {
        return;
    };
    let now = crate::pg::clock::now();
    slot.hold_until(now + HOLD_SECONDS * 1_000_000);
    if slot.worker() == 0 {
        return;
    }
    slot.request(Request::Stop);
    worker_entry::cancel(slot, CancelReason::DatabaseNeeded);
    worker_entry::ask(database, Request::Stop);
    let mut waited = 0;
    while slot.worker() != 0 && waited < PATIENCE_MS {
        // SAFETY: a plain pause; interrupts are handled by the statement that follows.
        unsafe {
            if pg_sys::InterruptPending != 0 {
                return;
            }
            pg_sys::pg_usleep(10_000);
        }
        waited += 10;
    }
    if slot.worker() != 0 {
        worker_entry::terminate(slot);
    }
}

/// The extension may be here now: let the launcher look when this commits.
fn after_create_extension() {
    let database = crate::pg::spi::database();
    pgrx::register_xact_callback(pgrx::PgXactCallbackEvent::Commit, move || {
        if let Some(slot) = board().and_then(|board| board.find_or_take(database)) {
            slot.set_presence(Presence::Unknown);
            wake_launcher();
        }
    });
}
