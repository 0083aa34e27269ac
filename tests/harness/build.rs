//! Links the probe with each set of macros that tests of linked plugins use. Where that cannot be done, they are skipped.

use std::env;
use std::fs;
use std::path::Path;

use dynvm_link::StateModel;

/// Names of modules, and the macros.
const PROBES: &[(&str, &[&str])] = &[
    ("plain", &[]),
    ("version_0_1_0", &["ABI=010"]),
    ("version_0_2_0", &["ABI=020"]),
    ("allocator_calls", &["ALLOCATOR_CALLS"]),
    ("start_calls", &["START_CALLS"]),
];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(linked)");
    match link() {
        Ok(()) => println!("cargo::rustc-cfg=linked"),
        Err(error) => println!("cargo::warning={}", error.to_string().replace('\n', " ")),
    }
}

fn link() -> Result<(), Box<dyn std::error::Error>> {
    let out_dir = env::var("OUT_DIR")?;
    let out_dir = Path::new(&out_dir);
    let probe = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../plugins/probe.c").canonicalize()?;
    let mut table = String::from("&[\n");
    let mut modules = String::new();
    for (name, defines) in PROBES {
        let dir = out_dir.join(name);
        fs::create_dir_all(&dir)?;
        // All tests of a program run at the same time, each with VMs of its own: the state is per thread.
        let macros = ["STATE=_Thread_local", "HEAP_SIZE=65536"].iter().chain(*defines);
        let mut source: String = macros.map(|define| format!("#define {}\n", define.replacen('=', " ", 1))).collect();
        source += &format!("#include {probe:?}\n");
        let file = dir.join("probe.c");
        fs::write(&file, source)?;
        dynvm_link::plugin(&file).name(*name).state(StateModel::PerThread).emit()?;
        modules += &format!("mod {name} {{ include!({:?}); }}\n", out_dir.join(format!("{name}.rs")));
        table += &format!("    (&{defines:?}, &{name}::PLUGIN),\n");
    }
    println!("cargo::rerun-if-changed={}", probe.display());
    let table = format!("{modules}pub const PROBES: &[(&[&str], &dynvm::linked::Linked)] = {table}];\n");
    fs::write(out_dir.join("probes.rs"), table)?;
    Ok(())
}
