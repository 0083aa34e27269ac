//! Foreign functions as closures.

use std::collections::BTreeMap;
use std::sync::Arc;

use dynvm::host::{ForeignError, ForeignFunctions};

type Function = dyn Fn(&[u8]) -> Result<Vec<u8>, ForeignError> + Send + Sync;

#[derive(Clone, Default)]
pub(crate) struct Functions(BTreeMap<String, Arc<Function>>);

impl Functions {
    pub(crate) fn add(
        &mut self,
        name: String,
        function: impl Fn(&[u8]) -> Result<Vec<u8>, ForeignError> + Send + Sync + 'static,
    ) {
        self.0.insert(name, Arc::new(function));
    }
}

impl ForeignFunctions for Functions {
    fn call(&self, name: &[u8], arguments: &[u8]) -> Result<Vec<u8>, ForeignError> {
        let name = std::str::from_utf8(name).map_err(|_| ForeignError::NotFound)?;
        self.0.get(name).ok_or(ForeignError::NotFound)?(arguments)
    }
}
