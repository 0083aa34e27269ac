//! The edits that turn one plugin's configuration into the module's.

use std::rc::Rc;

use super::edit::Edits;
use super::find::{Kind, Site};
use super::yaml::{Child, Content, Node};

/// How the module is named in the configuration.
pub enum Module {
    /// Found by Envoy in `ENVOY_DYNAMIC_MODULES_SEARCH_PATH` and the system's libraries.
    Name,
    /// Its path.
    Path(String),
}

/// The namespace of plugins' metrics in V8, which keeps their names.
const METRICS: &str = "wasmcustom";

const STRUCT: &str = "type.googleapis.com/google.protobuf.Struct";

pub struct Rewriter<'a> {
    text: &'a str,
    module: &'a Module,
    pub edits: Edits,
}

impl<'a> Rewriter<'a> {
    pub fn new(text: &'a str, module: &'a Module) -> Rewriter<'a> {
        Rewriter { text, module, edits: Edits::default() }
    }

    /// Edits one plugin. `name` identifies it in Envoy's log; `path` is its artifact.
    pub fn site(&mut self, site: &Site, name: &str, path: &str, has_native: bool) {
        let [old, new] = site.kind.types();
        self.rename(&site.ty, old, new);
        if site.body.is_flow(self.text) {
            self.flow(site, name);
        } else {
            self.block(site, name);
        }
        let config = &site.config.1.node;
        if has_native {
            self.first(config, "dynvm", "{\"native\": true}", "{native: true}");
        }
        if let Some(code) = config.field(&["vm_config", "vmConfig"]).and_then(|vm| vm.entry(&["code"])) {
            self.code(code, path);
        }
    }

    /// Replaces a name within a scalar, whatever its quotes.
    pub fn rename(&mut self, node: &Node, old: &str, new: &str) {
        let with = self.text[node.range.clone()].replace(old, new);
        self.edits.replace(node.range.clone(), with);
    }

    /// Adds the module's type to a list of those that discovery may deliver.
    pub fn discovered(&mut self, kind: Kind, list: &Node, item: &Child) {
        let [old, new] = kind.types();
        let with = self.text[item.range.clone()].replace(old, new);
        let Content::Sequence(items) = &list.content else { return };
        let there = |item: &Child| item.node.text().is_some_and(|text| text.ends_with(new));
        if items.iter().any(there) {
            return;
        }
        let end = item.range.end;
        if list.is_flow(self.text) {
            return self.edits.insert(end, format!(", {with}"));
        }
        let line = self.text[..item.range.start].rfind('\n').map_or(0, |at| at + 1);
        let dash = self.text[line..item.range.start].rfind('-').unwrap_or(0);
        // Behind a comment on the item's line.
        let rest = self.text[end..].lines().next().map_or(0, str::len);
        self.edits.insert(end + rest, format!("{}{}- {with}", self.newline(), " ".repeat(dash)));
    }

    /// In a block, `config` becomes a field of a field: its lines move to the right by as much as they are nested.
    fn block(&mut self, site: &Site, name: &str) {
        let (key, value) = &site.config;
        let column = key.node.place.column - 1;
        let inner = value.node.entries().first().map_or(0, |(first, _)| first.node.place.column - 1);
        let step = if !value.node.is_flow(self.text) && inner > column { inner - column } else { 2 };
        let module = match self.module {
            Module::Name => "name: dynvm_envoy".to_owned(),
            Module::Path(path) => format!("module: {{local: {{filename: {}}}}}", scalar(path)),
        };
        let [filter_name, filter_config] = fields(site.kind);
        let name = scalar(name);
        let lines = [
            (0, "dynamic_module_config:".to_owned()),
            (1, module),
            (1, "do_not_close: true".to_owned()),
            (1, format!("metrics_namespace: {METRICS}")),
            (0, format!("{filter_name}: {name}")),
            (0, format!("{filter_config}:")),
            (1, format!("\"@type\": {STRUCT}")),
            (1, "value".to_owned()),
        ];
        let mut written = String::new();
        for (level, line) in lines {
            if !written.is_empty() {
                written += self.newline();
                written += &" ".repeat(column + level * step);
            }
            written += &line;
        }
        self.edits.replace(key.range.clone(), written);
        self.edits.indent(self.text, key.range.end..value.range.end, step);
    }

    /// In brackets, all goes on the line of `config`, which is valid JSON too.
    fn flow(&mut self, site: &Site, name: &str) {
        let (key, value) = &site.config;
        let module = match self.module {
            Module::Name => "\"name\": \"dynvm_envoy\"".to_owned(),
            Module::Path(path) => format!("\"module\": {{\"local\": {{\"filename\": {}}}}}", quoted(path)),
        };
        let [filter_name, filter_config] = fields(site.kind);
        let separator = format!(",{}", self.before(key.range.start).unwrap_or(" "));
        let fields = [
            format!(
                "\"dynamic_module_config\": {{{module}, \"do_not_close\": true, \"metrics_namespace\": \"{METRICS}\"}}"
            ),
            format!("\"{filter_name}\": {}", quoted(name)),
            format!("\"{filter_config}\""),
        ];
        self.edits.replace(key.range.clone(), fields.join(&separator));
        self.edits.insert(value.range.start, format!("{{\"@type\": \"{STRUCT}\", \"value\": "));
        // Not an insertion at the end, where that of an inner mapping could be.
        let last = value.range.end - 1..value.range.end;
        let closing = format!("{}}}", &self.text[last.clone()]);
        self.edits.replace(last, closing);
    }

    /// Adds a field as the first one of a mapping.
    fn first(&mut self, mapping: &Rc<Node>, name: &str, flow: &str, block: &str) {
        let Some((key, _)) = mapping.entries().first() else { return };
        let at = key.range.start;
        let with = if mapping.is_flow(self.text) {
            format!("\"{name}\": {flow},{}", self.before(at).unwrap_or(" "))
        } else {
            // If its line moves, the new one goes with it.
            let before = self.before(at).unwrap_or_default();
            let moves = self.edits.shift(at - (key.node.place.column - 1));
            format!("{name}: {block}{before}{}", " ".repeat(moves))
        };
        self.edits.insert(at, with);
    }

    /// Names the artifact in `code`, a data source.
    fn code(&mut self, (key, value): &(Child, Child), path: &str) {
        let file = value.node.field(&["local"]).and_then(|local| local.field(&["filename"]));
        if let Some(file) = file {
            self.edits.replace(file.range.clone(), self.like(file, path));
            return;
        }
        let is_json = value.node.is_flow(self.text);
        let (local, filename) = if is_json { ("\"local\"", "\"filename\"") } else { ("local", "filename") };
        let with = if is_json { quoted(path) } else { scalar(path) };
        let after_colon = self.text[key.range.end..].find(':').map_or(key.range.end, |at| key.range.end + at + 1);
        self.edits.replace(after_colon..value.range.end, format!(" {{{local}: {{{filename}: {with}}}}}"));
    }

    /// A text as a scalar with the quotes of another one.
    fn like(&self, other: &Node, text: &str) -> String {
        match self.text[other.range.clone()].chars().next() {
            Some('"') => quoted(text),
            Some('\'') => format!("'{}'", text.replace('\'', "''")),
            _ => scalar(text),
        }
    }

    /// The line break and indentation before a place, if it begins its line.
    fn before(&self, at: usize) -> Option<&str> {
        let start = self.text[..at].rfind('\n')?;
        let start = if self.text[..start].ends_with('\r') { start - 1 } else { start };
        let between = &self.text[start..at];
        between.trim().is_empty().then_some(between)
    }

    fn newline(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }
}

