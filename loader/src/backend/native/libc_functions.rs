//! What is known of functions of the C library that plugins call: which have no effect beyond the call, and which may be abandoned.
//!
//! A function that is not here may have every effect. Functions that the loader replaces have none, since it follows what they do.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::interposed::interposed;

/// What goes on when a function has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It keeps something for the calling thread.
    OnThread,
    /// It keeps an address that it was given.
    KeptAddress,
    /// It has resized or freed memory that its caller allocated.
    ChangedMemory,
}

/// Whether a function that a plugin imports may have an effect.
pub(super) fn may_have(effect: Effect, function: &str) -> bool {
    let is_of_others = OF_OTHERS.iter().any(|prefix| function.starts_with(prefix));
    if is_of_others || INTERPOSED.contains(&function) {
        return false;
    }
    known(function).or_else(|| known(plain_name(function))).is_none_or(|known| known == Some(effect))
}

/// Whether the process, before it loads a plugin's own libraries, has a function.
#[cfg(feature = "native")]
pub(super) fn is_of_process(function: &str) -> bool {
    // SAFETY: the name ends with a null.
    std::ffi::CString::new(function)
        .is_ok_and(|name| unsafe { !libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()).is_null() })
}

/// The one effect of a function that is known.
fn known(function: &str) -> Option<Option<Effect>> {
    static KNOWN: LazyLock<HashMap<&str, Option<Effect>>> = LazyLock::new(|| {
        let lists = [
            (ABANDONABLE, None),
            (WITHOUT_EFFECT, None),
            (ON_THREAD, Some(Effect::OnThread)),
            (KEEP_ADDRESSES, Some(Effect::KeptAddress)),
            (CHANGE_MEMORY, Some(Effect::ChangedMemory)),
        ];
        lists.into_iter().flat_map(|(names, effect)| names.iter().map(move |name| (*name, effect))).collect()
    });
    let mut mathematical =
        [Some(function), function.strip_suffix('f'), function.strip_suffix('l')].into_iter().flatten();
    KNOWN.get(function).copied().or_else(|| mathematical.any(|name| MATHEMATICAL.contains(&name)).then_some(None))
}

