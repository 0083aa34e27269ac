//! The state of a running instance below a [`Vm`](crate::Vm), as hostcalls use it.

pub(crate) mod budget;
pub(crate) mod contexts;
mod guest;
mod state;

pub(crate) use contexts::{DoneState, Release};
pub(crate) use guest::{Addr, Guest, Out, return_bytes, return_with};
pub(crate) use state::{Call, CallKind, Deferred, Delivery, DeliveryKind, InstanceState, Phase};
