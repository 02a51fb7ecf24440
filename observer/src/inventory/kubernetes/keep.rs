//! Lists one resource and follows it for good: goes on from the last version after a break, and lists again only
//! where the API does not know that version any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::access::{Access, ApiError, clip};
use super::answer::{self, Change, Lines, Page};
use super::health::Health;
use super::pause::pause;
use super::query::{Query, WATCH_SECONDS};
use super::tell::{News, Stopped, Teller};

/// Objects in a page at first; fewer where they are large.
const PAGE_OBJECTS: u32 = 250;
/// Pages of one list: an API that always has another one must not keep us for ever.
const MOST_PAGES: usize = 100_000;
/// How long a watch may be silent beyond its end.
const WATCH_LIMIT: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 30);
/// How long it may be silent once it has told a bookmark, which the API does about once a minute.
const BOOKMARK_LIMIT: Duration = Duration::from_secs(150);
/// A watch that ends sooner, without a word, is a failure.
const SHORT_WATCH: Duration = Duration::from_secs(5);
/// So often a version is tried that leads nowhere; then everything is listed again.
const MOST_TRIES: u32 = 5;

/// What keeps one resource known.
pub(super) struct Keeper<T> {
    query: Query,
    access: Arc<Access>,
    teller: T,
    /// Up to where everything was told; `None` before the first list, and where the API has forgotten it.
    version: Option<String>,
    page_objects: u32,
    /// Tries in a row that led nowhere.
    tries: u32,
    /// Versions given up in a row, without a word of what changed.
    given_up: u32,
    /// It was told once that an object is not understood.
    warned: bool,
}

/// Why a round ended.
enum End {
    /// The API ended it, or there is something else to do at once.
    InOrder,
    /// It was cut off.
    Cut(ApiError),
    /// Nobody listens to what is told: the daemon stops.
    Stopped,
}

impl From<ApiError> for End {
    fn from(error: ApiError) -> Self {
        Self::Cut(error)
    }
}

impl From<Stopped> for End {
    fn from(_stopped: Stopped) -> Self {
        Self::Stopped
    }
}

impl<T: Teller> Keeper<T> {
    pub(super) fn new(query: Query, access: &Arc<Access>, teller: T) -> Self {
        Self {
            query,
            access: Arc::clone(access),
            teller,
            version: None,
            page_objects: PAGE_OBJECTS,
            tries: 0,
            given_up: 0,
            warned: false,
        }
    }

    /// Goes on until nobody listens.
    pub(super) async fn run(mut self) {
        loop {
            let end = match self.version.clone() {
                None => self.list().await,
                Some(version) => self.watch(version).await,
            };
            match end {
                End::Stopped => return,
                End::InOrder => {}
                End::Cut(error) => self.cut(error).await,
            }
            // A version that is given up at once is no reason to list everything without a pause.
            let lists_again = self.version.is_none() && self.given_up > 1;
            let tries = if lists_again { self.tries.max(self.given_up) } else { self.tries };
            if tries > 0 {
                sleep(pause(tries)).await;
            }
        }
    }

    /// Takes note of why it does not go on.
    async fn cut(&mut self, error: ApiError) {
        log::debug!("{:?}: {}", self.teller.resource(), error.explain());
        self.tries = self.tries.saturating_add(1);
        let large = matches!(error, ApiError::TooLarge(_));
        if large && self.version.is_none() {
            self.page_objects = (self.page_objects / 4).max(1);
        }
        if matches!(error, ApiError::Expired) {
            self.give_up();
            return;
        }
        // Nothing is wrong if it only has to be connected again.
        if matches!(error, ApiError::Broken(_)) && self.tries == 1 {
            return;
        }
        if self.tries.is_multiple_of(MOST_TRIES) && !error.is_outage() {
            self.give_up();
        }
        self.teller.report(Health::Fails(error.explain())).await;
    }

    fn give_up(&mut self) {
        self.version = None;
        self.given_up = self.given_up.saturating_add(1);
    }

    /// Tells all there is, page by page.
    async fn list(&mut self) -> End {
        match self.all_pages().await {
            Ok(version) => {
                self.version = Some(version);
                self.tries = 0;
                End::InOrder
            }
            Err(end) => end,
        }
    }

