//! Bindgen's reading of `dynvm/dynvm.h` agrees with the table and the Rust mirrors: nothing differs, is missing, or is
//! added.
//!
//! Bindgen is used here only; the Rust side is written by hand and from the table. That needs libclang, and a test that did without it
//! would prove nothing, so it fails where there is none.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use dynvm_abi::table::{CALLBACKS, ENTRY_POINTS, HOSTCALLS, NATIVE_HOSTCALLS, Param, Return, Type};
use dynvm_abi::types;
use dynvm_abi::version::{AbiVersion, Versions};
use quote::ToTokens;

/// Entry points that a header cannot declare: the language reserves one, the C library declares the other.
const NOT_IN_HEADERS: &[&str] = &["main", "malloc"];

/// Functions outside the table: additions to the Proxy-Wasm ABI.
const ADDED: &[&str] = &["dynvm_plugin_set_host"];

/// A function as a header declares it, with typedefs resolved.
#[derive(Debug, PartialEq, Eq)]
struct Signature {
    params: Vec<(String, String)>,
    returns: String,
}

/// The result of bindgen for the headers.
#[derive(Default)]
struct Bindings {
    functions: BTreeMap<String, (Signature, String)>,
    constants: BTreeMap<String, u64>,
    structs: BTreeMap<String, Vec<(String, syn::Type)>>,
    aliases: BTreeMap<String, syn::Type>,
}

impl Bindings {
    /// Reads the headers for a target (the one of this build if `None`).
    fn read(target: Option<&str>) -> Bindings {
        find_libclang();
        let mut builder = bindgen::builder()
            .header(format!("{}/dynvm/dynvm.h", dynvm_abi::INCLUDE_DIR))
            .clang_args(["-std=c11", "-I", dynvm_abi::INCLUDE_DIR])
            .allowlist_file(r".*/dynvm/.*\.h")
            .default_visibility(bindgen::FieldVisibilityKind::Public)
            .layout_tests(false);
        if let Some(target) = target {
            // Bindgen skips hidden symbols, and for wasm clang hides symbols by default.
            let target = format!("--target={target}");
            builder = builder.clang_args([&target, "-ffreestanding", "-fvisibility=default"]);
        }
        let text = builder.generate().expect("bindgen reads the headers").to_string();
        let file = syn::parse_file(&text).expect("bindgen writes Rust");

        let mut bindings = Bindings::default();
        for item in &file.items {
            if let syn::Item::Type(alias) = item {
                bindings.aliases.insert(alias.ident.to_string(), (*alias.ty).clone());
            }
        }
        for item in file.items {
            match item {
                syn::Item::ForeignMod(block) => {
                    for item in block.items {
                        bindings.foreign(item);
                    }
                }
                syn::Item::Const(constant) => {
                    let value = match &*constant.expr {
                        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(n), .. }) => {
                            n.base10_parse().expect("constants are numbers")
                        }
                        // Strings of the version header; version macros are proved elsewhere.
                        _ => continue,
                    };
                    bindings.constants.insert(constant.ident.to_string(), value);
                }
                syn::Item::Struct(item) => {
                    let fields = item
                        .fields
                        .iter()
                        .map(|f| (f.ident.as_ref().expect("named").to_string(), f.ty.clone()))
                        .collect();
                    bindings.structs.insert(item.ident.to_string(), fields);
                }
                _ => {}
            }
        }
        bindings
    }

    fn foreign(&mut self, item: syn::ForeignItem) {
        let syn::ForeignItem::Fn(function) = item else {
            return;
        };
        let params = function
            .sig
            .inputs
            .iter()
            .map(|input| match input {
                syn::FnArg::Typed(param) => (param.pat.to_token_stream().to_string(), self.resolve(&param.ty)),
                syn::FnArg::Receiver(_) => unreachable!("C has no methods"),
            })
            .collect();
        let signature = Signature { params, returns: self.returns(&function.sig.output) };
        self.functions.insert(function.sig.ident.to_string(), (signature, doc(&function.attrs)));
    }

    fn returns(&self, output: &syn::ReturnType) -> String {
        match output {
            syn::ReturnType::Default => "()".to_owned(),
            syn::ReturnType::Type(_, ty) => self.resolve(ty),
        }
    }

    /// The spelling of a type, with typedefs of the headers resolved.
    fn resolve(&self, ty: &syn::Type) -> String {
        match ty {
            syn::Type::Ptr(pointer) => {
                let kind = if pointer.mutability.is_some() { "*mut" } else { "*const" };
                format!("{kind} {}", self.resolve(&pointer.elem))
            }
            syn::Type::Path(path) => {
                let name = path.path.segments.last().expect("a path has a name");
                match self.aliases.get(&name.ident.to_string()) {
                    Some(target) => self.resolve(target),
                    None => name.ident.to_string(),
                }
            }
            other => panic!("unexpected type {}", other.to_token_stream()),
        }
    }

    /// The signature of a function pointer that is a member: `Option<unsafe extern "C" fn(..) -> ..>`.
    fn member(&self, ty: &syn::Type) -> Signature {
        let syn::Type::Path(path) = ty else { panic!("not a function pointer: {}", ty.to_token_stream()) };
        let option = path.path.segments.last().expect("a path has a name");
        let syn::PathArguments::AngleBracketed(arguments) = &option.arguments else {
            panic!("not a function pointer: {}", ty.to_token_stream())
        };
        let Some(syn::GenericArgument::Type(syn::Type::BareFn(function))) = arguments.args.first() else {
            panic!("not a function pointer: {}", ty.to_token_stream())
        };
        Signature {
            params: function
                .inputs
                .iter()
                .map(|input| {
                    let (name, _) = input.name.as_ref().expect("the header names parameters");
                    (name.to_string(), self.resolve(&input.ty))
                })
                .collect(),
            returns: self.returns(&function.output),
        }
    }
}

