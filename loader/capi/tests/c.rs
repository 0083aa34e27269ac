//! The API as C and C++ see it: its headers, what the library exports, a driver that takes it through what it promises, the example host.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

const MANIFEST: &str = env!("CARGO_MANIFEST_DIR");

fn root() -> PathBuf {
    Path::new(MANIFEST).join("../..")
}

fn includes() -> [String; 4] {
    let dir = |dir: &str| root().join(dir).display().to_string();
    ["-I".to_owned(), dir("loader/include"), "-I".to_owned(), dir("plugin-abi/include")]
}

fn headers() -> Vec<PathBuf> {
    let include = root().join("loader/include/dynvm");
    let mut headers: Vec<PathBuf> =
        std::fs::read_dir(include.join("loader")).unwrap().map(|entry| entry.unwrap().path()).collect();
    headers.push(include.join("loader.h"));
    headers
}

fn compiler(variable: &str, default: &str) -> Command {
    Command::new(std::env::var_os(variable).unwrap_or_else(|| default.into()))
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn out(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The directory with both libraries, built.
static LIBRARIES: LazyLock<PathBuf> = LazyLock::new(|| {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--release", "-p", "dynvm-capi", "--message-format=json", "--quiet"]).current_dir(MANIFEST);
    let output = run(&mut command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let library = text.split('"').find(|word| word.ends_with("/libdynvm_loader.a"));
    Path::new(library.expect("cargo names the library")).parent().unwrap().to_owned()
});

/// What the installation by CMake installs.
static INSTALLED: LazyLock<PathBuf> = LazyLock::new(|| {
    let (build, prefix) = (out("capi-build"), out("capi-installed"));
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(MANIFEST).arg("-B").arg(&build).arg("-DCMAKE_INSTALL_LIBDIR=lib");
    let cargo_target = LIBRARIES.parent().unwrap().display();
    configure.arg(format!("-DDYNVM_CARGO_TARGET_DIR={cargo_target}"));
    run(configure.arg(format!("-DCMAKE_INSTALL_PREFIX={}", prefix.display())));
    run(Command::new("cmake").arg("--build").arg(&build));
    run(Command::new("cmake").arg("--install").arg(&build));
    prefix
});

fn plugin(name: &str, source: &Path, defines: &[&str]) -> PathBuf {
    let target = out(name);
    let mut command = compiler("CC", "cc");
    command.args(["-shared", "-fPIC", "-O1", "-g"]).args(includes()).args(defines);
    run(command.arg(source).arg("-o").arg(&target));
    target
}

fn program(name: &str, source: &Path) -> PathBuf {
    let target = out(name);
    let mut command = compiler("CC", "cc");
    command.args(["-std=gnu11", "-Wall", "-Wextra", "-O1", "-g"]).args(includes()).arg(source);
    command.arg(LIBRARIES.join("libdynvm_loader.a")).args(["-lpthread", "-ldl", "-lm", "-lgcc_s", "-o"]);
    run(command.arg(&target));
    target
}

/// The example host and a plugin for it.
static EXAMPLE: LazyLock<[PathBuf; 2]> = LazyLock::new(|| {
    let host = program("c-host", &root().join("examples/hosts/c-embedding/host.c"));
    let plugin = plugin("c-headers.so", &root().join("examples/plugins/c-headers/plugin.c"), &[]);
    [host, plugin]
});

#[needs::cxx]
#[test]
fn headers_compile_alone_and_twice_in_every_standard() {
    let c = ["-std=c99", "-std=c11", "-std=c17", "-std=c2x"].map(|standard| ("CC", "cc", standard, "c"));
    let cxx = ["-std=c++11", "-std=c++14", "-std=c++17", "-std=c++20"].map(|standard| ("CXX", "c++", standard, "c++"));
    let headers = headers();
    assert_eq!(headers.len(), 8);
    for (variable, default, standard, language) in c.into_iter().chain(cxx) {
        for header in &headers {
            let source = out(&format!("alone-{}.c", header.file_stem().unwrap().display()));
            let text = format!("#include \"{0}\"\n#include \"{0}\"\nextern int unit;\n", header.display());
            std::fs::write(&source, text).unwrap();
            let mut command = compiler(variable, default);
            command.args([standard, "-x", language, "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"]);
            run(command.arg(&source));
        }
    }
}

/// The global symbols that `nm` finds with these options.
fn exported(options: &[&str], library: &Path) -> Vec<String> {
    let symbols = run(Command::new("nm").args(options).args(["--extern-only", "--defined-only"]).arg(library)).stdout;
    let symbols = String::from_utf8(symbols).unwrap();
    let mut names: Vec<_> = symbols.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    names.sort_unstable();
    names.into_iter().map(str::to_owned).collect()
}

/// The functions that the headers declare are those that the libraries export: no more, no less.
#[needs::cmake]
#[needs::binutils]
#[test]
fn headers_and_libraries_agree() {
    let text: String = headers().iter().map(|header| std::fs::read_to_string(header).unwrap()).collect();
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with(['/', '*'])).collect();
    let mut declared: Vec<&str> = code
        .split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '('))
        .filter_map(|word| word.split_once('('))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("dynvm_"))
        .collect();
    // The functions that linked plugins call, which no header declares.
    let hostcalls = dynvm_abi::table::HOSTCALLS.iter().map(|hostcall| hostcall.name);
    let hostcalls = hostcalls.chain(dynvm_abi::table::NATIVE_HOSTCALLS.iter().map(|hostcall| hostcall.name));
    let entries: Vec<String> = hostcalls
        .map(|name| format!("{}{name}", dynvm_abi::linked::HOSTCALL_PREFIX))
        .chain(dynvm_abi::linked::LIBC.iter().map(|name| format!("{}{name}", dynvm_abi::linked::LIBC_PREFIX)))
        .collect();
    declared.extend(entries.iter().map(String::as_str));
    declared.sort_unstable();
    declared.dedup();
    assert_eq!(declared, exported(&["--dynamic"], &INSTALLED.join("lib/libdynvm_loader.so")));
    assert_eq!(declared, exported(&[], &INSTALLED.join("lib/libdynvm_loader.a")));
    assert!(declared.len() > 50, "{declared:?}");
}

