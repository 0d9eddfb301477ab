//! The typed definition of an index, and the DDL that is written from it
//! (manual: CREATE INDEX; catalog: pg_index).

use crate::expression::{Expression, readable};
use crate::hash::StableHash;
use crate::identifier::{MAX_IDENTIFIER_BYTES, QualifiedName, clip, join, quote_identifier};
use crate::query::RelationName;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Index access methods that PostgreSQL ships.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "lowercase")]
pub enum AccessMethod {
    /// B-tree.
    #[default]
    Btree,
    /// Hash: equality only, one column.
    Hash,
    /// Block range index.
    Brin,
    /// Inverted index.
    Gin,
    /// Generalised search tree.
    Gist,
    /// Space-partitioned tree.
    Spgist,
}

impl AccessMethod {
    /// The name in `pg_am`.
    pub fn name(self) -> &'static str {
        match self {
            AccessMethod::Btree => "btree",
            AccessMethod::Hash => "hash",
            AccessMethod::Brin => "brin",
            AccessMethod::Gin => "gin",
            AccessMethod::Gist => "gist",
            AccessMethod::Spgist => "spgist",
        }
    }

    /// The method with that name in `pg_am`; extensions' own methods are unknown to us.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "btree" => AccessMethod::Btree,
            "hash" => AccessMethod::Hash,
            "brin" => AccessMethod::Brin,
            "gin" => AccessMethod::Gin,
            "gist" => AccessMethod::Gist,
            "spgist" => AccessMethod::Spgist,
            _ => return None,
        })
    }

    /// BRIN indexes do not stop HOT updates (PostgreSQL 16 and later, `amsummarizing`).
    pub fn is_summarizing(self) -> bool {
        self == AccessMethod::Brin
    }
}

/// One key of an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IndexKey {
    /// Attribute or expression.
    pub element: Expression,
    /// Operator class; `None` is the type's default.
    pub opclass: Option<QualifiedName>,
    /// Collation; `None` is the attribute's.
    pub collation: Option<QualifiedName>,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST. PostgreSQL's default is `descending`.
    pub nulls_first: bool,
}

impl IndexKey {
    /// An ascending key with the defaults of its type.
    pub fn ascending(element: Expression) -> Self {
        IndexKey {
            element,
            opclass: None,
            collation: None,
            descending: false,
            nulls_first: false,
        }
    }
}

/// An attribute carried in the leaf tuples only (INCLUDE).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IncludedAttribute {
    /// `attnum`.
    pub number: i16,
    /// `attname`.
    pub name: String,
}

/// An index, without its name: two definitions that are equal are the same index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IndexDefinition {
    /// The indexed relation.
    pub relation: RelationName,
    /// Access method.
    pub method: AccessMethod,
    /// Keys, at least one.
    pub keys: Vec<IndexKey>,
    /// Payload attributes.
    pub include: Vec<IncludedAttribute>,
    /// Predicate of a partial index.
    pub predicate: Option<Expression>,
    /// UNIQUE. IndexPilot proposes none; existing ones may be.
    pub unique: bool,
    /// NULLS NOT DISTINCT (15 and later).
    pub nulls_not_distinct: bool,
    /// Storage parameters, e.g. ("fillfactor","90"), sorted by name.
    pub options: Vec<(String, String)>,
    /// Tablespace; `None` is the database's default.
    pub tablespace: Option<String>,
}

impl IndexDefinition {
    /// A plain b-tree over `keys`.
    pub fn btree(relation: RelationName, keys: Vec<IndexKey>) -> Self {
        IndexDefinition {
            relation,
            method: AccessMethod::Btree,
            keys,
            include: Vec::new(),
            predicate: None,
            unique: false,
            nulls_not_distinct: false,
            options: Vec::new(),
            tablespace: None,
        }
    }

    /// A stable identity of the definition, independent of OIDs and of the index's name.
    pub fn identity(&self) -> u64 {
        StableHash::new()
            .bytes(self.create_statement("", false, false).as_bytes())
            .finish()
    }

