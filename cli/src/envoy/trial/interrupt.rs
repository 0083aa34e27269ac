//! Signals that end the tool, held back until what it started has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::bail;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Holds the signals back while it lives.
pub struct Interrupt {
    received: Arc<AtomicUsize>,
    handlers: Vec<SigId>,
}

impl Interrupt {
    pub fn hold_back() -> anyhow::Result<Interrupt> {
        let received = Arc::new(AtomicUsize::new(0));
        let mut handlers = Vec::new();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            handlers.push(signal_hook::flag::register_usize(signal, received.clone(), signal as usize)?);
        }
        Ok(Interrupt { received, handlers })
    }

    /// Fails once a signal has come.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.received.load(Ordering::Relaxed) != 0 {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Ends the process by the signal that came, if one did.
    pub fn deliver(self) {
        let signal = self.received.load(Ordering::Relaxed);
        if signal != 0 {
            let _ = signal_hook::low_level::emulate_default_handler(signal as i32);
        }
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}