/// The documentation of an item, as one text.
fn doc(attributes: &[syn::Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes {
        if let syn::Meta::NameValue(meta) = &attribute.meta
            && meta.path.is_ident("doc")
            && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(line), .. }) = &meta.value
        {
            text.push_str(&line.value());
            text.push('\n');
        }
    }
    text
}

/// Sets a libclang for bindgen, or names the package to install.
fn find_libclang() {
    // Without one, bindgen panics with a list of directories.
    if std::panic::catch_unwind(bindgen::clang_version).is_err() {
        panic!(
            "bindgen found no libclang: install it (Debian and Ubuntu: libclang-dev, Fedora: clang-devel, macOS: llvm of Homebrew) or \
             set LIBCLANG_PATH to its directory"
        );
    }
}

/// The spelling that bindgen gives to a type of the table.
fn spelling(ty: Type) -> &'static str {
    match ty {
        Type::U32 | Type::Bool => "u32",
        Type::I32 => "i32",
        Type::U64 => "u64",
        Type::I64 => "i64",
        Type::Ptr => "*const u8",
        Type::Size | Type::Size32 => "usize",
        Type::OutPtr => "*mut *mut u8",
        Type::OutSize => "*mut usize",
        Type::OutU32 => "*mut u32",
        Type::OutU64 => "*mut u64",
        Type::Handle => "*const c_void",
        other => panic!("a type that this test does not know: {other:?}"),
    }
}

fn returned(returns: Return) -> &'static str {
    match returns {
        Return::None => "()",
        Return::Bool | Return::Action => "u32",
        Return::Ptr => "*mut c_void",
        Return::Int => "c_int",
        Return::Handle => "*const c_void",
        other => panic!("a return that this test does not know: {other:?}"),
    }
}

fn signature(params: &[Param], returns: &str) -> Signature {
    Signature {
        params: params.iter().map(|p| (p.name.to_owned(), spelling(p.ty).to_owned())).collect(),
        returns: returns.to_owned(),
    }
}

