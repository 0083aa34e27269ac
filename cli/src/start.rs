//! Starts a plugin in a simulated proxy.

use dynvm::Module;
use dynvm::call_trace::Tracer;
use dynvm_sim::{SimProxy, SimProxyBuilder};

use crate::exit::cannot_load;

/// Starts a plugin and converts the error.
///
/// # Errors
///
/// The plugin did not start. The error includes its log, which usually has the reason.
pub fn start(builder: SimProxyBuilder, module: &Module, tracer: Option<Box<dyn Tracer>>) -> anyhow::Result<SimProxy> {
    dynvm_differential::start::start(builder, module, tracer).map_err(cannot_load)
}
