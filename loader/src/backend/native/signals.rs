//! Signals: faults of the processor, and the watchdog's interrupts.
//!
//! A fault is contained if [`containment`](super::containment) says so. Every other one, and every signal that was sent, is passed on to who
//! handled it before: the handlers found when VMs start, newest first.

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod platform {
    pub(in super::super) fn install() -> bool {
        true
    }
    pub(in super::super) fn prepare_thread() {}
    pub(in super::super) fn prepare_new_thread() {}
    pub(in super::super) fn restore_mask() {}
    pub(in super::super) fn install_interrupt() {}
    pub(in super::super) fn this_thread() -> i32 {
        0
    }
    pub(in super::super) fn interrupt(_: i32) {}
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod platform {
    use std::cell::{Cell, OnceCell, UnsafeCell};
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::Once;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use super::super::backtrace::Backtrace;
    use super::super::containment::{self, From, Walking};
    use super::super::crash_cause::{Cause, Crash, Place};
    use super::super::registers::Registers;
    use super::super::vm::Instance;
    use super::super::{address_check, child_process, current_instance, guard, known_code, thread_stack};
    use crate::fork;

    const SIGNALS: [libc::c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];

    /// Handlers of a signal that were there when a VM started, oldest first.
    struct Previous {
        actions: [UnsafeCell<MaybeUninit<libc::sigaction>>; Previous::MOST],
        count: AtomicUsize,
    }

    // SAFETY: an action is written once, before the count says that it is there, and by one thread at a time (`install`).
    unsafe impl Sync for Previous {}

    impl Previous {
        const MOST: usize = 8;

        const fn new() -> Previous {
            let actions = [const { UnsafeCell::new(MaybeUninit::uninit()) }; Previous::MOST];
            Previous { actions, count: AtomicUsize::new(0) }
        }

        /// The newest handler after skipping `skipped` newer ones.
        fn newest_but(&self, skipped: usize) -> Option<libc::sigaction> {
            let index = self.count.load(Ordering::Acquire).checked_sub(skipped + 1)?;
            // SAFETY: it was written, and stays as it is.
            Some(unsafe { (*self.actions[index].get()).assume_init() })
        }

        /// Adds one, unless it is there. False if there is no room.
        ///
        /// # Safety
        ///
        /// No other thread does.
        unsafe fn add(&self, action: libc::sigaction) -> bool {
            let is = |known: libc::sigaction| known.sa_sigaction == action.sa_sigaction;
            let count = self.count.load(Ordering::Relaxed);
            if (0..count).any(|index| self.newest_but(index).is_some_and(is)) {
                return true;
            }
            let Some(place) = self.actions.get(count) else { return false };
            // SAFETY: nobody reads beyond the count, or writes.
            unsafe { (*place.get()).write(action) };
            self.count.store(count + 1, Ordering::Release);
            true
        }
    }

    static PREVIOUS: [Previous; SIGNALS.len()] = [const { Previous::new() }; SIGNALS.len()];

    /// Installs the handlers, in front of those that others installed since the last time. False if one of those stays in front: there
    /// were too many.
    pub(in super::super) fn install() -> bool {
        // The process in which a thread is here. Not a lock, which a fork could leave locked.
        static BUSY_IN: AtomicU64 = AtomicU64::new(0);
        let process = u64::from(fork::generation()) + 1;
        while BUSY_IN.swap(process, Ordering::Acquire) == process {
            std::thread::yield_now();
        }
        known_code::refresh();
        let mut first = true;
        for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
            // SAFETY: one thread at a time is here.
            first &= unsafe { install_one(signal, previous) };
        }
        BUSY_IN.store(0, Ordering::Release);
        first
    }

    /// # Safety
    ///
    /// No other thread is here.
    unsafe fn install_one(signal: libc::c_int, previous: &Previous) -> bool {
        // SAFETY: an all-zero sigaction is valid. The action that was there is stored before the handler that reads it can run.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, ptr::null(), &mut action);
            let handler = handler as *const () as usize;
            if action.sa_sigaction == handler {
                return true;
            }
            if !previous.add(action) {
                return false;
            }
            action.sa_sigaction = handler;
            // Not deferred: walking a damaged stack may fault again.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            libc::sigemptyset(&mut action.sa_mask);
            libc::sigaction(signal, &action, ptr::null_mut()) == 0
        }
    }

    extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        guard::clear_flags();
        // SAFETY: the kernel passes valid arguments to a SA_SIGINFO handler, on the thread that faulted. The instance, if there is one,
        // lives for as long as it is current on this thread.
        unsafe {
            // Others were sent by a process, and say nothing about the instruction.
            let is_fault = (*info).si_code > 0;
            if is_fault {
                let mut registers = Registers::of(context);
                if let Some(landing) = address_check::landing(registers.instruction()) {
                    registers.set_instruction(landing);
                    return;
                }
                if let Some(instance) = current_instance::get().as_ref()
                    && instance.frame.is_entered()
                    && !instance.in_host.get()
                {
                    if child_process::is_of(instance) {
                        child_process::die_of(signal);
                    }
                    if let Some(crash) = crash(instance, signal, &mut registers, (*info).si_addr() as usize) {
                        leave(instance, crash, registers);
                        return;
                    }
                }
            }
            pass_on(signal, info, context, is_fault);
        }
    }

    /// Has the guarded call return as crashed when the handler returns.
    fn leave(instance: &Instance, crash: Crash, mut registers: Registers<'_>) {
        instance.crash.set(Some(crash));
        registers.set_stack_pointer(instance.frame.address());
        registers.set_instruction(guard::resume as *const () as usize);
        registers.clear_flags();
    }

    /// Unblocks what a plugin that failed has blocked on this thread since its VM started.
    pub(in super::super) fn restore_mask() {
        // SAFETY: valid sets, and numbers of signals.
        unsafe {
            let (before, mut blocked): (libc::sigset_t, libc::sigset_t) = (MASK.get(), std::mem::zeroed());
            libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &mut blocked);
            for signal in (1..=libc::SIGRTMAX()).filter(|signal| libc::sigismember(&before, *signal) == 0) {
                libc::sigdelset(&mut blocked, signal);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &blocked, ptr::null_mut());
        }
    }

    /// The crash, if the fault is the plugin's and its call can be left.
    ///
    /// # Safety
    ///
    /// Called in the handler of the signal, for the instance that runs on this thread.
    unsafe fn crash(
        instance: &Instance,
        signal: libc::c_int,
        registers: &mut Registers<'_>,
        address: usize,
    ) -> Option<Crash> {
        if let Some(walking) = instance.walking.take() {
            // Walking the stack of a first failure faulted: without a backtrace then.
            let crash = Crash { cause: walking.cause, backtrace: Backtrace::default() };
            return walking.may_abandon(instance).then_some(crash);
        }
        let (instruction, stack_pointer) = (registers.instruction(), registers.stack_pointer());
        let place = if instance.span.contains(&instruction) {
            Place::Image(instruction.wrapping_sub(instance.origin))
        } else if instruction == address && matches!(signal, libc::SIGSEGV | libc::SIGBUS) {
            Place::Nowhere
        } else if known_code::is_c(instruction) {
            Place::Library
        } else {
            return None;
        };
        if place == Place::Nowhere
            && (!Registers::RETURNS_BY_STACK
                || address_check::readable(stack_pointer as u64, size_of::<usize>() as u64))
        {
            // From where no code is, nobody knows the way back; but a call says where it came from.
            // SAFETY: it can be read.
            unsafe { registers.return_to_caller() };
        } else if signal == libc::SIGTRAP && cfg!(target_arch = "x86_64") {
            // The instruction behind it may be another function's.
            registers.set_instruction(instruction - 1);
        }
        let cause = Cause::Fault { signal, place, address };
        instance.walking.set(Some(Walking::new(cause, stack_pointer)));
        let (backtrace, may_abandon) = containment::examine(instance, From::Signal(stack_pointer));
        instance.walking.set(None);
        registers.set_instruction(instruction);
        registers.set_stack_pointer(stack_pointer);
        may_abandon.then_some(Crash { cause, backtrace })
    }

    // SAFETY: an all-zero set is valid, and empty.
    const NO_SIGNALS: libc::sigset_t = unsafe { std::mem::zeroed() };

    thread_local! {
        // Constant and without destructors, so that handlers may read them.
        /// The signal that this thread is passing on: its context, and to how many handlers it went.
        static PASSING: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
        /// Signals that were blocked when a VM last started on this thread.
        static MASK: Cell<libc::sigset_t> = const { Cell::new(NO_SIGNALS) };
    }

    /// Does what would have been done without this handler.
    ///
    /// A handler that was installed later may pass the signal back to this one: then it goes on to the one before it.
    ///
    /// # Safety
    ///
    /// The arguments are those of a signal handler.
    unsafe fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void, is_fault: bool) {
        let Some(index) = SIGNALS.iter().position(|known| *known == signal) else { return };
        let outer = PASSING.get();
        let depth = if outer.0 == context as usize { outer.1 + 1 } else { 0 };
        let action = PREVIOUS[index].newest_but(depth);
        match action.map(|action| action.sa_sigaction) {
            None | Some(libc::SIG_DFL) => default_action(signal, is_fault),
            // The kernel ignores that for faults.
            Some(libc::SIG_IGN) if is_fault => default_action(signal, true),
            Some(libc::SIG_IGN) => {}
            Some(_) => {
                PASSING.set((context as usize, depth));
                // SAFETY: the caller's promise.
                unsafe { forward(action, signal, info, context) };
                PASSING.set(outer);
                if !is_fault {
                    finish(signal);
                }
            }
        }
    }

    /// Ends the process as the kernel would have.
    fn default_action(signal: libc::c_int, is_fault: bool) {
        if !is_fault {
            child_process::die_of(signal);
        }
        // The fault comes again when the handler returns, and the core then shows where.
        // SAFETY: an all-zero action is the default one.
        unsafe {
            let default: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, &default, ptr::null_mut());
        }
    }

    /// After a handler that took a signal which was sent. Some, as Rust's, remove themselves and expect a fault to come again, which this
    /// signal does not.
    fn finish(signal: libc::c_int) {
        // SAFETY: an all-zero action is a place for one.
        let action = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, ptr::null(), &mut action);
            action
        };
        if action.sa_sigaction == libc::SIG_DFL {
            child_process::die_of(signal);
        }
    }

    /// By which the watchdog interrupts a thread: ignored where nobody handles it, and rarely used.
    const INTERRUPT: libc::c_int = libc::SIGURG;

    /// Who handled it before.
    static INTERRUPT_BEFORE: Previous = Previous::new();

    /// Installs the handler of the watchdog's signal, once in the process.
    pub(in super::super) fn install_interrupt() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: an all-zero sigaction is valid. The previous action is stored before the handler that reads it can run: it is
            // asked for first. Only this closure, which runs once, stores one.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                libc::sigaction(INTERRUPT, ptr::null(), &mut action);
                INTERRUPT_BEFORE.add(action);
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
        guard::clear_flags();
        // SAFETY: as in `handler`.
        unsafe {
            let registers = Registers::of(context);
            let instruction = registers.instruction();
            let instance = current_instance::get().as_ref();
            let Some((instance, slot)) = instance.and_then(|instance| Some((instance, instance.state().slot()?)))
            else {
                return forward(INTERRUPT_BEFORE.newest_but(0), signal, info, context);
            };
            let Some(request) = slot.requested() else {
                return forward(INTERRUPT_BEFORE.newest_but(0), signal, info, context);
            };
            // Elsewhere than in the image there may be a lock: the watchdog asks again.
            if instance.in_host.get()
                || !instance.frame.is_entered()
                || !(instance.span.contains(&instruction)
                    || known_code::is_abandonable(known_code::function_of(instruction)))
            {
                return slot.decline();
            }
            let (backtrace, may_abandon) = containment::examine(instance, From::Signal(registers.stack_pointer()));
            if request.stops() && !may_abandon {
                return slot.decline();
            }
            slot.answer(backtrace.frames());
            if request.stops() {
                leave(instance, Crash { cause: Cause::Overrun, backtrace }, registers);
            }
        }
    }

    /// Calls the handler that was there before, if there was one.
    ///
    /// # Safety
    ///
    /// The rest are the arguments of a signal handler.
    unsafe fn forward(
        action: Option<libc::sigaction>,
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        let Some(action) = action else { return };
        // SAFETY: the caller's promise; a handler's address is a function of the kind that its flags say.
        unsafe {
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

    thread_local! {
        static STACK_OF_THREAD: OnceCell<SignalStack> = const { OnceCell::new() };
    }

    /// The same as [`prepare_thread`] for a VM that comes from another thread, unless it was done for an earlier one.
    pub(in super::super) fn prepare_new_thread() {
        if STACK_OF_THREAD.try_with(|stack| stack.get().is_none()).unwrap_or(false) {
            prepare_thread();
        }
    }

    /// Gives this thread a stack for signal handlers, if it has none as large: without it an overflow of the stack cannot be handled. Notes
    /// which signals are blocked, and where the stack ends.
    pub(in super::super) fn prepare_thread() {
        thread_stack::find();
        // At the end of a thread, what it has must do.
        let _ = STACK_OF_THREAD.try_with(|stack| {
            stack.get_or_init(SignalStack::install);
        });
        // SAFETY: a place for a set, which the call fills.
        unsafe {
            let mut mask: libc::sigset_t = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &mut mask);
            MASK.set(mask);
        }
    }

    /// A thread's alternate signal stack, removed when the thread ends.
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

pub(super) use platform::{
    install, install_interrupt, interrupt, prepare_new_thread, prepare_thread, restore_mask, this_thread,
};
