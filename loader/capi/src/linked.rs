//! Plugins that are part of the program: the C functions of `loader/linked.h`.

use std::ffi::c_char;

use dynvm::linked::{self, Export, Functions, StateModel, Text, ThreadLocals, Variables};
use dynvm_abi::version::AbiVersion;

use crate::error::{Code, Error, attempt};
use crate::module::Module;
use crate::text::{give, text};

/// `dynvm_linked_t`
#[repr(C)]
pub struct Linked {
    struct_size: usize,
    name: *const c_char,
    sha256: [u8; 32],
    size: usize,
    abi_version: u32,
    state_model: u32,
    imports: *const *const c_char,
    import_count: usize,
    slots: *const Slot,
    slot_count: usize,
}

/// `dynvm_linked_slot_t`
#[repr(C)]
struct Slot {
    text_start: *const u8,
    text_stop: *const u8,
    exports: *const CExport,
    export_count: usize,
    statics: *const Variables,
    static_count: usize,
    thread_locals: Option<extern "C" fn() -> *mut u8>,
    thread_locals_initial: *const u8,
    thread_locals_size: usize,
    constructors: *const u8,
    constructor_count: usize,
    destructors: *const u8,
    destructor_count: usize,
}

/// `dynvm_linked_export_t`
#[repr(C)]
struct CExport {
    name: *const c_char,
    address: *const u8,
}

/// A constant array of C.
///
/// # Safety
///
/// It has so many elements, for ever.
unsafe fn array<T>(first: *const T, count: usize) -> &'static [T] {
    // SAFETY: the caller's promise.
    if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(first, count) } }
}

/// The description as the loader has it, which lives as long as the process.
///
/// # Safety
///
/// It is as `loader/linked.h` requires, for ever.
unsafe fn describe(plugin: &'static Linked) -> Result<&'static linked::Linked, Error> {
    let wrong = |what: String| Error::new(Code::Argument, format!("the description of a linked plugin {what}"));
    if plugin.struct_size != size_of::<Linked>() {
        return Err(wrong(
            "is of another version of DynVM: link the plugin again with the dynvm-link of this version".to_owned(),
        ));
    }
    let abi_version = match plugin.abi_version {
        1 => AbiVersion::V0_1_0,
        2 => AbiVersion::V0_2_0,
        3 => AbiVersion::V0_2_1,
        other => return Err(wrong(format!("names version {other} of the ABI, which is not one of 1 to 3"))),
    };
    // SAFETY: the caller's promise, here and below.
    let (name, slots) = unsafe { (text(plugin.name, "the plugin's name")?, array(plugin.slots, plugin.slot_count)) };
    if slots.is_empty() {
        return Err(wrong("has no slot".to_owned()));
    }
    // SAFETY: as above.
    let imports = unsafe { array(plugin.imports, plugin.import_count) };
    // SAFETY: as above.
    let imports: Result<Vec<_>, _> = imports.iter().map(|name| unsafe { text(*name, "an import") }).collect();
    let slots: Result<Vec<_>, Error> = slots
        .iter()
        .map(|slot| {
            // SAFETY: as above.
            let (exports, statics) =
                unsafe { (array(slot.exports, slot.export_count), array(slot.statics, slot.static_count)) };
            let exports: Result<Vec<_>, _> = exports
                .iter()
                // SAFETY: as above.
                .map(|export| Ok(Export { name: unsafe { text(export.name, "an export") }?, address: export.address }))
                .collect();
            Ok(linked::Slot {
                text: Text { start: slot.text_start, stop: slot.text_stop },
                exports: exports.map_err(|error: crate::text::TextError| Error::from(error))?.leak(),
                thread_locals: slot.thread_locals.map(|block| ThreadLocals {
                    block,
                    initial: slot.thread_locals_initial,
                    size: slot.thread_locals_size,
                }),
                statics,
                constructors: Functions { first: slot.constructors, count: slot.constructor_count },
                destructors: Functions { first: slot.destructors, count: slot.destructor_count },
            })
        })
        .collect();
    Ok(Box::leak(Box::new(linked::Linked {
        name,
        digest: plugin.sha256,
        size: plugin.size,
        abi_version,
        state_model: StateModel::from_u32(plugin.state_model),
        imports: imports?.leak(),
        slots: slots?.leak(),
    })))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_linked_register(plugin: *const Linked) -> *mut Error {
    attempt(|| {
        // SAFETY: the description is as `loader/linked.h` requires, for ever.
        let plugin = unsafe { describe(&*plugin)? };
        Ok(linked::register(plugin)?)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_module_linked(name: *const c_char, out: *mut *mut Module) -> *mut Error {
    attempt(|| {
        // SAFETY: guaranteed by the caller, as `loader/linked.h` requires.
        let name = unsafe { text(name, "the name")? };
        let module = Module::new(linked::module(name)?)?;
        // SAFETY: `out` has room for a pointer, as `loader/linked.h` requires.
        unsafe { out.write(give(module)) };
        Ok(())
    })
}
