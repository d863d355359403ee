//! Carries a build out: context up, output down, one connection.

use std::time::Instant;

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::{Method, Request, header};

use super::{
    ImageContext, ImageId,
    builder::Builder,
    context::{self, Sent, Upload},
    error::ImageError,
    prepare,
    progress::BuildLog,
    request::{BuildRequest, Dockerfile, SecretSource, Source},
    session::Session,
    wire::{self, Body},
};
use crate::{engine::Engine, report::Event};

/// Longest message of the build stream, in bytes; BuildKit batches log output into single messages.
const MAX_MESSAGE: usize = 32 * 1024 * 1024;
/// Builds an image and returns its ID.
///
/// Cancelling, and exceeding the timeout, stop the build on the engine: the connection is dropped.
pub async fn build(engine: &Engine, request: &BuildRequest, cx: &ImageContext<'_>) -> Result<ImageId, ImageError> {
    let what = || format!("build of {}", request.service);
    let (builder, reason) = request.choose(cx.builder, engine.version())?;
    let masked = Masked::new(request);
    let said = match reason {
        Some(reason) => format!("building {} with {builder}: {reason}", request.service),
        None => format!("building {} with {builder}", request.service),
    };
    cx.reporter.info(said);
    let started = Instant::now();
    let id = random_id().map_err(|message| ImageError::Engine { what: what(), message })?;
    let work = run(engine, request, builder, &id, &masked, cx);
    let done = tokio::select! {
        biased;
        () = cx.cancel.cancelled() => Err(ImageError::Cancelled { what: what() }),
        done = tokio::time::timeout(cx.build_timeout, work) => {
            done.unwrap_or_else(|_| Err(ImageError::TooSlow { what: what(), limit: cx.build_timeout }))
        }
    };
    if matches!(done, Err(ImageError::Cancelled { .. } | ImageError::TooSlow { .. })) && builder == Builder::BuildKit {
        cancel_on_engine(engine, &id).await;
    }
    let image = done?;
    cx.reporter.info(format!("built {} in {:.1} s: {}", request.service, started.elapsed().as_secs_f64(), image.0));
    Ok(image)
}

/// What feeds a build while it runs.
enum Feed {
    /// A tar stream in the request.
    Upload(Upload),
    /// A session beside the request.
    Session(Session),
    /// The engine fetches the context itself.
    Nothing,
}

impl Feed {
    async fn finish(self) -> Result<Sent, ImageError> {
        match self {
            Self::Upload(upload) => upload.finish().await,
            Self::Session(session) => session.finish(),
            Self::Nothing => Ok(Sent::default()),
        }
    }
}

async fn run(
    engine: &Engine,
    request: &BuildRequest,
    builder: Builder,
    id: &str,
    masked: &Masked,
    cx: &ImageContext<'_>,
) -> Result<ImageId, ImageError> {
    let what = || format!("build of {}", request.service);
    let failed = |message: String| ImageError::Engine { what: what(), message };
    let mut query = Query::new(request, builder).map_err(failed)?;
    let mut body = wire::empty();
    let feed = match builder {
        Builder::BuildKit => {
            let offer = prepare::session(request, cx).await?;
            query.add("remote", remote_of(request));
            query.add("dockerfile", &offer.dockerfile);
            query.add("session", id);
            query.add("buildid", id);
            Feed::Session(Session::open(engine, id, offer.offer).await?)
        }
        Builder::Classic => match &request.source {
            Source::Remote(address) => {
                query.add("remote", address);
                if let Dockerfile::Inside(path) = &request.dockerfile {
                    query.add("dockerfile", path);
                }
                Feed::Nothing
            }
            Source::Directory(_) => {
                let (plan, dockerfile) = prepare::tar(request).await?;
                query.add("dockerfile", &dockerfile);
                let stream = context::stream(plan);
                body = wire::streamed(stream.chunks);
                Feed::Upload(stream.upload)
            }
        },
    };
    let mut http = Request::builder()
        .method(Method::POST)
        .uri(format!("/v{}/build?{}", engine.version(), query.text()))
        .header(header::HOST, "docker")
        .header(header::CONTENT_TYPE, "application/x-tar");
    if builder == Builder::Classic {
        let (config, problems) = cx.credentials.registry_config().await?;
        for problem in problems {
            cx.reporter.warn(problem);
        }
        if let Some(config) = config {
            http = http.header("X-Registry-Config", config);
        }
    }
    let http: Request<Body> = http.body(body).map_err(|error| failed(error.to_string()))?;

    let answer = match wire::send(engine.endpoint(), http).await {
        Ok(answer) => answer,
        Err(source) => {
            // A file that could not be read breaks the upload off; that is the cause then, not the connection.
            feed.finish().await?;
            return Err(ImageError::Connection { what: what(), address: engine.endpoint().to_string(), source });
        }
    };
    let mut log = BuildLog::default();
    if !answer.response.status().is_success() {
        log.error = Some(wire::error_message(answer.response).await);
    } else {
        let _connection = answer.connection;
        if let Err(problem) = follow(answer.response.into_body(), &mut log, request, masked, cx).await {
            log.error.get_or_insert(problem);
        }
    }
    match (log.error.take(), feed.finish().await) {
        // The context's own error first: the engine's is only its consequence.
        (Some(_), Err(error)) | (None, Err(error @ ImageError::Context { .. })) => Err(error),
        (None, Err(error)) => {
            // For instance a credential helper that failed for a registry that asked for none.
            cx.reporter.warn(error.to_string());
            image_id(engine, request, log.image).await
        }
        (Some(message), Ok(_)) => Err(ImageError::Build {
            service: request.service.clone(),
            step: log.failing_step().map(|step| masked.text(step)),
            message: masked.text(message.trim().to_owned()),
            tail: log.tail().into_iter().map(|line| masked.text(line)).collect(),
        }),
        (None, Ok(sent)) => {
            for note in sent.notes {
                cx.reporter.warn(format!("build context of {}: {note}", request.service));
            }
            image_id(engine, request, log.image).await
        }
    }
}

