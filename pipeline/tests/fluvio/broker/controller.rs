//! The controller: lists partitions and brokers, and makes topics.

use std::io::Cursor;

use fluvio_protocol::api::{Request, RequestHeader, RequestMessage};
use fluvio_protocol::link::versions::{ApiVersionKey, ApiVersionsRequest, ApiVersionsResponse};
use fluvio_protocol::{Decoder, Encoder};
use fluvio_sc_schema::objects::{
    CreateRequest, ListRequest, ListResponse, Metadata, ObjectApiCreateRequest,
    ObjectApiListRequest, ObjectApiListResponse,
};
use fluvio_sc_schema::partition::PartitionSpec;
use fluvio_sc_schema::spu::SpuSpec;
use fluvio_sc_schema::topic::TopicSpec;
use fluvio_sc_schema::{AdminPublicApiKey, AdminSpec, Status, TryEncodableFrom};
use fluvio_socket::{FluvioSink, FluvioSocket};
use futures_util::StreamExt;

use super::{Partition, Shared};

/// A broker's number as the cluster knows it.
const FIRST_ID: i32 = 5001;

pub(super) async fn serve(socket: FluvioSocket, shared: &Shared) {
    let (mut sink, mut stream) = socket.split();
    while let Some(Ok(frame)) = stream.get_mut_tcp_stream().next().await {
        let mut request = Cursor::new(frame.freeze());
        let header = RequestHeader::decode_from(&mut request, 0).unwrap();
        if header.api_key() == AdminPublicApiKey::ApiVersion as u16 {
            versions(&mut sink, &header).await;
        } else if header.api_key() == AdminPublicApiKey::List as u16 {
            let asked =
                ObjectApiListRequest::decode_from(&mut request, header.api_version()).unwrap();
            let answer = list(&asked, shared, header.api_version());
            reply::<ObjectApiListRequest>(&mut sink, &header, answer).await;
        } else if header.api_key() == AdminPublicApiKey::Create as u16 {
            let asked =
                ObjectApiCreateRequest::decode_from(&mut request, header.api_version()).unwrap();
            let asked: CreateRequest<TopicSpec> = asked.downcast().unwrap().unwrap();
            let (common, topic) = asked.parts();
            let partitions = (0..topic.partitions())
                .map(|number| Partition { leader: number as usize % 2, ..Partition::default() });
            shared.state().topics.insert(common.name.clone(), partitions.collect());
            let made = Status { name: common.name, ..Status::default() };
            reply::<ObjectApiCreateRequest>(&mut sink, &header, made).await;
        } else {
            return;
        }
    }
}

async fn versions(sink: &mut FluvioSink, header: &RequestHeader) {
    let key = |key: AdminPublicApiKey, min: i16, max: i16| ApiVersionKey {
        api_key: key as i16,
        min_version: min,
        max_version: max,
    };
    let list = (ObjectApiListRequest::MIN_API_VERSION, ObjectApiListRequest::MAX_API_VERSION);
    let create = (ObjectApiCreateRequest::MIN_API_VERSION, ObjectApiCreateRequest::MAX_API_VERSION);
    let response = ApiVersionsResponse {
        api_keys: vec![
            key(AdminPublicApiKey::List, list.0, list.1),
            key(AdminPublicApiKey::Create, create.0, create.1),
        ],
        ..ApiVersionsResponse::default()
    };
    reply::<ApiVersionsRequest>(sink, header, response).await;
}

fn list(asked: &ObjectApiListRequest, shared: &Shared, version: i16) -> ObjectApiListResponse {
    let mut state = shared.state();
    let partitions: Result<Option<ListRequest<PartitionSpec>>, _> = asked.downcast();
    if partitions.unwrap().is_some() {
        let mut found = Vec::new();
        for (topic, partitions) in &mut state.topics {
            for (number, partition) in partitions.iter_mut().enumerate() {
                let mut named = partition.leader;
                if partition.stale > 0 {
                    partition.stale -= 1;
                    named = 1 - named;
                }
                let spec =
                    PartitionSpec::new(FIRST_ID + named as i32, vec![FIRST_ID, FIRST_ID + 1]);
                found.push(entry(format!("{topic}-{number}"), spec));
            }
        }
        return encode(found, version);
    }
    let brokers: Result<Option<ListRequest<SpuSpec>>, _> = asked.downcast();
    assert!(brokers.unwrap().is_some(), "only partitions and brokers are listed");
    let brokers = state.brokers.iter().zip(FIRST_ID..).map(|(broker, id)| {
        let spec = SpuSpec::new_public_addr(id, broker.port, "127.0.0.1".to_owned());
        entry(format!("custom-spu-{id}"), spec)
    });
    encode(brokers.collect(), version)
}

fn entry<S>(name: String, spec: S) -> Metadata<S>
where
    S: AdminSpec,
    S::Status: Encoder + Decoder,
{
    Metadata { name, spec, status: S::Status::default() }
}

fn encode<S>(found: Vec<Metadata<S>>, version: i16) -> ObjectApiListResponse
where
    S: AdminSpec,
    S::Status: Encoder + Decoder + std::fmt::Debug,
{
    ObjectApiListResponse::try_encode_from(ListResponse::new(found), version).unwrap()
}

async fn reply<R: Request>(sink: &mut FluvioSink, header: &RequestHeader, response: R::Response) {
    let message = RequestMessage::<R>::response_with_header(header, response);
    // Who has asked may be gone.
    let _gone = sink.send_response(&message, header.api_version()).await;
}
