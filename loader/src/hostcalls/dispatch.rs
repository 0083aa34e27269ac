//! Entry points of the hostcalls, generated from the table of the ABI. They convert raw arguments
//! and choose the path.

use dynvm_abi::table::HostcallId;
use dynvm_abi::types::Status;

use super::slow_path;
use crate::instance::{Addr, Guest, InstanceState};

/// A parameter of a hostcall's implementation.
trait Argument {
    /// Narrows the defined bits of an argument.
    fn narrow(bits: u64) -> Self;
}

macro_rules! argument {
    ($($ty:ty, $bits:ident => $value:expr;)*) => {
        $(
            impl Argument for $ty {
                #[inline(always)]
                fn narrow($bits: u64) -> Self {
                    $value
                }
            }
        )*
    };
}

argument! {
    u32, bits => bits as u32;
    i32, bits => bits as i32;
    u64, bits => bits;
    i64, bits => bits as i64;
    bool, bits => bits != 0;
    Addr, bits => Addr(bits);
}

mod implementation {
    pub(super) use super::super::{
        buffer::*, context::*, foreign::*, grpc::*, header_map::*, http_call::*, log::*, metric::*, property::*,
        shared_data::*, shared_queue::*, stream::*, timer::*,
    };
}

macro_rules! dispatchers {
    ($($name:ident($($param:ident: $ty:ident),*) $versions:ident [$($status:ident)*];)*) => {
        $(
            #[inline]
            #[allow(clippy::too_many_arguments, reason = "the ABI's")]
            pub(crate) fn $name<G: Guest>(guest: &mut G, state: &InstanceState, $($param: u64),*) -> Status {
                let id = HostcallId::$name;
                let answer = |guest: &mut G| match implementation::$name(
                    guest,
                    state,
                    $(<dynvm_abi::__host_type!($ty, Addr)>::narrow(dynvm_abi::__type!($ty).defined_bits($param))),*
                ) {
                    Ok(()) => Status::Ok,
                    Err(status) => status,
                };
                if state.is_fast(id) { answer(guest) } else { slow_path::pass(guest, state, id, &[$($param),*], answer) }
            }
        )*
    };
}

dynvm_abi::hostcalls!(dispatchers);