/// Every function that the headers must declare, with its versions.
fn expected() -> BTreeMap<&'static str, (Signature, Option<Versions>)> {
    let mut all = BTreeMap::new();
    for h in HOSTCALLS {
        all.insert(h.name, (signature(h.params, "u32"), Some(h.versions)));
    }
    for c in CALLBACKS.iter().chain(ENTRY_POINTS) {
        if !NOT_IN_HEADERS.contains(&c.name) {
            let signature = signature(c.params, returned(c.returns));
            all.insert(c.name, (signature, Some(c.versions)));
        }
    }
    for version in AbiVersion::ALL {
        all.insert(version.marker(), (signature(&[], "()"), None));
    }
    all
}

fn compare_functions(bindings: &Bindings, is_native: bool) {
    let mut expected = expected();
    for hostcall in NATIVE_HOSTCALLS.iter().filter(|_| is_native) {
        expected.insert(hostcall.name, (signature(hostcall.params, returned(hostcall.returns)), None));
    }
    let declared: BTreeSet<&str> =
        bindings.functions.keys().map(String::as_str).filter(|name| !ADDED.contains(name)).collect();
    assert_eq!(declared, expected.keys().copied().collect::<BTreeSet<_>>());
    for (name, (signature, _)) in &expected {
        assert_eq!(&bindings.functions[*name].0, signature, "{name}");
    }
    let set_host = &bindings.functions["dynvm_plugin_set_host"].0;
    assert_eq!(set_host.params, [("host".to_owned(), "*const dynvm_host_table_t".to_owned())]);
    assert_eq!(set_host.returns, "()");
}

#[needs::libclang]
#[test]
fn functions_natively() {
    compare_functions(&Bindings::read(None), true);
}

#[needs::libclang]
#[test]
fn functions_in_wasm() {
    compare_functions(&Bindings::read(Some("wasm32-unknown-unknown")), false);
}

#[needs::libclang]
#[test]
fn documentation_tells_what_the_table_tells() {
    let bindings = Bindings::read(None);
    for (name, (_, versions)) in expected() {
        let doc = &bindings.functions[name].1;
        if let Some(versions) = versions {
            assert!(doc.contains(&format!("ABI: {versions}.\n")), "{name}: {doc}");
        }
    }
    for hostcall in HOSTCALLS {
        let doc = &bindings.functions[hostcall.name].1;
        let mut statuses = vec!["OK".to_owned()];
        statuses.extend(hostcall.statuses.iter().map(|s| common::screaming(s.name())));
        let line = format!("Statuses: {}.\n", statuses.join(", "));
        assert!(doc.contains(&line), "{}: {doc}", hostcall.name);
        let returns_memory = hostcall.params.iter().any(|p| p.ty == Type::OutPtr);
        assert_eq!(doc.contains("Ownership: "), returns_memory, "{}", hostcall.name);
    }
}

#[needs::libclang]
#[test]
fn every_function_has_tags_that_are_defined() {
    let umbrella = std::fs::read_to_string(format!("{}/dynvm/dynvm.h", dynvm_abi::INCLUDE_DIR)).unwrap();
    let defined: BTreeSet<&str> =
        umbrella.lines().filter_map(|line| Some(line.strip_prefix("// [")?.split_once(']')?.0)).collect();
    let bindings = Bindings::read(None);
    for (name, (_, doc)) in &bindings.functions {
        let tags: Vec<&str> = doc.split('[').skip(1).filter_map(|rest| Some(rest.split_once(']')?.0)).collect();
        for tag in &tags {
            assert!(defined.contains(tag), "{name}: [{tag}] is not defined");
        }
        let when = ["vm-thread", "any-thread", "never-called"];
        assert_eq!(tags.iter().filter(|t| when.contains(t)).count(), 1, "{name}: {tags:?}");
    }
}

