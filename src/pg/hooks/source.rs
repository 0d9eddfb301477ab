//! What goes to the worker at the first sight of a statement: its text, the analysed tree,
//! the settings it is planned under, and samples of its parameters. Everything here is off
//! the path of known statements, may allocate, and runs where a failure stays ours
//! (`boundary::tolerated`).

use super::{CALLBACKS, settings};
use crate::pg::boundary::{Miss, tolerated};
use crate::pg::shmem::Block;
use crate::pg::shmem::entry::{Entry, SAMPLES, Wants};
use pgrx::pg_sys;
use std::ffi::{CStr, c_char, c_int};
use std::sync::atomic::Ordering;

/// Statement texts beyond this are cut, bytes.
const MAX_TEXT: usize = 32 * 1024;
/// Parameter values beyond this make a sample useless, bytes.
const MAX_VALUE: usize = 1_000;

/// A parameter's type and value in output form; `None` is NULL.
pub type Bound = (u32, Option<String>);

/// What a backend tells of a statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// The statement's own part of the query string.
    pub text: String,
    /// The text was longer and is cut.
    pub truncated: bool,
    /// `nodeToString` of the rewritten query; empty where it was not seen.
    pub tree: String,
    /// search_path in force.
    pub search_path: String,
    /// Planning settings, name and value.
    pub settings: Vec<(String, String)>,
    /// Parameter values of this planning.
    pub bound: Vec<Bound>,
}

fn may_sample() -> bool {
    CALLBACKS
        .get()
        .is_some_and(|callbacks| (callbacks.sample_parameters)())
}

/// The statement's part of a query string (queryjumble.c, CleanQuerytext).
unsafe fn own_text(text: *const c_char, location: c_int, length: c_int) -> String {
    // SAFETY: the caller's string.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    let start = usize::try_from(location).unwrap_or(0).min(bytes.len());
    let rest = &bytes[start..];
    let own = match usize::try_from(length) {
        Ok(length) if length > 0 => &rest[..length.min(rest.len())],
        _ => rest,
    };
    String::from_utf8_lossy(own).trim().to_owned()
}

fn cut(mut text: String) -> (String, bool) {
    if text.len() <= MAX_TEXT {
        return (text, false);
    }
    let end = indexpilot_model::identifier::clip(&text, MAX_TEXT).len();
    text.truncate(end);
    (text, true)
}

/// What became of a statement's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way, or will never be.
    Settled,
    /// There was no room, or it could not be tried now: the next planning tries again.
    Later,
}

/// At first sight: finds where the statement's tenant comes from, and sends text, tree,
/// settings and parameters. Where the server fails at the tree (too deep for the stack, say)
/// the text goes alone.
///
/// # Safety
/// The planner's arguments. A cancel jumps over the caller's frames.
pub unsafe fn whole(
    block: &Block,
    entry: &Entry,
    query: *mut pg_sys::Query,
    text: *const c_char,
    parameters: pg_sys::ParamListInfo,
) -> Sent {
    // SAFETY: the planner's arguments.
    let sent = tolerated(|| unsafe {
        super::tenant::find_source(entry, query);
        send(block, entry, query, text, parameters)
    });
    match sent {
        Ok(Some(())) => Sent::Settled,
        Ok(None) | Err(Miss::NotNow) => Sent::Later,
        Err(Miss::Failed) => {
            // SAFETY: as above.
            unsafe {
                text_only(
                    block,
                    entry,
                    text,
                    (*query).stmt_location,
                    (*query).stmt_len,
                );
            }
            Sent::Settled
        }
    }
}

unsafe fn send(
    block: &Block,
    entry: &Entry,
    query: *mut pg_sys::Query,
    text: *const c_char,
    parameters: pg_sys::ParamListInfo,
) -> Option<()> {
    // SAFETY: the planner's arguments.
    unsafe {
        let (text, truncated) = cut(own_text(text, (*query).stmt_location, (*query).stmt_len));
        let samples = may_sample();
        let mut message = Message::about(&text, truncated);
        if truncated {
            message.part(b"");
        } else {
            message.tree(query);
        }
        message.part(settings::value(c"search_path").as_bytes());
        settings::append(&mut message.0);
        let bound = if samples { bound(parameters) } else { None };
        message.bound(&bound.unwrap_or_default());
        let head = block.write(&message.0)?;
        block.publish(&entry.source, head);
        if samples {
            entry.offered.store(1, Ordering::Relaxed);
            entry.wants.fetch_or(Wants::SAMPLE, Ordering::AcqRel);
        }
        Some(())
    }
}

