//! A C program prints the offset of each member; Rust must use the same offsets.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::mem::{align_of, offset_of};
use std::process::Command;

use dynvm_abi::descriptor::PluginDescriptor;
use dynvm_abi::host::HostTable;
use dynvm_abi::hostcalls;

/// The C compiler's layout: `struct.member` to offset, `struct` to size, `struct.` to alignment.
fn c_layout(members: &[(&str, &str)]) -> BTreeMap<String, usize> {
    let mut source = String::from(
        "#include <stddef.h>\n#include <stdio.h>\n#include \"dynvm/dynvm.h\"\n\
         #define SHOW(s, m) printf(\"%s.%s %zu\\n\", #s, #m, offsetof(s, m))\n\
         #define SIZE(s) printf(\"%s %zu\\n%s. %zu\\n\", #s, sizeof(s), #s, _Alignof(s))\n\
         int main(void) {\n",
    );
    for (name, member) in members {
        writeln!(source, "  SHOW({name}, {member});").unwrap();
    }
    source.push_str("  SIZE(dynvm_host_table_t);\n  SIZE(dynvm_plugin_descriptor_t);\n  return 0;\n}\n");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout.c");
    std::fs::write(&path, source).unwrap();
    let program = dir.path().join("layout");
    common::run(common::cc().args(common::STRICT).arg("-std=c11").arg(&path).arg("-o").arg(&program));
    common::run(&mut Command::new(&program))
        .lines()
        .map(|line| {
            let (name, number) = line.split_once(' ').unwrap();
            (name.to_owned(), number.parse().unwrap())
        })
        .collect()
}

#[test]
fn host_table() {
    macro_rules! compare {
        ($($name:ident($($param:ident: $ty:ident),*) $versions:ident [$($status:ident)*];)*) => {{
            let rust = [
                ("struct_size", offset_of!(HostTable, struct_size)),
                ("header_version", offset_of!(HostTable, header_version)),
                ("get_extension", offset_of!(HostTable, get_extension)),
                $((stringify!($name), offset_of!(HostTable, $name)),)*
            ];
            let members: Vec<_> = rust.iter().map(|(m, _)| ("dynvm_host_table_t", *m)).collect();
            let c = c_layout(&members);
            for (member, offset) in rust {
                assert_eq!(c[&format!("dynvm_host_table_t.{member}")], offset, "{member}");
            }
            assert_eq!(c["dynvm_host_table_t"], size_of::<HostTable>());
            assert_eq!(c["dynvm_host_table_t."], align_of::<HostTable>());
        }};
    }
    hostcalls!(compare);
}

#[test]
fn descriptor() {
    macro_rules! offsets {
        ($($member:ident)*) => { [$((stringify!($member), offset_of!(PluginDescriptor, $member))),*] };
    }
    let rust = offsets!(struct_size header_version state_model flags name version sdk wanted_extensions);
    let members: Vec<_> = rust.iter().map(|(m, _)| ("dynvm_plugin_descriptor_t", *m)).collect();
    let c = c_layout(&members);
    for (member, offset) in rust {
        assert_eq!(c[&format!("dynvm_plugin_descriptor_t.{member}")], offset, "{member}");
    }
    assert_eq!(c["dynvm_plugin_descriptor_t"], size_of::<PluginDescriptor>());
    assert_eq!(c["dynvm_plugin_descriptor_t."], align_of::<PluginDescriptor>());
}
