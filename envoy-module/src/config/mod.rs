//! The configuration of a filter: Envoy's `PluginConfig` and `VmConfig` under their own names, and the object `dynvm`
//! with what is DynVM's.

mod reader;

use std::path::PathBuf;
use std::time::Duration;

use dynvm::native;
use dynvm::trust::TrustPolicy;
use dynvm::{
    BackendPreference, CallbackBudget, CapabilityRestriction, FailurePolicy, LoaderOptions, PluginConfig,
    ReloadBackoff, VmConfig, wasm,
};

pub use reader::ConfigError;
use reader::{Field, Object};

/// Where the plugin's code is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// A file.
    File(PathBuf),
    /// Bytes in the configuration itself.
    Inline(Vec<u8>),
}

/// The configuration of a filter.
#[derive(Debug)]
pub struct Settings {
    /// The plugin's configuration.
    pub plugin: PluginConfig,
    /// The configuration of its VMs.
    pub vm: VmConfig,
    /// Its code.
    pub code: Code,
    /// Options of the loader.
    pub loader: LoaderOptions,
    /// Delay between replacements of failed VMs.
    pub backoff: ReloadBackoff,
    /// True if a new file at the code's path replaces the plugin.
    pub watch: bool,
    /// How long a replaced version may take to end. `None`: the default.
    pub drain_timeout: Option<Duration>,
    /// Properties that Envoy's modules cannot read, such as `node.id`, by path with dots.
    pub properties: Vec<(String, Vec<u8>)>,
}

/// What a filter is configured with on a route.
#[derive(Debug)]
pub enum RouteSettings {
    /// The filter does nothing.
    Disabled,
    /// Another plugin, or the same one with another configuration.
    Plugin(Box<Settings>),
}

impl Settings {
    /// Reads a filter's configuration. `filter` is the name that the plugin has if the configuration has none.
    pub fn parse(filter: &str, bytes: &[u8]) -> Result<Settings, ConfigError> {
        settings(filter, reader::parse(bytes)?)
    }
}

impl RouteSettings {
    /// Reads the configuration of a route: that of a filter, or `{"disabled": true}`.
    pub fn parse(filter: &str, bytes: &[u8]) -> Result<RouteSettings, ConfigError> {
        let mut object = reader::parse(bytes)?;
        if object.bool("disabled")? == Some(true) {
            object.finish()?;
            return Ok(RouteSettings::Disabled);
        }
        Ok(RouteSettings::Plugin(Box::new(settings(filter, object)?)))
    }
}

/// Envoy's `PluginConfig`. Its wasm filter has it in a field `config`, which may be copied with the block.
fn settings(filter: &str, mut object: Object) -> Result<Settings, ConfigError> {
    if let Some(inner) = object.object("config")? {
        object.finish()?;
        return settings(filter, inner);
    }
    let name = object.string("name")?.filter(|name| !name.is_empty()).unwrap_or_else(|| filter.to_owned());
    let mut plugin = PluginConfig::named(name).root_id(object.string("root_id")?.unwrap_or_default());
    if let Some(configuration) = object.take("configuration") {
        plugin = plugin.configuration(configuration.configuration()?);
    }
    plugin = plugin.failure_policy(failure_policy(&mut object)?);
    let backoff = reload_config(object.object("reload_config")?)?;
    let mut vm = VmConfig::default();
    if let Some(mut restriction) = object.object("capability_restriction_config")? {
        if let Some(allowed) = restriction.take("allowed_capabilities") {
            vm.capabilities = CapabilityRestriction::only(allowed.keys()?);
        }
        restriction.finish()?;
    }
    // A `BoolValue`, which is a plain boolean in JSON.
    vm.allow_on_headers_stop_iteration = object.bool("allow_on_headers_stop_iteration")?.unwrap_or_default();
    let vm_config = object.object("vm_config")?.ok_or_else(|| object.error("the field vm_config is missing"))?;
    let code = read_vm_config(vm_config, &mut vm)?;
    let own = own(object.object("dynvm")?, &mut vm)?;
    object.finish()?;
    Ok(Settings {
        plugin,
        vm,
        code,
        backoff,
        loader: own.loader,
        watch: own.watch,
        drain_timeout: own.drain_timeout,
        properties: own.properties,
    })
}

fn failure_policy(object: &mut Object) -> Result<FailurePolicy, ConfigError> {
    let open = object.bool("fail_open")?.unwrap_or_default();
    let Some(field) = object.take("failure_policy") else {
        return Ok(if open { FailurePolicy::Open } else { FailurePolicy::Closed });
    };
    if open {
        return Err(field.error("only one of fail_open and failure_policy may be set"));
    }
    let path = field.path.clone();
    field.string()?.parse().map_err(|what: String| ConfigError::new(path, what))
}

/// Envoy's `ReloadConfig`; its defaults are 1 s, and ten times the base.
fn reload_config(object: Option<Object>) -> Result<ReloadBackoff, ConfigError> {
    let (mut base, mut max) = (None, None);
    if let Some(mut object) = object {
        if let Some(mut backoff) = object.object("backoff")? {
            base = backoff.duration("base_interval")?;
            max = backoff.duration("max_interval")?;
            backoff.finish()?;
        }
        object.finish()?;
    }
    let base = base.unwrap_or(Duration::from_secs(1));
    Ok(ReloadBackoff::new(base, max.unwrap_or(base * 10)))
}

