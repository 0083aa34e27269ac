//! Calls of callbacks as values, generated from the table of the ABI.

use dynvm_abi::table::CallbackId;

use crate::backend::{Instance, Returned};
use crate::call_trace::{Named, Value};

/// One call of a callback: which one, and its arguments.
pub(super) trait Callback: Copy {
    const ID: CallbackId;

    /// The context that the callback is for.
    fn context(self) -> u32;

    /// The arguments by name, for the tracer.
    fn arguments(self) -> Vec<Named>;

    fn call(self, instance: &mut dyn Instance) -> Returned;
}

macro_rules! callback_values {
    ($($name:ident($($param:ident: $ty:ident),*) -> $ret:ident $versions:ident;)*) => {
        $(
            #[allow(non_camel_case_types, reason = "the types are the ABI's symbols")]
            #[derive(Clone, Copy)]
            pub(super) struct $name($(pub(super) dynvm_abi::__callback_type!($ty)),*);

            impl Callback for $name {
                const ID: CallbackId = CallbackId::$name;

                #[inline]
                fn context(self) -> u32 {
                    self.0
                }

                fn arguments(self) -> Vec<Named> {
                    let $name($($param),*) = self;
                    vec![$((stringify!($param), Value::Number($param as i128))),*]
                }

                #[inline]
                fn call(self, instance: &mut dyn Instance) -> Returned {
                    let $name($($param),*) = self;
                    instance.$name($($param),*)
                }
            }
        )*
    };
}

dynvm_abi::callbacks!(callback_values);
