//! A plugin in C, loaded: its descriptor is read and it calls through the host table.

#![cfg(target_os = "linux")]

mod common;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use dynvm_abi::description::Description;
use dynvm_abi::descriptor::{DESCRIPTOR_SYMBOL, StateModel};
use dynvm_abi::extension_id;
use dynvm_abi::host::{HostTable, SET_HOST_SYMBOL, SetHost};
use dynvm_abi::table::{self, HostcallId};
use dynvm_abi::types::{FilterHeadersStatus, LogLevel, MapType, Status};
use dynvm_abi::version::{AbiVersion, HEADER_VERSION};

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
}

const RTLD_NOW: c_int = 2;

/// An image that is never closed.
struct Plugin(*mut c_void);

impl Plugin {
    fn load(path: &Path) -> Plugin {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the file was compiled by this test and has no constructors.
        let handle = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
        assert!(!handle.is_null(), "{path:?} cannot be loaded");
        Plugin(handle)
    }

    fn symbol(&self, name: &str) -> *mut c_void {
        let name = CString::new(name).unwrap();
        // SAFETY: the handle is open, the name ends with a NUL.
        unsafe { dlsym(self.0, name.as_ptr()) }
    }
}

static LOGGED: Mutex<Vec<(u32, String)>> = Mutex::new(Vec::new());
static ALLOCATE: Mutex<Option<unsafe extern "C" fn(usize) -> *mut u8>> = Mutex::new(None);
static EXTENSION: u32 = 1;

unsafe extern "C" fn log(level: u32, data: *const u8, size: usize) -> u32 {
    // SAFETY: the plugin passes its own bytes.
    let text = unsafe { std::slice::from_raw_parts(data, size) };
    let text = String::from_utf8(text.to_vec()).unwrap();
    LOGGED.lock().unwrap().push((level, text));
    Status::Ok as u32
}

unsafe extern "C" fn get_header(
    map: u32,
    key: *const u8,
    key_size: usize,
    value: *mut *mut u8,
    value_size: *mut usize,
) -> u32 {
    assert_eq!(map, MapType::HttpRequestHeaders as u32);
    // SAFETY: the plugin passes its own bytes.
    let key = unsafe { std::slice::from_raw_parts(key, key_size) };
    assert_eq!(key, b"host");
    let answer = b"example.com";
    let allocate = ALLOCATE.lock().unwrap().unwrap();
    // SAFETY: the plugin's allocator returns at least the requested size; the out pointers are the plugin's.
    unsafe {
        let memory = allocate(answer.len());
        memory.copy_from_nonoverlapping(answer.as_ptr(), answer.len());
        *value = memory;
        *value_size = answer.len();
    }
    Status::Ok as u32
}

unsafe extern "C" fn extension(host: *const HostTable, id: *const c_char) -> *const c_void {
    assert!(std::ptr::eq(host, &HOST));
    // SAFETY: the plugin passes a literal.
    if unsafe { CStr::from_ptr(id) } == extension_id!("test", 1) {
        &raw const EXTENSION as *const c_void
    } else {
        std::ptr::null()
    }
}

static HOST: HostTable = HostTable {
    get_extension: extension,
    proxy_log: log,
    proxy_get_header_map_value: get_header,
    ..HostTable::UNIMPLEMENTED
};

fn build(compiler: Command, language: &str, directory: &Path) -> Plugin {
    let path = directory.join(format!("plugin-{language}.so"));
    let mut compiler = compiler;
    // Hidden visibility, as careful plugins are built; no undefined symbols, since every hostcall comes through the
    // table.
    common::run(
        compiler
            .args(common::STRICT)
            .args(["-x", language, "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-z,defs"])
            .arg(common::data("plugin.c"))
            .arg("-o")
            .arg(&path),
    );
    Plugin::load(&path)
}

#[needs::cxx]
#[test]
fn describes_itself_and_calls_through_the_table() {
    let dir = tempfile::tempdir().unwrap();
    for (compiler, language) in [(common::cc(), "c"), (common::cxx(), "c++")] {
        let plugin = build(compiler, language, dir.path());
        for exported in [AbiVersion::V0_2_1.marker(), "proxy_on_request_headers"] {
            assert!(!plugin.symbol(exported).is_null(), "{exported} is not exported");
        }
        assert!(plugin.symbol("proxy_on_tick").is_null());

        let descriptor = plugin.symbol(DESCRIPTOR_SYMBOL);
        assert!(!descriptor.is_null());
        // SAFETY: the symbol of a loaded plugin that this test compiled.
        let description = unsafe { Description::of_loaded(descriptor) }.unwrap();
        assert_eq!(description.name, "plugin-in-c");
        assert_eq!(description.version.as_deref(), Some("1.2.3"));
        assert_eq!(description.sdk, None);
        assert_eq!(description.state_model, StateModel::PerThread);
        assert_eq!(description.header_version, HEADER_VERSION);
        assert_eq!(description.wanted_extensions, ["dynvm.test/1", "com.example.clock/2"]);

        // SAFETY: these are the types that the headers give to the symbols.
        let (set_host, allocate, on_request_headers) = unsafe {
            (
                std::mem::transmute::<*mut c_void, SetHost>(plugin.symbol(SET_HOST_SYMBOL)),
                std::mem::transmute::<*mut c_void, unsafe extern "C" fn(usize) -> *mut u8>(
                    plugin.symbol("proxy_on_memory_allocate"),
                ),
                std::mem::transmute::<*mut c_void, unsafe extern "C" fn(u32, usize, u32) -> u32>(
                    plugin.symbol("proxy_on_request_headers"),
                ),
            )
        };
        *ALLOCATE.lock().unwrap() = Some(allocate);
        // SAFETY: the table is a static; the callback comes after it, on the same thread.
        let action = unsafe {
            set_host(&HOST);
            on_request_headers(7, 1, 1)
        };
        assert_eq!(action, FilterHeadersStatus::Continue as u32);
        let logged = std::mem::take(&mut *LOGGED.lock().unwrap());
        assert_eq!(logged, [(LogLevel::Warn as u32, "example.com".to_owned())]);
    }
}

#[test]
fn what_a_host_leaves_out_is_unimplemented() {
    assert_eq!(HOST.struct_size as usize, size_of::<HostTable>());
    assert_eq!(HOST.header_version, HEADER_VERSION);
    // SAFETY: the function ignores its arguments.
    let status = unsafe { (HOST.proxy_grpc_cancel)(1) };
    assert_eq!(status, Status::Unimplemented as u32);
    assert_eq!(HOST.address(HostcallId::proxy_log), log as *const c_void);
    // SAFETY: the function ignores its arguments.
    let none = unsafe { (HostTable::UNIMPLEMENTED.get_extension)(&HOST, c"x".as_ptr()) };
    assert!(none.is_null());
    assert_eq!(table::HOSTCALLS.len() * 8 + 16, size_of::<HostTable>());
}