/// The names of the fields for the plugin's name and configuration.
fn fields(kind: Kind) -> [&'static str; 2] {
    match kind {
        Kind::HttpFilter | Kind::NetworkFilter => ["filter_name", "filter_config"],
        Kind::AccessLog => ["logger_name", "logger_config"],
    }
}

/// A text as a scalar: plain where all of it is unambiguous, also in brackets.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    if begins && !is_word && text.chars().all(is_plain) { text.to_owned() } else { quoted(text) }
}

/// A text in double quotes, as JSON and YAML both read it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::super::find::find;
    use super::super::yaml::load;
    use super::*;

    fn data(node: &Node) -> Value {
        match &node.content {
            Content::Scalar(text) => text.as_str().into(),
            Content::Sequence(items) => items.iter().map(|item| data(&item.node)).collect(),
            Content::Mapping(entries) => {
                let field = |(key, value): &(Child, Child)| (key.node.text().unwrap().to_owned(), data(&value.node));
                Value::Object(entries.iter().map(field).collect())
            }
        }
    }

    /// The same conversion, of data instead of text.
    fn converted(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(converted).collect(),
            Value::Object(fields) => {
                let mut fields: Map<String, Value> =
                    fields.iter().map(|(name, value)| (name.clone(), converted(value))).collect();
                if let Some(Value::Object(mut config)) = fields.remove("config") {
                    config["vm_config"]["code"] = json!({"local": {"filename": "/p/it's.so"}});
                    config.insert("dynvm".to_owned(), json!({"native": "true"}));
                    let module = json!({"name": "dynvm_envoy", "do_not_close": "true", "metrics_namespace": METRICS});
                    fields.insert("dynamic_module_config".to_owned(), module);
                    fields.insert("filter_name".to_owned(), "n: 1".into());
                    fields.insert("filter_config".to_owned(), json!({"@type": STRUCT, "value": config}));
                }
                Value::Object(fields)
            }
            Value::String(text) => {
                let [old, new] = Kind::HttpFilter.types();
                text.replace(old, new).into()
            }
            other => other.clone(),
        }
    }

    /// Checks that the conversion of the text is the conversion of its data, and returns the new text.
    fn check(text: &str) -> String {
        let documents = load(text).unwrap();
        let found = find(&documents).unwrap();
        assert!(!found.sites.is_empty(), "{text}");
        let mut rewriter = Rewriter::new(text, &Module::Name);
        found.sites.iter().for_each(|site| rewriter.site(site, "n: 1", "/p/it's.so", true));
        let new = rewriter.edits.apply(text).unwrap();
        let reread = load(&new).unwrap_or_else(|mistake| panic!("{mistake:?}\n{new}"));
        let data_of = |documents: &[Rc<Node>]| documents.iter().map(|document| data(document)).collect::<Vec<_>>();
        let expected: Vec<Value> = data_of(&documents).iter().map(converted).collect();
        assert_eq!(data_of(&reread), expected, "{new}");
        assert!(find(&reread).unwrap().sites.is_empty());
        new
    }

    const TYPE: &str = "\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

    #[test]
    fn blocks() {
        check(&format!("{TYPE}\nconfig:\n  vm_config:\n    code: {{local: {{filename: /a}}}}\n"));
        check(&format!(
            "- x\n- a: # c\n    {TYPE}\n    config: # c\n     # c\n     vm_config:\n      code:\n       local:\n        \
             filename: '/a'\n      configuration:\n       value: |2\n           deep\n\n          text\n        \n     name: b\n\
             # at the margin\n    more: x\n"
        ));
        check(&format!(
            "a:\n  config: &c\n    vm_config: {{code: {{}}}}\n    n: 1\n  {TYPE}\nb:\n  config: *c\n  {TYPE}\n"
        ));
        check(&format!(
            "config: {{vm_config: {{code: x,\n b: 'c\n\n d'}}, e: 1}}\n{TYPE}\n---\n{TYPE}\nconfig:\n  vm_config:\n    code: |\n      x\n    a: 1"
        ));
        check(&format!(
            "{TYPE}\nconfig: !!map\n      vm_config:\n           code: !!map\n             inline_string: \"a\"\n           b: 1\n"
        ));
    }

    #[test]
    fn line_breaks_stay() {
        let text =
            format!("a:\n  {TYPE}\n  config:\n    vm_config:\n      code: {{local: {{filename: /a}}}}\n      b: 1\n");
        let new = check(&text.replace('\n', "\r\n"));
        assert_eq!(new, check(&text).replace('\n', "\r\n"));
    }

    #[test]
    fn json_stays_json() {
        for text in [
            r#"[{"config": {"vm_config": {"code": {"local": {"filename": "/a"}}}, "n": "c"}, "@type": "T"}, ["ü"]]"#,
            "{\n  \"@type\": \"T\",\n  \"config\": {\n    \"vm_config\": {\n      \"code\": {\"remote\": {}}\n    }\n  }\n}\n",
        ] {
            let text = text.replace("\"T\"", &format!("\"x/{}\"", Kind::HttpFilter.types()[0]));
            let new = check(&text);
            serde_json::from_str::<Value>(&new).unwrap_or_else(|error| panic!("{error}:\n{new}"));
        }
    }

    #[test]
    fn names_that_yaml_reads_as_something_else_are_quoted() {
        for name in ["yes", "1.5", "a: b", "a #b", "", "*a", "-", "a,b", "ü"] {
            assert!(scalar(name).starts_with('"'), "{name}");
        }
        assert_eq!(scalar("/etc/a-b_c.so"), "/etc/a-b_c.so");
    }
}
