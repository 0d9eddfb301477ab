//! The parts of a statement that rules look at: one block for each SELECT, UPDATE and DELETE
//! in it, at every depth, with what it reads from and what it is filtered by.

use crate::expression::{names, parts};
use crate::{Column, Schema};
use sqlparser::ast::{
    BinaryOperator, Expr, FromTable, Ident, JoinConstraint, JoinOperator, LimitClause, ObjectName,
    OrderBy, Query, Select, SetExpr, Statement, TableFactor, TableWithJoins, UpdateTableFromKind,
    visit_expressions,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// What a block does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Select,
    Update,
    Delete,
}

/// Something that rows come from.
pub struct Item<'a> {
    /// The name it is referred to by.
    pub alias: Option<&'a Ident>,
    /// Schema (where it is written) and name of a table; `None`: a subquery, a function, a CTE.
    pub table: Option<(Option<String>, String)>,
    /// Its columns, where they are known.
    pub columns: Option<&'a [Column]>,
    /// It may refer to the others, or gives a single row: no condition is needed beside it.
    pub free: bool,
    /// NULLs are put in for its columns where nothing matches.
    pub nullable: bool,
}

/// A column of one of a block's items.
pub struct Found<'a> {
    /// What is known of it.
    pub column: Option<&'a Column>,
}

/// One SELECT, UPDATE or DELETE.
pub struct Block<'a> {
    pub kind: Kind,
    /// The SELECT.
    pub select: Option<&'a Select>,
    /// The query that is exactly this SELECT with its ORDER BY and LIMIT.
    pub query: Option<&'a Query>,
    /// The whole statement, where the block is all of it.
    pub whole: Option<&'a Statement>,
    pub items: Vec<Item<'a>>,
    /// Conditions that rows must meet: of WHERE, and of inner joins.
    pub conditions: Vec<&'a Expr>,
    /// WHERE as it stands.
    pub filter: Option<&'a Expr>,
    /// Joined items by name: USING and NATURAL join what stands before with what follows.
    pub linked: Vec<usize>,
    /// It stands within another query, whose columns it can see.
    pub inner: bool,
    /// It is the operand of EXISTS, where its SELECT list does not matter.
    pub exists: bool,
}

impl<'a> Block<'a> {
    /// The column that an expression is, if it is one.
    pub fn column(&self, expr: &'a Expr) -> Option<Found<'a>> {
        let path = names(expr)?;
        let (name, before) = path.split_last()?;
        let named = |item: &Item<'_>| {
            item.columns
                .is_some_and(|all| all.iter().any(|c| same(name, &c.name)))
        };
        let item = match before.last() {
            Some(alias) => Some(
                self.items
                    .iter()
                    .position(|item| item.alias.is_some_and(|a| equal(a, alias)))?,
            ),
            None => match &self.items[..] {
                [only] if named(only) => Some(0),
                // Within another query the name may be that one's.
                [only] if only.columns.is_none() && !self.inner => Some(0),
                items if items.iter().all(|item| item.columns.is_some()) => {
                    let position = items.iter().position(named);
                    if position.is_none() && self.inner {
                        return None;
                    }
                    position
                }
                _ => None,
            },
        };
        let column = item
            .and_then(|item| self.items[item].columns)
            .and_then(|all| all.iter().find(|c| same(name, &c.name)));
        Some(Found { column })
    }

    /// The items whose columns stand in an expression; `None` for a name that alone does not
    /// tell whose it is.
    pub fn items_of(&self, expr: &Expr) -> BTreeSet<Option<usize>> {
        let mut found = BTreeSet::new();
        let _ = visit_expressions(expr, |inner| {
            if let Some(path) = names(inner)
                && let Some((name, before)) = path.split_last()
            {
                found.insert(match before.last() {
                    Some(alias) => self
                        .items
                        .iter()
                        .position(|item| item.alias.is_some_and(|a| equal(a, alias))),
                    None if self.items.len() == 1 => Some(0),
                    None if self.items.iter().all(|item| item.columns.is_some()) => {
                        self.items.iter().position(|item| {
                            item.columns
                                .is_some_and(|all| all.iter().any(|c| same(name, &c.name)))
                        })
                    }
                    None => None,
                });
            }
            ControlFlow::<()>::Continue(())
        });
        found
    }

