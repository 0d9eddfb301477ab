//! From a node to an [`Expression`] over one relation instance. What has no typed form gives
//! `None`; what has one can be written out as SQL and becomes the same tree again.

use super::element::stripped;
use super::names;
use super::resolve::Target;
use super::{Builder, Reference};
use crate::pg::nodes::{items, tag};
use indexpilot_model::expression::Expression;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

/// A conversion in progress: which fields were met.
#[derive(Default)]
pub struct Conversion {
    /// In the order of the tree; a field as often as it stands there.
    pub references: Vec<Reference>,
}

impl Builder {
    unsafe fn convert_list(
        &mut self,
        list: *const pg_sys::List,
        scope: usize,
        conversion: &mut Conversion,
        depth: usize,
    ) -> Option<Vec<Expression>> {
        let nodes: Vec<*mut pg_sys::Node> = items(list).collect();
        nodes
            .into_iter()
            .map(|node| self.convert(node, scope, conversion, depth))
            .collect()
    }

    pub(super) unsafe fn convert(
        &mut self,
        node: *mut pg_sys::Node,
        scope: usize,
        conversion: &mut Conversion,
        depth: usize,
    ) -> Option<Expression> {
        if depth > 48 || node.is_null() {
            return None;
        }
        let deeper = depth + 1;
        match tag(node) {
            NodeTag::T_Var => match self.resolve(node.cast(), scope, 0).first().copied()? {
                Target::Attribute(instance, number) => {
                    conversion.references.push((instance, number));
                    self.attribute(instance, number)
                }
                Target::Expression(node, scope) => self.convert(node, scope, conversion, deeper),
            },
            NodeTag::T_Const => {
                let constant = node.cast::<pg_sys::Const>();
                let text = names::constant(constant);
                if text.is_none() && !(*constant).constisnull {
                    return None;
                }
                Some(Expression::Constant {
                    type_name: names::type_name((*constant).consttype)?,
                    text,
                })
            }
            NodeTag::T_FuncExpr => {
                let call = &*node.cast::<pg_sys::FuncExpr>();
                if call.funcretset {
                    return None;
                }
                let mut arguments = self.convert_list(call.args, scope, conversion, deeper)?;
                if call.funcvariadic {
                    let last = Expression::Variadic(Box::new(arguments.pop()?));
                    arguments.push(last);
                }
                Some(Expression::Function {
                    name: names::function(call.funcid)?,
                    arguments,
                })
            }
            NodeTag::T_OpExpr => {
                let operation = &*node.cast::<pg_sys::OpExpr>();
                let name = names::operator(operation.opno)?.name;
                let mut arguments = self.convert_list(operation.args, scope, conversion, deeper)?;
                let right = arguments.pop()?;
                Some(Expression::Operator {
                    name,
                    left: arguments.pop().map(Box::new),
                    right: Box::new(right),
                })
            }
            NodeTag::T_RelabelType => {
                let cast = &*node.cast::<pg_sys::RelabelType>();
                self.convert_cast(cast.arg.cast(), cast.resulttype, scope, conversion, deeper)
            }
            NodeTag::T_CoerceViaIO => {
                let cast = &*node.cast::<pg_sys::CoerceViaIO>();
                self.convert_cast(cast.arg.cast(), cast.resulttype, scope, conversion, deeper)
            }
            NodeTag::T_CollateExpr => {
                let collate = &*node.cast::<pg_sys::CollateExpr>();
                Some(Expression::Collate {
                    collation: names::collation(collate.collOid)?,
                    argument: Box::new(self.convert(
                        collate.arg.cast(),
                        scope,
                        conversion,
                        deeper,
                    )?),
                })
            }
            NodeTag::T_ScalarArrayOpExpr => {
                let operation = &*node.cast::<pg_sys::ScalarArrayOpExpr>();
                let name = names::operator(operation.opno)?.name;
                let mut arguments = self.convert_list(operation.args, scope, conversion, deeper)?;
                let array = Box::new(arguments.pop()?);
                Some(Expression::ArrayComparison {
                    name,
                    any: operation.useOr,
                    scalar: Box::new(arguments.pop()?),
                    array,
                })
            }
            NodeTag::T_NullTest => {
                let test = &*node.cast::<pg_sys::NullTest>();
                Some(Expression::NullTest {
                    argument: Box::new(self.convert(test.arg.cast(), scope, conversion, deeper)?),
                    negated: test.nulltesttype == pg_sys::NullTestType::IS_NOT_NULL,
                })
            }
            NodeTag::T_BooleanTest => {
                let test = &*node.cast::<pg_sys::BooleanTest>();
                let (value, negated) = boolean_test(test.booltesttype);
                Some(Expression::BooleanTest {
                    argument: Box::new(self.convert(test.arg.cast(), scope, conversion, deeper)?),
                    value,
                    negated,
                })
            }
            NodeTag::T_CoalesceExpr => {
                let coalesce = &*node.cast::<pg_sys::CoalesceExpr>();
                Some(Expression::Coalesce(self.convert_list(
                    coalesce.args,
                    scope,
                    conversion,
                    deeper,
                )?))
            }
            NodeTag::T_BoolExpr => {
                let logic = &*node.cast::<pg_sys::BoolExpr>();
                let mut parts = self.convert_list(logic.args, scope, conversion, deeper)?;
                match logic.boolop {
                    pg_sys::BoolExprType::AND_EXPR => Some(Expression::And(parts)),
                    pg_sys::BoolExprType::OR_EXPR => Some(Expression::Or(parts)),
                    _ => Some(Expression::Not(Box::new(parts.pop()?))),
                }
            }
            NodeTag::T_ArrayCoerceExpr => {
                let cast = &*node.cast::<pg_sys::ArrayCoerceExpr>();
                // A cast with a length cannot be written without its modifier.
                if cast.resulttypmod != -1 {
                    return None;
                }
                self.convert_cast(cast.arg.cast(), cast.resulttype, scope, conversion, deeper)
            }
            NodeTag::T_CoerceToDomain => {
                let cast = &*node.cast::<pg_sys::CoerceToDomain>();
                if cast.resulttypmod != -1 {
                    return None;
                }
                self.convert_cast(cast.arg.cast(), cast.resulttype, scope, conversion, deeper)
            }
            NodeTag::T_SubscriptingRef => {
                let reference = &*node.cast::<pg_sys::SubscriptingRef>();
                // Slices and assignments have no typed form.
                if !reference.refassgnexpr.is_null() || !reference.reflowerindexpr.is_null() {
                    return None;
                }
                let container = reference.refexpr.cast();
                Some(Expression::Subscript {
                    container: Box::new(self.convert(container, scope, conversion, deeper)?),
                    subscripts: self.convert_list(
                        reference.refupperindexpr,
                        scope,
                        conversion,
                        deeper,
                    )?,
                })
            }
            NodeTag::T_FieldSelect => {
                let select = &*node.cast::<pg_sys::FieldSelect>();
                let composite = pg_sys::getBaseType(pg_sys::exprType(select.arg.cast()));
                let relation = pg_sys::get_typ_typrelid(composite);
                if relation == pg_sys::InvalidOid {
                    return None;
                }
                Some(Expression::Component {
                    argument: Box::new(self.convert(
                        select.arg.cast(),
                        scope,
                        conversion,
                        deeper,
                    )?),
                    name: names::attribute(relation, select.fieldnum)?,
                })
            }
            NodeTag::T_ArrayExpr => {
                let array = &*node.cast::<pg_sys::ArrayExpr>();
                if array.multidims {
                    return None;
                }
                Some(Expression::Array {
                    type_name: names::type_name(array.array_typeid)?,
                    elements: self.convert_list(array.elements, scope, conversion, deeper)?,
                })
            }
            NodeTag::T_MinMaxExpr => {
                let extreme = &*node.cast::<pg_sys::MinMaxExpr>();
                Some(Expression::Extreme {
                    greatest: extreme.op == pg_sys::MinMaxOp::IS_GREATEST,
                    arguments: self.convert_list(extreme.args, scope, conversion, deeper)?,
                })
            }
            NodeTag::T_NullIfExpr | NodeTag::T_DistinctExpr => {
                let operation = &*node.cast::<pg_sys::OpExpr>();
                if !is_plain_equality(operation.opno) {
                    return None;
                }
                let mut parts = self.convert_list(operation.args, scope, conversion, deeper)?;
                let right = Box::new(parts.pop()?);
                let left = Box::new(parts.pop()?);
                Some(if tag(node) == NodeTag::T_NullIfExpr {
                    Expression::NullIf(left, right)
                } else {
                    Expression::Distinct(left, right)
                })
            }
            NodeTag::T_CaseExpr => self.convert_case(node.cast(), scope, conversion, deeper),
            _ => None,
        }
    }

