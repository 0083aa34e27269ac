//! The host's function table: the layout of `dynvm/host.h`, made from [`hostcalls!`](crate::hostcalls).

use std::ffi::{c_char, c_void};
use std::mem::offset_of;

use crate::hostcalls;
use crate::table::HostcallId;
use crate::types::Status;
use crate::version::HEADER_VERSION;

/// The name of the optional function by which a native plugin gets the table: a [`SetHost`].
pub const SET_HOST_SYMBOL: &str = "dynvm_plugin_set_host";

/// `dynvm_plugin_set_host`: called once per image, before any other function of the plugin. The table stays valid until the image is
/// unloaded.
pub type SetHost = unsafe extern "C" fn(host: *const HostTable);

/// Finds an extension by its id, null if this host does not have it.
pub type GetExtension = unsafe extern "C" fn(host: *const HostTable, id: *const c_char) -> *const c_void;

macro_rules! host_table {
    ($($name:ident($($param:ident: $ty:ident),*) $versions:ident [$($status:ident)*];)*) => {
        /// Every hostcall as a function pointer (`dynvm_host_table_t`).
        ///
        /// The order is that of [`hostcalls!`](crate::hostcalls) and is frozen; members are only ever added at the end. A host that
        /// brings its own hostcalls begins with [`UNIMPLEMENTED`](Self::UNIMPLEMENTED):
        ///
        /// ```
        /// use dynvm_abi::host::HostTable;
        ///
        /// unsafe extern "C" fn done() -> u32 {
        ///     0
        /// }
        /// static HOST: HostTable = HostTable { proxy_done: done, ..HostTable::UNIMPLEMENTED };
        /// ```
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct HostTable {
            /// The size of this struct as the host knows it.
            pub struct_size: u32,
            /// [`HEADER_VERSION`] that the host was built with.
            pub header_version: u32,
            /// Finds an extension.
            pub get_extension: GetExtension,
            $(
                #[doc = concat!("`", stringify!($name), "`.")]
                pub $name: unsafe extern "C" fn($($param: $crate::__native_type!($ty)),*) -> u32,
            )*
        }

        impl HostTable {
            /// A table whose functions all return [`Status::Unimplemented`], without extensions.
            pub const UNIMPLEMENTED: HostTable = HostTable {
                struct_size: size_of::<HostTable>() as u32,
                header_version: HEADER_VERSION,
                get_extension: no_extension,
                $($name: {
                    unsafe extern "C" fn $name($(_: $crate::__native_type!($ty)),*) -> u32 {
                        Status::Unimplemented as u32
                    }
                    $name
                },)*
            };

            /// The address of a hostcall, for binding by name.
            pub fn address(&self, hostcall: HostcallId) -> *const c_void {
                match hostcall {
                    $(HostcallId::$name => self.$name as *const c_void,)*
                }
            }
        }

        // The header promises that the functions have the order of the table.
        const _: () = {
            $(assert!(
                offset_of!(HostTable, $name)
                    == FIRST_HOSTCALL + HostcallId::$name as usize * size_of::<usize>()
            );)*
        };
    };
}

hostcalls!(host_table);

/// The offset of the first hostcall: after two numbers and the getter of extensions.
const FIRST_HOSTCALL: usize = 8 + size_of::<usize>();

const _: () = {
    assert!(offset_of!(HostTable, struct_size) == 0);
    assert!(offset_of!(HostTable, header_version) == 4);
    assert!(offset_of!(HostTable, get_extension) == 8);
    assert!(size_of::<HostTable>() == FIRST_HOSTCALL + crate::table::HOSTCALLS.len() * size_of::<usize>());
};

unsafe extern "C" fn no_extension(_: *const HostTable, _: *const c_char) -> *const c_void {
    std::ptr::null()
}

/// The id of an extension: `extension_id!("name", 1)` is `c"dynvm.name/1"`.
#[macro_export]
macro_rules! extension_id {
    ($name:literal, $revision:literal) => {
        match ::core::ffi::CStr::from_bytes_with_nul(concat!("dynvm.", $name, "/", $revision, "\0").as_bytes()) {
            Ok(id) => id,
            Err(_) => panic!("an extension's id has a NUL in it"),
        }
    };
}