    /// The name that stands for an item in a rewrite.
    pub fn qualifier(&self, item: usize) -> Option<String> {
        self.items[item].alias.map(ToString::to_string)
    }

    /// Grouped, distinct, limited or with window functions: its rows cannot be made in parts.
    pub fn plain(&self) -> bool {
        let (Some(select), Some(query)) = (self.select, self.query) else {
            return false;
        };
        use sqlparser::ast::GroupByExpr;
        let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, more)
            if by.is_empty() && more.is_empty());
        let calls = select.projection.iter().any(|item| {
            visit_expressions(item, |inner| match inner {
                Expr::Function(_) | Expr::Subquery(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
            .is_break()
        });
        !grouped
            && !calls
            && select.distinct.is_none()
            && select.having.is_none()
            && select.into.is_none()
            && query.with.is_none()
            && query.order_by.is_none()
            && query.limit_clause.is_none()
            && query.fetch.is_none()
            && query.locks.is_empty()
    }

    /// ORDER BY of its query.
    pub fn order_by(&self) -> Option<&'a OrderBy> {
        self.query?.order_by.as_ref()
    }

    /// OFFSET of its query.
    pub fn offset(&self) -> Option<&'a Expr> {
        match self.query?.limit_clause.as_ref()? {
            LimitClause::LimitOffset { offset, .. } => Some(&offset.as_ref()?.value),
            LimitClause::OffsetCommaLimit { offset, .. } => Some(offset),
        }
    }

    /// LIMIT or FETCH of its query.
    pub fn limited(&self) -> bool {
        self.query.is_some_and(|query| {
            query.fetch.is_some()
                || matches!(
                    &query.limit_clause,
                    Some(
                        LimitClause::LimitOffset { limit: Some(_), .. }
                            | LimitClause::OffsetCommaLimit { .. }
                    )
                )
        })
    }
}

/// Two names that the server takes for the same.
fn equal(a: &Ident, b: &Ident) -> bool {
    folded(a) == folded(b)
}

fn same(a: &Ident, b: &str) -> bool {
    folded(a) == b
}

/// As the server folds it.
pub fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() {
        name.value.clone()
    } else {
        name.value.to_ascii_lowercase()
    }
}

/// All blocks of a statement.
pub fn blocks<'a>(statement: &'a Statement, schema: &'a dyn Schema) -> Vec<Block<'a>> {
    let mut reader = Reader {
        schema,
        found: Vec::new(),
        ctes: BTreeSet::new(),
    };
    reader.statement(statement, true, 0);
    reader.found
}

