//! A native module: an artifact, checked, and linked or left to the system's loader; or a part of the program.

use std::rc::Rc;
use std::sync::Arc;
#[cfg(feature = "native")]
use std::{
    path::PathBuf,
    sync::{Mutex, OnceLock, PoisonError},
};

use dynvm_abi::table::CallbackId;
use dynvm_abi::version::AbiVersion;
use dynvm_heap::Heap;
#[cfg(feature = "native")]
use dynvm_image::{Bind, Facts, Image, Linked, Linker, Original, Runtimes};

#[cfg(feature = "native")]
use super::bind::{Bindings, RuntimeBindings, WithOwn};
use super::exception::Exceptions;
use super::exports::Exports;
use super::functions::FunctionNames;
use super::interface::Interface;
#[cfg(feature = "native")]
use super::libc_functions::{Effect, is_of_process, may_have};
#[cfg(feature = "null")]
use super::linked;
use super::mapping::{Leaves, Mapped, Mapping};
#[cfg(feature = "native")]
use super::system_loader::SystemImage;
use super::vm::NativeVm;
#[cfg(feature = "native")]
use super::{Loading, Options, pinned, sanitizers, unwinder};
use super::{custom_hostcalls, limitations, process_exit, signals};
#[cfg(feature = "native")]
use crate::backend::Source;
use crate::backend::{Code, Instance};
use crate::error::StartError;
#[cfg(feature = "native")]
use crate::error::{LoadError, with_causes};
use crate::instance::InstanceState;
use crate::limitation::{Limitation, Protection};
use crate::pin::PinReason;

/// A native module.
pub(crate) struct NativeModule {
    pub(super) name: String,
    pub(super) abi_version: AbiVersion,
    pub(super) interface: Interface,
    #[cfg(feature = "native")]
    path: Option<PathBuf>,
    /// Why crashes of its VMs end the process; `None`: they are contained.
    uncontained: Option<&'static str>,
    pinned: Vec<PinReason>,
    limitations: Vec<Limitation>,
    leaves: Leaves,
    form: Form,
}

/// Who maps images of the module.
enum Form {
    /// This loader.
    #[cfg(feature = "native")]
    Image {
        options: Options,
        bindings: Bindings,
        /// By the embedder's own hostcalls, of which most plugins have none.
        linked: Mutex<Vec<(Vec<String>, Arc<Linked>)>>,
        unlinked: Option<Unlinked>,
    },
    /// The system's.
    #[cfg(feature = "native")]
    System { bytes: Box<[u8]>, functions: FunctionNames },
    /// Nobody: it is part of the program.
    #[cfg(feature = "null")]
    Linked(linked::LinkedPlugin),
}

/// What is linked when the first VM starts.
#[cfg(feature = "native")]
struct Unlinked {
    bytes: Box<[u8]>,
    original: Option<Original>,
}

impl NativeModule {
    #[cfg(feature = "native")]
    pub(super) fn new(source: &Source<'_>, options: Options) -> Result<NativeModule, LoadError> {
        let mut uncontained = limitations::uncontained(options.contain_crashes);
        let (interface, form, pinned, limitations, keeps_addresses) = match options.loading {
            Loading::Image => {
                let (interface, form, pinned, limitations) = Form::image(source, options)?;
                let keeps_addresses = limitations::is_lacking(Protection::Unloading, &limitations);
                (interface, form, pinned, limitations, keeps_addresses)
            }
            Loading::System => {
                uncontained = Some(limitations::BY_SYSTEM_LOADER);
                let (interface, form) = Form::system(source)?;
                let keeps = |name: &String| may_have(Effect::KeptAddress, name) && is_of_process(name);
                let keeps_addresses = interface.imports.iter().any(keeps);
                (interface, form, vec![PinReason::SystemLoader], limitations::of_system_loader(), keeps_addresses)
            }
        };
        let abi_version = interface.check(source.name)?;
        let path = source.path.map(ToOwned::to_owned);
        let name = source.name.to_owned();
        let leaves = interface.leaves(keeps_addresses, matches!(form, Form::Image { .. }));
        Ok(NativeModule { name, abi_version, interface, path, uncontained, pinned, limitations, leaves, form })
    }

