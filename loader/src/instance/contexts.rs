//! The contexts of one VM, roots and streams, by id.

use std::rc::Rc;

use dynvm_abi::types::StreamType;

use crate::host::Stream;
use crate::observe::PluginObserved;
use crate::{FailurePolicy, PluginConfig};

/// A root or a stream.
pub(crate) enum Context {
    Root(Root),
    Stream(StreamState),
}

impl Context {
    fn is_pinned(&self) -> bool {
        matches!(self, Context::Stream(StreamState { is_pinned: true, .. }))
    }
}

/// One plugin configuration in the VM.
pub(crate) struct Root {
    pub(crate) config: Rc<PluginConfig>,
    pub(crate) done: DoneState,
    pub(crate) streams: usize,
    /// Counters of its callbacks, if the VM is observed.
    pub(crate) observed: Option<PluginObserved>,
}

/// Progress of a root towards its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DoneState {
    Running,
    /// It returned false from `proxy_on_done` and will call `proxy_done`.
    Pending,
    /// It called `proxy_done`.
    Done,
}

/// One HTTP stream or TCP connection.
pub(crate) struct StreamState {
    pub(crate) root: u32,
    pub(crate) stream: Box<dyn Stream>,
    /// The stream need not be `Send`.
    is_pinned: bool,
    /// True once it got an event of a TCP connection.
    pub(crate) is_connection: bool,
    /// How the stream was notified when its VM stopped serving it.
    pub(crate) released: Option<Release>,
    pub(crate) ended: Ended,
}

/// How a stream continues whose VM no longer serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// The stream continues as if the plugin were not configured.
    Resumed,
    Failed,
}

impl StreamState {
    pub(crate) fn new(root: u32, stream: Box<dyn Stream>) -> StreamState {
        StreamState { root, stream, is_pinned: true, is_connection: false, released: None, ended: Ended::default() }
    }

    pub(crate) fn movable(root: u32, stream: Box<dyn Stream + Send>) -> StreamState {
        StreamState { is_pinned: false, ..StreamState::new(root, stream) }
    }

    /// Fails or resumes a stream that no callback will continue. Later calls do nothing.
    pub(crate) fn release(&mut self, how: Release) {
        if self.released.is_some() {
            return;
        }
        self.released = Some(how);
        // A stream without any event so far can be of either kind; its directions decide.
        let directions = match self.is_connection || !self.stream.has_direction(StreamType::HttpRequest) {
            true => [StreamType::Downstream, StreamType::Upstream],
            false => [StreamType::HttpRequest, StreamType::HttpResponse],
        };
        for direction in directions {
            match how {
                Release::Resumed if !self.stream.has_direction(direction) => {}
                Release::Resumed => self.stream.continue_stream(direction),
                Release::Failed => self.stream.fail(direction),
            }
        }
    }
}

/// The final callbacks that a stream has had.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ended {
    pub(crate) done: bool,
    pub(crate) log: bool,
}

/// All contexts of a VM, in an open table: a context is at index `id & (slots.len() - 1)`.
///
/// Every hostcall and callback looks up a context. Ids are handed out in sequence, so their low
/// bits rarely collide; an id whose slot is taken is not handed out at all. A lookup is therefore
/// one index and one comparison, without hashing or probing. The table is at most half full, so
/// [`insert`](Contexts::insert) finds a free slot, and its length is a power of two.
pub(crate) struct Contexts {
    slots: Vec<Option<(u32, Context)>>,
    live: usize,
    pinned_streams: usize,
    next: u32,
}

impl Contexts {
    pub(crate) fn new() -> Contexts {
        let mut slots = Vec::new();
        slots.resize_with(8, || None);
        Contexts { slots, live: 0, pinned_streams: 0, next: 1 }
    }

    #[inline]
    pub(crate) fn insert(&mut self, context: Context) -> u32 {
        self.pinned_streams += usize::from(context.is_pinned());
        if (self.live + 1) * 2 > self.slots.len() {
            self.grow();
        }
        loop {
            let id = self.next;
            self.next = self.next.checked_add(1).unwrap_or(1);
            let index = self.index(id);
            let slot = &mut self.slots[index];
            if slot.is_none() {
                *slot = Some((id, context));
                self.live += 1;
                return id;
            }
        }
    }

    /// Adds a stream of a root, if there is that root.
    #[inline]
    pub(crate) fn insert_stream(&mut self, root: u32, stream: StreamState) -> Option<u32> {
        self.root_mut(root)?.streams += 1;
        Some(self.insert(Context::Stream(stream)))
    }

    /// Removes a stream, also from the count of its root.
    #[inline]
    pub(crate) fn remove_stream(&mut self, id: u32) -> Option<Box<dyn Stream>> {
        self.stream(id)?;
        let Some(Context::Stream(state)) = self.remove(id) else { return None };
        if let Some(root) = self.root_mut(state.root) {
            root.streams -= 1;
        }
        Some(state.stream)
    }

    /// Number of streams that need not be `Send`.
    pub(crate) fn pinned_streams(&self) -> usize {
        self.pinned_streams
    }