/// Envoy's `VmConfig`.
fn read_vm_config(mut object: Object, vm: &mut VmConfig) -> Result<Code, ConfigError> {
    vm.vm_id = object.string("vm_id")?.unwrap_or_default();
    if let Some(configuration) = object.take("configuration") {
        vm.configuration = Some(configuration.configuration()?);
    }
    if let Some(runtime) = object.take("runtime") {
        // The artifact says what runs it. The names of other runtimes stay, so that a configuration can be copied.
        runtime.string()?;
    }
    // About Envoy's own caches; accepted for the same reason.
    object.bool("allow_precompiled")?;
    object.bool("nack_on_code_cache_miss")?;
    if let Some(environment) = object.object("environment_variables")? {
        read_environment(environment, vm)?;
    }
    let code = object.take("code").ok_or_else(|| object.error("the field code is missing"))?;
    object.finish()?;
    read_code(code)
}

fn read_environment(mut object: Object, vm: &mut VmConfig) -> Result<(), ConfigError> {
    if let Some(keys) = object.take("host_env_keys") {
        for key in keys.list()? {
            let key = key.string()?;
            if let Ok(value) = std::env::var(&key) {
                vm.environment.insert(key, value);
            }
        }
    }
    if let Some(values) = object.take("key_values") {
        vm.environment.extend(values.strings()?);
    }
    object.finish()
}

/// Envoy's `AsyncDataSource`, of which the local kinds are supported.
fn read_code(field: Field) -> Result<Code, ConfigError> {
    let mut object = field.object()?;
    if object.take("remote").is_some() {
        return Err(object.error("remote code is not supported; fetch the file first, and name it in local.filename"));
    }
    let mut local = object.object("local")?.ok_or_else(|| object.error("the field local is missing"))?;
    object.finish()?;
    let code = if let Some(file) = local.string("filename")? {
        Code::File(file.into())
    } else if let Some(bytes) = local.take("inline_bytes") {
        Code::Inline(bytes.base64()?)
    } else if let Some(text) = local.string("inline_string")? {
        Code::Inline(text.into_bytes())
    } else {
        return Err(local.error("one of filename, inline_bytes and inline_string is needed"));
    };
    local.finish()?;
    Ok(code)
}

#[derive(Default)]
struct Own {
    loader: LoaderOptions,
    watch: bool,
    drain_timeout: Option<Duration>,
    properties: Vec<(String, Vec<u8>)>,
}

/// The object `dynvm`.
fn own(object: Option<Object>, vm: &mut VmConfig) -> Result<Own, ConfigError> {
    let mut own = Own::default();
    let Some(mut object) = object else { return Ok(own) };
    if let Some(native) = object.take("native") {
        own.loader.native = native_options(native)?;
    }
    if let Some(wasm) = object.object("wasm")? {
        own.loader.wasm = wasm_options(wasm)?;
    }
    if let Some(policy) = object.take("trust_policy") {
        let path = policy.path.clone();
        let policy = TrustPolicy::from_file(policy.string()?);
        own.loader.trust = Some(policy.map_err(|error| ConfigError::new(path, dynvm::with_causes(&error)))?);
    }
    if let Some(prefer) = object.take("prefer") {
        own.loader.prefer = match prefer.value.as_str() {
            Some("native") => BackendPreference::Native,
            Some("wasm") => BackendPreference::Wasm,
            _ => return Err(prefer.error("expected \"native\" or \"wasm\"")),
        };
    }
    vm.memory_limit = object.take("memory_limit").map(Field::size).transpose()?;
    if let Some(budget) = object.object("callback_budget")? {
        vm.callback_budget = Some(callback_budget(budget)?);
    }
    own.watch = object.bool("watch")?.unwrap_or_default();
    own.drain_timeout = object.duration("drain_timeout")?;
    if let Some(properties) = object.take("properties") {
        let bytes = |(path, value): (String, String)| (path, value.into_bytes());
        own.properties = properties.strings()?.into_iter().map(bytes).collect();
    }
    object.finish()?;
    // A budget that fails a wasm VM needs the engine's clock.
    if let Some(CallbackBudget { limit, action: dynvm::OverrunAction::Fail, .. }) = vm.callback_budget {
        own.loader.wasm.cpu_limit = wasm::CpuLimit::Time(limit);
    }
    Ok(own)
}

/// `true`, or the options of native plugins.
fn native_options(field: Field) -> Result<Option<native::Options>, ConfigError> {
    if let Some(allow) = field.value.as_bool() {
        return Ok(allow.then(native::Options::default));
    }
    let mut object = field.object()?;
    let mut options = native::Options::default();
    if let Some(contain) = object.bool("contain_crashes")? {
        options = options.contain_crashes(contain);
    }
    if let Some(heap) = object.bool("heap")? {
        options = options.heap(heap);
    }
    object.finish()?;
    Ok(Some(options))
}

fn wasm_options(mut object: Object) -> Result<wasm::Options, ConfigError> {
    let mut options = wasm::Options::default();
    if let Some(dir) = object.string("cache_dir")? {
        options = options.cache_dir(dir);
    }
    object.finish()?;
    Ok(options)
}

fn callback_budget(mut object: Object) -> Result<CallbackBudget, ConfigError> {
    let limit = object.duration("limit")?.ok_or_else(|| object.error("the field limit is missing"))?;
    let budget = match object.take("action") {
        None => CallbackBudget::report(limit),
        Some(action) => match action.value.as_str() {
            Some("report") => CallbackBudget::report(limit),
            Some("fail") => CallbackBudget::fail(limit),
            _ => return Err(action.error("expected \"report\" or \"fail\"")),
        },
    };
    object.finish()?;
    Ok(budget)
}

#[cfg(test)]
mod tests;