/// Sends the text alone: of a statement that was not seen in the planner, or whose tree could
/// not be written.
///
/// # Safety
/// The statement's query string. A cancel jumps over the caller's frames.
pub unsafe fn text_only(
    block: &Block,
    entry: &Entry,
    text: *const c_char,
    location: c_int,
    length: c_int,
) {
    if text.is_null() {
        return;
    }
    let _ = tolerated(|| {
        // SAFETY: the caller's string.
        let (text, truncated) = cut(unsafe { own_text(text, location, length) });
        let mut message = Message::about(&text, truncated);
        message.part(b"");
        // SAFETY: reads a setting.
        message.part(unsafe { settings::value(c"search_path") }.as_bytes());
        message.nothing();
        message.bound(&[]);
        if let Some(head) = block.write(&message.0) {
            block.publish(&entry.source, head);
        }
    });
}

/// Parameter values in output form. `None` where a value is too long, or of a type whose
/// output function is not the server's own.
unsafe fn bound(parameters: pg_sys::ParamListInfo) -> Option<Vec<Bound>> {
    if parameters.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: a parameter list of numParams entries; fetched as the planner does it
    // (clauses.c, eval_const_expressions_mutator), speculatively.
    unsafe {
        let count = (*parameters).numParams;
        let mut values = Vec::new();
        for number in 1..=count {
            let mut workspace = std::mem::zeroed::<pg_sys::ParamExternData>();
            let value = match (*parameters).paramFetch {
                // Not a binding, so nobody else guards it: an ERROR must not jump over us.
                Some(fetch) => pg_sys::ffi::pg_guard_ffi_boundary(|| {
                    fetch(parameters, number, true, &mut workspace)
                }),
                None => (*parameters).params.as_mut_ptr().add(number as usize - 1),
            };
            let value = &*value;
            if value.isnull || value.ptype == pg_sys::InvalidOid {
                values.push((value.ptype.to_u32(), None));
                continue;
            }
            values.push((
                value.ptype.to_u32(),
                Some(printed(value.value, value.ptype)?),
            ));
        }
        Some(values)
    }
}

/// First OID of user-defined objects (transam.h, FirstNormalObjectId).
const FIRST_NORMAL_OID: u32 = 16_384;

unsafe fn printed(value: pg_sys::Datum, type_oid: pg_sys::Oid) -> Option<String> {
    // SAFETY: a value of that type.
    unsafe {
        let mut base = type_oid;
        if base.to_u32() >= FIRST_NORMAL_OID {
            base = pg_sys::getBaseType(base);
            if base.to_u32() >= FIRST_NORMAL_OID && pg_sys::get_typtype(base) as u8 != b'e' {
                return None;
            }
        }
        let (mut output, mut varlena) = (pg_sys::InvalidOid, false);
        pg_sys::getTypeOutputInfo(base, &mut output, &mut varlena);
        if varlena && pg_sys::toast_raw_datum_size(value) > 4 * MAX_VALUE {
            return None;
        }
        let text = pg_sys::OidOutputFunctionCall(output, value);
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        pg_sys::pfree(text.cast());
        (copy.len() <= MAX_VALUE).then_some(copy)
    }
}

/// Whether one more sample is taken; the flag goes when the worker has enough.
fn claim(entry: &Entry) -> Option<usize> {
    let offered = entry.offered.fetch_add(1, Ordering::Relaxed) as usize;
    if offered + 1 >= SAMPLES {
        entry.wants.fetch_and(!Wants::SAMPLE, Ordering::AcqRel);
    }
    (may_sample()).then_some(offered % SAMPLES)
}

