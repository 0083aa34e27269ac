//! Exceptions, panics and backtraces through frames of images.

use std::ffi::{CStr, c_char, c_void};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use dynvm_image::{Import, Importer, Runtimes};

use crate::compile;
use crate::load::{call, link, link_with, load, nothing, run, runtimes, start};

/// Throws its own exception through frames with destructors, catches one of the library's, and uses what needs the library's state.
pub const CPP: &str = r#"
    #include <iostream>
    #include <map>
    #include <sstream>
    #include <stdexcept>
    #include <string>
    #include <vector>
    static const std::map<std::string, int> words = {{"long", 43}};
    static int alive = 0;
    struct Guard { Guard() { ++alive; } ~Guard() { --alive; } };
    struct Own : std::runtime_error { using runtime_error::runtime_error; };
    static thread_local std::string text = "long enough to be allocated on the heap";
    __attribute__((noinline)) static int deep(int levels) {
        Guard guard;
        if (levels == 0) throw Own("own exception");
        return deep(levels - 1) + alive;
    }
    extern "C" int own_exception(int levels) {
        try { return deep(levels); } catch (const std::exception &e) { return alive == 0 && std::string(e.what()) == "own exception"; }
    }
    extern "C" int library_exception(int) {
        std::vector<int> few(3);
        int caught = 0;
        try { few.at(7); } catch (const std::out_of_range &) { caught += 1; }
        try { (void)std::stoi("no number"); } catch (const std::invalid_argument &) { caught += 10; }
        try { std::string().substr(1); } catch (...) { caught += 100; }
        return caught;
    }
    extern "C" int library(int) {
        std::ostringstream out;
        out << text << ' ' << 1.5;
        std::cerr.flush();
        return words.at(text.substr(0, 4)) - (int)out.str().size();
    }
    extern "C" int rethrown(int) {
        try { try { deep(3); } catch (...) { std::exception_ptr p = std::current_exception(); std::rethrow_exception(p); } }
        catch (const Own &) { return std::uncaught_exceptions() == 0; }
        return 0;
    }
"#;

fn exceptions_are_caught(path: &Path) {
    let linked = link(path);
    let images: Vec<_> = (0..3).map(|_| start(&linked)).collect();
    for image in &images {
        assert_eq!(call(image, "own_exception", 20), 1);
        assert_eq!(call(image, "library_exception", 0), 111);
        assert_eq!(call(image, "library", 0), 0);
        assert_eq!(call(image, "rethrown", 0), 1);
    }
}

#[needs::cxx]
#[test]
fn exceptions_of_the_shared_library_are_caught() {
    exceptions_are_caught(&compile::cpp(CPP, &["-std=c++17"]));
}

#[needs::cxx]
#[test]
fn exceptions_of_a_static_library_are_caught() {
    exceptions_are_caught(&compile::cpp(CPP, &["-std=c++17", "-static-libstdc++", "-static-libgcc"]));
}

#[needs::clang_cxx]
#[test]
fn exceptions_of_clang_are_caught() {
    exceptions_are_caught(&compile::clang_cpp(CPP, &["-std=c++17"]));
}

#[needs::cxx]
#[test]
fn the_private_library_allocates_from_what_is_bound() {
    static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn malloc(size: usize) -> *mut c_void {
        ALLOCATED.fetch_add(size, Ordering::Relaxed);
        // SAFETY: any size may be asked for.
        unsafe { libc::malloc(size) }
    }
    let bind = |_: Importer<'_>, import: &Import| (import.name() == "malloc").then_some(malloc as *const () as usize);
    let private = Runtimes::new(bind);
    let source = "#include <string>\nextern \"C\" int allocate(int size) { return std::string(size, 'x').size() + *new int(1); }";
    let path = compile::cpp(source, &[]);
    let bytes = std::fs::read(&path).unwrap();
    let facts = dynvm_image::Facts::read(&bytes).unwrap();
    // SAFETY: a file that the test has compiled.
    let linked = unsafe { dynvm_image::Linker::new(&nothing).runtimes(&private).link(facts, &bytes).unwrap() };
    assert!(private.image("libgcc_s.so.1").is_some() && private.image("libc.so.6").is_none());
    let library = private.image("libstdc++.so.6").unwrap();
    assert!(library.span().contains(&library.symbol("_ZSt9terminatev").unwrap()));
    let image = start(&linked);
    let before = ALLOCATED.load(Ordering::Relaxed);
    assert_eq!(call(&image, "allocate", 100_000), 100_001);
    assert!(ALLOCATED.load(Ordering::Relaxed) - before >= 100_000);
}