struct Reader<'a> {
    schema: &'a dyn Schema,
    found: Vec<Block<'a>>,
    /// Names of CTEs seen so far: no table is meant by them.
    ctes: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    fn statement(&mut self, statement: &'a Statement, top: bool, depth: usize) {
        match statement {
            Statement::Query(query) => self.query(query, top.then_some(statement), depth, false),
            Statement::Insert(insert) => {
                if let Some(source) = &insert.source {
                    self.query(source, None, depth, false);
                }
            }
            Statement::Update(update) => {
                let mut from = vec![&update.table];
                if let Some(
                    UpdateTableFromKind::BeforeSet(more) | UpdateTableFromKind::AfterSet(more),
                ) = &update.from
                {
                    from.extend(more);
                }
                let filter = update.selection.as_ref();
                self.change(Kind::Update, statement, &from, filter, depth);
                for assignment in &update.assignments {
                    self.expressions(&assignment.value, depth);
                }
            }
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) =
                    &delete.from;
                let from: Vec<&TableWithJoins> =
                    tables.iter().chain(delete.using.iter().flatten()).collect();
                let filter = delete.selection.as_ref();
                self.change(Kind::Delete, statement, &from, filter, depth);
            }
            _ => {}
        }
    }

    fn change(
        &mut self,
        kind: Kind,
        statement: &'a Statement,
        from: &[&'a TableWithJoins],
        filter: Option<&'a Expr>,
        depth: usize,
    ) {
        let mut block = self.start(kind, depth);
        block.whole = Some(statement);
        self.from(&mut block, from, depth);
        self.filter(&mut block, filter);
        self.found.push(block);
        if let Some(filter) = filter {
            self.expressions(filter, depth);
        }
    }

    fn start(&self, kind: Kind, depth: usize) -> Block<'a> {
        Block {
            kind,
            select: None,
            query: None,
            whole: None,
            items: Vec::new(),
            conditions: Vec::new(),
            filter: None,
            linked: Vec::new(),
            inner: depth > 0,
            exists: false,
        }
    }

    fn filter(&mut self, block: &mut Block<'a>, filter: Option<&'a Expr>) {
        block.filter = filter;
        if let Some(filter) = filter {
            block.conditions.extend(parts(filter, &BinaryOperator::And));
        }
    }

    fn query(
        &mut self,
        query: &'a Query,
        whole: Option<&'a Statement>,
        depth: usize,
        exists: bool,
    ) {
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                self.ctes.insert(folded(&cte.alias.name));
            }
            for cte in &with.cte_tables {
                self.query(&cte.query, None, depth, false);
            }
        }
        self.body(&query.body, Some(query), whole, depth, exists);
    }

    fn body(
        &mut self,
        body: &'a SetExpr,
        query: Option<&'a Query>,
        whole: Option<&'a Statement>,
        depth: usize,
        exists: bool,
    ) {
        match body {
            SetExpr::Select(select) => self.select(select, query, whole, depth, exists),
            SetExpr::Query(query) => self.query(query, None, depth, exists),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, None, None, depth, exists);
                self.body(right, None, None, depth, exists);
            }
            SetExpr::Insert(statement)
            | SetExpr::Update(statement)
            | SetExpr::Delete(statement)
            | SetExpr::Merge(statement) => self.statement(statement, false, depth),
            SetExpr::Values(_) | SetExpr::Table(_) => {}
        }
    }

    fn select(
        &mut self,
        select: &'a Select,
        query: Option<&'a Query>,
        whole: Option<&'a Statement>,
        depth: usize,
        exists: bool,
    ) {
        let mut block = self.start(Kind::Select, depth);
        block.select = Some(select);
        block.query = query;
        block.whole = whole;
        block.exists = exists;
        let from: Vec<&TableWithJoins> = select.from.iter().collect();
        self.from(&mut block, &from, depth);
        self.filter(&mut block, select.selection.as_ref());
        self.found.push(block);
        for item in &select.projection {
            use sqlparser::ast::SelectItem;
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                self.expressions(expr, depth);
            }
        }
        for expr in select.selection.iter().chain(&select.having) {
            self.expressions(expr, depth);
        }
    }

    /// Subqueries in an expression. Iterative over AND and OR, recursive only into what else
    /// nests.
    fn expressions(&mut self, expr: &'a Expr, depth: usize) {
        match expr {
            Expr::Subquery(query) => self.query(query, None, depth + 1, false),
            Expr::Exists { subquery, .. } => self.query(subquery, None, depth + 1, true),
            Expr::InSubquery { expr, subquery, .. } => {
                self.expressions(expr, depth);
                self.query(subquery, None, depth + 1, false);
            }
            Expr::BinaryOp { op, .. } if matches!(op, BinaryOperator::And | BinaryOperator::Or) => {
                for part in parts(expr, op) {
                    self.expressions(part, depth);
                }
            }
            Expr::BinaryOp { left, right, .. }
            | Expr::AnyOp { left, right, .. }
            | Expr::AllOp { left, right, .. } => {
                self.expressions(left, depth);
                self.expressions(right, depth);
            }
            Expr::Nested(expr)
            | Expr::UnaryOp { expr, .. }
            | Expr::Cast { expr, .. }
            | Expr::IsTrue(expr)
            | Expr::IsNotTrue(expr)
            | Expr::IsFalse(expr)
            | Expr::IsNotFalse(expr)
            | Expr::IsNull(expr)
            | Expr::IsNotNull(expr) => self.expressions(expr, depth),
            _ => {}
        }
    }

    fn from(&mut self, block: &mut Block<'a>, from: &[&'a TableWithJoins], depth: usize) {
        for tree in from {
            self.tree(block, tree, false, depth);
        }
    }

    fn tree(
        &mut self,
        block: &mut Block<'a>,
        tree: &'a TableWithJoins,
        mut nullable: bool,
        depth: usize,
    ) {
        let first = block.items.len();
        self.factor(block, &tree.relation, nullable, depth);
        for join in &tree.joins {
            use JoinOperator as Op;
            let (constraint, inner, nulls, nulls_before) = match &join.join_operator {
                Op::Join(c) | Op::Inner(c) | Op::CrossJoin(c) => (Some(c), true, false, false),
                Op::Left(c) | Op::LeftOuter(c) => (Some(c), false, true, false),
                Op::Right(c) | Op::RightOuter(c) => (Some(c), false, false, true),
                Op::FullOuter(c) => (Some(c), false, true, true),
                _ => (None, false, true, true),
            };
            if nulls_before {
                nullable = true;
                for item in &mut block.items[first..] {
                    item.nullable = true;
                }
            }
            let next = block.items.len();
            self.factor(block, &join.relation, nullable || nulls, depth);
            match constraint {
                Some(JoinConstraint::On(on)) if inner && !nullable => {
                    block.conditions.extend(parts(on, &BinaryOperator::And))
                }
                // An outer join's condition links, but filters nothing.
                Some(
                    JoinConstraint::On(_) | JoinConstraint::Using(_) | JoinConstraint::Natural,
                ) => {
                    block.linked.push(next);
                }
                // CROSS JOIN is written by those who mean it.
                _ => block.linked.push(next),
            }
            if let Some(JoinConstraint::On(on)) = constraint {
                self.expressions(on, depth);
            }
        }
    }

    fn factor(
        &mut self,
        block: &mut Block<'a>,
        factor: &'a TableFactor,
        nullable: bool,
        depth: usize,
    ) {
        let mut item = Item {
            alias: None,
            table: None,
            columns: None,
            free: true,
            nullable,
        };
        match factor {
            TableFactor::Table {
                name, alias, args, ..
            } => {
                let last = name.0.last().and_then(|part| part.as_ident());
                item.alias = alias.as_ref().map(|alias| &alias.name).or(last);
                item.free = args.is_some();
                let (schema, table) = qualified(name);
                let cte = schema.is_none() && self.ctes.contains(&table);
                if args.is_none() && !cte {
                    // Renamed columns are not those of the table.
                    if alias.as_ref().is_none_or(|alias| alias.columns.is_empty()) {
                        item.columns = self.schema.columns(schema.as_deref(), &table);
                    }
                    item.table = Some((schema, table));
                }
            }
            TableFactor::Derived {
                lateral,
                subquery,
                alias,
                ..
            } => {
                item.alias = alias.as_ref().map(|alias| &alias.name);
                item.free = *lateral || single_row(subquery);
                self.query(subquery, None, depth + usize::from(*lateral), false);
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => return self.tree(block, table_with_joins, nullable, depth),
            _ => {}
        }
        block.items.push(item);
    }
}

