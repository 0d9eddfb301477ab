//! Settings of capture.

use crate::pg::guc::{self, Checked};
use crate::pg::hooks::{filters, tenant};
use crate::pg::shmem::Sizes;
use indexpilot_model::setting::Refusal;
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::CString;

static MAX_STATEMENTS: GucSetting<i32> = GucSetting::<i32>::new(5_000);
static TEXT_MEMORY: GucSetting<i32> = GucSetting::<i32>::new(6 * 1024);
static MAX_TENANT_PAIRS: GucSetting<i32> = GucSetting::<i32>::new(8_192);
static SAMPLE_PARAMETERS: GucSetting<bool> = GucSetting::<bool>::new(true);

static FILTER_SAMPLING: GucSetting<i32> = GucSetting::<i32>::new(1_000);

static TENANT_ID: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static TENANT_COLUMN: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"tenant_id"));
static TENANT_SETTING: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static TENANT_SOURCE: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"column"));

struct FilterSampling;
impl Checked<i32> for FilterSampling {
    fn assigned(value: &i32) {
        filters::set_rate(u32::try_from(*value).unwrap_or(0));
    }
}

struct TenantId;
impl Checked<str> for TenantId {
    fn assigned(value: &str) {
        tenant::set_session(value);
    }
}

struct TenantColumn;
impl Checked<str> for TenantColumn {
    fn assigned(value: &str) {
        tenant::set_column(value);
    }
}

struct TenantSetting;
impl Checked<str> for TenantSetting {
    fn assigned(value: &str) {
        tenant::set_setting(value);
    }
}

struct TenantSource;
impl Checked<str> for TenantSource {
    fn check(value: &str) -> Result<(), Refusal> {
        match value {
            "column" | "schema" | "role" => Ok(()),
            _ => Err(Refusal {
                detail: format!("\"{value}\" is no source of tenants."),
                hint: String::from("Available values: column, schema, role."),
            }),
        }
    }

    fn assigned(value: &str) {
        tenant::set_source(match value {
            "schema" => tenant::Source::Schema,
            "role" => tenant::Source::Role,
            _ => tenant::Source::Column,
        });
    }
}

fn define_tenants() {
    // Default empty: only the application knows. The only setting of ours that anybody may
    // set, because a session says it of itself.
    guc::define_text::<TenantId>(
        c"indexpilot.tenant_id",
        c"Names the tenant that this session works for.",
        c"Counts before every other source. Behind a pooler use SET LOCAL.",
        &TENANT_ID,
        GucContext::Userset,
        GucFlags::default(),
    );
    // Default tenant_id, the usual name. Where no such column is compared, nothing happens.
    guc::define_text::<TenantColumn>(
        c"indexpilot.tenant_column",
        c"Names the column whose value tells the tenant.",
        c"A statement that compares it with a constant or a parameter works for that tenant, evaluated for each execution.",
        &TENANT_COLUMN,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default empty: setting names are the application's own.
    guc::define_text::<TenantSetting>(
        c"indexpilot.tenant_setting",
        c"Names the setting of the application that holds the tenant.",
        c"For statements and row-security policies that compare with current_setting() of it.",
        &TENANT_SETTING,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default column: the usual way to keep tenants in shared tables.
    guc::define_text::<TenantSource>(
        c"indexpilot.tenant_source",
        c"Sets what tells tenants apart: column, schema or role.",
        c"column: tenant_column and tenant_setting; schema: the schema of the statement's relations; role: who runs it.",
        &TENANT_SOURCE,
        GucContext::Suset,
        GucFlags::default(),
    );
}

pub(super) fn define() {
    define_tenants();
    if crate::pg::process::preloading() {
        // Default 5000, as pg_stat_statements.max: it holds the statements of an application
        // with room to spare. An entry takes about 10.5 kB of address space, and of memory
        // only what its plans touch.
        GucRegistry::define_int_guc(
            c"indexpilot.max_statements",
            c"Sets how many statements are counted at the same time.",
            c"A statement counts once for each user, database and level. What finds no room is dropped and counted.",
            &MAX_STATEMENTS,
            100,
            1_000_000,
            GucContext::Postmaster,
            GucFlags::default(),
        );
        // Default 6 MB: about a thousand new statements between two flushes.
        GucRegistry::define_int_guc(
            c"indexpilot.capture_text_memory",
            c"Sets the memory for texts and trees of new statements on their way to the worker.",
            c"A statement that finds no room is counted, and sends its text when it is planned again.",
            &TEXT_MEMORY,
            256,
            1_048_576,
            GucContext::Postmaster,
            GucFlags::UNIT_KB,
        );
        // Default 8192 pairs in one flush interval.
        GucRegistry::define_int_guc(
            c"indexpilot.max_tenant_pairs",
            c"Sets how many pairs of statement and tenant are counted in one flush interval.",
            c"What finds no room counts for the statement and not for the tenant, and is counted as dropped.",
            &MAX_TENANT_PAIRS,
            128,
            1_000_000,
            GucContext::Postmaster,
            GucFlags::default(),
        );
    }
    // Default on: without real values partial indexes and skewed columns cannot be priced.
    GucRegistry::define_bool_guc(
        c"indexpilot.sample_parameters",
        c"Keeps a few parameter values of each statement for planning it again.",
        c"They are visible to the statement's owner and to pg_read_all_stats only. Off: no value is kept, and statements are priced with generic plans.",
        &SAMPLE_PARAMETERS,
        GucContext::Suset,
        GucFlags::default(),
    );
    // Default 1000: counting rows at every node of a plan costs a few per cent of an execution,
    // so of all executions a hundredth of one per cent. A statement's first execution is
    // always among them.
    guc::define_int::<FilterSampling>(
        c"indexpilot.filter_sampling",
        c"Sets in how many executions one is looked at for rows that filters throw away.",
        c"The first execution of each statement is too. What follows from it is marked as an estimate. 0 looks at none.",
        &FILTER_SAMPLING,
        (0, 1_000_000),
        GucContext::Suset,
        GucFlags::default(),
    );
}

/// Sizes of capture's shared memory.
pub fn capture_sizes() -> Sizes {
    let size = |setting: &GucSetting<i32>| usize::try_from(setting.get()).unwrap_or(0);
    Sizes {
        statements: size(&MAX_STATEMENTS),
        text_bytes: size(&TEXT_MEMORY) * 1_024,
        tenants: size(&MAX_TENANT_PAIRS),
    }
}

/// `indexpilot.sample_parameters`.
pub fn sample_parameters() -> bool {
    SAMPLE_PARAMETERS.get()
}
