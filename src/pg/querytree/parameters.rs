//! Constants of a stored tree become parameters, so that one tree stands for a statement
//! with any values: the values go to the samples, and with sampling off nowhere.

use super::names;
use crate::pg::nodes::{items, tag};
use indexpilot_model::query::QueryShape;
use pgrx::pg_sys::{self, NodeTag};
use std::ffi::{CStr, CString, c_void};

/// A tree whose comparison values, inserted values and limits are parameters.
#[derive(Clone, Debug)]
pub struct Lifted {
    /// `nodeToString` of the changed tree.
    pub tree: String,
    /// Types of all parameters: those of the statement itself, then the lifted constants.
    pub types: Vec<u32>,
    /// How many parameters the statement has itself.
    pub own: usize,
    /// Values of the lifted constants in output form.
    pub values: Vec<Option<String>>,
    /// No constant that tells something stayed in the tree, but for those of expressions.
    pub complete: bool,
    /// The shape, read before anything was changed.
    pub shape: QueryShape,
    /// What another sample's tree must have in common with this one.
    pub form: u64,
    /// Lists made of parameters of the statement itself. Where there are several, how many
    /// values are bound does not tell which stands where.
    pub own_lists: usize,
}

/// More constants than this stay where they are.
const MAX_LIFTED: usize = 400;

struct Lifting {
    /// Types by parameter number − 1; 0 where the number is not used.
    types: Vec<u32>,
    constants: Vec<*mut pg_sys::Const>,
    own_lists: usize,
}

/// Reads a stored tree, lifts its constants and reads its shape. `bound` are the values of
/// the statement's own parameters, as far as they are known. `None` for what is no tree of
/// this server.
pub fn lift(tree: &str, bound: &[Option<String>]) -> Option<Lifted> {
    let text = CString::new(tree).ok()?;
    // Reading a tree holds nothing but memory, so an error of it may be swallowed. Type
    // output functions, the only ones called on values, are C functions of superusers.
    pgrx::PgTryBuilder::new(|| {
        // SAFETY: in a transaction, below this guard; the tree is ours to change.
        unsafe {
            let query = pg_sys::stringToNode(text.as_ptr()).cast::<pg_sys::Query>();
            if tag(query) != NodeTag::T_Query {
                return None;
            }
            let shape = super::shape(query, bound);
            let mut lifting = Lifting {
                types: Vec::new(),
                constants: Vec::new(),
                own_lists: 0,
            };
            visit(query.cast(), (&raw mut lifting).cast());
            let own = lifting.types.len();
            let mut values = Vec::new();
            let mut complete = lifting.constants.len() <= MAX_LIFTED;
            if lifting.constants.len() <= MAX_LIFTED {
                for constant in lifting.constants {
                    if tag(constant) != NodeTag::T_Const {
                        continue;
                    }
                    let Some(value) = names::constant(constant) else {
                        complete = false;
                        continue;
                    };
                    values.push(Some(value));
                    lifting.types.push((*constant).consttype.to_u32());
                    become_parameter(constant, lifting.types.len() as i32);
                }
            }
            let changed = pg_sys::nodeToString(query.cast());
            let tree = CStr::from_ptr(changed).to_string_lossy().into_owned();
            pg_sys::pfree(changed.cast());
            Some(Lifted {
                form: indexpilot_model::tree_form(&tree),
                own_lists: lifting.own_lists,
                tree,
                types: lifting.types,
                own,
                values,
                complete,
                shape,
            })
        }
    })
    .catch_others(|_| None)
    .catch_rust_panic(|_| None)
    .execute()
}

/// Overwrites a Const by a Param, which is the smaller structure.
unsafe fn become_parameter(constant: *mut pg_sys::Const, number: i32) {
    const { assert!(size_of::<pg_sys::Param>() <= size_of::<pg_sys::Const>()) };
    let (type_oid, modifier, collation) = (
        (*constant).consttype,
        (*constant).consttypmod,
        (*constant).constcollid,
    );
    let parameter = constant.cast::<pg_sys::Param>();
    (*parameter).xpr.type_ = NodeTag::T_Param;
    (*parameter).paramkind = pg_sys::ParamKind::PARAM_EXTERN;
    (*parameter).paramid = number;
    (*parameter).paramtype = type_oid;
    (*parameter).paramtypmod = modifier;
    (*parameter).paramcollid = collation;
    (*parameter).location = -1;
}

