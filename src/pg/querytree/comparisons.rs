//! Comparisons: what `field operator value` and `field operator field` mean for each side.

use super::element::{Side, stripped};
use super::operators::{self, Pattern};
use super::quals::Place;
use super::resolve::leaves;
use super::{Builder, names};
use indexpilot_model::expression::Expression;
use indexpilot_model::query::{Comparand, FieldRole, FieldUse};
use pgrx::pg_sys;

/// A comparison on its way to becoming one or two field uses.
pub(super) struct Comparison {
    /// Both sides read the same row of the same from-item.
    pub(super) one_row: bool,
    pub(super) operator: pg_sys::Oid,
    pub(super) collation: pg_sys::Oid,
    /// A role that the syntax decides (IN, `<> ALL`), whatever the operator.
    pub(super) fixed: Option<FieldRole>,
    pub(super) place: Place,
    pub(super) position: u16,
}

impl Builder {
    pub(super) unsafe fn comparison(
        &mut self,
        left: *mut pg_sys::Node,
        right: *mut pg_sys::Node,
        scope: usize,
        comparison: &Comparison,
    ) {
        let comparison = &Comparison {
            one_row: share_a_row(left, right),
            ..*comparison
        };
        let types = (
            pg_sys::exprType(stripped(left)),
            pg_sys::exprType(stripped(right)),
        );
        let pattern = self.pattern(right, scope);
        let left_sides = self.sides(left, scope);
        let right_sides = self.sides(right, scope);
        for one in &left_sides {
            for other in &right_sides {
                self.pair(one, other, types, comparison, pattern);
            }
        }
    }

    pub(super) unsafe fn pair(
        &mut self,
        left: &Side,
        right: &Side,
        types: (pg_sys::Oid, pg_sys::Oid),
        comparison: &Comparison,
        pattern: Pattern,
    ) {
        match (left, right) {
            (Side::Value(_), Side::Value(_)) => {}
            (Side::Field(one, first), Side::Field(two, second)) => {
                // Within one row no index on one field helps, but an index on the whole
                // condition would.
                let one_row = one == two && comparison.one_row;
                // `field = ANY (array field)`: no equality of the two, so no join of them.
                let in_array = comparison.fixed == Some(FieldRole::InList);
                let (role, partner_role) = match comparison.fixed {
                    _ if one_row => (FieldRole::SameRow, FieldRole::SameRow),
                    Some(fixed @ FieldRole::Inequality) => (fixed, fixed),
                    Some(FieldRole::InList) => (FieldRole::InList, FieldRole::Array),
                    _ => (FieldRole::Join, FieldRole::Join),
                };
                if one_row {
                    self.opaque_quals += 1;
                }
                self.emit(
                    *one,
                    first,
                    role,
                    comparison,
                    Some(comparison.operator),
                    Comparand::Field(*two, second.clone()),
                );
                let commuted = if in_array {
                    comparison.operator
                } else {
                    pg_sys::get_commutator(comparison.operator)
                };
                self.emit(
                    *two,
                    second,
                    partner_role,
                    comparison,
                    Some(commuted),
                    Comparand::Field(*one, first.clone()),
                );
            }
            (Side::Field(instance, element), other) => {
                self.versus(
                    *instance,
                    element,
                    other,
                    types.0,
                    comparison,
                    comparison.operator,
                    pattern,
                );
            }
            (other, Side::Field(instance, element)) => {
                let commuted = pg_sys::get_commutator(comparison.operator);
                let pattern = Pattern::Unknown;
                self.versus(
                    *instance, element, other, types.1, comparison, commuted, pattern,
                );
            }
            (one, two) => {
                let role = self.unnamed(&[one, two]);
                for side in [one, two] {
                    self.mixed(side, role, comparison.place);
                }
            }
        }
    }

