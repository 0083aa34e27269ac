//! A plugin under test and its configuration.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dynvm::abi::types::LogLevel;
use dynvm::host::{ForeignError, MemoryLog};
use dynvm::{BackendKind, FailurePolicy, Module, PluginConfig, StartError, VmConfig};
use dynvm_sim::{GrpcAnswer, HttpAnswer, PropertyValue, Response, SimProxy, SimProxyBuilder};

use crate::artifact::{self, From};
use crate::foreign::Functions;
use crate::transcript::Transcript;
use crate::{TestHost, backends};

/// A plugin with its configuration, from which any number of hosts can be started. Configuration
/// methods return the changed plugin.
#[derive(Clone)]
pub struct Plugin {
    from: From,
    /// A build of it that is part of the test program.
    linked: Option<Module>,
    name: String,
    vm: VmConfig,
    config: PluginConfig,
    host: SimProxyBuilder,
    foreign: Functions,
    may_fail: bool,
    plain: bool,
}

/// Sources of a plugin.
impl Plugin {
    /// The plugin of a Cargo package: [`this_crate!`](crate::this_crate) calls it for the crate of
    /// a test. It is built when a host is first started, as by `dynvm build`, in the crate's own
    /// target directory, without optimization if the test has none.
    ///
    /// If `DYNVM_TEST_ARTIFACTS` is set, nothing is built, and `<package>.so` and `<package>.wasm`
    /// are loaded from that directory.
    pub fn of_package(dir: impl Into<PathBuf>, package: &str) -> Plugin {
        Plugin::new(From::Source { dir: dir.into(), package: Some(package.to_owned()), features: Vec::new() }, package)
    }

    /// The plugin in a directory: a Cargo package, or C and C++ sources. Built as described at [`Plugin::of_package`].
    pub fn in_dir(dir: impl Into<PathBuf>) -> Plugin {
        let dir = dir.into();
        let name = stem(&dir);
        Plugin::new(From::Source { dir, package: None, features: Vec::new() }, &name)
    }

    /// A prebuilt file: a shared object, a wasm module or its text. Tests run only on its backend.
    pub fn file(path: impl Into<PathBuf>) -> Plugin {
        let path = path.into();
        let name = stem(&path);
        Plugin::new(From::File(path), &name)
    }

    fn new(from: From, name: &str) -> Plugin {
        Plugin {
            from,
            linked: None,
            name: name.to_owned(),
            vm: VmConfig::default(),
            config: PluginConfig::named(name),
            host: SimProxy::builder(),
            foreign: Functions::default(),
            may_fail: false,
            plain: false,
        }
    }

    /// Tests also the module of a build that is part of the test program (`dynvm::Module::linked`), as the backend
    /// [`Null`](BackendKind::Null).
    pub fn linked(mut self, module: Module) -> Plugin {
        self.linked = Some(module);
        self
    }

    /// Builds the package with a feature.
    pub fn feature(mut self, name: impl Into<String>) -> Plugin {
        if let From::Source { features, .. } = &mut self.from {
            features.push(name.into());
        }
        self
    }
}

/// Configuration of the plugin and its host.
impl Plugin {
    /// Sets the plugin's configuration.
    pub fn configuration(mut self, configuration: impl Into<Vec<u8>>) -> Plugin {
        self.config = self.config.configuration(configuration);
        self
    }

    /// Sets the plugin's root id.
    pub fn root_id(mut self, id: impl Into<String>) -> Plugin {
        self.config = self.config.root_id(id);
        self
    }

    /// Sets the behavior of streams whose VM has failed. Default: they fail.
    pub fn failure_policy(mut self, policy: FailurePolicy) -> Plugin {
        self.config = self.config.failure_policy(policy);
        self
    }

    /// Sets the VM's configuration: id, configuration, environment, capabilities, limits.
    pub fn vm(mut self, config: VmConfig) -> Plugin {
        self.vm = config;
        self
    }

    /// Sets a property of every stream by dotted path, e.g. `source.address`.
    pub fn property(mut self, path: impl Into<String>, value: impl Into<PropertyValue>) -> Plugin {
        self.host = self.host.property(path, value);
        self
    }

    /// Sets the clock to a time since 1970. Default: 2024-01-01T00:00:00Z.
    pub fn clock_at(mut self, since_epoch: Duration) -> Plugin {
        self.host = self.host.clock_at(since_epoch);
        self
    }

    /// Registers an upstream for HTTP and gRPC calls, which the test answers:
    /// [`TestHost::http_call`], [`TestHost::grpc_call`]. Calls to other upstreams fail immediately,
    /// as in a proxy that does not know them.
    pub fn upstream(mut self, name: impl Into<String>) -> Plugin {
        self.host = self.host.by_hand(name);
        self
    }

    /// Prepares an answer to HTTP calls to an upstream. Several are used in order; the last one repeats.
    pub fn http_answer(self, upstream: impl Into<String>, response: Response) -> Plugin {
        self.http_answer_after(upstream, Duration::ZERO, response)
    }

    /// The same with a delay; if it exceeds the call's timeout, the call fails.
    pub fn http_answer_after(mut self, upstream: impl Into<String>, delay: Duration, response: Response) -> Plugin {
        let response = Some(crate::calls::http_response(response));
        self.host = self.host.http_answer(HttpAnswer { upstream: upstream.into(), response, delay });
        self
    }

    /// Prepares an answer to gRPC calls.
    pub fn grpc_answer(mut self, answer: GrpcAnswer) -> Plugin {
        self.host = self.host.grpc_answer(answer);
        self
    }

