//! Processes with fewer rights.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::compile;
use crate::load::{call, link, start, stop};

/// Runs a test of this file in a process of its own, prepared by `prepare`.
fn in_process(test: &str, prepare: fn()) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--test-threads=1"]).env("DYNVM_IMAGE_CHILD", "1");
    // SAFETY: makes system calls alone.
    unsafe {
        command.pre_exec(move || {
            prepare();
            Ok(())
        })
    };
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

fn is_child() -> bool {
    std::env::var_os("DYNVM_IMAGE_CHILD").is_some()
}

#[needs::cc]
#[test]
fn memory_need_not_become_executable() {
    const TEST: &str = "restricted::memory_need_not_become_executable";
    if !is_child() {
        // Linux before 6.3 refuses the first, which is no difference then.
        // SAFETY: changes what this process may do.
        return in_process(TEST, || unsafe {
            libc::prctl(libc::PR_SET_MDWE, libc::PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0);
        });
    }
    let linked =
        link(&compile::c("static int count = 4; int *place = &count; int next(void) { return ++*place; }", &[]));
    for _ in 0..2 {
        let image = start(&linked);
        assert_eq!(call(&image, "next", 0), 5);
        stop(image);
    }
}

#[needs::cc]
#[test]
fn no_file_is_written() {
    const TEST: &str = "restricted::no_file_is_written";
    if !is_child() {
        return in_process(TEST, || {});
    }
    let path = compile::c("static int count = 4; int *place = &count; int next(void) { return ++*place; }", &[]);
    let linked = {
        let folder = path.parent().unwrap();
        let before = std::fs::read_dir(folder).unwrap().count();
        let linked = link(&path);
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), before);
        linked
    };
    assert_eq!(call(&start(&linked), "next", 0), 5);
    let open: Vec<_> =
        std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| entry.ok()?.path().read_link().ok()).collect();
    let deleted = |target: &&std::path::PathBuf| target.to_string_lossy().ends_with(" (deleted)");
    let deleted: Vec<_> = open.iter().filter(deleted).collect();
    assert!(
        deleted.iter().all(|target| target.to_string_lossy().starts_with("/memfd:")) && !deleted.is_empty(),
        "{open:?}"
    );
    // It cannot be changed by who opens the descriptor.
    let memory = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    for descriptor in
        memory.filter(|path| path.read_link().is_ok_and(|to| to.to_string_lossy().starts_with("/memfd:dynvm-image")))
    {
        let file = std::fs::OpenOptions::new().write(true).open(descriptor);
        let written = file.and_then(|mut file| std::io::Write::write(&mut file, b"x"));
        assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    }
}
