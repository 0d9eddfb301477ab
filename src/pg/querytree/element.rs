//! One side of a comparison: a field, or what a field is compared with.

use super::conversion::Conversion;
use super::names;
use super::resolve::{Target, leaves};
use super::{Builder, Reference};
use crate::pg::nodes::{items, tag};
use indexpilot_model::expression::Expression;
use indexpilot_model::query::Comparand;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

/// One side of a comparison.
pub enum Side {
    /// A field: an attribute or an expression over one instance.
    Field(usize, Expression),
    /// No field of the query at all.
    Value(Comparand),
    /// Fields in a form that we cannot name, or of several instances.
    Mixed(Vec<Reference>),
}

/// current_setting(text) and current_setting(text, bool) in pg_proc.dat.
const CURRENT_SETTING: [u32; 2] = [2077, 3294];

/// Strips what an index match ignores (indxpath.c, match_index_to_operand): relabelling and
/// explicit collations, which the comparison's input collation tells.
pub unsafe fn stripped(mut node: *mut pg_sys::Node) -> *mut pg_sys::Node {
    loop {
        node = match tag(node) {
            NodeTag::T_RelabelType => (*node.cast::<pg_sys::RelabelType>()).arg.cast(),
            NodeTag::T_CollateExpr => (*node.cast::<pg_sys::CollateExpr>()).arg.cast(),
            NodeTag::T_PlaceHolderVar => (*node.cast::<pg_sys::PlaceHolderVar>()).phexpr.cast(),
            _ => return node,
        };
    }
}

impl Builder {
    /// Classifies one side. A column of a set operation gives one side for each arm.
    pub(super) unsafe fn sides(&mut self, node: *mut pg_sys::Node, scope: usize) -> Vec<Side> {
        let mut pending = vec![(stripped(node), scope)];
        let mut sides = Vec::new();
        let mut steps = 0;
        while let Some((node, scope)) = pending.pop() {
            steps += 1;
            if steps > 64 {
                break;
            }
            if tag(node) != NodeTag::T_Var {
                sides.push(self.side(node, scope));
                continue;
            }
            let targets = self.resolve(node.cast(), scope, 0);
            if targets.is_empty() {
                sides.push(Side::Value(Comparand::Computed));
            }
            for target in targets.into_iter().rev() {
                match target {
                    Target::Attribute(instance, number) => {
                        sides.push(match self.attribute(instance, number) {
                            Some(element) => Side::Field(instance, element),
                            None => Side::Mixed(vec![(instance, number)]),
                        });
                    }
                    Target::Expression(node, scope) => pending.push((stripped(node), scope)),
                }
            }
        }
        sides
    }

    unsafe fn side(&mut self, node: *mut pg_sys::Node, scope: usize) -> Side {
        let found = leaves(node);
        if found.aggregate || !found.sublinks.is_empty() {
            // The aggregate's or subquery's result is a value; its inside is read elsewhere.
            self.mark(node, scope, false);
            let mut references = Vec::new();
            if !found.aggregate {
                self.references(node, scope, &mut references, 0);
            }
            return match references.is_empty() {
                true => Side::Value(Comparand::Computed),
                false => Side::Mixed(references),
            };
        }
        let mut conversion = Conversion::default();
        let element = self.convert(node, scope, &mut conversion, 0);
        let mut references = conversion.references;
        if element.is_none() {
            // The conversion stopped at the first thing it did not know: look at all.
            references.clear();
            self.references(node, scope, &mut references, 0);
        }
        references.sort_unstable();
        references.dedup();
        for &(instance, number) in &references {
            self.need(instance, number);
        }
        match (references.first(), element) {
            (None, _) => Side::Value(self.comparand(node)),
            (Some(&(first, _)), Some(element))
                if references.iter().all(|&(instance, _)| instance == first) =>
            {
                Side::Field(first, element)
            }
            _ => Side::Mixed(references),
        }
    }

