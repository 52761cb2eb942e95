//! The Election service: of those who campaign for a name, one leads at a time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use proto_etcd::etcdserverpb::ResponseHeader;
use proto_etcd::mvccpb::{KeyValue, event::EventType};
use proto_etcd::v3electionpb::election_server::Election as Service;
use proto_etcd::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse,
};
use tonic::{Request, Response, Status};

use super::context::Context;
use super::gate::requires_leader;
use super::identity::Caller;
use super::queue::Queue;
use super::status::Error;
use crate::watch::{Item, WatchStream};

/// See the module.
pub(super) struct Election(pub(super) Arc<Context>);

impl Election {
    async fn campaign(
        &self,
        caller: Caller,
        request: CampaignRequest,
    ) -> Result<CampaignResponse, Error> {
        let queue = Queue::new(&self.0, caller, &request.name);
        let lease = queue.lease(request.lease).await?;
        let mut place = queue.enter(lease, request.value.clone()).await?;
        if place
            .found
            .as_ref()
            .is_some_and(|found| *found != request.value)
        {
            let replaced = queue.replace(&place.key, place.revision, lease, request.value);
            replaced.await?;
        }
        let won = place.wait().await?;
        // Either the key leads, or there is none to take out.
        place.keep();
        // etcd does not look at the key again and calls one whose lease has ended the leader. Whatever
        // such a leader then does is refused with these words.
        won.ok_or(Error::NotElected)?;
        Ok(CampaignResponse {
            header: Some(place.header),
            leader: Some(LeaderKey {
                name: request.name,
                key: place.key.clone(),
                rev: place.revision,
                lease,
            }),
        })
    }

    async fn proclaim(
        &self,
        caller: Caller,
        request: ProclaimRequest,
    ) -> Result<ProclaimResponse, Error> {
        let leader = request.leader.ok_or(Error::LeaderKeyMissing)?;
        let queue = Queue::new(&self.0, caller, &leader.name);
        let lease = queue.lease(leader.lease).await?;
        let replaced = queue.replace(&leader.key, leader.rev, lease, request.value);
        Ok(ProclaimResponse {
            header: Some(replaced.await?),
        })
    }

    /// etcd also grants a lease to who resigns without one, which serves nobody.
    async fn resign(
        &self,
        caller: Caller,
        request: ResignRequest,
    ) -> Result<ResignResponse, Error> {
        let leader = request.leader.ok_or(Error::LeaderKeyMissing)?;
        let queue = Queue::new(&self.0, caller, &leader.name);
        let header = queue.delete_made_at(&leader.key, leader.rev).await?;
        Ok(ResignResponse {
            header: Some(header),
        })
    }

    async fn leader(&self, caller: Caller, name: &[u8]) -> Result<LeaderResponse, Error> {
        let (header, kv) = Queue::new(&self.0, caller, name).first().await?;
        Ok(LeaderResponse {
            header: Some(header),
            kv: Some(kv.ok_or(Error::NobodyElected)?),
        })
    }
}

/// Answers as etcd does, whose own client leaves the code of an error out.
fn answer<T>(result: Result<T, Error>) -> Result<Response<T>, Status> {
    match result {
        Ok(response) => Ok(Response::new(response)),
        Err(error) => Err(error.through_client()),
    }
}

#[tonic::async_trait]
impl Service for Election {
    async fn campaign(
        &self,
        request: Request<CampaignRequest>,
    ) -> Result<Response<CampaignResponse>, Status> {
        let caller = Caller::of(&request);
        answer(Self::campaign(self, caller, request.into_inner()).await)
    }

    async fn proclaim(
        &self,
        request: Request<ProclaimRequest>,
    ) -> Result<Response<ProclaimResponse>, Status> {
        let caller = Caller::of(&request);
        answer(Self::proclaim(self, caller, request.into_inner()).await)
    }