    unsafe fn convert_case(
        &mut self,
        case: *mut pg_sys::CaseExpr,
        scope: usize,
        conversion: &mut Conversion,
        depth: usize,
    ) -> Option<Expression> {
        let case = &*case;
        let argument = if case.arg.is_null() {
            None
        } else {
            Some(Box::new(self.convert(
                case.arg.cast(),
                scope,
                conversion,
                depth,
            )?))
        };
        let mut arms = Vec::new();
        for arm in items::<pg_sys::CaseWhen>(case.args).collect::<Vec<_>>() {
            let mut when: *mut pg_sys::Node = (*arm).expr.cast();
            if argument.is_some() {
                // `CASE argument WHEN value` is kept as `placeholder = value` (parse_expr.c).
                when = compared_value(when)?;
            }
            arms.push((
                self.convert(when, scope, conversion, depth)?,
                self.convert((*arm).result.cast(), scope, conversion, depth)?,
            ));
        }
        let otherwise = self.convert(case.defresult.cast(), scope, conversion, depth)?;
        Some(Expression::Case {
            argument,
            arms,
            otherwise: Box::new(otherwise),
        })
    }

    unsafe fn convert_cast(
        &mut self,
        argument: *mut pg_sys::Node,
        to: pg_sys::Oid,
        scope: usize,
        conversion: &mut Conversion,
        depth: usize,
    ) -> Option<Expression> {
        Some(Expression::Cast {
            to: names::type_name(to)?,
            argument: Box::new(self.convert(argument, scope, conversion, depth)?),
        })
    }
}