    /// `field operator other`, `other` being a value or a mixture of fields. `operator` is 0
    /// where there is no commuted form.
    #[allow(clippy::too_many_arguments, reason = "one comparison, told in full")]
    pub(super) unsafe fn versus(
        &mut self,
        instance: usize,
        element: &Expression,
        other: &Side,
        operand: pg_sys::Oid,
        comparison: &Comparison,
        operator: pg_sys::Oid,
        pattern: Pattern,
    ) {
        let (mixed, comparand) = match other {
            Side::Value(comparand) => (false, comparand.clone()),
            Side::Mixed(references) => {
                let own = references.iter().any(|&(other, _)| other == instance);
                let role = self.unnamed(&[&Side::Field(instance, element.clone()), other]);
                self.mixed(other, role, comparison.place);
                if own {
                    self.emit(
                        instance,
                        element,
                        role,
                        comparison,
                        Some(operator),
                        Comparand::Computed,
                    );
                    return;
                }
                (true, Comparand::Computed)
            }
            Side::Field(..) => (false, Comparand::Computed),
        };
        let about = if operator == pg_sys::InvalidOid {
            None
        } else {
            names::operator(operator)
        };
        let role = match (comparison.fixed, &about) {
            (Some(fixed), _) => fixed,
            (None, Some(_)) if mixed => FieldRole::Join,
            (None, Some(about)) => operators::role(about, operand, pattern),
            (None, None) if mixed => FieldRole::Join,
            (None, None) => names::operator(comparison.operator)
                .map_or(FieldRole::Opaque, |about| {
                    operators::mirrored(&about, operand)
                }),
        };
        if role == FieldRole::Opaque {
            self.opaque_quals += 1;
        }
        self.emit(
            instance,
            element,
            role,
            comparison,
            Some(operator),
            comparand,
        );
    }

    /// The role of fields in a condition without a typed form: over several instances it is a
    /// filter of a join, over one it is opaque.
    fn unnamed(&mut self, sides: &[&Side]) -> FieldRole {
        let mut instances: Vec<usize> = Vec::new();
        for side in sides {
            match side {
                Side::Value(_) => {}
                Side::Field(instance, _) => instances.push(*instance),
                Side::Mixed(references) => instances.extend(references.iter().map(|r| r.0)),
            }
        }
        instances.sort_unstable();
        instances.dedup();
        if instances.len() > 1 {
            return FieldRole::JoinFilter;
        }
        self.opaque_quals += 1;
        FieldRole::Opaque
    }

    /// Records every field of a side in this role.
    unsafe fn mixed(&mut self, side: &Side, role: FieldRole, place: Place) {
        match side {
            Side::Value(_) => {}
            Side::Field(instance, element) => {
                self.push(*instance, element.clone(), role, place);
            }
            Side::Mixed(references) => {
                for &(instance, number) in references {
                    if let Some(element) = self.attribute(instance, number) {
                        self.push(instance, element, role, place);
                    }
                }
            }
        }
    }

    /// A test of one operand: IS NULL, a boolean field.
    pub(super) unsafe fn single(
        &mut self,
        node: *mut pg_sys::Node,
        scope: usize,
        role: FieldRole,
        place: Place,
    ) {
        for side in self.sides(node, scope) {
            match &side {
                Side::Field(instance, element) => {
                    self.push(*instance, element.clone(), role, place);
                }
                Side::Value(_) => {}
                Side::Mixed(_) => {
                    let role = self.unnamed(&[&side]);
                    self.mixed(&side, role, place);
                }
            }
        }
    }

    /// Any other boolean expression used as a condition: an index on it as a whole could serve.
    pub(super) unsafe fn condition(
        &mut self,
        node: *mut pg_sys::Node,
        scope: usize,
        _negated: bool,
        place: Place,
    ) {
        if leaves(node).aggregate {
            self.mark(node, scope, false);
            return;
        }
        self.single(node, scope, FieldRole::Boolean, place);
    }

    pub(super) unsafe fn emit(
        &mut self,
        instance: usize,
        element: &Expression,
        role: FieldRole,
        comparison: &Comparison,
        operator: Option<pg_sys::Oid>,
        comparand: Comparand,
    ) {
        let operator = operator.unwrap_or(pg_sys::InvalidOid);
        let name = if operator == pg_sys::InvalidOid {
            None
        } else {
            names::operator(operator).map(|about| about.name)
        };
        self.uses.push(FieldUse {
            instance,
            element: element.clone(),
            role,
            operator_oid: if name.is_some() { operator.to_u32() } else { 0 },
            operator: name,
            collation: comparison.collation.to_u32(),
            comparand,
            disjunction: comparison.place.disjunction,
            branch: comparison.place.branch,
            position: comparison.position,
        });
    }
}

/// Whether two operands have a from-item in common. Two references to one CTE have not, though
/// they end at the same relation instance.
unsafe fn share_a_row(left: *mut pg_sys::Node, right: *mut pg_sys::Node) -> bool {
    let right = leaves(right).variables;
    leaves(left).variables.into_iter().any(|one| {
        right.iter().any(|&other| {
            (*one).varno == (*other).varno && (*one).varlevelsup == (*other).varlevelsup
        })
    })
}
