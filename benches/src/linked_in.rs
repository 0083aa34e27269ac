//! The measured plugins as parts of the program, run by the loader.

use dynvm::Module;

macro_rules! plugins {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// It was not linked.
            #[cfg($name)]
            pub fn $name() -> anyhow::Result<Module> {
                mod generated {
                    include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
                }
                Ok(Module::linked(&generated::PLUGIN))
            }

            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// It was not linked.
            #[cfg(not($name))]
            pub fn $name() -> anyhow::Result<Module> {
                anyhow::bail!("the plugin was not linked; the build printed the reason")
            }
        )*
    };
}

plugins! {
    /// The example `bench-suite`, whose VMs share statics.
    suite_shared;
    /// The same with slots.
    suite_slots;
    /// The plugin in C that only calls the host.
    calls;
}
