//! The functions of the C and C++ libraries that plugins have from the loader, by name and kind.

/// Calls a macro with the table.
macro_rules! interposed {
    ($macro:ident) => {
        $macro! {
            Lifetime {
                "__cxa_thread_atexit_impl" => destructors::at_thread_exit,
                "__cxa_thread_atexit" => destructors::at_thread_exit,
                "__cxa_atexit" => destructors::at_exit,
                "__cxa_at_quick_exit" => destructors::at_quick_exit,
                "atexit" => destructors::at_exit_plain,
                "on_exit" => destructors::on_exit,
                "pthread_key_create" => keys::create,
                "__pthread_key_create" => keys::create,
                "pthread_key_delete" => keys::delete,
                "pthread_getspecific" => keys::get,
                "pthread_setspecific" => keys::set,
                "tss_create" => keys::create_c11,
                "tss_delete" => keys::delete_c11,
                "tss_get" => keys::get,
                "tss_set" => keys::set,
                "pthread_create" => threads::create,
                "thrd_create" => threads::create_c11,
                "pthread_sigmask" => plugin_signals::set_mask,
                "sigprocmask" => plugin_signals::set_mask,
                "sigaltstack" => plugin_signals::set_stack,
                "sigaction" => plugin_signals::sigaction,
                "signal" => plugin_signals::signal,
                "putenv" => environment::putenv,
                "uselocale" => locale::uselocale,
                "__uselocale" => locale::uselocale,
                "vfork" => child_process::vfork,
            }
            Exit {
                "abort" => process_exit::abort,
                "exit" => process_exit::exit,
                "_exit" => process_exit::exit_now,
                "_Exit" => process_exit::exit_now,
                "quick_exit" => process_exit::exit,
                "pthread_exit" => process_exit::thread_exit,
                "thrd_exit" => process_exit::thread_exit,
                "__assert_fail" => process_exit::assert_fail,
                "__stack_chk_fail" => process_exit::stack_chk_fail,
            }
            Output {
                "write" => stdio::write,
                "writev" => stdio::writev,
            }
            Clock {
                "clock_gettime" => clock::clock_gettime,
                "gettimeofday" => clock::gettimeofday,
                "time" => clock::time,
                "_ZNSt6chrono3_V212system_clock3nowEv" => clock::system_clock_now,
                "_ZNSt6chrono3_V212steady_clock3nowEv" => clock::steady_clock_now,
            }
            Random {
                "getrandom" => random::getrandom,
                "getentropy" => random::getentropy,
                "syscall" => random::syscall,
                "dlsym" => random::dlsym,
                "_Z17__wasi_random_getPhm" => random::random_get,
            }
            Environment {
                "getenv" => environment::getenv,
                "secure_getenv" => environment::getenv,
            }
            Heap {
                "malloc" => heap::malloc,
                "calloc" => heap::calloc,
                "realloc" => heap::realloc,
                "reallocarray" => heap::reallocarray,
                "free" => heap::free,
                "cfree" => heap::free,
                "posix_memalign" => heap::posix_memalign,
                "aligned_alloc" => heap::aligned_alloc,
                "memalign" => heap::aligned_alloc,
                "valloc" => heap::valloc,
                "pvalloc" => heap::valloc,
                "malloc_usable_size" => heap::usable_size,
                "getline" => lines::getline,
                "getdelim" => lines::getdelim,
                "__getdelim" => lines::getdelim,
            }
        }
    };
}

pub(super) use interposed;
