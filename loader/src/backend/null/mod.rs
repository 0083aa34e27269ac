//! Plugins that are part of the program: `dynvm-link` joined them to it, so nothing is read or mapped here.
//!
//! ```text
//!   slots      which copy of a plugin a VM runs on
//!   variables  gives each VM private statics and thread-local variables
//!   current    the VM that runs on this thread
//!   hostcalls  the hostcalls, under the names by which plugins were linked
//!   libc       the same for functions of the C library
//!   vm         a running instance
//! ```

mod current;
mod hostcalls;
mod libc;
mod slots;
mod variables;
mod vm;

use std::rc::Rc;

use dynvm_abi::linked::Linked;
use dynvm_abi::table::CallbackId;
use dynvm_abi::version::AbiVersion;

use super::{Code, Instance};
use crate::error::StartError;
use crate::instance::InstanceState;

/// A linked plugin.
pub(crate) struct NullModule {
    plugin: &'static Linked,
}

impl NullModule {
    pub(crate) fn new(plugin: &'static Linked) -> NullModule {
        NullModule { plugin }
    }
}

impl Code for NullModule {
    fn abi_version(&self) -> AbiVersion {
        self.plugin.abi_version
    }

    fn exports(&self, callback: CallbackId) -> bool {
        self.plugin.slots[0].export(callback.describe().name).is_some()
    }

    fn instantiate(&self, state: &Rc<InstanceState>) -> Result<Box<dyn Instance>, StartError> {
        Ok(Box::new(vm::NullVm::new(self.plugin, state.clone())?))
    }
}
