//! Finds wasm plugins in a configuration, wherever a typed configuration may stand: listeners, routes, access logs,
//! discovered resources, objects of Kubernetes that carry such.

use std::collections::HashSet;
use std::rc::Rc;

use super::yaml::{Child, Content, Mistake, Node};

/// What of Envoy's a wasm plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    HttpFilter,
    NetworkFilter,
    AccessLog,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::HttpFilter, Kind::NetworkFilter, Kind::AccessLog];

    pub fn title(self) -> &'static str {
        match self {
            Kind::HttpFilter => "HTTP filter",
            Kind::NetworkFilter => "network filter",
            Kind::AccessLog => "access logger",
        }
    }

    /// The type of its configuration for V8, and for a dynamic module.
    pub fn types(self) -> [&'static str; 2] {
        match self {
            Kind::HttpFilter => [
                "envoy.extensions.filters.http.wasm.v3.Wasm",
                "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            ],
            Kind::NetworkFilter => [
                "envoy.extensions.filters.network.wasm.v3.Wasm",
                "envoy.extensions.filters.network.dynamic_modules.v3.DynamicModuleNetworkFilter",
            ],
            Kind::AccessLog => [
                "envoy.extensions.access_loggers.wasm.v3.WasmAccessLog",
                "envoy.extensions.access_loggers.dynamic_modules.v3.DynamicModuleAccessLog",
            ],
        }
    }

    /// The names of the extensions. Envoy goes by the type; the name is for readers.
    pub fn names(self) -> [&'static str; 2] {
        match self {
            Kind::HttpFilter => ["envoy.filters.http.wasm", "envoy.filters.http.dynamic_modules"],
            Kind::NetworkFilter => ["envoy.filters.network.wasm", "envoy.filters.network.dynamic_modules"],
            Kind::AccessLog => ["envoy.access_loggers.wasm", "envoy.access_loggers.dynamic_modules"],
        }
    }

    /// A function that the module exports if it can carry this kind.
    pub fn hook(self) -> &'static str {
        match self {
            Kind::HttpFilter => "envoy_dynamic_module_on_http_filter_config_new",
            Kind::NetworkFilter => "envoy_dynamic_module_on_network_filter_config_new",
            Kind::AccessLog => "envoy_dynamic_module_on_access_logger_config_new",
        }
    }

    fn of_type(url: &str) -> Option<Kind> {
        let name = url.rsplit('/').next()?;
        Kind::ALL.into_iter().find(|kind| kind.types()[0] == name)
    }
}

/// Other users of wasm, which the module has no place for.
const OTHERS: [(&str, &str); 3] = [
    ("envoy.extensions.wasm.v3.WasmService", "a wasm service"),
    ("envoy.extensions.stat_sinks.wasm.v3.Wasm", "a wasm stats sink"),
    ("envoy.config.wasm.v2alpha.WasmService", "a wasm service"),
];

/// A plugin in the configuration.
pub struct Site {
    pub kind: Kind,
    /// The scalar with its type.
    pub ty: Rc<Node>,
    /// The mapping with the field `config`.
    pub body: Rc<Node>,
    /// That field: key and value, a `PluginConfig`.
    pub config: (Child, Child),
}

/// What was found.
#[derive(Default)]
pub struct Found {
    pub sites: Vec<Site>,
    /// Names of extensions, and keys of configurations per route that refer to them.
    pub names: Vec<(Kind, Rc<Node>)>,
    /// Lists of types that discovery may deliver: the list, and its item.
    pub discovered: Vec<(Kind, Rc<Node>, Child)>,
    /// What else uses wasm.
    pub others: Vec<(Rc<Node>, &'static str)>,
}

/// Searches all documents.
///
/// # Errors
///
/// A wasm plugin lacks what Envoy needs.
pub fn find(documents: &[Rc<Node>]) -> Result<Found, Mistake> {
    let mut search = Search::default();
    documents.iter().try_for_each(|document| search.node(document))?;
    Ok(search.found)
}

#[derive(Default)]
struct Search {
    found: Found,
    /// Aliases can make a short text a large tree.
    seen: HashSet<*const Node>,
}

impl Search {
    fn node(&mut self, node: &Rc<Node>) -> Result<(), Mistake> {
        if !self.seen.insert(Rc::as_ptr(node)) {
            return Ok(());
        }
        match &node.content {
            Content::Scalar(_) => Ok(()),
            Content::Sequence(items) => items.iter().try_for_each(|item| self.node(&item.node)),
            Content::Mapping(entries) => {
                self.typed(node)?;
                for (key, value) in entries {
                    self.field(key, value);
                    self.node(&value.node)?;
                }
                Ok(())
            }
        }
    }

    /// Looks at a mapping with a type.
    fn typed(&mut self, node: &Rc<Node>) -> Result<(), Mistake> {
        let Some(ty) = node.field(&["@type"]) else { return Ok(()) };
        let is_struct = ty.text().is_some_and(|ty| ty.ends_with(".TypedStruct"));
        let (ty, body) = if is_struct {
            let inner = (node.field(&["type_url", "typeUrl"]), node.field(&["value"]));
            let (Some(ty), Some(body)) = inner else { return Ok(()) };
            (ty, body)
        } else {
            (ty, node)
        };
        let Some(url) = ty.text() else { return Ok(()) };
        if let Some((_, what)) = OTHERS.iter().find(|(name, _)| url.ends_with(name)) {
            self.found.others.push((ty.clone(), what));
        }
        let Some(kind) = Kind::of_type(url) else { return Ok(()) };
        let mistake = |message: &str| ty.mistake(format!("this {} {message}", kind.title()));
        let config = body.entry(&["config"]).ok_or_else(|| mistake("has no field \"config\""))?;
        if !matches!(config.1.node.content, Content::Mapping(_)) {
            return Err(config.1.node.mistake("\"config\" is a PluginConfig, a mapping"));
        }
        self.found.sites.push(Site { kind, ty: ty.clone(), body: body.clone(), config: config.clone() });
        Ok(())
    }

    /// Looks at a field for what belongs to wasm plugins elsewhere.
    fn field(&mut self, key: &Child, value: &Child) {
        let named = |node: &Rc<Node>| {
            let text = node.text()?;
            Some((Kind::ALL.into_iter().find(|kind| kind.names()[0] == text)?, node.clone()))
        };
        match key.node.text() {
            Some("name") => self.found.names.extend(named(&value.node)),
            Some("typed_per_filter_config" | "typedPerFilterConfig") => {
                let keys = value.node.entries().iter().filter_map(|(key, _)| named(&key.node));
                self.found.names.extend(keys);
            }
            Some("type_urls" | "typeUrls") => {
                let Content::Sequence(items) = &value.node.content else { return };
                let known = |item: &Child| Some((Kind::of_type(item.node.text()?)?, value.node.clone(), item.clone()));
                self.found.discovered.extend(items.iter().filter_map(known));
            }
            _ => {}
        }
    }
}
