//! Starts a plugin in a host in memory.

use dynvm::Module;
use dynvm::call_trace::Tracer;
use dynvm_sim::{SimProxy, SimProxyBuilder};

use crate::exit::cannot_load;

/// Starts a plugin.
///
/// # Errors
///
/// It did not start: the error has what it logged, as that mostly says why.
pub fn start(builder: SimProxyBuilder, module: &Module, tracer: Option<Box<dyn Tracer>>) -> anyhow::Result<SimProxy> {
    dynvm_differential::start::start(builder, module, tracer).map_err(cannot_load)
}
