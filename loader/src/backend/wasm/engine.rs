//! The compiler and its settings.

use std::path::PathBuf;
use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module, PoolingAllocationConfig};

use super::vm::Data;
use super::{cache, linker};
use crate::error::LoadError;

/// How wasm plugins run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WasmOptions {
    /// Where compiled code is kept between runs; `None`: nowhere. The directory must be writable by its owner alone, since what is in it
    /// is executed.
    pub cache_dir: Option<PathBuf>,
    /// Most bytes of linear memory of one VM; `None`: as much as the module declares. A VM that wants more fails.
    pub memory_limit: Option<usize>,
    /// How long one callback may run.
    pub cpu_limit: CpuLimit,
    /// Reserve memory for this many VMs at once, so that starting one takes no system calls. No more can then be alive. `None`: memory
    /// is taken as it is needed.
    pub pooled_vms: Option<u32>,
}

/// How long one callback may run. A VM that runs longer fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CpuLimit {
    /// As long as it likes.
    #[default]
    None,
    /// This much work, in wasmtime's units of fuel: about one for each instruction. The same on every machine and in every run.
    Fuel(u64),
    /// This long, to about a millisecond, wall-clock time. Costs less than fuel.
    Time(Duration),
}

/// How often the clock of [`CpuLimit::Time`] ticks.
const TICK: Duration = Duration::from_millis(1);

pub(super) struct WasmEngine {
    pub(super) engine: Engine,
    linker: Linker<Data>,
    pub(super) options: WasmOptions,
}

impl WasmEngine {
    pub(super) fn new(options: WasmOptions) -> Result<WasmEngine, LoadError> {
        let failed =
            |error: wasmtime::Error| LoadError::Compile { name: "wasmtime".to_owned(), message: format!("{error:#}") };
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
        if matches!(options.cpu_limit, CpuLimit::Time(_)) {
            start_ticking(&engine);
        }
        let linker = linker::linker(&engine).map_err(failed)?;
        Ok(WasmEngine { engine, linker, options })
    }

    pub(super) fn compile(&self, name: &str, bytes: &[u8]) -> Result<Module, LoadError> {
        let compiled = match &self.options.cache_dir {
            Some(dir) => cache::compile(&self.engine, dir, bytes),
            None => Module::new(&self.engine, bytes),
        };
        compiled.map_err(|error| LoadError::Compile { name: name.to_owned(), message: format!("{error:#}") })
    }

    pub(super) fn link(&self, name: &str, module: &Module) -> Result<InstancePre<Data>, LoadError> {
        self.linker
            .instantiate_pre(module)
            .map_err(|error| LoadError::Compile { name: name.to_owned(), message: format!("{error:#}") })
    }

    /// The number of ticks that a callback may last, with a budget of its own.
    pub(super) fn deadline(&self, budget: Option<Duration>) -> Option<u64> {
        match self.options.cpu_limit {
            // One more: the next tick may come at once.
            CpuLimit::Time(time) => {
                Some(budget.map_or(time, |budget| budget.min(time)).as_nanos().div_ceil(TICK.as_nanos()) as u64 + 1)
            }
            _ => None,
        }
    }
}

/// Ticks for as long as the engine lives.
fn start_ticking(engine: &Engine) {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("dynvm-epoch".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })
        .expect("the system can start a thread");
}
