//! Qualifiers: WHERE, ON, HAVING and row-security conditions, taken apart into field uses.

use super::comparisons::Comparison;
use super::conversion::boolean_test;
use super::element::{Side, stripped};
use super::operators::{self, Pattern};
use super::{Builder, names};
use crate::pg::nodes::{items, tag};
use indexpilot_model::query::{Comparand, FieldRole};
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

/// Where a qualifier stands: (0, 0) for what must hold, otherwise (disjunction, arm).
#[derive(Clone, Copy, Default)]
pub struct Place {
    /// Number of the disjunction, from 1.
    pub disjunction: u16,
    /// Arm in it.
    pub branch: u16,
}

/// starts_with(text, text) in pg_proc.dat.
const STARTS_WITH: u32 = 3696;

impl Builder {
    /// Takes a qualifier apart. `negated` is true below an odd number of NOTs.
    pub(super) unsafe fn qual(
        &mut self,
        node: *mut pg_sys::Node,
        scope: usize,
        negated: bool,
        place: Place,
        depth: usize,
    ) {
        if node.is_null() {
            return;
        }
        if depth > 500 {
            // Deeper than anyone writes by hand; the stack is the server's.
            self.opaque_quals += 1;
            return;
        }
        match tag(node) {
            NodeTag::T_List => {
                let conjuncts: Vec<*mut pg_sys::Node> = items(node.cast()).collect();
                for conjunct in conjuncts {
                    self.qual(conjunct, scope, negated, place, depth + 1);
                }
            }
            NodeTag::T_BoolExpr => self.logic(node.cast(), scope, negated, place, depth + 1),
            NodeTag::T_OpExpr => {
                let operation = &*node.cast::<pg_sys::OpExpr>();
                let operands: Vec<*mut pg_sys::Node> = items(operation.args).collect();
                let operator = self.negated_operator(operation.opno, negated);
                match (operands.as_slice(), operator) {
                    (&[left, right], Some(operator)) => self.comparison(
                        left,
                        right,
                        scope,
                        &Comparison {
                            one_row: false,
                            operator,
                            collation: operation.inputcollid,
                            fixed: None,
                            place,
                            position: 0,
                        },
                    ),
                    _ => self.condition(node, scope, negated, place),
                }
            }
            NodeTag::T_DistinctExpr => {
                let operation = &*node.cast::<pg_sys::OpExpr>();
                let operands: Vec<*mut pg_sys::Node> = items(operation.args).collect();
                if let &[left, right] = operands.as_slice() {
                    self.comparison(
                        left,
                        right,
                        scope,
                        &Comparison {
                            one_row: false,
                            operator: operation.opno,
                            collation: operation.inputcollid,
                            // No index serves either form (manual, 9.2).
                            fixed: Some(FieldRole::Inequality),
                            place,
                            position: 0,
                        },
                    );
                }
            }
            NodeTag::T_ScalarArrayOpExpr => {
                self.array_comparison(node.cast(), scope, negated, place)
            }
            NodeTag::T_RowCompareExpr => self.row_comparison(node.cast(), scope, place),
            NodeTag::T_NullTest => {
                let test = &*node.cast::<pg_sys::NullTest>();
                let is_null = (test.nulltesttype == pg_sys::NullTestType::IS_NULL) != negated;
                let role = if is_null {
                    FieldRole::IsNull
                } else {
                    FieldRole::IsNotNull
                };
                self.single(test.arg.cast(), scope, role, place);
            }
            NodeTag::T_BooleanTest => {
                let test = &*node.cast::<pg_sys::BooleanTest>();
                let (value, _) = boolean_test(test.booltesttype);
                let argument = stripped(test.arg.cast());
                if value.is_none() {
                    // IS UNKNOWN is IS NULL for booleans.
                    self.single(argument, scope, FieldRole::Boolean, place);
                } else if matches!(tag(argument), NodeTag::T_Var) {
                    self.single(argument, scope, FieldRole::Boolean, place);
                } else {
                    self.condition(argument, scope, negated, place);
                }
            }
            NodeTag::T_SubLink => self.sublink(node.cast(), scope, negated, place),
            NodeTag::T_RelabelType | NodeTag::T_CollateExpr => {
                self.qual(stripped(node), scope, negated, place, depth + 1);
            }
            NodeTag::T_FuncExpr
                if (*node.cast::<pg_sys::FuncExpr>()).funcid.to_u32() == STARTS_WITH
                    && !negated =>
            {
                let call = &*node.cast::<pg_sys::FuncExpr>();
                if let Some(first) = items::<pg_sys::Node>(call.args).next() {
                    self.single(first, scope, FieldRole::PrefixLike, place);
                }
            }
            // TRUE, FALSE, $1, WHERE CURRENT OF: nothing about fields.
            NodeTag::T_Const | NodeTag::T_Param | NodeTag::T_CurrentOfExpr => {}
            _ => self.condition(node, scope, negated, place),
        }
    }

