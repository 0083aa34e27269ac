//! What will behave differently, from the configuration and from what the plugin imports.

use super::artifacts::Artifact;
use super::find::Kind;
use super::yaml::Node;

/// A difference that a plugin's imports suggest.
struct Import {
    /// Hostcalls, any of which it may concern.
    hostcalls: &'static [&'static str],
    /// Texts, one of which the artifact must contain. None: the import is enough.
    texts: &'static [&'static str],
    says: &'static str,
}

const IMPORTS: &[Import] = &[
    Import {
        hostcalls: &["proxy_set_tick_period_milliseconds", "proxy_enqueue_shared_queue"],
        texts: &[],
        says: "ticks and queues reach threads without traffic only if the configuration has the module's cluster (docs/envoy.md)",
    },
    Import {
        hostcalls: &["proxy_get_property"],
        texts: &[],
        says: "properties not available: node.* and listener_metadata (list fixed ones under dynvm.properties), lists and \
               structures in metadata, response.backend_latency",
    },
    Import {
        hostcalls: &["proxy_call_foreign_function"],
        texts: &["expr_create", "expr_evaluate", "uncompress", "verify_signature"],
        says: "the foreign functions expr_*, compress, uncompress, verify_signature and sign are not found",
    },
    Import {
        hostcalls: &["proxy_define_metric"],
        texts: &[],
        says: "a metric defined after the plugin's start becomes a value of the label \"metric\" of late_counter, \
               late_gauge or late_histogram",
    },
    Import {
        hostcalls: &["proxy_http_call"],
        texts: &[],
        says: "HTTP calls made in a callback of a request end with it; Envoy adds x-forwarded-for to them",
    },
    Import {
        hostcalls: &[
            "proxy_set_shared_data",
            "proxy_get_shared_data",
            "proxy_register_shared_queue",
            "proxy_resolve_shared_queue",
        ],
        texts: &[],
        says: "shared data and queues are shared with plugins in the module, not with those still in V8",
    },
    Import {
        hostcalls: &["proxy_add_header_map_value", "proxy_replace_header_map_value", "proxy_set_header_map_pairs"],
        texts: &[],
        says: "trailers cannot be added to a message without trailers",
    },
];

/// Differences that hold for all plugins.
pub const GENERAL: [&str; 2] = [
    "log messages have the component \"dynamic_modules\" instead of \"wasm\" (--component-log-level)",
    "Envoy's own statistics wasm.* (VMs of V8) are absent",
];

/// The differences for one plugin.
pub fn differences(kind: Kind, config: &Node, artifact: &Artifact) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |text: &str| found.push(text.to_owned());
    if artifact.has_native() {
        say("native code runs with all rights of Envoy's process, without a sandbox");
    }
    let vm = config.field(&["vm_config", "vmConfig"]);
    let of_vm = |names: &[&str]| vm.and_then(|vm| vm.field(names));
    if of_vm(&["code"]).is_some_and(|code| code.field(&["remote"]).is_some()) {
        say("the code was fetched by Envoy; now it is a file that must be installed");
    }
    if let Some(runtime) = of_vm(&["runtime"]).and_then(|runtime| runtime.text())
        && runtime != "envoy.wasm.runtime.v8"
    {
        say(&format!("runtime {runtime} is ignored: the file decides what runs it"));
    }
    for names in [["allow_precompiled", "allowPrecompiled"], ["nack_on_code_cache_miss", "nackOnCodeCacheMiss"]] {
        if of_vm(&names).and_then(|value| value.text()) == Some("true") {
            say(&format!("{} has no effect", names[0]));
        }
    }
    if of_vm(&["environment_variables", "environmentVariables"]).is_some() && artifact.has_native() {
        say("native code reads the variables of Envoy's process too");
    }
    if of_vm(&["vm_id", "vmId"]).and_then(|id| id.text()).is_some_and(|id| !id.is_empty()) {
        say(
            "V8 shares a VM between filters with the same vm_id and code; the module has one for each filter and thread",
        );
    }
    if kind != Kind::HttpFilter {
        say("its HTTP and gRPC calls fail, and only the plugin sees its metrics");
    }
    let imports = |names: &[&str]| artifact.inspection.hostcalls.iter().any(|call| names.contains(&call.name.as_str()));
    let contains = |text: &&str| artifact.bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let applies =
        |import: &&Import| imports(import.hostcalls) && (import.texts.is_empty() || import.texts.iter().any(contains));
    found.extend(IMPORTS.iter().filter(applies).map(|import| import.says.to_owned()));
    found
}