#[needs::cxx]
#[test]
fn destructors_of_thread_locals_are_registered_where_the_program_says() {
    static REGISTERED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn at_thread_exit(_: usize, _: usize, _: usize) -> i32 {
        REGISTERED.fetch_add(1, Ordering::Relaxed);
        0
    }
    let source = "#include <string>\nstatic thread_local std::string text = \"some text\"; extern \"C\" int size() { return text.size(); }";
    let bind = |_: Importer<'_>, import: &Import| {
        (import.name() == "__cxa_thread_atexit").then_some(at_thread_exit as *const () as usize)
    };
    let image = start(&link_with(&compile::cpp(source, &[]), &bind).unwrap());
    assert_eq!((call(&image, "size", 0), REGISTERED.load(Ordering::Relaxed)), (9, 1));
}

const RUST: &str = r#"
    use std::cell::Cell;
    thread_local! { static LOCAL: Cell<i32> = const { Cell::new(5) }; }
    #[unsafe(no_mangle)]
    extern "C" fn caught(value: i32) -> i32 {
        std::panic::set_hook(Box::new(|_| {}));
        std::panic::catch_unwind(|| { if value == 1 { panic!("one") } value }).unwrap_or(-1)
    }
    #[inline(never)]
    fn innermost() -> String { std::backtrace::Backtrace::force_capture().to_string() }
    #[unsafe(no_mangle)]
    extern "C" fn backtrace() -> *mut std::ffi::c_char { std::ffi::CString::new(innermost()).unwrap().into_raw() }
    #[unsafe(no_mangle)]
    extern "C" fn in_thread(value: i32) -> i32 {
        LOCAL.set(value);
        let other = std::thread::spawn(move || { LOCAL.set(LOCAL.get() + 1); std::panic::catch_unwind(|| panic!()).is_err() as i32 + LOCAL.get() });
        other.join().unwrap() * 100 + LOCAL.get()
    }
"#;

#[test]
fn rust_panics_are_caught_and_backtraces_name_functions() {
    let linked = link(&compile::rust(RUST, &[]));
    let images: Vec<_> = (0..3).map(|_| start(&linked)).collect();
    for image in &images {
        assert_eq!((call(image, "caught", 1), call(image, "caught", 2)), (-1, 2));
        assert_eq!(call(image, "in_thread", 9), 709);
        let Ok(text) = run(image.symbol("backtrace").unwrap(), [0; 5]);
        // SAFETY: a string that the image does not free.
        let text = unsafe { CStr::from_ptr(text as *const c_char) }.to_string_lossy();
        assert!(text.contains("plugin::innermost") && text.contains("backtrace"), "{text}");
        // Behind the image's frames, those of this program.
        assert!(text.contains("rust_panics_are_caught_and_backtraces_name_functions"), "{text}");
    }
}

#[needs::cc]
#[test]
fn addresses_are_described() {
    let source = "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <link.h>\n#include <stdlib.h>\n#include <string.h>
        int exported(void) { return 1; }
        int describe(void) {
            Dl_info own, other;
            if (!dladdr((char *)exported, &own) || strcmp(own.dli_sname, \"exported\") || own.dli_saddr != exported) return 1;
            if (!strstr(own.dli_fname, \".so\")) return 2;
            if (!dladdr((void *)abs, &other) || !strstr(other.dli_fname, \"libc\")) return 3;
            return 0;
        }
        static int visit(struct dl_phdr_info *info, size_t size, void *data) {
            for (int i = 0; i < info->dlpi_phnum; i++) {
                unsigned long start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
                if (info->dlpi_phdr[i].p_type == PT_LOAD && (unsigned long)exported - start < info->dlpi_phdr[i].p_memsz) return *(int *)data;
            }
            *(int *)data += 1;
            return 0;
        }
        int place(void) { int count = 0; return dl_iterate_phdr(visit, &count); }";
    let image = load(&compile::c(source, &["-ldl"]));
    assert_eq!(call(&image, "describe", 0), 0);
    assert!(call(&image, "place", 0) > 3, "the program's own objects come first");
}

#[needs::cc]
#[test]
fn the_unwinder_walks_through_images() {
    static SEEN: std::sync::Mutex<Vec<usize>> = std::sync::Mutex::new(Vec::new());
    extern "C" fn look() -> i32 {
        let unwinder = runtimes().unwinder().unwrap();
        let mut frames = Vec::new();
        unwinder.walk(&mut |frame| {
            assert!(frame.frame != 0 && !frame.is_interrupted);
            frames.push(frame.address);
            true
        });
        *SEEN.lock().unwrap() = frames;
        0
    }
    let source = "int look(void); __attribute__((noinline)) int inner(void) { return look() + 1; } int outer(void) { return inner() + 1; }";
    let bind = |_: Importer<'_>, import: &Import| (import.name() == "look").then_some(look as *const () as usize);
    let image = start(&link_with(&compile::c(source, &[]), &bind).unwrap());
    assert_eq!(call(&image, "outer", 0), 2);
    let frames = SEEN.lock().unwrap().clone();
    let inside: Vec<usize> = (0..frames.len()).filter(|index| image.span().contains(&frames[*index])).collect();
    assert_eq!(inside.len(), 2, "{frames:x?}");
    assert!(inside[0] > 0 && frames.len() > inside[1] + 3, "frames of the program on both sides: {frames:x?}");
}