/// The name of the function that this is a variant of: checked, with large offsets, without locks, with a locale, of a standard.
fn plain_name(function: &str) -> &str {
    let prefix =
        ["__isoc99_", "__isoc23_", "__xpg_", "__"].into_iter().find_map(|prefix| function.strip_prefix(prefix));
    let name = prefix.unwrap_or(function);
    ["_chk", "64", "_unlocked", "_l"].into_iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

/// How names begin that are not the C library's: hostcalls, what the linker defines, and the runtimes of C and C++, which are the loader's or
/// the program's.
const OF_OTHERS: &[&str] = &[
    "proxy_",
    "_GLOBAL_OFFSET_TABLE_",
    "__start_",
    "__stop_",
    "_Z",
    "_Unwind_",
    "_ITM_",
    "__cxa_",
    "__gxx_",
    "__dynamic_cast",
    "__gmon_start__",
    "__aarch64_",
];

macro_rules! interposed_names {
    ($($kind:ident { $($name:literal => $function:path,)* })*) => { &[$($($name),*),*] };
}

const INTERPOSED: &[&str] = interposed!(interposed_names);

/// Any layout that reads well: there are many.
macro_rules! names {
    ($($name:ident)*) => { &[$(stringify!($name)),*] };
}

/// Functions that take no lock, in their whole tree of calls, but the allocator's, and have no effect beyond the call: they hold nothing
/// when they are abandoned in the middle.
pub(super) const ABANDONABLE: &[&str] = names! {
    // Memory and strings: they access their arguments and nothing else. `strdup` allocates before it copies.
    memcpy mempcpy memmove memset memcmp memccpy memchr memrchr memmem rawmemchr bcmp bzero
    strlen strnlen strcmp strncmp strcasecmp strncasecmp strchr strchrnul strrchr strstr strcasestr strspn strcspn strpbrk
    strcpy stpcpy strncpy stpncpy strcat strncat strtok_r strsep strdup strndup
    __memcpy_chk __memmove_chk __memset_chk __mempcpy_chk __strcpy_chk __stpcpy_chk __strncpy_chk __strcat_chk __strncat_chk
    __strdup __strndup wcslen wcscpy wcscmp wmemcpy wmemmove wmemset
    // Formatting to and from memory: the stream is a variable of theirs, and has no lock.
    sprintf snprintf vsprintf vsnprintf __sprintf_chk __snprintf_chk __vsprintf_chk __vsnprintf_chk
    sscanf vsscanf __isoc99_sscanf __isoc99_vsscanf __isoc23_sscanf __isoc23_vsscanf
    // Callbacks over the plugin's own memory. At most a temporary array leaks.
    qsort qsort_r bsearch lfind lsearch tfind tsearch tdelete twalk
};

/// Functions and variables without an effect that matters when they have returned: what they keep is the process's, or the caller's, or a
/// copy. The allocator's are replaced with the heap or without it.
const WITHOUT_EFFECT: &[&str] = names! {
    // What compilers refer to. An address in thread-local storage is asked for again in each function.
    __tls_get_addr __errno_location __h_errno_location __ctype_b_loc __ctype_tolower_loc __ctype_toupper_loc __ctype_get_mb_cur_max
    __divti3 __modti3 __udivti3 __umodti3 __udivmodti4 __multi3 __muloti4 __popcountdi2 __popcountti2
    __libc_single_threaded __dso_handle __stack_chk_guard __chk_fail __fortify_fail __fdelt_chk _dl_find_object dl_iterate_phdr
    setjmp _setjmp sigsetjmp longjmp _longjmp siglongjmp __assert __assert_perror_fail
    environ _environ stdin stdout stderr program_invocation_name program_invocation_short_name
    tzname timezone daylight signgam optarg optind opterr optopt errno
    // Arithmetic of libgcc_s for a long double that the processor does not have, on aarch64.
    __addtf3 __subtf3 __multf3 __divtf3 __negtf2 __powitf2 __eqtf2 __netf2 __getf2 __gttf2 __letf2 __lttf2 __unordtf2
    __extenddftf2 __extendsftf2 __extendhftf2 __trunctfdf2 __trunctfsf2 __trunctfhf2
    __fixtfdi __fixtfsi __fixtfti __fixunstfdi __fixunstfsi __fixunstfti
    __floatditf __floatsitf __floattitf __floatunditf __floatunsitf __floatuntitf
    // Characters and strings. The text of `strerror` is the thread's: libstdc++, which has it in each of its plugins, copies it.
    isalnum isalpha isascii isblank iscntrl isdigit isgraph islower isprint ispunct isspace isupper isxdigit toascii tolower toupper
    iswalnum iswalpha iswblank iswcntrl iswctype iswdigit iswgraph iswlower iswprint iswpunct iswspace iswupper iswxdigit
    towlower towupper towctrans wctrans wctype wcwidth wcswidth btowc wctob
    strcoll strxfrm strverscmp strlcpy strlcat strerror strerror_r strerrorname_np strerrordesc_np sigabbrev_np sigdescr_np
    index rindex basename dirname ffs ffsl ffsll swab bcopy explicit_bzero getsubopt
    wcscat wcschr wcschrnul wcscoll wcscspn wcsdup wcsncat wcsncmp wcsncpy wcsnlen wcspbrk wcsrchr wcsspn wcsstr wcstok wcsxfrm
    wcscasecmp wcsncasecmp wcpcpy wcpncpy wmemchr wmemcmp wmempcpy
    mblen mbtowc wctomb mbstowcs wcstombs mbrlen mbrtowc wcrtomb mbsinit mbsrtowcs mbsnrtowcs wcsrtombs wcsnrtombs
    mbrtoc8 mbrtoc16 mbrtoc32 c8rtomb c16rtomb c32rtomb
    strtol strtoul strtoll strtoull strtoimax strtoumax strtod strtof strtold strfromd strfromf strfroml atoi atol atoll atof
    wcstol wcstoul wcstoll wcstoull wcstoimax wcstoumax wcstod wcstof wcstold
    abs labs llabs imaxabs div ldiv lldiv imaxdiv a64l l64a
    argz_count argz_create argz_create_sep argz_extract argz_next argz_stringify envz_entry envz_get
    regcomp regexec regerror regfree fnmatch glob globfree wordexp wordfree
    iconv iconv_open iconv_close gettext dgettext dcgettext ngettext dngettext dcngettext
    textdomain bindtextdomain bind_textdomain_codeset catopen catgets catclose
    setlocale localeconv newlocale duplocale freelocale nl_langinfo strfmon
    // Streams, which keep their buffers themselves.
    fopen freopen fdopen fclose fcloseall fflush fread fwrite fgetc fgets fputc fputs getc getchar putc putchar puts ungetc getw putw
    fgetpos fsetpos fseek fseeko ftell ftello rewind feof ferror clearerr fileno setlinebuf
    printf fprintf vprintf vfprintf dprintf vdprintf asprintf vasprintf scanf fscanf vscanf vfscanf perror psignal
    fwide fgetwc fgetws getwc getwchar fputwc fputws putwc putwchar ungetwc wprintf fwprintf swprintf vwprintf vfwprintf vswprintf
    wscanf fwscanf swscanf vwscanf vfwscanf vswscanf
    tmpfile tmpnam tempnam mktemp mkstemp mkstemps mkostemp mkostemps mkdtemp popen pclose
    syslog vsyslog closelog setlogmask err errx warn warnx verr verrx vwarn vwarnx error error_at_line
    // Files and directories.
    open openat creat close close_range closefrom read pread readv preadv preadv2 pwrite pwritev pwritev2 lseek
    dup dup2 dup3 pipe pipe2 fcntl flock lockf ioctl isatty ttyname ttyname_r tcgetattr tcsetattr
    stat fstat lstat fstatat xstat fxstat lxstat fxstatat statx statfs fstatfs statvfs fstatvfs
    access faccessat eaccess euidaccess chmod fchmod fchmodat lchmod chown fchown lchown fchownat umask
    link linkat unlink unlinkat remove rename renameat renameat2 symlink symlinkat readlink readlinkat realpath canonicalize_file_name
    mkdir mkdirat rmdir mkfifo mkfifoat mknod mknodat truncate ftruncate fallocate posix_fallocate posix_fadvise
    fsync fdatasync sync syncfs sync_file_range utime utimes utimensat futimens futimes lutimes
    opendir fdopendir readdir readdir_r closedir rewinddir seekdir telldir dirfd scandir alphasort versionsort ftw nftw
    getcwd get_current_dir_name chdir fchdir chroot sendfile splice tee copy_file_range memfd_create
    getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr
    inotify_init inotify_init1 inotify_add_watch inotify_rm_watch eventfd eventfd_read eventfd_write
    timerfd_create timerfd_settime timerfd_gettime signalfd poll ppoll select pselect
    epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
    // Memory of the system, and what the allocator tells of itself.
    mmap munmap mprotect mremap madvise posix_madvise msync mlock munlock mlockall munlockall mincore getpagesize
    shm_open shm_unlink shmget shmat shmdt shmctl mallinfo mallinfo2 malloc_info malloc_stats
    // The process, its children, its user, the system.
    fork _Fork wait waitpid waitid wait3 wait4 execl execle execlp execv execve execvp execvpe fexecve system daemon
    posix_spawn posix_spawnp pidfd_spawn pidfd_spawnp pidfd_open pidfd_getpid pidfd_send_signal
    posix_spawn_file_actions_init posix_spawn_file_actions_destroy posix_spawn_file_actions_addopen posix_spawn_file_actions_addclose
    posix_spawn_file_actions_adddup2 posix_spawn_file_actions_addchdir posix_spawn_file_actions_addchdir_np
    posix_spawn_file_actions_addfchdir posix_spawn_file_actions_addfchdir_np posix_spawn_file_actions_addclosefrom_np
    posix_spawnattr_init posix_spawnattr_destroy posix_spawnattr_getflags posix_spawnattr_setflags posix_spawnattr_getpgroup
    posix_spawnattr_setpgroup posix_spawnattr_getsigdefault posix_spawnattr_setsigdefault posix_spawnattr_getsigmask
    posix_spawnattr_setsigmask posix_spawnattr_setcgroup_np
    getpid getppid gettid getpgid setpgid getpgrp setpgrp getsid setsid
    getuid geteuid getgid getegid getresuid getresgid setuid setgid seteuid setegid setreuid setregid setresuid setresgid
    getgroups setgroups initgroups getgrouplist getlogin getlogin_r
    getpwnam getpwnam_r getpwuid getpwuid_r getgrnam getgrnam_r getgrgid getgrgid_r
    kill killpg raise setenv unsetenv clearenv getrlimit setrlimit prlimit getrusage times uname sysinfo getloadavg
    gethostname sethostname getdomainname sysconf pathconf fpathconf confstr getauxval gnu_get_libc_version gnu_get_libc_release
    get_nprocs get_nprocs_conf get_phys_pages get_avphys_pages
    sched_yield sched_getcpu getcpu sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_min sched_get_priority_max
    // Signals: the loader looks whether the handlers of these are the plugin's, as of those of the replaced `signal` and `sigaction`.
    bsd_signal sysv_signal __sysv_signal sigset
    sigemptyset sigfillset sigaddset sigdelset sigismember sigisemptyset sigandset sigorset
    sigpending sigsuspend sigwait sigwaitinfo sigtimedwait sigqueue siginterrupt alarm ualarm getitimer setitimer pause
    // Time.
    clock clock_getres clock_getcpuclockid clock_nanosleep nanosleep sleep usleep difftime mktime timegm timelocal
    gmtime gmtime_r localtime localtime_r asctime asctime_r ctime ctime_r strftime wcsftime strptime tzset timespec_get timespec_getres
    timer_settime timer_gettime timer_getoverrun timer_delete
    // Randomness, search, libraries that are loaded already. Of what the replaced `dlsym` finds, nothing is known.
    rand srand rand_r random srandom random_r srandom_r drand48 erand48 lrand48 nrand48 mrand48 jrand48 srand48 seed48 lcong48
    arc4random arc4random_buf arc4random_uniform hcreate hdestroy hcreate_r hdestroy_r hsearch_r insque remque twalk_r tdestroy
    dladdr dladdr1 dlinfo dlclose backtrace backtrace_symbols backtrace_symbols_fd
    // Sockets and names.
    socket socketpair bind listen accept accept4 connect shutdown send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg
    getsockopt setsockopt getsockname getpeername getaddrinfo freeaddrinfo gai_strerror getnameinfo res_init
    gethostbyname gethostbyname2 gethostbyaddr gethostbyname_r gethostbyname2_r gethostbyaddr_r hstrerror herror
    getservbyname getservbyport getservbyname_r getservbyport_r getprotobyname getprotobynumber
    inet_addr inet_aton inet_ntop inet_pton inet_network htonl htons ntohl ntohs in6addr_any in6addr_loopback
    if_nametoindex if_indextoname if_nameindex if_freenameindex getifaddrs freeifaddrs
    // Threads. A lock has an owner only until it is unlocked.
    pthread_self pthread_equal pthread_join pthread_detach pthread_once pthread_yield pthread_getattr_np pthread_getname_np
    pthread_getcpuclockid pthread_getaffinity_np pthread_getschedparam
    pthread_attr_init pthread_attr_destroy pthread_attr_getdetachstate pthread_attr_setdetachstate pthread_attr_getguardsize
    pthread_attr_setguardsize pthread_attr_getstack pthread_attr_setstack pthread_attr_getstacksize pthread_attr_setstacksize
    pthread_mutex_init pthread_mutex_destroy pthread_mutex_lock pthread_mutex_trylock pthread_mutex_timedlock
    pthread_mutex_clocklock pthread_mutex_unlock pthread_mutexattr_init pthread_mutexattr_destroy pthread_mutexattr_gettype
    pthread_mutexattr_settype pthread_mutexattr_getpshared pthread_mutexattr_setpshared
    pthread_rwlock_init pthread_rwlock_destroy pthread_rwlock_rdlock pthread_rwlock_tryrdlock pthread_rwlock_timedrdlock
    pthread_rwlock_clockrdlock pthread_rwlock_wrlock pthread_rwlock_trywrlock pthread_rwlock_timedwrlock pthread_rwlock_clockwrlock
    pthread_rwlock_unlock pthread_rwlockattr_init pthread_rwlockattr_destroy
    pthread_cond_init pthread_cond_destroy pthread_cond_wait pthread_cond_timedwait pthread_cond_clockwait pthread_cond_signal
    pthread_cond_broadcast pthread_condattr_init pthread_condattr_destroy pthread_condattr_getclock pthread_condattr_setclock
    pthread_spin_init pthread_spin_destroy pthread_spin_lock pthread_spin_trylock pthread_spin_unlock
    pthread_barrier_init pthread_barrier_destroy pthread_barrier_wait
    sem_init sem_destroy sem_open sem_close sem_unlink sem_post sem_wait sem_trywait sem_timedwait sem_clockwait sem_getvalue
    call_once mtx_init mtx_destroy mtx_lock mtx_trylock mtx_timedlock mtx_unlock
    cnd_init cnd_destroy cnd_wait cnd_timedwait cnd_signal cnd_broadcast thrd_current thrd_equal thrd_join thrd_detach thrd_sleep thrd_yield
    // The environment of floating point, as long as it is only read.
    fegetround fetestexcept fegetenv fegetexcept
};

/// The same of the mathematical library, each also for `float` (`f`) and `long double` (`l`).
const MATHEMATICAL: &[&str] = names! {
    acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp10 exp2 expm1 fabs fdim floor fma fmax fmin fmod
    fpclassify frexp gamma hypot ilogb isinf isnan finite issignaling j0 j1 jn ldexp lgamma lgamma_r llrint llround log log10 log1p log2 logb
    lrint lround modf nan nearbyint nextafter nexttoward pow remainder remquo rint round roundeven scalb scalbln scalbn signbit significand
    sin sincos sinh sqrt tan tanh tgamma trunc y0 y1 yn
    cabs cacos cacosh carg casin casinh catan catanh ccos ccosh cexp cimag clog clog10 conj cpow cproj creal csin csinh csqrt ctan ctanh
};

/// Functions that only keep something for the calling thread, or act on it: texts that they return, names, priorities, masks, rounding.
const ON_THREAD: &[&str] = names! {
    strsignal inet_ntoa dlerror
    pthread_kill pthread_sigqueue pthread_cancel pthread_setcancelstate pthread_setcanceltype pthread_testcancel tgkill
    pthread_setname_np pthread_setaffinity_np pthread_setschedparam pthread_setschedprio pthread_mutexattr_setrobust
    sched_setaffinity sched_setparam sched_setscheduler getpriority setpriority nice prctl arch_prctl setfsuid setfsgid unshare setns
    sigblock sigsetmask sighold sigrelse flockfile ftrylockfile funlockfile
    fesetround fesetenv feupdateenv feholdexcept feclearexcept feraiseexcept fesetexceptflag feenableexcept fedisableexcept
};

/// Functions that only keep addresses: of callbacks, buffers, or text.
const KEEP_ADDRESSES: &[&str] = names! {
    setbuf setbuffer setvbuf fmemopen open_memstream open_wmemstream fopencookie openlog strtok getopt getopt_long getopt_long_only
    mq_notify timer_create pthread_atfork __register_atfork register_printf_function register_printf_specifier hsearch initstate setstate
};

/// Functions that only resize or free memory of their caller, or replace the allocator.
const CHANGE_MEMORY: &[&str] = names! {
    argz_add argz_add_sep argz_append argz_delete argz_insert argz_replace envz_add envz_merge envz_remove envz_strip
    mallopt malloc_trim obstack_free _obstack_begin _obstack_newchunk
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_each_function_once() {
        let mut names =
            [INTERPOSED, ABANDONABLE, WITHOUT_EFFECT, MATHEMATICAL, ON_THREAD, KEEP_ADDRESSES, CHANGE_MEMORY].concat();
        names.sort_unstable();
        let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    #[test]
    fn variants_are_known_by_their_plain_names() {
        for function in
            ["open64", "__fprintf_chk", "__isoc23_strtol", "__xpg_strerror_r", "fputc_unlocked", "__strtod_l", "powf"]
        {
            assert!(!may_have(Effect::OnThread, function), "{function}");
        }
        assert!(may_have(Effect::KeptAddress, "__setvbuf") && !may_have(Effect::ChangedMemory, "__setvbuf"));
        assert!(may_have(Effect::OnThread, "__vfork"), "the loader does not replace it");
    }

    #[test]
    fn functions_that_are_not_known_may_have_every_effect() {
        for effect in [Effect::OnThread, Effect::KeptAddress, Effect::ChangedMemory] {
            assert!(may_have(effect, "vmsplice") && may_have(effect, "dlopen") && !may_have(effect, "memcpy"));
        }
    }
}
