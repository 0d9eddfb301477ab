//! The text of a statement, for people and for lint.

use crate::pg::spi;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// A statement's text.
#[derive(Clone, Debug)]
pub struct Text {
    /// Normalised.
    pub text: String,
    /// Who runs it.
    pub role: String,
    /// search_path when it was seen, with the role in place of `$user`.
    pub search_path: Option<String>,
}

/// The text of a statement; `None` where it is gone.
///
/// # Errors
/// What SPI reports.
pub fn text(id: &str) -> SpiResult<Option<Text>> {
    spi::as_extension_owner(|| {
        Spi::connect(|client| {
            let table = client.select(
                "SELECT s.query, s.role_name,
                     replace(o.search_path, '\"$user\"', quote_ident(s.role_name))
                 FROM indexpilot.statement AS s
                 LEFT JOIN indexpilot.statement_source AS o ON o.statement = s.id
                 WHERE s.id = $1::uuid",
                Some(1),
                &[id.into()],
            )?;
            let Some(row) = table.into_iter().next() else {
                return Ok(None);
            };
            Ok(Some(Text {
                text: row.get::<String>(1)?.unwrap_or_default(),
                role: row.get::<String>(2)?.unwrap_or_default(),
                search_path: row.get(3)?,
            }))
        })
    })
}
