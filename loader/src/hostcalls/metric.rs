//! Hostcalls for metrics.

use dynvm_abi::types::{MetricType, Status};

use super::Answer;
use crate::host::MetricError;
use crate::instance::{Addr, Guest, InstanceState};

impl From<MetricError> for Status {
    fn from(error: MetricError) -> Status {
        match error {
            MetricError::NotFound => Status::NotFound,
            MetricError::BadArgument => Status::BadArgument,
        }
    }
}

pub(super) fn proxy_define_metric<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    metric_type: u32,
    name: Addr,
    name_size: u64,
    metric_out: Addr,
) -> Answer {
    let kind = MetricType::from_u32(metric_type).ok_or(Status::BadArgument)?;
    let metric = state.services.metrics.define(kind, guest.read(name, name_size)?);
    guest.write_u32(metric_out, metric)
}

pub(super) fn proxy_increment_metric<G: Guest>(_: &mut G, state: &InstanceState, metric: u32, offset: i64) -> Answer {
    Ok(state.services.metrics.increment(metric, offset)?)
}

pub(super) fn proxy_record_metric<G: Guest>(_: &mut G, state: &InstanceState, metric: u32, value: u64) -> Answer {
    Ok(state.services.metrics.record(metric, value)?)
}

pub(super) fn proxy_get_metric<G: Guest>(guest: &mut G, state: &InstanceState, metric: u32, value_out: Addr) -> Answer {
    let value = state.services.metrics.get(metric)?;
    guest.write_u64(value_out, value)
}
