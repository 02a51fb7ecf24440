//! A daemon that serves by TLS, with certificates made for it.
#![allow(clippy::print_stderr, reason = "a test that goes on tells what it saw")]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::authority::{Authority, Signed};
use crate::python::call_by_tls;
use crate::{Daemon, Lines};

/// How often somebody who is refused is waited for.
const TRIES: u32 = 3;

/// What a daemon needs to serve by TLS, in a folder of the test's.
pub struct Secured {
    /// Where its files are.
    pub folder: PathBuf,
    /// Who signs certificates, of both sides.
    pub authority: Authority,
    /// The access file.
    pub access: PathBuf,
    /// What is revoked.
    pub crl: PathBuf,
    /// The daemon's certificate.
    pub server: Signed,
}

impl Secured {
    /// With that access file, and nothing revoked.
    pub fn new(folder: &Path, access: &str) -> Result<Self> {
        let authority = Authority::new(folder, "authority")?;
        let server = authority.sign("server", "ip:127.0.0.1")?;
        let [rules, crl] = ["access.toml", "revoked.pem"].map(|name| folder.join(name));
        fs::write(&rules, access)?;
        fs::write(&crl, authority.revoked(&[])?)?;
        Ok(Self { folder: folder.to_owned(), authority, access: rules, crl, server })
    }

    /// What the daemon is to be told.
    pub fn args(&self) -> Vec<String> {
        let flag = |name: &str, path: &Path| [format!("--{name}"), path.display().to_string()];
        let files = [
            ("access-file", self.access.as_path()),
            ("tls-cert", &self.server.cert),
            ("tls-key", &self.server.key),
            ("tls-client-ca", &self.authority.ca),
            ("tls-client-crl", &self.crl),
        ];
        let listen = ["--listen".to_owned(), "tls://127.0.0.1:0".to_owned()];
        listen.into_iter().chain(files.iter().flat_map(|(name, path)| flag(name, path))).collect()
    }

    /// Calls as whoever has that certificate.
    pub fn call(&self, at: SocketAddr, of: Option<&Signed>, method: &str, request: &Value) -> Result<Lines> {
        call_by_tls(&at.to_string(), &self.authority.ca, of, method, request)
    }

    /// The code of a refusal.
    pub async fn refusal(
        &self,
        at: SocketAddr,
        of: Option<&Signed>,
        method: &str,
        request: &Value,
    ) -> Result<String> {
        let mut tries = 0;
        let refused = loop {
            let mut refused = self.call(at, of, method, request)?;
            match refused.wait().await {
                Ok(end) => {
                    ensure!(end.code() == Some(1), "{method}: {}", refused.account());
                    break refused;
                }
                // Once in some thousand times gRPC's own client waits for good after it was turned away.
                Err(error) => {
                    tries += 1;
                    refused.signal(Signal::ABORT)?;
                    let _ended = refused.wait().await?;
                    eprintln!("{method}: {error}: {}", refused.account());
                    ensure!(tries < TRIES, "{method}: {}", refused.account());
                }
            }
        };
        let words = refused.values().pop().context("no error")?;
        Ok(words["code"].as_str().context("no code")?.to_owned())
    }

    /// Where the daemon serves by TLS.
    pub fn address(daemon: &Daemon) -> Result<SocketAddr> {
        let said = daemon.stderr();
        let line = said.lines().find_map(|line| line.split_once("with certificates may connect to "));
        Ok(line.context("it does not say where")?.1.trim().parse()?)
    }
}