    /// A plugin that is part of the program.
    #[cfg(feature = "null")]
    pub(crate) fn linked(plugin: &'static dynvm_abi::linked::Linked) -> NativeModule {
        use dynvm_abi::linked::StateModel;

        let form = linked::LinkedPlugin::new(plugin);
        let shares_statics = plugin.state_model == StateModel::PerThread;
        let uncontained = if shares_statics { Some(linked::SHARES_STATICS) } else { limitations::uncontained(true) };
        let interface = Interface::of_linked(plugin, form.exports());
        let limitations = limitations::of_linked(&form, uncontained);
        NativeModule {
            name: plugin.name.to_owned(),
            abi_version: plugin.abi_version,
            leaves: interface.leaves(limitations::is_lacking(Protection::Unloading, &limitations), true),
            interface,
            #[cfg(feature = "native")]
            path: None,
            uncontained,
            // Its code uses the program's thread-local variables and C library.
            pinned: vec![PinReason::PartOfProgram],
            limitations,
            form: Form::Linked(form),
        }
    }

    /// An instance whose hostcalls are the embedder's.
    pub(crate) fn instantiate_custom(
        &self,
        state: &Rc<InstanceState>,
        foreign: custom_hostcalls::CustomHostcalls,
    ) -> Result<NativeVm, StartError> {
        NativeVm::new(self, state.clone(), Some(foreign))
    }

    /// Whether crashes of its VMs are contained.
    pub(super) fn is_guarded(&self) -> bool {
        self.uncontained.is_none()
    }

    /// Installs the handlers that checks of addresses need, if crashes are contained.
    pub(crate) fn install_handlers(&self) {
        if self.is_guarded() {
            signals::install();
        }
    }

