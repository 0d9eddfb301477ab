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
