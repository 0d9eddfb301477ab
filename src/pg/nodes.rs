//! Reading the server's node trees: tags and lists.

use pgrx::pg_sys;

/// The node's tag; `T_Invalid` for a null pointer.
///
/// # Safety
/// `node` is null or points to a node.
pub unsafe fn tag<T>(node: *const T) -> pg_sys::NodeTag {
    if node.is_null() {
        return pg_sys::NodeTag::T_Invalid;
    }
    // SAFETY: every node begins with its tag (nodes.h).
    unsafe { (*node.cast::<pg_sys::Node>()).type_ }
}

/// An expression without what changes its type alone.
///
/// # Safety
/// `node` is null or points to a node.
pub unsafe fn stripped(mut node: *mut pg_sys::Node) -> *mut pg_sys::Node {
    // SAFETY: the cast follows the tag.
    unsafe {
        while tag(node) == pg_sys::NodeTag::T_RelabelType {
            node = (*node.cast::<pg_sys::RelabelType>()).arg.cast();
        }
    }
    node
}

/// The pointers of a list; a null list is empty.
///
/// # Safety
/// `list` is null (NIL) or a `T_List` of pointers to `T` that stays unchanged while the
/// iterator lives.
pub unsafe fn items<T>(list: *const pg_sys::List) -> impl Iterator<Item = *mut T> {
    let length = if list.is_null() {
        0
    } else {
        // SAFETY: not null, so a list.
        unsafe { (*list).length.max(0) as usize }
    };
    (0..length).map(move |position| {
        // SAFETY: position < length, and the elements are pointers (pg_list.h, ListCell).
        unsafe { (*(*list).elements.add(position)).ptr_value.cast::<T>() }
    })
}

/// The number of elements; NIL has none.
///
/// # Safety
/// `list` is null or a list.
pub unsafe fn length(list: *const pg_sys::List) -> usize {
    if list.is_null() {
        0
    } else {
        // SAFETY: not null, so a list.
        unsafe { (*list).length.max(0) as usize }
    }
}