    unsafe fn logic(
        &mut self,
        logic: *mut pg_sys::BoolExpr,
        scope: usize,
        negated: bool,
        place: Place,
        depth: usize,
    ) {
        let arms: Vec<*mut pg_sys::Node> = items((*logic).args).collect();
        let conjunction = match (*logic).boolop {
            pg_sys::BoolExprType::NOT_EXPR => {
                if let Some(&inner) = arms.first() {
                    self.qual(inner, scope, !negated, place, depth);
                }
                return;
            }
            // De Morgan, as negate_clause() does.
            pg_sys::BoolExprType::AND_EXPR => !negated,
            _ => negated,
        };
        if conjunction {
            for arm in arms {
                self.qual(arm, scope, negated, place, depth);
            }
            return;
        }
        let disjunction = if place.disjunction == 0 {
            let level = self.scopes[scope].level;
            self.disjunctions[level] += 1;
            self.next_branch = 0;
            self.disjunctions[level]
        } else {
            place.disjunction
        };
        for (position, arm) in arms.into_iter().enumerate() {
            // The first arm of an inner disjunction shares the branch of its conjuncts; the
            // others are alternatives of their own.
            let branch = if position == 0 && place.disjunction != 0 {
                place.branch
            } else {
                self.next_branch += 1;
                self.next_branch - 1
            };
            let inner = Place {
                disjunction,
                branch,
            };
            self.qual(arm, scope, negated, inner, depth);
        }
    }

    unsafe fn negated_operator(&self, operator: pg_sys::Oid, negated: bool) -> Option<pg_sys::Oid> {
        if !negated {
            return Some(operator);
        }
        let negator = pg_sys::get_negator(operator);
        (negator != pg_sys::InvalidOid).then_some(negator)
    }

    unsafe fn array_comparison(
        &mut self,
        node: *mut pg_sys::ScalarArrayOpExpr,
        scope: usize,
        negated: bool,
        place: Place,
    ) {
        let operation = &*node;
        let operands: Vec<*mut pg_sys::Node> = items(operation.args).collect();
        let &[scalar, array] = operands.as_slice() else {
            return;
        };
        let any = operation.useOr != negated;
        let Some(operator) = self.negated_operator(operation.opno, negated) else {
            return self.condition(node.cast(), scope, negated, place);
        };
        let comparison = |fixed| Comparison {
            one_row: false,
            operator,
            collation: operation.inputcollid,
            fixed,
            place,
            position: 0,
        };
        let Some(about) = names::operator(operator) else {
            return self.condition(node.cast(), scope, negated, place);
        };
        // `value = ANY (array_field)`: the field is the array. `<> ALL`: it lacks the value.
        if self
            .sides(scalar, scope)
            .iter()
            .all(|side| matches!(side, Side::Value(_)))
        {
            // The array on the left; without such an operator the elements are patterns.
            let turned = pg_sys::get_commutator(operator);
            let fixed = Some(if turned == pg_sys::InvalidOid {
                FieldRole::Opaque
            } else if !any && about.name.name == "<>" {
                FieldRole::Inequality
            } else {
                FieldRole::Array
            });
            let comparison = Comparison {
                operator: turned,
                ..comparison(fixed)
            };
            return self.comparison(array, scalar, scope, &comparison);
        }
        let plain = operators::role(&about, about.left, self.pattern(array, scope));
        let fixed = match (plain, any) {
            (FieldRole::Equality, true) => FieldRole::InList,
            (FieldRole::Equality, false) => FieldRole::Opaque,
            (other, _) => other,
        };
        self.comparison(scalar, array, scope, &comparison(Some(fixed)));
    }

