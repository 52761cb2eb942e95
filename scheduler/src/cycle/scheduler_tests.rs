//! What the loop leaves behind between a cycle, its writes and the end of a term. The api-server is a
//! socket on which the test reads each request and answers it, or does not.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{OnError, Tasks};
use client::events::Recorder;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Scheduler, Shared};
use crate::cycle::act::{Work, act};
use crate::cycle::term::Term;
use crate::framework::{EventSet, PodInfo};
use crate::plugins::{DefaultBinder, default_profile};
use crate::queue::{Popped, Queue};
use crate::testing::{important, node};

/// Far more than a local request takes, and far less than a write may take.
const SOON: Duration = Duration::from_secs(2);

/// A request that waits for its answer; dropped, it gets none.
struct Call {
    /// Method and path.
    line: String,
    answer: oneshot::Sender<()>,
}

/// Hands every request to the test; what is answered is an empty object.
async fn converse(stream: TcpStream, calls: mpsc::Sender<Call>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let start = head.len();
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
            let line = head[start..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        stream.read_exact(&mut vec![0; length]).await?;
        let words: Vec<&str> = head.split(' ').take(2).collect();
        let (answer, answered) = oneshot::channel();
        let line = words.join(" ");
        let call = Call {
            line: line.split('?').next().unwrap_or_default().to_owned(),
            answer,
        };
        if calls.send(call).await.is_err() || answered.await.is_err() {
            return Ok(());
        }
        let text =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(text.as_bytes()).await?;
    }
}

async fn serve(tasks: &Tasks) -> (SocketAddr, mpsc::Receiver<Call>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, calls) = mpsc::channel(16);
    let group = tasks.clone();
    tasks.spawn("server", OnError::Log, async move {
        while let Some(Ok((stream, _))) = group.stop().run_until_cancelled(listener.accept()).await
        {
            let (sender, stop) = (sender.clone(), group.stop().clone());
            group.spawn("connection", OnError::Log, async move {
                let _ = stop.run_until_cancelled(converse(stream, sender)).await;
                Ok::<(), Infallible>(())
            });
        }
        Ok::<(), Infallible>(())
    });
    (address, calls)
}

/// A scheduler's surroundings with one node of four CPUs, `a`.
struct World {
    tasks: Tasks,
    shared: Arc<Shared>,
    calls: mpsc::Receiver<Call>,
}

impl World {
    async fn new() -> Self {
        let tasks = Tasks::new("test");
        let (address, calls) = serve(&tasks).await;
        let url = format!("http://{address}").parse().expect("a URL");
        let mut config = kube::Config::new(url);
        config.root_cert = Some(Vec::new());
        config.default_retry = false;
        let client = kube::Client::try_from(config).expect("a client");
        let binder = Arc::new(DefaultBinder::new(client.clone()));
        let profile = Arc::new(default_profile(binder));
        let shared = Arc::new(Shared {
            recorder: Recorder::new(client.clone(), "test").0,
            client,
            queue: Queue::new(profile.clone()),
            profile,
            cache: Arc::default(),
        });
        shared.cache.lock().set_node(node("a", "4"));
        Self {
            tasks,
            shared,
            calls,
        }
    }

    /// Places a pod as the informer would.
    fn running(&self, pod: &PodInfo) -> Arc<PodInfo> {
        let mut object = (*pod.pod).clone();
        object.spec.as_mut().expect("a spec").node_name = Some("a".to_owned());
        let pod = Arc::new(PodInfo::new(Arc::new(object)));
        self.shared.cache.lock().set_pod(pod.clone());
        pod
    }

    async fn pop(&self) -> Popped {
        let popped = tokio::time::timeout(SOON, self.shared.queue.pop());
        popped.await.expect("a pod in the queue")
    }

    async fn call(&mut self, want: &str) -> Call {
        let call = tokio::time::timeout(SOON, self.calls.recv()).await;
        let call = call.expect("a request").expect("a server");
        assert_eq!(call.line, want);
        call
    }

    /// Starts to write what a cycle decided; the receiver hears of the end.
    fn act(&self, popped: Popped, work: Option<Work>, term: &Term) -> oneshot::Receiver<()> {
        let (shared, term) = (self.shared.clone(), term.clone());
        let (ended, end) = oneshot::channel();
        self.tasks.spawn_infallible("write", async move {
            act(&shared, &term, popped, work.expect("work")).await;
            let _ = ended.send(());
        });
        end
    }

    fn nominated(&self, pod: &PodInfo) -> Option<String> {
        let cache = self.shared.cache.lock();
        cache.nominated.node_of(&pod.uid).map(str::to_owned)
    }
}

#[tokio::test]
async fn the_next_pod_finds_the_freed_node_kept() {
    let world = World::new().await;
    world.running(&important("low", "4", 1));
    let (first, second) = (important("first", "3", 10), important("second", "3", 5));
    world.shared.queue.set(first.clone());
    world.shared.queue.set(second.clone());
    let mut scheduler = Scheduler::new(world.shared.clone());
    // Nothing is acted on between the cycles: the nomination must be part of the first.
    let popped = world.pop().await;
    assert!(matches!(scheduler.cycle(&popped), Some(Work::Refused(_))));
    assert_eq!(world.nominated(&first).as_deref(), Some("a"));
    let popped = world.pop().await;
    assert_eq!(popped.pod.name, "second");
    assert!(matches!(scheduler.cycle(&popped), Some(Work::Refused(_))));
    assert_eq!(world.nominated(&second), None);
}