    /// All fields below a node, whatever stands between; those below aggregates of subqueries
    /// are none of this condition.
    pub(super) unsafe fn references(
        &mut self,
        node: *mut pg_sys::Node,
        scope: usize,
        into: &mut Vec<Reference>,
        depth: usize,
    ) {
        if depth > 24 {
            return;
        }
        for variable in leaves(node).variables {
            for target in self.resolve(variable, scope, 0) {
                match target {
                    Target::Attribute(instance, number) => into.push((instance, number)),
                    // An aggregate's result is a value; its inside is read elsewhere.
                    Target::Expression(node, scope) if leaves(node).aggregate => {
                        self.mark(node, scope, false);
                    }
                    Target::Expression(node, scope) => {
                        self.references(node, scope, into, depth + 1);
                    }
                }
            }
        }
    }

    /// A plain attribute; `None` for whole rows, system and dropped columns.
    pub(super) unsafe fn attribute(&mut self, instance: usize, number: i16) -> Option<Expression> {
        self.need(instance, number);
        if number < 1 {
            return None;
        }
        let relation = pg_sys::Oid::from(self.instances[instance].relation.oid);
        Some(Expression::attribute(
            number,
            names::attribute(relation, number)?,
        ))
    }

    /// The typed form of a tree over the only relation of a scope.
    pub(super) unsafe fn only(
        &mut self,
        scope: usize,
        node: *mut pg_sys::Node,
    ) -> Option<Expression> {
        self.enter(1, scope, false);
        self.convert(stripped(node), scope, &mut Conversion::default(), 0)
    }

    /// What a node without fields is, as a comparand.
    pub(super) unsafe fn comparand(&self, node: *mut pg_sys::Node) -> Comparand {
        let mut node = stripped(node);
        // Casts of a parameter or a setting do not change whose value it is.
        for _ in 0..8 {
            match tag(node) {
                NodeTag::T_CoerceViaIO => {
                    node = stripped((*node.cast::<pg_sys::CoerceViaIO>()).arg.cast());
                }
                NodeTag::T_FuncExpr => {
                    let call = &*node.cast::<pg_sys::FuncExpr>();
                    let first = items::<pg_sys::Node>(call.args).next();
                    if CURRENT_SETTING.contains(&call.funcid.to_u32()) {
                        return match first {
                            Some(name) if tag(name) == NodeTag::T_Const => {
                                names::constant(name.cast())
                                    .map_or(Comparand::Computed, Comparand::Setting)
                            }
                            _ => Comparand::Computed,
                        };
                    }
                    let is_cast = call.funcformat != pg_sys::CoercionForm::COERCE_EXPLICIT_CALL
                        && call.funcformat != pg_sys::CoercionForm::COERCE_SQL_SYNTAX;
                    match first {
                        Some(argument) if is_cast => node = stripped(argument),
                        _ => return Comparand::Computed,
                    }
                }
                _ => break,
            }
        }
        match tag(node) {
            NodeTag::T_Const => Comparand::Constant(names::constant(node.cast())),
            NodeTag::T_Param => {
                let parameter = &*node.cast::<pg_sys::Param>();
                if parameter.paramkind == pg_sys::ParamKind::PARAM_EXTERN {
                    Comparand::Parameter(parameter.paramid)
                } else {
                    Comparand::Computed
                }
            }
            NodeTag::T_ArrayExpr => {
                let mut parts = Vec::new();
                for element in items::<pg_sys::Node>((*node.cast::<pg_sys::ArrayExpr>()).elements) {
                    let element = stripped(element);
                    if tag(element) != NodeTag::T_Const {
                        return Comparand::Computed;
                    }
                    match names::constant(element.cast()) {
                        Some(text) => parts.push(array_element(&text)),
                        None => return Comparand::Constant(None),
                    }
                }
                let text = format!("{{{}}}", parts.join(","));
                Comparand::Constant(Some(text).filter(|text| text.len() <= 1_000))
            }
            _ => Comparand::Computed,
        }
    }
}

/// An element as an array literal writes it: quoted unless plain.
fn array_element(text: &str) -> String {
    let plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | ':' | '_' | '+'));
    if plain {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