    unsafe fn row_comparison(
        &mut self,
        node: *mut pg_sys::RowCompareExpr,
        scope: usize,
        place: Place,
    ) {
        let row = &*node;
        let left: Vec<*mut pg_sys::Node> = items(row.largs).collect();
        let right: Vec<*mut pg_sys::Node> = items(row.rargs).collect();
        for (position, (&left, &right)) in left.iter().zip(&right).enumerate() {
            self.comparison(
                left,
                right,
                scope,
                &Comparison {
                    one_row: false,
                    operator: oid_at(row.opnos, position),
                    collation: oid_at(row.inputcollids, position),
                    fixed: None,
                    place,
                    position: position as u16,
                },
            );
        }
    }

    unsafe fn sublink(
        &mut self,
        sublink: *mut pg_sys::SubLink,
        scope: usize,
        negated: bool,
        place: Place,
    ) {
        // NOT IN stays a subplan: NULLs make it no anti-join. So does everything below OR.
        let semi = place.disjunction == 0
            && match (*sublink).subLinkType {
                pg_sys::SubLinkType::EXISTS_SUBLINK => true,
                pg_sys::SubLinkType::ANY_SUBLINK => !negated,
                _ => false,
            };
        let Some(inner) = self.sublink_level(sublink, scope, semi) else {
            return;
        };
        // `field IN (SELECT other …)`: each compared column is joined with its partner.
        for (left, operator, collation, column) in test_pairs((*sublink).testexpr) {
            let left_sides = self.sides(left, scope);
            let outputs = self.outputs(inner, column, 0);
            let mut partners = Vec::new();
            for (node, inner_scope) in outputs {
                partners.extend(self.sides(node, inner_scope));
            }
            if partners.is_empty() {
                partners.push(Side::Value(Comparand::Computed));
            }
            let comparison = Comparison {
                one_row: false,
                operator,
                collation,
                fixed: None,
                place,
                position: 0,
            };
            for left in &left_sides {
                for partner in &partners {
                    self.pair(
                        left,
                        partner,
                        (pg_sys::InvalidOid, pg_sys::InvalidOid),
                        &comparison,
                        Pattern::Unknown,
                    );
                }
            }
        }
    }

    /// What is known of the pattern on the right side of a LIKE.
    pub(super) unsafe fn pattern(&mut self, node: *mut pg_sys::Node, _scope: usize) -> Pattern {
        match self.comparand(node) {
            Comparand::Constant(Some(text)) => operators::like_pattern(
                text.strip_prefix('{')
                    .map_or(text.as_str(), |elements| elements.trim_start_matches('"')),
            ),
            Comparand::Parameter(number) => self
                .parameters
                .get((number - 1).max(0) as usize)
                .and_then(Option::as_deref)
                .map_or(Pattern::Unknown, operators::like_pattern),
            _ => Pattern::Unknown,
        }
    }
}

/// The element of a list of OIDs.
unsafe fn oid_at(list: *const pg_sys::List, position: usize) -> pg_sys::Oid {
    if list.is_null() || position >= (*list).length.max(0) as usize {
        return pg_sys::InvalidOid;
    }
    (*(*list).elements.add(position)).oid_value
}

/// The comparisons of an ANY sublink's test expression: left side, operator, collation, and
/// the number of the subquery's column.
unsafe fn test_pairs(
    node: *mut pg_sys::Node,
) -> Vec<(*mut pg_sys::Node, pg_sys::Oid, pg_sys::Oid, i16)> {
    match tag(node) {
        NodeTag::T_OpExpr => {
            let operation = &*node.cast::<pg_sys::OpExpr>();
            let operands: Vec<*mut pg_sys::Node> = items(operation.args).collect();
            let &[left, right] = operands.as_slice() else {
                return Vec::new();
            };
            let mut right = stripped(right);
            // The subquery's column may be cast to the operator's type.
            while tag(right) == NodeTag::T_FuncExpr {
                let call = &*right.cast::<pg_sys::FuncExpr>();
                right = items(call.args)
                    .next()
                    .map_or(std::ptr::null_mut(), |argument| stripped(argument));
            }
            if tag(right) != NodeTag::T_Param {
                return Vec::new();
            }
            let column = (*right.cast::<pg_sys::Param>()).paramid as i16;
            vec![(left, operation.opno, operation.inputcollid, column)]
        }
        NodeTag::T_BoolExpr => {
            let mut pairs = Vec::new();
            for part in items::<pg_sys::Node>((*node.cast::<pg_sys::BoolExpr>()).args) {
                pairs.extend(test_pairs(part));
            }
            pairs
        }
        _ => Vec::new(),
    }
}