    /// `CREATE [UNIQUE] INDEX [CONCURRENTLY] name ON [ONLY] …`, every name quoted and
    /// qualified. `only` is for a partitioned parent, whose leaves are attached later.
    pub fn create_statement(&self, name: &str, concurrently: bool, only: bool) -> String {
        let mut sql = String::from("CREATE ");
        if self.unique {
            sql.push_str("UNIQUE ");
        }
        sql.push_str("INDEX ");
        if concurrently {
            sql.push_str("CONCURRENTLY ");
        }
        if !name.is_empty() {
            let _ = write!(sql, "{} ", quote_identifier(name));
        }
        let _ = write!(
            sql,
            "ON {}{} USING {} (",
            if only { "ONLY " } else { "" },
            self.relation.qualified(),
            self.method.name()
        );
        let keys: Vec<String> = self.keys.iter().map(|key| self.key_sql(key)).collect();
        sql.push_str(&keys.join(", "));
        sql.push(')');
        if !self.include.is_empty() {
            let names: Vec<String> = self
                .include
                .iter()
                .map(|column| quote_identifier(&column.name))
                .collect();
            let _ = write!(sql, " INCLUDE ({})", join(&names, ", "));
        }
        if self.nulls_not_distinct {
            sql.push_str(" NULLS NOT DISTINCT");
        }
        if !self.options.is_empty() {
            let options: Vec<String> = self
                .options
                .iter()
                .map(|(name, value)| {
                    format!(
                        "{}={}",
                        quote_identifier(name),
                        crate::identifier::quote_literal(value).trim_start()
                    )
                })
                .collect();
            let _ = write!(sql, " WITH ({})", options.join(", "));
        }
        if let Some(tablespace) = &self.tablespace {
            let _ = write!(sql, " TABLESPACE {}", quote_identifier(tablespace));
        }
        if let Some(predicate) = &self.predicate {
            let _ = write!(sql, " WHERE {predicate}");
        }
        sql
    }

    fn key_sql(&self, key: &IndexKey) -> String {
        let mut sql = match &key.element {
            Expression::Attribute { name, .. } => quote_identifier(name),
            expression => format!("({expression})"),
        };
        if let Some(collation) = &key.collation {
            let _ = write!(sql, " COLLATE {collation}");
        }
        if let Some(opclass) = &key.opclass {
            let _ = write!(sql, " {opclass}");
        }
        if self.method == AccessMethod::Btree {
            if key.descending {
                sql.push_str(" DESC");
            }
            if key.nulls_first != key.descending {
                sql.push_str(if key.nulls_first {
                    " NULLS FIRST"
                } else {
                    " NULLS LAST"
                });
            }
        }
        sql
    }

    /// The definition for people (no needless quotes or schemas); never to be executed.
    pub fn for_people(&self, name: Option<&str>) -> String {
        readable(&self.create_statement(name.unwrap_or(""), false, false))
    }

    /// The attributes whose update costs this index work: keys and predicate, and the
    /// payload too. Ascending, each once.
    pub fn attributes(&self) -> Vec<i16> {
        let mut numbers: Vec<i16> = self
            .keys
            .iter()
            .flat_map(|key| key.element.attributes())
            .collect();
        numbers.extend(self.include.iter().map(|column| column.number));
        numbers.extend(self.predicate.iter().flat_map(Expression::attributes));
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// The name by the one rule: prefix, table, columns, short hash; at most 63 bytes.
    pub fn canonical_name(&self, prefix: &str) -> String {
        let hash = format!("{:08x}", self.identity() as u32);
        let columns: Vec<String> = self
            .keys
            .iter()
            .map(|key| match &key.element {
                Expression::Attribute { name, .. } => name.clone(),
                Expression::Function { name, .. } => name.name.clone(),
                _ => "expr".to_string(),
            })
            .collect();
        let body = format!("{prefix}_{}_{}", self.relation.name, columns.join("_"));
        format!(
            "{}_{hash}",
            clip(&body, MAX_IDENTIFIER_BYTES - 1 - hash.len())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contacts() -> RelationName {
        RelationName {
            oid: 1,
            schema: "crm".into(),
            name: "contacts".into(),
        }
    }

    #[test]
    fn writes_ddl() {
        let mut index = IndexDefinition::btree(
            contacts(),
            vec![
                IndexKey::ascending(Expression::attribute(2, "tenant_id")),
                IndexKey {
                    descending: true,
                    nulls_first: true,
                    ..IndexKey::ascending(Expression::attribute(5, "created_at"))
                },
            ],
        );
        index.include.push(IncludedAttribute {
            number: 3,
            name: "Name".into(),
        });
        assert_eq!(
            index.create_statement("x", true, false),
            r#"CREATE INDEX CONCURRENTLY "x" ON "crm"."contacts" USING btree ("tenant_id", "created_at" DESC) INCLUDE ("Name")"#
        );
        assert_eq!(
            index.for_people(None),
            r#"CREATE INDEX ON crm.contacts USING btree (tenant_id, created_at DESC) INCLUDE ("Name")"#
        );
        assert_eq!(index.attributes(), vec![2, 3, 5]);
    }

    #[test]
    fn names_fit_and_differ() {
        let long = IndexDefinition::btree(
            RelationName {
                oid: 1,
                schema: "s".into(),
                name: "t".repeat(60),
            },
            vec![IndexKey::ascending(Expression::attribute(
                1,
                "äöü".repeat(10),
            ))],
        );
        let mut other = long.clone();
        other.method = AccessMethod::Hash;
        let (one, two) = (long.canonical_name("ip"), other.canonical_name("ip"));
        assert!(one.len() <= MAX_IDENTIFIER_BYTES && two.len() <= MAX_IDENTIFIER_BYTES);
        assert_ne!(one, two);
    }
}