    /// Why crashes of its VMs end the process; `None`: they are contained.
    pub(super) fn uncontained(&self) -> Option<&'static str> {
        self.uncontained
    }

    /// Maps an image, with a heap of limited size. Nothing of an image runs that this loader maps; one of the system's loader has
    /// run its constructors.
    pub(super) fn map(
        &self,
        memory_limit: Option<usize>,
        #[cfg_attr(not(feature = "native"), expect(unused_variables, reason = "a linked plugin has no other imports"))]
        own_hostcalls: &[&str],
    ) -> Result<Mapping, String> {
        let new_heap = |limit| Heap::new(limit).map_err(|error| format!("there is no room for its heap: {error}"));
        match &self.form {
            #[cfg(feature = "native")]
            Form::Image { bindings, .. } => {
                unwinder::prepare()?;
                let image = Image::map(&self.linked_image(own_hostcalls)?).map_err(|error| refusal(&error))?;
                let heap = bindings.heap.then(|| new_heap(memory_limit)).transpose()?;
                Ok(Mapping::new(Mapped::Image(image), heap, self.leaves))
            }
            #[cfg(feature = "null")]
            Form::Linked(plugin) => {
                let has_heap = plugin.shares_heap().is_none();
                if memory_limit.is_some() && !has_heap {
                    return Err("its VMs allocate from the program's heap, so the memory limit cannot be kept: remove it, or, for a plugin \
                                in Rust or C, link it with `.slots(..)` or `--slots`"
                        .to_owned());
                }
                let heap = has_heap.then(|| new_heap(memory_limit)).transpose()?;
                Ok(Mapping::new(Mapped::Linked(plugin.take()?), heap, self.leaves))
            }
            #[cfg(feature = "native")]
            Form::System { bytes, .. } => {
                unwinder::prepare()?;
                let marker = self.abi_version.marker();
                let marker = (marker, self.interface.exports.get(marker).unwrap_or_default());
                // SAFETY: an embedder that allows native plugins vouches for them (LoaderOptions::native). The span and the marker are those
                // of these bytes.
                let image = unsafe { SystemImage::open(self.path.as_deref(), bytes, &self.interface.span, marker)? };
                Ok(Mapping::new(Mapped::System(image), None, self.leaves))
            }
        }
    }

    /// The names and addresses of what an image exports, relative to its base.
    pub(super) fn exports(&self, mapped: &Mapped) -> Arc<Exports> {
        match mapped {
            #[cfg(feature = "null")]
            Mapped::Linked(copy) => copy.exports(),
            #[cfg(feature = "native")]
            _ => self.interface.exports.clone(),
        }
    }

    /// The linked module, for an embedder that brings these hostcalls.
    #[cfg(feature = "native")]
    fn linked_image(&self, own_hostcalls: &[&str]) -> Result<Arc<Linked>, String> {
        let Form::Image { options, bindings, linked, unlinked } = &self.form else {
            return Err("the system's loader has it".to_owned());
        };
        // Of a module without unlinked bytes there is one form, in which nothing was missing.
        let own_hostcalls = if unlinked.is_some() { own_hostcalls } else { &[] };
        let mut linked = linked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, linked)) = linked.iter().find(|(names, _)| names == own_hostcalls) {
            return Ok(linked.clone());
        }
        let Some(Unlinked { bytes, original }) = unlinked else { unreachable!("a module without is linked") };
        let facts = Facts::read(bytes).map_err(|error| refusal(&error))?;
        let bind = WithOwn(bindings, own_hostcalls);
        let new = link(facts, bytes, self.path.as_deref(), original.as_ref(), &bind, options);
        let new = new.map_err(|error| refusal(&error))?;
        linked.push((own_hostcalls.iter().map(|name| (*name).to_owned()).collect(), new.clone()));
        Ok(new)
    }

    /// Exceptions, if its images use a C++ library that outlives them. Has that library end the VM, and not the process, for
    /// an exception that nobody catches.
    pub(super) fn exceptions(&self) -> Option<Exceptions> {
        if !self.interface.imports.contains("__gxx_personality_v0") {
            return None;
        }
        let find = |name: &std::ffi::CStr| match &self.form {
            #[cfg(feature = "native")]
            Form::Image { .. } => runtimes().image("libstdc++.so.6")?.symbol(name.to_str().ok()?),
            #[cfg(feature = "native")]
            Form::System { .. } => None,
            #[cfg(feature = "null")]
            Form::Linked(_) => {
                // SAFETY: the name ends with a null.
                let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
                (!found.is_null()).then_some(found as usize)
            }
        };
        let (set_terminate, globals) = (find(c"_ZSt13set_terminatePFvvE"), find(c"__cxa_get_globals")?);
        // SAFETY: functions of the C++ ABI.
        unsafe {
            if let Some(set_terminate) = set_terminate {
                process_exit::watch_terminate(set_terminate);
            }
            Some(Exceptions::of_this_thread(globals))
        }
    }

    /// The names of its functions, for backtraces.
    pub(super) fn functions(&self, mapping: &Mapping) -> FunctionNames {
        match (mapping.image(), &self.form) {
            #[cfg(feature = "native")]
            (Mapped::Image(image), _) => FunctionNames::Linked(image.linked().clone()),
            #[cfg(feature = "native")]
            (Mapped::System(_), Form::System { functions, .. }) => functions.clone(),
            #[cfg(feature = "native")]
            (Mapped::System(_), _) => unreachable!("the system's loader maps modules of this form alone"),
            #[cfg(feature = "null")]
            (Mapped::Linked(_), _) => FunctionNames::OfProgram,
        }
    }

    /// The hostcalls that it imports by name, except those that only native plugins have.
    pub(crate) fn imports(&self) -> impl Iterator<Item = &str> {
        let hostcalls = self.interface.imports.iter().map(String::as_str).filter(|import| import.starts_with("proxy_"));
        hostcalls.filter(|import| !dynvm_abi::table::is_native_hostcall(import))
    }

    /// Whether it exports a function or object.
    pub(crate) fn defines(&self, name: &str) -> bool {
        self.interface.exports.has(name)
    }
}

impl Code for NativeModule {
    fn abi_version(&self) -> AbiVersion {
        self.abi_version
    }

    fn pinned(&self) -> Vec<PinReason> {
        self.pinned.clone()
    }

    fn limitations(&self) -> Vec<Limitation> {
        self.limitations.clone()
    }

    fn exports(&self, callback: CallbackId) -> bool {
        self.defines(callback.describe().name)
    }

    fn instantiate(&self, state: &Rc<InstanceState>) -> Result<Box<dyn Instance>, StartError> {
        Ok(Box::new(NativeVm::new(self, state.clone(), None)?))
    }
}