/// The node if it is a constant that tells something, below casts.
unsafe fn constant(node: *mut pg_sys::Node) -> Option<*mut pg_sys::Const> {
    let node = super::element::stripped(node);
    if tag(node) != NodeTag::T_Const {
        return None;
    }
    let constant = node.cast::<pg_sys::Const>();
    (!(*constant).constisnull && (*constant).consttype != pg_sys::BOOLOID).then_some(constant)
}

/// Values stand where a condition compares, a list inserts, a limit limits. Constants inside
/// expressions (`data ->> 'key'`, `a + 1`) belong to the expression and stay.
///
/// No call in here may raise a Rust panic: C frames of the walkers lie between.
unsafe extern "C-unwind" fn visit(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    let lifting = &mut *context.cast::<Lifting>();
    match tag(node) {
        NodeTag::T_Invalid => return false,
        NodeTag::T_Query => {
            let query = node.cast::<pg_sys::Query>();
            for limit in [(*query).limitCount, (*query).limitOffset] {
                lifting.constants.extend(constant(limit));
            }
            for entry in items::<pg_sys::RangeTblEntry>((*query).rtable) {
                for row in items::<pg_sys::List>((*entry).values_lists) {
                    for value in items::<pg_sys::Node>(row) {
                        lifting.constants.extend(constant(value));
                    }
                }
            }
            if matches!(
                (*query).commandType,
                pg_sys::CmdType::CMD_INSERT | pg_sys::CmdType::CMD_UPDATE
            ) {
                for entry in items::<pg_sys::TargetEntry>((*query).targetList) {
                    lifting.constants.extend(constant((*entry).expr.cast()));
                }
            }
            return pg_sys::query_tree_walker(query, Some(visit), context, 0);
        }
        NodeTag::T_Param => {
            let parameter = &*node.cast::<pg_sys::Param>();
            if parameter.paramkind == pg_sys::ParamKind::PARAM_EXTERN
                && (1..=1_000).contains(&parameter.paramid)
            {
                let number = parameter.paramid as usize;
                if lifting.types.len() < number {
                    lifting.types.resize(number, 0);
                }
                lifting.types[number - 1] = parameter.paramtype.to_u32();
            }
            return false;
        }
        NodeTag::T_OpExpr | NodeTag::T_DistinctExpr | NodeTag::T_NullIfExpr => {
            let operation = &*node.cast::<pg_sys::OpExpr>();
            if operation.opresulttype == pg_sys::BOOLOID {
                operands(operation.args, lifting);
            }
        }
        NodeTag::T_ScalarArrayOpExpr => {
            operands((*node.cast::<pg_sys::ScalarArrayOpExpr>()).args, lifting);
        }
        NodeTag::T_RowCompareExpr => {
            operands((*node.cast::<pg_sys::RowCompareExpr>()).rargs, lifting);
        }
        NodeTag::T_ArrayExpr => {
            let own = items::<pg_sys::Node>((*node.cast::<pg_sys::ArrayExpr>()).elements)
                .any(|element| tag(super::element::stripped(element)) == NodeTag::T_Param);
            lifting.own_lists += usize::from(own);
        }
        _ => {}
    }
    pg_sys::expression_tree_walker(node, Some(visit), context)
}

unsafe fn operands(list: *mut pg_sys::List, lifting: &mut Lifting) {
    for operand in items::<pg_sys::Node>(list) {
        let operand = super::element::stripped(operand);
        if tag(operand) == NodeTag::T_ArrayExpr {
            for element in items::<pg_sys::Node>((*operand.cast::<pg_sys::ArrayExpr>()).elements) {
                lifting.constants.extend(constant(element));
            }
        } else {
            lifting.constants.extend(constant(operand));
        }
    }
}
