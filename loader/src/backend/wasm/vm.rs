//! A running instance of a wasm module.

use std::rc::Rc;

use dynvm_abi::table::CallbackId;
use wasmtime::{Instance, InstancePre, Store, StoreLimitsBuilder, TypedFunc, WasmBacktrace, WasmParams, WasmResults};

use super::engine::WasmEngine;
use super::limit::TimeLimit;
use super::store::{Data, Exit, describe};
use crate::backend::{CallbackResult, NotStarted, Returned};
use crate::error::Failure;
use crate::instance::InstanceState;

/// A running wasm module.
pub(super) struct WasmVm {
    store: Store<Data>,
    linked: InstancePre<Data>,
    callbacks: Callbacks,
    limit: CallLimit,
}

/// Limits of each call into the module.
struct CallLimit {
    fuel: Option<u64>,
    time: Option<TimeLimit>,
}

/// A start function, by kind.
enum Start {
    Plain(TypedFunc<(), ()>),
    Command(TypedFunc<(), ()>),
    Main(TypedFunc<(u32, u32), u32>),
    MainVoid(TypedFunc<(), u32>),
}

macro_rules! result_type {
    (none) => {
        ()
    };
    ($value:ident) => {
        u32
    };
}

macro_rules! result_value {
    (none, $value:expr) => {{
        let () = $value;
        0
    }};
    (bool, $value:expr) => {
        u32::from($value != 0)
    };
    (action, $value:expr) => {
        $value
    };
}

macro_rules! wasm_callbacks {
    ($($name:ident($($param:ident: $ty:ident),*) -> $ret:ident $versions:ident;)*) => {
        /// The callbacks that the module exports and the capability restriction allows.
        #[derive(Default)]
        struct Callbacks {
            $($name: Option<TypedFunc<($(dynvm_abi::__wasm_type!($ty),)*), result_type!($ret)>>,)*
            /// The form of ABI 0.1.0, without `end_of_stream`.
            request_headers_0_1_0: Option<TypedFunc<(u32, u32), u32>>,
            response_headers_0_1_0: Option<TypedFunc<(u32, u32), u32>>,
        }

        impl Callbacks {
            fn find(store: &mut Store<Data>, instance: &Instance) -> Callbacks {
                Callbacks {
                    $($name: find(store, instance, stringify!($name)),)*
                    request_headers_0_1_0: find(store, instance, "proxy_on_request_headers"),
                    response_headers_0_1_0: find(store, instance, "proxy_on_response_headers"),
                }
            }
        }

        impl crate::backend::Instance for WasmVm {
            fn initialize(&mut self) -> Result<(), NotStarted> {
                let instance = self.instantiate()?;
                Ok(self.run_start_functions(&instance)?)
            }

            fn exports(&self, callback: CallbackId) -> bool {
                match callback {
                    CallbackId::proxy_on_request_headers if self.callbacks.request_headers_0_1_0.is_some() => true,
                    CallbackId::proxy_on_response_headers if self.callbacks.response_headers_0_1_0.is_some() => true,
                    $(CallbackId::$name => self.callbacks.$name.is_some(),)*
                    _ => false,
                }
            }

            fn memory_size(&self) -> Option<u64> {
                let memory = self.store.data().memory?;
                Some(memory.data_size(&self.store) as u64)
            }

            $(
                #[inline]
                fn $name(&mut self, $($param: dynvm_abi::__callback_type!($ty)),*) -> Returned {
                    let Some(function) = &self.callbacks.$name else {
                        return self.without_end_of_stream(CallbackId::$name, &[$($param as u32),*]);
                    };
                    self.limit.apply(&mut self.store)?;
                    match function.call(&mut self.store, ($($param as u32,)*)) {
                        Ok(value) => Ok(CallbackResult::new(result_value!($ret, value))),
                        Err(error) => Err(describe(&self.store.data().state, &error)),
                    }
                }
            )*
        }
    };
}

dynvm_abi::callbacks!(wasm_callbacks);

/// Finds an exported callback of this type, if it is allowed.
fn find<P: WasmParams, R: WasmResults>(
    store: &mut Store<Data>,
    instance: &Instance,
    name: &str,
) -> Option<TypedFunc<P, R>> {
    if !store.data().state.config.capabilities.allows(name) {
        return None;
    }
    instance.get_typed_func(store, name).ok()
}

impl CallLimit {
    /// Sets fuel and deadline for the next call.
    #[inline]
    fn apply(&self, store: &mut Store<Data>) -> Result<(), Box<Failure>> {
        if let Some(fuel) = self.fuel {
            store.set_fuel(fuel).expect("the engine was made to consume fuel");
        }
        if let Some(time) = &self.time {
            store.set_epoch_deadline(time.ticks()?);
        }
        Ok(())
    }
}