#[cfg(feature = "native")]
impl Form {
    fn image(
        source: &Source<'_>,
        options: Options,
    ) -> Result<(Interface, Form, Vec<PinReason>, Vec<Limitation>), LoadError> {
        let malformed = |error| malformed(source.name, error);
        let facts = Facts::read(source.bytes).map_err(malformed)?;
        let interface = Interface::from(&facts);
        sanitizers::check(facts.needed(), Loading::Image).map_err(|what| damaged(source.name, what))?;
        let needed = facts.needed_files(source.path).map_err(malformed)?;
        for library in needed.iter().filter_map(|library| library.path.as_deref()) {
            (source.check_library)(library)?;
        }
        let bindings = Bindings::new(&facts, &options);
        let (pinned, limitations) = (pinned::reasons(&facts), limitations::of_image(&facts, &options));
        // Hostcalls that are missing are reported better than as missing symbols.
        interface.check(source.name)?;
        let mut linked = Vec::new();
        let mut is_linked = false;
        if needed.iter().all(|library| is_loaded_anyway(&library.name)) {
            match link(facts, source.bytes, source.path, source.original, &bindings, &options) {
                Ok(module) => {
                    linked.push((Vec::new(), module));
                    is_linked = true;
                }
                Err(dynvm_image::Error::Unresolved { .. }) if options.own_hostcalls => {}
                Err(error) => return Err(malformed(error)),
            }
        }
        let unlinked =
            (!is_linked).then(|| Unlinked { bytes: source.bytes.into(), original: source.original.cloned() });
        Ok((interface, Form::Image { options, bindings, linked: Mutex::new(linked), unlinked }, pinned, limitations))
    }

    fn system(source: &Source<'_>) -> Result<(Interface, Form), LoadError> {
        let interface = Interface::read(source.bytes).ok_or_else(|| {
            damaged(source.name, "the ELF file is damaged or truncated: copy or build it again".to_owned())
        })?;
        sanitizers::check(&interface.needed, Loading::System).map_err(|what| damaged(source.name, what))?;
        let functions = FunctionNames::of_file(source.bytes);
        Ok((interface, Form::System { bytes: source.bytes.into(), functions }))
    }
}

#[cfg(feature = "native")]
fn malformed(name: &str, error: dynvm_image::Error) -> LoadError {
    damaged(name, refusal(&error))
}

#[cfg(feature = "native")]
fn damaged(name: &str, what: String) -> LoadError {
    LoadError::Malformed { name: name.to_owned(), what }
}

/// Why an image cannot be linked or mapped, and what to do.
#[cfg(feature = "native")]
fn refusal(error: &dynvm_image::Error) -> String {
    use dynvm_image::Error::{ForeignThreadLocal, StaticTlsWithThreads, TwoCppRuntimes};
    let mut text = with_causes(error);
    if matches!(error, ForeignThreadLocal { .. } | StaticTlsWithThreads { .. } | TwoCppRuntimes { .. }) {
        text += ", or let the system's loader map the plugin (native::Loading::System)";
    }
    text
}

/// Libraries that every process with plugins has: to open one runs nothing that would not run anyway. A plugin that needs others is linked
/// when its first VM starts.
#[cfg(feature = "native")]
fn is_loaded_anyway(library: &str) -> bool {
    const LIBRARIES: &[&str] = &[
        "ld-linux",
        "libc.so.",
        "libdl.so.",
        "libgcc_s.so.",
        "libm.so.",
        "libpthread.so.",
        "librt.so.",
        "libstdc++.so.",
    ];
    LIBRARIES.iter().any(|known| library.starts_with(known))
}

#[cfg(feature = "native")]
fn link(
    facts: Facts,
    bytes: &[u8],
    path: Option<&std::path::Path>,
    original: Option<&Original>,
    bindings: &dyn Bind,
    options: &Options,
) -> Result<Arc<Linked>, dynvm_image::Error> {
    let mut linker = Linker::new(bindings).runtimes(runtimes()).map_file(options.map_file).debugger(options.debugger);
    if let Some(path) = path {
        linker = linker.path(path);
    }
    if let Some(original) = original {
        linker = linker.original(original);
    }
    // SAFETY: an embedder that allows native plugins vouches for them and for what they bring along (LoaderOptions::native). The facts
    // are of these bytes. What is bound are functions of this program, of the types that their names have in C.
    unsafe { linker.link(facts, bytes) }
}

/// The private copies of libgcc_s and libstdc++ that images share.
#[cfg(feature = "native")]
pub(super) fn runtimes() -> &'static Runtimes {
    static RUNTIMES: OnceLock<Runtimes> = OnceLock::new();
    RUNTIMES.get_or_init(|| Runtimes::new(RuntimeBindings))
}
