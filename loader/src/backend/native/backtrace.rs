//! Where in its image a plugin was when it crashed, with the names of its functions.

use std::ffi::{c_int, c_void};
use std::ops::Range;

/// Most frames that are kept.
const FRAMES: usize = 32;

/// Addresses within an image, relative to its base, innermost first: of the instruction that was interrupted, and of calls under way (the last
/// byte of each).
#[derive(Clone, Copy, Default)]
pub(super) struct Backtrace {
    frames: [u64; FRAMES],
    len: usize,
    /// Frames outside of the image, between those in it.
    foreign: bool,
}

impl Backtrace {
    /// Walks the stack of this thread, from the caller up to the guarded call whose frame stands at `end`.
    pub(super) fn capture(span: &Range<usize>, end: usize) -> Backtrace {
        Backtrace::walk(span, end, true)
    }

    /// Walks the stack that a signal has interrupted, up to the guarded call whose frame stands at `end`. Called in the signal's handler.
    ///
    /// Allocates nothing, so that it may interrupt code of the image: such code holds no lock of the C library. On a damaged stack the
    /// walk itself may fault.
    pub(super) fn capture_interrupted(span: &Range<usize>, end: usize) -> Backtrace {
        Backtrace::walk(span, end, false)
    }

    #[inline(never)]
    fn walk(span: &Range<usize>, end: usize, on_stack: bool) -> Backtrace {
        let mut walk =
            Walk { backtrace: Backtrace::default(), start: span.start, end_of_span: span.end, end, on_stack };
        // SAFETY: the callback gets the walk back, which outlives the call.
        unsafe { _Unwind_Backtrace(visit, (&raw mut walk).cast()) };
        walk.backtrace
    }

    pub(super) fn frames(&self) -> &[u64] {
        &self.frames[..self.len]
    }

    /// Whether all frames from the innermost one in the image up to the guarded call are the image's, so that no library is under way
    /// which may hold a lock. Not known of a stack that is too deep.
    pub(super) fn is_own(&self) -> bool {
        !self.foreign && (1..FRAMES).contains(&self.len)
    }

    /// Adds a frame; false when there is no room for more.
    pub(super) fn push(&mut self, address: u64) -> bool {
        if self.len < FRAMES {
            self.frames[self.len] = address;
            self.len += 1;
        }
        self.len < FRAMES
    }
}

struct Walk {
    backtrace: Backtrace,
    start: usize,
    end_of_span: usize,
    end: usize,
    /// The walk is on the stack of the guarded call. The handler's own frames are on another one, which may lie above it.
    on_stack: bool,
}

extern "C" fn visit(context: *mut c_void, walk: *mut c_void) -> c_int {
    const NO_REASON: c_int = 0;
    const END_OF_STACK: c_int = 5;
    // SAFETY: the unwinder passes its context and what it was given.
    let (walk, address, frame, interrupted) = unsafe {
        let mut interrupted = 0;
        let address = _Unwind_GetIPInfo(context, &mut interrupted);
        (&mut *walk.cast::<Walk>(), address, _Unwind_GetCFA(context), interrupted != 0)
    };
    // A frame that called goes on behind the call, which may be the next function.
    let address = address.wrapping_sub(usize::from(!interrupted));
    walk.on_stack |= interrupted;
    if !walk.on_stack {
        return NO_REASON;
    }
    // What the unwinder calls the frame address is where the frame stood when it called.
    if frame >= walk.end {
        return END_OF_STACK;
    }
    if !(walk.start..walk.end_of_span).contains(&address) {
        walk.backtrace.foreign |= walk.backtrace.len > 0;
    } else if !walk.backtrace.push((address - walk.start) as u64) {
        return END_OF_STACK;
    }
    NO_REASON
}

// Of libgcc_s, which Rust's standard library links too.
unsafe extern "C" {
    fn _Unwind_Backtrace(visit: extern "C" fn(*mut c_void, *mut c_void) -> c_int, data: *mut c_void) -> c_int;
    fn _Unwind_GetIPInfo(context: *mut c_void, interrupted: *mut c_int) -> usize;
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
}

/// The functions of an image by address, read when the module was made: the file may be another one when it crashes.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    /// Address relative to the image's base, size, where the name begins in `names`, its length.
    functions: Vec<(u64, u32, u32, u32)>,
    names: String,
}

impl Symbols {
    /// From symbols in any order.
    pub(super) fn new<'a>(symbols: impl Iterator<Item = (u64, u64, &'a str)>) -> Symbols {
        let mut table = Symbols::default();
        for (address, size, name) in symbols {
            let entry = (address, u32::try_from(size).unwrap_or(u32::MAX), table.names.len() as u32, name.len() as u32);
            table.functions.push(entry);
            table.names.push_str(name);
        }
        table.functions.sort_unstable();
        table
    }

    /// The frames as lines of text: number, offset in the image, function and offset in it.
    pub(super) fn describe(&self, frames: &[u64]) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for (number, address) in frames.iter().enumerate() {
            let _ = match self.find(*address) {
                Some((name, offset)) => write!(text, "\n  {number:>2}: {address:#x} {name}+{offset:#x}"),
                None => write!(text, "\n  {number:>2}: {address:#x}"),
            };
        }
        text
    }

    fn find(&self, address: u64) -> Option<(String, u64)> {
        let after = self.functions.partition_point(|(start, ..)| *start <= address);
        let (start, size, name, len) = *self.functions.get(after.checked_sub(1)?)?;
        let offset = address - start;
        (offset < u64::from(size).max(1)).then_some(())?;
        Some((demangled(self.names.get(name as usize..(name + len) as usize)?), offset))
    }
}

fn demangled(name: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return format!("{rust:#}");
    }
    let cpp = cpp_demangle::BorrowedSymbol::new(name.as_bytes()).ok().and_then(|symbol| symbol.demangle().ok());
    cpp.unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_demangled() {
        let symbols = [(0x20, 8, "_ZN3foo3barEv"), (0x10, 8, "plain"), (0x40, 16, "_RNvC6_123foo3bar")];
        let symbols = Symbols::new(symbols.into_iter());
        let mut backtrace = Backtrace::default();
        for address in [0x11, 0x27, 0x30, 0x40] {
            backtrace.push(address);
        }
        assert_eq!(
            symbols.describe(backtrace.frames()),
            "\n   0: 0x11 plain+0x1\n   1: 0x27 foo::bar()+0x7\n   2: 0x30\n   3: 0x40 123foo::bar+0x0"
        );
    }
}