#[test]
fn the_api_keeps_its_promises() {
    let source = Path::new(MANIFEST).join("tests/data/plugin.c");
    let plain = plugin("plain.so", &source, &[]);
    let restless = plugin("restless.so", &source, &["-DCALLS_TIME_AT_START"]);
    let policy = out("refuses.toml");
    std::fs::write(&policy, "[native]\nallow = false\n").unwrap();
    let driver = program("driver", &Path::new(MANIFEST).join("tests/data/driver.c"));
    let output = run(Command::new(driver).args([&plain, &restless, &source, &policy]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "all as promised\n");
}

/// Two copies of the loader in a process run their plugins apart, and one may be unloaded and loaded again.
#[test]
fn copies_of_the_loader_are_independent() {
    let plain = plugin("of-two.so", &Path::new(MANIFEST).join("tests/data/plugin.c"), &[]);
    let copies = ["first-loader.so", "second-loader.so"].map(|name| {
        std::fs::copy(LIBRARIES.join("libdynvm_loader.so"), out(name)).unwrap();
        out(name)
    });
    let target = out("two-loaders");
    let mut command = compiler("CC", "cc");
    command.args(["-std=gnu11", "-Wall", "-Wextra", "-O1", "-g"]).args(includes());
    command.arg(Path::new(MANIFEST).join("tests/data/two_loaders.c"));
    run(command.args(["-ldl", "-o"]).arg(&target));
    let output = run(Command::new(target).args(copies).arg(plain));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "independent\n");
}

#[test]
fn the_example_hosts_a_plugin() {
    let [host, plugin] = &*EXAMPLE;
    let output = run(Command::new(host).arg(plugin));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("log 2: /hello\naction 0\n") && text.ends_with("x-plugin: c-headers\n"), "{text}");
    let output = Command::new(host).arg("/nonexistent").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent: cannot be read"));
}

