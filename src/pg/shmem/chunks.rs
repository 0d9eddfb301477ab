//! Byte strings in shared memory: chains of chunks, written by one backend, taken by the
//! worker.

use super::{Block, Header};
use std::sync::atomic::{AtomicU32, Ordering};

const PAYLOAD: usize = 1_016;

/// One chunk. `next` links free chunks as well as the chunks of a chain.
#[repr(C, align(8))]
pub struct Chunk {
    next: AtomicU32,
    length: AtomicU32,
    bytes: std::cell::UnsafeCell<[u8; PAYLOAD]>,
}

// SAFETY: a chunk belongs to one process at a time: to the writer until the chain's head is
// published with Release, to whoever took the head with Acquire afterwards.
unsafe impl Sync for Chunk {}

/// Longer strings are not carried, bytes.
pub const MAX_BYTES: usize = 256 * 1024;

impl Block {
    fn chunk(&self, number: u32) -> &Chunk {
        // SAFETY: numbers come from the free list, which counts to the number of chunks.
        unsafe { &*self.chunks.add(number as usize) }
    }

    fn take_chunk(&self) -> Option<u32> {
        self.header()
            .free_chunks
            .pop(|number| &self.chunk(number).next)
    }

    fn give_chunk(&self, number: u32) {
        self.header()
            .free_chunks
            .push(number, |number| &self.chunk(number).next);
    }

    /// Writes a byte string; gives its head, never 0. `None`, and counted, where there is no
    /// room or it is too long.
    pub fn write(&self, bytes: &[u8]) -> Option<u32> {
        let header: &Header = self.header();
        if bytes.is_empty() || bytes.len() > MAX_BYTES {
            header.dropped_texts.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let (mut first, mut last) = (0u32, None::<u32>);
        for part in bytes.chunks(PAYLOAD) {
            let Some(number) = self.take_chunk() else {
                header.dropped_texts.fetch_add(1, Ordering::Relaxed);
                self.free(first);
                return None;
            };
            let chunk = self.chunk(number);
            // SAFETY: the chunk is ours until it is published; `part` fits.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    part.as_ptr(),
                    chunk.bytes.get().cast::<u8>(),
                    part.len(),
                );
            }
            chunk.length.store(part.len() as u32, Ordering::Relaxed);
            chunk.next.store(0, Ordering::Relaxed);
            match last {
                Some(last) => self.chunk(last).next.store(number + 1, Ordering::Relaxed),
                None => first = number + 1,
            }
            last = Some(number);
        }
        Some(first)
    }

    /// Puts a written string where the worker finds it, and frees what stood there.
    pub fn publish(&self, place: &AtomicU32, head: u32) {
        self.free(place.swap(head, Ordering::AcqRel));
    }

    /// Takes a published string and frees its chunks.
    pub fn take(&self, place: &AtomicU32) -> Option<Vec<u8>> {
        let head = place.swap(0, Ordering::AcqRel);
        if head == 0 {
            return None;
        }
        let mut bytes = Vec::new();
        let mut at = head;
        // A chain is at most MAX_BYTES long: a damaged one must not loop for ever.
        while at != 0 && bytes.len() <= MAX_BYTES {
            let chunk = self.chunk(at - 1);
            let length = (chunk.length.load(Ordering::Relaxed) as usize).min(PAYLOAD);
            // SAFETY: taking the head made the chain ours.
            let part = unsafe {
                std::slice::from_raw_parts(chunk.bytes.get().cast::<u8>().cast_const(), length)
            };
            bytes.extend_from_slice(part);
            at = chunk.next.load(Ordering::Relaxed);
        }
        self.free(head);
        Some(bytes)
    }

    /// Frees a chain that nobody else can reach.
    fn free(&self, head: u32) {
        let mut at = head;
        while at != 0 {
            let next = self.chunk(at - 1).next.load(Ordering::Relaxed);
            self.give_chunk(at - 1);
            at = next;
        }
    }
}
