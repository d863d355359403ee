//! Carries a build out: context up, output down, one connection.

use std::path::Path;

use aho_corasick::{AhoCorasick, MatchKind};
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::{Method, Request, header};
use tokio::time::Instant;
use turnout_buildkit::{
    Failure, OfferError, SecretSource, Sent, Session,
    solve::{self as api, Abilities},
};
use turnout_files::{self as files, Kind, Reach};
use turnout_report::{Event, with_sources};

use super::{
    builder::Builder,
    context::{self, Upload},
    error::ImageError,
    operation::{ImageContext, ImageId},
    prepare,
    progress::BuildLog,
    push,
    request::{BuildRequest, Dockerfile, Source},
    solve, turned,
    wire::{self, Body},
};
use crate::Engine;

/// Longest message of the build stream, in bytes; BuildKit batches log output into single messages.
const MAX_MESSAGE: usize = 32 * 1024 * 1024;
/// Builds an image and returns its ID.
///
/// Cancelling, and exceeding the timeout, stop the build on the engine: the connection is dropped.
pub async fn build(engine: &Engine, request: &BuildRequest, cx: &ImageContext<'_>) -> Result<ImageId, ImageError> {
    let what = || format!("build of {}", request.service);
    let (builder, reason) = request.choose(cx.builder, engine.version())?;
    let masked = Masked::new(request).await;
    for note in &request.notes {
        cx.reporter.warn(note.clone());
    }
    if builder == Builder::Classic {
        for cache in request.cache_from.iter().filter(|cache| cache.kind != "registry") {
            let note = format!("build.cache_from type={}: the classic builder reads images only; left out", cache.kind);
            tell(cx, request, vec![note]);
        }
    } else if cx.options.memory > 0 {
        cx.reporter.warn("--memory means nothing to BuildKit; built without a limit".to_owned());
    }
    let unusual = reason.is_some();
    let text = match reason {
        Some(reason) => format!("building {} with {builder}: {reason}", request.service),
        None => format!("building {} with {builder}", request.service),
    };
    cx.reporter.report(Event::Build { text, unusual });
    let started = Instant::now();
    let id = random_id().map_err(|message| ImageError::said(what(), message))?;
    let work = async {
        let image = run(engine, request, builder, &id, &masked, cx).await?;
        // As the real command line: what has no name of its own is built, but not pushed.
        if cx.options.push && request.named {
            push::push(engine, request, cx).await?;
        }
        Ok(image)
    };
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
    let text = format!("built {} in {:.1} s: {}", request.service, started.elapsed().as_secs_f64(), image.0);
    cx.reporter.report(Event::Build { text, unusual: false });
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
            Self::Upload(upload) => Ok(upload.finish().await?),
            Self::Session(session) => Ok(session.finish()?),
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
    let query = Query::new(request, builder, cx.options.memory);
    let mut query = query.map_err(|message| ImageError::said(what(), message))?;
    let mut body = wire::empty();
    let feed = match builder {
        Builder::Solve => return solved(engine, request, id, masked, cx).await,
        Builder::BuildKit => {
            let offered = prepare::session(request, cx).await?;
            tell(cx, request, offered.notes);
            query.add("remote", remote_of(request));
            query.add("dockerfile", &offered.places.dockerfile);
            query.add("session", id);
            query.add("buildid", id);
            Feed::Session(turned::session(engine, id, offered.offer).await?)
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
    let http: Request<Body> = http.body(body).map_err(|error| ImageError::of_call(what(), error.to_string(), error))?;

    let answer = match engine.send(http).await {
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
        match follow(answer.response.into_body(), &mut log, request, masked, cx).await {
            Ok(()) => {}
            Err(Cut::Said(problem)) => {
                log.error.get_or_insert(problem);
            }
            // What it said before it broke off is the cause.
            Err(Cut::Broken(message)) if log.error.is_none() => {
                return Err(ImageError::Broken { what: what(), message, source: None });
            }
            Err(Cut::Broken(_)) => {}
        }
    }
    finish(engine, request, log, feed, masked, cx).await
}

/// A build through BuildKit's own API.
async fn solved(
    engine: &Engine,
    request: &BuildRequest,
    id: &str,
    masked: &Masked,
    cx: &ImageContext<'_>,
) -> Result<ImageId, ImageError> {
    let failed = |failure: Failure| ImageError::of_channel(format!("build of {}", request.service), failure);
    let channel = turned::channel(engine, &format!("build of {}", request.service)).await?;
    let abilities = Abilities::of(&channel).await.map_err(failed)?;
    solve::refuse(request, &abilities)?;
    let offered = prepare::session(request, cx).await?;
    tell(cx, request, offered.notes);
    let build = solve::solve_of(request, &offered.places, &abilities)?;
    let session = turned::session(engine, id, offered.offer).await?;
    let mut log = BuildLog::default();
    let show = Show { request, masked, cx };
    let outcome = api::solve(&channel, id, &build, |status| show.lines(log.update(status))).await;
    show.lines(log.finish());
    match outcome {
        Ok(solved) => {
            prepare::record_caches(request, solved.answers.get("cache.manifest")).await?;
            log.image = solved.image();
        }
        Err(broken @ Failure::Broken { .. }) => return Err(failed(broken)),
        Err(Failure::Said(words)) => match solve::explain(request, &masked.text(words.clone())) {
            Some(error) => return Err(error),
            None => log.error = Some(api::plain(&words).to_owned()),
        },
    }
    finish(engine, request, log, Feed::Session(session), masked, cx).await
}

fn tell(cx: &ImageContext<'_>, request: &BuildRequest, notes: Vec<String>) {
    for note in notes {
        cx.reporter.warn(format!("service {}: {note}", request.service));
    }
}

/// What became of it: the image, or the first of the causes.
async fn finish(
    engine: &Engine,
    request: &BuildRequest,
    mut log: BuildLog,
    feed: Feed,
    masked: &Masked,
    cx: &ImageContext<'_>,
) -> Result<ImageId, ImageError> {
    let outcome = (log.error.take(), feed.finish().await);
    if outcome.0.is_none() {
        let caches = log.lost_caches().map(|why| format!("build.cache_from: {}", masked.text(why.to_owned())));
        tell(cx, request, caches.collect());
    }
    match outcome {
        // The context's own error first: the engine's is only its consequence.
        (Some(_), Err(error)) | (None, Err(error @ ImageError::Offer(OfferError::Context { .. }))) => Err(error),
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

/// Why an answer was not read to its end.
enum Cut {
    /// What came is no answer of a build.
    Said(String),
    /// The connection broke.
    Broken(String),
}

/// Reads the answer to its end.
async fn follow(
    mut body: hyper::body::Incoming,
    log: &mut BuildLog,
    request: &BuildRequest,
    masked: &Masked,
    cx: &ImageContext<'_>,
) -> Result<(), Cut> {
    let show = Show { request, masked, cx };
    let mut buffer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Cut::Broken(with_sources(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        buffer.extend_from_slice(&data);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let message = buffer.split_to(end + 1);
            if !message.trim_ascii().is_empty() {
                show.lines(log.take(&message).map_err(Cut::Said)?);
            }
        }
        if buffer.len() > MAX_MESSAGE {
            return Err(Cut::Said(format!("the engine sent a message of more than {MAX_MESSAGE} bytes")));
        }
    }
    if !buffer.trim_ascii().is_empty() {
        show.lines(log.take(&buffer).map_err(Cut::Said)?);
    }
    show.lines(log.finish());
    Ok(())
}

/// Shows the output of a build, without what is secret.
struct Show<'a> {
    request: &'a BuildRequest,
    masked: &'a Masked,
    cx: &'a ImageContext<'a>,
}

impl Show<'_> {
    fn lines(&self, lines: Vec<String>) {
        for line in lines {
            let source = format!("build {}", self.request.service);
            self.cx.reporter.report(Event::Output { source, line: self.masked.text(line) });
        }
    }
}

async fn image_id(engine: &Engine, request: &BuildRequest, told: Option<String>) -> Result<ImageId, ImageError> {
    if let Some(id) = told {
        return Ok(ImageId(id));
    }
    let what = || format!("finding the image built for {}", request.service);
    let tag = request.tags.first().map(String::as_str).unwrap_or_default();
    let image = engine.ask(engine.docker().inspect_image(tag)).await;
    let image = image.map_err(|error| ImageError::of_call(what(), with_sources(&error), error))?;
    image.id.map(ImageId).ok_or_else(|| ImageError::said(what(), "the image has no ID"))
}

/// Best effort: hanging up has told the engine already.
async fn cancel_on_engine(engine: &Engine, id: &str) {
    let uri = format!("/v{}/build/cancel?id={id}", engine.version());
    let request = Request::builder().method(Method::POST).uri(uri).header(header::HOST, "docker").body(wire::empty());
    if let Ok(request) = request {
        let limit = std::time::Duration::from_secs(5);
        let _ = tokio::time::timeout(limit, engine.send(request)).await;
    }
}

/// The query of `POST /build`.
struct Query(Vec<(String, String)>);

impl Query {
    fn new(request: &BuildRequest, builder: Builder, memory: i64) -> Result<Self, String> {
        fn json<T: serde::Serialize>(value: &T) -> Result<String, String> {
            serde_json::to_string(value).map_err(|error| error.to_string())
        }
        let mut query = Self(Vec::new());
        query.add("version", if builder.is_buildkit() { "2" } else { "1" });
        for tag in &request.tags {
            query.add("t", tag);
        }
        query.add("buildargs", &json(&request.args)?);
        query.add("labels", &json(&request.labels_for(builder))?);
        query.add("rm", "1");
        query.add("forcerm", "1");
        query.add_if("target", &request.target);
        query.add_if("platform", request.platforms.first().map(String::as_str).unwrap_or_default());
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
        let images: Vec<_> =
            request.cache_from.iter().map(|cache| cache.text("ref")).filter(|r| !r.is_empty()).collect();
        if !images.is_empty() {
            query.add("cachefrom", &json(&images)?);
        }
        if memory > 0 && builder == Builder::Classic {
            query.add("memory", &memory.to_string());
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

/// Values that must not be shown: build secrets, credentials of caches, and arguments whose names say that they are
/// secret.
struct Masked(Option<AhoCorasick>);

impl Masked {
    async fn new(request: &BuildRequest) -> Self {
        const WORDS: &[&str] = &["TOKEN", "SECRET", "PASS", "KEY", "CREDENTIAL", "AUTH"];
        let secret = |name: &str| WORDS.iter().any(|word| name.to_uppercase().contains(word));
        let mut values: Vec<String> =
            request.args.iter().filter(|(name, _)| secret(name)).map(|(_, value)| value.clone()).collect();
        values.extend(request.cache_from.iter().chain(&request.cache_to).flat_map(|c| c.secrets()).map(str::to_owned));
        for source in request.secrets.values() {
            let content = match source {
                SecretSource::Content(content) => content.clone(),
                SecretSource::File(path) => text_of(&request.reach, path).await,
            };
            values.extend(content.lines().map(|line| line.trim().to_owned()));
        }
        // Shorter values would tear ordinary words apart and are no secrets worth the name.
        values.retain(|value| value.len() >= 4);
        if values.is_empty() {
            return Self(None);
        }
        Self(AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(values).ok())
    }

    fn text(&self, text: String) -> String {
        match &self.0 {
            Some(finder) if finder.is_match(&text) => {
                let stars = vec!["***"; finder.patterns_len()];
                finder.replace_all(&text, &stars)
            }
            _ => text,
        }
    }
}

/// The text of a secret's file. Where it cannot be read, the build says so when it asks for it.
async fn text_of(reach: &Reach, path: &Path) -> String {
    let (reach, path) = (reach.clone(), path.to_owned());
    let read = files::blocking(move || reach.read(&path, Kind::BUILD_SECRET)).await;
    String::from_utf8_lossy(&read.unwrap_or_else(|lost| Err(lost.into())).unwrap_or_default()).into_owned()
}

fn random_id() -> Result<String, String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| format!("the system gives no random numbers: {error}"))?;
    Ok(hex::encode(bytes))
}