    async fn all_pages(&mut self) -> Result<String, End> {
        self.teller.tell(News::Listing).await?;
        let mut token = None;
        for _ in 0..MOST_PAGES {
            let (objects, version, next) = self.page(token).await?;
            self.teller.tell(News::Has(objects)).await?;
            token = next;
            if token.is_none() {
                self.teller.tell(News::Listed).await?;
                return Ok(version);
            }
        }
        Err(End::Cut(ApiError::Nonsense("a list without an end".to_owned())))
    }

    async fn page(
        &mut self,
        token: Option<String>,
    ) -> Result<(Vec<T::Object>, String, Option<String>), ApiError> {
        let request = self.query.page(self.page_objects, token)?;
        let answer = self.access.send(request).await?;
        // Never closed: it is dropped with the keepers.
        let access = Arc::clone(&self.access);
        let _reading = access.reading.acquire().await;
        let bytes = answer::page(answer.into_body()).await?;
        let Page { metadata, items } = answer::parse_page(&bytes)?;
        let objects = items.unwrap_or_default().into_iter().filter_map(|item| self.object(item.get()));
        let version = metadata.resource_version.filter(|version| !version.is_empty());
        let version = version.ok_or_else(|| ApiError::Nonsense("a list without a version".to_owned()))?;
        Ok((objects.collect(), version, metadata.continue_.filter(|token| !token.is_empty())))
    }

    /// An object, where it is understood and has something to tell.
    fn object(&mut self, text: &str) -> Option<T::Object> {
        match self.teller.object(text) {
            Ok(object) => object,
            Err(error) => {
                // One that is not as it should be shall not hide the others.
                let level = if self.warned { log::Level::Debug } else { log::Level::Warn };
                self.warned = true;
                log::log!(
                    level,
                    "an object of the Kubernetes API ({:?}) is left out: {error}",
                    self.teller.resource()
                );
                None
            }
        }
    }

    /// Tells what changes from a version on.
    async fn watch(&mut self, version: String) -> End {
        let start = Instant::now();
        let before = self.tries;
        self.tries = 0;
        let (end, told) = self.follow(version).await;
        match &end {
            End::InOrder if start.elapsed() < SHORT_WATCH => {
                self.tries = if told { 1 } else { before.saturating_add(1) };
            }
            End::Cut(_) if !told => self.tries = before,
            End::InOrder | End::Cut(_) | End::Stopped => {}
        }
        if told {
            self.given_up = 0;
        }
        end
    }

    /// Follows the watch to its end; also gives whether it told anything.
    async fn follow(&mut self, version: String) -> (End, bool) {
        let request = match self.query.watch(&version) {
            Ok(request) => request,
            Err(error) => return (End::Cut(error), false),
        };
        let answer = match self.access.send(request).await {
            Ok(answer) => answer,
            Err(error) => return (End::Cut(error), false),
        };
        self.teller.report(Health::Followed).await;
        let mut lines = Lines::new(answer.into_body());
        let (mut limit, mut told) = (WATCH_LIMIT, false);
        loop {
            let line = match lines.next(limit).await {
                Ok(Some(line)) => line,
                Ok(None) => return (End::InOrder, told),
                Err(error) => return (End::Cut(error), told),
            };
            let news = match answer::parse_line(&line) {
                Ok(Change::Is(meta, object)) => {
                    // One that has nothing to tell any more is as good as gone.
                    let gone = News::Gone(meta.uid);
                    let news = self.object(object.get()).map_or(gone, |object| News::Has(vec![object]));
                    Some((news, meta.resource_version))
                }
                Ok(Change::Gone(meta)) => Some((News::Gone(meta.uid), meta.resource_version)),
                Ok(Change::Bookmark(meta)) => {
                    limit = BOOKMARK_LIMIT;
                    self.version = Some(meta.resource_version);
                    None
                }
                Ok(Change::Error(status)) => {
                    let code = status.code.and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
                    let message = clip(&status.message.unwrap_or_default(), 200);
                    let expired = code == 410 || status.reason.as_deref() == Some("Expired");
                    let error = if expired { ApiError::Expired } else { ApiError::Refused { code, message } };
                    return (End::Cut(error), told);
                }
                Err(error) => return (End::Cut(error), told),
            };
            told = true;
            if let Some((news, version)) = news {
                if let Err(stopped) = self.teller.tell(news).await {
                    return (stopped.into(), told);
                }
                // Only now: what was not told is told again.
                self.version = Some(version);
            }
        }
    }
}
