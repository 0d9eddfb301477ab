//! amcheck: what is built is checked before it is called kept, where the extension is there.

use super::in_transaction;
use pgrx::prelude::*;

/// Checks a btree (from 18 on a GIN index too) against its table: `passed`, `failed: …`, or
/// `unchecked: …` where there is nothing to check it with. Partitioned indexes are checked
/// leaf by leaf.
pub(super) fn index(index: u32) -> String {
    let schema = in_transaction(|| {
        Spi::get_one::<String>(
            "SELECT quote_ident(n.nspname) FROM pg_extension AS e
             JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'",
        )
    });
    let schema = match schema {
        Ok(Some(schema)) => schema,
        // No row is an SPI error of its own.
        _ => return "unchecked: extension amcheck is not installed".into(),
    };
    let leaves = in_transaction(|| {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT c.oid, a.amname::text,
                     EXISTS (SELECT FROM pg_proc WHERE proname = 'gin_index_check')
                 FROM pg_partition_tree($1::oid) AS p
                 RIGHT JOIN pg_class AS c ON c.oid = p.relid
                 JOIN pg_am AS a ON a.oid = c.relam
                 WHERE c.relkind = 'i' AND (p.isleaf OR c.oid = $1)",
                None,
                &[pg_sys::Oid::from(index).into()],
            )?;
            let mut list = Vec::new();
            for row in rows {
                list.push((
                    row.get::<pg_sys::Oid>(1)?,
                    row.get::<String>(2)?.unwrap_or_default(),
                    row.get::<bool>(3)? == Some(true),
                ));
            }
            Ok(list)
        })
    });
    let leaves = match leaves {
        Ok(leaves) => leaves,
        Err(error) => return format!("unchecked: {error}"),
    };
    for (leaf, method, has_gin) in leaves {
        let call = match method.as_str() {
            "btree" => format!("SELECT {schema}.bt_index_check($1::oid::regclass, true)"),
            "gin" if has_gin => format!("SELECT {schema}.gin_index_check($1::oid::regclass)"),
            other => return format!("unchecked: amcheck does not know {other} here"),
        };
        let result = in_transaction(|| Spi::run_with_args(&call, &[leaf.into()]));
        match result {
            Ok(()) => {}
            // XX002 index_corrupted, XX001 data_corrupted.
            Err(error) if error.sqlstate.starts_with("XX00") => {
                return format!("failed: {error}");
            }
            Err(error) => return format!("unchecked: {error}"),
        }
    }
    "passed".into()
}
