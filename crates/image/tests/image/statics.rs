//! Variables, relocations and functions of images.

use std::sync::atomic::{AtomicI32, Ordering};

use dynvm_image::{Image, Import, Importer};

use crate::compile;
use crate::load::{call, link, link_with, load, run, start, stop};

const COUNTER: &str = "
    static int count = 40;
    static int zeros[5000];
    int *place = &count;
    int (*table[])(void);
    int next(void) { zeros[4999] += 1; return ++*place + zeros[4999]; }
    int through(void) { return table[0](); }
    int (*table[])(void) = { next };
";

#[needs::cc]
#[test]
fn each_image_has_its_own_variables() {
    let linked = link(&compile::c(COUNTER, &[]));
    let (first, second) = (start(&linked), start(&linked));
    assert_eq!(call(&first, "next", 0), 42);
    assert_eq!(call(&first, "through", 0), 44);
    assert_eq!(call(&second, "through", 0), 42);
    assert_ne!(first.base(), second.base());
    assert!(first.span().contains(&first.symbol("next").unwrap()));
    assert_eq!(first.symbol("count"), None);
}

#[needs::cc]
#[test]
fn packed_relocations_are_applied() {
    let path = compile::c(COUNTER, &["-Wl,-z,pack-relative-relocs"]);
    let image = load(&path);
    assert_eq!(call(&image, "through", 0), 42);
}

#[needs::cc]
#[test]
fn large_zeroed_memory_is_not_in_the_memory_file() {
    let source =
        "static char zeros[8 << 20]; int last(void) { zeros[sizeof zeros - 1] += 7; return zeros[sizeof zeros - 1]; }
        static __thread int local = 3; int thread_local(void) { return local++; }";
    let linked = link(&compile::c(source, &[]));
    let (first, second) = (start(&linked), start(&linked));
    for image in [&first, &second] {
        assert_eq!((call(image, "last", 0), call(image, "last", 0)), (7, 14));
        assert_eq!((call(image, "thread_local", 0), call(image, "thread_local", 0)), (3, 4));
    }
    assert!(linked.shared_size() < 1 << 20, "{}", linked.shared_size());
}

#[needs::cc]
#[test]
fn variables_are_aligned_as_they_ask() {
    let source = "static char page[16] __attribute__((aligned(2 << 20))) = {1};
        int is_aligned(void) { return (unsigned long)page % (2 << 20) == 0; }";
    let linked = link(&compile::c(source, &["-Wl,-z,max-page-size=0x200000"]));
    for _ in 0..4 {
        assert_eq!(call(&start(&linked), "is_aligned", 0), 1);
    }
}

#[needs::cc]
#[test]
fn constructors_and_destructors_run_in_order() {
    static LOG: AtomicI32 = AtomicI32::new(0);
    extern "C" fn note(digit: i32) {
        LOG.store(LOG.load(Ordering::Relaxed) * 10 + digit, Ordering::Relaxed);
    }
    let source = "void note(int);
        __attribute__((constructor(101))) static void first(int argc, char **argv, char **env) { note(argc == 0 && !argv[0] && env ? 1 : 9); }
        __attribute__((constructor(102))) static void second(void) { note(2); }
        __attribute__((destructor(101))) static void last(void) { note(4); }
        __attribute__((destructor(102))) static void before(void) { note(3); }";
    let bind = |_: Importer<'_>, import: &Import| (import.name() == "note").then_some(note as *const () as usize);
    let linked = link_with(&compile::c(source, &[]), &bind).unwrap();
    let image = Image::map(&linked).unwrap();
    assert_eq!(LOG.load(Ordering::Relaxed), 0, "mapping runs nothing");
    drop(image);
    stop(start(&linked));
    assert_eq!(LOG.load(Ordering::Relaxed), 1234);
}

