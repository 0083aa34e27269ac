//! Images that are used a second time.

use std::ffi::c_void;

use crate::compile;
use crate::load::{call, link, start, stop};

/// What a VM can change: data, zeroed memory, thread-local variables, and a pointer that is relocated.
const SOURCE: &str = "
    static int count = 10, other = 5, large[50000];
    static int *place = &count;
    static __thread int local = 100;
    static __thread int *pointer = &count;
    static const int *const constant = &other;
    int next(void) {
        int sum = ++*place + ++large[49999] + ++local + *constant + (pointer == &count);
        place = &other; pointer = 0;
        return sum;
    }
";

#[needs::cc]
#[test]
fn an_image_is_used_again_as_if_it_were_new() {
    let linked = link(&compile::c(SOURCE, &[]));
    let first = start(&linked);
    let fresh = call(&first, "next", 0);
    assert_eq!(fresh, 11 + 1 + 101 + 5 + 1);
    assert_ne!(call(&first, "next", 0), fresh);
    let base = first.base();
    stop(first);
    for _ in 0..5 {
        let again = start(&linked);
        assert_eq!(again.base(), base);
        assert_eq!(call(&again, "next", 0), fresh);
        call(&again, "next", 0);
        stop(again);
    }
}

#[needs::cxx]
#[test]
fn an_image_used_again_still_throws() {
    let source = "#include <stdexcept>\nextern \"C\" int caught(int a) { try { throw std::runtime_error(\"x\"); } catch (std::exception &) { return a; } }";
    let linked = link(&compile::cpp(source, &[]));
    for number in 0..3 {
        let image = start(&linked);
        assert_eq!(call(&image, "caught", number), number as i32);
        stop(image);
    }
}

#[needs::cc]
#[test]
fn few_unused_images_are_kept_and_all_go_with_their_module() {
    let linked = link(&compile::c(SOURCE, &[]));
    let images: Vec<_> = (0..10).map(|_| start(&linked)).collect();
    let bases: Vec<usize> = images.iter().map(|image| image.base()).collect();
    images.into_iter().for_each(stop);
    let is_mapped = |base: &&usize| {
        let mut resident = 0u8;
        // SAFETY: asks about a page.
        unsafe { libc::mincore(**base as *mut c_void, 1, &mut resident) == 0 }
    };
    // Other tests map and unmap meanwhile.
    assert!(bases.iter().filter(is_mapped).count() >= 4);
    let kept: Vec<_> = (0..10).map(|_| start(&linked)).filter(|image| bases.contains(&image.base())).collect();
    assert!(kept.len() >= 4);
}

#[needs::cc]
#[test]
fn what_an_image_makes_writable_is_new_in_the_next() {
    let source = format!(
        "#include <stdlib.h>\n#include <sys/mman.h>\n{SOURCE}
        int change(void) {{
            char *page = (char *)((unsigned long)&constant & -4096ul);
            if (mprotect(page, 4096, PROT_READ | PROT_WRITE)) return 1;
            *(const int **)&constant = &count;
            return 0;
        }}
        int look(void) {{ return **(const int *const volatile *)&constant; }}"
    );
    let linked = link(&compile::c(&source, &["-Wl,-z,now"]));
    for _ in 0..3 {
        let image = start(&linked);
        assert_eq!((call(&image, "look", 0), call(&image, "change", 0), call(&image, "look", 0)), (5, 0, 10));
        stop(image);
    }
}

#[needs::cc]
#[test]
fn functions_are_chosen_again_for_the_next_image() {
    let source = format!(
        "{SOURCE} static void *choose(void) {{ return next; }} int chosen(void) __attribute__((ifunc(\"choose\")));
        int call_chosen(void) {{ return chosen(); }}"
    );
    let linked = link(&compile::c(&source, &[]));
    for _ in 0..3 {
        let image = start(&linked);
        assert_eq!(call(&image, "call_chosen", 0), 11 + 1 + 101 + 5 + 1);
        stop(image);
    }
}
