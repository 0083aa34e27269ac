//! The allocator of native plugin VMs: each VM has a heap, each heap a range of addresses, and so each address tells whose it is.
//!
//! ```
//! use dynvm_heap::{Corruption, Error, Heap, Owner, owner};
//!
//! let heap = Heap::new(Some(1 << 20))?;
//! // SAFETY: one thread uses the heap, and blocks are not used after they are freed.
//! unsafe {
//!     let block = heap.malloc(100)?.as_ptr();
//!     assert_eq!(owner(block), Some(Owner::Heap(heap.id())));
//!     assert_eq!(heap.used(), 4096);
//!     heap.free(block)?;
//!     // Defects are returned as errors and damage nothing. The caller decides whether the VM fails.
//!     let Err(Error::Corrupt(defect)) = heap.free(block) else { panic!("it was freed twice") };
//!     assert_eq!(defect.what, Corruption::Freed);
//!     // What is not from here is for the C library.
//!     assert_eq!(heap.free((&raw const defect).cast_mut().cast()), Err(Error::NotOurs));
//!     assert_eq!(heap.malloc(2 << 20), Err(Error::Limit));
//! }
//! // All memory is freed with the heap.
//! drop(heap);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Design
//!
//! - An address tells its heap by a subtraction, a comparison and a shift, on any thread, in signal handlers, and after the heap has ended.
//! - Blocks have no headers and free blocks no links: what a heap knows is in a table, far from what plugins write to. An overflow or a
//!   write after a free changes other blocks at worst. The one exception are blocks that another thread freed: until the heap takes them back,
//!   they hold a link, which is mixed with a secret and checked.
//! - Memory is divided into units of 16 KiB. A unit has blocks of one size, and a bitmap of those that are free; one that is empty serves any
//!   other size, or goes back to the system. All operations take constant time, but for the units of a large block.
//! - Use is counted in granules of 4 KiB when they are first used, on every machine. Larger pages work, and cost more than is counted.
//! - A range that a heap leaves is used again after some others have ended, so that late uses are found. It keeps a little memory, cleared.
//!
//! | file | idea |
//! |---|---|
//! | `region` | divides reservations of addresses into slots, one for each heap |
//! | `heap` | a heap as its owner has it, other threads, and the functions that take any address |
//! | `blocks` | allocates blocks: small ones in units of one size class, large ones in units of their own |
//! | `classes` | the size classes |
//! | `spans` | allocates units |
//! | `unit` | what is known of a unit |
//! | `system` | what is asked of the kernel |
//! | `error` | why something is not done |

mod blocks;
mod classes;
mod error;
mod heap;
mod region;
mod spans;
#[cfg_attr(miri, path = "system_miri.rs")]
mod system;
mod unit;

pub use error::{Corrupt, Corruption, Error};
pub use heap::{Heap, HeapId, Owner, free, owner, usable_size};