#[needs::cc]
#[test]
fn functions_are_chosen_by_their_resolvers() {
    let source = "static int seven(void) { return 7; }
        static void *choose(void) { return seven; }
        int chosen(void) __attribute__((ifunc(\"choose\")));
        static int hidden(void) __attribute__((ifunc(\"choose\")));
        int (*pointer)(void) = hidden;
        int both(void) { return chosen() * 10 + pointer(); }";
    let linked = link(&compile::c(source, &[]));
    assert_eq!(call(&start(&linked), "both", 0), 77);
    let failed = Image::map(&linked).unwrap();
    assert_eq!(failed.initialize(&mut |_, _| Err("crashed")), Err("crashed"));
}

#[needs::cc]
#[test]
fn what_is_relocated_is_read_only_afterwards() {
    let source =
        "static int value; int *const place = &value; unsigned long address(void) { return (unsigned long)&place; }";
    let image = load(&compile::c(source, &["-Wl,-z,relro,-z,now"]));
    let Ok(address) = run(image.symbol("address").unwrap(), [0; 5]);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| {
        let (start, rest) = line.split_once('-').unwrap();
        let end = rest.split(' ').next().unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        (number(start)..number(end)).contains(&address)
    });
    assert!(line.unwrap().contains(" r--p "), "{line:?}");
}

#[needs::cxx]
#[test]
fn unique_symbols_are_the_images_own() {
    let source = "struct Counter { static int &value() { static int count = 0; return count; } };
        template <class T> struct Shared { static inline T value = 5; };
        extern \"C\" int next() { return ++Counter::value() + Shared<int>::value++; }";
    let linked = link(&compile::cpp(source, &["-std=c++17"]));
    let (first, second) = (start(&linked), start(&linked));
    assert_eq!((call(&first, "next", 0), call(&first, "next", 0), call(&second, "next", 0)), (6, 8, 6));
}

#[needs::cc]
#[test]
fn symbols_of_the_program_come_before_those_of_the_libraries() {
    extern "C" fn seven() -> i32 {
        7
    }
    let source = "#include <stdlib.h>\n#include <unistd.h>\nint pid(void) { return getpid(); } int number(void) { return abs(-3); }";
    let path = compile::c(source, &["-fno-builtin"]);
    let bind = |importer: Importer<'_>, import: &Import| {
        assert_eq!(importer, Importer::Plugin);
        (import.name() == "getpid").then_some(seven as *const () as usize)
    };
    let image = start(&link_with(&path, &bind).unwrap());
    assert_eq!((call(&image, "pid", 0), call(&image, "number", 0)), (7, 3));
}

#[needs::cc]
#[test]
fn weak_symbols_may_be_missing() {
    let source = "__attribute__((weak)) int nowhere(void); int has(void) { return nowhere != 0; }";
    assert_eq!(call(&load(&compile::c(source, &[])), "has", 0), 0);
}

#[needs::cc]
#[test]
fn the_file_itself_can_be_mapped() {
    let path = compile::c(
        &format!("{COUNTER} static __thread int local = 3; int thread_local(void) {{ return local++; }}"),
        &[],
    );
    let bytes = std::fs::read(&path).unwrap();
    let facts = dynvm_image::Facts::read(&bytes).unwrap();
    let linker = dynvm_image::Linker::new(&crate::load::nothing).map_file(true);
    let other = compile::c("int one(void) { return 1; }", &[]);
    // SAFETY: files that the test has compiled.
    let (linked, changed) = unsafe {
        let again = dynvm_image::Facts::read(&bytes).unwrap();
        (linker.path(&path).link(facts, &bytes).unwrap(), linker.path(&other).link(again, &bytes))
    };
    assert!(matches!(changed, Err(dynvm_image::Error::Changed)));
    let (first, second) = (start(&linked), start(&linked));
    for image in [&first, &second] {
        assert_eq!((call(image, "next", 0), call(image, "through", 0)), (42, 44));
        assert_eq!((call(image, "thread_local", 0), call(image, "thread_local", 0)), (3, 4));
    }
    stop(second);
    assert_eq!(call(&start(&linked), "next", 0), 42);
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.lines().any(|line| line.contains("r-xp") && line.ends_with(&name)), "{maps}");
}
