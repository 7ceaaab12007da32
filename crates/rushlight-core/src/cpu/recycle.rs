//! Where buffers get their memory. Small blocks are kept by each thread when they are freed: the allocator's aligned blocks
//! cost more than the ops on a handful of numbers that need them. Large blocks ask for huge pages.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::ptr::NonNull;

/// Blocks are recycled in sizes of `SMALLEST << class` bytes.
const SMALLEST: usize = 64;
const CLASSES: usize = 11;
/// Blocks of a class that a thread keeps at most: all classes together take 2 MB.
const KEPT: usize = 16;

/// The free blocks of one size.
struct Shelf {
    blocks: [Option<NonNull<u8>>; KEPT],
    count: usize,
}

struct Shelves([Shelf; CLASSES]);

thread_local! {
    static SHELVES: RefCell<Shelves> =
        const { RefCell::new(Shelves([const { Shelf { blocks: [None; KEPT], count: 0 } }; CLASSES])) };
}

/// Large blocks begin and end at multiples of a huge page, where the machine has such pages.
const HUGE_PAGE: usize = 2 << 20;
/// Blocks from this size on are large.
const LARGE: usize = 2 * HUGE_PAGE;

/// The layout that memory is really asked of the allocator with.
fn backing(layout: Layout) -> Layout {
    if layout.size() < LARGE {
        return layout;
    }
    layout.align_to(HUGE_PAGE).expect("a large block fits in the address space")
}

/// Asks for the pages of a large block to be huge: kernels read a few pixels from each of hundreds of planes, more pages
/// than the processor knows the places of.
#[cfg(all(target_os = "linux", not(miri)))]
fn advise(data: *mut u8, bytes: usize) {
    if bytes >= LARGE {
        // SAFETY: the whole pages of a block of our own; the advice does not change what they hold. If it is not taken,
        // the block works all the same.
        unsafe { libc::madvise(data.cast(), bytes / HUGE_PAGE * HUGE_PAGE, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn advise(_: *mut u8, _: usize) {}

/// The class of blocks that a layout is served from.
fn class_of(layout: Layout) -> Option<usize> {
    let class = layout.size().div_ceil(SMALLEST).next_power_of_two().trailing_zeros() as usize;
    (class < CLASSES && layout.align() <= SMALLEST).then_some(class)
}

/// The layout of a class's blocks.
fn layout_of(class: usize) -> Layout {
    Layout::from_size_align(SMALLEST << class, SMALLEST).expect("small sizes are valid")
}

/// Memory of a layout that is not of size zero, with unspecified content.
pub(crate) fn allocate(layout: Layout) -> NonNull<u8> {
    let Some(class) = class_of(layout) else { return fresh(layout) };
    // Without the thread's shelves, at its very end, memory comes from the allocator.
    let kept = SHELVES.try_with(|shelves| shelves.borrow_mut().0[class].take());
    kept.ok().flatten().unwrap_or_else(|| fresh(layout_of(class)))
}

/// Takes memory back.
///
/// # Safety
/// It must come from [`allocate`] for the same layout, and not be used any more.
pub(crate) unsafe fn free(data: NonNull<u8>, layout: Layout) {
    let Some(class) = class_of(layout) else {
        // SAFETY: the allocator gave it for this layout.
        return unsafe { dealloc(data.as_ptr(), backing(layout)) };
    };
    let kept = SHELVES.try_with(|shelves| shelves.borrow_mut().0[class].put(data));
    if kept != Ok(true) {
        // SAFETY: the allocator gave it for the layout of its class.
        unsafe { dealloc(data.as_ptr(), layout_of(class)) };
    }
}

fn fresh(layout: Layout) -> NonNull<u8> {
    let layout = backing(layout);
    // SAFETY: the layout is never of size zero.
    let data = unsafe { alloc(layout) };
    if !data.is_null() {
        advise(data, layout.size());
    }
    NonNull::new(data).unwrap_or_else(|| handle_alloc_error(layout))
}

impl Shelf {
    fn take(&mut self) -> Option<NonNull<u8>> {
        self.count = self.count.checked_sub(1)?;
        self.blocks[self.count].take()
    }

    /// Whether there was room.
    fn put(&mut self, data: NonNull<u8>) -> bool {
        match self.blocks.get_mut(self.count) {
            Some(place) => {
                *place = Some(data);
                self.count += 1;
                true
            }
            None => false,
        }
    }
}

impl Drop for Shelves {
    fn drop(&mut self) {
        for (class, shelf) in self.0.iter_mut().enumerate() {
            while let Some(data) = shelf.take() {
                // SAFETY: what is kept came from the allocator for the layout of its class.
                unsafe { dealloc(data.as_ptr(), layout_of(class)) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_apart_and_used_again() {
        let layout = |size| Layout::from_size_align(size, 64).unwrap();
        for size in [1, 63, 64, 65, 1000, 65536, 65537, 300_000, LARGE + 1] {
            let blocks: Vec<_> = (0..40).map(|_| allocate(layout(size))).collect();
            for (i, block) in blocks.iter().enumerate() {
                assert_eq!(block.as_ptr() as usize % 64, 0);
                // SAFETY: blocks have `size` bytes each.
                unsafe { block.as_ptr().write_bytes(i as u8, size) };
            }
            for (i, &block) in blocks.iter().enumerate() {
                // SAFETY: written just before, and freed once.
                unsafe {
                    assert_eq!((*block.as_ptr(), *block.as_ptr().add(size - 1)), (i as u8, i as u8));
                    free(block, layout(size));
                }
            }
            let again = allocate(layout(size));
            assert!(size > 65536 || blocks.contains(&again), "a kept block is used again");
            // SAFETY: allocated just before.
            unsafe { free(again, layout(size)) };
        }
    }

    #[test]
    fn a_block_may_be_freed_on_another_thread() {
        let layout = Layout::from_size_align(100, 64).unwrap();
        let address = allocate(layout).as_ptr() as usize;
        let other = std::thread::spawn(move || {
            // SAFETY: allocated above and handed over.
            unsafe { free(NonNull::new(address as *mut u8).unwrap(), layout) };
            allocate(layout).as_ptr() as usize
        });
        let freed_elsewhere = other.join().unwrap();
        assert_eq!(freed_elsewhere, address);
    }
}
