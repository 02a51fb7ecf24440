//! Two pods as the documentation has them, so that what it tells people to enter has something to show.

use anyhow::Result;

use crate::pod::Pod;
use crate::testbed::Testbed;

/// `shop/web`, which serves, and `shop/cart`, which connects again and again: with success, and without.
pub async fn open(testbed: &Testbed) -> Result<Vec<Pod>> {
    let web = testbed.pod("shop", "web").label("app", "web").run().await?;
    web.container("serve", ["workload", "serve", "--port", "8000"]).start_until("listening").await?;
    let cart = testbed.pod("shop", "cart").label("app", "cart").run().await?;
    for (name, port, more) in [("asks", 8000, ["--hold", "1"]), ("fails", 8001, ["--bytes", "1"])] {
        let to = format!("{}:{port}", web.ip()?);
        let argv =
            ["workload", "connect", "--to", &to, "--count", "100000", "--interval-ms", "100", "--summary"];
        cart.container(name, argv.into_iter().chain(more)).start().await?;
    }
    Ok(vec![web, cart])
}
