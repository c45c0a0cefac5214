//! A broker: offsets, streams of records, acknowledgements, appends.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use fluvio_future::task::spawn;
use fluvio_protocol::api::{Request, RequestHeader, RequestKind, RequestMessage, ResponseMessage};
use fluvio_protocol::link::ErrorCode;
use fluvio_protocol::link::versions::{ApiVersionKey, ApiVersionsRequest, ApiVersionsResponse};
use fluvio_protocol::{Decoder, Encoder};
use fluvio_socket::{ExclusiveFlvSink, FluvioSocket};
use fluvio_spu_schema::fetch::{
    FetchRequest, FetchResponse, FetchablePartitionResponse, FetchableTopicResponse,
};
use fluvio_spu_schema::produce::{
    DefaultProduceRequest, PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use fluvio_spu_schema::server::SpuServerApiKey;
use fluvio_spu_schema::server::fetch_offset::{
    FetchOffsetPartitionResponse, FetchOffsetTopicResponse, FetchOffsetsRequest,
    FetchOffsetsResponse,
};
use fluvio_spu_schema::server::stream_fetch::{DefaultStreamFetchRequest, StreamFetchResponse};
use fluvio_spu_schema::server::update_offset::{
    OffsetUpdateStatus, UpdateOffsetsRequest, UpdateOffsetsResponse,
};
use futures_util::{AsyncWriteExt, StreamExt};
use tokio::sync::watch;

use super::{BrokerId, Fault, Partition, Shared};

/// How often offsets are asked for while replicas are late, before the last time.
const LATE: u32 = 3;

/// Encoded batches as they lie in a log, the last of them maybe cut.
#[derive(Debug, Default)]
struct Slice(Bytes);

impl Encoder for Slice {
    fn write_size(&self, _version: i16) -> usize {
        4 + self.0.len()
    }

    fn encode<T: BufMut>(&self, to: &mut T, version: i16) -> std::io::Result<()> {
        (self.0.len() as i32).encode(to, version)?;
        to.put_slice(&self.0);
        Ok(())
    }
}

impl Decoder for Slice {
    fn decode<T: Buf>(&mut self, from: &mut T, version: i16) -> std::io::Result<()> {
        let length = i32::decode_from(from, version)? as usize;
        self.0 = from.copy_to_bytes(length);
        Ok(())
    }
}

/// One connection.
struct Connection {
    sink: ExclusiveFlvSink,
    shared: Arc<Shared>,
    id: BrokerId,
    /// The last acknowledged offset of each stream.
    streams: HashMap<u32, watch::Sender<i64>>,
}

pub(super) async fn serve(socket: FluvioSocket, shared: Arc<Shared>, id: BrokerId) {
    let (sink, mut stream) = socket.split();
    let mut connection = Connection { sink: sink.as_shared(), shared, id, streams: HashMap::new() };
    while let Some(Ok(frame)) = stream.get_mut_tcp_stream().next().await {
        let mut request = Cursor::new(frame.freeze());
        let header = RequestHeader::decode_from(&mut request, 0).unwrap();
        if !connection.answer(&header, request).await {
            return;
        }
    }
}

impl Connection {
    /// Answers a request; `false` where it does not.
    async fn answer(&mut self, header: &RequestHeader, mut request: Cursor<Bytes>) -> bool {
        let version = header.api_version();
        let is = |key: SpuServerApiKey| header.api_key() == key as u16;
        if is(SpuServerApiKey::ApiVersion) {
            self.reply::<ApiVersionsRequest>(header, versions()).await;
        } else if is(SpuServerApiKey::FetchOffsets) {
            let asked = FetchOffsetsRequest::decode_from(&mut request, version).unwrap();
            let answer = self.offsets(&asked);
            self.reply::<FetchOffsetsRequest>(header, answer).await;
        } else if header.api_key() == FetchRequest::<Slice>::API_KEY {
            let asked = FetchRequest::<Slice>::decode_from(&mut request, version).unwrap();
            let answer = self.fetch(&asked);
            self.reply::<FetchRequest<Slice>>(header, answer).await;
        } else if is(SpuServerApiKey::StreamFetch) {
            let asked = DefaultStreamFetchRequest::decode_from(&mut request, version).unwrap();
            let id = self.streams.len() as u32 + 1;
            let (sender, acknowledged) = watch::channel(-1);
            self.streams.insert(id, sender);
            let stream = Stream {
                sink: self.sink.clone(),
                shared: Arc::clone(&self.shared),
                broker: self.id,
                header: header.clone(),
                id,
                asked,
            };
            spawn(stream.run(acknowledged));
        } else if is(SpuServerApiKey::UpdateOffsets) {
            let told = UpdateOffsetsRequest::decode_from(&mut request, version).unwrap();
            let status = told.offsets.iter().map(|update| {
                let stream = self.streams.get(&update.session_id);
                let error = match stream.map(|stream| stream.send(update.offset)) {
                    Some(_) => ErrorCode::None,
                    None => ErrorCode::FetchSessionNotFoud,
                };
                OffsetUpdateStatus { session_id: update.session_id, error }
            });
            let answer = UpdateOffsetsResponse { status: status.collect() };
            self.reply::<UpdateOffsetsRequest>(header, answer).await;
        } else if is(SpuServerApiKey::Produce) {
            let asked = DefaultProduceRequest::decode_from(&mut request, version).unwrap();
            let Some(answer) = self.produce(asked) else { return false };
            self.reply::<DefaultProduceRequest>(header, answer).await;
        } else {
            return false;
        }
        true
    }

    fn offsets(&self, asked: &FetchOffsetsRequest) -> FetchOffsetsResponse {
        let mut state = self.shared.state();
        let mut topics = Vec::new();
        for topic in &asked.topics {
            let mut partitions = Vec::new();
            for partition in &topic.partitions {
                let index = partition.partition_index;
                let mut answer = FetchOffsetPartitionResponse {
                    partition_index: index,
                    ..FetchOffsetPartitionResponse::default()
                };
                let held = state.topics.get_mut(&topic.name);
                let held = held.and_then(|all| all.get_mut(index as usize));
                match held.filter(|held| held.leader == self.id) {
                    Some(Partition { log, lacking, .. }) => {
                        let end = lacking.map_or(log.end, |(end, _)| end);
                        (answer.start_offset, answer.last_stable_offset) = (log.start, end);
                        *lacking =
                            lacking.and_then(|(end, times)| Some((end, times.checked_sub(1)?)));
                    }
                    None => {
                        answer.error_code = ErrorCode::PartitionNotLeader;
                        state.misled += 1;
                    }
                }
                partitions.push(answer);
            }
            topics.push(FetchOffsetTopicResponse { name: topic.name.clone(), partitions });
        }
        FetchOffsetsResponse { topics }
    }

    /// What a log holds, whether replicas have it or not.
    fn fetch(&self, asked: &FetchRequest<Slice>) -> FetchResponse<Slice> {
        let state = self.shared.state();
        let mut topics = Vec::new();
        for topic in &asked.topics {
            let mut partitions = Vec::new();
            for partition in &topic.fetch_partitions {
                let index = partition.partition_index;
                let mut answer = FetchablePartitionResponse {
                    partition_index: index,
                    ..FetchablePartitionResponse::default()
                };
                let held = state.topics.get(&topic.name).and_then(|all| all.get(index as usize));
                match held.filter(|held| held.leader == self.id) {
                    None => answer.error_code = ErrorCode::NotLeaderForPartition,
                    Some(held) => {
                        match held.log.slice(partition.fetch_offset, partition.max_bytes as usize) {
                            Ok((bytes, _)) => answer.records = Slice(bytes),
                            Err(code) => answer.error_code = code,
                        }
                    }
                }
                partitions.push(answer);
            }
            let name = topic.name.clone();
            topics.push(FetchableTopicResponse { name, partitions, ..Default::default() });
        }
        FetchResponse { topics, ..FetchResponse::default() }
    }

    /// Appends; none when the answer is to be lost.
    fn produce(&self, asked: DefaultProduceRequest) -> Option<ProduceResponse> {
        let mut state = self.shared.state();
        let unwilling = state.faults.unwilling;
        let late = state.faults.unreplicated > 0;
        state.faults.unreplicated = state.faults.unreplicated.saturating_sub(1);
        let mut responses = Vec::new();
        for topic in asked.topics {
            let mut partitions = Vec::new();
            for data in topic.partitions {
                let mut answer = PartitionProduceResponse {
                    partition_index: data.partition_index,
                    ..PartitionProduceResponse::default()
                };
                let held = state.topics.get_mut(&topic.name);
                let held = held.and_then(|all| all.get_mut(data.partition_index as usize));
                let willing = !unwilling;
                match held.filter(|held| willing && held.leader == self.id) {
                    None => answer.error_code = ErrorCode::NotLeaderForPartition,
                    Some(held) => {
                        answer.base_offset = held.log.end;
                        if late {
                            let (end, _) = held.lacking.unwrap_or((held.log.end, 0));
                            held.lacking = Some((end, LATE));
                            let (kind, timeout_ms) = (RequestKind::Produce, 10_000);
                            answer.error_code = ErrorCode::RequestTimedOut { timeout_ms, kind };
                        }
                        for batch in data.records.batches {
                            held.log.append(batch);
                        }
                    }
                }
                partitions.push(answer);
            }
            responses.push(TopicProduceResponse { name: topic.name, partitions });
        }
        self.shared.appended.send_modify(|appends| *appends += 1);
        if state.faults.unanswered > 0 {
            state.faults.unanswered -= 1;
            state.restart(self.id, 1);
            return None;
        }
        Some(ProduceResponse { responses, ..ProduceResponse::default() })
    }

    async fn reply<R: Request>(&self, header: &RequestHeader, response: R::Response) {
        let message = RequestMessage::<R>::response_with_header(header, response);
        let mut sink = self.sink.lock().await;
        // Who has asked may be gone.
        let _gone = sink.send_response(&message, header.api_version()).await;
    }
}

fn versions() -> ApiVersionsResponse {
    fn key<R: Request>(min: i16) -> ApiVersionKey {
        let (api_key, max_version) = (R::API_KEY as i16, R::MAX_API_VERSION);
        ApiVersionKey { api_key, min_version: min, max_version }
    }
    ApiVersionsResponse {
        api_keys: vec![
            key::<DefaultProduceRequest>(0),
            key::<FetchOffsetsRequest>(FetchOffsetsRequest::DEFAULT_API_VERSION),
            key::<FetchRequest<Slice>>(0),
            key::<DefaultStreamFetchRequest>(0),
            key::<UpdateOffsetsRequest>(0),
        ],
        ..ApiVersionsResponse::default()
    }
}

/// One stream of responses.
struct Stream {
    sink: ExclusiveFlvSink,
    shared: Arc<Shared>,
    broker: BrokerId,
    header: RequestHeader,
    id: u32,
    asked: DefaultStreamFetchRequest,
}

/// What a stream does next.
enum Next {
    Send(Bytes, Option<Fault>),
    Refuse(ErrorCode),
    Wait,
}

impl Stream {
    async fn run(self, mut acknowledged: watch::Receiver<i64>) {
        let mut appended = self.shared.appended.subscribe();
        // Where the consumer stands; unknown from a response to its acknowledgement.
        let mut at = Some(self.asked.fetch_offset);
        loop {
            match at.map_or(Next::Wait, |from| self.next(from)) {
                Next::Refuse(code) => {
                    self.send(Slice::default(), code, false).await;
                    return;
                }
                Next::Send(bytes, fault) => {
                    let whole = fault != Some(Fault::BreakOff);
                    if !self.send(Slice(bytes), ErrorCode::None, !whole).await {
                        return;
                    }
                    if fault == Some(Fault::Silence) {
                        return;
                    }
                    self.strike(fault);
                    at = None;
                }
                Next::Wait => tokio::select! {
                    told = acknowledged.changed() => match told {
                        Ok(()) => at = Some(*acknowledged.borrow_and_update()),
                        // The connection is gone.
                        Err(_) => return,
                    },
                    news = appended.changed() => if news.is_err() { return },
                },
            }
        }
    }

    fn next(&self, from: i64) -> Next {
        let mut state = self.shared.state();
        let held = state.topics.get(&self.asked.topic);
        let held = held.and_then(|all| all.get(self.asked.partition as usize));
        let Some(held) = held.filter(|held| held.leader == self.broker) else {
            state.misled += 1;
            return Next::Refuse(ErrorCode::NotLeaderForPartition);
        };
        match held.log.slice(from, self.asked.max_bytes as usize) {
            Err(code) => Next::Refuse(code),
            Ok((bytes, _)) if bytes.is_empty() => Next::Wait,
            Ok((bytes, cut)) => {
                state.cut += u64::from(cut);
                let fault = state.strike();
                Next::Send(bytes, fault)
            }
        }
    }

    /// Sends a response, or its first half; `false` when nobody takes it.
    async fn send(&self, records: Slice, error_code: ErrorCode, half: bool) -> bool {
        let partition = FetchablePartitionResponse {
            partition_index: self.asked.partition,
            error_code,
            records,
            ..FetchablePartitionResponse::default()
        };
        let topic = self.asked.topic.clone();
        let response = StreamFetchResponse { topic, stream_id: self.id, partition };
        let message = ResponseMessage::from_header(&self.header, response);
        let version = self.header.api_version();
        let mut sink = self.sink.lock().await;
        if !half {
            return sink.send_response(&message, version).await.is_ok();
        }
        let mut frame = Vec::new();
        (message.write_size(version) as i32).encode(&mut frame, version).unwrap();
        message.encode(&mut frame, version).unwrap();
        frame.truncate(frame.len() / 2);
        let connection = sink.get_mut_tcp_sink().get_mut().get_mut();
        connection.write_all(&frame).await.is_ok() && connection.flush().await.is_ok()
    }

    fn strike(&self, fault: Option<Fault>) {
        let mut state = self.shared.state();
        match fault {
            None | Some(Fault::Silence) => {}
            Some(Fault::Disconnect | Fault::BreakOff) => state.restart(self.broker, 0),
            Some(Fault::Restart) => state.restart(self.broker, 2),
            Some(Fault::Move) => {
                let topic = state.topics.get_mut(&self.asked.topic).unwrap();
                let partition = &mut topic[self.asked.partition as usize];
                partition.leader = 1 - self.broker;
                partition.stale = 2;
                state.restart(self.broker, 0);
            }
        }
    }
}
