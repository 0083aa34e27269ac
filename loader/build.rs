//! Builds the import library of native plugins: a small shared object that exports every hostcall and passes each on through a table,
//! which the loader fills at run time. With it, a program that embeds the loader needs no linker flags for its plugins to find them.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build_command.rs");
    #[cfg(feature = "native")]
    import_library::build();
}

#[cfg(feature = "native")]
#[path = "build_command.rs"]
mod command_line;

#[cfg(feature = "native")]
mod import_library {
    use std::fmt::Write as _;
    use std::path::PathBuf;
    use std::{env, fs};

    use dynvm_abi::table::{HOSTCALLS, NATIVE_HOSTCALLS, Return};

    use crate::command_line::command_line;

    pub fn build() {
        let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
        let target = out.join("dynvm_imports.so");
        if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
            fs::write(&target, []).expect("OUT_DIR is writable");
            return;
        }
        let source = out.join("dynvm_imports.c");
        fs::write(&source, source_code()).expect("OUT_DIR is writable");
        let mut command = cc::Build::new().pic(true).opt_level(2).get_compiler().to_command();
        command.args([
            "-shared",
            "-nostdlib",
            "-fvisibility=default",
            "-fno-builtin",
            "-Wl,-soname,dynvm_imports.so",
            "-o",
        ]);
        command.arg(&target).arg(&source);
        let line = command_line(&command);
        let status = command.status().unwrap_or_else(|error| panic!("cannot run the C compiler {line}: {error}"));
        assert!(status.success(), "the C compiler failed ({status}): {line}");
    }

    /// A function for each hostcall and for each function of the C library that the loader takes the place of.
    fn source_code() -> String {
        let mut code = String::from("#include <stddef.h>\n#include <stdint.h>\n\n");
        let shims = [
            ("void", "dvabt", vec![]),
            ("void", "dvex", vec!["int"]),
            ("void", "dvex_", vec!["int"]),
            ("void", "dvEx_", vec!["int"]),
            ("void", "dynvm_assert", vec!["const char *", "const char *", "unsigned", "const char *"]),
            ("void", "dynvm_stack_chk", vec![]),
            ("int", "dynvm_thread_atexit_impl", vec!["void *", "void *", "void *"]),
            ("int", "dynvm_thread_atexit", vec!["void *", "void *", "void *"]),
            ("int", "dynvm_atexit", vec!["void *", "void *", "void *"]),
            ("long", "dvwrt", vec!["int", "const void *", "size_t"]),
            ("long", "dvwrtv", vec!["int", "const void *", "int"]),
            ("int", "dynvm_clock", vec!["int", "void *"]),
            ("int", "dynvm_tod", vec!["void *", "void *"]),
            ("long", "dvtm", vec!["void *"]),
            ("long", "dynvm_system_clock_now", vec![]),
            ("long", "dynvm_steady_clock_now", vec![]),
            ("long", "dynvm_rnd", vec!["void *", "size_t", "unsigned"]),
            ("int", "dynvm_entr", vec!["void *", "size_t"]),
            ("long", "dvsyscl", vec!["long"; 7]),
            ("void *", "dynvm_look_up", vec!["const char *"]),
            ("char *", "dvgenv", vec!["const char *"]),
            ("char *", "dynvm_sgetenv", vec!["const char *"]),
            ("void *", "dvmllc", vec!["size_t"]),
            ("void", "dvfr", vec!["void *"]),
            ("void", "dvfp", vec!["void *"]),
            ("void *", "dvcllc", vec!["size_t", "size_t"]),
            ("void *", "dvrallc", vec!["void *", "size_t"]),
            ("void *", "dvrallp", vec!["void *", "size_t"]),
            ("int", "dynvm_memalign", vec!["void *", "size_t", "size_t"]),
            ("void *", "dynvm_aligned", vec!["size_t", "size_t"]),
            ("void *", "dvmmlign", vec!["size_t", "size_t"]),
            ("size_t", "dynvm_usable_size", vec!["void *"]),
            ("char *", "dvrlpath", vec!["const char *", "char *"]),
            ("char *", "dvgcwd", vec!["char *", "size_t"]),
            // What the C++ SDK's getentropy calls, by its mangled name: uint16_t __wasi_random_get(uint8_t *, unsigned long).
            ("uint16_t", "_Z17__wasi_random_getPhm", vec!["uint8_t *", "unsigned long"]),
        ];
        // 16 slots each for hostcalls of the embedder's own, by whether their arguments fit in registers.
        let count = HOSTCALLS.len() + NATIVE_HOSTCALLS.len() + shims.len() + 2 * 16;
        writeln!(code, "void *dynvm_import_table[{count}];\n").unwrap();
        let mut index = 0;
        let mut function = |result: &str, names: &[String], types: &[&str]| {
            let params: Vec<String> = types.iter().enumerate().map(|(i, ty)| format!("{ty} a{i}")).collect();
            let params = if params.is_empty() { "void".to_owned() } else { params.join(", ") };
            let args: Vec<String> = (0..types.len()).map(|i| format!("a{i}")).collect();
            let types = if types.is_empty() { "void".to_owned() } else { types.join(", ") };
            let value = if result == "void" { "" } else { "return " };
            for name in names {
                writeln!(
                    code,
                    "{result} {name}({params}) {{ {value}(({result} (*)({types}))dynvm_import_table[{index}])({}); }}",
                    args.join(", ")
                )
                .unwrap();
            }
            index += 1;
        };
        for hostcall in HOSTCALLS {
            // Under its own name, and under the one that the loader gives it in private images.
            let renamed = hostcall.name.replacen("proxy_", "dynvm_", 1);
            let types: Vec<&str> = hostcall.params.iter().map(|param| param.ty.c()).collect();
            function("uint32_t", &[hostcall.name.to_owned(), renamed], &types);
        }
        for hostcall in NATIVE_HOSTCALLS {
            let renamed = hostcall.name.replacen("proxy_", "dynvm_", 1);
            let types: Vec<&str> = hostcall.params.iter().map(|param| param.ty.c()).collect();
            let result = if hostcall.returns == Return::None { "void" } else { "const void *" };
            function(result, &[hostcall.name.to_owned(), renamed], &types);
        }
        for (result, name, types) in shims {
            function(result, &[name.to_owned()], &types);
        }
        for (prefix, parameters) in [("dvo", 6), ("dvn", 12)] {
            for slot in 'a'..='p' {
                function("uint64_t", &[format!("{prefix}{slot}")], &vec!["uint64_t"; parameters]);
            }
        }
        code + DLSYM
    }

    /// Answers for some names, and else jumps to the system's, so that this sees the plugin as who calls: it looks where that one may.
    const DLSYM: &str = "
extern void *dlsym(void *handle, const char *name);

void *dvsym(void *handle, const char *name) {
  void *own = handle == 0 ? dynvm_look_up(name) : 0;
  if (own) return own;
  return dlsym(handle, name);
}
";
}
