//! The macro by which a plugin in Rust describes itself.

/// Exports a [descriptor](crate::descriptor) from a plugin: write it once, in the crate of the cdylib.
///
/// ```
/// dynvm_abi::declare_plugin_descriptor! {
///     name: env!("CARGO_PKG_NAME"),
///     version: env!("CARGO_PKG_VERSION"),
///     sdk: "proxy-wasm-rust-sdk 0.2.5",
///     state: PerThread,
///     extensions: ["com.example.clock/1"],
/// }
/// # fn main() {}
/// ```
///
/// The texts are literals or macros that yield one. `state` is a variant of [`StateModel`](crate::descriptor::StateModel): `PerThread`
/// fits a plugin that keeps all its state where the Rust SDK does, in its contexts; `PerImage` is right for every plugin. `sdk` and
/// `extensions` may be left out. For wasm nothing is exported, so that the source stays one for both artifacts.
#[macro_export]
macro_rules! declare_plugin_descriptor {
    (
        name: $name:expr,
        version: $version:expr,
        $(sdk: $sdk:expr,)?
        state: $state:ident
        $(, extensions: [$($extension:expr),* $(,)?])?
        $(,)?
    ) => {
        /// The metadata of this plugin.
        #[cfg(not(target_family = "wasm"))]
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals, reason = "the name is the symbol's")]
        pub static dynvm_plugin_descriptor: $crate::descriptor::PluginDescriptor = {
            // `Sync` for the list of pointers to literals.
            struct List<const N: usize>([*const ::core::ffi::c_char; N]);
            // SAFETY: the pointers are to literals, which nobody writes.
            unsafe impl<const N: usize> Sync for List<N> {}

            const COUNT: usize = <[&str]>::len(&[$($($extension),*)?]);
            static WANTED: List<{ COUNT + 1 }> = List([
                $($($crate::__c_text!($extension),)*)?
                ::core::ptr::null(),
            ]);
            $crate::descriptor::PluginDescriptor {
                struct_size: ::core::mem::size_of::<$crate::descriptor::PluginDescriptor>() as u32,
                header_version: $crate::version::HEADER_VERSION,
                state_model: $crate::descriptor::StateModel::$state as u32,
                flags: 0,
                name: $crate::__c_text!($name),
                version: $crate::__c_text!($version),
                sdk: $crate::__c_text!($($sdk)?),
                wanted_extensions: &WANTED.0 as *const *const ::core::ffi::c_char,
            }
        };

        $crate::__declare_layout!();
    };
}

/// A literal as a C string, nothing as null; a NUL inside of the literal fails the build.
#[macro_export]
#[doc(hidden)]
macro_rules! __c_text {
    () => {
        ::core::ptr::null()
    };
    ($text:expr) => {
        match ::core::ffi::CStr::from_bytes_with_nul(concat!($text, "\0").as_bytes()) {
            Ok(text) => text.as_ptr(),
            Err(_) => panic!("a text of the descriptor has a NUL in it"),
        }
    };
}

#[cfg(feature = "abi-stable")]
#[macro_export]
#[doc(hidden)]
macro_rules! __declare_layout {
    () => {
        /// The layout of the descriptor as this plugin knows it.
        #[cfg(not(target_family = "wasm"))]
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals, reason = "the name is the symbol's")]
        pub static dynvm_plugin_descriptor_layout: $crate::layout::Layout =
            $crate::layout::Layout::of::<$crate::descriptor::PluginDescriptor>();
    };
}

#[cfg(not(feature = "abi-stable"))]
#[macro_export]
#[doc(hidden)]
macro_rules! __declare_layout {
    () => {};
}
