//! Runs plugins as the loader does, as far as linking is concerned.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::marker::PhantomData;
use std::ptr;
use std::rc::Rc;
use std::sync::Mutex;

use dynvm::linked::{Linked, Slot, StateModel};

pub type Function = unsafe extern "C" fn(*mut u8);

/// Slots in use, of plugins that keep state in statics.
static TAKEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());

thread_local! {
    /// Whose variables are in this thread's block of a slot.
    static RESIDENTS: RefCell<HashMap<usize, Rc<Saved>>> = RefCell::default();
    /// The VM whose code runs.
    static CURRENT: RefCell<Option<Rc<State>>> = const { RefCell::new(None) };
}

/// What a hostcall needs of a VM.
#[derive(Default)]
pub struct State {
    pub path: RefCell<String>,
    pub log: RefCell<Vec<String>>,
    pub allocator: Option<usize>,
    /// Destructors, with what to call them for.
    pub at_exit: RefCell<Vec<(Function, usize)>>,
    pub at_thread_exit: RefCell<Vec<(Function, usize)>>,
}

pub fn current() -> Rc<State> {
    try_current().expect("a VM runs on this thread")
}

/// `None` on threads of plugins.
pub fn try_current() -> Option<Rc<State>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Thread-local variables of a VM, while those of another are in place.
struct Saved(RefCell<Vec<u8>>);

pub struct Vm {
    slot: &'static Slot,
    state_model: StateModel,
    variables: Rc<Saved>,
    state: Rc<State>,
    /// The C library and the plugin know the addresses of thread-local variables.
    _stays_on_its_thread: PhantomData<*const ()>,
}

impl Vm {
    pub fn start(plugin: &'static Linked) -> Vm {
        Vm::try_start(plugin).expect("a free slot")
    }

    /// `None` if all slots are in use.
    pub fn try_start(plugin: &'static Linked) -> Option<Vm> {
        let slot = match plugin.state_model {
            StateModel::PerThread => &plugin.slots[0],
            _ => {
                let mut taken = TAKEN.lock().unwrap();
                let slot = plugin.slots.iter().find(|slot| !taken.contains(&address(slot)))?;
                taken.push(address(slot));
                set_back(slot);
                slot
            }
        };
        let initial = slot.thread_locals.map_or(Vec::new(), |locals| {
            // SAFETY: the descriptor's block.
            unsafe { std::slice::from_raw_parts(locals.initial, locals.size) }.to_vec()
        });
        let allocator = slot.export("proxy_on_memory_allocate").or(slot.export("malloc"));
        let state = State { allocator: allocator.map(|address| address as usize), ..State::default() };
        let vm = Vm {
            slot,
            state_model: plugin.state_model,
            variables: Rc::new(Saved(RefCell::new(initial))),
            state: Rc::new(state),
            _stays_on_its_thread: PhantomData,
        };
        if vm.state_model != StateModel::PerThread {
            for index in 0..slot.constructors.count {
                vm.enter(|| {
                    // SAFETY: an element of the list, called as the C library does.
                    unsafe {
                        let function: *const extern "C" fn(i32, *const u8, *const u8) = slot.constructors.first.cast();
                        (*function.add(index))(0, ptr::null(), ptr::null());
                    }
                });
            }
        }
        let _ = vm.call("_initialize", []).or_else(|| vm.call("_start", []));
        vm.call("proxy_on_context_create", [1, 0]);
        vm.call("proxy_on_vm_start", [1, 0]);
        vm.call("proxy_on_configure", [1, 0]);
        Some(vm)
    }

    /// Runs a stream and returns what the plugin logged.
    pub fn stream(&self, path: &str) -> String {
        *self.state.path.borrow_mut() = path.to_owned();
        self.call("proxy_on_context_create", [2, 1]);
        self.call("proxy_on_request_headers", [2, 1, 1]);
        self.call("proxy_on_done", [2]);
        self.call("proxy_on_delete", [2]);
        self.take_log().concat()
    }

    pub fn take_log(&self) -> Vec<String> {
        self.state.log.take()
    }

    /// Ends the VM and returns what it logged.
    pub fn end(self) -> Vec<String> {
        let state = self.state.clone();
        drop(self);
        state.log.take()
    }

    fn call<const COUNT: usize>(&self, name: &str, arguments: [u64; COUNT]) -> Option<u64> {
        let function = self.slot.export(name)?;
        let mut all = [0; 5];
        all[..COUNT].copy_from_slice(&arguments);
        Some(self.enter(|| {
            // SAFETY: an export of the plugin; surplus arguments are in registers.
            unsafe {
                let function: extern "C" fn(u64, u64, u64, u64, u64) -> u64 = std::mem::transmute(function);
                function(all[0], all[1], all[2], all[3], all[4])
            }
        }))
    }

    /// Runs code of the plugin, with its variables in place.
    fn enter<R>(&self, code: impl FnOnce() -> R) -> R {
        self.bring_variables();
        let before = CURRENT.replace(Some(self.state.clone()));
        let result = code();
        CURRENT.set(before);
        result
    }

    fn bring_variables(&self) {
        let Some(locals) = self.slot.thread_locals else { return };
        RESIDENTS.with_borrow_mut(|residents| {
            let block = (locals.block)();
            match residents.entry(address(self.slot)) {
                Entry::Occupied(resident) if Rc::ptr_eq(resident.get(), &self.variables) => return,
                Entry::Occupied(mut resident) => {
                    let leaving = resident.insert(self.variables.clone());
                    // SAFETY: the block has this size.
                    unsafe { ptr::copy_nonoverlapping(block, leaving.0.borrow_mut().as_mut_ptr(), locals.size) };
                }
                Entry::Vacant(vacant) => {
                    vacant.insert(self.variables.clone());
                }
            }
            // SAFETY: as above.
            unsafe { ptr::copy_nonoverlapping(self.variables.0.borrow().as_ptr(), block, locals.size) };
        });
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        for list in [&self.state.at_thread_exit, &self.state.at_exit] {
            loop {
                let next = list.borrow_mut().pop();
                let Some((function, object)) = next else { break };
                // SAFETY: the plugin registered both.
                self.enter(|| unsafe { function(object as *mut u8) });
            }
        }
        if self.state_model != StateModel::PerThread {
            for index in (0..self.slot.destructors.count).rev() {
                self.enter(|| {
                    // SAFETY: an element of the list.
                    unsafe {
                        let function: *const extern "C" fn() = self.slot.destructors.first.cast();
                        (*function.add(index))();
                    }
                });
            }
            TAKEN.lock().unwrap().retain(|slot| *slot != address(self.slot));
        }
    }
}

fn address(slot: &Slot) -> usize {
    ptr::from_ref(slot) as usize
}

fn set_back(slot: &Slot) {
    for variables in slot.statics {
        let block = variables.block.cast_mut();
        // SAFETY: no VM uses the slot.
        unsafe {
            match variables.initial.is_null() {
                true => ptr::write_bytes(block, 0, variables.size),
                false => ptr::copy_nonoverlapping(variables.initial, block, variables.size),
            }
        }
    }
}