fn qualified(name: &ObjectName) -> (Option<String>, String) {
    let mut parts = name.0.iter().rev().filter_map(|part| part.as_ident());
    let table = parts.next().map(folded).unwrap_or_default();
    (parts.next().map(folded), table)
}

/// Whether a query gives one row for sure: aggregates without GROUP BY, or LIMIT 1.
fn single_row(query: &Query) -> bool {
    let one = |expr: &Expr| crate::expression::integer(expr) == Some(1);
    let limited = matches!(&query.limit_clause,
        Some(LimitClause::LimitOffset { limit: Some(limit), .. }) if one(limit));
    let SetExpr::Select(select) = &*query.body else {
        return limited;
    };
    let grouped = !matches!(&select.group_by,
        sqlparser::ast::GroupByExpr::Expressions(by, _) if by.is_empty());
    let aggregates = !select.projection.is_empty()
        && select.projection.iter().all(|item| {
            use sqlparser::ast::SelectItem;
            matches!(item, SelectItem::UnnamedExpr(Expr::Function(f))
                | SelectItem::ExprWithAlias { expr: Expr::Function(f), .. }
                if ["count", "sum", "min", "max", "avg"].contains(
                    &crate::expression::function_name(f).to_ascii_lowercase().as_str()))
        });
    limited || select.from.is_empty() || (aggregates && !grouped)
}
