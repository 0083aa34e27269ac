//! A plugin in a rollout: streams pass through a rollout's worker.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use dynvm::host::{HeaderMap as _, NoLog, Services};
use dynvm::{Loader, PluginConfig, VmConfig};
use dynvm_rollout::deploy::{Deployment, DeploymentConfig};
use dynvm_rollout::rollout::{Rollout, RolloutConfig, RolloutWorker, Share};

use crate::Subject;
use crate::stream::BenchStream;

/// One worker of a rollout in which the stable build answers all streams and a share of them is shadowed.
pub struct RolledOut {
    /// The rollout.
    pub rollout: Rollout,
    worker: RolloutWorker,
}

impl RolledOut {
    /// Starts a rollout from one build to another.
    ///
    /// # Errors
    ///
    /// One of them does not load or start.
    pub fn start(
        loader: &Loader,
        [stable, candidate]: [&Path; 2],
        configuration: &str,
        shadow: Share,
    ) -> anyhow::Result<RolledOut> {
        let plugin = PluginConfig::named("bench").configuration(configuration);
        let config = DeploymentConfig::new(VmConfig::default(), plugin).log(Arc::new(NoLog)).canary_services(services);
        let deploy = |path: &Path| Deployment::new(loader.clone(), path, config.clone());
        let rollout = Rollout::new(deploy(stable)?, deploy(candidate)?, RolloutConfig::default());
        rollout.set_shadow(shadow);
        let worker = rollout.worker(|_, _| services())?;
        Ok(RolledOut { rollout, worker })
    }
}

fn services() -> Services {
    let mut services = Services::default();
    services.log = Arc::new(NoLog);
    services
}

impl Subject for RolledOut {
    fn stream(&mut self, template: &BenchStream) {
        let (headers, body, answers) = (template.request.len(), template.body_len(), template.response.len());
        let stream = self.worker.create_stream(None, Box::new(template.clone())).expect("the VM runs");
        black_box(self.worker.call(stream, |vm, id| vm.on_request_headers(id, headers, body == 0)));
        if body > 0 {
            black_box(self.worker.call(stream, |vm, id| vm.on_request_body(id, body, true)));
        }
        black_box(self.worker.call(stream, |vm, id| vm.on_response_headers(id, answers, true)));
        black_box(self.worker.end(stream));
    }
}