    /// Makes this the id of the next context, if its slot is free.
    pub(crate) fn reserve_ids(&mut self, id: u32) {
        self.next = id.max(1);
    }

    #[inline]
    pub(crate) fn remove(&mut self, id: u32) -> Option<Context> {
        let index = self.index(id);
        match &self.slots[index] {
            Some((found, _)) if *found == id => {
                self.live -= 1;
                let (_, context) = self.slots[index].take()?;
                self.pinned_streams -= usize::from(context.is_pinned());
                Some(context)
            }
            _ => None,
        }
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Context> {
        match &self.slots[self.index(id)] {
            Some((found, context)) if *found == id => Some(context),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Context> {
        let index = self.index(id);
        match &mut self.slots[index] {
            Some((found, context)) if *found == id => Some(context),
            _ => None,
        }
    }

    pub(crate) fn stream(&self, id: u32) -> Option<&StreamState> {
        match self.get(id)? {
            Context::Stream(stream) => Some(stream),
            Context::Root(_) => None,
        }
    }

    pub(crate) fn stream_mut(&mut self, id: u32) -> Option<&mut StreamState> {
        match self.get_mut(id)? {
            Context::Stream(stream) => Some(stream),
            Context::Root(_) => None,
        }
    }

    /// The root of a context: the context itself, or the root of a stream.
    pub(crate) fn root_of(&self, id: u32) -> Option<(u32, &Root)> {
        let id = match self.get(id)? {
            Context::Root(root) => return Some((id, root)),
            Context::Stream(stream) => stream.root,
        };
        match self.get(id)? {
            Context::Root(root) => Some((id, root)),
            Context::Stream(_) => None,
        }
    }

    pub(crate) fn root_mut(&mut self, id: u32) -> Option<&mut Root> {
        match self.get_mut(id)? {
            Context::Root(root) => Some(root),
            Context::Stream(_) => None,
        }
    }

    pub(crate) fn root(&self, id: u32) -> Option<&Root> {
        match self.get(id)? {
            Context::Root(root) => Some(root),
            Context::Stream(_) => None,
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = (u32, &Context)> {
        self.slots.iter().flatten().map(|(id, context)| (*id, context))
    }

    /// The ids of all roots, oldest first.
    pub(crate) fn roots(&self) -> Vec<u32> {
        let roots = self.ids().filter(|(_, context)| matches!(context, Context::Root(_)));
        let mut roots: Vec<u32> = roots.map(|(id, _)| id).collect();
        roots.sort_unstable();
        roots
    }

    /// Releases every stream that is not done, as its failure policy says. The stream `failing`
    /// fails under every policy.
    pub(crate) fn release_streams(&mut self, failing: u32) {
        for index in 0..self.slots.len() {
            let Some((id, Context::Stream(stream))) = &self.slots[index] else { continue };
            let (id, root) = (*id, stream.root);
            let policy = self.root(root).map(|root| root.config.failure_policy).unwrap_or_default();
            let resumed = policy == FailurePolicy::Open && id != failing;
            if let Some(stream) = self.stream_mut(id).filter(|stream| !stream.ended.done) {
                stream.release(if resumed { Release::Resumed } else { Release::Failed });
            }
        }
    }

    fn index(&self, id: u32) -> usize {
        id as usize & (self.slots.len() - 1)
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        // Live ids may be far apart, so two of them can collide in the larger table too. Then a
        // still larger one is tried.
        let mut len = self.slots.len() * 2;
        loop {
            let mut taken = vec![false; len];
            let free = |id: u32| !std::mem::replace(&mut taken[id as usize & (len - 1)], true);
            if self.ids().map(|(id, _)| id).all(free) {
                break;
            }
            len *= 2;
        }
        let mut slots = Vec::new();
        slots.resize_with(len, || None);
        for (id, context) in std::mem::take(&mut self.slots).into_iter().flatten() {
            slots[id as usize & (len - 1)] = Some((id, context));
        }
        self.slots = slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ConfigStream;

    fn stream() -> Context {
        Context::Stream(StreamState::new(1, Box::new(ConfigStream)))
    }

    #[test]
    fn ids_are_unique_among_the_living() {
        let mut contexts = Contexts::new();
        let keep: Vec<u32> = (0..40).map(|_| contexts.insert(stream())).collect();
        assert_eq!(keep, (1..=40).collect::<Vec<_>>());
        contexts.next = u32::MAX - 3;
        let mut late = Vec::new();
        for _ in 0..1000 {
            let id = contexts.insert(stream());
            assert!(id != 0 && !keep.contains(&id) && !late.contains(&id));
            late.push(id);
            if late.len() > 20 {
                assert!(contexts.remove(late.remove(0)).is_some());
            }
        }
        for id in keep.iter().chain(&late) {
            assert!(contexts.stream(*id).is_some());
        }
        assert!(contexts.get(0).is_none());
        assert_eq!(contexts.ids().count(), keep.len() + late.len());
    }
}
