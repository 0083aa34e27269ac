//! The running instance below a [`Vm`](crate::Vm): the state that hostcalls reach, and the interface to the backend that runs the code.

mod backend;
pub(crate) mod budget;
pub(crate) mod contexts;
mod guest;
mod state;

pub(crate) use backend::{Backend, Returned};
pub(crate) use contexts::DoneState;
pub(crate) use guest::{Addr, Guest, Out, return_bytes, return_with};
pub(crate) use state::{Call, CallKind, Deferred, Delivery, DeliveryKind, InstanceState, Phase};