    async fn leader(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<LeaderResponse>, Status> {
        let caller = Caller::of(&request);
        answer(Self::leader(self, caller, &request.into_inner().name).await)
    }

    type ObserveStream = Pin<Box<dyn Stream<Item = Result<LeaderResponse, Status>> + Send>>;

    async fn observe(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let requires_leader = requires_leader(&request.metadata().clone().into_headers());
        let caller = Caller::of(&request);
        let observer = Observer {
            queue: Queue::new(&self.0, caller, &request.into_inner().name),
            context: self.0.clone(),
            requires_leader,
            step: Step::Look,
            answers: VecDeque::new(),
        };
        let answers = futures::stream::unfold(Some(observer), |observer| async move {
            let mut observer = observer?;
            let answer = observer.next().await?;
            let rest = answer.is_ok().then_some(observer);
            Some((answer.map_err(Status::from), rest))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn resign(
        &self,
        request: Request<ResignRequest>,
    ) -> Result<Response<ResignResponse>, Status> {
        let caller = Caller::of(&request);
        answer(Self::resign(self, caller, request.into_inner()).await)
    }
}

/// One client's stream of leaders and of what they proclaim: in order, though not each of those that
/// came and went between two looks.
struct Observer {
    context: Arc<Context>,
    queue: Queue,
    requires_leader: bool,
    step: Step,
    /// Made from one item of the watch, and not asked for yet.
    answers: VecDeque<LeaderResponse>,
}

enum Step {
    /// Who leads?
    Look,
    /// Nobody; whose key comes first?
    Await(WatchStream),
    /// Somebody; until their key is gone.
    Follow(WatchStream),
}

impl Observer {
    /// None at the end, and for any fault on the way to the leader, which etcd does not tell either.
    async fn next(&mut self) -> Option<Result<LeaderResponse, Error>> {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return Some(Ok(answer));
            }
            let stream = match &mut self.step {
                Step::Look => {
                    self.look().await.ok()?;
                    continue;
                }
                Step::Await(stream) | Step::Follow(stream) => stream,
            };
            let mut leaderless = self.context.leaderless.clone();
            // Shutdown and the loss of the leader end the stream whatever waits.
            let item = tokio::select! { biased;
                () = self.context.stop.cancelled() => return Some(Err(Error::Stopped)),
                Ok(_) = leaderless.wait_for(|lost| *lost), if self.requires_leader => {
                    return Some(Err(Error::NoLeader));
                }
                item = stream.next() => item,
            };
            match item {
                Item::Events { events, .. } if matches!(self.step, Step::Await(_)) => {
                    let mut puts = events.into_iter().filter(|e| e.r#type() == EventType::Put);
                    if let Some(kv) = puts.find_map(|event| event.kv) {
                        // The key's own revision: later ones may have come with it.
                        let header = self.context.header_at(kv.mod_revision);
                        self.follow(header, kv).ok()?;
                    }
                }
                Item::Events {
                    events, revision, ..
                } => {
                    for event in events {
                        match (event.r#type(), event.kv) {
                            (EventType::Put, kv) => self.answers.push_back(LeaderResponse {
                                header: Some(self.context.header_at(revision)),
                                kv,
                            }),
                            (EventType::Delete, _) => {
                                self.step = Step::Look;
                                break;
                            }
                        }
                    }
                }
                Item::Progress { .. } => {}
                // Too far behind to be told everything: the newest is enough.
                Item::Compacted { .. } => self.step = Step::Look,
                Item::Closed => return None,
            }
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        let (header, kv) = self.queue.first().await?;
        match kv {
            Some(kv) => self.follow(header, kv),
            None => {
                self.step = Step::Await(self.queue.watch(None, header.revision)?);
                Ok(())
            }
        }
    }

    fn follow(&mut self, header: ResponseHeader, kv: KeyValue) -> Result<(), Error> {
        let key: Bytes = kv.key.clone();
        self.step = Step::Follow(self.queue.watch(Some(key), header.revision)?);
        self.answers.push_back(LeaderResponse {
            header: Some(header),
            kv: Some(kv),
        });
        Ok(())
    }
}