/// What BuildKit is told of the context's place: in the session, or at an address.
fn remote_of(request: &BuildRequest) -> &str {
    match &request.source {
        Source::Remote(address) => address,
        Source::Directory(_) => "client-session",
    }
}

/// Reads the answer to its end.
async fn follow(
    mut body: hyper::body::Incoming,
    log: &mut BuildLog,
    request: &BuildRequest,
    masked: &Masked,
    cx: &ImageContext<'_>,
) -> Result<(), String> {
    let source = format!("build {}", request.service);
    let show = |lines: Vec<String>| {
        for line in lines {
            cx.reporter.report(Event::Output { source: source.clone(), line: masked.text(line) });
        }
    };
    let mut buffer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the connection to the engine broke during the build: {error}"))?;
        let Ok(data) = frame.into_data() else { continue };
        buffer.extend_from_slice(&data);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let message = buffer.split_to(end + 1);
            if !message.trim_ascii().is_empty() {
                show(log.take(&message)?);
            }
        }
        if buffer.len() > MAX_MESSAGE {
            return Err(format!("the engine sent a message of more than {MAX_MESSAGE} bytes"));
        }
    }
    if !buffer.trim_ascii().is_empty() {
        show(log.take(&buffer)?);
    }
    show(log.finish());
    Ok(())
}

async fn image_id(engine: &Engine, request: &BuildRequest, told: Option<String>) -> Result<ImageId, ImageError> {
    if let Some(id) = told {
        return Ok(ImageId(id));
    }
    let what = || format!("finding the image built for {}", request.service);
    let tag = request.tags.first().map(String::as_str).unwrap_or_default();
    let image = engine
        .docker()
        .inspect_image(tag)
        .await
        .map_err(|error| ImageError::Engine { what: what(), message: error.to_string() })?;
    image.id.map(ImageId).ok_or_else(|| ImageError::Engine { what: what(), message: "the image has no ID".into() })
}

/// Best effort: hanging up has told the engine already.
async fn cancel_on_engine(engine: &Engine, id: &str) {
    let uri = format!("/v{}/build/cancel?id={id}", engine.version());
    let request = Request::builder().method(Method::POST).uri(uri).header(header::HOST, "docker").body(wire::empty());
    if let Ok(request) = request {
        let limit = std::time::Duration::from_secs(5);
        let _ = tokio::time::timeout(limit, wire::send(engine.endpoint(), request)).await;
    }
}

/// The query of `POST /build`.
struct Query(Vec<(String, String)>);

impl Query {
    fn new(request: &BuildRequest, builder: Builder) -> Result<Self, String> {
        fn json<T: serde::Serialize>(value: &T) -> Result<String, String> {
            serde_json::to_string(value).map_err(|error| error.to_string())
        }
        let mut query = Self(Vec::new());
        query.add("version", if builder == Builder::BuildKit { "2" } else { "1" });
        for tag in &request.tags {
            query.add("t", tag);
        }
        query.add("buildargs", &json(&request.args)?);
        query.add("labels", &json(&request.labels_for(builder))?);
        query.add("rm", "1");
        query.add("forcerm", "1");
        query.add_if("target", &request.target);
        query.add_if("platform", &request.platform);
        query.add_if("networkmode", &request.network);
        if request.no_cache {
            query.add("nocache", "1");
        }
        if request.pull {
            query.add("pull", "1");
        }
        if request.shm_size > 0 {
            query.add("shmsize", &request.shm_size.to_string());
        }
        for line in &request.extra_hosts {
            query.add("extrahosts", line);
        }
        if !request.cache_from.is_empty() {
            query.add("cachefrom", &json(&request.cache_from)?);
        }
        if !request.ulimits.is_empty() {
            query.add("ulimits", &json(&request.ulimits)?);
        }
        Ok(query)
    }

    fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    fn add_if(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.add(name, value);
        }
    }

    fn text(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

/// Values that must not be shown: build secrets, and arguments whose names say that they are secret.
struct Masked(Vec<String>);

impl Masked {
    fn new(request: &BuildRequest) -> Self {
        const WORDS: &[&str] = &["TOKEN", "SECRET", "PASS", "KEY", "CREDENTIAL", "AUTH"];
        let secret = |name: &str| WORDS.iter().any(|word| name.to_uppercase().contains(word));
        // Shorter values would tear ordinary words apart and are no secrets worth the name.
        let mut values: Vec<_> =
            request.args.iter().filter(|(name, _)| secret(name)).map(|(_, value)| value.clone()).collect();
        for source in request.secrets.values() {
            if let SecretSource::Content(content) = source {
                values.extend(content.lines().map(str::to_owned));
            }
        }
        values.retain(|value| value.len() >= 4);
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(values)
    }

    fn text(&self, text: String) -> String {
        self.0.iter().fold(text, |text, value| if text.contains(value) { text.replace(value, "***") } else { text })
    }
}

fn random_id() -> Result<String, String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| format!("the system gives no random numbers: {error}"))?;
    Ok(hex::encode(bytes))
}
