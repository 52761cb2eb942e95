//! Asks every member again and again for a small write, beside the clients, and notes who serves: the
//! measure of whether the cluster was there. The key is none of the workload's.

use std::time::Duration;

use base::Tasks;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::check::SERVED;
use crate::edn::Value;
use crate::history::History;
use crate::wire::{Dial, put};

const EACH: Duration = Duration::from_millis(300);
const ANSWER_TIME_MAX: Duration = Duration::from_millis(700);

/// Starts asking; shutting the tasks down ends it.
pub(super) fn start(urls: &[String], history: &History) -> Tasks {
    let tasks = Tasks::new("probes");
    for (number, url) in urls.iter().enumerate() {
        let (url, history, stop) = (url.clone(), history.clone(), tasks.stop().clone());
        tasks.spawn_infallible("probe", async move {
            tokio::select! { biased;
                () = stop.cancelled() => {}
                () = ask(&url, number, &history, &stop) => {}
            }
        });
    }
    tasks
}

async fn ask(url: &str, number: usize, history: &History, stop: &CancellationToken) {
    let mut dial = Dial::new(url);
    let name = format!("n{}", number + 1);
    while !stop.is_cancelled() {
        let asked = async {
            let channel = dial.channel().await?;
            KvClient::new(channel)
                .put(put("jepsen-served", &name))
                .await
                .ok()
        };
        match timeout(ANSWER_TIME_MAX, asked).await {
            Ok(Some(_)) => history.note("prober", SERVED, Value::text(&name)),
            Ok(None) | Err(_) => dial.hang_up(),
        }
        sleep(EACH).await;
    }
}
