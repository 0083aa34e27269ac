//! Plugins run by the loader.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use dynvm::host::{HeaderMap as _, NoLog, Services};
use dynvm::observe::Observer;
use dynvm::{ContextId, Loader, LoaderOptions, Module, PluginConfig, Vm};

use crate::Subject;
use crate::stream::BenchStream;

/// A loader with both backends and changed options.
///
/// # Errors
///
/// wasmtime cannot run with the options.
pub fn loader(change: impl FnOnce(&mut LoaderOptions)) -> anyhow::Result<Loader> {
    let mut options = LoaderOptions::default().allow_native();
    change(&mut options);
    Ok(Loader::with_options(options)?)
}

/// The options of native plugins.
pub fn native(options: &mut LoaderOptions) -> &mut dynvm::native::Options {
    options.native.as_mut().expect("native plugins are allowed")
}

/// A plugin in a separate VM.
pub struct Dynamic {
    vm: Vm,
    root: ContextId,
}

impl Dynamic {
    /// Starts a plugin.
    ///
    /// # Errors
    ///
    /// It does not load or does not start.
    pub fn load(loader: &Loader, path: &Path, configuration: &str) -> anyhow::Result<Dynamic> {
        Dynamic::start(&loader.load_file(path)?, configuration)
    }

    /// Starts a plugin.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start(module: &Module, configuration: &str) -> anyhow::Result<Dynamic> {
        Dynamic::start_observed(module, configuration, None)
    }

    /// Starts a plugin, with its VM observed or not.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start_observed(
        module: &Module,
        configuration: &str,
        observer: Option<Arc<Observer>>,
    ) -> anyhow::Result<Dynamic> {
        let mut services = Services::default();
        services.log = Arc::new(NoLog);
        services.observer = observer;
        let mut vm = Vm::builder(module).services(services).build()?;
        let root = vm.start_plugin(PluginConfig::named("bench").configuration(configuration))?;
        Ok(Dynamic { vm, root })
    }

    /// The VM, with its root context.
    pub fn vm(&mut self) -> (&mut Vm, ContextId) {
        (&mut self.vm, self.root)
    }
}

impl Subject for Dynamic {
    fn stream(&mut self, template: &BenchStream) {
        let (headers, body, answers) = (template.request.len(), template.body_len(), template.response.len());
        let stream = self.vm.create_stream(self.root, Box::new(template.clone())).expect("the VM runs");
        black_box(self.vm.on_request_headers(stream, headers, body == 0));
        if body > 0 {
            black_box(self.vm.on_request_body(stream, body, true));
        }
        black_box(self.vm.on_response_headers(stream, answers, true));
        self.vm.on_done(stream);
        self.vm.on_log(stream);
        black_box(self.vm.delete_stream(stream));
    }
}
