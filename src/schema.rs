//! The order in which the files of `sql/` make up the install script. This list is the only
//! place that knows it: the build concatenates the files it names, top to bottom, and
//! `cargo pgrx schema` follows the same chain of `requires`.

use pgrx::extension_sql_file;

extension_sql_file!("../sql/schema/guard.sql", name = "schema_guard", bootstrap);
extension_sql_file!(
    "../sql/functions/version.sql",
    name = "functions_version",
    requires = ["schema_guard"]
);
extension_sql_file!(
    "../sql/functions/query_fields.sql",
    name = "functions_query_fields",
    requires = ["schema_guard"]
);
extension_sql_file!(
    "../sql/tables/mutation_log.sql",
    name = "tables_mutation_log",
    requires = ["schema_guard"]
);
extension_sql_file!(
    "../sql/functions/lineage.sql",
    name = "functions_lineage",
    requires = ["tables_mutation_log"]
);
extension_sql_file!(
    "../sql/tables/setting.sql",
    name = "tables_setting",
    requires = ["schema_guard"]
);
extension_sql_file!(
    "../sql/functions/health.sql",
    name = "functions_health",
    requires = ["tables_setting", "tables_mutation_log"]
);
extension_sql_file!(
    "../sql/functions/what_if.sql",
    name = "functions_what_if",
    requires = ["schema_guard"]
);
extension_sql_file!(
    "../sql/tables/genome.sql",
    name = "tables_genome",
    requires = ["tables_mutation_log"]
);
extension_sql_file!(
    "../sql/tables/expression.sql",
    name = "tables_expression",
    requires = ["tables_genome"]
);
extension_sql_file!(
    "../sql/functions/genome.sql",
    name = "functions_genome",
    requires = ["tables_expression"]
);
extension_sql_file!(
    "../sql/tables/statement.sql",
    name = "tables_statement",
    requires = ["schema_guard"]
);
extension_sql_file!(
    "../sql/tables/imported_stats.sql",
    name = "tables_imported_stats",
    requires = ["tables_statement"]
);
extension_sql_file!(
    "../sql/functions/history.sql",
    name = "functions_history",
    requires = ["tables_imported_stats"]
);
extension_sql_file!(
    "../sql/functions/lint.sql",
    name = "functions_lint",
    requires = ["tables_statement"]
);
extension_sql_file!(
    "../sql/tables/job.sql",
    name = "tables_job",
    requires = ["schema_guard"]
);
extension_sql_file!(
    "../sql/tables/verification.sql",
    name = "tables_verification",
    requires = ["schema_guard"]
);
extension_sql_file!(
    "../sql/tables/pin.sql",
    name = "tables_pin",
    requires = ["schema_guard"]
);
extension_sql_file!(
    "../sql/functions/pins.sql",
    name = "functions_pins",
    requires = ["tables_pin"]
);
extension_sql_file!(
    "../sql/tables/upkeep.sql",
    name = "tables_upkeep",
    requires = ["schema_guard"]
);
extension_sql_file!(
    "../sql/views/upkeep.sql",
    name = "views_upkeep",
    requires = ["tables_upkeep", "tables_statement"]
);
extension_sql_file!(
    "../sql/functions/jobs.sql",
    name = "functions_jobs",
    requires = ["tables_job"]
);
extension_sql_file!(
    "../sql/views/jobs.sql",
    name = "views_jobs",
    requires = ["tables_job"]
);
extension_sql_file!(
    "../sql/views/capture.sql",
    name = "views_capture",
    requires = ["tables_statement"]
);
extension_sql_file!(
    "../sql/views/verifications.sql",
    name = "views_verifications",
    requires = ["tables_verification", "tables_job"]
);
extension_sql_file!(
    "../sql/views/safeguards.sql",
    name = "views_safeguards",
    requires = ["views_verifications", "views_upkeep", "tables_mutation_log"]
);
extension_sql_file!(
    "../sql/functions/advise.sql",
    name = "functions_advise",
    requires = ["schema_guard"]
);
extension_sql_file!(
    "../sql/views/mutations.sql",
    name = "views_mutations",
    requires = ["tables_mutation_log"]
);
extension_sql_file!(
    "../sql/functions/report.sql",
    name = "functions_report",
    requires = ["views_mutations"]
);
extension_sql_file!(
    "../sql/views/expression.sql",
    name = "views_expression",
    requires = ["tables_statement", "tables_expression"]
);
extension_sql_file!(
    "../sql/tables/recommendation.sql",
    name = "tables_recommendation",
    requires = ["schema_guard"]
);
extension_sql_file!(
    "../sql/views/what_if.sql",
    name = "views_what_if",
    requires = ["functions_what_if", "tables_recommendation"]
);
extension_sql_file!(
    "../sql/functions/recommendations.sql",
    name = "functions_recommendations",
    requires = ["tables_recommendation"]
);
extension_sql_file!(
    "../sql/views/recommendations.sql",
    name = "views_recommendations",
    requires = ["tables_recommendation"]
);
// Stays the last of all: this database is looked after from the commit on.
extension_sql_file!("../sql/schema/attach.sql", name = "schema_attach", finalize);
