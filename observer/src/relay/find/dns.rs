//! The addresses that a name has, asked for again and again.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::board::Place;
use super::{DnsName, Found};

/// How long an answer holds.
const AGAIN: Duration = Duration::from_secs(10);
/// A resolver that has not answered by then is said to be silent; it is waited for all the same, since it cannot be stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer has 64 KiB at most, and with a short name 4,094 addresses of IPv4 fit, or 2,339 of IPv6; name servers leave out
/// the others without a word, and somewhat fewer fit with longer names.
const MANY_V4: usize = 4_000;
const MANY_V6: usize = 2_300;

/// Asks the system's resolver for all addresses of a name.
pub(super) async fn look_up(host: String) -> io::Result<Vec<IpAddr>> {
    // The port is of no matter to it.
    let found = tokio::net::lookup_host((host, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

/// Keeps a name's addresses known for as long as it is run.
pub(super) async fn keep<L, A>(name: DnsName, place: Place, look_up: L)
where
    L: Fn(String) -> A,
    A: Future<Output = io::Result<Vec<IpAddr>>>,
{
    loop {
        let mut answer = std::pin::pin!(look_up(name.host.clone()));
        let answer = match timeout(PATIENCE, &mut answer).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                place.fails(format!("no answer within {} s", PATIENCE.as_secs()));
                answer.await
            }
        };
        match answer.map(|addresses| daemons(&name, addresses)) {
            Ok(found) if found.is_empty() => place.fails("the name has no address".to_owned()),
            Ok(found) => match cut(&found) {
                None => place.found(found),
                Some(lacks) => place.found_but(found, lacks),
            },
            Err(error) => place.fails(explain(&error)),
        }
        sleep(AGAIN).await;
    }
}

/// A daemon at each address; its certificate is the name's.
fn daemons(name: &DnsName, addresses: Vec<IpAddr>) -> BTreeMap<String, Found> {
    let host = name.host.strip_suffix('.').unwrap_or(&name.host);
    let addresses = addresses.into_iter().map(|address| address.to_canonical());
    let addresses = addresses.filter(|address| !address.is_unspecified());
    addresses.map(|address| Found::secured(address, name.port, None, host.to_owned())).collect()
}

/// What is to be said where so many came that the answer may have been cut: of that nothing else tells.
fn cut(found: &BTreeMap<String, Found>) -> Option<String> {
    let six = found.keys().filter(|key| key.starts_with("tls://[")).count();
    let is_cut = six >= MANY_V6 || found.len() - six >= MANY_V4;
    is_cut
        .then(|| "an answer of DNS holds no more, so that there may be others: ask for a Service".to_owned())
}

/// Why a name has no addresses. The resolver's errors come as the C library's words alone, in English, since this program
/// sets no other language.
fn explain(error: &io::Error) -> String {
    const NO_NAME: [&str; 2] = ["Name or service not known", "Name does not resolve"];
    const NO_ADDRESS: [&str; 2] = ["No address associated with hostname", "Name has no usable address"];
    const NO_ANSWER: [&str; 2] = ["Temporary failure in name resolution", "Try again"];
    let said = error.to_string();
    let is = |words: [&str; 2]| words.iter().any(|words| said.contains(words));
    if is(NO_NAME) {
        return "no such name".to_owned();
    }
    if is(NO_ADDRESS) {
        return "the name has no address".to_owned();
    }
    if is(NO_ANSWER) {
        return "no name server has an answer".to_owned();
    }
    said
}