impl WasmVm {
    /// A VM whose module is not instantiated yet, because that may run code of the plugin.
    pub(super) fn new(engine: &WasmEngine, linked: InstancePre<Data>, state: Rc<InstanceState>) -> WasmVm {
        let options = &engine.options;
        let mut limits = StoreLimitsBuilder::new().trap_on_grow_failure(true);
        if let Some(bytes) = options.memory_limit.into_iter().chain(state.config.memory_limit).min() {
            limits = limits.memory_size(bytes);
        }
        let budget = state.slot().filter(|slot| slot.fails()).map(|slot| slot.limit());
        let limit = CallLimit { fuel: engine.fuel(), time: engine.time_limit(budget) };
        let data = Data { state, memory: None, allocator: None, limits: limits.build() };
        let mut store = Store::new(&engine.engine, data);
        store.limiter(|data| &mut data.limits);
        WasmVm { store, linked, callbacks: Callbacks::default(), limit }
    }

    /// Instantiates the module, which runs its start function if it has one.
    fn instantiate(&mut self) -> Result<Instance, NotStarted> {
        self.limit.apply(&mut self.store)?;
        let instance = self.linked.instantiate(&mut self.store).map_err(|error| {
            let state = &self.store.data().state;
            // With a backtrace, or a failure from a hostcall, code of the module was running.
            if state.has_failed() || error.is::<Exit>() || error.is::<WasmBacktrace>() {
                NotStarted::Plugin(describe(state, &error))
            } else {
                NotStarted::Engine(error.into())
            }
        })?;
        let memory = instance.get_memory(&mut self.store, "memory");
        let allocator = instance
            .get_typed_func(&mut self.store, "proxy_on_memory_allocate")
            .or_else(|_| instance.get_typed_func(&mut self.store, "malloc"))
            .ok();
        self.store.data_mut().memory = memory;
        self.store.data_mut().allocator = allocator;
        self.callbacks = Callbacks::find(&mut self.store, &instance);
        Ok(instance)
    }

    fn run_start_functions(&mut self, instance: &Instance) -> Result<(), Box<Failure>> {
        for function in start_functions(&mut self.store, instance) {
            self.limit.apply(&mut self.store)?;
            let done = match &function {
                Start::Plain(function) | Start::Command(function) => function.call(&mut self.store, ()),
                Start::Main(function) => function.call(&mut self.store, (0, 0)).map(|_| ()),
                Start::MainVoid(function) => function.call(&mut self.store, ()).map(|_| ()),
            };
            match done {
                Ok(()) => {}
                // A command ends this way when it is done.
                Err(error) if matches!((&function, error.downcast_ref()), (Start::Command(_), Some(Exit(0)))) => {}
                Err(error) => return Err(describe(&self.store.data().state, &error)),
            }
        }
        Ok(())
    }

    /// Calls the headers callbacks in the form of ABI 0.1.0; no other callback has two forms.
    #[cold]
    fn without_end_of_stream(&mut self, id: CallbackId, arguments: &[u32]) -> Returned {
        let function = match id {
            CallbackId::proxy_on_request_headers => &self.callbacks.request_headers_0_1_0,
            CallbackId::proxy_on_response_headers => &self.callbacks.response_headers_0_1_0,
            _ => return Ok(CallbackResult::NOT_EXPORTED),
        };
        let Some(function) = function else { return Ok(CallbackResult::NOT_EXPORTED) };
        self.limit.apply(&mut self.store)?;
        match function.call(&mut self.store, (arguments[0], arguments[1])) {
            Ok(value) => Ok(CallbackResult::new(value)),
            Err(error) => Err(describe(&self.store.data().state, &error)),
        }
    }
}

/// The start functions: `_initialize` and then `main`, or `_start`.
fn start_functions(store: &mut Store<Data>, instance: &Instance) -> Vec<Start> {
    let mut functions = Vec::new();
    if let Ok(initialize) = instance.get_typed_func(&mut *store, "_initialize") {
        functions.push(Start::Plain(initialize));
        if let Ok(main) = instance.get_typed_func(&mut *store, "main") {
            functions.push(Start::Main(main));
        } else if let Ok(main) = instance.get_typed_func(&mut *store, "__main_void") {
            functions.push(Start::MainVoid(main));
        }
    } else if let Ok(start) = instance.get_typed_func(&mut *store, "_start") {
        functions.push(Start::Command(start));
    }
    functions
}
