//! The state of a running instance, as hostcalls reach it below a [`Vm`](crate::Vm).

pub(crate) mod budget;
pub(crate) mod contexts;
mod guest;
mod state;

pub(crate) use contexts::{DoneState, Release};
pub(crate) use guest::{Addr, Guest, Out, return_bytes, return_with};
pub(crate) use state::{Call, CallKind, Deferred, Delivery, DeliveryKind, InstanceState, Phase};
