//! The list of libraries that debuggers read.

use std::ffi::{CStr, c_char, c_int};
use std::path::Path;

use dynvm_image::{Facts, Image, Linker};

use crate::compile;
use crate::load::nothing;

#[repr(C)]
struct LinkMap {
    base: usize,
    name: *const c_char,
    dynamic: usize,
    next: *const LinkMap,
}

#[repr(C)]
struct Namespace {
    version: c_int,
    first: *const LinkMap,
    changed: usize,
    state: c_int,
    loader: usize,
    next: *const Namespace,
}

/// What a debugger finds: bases and names, behind the system's own namespace.
fn listed() -> Vec<(usize, String)> {
    let mut found = Vec::new();
    // SAFETY: the structures of the system's loader.
    unsafe {
        let system = libc::dlsym(libc::RTLD_DEFAULT, c"_r_debug".as_ptr()).cast::<Namespace>();
        if (*system).version < 2 {
            return found;
        }
        let mut namespace = (*system).next;
        while let Some(some) = namespace.as_ref() {
            let mut map = some.first;
            while let Some(library) = map.as_ref() {
                found.push((library.base, CStr::from_ptr(library.name).to_string_lossy().into_owned()));
                map = library.next;
            }
            namespace = some.next;
        }
    }
    found
}

fn map(path: &Path, visible: bool) -> Image {
    let bytes = std::fs::read(path).unwrap();
    // SAFETY: a file that the test has compiled.
    let linked =
        unsafe { Linker::new(&nothing).path(path).debugger(visible).link(Facts::read(&bytes).unwrap(), &bytes) };
    Image::map(&linked.unwrap()).unwrap()
}

#[needs::cc]
#[test]
fn images_are_listed_if_the_program_asks_for_it() {
    // SAFETY: looks up a name that came with the extended list.
    if unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) }.is_null() {
        return;
    }
    let path = std::fs::canonicalize(compile::c("int one(void) { return 1; }", &[])).unwrap();
    let hidden = map(&path, false);
    assert!(listed().iter().all(|(base, _)| *base != hidden.base()));
    let images: Vec<Image> = (0..3).map(|_| map(&path, true)).collect();
    let name = path.to_str().unwrap().to_owned();
    let mut expected: Vec<_> = images.iter().map(|image| (image.base(), name.clone())).collect();
    expected.reverse();
    assert_eq!(listed(), expected);
    let mut images = images.into_iter();
    let first = images.next().unwrap();
    drop(images.next());
    assert_eq!(listed(), [expected[0].clone(), (first.base(), name)]);
    drop((first, images));
    assert_eq!(listed(), []);
}
