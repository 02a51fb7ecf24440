//! Names that are looked up in the guest.

use anyhow::{Result, ensure};
use observer_tests::wait::PATIENCE;

use crate::guest::{Guest, detail, port_of};

/// A connection shows the name that was asked of the C library.
pub(crate) fn names_show(guest: &mut Guest) -> Result<()> {
    let port = guest.port(8087);
    guest.serve(port)?;
    guest.vm.output(
        "echo root:x:0:0::/:/bin/sh >/etc/passwd
         echo root:x:0: >/etc/group
         echo nameserver 10.0.0.2 >/etc/resolv.conf
         ip netns exec server dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file= --user=root \
             --no-resolv --no-hosts --bind-interfaces --listen-address=10.0.0.2 --log-facility=- \
             --host-record=www.guest.example,10.0.0.2 >/tmp/names 2>&1 & echo $! >/tmp/names.pid",
    )?;
    let listens = "ip netns exec server netstat -lnu | grep -q 10.0.0.2:53";
    guest.vm.wait_until("the name server to listen", PATIENCE, listens, "cat /tmp/names")?;
    let to = format!("www.guest.example:{port}");
    guest.vm.output(&format!("ip netns exec client workload connect --to {to}"))?;
    let events = guest
        .wait_for("the connection", 1, |event| event["type"] == "tcp_connect" && port_of(event) == port)?;
    let destination = &detail(&events[0])["tcp"]["destination"];
    ensure!(destination["dns_name"] == "www.guest.example", "{events:#?}");
    guest.vm.output("kill $(cat /tmp/names.pid)")?;
    Ok(())
}
