//! Libraries that an image needs.

use std::path::{Path, PathBuf};

use dynvm_image::{Error, Facts, Linker};

use crate::compile;
use crate::load::{call, load, nothing, runtimes, try_link};

/// A plugin beside a library that it looks for by these arguments.
fn beside_its_library(arguments: &[&str]) -> PathBuf {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = compile::folder().join(format!("deployed{count}"));
    std::fs::create_dir_all(folder.join("lib")).unwrap();
    let name = format!("libhelper{count}.so");
    let helper = compile::c("int help(void) { return 30; }", &[&format!("-Wl,-soname,{name}")]);
    let helper_path = folder.join("lib").join(&name);
    std::fs::rename(helper, &helper_path).unwrap();
    let source =
        "char *getenv(const char *); int help(void); int answer(void) { return help() + 12 + (getenv(\"\") != 0); }";
    let plugin = compile::c(source, &[&[helper_path.to_str().unwrap()], arguments].concat());
    let path = folder.join("plugin.so");
    std::fs::rename(plugin, &path).unwrap();
    path
}

fn facts(path: &Path) -> Facts {
    Facts::read(&std::fs::read(path).unwrap()).unwrap()
}

#[needs::cc]
#[test]
fn libraries_are_found_from_where_the_plugin_is() {
    let plugin = beside_its_library(&["-Wl,-rpath,/nowhere:$ORIGIN/lib"]);
    let needed = facts(&plugin).needed_files(Some(&plugin)).unwrap();
    let folder = std::fs::canonicalize(plugin.parent().unwrap()).unwrap();
    let found: Vec<_> = needed.iter().filter_map(|library| library.path.clone()).collect();
    assert_eq!(found.len(), 1, "{needed:?}");
    assert_eq!(found[0].parent().unwrap(), folder.join("lib"));
    assert!(needed.iter().any(|library| library.name.starts_with("libc.so") && library.path.is_none()));
    assert_eq!(call(&load(&plugin), "answer", 0), 42);
    // By another name too: it counts where the file is.
    let link = compile::new_path("so");
    std::os::unix::fs::symlink(&plugin, &link).unwrap();
    assert_eq!(facts(&link).needed_files(Some(&link)).unwrap(), needed);
}

#[needs::cc]
#[test]
fn folders_of_a_plugin_from_memory_are_refused() {
    for folder in ["$ORIGIN/lib", "${ORIGIN}/lib", "/tmp"] {
        let plugin = beside_its_library(&[&format!("-Wl,-rpath,{folder}")]);
        let bytes = std::fs::read(&plugin).unwrap();
        let error = facts(&plugin).needed_files(None).unwrap_err();
        assert!(matches!(&error, Error::NoOrigin { folder: named, .. } if named == folder), "{error}");
        // SAFETY: a file that the test has compiled.
        let linked = unsafe { Linker::new(&nothing).runtimes(runtimes()).link(facts(&plugin), &bytes) };
        assert!(matches!(linked, Err(Error::NoOrigin { .. })));
    }
    // Without a library to look for there, they do not matter.
    let plugin = compile::c("int one(void) { return 1; }", &["-Wl,-rpath,$ORIGIN"]);
    assert!(facts(&plugin).needed_files(None).unwrap().iter().all(|library| library.path.is_none()));
}

#[needs::cc]
#[test]
fn folders_below_the_working_directory_are_refused() {
    for folder in ["lib", ".", "lib/$ORIGIN"] {
        let plugin = beside_its_library(&[&format!("-Wl,-rpath,{folder}")]);
        assert!(matches!(try_link(&plugin), Err(Error::RelativePath { .. })), "{folder}");
    }
}