    /// Adds a foreign function that the plugin can call.
    pub fn foreign_function(
        mut self,
        name: impl Into<String>,
        function: impl Fn(&[u8]) -> Result<Vec<u8>, ForeignError> + Send + Sync + 'static,
    ) -> Plugin {
        self.foreign.add(name.into(), function);
        self
    }

    /// Allows the plugin to panic or crash; the test checks [`TestHost::failure`]. Otherwise a
    /// failure of the VM fails the test.
    pub fn may_fail(mut self) -> Plugin {
        self.may_fail = true;
        self
    }

    /// Runs the native build as the system's loader would: crashes end the process, memory comes
    /// from the C library, standard output goes to the process's. For sanitizers, and for debuggers
    /// that should stop at a crash.
    pub fn plain_native(mut self) -> Plugin {
        self.plain = true;
        self
    }
}

/// Starting hosts.
impl Plugin {
    /// Runs a test on each backend with a new host: native, then wasm, then [linked](Plugin::linked).
    /// `DYNVM_TEST_BACKEND=native`, `=wasm` or `=null` selects one.
    ///
    /// # Panics
    ///
    /// The plugin cannot be built or loaded, or does not start, or the test panics.
    #[track_caller]
    pub fn on_each_backend(&self, test: impl Fn(&TestHost)) {
        for backend in self.backends() {
            test(&self.start(backend));
        }
    }

    /// The backends of [`Plugin::on_each_backend`]: those selected by the environment and available.
    pub fn backends(&self) -> Vec<BackendKind> {
        let mut backends = backends::wanted();
        if let From::File(path) = &self.from
            && let Ok(bytes) = std::fs::read(path)
            && let Ok(kind) = dynvm::ArtifactKind::of(&bytes)
        {
            let of_file = if kind == dynvm::ArtifactKind::Native { BackendKind::Native } else { BackendKind::Wasm };
            backends.retain(|backend| [of_file, BackendKind::Null].contains(backend));
        }
        if self.linked.is_none() {
            backends.retain(|backend| *backend != BackendKind::Null);
        }
        backends
    }

    /// Starts a host.
    ///
    /// # Panics
    ///
    /// The plugin cannot be built or loaded, or does not start; the message has its log.
    #[track_caller]
    pub fn start(&self, backend: BackendKind) -> TestHost {
        match self.try_start(backend) {
            Ok(host) => host,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts a host beside another: clock, metrics, shared data and queues are shared, as between
    /// two workers of one proxy. Its ticks, answers and queue events are delivered by its own
    /// [`advance`](TestHost::advance).
    #[track_caller]
    pub fn start_beside(&self, other: &TestHost) -> TestHost {
        let mut plugin = self.clone();
        plugin.host = other.share_with(plugin.host);
        plugin.start(other.backend())
    }

    /// Starts a host or returns the error, for tests of configurations that a plugin must refuse.
    ///
    /// # Errors
    ///
    /// The VM or the plugin does not start.
    ///
    /// # Panics
    ///
    /// The plugin cannot be built or loaded.
    #[track_caller]
    pub fn try_start(&self, backend: BackendKind) -> Result<TestHost, Box<NotStarted>> {
        let module = match self.linked.as_ref().filter(|_| backend == BackendKind::Null) {
            Some(linked) => Ok(linked.clone()),
            None => artifact::module(&self.from, backend, self.plain),
        };
        let module = match module {
            Ok(module) => module,
            Err(error) => panic!("there is no {backend} build of {} to test: {error}", self.name),
        };
        let (log, transcript) = (Arc::new(MemoryLog::default()), Transcript::default());
        let builder = self.host.clone().vm_config(self.vm.clone()).plugin_config(self.config.clone());
        let builder = builder.foreign(Arc::new(self.foreign.clone())).log_to(log.clone());
        match builder.tracer(transcript.tracer()).start(&module) {
            Ok(host) => Ok(TestHost::new(host, &self.name, backend, transcript, self.may_fail)),
            Err(error) => {
                let transcript = transcript.to_string();
                Err(Box::new(NotStarted { backend, error, log: log.take(), transcript }))
            }
        }
    }
}

/// Error of starting a plugin.
#[derive(Debug)]
pub struct NotStarted {
    /// The backend of the attempt.
    pub backend: BackendKind,
    /// Cause of the start failure.
    pub error: StartError,
    /// Messages logged until then.
    pub log: Vec<(LogLevel, String)>,
    transcript: String,
}

impl NotStarted {
    /// Asserts that a logged message contains this text.
    #[track_caller]
    pub fn assert_logged(&self, part: &str) -> &NotStarted {
        assert!(self.log.iter().any(|(_, text)| text.contains(part)), "no message has {part:?}: {self}");
        self
    }

    /// Asserts that the plugin refused its configuration instead of failing.
    #[track_caller]
    pub fn assert_refused(&self) -> &NotStarted {
        assert!(matches!(self.error, StartError::Refused { .. }), "it was not refused: {self}");
        self
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the plugin does not start on {}: {}", self.backend, dynvm::with_causes(&self.error))?;
        write!(f, "what it did:\n{}", self.transcript)?;
        for (level, text) in &self.log {
            writeln!(f, "  [{}] {text}", level.name().to_lowercase())?;
        }
        Ok(())
    }
}

impl std::error::Error for NotStarted {}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "plugin".to_owned(), |name| name.to_string_lossy().into_owned())
}
