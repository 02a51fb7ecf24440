//! Taking sockets over that are older than the daemon.

use aya_ebpf::helpers::generated::{bpf_skc_to_tcp_sock, bpf_sock_from_file};
use observer_ebpf::fields::Kernel;
use observer_ebpf::tcp::{Track, role};

use crate::emit::{now_ns, process_start};
use crate::flow::drops;
use crate::kernel::{SOCK_STATE, SOCKET_SK, TASK_TGID};
use crate::sample::IterMeta;
use crate::socket::{state, track};

/// `struct bpf_iter__tcp` (net/ipv4/tcp_ipv4.c).
#[repr(C)]
pub(crate) struct TcpContext {
    meta: *const IterMeta,
    sk_common: *const Kernel,
    uid: u32,
}

/// `struct bpf_iter__task_file` (kernel/bpf/task_iter.c).
#[repr(C)]
pub(crate) struct TaskFileContext {
    meta: *const IterMeta,
    task: *const Kernel,
    fd: u32,
    file: *const Kernel,
}

/// Gives a socket that has no storage one, as of now. Null where there is none, or no need.
///
/// # Safety
/// `tcp` is typed as a `tcp_sock`.
#[inline(always)]
unsafe fn adopt(tcp: *const Kernel) -> *mut Track {
    // SAFETY: as promised to this function; the storage is this socket's.
    unsafe {
        let now = u32::from(SOCK_STATE.read(tcp));
        if now == state::CLOSE {
            return core::ptr::null_mut();
        }
        let known = track(tcp, false);
        if !known.is_null() {
            return known;
        }
        let kept = track(tcp, true);
        if kept.is_null() {
            return kept;
        }
        (*kept).adopted = 1;
        (*kept).start_ns = now_ns();
        (*kept).treated = now;
        match now {
            state::LISTEN => {
                (*kept).role = role::LISTENER;
                (*kept).drops = drops(tcp);
            }
            state::SYN_SENT => (*kept).role = role::CLIENT,
            _ => (*kept).established_ns = (*kept).start_ns,
        }
        kept
    }
}

/// `int bpf_iter_tcp(struct bpf_iter_meta *meta, struct sock_common *sk_common, uid_t uid)`, 5.9 to 7.2:
/// every TCP socket of the reader's network namespace, requests and time-wait sockets included.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub(crate) extern "C" fn adopt_sockets(ctx: *const TcpContext) -> i32 {
    // SAFETY: the kernel hands over a context of this shape; the verifier checks each access.
    unsafe {
        let sk = (*ctx).sk_common;
        if sk.is_null() {
            return 0;
        }
        let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
        if !tcp.is_null() {
            adopt(tcp);
        }
    }
    0
}

/// `int bpf_iter_task_file(struct bpf_iter_meta *meta, struct task_struct *task, u32 fd, struct file
/// *file)`, 5.8 to 7.2: every open file of every process. Whose descriptor a socket is, is its process.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub(crate) extern "C" fn adopt_files(ctx: *const TaskFileContext) -> i32 {
    // SAFETY: the kernel hands over a context of this shape; the verifier checks each access.
    unsafe {
        let (task, file) = ((*ctx).task, (*ctx).file);
        if task.is_null() || file.is_null() {
            return 0;
        }
        let socket: *const Kernel = bpf_sock_from_file(file.cast_mut().cast()).cast_const().cast();
        if socket.is_null() {
            return 0;
        }
        let sk = SOCKET_SK.read(socket);
        if sk.is_null() {
            return 0;
        }
        let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
        if tcp.is_null() {
            return 0;
        }
        let kept = adopt(tcp);
        if !kept.is_null() && (*kept).adopted != 0 && (*kept).task.tgid == 0 {
            (*kept).task.start_ns = process_start(task);
            (*kept).task.tgid = TASK_TGID.read(task);
        }
    }
    0
}