#[needs::cc]
#[test]
fn missing_libraries_and_symbols_are_named() {
    let plugin = beside_its_library(&[]);
    let error = try_link(&plugin).unwrap_err();
    assert!(matches!(&error, Error::Library { name, reason } if reason.contains(name.as_str())), "{error}");
    let source = "int gone(void); int answer(void) { return gone(); }";
    let error = try_link(&compile::c(source, &[])).unwrap_err();
    assert!(
        matches!(&error, Error::Unresolved { symbol, version: None, library: None } if symbol == "gone"),
        "{error}"
    );
    assert!(error.to_string().contains("link the plugin with what it needs"), "{error}");
}

#[needs::cc]
#[test]
fn a_symbol_is_not_taken_in_another_version() {
    let path = compile::c("#include <stdlib.h>\nint number(void) { return getenv(\"A\") != 0; }", &[]);
    let mut bytes = std::fs::read(&path).unwrap();
    let version =
        facts(&path).imports().iter().find(|import| import.name() == "getenv").unwrap().version().unwrap().to_owned();
    let at =
        bytes.windows(version.len() + 1).position(|window| window == [version.as_bytes(), b"\0"].concat()).unwrap();
    bytes[at + version.len() - 1] = b'x';
    // SAFETY: a file that the test has compiled.
    let error = unsafe { Linker::new(&nothing).link(Facts::read(&bytes).unwrap(), &bytes).unwrap_err() };
    let wrong = format!("{}x", &version[..version.len() - 1]);
    assert!(
        matches!(&error, Error::Unresolved { version: Some(version), library: Some(library), .. }
            if *version == wrong && library.starts_with("libc.so")),
        "{error}"
    );
    assert!(error.to_string().contains("build the plugin on this system or an older one"), "{error}");
}

#[needs::cxx]
#[test]
fn a_cpp_library_of_a_cpp_plugin_is_refused() {
    let helper =
        "#include <stdexcept>\nextern \"C\" int help(int a) { if (a) throw std::runtime_error(\"x\"); return 30; }";
    let helper = compile::cpp(helper, &[]);
    let link_helper = [helper.to_str().unwrap(), "-Wl,-rpath,$ORIGIN"];
    let source = "#include <string>
        extern \"C\" int help(int);
        extern \"C\" int answer(int size) { return help(0) + std::string(size, 'x').size(); }";
    let error = try_link(&compile::cpp(source, &link_helper)).unwrap_err();
    assert!(
        matches!(&error, Error::TwoCppRuntimes { library } if helper.to_str().unwrap().ends_with(library)),
        "{error}"
    );
    // A plugin in C may use a library that happens to be C++.
    let source = "int help(int); int answer(void) { return help(0) + 12; }";
    assert_eq!(call(&load(&compile::c(source, &link_helper)), "answer", 0), 42);
}

/// They run in a child process first, so that nothing of the program is abandoned or waits for ever.
#[needs::cc]
#[test]
fn constructors_that_crash_or_never_end_are_errors() {
    let link = |action: &str| {
        let constructor = format!("__attribute__((constructor)) static void start(void) {{ {action} }}");
        let source =
            format!("#include <stdlib.h>\n#include <unistd.h>\nint help(void) {{ return 42; }}\n{constructor}");
        let helper = compile::c(&source, &[]);
        let arguments = [helper.to_str().unwrap(), "-Wl,-rpath,$ORIGIN"];
        let plugin = compile::c("int help(void); int answer(void) { return help(); }", &arguments);
        try_link(&plugin).map(|_| plugin)
    };
    for (action, expected) in [
        ("*(volatile int *)8 = 1;", "end the process by signal 11"),
        ("abort();", "end the process by signal 6"),
        ("exit(3);", "end the process with code 3"),
        ("for (;;) pause();", "have not ended after 10 s"),
    ] {
        let error = link(action).unwrap_err();
        assert!(matches!(&error, Error::Constructors { reason, .. } if reason.contains(expected)), "{action}: {error}");
    }
    // One that works; and the system's loader is not locked up.
    assert_eq!(call(&load(&link("static volatile int done; done = 1;").unwrap()), "answer", 0), 42);
}