#[needs::libclang]
#[test]
fn host_table_is_the_hostcalls_in_order() {
    let bindings = Bindings::read(None);
    let members = &bindings.structs["dynvm_host_table_t"];
    let (head, hostcalls) = members.split_at(3);
    let head: Vec<&str> = head.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(head, ["struct_size", "header_version", "get_extension"]);
    assert_eq!(bindings.resolve(&members[0].1), "u32");
    assert_eq!(bindings.resolve(&members[1].1), "u32");
    assert_eq!(
        bindings.member(&members[2].1),
        Signature {
            params: vec![
                ("host".to_owned(), "*const dynvm_host_table_t".to_owned()),
                ("id".to_owned(), "*const c_char".to_owned())
            ],
            returns: "*const c_void".to_owned(),
        }
    );
    assert_eq!(hostcalls.len(), HOSTCALLS.len());
    for ((name, ty), row) in hostcalls.iter().zip(HOSTCALLS) {
        assert_eq!(name, row.name);
        assert_eq!(bindings.member(ty), signature(row.params, "u32"), "{name}");
    }
}

#[needs::libclang]
#[test]
fn descriptor_members() {
    let bindings = Bindings::read(None);
    let members: Vec<(&str, String)> = bindings.structs["dynvm_plugin_descriptor_t"]
        .iter()
        .map(|(name, ty)| (name.as_str(), bindings.resolve(ty)))
        .collect();
    let member = |name, ty: &str| (name, ty.to_owned());
    assert_eq!(
        members,
        [
            member("struct_size", "u32"),
            member("header_version", "u32"),
            member("state_model", "u32"),
            member("flags", "u32"),
            member("name", "*const c_char"),
            member("version", "*const c_char"),
            member("sdk", "*const c_char"),
            member("wanted_extensions", "*const *const c_char"),
        ]
    );
}

#[needs::libclang]
#[test]
fn enumerators() {
    let bindings = Bindings::read(None);
    let mut expected = BTreeMap::new();
    macro_rules! values {
        ($($name:ident $prefix:literal),* $(,)?) => {$(
            assert_eq!(
                bindings.aliases[&format!("{}_t", $prefix.to_lowercase())].to_token_stream().to_string(),
                "u32"
            );
            for value in types::$name::ALL {
                let name = format!("{}_{}", $prefix, common::screaming(value.name()));
                expected.insert(name, *value as u32 as u64);
            }
        )*};
    }
    values!(
        Status "PROXY_STATUS",
        LogLevel "PROXY_LOG_LEVEL",
        BufferType "PROXY_BUFFER_TYPE",
        MapType "PROXY_MAP_TYPE",
        StreamType "PROXY_STREAM_TYPE",
        PeerType "PROXY_PEER_TYPE",
        MetricType "PROXY_METRIC_TYPE",
        FilterHeadersStatus "PROXY_FILTER_HEADERS_STATUS",
        FilterDataStatus "PROXY_FILTER_DATA_STATUS",
        FilterTrailersStatus "PROXY_FILTER_TRAILERS_STATUS",
        FilterStatus "PROXY_FILTER_STATUS",
    );
    {
        use dynvm_abi::descriptor::StateModel;
        let mut state = |name: &str, model| expected.insert(name.to_owned(), model as u32 as u64);
        state("DYNVM_STATE_PER_IMAGE", StateModel::PerImage);
        state("DYNVM_STATE_PER_THREAD", StateModel::PerThread);
    }
    let declared: BTreeMap<String, u64> = bindings
        .constants
        .iter()
        .filter(|(name, _)| name.starts_with("PROXY_") || name.starts_with("DYNVM_STATE_"))
        .map(|(name, value)| (name.clone(), *value))
        .collect();
    assert_eq!(declared, expected);
    for model in [0, 1] {
        assert_eq!(dynvm_abi::descriptor::StateModel::from_u32(model) as u32, model);
    }
    assert_eq!(dynvm_abi::descriptor::StateModel::from_u32(2) as u32, 0);
}