#[tokio::test]
async fn no_node_is_kept_for_a_pod_that_went_away_in_its_cycle() {
    let world = World::new().await;
    world.running(&important("low", "4", 1));
    let pod = important("p", "3", 10);
    world.shared.queue.set(pod.clone());
    let popped = world.pop().await;
    world.shared.queue.remove(&pod.uid);
    assert!(
        Scheduler::new(world.shared.clone())
            .cycle(&popped)
            .is_some()
    );
    assert_eq!(world.nominated(&pod), None);
}

#[tokio::test]
async fn a_pod_is_not_tried_while_its_victims_are_asked_to_go() {
    let mut world = World::new().await;
    // The more important of the victims is asked first.
    let first = world.running(&important("v1", "2", 2));
    world.running(&important("v2", "2", 1));
    let pod = important("p", "4", 10);
    world.shared.queue.set(pod.clone());
    let popped = world.pop().await;
    let work = Scheduler::new(world.shared.clone()).cycle(&popped);
    let end = world.act(popped, work, &Term::until(CancellationToken::new()));
    let pods = "/api/v1/namespaces/default/pods";
    for line in [
        format!("PATCH {pods}/p/status"),
        format!("PATCH {pods}/v1/status"),
        format!("DELETE {pods}/v1"),
    ] {
        let call = world.call(&line).await;
        call.answer.send(()).expect("the client waits");
    }
    let held = world.call(&format!("PATCH {pods}/v2/status")).await;
    // The first victim is gone at once, which wakes pods; this one would choose victims again.
    world.shared.cache.lock().remove_pod(&first.uid);
    world
        .shared
        .queue
        .cluster_changed(EventSet::ASSIGNED_POD_DELETE);
    assert!(
        world.shared.queue.is_in_flight(&pod.uid),
        "tried while its preemption is under way"
    );
    held.answer.send(()).expect("the client waits");
    let last = world.call(&format!("DELETE {pods}/v2")).await;
    last.answer.send(()).expect("the client waits");
    end.await.expect("the end of the preemption");
    // What happened meanwhile is not lost: the pod is tried again after its backoff of a second.
    let again = tokio::time::timeout(2 * SOON, world.shared.queue.pop()).await;
    assert_eq!(again.expect("the pod").pod.name, "p");
    assert!(world.tasks.shutdown(SOON).await);
}

#[tokio::test]
async fn a_preemption_that_fails_spares_the_others_and_is_tried_again() {
    let mut world = World::new().await;
    world.running(&important("v1", "2", 2));
    world.running(&important("v2", "2", 1));
    world.shared.queue.set(important("p", "4", 10));
    let popped = world.pop().await;
    let work = Scheduler::new(world.shared.clone()).cycle(&popped);
    let end = world.act(popped, work, &Term::until(CancellationToken::new()));
    let pods = "/api/v1/namespaces/default/pods";
    let note = world.call(&format!("PATCH {pods}/p/status")).await;
    note.answer.send(()).expect("the client waits");
    // No answer: the connection is closed.
    drop(world.call(&format!("PATCH {pods}/v1/status")).await);
    end.await.expect("the end of the preemption");
    // Nothing changes in the cluster, and still the pod is not left to its five minutes.
    let again = tokio::time::timeout(2 * SOON, world.shared.queue.pop()).await;
    assert_eq!(again.expect("the pod").pod.name, "p");
    assert!(world.calls.try_recv().is_err(), "the other was not spared");
    assert!(world.tasks.shutdown(SOON).await);
}

#[tokio::test]
async fn nothing_is_written_after_the_term() {
    let mut world = World::new().await;
    world.running(&important("low", "4", 1));
    let pod = important("p", "4", 10);
    world.shared.queue.set(pod.clone());
    let term = CancellationToken::new();
    let scheduler = Scheduler::new(world.shared.clone());
    let (ended, end) = oneshot::channel();
    let run = scheduler.run(term.clone());
    world.tasks.spawn_infallible("scheduler", async move {
        run.await;
        let _ = ended.send(());
    });
    let pods = "/api/v1/namespaces/default/pods";
    let note = world.call(&format!("PATCH {pods}/p/status")).await;
    term.cancel();
    let end = tokio::time::timeout(SOON, end).await;
    // Too late an answer: a task of the term that still ran would go on to the victim.
    let _ = note.answer.send(());
    assert!(end.is_ok(), "writes outlast the term");
    assert!(!world.shared.queue.is_in_flight(&pod.uid));
    let more = tokio::time::timeout(SOON / 4, world.calls.recv()).await;
    assert!(more.is_err(), "a write after the term");
    assert!(world.tasks.shutdown(SOON).await);
}

#[tokio::test]
async fn a_binding_cut_off_by_the_end_of_the_term_is_undone() {
    let mut world = World::new().await;
    let pod = important("p", "1", 0);
    world.shared.queue.set(pod.clone());
    let term = CancellationToken::new();
    let popped = world.pop().await;
    let work = Scheduler::new(world.shared.clone()).cycle(&popped);
    let end = world.act(popped, work, &Term::until(term.clone()));
    let _binding = world
        .call("POST /api/v1/namespaces/default/pods/p/binding")
        .await;
    assert!(world.shared.cache.lock().is_assumed(&pod.uid));
    term.cancel();
    let end = tokio::time::timeout(SOON, end).await;
    assert!(end.is_ok(), "the binding outlasts the term");
    assert!(!world.shared.cache.lock().is_assumed(&pod.uid));
    assert!(!world.shared.queue.is_in_flight(&pod.uid));
    assert!(world.shared.queue.get(&pod.uid).is_some());
    assert!(world.tasks.shutdown(SOON).await);
}
