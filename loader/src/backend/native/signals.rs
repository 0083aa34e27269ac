//! Faults of the processor: which are a plugin's, and what becomes of them.
//!
//! A fault is a plugin's if its instruction lies in the image of the VM that runs on the thread, in a function like `memcpy` that it called, nowhere
//! at all, or in the probe of memory that a plugin named. Every other one is passed on to who handled it before.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod platform {
    pub(in super::super) fn install() {}
    pub(in super::super) fn ensure_stack() {}
    pub(in super::super) fn install_interrupt() {}
    pub(in super::super) fn this_thread() -> i32 {
        0
    }
    pub(in super::super) fn interrupt(_: i32) {}
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod platform {
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::Once;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::backtrace::Backtrace;
    use super::super::crash_cause::{Cause, Crash, Place};
    use super::super::vm::Instance;
    use super::super::{address_check, current_instance, guard};
    use crate::instance::budget::request;

    const SIGNALS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];

    /// The handlers that were there before, in the order of `SIGNALS`.
    static mut PREVIOUS: [MaybeUninit<libc::sigaction>; 4] = [const { MaybeUninit::uninit() }; 4];

    /// Installs the handlers, once in the process.
    pub(in super::super) fn install() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            find_leaves();
            for (index, signal) in SIGNALS.into_iter().enumerate() {
                // SAFETY: an all-zero sigaction is valid. The previous action is stored before the handler that reads it can run: it is
                // asked for first. Only this closure, which runs once, writes to PREVIOUS.
                unsafe {
                    let mut previous: libc::sigaction = std::mem::zeroed();
                    libc::sigaction(signal, ptr::null(), &mut previous);
                    (*ptr::addr_of_mut!(PREVIOUS[index])).write(previous);
                    let mut action: libc::sigaction = std::mem::zeroed();
                    action.sa_sigaction = handler as *const () as usize;
                    // Not deferred: walking a damaged stack may fault again.
                    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
                    libc::sigemptyset(&mut action.sa_mask);
                    libc::sigaction(signal, &action, ptr::null_mut());
                }
            }
        });
    }

    extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel passes a valid context to a SA_SIGINFO handler, on the thread that faulted. The instance, if there is one,
        // lives for as long as it is current on this thread.
        unsafe {
            let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
            let instruction = registers[libc::REG_RIP as usize] as usize;
            if let Some(landing) = address_check::landing(instruction) {
                registers[libc::REG_RIP as usize] = landing as i64;
                return;
            }
            if let Some(instance) = current_instance::get().as_ref()
                && instance.frame.is_entered()
                && let Some(crash) = crash(
                    instance,
                    signal,
                    instruction,
                    (*info).si_addr() as usize,
                    registers[libc::REG_RSP as usize] as usize,
                )
            {
                instance.crash.set(Some(crash));
                registers[libc::REG_RSP as usize] = instance.frame.address() as i64;
                registers[libc::REG_RIP as usize] = guard::resume as *const () as usize as i64;
                return;
            }
            pass_on(signal, info, context);
        }
    }

    /// The crash, if the fault is the plugin's.
    ///
    /// # Safety
    ///
    /// Called in the handler of the signal, for the instance that runs on this thread.
    unsafe fn crash(
        instance: &Instance,
        signal: libc::c_int,
        instruction: usize,
        address: usize,
        stack_pointer: usize,
    ) -> Option<Crash> {
        if let Some(cause) = instance.walking.take() {
            // Walking the stack of a first fault faulted too: without a backtrace then.
            return Some(Crash { cause, backtrace: Backtrace::default() });
        }
        let base = instance.span.start;
        let place = if instance.span.contains(&instruction) {
            Place::Image(instruction - base)
        } else if instance.in_host.get() {
            return None;
        } else if instruction == address {
            // On this thread only the plugin's code can have jumped there.
            Place::Nowhere
        } else if is_leaf(instruction) {
            Place::Leaf
        } else {
            return None;
        };
        let cause = Cause::Fault { signal, place, address };
        instance.walking.set(Some(cause));
        let mut backtrace = Backtrace::capture_interrupted(&instance.span, instance.frame.address());
        instance.walking.set(None);
        if place == Place::Nowhere && backtrace.frames().is_empty() && address_check::readable(stack_pointer as u64, 8)
        {
            // From where no code is, nobody knows the way back; but who called left its address on the stack.
            // SAFETY: it can be read.
            let caller = unsafe { (stack_pointer as *const usize).read() };
            if instance.span.contains(&caller) {
                backtrace.push((caller - base) as u64 - 1);
            }
        }
        Some(Crash { cause, backtrace })
    }

    /// Functions of the C library that take no lock and call nothing: a fault in one is that of who called it.
    const LEAVES: [&std::ffi::CStr; 16] = [
        c"memcpy", c"memmove", c"memset", c"memcmp", c"bcmp", c"memchr", c"memrchr", c"strlen", c"strnlen", c"strcmp",
        c"strncmp", c"strchr", c"strrchr", c"strcpy", c"strncpy", c"strcat",
    ];

    /// Where they begin, as chosen for this processor.
    static LEAF_ADDRESSES: [AtomicUsize; LEAVES.len()] = [const { AtomicUsize::new(0) }; LEAVES.len()];

    fn find_leaves() {
        for (name, address) in LEAVES.iter().zip(&LEAF_ADDRESSES) {
            // SAFETY: the name ends with a null.
            address.store(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) } as usize, Ordering::Relaxed);
        }
    }

    /// Whether an instruction is of one of them.
    fn is_leaf(instruction: usize) -> bool {
        unsafe extern "C" {
            // Of libgcc_s: the beginning of the function that has an instruction.
            fn _Unwind_FindEnclosingFunction(instruction: usize) -> usize;
        }
        // SAFETY: any address may be asked about.
        let function = unsafe { _Unwind_FindEnclosingFunction(instruction) };
        function != 0 && LEAF_ADDRESSES.iter().any(|leaf| leaf.load(Ordering::Relaxed) == function)
    }

    /// Does what would have been done without this handler.
    ///
    /// # Safety
    ///
    /// The arguments are those of a signal handler.
    unsafe fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let Some(index) = SIGNALS.iter().position(|known| *known == signal) else { return };
        // SAFETY: written before this handler was installed, and never after.
        unsafe {
            let previous = &*ptr::addr_of!(PREVIOUS[index]);
            match previous.assume_init_ref().sa_sigaction {
                // The fault comes again when this handler returns, and then ends the process as it would have.
                libc::SIG_DFL | libc::SIG_IGN => {
                    libc::sigaction(signal, previous.as_ptr(), ptr::null_mut());
                }
                _ => forward(previous, signal, info, context),
            }
        }
    }

    /// By which the watchdog interrupts a thread: ignored where nobody handles it, and rarely used.
    const INTERRUPT: libc::c_int = libc::SIGURG;

    /// Who handled it before.
    static mut INTERRUPT_BEFORE: MaybeUninit<libc::sigaction> = MaybeUninit::uninit();

    /// Installs the handler of the watchdog's signal, once in the process.
    pub(in super::super) fn install_interrupt() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: as in `install`.
            unsafe {
                let mut previous: libc::sigaction = std::mem::zeroed();
                libc::sigaction(INTERRUPT, ptr::null(), &mut previous);
                (*ptr::addr_of_mut!(INTERRUPT_BEFORE)).write(previous);
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = interrupted as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
                libc::sigemptyset(&mut action.sa_mask);
                libc::sigaction(INTERRUPT, &action, ptr::null_mut());
            }
        });
    }

    /// The number by which another thread interrupts this one.
    pub(in super::super) fn this_thread() -> libc::pid_t {
        // SAFETY: takes nothing.
        unsafe { libc::gettid() }
    }

    /// Interrupts a thread of this process.
    pub(in super::super) fn interrupt(thread: libc::pid_t) {
        // SAFETY: a thread that has ended gives an error; another one that has its number now passes the signal on.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, INTERRUPT) };
    }

    extern "C" fn interrupted(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: as in `handler`.
        unsafe {
            let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
            let instruction = registers[libc::REG_RIP as usize] as usize;
            let instance = current_instance::get().as_ref();
            let Some((instance, slot)) = instance.and_then(|instance| Some((instance, instance.state().slot()?)))
            else {
                return forward(&*ptr::addr_of!(INTERRUPT_BEFORE), signal, info, context);
            };
            let wanted = slot.request.load(Ordering::Acquire);
            if !matches!(wanted, request::STACK | request::STOP) {
                return forward(&*ptr::addr_of!(INTERRUPT_BEFORE), signal, info, context);
            }
            // Elsewhere than in the image there may be a lock: the watchdog asks again.
            if instance.in_host.get() || !instance.frame.is_entered() || !instance.span.contains(&instruction) {
                return;
            }
            let backtrace = Backtrace::capture_interrupted(&instance.span, instance.frame.address());
            if wanted == request::STOP && !backtrace.is_own() {
                return;
            }
            slot.answer(backtrace.frames());
            if wanted == request::STOP {
                instance.crash.set(Some(Crash { cause: Cause::Overrun, backtrace }));
                registers[libc::REG_RSP as usize] = instance.frame.address() as i64;
                registers[libc::REG_RIP as usize] = guard::resume as *const () as usize as i64;
            }
        }
    }

    /// Calls the handler that was there before, if there was one.
    ///
    /// # Safety
    ///
    /// The action is initialised, and the rest are the arguments of a signal handler.
    unsafe fn forward(
        action: &MaybeUninit<libc::sigaction>,
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        // SAFETY: the caller's promise; a handler's address is a function of the kind that its flags say.
        unsafe {
            let action = action.assume_init();
            match action.sa_sigaction {
                libc::SIG_DFL | libc::SIG_IGN => {}
                handler if action.sa_flags & libc::SA_SIGINFO != 0 => {
                    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                        std::mem::transmute(handler);
                    handler(signal, info, context);
                }
                handler => {
                    let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
                    handler(signal);
                }
            }
        }
    }

    /// How large the stack for signal handlers is: room for the registers of the largest processors, and for walking a stack.
    const STACK: usize = 64 * 1024;

    /// Gives this thread a stack for signal handlers, if it has none as large: without it an overflow of the stack cannot be handled.
    pub(in super::super) fn ensure_stack() {
        thread_local! {
            static OWN: std::cell::OnceCell<SignalStack> = const { std::cell::OnceCell::new() };
        }
        OWN.with(|own| {
            own.get_or_init(SignalStack::install);
        });
    }

    /// Taken away when the thread ends.
    struct SignalStack {
        memory: Option<Box<[u8]>>,
    }

    impl SignalStack {
        fn install() -> SignalStack {
            // SAFETY: all-zero is a valid stack_t, and is only written to.
            let mut previous: libc::stack_t = unsafe { std::mem::zeroed() };
            // SAFETY: the place is valid.
            unsafe { libc::sigaltstack(ptr::null(), &mut previous) };
            if previous.ss_flags & libc::SS_DISABLE == 0 && previous.ss_size >= STACK {
                return SignalStack { memory: None };
            }
            let mut memory = vec![0u8; STACK].into_boxed_slice();
            let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: STACK };
            // SAFETY: the memory lives until no stack is set.
            unsafe { libc::sigaltstack(&stack, ptr::null_mut()) };
            SignalStack { memory: Some(memory) }
        }
    }

    impl Drop for SignalStack {
        fn drop(&mut self) {
            if self.memory.is_some() {
                // Not the one that was there before: its owner may have freed it by now, as Rust's threads have.
                let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
                // SAFETY: no signal is being handled on this thread: this runs outside of any handler.
                unsafe { libc::sigaltstack(&none, ptr::null_mut()) };
            }
        }
    }
}

pub(super) use platform::{ensure_stack, install, install_interrupt, interrupt, this_thread};