/// A plugin that is part of the program, in C and compiled as C++, with crashes contained.
#[needs::cc]
#[needs::lld]
#[test]
fn the_example_with_a_linked_plugin() {
    let linked = |name: &str, plugin: &str| {
        let target = dynvm_link::Target::of_this_machine(out("linked")).unwrap();
        let plugin = dynvm_link::plugin(root().join(plugin)).name(name).slots(2);
        plugin.link(&target).unwrap_or_else(|error| panic!("{error:?}"))
    };
    let plugins =
        [linked("c-headers", "examples/plugins/c-headers"), linked("rust", "examples/plugins/header-rewrite")];
    for plugin in plugins {
        let target = out(&format!("c-host-linked-{}", plugin.name));
        let mut command = compiler("CC", "cc");
        command.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-g"]).args(includes());
        command.arg("-I").arg(plugin.header.parent().unwrap());
        command.arg(format!("-DLINKED_HEADER=\"{}.h\"", plugin.name));
        command.arg(format!("-DLINKED=dvn_{}", plugin.name.replace('-', "_")));
        command.arg(root().join("examples/hosts/c-embedding/host.c")).arg(plugin.library);
        command.arg(LIBRARIES.join("libdynvm_loader.a")).args(["-lpthread", "-ldl", "-lm", "-lgcc_s", "-o"]);
        run(command.arg(&target));
        let output = run(Command::new(&target).arg(&plugin.name));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("action 0\n"), "{text}");
        let output = Command::new(&target).arg("another").output().unwrap();
        let expected = format!("error: no linked plugin `another`; linked: {};", plugin.name);
        assert!(String::from_utf8_lossy(&output.stderr).starts_with(&expected), "{output:?}");

        let mut command = compiler("CXX", "c++");
        command.args(["-std=c++11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-x", "c++"]);
        run(command
            .args(includes())
            .arg(plugin.header)
            .arg("-Wno-unused-variable")
            .arg("-Wno-pragma-once-outside-header"));
    }
}

/// A project finds the installed package, and each of its libraries runs the example.
#[needs::cmake]
#[needs::binutils]
#[test]
fn an_installed_package() {
    let (source, build) = (out("capi-consumer"), out("capi-consumer/build"));
    std::fs::create_dir_all(&source).unwrap();
    let example = root().join("examples/hosts/c-embedding/host.c");
    let project = format!(
        "cmake_minimum_required(VERSION 3.20)\nproject(consumer C)\nfind_package(dynvm {} REQUIRED)\n\
         foreach(library loader loader_shared)\nadd_executable(on_${{library}} {})\n\
         target_link_libraries(on_${{library}} dynvm::${{library}})\nendforeach()\n",
        env!("CARGO_PKG_VERSION"),
        example.display()
    );
    std::fs::write(source.join("CMakeLists.txt"), project).unwrap();
    let prefix = format!("-DCMAKE_PREFIX_PATH={}", INSTALLED.display());
    run(Command::new("cmake").arg("-S").arg(&source).arg("-B").arg(&build).arg(prefix));
    run(Command::new("cmake").arg("--build").arg(&build));
    for host in ["on_loader", "on_loader_shared"] {
        let output = run(Command::new(build.join(host)).arg(&EXAMPLE[1]));
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("log 2: /hello\n"), "{host}: {output:?}");
    }
    let linked = run(Command::new("readelf").arg("-d").arg(build.join("on_loader_shared"))).stdout;
    let soname = format!("libdynvm_loader.so.{}", env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap().0);
    assert!(String::from_utf8_lossy(&linked).contains(&format!("[{soname}]")), "it needs {soname}");
}

#[needs::cmake]
#[needs::binutils]
#[needs::pkg_config]
#[test]
fn an_installed_file_for_pkg_config() {
    let mut ask = Command::new("pkg-config");
    ask.env("PKG_CONFIG_PATH", INSTALLED.join("lib/pkgconfig")).args(["--cflags", "--libs", "dynvm_loader"]);
    let flags = String::from_utf8(run(&mut ask).stdout).unwrap();
    let host = out("capi-by-pkg-config");
    let mut command = compiler("CC", "cc");
    command.arg(root().join("examples/hosts/c-embedding/host.c")).arg("-o").arg(&host);
    run(command.args(flags.split_whitespace()).arg(format!("-Wl,-rpath,{}", INSTALLED.join("lib").display())));
    run(Command::new(host).arg(&EXAMPLE[1]));
}

/// No invalid access and no leak, as far as memcheck sees.
#[needs::valgrind]
#[test]
fn the_example_under_valgrind() {
    let [host, plugin] = &*EXAMPLE;
    let mut command = Command::new("valgrind");
    command.args(["-q", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite"]);
    run(command.arg(host).arg(plugin));
}
