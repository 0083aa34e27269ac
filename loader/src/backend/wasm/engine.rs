//! The wasm engine and its settings.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module, PoolingAllocationConfig};

use super::cache_dir::CacheDir;
use super::limit::{EpochClock, TimeLimit};
use super::store::Data;
use super::{cache, linker};
use crate::error::LoadError;

/// Options of wasm plugins.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Directory for compiled code; `None` disables the cache.
    ///
    /// The loader executes the code in this directory with all rights of the process. It therefore
    /// uses the directory only if it and all folders above it belong to the process's user or to
    /// root, and no other user can write them (sticky folders such as `/tmp` may be above it).
    /// Created if needed.
    pub cache_dir: Option<PathBuf>,
    /// Size limit of a VM's linear memory in bytes; `None`: the maximum that the module declares. A
    /// VM that needs more fails.
    pub memory_limit: Option<usize>,
    /// Limit of one callback.
    pub cpu_limit: CpuLimit,
    /// Reserves memory for this many VMs, so that starting one needs no system calls, and no more
    /// can be alive at once. `None`: each VM allocates its memory when it starts.
    pub pooled_vms: Option<u32>,
}

impl Options {
    /// Sets the directory of the code cache.
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Options {
        self.cache_dir = Some(dir.into());
        self
    }

    /// Sets the limit of linear memory for each VM, in bytes.
    pub fn memory_limit(mut self, bytes: usize) -> Options {
        self.memory_limit = Some(bytes);
        self
    }

    /// Sets how long one callback may run.
    pub fn cpu_limit(mut self, limit: CpuLimit) -> Options {
        self.cpu_limit = limit;
        self
    }

    /// Reserves memory for this many VMs.
    pub fn pooled_vms(mut self, vms: u32) -> Options {
        self.pooled_vms = Some(vms);
        self
    }
}

/// Limit of one callback. A VM that exceeds it fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CpuLimit {
    /// No limit.
    #[default]
    None,
    /// Units of wasmtime's fuel, about one per instruction. Deterministic across machines and runs.
    Fuel(u64),
    /// Wall-clock time, accurate to about a millisecond. Costs less than fuel.
    Time(Duration),
}

pub(super) struct WasmEngine {
    pub(super) engine: Engine,
    linker: Linker<Data>,
    pub(super) options: Options,
    cache: Option<CacheDir>,
    /// The clock of time limits; `None` if callbacks have none.
    clock: Option<Arc<EpochClock>>,
}

impl WasmEngine {
    pub(super) fn new(options: Options) -> Result<WasmEngine, LoadError> {
        let failed = |error: wasmtime::Error| LoadError::Engine { source: error.into() };
        let mut config = Config::new();
        config.consume_fuel(matches!(options.cpu_limit, CpuLimit::Fuel(_)));
        config.epoch_interruption(matches!(options.cpu_limit, CpuLimit::Time(_)));
        if let Some(vms) = options.pooled_vms {
            let mut pool = PoolingAllocationConfig::new();
            pool.total_core_instances(vms).total_memories(vms).total_tables(vms);
            pool.table_elements(100_000);
            if let Some(limit) = options.memory_limit {
                pool.max_memory_size(limit);
            }
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        let engine = Engine::new(&config).map_err(failed)?;
        let clock = match options.cpu_limit {
            CpuLimit::Time(_) => {
                Some(EpochClock::start(&engine).map_err(|source| LoadError::Engine { source: source.into() })?)
            }
            _ => None,
        };
        let linker = linker::linker(&engine).map_err(failed)?;
        let cache = options.cache_dir.as_deref().map(CacheDir::open).transpose()?;
        Ok(WasmEngine { engine, linker, options, cache, clock })
    }

    pub(super) fn compile(&self, name: &str, bytes: &[u8]) -> Result<Module, LoadError> {
        let compiled = match &self.cache {
            Some(dir) => {
                dir.check()?;
                cache::compile(&self.engine, dir, bytes)
            }
            None => Module::new(&self.engine, bytes),
        };
        compiled.map_err(|error| LoadError::Compile { name: name.to_owned(), source: error.into() })
    }

    pub(super) fn link(&self, name: &str, module: &Module) -> Result<InstancePre<Data>, LoadError> {
        self.linker
            .instantiate_pre(module)
            .map_err(|error| LoadError::Compile { name: name.to_owned(), source: error.into() })
    }

    /// The fuel of one call.
    pub(super) fn fuel(&self) -> Option<u64> {
        match self.options.cpu_limit {
            CpuLimit::Fuel(fuel) => Some(fuel),
            _ => None,
        }
    }

    /// The time limit of one call, which a VM's own budget may lower.
    pub(super) fn time_limit(&self, budget: Option<Duration>) -> Option<TimeLimit> {
        let CpuLimit::Time(time) = self.options.cpu_limit else { return None };
        Some(TimeLimit::new(self.clock.clone()?, budget.map_or(time, |budget| budget.min(time))))
    }
}
