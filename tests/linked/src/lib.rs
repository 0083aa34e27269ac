//! The linked plugins.

use dynvm::linked::Linked;

macro_rules! plugins {
    ($($(#[$doc:meta])* $name:ident $cfg:ident $file:literal;)*) => {
        $(
            $(#[$doc])*
            #[cfg($cfg)]
            pub fn $name() -> &'static Linked {
                mod generated {
                    include!(concat!(env!("OUT_DIR"), $file));
                }
                &generated::PLUGIN
            }

            $(#[$doc])*
            #[cfg(not($cfg))]
            pub fn $name() -> &'static Linked {
                panic!("the plugin was not linked; the build printed the reason")
            }
        )*
    };
}

plugins! {
    /// A plugin in Rust, whose VMs share statics.
    shared has_shared "/shared.rs";
    /// A plugin in Rust, with two slots.
    slots has_slots "/slots.rs";
    /// A plugin in Rust, with one slot.
    threads has_threads "/threads.rs";
    /// A plugin in C, with two slots.
    c has_c "/c.rs";
    /// A plugin in C++, with 64 slots.
    cxx has_cxx "/cxx.rs";
    /// A plugin in C++ that fails as a request says, with two slots.
    crashes has_crashes "/crashes.rs";
}
