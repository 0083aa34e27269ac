//! Entry points of the hostcalls, generated from the table of the ABI. They convert raw arguments
//! and choose the path.

use dynvm_abi::table::HostcallId;
use dynvm_abi::types::Status;

use super::slow_path;
use crate::instance::{Addr, Guest, InstanceState};

/// Converts an argument, widened to 64 bits by the backend, to the type of the hostcall. Upper bits
/// that a calling convention leaves undefined are cut off here.
macro_rules! argument {
    (u32, $raw:expr) => {
        $raw as u32
    };
    (i32, $raw:expr) => {
        $raw as i32
    };
    (u64, $raw:expr) => {
        $raw
    };
    (i64, $raw:expr) => {
        $raw as i64
    };
    (bool, $raw:expr) => {
        $raw as u8 != 0
    };
    (size, $raw:expr) => {
        $raw
    };
    (size32, $raw:expr) => {
        $raw as u32
    };
    ($address:ident, $raw:expr) => {
        Addr($raw)
    };
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
                let answer = |guest: &mut G| match implementation::$name(guest, state, $(argument!($ty, $param)),*) {
                    Ok(()) => Status::Ok,
                    Err(status) => status,
                };
                if state.is_fast(id) { answer(guest) } else { slow_path::pass(guest, state, id, &[$($param),*], answer) }
            }
        )*
    };
}

dynvm_abi::hostcalls!(dispatchers);