/// The value of `placeholder = value` in an arm of `CASE argument WHEN value`, where `=` is the
/// one that the SQL text would find again.
unsafe fn compared_value(condition: *mut pg_sys::Node) -> Option<*mut pg_sys::Node> {
    if tag(condition) != NodeTag::T_OpExpr {
        return None;
    }
    let operation = &*condition.cast::<pg_sys::OpExpr>();
    let operands: Vec<*mut pg_sys::Node> = items(operation.args).collect();
    match operands.as_slice() {
        &[left, right]
            if tag(stripped(left)) == NodeTag::T_CaseTestExpr
                && is_plain_equality(operation.opno) =>
        {
            Some(right)
        }
        _ => None,
    }
}

/// Whether the operator is an `=` of the system's own: syntax without operator finds it
/// wherever the SQL is read.
unsafe fn is_plain_equality(operator: pg_sys::Oid) -> bool {
    names::operator(operator)
        .is_some_and(|about| about.name.schema == "pg_catalog" && about.name.name == "=")
}

/// `IS [NOT] TRUE / FALSE / UNKNOWN` as (value, negated).
pub fn boolean_test(kind: pg_sys::BoolTestType::Type) -> (Option<bool>, bool) {
    use pg_sys::BoolTestType as Test;
    match kind {
        Test::IS_TRUE => (Some(true), false),
        Test::IS_NOT_TRUE => (Some(true), true),
        Test::IS_FALSE => (Some(false), false),
        Test::IS_NOT_FALSE => (Some(false), true),
        Test::IS_NOT_UNKNOWN => (None, true),
        _ => (None, false),
    }
}