/// A sample at the end of an execution: of its parameters.
#[cold]
#[inline(never)]
pub unsafe fn sample(block: &Block, entry: &Entry, parameters: pg_sys::ParamListInfo) {
    if parameters.is_null() {
        return;
    }
    let Some(place) = claim(entry) else { return };
    let _ = tolerated(|| {
        // SAFETY: the parameters are there until the query ends.
        let bound = unsafe { bound(parameters)? };
        let mut message = Message::about("", false);
        message.part(b"");
        message.part(b"");
        message.nothing();
        message.bound(&bound);
        let head = block.write(&message.0)?;
        block.publish(&entry.samples[place], head);
        Some(())
    });
}

/// A sample at planning: of the constants in the tree, where there are no parameters. (With
/// parameters the end of the execution takes it.)
pub unsafe fn sample_at_planning(
    block: &Block,
    entry: &Entry,
    query: *mut pg_sys::Query,
    parameters: pg_sys::ParamListInfo,
) {
    if !parameters.is_null() {
        return;
    }
    let Some(place) = claim(entry) else { return };
    let _ = tolerated(|| {
        let mut message = Message::about("", false);
        // SAFETY: the planner's argument.
        unsafe { message.tree(query) };
        message.part(b"");
        message.nothing();
        message.bound(&[]);
        let head = block.write(&message.0)?;
        block.publish(&entry.samples[place], head);
        Some(())
    });
}

/// Sends the text of a utility statement: its command tag. Calls nothing of the server: after
/// BEGIN or SAVEPOINT no subtransaction could start.
///
/// # Safety
/// A static string of the server.
pub unsafe fn tag_only(block: &Block, entry: &Entry, name: *const c_char) {
    // SAFETY: the caller's string.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    let mut message = Message::about(&name, false);
    message.part(b"");
    message.part(b"");
    message.nothing();
    message.bound(&[]);
    if let Some(head) = block.write(&message.0) {
        block.publish(&entry.source, head);
    }
}

/// A [`Source`] as it is written, in length-prefixed parts: text, whether it is cut, tree,
/// search_path, settings and bound values with their numbers.
struct Message(Vec<u8>);

impl Message {
    fn about(text: &str, truncated: bool) -> Self {
        let mut message = Message(Vec::with_capacity(text.len() + 16 * 1024));
        message.part(text.as_bytes());
        message.part(if truncated { b"t" } else { b"" });
        message
    }

    fn part(&mut self, bytes: &[u8]) {
        part(&mut self.0, bytes);
    }

    /// No settings.
    fn nothing(&mut self) {
        self.part(b"0");
    }

    /// The whole tree.
    unsafe fn tree(&mut self, query: *mut pg_sys::Query) {
        // SAFETY: a whole tree; the result is ours to free.
        unsafe {
            let text = pg_sys::nodeToString(query.cast());
            self.part(CStr::from_ptr(text).to_bytes());
            pg_sys::pfree(text.cast());
        }
    }

    fn bound(&mut self, bound: &[Bound]) {
        self.part(bound.len().to_string().as_bytes());
        for (type_oid, value) in bound {
            self.part(type_oid.to_string().as_bytes());
            self.part(if value.is_some() { b"v" } else { b"" });
            self.part(value.as_deref().unwrap_or("").as_bytes());
        }
    }
}

/// Appends one part of a message.
pub(super) fn part(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    to.extend_from_slice(bytes);
}

/// Reads what a backend wrote.
pub fn decode(bytes: &[u8]) -> Option<Source> {
    let mut rest = bytes;
    let mut part = || -> Option<String> {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let text = after.get(..length)?;
        rest = &after[length..];
        // In a database of another encoding a tree is not UTF-8.
        Some(String::from_utf8_lossy(text).into_owned())
    };
    let text = part()?;
    let truncated = part()? == "t";
    let tree = part()?;
    let search_path = part()?;
    let settings = (0..part()?.parse().ok()?)
        .map(|_: usize| Some((part()?, part()?)))
        .collect::<Option<Vec<_>>>()?;
    let bound = (0..part()?.parse().ok()?)
        .map(|_: usize| {
            let type_oid = part()?.parse().ok()?;
            let present = part()? == "v";
            let value = part()?;
            Some((type_oid, present.then_some(value)))
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Source {
        text,
        truncated,
        tree,
        search_path,
        settings,
        bound,
    })
}
