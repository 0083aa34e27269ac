//! New versions under load: by Envoy's configuration, and by a new file.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::envoy::{By, Envoy, Setup, http_listener, module_filter, plugin, programs, ty};
use crate::plugins::probe;
use crate::traffic::{Client, Upstream, get};

/// Requests without pause on some connections, until `during` returns. Each has to be answered with 200 or 201. Returns the
/// statuses.
fn all_answered(port: u16, during: impl FnOnce()) -> Vec<u16> {
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let request = || {
            let mut statuses = Vec::new();
            let mut client = Client::connect(port).unwrap();
            while !end.load(Ordering::Relaxed) {
                let answer = client.send("GET", "/a", &[], &[]).unwrap();
                statuses.push(answer.status());
                // A connection stays on the listener that accepted it, which closes it some time after it was replaced.
                if answer.header("connection") == Some("close") || statuses.len() % 10 == 0 {
                    client = Client::connect(port).unwrap();
                }
            }
            statuses
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(request)).collect();
        during();
        end.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

fn listener(by: By, configuration: &str, port: u16) -> Value {
    let block = plugin("probe", &probe(by), configuration, &json!({}));
    let mut listener = http_listener("main", vec![module_filter("probe", &block)], json!({}));
    listener["address"] = crate::envoy::address(port);
    listener["@type"] = json!(ty("envoy.config.listener.v3.Listener"));
    listener
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn a_new_listener_takes_over_under_load() {
    let upstream = Upstream::start();
    for (program, workers) in programs().into_iter().zip([4, 1]) {
        let dir = tempfile::tempdir().unwrap();
        let lds = dir.path().join("lds.json");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let resources = |listener: Value| json!({"resources": [listener]}).to_string();
        write(&lds, &resources(listener(By::Native, "status=200", port)));
        let mut config = Setup::new().cluster("upstream", upstream.port).config();
        config["node"] = json!({"id": "test", "cluster": "test"});
        config["dynamic_resources"] =
            json!({"lds_config": {"path_config_source": {"path": &lds}, "resource_api_version": "V3"}});
        let mut envoy = Envoy::start_with(&program, &config, workers);
        envoy.wait("serves", |_| Client::connect(port).is_ok());
        let statuses = all_answered(port, || {
            for by in [By::Wasm, By::Native] {
                for status in [201, 200] {
                    write(&lds, &resources(listener(by, &format!("status={status}"), port)));
                    envoy.wait("has the new version", |_| get(port, "/a", &[]).status() == status);
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        });
        let count = |status| statuses.iter().filter(|of| **of == status).count();
        assert_eq!(count(200) + count(201), statuses.len(), "{statuses:?}");
        assert!(count(200) > 20 && count(201) > 20, "{} {}", count(200), count(201));
        // One that is refused changes nothing.
        write(&lds, &resources(listener(By::Native, "refuse", port)));
        envoy.wait_for_log("proxy_on_configure");
        assert_eq!(get(port, "/a", &[]).status(), 200);
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn a_discovered_filter_takes_over_under_load() {
    let upstream = Upstream::start();
    for (program, workers) in programs().into_iter().zip([4, 1]) {
        let dir = tempfile::tempdir().unwrap();
        let ecds = dir.path().join("ecds.json");
        let discover = |by: By, configuration: &str| {
            let filter = module_filter("probe", &plugin("probe", &probe(by), configuration, &json!({})));
            let resource = json!({"@type": ty("envoy.config.core.v3.TypedExtensionConfig"), "name": "probe",
                "typed_config": filter["typed_config"]});
            write(&ecds, &json!({"resources": [resource]}).to_string());
        };
        discover(By::Native, "status=200");
        let discovered = json!({"name": "probe", "config_discovery": {
            "config_source": {"path_config_source": {"path": &ecds}, "resource_api_version": "V3"},
            "type_urls": [ty("envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter")],
        }});
        let setup = Setup::new().cluster("upstream", upstream.port).listener("main", vec![discovered]);
        let mut config = setup.config();
        config["node"] = json!({"id": "test", "cluster": "test"});
        let mut envoy = Envoy::start_with(&program, &config, workers);
        let port = envoy.port("main");
        let statuses = all_answered(port, || {
            for by in [By::Wasm, By::Native] {
                for status in [201, 200] {
                    discover(by, &format!("status={status}"));
                    envoy.wait("has the new version", |_| get(port, "/a", &[]).status() == status);
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        });
        let count = |status| statuses.iter().filter(|of| **of == status).count();
        assert_eq!(count(200) + count(201), statuses.len(), "{statuses:?}");
        assert!(count(200) > 20 && count(201) > 20, "{} {}", count(200), count(201));
        // One that is refused changes nothing.
        discover(By::Native, "refuse");
        envoy.wait_for_log("proxy_on_configure");
        assert_eq!(get(port, "/a", &[]).status(), 200);
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn a_new_file_takes_over_under_load() {
    let upstream = Upstream::start();
    let dir = tempfile::tempdir().unwrap();
    let artifact = dir.path().join("plugin");
    let replace = |by: By| {
        let new = dir.path().join("plugin.new");
        std::fs::copy(probe(by), &new).unwrap();
        std::fs::rename(new, &artifact).unwrap();
    };
    replace(By::Native);
    let block = plugin("probe", &artifact, "", &json!({"dynvm": {"watch": true}}));
    let setup = Setup::new().cluster("upstream", upstream.port).workers(2);
    let setup = setup.listener("main", vec![module_filter("probe", &block)]);
    let mut envoy = Envoy::start(&programs()[0], &setup);
    let port = envoy.port("main");
    let statuses = all_answered(port, || {
        for (version, by) in [(2, By::Wasm), (3, By::Native)] {
            replace(by);
            envoy.wait_for_log(&format!("version {version} is current"));
            std::thread::sleep(Duration::from_millis(300));
        }
        // One that is no plugin changes nothing.
        std::fs::write(&artifact, "no plugin").unwrap();
        envoy.wait_for_log("not reloaded, version 3 stays current");
    });
    assert!(statuses.len() > 50 && statuses.iter().all(|status| *status == 200), "{statuses:?}");
}
